//! What was fetched of what a request names by address.
//!
//! Filled by [`super::fetching`], read by [`super::call_builder`]. Always true: it is given back with the body of its request.

use std::sync::{Arc, LazyLock};

use hale_core::settings::FetchFrom;
use hale_wire::fetched::Fetched;

use crate::limits::Held;
use crate::state::Serving;

/// What was fetched for a request.
#[derive(Default)]
pub(super) struct FetchedBody {
    /// By address.
    pub(super) found: Arc<Fetched>,
    /// Its place in the memory for bodies.
    pub(super) held: Vec<Held>,
    /// Whether there was no memory for more.
    pub(super) is_full: bool,
}

/// What was found at the addresses of a request; `None` if the config has addresses not fetched.
pub(super) fn found<'f>(serving: &Serving, body: Option<&'f FetchedBody>) -> Option<&'f Fetched> {
    static NOTHING: LazyLock<Fetched> = LazyLock::new(Fetched::default);
    match serving.snapshot.gateway.fetch.from {
        FetchFrom::Nowhere => None,
        FetchFrom::Public | FetchFrom::Anywhere => Some(body.map_or(&*NOTHING, |body| &body.found)),
    }
}
