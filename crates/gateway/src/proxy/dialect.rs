//! The headers of a client that go along to the provider.
//!
//! Read by [`super::opening`], sent by [`super::attempt`]. Always true: nothing else of the client's head
//! goes along.

use hale_core::provider::WireFormat;
use http::HeaderMap;

use super::handshake::Handshake;
use crate::upstream::dialect::anthropic;

/// What a client's head says that goes along: of the Anthropic format what concerns that, and of a
/// handshake what is offered.
#[derive(Default)]
pub(crate) struct Dialect {
    /// What it offers, where it wants to switch to another protocol; checks offer nothing.
    pub(crate) handshake: Handshake,
    /// What it asks of Anthropic.
    pub(super) anthropic: anthropic::ClientHeaders,
}

impl Dialect {
    /// What `headers` say to an endpoint of that format.
    pub(super) fn of(format: WireFormat, headers: &HeaderMap) -> Dialect {
        match format {
            WireFormat::OpenAi => Dialect::default(),
            WireFormat::Anthropic => Dialect {
                handshake: Handshake::default(),
                anthropic: anthropic::ClientHeaders::of(headers),
            },
        }
    }
}
