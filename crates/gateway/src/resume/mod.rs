//! Streams whose clients may come back: what they have said, for as long as that is kept.
//!
//! Filled and read by `proxy::resumable` and `proxy::resumed`, counted by the pages. Always true: a stream is here only while its
//! client reads it or may come back; all of them together are bounded by the memory for bodies, and step back before anything
//! else that is kept there; who asks for one is checked by the code that finds it here.

mod stream;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;
use parking_lot::Mutex;

pub(crate) use self::stream::{End, KeptStream, Next, NotKept, Reading, Standing, Terms};

/// The streams of the process.
#[derive(Default)]
pub(crate) struct ResumableStreams {
    known: Mutex<Known>,
    /// How often a client came back.
    pub(crate) resumed: AtomicU64,
    /// How often one came back to a stream that was not kept any more.
    pub(crate) missed: AtomicU64,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<Box<str>, Arc<KeptStream>, FixedState>,
    /// The streams of responses, by the id that these have for the client.
    by_response: HashMap<Box<str>, Arc<KeptStream>, FixedState>,
}

impl ResumableStreams {
    /// Begins to keep a stream on those terms; `None` if there is no room.
    pub(crate) fn begin(&self, terms: Terms) -> Option<Arc<KeptStream>> {
        let stream = Arc::new(KeptStream::new(terms)?);
        self.known.lock().by_id.insert(stream.id().into(), stream.clone());
        Some(stream)
    }

    /// Finds `stream` by the id of its response, too.
    pub(crate) fn name(&self, stream: &Arc<KeptStream>, response: &str) {
        if stream.set_response(response) {
            self.known.lock().by_response.insert(response.into(), stream.clone());
        }
    }

    /// The stream with that id.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<KeptStream>> {
        self.known.lock().by_id.get(id).cloned()
    }

    /// The stream of the response with that id.
    pub(crate) fn of_response(&self, id: &str) -> Option<Arc<KeptStream>> {
        self.known.lock().by_response.get(id).cloned()
    }

    /// Keeps `stream` no longer. Those who read it read on.
    pub(crate) fn forget(&self, stream: &KeptStream) {
        let mut known = self.known.lock();
        known.by_id.remove(stream.id());
        if let Some(response) = stream.response() {
            known.by_response.remove(&*response);
        }
    }

    /// How many streams there are.
    pub(crate) fn count(&self) -> usize {
        self.known.lock().by_id.len()
    }

    /// A client came back; whether the stream was kept.
    pub(crate) fn came_back(&self, was_kept: bool) {
        let counter = if was_kept { &self.resumed } else { &self.missed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
