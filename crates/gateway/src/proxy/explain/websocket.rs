//! What clients are told whose handshake of a WebSocket is none.
//!
//! Called by `proxy::handshake`. Always true: the answer says which protocol the endpoint speaks.

use hale_wire::errors::clean;
use hale_wire::websocket::VERSION;
use http::StatusCode;

use super::{LINE_MAX, Refusal};

/// The endpoint is a WebSocket, and none was asked for.
pub(in super::super) fn no_upgrade(path: &str) -> Refusal {
    let message = format!(
        "{} is a WebSocket: connect with ws:// or wss:// over HTTP/1.1, and let proxies on the way pass \
         `Connection: Upgrade` and `Upgrade: websocket`",
        clean(path, LINE_MAX)
    );
    let mut refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message);
    refusal.upgrade = true;
    refusal
}

/// Another version of the protocol than there is.
pub(in super::super) fn wrong_websocket_version() -> Refusal {
    let message = format!(
        "only version {} of WebSocket is served; send `Sec-WebSocket-Version: {}`",
        VERSION, VERSION
    );
    let mut refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message);
    refusal.upgrade = true;
    refusal
}

/// No key, several, or one that is none.
pub(in super::super) fn bad_websocket_key() -> Refusal {
    let message = "send one `Sec-WebSocket-Key`: 16 random bytes in base64";
    Refusal::new(StatusCode::BAD_REQUEST, "bad_websocket_key", message.to_owned())
}

/// A page of another host makes a browser connect to a gateway that wants no key.
pub(in super::super) fn foreign_origin() -> Refusal {
    let message = "a page of another host may not open a WebSocket here, as this gateway asks for no key; set \
                   general_settings.master_key and send it";
    Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", message.to_owned())
}
