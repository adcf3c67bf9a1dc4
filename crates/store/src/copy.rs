//! Whole stores: out to a file of JSON lines, in from one, and copies of a SQLite file.
//!
//! Called by `hale db`. Always true: a file of either database can be read into the other; what is there is never
//! overwritten, but by a restore, which keeps what was there beside it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::address::{Address, Purpose};
use crate::database::{Database, Means};
use crate::error::{Error, Kind};
use crate::migrations::VERSION;
use crate::sqlite;
use crate::table::Table;
use crate::value::{Row, Value};

/// Rows of one read, and of one write.
const AT_ONCE: usize = 1_000;
/// The longest line of an export, bytes.
const LINE_MAX: u64 = 16 << 20;

/// A line of an export: the first says what it is, the others are rows.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Head { hale_export: i64 },
    Row { table: Table, row: serde_json::Map<String, serde_json::Value> },
}

/// Rows of each table that were copied.
pub type Copied = Vec<(Table, u64)>;

fn of_file(path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull => Kind::Full,
        _ => Kind::Other,
    };
    Error { kind, place: path.display().to_string().into(), detail: error.to_string().into() }
}

/// Writes all rows to `path`, which must not exist.
///
/// # Errors
/// Why not.
pub async fn export(database: &Database, path: &Path) -> Result<Copied, Error> {
    let failed = |error: io::Error| of_file(path, &error);
    let mut options = File::options();
    let file = options.write(true).create_new(true);
    // Names of models and messages of providers are nothing for others on the machine.
    let file = std::os::unix::fs::OpenOptionsExt::mode(file, 0o600).open(path).map_err(failed)?;
    let mut to = BufWriter::new(file);
    let mut write = |line: &Line| -> io::Result<()> {
        serde_json::to_writer(&mut to, line)?;
        to.write_all(b"\n")
    };
    write(&Line::Head { hale_export: VERSION }).map_err(failed)?;
    let mut copied = Copied::new();
    for table in Table::ALL {
        let mut count = 0;
        loop {
            let rows = database.page(table, count, AT_ONCE as u64).await?;
            let is_last = rows.len() < AT_ONCE;
            count += rows.len() as u64;
            for row in rows {
                let names = table.names().into_iter().map(str::to_owned);
                let values = row.into_iter().map(|value| serde_json::json!(value));
                let row = names.zip(values).collect();
                write(&Line::Row { table, row }).map_err(failed)?;
            }
            if is_last {
                break;
            }
        }
        copied.push((table, count));
    }
    to.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
    Ok(copied)
}

/// Adds the rows of an export; those whose key is there stay as they are. Returns how many were added.
///
/// # Errors
/// The line that cannot be read, or why the database does not take it. What was added before stays.
pub async fn import(database: &Database, path: &Path) -> Result<Copied, Error> {
    let failed = |error: io::Error| of_file(path, &error);
    let mut from = BufReader::new(File::open(path).map_err(failed)?);
    let mut copied: Copied = Table::ALL.map(|table| (table, 0)).to_vec();
    let mut waiting: Vec<(Table, Vec<Row>)> = Table::ALL.map(|table| (table, Vec::new())).to_vec();
    let mut number = 0_u64;
    loop {
        let mut line = Vec::new();
        let length =
            io::Read::take(&mut from, LINE_MAX).read_until(b'\n', &mut line).map_err(failed)?;
        number += 1;
        let is_end = length == 0;
        if !is_end {
            let wrong = |why: String| {
                let place = format!("{}:{number}", path.display());
                let fix = "name a file that hale db export wrote";
                Error {
                    kind: Kind::Other,
                    place: place.into(),
                    detail: format!("{why}; {fix}").into(),
                }
            };
            let line =
                serde_json::from_slice::<Line>(&line).map_err(|error| wrong(error.to_string()))?;
            match line {
                Line::Head { hale_export } if number == 1 && hale_export <= VERSION => {}
                Line::Head { hale_export } => {
                    return Err(wrong(format!("an export of version {hale_export} is not known")));
                }
                Line::Row { .. } if number == 1 => return Err(wrong("it is no export".to_owned())),
                Line::Row { table, row } => {
                    let of_table = waiting.iter_mut().find(|(known, _)| *known == table);
                    if let Some((_, rows)) = of_table {
                        rows.push(in_order(table, &row));
                    }
                }
            }
        } else if number == 1 {
            return Err(of_file(
                path,
                &io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty"),
            ));
        }
        for (table, rows) in &mut waiting {
            if rows.len() >= AT_ONCE || is_end && !rows.is_empty() {
                let added = database.add(*table, std::mem::take(rows)).await?;
                let count = copied.iter_mut().find(|(known, _)| known == table);
                if let Some((_, count)) = count {
                    *count += added;
                }
            }
        }
        if is_end {
            return Ok(copied);
        }
    }
}

/// The values by column: an unknown name is left out, a missing one is none.
fn in_order(table: Table, row: &serde_json::Map<String, serde_json::Value>) -> Row {
    let value = |name: &&str| match row.get(*name) {
        Some(serde_json::Value::Number(number)) => match number.as_i64() {
            Some(whole) => Value::Integer(whole),
            None => number.as_f64().into(),
        },
        Some(serde_json::Value::String(text)) => Value::from(&**text),
        Some(serde_json::Value::Bool(is)) => (*is).into(),
        Some(
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_),
        )
        | None => Value::Null,
    };
    table.names().iter().map(value).collect()
}

fn only_files(address: &Address) -> Result<&Path, Error> {
    match address {
        Address::File(path) => Ok(path),
        Address::Server(server) => Err(Error {
            kind: Kind::Address,
            place: server.to_string().into(),
            detail: "only files are copied; of a server: hale db export, or pg_dump --schema=hale"
                .into(),
        }),
    }
}

/// Copies the file at `address` to `path`, which must not exist, also while a process serves from it.
///
/// # Errors
/// Why not.
pub async fn backup(address: &Address, path: &Path, means: &Means) -> Result<(), Error> {
    only_files(address)?;
    if path.exists() {
        return Err(of_file(path, &io::ErrorKind::AlreadyExists.into()));
    }
    let database = Database::open(address, Purpose::Look, means).await?;
    match database.file() {
        Some(file) => file.backup(path).await,
        None => Ok(()),
    }
}

/// Puts the backup at `path` in the place of the file at `address`, which no process may serve from; what was there is kept
/// under the name that is returned.
///
/// # Errors
/// Why not; then nothing has changed.
pub async fn restore(
    address: &Address,
    path: &Path,
    means: &Means,
) -> Result<Option<PathBuf>, Error> {
    let target = only_files(address)?;
    let place = target.display().to_string();
    // Whether it can be used is known before anything moves.
    drop(Database::open(&Address::File(path.to_owned()), Purpose::Look, means).await?);
    let _held = sqlite::open::lock(target, &place)?;
    let failed = |error: io::Error| of_file(target, &error);
    let with = |end: &str| {
        let mut name = target.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let draft = with(".new");
    fs::copy(path, &draft).map_err(failed)?;
    let before = with(&format!(".before-{}", means.unix_ms()));
    let moved = match fs::rename(target, &before) {
        Ok(()) => Some(before.clone()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    // The log of the file that was there belongs to it alone.
    for end in ["-wal", "-shm"] {
        let mut name = before.as_os_str().to_owned();
        name.push(end);
        match fs::rename(with(end), name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(&draft, target).map_err(failed)?;
    Ok(moved)
}
