//! Sends one message over HTTP, by the one door to the outside.
//!
//! Called by the channels. Always true: it ends within [`LIMIT`]; a redirect is not followed; what it says of a failure
//! names the host and no more of the address.

use std::time::Duration;

use bytes::Bytes;
use hale_core::secret::Secret;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use crate::upstream::{Heard, Outgoing, Outward};

/// How long a message may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a message was not taken.
#[derive(Debug)]
pub(crate) struct Refused {
    /// What happened: the channel's host, and its words.
    pub(crate) why: String,
    /// When it may be tried again, milliseconds from now, if the receiver says so.
    pub(crate) again_ms: Option<u64>,
}

impl Refused {
    /// A refusal of which no more is known.
    pub(super) fn because(why: String) -> Refused {
        Refused { why, again_ms: None }
    }
}

/// What is sent, and where.
pub(super) struct Post<'p> {
    /// The address, which is a secret as a whole.
    pub(super) url: &'p Secret,
    /// What else must not be shown.
    pub(super) secret: Option<&'p Secret>,
    /// Further headers.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON.
    pub(super) body: Vec<u8>,
}

/// Sends it.
///
/// # Errors
/// Why it was not taken.
pub(super) async fn post(post: Post<'_>) -> Result<(), Refused> {
    let Post { url, secret, mut headers, body } = post;
    let to = Outward::new(url.expose(), LIMIT).hiding_path().hiding(secret).rarely();
    headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
    let body = Bytes::from(body);
    let sent = to.send(Outgoing { method: Method::POST, path: None, headers, body });
    judge(&to, &sent.await.map_err(Refused::because)?)
}

/// Whether the answer says that the message was taken. It is taken also if the answer breaks after a good status.
fn judge(to: &Outward, heard: &Heard) -> Result<(), Refused> {
    let (status, is_page) = (heard.status, heard.is_page());
    if status.is_success() && !is_page {
        return Ok(());
    }
    let (host, code) = (to.authority(), status.as_u16());
    let why = if is_page {
        format!(
            "{host} answered {code} with a web page: it is no address of a webhook, or a login or a proxy is in front of it"
        )
    } else if status.is_redirection() {
        format!(
            "{host} answered {code} with a redirect, which is not followed: write the address that it leads to"
        )
    } else {
        format!("{}{}", to.quoted(heard), hint(status, &String::from_utf8_lossy(&heard.body)))
    };
    Err(Refused { why, again_ms: heard.after_ms() })
}

fn hint(status: StatusCode, words: &str) -> &'static str {
    match status.as_u16() {
        _ if words.contains("no_service") || words.contains("invalid_token") => {
            "; the webhook was revoked: make a new one and set its address"
        }
        _ if words.contains("channel_is_archived") => "; its channel is archived",
        401 | 403 => "; the key or the address is refused: make a new one",
        404 | 410 => "; the webhook is not there any more: make a new one and set its address",
        429 => "; it limits the rate",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, kind: &'static str, text: &str) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let status = StatusCode::from_u16(status).unwrap();
        let heard = Heard { status, headers, body: text.as_bytes().to_vec(), is_cut: false };
        let to = Outward::new("https://hooks.example/abcdefghij", LIMIT).hiding_path();
        judge(&to, &heard).map_err(|refused| refused.why)
    }

    #[test]
    fn an_answer_is_taken_only_if_a_webhook_gave_it() {
        for (status, kind, text) in [
            (200, "text/html", "ok"),
            (200, "text/plain", "ok"),
            (204, "text/plain", ""),
            (202, "application/json", "{}"),
        ] {
            assert_eq!(answer(status, kind, text), Ok(()), "{text}");
        }
        for (status, kind, text, says) in [
            (200, "text/html", "<!DOCTYPE html><p>", "a web page"),
            (200, "text/plain", " <html>", "a web page"),
            (302, "text/plain", "", "with a redirect"),
            (404, "text/plain", "no_service", "was revoked: make a new one"),
            (410, "text/plain", "channel_is_archived", "is archived"),
            (429, "text/plain", "slow", "limits the rate"),
            (500, "text/plain", "oh abcdefghij", "answered 500 Internal Server Error: oh ***"),
        ] {
            let why = answer(status, kind, text).unwrap_err();
            assert!(why.contains(says) && why.starts_with("hooks.example"), "{why}");
        }
    }
}
