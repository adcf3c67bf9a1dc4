//! The schema: its versions, and what a database lacks of them.
//!
//! Asked by both databases when one is opened. Always true: a published migration never changes; each says which
//! schema a binary must know to write beside it, so that an older binary can tell an addition from a change.

use crate::error::{Error, Kind};

/// The newest schema that this binary knows.
pub const VERSION: i64 = 8;

/// One step of the schema.
pub(crate) struct Migration {
    /// The schema that it makes.
    pub(crate) version: i64,
    /// The oldest schema whose binaries can write to it. Lower than `version` if it only adds.
    pub(crate) least: i64,
    /// SQL of a file; a file only counts what concerns none. `{hale}` stands before each name.
    pub(crate) file: Option<&'static str>,
    /// SQL of a server.
    pub(crate) server: Option<&'static str>,
}

const fn both(version: i64, least: i64, sql: &'static str) -> Migration {
    Migration { version, least, file: Some(sql), server: Some(sql) }
}

/// The table of migrations itself.
pub(crate) const SCHEMA_TABLE: &str = "create table if not exists {hale}hale_schema (
    version bigint primary key, least bigint not null, applied_at bigint not null);";
/// The newest version, and the oldest binary that may write.
pub(crate) const FOUND: &str = "select max(version), max(least) from {hale}hale_schema";
/// Notes a migration.
pub(crate) const NOTE: &str =
    "insert into {hale}hale_schema (version, least, applied_at) values ($1, $2, $3)";

/// All of them, in order.
pub(crate) const MIGRATIONS: &[Migration] = &[
    both(1, 1, include_str!("migrations/0001_first.sql")),
    both(2, 1, include_str!("migrations/0002_incidents.sql")),
    Migration {
        version: 3,
        least: 1,
        file: None,
        server: Some(include_str!("migrations/0003_fleet.sql")),
    },
    Migration {
        version: 4,
        least: 1,
        file: Some(include_str!("migrations/0004_keys_sqlite.sql")),
        // It depends on what else is there.
        server: None,
    },
    Migration {
        version: 5,
        least: 1,
        file: Some(concat!(
            include_str!("migrations/0005_ledger.sql"),
            include_str!("migrations/0005_spend_sqlite.sql")
        )),
        server: Some(include_str!("migrations/0005_ledger.sql")),
    },
    both(6, 1, include_str!("migrations/0006_responses.sql")),
    both(7, 1, include_str!("migrations/0007_counters.sql")),
    Migration {
        version: 8,
        least: 1,
        file: Some(include_str!("migrations/0008_models_sqlite.sql")),
        // It depends on what else is there.
        server: None,
    },
];

/// The tables about keys of a server that has none of LiteLLM's.
pub(crate) const KEYS_ON_A_SERVER: &str = include_str!("migrations/0004_keys_postgres.sql");
/// Whether they are to be made, for the schema `$1` in which LiteLLM's would be.
pub(crate) const LACKS_KEYS: &str = "select count(*) = 0 from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ($1, 'hale') and c.relkind in ('r', 'p') and c.relname = 'LiteLLM_VerificationToken'";

/// The tables about spend beside Hale's own tables about keys.
pub(crate) const SPEND_ON_A_SERVER: &str = include_str!("migrations/0005_spend_postgres.sql");
/// Whether they are to be made: the tables about keys are Hale's own, and these are not there.
pub(crate) const LACKS_SPEND: &str = "select count(*) filter (where c.relname = 'LiteLLM_VerificationToken') = 1 and \
    count(*) filter (where c.relname = 'LiteLLM_SpendLogs') = 0 from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'hale' and c.relkind in ('r', 'p')";

/// The tables of models that are made at run time, beside Hale's own tables about keys.
pub(crate) const MODELS_ON_A_SERVER: &str = include_str!("migrations/0008_models_postgres.sql");
/// Whether they are to be made: the tables about keys are Hale's own, and these are not there.
pub(crate) const LACKS_MODELS: &str = "select count(*) filter (where c.relname = 'LiteLLM_VerificationToken') = 1 and \
    count(*) filter (where c.relname = 'LiteLLM_ProxyModelTable') = 0 from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'hale' and c.relkind in ('r', 'p')";

/// What is found in `hale_schema`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The newest version; 0 is none.
    pub(crate) version: i64,
    /// The oldest schema whose binaries can write.
    pub(crate) least: i64,
}

/// The migrations that a database lacks, or why this binary cannot use it.
pub(crate) fn missing(
    found: Found,
    place: &str,
) -> Result<impl Iterator<Item = &'static Migration> + use<>, Error> {
    if found.least > VERSION {
        let detail = format!(
            "its schema is version {} and this Hale knows versions up to {VERSION}",
            found.version
        );
        return Err(Error::new(Kind::Newer, place, detail));
    }
    Ok(MIGRATIONS.iter().filter(move |migration| migration.version > found.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_binary_takes_additions_and_refuses_changes() {
        let added = Found { version: VERSION + 3, least: VERSION };
        assert_eq!(missing(added, "x").unwrap().count(), 0);
        let changed = Found { version: VERSION + 3, least: VERSION + 1 };
        let Err(error) = missing(changed, "x") else { panic!("a changed schema is refused") };
        assert_eq!(error.kind, Kind::Newer);
        let words = [format!("version {}", VERSION + 3), format!("up to {VERSION}")];
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
        assert_eq!(missing(Found::default(), "x").unwrap().count(), MIGRATIONS.len());
    }

    #[test]
    fn versions_rise_by_one_and_end_at_the_newest() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|one| one.version).collect();
        assert_eq!(versions, (1..=VERSION).collect::<Vec<_>>());
        assert!(MIGRATIONS.iter().all(|one| one.least <= one.version));
    }
}
