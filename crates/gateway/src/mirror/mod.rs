//! The mirror: a sample of requests goes to a second gateway too, so that its answers can be compared with ours.
//!
//! Asked by the proxy for each request while the config has a mirror; its tasks run on the background thread. Always true: no request waits for it or
//! fails by it; what waits is bounded in number and bytes, and what finds no place is dropped and counted; a day costs no more than its
//! budget and what is in flight; what is written down has no text of a request or an answer; without a mirror a request costs a comparison.

mod compare;
mod seen;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hale_core::money::Money;
use hale_core::operation::{Carries, Operation};
use hale_core::settings::MirrorSettings;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;

pub(crate) use self::compare::{Class, differences, is_explained};
pub(crate) use self::seen::{Seen, names};
use crate::background::Background;
use crate::clock;
use crate::http::query;
use crate::upstream::{Outgoing, Outward};

/// The file of what was compared, in the directory of the store.
pub(crate) const FILE: &str = "hale.mirror.jsonl";
/// Requests that may wait, and the bytes of their bodies.
const WAITING_MAX: usize = 64;
const BYTES_MAX: usize = 16 << 20;
/// Largest body that is mirrored.
const BODY_MAX: usize = 1 << 20;
/// Calls of the second gateway at once.
const AT_ONCE: usize = 4;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of the file, from which on nothing is added.
const FILE_MAX: u64 = 64 << 20;
/// Parts of one request, by which a share is counted.
const PARTS: f64 = 1e6;
/// What each copy counts at least: 0.001 USD.
const LEAST: Money = Money::of_parts(1_000_000);
const DAY_MS: u64 = 86_400_000;
/// What says that a request is a copy.
const MIRRORED: HeaderName = HeaderName::from_static("x-hale-mirrored");
/// Headers that the second gateway gets: what chooses its answer, and the key.
const PASSED: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("x-litellm-tags"),
];

/// The process's side of the mirror.
#[derive(Default)]
pub(crate) struct Mirror {
    /// What of the sample is due, in parts.
    due: AtomicU64,
    waiting: Mutex<Waiting>,
    news: Notify,
    dropped: AtomicU64,
    directory: OnceLock<PathBuf>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    bytes: usize,
    /// The day, and what its requests cost so far.
    day: u64,
    spent: Money,
}

/// A copy of a request on its way through the gateway.
pub(crate) struct Copied {
    settings: Arc<MirrorSettings>,
    operation: &'static str,
    path: PathAndQuery,
    headers: HeaderMap,
    body: Bytes,
    /// What its client got.
    pub(crate) own: Seen,
}

/// A copy whose request is answered.
struct Job {
    copied: Box<Copied>,
    cost: Money,
}

impl Mirror {
    /// Starts its tasks; what they compare is written into `directory`.
    pub(crate) fn start(self: &Arc<Mirror>, background: &Background, directory: Option<PathBuf>) {
        if let Some(directory) = directory {
            let _set: Result<(), _> = self.directory.set(directory);
        }
        for _ in 0..AT_ONCE {
            let own = self.clone();
            background.supervise_here("the mirror", move || own.clone().run());
        }
    }

    /// A copy of the request, if it is one of the sample.
    pub(crate) fn sample(
        &self,
        settings: Option<&Arc<MirrorSettings>>,
        operation: Operation,
        (head, body): (&Parts, &Bytes),
    ) -> Option<Box<Copied>> {
        let settings = settings?;
        // What a provider keeps would be there twice, and a session has no copy.
        let may = operation.kind().is_none()
            && operation.carries() == Carries::Json
            && !operation.switches()
            && !operation.is_passed_through()
            && head.method == Method::POST
            && body.len() <= BODY_MAX
            && !head.headers.contains_key(&MIRRORED);
        if !may || !self.is_due(settings.share) {
            return None;
        }
        let mut headers = HeaderMap::new();
        for name in &PASSED {
            if let Some(value) = head.headers.get(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
        if let Some(key) = &settings.api_key {
            headers.remove("x-api-key");
            headers.remove("api-key");
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose())).ok()?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        headers.insert(MIRRORED, HeaderValue::from_static("1"));
        // A key of Google's clients stands in the query: the second gateway gets it in a header, or not at all.
        let query = head.uri.query().unwrap_or_default();
        if settings.api_key.is_none()
            && let Some(key) = query::value(query, "key")
            && let Ok(key) = HeaderValue::from_str(&key)
        {
            headers.insert(HeaderName::from_static("x-goog-api-key"), key);
        }
        let query = query::without(query, &["key"]).map(|query| format!("?{query}"));
        let below = format!("{}{}", head.uri.path(), query.unwrap_or_default());
        let base = base_path(&settings.url);
        Some(Box::new(Copied {
            settings: settings.clone(),
            operation: operation.name(),
            path: format!("{base}{below}").parse().ok()?,
            headers,
            body: body.clone(),
            own: Seen::default(),
        }))
    }

    /// Evenly, rather than at random.
    fn is_due(&self, share: f64) -> bool {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share is from 0 to 1"
        )]
        let (part, whole) = ((share * PARTS).round() as u64, PARTS as u64);
        let before = self.due.fetch_add(part, Ordering::Relaxed);
        before / whole != before.wrapping_add(part) / whole
    }

    /// The request of a copy was answered, for that cost. Never waits.
    pub(crate) fn offer(&self, copied: Box<Copied>, cost: Option<Money>) {
        // What fails or is free here may cost something there, and what has no price has no bound.
        let is_error = copied.own.status >= 400;
        let Some(cost) = cost.or(is_error.then_some(LEAST)) else { return self.drop_one() };
        let cost = cost.max(LEAST);
        let mut waiting = self.waiting.lock();
        let day = clock::unix_ms() / DAY_MS;
        if waiting.day != day {
            (waiting.day, waiting.spent) = (day, Money::ZERO);
        }
        let bytes = waiting.bytes + copied.body.len();
        let is_spent = waiting.spent >= copied.settings.budget;
        if is_spent || waiting.jobs.len() >= WAITING_MAX || bytes > BYTES_MAX {
            drop(waiting);
            return self.drop_one();
        }
        waiting.bytes = bytes;
        waiting.spent = waiting.spent.plus(cost);
        waiting.jobs.push_back(Job { copied, cost });
        drop(waiting);
        self.news.notify_one();
    }

    fn drop_one(&self) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(
                dropped,
                "requests were not mirrored: the second gateway is slow, its budget of the day is spent, or they have no price"
            );
        }
    }

    async fn run(self: Arc<Mirror>) {
        loop {
            let Some(job) = self.next() else {
                self.news.notified().await;
                continue;
            };
            self.send(job).await;
        }
    }

    fn next(&self) -> Option<Job> {
        let mut waiting = self.waiting.lock();
        let job = waiting.jobs.pop_front()?;
        waiting.bytes = waiting.bytes.saturating_sub(job.copied.body.len());
        Some(job)
    }

    async fn send(&self, job: Job) {
        let Copied { settings, operation, path, headers, body, own } = *job.copied;
        let to = Outward::new(&settings.url, PATIENCE).hiding(settings.api_key.as_ref());
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
        let sent = to.send(Outgoing {
            method: Method::POST,
            path: Some(path),
            headers: headers.collect(),
            body,
        });
        let other = match sent.await {
            Ok(heard) => Seen::of(heard.status.as_u16(), &heard.headers, &heard.body),
            Err(why) => Seen { failed: Some(why.into()), ..Seen::default() },
        };
        let line = json!({
            "at": clock::unix_ms(), "operation": operation, "cost_usd": job.cost.usd(), "own": own, "other": other,
        });
        let Some(directory) = self.directory.get().cloned() else { return };
        let line = format!("{line}\n");
        // A disk that hangs holds up the mirror alone.
        let written = tokio::task::spawn_blocking(move || append(directory, &line)).await;
        if let Ok(Err(error)) = written {
            tracing::debug!(%error, "what was compared could not be written");
        }
    }
}

fn append(directory: PathBuf, line: &str) -> std::io::Result<()> {
    let path = directory.join(FILE);
    let mut file: File = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() + line.len() as u64 > FILE_MAX {
        return Ok(());
    }
    file.write_all(line.as_bytes())
}

/// The path of an address.
fn base_path(url: &str) -> &str {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    place.find('/').map_or("", |at| &place[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(share: f64, budget: i64) -> Arc<MirrorSettings> {
        let budget = Money::of_parts(budget);
        Arc::new(MirrorSettings { url: "http://h/base".into(), share, budget, api_key: None })
    }

    fn head() -> Parts {
        let request = http::Request::post("/v1/chat/completions?x=1").header("cookie", "c");
        request.header("authorization", "Bearer sk-1").body(()).unwrap().into_parts().0
    }

    fn sampled(mirror: &Mirror, settings: &Arc<MirrorSettings>) -> Option<Box<Copied>> {
        let body = Bytes::from_static(b"{}");
        mirror.sample(Some(settings), Operation::Chat, (&head(), &body))
    }

    #[test]
    fn a_sample_is_even_and_has_only_the_headers_that_choose_the_answer() {
        let mirror = Mirror::default();
        let some = settings(0.25, 1);
        let taken: Vec<bool> = (0..8).map(|_| sampled(&mirror, &some).is_some()).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 2);
        assert!(taken[3] && taken[7]);
        let all = settings(1.0, 1);
        let copied = sampled(&mirror, &all).unwrap();
        assert_eq!(copied.path.as_str(), "/base/v1/chat/completions?x=1");
        assert!(copied.headers.contains_key("authorization"));
        assert!(!copied.headers.contains_key("cookie"));
        assert!(sampled(&Mirror::default(), &settings(0.0, 1)).is_none());
        let mut copy = head();
        copy.headers.insert(MIRRORED, HeaderValue::from_static("1"));
        let body = Bytes::from_static(b"{}");
        let looped = mirror.sample(Some(&all), Operation::Chat, (&copy, &body));
        assert!(looped.is_none(), "a copy is not copied");
        let large = Bytes::from(vec![b' '; BODY_MAX + 1]);
        assert!(mirror.sample(Some(&all), Operation::Chat, (&head(), &large)).is_none());
        assert!(mirror.sample(Some(&all), Operation::CreateBatch, (&head(), &body)).is_none());
    }

    #[test]
    fn what_waits_is_bounded_and_a_day_costs_its_budget() {
        let mirror = Mirror::default();
        let all = settings(1.0, i64::MAX);
        for _ in 0..1_000 {
            mirror.offer(sampled(&mirror, &all).unwrap(), Some(Money::of_parts(1)));
        }
        assert_eq!(mirror.waiting.lock().jobs.len(), WAITING_MAX);
        assert_eq!(mirror.dropped.load(Ordering::Relaxed), 1_000 - WAITING_MAX as u64);
        let mirror = Mirror::default();
        let little = settings(1.0, 3_000_000);
        for _ in 0..10 {
            mirror.offer(sampled(&mirror, &little).unwrap(), Some(Money::of_parts(2_000_000)));
        }
        assert_eq!(mirror.waiting.lock().jobs.len(), 2);
        mirror.waiting.lock().day -= 1;
        mirror.offer(sampled(&mirror, &little).unwrap(), Some(Money::of_parts(2_000_000)));
        assert_eq!(mirror.waiting.lock().jobs.len(), 3, "another day has its own budget");
        mirror.offer(sampled(&mirror, &little).unwrap(), None);
        assert_eq!(mirror.waiting.lock().jobs.len(), 3, "what has no price has no bound");
    }
}
