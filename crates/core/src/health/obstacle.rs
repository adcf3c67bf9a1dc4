//! What stood between an attempt and its answer, in more detail than the cause.
//!
//! Named by the gateway's connections, which alone can see it; carried by a probe's result to the
//! code that explains it. Always true: it decides nothing; what follows from a failure follows from
//! its [`Cause`](crate::cause::Cause).

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The host's name has no address.
    NoAddress,
    /// The resolver did not answer in time.
    ResolverSilent,
    /// The host refuses the port: no process listens on it.
    Refused,
    /// Packets are dropped on the way; nothing comes back.
    Filtered,
    /// There is no route to the host.
    Unreachable,
    /// The proxy from the environment refused the connection.
    Proxy,
    /// The connection failed for another reason.
    NoConnection,
    /// The certificate is not signed by a trusted CA.
    Untrusted,
    /// The certificate is for another name.
    OtherName,
    /// The certificate is not valid now.
    NotValidNow,
    /// The server does not speak TLS.
    NotTls,
    /// The server accepted the connection and did not finish the handshake in time.
    HandshakeSilent,
    /// The handshake failed for another reason.
    Handshake,
    /// The server accepted the connection and closed it without an answer.
    Closed,
    /// The server accepted the connection and sent no answer in time.
    NoAnswer,
    /// The answer is not HTTP.
    NotHttp,
    /// The server has no such path.
    NoPath,
}
