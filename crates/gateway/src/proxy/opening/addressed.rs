//! The second phase of a request for a model: what it addresses, a model or a stored object.
//!
//! Called by [`super::Opening::run`]. Always true: only objects that this gateway issued to this client are addressed, and a body that
//! carries credentials or addresses of upstreams goes no further.

use hale_core::operation;
use hale_wire::peek::Peek;

use super::Opening;
use crate::http::refusal::Refusal;
use crate::proxy::content;
use crate::proxy::stored_object::StoredObject;

/// Where the model's name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// The request names it.
    Client,
    /// The request names none: it is the group of the stored object.
    StoredObject,
}

/// What the request addresses.
pub(super) struct Addressed {
    pub(super) model: Box<str>,
    pub(super) named_by: NamedBy,
    pub(super) stored: Option<StoredObject>,
}

impl Opening {
    /// Finds what the request addresses. Only objects of this gateway may be addressed, and the body may carry
    /// neither credentials nor upstream addresses.
    pub(super) fn authorize(
        &mut self,
        peek: &Peek,
        (first_model, goes_on): (Option<Option<String>>, bool),
    ) -> Result<Addressed, Refusal> {
        let addressed = self.addressed(peek, (first_model, goes_on))?;
        if addressed.named_by == NamedBy::Client {
            let name = self.recorded_name(&addressed.model);
            self.delivery.note(|record| record.requested_model = Some(name));
        }
        content::check_objections(peek, &self.arrival.serving.snapshot.gateway)?;
        content::check_file_ids(self.operation, peek)?;
        Ok(addressed)
    }

    fn addressed(
        &mut self,
        peek: &Peek,
        (first_model, goes_on): (Option<Option<String>>, bool),
    ) -> Result<Addressed, Refusal> {
        let (operation, route) = (self.operation, self.head.uri.path());
        let snapshot = &self.arrival.serving.snapshot;
        let query = self.head.uri.query().unwrap_or_default();
        let stored = match goes_on {
            // The gateway has the response: any deployment can go on from it.
            true => None,
            false => {
                StoredObject::of(&self.arrival, operation, self.path_name.as_deref(), peek, query)?
            }
        };
        let named = match operation.addressed() {
            operation::Addressed::ById => None,
            operation::Addressed::ByAccount => match content::named_model(peek, &self.head)? {
                Some(named) => Some(named),
                None => content::account_model(snapshot, operation, || {
                    first_model.unwrap_or_else(|| content::batch_model(operation, peek))
                })?,
            },
            // What follows in the path is not a name.
            operation::Addressed::ByProvider => None,
            operation::Addressed::ByModel => {
                let named = self.path_name.take().map(|name| content::path_model(operation, name));
                Some(content::model(operation, route, named, peek)?)
            }
        };
        let (model, named_by) = match (named, &stored) {
            (Some(model), _) => (model, NamedBy::Client),
            (None, Some(stored)) => (stored.shown_model(snapshot), NamedBy::StoredObject),
            (None, None) => return Err(content::no_account(operation, route, peek)),
        };
        Ok(Addressed { model, named_by, stored })
    }
}
