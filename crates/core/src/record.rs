//! Everything known about one finished request.
//!
//! Made by the gateway exactly once per request that reached an endpoint of models, on success,
//! error, cancellation and panic; read by metrics and sinks. Always true: it holds no content and no
//! secret.

use std::sync::Arc;

use crate::cause::Cause;
use crate::operation::Operation;
use crate::usage::Usage;

/// How a request ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A complete answer.
    Success,
    /// Answered by the gateway with an error.
    Error,
    /// A stream that broke after its first content.
    Broken,
    /// The client went away.
    ClientClosed,
    /// The gateway's own code failed.
    Panicked,
}

impl Ending {
    /// All endings.
    pub const ALL: [Ending; 5] =
        [Ending::Success, Ending::Error, Ending::Broken, Ending::ClientClosed, Ending::Panicked];

    /// The name in metrics and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Ending::Success => "success",
            Ending::Error => "error",
            Ending::Broken => "broken",
            Ending::ClientClosed => "client_closed",
            Ending::Panicked => "panicked",
        }
    }
}

/// One finished request.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// The id that the client saw as `x-litellm-call-id`.
    pub call_id: Arc<str>,
    /// When it arrived, milliseconds since 1970.
    pub arrived_unix_ms: u64,
    /// What was asked for.
    pub operation: Operation,
    /// The model's name as the client wrote it, cut to 200 characters.
    pub requested_model: Option<Arc<str>>,
    /// The model group that answered, or failed last.
    pub model_group: Option<Arc<str>>,
    /// The deployment that answered, or failed last.
    pub deployment: Option<Arc<str>>,
    /// The HTTP status sent.
    pub status: u16,
    /// How it ended.
    pub ending: Ending,
    /// Why it did not end well.
    pub cause: Option<Cause>,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// Attempts within a group after the first.
    pub retries: u32,
    /// Fallback groups entered.
    pub fallbacks: u32,
    /// From arrival to the end of the answer, microseconds.
    pub duration_us: u64,
    /// From arrival to the first content, microseconds.
    pub first_content_us: Option<u64>,
    /// What of the time was the gateway's own, microseconds.
    pub overhead_us: u64,
    /// Tokens, as the provider reported them.
    pub usage: Option<Usage>,
    /// USD, where the price is known.
    pub cost_usd: Option<f64>,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
}
