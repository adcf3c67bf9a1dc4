//! The command line: LiteLLM's flags, and Hale's own subcommands.
//!
//! Called by `main`. Always true: flags work in both spellings (`--num_workers`, `--num-workers`); a flag of
//! LiteLLM that has no meaning here warns once and is ignored.

pub(crate) mod check;
pub(crate) mod db;
pub(crate) mod health;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};

use self::db::DbOptions;
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
    /// Look at the store, or copy it.
    Db(DbOptions),
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
    /// Look at the store, make its tables, or copy it
    Db(DbOptions),
    /// Simulate an outage: four simulated providers, no key, no network
    Demo(DemoOptions),
}

/// The config that a subcommand reads.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigFile {
    /// The config file; `-` reads standard input
    #[arg(value_name = "FILE", env = CONFIG_VARIABLE, default_value = DEFAULT_CONFIG)]
    config: String,
    /// The same, written as for the start
    #[arg(
        id = "named",
        long = "config",
        short = 'c',
        value_name = "FILE",
        hide = true,
        conflicts_with = "config"
    )]
    named: Option<String>,
}

impl ConfigFile {
    /// Its path, or `-`.
    pub(crate) fn path(&self) -> &str {
        self.named.as_deref().unwrap_or(&self.config)
    }
}

/// Options of `hale check`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Exit with 78 if there is any warning, and treat unknown and duplicate keys as errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// The address that the start is to listen on: whether the master key is good enough for it
    #[arg(long, env = "HOST")]
    pub(crate) host: Option<String>,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the last line only
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) quiet: bool,
}

/// The variable that names the config.
const CONFIG_VARIABLE: &str = "CONFIG_FILE_PATH";
/// The config of `hale check` and `hale doctor`, if none is named.
const DEFAULT_CONFIG: &str = "config.yaml";

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
    /// The gateway's address
    #[arg(long, default_value = "http://127.0.0.1:4000")]
    pub(crate) url: String,
    /// A key of the gateway
    #[arg(long, env = "LITELLM_MASTER_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
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
        Some(Sub::Check(options)) => Command::Check(options),
        Some(Sub::Doctor(options)) => Command::Doctor(options),
        Some(Sub::Db(options)) => Command::Db(options),
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
    Command::Health(HealthOptions { url, key, json: true, manner: Manner::LiteLlm })
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
    fn both_spellings_are_understood() {
        for flag in ["--num_workers", "--num-workers"] {
            let cli = Cli::try_parse_from(["hale", flag, "3", "--config", "x"]).unwrap();
            assert_eq!(cli.serve.num_workers, Some(3));
        }
        let cli = Cli::try_parse_from(["hale", "serve", "-c", "x", "--detailed_debug"]).unwrap();
        assert!(matches!(cli.command, Some(Sub::Serve(o)) if o.detailed_debug));
    }
}
