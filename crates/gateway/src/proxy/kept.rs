//! A response that some provider keeps: which deployment has it, and how a request gets there.
//!
//! Called by [`super::exchange`] for ids in paths and for `previous_response_id`. Always true: a request
//! about a kept response goes to the deployment that issued it, or to one that uses the same credential
//! of the same provider, and to nobody else.

use hale_core::deployment::DeploymentIndex;
use hale_core::endpoint::Operation;
use hale_core::route::Target;
use hale_core::snapshot::Snapshot;
use hale_wire::peek::Peek;

use super::Arrival;
use super::explain::{self, Refusal};
use crate::state::Object;

/// The field of a request that names the response to go on from.
const PREVIOUS: &str = "previous_response_id";

/// A response that a provider keeps.
pub(super) struct Kept {
    deployment: DeploymentIndex,
    /// The provider's own id.
    pub(super) id: Box<str>,
}

impl Kept {
    /// The response that a request is about or goes on from.
    ///
    /// # Errors
    /// As [`Kept::open`].
    pub(super) fn of(
        arrival: &Arrival,
        operation: Operation,
        path_name: Option<&str>,
        peek: &Peek,
    ) -> Result<Option<Kept>, Refusal> {
        if !operation.is_of_responses() {
            return Ok(None);
        }
        if let Some(id) = path_name.filter(|_| operation.is_by_id()) {
            return Kept::open(arrival, None, id).map(Some);
        }
        let id = peek.string(PREVIOUS).map_err(|error| explain::bad_body(&error))?;
        id.map(|id| Kept::open(arrival, Some(PREVIOUS), &id)).transpose()
    }

    /// What the client's `id` stands for. `field` is where it stands in the body; `None` is the path.
    ///
    /// # Errors
    /// When it is not ours, or its deployment is gone.
    fn open(arrival: &Arrival, field: Option<&str>, id: &str) -> Result<Kept, Refusal> {
        let Some(issued) = arrival.serving.ids.open(id) else {
            return Err(explain::foreign_response(field, id));
        };
        match arrival.serving.snapshot.by_id.get(&*issued.deployment) {
            Some(deployment) => Ok(Kept { deployment: *deployment, id: issued.id.into() }),
            None => Err(explain::response_without_deployment(field, &issued.deployment)),
        }
    }

    /// The name that stands in the answer: the group's; empty where a group has many models.
    pub(super) fn shown_model(&self, snapshot: &Snapshot) -> Box<str> {
        let group = snapshot.group(snapshot.deployment(self.deployment).group);
        if group.pattern.is_some() { "".into() } else { Box::from(&*group.name) }
    }

    /// Where requests about it go.
    pub(super) fn target(&self, snapshot: &Snapshot) -> Target {
        let group = snapshot.deployment(self.deployment).group;
        Target { group, pinned: Some(self.deployment), wildcard_name: None }
    }

    /// `target`, and of it the deployment that has this response.
    ///
    /// # Errors
    /// When none of its deployments has.
    pub(super) fn pin(&self, snapshot: &Snapshot, mut target: Target) -> Result<Target, Refusal> {
        let own = snapshot.deployment(self.deployment);
        let members = match &target.pinned {
            Some(only) => std::slice::from_ref(only),
            None => &snapshot.group(target.group).members,
        };
        let reads = |index: &&DeploymentIndex| snapshot.deployment(**index).shares_credential(own);
        let found = members.iter().find(|index| **index == self.deployment);
        match found.or_else(|| members.iter().find(reads)) {
            Some(index) => {
                target.pinned = Some(*index);
                Ok(target)
            }
            None => {
                let group = &snapshot.group(own.group).name;
                Err(explain::response_elsewhere(group, target.name(snapshot)))
            }
        }
    }

    /// What is asked of it. The version of the interface that an Azure client names is its own matter:
    /// the deployment has one.
    pub(super) fn object(&self, query: &str) -> Object {
        let asked = query.split('&').filter(|pair| !pair.starts_with("api-version="));
        Object { id: self.id.clone(), query: asked.collect::<Vec<_>>().join("&").into() }
    }
}

/// Whether a query asks for a stream.
pub(super) fn wants_stream(query: &str) -> bool {
    query.split('&').any(|pair| matches!(pair, "stream=true" | "stream=True" | "stream=1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_goes_along_without_the_clients_version() {
        let kept = Kept { deployment: DeploymentIndex(0), id: "resp_1".into() };
        let query =
            "api-version=2025-04-01-preview&limit=2&include%5B%5D=reasoning.encrypted_content";
        let object = kept.object(query);
        assert_eq!(&*object.query, "limit=2&include%5B%5D=reasoning.encrypted_content");
        assert!(kept.object("").query.is_empty());
        assert!(wants_stream("a=b&stream=true") && !wants_stream("stream=false"));
    }
}
