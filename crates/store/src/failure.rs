//! What an error of a database means.
//!
//! Called by both databases with each error. Always true: every error is of a kind with a fix, and its text is the
//! database's own.

use std::error::Error as _;

use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

use crate::error::{Error, Kind};

/// What an error of SQLite means.
pub(crate) fn of_sqlite(place: &str, error: &rusqlite::Error) -> Error {
    let Some(code) = error.sqlite_error_code() else {
        return Error::new(Kind::Other, place, error);
    };
    let kind = match code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => Kind::Locked,
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => Kind::ReadOnly,
        ErrorCode::DiskFull => Kind::Full,
        ErrorCode::SystemIoFailure => Kind::Disk,
        ErrorCode::DatabaseCorrupt => Kind::Corrupt,
        ErrorCode::NotADatabase => Kind::NotADatabase,
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => {
            Kind::BadRow
        }
        _ => Kind::Other,
    };
    Error::new(kind, place, error)
}

/// What an error of PostgreSQL means.
pub(crate) fn of_postgres(place: &str, error: &tokio_postgres::Error) -> Error {
    if let Some(answer) = error.as_db_error() {
        return Error::new(kind_of(answer.code()), place, answer.message());
    }
    let mut detail = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !detail.contains(&text) {
            detail = format!("{detail}: {text}");
        }
        source = inner.source();
    }
    Error::new(Kind::Away, place, detail)
}

fn kind_of(code: &SqlState) -> Kind {
    let refused = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
    ];
    let read_only = [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::INSUFFICIENT_PRIVILEGE];
    if refused.contains(code) {
        return Kind::Refused;
    }
    if read_only.contains(code) {
        return Kind::ReadOnly;
    }
    if *code == SqlState::DISK_FULL {
        return Kind::Full;
    }
    match code.code().get(..2) {
        // Of the data, or of a constraint: the same row fails each time.
        Some("22" | "23") => Kind::BadRow,
        // Of the connection, of what the server has, by an operator.
        Some("08" | "53" | "57") => Kind::Away,
        Some("XX") => Kind::Corrupt,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_postgres_are_kinds_with_a_fix() {
        let cases = [
            ("28P01", Kind::Refused),
            ("3D000", Kind::Refused),
            ("25006", Kind::ReadOnly),
            ("42501", Kind::ReadOnly),
            ("53100", Kind::Full),
            ("53300", Kind::Away),
            ("57P01", Kind::Away),
            ("22021", Kind::BadRow),
            ("23502", Kind::BadRow),
            ("XX001", Kind::Corrupt),
            ("42P01", Kind::Other),
        ];
        for (code, kind) in cases {
            assert_eq!(kind_of(&SqlState::from_code(code)), kind, "{code}");
        }
    }
}
