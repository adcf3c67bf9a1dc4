//! Whether a fallback can do what the group before it can.
//!
//! Called by [`super::fallbacks`] for each pair in the config. Always true: it uses only known
//! facts, from `model_info` or the price list; an unknown model is assumed to be able.

use crate::deployment::Deployment;
use crate::group::GroupIndex;
use crate::prices::ModelFacts;
use crate::route::window;
use crate::snapshot::Snapshot;

use super::problem::{Wrong, shown};

/// Why a request moves to a fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moves {
    /// The group before it failed.
    AfterFailure,
    /// It is too long for the group before it.
    ForLength,
}

/// Names what a request may lack when it `moves` from the group `from` to the group `to`.
pub(super) fn lacks(snapshot: &Snapshot, from: &str, to: &str, moves: Moves) -> Vec<Wrong> {
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
        if moves == Moves::ForLength && small <= large {
            let problem = format!(
                "`{to}` has no larger context window ({small} tokens) than `{from}` ({large}): it cannot help"
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
            let problem = format!("`{to}` is not known to {what}, and `{from}` is");
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

/// The longest prompt that a member of the group takes; `None` unless it is known of all members.
fn largest(snapshot: &Snapshot, group: GroupIndex) -> Option<u64> {
    let windows: Option<Vec<u64>> = members(snapshot, group).map(window).collect();
    windows?.into_iter().max()
}

fn has(snapshot: &Snapshot, group: GroupIndex, ability: Ability) -> bool {
    members(snapshot, group).any(|one| ability(&one.facts) == Some(true))
}

/// Whether all members of the group are known and none has it: the list names what models can do.
fn is_without(snapshot: &Snapshot, group: GroupIndex, ability: Ability) -> bool {
    let lacks = |one: &Deployment| match ability(&one.facts) {
        Some(able) => !able,
        None => one.facts.litellm_provider.is_some(),
    };
    members(snapshot, group).next().is_some() && members(snapshot, group).all(lacks)
}
