//! What a store needs to know.
//!
//! Given to [`super::Store::new`]. Always true: it does not change while the store is there.

use std::path::PathBuf;

use crate::address::Address;
use crate::database::Means;
use crate::retention::Retention;
use crate::spend::SpendRows;
use crate::watch::Watch;

/// What a store needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the database is.
    pub address: Address,
    /// The file for what the database does not have yet.
    pub spool: PathBuf,
    /// What opening needs.
    pub means: Means,
    /// The name of this process among its replicas.
    pub replica: Box<str>,
    /// Its name among all processes that ever wrote: another one at each start.
    pub writer: Box<str>,
    /// What is deleted when.
    pub retention: Retention,
    /// Which records of requests are written.
    pub sample: Sample,
    /// Which rows about what single requests cost are written.
    pub spend: SpendRows,
    /// What is told of each call.
    pub watch: Watch,
}

/// Which records of requests are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Whether those of failures are.
    pub failures: bool,
    /// The share of those of successes, from 0 to 1.
    pub share: f64,
    /// How many of these a second, at most.
    pub per_second: u32,
}
