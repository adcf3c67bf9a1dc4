//! What probes say about a deployment, and what one probe found.
//!
//! Kept by [`super::ProbeRecord`], shown by pages, named in events. Always true: the names are public
//! and do not change.

use super::{Doubt, Finding};
use crate::cause::Cause;
use crate::health::Obstacle;
use crate::time::Millis;

/// The verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing is known.
    #[default]
    Unprobed,
    /// The model ran.
    Healthy,
    /// It answers that it limits the rate.
    RateLimited,
    /// Enough probes failed.
    Unhealthy(Cause),
    /// Probes prove nothing about it.
    Unknown(Doubt),
}

impl Status {
    /// The name on pages, in logs and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Status::Unprobed => "unchecked",
            Status::Healthy => "healthy",
            Status::RateLimited => "rate_limited",
            Status::Unhealthy(_) => "unhealthy",
            Status::Unknown(Doubt::Shallow) => "reachable",
            Status::Unknown(Doubt::WrongMode | Doubt::NoPath | Doubt::Model | Doubt::Unserved) => {
                "unknown"
            }
        }
    }

    /// Why, if there is a reason to name.
    #[must_use]
    pub const fn cause(self) -> Option<&'static str> {
        match self {
            Status::Unprobed | Status::Healthy => None,
            Status::RateLimited => Some(Cause::RateLimited.name()),
            Status::Unhealthy(cause) => Some(cause.name()),
            Status::Unknown(doubt) => Some(doubt.name()),
        }
    }
}

/// The result of one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeResult {
    /// When it began.
    pub started: Millis,
    /// When it ended.
    pub ended: Millis,
    /// What it proved.
    pub finding: Finding,
    /// The cause, if there was no good answer.
    pub cause: Option<Cause>,
    /// The upstream's status, if that was not a success.
    pub status: Option<u16>,
    /// What stood in the way, if no answer came.
    pub obstacle: Option<Obstacle>,
    /// The provider's message, or ours; one line.
    pub message: Box<str>,
    /// The model that was called, by its name at the provider.
    pub model: Box<str>,
    /// What the answer's headers say about limits and regions.
    pub headers: Vec<(&'static str, Box<str>)>,
}
