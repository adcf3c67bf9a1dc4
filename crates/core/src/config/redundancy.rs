//! Deployments of one group that are less independent than they look.
//!
//! Called by [`super::groups`] with all drafts in their groups. Always true: it only warns;
//! deployments that cannot serve, and canned answers, are ignored.

use std::collections::HashMap;

use crate::deployment::Deployment;
use crate::health::CredentialId;

use super::draft::Draft;
use super::problem::{Problems, Wrong, shown};

/// Warns about deployments in `members` that are the same, and about groups that depend on one key:
/// once for all groups with the same key.
pub(super) fn check(members: &[Vec<usize>], drafts: &[Draft], problems: &mut Problems) {
    let mut with_one_key: Vec<(CredentialId, Vec<(&Draft, usize)>)> = Vec::new();
    let mut places: HashMap<CredentialId, usize> = HashMap::new();
    for group in members {
        let able = |draft: &&Draft| {
            let one = &draft.deployment;
            one.misconfigured.is_none() && one.endpoint.mock.is_none() && !one.routing.is_paused
        };
        let group: Vec<&Draft> = group.iter().filter_map(|i| drafts.get(*i)).filter(able).collect();
        let distinct = duplicates(&group, problems);
        let Some((first, key)) = one_key(&group).filter(|_| distinct > 1) else { continue };
        let found = (first, group.len());
        match places.get(&key).and_then(|place| with_one_key.get_mut(*place)) {
            Some((_, groups)) => groups.push(found),
            None => {
                places.insert(key, with_one_key.len());
                with_one_key.push((key, vec![found]));
            }
        }
    }
    for (_, groups) in with_one_key {
        hang_on(&groups, problems);
    }
}

/// Warns about members that differ in nothing that matters to the provider; returns how many
/// differ.
fn duplicates(group: &[&Draft], problems: &mut Problems) -> usize {
    let mut firsts: HashMap<_, &Draft> = HashMap::new();
    let mut distinct = 0;
    for draft in group {
        let one = &draft.deployment;
        let place = (&one.endpoint.upstream_model, &one.endpoint.api_base, &one.credential.api_key);
        let first = *firsts.entry(place).or_insert(draft);
        if std::ptr::eq(first, *draft) || !are_same(&first.deployment, one) {
            distinct += 1;
            continue;
        }
        let problem = format!(
            "the entry on {} has the same model, address and key: the two fail together",
            problems.other_place(draft.at, first.at)
        );
        draft.warn(Wrong::new(problem, "remove one; `weight` gives it more traffic"), problems);
    }
    distinct
}

fn are_same(a: &Deployment, b: &Deployment) -> bool {
    std::ptr::eq(a.endpoint.provider, b.endpoint.provider)
        && a.credential.organization == b.credential.organization
        && a.credential.extra_headers == b.credential.extra_headers
        && a.endpoint.default_params == b.endpoint.default_params
        && a.routing.tags.tags == b.routing.tags.tags
        && a.routing.tags.patterns.is_empty()
        && b.routing.tags.patterns.is_empty()
        && a.endpoint.azure.is_none()
        && b.endpoint.azure.is_none()
}

/// The key that all members of a group have, with the first member.
fn one_key<'d>(group: &[&'d Draft]) -> Option<(&'d Draft, CredentialId)> {
    let (first, others) = group.split_first()?;
    let key = first.deployment.credential.id?;
    let has = |one: &&Draft| one.deployment.credential.id == Some(key);
    others.iter().all(has).then_some((*first, key))
}

fn hang_on(groups: &[(&Draft, usize)], problems: &mut Problems) {
    let Some(((first, count), others)) = groups.split_first() else { return };
    let others = match others.len() {
        0 => String::new(),
        1 => ", and so have those of another group".to_owned(),
        more => format!(", and so have those of {more} other groups"),
    };
    let problem = format!(
        "all {count} deployments of `{}` have one key at {}{others}: a refusal, a rate limit or an empty \
         account stops them all",
        shown(&first.name),
        first.deployment.endpoint.host()
    );
    first.warn(Wrong::new(problem, "give one of them another key or provider"), problems);
}
