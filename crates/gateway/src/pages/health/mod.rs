//! The pages about health: of the deployments, and of the process.
//!
//! Always true: no page waits for the prober but those that ask for checks.

pub(crate) mod drain;
pub(crate) mod known;
mod listing;
pub(crate) mod readiness;
pub(crate) mod report;
mod targets;
pub(crate) mod test_connection;
mod words;
