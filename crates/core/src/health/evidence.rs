//! Evidence: everything that can change what is known about a deployment's health.
//!
//! Made by attempts, probes, operators and reloads; applied by
//! [`crate::deployment::Deployment::apply`], which returns what changed. Always true: health
//! changes in no other way.

use std::sync::Arc;

use serde::Serialize;

use super::breaker::Cooldown;
use super::event::Carried;
use super::half_open::HalfOpen;
use super::lacks::Lack;
use super::latency::Measured;
use super::probe::ProbeResult;
use crate::cause::{Blame, Cause};
use crate::operation::Operation;
use crate::policy::ByKind;
use crate::time::Millis;

/// One piece of evidence.
#[derive(Clone, Copy, Debug)]
pub enum Evidence<'e> {
    /// An attempt succeeded.
    Succeeded {
        /// The attempt.
        attempt: AttemptRef,
        /// How fast it was.
        measured: Measured,
        /// The model's name at the provider if the deployment stands for many; else empty.
        model: &'e str,
    },
    /// A half-open request is succeeding: its stream has content, though it has not ended.
    HalfOpenProved {
        /// The attempt.
        attempt: AttemptRef,
    },
    /// The provider lets an attempt in: the head of its answer is a 2xx. A limit of the provider's is
    /// over; anything else is proved by the answer.
    LetIn {
        /// The attempt.
        attempt: AttemptRef,
    },
    /// An attempt failed.
    Failed {
        /// The attempt.
        attempt: AttemptRef,
        /// How it failed.
        failure: Failure,
        /// The model's name at the provider if the deployment stands for many; else empty.
        model: &'e str,
        /// What decides the consequence.
        context: &'e FailureContext,
    },
    /// The deployment, or one model of it, said that it lacks something.
    Lacks {
        /// What.
        lack: Lack,
        /// The model's name at the provider if the deployment stands for many; else empty.
        model: &'e str,
    },
    /// A probe ended.
    Probed {
        /// Its result.
        probe: &'e Arc<ProbeResult>,
        /// What a failure counts.
        failures: FailureCount,
    },
    /// An operator acted.
    Operator(OperatorAction),
    /// Other replicas report something.
    Fleet(FleetEvidence),
    /// A new config has something else under the same id: the history continues, verdicts and
    /// cooldowns are void.
    ConfigReplaced {
        /// What was known until now.
        before: &'e Carried,
    },
    /// Probes of this id go to something else than before.
    ProbeTargetChanged,
    /// Time passed: probe verdicts older than `staleness_ms` are void.
    Aged {
        /// The greatest age of a verdict, milliseconds.
        staleness_ms: u64,
    },
}

/// What the reports of other replicas mean here, as [`crate::fleet::judge`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetEvidence {
    /// This cooldown holds here too.
    Closed(Cooldown),
    /// A cooldown that others reported is over; one of this replica's own goes on.
    Cleared,
    /// It gets less traffic until then; `None` ends that.
    Doubted(Option<(Doubted, Millis)>),
}

/// How much of its traffic a deployment gets while only some replicas say that it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubted {
    /// A half.
    ToHalf,
    /// Three quarters: it may be their network.
    ToThreeQuarters,
}

impl Doubted {
    /// The part of its traffic that it gets.
    #[must_use]
    pub const fn part(self) -> f64 {
        match self {
            Doubted::ToHalf => 0.5,
            Doubted::ToThreeQuarters => 0.75,
        }
    }
}

/// What a failed probe counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCount {
    /// One failure is a verdict.
    AtOnce,
    /// Several failures in a row are a verdict.
    WhenConfirmed,
    /// Failures are ignored.
    Never,
}

/// What an operator can do to a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorAction {
    /// Forget every failure, the credential's too.
    Reset,
    /// Take it out of service.
    Disable,
    /// Let it serve again.
    Enable,
}

impl OperatorAction {
    /// The name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            OperatorAction::Reset => "reset",
            OperatorAction::Disable => "disable",
            OperatorAction::Enable => "enable",
        }
    }
}

/// One attempt, as its outcome refers to it.
#[derive(Clone, Copy, Debug)]
pub struct AttemptRef {
    /// When it began.
    pub started: Millis,
    /// The number of its request; different requests have different numbers.
    pub request: u64,
    /// The permits that it holds if it is a half-open request.
    pub half_open: HalfOpen,
}

impl AttemptRef {
    /// The same attempt from the point of view of its credential.
    #[must_use]
    pub(crate) const fn at_credential(self) -> AttemptRef {
        AttemptRef {
            half_open: HalfOpen { own: self.half_open.credential, ..HalfOpen::NONE },
            ..self
        }
    }

    /// The same attempt from the point of view of the rate limit that its deployment shares.
    #[must_use]
    pub(crate) const fn at_limit(self) -> AttemptRef {
        AttemptRef { half_open: HalfOpen { own: self.half_open.limit, ..HalfOpen::NONE }, ..self }
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The cause.
    pub cause: Cause,
    /// The upstream's status, if it answered.
    pub status: Option<u16>,
    /// The wait that the provider named, milliseconds.
    pub hint_ms: Option<u64>,
}

impl Failure {
    /// Whether the provider let the attempt in and refused only what the client sent.
    #[must_use]
    pub(crate) fn is_of_the_client(&self) -> bool {
        let answered = self.status.is_some_and(|status| (400..500).contains(&status));
        answered && matches!(self.cause.facts().blame, Blame::Client)
    }

    /// A failure of that cause, without status or hint.
    #[must_use]
    pub fn of(cause: Cause) -> Failure {
        Failure { cause, status: None, hint_ms: None }
    }
}

/// What decides the consequence of a failure.
#[derive(Clone, Copy, Debug)]
pub struct FailureContext {
    /// Whether the group has another usable deployment.
    pub has_sibling: bool,
    /// Whether the group has a fallback.
    pub has_fallback: bool,
    /// The cooldown after a trip, milliseconds; 0 turns it off.
    pub cooldown_ms: u64,
    /// `allowed_fails_policy`, and `allowed_fails` for the kinds that it does not name.
    pub tolerance: ByKind,
    /// The attempt's own time limit, milliseconds.
    pub attempt_timeout_ms: u64,
    /// Whether the deployment stands for many models (a pattern). Then a failure of one of them
    /// proves nothing about the others.
    pub many_models: bool,
    /// The operation, if the deployment is not meant for it. Its refusal proves nothing about other
    /// operations.
    pub foreign: Option<Operation>,
}

impl FailureContext {
    /// Whether a failure is about less than the deployment: one model behind it, or an operation
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

/// Whether a failure may be about the operation rather than the model.
pub(super) fn is_about_an_operation(cause: Cause) -> bool {
    matches!(cause, Cause::NotFound | Cause::Permission)
}
