//! `hale init`: writes a config from the provider keys found in the environment, and checks it.
//!
//! Called by `main`. Always true: no key is written, only the names of variables; a file that exists is kept, unless
//! `--force` says otherwise; what was written is loaded as the start would load it.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Args;
use hale_core::provider::{self, Provider};

use super::check;
use super::options::{CheckOptions, ConfigFile, DEFAULT_CONFIG};
use crate::console::{EXIT_CONFIG, complain, print};

/// Options of `hale init`.
#[derive(Args, Clone, Debug)]
pub(crate) struct InitOptions {
    /// The file to write; `-` writes standard output, and checks nothing
    #[arg(value_name = "FILE", default_value = DEFAULT_CONFIG)]
    file: String,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
}

/// The variable of the gateway's own key.
const MASTER_KEY: &str = "LITELLM_MASTER_KEY";
/// Providers that are reached by more than a key and an address: the variables that each needs.
const BY_ACCOUNT: [(&str, &[&str]); 3] = [
    ("bedrock", &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
    ("bedrock", &["AWS_BEARER_TOKEN_BEDROCK"]),
    ("vertex_ai", &["GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_PROJECT"]),
];

/// A provider that the environment has what it takes to call.
struct Found {
    provider: &'static Provider,
    key: Option<&'static str>,
    base: Option<&'static str>,
}

/// Writes the file and checks it.
pub(crate) fn run(options: &InitOptions) -> ExitCode {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let found = found(is_set);
    if found.is_empty() {
        let example =
            "export OPENAI_API_KEY=..., ANTHROPIC_API_KEY, GEMINI_API_KEY or OLLAMA_API_BASE";
        complain(&format!(
            "no provider's key is in the environment, so there is nothing to write. {example}, and run it \
             again; docs/config.md lists the variables of all providers"
        ));
        return ExitCode::from(EXIT_CONFIG);
    }
    let text = config(&found, is_set(MASTER_KEY));
    if options.file == "-" {
        print(&text);
        return ExitCode::SUCCESS;
    }
    if let Err(problem) = write(options, &text) {
        complain(&problem);
        return ExitCode::from(1);
    }
    let names: Vec<&str> = found.iter().map(|one| &*one.provider.name).collect();
    print(&format!("wrote {} for {}\n", options.file, names.join(", ")));
    let file = ConfigFile { config: options.file.clone(), named: None };
    let code =
        check::run(&CheckOptions { file, strict: false, host: None, json: false, quiet: false });
    print(&format!(
        "next: `hale doctor {0}` probes each provider once, `hale --config {0}` serves it\n",
        options.file
    ));
    code
}

fn write(options: &InitOptions, text: &str) -> Result<(), String> {
    let mut open = OpenOptions::new();
    match options.force {
        true => open.write(true).create(true).truncate(true),
        false => open.write(true).create_new(true),
    };
    let file = &options.file;
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            format!("{file} exists and is kept; name another file, or replace it with --force")
        }
        _ => format!("{file} cannot be written: {error}"),
    };
    open.open(file).and_then(|mut opened| opened.write_all(text.as_bytes())).map_err(failed)
}

/// The providers whose variables are set, in the order of their names, each once.
fn found(is_set: impl Fn(&str) -> bool) -> Vec<Found> {
    let first =
        |names: &'static [Box<str>]| names.iter().map(|name| &**name).find(|name| is_set(name));
    let mut found: Vec<Found> = Vec::new();
    for provider in provider::all() {
        let key = first(&provider.api_key_env);
        let base = first(&provider.api_base_env);
        let mut by_account = BY_ACCOUNT.iter().filter(|(name, _)| *name == &*provider.name);
        let is_complete = match provider.base_url {
            _ if by_account.clone().next().is_some() => {
                by_account.any(|(_, names)| names.iter().all(|name| is_set(name)))
            }
            // An address of its own on this machine needs no key, but someone must have named it.
            _ if provider.key_optional => key.is_some() || base.is_some(),
            Some(_) => key.is_some(),
            None => key.is_some() && base.is_some(),
        };
        // Several providers may share a variable: the first one is the one that it is named after.
        let is_new = !found.iter().any(|one| key.is_some() && one.key == key);
        if is_complete && is_new {
            found.push(Found { provider, key, base });
        }
    }
    found
}

/// The text of the config.
fn config(found: &[Found], has_master_key: bool) -> String {
    let mut text = String::from(
        "# Each entry serves every model of its provider: a client asks for `provider/model`.\n\
         # Keys stay in the environment; `os.environ/NAME` is read at the start.\n\
         model_list:\n",
    );
    for Found { provider, key, base } in found {
        let name = &provider.name;
        // Writing to a string cannot fail.
        let _written = write!(
            text,
            "  - model_name: \"{name}/*\"\n    litellm_params:\n      model: \"{name}/*\"\n"
        );
        for (field, variable) in [("api_key", key), ("api_base", base)] {
            if let Some(variable) = variable {
                let _written = writeln!(text, "      {field}: os.environ/{variable}");
            }
        }
    }
    text.push_str(
        "\n# Entries with one `model_name` are a model group: when one fails, its requests go to the others.\n\
         #  - model_name: chat\n\
         #    litellm_params: {model: openai/MODEL, api_key: os.environ/OPENAI_API_KEY}\n\
         #  - model_name: chat\n\
         #    litellm_params: {model: anthropic/MODEL, api_key: os.environ/ANTHROPIC_API_KEY}\n\
         \ngeneral_settings:\n",
    );
    text.push_str(match has_master_key {
        true => "  master_key: os.environ/LITELLM_MASTER_KEY\n",
        false => {
            "  # Clients need no key, so the gateway listens on this machine only. To serve others:\n  \
             # master_key: os.environ/LITELLM_MASTER_KEY\n"
        }
    });
    text.push_str(
        "  # Probes find a failed provider before a request does. Each costs a few tokens.\n  \
         background_health_checks: true\n  health_check_interval: 300\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use hale_core::config::{self, Options};

    use super::*;
    use crate::files::Files;

    fn names(found: &[Found]) -> Vec<&str> {
        found.iter().map(|one| &*one.provider.name).collect()
    }

    #[test]
    fn a_provider_is_found_by_what_it_needs() {
        let of = |set: &'static [&str]| found(move |name| set.contains(&name));
        assert_eq!(names(&of(&["OPENAI_API_KEY"])), ["openai"]);
        assert_eq!(names(&of(&["ANTHROPIC_API_KEY", "OPENAI_API_KEY"])), ["anthropic", "openai"]);
        assert!(of(&["AZURE_API_KEY"]).is_empty(), "it has no address");
        assert_eq!(names(&of(&["AZURE_API_KEY", "AZURE_API_BASE"])), ["azure"]);
        assert!(of(&["AWS_ACCESS_KEY_ID"]).is_empty(), "half a key");
        assert_eq!(names(&of(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])), ["bedrock"]);
        assert_eq!(names(&of(&["OLLAMA_API_BASE"])), ["ollama"]);
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn what_every_provider_gets_is_loaded_without_a_problem() {
        let everything = found(|_| true);
        assert!(everything.len() > 20, "{:?}", names(&everything));
        for one in everything {
            let variables = [one.key, one.base].into_iter().flatten();
            let values: String = variables
                .map(|name| {
                    let value =
                        if Some(name) == one.base { "http://127.0.0.1:9/v1" } else { "sk-x" };
                    format!("  {name}: {value}\n")
                })
                .collect();
            let name = one.provider.name.clone();
            let mut text = config(&[one], false);
            if !values.is_empty() {
                text.push_str(&format!("environment_variables:\n{values}"));
            }
            let files = Files::with("c.yaml", text.clone());
            let loaded = config::load(&files, "c.yaml", Options { strict: true }, None);
            assert_eq!(loaded.errors().count(), 0, "{name}: {:?}\n{text}", loaded.problems);
        }
    }

    #[test]
    fn no_key_is_written() {
        let text = config(&found(|name| name == "OPENAI_API_KEY"), true);
        assert!(text.contains("api_key: os.environ/OPENAI_API_KEY"), "{text}");
        assert!(text.contains("master_key: os.environ/LITELLM_MASTER_KEY\n"), "{text}");
    }
}
