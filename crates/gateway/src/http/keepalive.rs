//! Comments in a stream that is silent, so that nothing between the gateway and the client takes it for dead.
//!
//! Owned by the body of an answer ([`super::reply`]). Always true: a comment stands between two events, says nothing, and is no part
//! of what is kept of the answer; a stream whose deployment wants none costs nothing.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hale_core::provider::WireFormat;
use hale_core::time::Millis;
use tokio::time::Sleep;

use crate::clock;

/// The timer of a stream's comments.
pub(crate) struct Keepalive {
    comment: &'static [u8],
    /// When the client got something last.
    last: Millis,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Keepalive {
    /// For a stream that a client of `format` reads.
    pub(crate) fn of(format: WireFormat) -> Keepalive {
        let comment: &[u8] = match format {
            // Google's library for Python takes any line for JSON that is neither empty nor data. White space also stands
            // between the elements of a list.
            WireFormat::Gemini => b"\r\n",
            WireFormat::OpenAi
            | WireFormat::Anthropic
            | WireFormat::Responses
            | WireFormat::Cohere
            | WireFormat::Converse
            | WireFormat::Ollama => b": keepalive\n\n",
        };
        Keepalive { comment, last: clock::now().millis(), timer: None }
    }

    /// The client has got something.
    pub(crate) fn spoke(&mut self) {
        self.last = clock::now().millis();
    }

    /// Ready with a comment once it was silent for `every_ms`. The timer is reset only when it fires, or is due earlier.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, every_ms: u64) -> Poll<&'static [u8]> {
        loop {
            let due = self.last.plus(every_ms);
            let instant = clock::timer_instant(due);
            let timer =
                self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(instant)));
            let rings_late = timer.deadline() > instant;
            if timer.as_mut().poll(cx).is_pending() && !rings_late {
                return Poll::Pending;
            }
            if clock::now().millis() >= due {
                self.spoke();
                return Poll::Ready(self.comment);
            }
            timer.as_mut().reset(instant);
        }
    }
}
