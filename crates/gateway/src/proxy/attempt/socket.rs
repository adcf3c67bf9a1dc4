//! An attempt that ends in another protocol: a WebSocket.
//!
//! Called by [`super`]. Always true: what has not agreed to the handshake of this very attempt is a failure,
//! whatever its status.

use hale_wire::websocket;
use http::{HeaderMap, StatusCode};

use super::super::handshake::Socket;
use super::{Ask, Failed};
use crate::upstream::AnswerBody;

/// A key for one handshake.
pub(super) fn key() -> String {
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    websocket::key(random)
}

/// The upstream's side of a handshake that it did not refuse; `key` is the attempt's.
///
/// # Errors
/// Why it is none.
pub(super) fn switched(
    ask: &Ask<'_>,
    key: &str,
    status: StatusCode,
    headers: &mut HeaderMap,
    body: AnswerBody,
) -> Result<Socket, Failed> {
    let Some(stream) = body.switched().filter(|_| status == StatusCode::SWITCHING_PROTOCOLS) else {
        let why =
            format!("the upstream answered {status} to a handshake: it has no WebSocket there");
        return Err(Failed::malformed(why));
    };
    let protocol = ask.dialect.handshake.agreed(key, headers).map_err(Failed::malformed)?;
    Ok(Socket { stream, protocol })
}
