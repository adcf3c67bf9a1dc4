//! Evidence: everything that can change what is known about a deployment's health.
//!
//! Made by attempts, probes, operators and reloads; applied by [`crate::deployment::Deployment::apply`],
//! which says what changed. Always true: no other way leads to a change of health.

use std::sync::Arc;

use serde::Serialize;

use super::event::Carried;
use super::half_open::HalfOpen;
use super::latency::Measured;
use super::probe::ProbeResult;
use crate::cause::Cause;
use crate::operation::Operation;
use crate::policy::ByKind;
use crate::time::Millis;

/// One piece of evidence.
#[derive(Clone, Copy, Debug)]
pub enum Evidence<'e> {
    /// An attempt ended with a good answer.
    Succeeded {
        /// The attempt.
        attempt: AttemptRef,
        /// How fast it was.
        measured: Measured,
        /// The model's name at the provider, where the deployment stands for many; else empty.
        model: &'e str,
    },
    /// A half-open request is going well, though it has not ended: a stream has content.
    HalfOpenProved {
        /// The attempt.
        attempt: AttemptRef,
    },
    /// An attempt failed.
    Failed {
        /// The attempt.
        attempt: AttemptRef,
        /// How.
        failure: Failure,
        /// The model's name at the provider, where the deployment stands for many; else empty.
        model: &'e str,
        /// What decides about the consequence.
        context: &'e FailureContext,
    },
    /// An attempt proved nothing about this subject: it gives its permit back.
    Inconclusive {
        /// The attempt.
        attempt: AttemptRef,
    },
    /// A probe ended.
    Probed {
        /// What it found.
        probe: &'e Arc<ProbeResult>,
        /// What a failure counts.
        failures: FailureCount,
    },
    /// An operator acted.
    Operator(OperatorAction),
    /// A config comes into force whose deployment of the same id is something else than before: what
    /// happened stays known, but verdicts and cooldowns are void.
    ConfigReplaced {
        /// What was known under the id until now.
        before: &'e Carried,
    },
    /// What is probed under this id is something else than before.
    ProbeTargetChanged,
    /// Time passed: verdicts of probes older than `staleness_ms` are void.
    Aged {
        /// How old a verdict may be, milliseconds.
        staleness_ms: u64,
    },
}

/// What a failed probe counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCount {
    /// It is a verdict by itself.
    AtOnce,
    /// It is a verdict when enough failed in a row.
    WhenConfirmed,
    /// It is no verdict, and not counted.
    Never,
}

/// What an operator can do to a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorAction {
    /// Forget every failure, the credential's too.
    Reset,
    /// Take it out.
    Disable,
    /// Let it serve again.
    Enable,
}

/// One attempt, as its outcome refers to it.
#[derive(Clone, Copy, Debug)]
pub struct AttemptRef {
    /// When it began.
    pub started: Millis,
    /// Which request it belongs to; different requests have different numbers.
    pub request: u64,
    /// The permits that it holds when it is a half-open request.
    pub half_open: HalfOpen,
}

impl AttemptRef {
    /// The attempt as its credential's state knows it.
    #[must_use]
    pub(crate) const fn at_credential(self) -> AttemptRef {
        AttemptRef {
            half_open: HalfOpen { own: self.half_open.credential, credential: None },
            ..self
        }
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it proved.
    pub cause: Cause,
    /// The upstream's status, where it answered.
    pub status: Option<u16>,
    /// The cooldown that the provider named, milliseconds.
    pub hint_ms: Option<u64>,
}

impl Failure {
    /// A failure of that cause, without status or hint.
    #[must_use]
    pub fn of(cause: Cause) -> Failure {
        Failure { cause, status: None, hint_ms: None }
    }
}

/// What surrounds a failure and decides what follows from it.
#[derive(Clone, Copy, Debug)]
pub struct FailureContext {
    /// Whether the group has another usable deployment.
    pub has_sibling: bool,
    /// Whether the group has a fallback.
    pub has_fallback: bool,
    /// The cooldown after a trip, milliseconds; 0 turns it off.
    pub cooldown_ms: u64,
    /// `allowed_fails_policy` and, for the kinds that it does not name, `allowed_fails`.
    pub tolerance: ByKind,
    /// The attempt's own time limit, milliseconds.
    pub attempt_timeout_ms: u64,
    /// Whether the deployment stands for many models (a pattern): then what one of them answers
    /// proves nothing about the others.
    pub many_models: bool,
    /// The operation, where it is not one of those that the deployment is for: that it is refused is
    /// no news about the others.
    pub foreign: Option<Operation>,
}

impl FailureContext {
    /// Whether a failure speaks of less than the deployment: of one model behind it, or of an operation
    /// that it is not for. Clients choose those freely.
    #[must_use]
    pub(super) fn is_narrow(&self, cause: Cause) -> bool {
        (self.many_models && is_about_a_model(cause))
            || (self.foreign.is_some() && is_about_an_operation(cause))
    }
}

/// Whether a failure is about one model rather than the whole deployment.
fn is_about_a_model(cause: Cause) -> bool {
    matches!(cause, Cause::RateLimited | Cause::NotFound | Cause::Permission)
}

/// Whether a failure may be about what was asked for rather than about the model.
pub(super) fn is_about_an_operation(cause: Cause) -> bool {
    matches!(cause, Cause::NotFound | Cause::Permission)
}
