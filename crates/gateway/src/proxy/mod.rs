//! What becomes of a request that goes to an upstream: content, route, attempts, answer, record.
//!
//! Called by the router for every endpoint that is no page, and by the prober for its attempts. Always true:
//! there is one way through, [`exchange`]; there is one way to ask an upstream, [`attempt`].

pub(crate) mod answer_headers;
pub(crate) mod attempt;
mod content;
pub(crate) mod controls;
pub(crate) mod exchange;
pub(crate) mod explain;
mod finish;
pub(crate) mod guard;
pub(crate) mod handshake;
mod kept;
pub(crate) mod relay;
pub(crate) mod request;
pub(crate) mod tunnel;
