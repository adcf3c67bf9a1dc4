//! What a stream may hold in memory: an event that has not ended, and what is ready for the client.
//!
//! Used by [`super::first_content`] and by the relay for each piece of a stream. Always true: an event has at most
//! `max_response_size_mb`, wherever the network cuts it; what a stream holds is counted in the memory for bodies.

use std::sync::Arc;

use bytes::Bytes;
use hale_core::record::Gathered;
use hale_core::settings::Bounds;
use hale_wire::gather;
use hale_wire::stream::Reader;

use super::failed::Failed;
use crate::limits::{Buffered, Held};

/// Up to this many bytes a stream is not counted: most events are small.
const UNCOUNTED: usize = 64 << 10;

/// The memory of one stream.
#[derive(Default)]
pub(crate) struct StreamRoom {
    /// What is counted, once the stream has held much.
    held: Option<Held>,
    /// What it has said so far, if that is gathered.
    said: Option<Box<Gathered>>,
}

impl StreamRoom {
    /// Reads a piece; appends to `ready` what the client gets.
    pub(crate) fn take(
        &mut self,
        (reader, ready): (&mut Reader, &mut Vec<u8>),
        piece: Bytes,
        (all, bounds): (&Arc<Buffered>, &Bounds),
    ) -> Result<(), Failed> {
        let pushed = reader.push(piece, ready);
        self.gather(reader);
        pushed.map_err(|broken| Failed::broken(&broken))?;
        let holds = reader.waiting() + ready.len();
        let counted = if holds > UNCOUNTED { holds } else { 0 };
        if counted == 0 && self.held.is_none() {
            return Ok(());
        }
        let held = self.held.get_or_insert_with(|| Held::none(all));
        let more = counted.saturating_sub(held.bytes());
        held.shrink_to(counted);
        match more == 0 || held.add(more, bounds.with_answers()) {
            true => Ok(()),
            false => Err(Failed::no_room()),
        }
    }

    /// Gathers what the events of the last push said, if `reader` has a tap.
    pub(crate) fn gather(&mut self, reader: &Reader) {
        if let Some(tap) = reader.tap() {
            gather::add(self.said.get_or_insert_default(), tap.deltas());
        }
    }

    /// Its stream goes on behind another one, which held this.
    pub(crate) fn goes_on_from(&mut self, earlier: &mut StreamRoom) {
        let Some(mut said) = earlier.said.take() else { return };
        if let Some(own) = self.said.take() {
            gather::join(&mut said, &own);
        }
        self.said = Some(said);
    }

    /// What the stream has said so far.
    pub(crate) fn said(&mut self) -> Option<Box<Gathered>> {
        self.said.take()
    }
}
