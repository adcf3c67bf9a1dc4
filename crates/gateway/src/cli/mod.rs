//! The command line: LiteLLM's flags, and Hale's own subcommands.
//!
//! Called by `main`. Always true: flags work in both spellings (`--num_workers`, `--num-workers`); a flag of
//! LiteLLM that has no meaning here warns once and is ignored.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod db;
mod embedded;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod logs;
mod means;
pub(crate) mod migrate;
mod options;
mod running;
pub(crate) mod spend;
pub(crate) mod teams;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, Parser, Subcommand};
use hale_core::secret::Secret;

use self::completions::{CompletionsOptions, ManualOptions};
use self::db::DbOptions;
use self::explain::ExplainOptions;
use self::init::InitOptions;
use self::keys::KeyOptions;
use self::logs::LogsOptions;
use self::migrate::MigrateOptions;
pub(crate) use self::options::{CheckOptions, ConfigFile};
use self::running::Running;
use self::spend::SpendOptions;
use self::teams::TeamOptions;
use crate::console::{complain, print};
use crate::http::COMPATIBLE_VERSION;
use crate::process::ServeOptions;

/// What to do.
pub(crate) enum Command {
    /// Serve.
    Serve(ServeOptions),
    /// Check a config.
    Check(CheckOptions),
    /// Diagnose the deployments of a config.
    Doctor(DoctorOptions),
    /// Show the health of a running gateway.
    Health(HealthOptions),
    /// Show what a running gateway would do with a request.
    Explain(ExplainOptions),
    /// Show the requests that a running gateway served.
    Logs(LogsOptions),
    /// Write a config.
    Init(InitOptions),
    /// Print the JSON schema of configs.
    Schema,
    /// Print the completions for a shell.
    Completions(CompletionsOptions),
    /// Print the manual.
    Manual(ManualOptions),
    /// Look at the store, or copy it.
    Db(DbOptions),
    /// Make, show, block and delete keys.
    Key(KeyOptions),
    /// The same of teams.
    Team(TeamOptions),
    /// Look at the database of a LiteLLM.
    Migrate(MigrateOptions),
    /// Compare what was spent, or price it again.
    Spend(SpendOptions),
    /// Simulate an outage, without keys or network.
    Demo(DemoOptions),
    /// Exit: the output is printed already.
    Exit(ExitCode),
}

/// An LLM gateway that takes a LiteLLM config.yaml.
#[derive(Parser)]
#[command(name = "hale", disable_version_flag = true, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    serve: ServeOptions,
    /// Prints the version
    #[arg(short = 'v', short_alias = 'V', long)]
    version: bool,
}

#[derive(Subcommand)]
enum Sub {
    /// Run the gateway (default)
    Serve(ServeOptions),
    /// Load a config and print every problem
    Check(CheckOptions),
    /// Probe every deployment of a config once, and print what is wrong and how to fix it
    Doctor(DoctorOptions),
    /// Print the health of a running gateway's deployments
    Health(HealthOptions),
    /// Print where a running gateway would send a request for a model, and why not elsewhere
    Explain(ExplainOptions),
    /// Print the last requests that a running gateway recorded: those that failed, or all
    Logs(LogsOptions),
    /// Write a config from the provider keys found in the environment, and check it
    Init(InitOptions),
    /// Look at the store, make its tables, or copy it
    Db(DbOptions),
    /// Make, show, block and delete keys
    Key(KeyOptions),
    /// Make, show, block and delete teams, and add members
    Team(TeamOptions),
    /// Look at the database of a LiteLLM before the switch: what would be kept, and what not
    Migrate(MigrateOptions),
    /// Compare what was spent with itself or with a provider's report, or price it again
    Spend(SpendOptions),
    /// Simulate an outage: four simulated providers, no key, no network
    Demo(DemoOptions),
    /// Print the JSON schema of a config, for editors
    Schema,
    /// Print completions for a shell
    Completions(CompletionsOptions),
    /// Print the manual page, for `man`
    Man(ManualOptions),
}

/// Options of `hale doctor`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorOptions {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// Show each deployment, also of groups that work
    #[arg(long)]
    pub(crate) all: bool,
    /// Time limit of each deployment's probe, in seconds [default: its health_check_timeout, else 30]
    #[arg(long, value_name = "SECONDS", value_parser = milliseconds)]
    pub(crate) timeout: Option<u64>,
    /// Treat unknown and duplicate keys as errors
    #[arg(long)]
    pub(crate) strict: bool,
}

/// A number of seconds as milliseconds.
fn milliseconds(text: &str) -> Result<u64, String> {
    let ms = hale_wire::peek::seconds_to_ms(text);
    ms.ok_or_else(|| "expected a number of seconds above 0, at most 86400".to_owned())
}

/// Options of `hale health`.
#[derive(Args, Clone)]
pub(crate) struct HealthOptions {
    #[command(flatten)]
    pub(crate) running: Running,
    /// Print the page as JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// How `hale --health` does it.
    #[arg(skip)]
    pub(crate) manner: Manner,
}

/// In whose manner the health of a gateway is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// A table, or JSON, and an exit code that says whether anything is healthy.
    #[default]
    Hale,
    /// JSON, and an exit code that says whether there was a page.
    LiteLlm,
}

/// Options of `hale demo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoOptions {
    /// Length of the demo, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(12..=3600))]
    pub(crate) seconds: u64,
    /// The port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 4000)]
    pub(crate) port: u16,
}

/// Flags of LiteLLM that have no meaning here, and whether a value follows them.
const MEANINGLESS: &[(&str, bool)] = &[
    ("--run_gunicorn", false),
    ("--run_hypercorn", false),
    ("--run_granian", false),
    ("--granian_threads", true),
    ("--max_requests_before_restart", true),
    ("--max_requests_before_restart_jitter", true),
    ("--keepalive_timeout", true),
    ("--timeout_worker_healthcheck", true),
    ("--use_prisma_db_push", false),
    ("--use_legacy_migration_resolver", false),
    ("--skip_server_startup", false),
    ("--telemetry", true),
    ("--local", false),
    ("--reload", false),
    ("--save", false),
    ("--add_function_to_prompt", false),
    ("--log_config", true),
];

/// The table of all commands and options.
pub(crate) fn table() -> clap::Command {
    Cli::command()
}

/// `hale schema`.
pub(crate) fn schema() -> ExitCode {
    print(&format!("{:#}\n", hale_core::config::schema()));
    ExitCode::SUCCESS
}

/// Reads the arguments of the process.
pub(crate) fn parse() -> Command {
    let (arguments, ignored) = without_meaningless(std::env::args_os().collect());
    for flag in ignored {
        complain(&format!("warning: {flag} has no meaning in Hale and is ignored"));
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let asked_for_help = !error.use_stderr();
            let _closed: Result<(), _> = error.print();
            if let Some(tip) = tip(&error) {
                complain(&tip);
            }
            return Command::Exit(if asked_for_help {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            });
        }
    };
    if cli.version {
        print(&format!(
            "hale {} (compatible with LiteLLM {COMPATIBLE_VERSION})\n",
            env!("CARGO_PKG_VERSION")
        ));
        return Command::Exit(ExitCode::SUCCESS);
    }
    match cli.command {
        None => serve_or_ask(cli.serve),
        Some(Sub::Serve(options)) => serve_or_ask(options),
        Some(Sub::Health(options)) => Command::Health(options),
        Some(Sub::Explain(options)) => Command::Explain(options),
        Some(Sub::Logs(options)) => Command::Logs(options),
        Some(Sub::Init(options)) => Command::Init(options),
        Some(Sub::Schema) => Command::Schema,
        Some(Sub::Completions(options)) => Command::Completions(options),
        Some(Sub::Man(options)) => Command::Manual(options),
        Some(Sub::Check(options)) => Command::Check(options),
        Some(Sub::Doctor(options)) => Command::Doctor(options),
        Some(Sub::Db(options)) => Command::Db(options),
        Some(Sub::Key(options)) => Command::Key(options),
        Some(Sub::Team(options)) => Command::Team(options),
        Some(Sub::Migrate(options)) => Command::Migrate(options),
        Some(Sub::Spend(options)) => Command::Spend(options),
        Some(Sub::Demo(options)) => Command::Demo(options),
    }
}

/// The way to write a config that stands where a subcommand or nothing is expected.
fn tip(error: &clap::Error) -> Option<String> {
    let kinds = [ContextKind::InvalidSubcommand, ContextKind::InvalidArg];
    let written = kinds.into_iter().find_map(|kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    })?;
    let lower = written.to_ascii_lowercase();
    let is_config = [".yaml", ".yml", ".json"].into_iter().any(|end| lower.ends_with(end));
    is_config.then(|| {
        format!(
            "tip: `hale --config {written}` serves a config, `hale check {written}` reads it only"
        )
    })
}

/// `--health` prints the health of a running gateway instead of serving.
fn serve_or_ask(options: ServeOptions) -> Command {
    if !options.health {
        return Command::Serve(options);
    }
    let host = match options.host.as_deref() {
        // A gateway that listens on every address is reached on loopback.
        None | Some("0.0.0.0" | "::") => "127.0.0.1".to_owned(),
        Some(host) if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        Some(host) => host.to_owned(),
    };
    let key = std::env::var("LITELLM_MASTER_KEY").ok().filter(|key| !key.is_empty());
    let url = format!("http://{host}:{}", options.port);
    let running = Running { url, key: key.map(|key| Secret::new(&key)) };
    Command::Health(HealthOptions { running, json: true, manner: Manner::LiteLlm })
}

fn without_meaningless(arguments: Vec<OsString>) -> (Vec<OsString>, Vec<String>) {
    let mut kept = Vec::with_capacity(arguments.len());
    let mut ignored = Vec::new();
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        // LiteLLM's users write it with one dash, too.
        if argument == "-health" {
            kept.push("--health".into());
            continue;
        }
        let text = argument.to_string_lossy().into_owned();
        let (name, has_value) = match text.split_once('=') {
            Some((name, _)) => (name.to_owned(), true),
            None => (text, false),
        };
        let spelled = name.strip_prefix("--").map(|flag| format!("--{}", flag.replace('-', "_")));
        match MEANINGLESS.iter().find(|(flag, _)| Some(*flag) == spelled.as_deref()) {
            None => kept.push(argument),
            Some((flag, takes_value)) => {
                ignored.push((*flag).to_owned());
                let value_follows =
                    arguments.peek().is_some_and(|next| !next.to_string_lossy().starts_with('-'));
                if *takes_value && !has_value && value_follows {
                    arguments.next();
                }
            }
        }
    }
    (kept, ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(arguments: &[&str]) -> (Vec<OsString>, Vec<String>) {
        without_meaningless(arguments.iter().map(OsString::from).collect())
    }

    #[test]
    fn meaningless_flags_go_with_their_values() {
        let (left, ignored) = kept(&[
            "hale",
            "--run_gunicorn",
            "--port",
            "1",
            "--granian-threads",
            "4",
            "--telemetry=False",
        ]);
        assert_eq!(left, ["hale", "--port", "1"]);
        assert_eq!(ignored, ["--run_gunicorn", "--granian_threads", "--telemetry"]);
    }

    #[test]
    fn the_table_of_commands_is_consistent() {
        table().debug_assert();
    }

    #[test]
    fn both_spellings_are_understood() {
        for flag in ["--num_workers", "--num-workers"] {
            let cli = Cli::try_parse_from(["hale", flag, "3", "--config", "x"]).unwrap();
            assert_eq!(cli.serve.num_workers, Some(3));
        }
        let cli = Cli::try_parse_from(["hale", "serve", "-c", "x", "--detailed_debug"]).unwrap();
        assert!(matches!(cli.command, Some(Sub::Serve(o)) if o.detailed_debug));
    }
}
