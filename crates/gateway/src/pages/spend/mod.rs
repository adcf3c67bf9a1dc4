//! Reports of what was spent, in the reference's shapes: days, requests, sums by key, model, team, tag.
//!
//! Called by the router. Always true: sums are made of days, so that a month costs the same however many requests it had; the last day
//! is included; a client that is no admin sees its own.

pub(crate) mod activity;
pub(crate) mod calculate;
mod days;
mod form;
pub(crate) mod global;
pub(crate) mod logs;
pub(crate) mod over_time;
pub(crate) mod reset;
mod scope;
