//! Images, audio, moderations, rerank and OCR: operations that only pass between equal formats.
//!
//! `observe` checks answers, [`units`] counts the charged units of a request, `base64` checks encoded bytes, [`bytes`]
//! tells bytes from text, [`transcripts`] reads transcripts. Always true: an answer that passes has the content of its
//! operation, in the type that the format promises.

pub(crate) mod base64;
pub mod bytes;
pub(crate) mod observe;
pub mod transcripts;
pub mod units;
