//! The names by which people read of deployments: in logs, metrics, errors and pages.
//!
//! Called by [`super::groups`] once all entries are read. Always true: each deployment has a name of its own;
//! it is `model_info.id` where the config gives one, and never a whole hash.

use std::collections::HashSet;
use std::sync::Arc;

use super::draft::Draft;

/// Digits of the hash behind a name that would not be the only one.
const DIGITS: usize = 8;

/// The name of each draft, in their order.
pub(super) fn of(drafts: &[Draft]) -> Vec<Arc<str>> {
    let given = drafts.iter().filter(|draft| has_own_id(draft));
    let mut taken: HashSet<Arc<str>> = given.map(|draft| draft.deployment.id.clone()).collect();
    drafts.iter().map(|draft| name(draft, &mut taken)).collect()
}

fn has_own_id(draft: &Draft) -> bool {
    *draft.deployment.id != *draft.hash
}

fn name(draft: &Draft, taken: &mut HashSet<Arc<str>>) -> Arc<str> {
    let id = &draft.deployment.id;
    if has_own_id(draft) {
        return id.clone();
    }
    let model = &draft.deployment.endpoint.model_param;
    let place = &draft.deployment.display.declared_at;
    let line = place.rsplit_once(':').map_or(&**place, |(_, line)| line);
    let with_line = format!("{model} :{line}");
    let with_digits = format!("{with_line} {}", id.get(..DIGITS).unwrap_or(id));
    let mut names = [with_line, with_digits].into_iter().map(Arc::from);
    let name = names.find(|name| !taken.contains(name)).unwrap_or_else(|| id.clone());
    taken.insert(name.clone());
    name
}
