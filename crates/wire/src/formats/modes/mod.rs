//! Images, sound, moderations, rerank and OCR: operations whose bytes pass between equal formats.
//!
//! `look` checks their answers, [`asked`] counts what a request is charged for, `base64` checks what stands
//! in texts, [`bytes`] tells bytes from words, [`transcripts`] reads what was heard. Always true: an answer
//! that passes has what its operation is for, in the type that the format promises.

pub mod asked;
pub(crate) mod base64;
pub mod bytes;
pub(crate) mod observe;
pub mod transcripts;
