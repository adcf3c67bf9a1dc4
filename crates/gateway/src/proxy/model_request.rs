//! A client's request for a model, as far as the gateway reads it.
//!
//! Filled by [`super::opening`], read by [`super::exchange`] for each attempt. Always true: the body is held
//! until the first content of an answer, and longer only if it is small.

use hale_core::operation::Operation;
use hale_core::route::Controls;
use hale_core::tenancy::Owner;
use hale_core::usage::Units;
use hale_wire::peek::Peek;

use super::attempt::AnswerForm;
use super::cache_wish::CacheWish;
use super::dialect::Dialect;
use super::fetched_body::FetchedBody;
use super::history::History;
use super::pass_through::PassThrough;
use super::simulated::Simulated;
use super::stored_object::StoredObject;
use crate::limits::Held;
use crate::upstream::ObjectPath;

/// Largest body that is kept beyond the first content of its answer, bytes: a conversation of some 60,000
/// tokens. A stream without it costs some 25 KB.
const KEPT_BODY_MAX: usize = 256 << 10;
/// Such bodies may fill this fraction of the memory for bodies: one byte in so many.
const KEPT_SHARE: usize = 4;

/// A request for a model.
pub(super) struct ModelRequest {
    /// The operation.
    pub(super) operation: Operation,
    /// The body, as long as it is held for further attempts.
    pub(super) body: Option<Body>,
    /// The model's name. Empty for a stored object of a group with many models.
    pub(super) model: Box<str>,
    /// The stored object (response, file, batch) that the request addresses or refers to.
    pub(super) stored: Option<StoredObject>,
    /// Whose the stored objects of its answer are.
    pub(super) owner: Owner,
    /// The path id and the query to send upstream for it.
    pub(super) object: Option<ObjectPath>,
    /// What the client asks of routing.
    pub(super) controls: Controls,
    /// The form of the answer.
    pub(super) form: AnswerForm,
    /// Billing units besides tokens, as far as the request states them.
    pub(super) units: Units,
    /// The client's headers that are passed on.
    pub(super) dialect: Dialect,
    /// Extras that the client asked to see.
    pub(super) shows: Shows,
    /// What is passed through, if it is not read.
    pub(super) passed: Option<Box<PassThrough>>,
    /// What is simulated in place of an upstream's answer.
    pub(super) simulated: Option<Box<Simulated>>,
    /// What the cache of answers does for it.
    pub(super) cache_wish: Option<Box<CacheWish>>,
    /// What it adds to a conversation that is kept.
    pub(super) history: Option<Box<History>>,
}

/// A body and its share of the memory for bodies.
pub(super) struct Body {
    /// Its fields.
    pub(super) peek: Peek,
    /// Its bytes are counted until this is dropped.
    pub(super) held: Held,
    /// What was fetched of what it names by address.
    pub(super) fetched: Option<Box<FetchedBody>>,
}

impl Body {
    /// A body of which nothing was fetched.
    pub(super) fn new(peek: Peek, held: Held) -> Body {
        Body { peek, held, fetched: None }
    }
}

/// Extras that a client asked to see besides the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shows {
    /// The usage of a stream.
    pub(super) usage: bool,
    /// The route that the request took.
    pub(super) route: bool,
    /// The errors of failed attempts.
    pub(super) errors: bool,
}

impl ModelRequest {
    /// Whether it is not made again if the provider may have carried it out.
    pub(super) fn runs_once(&self) -> bool {
        match &self.passed {
            Some(passed) => !passed.method.is_idempotent(),
            None => self.operation.runs_once(),
        }
    }

    /// The fields of the body, as long as it is held.
    pub(super) fn peek(&self) -> Option<&Peek> {
        self.body.as_ref().map(|body| &body.peek)
    }

    /// After the first content: drops a large body, or a small one if too many are kept already. `limit`
    /// bounds all bodies of the process, bytes.
    pub(super) fn keep_small_body(&mut self, limit: usize) {
        let keeps = self.body.as_mut().is_some_and(|body| {
            let is_small = body.held.bytes() <= KEPT_BODY_MAX && body.fetched.is_none();
            is_small && body.held.keep(limit / KEPT_SHARE)
        });
        if !keeps {
            self.body = None;
        }
    }
}
