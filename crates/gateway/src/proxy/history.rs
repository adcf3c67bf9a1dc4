//! What a request adds to a conversation that the gateway keeps, and the response to it.
//!
//! Found by [`super::recalled`], held by the request, used up when its response ends. Always true: a provider's own response is not kept
//! here; what is held is counted in the memory for bodies.

use hale_core::operation::Kind;
use hale_store::KeptResponse;
use hale_wire::KeptAs;
use hale_wire::peek::Peek;

use crate::clock;
use crate::limits::Held;
use crate::state::{Process, Serving};

const DAY_MS: u64 = 86_400_000;

/// What a request adds to a conversation that is kept.
pub(super) struct History {
    /// The response that it goes on from, as the gateway and as the client knows it.
    pub(super) previous: Option<(Box<str>, Box<str>)>,
    /// What the client sent.
    pub(super) input: Box<str>,
    /// The account of that.
    pub(super) held: Held,
}

impl History {
    /// How the client sees that it is kept.
    pub(super) fn kept_as(&self) -> Box<KeptAs> {
        let previous = self.previous.as_ref().map(|(_, shown)| shown.clone());
        Box::new(KeptAs { previous })
    }

    /// Keeps the response to it, JSON text.
    pub(super) fn answered(self, (process, serving): (&Process, &Serving), response: &[u8]) {
        let Ok(response) = std::str::from_utf8(response) else { return };
        let shown = Peek::parse(response.to_owned().into())
            .ok()
            .and_then(|peek| Some(Box::<str>::from(&*peek.string("id").ok()??)));
        let issued = shown.and_then(|shown| serving.ids.key()?.open(Kind::Response, &shown));
        // The provider's own responses are kept by the provider.
        let Some(issued) = issued.filter(|issued| issued.is_translated()) else { return };
        let Some(store) = process.store() else { return };
        let now = clock::unix_ms();
        let days = u64::from(serving.snapshot.gateway.store.responses_days);
        let row = KeptResponse {
            id: issued.id.into(),
            at: now,
            expires_at: now.saturating_add(days.saturating_mul(DAY_MS)),
            previous: self.previous.map(|(id, _)| id),
            input: self.input,
            response: response.into(),
            updated_at: now,
        };
        process.responses.keep(store, row);
        drop(self.held);
    }
}
