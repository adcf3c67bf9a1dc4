//! The middle floor: one module for each format, and the neutral form between them.
//!
//! Used by the conversion. Always true: a format knows the bytes and the neutral form, and no other
//! format's reader or writer.

pub(crate) mod anthropic;
pub mod controls;
pub mod errors;
pub mod files;
pub mod hints;
pub mod mock;
pub mod modes;
pub mod neutral;
pub(crate) mod openai;
pub mod order;
pub mod probe;
pub mod realtime;
pub(crate) mod responses;
