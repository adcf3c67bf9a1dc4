//! Attempts that together may take longer than a request may.
//!
//! Called last, with the whole snapshot. Always true: it only warns, and only about times that somebody
//! wrote.

use super::problem::{Path, Problems, Wrong};
use super::tree::{Map, Node};
use super::value;
use crate::route::{Controls, WorstCase, request_worst_case};
use crate::snapshot::Snapshot;

/// Warns where the worst case of a group is longer than `request_timeout`.
pub(super) fn check(snapshot: &mut Snapshot, top: &Map, problems: &mut Problems) {
    let Some(whole_ms) = snapshot.router.request_timeout_ms else { return };
    let section = |name: &str| top.get(name).and_then(Node::as_map);
    let written = ["router_settings", "litellm_settings"].into_iter().find_map(|name| {
        let node = section(name)?.get("request_timeout").filter(|node| !node.is_null())?;
        Some((name, node.at))
    });
    let Some((name, at)) = written else { return };
    let writes_timeout = section("router_settings")
        .and_then(|map| map.get("timeout"))
        .is_some_and(|node| !node.is_null());
    // A default contradicts nothing: its attempt takes what the request has.
    let default_ms = snapshot.router.timeout_ms;
    if !writes_timeout {
        snapshot.router.timeout_ms = 0;
    }
    let worst = longest(snapshot);
    snapshot.router.timeout_ms = default_ms;
    let Some(worst) = worst.filter(|worst| worst.ms > whole_ms) else { return };
    let problem = format!(
        "{} attempts in {} take up to {} s, and request_timeout is {} s: the last ones may have no turn",
        worst.attempts,
        worst.groups.join(", then "),
        value::seconds(worst.ms),
        value::seconds(whole_ms),
    );
    let hint = "lower timeout, stream_timeout or num_retries, or raise request_timeout";
    let path = Path::Root.key(name);
    problems.warn(at, &path.key("request_timeout"), Wrong::new(problem, hint));
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
    // The first of equals: it stands first in the config.
    cases.reduce(|worst, other| if other.ms > worst.ms { other } else { worst })
}
