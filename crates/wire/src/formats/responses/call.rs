//! A call of a response that is written.
//!
//! Called by [`super::stream_write`]. Always true: its pieces may come between those of other calls; it is done once, with all
//! of its input.

use super::events::{Events, Place};
use super::output::{Called, End};
use crate::bytes::json::{JsonText, is_object};
use crate::formats::asked::CallKind;
use crate::formats::view::View;

/// A call that is open.
#[derive(Debug)]
pub(super) struct Call {
    place: Place,
    call_id: String,
    called: Called,
    input: String,
}

impl Call {
    /// A call of the function `name` begins.
    pub(super) fn begin(call_id: String, name: &str, view: &View, events: &mut Events) -> Call {
        let called = Called::of(view.asked(), name);
        let place = events.place(called.prefix(), view.serial);
        events.added(&place, |json| {
            called.write(json, (&place.id, &call_id), ("", "in_progress"));
        });
        Call { place, call_id, called, input: String::new() }
    }

    /// Adds a piece of its input.
    pub(super) fn input(&mut self, piece: &str, events: &mut Events) {
        self.input.push_str(piece);
        // The text of other calls is known at their end.
        if self.called.kind == CallKind::Function && !piece.is_empty() {
            self.argue(piece, events);
        }
    }

    fn argue(&self, piece: &str, events: &mut Events) {
        events.about("response.function_call_arguments.delta", &self.place, |json| {
            json.member("delta", piece);
        });
    }

    /// Whether its input is all there.
    pub(super) fn is_whole(&self) -> bool {
        is_object(&self.input)
    }

    /// Ends it.
    pub(super) fn end(mut self, events: &mut Events) {
        let given = std::mem::take(&mut self.input);
        let was_empty = given.is_empty();
        let input = self.called.input(given);
        match self.called.kind {
            CallKind::Function => {
                if was_empty {
                    self.argue(&input, events);
                }
                events.about("response.function_call_arguments.done", &self.place, |json| {
                    json.member("name", &self.called.name).member("arguments", &input);
                });
            }
            CallKind::Custom => {
                events.about("response.custom_tool_call_input.delta", &self.place, |json| {
                    json.member("delta", &input);
                });
                events.about("response.custom_tool_call_input.done", &self.place, |json| {
                    json.member("input", &input);
                });
            }
            CallKind::LocalShell
            | CallKind::Shell
            | CallKind::ApplyPatch
            | CallKind::ToolSearch => {}
        }
        let mut json = JsonText::with_room(input.len());
        let ids = (&*self.place.id, &*self.call_id);
        self.called.write(&mut json, ids, (&input, End::Complete.status()));
        events.done(&self.place, json);
    }
}
