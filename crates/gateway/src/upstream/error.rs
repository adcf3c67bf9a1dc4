//! Why a request got no answer.
//!
//! Made by the files beside it, classified by `proxy::attempt`. Always true: each failure names the obstacle
//! that stood in the way, unless it was this process.

use hale_core::health::Obstacle;

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The name did not resolve.
    #[error("the name {host} does not resolve: {reason}")]
    Dns { host: String, reason: String, obstacle: Obstacle },
    /// What a client named leads to an address that it may not lead to.
    #[error("{host} is {what}")]
    Barred { host: String, what: &'static str },
    /// No connection.
    #[error("no connection: {reason}")]
    Connect { reason: String, obstacle: Obstacle },
    /// This process has no descriptor left.
    #[error("this process has no descriptors left; raise its limit of open files (ulimit -n)")]
    NoDescriptors,
    /// No TLS session.
    #[error("the TLS handshake failed: {reason}")]
    Tls { reason: String, obstacle: Obstacle },
    /// The connection ended before any byte of an answer.
    #[error("the connection was closed before an answer came")]
    Closed,
    /// The connection was reset before any byte of an answer.
    #[error("the connection was closed before an answer came")]
    Reset,
    /// The connection ended after the first byte of an answer and before the end of its head.
    #[error("the connection was closed in the head of the answer")]
    Cut,
    /// The answer is not valid HTTP.
    #[error("the answer is not valid HTTP: {0}")]
    Protocol(String),
}

impl SendError {
    /// The obstacle; none if this process is to blame.
    pub(crate) fn obstacle(&self) -> Option<Obstacle> {
        match self {
            SendError::Dns { obstacle, .. }
            | SendError::Connect { obstacle, .. }
            | SendError::Tls { obstacle, .. } => Some(*obstacle),
            SendError::NoDescriptors | SendError::Barred { .. } => None,
            SendError::Closed | SendError::Reset | SendError::Cut => Some(Obstacle::Closed),
            SendError::Protocol(_) => Some(Obstacle::NotHttp),
        }
    }
}
