//! What the holder of a key sees of the config: the models that it may use.
//!
//! Used by the pages about models and health. Always true: a page that lists models and the pipeline judge by the same code.

use hale_core::route::MayUse;

use super::PageRequest;
use crate::http::auth::Principal;

/// How much of the config a client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Everything: it has the master key, or the key of a user that sees all; or there are no keys.
    All,
    /// The models that its key may use, without the addresses of upstreams.
    Own,
}

impl Seen {
    pub(super) fn by(request: &PageRequest<'_>) -> Seen {
        match &request.arrival.principal {
            Principal::Operator | Principal::Anyone => Seen::All,
            Principal::Key(access) if access.role.sees_all() => Seen::All,
            Principal::Key(_) => Seen::Own,
        }
    }
}

/// Whether the client's key may use the model of that name.
pub(super) fn may_use(request: &PageRequest<'_>, name: &str) -> bool {
    let arrival = request.arrival;
    arrival.principal.access().is_none_or(|access| {
        let renamed = access.renamed(name);
        MayUse::check(access, &arrival.serving.snapshot, renamed).is_ok()
    })
}
