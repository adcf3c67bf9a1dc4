//! Files and batches: what a provider keeps for later.
//!
//! Called by [`crate::conversion::prepare`] and [`crate::conversion::answer`], and by the gateway for the model that a file names.
//! Always true: the bytes pass but for ids, which say which deployment issued them, and for the model's
//! name.

pub(crate) mod edits;
pub mod lines;
pub(crate) mod observe;
