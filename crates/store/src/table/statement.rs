//! The statements that write rows, for one database or the other.
//!
//! Part of [`super`]. Always true: no text of SQL has a value in it; what a server's table has not is left out.

use std::fmt::Write as _;

use super::{OnConflict, Table, Theirs, Type};

/// Where keys are that were replaced, and what replaced them: what calls in flight spend of them is the new key's.
const REPLACED_KEYS: &str = "LiteLLM_DeprecatedVerificationToken";
const REPLACED: &str = "select \"active_token_id\" from {place} where \"token\" = {token}";

/// Where teams are.
const TEAMS: &str = "LiteLLM_TeamTable";

/// Rows for keys, those of keys that were replaced as rows of the new ones.
fn current_keys(given: &str, theirs: Theirs<'_>, keys: &str) -> String {
    let place = format!("{}.{}", theirs.schema, quoted(REPLACED_KEYS));
    let active = REPLACED.replace("{place}", &place).replace("{token}", "given.c0");
    format!(
        "(select case when exists (select from {keys} where \"token\" = given.c0) then given.c0 \
         else coalesce(({active} limit 1), given.c0) end as c0, sum(given.c1) as c1, max(given.c2) as c2 \
         from {given} group by 1) as given"
    )
}

impl Table {
    /// The statement that adds one row to SQLite: a parameter for each column.
    pub(crate) fn insert_one(self, conflict: OnConflict) -> String {
        let columns: Vec<usize> = (0..self.columns().len()).collect();
        let place = |at: usize| format!("?{}", at + 1);
        let name = quoted(self.name());
        if conflict == OnConflict::Raise {
            let (key, others) = self.split(&columns);
            let equal = |at: &usize| format!("{} = {}", quoted(self.columns()[*at].0), place(*at));
            let found: Vec<String> = key.iter().map(equal).collect();
            let mut found = found.join(" and ");
            if self == Table::OfKey {
                let active =
                    REPLACED.replace("{place}", &quoted(REPLACED_KEYS)).replace("{token}", "?1");
                found = format!("({found} or \"token\" in ({active}))");
            }
            let set = self.raise(others, place, |_| true);
            return format!("update {name} set {set} where {found}");
        }
        let places: Vec<String> = columns.iter().map(|at| place(*at)).collect();
        let names = self.list(&columns);
        let tail = self.tail(conflict, &columns);
        format!("insert into {name} as kept ({names}) values ({}){tail}", places.join(", "))
    }

    /// The statement that adds many rows to PostgreSQL: an array for each column. `None` if the server has no such table.
    pub(crate) fn insert_many(
        self,
        conflict: OnConflict,
        theirs: Option<Theirs<'_>>,
    ) -> Option<String> {
        let all = self.columns();
        let has = |name: &str| match theirs.filter(|_| self.is_theirs()) {
            Some(theirs) => (theirs.has)(self.name(), name),
            None => true,
        };
        let columns: Vec<usize> = (0..all.len()).filter(|at| has(all[*at].0)).collect();
        let (key, others) = self.split(&columns);
        if key.is_empty() || others.is_empty() {
            return None;
        }
        let name = match theirs.filter(|_| self.is_theirs()) {
            Some(theirs) => format!("{}.{}", theirs.schema, quoted(self.name())),
            None => format!("hale.{}", quoted(self.name())),
        };
        let arrays: Vec<String> = all
            .iter()
            .enumerate()
            .map(|(at, (_, kind))| format!("${}::{}[]", at + 1, kind.postgres()))
            .collect();
        let aliases: Vec<String> = (0..all.len()).map(|at| format!("c{at}")).collect();
        let given = format!("unnest({}) as given({})", arrays.join(", "), aliases.join(", "));
        let value = |at: usize| match all[at].1 {
            Type::Time => format!("timestamp 'epoch' + given.c{at} * interval '1 millisecond'"),
            Type::Json => format!("given.c{at}::jsonb"),
            Type::Integer | Type::Real | Type::Text => format!("given.c{at}"),
        };
        if conflict == OnConflict::Raise {
            let equal = |at: &usize| format!("kept.{} = given.c{at}", quoted(all[*at].0));
            let found: Vec<String> = key.iter().map(equal).collect();
            let given = match theirs.filter(|theirs| {
                self == Table::OfKey && (theirs.has)(REPLACED_KEYS, "active_token_id")
            }) {
                Some(theirs) => current_keys(&given, theirs, &name),
                None => given,
            };
            let set = self.raise(others, value, has);
            return Some(format!(
                "update {name} as kept set {set} from {given} where {}",
                found.join(" and ")
            ));
        }
        let values: Vec<String> = columns.iter().map(|at| value(*at)).collect();
        let (names, tail) = (self.list(&columns), self.tail(conflict, &columns));
        Some(format!(
            "insert into {name} as kept ({names}) select {} from {given}{tail}",
            values.join(", ")
        ))
    }

    /// The statement that adds, in SQLite, the row of a member whose team is there: a member of a roster has none before its first spend.
    pub(crate) fn enrol_one(self) -> Option<String> {
        let (name, teams) = (quoted(self.name()), quoted(TEAMS));
        let sql = format!(
            "insert into {name} (\"user_id\", \"team_id\") select ?1, \"team_id\" from {teams} where \"team_id\" = ?2 \
             on conflict do nothing"
        );
        (self == Table::OfMember).then_some(sql)
    }

    /// The same for many members in PostgreSQL: an array for each column of the key.
    pub(crate) fn enrol_many(self, theirs: Option<Theirs<'_>>) -> Option<String> {
        let theirs = theirs.filter(|theirs| {
            self == Table::OfMember
                && (theirs.has)(TEAMS, "team_id")
                && (theirs.has)(self.name(), "team_id")
        })?;
        let (name, teams) = (quoted(self.name()), quoted(TEAMS));
        let schema = theirs.schema;
        Some(format!(
            "insert into {schema}.{name} (\"user_id\", \"team_id\") select given.c0, given.c1 \
             from unnest($1::text[], $2::text[]) as given(c0, c1) \
             where exists (select from {schema}.{teams} where \"team_id\" = given.c1) on conflict do nothing"
        ))
    }

    /// The statement that notes, for SQLite, what a counter was before the first row of the ledger that raises it.
    pub(crate) fn mark_one(self) -> Option<String> {
        let kind = kind_of(self)?;
        let (found, id) = self.found("?1", "?2");
        let (name, sums) = (quoted(self.name()), sums(kind, &id, ""));
        Some(format!(
            "insert into spend_marks (kind, id, opening, adjusted) select '{kind}', {id}, coalesce((select spend from {name} \
             where {found}), 0) - {sums}, 0 where not exists (select 1 from spend_marks where kind = '{kind}' and id = {id})"
        ))
    }

    /// The same for many rows of PostgreSQL: an array for each column of the key.
    pub(crate) fn mark_many(self, theirs: Option<Theirs<'_>>) -> Option<String> {
        let kind = kind_of(self)?;
        let theirs = theirs?;
        let all = self.columns();
        if !all[..=self.key_columns()].iter().all(|(name, _)| (theirs.has)(self.name(), name)) {
            return None;
        }
        let (found, id) = self.found("given.c0", "given.c1");
        let name = format!("{}.{}", theirs.schema, quoted(self.name()));
        let arrays: Vec<String> =
            (1..=self.key_columns()).map(|at| format!("${at}::text[]")).collect();
        let aliases: Vec<String> = (0..self.key_columns()).map(|at| format!("c{at}")).collect();
        let sums = sums(kind, &id, "hale.");
        Some(format!(
            "insert into hale.spend_marks (kind, id, opening, adjusted) select '{kind}', {id}, \
             coalesce((select spend from {name} where {found}), 0) - {sums}, 0 \
             from (select distinct * from unnest({}) as each({})) as given where not exists \
             (select from hale.spend_marks where kind = '{kind}' and id = {id}) on conflict do nothing",
            arrays.join(", "),
            aliases.join(", "),
        ))
    }

    /// The condition that a row has the key of these two values, and what the marks call it.
    fn found(self, first: &str, second: &str) -> (String, String) {
        let name = |at: usize| quoted(self.columns()[at].0);
        match self.key_columns() {
            1 => (format!("{} = {first}", name(0)), first.to_owned()),
            _ => (
                format!("{} = {first} and {} = {second}", name(0), name(1)),
                format!("{first} || '/' || {second}"),
            ),
        }
    }

    /// The columns of the key among these, and the others.
    fn split(self, columns: &[usize]) -> (&[usize], &[usize]) {
        columns.split_at(columns.iter().take_while(|at| **at < self.key_columns()).count())
    }

    fn list(self, columns: &[usize]) -> String {
        columns.iter().map(|at| quoted(self.columns()[*at].0)).collect::<Vec<_>>().join(", ")
    }

    /// What is set where numbers are added to a row that is there. What was spent is added to the sum of all times too, if there is one.
    fn raise(
        self,
        others: &[usize],
        value: impl Fn(usize) -> String,
        has: impl Fn(&str) -> bool,
    ) -> String {
        let mut set = Vec::new();
        for at in others {
            let (name, kind) = self.columns()[*at];
            let (quoted, value) = (quoted(name), value(*at));
            match kind {
                Type::Real | Type::Integer => {
                    set.push(format!("{quoted} = coalesce({quoted}, 0) + {value}"))
                }
                Type::Text | Type::Time | Type::Json => set.push(format!("{quoted} = {value}")),
            }
            if name == "spend"
                && matches!(self, Table::OfKey | Table::OfMember)
                && has("total_spend")
            {
                set.push(format!("\"total_spend\" = coalesce(\"total_spend\", 0) + {value}"));
            }
        }
        set.join(", ")
    }

    fn tail(self, conflict: OnConflict, columns: &[usize]) -> String {
        let (key, others) = self.split(columns);
        let set = |value: fn(Type, &str) -> Option<String>| {
            let of = |at: &usize| {
                let (name, kind) = self.columns()[*at];
                let name = quoted(name);
                value(kind, &name).map(|value| format!("{name} = {value}"))
            };
            format!("update set {}", others.iter().filter_map(of).collect::<Vec<_>>().join(", "))
        };
        // A partitioned table of LiteLLM has another key.
        if self == Table::SpendLogs {
            return " on conflict do nothing".to_owned();
        }
        let mut text = format!(" on conflict ({}) do ", self.list(key));
        match conflict {
            OnConflict::Keep => text.push_str("nothing"),
            OnConflict::Add | OnConflict::Raise => text.push_str(&set(|kind, name| match kind {
                Type::Integer | Type::Real => Some(format!("kept.{name} + excluded.{name}")),
                Type::Time => Some(format!("excluded.{name}")),
                // The first one stays.
                Type::Text | Type::Json => None,
            })),
            OnConflict::Replace => {
                text.push_str(&set(|_, name| Some(format!("excluded.{name}"))));
                // Writing to a text cannot fail.
                let _written = write!(text, " where kept.updated_at <= excluded.updated_at");
            }
        }
        text
    }
}

/// What is known as whose spend, in `spend_days` and `spend_marks`.
pub(crate) const fn kind_of(table: Table) -> Option<&'static str> {
    match table {
        Table::OfKey => Some("key"),
        Table::OfTeam => Some("team"),
        Table::OfMember => Some("member"),
        Table::OfUser => Some("user"),
        Table::OfOrganization => Some("organization"),
        Table::OfOrganizationMember => Some("organization_member"),
        Table::OfEndUser => Some("end_user"),
        Table::OfTag => Some("tag"),
        _ => None,
    }
}

/// The sum of what the ledger has of that.
fn sums(kind: &str, id: &str, schema: &str) -> String {
    format!(
        "coalesce((select sum(cost_nano) from {schema}spend_days as days where days.kind = '{kind}' and days.id = {id}), 0) / 1e9"
    )
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
