//! An attempt that opens a WebSocket.
//!
//! Called by [`super`]. Always true: an answer that does not accept this attempt's handshake is a failure,
//! whatever its status.

use hale_wire::websocket;
use http::{HeaderMap, StatusCode};

use super::call::OperationCall;
use super::failed::Failed;
use crate::proxy::handshake::Socket;
use crate::upstream::Answer;

/// A random key for one handshake.
pub(super) fn key() -> String {
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    websocket::key(random)
}

/// The upstream's connection and headers after a handshake that it accepted; `key` is the attempt's.
///
/// # Errors
/// Why there is no session.
pub(super) fn switched(
    call: &OperationCall<'_>,
    key: &str,
    answer: Answer,
) -> Result<(Socket, HeaderMap), Failed> {
    let (status, mut headers) = (answer.status, answer.headers);
    let switched = answer.body.switched();
    let Some(stream) = switched.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS) else {
        let why =
            format!("the upstream answered {status} to a handshake: it serves no WebSocket there");
        return Err(Failed::malformed(why));
    };
    let protocol = call.dialect.handshake.agreed(key, &mut headers).map_err(Failed::malformed)?;
    Ok((Socket { stream, protocol }, headers))
}
