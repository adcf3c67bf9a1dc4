//! An attempt that ends in another protocol: a WebSocket.
//!
//! Called by [`super`]. Always true: what has not agreed to the handshake of this very attempt is a failure,
//! whatever its status.

use hale_wire::websocket;
use http::{HeaderMap, StatusCode};

use super::call::OperationCall;
use super::failed::Failed;
use crate::proxy::handshake::Socket;
use crate::upstream::Answer;

/// A key for one handshake.
pub(super) fn key() -> String {
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    websocket::key(random)
}

/// The upstream's side of a handshake that it did not refuse, and its headers; `key` is the attempt's.
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
            format!("the upstream answered {status} to a handshake: it has no WebSocket there");
        return Err(Failed::malformed(why));
    };
    let protocol = call.dialect.handshake.agreed(key, &mut headers).map_err(Failed::malformed)?;
    Ok((Socket { stream, protocol }, headers))
}
