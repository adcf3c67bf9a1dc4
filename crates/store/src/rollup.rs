//! Minutes and days: what was asked of a group and a deployment, how it ended, how long it took.
//!
//! Fed with every finished request by `crate::store`; its rows are added to those of the database. Always true:
//! a request counts in one minute and in the day of that minute; names come from the config, so that their
//! number is bounded.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::rows::Request;
use crate::value::{Row, Value};

/// The upper bounds of a histogram's buckets, milliseconds; the last bucket has none.
pub const BOUNDS_MS: [u64; 13] =
    [50, 100, 250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000, 120_000, 300_000];
const BUCKETS: usize = BOUNDS_MS.len() + 1;
/// The widths of periods, seconds.
pub(crate) const MINUTE_S: i64 = 60;
pub(crate) const DAY_S: i64 = 86_400;
/// Between the parts of a key. No name of a config has it.
const BORDER: char = '\u{1f}';

/// What was not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Rollups {
    /// Start of the minute in milliseconds, group, deployment and cause.
    minutes: HashMap<String, Sums>,
    key: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    requests: i64,
    retries: i64,
    fallbacks: i64,
    input_tokens: i64,
    output_tokens: i64,
    cost_usd: f64,
    duration_us: i64,
    first_contents: i64,
    first_content_us: i64,
    durations: [i64; BUCKETS],
    firsts: [i64; BUCKETS],
}

fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn bucket(us: u64) -> usize {
    BOUNDS_MS.iter().position(|bound| us <= bound * 1_000).unwrap_or(BUCKETS - 1)
}

/// The start of the period of `width_s` that holds the time `unix_ms`.
pub(crate) const fn start(unix_ms: i64, width_s: i64) -> i64 {
    let width_ms = width_s * 1_000;
    unix_ms - unix_ms.rem_euclid(width_ms)
}

impl Sums {
    fn count(&mut self, request: &Request<'_>) {
        self.requests += 1;
        self.retries += clamped(request.retries);
        self.fallbacks += clamped(request.fallbacks);
        self.input_tokens =
            self.input_tokens.saturating_add(clamped(request.input_tokens.unwrap_or(0)));
        self.output_tokens =
            self.output_tokens.saturating_add(clamped(request.output_tokens.unwrap_or(0)));
        self.cost_usd += request.cost_usd.filter(|usd| usd.is_finite()).unwrap_or(0.0);
        self.duration_us = self.duration_us.saturating_add(clamped(request.duration_us));
        self.durations[bucket(request.duration_us)] += 1;
        if let Some(us) = request.first_content_us {
            self.first_contents += 1;
            self.first_content_us = self.first_content_us.saturating_add(clamped(us));
            self.firsts[bucket(us)] += 1;
        }
    }

    fn add(&mut self, other: &Sums) {
        self.requests += other.requests;
        self.retries += other.retries;
        self.fallbacks += other.fallbacks;
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cost_usd += other.cost_usd;
        self.duration_us = self.duration_us.saturating_add(other.duration_us);
        self.first_contents += other.first_contents;
        self.first_content_us = self.first_content_us.saturating_add(other.first_content_us);
        let buckets = self.durations.iter_mut().zip(other.durations);
        buckets.chain(self.firsts.iter_mut().zip(other.firsts)).for_each(|(to, more)| *to += more);
    }

    fn row(&self, width_s: i64, start: i64, names: &str) -> Row {
        let mut row: Row = vec![width_s.into(), start.into()];
        row.extend(names.split(BORDER).map(Value::from));
        row.extend(
            [self.requests, self.retries, self.fallbacks, self.input_tokens, self.output_tokens]
                .map(Value::from),
        );
        row.push(self.cost_usd.into());
        row.extend([self.duration_us, self.first_contents, self.first_content_us].map(Value::from));
        row.extend(self.durations.into_iter().chain(self.firsts).map(Value::from));
        row
    }
}

impl Rollups {
    /// Counts a request.
    pub(crate) fn count(&mut self, request: &Request<'_>) {
        let minute = start(clamped(request.arrived_at), MINUTE_S);
        self.key.clear();
        let names = [request.model_group, request.deployment, request.cause];
        // Writing to a text cannot fail.
        let _written = write!(self.key, "{minute}");
        for name in names {
            self.key.push(BORDER);
            self.key.push_str(name.unwrap_or_default());
        }
        match self.minutes.get_mut(&self.key) {
            Some(sums) => sums.count(request),
            None => self.minutes.entry(self.key.clone()).or_default().count(request),
        }
    }

    /// The rows since the last call: each period once.
    pub(crate) fn take(&mut self) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.minutes.len() * 2);
        let mut days: HashMap<(i64, String), Sums> = HashMap::new();
        for (key, sums) in self.minutes.drain() {
            let Some((minute, names)) = key.split_once(BORDER) else { continue };
            let minute: i64 = minute.parse().unwrap_or_default();
            rows.push(sums.row(MINUTE_S, minute, names));
            days.entry((start(minute, DAY_S), names.to_owned())).or_default().add(&sums);
        }
        rows.extend(days.iter().map(|((day, names), sums)| sums.row(DAY_S, *day, names)));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    fn request(arrived_at: u64) -> Request<'static> {
        Request {
            arrived_at,
            model_group: Some("g"),
            deployment: Some("d"),
            duration_us: 60_000,
            first_content_us: Some(50_000),
            retries: 1,
            input_tokens: Some(10),
            cost_usd: Some(0.5),
            ..Request::default()
        }
    }

    fn number(row: &Row, name: &str) -> f64 {
        let at = Table::Rollups.names().iter().position(|known| *known == name).unwrap();
        row[at].real().unwrap()
    }

    #[test]
    fn each_request_counts_in_its_minute_and_in_its_day() {
        let mut rollups = Rollups::default();
        // The last minute of a day, the first of the next, and a failure in it.
        let midnight = 86_400_000 * 20_000;
        rollups.count(&request(midnight - 1));
        rollups.count(&request(midnight - 2));
        rollups.count(&request(midnight));
        rollups.count(&Request { cause: Some("timeout"), ..request(midnight + 59_999) });
        let rows = rollups.take();
        let of = |width: f64, start: u64| -> Vec<f64> {
            #[allow(clippy::cast_precision_loss, reason = "below 2^52")]
            let start = start as f64;
            let here =
                |row: &&Row| number(row, "width_s") == width && number(row, "start_at") == start;
            let mut counts: Vec<f64> =
                rows.iter().filter(here).map(|row| number(row, "requests")).collect();
            counts.sort_by(f64::total_cmp);
            counts
        };
        assert_eq!(of(60.0, midnight - 60_000), [2.0]);
        assert_eq!(of(60.0, midnight), [1.0, 1.0], "one without and one with a cause");
        assert_eq!(of(86_400.0, midnight - 86_400_000), [2.0]);
        assert_eq!(of(86_400.0, midnight), [1.0, 1.0]);
        assert!(rows.iter().all(|row| row.len() == Table::Rollups.columns().len()));
        let day = rows.iter().find(|row| number(row, "requests") == 2.0).unwrap();
        assert_eq!(number(day, "retries"), 2.0);
        assert_eq!(number(day, "cost_usd"), 1.0);
        assert_eq!(number(day, "d01"), 2.0, "60 ms is above 50 and below 100");
        assert_eq!(number(day, "f00"), 2.0, "50 ms is within its bound");
        assert!(rollups.take().is_empty());
    }

    #[test]
    fn a_time_beyond_all_bounds_is_in_the_last_bucket() {
        assert_eq!(bucket(u64::MAX / 2_000), BUCKETS - 1);
        assert_eq!(bucket(0), 0);
    }
}
