//! Statements about keys, for one database or the other.
//!
//! Made of [`super::Change`] and [`super::Find`], run in order within one transaction. Always true: a statement has no value in its
//! text.

use super::change::{Change, Changed, Find, Record, Tokens};
use super::marks;
use super::record::{Columns, seconds_of, to_json, value_of};
use super::table::{ColumnType, TenantTable};
use crate::table::Theirs;
use crate::value::Value;

/// What follows a statement that changes no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnNone {
    /// The next one.
    Go,
    /// The transaction is undone.
    Stop,
    /// So many are left out.
    Skip(usize),
    /// The next one; its rows do not count as changed.
    Aside,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// The place of its change.
    pub(crate) change: usize,
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
    pub(crate) on_none: OnNone,
}

/// Where the tables are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a file.
    File,
    /// On a server: in this schema, quoted, with these columns.
    Server { schema: String, columns: Columns },
}

/// Rows that name a budget, and are reset with it.
const OF_BUDGETS: [TenantTable; 5] = [
    TenantTable::Keys,
    TenantTable::Memberships,
    TenantTable::Organizations,
    TenantTable::EndUsers,
    TenantTable::Tags,
];

/// The statements of changes.
///
/// # Errors
/// The column that a database does not have, of a value that is not empty.
pub(crate) fn steps(place: &Place, changes: &[Change]) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for (change, what) in changes.iter().enumerate() {
        let mut add = |(sql, values): (String, Vec<Value>), on_none| {
            steps.push(Step { change, sql, values, on_none });
        };
        for note in marks::before(place, what) {
            add(note, OnNone::Aside);
        }
        match what {
            Change::Insert { table, row } => add(place.insert(*table, row)?, OnNone::Stop),
            Change::Update { table, key, row } => {
                if !row.is_empty() {
                    add(place.update(*table, key, row)?, OnNone::Go);
                }
            }
            Change::Delete { table, key } => {
                let mut values = Vec::new();
                let found = is_row(key, &mut values);
                add(
                    (format!("delete from {} where {found}", place.name(*table)), values),
                    OnNone::Go,
                );
            }
            Change::Reset { table, key, usd, borders } => {
                let note = marks::of_reset(place, (*table, key), *usd);
                add(place.reset(*table, key, (*usd, *borders)), OnNone::Skip(note.iter().count()));
                note.into_iter().for_each(|note| add(note, OnNone::Aside));
            }
            Change::ResetAll { table } => {
                let statements = marks::reset_all(place, *table);
                let last = statements.len().saturating_sub(1);
                for (at, sql) in statements.into_iter().enumerate() {
                    add((sql, Vec::new()), if at == last { OnNone::Go } else { OnNone::Aside });
                }
            }
            Change::ResetShared { budget, borders } => {
                let key = [("budget_id", budget.clone())];
                let named = OF_BUDGETS.into_iter().filter(|table| place.has(*table, "spend"));
                let named: Vec<TenantTable> = named.collect();
                let begins = place.reset(TenantTable::Budgets, &key, (0.0, *borders));
                // Each of them has a statement that notes it.
                add(begins, OnNone::Skip(named.len() * 2));
                for table in named {
                    let which = place.follows_budget(table);
                    if let Some(note) = marks::of_shared(place, table, (budget, &which)) {
                        add(note, OnNone::Aside);
                    }
                    let sql =
                        format!("update {} set \"spend\" = 0 where {which}", place.name(table));
                    add((sql, vec![Value::from(&**budget)]), OnNone::Go);
                }
            }
        }
    }
    if matches!(place, Place::File) {
        for step in &mut steps {
            step.sql = step.sql.replace('$', "?");
        }
    }
    Ok(steps)
}

/// The condition that a row is the one with that key.
fn is_row(key: &[(&'static str, Box<str>)], values: &mut Vec<Value>) -> String {
    let equal = |(name, text): &(&'static str, Box<str>)| {
        values.push(Value::from(&**text));
        format!("\"{name}\" = ${}", values.len())
    };
    key.iter().map(equal).collect::<Vec<_>>().join(" and ")
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

impl Place {
    pub(super) fn name(&self, table: TenantTable) -> String {
        if table.is_own() {
            return self.own(table.name());
        }
        match self {
            Place::File => format!("\"{}\"", table.name()),
            Place::Server { schema, .. } => format!("{schema}.\"{}\"", table.name()),
        }
    }

    /// Calls `with` with where the tables are, if they are on a server.
    pub(crate) async fn with_theirs<T>(
        &self,
        with: impl AsyncFnOnce(Option<Theirs<'_>>) -> T,
    ) -> T {
        match self {
            Place::File => with(None).await,
            Place::Server { schema, columns } => {
                let has = |table: &str, column: &str| columns.has_column(table, column);
                with(Some(Theirs { schema, has: &has })).await
            }
        }
    }

    /// Whether there is any table about keys.
    pub(crate) fn has_any(&self) -> bool {
        match self {
            Place::File => true,
            Place::Server { columns, .. } => columns.has_table(TenantTable::Keys),
        }
    }

    /// The name of a table of Hale's own.
    pub(super) fn own(&self, table: &str) -> String {
        match self {
            Place::File => table.to_owned(),
            Place::Server { .. } => format!("hale.{table}"),
        }
    }

    fn has(&self, table: TenantTable, column: &str) -> bool {
        table.column(column).is_some()
            && match self {
                Place::File => true,
                Place::Server { columns, .. } => table.is_own() || columns.has(table, column),
            }
    }

    /// Those columns of a row that the database has.
    fn present<'r>(
        &self,
        table: TenantTable,
        row: &'r Record,
    ) -> Result<Vec<(&'r str, ColumnType)>, String> {
        let mut present = Vec::new();
        for (name, value) in row {
            match table.column(name).filter(|_| self.has(table, name)) {
                Some(kind) => present.push((name.as_str(), kind)),
                None if is_empty(value) => {}
                None => return Err(format!("its table {} has no column {name}", table.name())),
            }
        }
        Ok(present)
    }

    fn insert(&self, table: TenantTable, row: &Record) -> Result<(String, Vec<Value>), String> {
        let present = self.present(table, row)?;
        let names: Vec<&str> = present.iter().map(|(name, _)| *name).collect();
        let (name, columns) = (self.name(table), quoted(&names));
        Ok(match self {
            Place::File => {
                let values =
                    present.iter().map(|(name, kind)| value_of(*kind, &row[*name])).collect();
                let places: Vec<String> = (1..=names.len()).map(|at| format!("${at}")).collect();
                let places = places.join(", ");
                (
                    format!(
                        "insert into {name} ({columns}) values ({places}) on conflict do nothing"
                    ),
                    values,
                )
            }
            Place::Server { .. } => {
                let sql = format!(
                    "insert into {name} ({columns}) select {columns} from jsonb_populate_record(null::{name}, $1::text::jsonb) \
                     on conflict do nothing"
                );
                (sql, vec![Value::from(&*to_json(table, row))])
            }
        })
    }

    fn update(
        &self,
        table: TenantTable,
        key: &[(&'static str, Box<str>)],
        row: &Record,
    ) -> Result<(String, Vec<Value>), String> {
        let present = self.present(table, row)?;
        let name = self.name(table);
        let mut values = Vec::new();
        let found = is_row(key, &mut values);
        let first = values.len() + 1;
        Ok(match self {
            Place::File => {
                let set = present.iter().enumerate();
                let set = set.map(|(at, (name, _))| format!("\"{name}\" = ${}", first + at));
                let set = set.collect::<Vec<_>>().join(", ");
                values.extend(present.iter().map(|(name, kind)| value_of(*kind, &row[*name])));
                (format!("update {name} set {set} where {found}"), values)
            }
            Place::Server { .. } => {
                let set = present.iter().map(|(name, _)| format!("\"{name}\" = made.\"{name}\""));
                let set = set.collect::<Vec<_>>().join(", ");
                values.push(Value::from(&*to_json(table, row)));
                let found = format!("kept.{}", found.replace(" and \"", " and kept.\""));
                let sql = format!(
                    "update {name} as kept set {set} from jsonb_populate_record(null::{name}, ${first}::text::jsonb) as made \
                     where {found}"
                );
                (sql, values)
            }
        })
    }

    fn reset(
        &self,
        table: TenantTable,
        key: &[(&'static str, Box<str>)],
        (usd, (was, next)): (f64, (i64, i64)),
    ) -> (String, Vec<Value>) {
        let mut values = vec![was.into(), next.into()];
        let found = is_row(key, &mut values);
        let mut set = format!("\"budget_reset_at\" = {}", self.time(2));
        if self.has(table, "spend") {
            values.push(Value::Real(usd));
            set.push_str(&format!(", \"spend\" = \"spend\" - ${}", values.len()));
        }
        let sql = format!(
            "update {} set {set} where {found} and \"budget_reset_at\" = {}",
            self.name(table),
            self.time(1)
        );
        (sql, values)
    }

    /// The condition that a row's spend begins anew with the budget `$1`.
    fn follows_budget(&self, table: TenantTable) -> String {
        let named = "\"budget_id\" = $1";
        match table {
            TenantTable::Keys => format!("{named} and \"budget_duration\" is null"),
            TenantTable::Memberships if self.has(TenantTable::Teams, "metadata") => {
                let teams = self.name(TenantTable::Teams);
                let named_by_team = "\"metadata\" ->> 'team_member_budget_id' = $1";
                let of_team = match self {
                    Place::File => format!("json_valid(\"metadata\") and {named_by_team}"),
                    Place::Server { .. } => named_by_team.to_owned(),
                };
                // Members without a budget of their own have that of their team.
                format!(
                    "({named} or \"budget_id\" is null and \"team_id\" in (select \"team_id\" from {teams} where {of_team}))"
                )
            }
            _ => named.to_owned(),
        }
    }

    /// A parameter of milliseconds, as a time.
    fn time(&self, parameter: usize) -> String {
        match self {
            Place::File => format!("${parameter}"),
            Place::Server { .. } => seconds_of(parameter),
        }
    }

    /// The query of rows: of a file all columns of the table, of a server one text of JSON a row. `None` if the server lacks the
    /// table or a column that is asked for: then there is no such row.
    pub(crate) fn query(&self, find: &Find) -> Option<(String, Vec<Value>)> {
        let table = find.table;
        if let Place::Server { columns, .. } = self
            && !table.is_own()
            && !columns.has_table(table)
        {
            return None;
        }
        let mut values = Vec::new();
        let mut conditions = Vec::new();
        for (column, texts) in &find.with {
            if !self.has(table, column) {
                return None;
            }
            // No text of a server has a zero.
            let texts: Vec<&str> =
                texts.iter().map(|text| &**text).filter(|text| self.takes(text)).collect();
            values.push(Value::from(&*serde_json::json!(texts).to_string()));
            let at = values.len();
            conditions.push(match self {
                Place::File => format!("\"{column}\" in (select value from json_each(${at}))"),
                Place::Server { .. } => {
                    format!("\"{column}\"::text in (select jsonb_array_elements_text(${at}::text::jsonb))")
                }
            });
        }
        if let Some((column, text)) = &find.in_any_case {
            if !self.has(table, column) || !self.takes(text) {
                return None;
            }
            values.push(Value::from(&**text));
            conditions.push(format!("lower(\"{column}\") = lower(${})", values.len()));
        }
        let mut sql = match self {
            Place::File => {
                let wanted = |(name, _): &(&'static str, ColumnType)| {
                    if find.without.contains(name) { "null".to_owned() } else { quoted(&[*name]) }
                };
                let names: Vec<String> = table.columns().iter().map(wanted).collect();
                format!("select {} from {}", names.join(", "), self.name(table))
            }
            Place::Server { .. } => {
                let without: String =
                    find.without.iter().map(|name| format!(" - '{name}'")).collect();
                format!("select (to_jsonb(kept){without})::text from {} as kept", self.name(table))
            }
        };
        if !conditions.is_empty() {
            sql.push_str(&format!(" where {}", conditions.join(" and ")));
        }
        if let Some(column) = find.sorted_by.filter(|column| self.has(table, column)) {
            let is_time = table.column(column) == Some(ColumnType::Time);
            let is_amount = table.column(column) == Some(ColumnType::Real);
            let order = if is_time || is_amount { " desc nulls last" } else { "" };
            sql.push_str(&format!(" order by \"{column}\"{order}"));
            // Pages have each row once, also where several have the same moment.
            if let Some((first, _)) = table.columns().first().filter(|(first, _)| first != &column)
            {
                let order = if is_time { " desc" } else { "" };
                sql.push_str(&format!(", \"{first}\"{order}"));
            }
        }
        sql.push_str(&format!(" limit {} offset {}", find.limit, find.skip));
        Some((if matches!(self, Place::File) { sql.replace('$', "?") } else { sql }, values))
    }

    fn takes(&self, text: &str) -> bool {
        matches!(self, Place::File) || !text.contains('\0')
    }

    /// The query of hashes of keys, sorted, at most `limit` of them.
    pub(crate) fn tokens(&self, which: &Tokens, limit: u32) -> (String, Vec<Value>) {
        let (condition, value) = match which {
            Tokens::After(token) => ("\"token\" > $1".to_owned(), Value::from(&**token)),
            Tokens::MadeSince(at) => (format!("\"created_at\" >= {}", self.time(1)), (*at).into()),
        };
        let name = self.name(TenantTable::Keys);
        let sql = format!(
            "select \"token\" from {name} where {condition} order by \"token\" limit {limit}"
        );
        (if matches!(self, Place::File) { sql.replace('$', "?") } else { sql }, vec![value])
    }

    /// How many rows there are, without limit.
    pub(crate) fn count(&self, find: &Find) -> Option<(String, Vec<Value>)> {
        let all = Find { limit: u32::MAX, skip: 0, sorted_by: None, ..find.clone() };
        let (sql, values) = self.query(&all)?;
        Some((format!("select count(*) from ({sql}) as found"), values))
    }
}

fn is_empty(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => true,
        serde_json::Value::Array(items) => items.is_empty(),
        serde_json::Value::Object(members) => members.is_empty(),
        serde_json::Value::Bool(is) => !is,
        serde_json::Value::Number(number) => number.as_f64() == Some(0.0),
        serde_json::Value::String(text) => text.is_empty(),
    }
}

/// Steps that are run one after another.
pub(crate) struct Run {
    steps: Vec<Step>,
    next: usize,
    rows: Vec<u64>,
}

impl Run {
    pub(crate) fn new(steps: Vec<Step>) -> Run {
        let changes = steps.last().map_or(0, |step| step.change + 1);
        Run { steps, next: 0, rows: vec![0; changes] }
    }

    /// The step to run now.
    pub(crate) fn next(&self) -> Option<&Step> {
        self.steps.get(self.next)
    }

    /// That step changed so many rows. What it means if nothing may be changed.
    pub(crate) fn changed(&mut self, rows: u64) -> Option<Changed> {
        let step = &self.steps[self.next];
        if step.on_none != OnNone::Aside {
            self.rows[step.change] += rows;
        }
        self.next += 1;
        match step.on_none {
            OnNone::Stop if rows == 0 => return Some(Changed::Exists(step.change)),
            OnNone::Skip(more) if rows == 0 => self.next += more,
            OnNone::Stop | OnNone::Skip(_) | OnNone::Go | OnNone::Aside => {}
        }
        None
    }

    /// All of them were run.
    pub(crate) fn done(self) -> Changed {
        Changed::Done(self.rows)
    }
}
