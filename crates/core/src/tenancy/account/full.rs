//! Why a subject admits no more now.
//!
//! Part of [`super`]; told to clients by [`super::super::denied`]. Always true: it has all numbers of its message.

use crate::money::Money;
use crate::time::UnixMs;

/// Why a subject admits no more now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Requests of a minute.
    Requests {
        /// How many there may be.
        limit: u64,
        /// When there is room again, milliseconds.
        free_in_ms: u64,
    },
    /// Tokens of a minute.
    Tokens {
        /// How many there may be.
        limit: u64,
        /// When there is room again, milliseconds.
        free_in_ms: u64,
    },
    /// The request asks for more tokens than a minute may have.
    NeverFits {
        /// How many there may be.
        limit: u64,
        /// How many it asks for.
        asked: u64,
    },
    /// Calls in flight.
    Parallel {
        /// How many there may be.
        limit: u64,
    },
    /// All the requests that it may have were made.
    Used {
        /// How many there may be.
        limit: u64,
    },
    /// The budget is spent.
    Spent {
        /// How much is.
        known: Money,
        /// How much may be.
        max: Money,
        /// When it begins anew, if it does.
        resets_at: Option<UnixMs>,
    },
    /// The remainder of the budget is reserved.
    Reserved {
        /// How much may be spent.
        max: Money,
        /// Calls in flight.
        calls: u64,
    },
}
