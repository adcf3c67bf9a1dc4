//! Sessions of the dashboard: a browser that showed the master key acts with a cookie in its place.
//!
//! Called by the router for a request without a key, and by the pages that begin and end a session. Always true: nothing is kept
//! here, a session is a signed text that every replica with this master key accepts; it ends an hour after its last use and
//! twelve hours after its beginning, and with the master key; the cookie alone opens nothing, because a request must also repeat
//! a token that no page of another origin can read.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hale_wire::id::IdKey;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use crate::clock;
use crate::http::auth::{self, Principal};
use crate::http::browser;
use crate::http::refusal;
use crate::http::reply::{self, Reply};
use crate::limits::Held;
use crate::pages::{PageRequest, Waiting};
use crate::state::Serving;

/// The cookie.
const COOKIE: &str = "hale_session";
/// The header in which a request repeats the session's token.
const TOKEN: HeaderName = HeaderName::from_static("x-hale-csrf");
/// How long a session lives without use, and in all, seconds.
const IDLE_S: u64 = 3_600;
const WHOLE_S: u64 = 12 * 3_600;
/// What its signatures are for.
const OF_SESSION: &str = "hale dashboard session 1";
const OF_TOKEN: &str = "hale dashboard token 1";
/// Bytes of its content: two times, where the cookie may go, and a random part.
const CONTENT: usize = 8 + 8 + 1 + 16;
/// Longest body of a login, bytes.
const BODY_MAX: usize = 16 << 10;

/// Where a browser may send the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Anywhere,
    /// Over TLS only.
    Encrypted,
}

/// A session.
struct Session {
    began_s: u64,
    until_s: u64,
    sent: Sent,
    random: [u8; 16],
}

impl Session {
    fn new(now_s: u64, sent: Sent) -> Session {
        let mut random = [0; 16];
        let filled = aws_lc_rs::rand::fill(&mut random);
        filled.expect("the library's generator fails only if the system has none");
        Session { began_s: now_s, until_s: now_s + IDLE_S, sent, random }
    }

    /// The session of a cookie, if the key signed it and it is not over.
    fn of(headers: &HeaderMap, key: &IdKey, now_s: u64) -> Option<Session> {
        cookies(headers).find_map(|text| Session::opened(text, key, now_s))
    }

    fn opened(text: &str, key: &IdKey, now_s: u64) -> Option<Session> {
        let whole = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (content, signature) = whole.split_at_checked(CONTENT)?;
        verify_slices_are_equal(signature, &key.sign(OF_SESSION, content)).ok()?;
        let number = |at: usize| content.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        let session = Session {
            began_s: number(0)?,
            until_s: number(8)?,
            sent: if content[16] == 1 { Sent::Encrypted } else { Sent::Anywhere },
            random: content[17..].try_into().ok()?,
        };
        (now_s < session.until_s && session.began_s <= now_s).then_some(session)
    }

    fn content(&self) -> [u8; CONTENT] {
        let mut content = [0; CONTENT];
        content[..8].copy_from_slice(&self.began_s.to_be_bytes());
        content[8..16].copy_from_slice(&self.until_s.to_be_bytes());
        content[16] = u8::from(self.sent == Sent::Encrypted);
        content[17..].copy_from_slice(&self.random);
        content
    }

    /// The token that its requests repeat. It stays the same when the session is renewed.
    fn token(&self, key: &IdKey) -> String {
        URL_SAFE_NO_PAD.encode(key.sign(OF_TOKEN, &self.random))
    }

    /// The same session with a later end, once half of its time is over.
    fn renewed(&self, now_s: u64) -> Option<Session> {
        let until_s = (now_s + IDLE_S).min(self.began_s + WHOLE_S);
        let is_due = self.until_s.saturating_sub(now_s) < IDLE_S / 2 && until_s > self.until_s;
        is_due.then_some(Session { until_s, ..*self })
    }

    fn cookie(&self, key: &IdKey, now_s: u64) -> String {
        let content = self.content();
        let whole = [&content[..], &key.sign(OF_SESSION, &content)].concat();
        let (value, seconds) = (URL_SAFE_NO_PAD.encode(whole), self.until_s.saturating_sub(now_s));
        written(&value, seconds, self.sent)
    }
}

fn written(value: &str, seconds: u64, sent: Sent) -> String {
    let only = match sent {
        Sent::Anywhere => "",
        Sent::Encrypted => "; Secure",
    };
    format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{only}")
}

/// The values of the cookie; a browser may send several.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| name.trim() == COOKIE).map(|(_, value)| value.trim())
}

/// What a request without a key may do by its session; `None` if it has none, or another page may have sent it.
#[cold]
pub(crate) fn access(serving: &Serving, head: &Parts) -> Option<Principal> {
    serving.snapshot.gateway.master_key.as_ref()?;
    let key = serving.ids.key()?;
    let session = Session::of(&head.headers, key, clock::unix_ms() / 1000)?;
    let token = head.headers.get(&TOKEN)?;
    verify_slices_are_equal(token.as_bytes(), session.token(key).as_bytes()).ok()?;
    (!browser::is_foreign(head)).then_some(Principal::Operator)
}

/// `GET /ui/session`: whether there is a session, and its token. Renews it.
pub(crate) fn show(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let serving = &request.arrival.serving;
        if browser::is_foreign(request.head) {
            return Err(refusal::foreign_page());
        }
        if serving.snapshot.gateway.master_key.is_none() {
            return Ok(answer(&json!({"session": "open", "may_act": false}), None));
        }
        let needed = json!({"session": "needed", "may_act": false});
        if cookies(&request.head.headers).next().is_none() {
            return Ok(answer(&needed, None));
        }
        serving.ids.ready().await;
        let now_s = clock::unix_ms() / 1000;
        let key = serving.ids.key();
        let found =
            key.and_then(|key| Some((key, Session::of(&request.head.headers, key, now_s)?)));
        let Some((key, session)) = found else { return Ok(answer(&needed, None)) };
        let renewed = session.renewed(now_s);
        let cookie = renewed.as_ref().map(|session| session.cookie(key, now_s));
        let until_s = renewed.as_ref().unwrap_or(&session).until_s;
        let token = session.token(key);
        let page = json!({"session": "begun", "may_act": true, "token": token, "until_s": until_s});
        Ok(answer(&page, cookie))
    })
}

/// The body of a login.
#[derive(Deserialize)]
struct Login {
    key: String,
}

/// `POST /ui/login`: begins a session for the one who has the master key.
pub(crate) fn login(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let (arrival, head) = (request.arrival, request.head);
        if browser::is_foreign(head) {
            return Err(refusal::foreign_page());
        }
        let Some(master) = &arrival.serving.snapshot.gateway.master_key else {
            return Err(refusal::no_admin());
        };
        let mut held = Held::none(&arrival.worker.process.buffered);
        let body = arrival.read_body(&head.headers, incoming, &mut held).await?;
        let login = serde_json::from_slice::<Login>(&body).ok().filter(|_| body.len() <= BODY_MAX);
        let Some(login) = login else {
            let problem = "expected an object with `key`, the master key";
            return Err(refusal::bad_parameter("key", problem));
        };
        if !auth::is_master_key(login.key.trim(), master) {
            let refused = &arrival.worker.process.metrics.refused_keys;
            refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return Err(refusal::wrong_key());
        }
        arrival.serving.ids.ready().await;
        let Some(key) = arrival.serving.ids.key() else { return Err(refusal::own_fault()) };
        let now_s = clock::unix_ms() / 1000;
        let session = Session::new(now_s, sent(&head.headers));
        let (token, until_s) = (session.token(key), session.until_s);
        let page = json!({"session": "begun", "may_act": true, "token": token, "until_s": until_s});
        Ok(answer(&page, Some(session.cookie(key, now_s))))
    })
}

/// A page that came over TLS, from here or from a proxy before us, says so by its origin.
fn sent(headers: &HeaderMap) -> Sent {
    let origin = headers.get(header::ORIGIN).map_or(&[][..], HeaderValue::as_bytes);
    if origin.starts_with(b"https://") { Sent::Encrypted } else { Sent::Anywhere }
}

/// `POST /ui/logout`: the browser forgets the session.
pub(crate) fn logout(request: &PageRequest<'_>) -> Response<Reply> {
    if browser::is_foreign(request.head) {
        return refusal::foreign_page().into_response(hale_core::provider::WireFormat::OpenAi);
    }
    let page = json!({"session": "ended", "may_act": false});
    answer(&page, Some(written("", 0, sent(&request.head.headers))))
}

fn answer(page: &serde_json::Value, cookie: Option<String>) -> Response<Reply> {
    let mut response = reply::json(StatusCode::OK, page.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> IdKey {
        IdKey::new(&[7; 32])
    }

    fn value(cookie: &str) -> String {
        cookie.split_once('=').unwrap().1.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_session_opens_with_its_key_until_its_end_and_unchanged() {
        let session = Session::new(1_000, Sent::Encrypted);
        let cookie = session.cookie(&key(), 1_000);
        assert!(cookie.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure"));
        let text = value(&cookie);
        let opened = Session::opened(&text, &key(), 4_599).unwrap();
        assert_eq!(opened.content(), session.content());
        assert_eq!(opened.token(&key()), session.token(&key()));
        assert!(Session::opened(&text, &key(), 4_600).is_none(), "it is over");
        assert!(Session::opened(&text, &key(), 999).is_none(), "it has not begun");
        assert!(Session::opened(&text, &IdKey::new(&[8; 32]), 2_000).is_none(), "another key");
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            if changed != text {
                assert!(Session::opened(&changed, &key(), 2_000).is_none(), "{at}");
            }
        }
        for text in ["", "A", "AAAA", &text[..20]] {
            assert!(Session::opened(text, &key(), 2_000).is_none(), "{text}");
        }
    }

    #[test]
    fn a_session_is_renewed_in_its_second_half_and_never_beyond_twelve_hours() {
        let session = Session::new(0, Sent::Anywhere);
        assert!(session.renewed(1_800).is_none());
        let renewed = session.renewed(1_801).unwrap();
        assert_eq!((renewed.began_s, renewed.until_s), (0, 5_401));
        assert_eq!(renewed.token(&key()), session.token(&key()), "open pages go on");
        let late = Session { until_s: WHOLE_S - 10, ..renewed };
        assert_eq!(late.renewed(WHOLE_S - 20).unwrap().until_s, WHOLE_S);
        let last = Session { until_s: WHOLE_S, ..late };
        assert!(last.renewed(WHOLE_S - 5).is_none());
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=b; hale_session=x; c".parse().unwrap());
        headers.append(header::COOKIE, "hale_session=y".parse().unwrap());
        headers.append(header::COOKIE, "not_hale_session=z".parse().unwrap());
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), ["x", "y"]);
    }
}
