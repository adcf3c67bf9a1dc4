//! Serves the requests that go to an upstream: content, route, attempts, answer, record.
//!
//! Called by the router for every endpoint that is not a page, and by the prober for its attempts. Always
//! true: every request takes one path, [`exchange`]; every upstream call is made by [`attempt`].

mod admit;
pub(crate) mod answer_headers;
pub(crate) mod attempt;
pub(crate) mod attempt_guard;
mod batch_bill;
mod billed_to;
mod billing;
mod broken_off;
mod cache_wish;
mod call_builder;
mod capture;
mod client_labels;
mod content;
pub(crate) mod controls;
mod counted;
mod counting;
mod customer;
mod delivery;
pub(crate) mod dialect;
pub(crate) mod early;
pub(crate) mod exchange;
pub(crate) mod explain;
mod facts;
mod fallbacks;
mod fetched_body;
mod fetching;
mod followed;
pub(crate) mod handshake;
mod history;

mod keepalive_wish;
mod kept_parts;
mod late_error;
mod led;
mod model_request;
mod opening;
mod overheard;
pub(crate) mod pass_through;
mod passed_models;
mod recalled;
pub(crate) mod relay;
mod rescue;
mod respond;
mod resumable;
mod resumed;
mod reuse;
mod silence_timeout;
pub(crate) mod simulated;
pub(crate) mod start;
mod stored_object;
pub(crate) mod story;
mod traced;
pub(crate) mod tunnel;
mod turn;
