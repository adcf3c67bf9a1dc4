//! How far a request has come on its way to its upstream, seen from outside.
//!
//! Lent to [`super::send`] by the code that makes the attempt. Always true: it survives the request, so it also
//! describes one that was dropped half-way.

use std::cell::Cell;

use hale_core::health::Obstacle;
use hale_core::record::{ResendReason, Resends};

/// How far the attempts of a client's request have come.
#[derive(Debug, Default)]
pub(crate) struct SendProgress {
    stage: Cell<Stage>,
    resends: Cell<Resends>,
}

/// A step on the way to an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The credential asks for a token.
    Credential,
    /// The name is being resolved.
    Name,
    /// The proxy is being reached, and asked for a way.
    Proxy,
    /// The connection is being made.
    Tcp,
    /// The TLS session is being made.
    Tls,
    /// The answer is awaited. A request that finds a kept connection begins here.
    #[default]
    Answer,
}

impl SendProgress {
    /// The stage of the attempt under way, or of the last one.
    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// How often attempts were sent again on a new connection.
    pub(crate) fn resends(&self) -> Resends {
        self.resends.get()
    }

    /// An attempt has come to `stage`.
    pub(super) fn enter(&self, stage: Stage) {
        self.stage.set(stage);
    }

    /// An attempt is sent again.
    pub(super) fn resend(&self, reason: ResendReason) {
        let mut resends = self.resends.get();
        resends.add(reason);
        self.resends.set(resends);
    }
}

impl Stage {
    /// Whether the upstream may have got the request.
    pub(crate) fn is_sent(self) -> bool {
        match self {
            Stage::Credential | Stage::Name | Stage::Proxy | Stage::Tcp | Stage::Tls => false,
            Stage::Answer => true,
        }
    }

    /// The obstacle of a request that comes no further.
    pub(crate) fn obstacle(self) -> Obstacle {
        match self {
            Stage::Name => Obstacle::ResolverSilent,
            Stage::Proxy => Obstacle::Proxy,
            Stage::Tcp => Obstacle::Filtered,
            Stage::Tls => Obstacle::HandshakeSilent,
            Stage::Credential | Stage::Answer => Obstacle::NoAnswer,
        }
    }
}
