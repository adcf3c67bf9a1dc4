//! The log's line for a request that failed for its client, and the line that counts those without one.
//!
//! A leaf, one for the process like the log. Written to by the proxy and the router, only when a request has
//! failed. Always true: each cause gets a bounded number of lines in a window of time, and each failure beyond
//! is counted in a line that follows; what a line says is put together only if it is written.

use std::collections::BTreeMap;

use hale_core::cause::Cause;
use hale_core::tenancy::access::Identity;
use hale_core::time::Millis;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock;

/// Lines of one cause in a window.
const LINES_MAX: u32 = 10;
/// The window, milliseconds.
const WINDOW_MS: u64 = 10_000;
/// Model groups that are counted by name behind the lines of one cause.
const GROUPS_MAX: usize = 8;

/// Stands for no model group.
const NO_GROUP: &str = "-";

static FAILURES: Failures = Failures::new();

/// A request that failed for its client.
pub(crate) struct FailedRequest<'f> {
    /// The status that the client got.
    pub(crate) status: u16,
    /// The operation, or the method and path of a page.
    pub(crate) operation: &'f str,
    /// The model group that the request named, or whose answer broke.
    pub(crate) model_group: Option<&'f str>,
    /// The model as the client named it.
    pub(crate) model: Option<&'f str>,
    pub(crate) cause: Cause,
    /// As the client was told.
    pub(crate) reason: &'static str,
    pub(crate) duration_us: u64,
    pub(crate) call_id: &'f str,
    /// Whose key it had; `None` for the master key.
    pub(crate) identity: Option<&'f Identity>,
}

impl FailedRequest<'_> {
    /// Writes its line with what `story` says, or counts it.
    pub(crate) fn tell(&self, story: impl FnOnce() -> String) {
        let group = self.model_group.unwrap_or(NO_GROUP);
        if !FAILURES.gets_a_line(clock::now().millis(), (self.cause, self.reason), group) {
            return;
        }
        tracing::warn!(
            status = self.status,
            operation = self.operation,
            model_group = self.model_group,
            model = self.model.filter(|model| Some(*model) != self.model_group),
            cause = self.cause.name(),
            reason = self.reason,
            ms = self.duration_us / 1000,
            call_id = self.call_id,
            key = self.identity.map(|identity| &*identity.key),
            key_alias = self.identity.and_then(|identity| identity.key_alias.as_deref()),
            team = self.identity.and_then(|identity| identity.team.as_deref()),
            user = self.identity.and_then(|identity| identity.user.as_deref()),
            "request failed: {}",
            story()
        );
    }
}

/// Writes the lines that count, at the end of each window in which some failure got no line.
pub(crate) async fn run() {
    loop {
        FAILURES.counted.notified().await;
        tokio::time::sleep(std::time::Duration::from_millis(WINDOW_MS)).await;
        tell_counted();
    }
}

/// Writes the lines that count what was counted so far.
pub(crate) fn tell_counted() {
    for ((cause, reason), counted) in FAILURES.take_counted() {
        tracing::warn!(
            requests = counted.requests,
            cause,
            reason,
            model_groups = counted.by_group(),
            "more requests failed like those above"
        );
    }
}

/// The names of a cause and of a reason.
type Kind = (&'static str, &'static str);

/// How many lines each cause has had, and what was counted.
struct Failures {
    windows: Mutex<BTreeMap<Kind, Window>>,
    /// Tells the task that something is counted.
    counted: Notify,
}

#[derive(Default)]
struct Window {
    began: Millis,
    lines: u32,
    counted: Counted,
}

/// Failures without a line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    requests: u64,
    groups: Vec<(Box<str>, u64)>,
}

impl Counted {
    fn add(&mut self, group: &str) {
        self.requests += 1;
        if let Some((_, requests)) = self.groups.iter_mut().find(|(name, _)| **name == *group) {
            *requests += 1;
        } else if self.groups.len() < GROUPS_MAX {
            self.groups.push((group.into(), 1));
        }
    }

    /// `gpt-4o 12, claude 3, others 2`; `None` if they were for no group.
    fn by_group(&self) -> Option<String> {
        if self.groups.iter().all(|(name, _)| **name == *NO_GROUP) {
            return None;
        }
        let named: u64 = self.groups.iter().map(|(_, requests)| requests).sum();
        let others = (self.requests > named).then(|| format!("others {}", self.requests - named));
        let groups = self.groups.iter().map(|(name, requests)| format!("{name} {requests}"));
        Some(groups.chain(others).collect::<Vec<_>>().join(", "))
    }
}

impl Failures {
    const fn new() -> Failures {
        Failures { windows: Mutex::new(BTreeMap::new()), counted: Notify::const_new() }
    }

    /// Whether a failure of that kind gets a line now; else it is counted.
    fn gets_a_line(
        &self,
        now: Millis,
        (cause, reason): (Cause, &'static str),
        group: &str,
    ) -> bool {
        let mut windows = self.windows.lock();
        let window = windows.entry((cause.name(), reason)).or_default();
        if now.since(window.began) >= WINDOW_MS {
            (window.began, window.lines) = (now, 0);
        }
        if window.lines < LINES_MAX {
            window.lines += 1;
            return true;
        }
        window.counted.add(group);
        if window.counted.requests == 1 {
            self.counted.notify_one();
        }
        false
    }

    fn take_counted(&self) -> Vec<(Kind, Counted)> {
        let mut windows = self.windows.lock();
        let counted = windows.iter_mut().filter(|(_, window)| window.counted.requests > 0);
        counted.map(|(kind, window)| (*kind, std::mem::take(&mut window.counted))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: (Cause, &str) = (Cause::ServerError, "upstream_failed");

    #[test]
    fn each_cause_gets_ten_lines_in_ten_seconds_and_the_others_are_counted_by_group() {
        let failures = Failures::new();
        let lines = |from: u64, kind, group: &str| {
            (from..from + 25).filter(|at| failures.gets_a_line(Millis(*at), kind, group)).count()
        };
        assert_eq!(lines(20_000, KIND, "a"), 10);
        assert_eq!(lines(20_100, KIND, "b"), 0, "the same cause in another group");
        let refused = (Cause::BadRequest, "invalid_api_key");
        assert_eq!(lines(20_200, refused, "-"), 10, "another cause");
        let told = failures.take_counted();
        let text = |(kind, counted): &(Kind, Counted)| {
            format!("{} {}: {:?}", kind.0, counted.requests, counted.by_group())
        };
        assert_eq!(
            told.iter().map(text).collect::<Vec<_>>(),
            ["bad_request 15: None", "server_error 40: Some(\"a 15, b 25\")"]
        );
        assert_eq!(failures.take_counted(), [], "each is counted once");
        assert_eq!(lines(30_000, KIND, "a"), 10, "a new window");
    }

    #[test]
    fn groups_beyond_the_eighth_are_counted_without_their_names() {
        let mut counted = Counted::default();
        for number in 0..20 {
            counted.add(&format!("g{number}"));
        }
        assert_eq!(counted.groups.len(), GROUPS_MAX);
        let by_group = counted.by_group().unwrap();
        assert!(by_group.ends_with("g7 1, others 12"), "{by_group}");
    }
}
