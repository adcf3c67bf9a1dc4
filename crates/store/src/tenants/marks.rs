//! What changes counters besides the ledger, noted with the change: resets, what an operator set, rows that begin anew.
//!
//! Called by [`super::step`] for each change. Always true: a counter is what it was before the ledger had it, plus the ledger's sums, plus
//! what is noted here; `hale spend audit` compares them.

use super::change::{Change, RowKey};
use super::step::Place;
use super::table::TenantTable;
use crate::value::Value;

/// What the marks call rows of a table; `None` if it has no counter.
const fn kind_of(table: TenantTable) -> Option<&'static str> {
    match table {
        TenantTable::Keys => Some("key"),
        TenantTable::Teams => Some("team"),
        TenantTable::Memberships => Some("member"),
        TenantTable::Users => Some("user"),
        TenantTable::Organizations => Some("organization"),
        TenantTable::EndUsers => Some("end_user"),
        TenantTable::Tags => Some("tag"),
        TenantTable::DeprecatedKeys
        | TenantTable::DeletedKeys
        | TenantTable::DeletedTeams
        | TenantTable::Budgets
        | TenantTable::TeamAliases
        | TenantTable::AccessGroups
        | TenantTable::AuditLog
        | TenantTable::SpendLogs
        | TenantTable::Models
        | TenantTable::Credentials
        | TenantTable::Settings
        | TenantTable::BudgetCounters => None,
    }
}

/// The columns of a table's key, in the order in which its marks name them.
pub(super) const fn id_columns(table: TenantTable) -> &'static [&'static str] {
    match table {
        TenantTable::Keys => &["token"],
        TenantTable::Teams => &["team_id"],
        TenantTable::Memberships => &["user_id", "team_id"],
        TenantTable::Organizations => &["organization_id"],
        TenantTable::Tags => &["tag_name"],
        _ => &["user_id"],
    }
}

fn id_of(table: TenantTable, key: &RowKey) -> Option<String> {
    let part = |name: &&str| key.iter().find(|(known, _)| known == name).map(|(_, text)| &**text);
    let parts: Option<Vec<&str>> = id_columns(table).iter().map(part).collect();
    parts.map(|parts| parts.join("/"))
}

/// The statements that note a change, before it is made.
pub(super) fn before(place: &Place, change: &Change) -> Vec<(String, Vec<Value>)> {
    let marks = place.own("spend_marks");
    let of = |table: TenantTable, key: &RowKey| kind_of(table).zip(id_of(table, key));
    match change {
        Change::Update { table, key, row } => {
            let set = row.get("spend").and_then(serde_json::Value::as_f64);
            let Some(((kind, id), set)) = of(*table, key).zip(set) else { return Vec::new() };
            let names = id_columns(*table);
            let parts = names.iter().filter_map(|name| key.iter().find(|(known, _)| known == name));
            let mut values = vec![Value::Real(set), kind.into(), Value::from(&*id)];
            let found: Vec<String> = parts
                .map(|(name, text)| {
                    values.push(Value::from(&**text));
                    format!("\"{name}\" = ${}", values.len())
                })
                .collect();
            let sql = format!(
                "update {marks} set adjusted = adjusted + $1 - coalesce((select \"spend\" from {} where {}), $1) \
                 where kind = $2 and id = $3",
                place.name(*table),
                found.join(" and ")
            );
            vec![(sql, values)]
        }
        // Its counter begins at what the row says.
        Change::Insert { table, row } => {
            let text = |name: &&'static str| Some((*name, Box::from(row.get(*name)?.as_str()?)));
            let key: Option<RowKey> = id_columns(*table).iter().map(text).collect();
            let Some((kind, id)) = key.and_then(|key| of(*table, &key)) else { return Vec::new() };
            let sql = format!("delete from {marks} where kind = $1 and id = $2");
            vec![(sql, vec![kind.into(), Value::from(&*id)])]
        }
        Change::Delete { .. }
        | Change::Reset { .. }
        | Change::ResetAll { .. }
        | Change::ResetShared { .. } => Vec::new(),
    }
}

/// The statement that notes that a budget of a row began anew, behind the statement that took `usd` off.
pub(super) fn of_reset(
    place: &Place,
    (table, key): (TenantTable, &RowKey),
    usd: f64,
) -> Option<(String, Vec<Value>)> {
    let (kind, id) = (kind_of(table)?, id_of(table, key)?);
    let marks = place.own("spend_marks");
    let sql = format!("update {marks} set adjusted = adjusted - $1 where kind = $2 and id = $3");
    Some((sql, vec![Value::Real(usd), kind.into(), Value::from(&*id)]))
}

/// The statement that notes that all rows of a table which meet a condition begin anew with a budget, `$1` of the condition, before they do.
pub(super) fn of_shared(
    place: &Place,
    table: TenantTable,
    (budget, which): (&str, &str),
) -> Option<(String, Vec<Value>)> {
    let kind = kind_of(table)?;
    let marks = place.own("spend_marks");
    let columns: Vec<String> = id_columns(table).iter().map(|name| format!("\"{name}\"")).collect();
    let id = columns.join(" || '/' || ");
    let rows = format!("{} where {which}", place.name(table));
    let sql = format!(
        "update {marks} set adjusted = adjusted - coalesce((select \"spend\" from {rows} and {id} = {marks}.id), 0) \
         where kind = '{kind}' and id in (select {id} from {rows})"
    );
    Some((sql, vec![budget.into()]))
}

/// The statements that reset the spend of all rows of a table, with what notes it: on a server one, so that nothing is spent between them.
pub(super) fn reset_all(place: &Place, table: TenantTable) -> Vec<String> {
    let Some(kind) = kind_of(table) else { return Vec::new() };
    let (marks, name) = (place.own("spend_marks"), place.name(table));
    let columns: Vec<String> = id_columns(table).iter().map(|name| format!("\"{name}\"")).collect();
    let id = columns.join(" || '/' || ");
    match place {
        Place::File => vec![
            format!(
                "update {marks} set adjusted = adjusted - coalesce((select \"spend\" from {name} where {id} = {marks}.id), 0) \
                 where kind = '{kind}' and id in (select {id} from {name} where \"spend\" <> 0)"
            ),
            format!("update {name} set \"spend\" = 0 where \"spend\" <> 0"),
        ],
        Place::Server { .. } => {
            let all = columns.join(", ");
            let same: Vec<String> =
                columns.iter().map(|name| format!("kept.{name} = seen.{name}")).collect();
            vec![format!(
                "with seen as (select {all}, {id} as id, \"spend\" from {name} where \"spend\" <> 0 for update), \
                 noted as (update {marks} as marks set adjusted = marks.adjusted - seen.\"spend\" from seen \
                 where marks.kind = '{kind}' and marks.id = seen.id) \
                 update {name} as kept set \"spend\" = 0 from seen where {}",
                same.join(" and ")
            )]
        }
    }
}
