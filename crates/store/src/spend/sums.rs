//! Sums of requests that are not written yet: days, and what is added to counters.
//!
//! Always true: a request is in each sum once; a tag has the full cost of each of its requests; texts that are missing are empty, because a
//! key with a NULL never conflicts.

use std::collections::HashMap;

use super::day::day_of;
use super::request::SpentRequest;
use crate::table::Table;
use crate::value::{Row, Value};

/// Between the parts of a key.
const BORDER: char = '\u{1f}';

/// The sums since the last batch.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    /// By table and key.
    sums: HashMap<(Table, String), Sum>,
    key: String,
}

#[derive(Clone, Debug, Default)]
struct Sum {
    /// Of a Daily row: the group of its first request.
    model_group: Box<str>,
    requests: i64,
    failed: i64,
    calls: i64,
    input: i64,
    output: i64,
    cache_read: i64,
    cache_write: i64,
    duration_ms: i64,
    nano: i64,
    /// When its last request ended.
    at: i64,
}

impl Sum {
    fn of(request: &SpentRequest<'_>) -> Sum {
        let ms = request.ended_at.saturating_sub(request.at);
        Sum {
            model_group: request.model_group.unwrap_or_default().into(),
            requests: (!request.is_correction).into(),
            failed: request.is_failed.into(),
            calls: i64::try_from(request.calls.len()).unwrap_or(i64::MAX),
            input: request.sum(|call| call.input_tokens),
            output: request.sum(|call| call.output_tokens),
            cache_read: request.sum(|call| call.cache_read_tokens),
            cache_write: request.sum(|call| call.cache_write_tokens),
            duration_ms: i64::try_from(ms).unwrap_or(i64::MAX),
            nano: request.cost_nano(),
            at: i64::try_from(request.ended_at).unwrap_or(i64::MAX),
        }
    }

    fn add(&mut self, other: &Sum) {
        let more = |to: &mut i64, by: i64| *to = to.saturating_add(by);
        more(&mut self.requests, other.requests);
        more(&mut self.failed, other.failed);
        more(&mut self.calls, other.calls);
        more(&mut self.input, other.input);
        more(&mut self.output, other.output);
        more(&mut self.cache_read, other.cache_read);
        more(&mut self.cache_write, other.cache_write);
        more(&mut self.duration_ms, other.duration_ms);
        more(&mut self.nano, other.nano);
        self.at = self.at.max(other.at);
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "exact to a millionth of a cent in nine million dollars"
    )]
    fn usd(&self) -> f64 {
        self.nano as f64 / 1e9
    }
}

impl Sums {
    /// Counts a request.
    pub(crate) fn count(&mut self, request: &SpentRequest<'_>) {
        let sum = Sum::of(request);
        let day = day_of(request.at);
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let (user, team) = (text(request.user), text(request.team));
        let (organization, end_user) = (text(request.organization), text(request.end_user));
        self.days(Table::DailyUser, &user, (&day, request), &sum);
        let entities = [
            (Table::DailyTeam, &team),
            (Table::DailyOrganization, &organization),
            (Table::DailyEndUser, &end_user),
        ];
        for (table, entity) in entities.into_iter().filter(|(_, entity)| !entity.is_empty()) {
            self.days(table, entity, (&day, request), &sum);
        }
        for tag in request.tags {
            self.days(Table::DailyTag, tag, (&day, request), &sum);
        }
        let model = request.model();
        if !model.is_empty() {
            self.add(Table::SpendDays, &["model", model, &day], &sum);
        }
        self.subject((Table::OfKey, "key"), &[request.key], &day, &sum);
        self.subject((Table::OfTeam, "team"), &[&team], &day, &sum);
        self.subject((Table::OfUser, "user"), &[&user], &day, &sum);
        self.subject((Table::OfOrganization, "organization"), &[&organization], &day, &sum);
        self.subject((Table::OfEndUser, "end_user"), &[&end_user], &day, &sum);
        self.subject((Table::OfMember, "member"), &[&user, &team], &day, &sum);
        let member = (Table::OfOrganizationMember, "organization_member");
        self.subject(member, &[&user, &organization], &day, &sum);
        for tag in request.tags {
            self.subject((Table::OfTag, "tag"), &[tag], &day, &sum);
        }
    }

    fn days(
        &mut self,
        table: Table,
        entity: &str,
        (day, request): (&str, &SpentRequest<'_>),
        sum: &Sum,
    ) {
        let provider = request.last().map_or("", |call| call.provider);
        self.add(
            table,
            &[entity, day, request.key, request.model(), provider, "", request.endpoint],
            sum,
        );
    }

    /// Counts for a subject: its counter, and its day in the ledger.
    fn subject(&mut self, (table, kind): (Table, &str), id: &[&str], day: &str, sum: &Sum) {
        if id.iter().any(|part| part.is_empty()) {
            return;
        }
        if sum.nano != 0 || table == Table::OfKey {
            self.add(table, id, sum);
        }
        match id {
            [one] => self.add(Table::SpendDays, &[kind, one, day], sum),
            parts => self.add(Table::SpendDays, &[kind, &parts.join("/"), day], sum),
        }
    }

    fn add(&mut self, table: Table, key: &[&str], sum: &Sum) {
        self.key.clear();
        for (at, part) in key.iter().enumerate() {
            if at > 0 {
                self.key.push(BORDER);
            }
            self.key
                .extend(part.chars().map(|char| if char == BORDER { '\u{fffd}' } else { char }));
        }
        let entry = (table, std::mem::take(&mut self.key));
        match self.sums.get_mut(&entry) {
            Some(known) => {
                known.add(sum);
                self.key = entry.1;
            }
            None => {
                self.sums.insert(entry, sum.clone());
            }
        }
    }

    /// The rows since the last call, in the order in which all processes write them. `id` gives ids to rows that need one.
    pub(crate) fn take(&mut self, mut id: impl FnMut() -> String) -> Vec<(Table, Row)> {
        let mut sums: Vec<((Table, String), Sum)> = self.sums.drain().collect();
        sums.sort_by(|(one, _), (other, _)| one.cmp(other));
        sums.iter().map(|((table, key), sum)| (*table, row(*table, key, sum, &mut id))).collect()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }
}

fn row(table: Table, key: &str, sum: &Sum, id: &mut dyn FnMut() -> String) -> Row {
    let mut row: Row = key.split(BORDER).map(Value::from).collect();
    match table {
        Table::SpendDays => {
            row.extend(
                [sum.requests, sum.failed, sum.calls, sum.input, sum.output, sum.nano]
                    .map(Value::from),
            );
        }
        Table::OfKey => row.extend([Value::from(sum.usd()), sum.at.into()]),
        Table::OfTeam
        | Table::OfMember
        | Table::OfUser
        | Table::OfOrganization
        | Table::OfOrganizationMember
        | Table::OfEndUser
        | Table::OfTag => row.push(sum.usd().into()),
        _ => {
            row.extend([Value::from(&*id()), Value::from(&*sum.model_group)]);
            row.extend([sum.input, sum.output, sum.cache_read, sum.cache_write].map(Value::from));
            row.push(sum.usd().into());
            let succeeded = sum.requests - sum.failed;
            row.extend(
                [sum.requests, succeeded, sum.failed, sum.duration_ms, sum.requests]
                    .map(Value::from),
            );
            row.push(sum.at.into());
        }
    }
    row
}

#[cfg(test)]
mod tests;
