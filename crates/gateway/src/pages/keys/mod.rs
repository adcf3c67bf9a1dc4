//! The admin API of keys: `/key/...`, in the reference's shapes.
//!
//! Called by the router. Always true: the text of a key is shown once, when it is made; what is changed counts for the next request of
//! this process.

pub(super) mod budgets;
pub(super) mod fields;
mod make;
mod replace;
mod show;

pub(crate) use self::make::{block, delete, generate, unblock, update};
pub(super) use self::make::{completed, create, remove};
pub(crate) use self::replace::regenerate;
pub(crate) use self::show::{info, list};
