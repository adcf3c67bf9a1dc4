//! The pages about health: of the deployments, and of the process.
//!
//! Always true: only pages that request probes wait for the prober.

pub(crate) mod drain;
pub(crate) mod history;
pub(crate) mod known;
mod listing;
pub(crate) mod overview;
pub(crate) mod readiness;
pub(crate) mod report;
pub(crate) mod shared;
mod targets;
pub(crate) mod test_connection;
mod words;
