//! What the content of a request says besides the names in it: whether it can be served, and what it asks for.
//!
//! Found by [`super::opening`]: by the worker, or apart from it for a large body. Always true: the body is read to its end
//! here and when it was parsed, and nowhere else before an attempt.

use hale_core::operation::Operation;
use hale_core::route::Controls;
use hale_core::usage::Units;
use hale_wire::modes;
use hale_wire::peek::Peek;
use http::request::Parts;

use super::billed_to;
use super::content;
use super::controls::{Source, all_controls};
use super::keepalive_wish::keepalive_ms;
use crate::http::refusal::Refusal;
use crate::state::Serving;

/// What the content of a request says.
pub(super) struct Facts {
    /// What it asks of routing.
    pub(super) controls: Controls,
    /// Billing units besides tokens, as far as it states them.
    pub(super) units: Units,
    /// Whether it asks for text instead of JSON.
    pub(super) wants_text: bool,
}

/// A body that was read apart from the worker.
pub(super) struct ReadApart {
    /// The model of the first request in a batch's file.
    pub(super) first_model: Option<String>,
    /// The facts, or why the request cannot be served.
    pub(super) facts: Result<Facts, Refusal>,
    /// The client's own customer, if the body names it.
    pub(super) customer: Option<Box<str>>,
    /// Who else it is billed to.
    pub(super) names: billed_to::Names,
}

impl Facts {
    /// The facts about the request with that head and body.
    pub(super) fn of(
        operation: Operation,
        serving: &Serving,
        head: &Parts,
        peek: &Peek,
    ) -> Result<Facts, Refusal> {
        content::check(operation, peek, head.uri.path())?;
        let source = Source { serving, format: operation.format(), peek, headers: &head.headers };
        let keepalive_ms = keepalive_ms(peek, &head.headers);
        Ok(Facts {
            controls: Controls { keepalive_ms, ..all_controls(source)? },
            units: modes::units::requested(operation, peek),
            wants_text: modes::transcripts::wants_text(operation, peek),
        })
    }
}
