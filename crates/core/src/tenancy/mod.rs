//! Keys and whose they are: rights, limits, budgets.
//!
//! Used by the gateway, which reads the rows and asks for each request with a key. Always true: nothing here reads a clock or a
//! row by itself; words and fields of refusals are the reference's where clients match on them.

pub mod access;
pub mod account;
pub mod denied;
pub mod duration;
pub mod end_user;
mod identity;
pub mod key_text;
mod level;
pub mod load;
pub mod making;
pub mod of_models;
mod owner;
pub mod password;
pub mod rights;
mod row;
pub mod sessions;
mod subject;

pub use self::denied::{Denied, RateLimited};
pub use self::key_text::KeyHash;
pub use self::level::{Charged, Counter, Level};
pub use self::of_models::KeyLimits;
pub use self::owner::Owner;
pub use self::row::{Record, Row};
pub use self::subject::{Subject, SubjectKind};
pub use crate::money::Money;

#[cfg(test)]
mod time_of_tests {
    //! The clock of tests.

    use crate::time::{Millis, UnixMs, WallClock};

    /// So many milliseconds after the start.
    pub(super) fn at(ms: u64) -> WallClock {
        WallClock { now: Millis(ms), unix_ms: UnixMs(1_800_000_000_000 + ms) }
    }
}
