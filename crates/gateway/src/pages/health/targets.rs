//! Which deployments a request for `/health` is about.
//!
//! Called by [`super::report`]. Always true: a name means the same as in a request, except that what a
//! provider calls a model means all deployments that ask for it.

use hale_core::deployment::DeploymentIndex;
use hale_core::route::{Resolved, nearest_names, resolve};
use hale_core::snapshot::Snapshot;

/// The deployments that the query names; all if it names none.
pub(super) fn targets(
    snapshot: &Snapshot,
    (id, name): &(Option<Box<str>>, Option<Box<str>>),
) -> Result<Vec<DeploymentIndex>, String> {
    if let Some(id) = id {
        let found = snapshot.by_id.get(&**id);
        return found
            .map(|index| vec![*index])
            .ok_or_else(|| format!("Model with ID {id} not found"));
    }
    let all = snapshot.deployments.iter();
    let Some(name) = name else { return Ok(all.map(|one| one.index).collect()) };
    if let Some(group) = snapshot.by_name.get(name) {
        return Ok(snapshot.group(*group).members.clone());
    }
    // What a provider calls it names all that ask for it; an alias, or a name that a pattern admits, leads
    // where a request would go.
    let by_param: Vec<_> =
        all.filter(|one| one.endpoint.model_param == *name).map(|one| one.index).collect();
    if !by_param.is_empty() && !snapshot.is_alias(name) {
        return Ok(by_param);
    }
    match resolve(snapshot, name) {
        Resolved::Target(target) => Ok(match target.pinned {
            Some(index) => vec![index],
            None => snapshot.group(target.group).members.clone(),
        }),
        Resolved::Unknown(_) if !by_param.is_empty() => Ok(by_param),
        Resolved::Unknown(_) => {
            let near = nearest_names(snapshot, name);
            let hint = near.first().map_or(String::new(), |near| format!("; did you mean {near}?"));
            Err(format!("Model {name} not found{hint}"))
        }
    }
}
