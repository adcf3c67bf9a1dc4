//! `hale db`: looks at the store, makes its tables, and copies it.
//!
//! Called by `main`. Always true: it may run beside a gateway that serves from the same store; nothing is overwritten; an error
//! names the place, without its password, and the fix.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hale_core::config::{self, Options};
use hale_core::settings::StoreSettings;
use hale_store::copy::{self, Copied};
use hale_store::{Address, Database, Error, Means, Purpose, Table, VERSION};

use super::means::means;
use crate::console::{complain, print};
use crate::files::Files;
use crate::process::store_address;

/// Options of `hale db`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DbOptions {
    /// The config whose store it is [default: none, the store is beside this directory's config]
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<String>,
    /// The store itself: a path, or postgres://... [default: that of the config, else DATABASE_URL, else hale.db]
    #[arg(long, value_name = "URL", global = true)]
    database: Option<String>,
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum DbCommand {
    /// Print address, schema, size and the number of rows
    Status,
    /// Make the tables, or bring them up to date
    Migrate,
    /// Write all rows to a new file of JSON lines
    Export {
        /// The new file
        file: PathBuf,
    },
    /// Add the rows of such a file; rows that are there stay
    Import {
        /// The file
        file: PathBuf,
    },
    /// Copy a SQLite file, also while a gateway serves from it
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Put a backup in the place of a SQLite file; what was there is kept beside it
    Restore {
        /// The backup
        file: PathBuf,
    },
}

/// Does what `options` say.
pub(crate) fn run(options: &DbOptions) -> ExitCode {
    let address = match address(options) {
        Ok(address) => address,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(1);
        }
    };
    let (runtime, means) = match means() {
        Ok(made) => made,
        Err(error) => {
            complain(&error);
            return ExitCode::from(1);
        }
    };
    let done = runtime.block_on(execute(&options.command, &address, &means));
    runtime.shutdown_background();
    match done {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(1)
        }
    }
}

/// Which store is meant.
fn address(options: &DbOptions) -> Result<Address, String> {
    if let Some(database) = &options.database {
        return Address::parse(database).map_err(|error| error.to_string());
    }
    let Some(path) = &options.config else {
        let url = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
        let settings = StoreSettings {
            database_url: url.map(|url| hale_core::secret::Secret::new(&url)),
            ..StoreSettings::default()
        };
        return store_address(&settings, "");
    };
    let loaded = config::load(&Files::on_disk(), path, Options::default(), None);
    let snapshot = loaded.snapshot.ok_or_else(|| {
        format!(
            "{path} has errors; print them: hale check {path}, or name the store: --database URL"
        )
    })?;
    store_address(&snapshot.gateway.store, path)
}

async fn execute(command: &DbCommand, address: &Address, means: &Means) -> Result<String, Error> {
    match command {
        DbCommand::Status => status(address, means).await,
        DbCommand::Migrate => {
            let database = Database::open(address, Purpose::Change, means).await?;
            let version = database.version().await?;
            Ok(format!("{address}: the schema is version {version}\n"))
        }
        DbCommand::Export { file } => {
            let database = Database::open(address, Purpose::Look, means).await?;
            let copied = copy::export(&database, file).await?;
            Ok(told(&copied, &format!("written to {}", file.display())))
        }
        DbCommand::Import { file } => {
            let database = Database::open(address, Purpose::Change, means).await?;
            let copied = copy::import(&database, file).await?;
            Ok(told(&copied, &format!("added to {address}")))
        }
        DbCommand::Backup { file } => {
            copy::backup(address, file, means).await?;
            Ok(format!("{address} is copied to {}\n", file.display()))
        }
        DbCommand::Restore { file } => {
            let before = copy::restore(address, file, means).await?;
            let kept = before.as_deref().map(Path::display);
            let kept = kept.map_or(String::new(), |path| format!("; what was there is {path}"));
            Ok(format!("{address} is the backup {}{kept}\n", file.display()))
        }
    }
}

async fn status(address: &Address, means: &Means) -> Result<String, Error> {
    let database = Database::open(address, Purpose::Look, means).await?;
    let version = database.version().await?;
    let mib = database.bytes().await? >> 20;
    let mut text = format!(
        "database  {address}\nschema    version {version}; this Hale knows versions up to {VERSION}\nsize      {mib} MiB\n"
    );
    for table in Table::ALL {
        let count = database.count(table).await?;
        text.push_str(&format!("{:<18}{count:>10} rows\n", table.name()));
    }
    Ok(text)
}

/// What was copied, and where to.
fn told(copied: &Copied, end: &str) -> String {
    let mut text = String::new();
    for (table, count) in copied {
        text.push_str(&format!("{:<18}{count:>10} rows\n", table.name()));
    }
    format!("{text}{end}\n")
}
