//! What a client asks of a model, as far as the gateway reads it.
//!
//! Filled by [`super::opening`], read by [`super::exchange`] for each attempt. Always true: the body is held
//! until the first content of an answer, and beyond it only where it is small.

use hale_core::operation::Operation;
use hale_core::route::Controls;
use hale_core::usage::Units;
use hale_wire::peek::Peek;

use super::attempt::AnswerForm;
use super::dialect::Dialect;
use super::kept::Kept;
use crate::limits::Held;
use crate::upstream::ObjectPath;

/// Largest body that is kept beyond the first content of its answer, bytes: a conversation of some 60,000
/// tokens. A stream without it costs some 25 KB.
const KEPT_BODY_MAX: usize = 256 << 10;
/// The part of the memory for bodies that such bodies may fill: one in so many bytes.
const KEPT_SHARE: usize = 4;

/// A request for a model.
pub(super) struct ModelRequest {
    /// What is asked for.
    pub(super) operation: Operation,
    /// The body, as long as it can be sent to a deployment.
    pub(super) body: Option<Body>,
    /// The model's name. Empty where the request is about a stored object of a group with many models.
    pub(super) model: Box<str>,
    /// The stored object (response, file, batch) that the request addresses or refers to.
    pub(super) kept: Option<Kept>,
    /// The path id and the query to send upstream for it.
    pub(super) object: Option<ObjectPath>,
    /// What the client asks of the routing.
    pub(super) controls: Controls,
    /// The form of the answer.
    pub(super) form: AnswerForm,
    /// What is charged for besides tokens, as far as the request says.
    pub(super) units: Units,
    /// Headers of the client that go along.
    pub(super) dialect: Dialect,
    /// What of the answer the client asked to see.
    pub(super) shows: Shows,
}

/// A body, with its share of the memory for bodies.
pub(super) struct Body {
    /// Its fields.
    pub(super) peek: Peek,
    /// Its bytes are counted until this is dropped.
    pub(super) held: Held,
}

/// What a client asked to see besides the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shows {
    /// A stream's usage.
    pub(super) usage: bool,
    /// The way that the request took.
    pub(super) route: bool,
    /// The errors that were met on the way.
    pub(super) errors: bool,
}

impl ModelRequest {
    /// The fields of the body, as long as it is held.
    pub(super) fn peek(&self) -> Option<&Peek> {
        self.body.as_ref().map(|body| &body.peek)
    }

    /// The first content is there: a large body is let go, and a small one where many are kept already.
    /// `limit` bounds all bodies of the process, bytes.
    pub(super) fn keep_small_body(&mut self, limit: usize) {
        let keeps = self.body.as_mut().is_some_and(|body| {
            body.held.bytes() <= KEPT_BODY_MAX && body.held.keep(limit / KEPT_SHARE)
        });
        if !keeps {
            self.body = None;
        }
    }
}
