//! `hale spend`: compares what was spent with itself, prices it again, compares it with a provider's report.
//!
//! Called by `main`. Always true: it may run beside a gateway that serves from the same store; without `reprice` it only reads; the ledger is
//! never changed, a correction is a row of its own.

mod reconcile;
mod reprice;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hale_core::config::{self, Options};
use hale_core::settings::StoreSettings;
use hale_core::snapshot::Snapshot;
use hale_store::{Address, Audited, Database, Purpose};

use super::means::means;
use crate::console::{complain, print};
use crate::files::Files;
use crate::process::store_address;

/// Something does not agree.
const DIFFERS: u8 = 1;
/// It could not be looked at.
const UNREAD: u8 = 2;

/// Options of `hale spend`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SpendOptions {
    /// The config whose store it is [default: none, the store is beside this directory's config]
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<String>,
    /// The store itself: a path, or postgres://... [default: that of the config, else DATABASE_URL, else hale.db]
    #[arg(long, value_name = "URL", global = true)]
    database: Option<String>,
    #[command(subcommand)]
    command: SpendCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum SpendCommand {
    /// Compare calls, requests, days and counters; exit with 1 if they do not agree
    Audit,
    /// Price calls again, at the prices of now or by the lists of their days; what differs becomes a correction
    Reprice {
        /// The first day, 2026-11-28
        #[arg(long, value_name = "DAY")]
        from: String,
        /// The last day [default: today]
        #[arg(long, value_name = "DAY")]
        to: Option<String>,
        /// Print what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// A folder of price lists, 2026-11-28.json, ...: each holds from its day on [default: the list of this version]
        #[arg(long, value_name = "FOLDER")]
        prices: Option<PathBuf>,
    },
    /// Print the price list of this version, to keep it beside others under the day from which on it holds
    Prices,
    /// Compare the ledger with a provider's report of costs, by day and model; exit with 1 if they differ
    Reconcile {
        /// The report: JSON of OpenAI's /v1/organization/costs or of Anthropic's /v1/organizations/cost_report, all pages in order
        #[arg(required = true)]
        report: Vec<PathBuf>,
        /// What may differ, percent
        #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
        tolerance: f64,
    },
}

/// A text to print, and whether all agrees.
type Done = Result<(String, bool), String>;

/// Does what `options` say.
pub(crate) fn run(options: &SpendOptions) -> ExitCode {
    let done = execute(options);
    match done {
        Ok((text, agrees)) => {
            print(&text);
            if agrees { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) }
        }
        Err(problem) => {
            complain(&problem);
            ExitCode::from(UNREAD)
        }
    }
}

fn execute(options: &SpendOptions) -> Done {
    if matches!(options.command, SpendCommand::Prices) {
        return Ok((format!("{}\n", hale_core::prices::text()), true));
    }
    let snapshot = options.config.as_deref().map(snapshot).transpose()?;
    let address = address(options, snapshot.as_ref())?;
    let (runtime, means) = means()?;
    let purpose = match &options.command {
        SpendCommand::Reprice { dry_run: false, .. } => Purpose::Change,
        SpendCommand::Audit
        | SpendCommand::Prices
        | SpendCommand::Reprice { .. }
        | SpendCommand::Reconcile { .. } => Purpose::Look,
    };
    let done = runtime.block_on(async {
        let opened = Database::open(&address, purpose, &means).await;
        let database = opened.map_err(|error| error.to_string())?;
        match &options.command {
            SpendCommand::Audit => {
                let audited =
                    hale_store::audit(&database).await.map_err(|error| error.to_string())?;
                Ok((told(&audited), audited.differences.is_empty()))
            }
            SpendCommand::Prices => Ok((String::new(), true)),
            SpendCommand::Reprice { from, to, dry_run, prices } => {
                let lists = prices.as_deref().map(reprice::lists).transpose()?;
                let asked = reprice::Asked::of((from, to.as_deref()), lists, *dry_run)?;
                reprice::run(&database, snapshot.as_ref(), &asked).await
            }
            SpendCommand::Reconcile { report, tolerance } => {
                let read = |path: &PathBuf| {
                    std::fs::read_to_string(path)
                        .map_err(|error| format!("{} cannot be read: {error}", path.display()))
                };
                let pages: Vec<String> = report.iter().map(read).collect::<Result<_, _>>()?;
                reconcile::run(&database, &pages, *tolerance).await
            }
        }
    });
    runtime.shutdown_background();
    done
}

fn snapshot(path: &str) -> Result<Snapshot, String> {
    let loaded = config::load(&Files::on_disk(), path, Options::default(), None);
    loaded.snapshot.ok_or_else(|| {
        format!(
            "{path} has errors; print them: hale check {path}, or name the store: --database URL"
        )
    })
}

/// Which store is meant.
fn address(options: &SpendOptions, snapshot: Option<&Snapshot>) -> Result<Address, String> {
    if let Some(database) = &options.database {
        return Address::parse(database).map_err(|error| error.to_string());
    }
    match (snapshot, &options.config) {
        (Some(snapshot), Some(path)) => store_address(&snapshot.gateway.store, path),
        _ => {
            let url = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
            let database_url = url.map(|url| hale_core::secret::Secret::new(&url));
            store_address(&StoreSettings { database_url, ..StoreSettings::default() }, "")
        }
    }
}

fn told(audited: &Audited) -> String {
    let usd = hale_core::money::Money::of_parts(audited.nano);
    let mut text = format!(
        "{} days since {}: {} calls, {usd} USD, {} counters\n",
        audited.days,
        if audited.from.is_empty() { "the beginning" } else { &audited.from },
        audited.calls,
        audited.counters
    );
    if audited.shared {
        text.push_str("others write into the same tables: counters are not compared, and days may have more\n");
    }
    for difference in &audited.differences {
        text.push_str(&format!("differs: {difference}\n"));
    }
    if audited.differences.is_empty() {
        text.push_str("calls, requests, days and counters agree\n");
    }
    text
}
