//! Deployments that belong to a team: only keys of the team reach them.
//!
//! Called by [`super::groups`] before groups are made, and after. Always true: a group is of one team, or of none; a deployment of a
//! team whose name others have too serves no request, rather than everybody's.

use std::collections::HashMap;

use crate::deployment::{Lack, Misconfigured};
use crate::snapshot::Snapshot;

use super::draft::Draft;
use super::problem::{Problems, Wrong, shown};

/// Gives deployments of one team that it calls the same one name, and stops those that would serve others.
pub(super) fn separate(drafts: &mut [Draft], problems: &mut Problems) {
    if drafts.iter().all(|draft| draft.deployment.routing.team.is_none()) {
        return;
    }
    let mut names: HashMap<(Box<str>, Box<str>), Box<str>> = HashMap::new();
    for draft in drafts.iter_mut() {
        let Some(of) = &draft.deployment.routing.team else { continue };
        let Some(public) = &of.public_name else { continue };
        let key = (of.team.clone(), public.clone());
        draft.name = names.entry(key).or_insert_with(|| draft.name.clone()).clone();
    }
    let mut teams: HashMap<Box<str>, Vec<Option<Box<str>>>> = HashMap::new();
    for draft in drafts.iter() {
        let team = draft.deployment.routing.team.as_ref().map(|of| of.team.clone());
        let known = teams.entry(draft.name.clone()).or_default();
        if !known.contains(&team) {
            known.push(team);
        }
    }
    for draft in drafts.iter_mut() {
        let Some(of) = &draft.deployment.routing.team else { continue };
        let wrong = if teams.get(&draft.name).is_some_and(|known| known.len() > 1) {
            let problem = format!(
                "belongs to the team {}, and other deployments of `{}` do not",
                shown(&of.team),
                shown(&draft.name)
            );
            let hint = "give it a `model_name` of its own, and the team's name for it in `model_info.team_public_model_name`";
            Wrong::new(problem, hint)
        } else if of.public_name.as_deref().unwrap_or(&draft.name).contains('*') {
            let hint = "write the name of one model";
            Wrong::new("is a pattern, and models of teams have names", hint)
        } else {
            continue;
        };
        let (problem, hint) = (wrong.problem.as_str().into(), wrong.hint.as_str().into());
        let found = Misconfigured { lack: Lack::Setting, problem, hint };
        draft.deployment.misconfigured.get_or_insert(found);
        // It is in a group of its own, which no request reaches.
        draft.name = format!("{} of a team {}", draft.name, draft.deployment.id).into();
        draft.warn(wrong, problems);
    }
}

/// Notes what each team calls its groups.
pub(super) fn fill(snapshot: &mut Snapshot) {
    for deployment in &snapshot.deployments {
        let Some(of) = &deployment.routing.team else { continue };
        let group = &mut snapshot.groups[deployment.group.0 as usize];
        group.team = Some(of.team.clone());
        let public = of.public_name.clone().unwrap_or_else(|| group.name.as_ref().into());
        snapshot.of_teams.entry(of.team.clone()).or_default().insert(public, deployment.group);
    }
}
