//! Everything that goes out: the targets of deployments, their credentials, and the connections to them.
//!
//! Used by the proxy, by the prober, by sinks and channels, and by the commands that talk to a gateway. Always true: nothing
//! else in the gateway sends a request by HTTP.

mod address;
mod answer;
mod connect;
pub(crate) mod credential;
pub(crate) mod dialect;
mod dns;
mod error;
mod fetch;
mod framing;
#[cfg(test)]
mod fuzz;
mod head;
mod link;
mod outward;
mod paths;
mod pool;
mod progress;
mod reach;
mod request;
mod send;
mod sigv4;
mod stream;
mod switched;
pub(crate) mod target;
mod tls;

pub(crate) use address::Upstream;
pub(crate) use answer::{Answer, AnswerBody};
pub(crate) use error::SendError;
pub(crate) use fetch::{Fetch, FetchError};
pub(crate) use framing::BodyError;
pub(crate) use outward::{Heard, Outgoing, Outward};
pub(crate) use paths::{ObjectPath, PathCall, Transfer};
pub(crate) use pool::close_idle;
pub(crate) use progress::SendProgress;
pub(crate) use request::{HeaderTemplate, Reuse, UpstreamRequest};
pub(crate) use send::send;
pub(crate) use sigv4::{Service, Signer, Unsigned, hash_of};
pub(crate) use switched::Switched;
pub(crate) use target::Target;
pub(crate) use tls::{roots, warm_up};
