//! Numbers by kind of failure, as `retry_policy` and `allowed_fails_policy` have them.
//!
//! Built by [`crate::config`], read by routing (retries) and by health (tolerated failures). Always
//! true: one function tells the kind of a failure, for both.

use crate::cause::Cause;

/// A kind of failure, named as in LiteLLM's policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FailureKind {
    /// The request is wrong (400, 422, a context window).
    BadRequest,
    /// The credential is refused (401, 403).
    Authentication,
    /// No answer in time.
    Timeout,
    /// A rate limit or a quota.
    RateLimit,
    /// The provider's content policy.
    ContentPolicy,
    /// A failing server, a broken answer, no connection.
    InternalServer,
    /// Overload (503, 529).
    ServiceUnavailable,
    /// A gateway in front of the provider failed (502).
    BadGateway,
    /// The model is not known (404).
    NotFound,
}

impl FailureKind {
    /// All kinds; `FailureKind::ALL[k as usize] == k`.
    pub const ALL: [FailureKind; 9] = [
        FailureKind::BadRequest,
        FailureKind::Authentication,
        FailureKind::Timeout,
        FailureKind::RateLimit,
        FailureKind::ContentPolicy,
        FailureKind::InternalServer,
        FailureKind::ServiceUnavailable,
        FailureKind::BadGateway,
        FailureKind::NotFound,
    ];

    /// The start of a policy's keys, such as `TimeoutErrorRetries`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FailureKind::BadRequest => "BadRequestError",
            FailureKind::Authentication => "AuthenticationError",
            FailureKind::Timeout => "TimeoutError",
            FailureKind::RateLimit => "RateLimitError",
            FailureKind::ContentPolicy => "ContentPolicyViolationError",
            FailureKind::InternalServer => "InternalServerError",
            FailureKind::ServiceUnavailable => "ServiceUnavailableError",
            FailureKind::BadGateway => "BadGatewayError",
            FailureKind::NotFound => "NotFoundError",
        }
    }

    /// The kind of a failure; `None` if no policy covers it.
    #[must_use]
    pub const fn of(cause: Cause, status: Option<u16>) -> Option<FailureKind> {
        Some(match cause {
            Cause::Auth | Cause::Permission => FailureKind::Authentication,
            Cause::NotFound => FailureKind::NotFound,
            Cause::RateLimited | Cause::Quota => FailureKind::RateLimit,
            Cause::Overloaded => FailureKind::ServiceUnavailable,
            Cause::ServerError => match status {
                Some(502) => FailureKind::BadGateway,
                Some(503) => FailureKind::ServiceUnavailable,
                _ => FailureKind::InternalServer,
            },
            Cause::Timeout | Cause::StreamStall => FailureKind::Timeout,
            Cause::Connect | Cause::Dns | Cause::Tls | Cause::StreamCut | Cause::BadResponse => {
                FailureKind::InternalServer
            }
            Cause::BadRequest | Cause::Unsupported | Cause::ContextWindow => {
                FailureKind::BadRequest
            }
            Cause::ContentPolicy => FailureKind::ContentPolicy,
            Cause::Misconfigured
            | Cause::EmptyAnswer
            | Cause::ClientTimeout
            | Cause::ClientClosed
            | Cause::Gateway => return None,
        })
    }
}

/// A number for some kinds, and one for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByKind {
    /// By kind.
    pub named: [Option<u32>; FailureKind::ALL.len()],
    /// For the kinds without a number of their own.
    pub others: Option<u32>,
}

impl ByKind {
    /// The number for that kind.
    #[must_use]
    pub fn get(&self, kind: FailureKind) -> Option<u32> {
        self.named[kind as usize].or(self.others)
    }

    /// This policy, completed by `base`.
    ///
    /// A kind that `base` names is overruled by `others` here: the more specific place decides.
    #[must_use]
    pub fn over(mut self, base: &ByKind) -> ByKind {
        if self.others.is_none() {
            for (own, theirs) in self.named.iter_mut().zip(base.named) {
                *own = own.or(theirs);
            }
            self.others = base.others;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_list_agree_and_statuses_are_distinguished() {
        for (i, kind) in FailureKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, i);
        }
        let of = FailureKind::of;
        assert_eq!(of(Cause::ServerError, Some(502)), Some(FailureKind::BadGateway));
        assert_eq!(of(Cause::ServerError, Some(500)), Some(FailureKind::InternalServer));
        assert_eq!(of(Cause::ClientClosed, None), None);
    }

    #[test]
    fn the_nearer_place_decides() {
        let mut base = ByKind { others: Some(9), ..ByKind::default() };
        base.named[FailureKind::Timeout as usize] = Some(1);
        let mut near = ByKind::default();
        near.named[FailureKind::RateLimit as usize] = Some(0);
        let both = near.over(&base);
        assert_eq!(both.get(FailureKind::RateLimit), Some(0));
        assert_eq!(both.get(FailureKind::Timeout), Some(1));
        assert_eq!(both.get(FailureKind::NotFound), Some(9));
        let generic = ByKind { others: Some(2), ..ByKind::default() }.over(&base);
        assert_eq!(generic.get(FailureKind::Timeout), Some(2));
    }
}
