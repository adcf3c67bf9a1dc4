//! The middle floor: one module for each format, and the neutral form between them.
//!
//! Used by the conversion. Always true: a format knows the bytes and the neutral form, and no other
//! format's reader or writer.

pub(crate) mod answer;
pub(crate) mod anthropic;
pub mod controls;
pub mod errors;
pub(crate) mod event;
pub mod files;
pub mod hints;
pub(crate) mod metadata;
pub mod mock;
pub mod modes;
pub mod neutral;
pub(crate) mod openai;
pub mod order;
pub mod probe;
pub mod realtime;
pub(crate) mod responses;
pub(crate) mod usage;
pub(crate) mod view;

use hale_core::provider::WireFormat;

use crate::bytes::framing::Framing;

/// The framing of the streams of a wire.
pub(crate) fn framing(wire: WireFormat) -> Framing {
    match wire {
        WireFormat::OpenAi | WireFormat::Anthropic => Framing::sse(),
    }
}
