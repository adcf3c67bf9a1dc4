//! What is known about one deployment's health, and what follows for routing.
//!
//! Takes [`Evidence`], returns [`HealthEvent`]s; read by [`crate::route`] for every candidate.
//! Always true: only [`outcome::classify`] says what an answer means, and only
//! [`DeploymentState::apply`] says what follows for the deployment.

mod breaker;
mod by_failure;
mod credential;
mod event;
mod evidence;
mod half_open;
mod lacks;
mod latency;
mod learned;
mod lesson;
mod models;
mod most;
mod obstacle;
pub mod outcome;
mod pace;
pub mod probe;
mod prompt_cache;
mod rate;
mod retry_budget;
mod spend;
mod state;

pub use breaker::{
    BREAKER_CAP_MS, BREAKER_SHORT_MS, CONSECUTIVE_TRIP, Cooldown, QUOTA_CAP_MS, RATE_LIMIT_CAP_MS,
};
pub use by_failure::ByFailure;
pub use credential::CredentialId;
pub use event::{Carried, HealthEvent, HealthEvents, HealthPart, HealthSubject, Source, Standing};
pub use evidence::{
    AttemptRef, Doubted, Evidence, Failure, FailureContext, FailureCount, FleetEvidence,
    OperatorAction,
};
pub use half_open::{HalfOpen, Permit};
pub use lacks::{LACK_MS, Lack, Lacked};
pub use latency::{AnswerMode, Measured};
pub use learned::{ADVICE, Advice, Known, Learned, Lesson};
pub use lesson::lesson;
pub use obstacle::Obstacle;
pub use prompt_cache::PromptCache;
pub use rate::{Claim, Full, RateLimit, Rates};
pub use retry_budget::RetryBudget;
pub use spend::{Period, Spend};
pub use state::{DeploymentState, Opening, RAMP_MS, Report, Verdict};
