//! What requests cost, as rows: the ledger, LiteLLM's rows of requests and days, what is added to counters.
//!
//! Fed with finished requests by [`crate::store`]. Always true: all rows of a request are in one batch; each sum has each request once;
//! money is whole numbers of 10^-9 USD until it becomes a value of LiteLLM's columns.

mod day;
mod kinds;
mod past;
mod request;
mod rows;
mod sums;

pub(crate) use self::day::day_of;
pub(crate) use self::kinds::Calls;
pub(crate) use self::past::{CALLS, CORRECTIONS, SESSION, SINGLE, SUMMED, SUMMED_CALLS};
pub use self::past::{ModelDay, PastCall, SessionSum};
pub use self::request::{SpendRows, SpentCall, SpentPeriod, SpentRequest, SpentTexts};
pub(crate) use self::rows::summed;
pub(crate) use self::sums::Sums;
