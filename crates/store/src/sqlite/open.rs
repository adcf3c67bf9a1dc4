//! Opening a file of SQLite, and making its tables.
//!
//! Called by [`super::Sqlite::open`]. Always true: a file that is no store of ours is never written to; however many processes
//! and threads open a file at once, its tables are made once and none of them is refused.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::address::Purpose;
use crate::error::{Error, Kind};
use crate::failure::of_sqlite;
use crate::migrations::{self, Found};
use crate::spool;
use crate::sql::in_schema;

/// What every file of SQLite begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How long a statement waits for another process.
const BUSY: Duration = Duration::from_secs(5);
/// How long one pauses that asks again because SQLite did not wait.
const PAUSE: Duration = Duration::from_millis(2);

/// An open file.
pub(super) struct Open {
    pub(super) path: PathBuf,
    /// Which file it is, whatever is at its path.
    pub(super) identity: (u64, u64),
    pub(super) writer: Arc<Mutex<Connection>>,
    pub(super) reader: Arc<Mutex<Connection>>,
    /// Held while it serves.
    _lock: Option<File>,
}

/// Opens the file, and makes or updates its tables if `purpose` is to write.
pub(super) fn open(path: PathBuf, purpose: Purpose, now: i64) -> Result<Open, Error> {
    let place = path.display().to_string();
    look_at(&path, purpose, &place)?;
    let lock = match purpose {
        Purpose::Serve => Some(lock(&path, &place)?),
        Purpose::Change | Purpose::Look | Purpose::LookAtTheirs => None,
    };
    let writes = match purpose {
        Purpose::Serve | Purpose::Change => {
            OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_READ_WRITE
        }
        Purpose::Look | Purpose::LookAtTheirs => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    if writes.contains(OpenFlags::SQLITE_OPEN_CREATE) {
        // SQLite would let others on the machine read it, and the files beside it get what it has.
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(spool::MODE);
        // What does not work is told with its cause by SQLite.
        let _made: std::io::Result<File> = options.open(&path);
    }
    let failed = |error: rusqlite::Error| of_sqlite(&place, &error);
    let mut writer = connect(&path, writes).map_err(failed)?;
    match purpose {
        Purpose::Serve | Purpose::Change => {
            if writer.is_readonly("main").map_err(failed)? {
                return Err(Error::new(Kind::ReadOnly, &place, "the file cannot be written"));
            }
            migrate(&mut writer, &place, now)?;
        }
        Purpose::Look | Purpose::LookAtTheirs => {
            let found = found(&writer).map_err(failed)?.ok_or_else(|| no_tables(&place))?;
            drop(migrations::missing(found, &place)?);
        }
    }
    let reader = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    reader.pragma_update(None, "query_only", true).map_err(failed)?;
    let held = fs::metadata(&path).map_err(|error| Error::new(Kind::Lost, &place, error))?;
    Ok(Open {
        identity: (held.dev(), held.ino()),
        writer: Arc::new(Mutex::new(writer)),
        reader: Arc::new(Mutex::new(reader)),
        _lock: lock,
        path,
    })
}

fn no_tables(place: &str) -> Error {
    Error::new(Kind::Empty, place, "it has no tables of Hale")
}

/// Refuses what cannot be a store, before SQLite touches it.
fn look_at(path: &Path, purpose: Purpose, place: &str) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(Error::new(Kind::NotADatabase, place, "it is no regular file"))
        }
        Ok(found) if found.len() == 0 => Ok(()),
        Ok(_) => {
            let unread = |error| Error::new(Kind::ReadOnly, place, error);
            let mut first = [0; MAGIC.len()];
            let mut file = File::open(path).map_err(unread)?;
            match file.read_exact(&mut first) {
                Ok(()) if first == *MAGIC => Ok(()),
                Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                    Err(unread(error))
                }
                _ => Err(Error::new(Kind::NotADatabase, place, "the file is no SQLite database")),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match purpose {
            Purpose::Look | Purpose::LookAtTheirs => {
                Err(Error::new(Kind::Empty, place, "there is no such file"))
            }
            Purpose::Serve | Purpose::Change => can_make(path, place),
        },
        Err(error) => Err(Error::new(Kind::NoPlace, place, error)),
    }
}

/// Whether a file can be made at `path`.
fn can_make(path: &Path, place: &str) -> Result<(), Error> {
    let draft = path.with_extension(format!("db.{}", std::process::id()));
    match File::options().write(true).create_new(true).open(&draft) {
        Ok(_) => {
            // What cannot be removed is found by the next file of the same name.
            drop(fs::remove_file(&draft));
            Ok(())
        }
        // Another thread is finding out the same.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            Err(Error::new(Kind::Full, place, error))
        }
        Err(error) => Err(Error::new(Kind::NoPlace, place, error)),
    }
}

/// Takes the lock of the file at `path`.
pub(crate) fn lock(path: &Path, place: &str) -> Result<File, Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let file = File::options().write(true).create(true).truncate(false).open(&beside);
    let file = file.map_err(|error| Error::new(Kind::ReadOnly, place, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(Kind::Locked, place, "another process serves from it"))
        }
        Err(TryLockError::Error(error)) => Err(Error::new(Kind::Other, place, error)),
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", "normal")?;
    Ok(connection)
}

/// What schema there is; `None` if none.
fn found(connection: &Connection) -> rusqlite::Result<Option<Found>> {
    let known = "select count(*) from sqlite_schema where name = 'hale_schema'";
    let is_there: i64 = connection.query_row(known, [], |row| row.get(0))?;
    if is_there == 0 {
        return Ok(None);
    }
    let sql = in_schema(migrations::FOUND, "");
    connection.query_row(&sql, [], |row| {
        let [version, least] = [row.get(0)?, row.get(1)?].map(|number: Option<i64>| number);
        Ok(Some(Found { version: version.unwrap_or_default(), least: least.unwrap_or_default() }))
    })
}

/// How many tables and indexes there are, and whether one of them is ours, in one look: another process may be making them.
fn tables(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let sql = "select count(*), count(*) filter (where name = 'hale_schema') from sqlite_schema";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Sets what a file keeps for all who open it.
fn set_up(connection: &Connection, is_empty: bool) -> rusqlite::Result<()> {
    if is_empty {
        // Only a file without tables takes it.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
    }
    connection.pragma_update(None, "journal_mode", "wal")
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

fn migrate(connection: &mut Connection, place: &str, now: i64) -> Result<(), Error> {
    let failed = |error: rusqlite::Error| of_sqlite(place, &error);
    let (tables, ours) = tables(connection).map_err(failed)?;
    if ours == 0 && tables > 0 {
        let detail = "the file belongs to another program";
        return Err(Error::new(Kind::NotADatabase, place, detail));
    }
    let mut tries = BUSY.as_millis() / PAUSE.as_millis();
    loop {
        match set_up(connection, tables == 0) {
            // Here SQLite does not wait for another process that makes the same file.
            Err(error) if is_busy(&error) && tries > 0 => thread::sleep(PAUSE),
            ended => break ended.map_err(failed)?,
        }
        tries -= 1;
    }
    let change =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = found(&change).map_err(failed)?.unwrap_or_default();
    let missing: Vec<_> = migrations::missing(found, place)?.collect();
    if missing.is_empty() {
        return Ok(());
    }
    let schema = in_schema(migrations::SCHEMA_TABLE, "");
    change.execute_batch(&schema).map_err(failed)?;
    for one in missing {
        if let Some(sql) = one.file {
            change.execute_batch(&in_schema(sql, "")).map_err(failed)?;
        }
        let note = in_schema(migrations::NOTE, "");
        change.execute(&note, (one.version, one.least, now)).map_err(failed)?;
    }
    change.commit().map_err(failed)
}
