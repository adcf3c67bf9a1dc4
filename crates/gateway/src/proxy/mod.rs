//! What becomes of a request that goes to an upstream: content, route, attempts, answer, record.
//!
//! Called by the router for every endpoint that is no page, and by the prober for its attempts. Always true:
//! there is one way through, [`exchange`]; there is one way to ask an upstream, [`attempt`].

pub(crate) mod answer_headers;
pub(crate) mod attempt;
pub(crate) mod attempt_guard;
mod call_builder;
mod content;
pub(crate) mod controls;
mod delivery;
pub(crate) mod dialect;
pub(crate) mod exchange;
pub(crate) mod explain;
pub(crate) mod handshake;
mod kept;
mod model_request;
mod opening;
pub(crate) mod relay;
mod respond;
mod silence_timeout;
pub(crate) mod tunnel;
