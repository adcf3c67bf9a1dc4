//! Why the store does not work, in words for an operator.
//!
//! Made by both databases, the spool and the commands. Always true: it names the place without a password, what
//! is wrong with it, and the fix.

use std::fmt;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The address cannot be one.
    Address,
    /// There is no file, and none can be made in its directory.
    NoPlace,
    /// The server cannot be reached, or does not answer.
    Away,
    /// The server refuses the user, the password or the database's name.
    Refused,
    /// Another process holds the file.
    Locked,
    /// The file was open and is there no longer.
    Lost,
    /// The file is something else.
    NotADatabase,
    /// The file is damaged.
    Corrupt,
    /// A newer Hale changed the schema.
    Newer,
    /// It has some of LiteLLM's tables and lacks others that belong to them.
    Incomplete,
    /// It has no tables yet, and this command makes none.
    Empty,
    /// It can be read and not written.
    ReadOnly,
    /// Its disk is full.
    Full,
    /// Its disk cannot be written or read.
    Disk,
    /// The database refuses what is in a row.
    BadRow,
    /// Anything else.
    Other,
}

impl Kind {
    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Address => "address",
            Kind::NoPlace => "no_place",
            Kind::Away => "away",
            Kind::Refused => "refused",
            Kind::Locked => "locked",
            Kind::Lost => "lost",
            Kind::NotADatabase => "not_a_database",
            Kind::Corrupt => "corrupt",
            Kind::Newer => "newer",
            Kind::Incomplete => "incomplete",
            Kind::Empty => "empty",
            Kind::ReadOnly => "read_only",
            Kind::Full => "full",
            Kind::Disk => "disk",
            Kind::BadRow => "bad_row",
            Kind::Other => "other",
        }
    }

    /// What an operator can do about it.
    #[must_use]
    pub const fn fix(self) -> &'static str {
        match self {
            Kind::Address => "write postgres://USER:PASSWORD@HOST:PORT/NAME, or the path of a file",
            Kind::NoPlace => {
                "name a directory that can be written in HALE_DATA_DIR, or set DATABASE_URL"
            }
            Kind::Away => {
                "start the server, or correct the host and port of the database's address"
            }
            Kind::Refused => {
                "correct the user, the password and the name in the database's address"
            }
            Kind::Locked => "stop the other process, or give each its own HALE_DATA_DIR",
            Kind::Lost => "put the file back; a new one is made in its place otherwise",
            Kind::NotADatabase => "move the file away, or name another directory in HALE_DATA_DIR",
            Kind::Corrupt => {
                "move the file away, or put a backup in its place: hale db restore FILE"
            }
            Kind::Newer => "run the newer Hale, or restore a backup that was made before it",
            Kind::Incomplete => {
                "let LiteLLM finish its migrations or restore what is missing, or name another database"
            }
            Kind::Empty => "make its tables: hale db migrate",
            Kind::ReadOnly => "make it writable for this process, or name another place",
            Kind::Full => "free space on its disk",
            Kind::Disk => {
                "look at its disk: its space, its limits, and what the system's log says of it"
            }
            Kind::BadRow => "report this",
            Kind::Other => "read the database's own log",
        }
    }
}

/// Why the store does not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// What is wrong.
    pub kind: Kind,
    /// Where: a path, or an address without its password.
    pub place: Box<str>,
    /// What the database says.
    pub detail: Box<str>,
}

impl Error {
    /// An error of that kind at `place`.
    #[must_use]
    pub fn new(kind: Kind, place: &str, detail: impl fmt::Display) -> Error {
        let detail: String = detail
            .to_string()
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .take(500)
            .collect();
        Error { kind, place: place.into(), detail: detail.trim().into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "database {}: {}; {}", self.place, self.detail, self.kind.fix())
    }
}
