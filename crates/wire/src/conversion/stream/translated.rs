//! Streams that are translated: each event becomes what the client's format has for it.
//!
//! Part of [`super::Reader`]. Always true: deltas advance the progress as the events of a stream that passes do.

use super::{Broken, OUT_MAX, Passage, Reader};
use crate::bytes::framing::frame::Data;
use crate::formats::event::{Change, EventError, Progress, Seen};
use crate::formats::neutral::{Delta, Stop};

impl Reader {
    pub(super) fn translate(&mut self, block: &[u8], out: &mut Vec<u8>) {
        let before = out.len();
        let mut start = 0;
        while start < block.len() {
            let end = self.framing.frame_end(block, start);
            if end - start > self.event_max {
                self.broken = Some(Broken::TooLong(self.event_max));
                return;
            }
            let from = out.len();
            self.translate_frame(&block[start..end], out);
            self.add_cost(from, out);
            let most = OUT_MAX + block.len();
            if out.len() - before > most {
                self.broken = Some(Broken::Unreadable(format!("it became more than {most} bytes")));
                return;
            }
            start = end;
        }
    }

    fn translate_frame(&mut self, frame: &[u8], out: &mut Vec<u8>) {
        if self.progress.done || self.error.is_some() || self.broken.is_some() {
            return;
        }
        let Passage::Translated(translation) = &mut self.passage else { return };
        let joined;
        let (head, payload) = match self.framing.data(frame) {
            Data::None => {
                if self.framing.is_ping(frame) {
                    translation.ping(&self.view, out);
                }
                return;
            }
            Data::Line(place) => (&frame[..place.start], &frame[place]),
            Data::Lines(lines) => {
                joined = lines;
                (frame, &joined[..])
            }
        };
        let deltas = match std::str::from_utf8(payload) {
            Ok(text) => translation.event(text, (&self.view, &self.progress), out),
            Err(_) => Err(EventError::Malformed),
        };
        match self.settled(deltas, head, payload) {
            Ok(deltas) => {
                if let Some(tap) = &mut self.tap {
                    tap.translated(&deltas);
                }
                self.meets();
                let seen = advance(&mut self.progress, &deltas);
                self.record(seen);
            }
            Err(why) => {
                // What another answer has said is charged.
                self.meets();
                self.reject(why);
            }
        }
    }
}

impl Reader {
    /// Counts what was compared with an answer that broke off. All of that is the content which ends the wait.
    fn meets(&mut self) {
        let Passage::Translated(translation) = &mut self.passage else { return };
        let Some(joint) = translation.joint() else { return };
        self.progress.texts.text(joint.take_compared());
        if joint.has_met() && !self.progress.content {
            self.progress.speaks();
        }
    }
}

/// Advances the progress of a stream by the deltas of one event.
fn advance(progress: &mut Progress, deltas: &[Delta<'_>]) -> Seen {
    let mut is_ping = false;
    for delta in deltas {
        if delta.is_content() && !matches!(delta, Delta::Stop(..)) {
            progress.speaks();
        }
        match delta {
            Delta::Stop(stop, _) => {
                progress.stops();
                progress.says_end = *stop == Stop::End;
            }
            Delta::End => progress.done = true,
            Delta::Ping => is_ping = true,
            Delta::Usage(usage) => {
                // A count that comes before the answer is not the last one.
                progress.output_is_open = !progress.content;
                progress.usage = Some(usage.after(progress.usage));
            }
            Delta::Text(text)
            | Delta::Thinking(text)
            | Delta::Redacted(text)
            | Delta::Refusal(text)
            | Delta::Image { data: text, .. }
            | Delta::ToolInput { json: text, .. } => progress.texts.piece(text.len()),
            Delta::Start(_)
            | Delta::Signature(_)
            | Delta::Citation(_)
            | Delta::ToolStart { .. } => {}
        }
    }
    if is_ping { Seen::Ping(Change::None) } else { Seen::Event(Change::None) }
}
