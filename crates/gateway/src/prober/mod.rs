//! Active health checks: the thread that makes them.
//!
//! When to check whom is decided by [`hale_core::health::check::Schedule`], what an answer proves by
//! [`hale_core::health::check::judge`]; a check is an attempt like any other ([`crate::proxy::attempt`]).
//! Always true: checks have a thread of their own, which is begun anew when it fails.

mod probe;
mod request;
mod round;
mod thread;

pub(crate) use self::probe::listed;
pub(crate) use self::round::{Alike, alike};
pub(crate) use self::thread::{contained, is_left_out, start};
