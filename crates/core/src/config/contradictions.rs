//! Settings that take each other's effect away.
//!
//! Called late, with the whole snapshot. Always true: it only warns, at the setting that has no effect, and
//! names the line of the one that takes it.

use super::problem::{At, Path, Problems, Wrong};
use super::tree::{Map, Node};
use crate::snapshot::Snapshot;

/// What decides when a deployment rests.
const ABOUT_RESTS: [&str; 2] = ["allowed_fails", "allowed_fails_policy"];
const NO_COOLDOWN: &str = "nothing ever rests";
const FALLBACKS: [&str; 4] =
    ["fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"];
/// In the order in which the same key counts in both.
const SECTIONS: [&str; 2] = ["router_settings", "litellm_settings"];

/// Warns of settings without effect.
pub(super) fn check(snapshot: &Snapshot, top: &Map, problems: &mut Problems) {
    let router = &snapshot.router;
    let own_cooldowns =
        || snapshot.deployments.iter().any(|one| one.routing.limits.cooldown_ms > Some(0));
    if router.disable_cooldowns {
        let cooldowns = ["cooldown_time"].into_iter().chain(ABOUT_RESTS);
        let set = Set { key: "disable_cooldowns", value: "true", consequence: NO_COOLDOWN };
        useless(top, &set, cooldowns, problems);
    } else if router.cooldown_ms == 0 && !own_cooldowns() {
        let set = Set { key: "cooldown_time", value: "0", consequence: NO_COOLDOWN };
        useless(top, &set, ABOUT_RESTS, problems);
    }
    if router.max_fallbacks == 0 {
        let consequence = "no fallback is ever tried";
        let set = Set { key: "max_fallbacks", value: "0", consequence };
        useless(top, &set, FALLBACKS, problems);
    }
}

/// A key with a value that takes others their effect.
struct Set {
    key: &'static str,
    value: &'static str,
    consequence: &'static str,
}

/// Warns of each of `keys` that is written, because another one is set like this.
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

/// Where a key has a value that says something.
fn written<'m>(top: &'m Map, key: &'m str) -> impl Iterator<Item = (&'static str, At)> + 'm {
    SECTIONS.into_iter().filter_map(move |section| {
        let node = top.get(section)?.as_map()?.get(key).filter(|node| !node.is_unset())?;
        let is_empty = node.items().is_some_and(<[Node]>::is_empty);
        (!is_empty).then_some((section, node.at))
    })
}
