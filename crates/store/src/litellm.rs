//! The tables of LiteLLM that may be in the same database.
//!
//! Asked by [`crate::postgres`] before it makes a table. Always true: they are looked at, by the catalog alone, and
//! never changed; where there are none, or all that belong together, Hale's own are made beside them.

use crate::error::{Error, Kind};

/// What is missing of the tables in the schema `$1`, if there is any table of LiteLLM's: the least without which its keys
/// cannot be understood.
pub(crate) const MISSING: &str = r#"
with theirs as (
    select c.oid, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = $1 and c.relkind in ('r', 'p') and c.relname like 'LiteLLM\_%'
),
needed (place, table_name, column_name) as (values
    (1, 'LiteLLM_VerificationToken', null), (2, 'LiteLLM_VerificationToken', 'token'),
    (3, 'LiteLLM_VerificationToken', 'spend'), (4, 'LiteLLM_VerificationToken', 'models'),
    (5, 'LiteLLM_VerificationToken', 'metadata'), (6, 'LiteLLM_TeamTable', null),
    (7, 'LiteLLM_UserTable', null), (8, 'LiteLLM_BudgetTable', null)
)
select quote_ident(table_name) || coalesce('.' || column_name, '') from needed
where exists (select from theirs) and case when column_name is null
    then not exists (select from theirs where relname = table_name)
    else exists (select from theirs where relname = table_name) and not exists (
        select from theirs join pg_attribute a on a.attrelid = theirs.oid
        where relname = table_name and a.attname = column_name and not a.attisdropped
    ) end order by place"#;

/// Why a database that lacks these is not used.
pub(crate) fn incomplete(place: &str, schema: &str, missing: &[String]) -> Error {
    let detail = format!(
        "its schema {schema} has tables of LiteLLM and lacks {}; nothing was changed",
        missing.join(", ")
    );
    Error::new(Kind::Incomplete, place, detail)
}
