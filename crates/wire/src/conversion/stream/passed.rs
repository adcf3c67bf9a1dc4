//! Streams that pass: each event stays as it is, but for the model's name and ids.
//!
//! Part of [`super::Reader`]. Always true: events advance the progress as the deltas of a stream that is translated do.

use std::ops::Range;

use hale_core::deployment::Deployment;

use super::{Broken, Passage, Reader};
use crate::bytes::edit::patched;
use crate::bytes::framing::frame::Data;
use crate::conversion::priced::add_cost;
use crate::formats::event::{Change, EventError};

/// What happens to a frame that passes.
enum Frame {
    Pass,
    Omit,
    /// The model's name at this range is replaced by the client's.
    Model(Range<usize>),
    Replace(Vec<u8>),
}

/// Streams that pass unchanged.
impl Reader {
    pub(super) fn observe(&mut self, block: &[u8], out: &mut Vec<u8>) {
        out.reserve(block.len() + 64);
        // Everything before this position was passed on or left out.
        let mut done = 0;
        let mut start = 0;
        while start < block.len() {
            let end = self.framing.frame_end(block, start);
            if end - start > self.event_max {
                self.broken = Some(Broken::TooLong(self.event_max));
                out.extend_from_slice(&block[done..start]);
                return;
            }
            let frame = self.observe_frame(&block[start..end]);
            if self.priced().is_some() || self.view.merges_reasoning {
                out.extend_from_slice(&block[done..start]);
                self.pass_priced(&block[start..end], frame, out);
                (start, done) = (end, end);
                continue;
            }
            match frame {
                Frame::Pass => {}
                Frame::Omit => {
                    out.extend_from_slice(&block[done..start]);
                    done = end;
                }
                Frame::Model(place) => {
                    out.extend_from_slice(&block[done..start + place.start]);
                    out.extend_from_slice(self.view.model_json.as_bytes());
                    done = start + place.end;
                }
                Frame::Replace(text) => {
                    out.extend_from_slice(&block[done..start]);
                    out.extend_from_slice(&text);
                    done = end;
                }
            }
            start = end;
        }
        out.extend_from_slice(&block[done..]);
    }

    /// The deployment whose price is shown beside the counts that an event has just completed.
    fn priced(&self) -> Option<&Deployment> {
        let deployment = self.view.priced.as_deref()?;
        (!self.progress.output_is_open).then_some(deployment)
    }

    /// Passes a frame on, with what the config adds.
    #[cold]
    fn pass_priced(&mut self, block: &[u8], frame: Frame, out: &mut Vec<u8>) {
        let from = out.len();
        match frame {
            Frame::Pass => out.extend_from_slice(block),
            Frame::Omit => {}
            Frame::Model(place) => {
                out.extend_from_slice(&block[..place.start]);
                out.extend_from_slice(self.view.model_json.as_bytes());
                out.extend_from_slice(&block[place.end..]);
            }
            Frame::Replace(text) => out.extend_from_slice(&text),
        }
        self.add_cost(from, out);
    }

    /// Adds what the config asks for to the events in `out` behind `from`: the cost beside the usage, reasoning in the text.
    pub(super) fn add_cost(&mut self, from: usize, out: &mut Vec<u8>) {
        if self.view.merges_reasoning {
            self.merging.apply(out, from);
        }
        if let Some((deployment, usage)) = self.priced().zip(self.progress.usage) {
            let at = (deployment, self.view.unix_ms);
            add_cost(out, from, (&usage, self.view.earlier_usd), at);
        }
    }

    fn observe_frame(&mut self, frame: &[u8]) -> Frame {
        if self.progress.done || self.error.is_some() || self.broken.is_some() {
            return Frame::Omit;
        }
        match self.framing.data(frame) {
            Data::None => Frame::Pass,
            Data::Line(place) => {
                let offset = place.start;
                let head = &frame[..offset];
                match self.observe_payload(head, &frame[place]) {
                    Change::None => Frame::Pass,
                    Change::Omit => Frame::Omit,
                    Change::Model(at) => Frame::Model(at.start + offset..at.end + offset),
                    Change::Patch(mut patches) => {
                        for (at, _) in &mut patches {
                            *at = at.start + offset..at.end + offset;
                        }
                        Frame::Replace(patched(frame, &patches))
                    }
                }
            }
            Data::Lines(joined) => {
                let patches = match self.observe_payload(frame, &joined) {
                    Change::None => return Frame::Pass,
                    Change::Omit => return Frame::Omit,
                    Change::Model(at) => vec![self.view.model_patch(at)],
                    Change::Patch(patches) => patches,
                };
                Frame::Replace(self.framing.frame(&patched(&joined, &patches)))
            }
        }
    }

    /// Takes the payload of an event; `head` has the fields before it.
    fn observe_payload(&mut self, head: &[u8], payload: &[u8]) -> Change {
        if payload.trim_ascii() == b"[DONE]" {
            if self.names_its_end() && self.progress.is_open() {
                self.reject(EventError::Unfinished);
                return Change::Omit;
            }
            self.progress.done = true;
            self.listen("[DONE]");
            return Change::None;
        }
        let Passage::Observed(observer) = &mut self.passage else { return Change::Omit };
        let seen = match std::str::from_utf8(payload) {
            Ok(text) => {
                let seen = observer.observe_event(text, &self.view, &mut self.progress);
                if seen.is_ok() {
                    self.listen(text);
                }
                seen
            }
            Err(_) => Err(EventError::Malformed),
        };
        match self.settled(seen, head, payload) {
            Ok(seen) => self.record(seen),
            Err(why) => {
                self.reject(why);
                Change::Omit
            }
        }
    }

    /// Whether the answer says why it ends.
    fn names_its_end(&self) -> bool {
        matches!(&self.passage, Passage::Observed(observer) if observer.names_its_end())
    }

    fn listen(&mut self, event: &str) {
        if let Some(tap) = &mut self.tap {
            tap.event(event);
        }
    }
}
