//! What probes say about a deployment, and what one probe found.
//!
//! Kept by [`super::ProbeRecord`], shown by pages, named in events. Always true: a name here is public and stays.

use super::{Doubt, Finding};
use crate::cause::Cause;
use crate::health::Obstacle;
use crate::time::Millis;

/// What is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing is known.
    #[default]
    Unprobed,
    /// The model ran.
    Healthy,
    /// It answers that it wants to be left alone.
    RateLimited,
    /// Checks failed, as often as it takes.
    Unhealthy(Cause),
    /// Checks prove nothing about it.
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

    /// Why, where there is something to say.
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

/// One check that came to an end.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeResult {
    /// When it began.
    pub started: Millis,
    /// When it ended.
    pub ended: Millis,
    /// What it proved.
    pub finding: Finding,
    /// What the classifier said, when it got no good answer.
    pub cause: Option<Cause>,
    /// The upstream's status, when that was no success.
    pub status: Option<u16>,
    /// What stood in the way, where no answer came.
    pub obstacle: Option<Obstacle>,
    /// What the provider said, or we say; one line.
    pub message: Box<str>,
    /// The model that was asked, as the provider calls it.
    pub model: Box<str>,
    /// What the answer's headers say about limits and regions.
    pub headers: Vec<(&'static str, Box<str>)>,
}
