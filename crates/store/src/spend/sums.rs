//! Sums of requests that are not written yet: days, and what is added to counters.
//!
//! Always true: a request is in each sum once; a tag has the full cost of each of its requests; texts that are missing are empty, because a
//! key with a NULL never conflicts.

use std::collections::HashMap;

use super::kinds::{Calls, FastHash, Kind, Kinds, Names};
use super::request::{SpentCall, SpentRequest};
use super::rows::tags_json;
use crate::table::Table;
use crate::value::{Row, Value};

/// Kinds of requests that are kept apart at most.
const KINDS_MAX: usize = 4_096;
/// Between the parts of a key.
const BORDER: char = '\u{1f}';

/// The sums since the last batch.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    kinds: Kinds,
    /// Those of kinds that had to make room, by table and key.
    sums: HashMap<Table, HashMap<Box<str>, Sum, FastHash>, FastHash>,
    key: String,
}

/// What requests or calls have in sum.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
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
    pub(super) fn of(request: &SpentRequest<'_>) -> Sum {
        let ms = request.ended_at.saturating_sub(request.at);
        Sum {
            model_group: Box::default(),
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

    pub(super) fn of_call(call: &SpentCall<'_>) -> Sum {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Sum {
            calls: 1,
            input: count(call.input_tokens),
            output: count(call.output_tokens),
            nano: call.cost_nano.unwrap_or(0),
            ..Sum::default()
        }
    }

    pub(super) fn add(&mut self, other: &Sum) {
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
    pub(crate) fn count(&mut self, request: &SpentRequest<'_>, calls: Calls) {
        self.periods(request);
        self.kinds.count(request, calls);
        if self.kinds.len() >= KINDS_MAX {
            self.spread();
        }
    }

    /// Counts a request for the periods with counters of their own.
    fn periods(&mut self, request: &SpentRequest<'_>) {
        for one in request.counters.iter().filter(|one| one.cost_nano != 0) {
            let ends = one.ends.to_string();
            let key = [one.kind, one.id, one.model, one.period, &ends];
            let sum = Sum { nano: one.cost_nano, ..Sum::default() };
            self.add(Table::BudgetCounters, &key, &sum);
        }
    }

    /// Adds the kinds to the sums of all that they belong to.
    fn spread(&mut self) {
        for kind in self.kinds.take() {
            self.requests(&kind);
            self.calls(&kind);
        }
    }

    fn requests(&mut self, Kind { names, sum, .. }: &Kind) {
        let day = &*names.day;
        self.days(Table::DailyUser, &names.user, names, sum);
        let entities = [
            (Table::DailyTeam, &names.team),
            (Table::DailyOrganization, &names.organization),
            (Table::DailyEndUser, &names.end_user),
        ];
        for (table, entity) in entities.into_iter().filter(|(_, entity)| !entity.is_empty()) {
            self.days(table, entity, names, sum);
        }
        for tag in &names.tags {
            self.days(Table::DailyTag, tag, names, sum);
        }
        if !names.model.is_empty() {
            self.add(Table::SpendDays, &["model", &names.model, day], sum);
        }
        let (user, team, organization) = (&*names.user, &*names.team, &*names.organization);
        self.subject((Table::OfKey, "key"), &[&names.key], day, sum);
        self.subject((Table::OfTeam, "team"), &[team], day, sum);
        self.subject((Table::OfUser, "user"), &[user], day, sum);
        self.subject((Table::OfOrganization, "organization"), &[organization], day, sum);
        self.subject((Table::OfEndUser, "end_user"), &[&names.end_user], day, sum);
        self.subject((Table::OfMember, "member"), &[user, team], day, sum);
        let member = (Table::OfOrganizationMember, "organization_member");
        self.subject(member, &[user, organization], day, sum);
        for tag in &names.tags {
            self.subject((Table::OfTag, "tag"), &[tag], day, sum);
        }
    }

    /// Those of calls that have no rows.
    fn calls(&mut self, Kind { names, calls, .. }: &Kind) {
        if calls.is_empty() {
            return;
        }
        let tags = tags_json(&names.tags);
        let of_request = [
            &*names.day,
            &names.key,
            &names.user,
            &names.team,
            &names.organization,
            &names.end_user,
            &tags,
            &names.operation,
        ];
        for (call, sum) in names.calls.iter().zip(calls) {
            let of_call = [&*call.model_group, &call.deployment, &call.provider, &call.model];
            let key: Vec<&str> = of_request.into_iter().chain(of_call).collect();
            self.add(Table::AttemptSums, &key, sum);
        }
    }

    fn days(&mut self, table: Table, entity: &str, names: &Names, sum: &Sum) {
        let Names { day, key, model, provider, endpoint, .. } = names;
        let key = [entity, day, key, model, provider, "", endpoint];
        if let Some(first) = self.add(table, &key, sum) {
            first.model_group = names.model_group.clone();
        }
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
        };
    }

    /// Adds to the sum of that key; gives it if it is the first one.
    fn add(&mut self, table: Table, key: &[&str], sum: &Sum) -> Option<&mut Sum> {
        self.key.clear();
        for (at, part) in key.iter().enumerate() {
            if at > 0 {
                self.key.push(BORDER);
            }
            let begin = self.key.len();
            self.key.push_str(part);
            if self.key.as_bytes()[begin..].contains(&(BORDER as u8)) {
                let clean = part.replace(BORDER, "\u{fffd}");
                self.key.truncate(begin);
                self.key.push_str(&clean);
            }
        }
        let of_table = self.sums.entry(table).or_default();
        match of_table.get_mut(&*self.key) {
            Some(known) => {
                known.add(sum);
                None
            }
            None => Some(of_table.entry(Box::from(&*self.key)).or_insert_with(|| sum.clone())),
        }
    }

    /// The rows since the last call, in the order in which all processes write them. `id` gives ids to rows that need one.
    pub(crate) fn take(&mut self, mut id: impl FnMut() -> String) -> Vec<(Table, Row)> {
        self.spread();
        let all = self.sums.drain();
        let mut sums: Vec<(Table, Box<str>, Sum)> = all
            .flat_map(|(table, sums)| sums.into_iter().map(move |(key, sum)| (table, key, sum)))
            .collect();
        sums.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        sums.iter().map(|(table, key, sum)| (*table, row(*table, key, sum, &mut id))).collect()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.sums.is_empty() && self.kinds.len() == 0
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
        Table::AttemptSums => {
            row.extend([sum.calls, sum.input, sum.output, sum.nano].map(Value::from));
        }
        Table::BudgetCounters => {
            let ends = row.pop().and_then(|ends| ends.text()?.parse::<i64>().ok());
            row.extend([Value::from(ends.unwrap_or(0)), sum.nano.into()]);
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
