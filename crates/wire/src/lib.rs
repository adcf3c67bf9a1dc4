//! Wire formats: the requests and answers of clients and providers, bytes in and bytes out.
//!
//! Called by the gateway. Always true: no I/O, no clock, no randomness, and every byte that no edit names leaves as
//! it came.
//!
//! Three layers, each of which uses only those below it: `bytes` (JSON, forms, framing), `formats` (one module for
//! each format, and the neutral form), `conversion` (requests to providers and answers to clients).

mod bytes;
mod conversion;
#[cfg(test)]
mod fixture;
mod formats;

pub use hale_core::operation::Operation;

pub use self::bytes::framing::sse as events;
pub use self::bytes::json::without_mark;
pub use self::bytes::{edit, form, id, kept, object, payload, peek, scan, websocket};
pub use self::conversion::{answer, gather, late, prepare, rescue, stream, tap, token_count};
pub use self::formats::view::KeptAs;
pub use self::formats::{
    affinity, controls, embedding_parts, errors, fetched, files, history, images, mock, modes,
    neutral, notes, numbered, order, probe, realtime, retry_after, reuse, usage,
};
