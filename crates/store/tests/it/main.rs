//! The store against real databases: SQLite in a file, and a private PostgreSQL.
//!
//! Always true: what holds for one database is tested on both by the same code.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod both;
mod broken;
mod copies;
mod figures;
mod ledger;
mod shared;
mod support;
mod tenants;
mod tenants_reference;
mod writing;
