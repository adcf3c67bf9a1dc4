//! Health probes: the thread that sends them.
//!
//! [`hale_core::health::probe::Schedule`] decides which deployment to probe when,
//! [`hale_core::health::probe::judge`] what an answer proves; a probe is an attempt like any other
//! ([`crate::proxy::attempt`]). Always true: probes run on their own thread, which is restarted when it fails.

mod probe;
mod request;
mod round;
mod thread;

pub(crate) use self::probe::listed;
pub(crate) use self::request::Spending;
pub(crate) use self::round::{ProbeGroup, probe_groups};
pub(crate) use self::thread::{contained, is_not_probed, start};
