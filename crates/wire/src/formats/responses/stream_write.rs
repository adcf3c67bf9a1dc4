//! Writes neutral deltas as the events of a response.
//!
//! Called for clients of responses whose provider speaks another wire, also for answers in one piece, whose events are not
//! shown. Always true: `response.created` comes first; an item is added before its pieces and done after them; one event ends
//! the response, and it has all items that are done.

use hale_core::usage::Usage;

use super::call::Call;
use super::events::Events;
use super::message::{Message, PartKind};
use super::output::End;
use super::reasoning::Reasoning;
use super::response::{self, Status, code};
use crate::bytes::json::JsonText;
use crate::bytes::seal::Use;
use crate::formats::asked::Compacting;
use crate::formats::call_id::Calls;
use crate::formats::errors::ErrorReply;
use crate::formats::neutral::{CALLS_MAX, Delta, Stop};
use crate::formats::signed_call;
use crate::formats::view::View;

/// How many bytes of an answer are held to its end, where all of it is repeated.
const HELD_MAX: usize = 32 << 20;

/// The state of the output.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    events: Events,
    started: bool,
    closed: bool,
    /// The message or the reasoning that is open.
    open: Option<Open>,
    /// The calls that are open, by their numbers.
    calls: Vec<Option<Call>>,
    /// The calls of the conversation, once the answer has one.
    known: Option<Calls>,
    held: usize,
    stop: Option<Stop>,
    usage: Option<Usage>,
    /// What the client gets sealed, if it asked for a summary.
    summary: String,
}

#[derive(Debug)]
enum Open {
    Message(Message),
    Reasoning(Box<Reasoning>),
}

impl Writer {
    /// A writer of the response alone.
    pub(super) fn of_response() -> Writer {
        Writer { events: Events::hidden(), ..Writer::default() }
    }

    /// The events of a response that failed before it had an item.
    pub(crate) fn failed(reply: &ErrorReply, view: &View) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.begin(view);
        let mut out = Vec::new();
        writer.events.take(&mut out);
        out.extend_from_slice(&writer.failure(reply, view));
        out
    }

    /// A writer behind another stream, with the message that is open.
    pub(super) fn behind(events: Events, message: Option<Message>) -> Writer {
        let open = message.map(Open::Message);
        Writer { events, started: true, open, ..Writer::default() }
    }

    /// Appends the events for `delta` to `out`.
    ///
    /// # Errors
    /// Why it cannot be expressed.
    pub(crate) fn write(
        &mut self,
        delta: &Delta<'_>,
        view: &View,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match delta {
            Delta::Text(text) | Delta::Refusal(text) if is_compacting(view) => {
                self.summary.push_str(text);
            }
            Delta::Thinking(_)
            | Delta::Signature(_)
            | Delta::Redacted(_)
            | Delta::Citation(_)
            | Delta::Image { .. }
            | Delta::ToolStart { .. }
            | Delta::ToolInput { .. }
                if is_compacting(view) => {}
            Delta::Start(_) => self.begin(view),
            Delta::Usage(usage) => self.usage = Some(usage.after(self.usage)),
            Delta::Ping if self.started && !self.closed => self.events.comment(),
            Delta::Ping => {}
            Delta::Stop(stop, _) => self.stop = Some(stop.clone()),
            Delta::End => self.close(view),
            Delta::Text(text) => self.say(PartKind::Text, text, view),
            Delta::Refusal(text) => self.say(PartKind::Refusal, text, view),
            Delta::Thinking(text) => {
                self.reason(view, |reasoning, events| reasoning.think(text, events));
            }
            Delta::Signature(signature) => {
                self.reason(view, |reasoning, events| reasoning.sign(signature, events));
            }
            Delta::Redacted(data) => self.reason(view, |reasoning, _| reasoning.redacted(data)),
            Delta::Citation(one) => {
                if let Some(Open::Message(message)) = &mut self.open {
                    message.cite(one, &mut self.events);
                }
            }
            Delta::Image { data, .. } => self.image(data, view),
            Delta::ToolStart { call, id, name } => self.call((*call, id), name, view)?,
            Delta::ToolInput { call, json } => {
                if let Some(Some(call)) = self.calls.get_mut(*call) {
                    call.input(json, &mut self.events);
                }
            }
        }
        self.events.take(out);
        self.bound(delta)
    }

    /// Counts what is held of the answer until its end.
    fn bound(&mut self, delta: &Delta<'_>) -> Result<(), String> {
        self.held += match delta {
            Delta::Text(text)
            | Delta::Refusal(text)
            | Delta::Thinking(text)
            | Delta::Signature(text)
            | Delta::Redacted(text)
            | Delta::Image { data: text, .. }
            | Delta::ToolInput { json: text, .. } => text.len(),
            Delta::ToolStart { id, name, .. } => id.len() + name.len(),
            Delta::Citation(one) => one.url.len() + one.title.len() + 64,
            Delta::Start(_) | Delta::Stop(..) | Delta::Usage(_) | Delta::Ping | Delta::End => 0,
        };
        match self.held > HELD_MAX {
            true => Err(format!("an answer of more than {HELD_MAX} bytes, which its end repeats")),
            false => Ok(()),
        }
    }

    fn begin(&mut self, view: &View) {
        if self.started {
            return;
        }
        self.started = true;
        let mut json = JsonText::default();
        response::write(&mut json, (view, Status::InProgress), &self.events, None);
        let json = String::from_utf8(json.into_bytes()).unwrap_or_default();
        for kind in ["response.created", "response.in_progress"] {
            self.events.send(kind, |event| {
                event.raw_member("response", &json);
            });
        }
    }

    fn say(&mut self, kind: PartKind, text: &str, view: &View) {
        if text.is_empty() {
            return;
        }
        if !matches!(self.open, Some(Open::Message(_))) {
            self.begin(view);
            self.end_open(End::Complete, view);
            let message = Message::begin(kind, view.serial, &mut self.events);
            self.open = Some(Open::Message(message));
        }
        if let Some(Open::Message(message)) = &mut self.open {
            message.say(kind, text, &mut self.events);
        }
    }

    /// Adds to the reasoning that is open; begins one if there is none.
    fn reason(&mut self, view: &View, add: impl FnOnce(&mut Reasoning, &mut Events)) {
        if !matches!(self.open, Some(Open::Reasoning(_))) {
            self.begin(view);
            self.end_open(End::Complete, view);
            let reasoning = Box::new(Reasoning::begin(view, &mut self.events));
            self.open = Some(Open::Reasoning(reasoning));
        }
        if let Some(Open::Reasoning(reasoning)) = &mut self.open {
            add(reasoning, &mut self.events);
        }
    }

    /// Ends the message or the reasoning that is open.
    fn end_open(&mut self, end: End, view: &View) {
        match self.open.take() {
            Some(Open::Message(message)) => message.end(end, &mut self.events),
            Some(Open::Reasoning(reasoning)) => reasoning.end(view, &mut self.events),
            None => {}
        }
    }

    fn image(&mut self, data: &str, view: &View) {
        self.begin(view);
        self.end_open(End::Complete, view);
        let place = self.events.place("ig", view.serial);
        let write = |json: &mut JsonText, status: &str, data: Option<&str>| {
            json.open(b'{').member("id", &place.id).member("type", "image_generation_call");
            json.member("status", status).key("result");
            match data {
                Some(data) => json.text(data),
                None => json.raw("null"),
            };
            json.close(b'}');
        };
        self.events.added(&place, |json| write(json, "in_progress", None));
        let mut json = JsonText::with_room(data.len());
        write(&mut json, "completed", Some(data));
        self.events.done(&place, json);
    }

    fn call(&mut self, (call, id): (usize, &str), name: &str, view: &View) -> Result<(), String> {
        if call >= CALLS_MAX {
            return Err(format!("more than {CALLS_MAX} tool calls"));
        }
        let (own, tail) = signed_call::split(id);
        let known = self.known.get_or_insert_with(|| view.calls());
        let call_id = known.show(own.into()).into_owned();
        if let Some(tail) = tail {
            self.reason(view, |reasoning, _| reasoning.call(&call_id, tail));
        }
        self.begin(view);
        self.end_open(End::Complete, view);
        for open in &mut self.calls {
            if let Some(whole) = open.take_if(|call| call.is_whole()) {
                whole.end(&mut self.events);
            }
        }
        if self.calls.len() <= call {
            self.calls.resize_with(call + 1, || None);
        }
        self.calls[call] = Some(Call::begin(call_id, name, view, &mut self.events));
        Ok(())
    }

    /// Ends the response, once.
    fn close(&mut self, view: &View) {
        if self.closed {
            return;
        }
        self.begin(view);
        let status = Status::of(self.stop.as_ref());
        let is_cut = matches!(status, Status::Incomplete(_));
        self.end_open(if is_cut { End::Cut } else { End::Complete }, view);
        // A call whose input was cut is none.
        let stays = |call: &Call| !is_cut || call.is_whole();
        for call in self.calls.drain(..).flatten().filter(stays) {
            call.end(&mut self.events);
        }
        self.seal_summary(view);
        self.closed = true;
        let kind = if is_cut { "response.incomplete" } else { "response.completed" };
        let whole = String::from_utf8(self.whole(view)).unwrap_or_default();
        self.events.send(kind, |json| {
            json.raw_member("response", &whole);
        });
    }

    /// Gives the client the summary that stands for the conversation.
    fn seal_summary(&mut self, view: &View) {
        let summary = std::mem::take(&mut self.summary);
        let key = view.issuer.as_ref().map(|issuer| &issuer.key);
        let sealed = key.and_then(|key| key.seal_text(Use::Summary, &summary));
        let Some(sealed) = sealed.filter(|_| !summary.trim().is_empty()) else { return };
        let place = self.events.place("cmp", view.serial);
        let write = |json: &mut JsonText| {
            json.open(b'{').member("id", &place.id).member("type", "compaction");
            json.member("encrypted_content", &sealed).close(b'}');
        };
        self.events.added(&place, write);
        let mut json = JsonText::default();
        write(&mut json);
        self.events.done(&place, json);
    }

    /// The response after its end.
    pub(super) fn whole(&self, view: &View) -> Vec<u8> {
        let mut json = JsonText::default();
        let status = Status::of(self.stop.as_ref());
        response::write(&mut json, (view, status), &self.events, self.usage);
        json.into_bytes()
    }

    /// The same, if it has ended and the client has seen its events.
    pub(crate) fn ended(&self, view: &View) -> Option<Vec<u8>> {
        (self.closed && !is_compacting(view)).then(|| self.whole(view))
    }

    /// The event that reports a broken stream.
    pub(crate) fn failure(&self, reply: &ErrorReply, view: &View) -> Vec<u8> {
        let status = Status::Failed(code(reply), &reply.message);
        self.events.last("response.failed", |json| {
            response::write(json.key("response"), (view, status), &self.events, self.usage);
        })
    }
}

/// Whether the client gets a summary in place of an answer.
fn is_compacting(view: &View) -> bool {
    view.asked().is_some_and(|asked| asked.compacting != Compacting::Not)
}
