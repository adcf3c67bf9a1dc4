//! What the gateway answers by itself: models, health, routing, metrics.
//!
//! Called by the router, after the key was checked: the table of endpoints names each page. Always true: a page
//! calls no upstream; those that ask for health checks or for lists of models let the prober do it.

mod admin;
pub(crate) mod alerting;
pub(crate) mod budgets;
pub(crate) mod cache;
pub(crate) mod callbacks;
pub(crate) mod customers;
pub(crate) mod dashboard;
pub(crate) mod explain;
mod google_models;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod keys;
mod known;
pub(crate) mod lists;
pub(crate) mod managers;
pub(crate) mod metrics;
pub(crate) mod model_groups;
pub(crate) mod models;
mod provider_lists;
mod request;
pub(crate) mod router;
pub(crate) mod router_settings;
pub(crate) mod run_time;
mod seen;
pub(crate) mod services;
pub(crate) mod spend;
pub(crate) mod tags;
pub(crate) mod teams;
pub(crate) mod user_update;
pub(crate) mod users;

pub(crate) use self::request::{PageRequest, Waiting};
