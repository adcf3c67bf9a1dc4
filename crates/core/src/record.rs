//! Everything known about one finished request.
//!
//! Made by the gateway exactly once per request to a model endpoint: on success, error,
//! cancellation and panic. Read by metrics and sinks. Always true: it contains no secret, and content only where a sink of
//! the config shows it ([`Detail::messages`]).

mod billed;
mod detail;

use std::sync::Arc;

pub use self::billed::{Bill, BilledCall, BilledTo};
pub use self::detail::{
    AttemptStep, Detail, Gathered, GatheredCall, MESSAGES_MAX, Messages, STEPS_MAX, Said, Step,
    StepKind,
};

use crate::cache::CacheAnswer;
use crate::cause::Cause;
use crate::operation::Operation;
use crate::rescue::Outcome as Rescue;
use crate::tenancy::access::Identity;
use crate::usage::{CountedBy, Usage};

/// How a request ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A complete answer.
    Success,
    /// The gateway answered with an error.
    Error,
    /// A stream broke after its first content.
    Broken,
    /// The client disconnected.
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

/// Why a request was sent again: what became of the kept connection that it was first sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResendReason {
    /// The upstream had closed it.
    Closed,
    /// It was reset.
    Reset,
}

impl ResendReason {
    /// All reasons.
    pub const ALL: [ResendReason; 2] = [ResendReason::Closed, ResendReason::Reset];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ResendReason::Closed => "closed",
            ResendReason::Reset => "reset",
        }
    }
}

/// How often a request was sent again on a new connection, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resends([u32; ResendReason::ALL.len()]);

impl Resends {
    /// Counts one more.
    pub const fn add(&mut self, reason: ResendReason) {
        let count = &mut self.0[reason as usize];
        *count = count.saturating_add(1);
    }

    /// How often for this reason.
    #[must_use]
    pub const fn of(self, reason: ResendReason) -> u32 {
        self.0[reason as usize]
    }

    /// How often for any reason.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.of(ResendReason::Closed).saturating_add(self.of(ResendReason::Reset))
    }
}

/// One finished request.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// The id that the client saw as `x-litellm-call-id`.
    pub call_id: Arc<str>,
    /// When it arrived, milliseconds since 1970.
    pub arrived_unix_ms: u64,
    /// The operation.
    pub operation: Operation,
    /// The model's name as the client wrote it, cut to 200 characters.
    pub requested_model: Option<Arc<str>>,
    /// The user that a header named, if the config says which, cut to 200 characters.
    pub user: Option<Arc<str>>,
    /// Whose key it came with, if not with the master key.
    pub identity: Option<Arc<Identity>>,
    /// The model group that answered; if none did, the one that the request named.
    pub model_group: Option<Arc<str>>,
    /// The name of that group in the config, if it stands for many models: `model_group` is then what the client named.
    pub model_pattern: Option<Arc<str>>,
    /// The id of the deployment that answered, or failed last.
    pub deployment: Option<Arc<str>>,
    /// Its name for people.
    pub deployment_name: Option<Arc<str>>,
    /// The HTTP status sent.
    pub status: u16,
    /// How it ended.
    pub ending: Ending,
    /// Why it failed, if it did.
    pub cause: Option<Cause>,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// Attempts within a group after the first.
    pub retries: u32,
    /// Fallback groups entered.
    pub fallbacks: u32,
    /// Attempts that were sent again on a new connection, because a kept one turned out to be
    /// closed.
    pub resends: Resends,
    /// What became of its stream, if that broke after its first content and might have been continued.
    pub rescue: Option<Rescue>,
    /// From arrival to the end of the answer, microseconds.
    pub duration_us: u64,
    /// From arrival to the first content, microseconds.
    pub first_content_us: Option<u64>,
    /// The gateway's own part of the time, microseconds.
    pub overhead_us: u64,
    /// How long it waited for its turn, microseconds; part of no other time but the whole.
    pub waited_us: u64,
    /// Tokens that are charged for.
    pub usage: Option<Usage>,
    /// Who counted them.
    pub counted_by: CountedBy,
    /// USD, if the price is known.
    pub cost_usd: Option<f64>,
    /// How the cache answered it; `None` if an upstream did, or no one.
    pub cache: Option<CacheAnswer>,
    /// Its calls of upstreams, if they are kept.
    pub calls: Vec<BilledCall>,
    /// Who it is billed to besides its key, if that is kept.
    pub billed_to: Option<Box<BilledTo>>,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// What only some sinks want to know, if there is such a sink.
    pub detail: Option<Box<Detail>>,
}
