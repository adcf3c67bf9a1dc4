//! `hale migrate check`: what of a database of LiteLLM would be kept, and what would behave otherwise, by name; `hale migrate compare`: how its
//! answers differ.
//!
//! Called by `main`. Always true: it only reads, also beside a running LiteLLM; it exits with 0 if nothing would behave otherwise, with 1
//! if something would, with 2 if it could not look. Texts of keys are not in the database; keys are named by alias and last characters.

mod compare;
mod rows;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hale_core::config::{self, Options};
use hale_core::settings::StoreSettings;
use hale_store::{Address, Database, Purpose};
use serde_json::json;

use self::rows::{Finding, Looked};
use super::means::means;
use crate::console::{complain, print};
use crate::files::Files;
use crate::process::store_address;

/// Something would behave otherwise.
const DIFFERS: u8 = 1;
/// It could not be looked at.
const UNREAD: u8 = 2;
/// Names of one line.
const NAMES_MAX: usize = 10;

/// Options of `hale migrate`.
#[derive(Args, Clone, Debug)]
pub(crate) struct MigrateOptions {
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum MigrateCommand {
    /// Look at the database of a LiteLLM: what would be kept, what would behave otherwise; exit with 1 if anything would
    Check {
        /// The config whose database it is
        #[arg(long, short, value_name = "FILE")]
        config: Option<String>,
        /// The database itself: postgres://... [default: that of the config, else DATABASE_URL]
        #[arg(long, value_name = "URL")]
        database: Option<String>,
        /// Print JSON, with every name
        #[arg(long)]
        json: bool,
    },
    /// Compare answers with those of the second gateway that `mirror` names; exit with 1 if anything differs that the compatibility page does not explain
    Compare {
        /// What was compared [default: hale.mirror.jsonl in $HALE_DATA_DIR, else here]
        file: Option<PathBuf>,
    },
}

/// Does what `options` say.
pub(crate) fn run(options: &MigrateOptions) -> ExitCode {
    let (config, database, json) = match &options.command {
        MigrateCommand::Check { config, database, json } => (config, database, json),
        MigrateCommand::Compare { file } => {
            return match compare::run(file.as_deref()) {
                Ok((text, agrees)) => {
                    print(&text);
                    ExitCode::from(if agrees { 0 } else { DIFFERS })
                }
                Err(problem) => {
                    complain(&problem);
                    ExitCode::from(UNREAD)
                }
            };
        }
    };
    let looked = address(config.as_deref(), database.as_deref()).and_then(|address| look(&address));
    match looked {
        Ok(looked) => {
            print(&if *json { as_json(&looked) } else { told(&looked) });
            ExitCode::from(if looked.findings.is_empty() { 0 } else { DIFFERS })
        }
        Err(problem) => {
            complain(&problem);
            ExitCode::from(UNREAD)
        }
    }
}

/// Which database is meant.
fn address(config: Option<&str>, database: Option<&str>) -> Result<Address, String> {
    if let Some(database) = database {
        return Address::parse(database).map_err(|error| error.to_string());
    }
    let settings = match config {
        Some(path) => {
            let loaded = config::load(&Files::on_disk(), path, Options::default(), None);
            let snapshot = loaded.snapshot.ok_or_else(|| {
                format!("{path} has errors; print them: hale check {path}, or name the database: --database URL")
            })?;
            snapshot.gateway.store.clone()
        }
        None => {
            let url = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
            StoreSettings {
                database_url: url.map(|url| hale_core::secret::Secret::new(&url)),
                ..StoreSettings::default()
            }
        }
    };
    store_address(&settings, config.unwrap_or_default())
}

fn look(address: &Address) -> Result<Looked, String> {
    let (runtime, means) = means()?;
    let looked = runtime.block_on(async {
        let database = Database::open(address, Purpose::LookAtTheirs, &means).await?;
        rows::look(&database).await
    });
    runtime.shutdown_background();
    looked.map_err(|error| error.to_string())
}

/// The findings by what they say.
fn by_rule(looked: &Looked) -> BTreeMap<(&str, &str), Vec<&str>> {
    let mut rules: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for Finding { rule, says, name } in &looked.findings {
        rules.entry((rule, says)).or_default().push(name);
    }
    rules
}

fn told(looked: &Looked) -> String {
    let kept: Vec<String> =
        looked.kept.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let mut text = format!("kept: {}\n", kept.join(", "));
    let rules = by_rule(looked);
    for ((rule, says), names) in &rules {
        let shown = names[..names.len().min(NAMES_MAX)].join(", ");
        let more = match names.len().saturating_sub(NAMES_MAX) {
            0 => String::new(),
            more => format!(", and {more} more (--json names them)"),
        };
        text.push_str(&format!("{rule}: {says}\n    {shown}{more}\n"));
    }
    let end = match rules.len() {
        0 => "nothing would behave otherwise".to_owned(),
        1 => "1 rule would behave otherwise".to_owned(),
        rules => format!("{rules} rules would behave otherwise"),
    };
    format!("{text}{end}; the config is checked by: hale check FILE\n")
}

fn as_json(looked: &Looked) -> String {
    let kept: BTreeMap<&str, u64> = looked.kept.iter().copied().collect();
    let rules = by_rule(looked);
    let rules = rules
        .iter()
        .map(|((rule, says), names)| json!({"rule": rule, "says": says, "names": names}));
    let rules: Vec<_> = rules.collect();
    format!("{}\n", json!({"kept": kept, "otherwise": rules}))
}
