//! The process: its start, its control thread, its reloads, its log of events, its end.
//!
//! Called by the command line and the demo.

mod address;
mod control;
mod event_log;
mod options;
mod reload;
mod remember;
mod run_time;
mod shutdown;
mod start;
mod telemetry;

pub(crate) use self::address::{Listen, judge};
pub(crate) use self::options::ServeOptions;
pub(crate) use self::remember::{Place, address_beside, store_address};
pub(crate) use self::shutdown::{Running, Stop};
pub(crate) use self::start::{Keeps, run, start};
