//! Sends one message over HTTP, by the one door to the outside.
//!
//! Called by the channels. Always true: it ends within [`LIMIT`]; a redirect is not followed; what it says of a failure
//! names the host and no more of the address.

use std::time::Duration;

use bytes::Bytes;
use hale_core::secret::Secret;
use hale_wire::errors::clean;
use hale_wire::payload::Payload;
use hale_wire::retry_after;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::clock;
use crate::upstream::{HeaderTemplate, Reuse, SendError, Upstream, UpstreamRequest, send};

/// How long a message may take.
const LIMIT: Duration = Duration::from_secs(10);
/// What is read of an answer, bytes.
const ANSWER_MAX: usize = 4 << 10;
/// What is shown of it, characters.
const SHOWN_MAX: usize = 120;

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
    /// The address.
    pub(super) url: &'p Secret,
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
    let to = Address::of(post.url.expose());
    let host = to.upstream.authority.clone();
    let sending = exchange(to, post.headers, post.body);
    let (status, headers, text) = match tokio::time::timeout(LIMIT, sending).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(Refused::because(format!("{host}: {error}"))),
        Err(_) => {
            let seconds = LIMIT.as_secs();
            return Err(Refused::because(format!("{host} does not answer within {seconds} s")));
        }
    };
    judge(&host, (status, &headers), &text).map_err(|mut refused| {
        hide(post.url, &mut refused.why);
        refused
    })
}

/// Whether the answer says that the message was taken.
fn judge(
    host: &str,
    (status, headers): (StatusCode, &HeaderMap),
    text: &str,
) -> Result<(), Refused> {
    let is_html = is_html(headers, text);
    if status.is_success() && !is_html {
        return Ok(());
    }
    let again_ms = retry_after::retry_hint_ms(status.as_u16(), headers, clock::unix_ms());
    let why = if is_html {
        format!(
            "{host} answered {} with a web page: it is no address of a webhook, or a login or a proxy is in front of it",
            status.as_u16()
        )
    } else if status.is_redirection() {
        format!(
            "{host} answered {} with a redirect, which is not followed: write the address that it leads to",
            status.as_u16()
        )
    } else {
        let words = clean(text.trim(), SHOWN_MAX);
        let hint = hint(status, &words);
        let words = if words.is_empty() { words } else { format!(" \"{words}\"") };
        format!("{host} answered {}{words}{hint}", status.as_u16())
    };
    Err(Refused { why, again_ms })
}

fn hint(status: StatusCode, words: &str) -> &'static str {
    match status.as_u16() {
        _ if words.contains("no_service") || words.contains("invalid_token") => {
            ": the webhook was revoked; make a new one and set its address"
        }
        _ if words.contains("channel_is_archived") => ": its channel is archived",
        401 | 403 => ": the key or the address is refused; make a new one",
        404 | 410 => ": the webhook is not there any more; make a new one and set its address",
        429 => ": it limits the rate",
        _ => "",
    }
}

fn is_html(headers: &HeaderMap, text: &str) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let says =
        kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"));
    let begin: String = text.trim_start().chars().take(15).collect::<String>().to_ascii_lowercase();
    // Slack labels its `ok` as HTML.
    (says && begin.contains('<')) || begin.starts_with("<!doctype") || begin.starts_with("<html")
}

/// Removes what of the address is secret.
fn hide(url: &Secret, text: &mut String) {
    url.hide_in(text);
    let parts = url.expose().split(['/', '?', '&', '=', ':', '@', '#']);
    for part in parts.filter(|part| part.len() >= 8 && !part.contains('.')) {
        Secret::new(part).hide_in(text);
    }
}

async fn exchange(
    to: Address,
    more: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
) -> Result<(StatusCode, HeaderMap, String), SendError> {
    let mut headers = HeaderMap::new();
    if let Ok(host) = HeaderValue::from_str(&to.upstream.authority) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("hale"));
    headers.extend(to.authorization.map(|value| (header::AUTHORIZATION, value)));
    headers.extend(more);
    let headers = HeaderTemplate::from(headers);
    let payload = Payload::from(Bytes::from(body));
    let request = UpstreamRequest {
        method: &Method::POST,
        path: &to.path,
        headers: &headers,
        more: Vec::new(),
        body: &payload,
        // Messages are rare: a kept connection would be closed by then.
        reuse: Reuse::Never,
        granted: None,
    };
    let mut answer = send(&to.upstream, &request).await?;
    let mut text = Vec::new();
    while text.len() < ANSWER_MAX
        && let Some(Ok(piece)) = answer.body.piece().await
    {
        text.extend_from_slice(&piece);
    }
    text.truncate(ANSWER_MAX);
    Ok((answer.status, answer.headers, String::from_utf8_lossy(&text).into_owned()))
}

/// An address, taken apart.
struct Address {
    upstream: Upstream,
    path: PathAndQuery,
    /// A user and a password that stood in it.
    authorization: Option<HeaderValue>,
}

impl Address {
    fn of(url: &str) -> Address {
        let url = url.split('#').next().unwrap_or_default();
        let (scheme, place) = url.split_once("://").unwrap_or(("https", url));
        let end = place.find(['/', '?']).unwrap_or(place.len());
        let (authority, path) = place.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Address {
            upstream: Upstream::parse(&format!("{}://{host}", scheme.to_ascii_lowercase())),
            path: path.parse().unwrap_or_else(|_| PathAndQuery::from_static("/")),
            authorization: user.and_then(basic),
        }
    }
}

fn basic(user: &str) -> Option<HeaderValue> {
    let decoded = percent_encoding::percent_decode_str(user).decode_utf8_lossy();
    let mut value = HeaderValue::try_from(format!("Basic {}", base64(decoded.as_bytes()))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for piece in bytes.chunks(3) {
        let at = |place: usize| u32::from(piece.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= piece.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, kind: &str, text: &str) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        judge("hooks.example", (status, &headers), text).map_err(|refused| refused.why)
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
            (404, "text/plain", "no_service", "was revoked; make a new one"),
            (410, "text/plain", "channel_is_archived", "is archived"),
            (429, "text/plain", "slow", "limits the rate"),
            (500, "text/plain", "oh", "answered 500 \"oh\""),
        ] {
            let why = answer(status, kind, text).unwrap_err();
            assert!(why.contains(says) && why.starts_with("hooks.example"), "{why}");
        }
    }

    #[test]
    fn an_address_is_taken_apart_and_its_secrets_are_not_shown() {
        let address = Address::of("https://me:p%40ss@hooks.example:8443?sig=abcdefghij#x");
        assert_eq!(address.upstream.authority, "hooks.example:8443");
        assert_eq!(address.path.as_str(), "/?sig=abcdefghij");
        let header = address.authorization.unwrap();
        assert_eq!(header.to_str().unwrap(), format!("Basic {}", base64(b"me:p@ss")));
        let mut text = "T0000000000/B0000000000 said abcdefghij and hooks.example".to_owned();
        let url = "https://hooks.example/services/T0000000000/B0000000000/abcdefghij";
        hide(&Secret::new(url), &mut text);
        assert_eq!(text, "***/*** said *** and hooks.example");
    }

    #[test]
    fn base64_has_its_padding() {
        let all = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, coded) in all {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
