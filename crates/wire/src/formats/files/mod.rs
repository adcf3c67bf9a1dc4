//! Files and batches, which a provider stores.
//!
//! Used by the conversion, and by the gateway to read the model that a file names. Always true: only ids change, so
//! that they name the deployment that issued them, and the model's name.

pub mod done;
pub(crate) mod edits;
pub mod lines;
pub(crate) mod observe;
