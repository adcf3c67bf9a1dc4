//! Objects that a provider stores (responses, files, batches): which deployment has one, and how a request
//! for it is routed there.
//!
//! Called by [`super::opening`] for ids in paths, bodies and queries. Always true: a request about a stored
//! object goes only to the deployment that issued its id, or to one that uses the same credential of the
//! same provider; who does not own an object learns no more of it than of one that is not there.

use hale_core::deployment::DeploymentIndex;
use hale_core::operation::{Carries, Kind, Operation};
use hale_core::route::Target;
use hale_core::snapshot::Snapshot;
use hale_core::tenancy::Owner;
use hale_wire::id::Named;
use hale_wire::peek::Peek;

use super::explain;
use crate::arrival::Arrival;
use crate::http::query;
use crate::http::refusal::{self, Refusal};
use crate::upstream::ObjectPath;

/// An object that a provider stores.
pub(super) struct StoredObject {
    deployment: DeploymentIndex,
    kind: Kind,
    /// The field of the body or query that holds its id; `None` for the path.
    field: Option<&'static str>,
    /// The provider's own id.
    pub(super) id: Box<str>,
    /// The id as the client sent it.
    shown: Box<str>,
    /// Whose it is.
    owner: Owner,
}

impl StoredObject {
    /// The object that a request addresses or refers to.
    ///
    /// # Errors
    /// As [`StoredObject::open`].
    pub(super) fn of(
        arrival: &Arrival,
        operation: Operation,
        path_name: Option<&str>,
        peek: &Peek,
        query: &str,
    ) -> Result<Option<StoredObject>, Refusal> {
        let own = operation.kind().zip(path_name).filter(|_| operation.is_by_id());
        if let Some((kind, id)) = own {
            return StoredObject::open(arrival, kind, None, id).map(Some);
        }
        let Some((field, kind)) = operation.refers_to() else { return Ok(None) };
        let id = match operation.carries() {
            Carries::Nothing => query::value(query, field),
            Carries::Json | Carries::Form | Carries::Anything => {
                let id = peek.string(field).map_err(|error| refusal::bad_body(&error))?;
                id.map(|id| Box::from(&*id))
            }
        };
        id.map(|id| StoredObject::open(arrival, kind, Some(field), &id)).transpose()
    }

    /// The object behind the client's `id`. `field` of the body or query holds it; `None` for the path.
    ///
    /// # Errors
    /// The id was not issued by this gateway to this client, or its deployment is no longer configured.
    fn open(
        arrival: &Arrival,
        kind: Kind,
        field: Option<&'static str>,
        id: &str,
    ) -> Result<StoredObject, Refusal> {
        let issued = arrival.serving.ids.key().and_then(|key| key.open(kind, id));
        let issued = issued.filter(|issued| arrival.principal.may_use(&issued.owner));
        let Some(issued) = issued else {
            let has_key = arrival.principal.access().is_some();
            return Err(match has_key {
                true => explain::not_the_keys_own(kind, field, id),
                false => explain::foreign_id(kind, field, id),
            });
        };
        match arrival.serving.snapshot.by_id.get(&*issued.deployment) {
            _ if issued.is_translated() => Err(explain::kept_nowhere(field, id)),
            Some(deployment) => Ok(StoredObject {
                deployment: *deployment,
                kind,
                field,
                id: issued.id.into(),
                shown: id.into(),
                owner: issued.owner,
            }),
            None => Err(explain::stored_without_deployment(kind, field, &issued.deployment)),
        }
    }

    /// It, as the answer to its request names it.
    pub(super) fn named(&self) -> Named {
        Named { kind: self.kind, id: self.id.clone(), shown: self.shown.clone() }
    }

    /// The model name shown in the answer: the group's; empty if the group has many models.
    pub(super) fn shown_model(&self, snapshot: &Snapshot) -> Box<str> {
        let group = snapshot.group(snapshot.deployment(self.deployment).group);
        if group.pattern.is_some() { "".into() } else { Box::from(&*group.name) }
    }

    /// The target of requests about it.
    pub(super) fn target(&self, snapshot: &Snapshot) -> Target {
        let group = snapshot.deployment(self.deployment).group;
        Target { group, pinned: Some(self.deployment), wildcard_name: None }
    }

    /// `target`, pinned to a deployment that can read this object.
    ///
    /// # Errors
    /// No deployment of `target` can read it.
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
                let field = self.field.unwrap_or("id");
                Err(explain::stored_elsewhere(self.kind, field, group, target.name(snapshot)))
            }
        }
    }
}

/// Whose the objects are that a request makes or gets: those of an object that it is about belong to the same owner.
///
/// # Errors
/// It asks for a list, which a provider makes of what all clients of its account keep there.
pub(super) fn owner(
    arrival: &Arrival,
    operation: Operation,
    stored: Option<&StoredObject>,
) -> Result<Owner, Refusal> {
    let Some(kind) = operation.kind() else { return Ok(Owner::NONE) };
    match stored {
        Some(stored) if operation.is_by_id() => Ok(stored.owner),
        Some(_) | None => {
            let lists = !operation.is_by_id() && operation.carries() == Carries::Nothing;
            if lists && !arrival.principal.may_use(&Owner::NONE) {
                return Err(explain::list_of_all(kind));
            }
            Ok(arrival.principal.owner())
        }
    }
}

/// The path id and query for the upstream: of `stored` if the path names it, else of a list.
pub(super) fn object(
    operation: Operation,
    stored: Option<&StoredObject>,
    query: &str,
) -> Option<ObjectPath> {
    if operation.carries() != Carries::Nothing {
        return None;
    }
    let mut asked = query::only(query, operation.query());
    let id = match (stored, operation.refers_to()) {
        (Some(stored), None) => stored.id.clone(),
        (Some(stored), Some((field, _))) => {
            query::push(&mut asked, field, &stored.id);
            Box::default()
        }
        (None, _) => Box::default(),
    };
    Some(ObjectPath { id, query: asked.into() })
}

/// Whether a query asks for a stream.
///
/// # Errors
/// It can be read in two ways.
pub(super) fn wants_stream(query: &str) -> Result<bool, Refusal> {
    let mut asked = None;
    for (_, value) in query::pairs(query).filter(|(name, _)| name == "stream") {
        let value = match &*query::decoded_form(value.unwrap_or_default()) {
            "true" | "True" | "1" => true,
            "false" | "False" | "0" => false,
            _ => return Err(refusal::bad_parameter("stream", "`stream` must be true or false")),
        };
        if asked.replace(value).is_some() {
            return Err(refusal::bad_parameter("stream", "the query has `stream` twice"));
        }
    }
    Ok(asked.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(operation: Operation, field: Option<&'static str>, query: &str) -> (String, String) {
        let kind = operation.kind().unwrap();
        let stored = StoredObject {
            deployment: DeploymentIndex(0),
            kind,
            field,
            id: "x_1".into(),
            shown: "ours".into(),
            owner: Owner::NONE,
        };
        let object = object(operation, Some(&stored), query).unwrap();
        (object.id.into(), object.query.into())
    }

    #[test]
    fn the_query_is_passed_on_without_the_gateways_own_parameters() {
        let query =
            "api-version=2025-04-01-preview&limit=2&include%5B%5D=reasoning.encrypted_content";
        let passed = "limit=2&include%5B%5D=reasoning.encrypted_content";
        let own = |query: &str| ("x_1".to_owned(), query.to_owned());
        assert_eq!(asked(Operation::ListInputItems, None, query), own(passed));
        assert_eq!(asked(Operation::GetFile, None, "model=m&x=y"), own(""));
        let hidden = "api%2dversion=2020-01-01&mod%65l=x&custom_llm_provide%72=y&unheard_of=z";
        assert_eq!(asked(Operation::GetResponse, None, hidden), own(""));
        let list = |query: &str| asked(Operation::ListFiles, Some("after"), query);
        assert_eq!(
            list("aft%65r=ours&limit=2&model=m"),
            (String::new(), "limit=2&after=x_1".to_owned())
        );
        assert_eq!(list("after=ours").1, "after=x_1");
        let all = object(Operation::ListBatches, None, "limit=1&provider=openai").unwrap();
        assert_eq!((&*all.id, &*all.query), ("", "limit=1"));
        assert!(object(Operation::CreateBatch, None, "x=1").is_none());
        let streams = |query| wants_stream(query).ok();
        for query in ["a=b&stream=true", "str%65am=tr%75e", "stream=1"] {
            assert_eq!(streams(query), Some(true), "{query}");
        }
        assert_eq!((streams("stream=false"), streams("a")), (Some(false), Some(false)));
        for query in ["stream=yes", "stream", "stream=false&stream=true", "stream=0&strea%6d=0"] {
            assert_eq!(streams(query), None, "{query}");
        }
    }
}
