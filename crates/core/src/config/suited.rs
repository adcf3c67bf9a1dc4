//! Whether a fallback can do what the group before it can.
//!
//! Called by [`super::fallbacks`] for each pair that the config names. Always true: it speaks only of what is
//! known, from `model_info` or the price list; an unknown model is trusted.

use crate::deployment::Deployment;
use crate::group::GroupIndex;
use crate::prices::ModelFacts;
use crate::route::window;
use crate::snapshot::Snapshot;

use super::problem::{Wrong, shown};

/// Names what a request may find lacking that goes from the group `from` to the group `to`.
///
/// `for_length` says that it goes there because it is too long.
pub(super) fn lacks(snapshot: &Snapshot, from: &str, to: &str, for_length: bool) -> Vec<Wrong> {
    let (Some(&first), Some(&second)) = (snapshot.by_name.get(from), snapshot.by_name.get(to))
    else {
        return Vec::new();
    };
    if first == second {
        return Vec::new();
    }
    let (from, to) = (shown(from), shown(to));
    let mut wrongs = Vec::new();
    if let (Some(large), Some(small)) = (largest(snapshot, first), largest(snapshot, second)) {
        let hint = "order fallbacks by their windows; correct `max_input_tokens` in model_info if the \
                    price list is wrong";
        if for_length && small <= large {
            let problem = format!(
                "`{to}` takes no longer prompts ({small} tokens) than `{from}` ({large}): it can not help"
            );
            wrongs.push(Wrong::new(problem, hint));
        } else if small < large {
            let problem = format!(
                "`{to}` takes prompts of {small} tokens, `{from}` of {large}: longer ones fail there"
            );
            wrongs.push(Wrong::new(problem, hint));
        }
    }
    let abilities: [(&str, &str, Ability); 2] = [
        ("call tools", "supports_function_calling", |facts| facts.supports_function_calling),
        ("see images", "supports_vision", |facts| facts.supports_vision),
    ];
    for (what, key, ability) in abilities {
        if has(snapshot, first, ability) && is_without(snapshot, second, ability) {
            let problem = format!("`{to}` is not known to {what}, which `{from}` does");
            let hint = format!(
                "name a group that does; or set `{key}: true` in its model_info if it does"
            );
            wrongs.push(Wrong::new(problem, hint));
        }
    }
    wrongs
}

type Ability = fn(&ModelFacts) -> Option<bool>;

fn members(snapshot: &Snapshot, group: GroupIndex) -> impl Iterator<Item = &Deployment> {
    let members = snapshot.group(group).members.iter();
    let all = members.map(|index| &**snapshot.deployment(*index));
    all.filter(|one| one.misconfigured.is_none() && one.endpoint.mock.is_none())
}

/// The longest prompt that one of the group takes; nothing where that is not known of all.
fn largest(snapshot: &Snapshot, group: GroupIndex) -> Option<u64> {
    let windows: Option<Vec<u64>> = members(snapshot, group).map(window).collect();
    windows?.into_iter().max()
}

fn has(snapshot: &Snapshot, group: GroupIndex, ability: Ability) -> bool {
    members(snapshot, group).any(|one| ability(&one.facts) == Some(true))
}

/// Whether nobody in the group is known to have it, and everybody is known: the list names what models can.
fn is_without(snapshot: &Snapshot, group: GroupIndex, ability: Ability) -> bool {
    let lacks = |one: &Deployment| match ability(&one.facts) {
        Some(able) => !able,
        None => one.facts.litellm_provider.is_some(),
    };
    members(snapshot, group).next().is_some() && members(snapshot, group).all(lacks)
}
