//! Settings that make others useless.
//!
//! Called late, with the whole snapshot. Always true: it only warns, at the setting without effect,
//! and names the line of the one that causes it.

use super::keys::{self, Section, Support};
use super::problem::{At, Path, Problems, Wrong};
use super::tree::{Map, Node};
use crate::snapshot::Snapshot;

/// Keys that decide when a deployment is ejected.
const COOLDOWN_RULES: [&str; 2] = ["allowed_fails", "allowed_fails_policy"];
const NO_COOLDOWN: &str = "no deployment is ever ejected";
const FALLBACKS: [&str; 4] =
    ["fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"];
/// In the order of precedence.
const SECTIONS: [&str; 2] = ["router_settings", "litellm_settings"];

/// Warns about settings without effect.
pub(super) fn check(snapshot: &Snapshot, top: &Map, problems: &mut Problems) {
    let router = &snapshot.router;
    let own_cooldown =
        || snapshot.deployments.iter().any(|one| one.routing.limits.cooldown_ms > Some(0));
    if router.disable_cooldowns {
        let rules = ["cooldown_time"].into_iter().chain(COOLDOWN_RULES);
        let set = Set { key: "disable_cooldowns", value: "true", consequence: NO_COOLDOWN };
        useless(top, &set, rules, problems);
    } else if router.cooldown_ms == 0 && !own_cooldown() {
        let set = Set { key: "cooldown_time", value: "0", consequence: NO_COOLDOWN };
        useless(top, &set, COOLDOWN_RULES, problems);
    }
    shared_probes(snapshot, top, problems);
    replaced(top, problems);
    if router.max_fallbacks == 0 {
        let consequence = "no fallback is ever tried";
        let set = Set { key: "max_fallbacks", value: "0", consequence };
        useless(top, &set, FALLBACKS, problems);
    }
}

/// Warns about what one section says and a later one says otherwise.
fn replaced(top: &Map, problems: &mut Problems) {
    let map = |section| top.get(section).and_then(Node::as_map);
    let [winner, loser] = SECTIONS;
    let (Some(winning), Some(losing)) = (map(winner), map(loser)) else { return };
    let is_served = |section, key: &str| {
        keys::find(section, key).is_some_and(|row| row.support == Support::Served)
    };
    for entry in &losing.entries {
        let Some(other) = winning.get(&entry.key).filter(|node| !node.is_unset()) else { continue };
        let is_same = other.text().is_some() && other.text() == entry.value.text();
        let is_read =
            is_served(Section::Router, &entry.key) && is_served(Section::Litellm, &entry.key);
        if is_same || entry.value.is_unset() || !is_read {
            continue;
        }
        let place = problems.other_place(entry.value.at, other.at);
        let problem = format!("has no effect: `{winner}` says it too, on {place}, and wins");
        let path = Path::Root.key(loser);
        problems.warn(entry.at, &path.key(&entry.key), Wrong::new(problem, "keep one of them"));
    }
}

/// Warns about probes that cannot be shared.
fn shared_probes(snapshot: &Snapshot, top: &Map, problems: &mut Problems) {
    const KEY: &str = "use_shared_health_check";
    let general = top.get("general_settings").and_then(Node::as_map);
    let Some(node) = general.and_then(|map| map.get(KEY)).filter(|_| snapshot.shared.probes) else {
        return;
    };
    let wrong = if snapshot.shared.redis.is_none() {
        Wrong::new(
            "no Redis is named: each process probes by itself",
            "set router_settings.redis_url or REDIS_URL",
        )
    } else if !snapshot.probing.background {
        let problem = "no probe is sent in the background that could be shared";
        Wrong::new(problem, "set background_health_checks: true")
    } else {
        return;
    };
    problems.warn(node.at, &Path::Root.key("general_settings").key(KEY), wrong);
}

/// A key whose value makes others useless.
struct Set {
    key: &'static str,
    value: &'static str,
    consequence: &'static str,
}

/// Warns about each of `keys` that is present, because of `set`.
fn useless(
    top: &Map,
    set: &Set,
    keys: impl IntoIterator<Item = &'static str>,
    problems: &mut Problems,
) {
    let Set { key, value, consequence } = *set;
    let Some((_, stronger)) = written(top, key).next() else { return };
    for weaker in keys {
        for (section, at) in written(top, weaker) {
            let place = problems.other_place(at, stronger);
            let problem =
                format!("has no effect: `{key}` is {value} on {place}, so that {consequence}");
            let path = Path::Root.key(section);
            let hint = format!("remove `{weaker}`, or change `{key}`");
            problems.warn(at, &path.key(weaker), Wrong::new(problem, hint));
        }
    }
}

/// Where a key has a value.
fn written<'m>(top: &'m Map, key: &'m str) -> impl Iterator<Item = (&'static str, At)> + 'm {
    SECTIONS.into_iter().filter_map(move |section| {
        let node = top.get(section)?.as_map()?.get(key).filter(|node| !node.is_unset())?;
        let is_empty = node.items().is_some_and(<[Node]>::is_empty);
        (!is_empty).then_some((section, node.at))
    })
}
