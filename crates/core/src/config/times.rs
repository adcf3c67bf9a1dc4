//! Attempts that together may take longer than a request may.
//!
//! Called last, with the whole snapshot. Always true: it only warns, and only about times that the
//! config sets.

use super::problem::{Path, Problems, Wrong};
use super::tree::{Map, Node};
use super::value;
use crate::route::{Controls, WorstCase, request_worst_case};
use crate::snapshot::Snapshot;

/// How long clients wait by default: OpenAI's and Anthropic's SDKs, milliseconds. Source:
/// <https://github.com/openai/openai-python#timeouts>.
const CLIENTS_MS: u64 = 600_000;

/// Warns if the worst case of a group is longer than `request_timeout`, or than clients wait.
pub(super) fn check(snapshot: &mut Snapshot, top: &Map, problems: &mut Problems) {
    if problems.failed() {
        return;
    }
    let section = |name: &str| top.get(name).and_then(Node::as_map);
    let find = |name: &'static str, key: &'static str| {
        // A wrong one counts as absent.
        let node = section(name)?.get(key).filter(|node| value::time(node, 1, u64::MAX).is_ok())?;
        Some((name, key, node.at))
    };
    let timeout = find("router_settings", "timeout");
    let bound = find("router_settings", "request_timeout");
    let bound = bound.or_else(|| find("litellm_settings", "request_timeout"));
    // Only what has a place in the file can be pointed at.
    let Some((name, key, at)) = bound.or(timeout) else { return };
    let whole_ms = snapshot.router.request_timeout_ms.unwrap_or(CLIENTS_MS);
    // A default contradicts nothing: its attempt is cut to the time that the request has.
    let default_ms = snapshot.router.timeout_ms;
    if timeout.is_none() {
        snapshot.router.timeout_ms = 0;
    }
    let worst = longest(snapshot);
    snapshot.router.timeout_ms = default_ms;
    let Some(worst) = worst.filter(|worst| worst.ms > whole_ms) else { return };
    let (limit, hint) = match snapshot.router.request_timeout_ms {
        Some(_) => (
            "request_timeout is",
            "lower timeout, stream_timeout or num_retries, or raise request_timeout",
        ),
        None => (
            "clients wait, unless told otherwise,",
            "lower timeout, stream_timeout or num_retries, or set request_timeout to what they wait",
        ),
    };
    let problem = format!(
        "{} attempts in {} take up to {} s, and {limit} {} s: the last ones may never start",
        worst.attempts,
        worst.groups.join(", then "),
        value::seconds(worst.ms),
        value::seconds(whole_ms),
    );
    problems.warn(at, &Path::Root.key(name).key(key), Wrong::new(problem, hint));
}

/// The longest of all groups, with and without a stream.
fn longest(snapshot: &Snapshot) -> Option<WorstCase> {
    let names = snapshot.listed_groups().map(|group| &*group.name);
    let cases = names.flat_map(|name| {
        [false, true].into_iter().filter_map(move |stream| {
            let controls = Controls { stream, ..Controls::default() };
            request_worst_case(snapshot, name, controls)
        })
    });
    // Of equal ones the first in the config.
    cases.reduce(|worst, other| if other.ms > worst.ms { other } else { worst })
}
