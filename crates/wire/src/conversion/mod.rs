//! The upper layer: from a client's format to a provider's wire and back.
//!
//! Used by the gateway. Always true: between equal formats bytes pass; between others they are translated.

pub mod answer;
mod beside;
mod candidates;
mod defaulted;
pub(crate) mod defaults;
pub mod gather;
pub mod late;
mod listed;
mod merged;
mod observe;
pub(crate) mod portions;
pub mod prepare;
mod priced;
pub mod rescue;
pub mod stream;
pub mod tap;
pub mod token_count;
mod tokenizer;
mod translation;
