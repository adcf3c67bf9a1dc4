//! An error whose client may have the head of a stream already.
//!
//! Written by [`super::delivery`] beside the answer that the client would get otherwise, taken by [`super::early`]. Always true: it
//! says what that answer says.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use hale_core::provider::WireFormat;
use hale_wire::edit::json_string;
use hale_wire::errors::ErrorReply;
use hale_wire::late;

use super::attempt::AnswerForm;
use crate::clock;

/// The error of a request whose client has the head of a stream already, as an event.
#[derive(Clone)]
pub(super) struct LateError(Bytes);

/// What an error behind the head of a stream is written with.
pub(super) struct Late {
    format: WireFormat,
    form: AnswerForm,
    model: Box<str>,
    begun: Begun,
}

/// Whether the first attempt of a request has begun. Before that nothing leaves, so that a refusal is one by its status, too.
#[derive(Clone, Default)]
pub(super) struct Begun(Rc<Cell<bool>>);

impl Begun {
    /// Whether it has.
    pub(super) fn has(&self) -> bool {
        self.0.get()
    }
}

impl LateError {
    /// Its bytes.
    pub(super) fn event(&self) -> Bytes {
        self.0.clone()
    }
}

impl Late {
    /// For a client of that format, which asked for that form and that model.
    pub(super) fn new((format, form): (WireFormat, AnswerForm), model: Box<str>) -> Late {
        Late { format, form, model, begun: Begun::default() }
    }

    /// Whether the first attempt has begun, for the stream that may begin before its answer.
    pub(super) fn begun(&self) -> Begun {
        self.begun.clone()
    }

    /// An attempt begins.
    pub(super) fn begins(&self) {
        self.begun.0.set(true);
    }

    /// The error as an event.
    pub(super) fn event(&self, reply: &ErrorReply) -> LateError {
        let said = late::Said {
            model_json: json_string(&self.model).into(),
            created: clock::unix_ms() / 1000,
            serial: fastrand::u128(..),
        };
        let event = late::failure(reply, self.format, said);
        LateError(match self.form {
            AnswerForm::List => late::listed(event).into(),
            AnswerForm::Events | AnswerForm::Json | AnswerForm::Text => event.into(),
        })
    }
}
