//! The fleet: shares what this replica learns with the others, through Redis or PostgreSQL.
//!
//! Runs on the background thread. [`hale_core::fleet`] decides; this carries messages. Always true: no request
//! waits for it; without a server between them, or while that is not reached, the process goes on by itself, and says so.

mod carrier;
mod keys;
mod postgres;
mod probes;
mod redis;
mod task;
mod terms;

pub(crate) use self::task::run;
