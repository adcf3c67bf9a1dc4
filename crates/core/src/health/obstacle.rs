//! What stood between an attempt and its answer, finer than the cause.
//!
//! Named by the gateway's connections, which alone see it; carried by a check's result to whoever explains
//! it to a person. Always true: it decides nothing; what follows from a failure follows from its
//! [`Cause`](crate::cause::Cause).

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The host's name has no address.
    NoAddress,
    /// The resolver did not answer in time.
    ResolverSilent,
    /// The host refuses the port: nobody listens there.
    Refused,
    /// Nothing comes back: what is sent is dropped on the way.
    Filtered,
    /// There is no way to the host.
    Unreachable,
    /// The proxy of the environment did not let it through.
    Proxy,
    /// The connection came to nothing for another reason.
    NoConnection,
    /// The certificate is of nobody whom this machine trusts.
    Untrusted,
    /// The certificate is for another name.
    OtherName,
    /// The certificate is not valid now.
    NotValidNow,
    /// The server speaks something else than TLS.
    NotTls,
    /// The server accepted, and did not finish the handshake in time.
    HandshakeSilent,
    /// The handshake failed for another reason.
    Handshake,
    /// The server accepted, and closed without an answer.
    Closed,
    /// The server accepted, and gave no answer in time.
    NoAnswer,
    /// What came is no HTTP.
    NotHttp,
}
