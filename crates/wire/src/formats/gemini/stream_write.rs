//! Writes neutral deltas as the chunks of a stream of Google's format.
//!
//! Called for its clients whose provider speaks another wire. Always true: texts and thoughts leave at once; calls, which this
//! format has only whole, leave in the last chunk, which alone has the reason of the end and the counts, and comes once.

use hale_core::usage::Usage;

use super::said;
use crate::bytes::json::JsonText;
use crate::formats::arguments;
use crate::formats::neutral::{Citation, Delta, Stop};
use crate::formats::view::View;

/// Most bytes of calls and sources that are held until the end.
const HELD_MAX: usize = 16 << 20;

/// The state of the output.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// The id of the answer.
    id: Box<str>,
    calls: Vec<Call>,
    citations: Vec<Citation<'static>>,
    /// Bytes of both.
    held: usize,
    stop: Option<Stop>,
    usage: Option<Usage>,
    /// Whether a thought is open that has no signature yet.
    thinks: bool,
    closed: bool,
}

#[derive(Debug, Default)]
struct Call {
    id: Box<str>,
    name: Box<str>,
    input: String,
}

impl Writer {
    /// A writer behind another stream of the answer with that id.
    pub(super) fn behind(id: Box<str>) -> Writer {
        Writer { id, ..Writer::default() }
    }

    /// Appends the chunk for `delta` to `out`, if it has one.
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
            Delta::Start(id) => self.id = Box::from(&**id),
            Delta::Text(text) | Delta::Refusal(text) => {
                self.mark_thoughts(view, out);
                if !text.is_empty() {
                    self.chunk(view, out, |json| said::text(json, text));
                }
            }
            Delta::Thinking(text) if said::shows_thoughts(view) => {
                self.thinks = true;
                if !text.is_empty() {
                    self.chunk(view, out, |json| said::thought(json, text, ""));
                }
            }
            Delta::Signature(signature) if said::shows_thoughts(view) => {
                self.thinks = false;
                self.chunk(view, out, |json| said::thought(json, "", signature));
            }
            Delta::Redacted(data) if said::shows_thoughts(view) => {
                self.chunk(view, out, |json| said::redacted(json, data));
            }
            // The client did not ask for thoughts.
            Delta::Thinking(_) | Delta::Signature(_) | Delta::Redacted(_) => {}
            Delta::Image { media_type, data } => {
                self.mark_thoughts(view, out);
                self.chunk(view, out, |json| said::data(json, media_type, data));
            }
            Delta::ToolStart { call, id, name } => {
                self.mark_thoughts(view, out);
                self.hold(id.len() + name.len())?;
                if self.calls.len() <= *call {
                    self.calls.resize_with(call + 1, Call::default);
                }
                let begun = &mut self.calls[*call];
                (begun.id, begun.name) = (Box::from(&**id), Box::from(&**name));
            }
            Delta::ToolInput { call, json } => {
                self.hold(json.len())?;
                if let Some(begun) = self.calls.get_mut(*call) {
                    begun.input.push_str(json);
                }
            }
            Delta::Citation(one) => {
                self.hold(one.url.len() + one.title.len())?;
                let Delta::Citation(one) = delta.clone().into_owned() else { return Ok(()) };
                self.citations.push(*one);
            }
            Delta::Stop(stop, _) => self.stop = Some(stop.clone()),
            Delta::Usage(usage) => self.usage = Some(usage.after(self.usage)),
            // Comments would be no part of a list.
            Delta::Ping => {}
            Delta::End => self.close(view, out),
        }
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), String> {
        // What a call takes besides its texts.
        self.held += bytes + 64;
        match self.held > HELD_MAX {
            true => Err(format!("its calls have more than {HELD_MAX} bytes")),
            false => Ok(()),
        }
    }

    /// Marks the thoughts so far as those of their family, if their provider did not sign them.
    fn mark_thoughts(&mut self, view: &View, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.thinks) && !view.mark().is_empty() {
            self.chunk(view, out, |json| said::thought(json, "", view.mark()));
        }
    }

    fn chunk(&self, view: &View, out: &mut Vec<u8>, part: impl FnOnce(&mut JsonText)) {
        let mut json = JsonText::new();
        json.open(b'{').key("candidates").open(b'[').open(b'{').key("content").open(b'{');
        json.member("role", "model").key("parts").open(b'[');
        part(&mut json);
        json.close(b']').close(b'}').raw_member("index", "0").close(b'}').close(b']');
        said::about(&mut json, None, (&self.id, view));
        json.close(b'}');
        event(out, json.as_bytes());
    }

    /// The last chunk.
    fn close(&mut self, view: &View, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.mark_thoughts(view, out);
        let stop = self.stop.as_ref();
        let calls = std::mem::take(&mut self.calls);
        let calls = calls.into_iter().filter_map(|call| {
            let input = arguments::input(call.input.into(), stop)?;
            Some((call.id, call.name, input))
        });
        let mut calls = calls.peekable();
        let mut json = JsonText::new();
        json.open(b'{').key("candidates").open(b'[').open(b'{').key("content").open(b'{');
        json.member("role", "model");
        if calls.peek().is_some() {
            json.key("parts").open(b'[');
            for (id, name, input) in calls {
                said::call(&mut json, (&id, &name), &input);
            }
            json.close(b']');
        }
        json.close(b'}').member("finishReason", said::finish(stop)).raw_member("index", "0");
        said::citations(&mut json, &self.citations);
        json.close(b'}').close(b']');
        let usage = self.usage.unwrap_or_default();
        said::about(&mut json, Some(&usage), (&self.id, view));
        json.close(b'}');
        event(out, json.as_bytes());
    }
}

/// Appends an event as Google writes it.
fn event(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n\r\n");
}
