//! Framing: where the events of a stream begin and end, and where their payload is.
//!
//! Used by the stream reader. Always true: a framing cuts bytes and changes none.

pub mod sse;
