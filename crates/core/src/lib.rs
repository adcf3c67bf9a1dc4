//! The domain of Hale: what a deployment is, which one a request goes to, and what an answer
//! proves.
//!
//! Called by `hale-wire` (vocabulary) and `hale-gateway` (everything). Always true: no I/O, no
//! clock, no randomness. Time is a [`time::Millis`] argument, chance is a `u64` argument, and files
//! and environment come through [`config::Source`], so that every decision can be replayed.

pub mod aws;
pub mod azure;
pub mod budget;
pub mod cache;
pub mod cause;
pub mod charge;
pub mod config;
pub mod deployment;
pub mod fleet;
pub mod google;
pub mod group;
pub mod health;
pub mod incident;
mod index;
mod minute;
pub mod money;
pub mod operation;
pub mod parameters;
pub mod placeholder;
pub mod policy;
pub mod prices;
pub mod provider;
pub mod record;
pub mod rescue;
pub mod route;
pub mod secret;
pub mod settings;
pub mod similar;
pub mod snapshot;
pub mod takes;
pub mod tenancy;
pub mod time;
pub mod trace;
pub mod usage;
pub mod vertex;
pub mod waiting;
pub mod wire_format;
