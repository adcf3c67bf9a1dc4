//! Why an attempt failed: the closed list of causes and what follows from each.
//!
//! Produced by [`crate::health::outcome`] only; read by health, routing, errors, metrics and
//! records. Always true: every property of a cause is in the one table [`Cause::facts`].

/// Why an attempt failed, in the vocabulary that users see in errors, metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cause {
    /// The provider refused the credential (401, or 403 naming the key).
    Auth,
    /// The credential is known but may not use this model or region (403).
    Permission,
    /// The provider does not know the model or deployment (404), or answers with a redirect.
    NotFound,
    /// Too many requests or tokens (429).
    RateLimited,
    /// The account's quota or money is used up.
    Quota,
    /// The provider says that it is overloaded (529, or a 503 that says so).
    Overloaded,
    /// Any other 5xx.
    ServerError,
    /// No answer within the attempt's time.
    Timeout,
    /// The connection was refused, reset or never established.
    Connect,
    /// The host name did not resolve.
    Dns,
    /// The TLS handshake failed.
    Tls,
    /// The stream ended before it was complete.
    StreamCut,
    /// The stream sent nothing for too long.
    StreamStall,
    /// The answer is not what the wire format promises (HTML, `{}`, an error under 200, bad JSON).
    BadResponse,
    /// The deployment cannot work as configured.
    Misconfigured,
    /// The request itself is wrong.
    BadRequest,
    /// The request cannot be expressed in the provider's format; no upstream was called.
    Unsupported,
    /// The request does not fit the model's context window.
    ContextWindow,
    /// The provider's content policy refused the request.
    ContentPolicy,
    /// The answer has no content. Another deployment may have one; no side is to blame.
    EmptyAnswer,
    /// The client's own deadline passed.
    ClientTimeout,
    /// The client disconnected.
    ClientClosed,
    /// The gateway's own fault: a limit, a bug, a shutdown.
    Gateway,
}

/// Which side is to blame for a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The deployment, its endpoint or its credential: counts against it.
    Deployment,
    /// The client or the request: never counts.
    Client,
    /// The gateway: never counts.
    Gateway,
}

/// What may follow a failure within the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// A sibling at once; the same deployment after a pause if it is alone.
    SiblingOrSame,
    /// A sibling only; the same deployment would fail in the same way.
    SiblingOnly,
    /// Nothing in this group helps; fallbacks may.
    No,
}

/// What a failure says about the effect of a request that the provider got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The provider refused it: it had none.
    None,
    /// The provider may have carried it out.
    Unknown,
}

/// The properties of one cause.
#[derive(Clone, Copy, Debug)]
pub struct CauseFacts {
    /// The name in errors, metrics, logs and records.
    pub name: &'static str,
    /// Which side is to blame.
    pub blame: Blame,
    /// What may be tried next in the same group.
    pub retry: Retry,
    /// What it says about the effect of a request that was sent.
    pub effect: Effect,
    /// The HTTP status shown to the client if the upstream gave none.
    pub status: u16,
}

impl Cause {
    /// All causes, in declaration order; `Cause::ALL[c as usize] == c`.
    pub const ALL: [Cause; 23] = [
        Cause::Auth,
        Cause::Permission,
        Cause::NotFound,
        Cause::RateLimited,
        Cause::Quota,
        Cause::Overloaded,
        Cause::ServerError,
        Cause::Timeout,
        Cause::Connect,
        Cause::Dns,
        Cause::Tls,
        Cause::StreamCut,
        Cause::StreamStall,
        Cause::BadResponse,
        Cause::Misconfigured,
        Cause::BadRequest,
        Cause::Unsupported,
        Cause::ContextWindow,
        Cause::ContentPolicy,
        Cause::EmptyAnswer,
        Cause::ClientTimeout,
        Cause::ClientClosed,
        Cause::Gateway,
    ];

    /// Whether it is a limit of the provider's, which ends by itself, rather than a fault.
    #[must_use]
    pub const fn is_limit(self) -> bool {
        matches!(self, Cause::RateLimited | Cause::Quota)
    }

    /// The table of causes.
    #[must_use]
    pub const fn facts(self) -> CauseFacts {
        use Blame::{Client, Deployment, Gateway};
        use Effect::{None, Unknown};
        use Retry::{No, SiblingOnly, SiblingOrSame};
        let (name, blame, retry, effect, status) = match self {
            Cause::Auth => ("auth", Deployment, SiblingOnly, None, 401),
            Cause::Permission => ("permission", Deployment, SiblingOnly, None, 403),
            Cause::NotFound => ("not_found", Deployment, SiblingOnly, None, 404),
            Cause::RateLimited => ("rate_limited", Deployment, SiblingOrSame, None, 429),
            Cause::Quota => ("quota", Deployment, SiblingOnly, None, 429),
            Cause::Overloaded => ("overloaded", Deployment, SiblingOrSame, None, 503),
            Cause::ServerError => ("server_error", Deployment, SiblingOrSame, Unknown, 502),
            Cause::Timeout => ("timeout", Deployment, SiblingOnly, Unknown, 408),
            Cause::Connect => ("connect", Deployment, SiblingOrSame, Unknown, 502),
            Cause::Dns => ("dns", Deployment, SiblingOrSame, Unknown, 502),
            Cause::Tls => ("tls", Deployment, SiblingOnly, Unknown, 502),
            Cause::StreamCut => ("stream_cut", Deployment, SiblingOrSame, Unknown, 502),
            Cause::StreamStall => ("stream_stall", Deployment, SiblingOnly, Unknown, 504),
            Cause::BadResponse => ("bad_response", Deployment, SiblingOrSame, Unknown, 502),
            Cause::Misconfigured => ("misconfigured", Deployment, SiblingOnly, None, 500),
            Cause::BadRequest => ("bad_request", Client, No, None, 400),
            Cause::Unsupported => ("unsupported", Client, SiblingOnly, None, 400),
            Cause::ContextWindow => ("context_window", Client, No, None, 400),
            Cause::ContentPolicy => ("content_policy", Client, No, None, 400),
            Cause::EmptyAnswer => ("empty_answer", Client, SiblingOnly, Unknown, 502),
            Cause::ClientTimeout => ("client_timeout", Client, SiblingOnly, Unknown, 408),
            Cause::ClientClosed => ("client_closed", Client, No, Unknown, 499),
            Cause::Gateway => ("gateway", Gateway, No, Unknown, 500),
        };
        CauseFacts { name, blame, retry, effect, status }
    }

    /// The name in errors, metrics, logs and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Whether a provider that got the request may have carried it out all the same.
    #[must_use]
    pub const fn leaves_open(self) -> bool {
        matches!(self.facts().effect, Effect::Unknown)
    }

    /// Whether this cause counts against the deployment.
    #[must_use]
    pub const fn blames_deployment(self) -> bool {
        matches!(self.facts().blame, Blame::Deployment)
    }

    /// The cause with that index, for compact storage.
    #[must_use]
    pub fn from_index(index: u8) -> Option<Cause> {
        Cause::ALL.get(usize::from(index)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_list_agree() {
        for (i, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, i);
            assert_eq!(Cause::from_index(u8::try_from(i).unwrap()), Some(*cause));
        }
        assert_eq!(Cause::from_index(23), None);
    }
}
