//! The client's headers that are passed on to the provider.
//!
//! Read by [`super::opening`], sent by [`super::attempt`]. Always true: no other header of the client is
//! passed on.

use hale_core::provider::WireFormat;
use http::HeaderMap;

use super::handshake::Handshake;
use crate::upstream::dialect::anthropic;

/// The headers that are passed on: Anthropic's own in that format, and the offers of a handshake.
#[derive(Default)]
pub(crate) struct Dialect {
    /// What the client offers in a WebSocket handshake; probes offer nothing.
    pub(crate) handshake: Handshake,
    /// Headers of the Anthropic format.
    pub(super) anthropic: anthropic::ClientHeaders,
}

impl Dialect {
    /// Reads `headers` for an endpoint of that format.
    pub(super) fn of(format: WireFormat, headers: &HeaderMap) -> Dialect {
        match format {
            WireFormat::OpenAi
            | WireFormat::Gemini
            | WireFormat::Cohere
            | WireFormat::Responses
            | WireFormat::Converse
            | WireFormat::Ollama => Dialect::default(),
            WireFormat::Anthropic => Dialect {
                handshake: Handshake::default(),
                anthropic: anthropic::ClientHeaders::of(headers),
            },
        }
    }
}
