//! Sessions of the dashboard: a browser that showed a key acts with a cookie in its place.
//!
//! Called by the router for a request without a key, and by [`super::login`], which begins and ends sessions. Always true: nothing is kept
//! here, a session is a signed text that every replica with this master key accepts; it ends an hour after its last use and
//! twelve hours after its beginning, with the master key, and with the key that it stands for, which is looked up for each request and
//! decides what that may do; the cookie alone opens nothing, because a request must also repeat a token that no page of another
//! origin can read.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hale_core::tenancy::KeyHash;
use hale_wire::id::IdKey;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::clock;
use crate::http::browser;
use crate::state::Serving;

/// The cookie.
const COOKIE: &str = "hale_session";
/// The header in which a request repeats the session's token.
const TOKEN: HeaderName = HeaderName::from_static("x-hale-csrf");
/// How long a session lives without use, and in all, seconds.
const IDLE_S: u64 = 3_600;
const WHOLE_S: u64 = 12 * 3_600;
/// What its signatures are for.
const OF_SESSION: &str = "hale dashboard session 2";
const OF_TOKEN: &str = "hale dashboard token 2";
/// Bytes of its content: two times, where the cookie may go and whose it is, a random part, and the hash of a key.
const CONTENT: usize = 8 + 8 + 1 + 16 + 32;
/// Bits of the byte for where it may go and whose it is.
const ENCRYPTED: u8 = 1;
const OF_KEY: u8 = 2;

/// Where a browser may send the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Anywhere,
    /// Over TLS only.
    Encrypted,
}

/// Whose a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// An operator's, who showed the master key.
    Operator,
    /// That of the holder of a key.
    Key(KeyHash),
}

/// A session.
pub(super) struct Session {
    began_s: u64,
    pub(super) until_s: u64,
    sent: Sent,
    random: [u8; 16],
    pub(super) holder: Holder,
}

impl Session {
    pub(super) fn new(now_s: u64, sent: Sent, holder: Holder) -> Session {
        let mut random = [0; 16];
        let filled = aws_lc_rs::rand::fill(&mut random);
        filled.expect("the library's generator fails only if the system has none");
        Session { began_s: now_s, until_s: now_s + IDLE_S, sent, random, holder }
    }

    /// The session of a cookie, if the key signed it and it is not over.
    pub(super) fn of(headers: &HeaderMap, key: &IdKey, now_s: u64) -> Option<Session> {
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
            sent: if content[16] & ENCRYPTED == 0 { Sent::Anywhere } else { Sent::Encrypted },
            random: content[17..33].try_into().ok()?,
            holder: match content[16] & OF_KEY {
                0 => Holder::Operator,
                _ => Holder::Key(KeyHash::of_bytes(content[33..].try_into().ok()?)),
            },
        };
        (now_s < session.until_s && session.began_s <= now_s).then_some(session)
    }

    fn content(&self) -> [u8; CONTENT] {
        let mut content = [0; CONTENT];
        content[..8].copy_from_slice(&self.began_s.to_be_bytes());
        content[8..16].copy_from_slice(&self.until_s.to_be_bytes());
        if self.sent == Sent::Encrypted {
            content[16] |= ENCRYPTED;
        }
        content[17..33].copy_from_slice(&self.random);
        if let Holder::Key(hash) = self.holder {
            content[16] |= OF_KEY;
            content[33..].copy_from_slice(&hash.bytes());
        }
        content
    }

    /// The token that its requests repeat. It stays the same when the session is renewed.
    pub(super) fn token(&self, key: &IdKey) -> String {
        URL_SAFE_NO_PAD.encode(key.sign(OF_TOKEN, &self.random))
    }

    /// The same session with a later end, once half of its time is over.
    pub(super) fn renewed(&self, now_s: u64) -> Option<Session> {
        let until_s = (now_s + IDLE_S).min(self.began_s + WHOLE_S);
        let is_due = self.until_s.saturating_sub(now_s) < IDLE_S / 2 && until_s > self.until_s;
        is_due.then_some(Session { until_s, ..*self })
    }

    pub(super) fn cookie(&self, key: &IdKey, now_s: u64) -> String {
        let content = self.content();
        let whole = [&content[..], &key.sign(OF_SESSION, &content)].concat();
        let (value, seconds) = (URL_SAFE_NO_PAD.encode(whole), self.until_s.saturating_sub(now_s));
        written(&value, seconds, self.sent)
    }
}

pub(super) fn written(value: &str, seconds: u64, sent: Sent) -> String {
    let only = match sent {
        Sent::Anywhere => "",
        Sent::Encrypted => "; Secure",
    };
    format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{only}")
}

/// Takes the cookie out of what is sent on: it stands for a key.
pub(crate) fn remove_cookie(headers: &mut HeaderMap) {
    let others = |line: &HeaderValue| {
        let pairs = line.to_str().ok()?.split(';').map(str::trim);
        let is_ours =
            |pair: &&str| pair.split('=').next().is_some_and(|name| name.trim() == COOKIE);
        let kept: Vec<&str> = pairs.filter(|pair| !pair.is_empty() && !is_ours(pair)).collect();
        HeaderValue::from_str(&kept.join("; ")).ok().filter(|_| !kept.is_empty())
    };
    let kept: Vec<HeaderValue> =
        headers.get_all(header::COOKIE).iter().filter_map(others).collect();
    headers.remove(header::COOKIE);
    for line in kept {
        headers.append(header::COOKIE, line);
    }
}

/// The values of the cookie; a browser may send several.
pub(super) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| name.trim() == COOKIE).map(|(_, value)| value.trim())
}

/// Which holder a request without a key acts for by its session; `None` if it has none, or another page may have sent it.
#[cold]
pub(crate) fn holder(serving: &Serving, head: &Parts) -> Option<Holder> {
    serving.snapshot.gateway.master_key.as_ref()?;
    let key = serving.ids.key()?;
    let session = Session::of(&head.headers, key, clock::unix_ms() / 1000)?;
    let token = head.headers.get(&TOKEN)?;
    verify_slices_are_equal(token.as_bytes(), session.token(key).as_bytes()).ok()?;
    (!browser::is_foreign(head)).then_some(session.holder)
}

/// A page that came over TLS, from here or from a proxy before us, says so by its origin.
pub(super) fn sent(headers: &HeaderMap) -> Sent {
    let origin = headers.get(header::ORIGIN).map_or(&[][..], HeaderValue::as_bytes);
    if origin.starts_with(b"https://") { Sent::Encrypted } else { Sent::Anywhere }
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
        let session = Session::new(1_000, Sent::Encrypted, Holder::Key(KeyHash::of("sk-1")));
        let cookie = session.cookie(&key(), 1_000);
        assert!(cookie.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure"));
        let text = value(&cookie);
        let opened = Session::opened(&text, &key(), 4_599).unwrap();
        assert_eq!(opened.content(), session.content());
        assert_eq!(opened.token(&key()), session.token(&key()));
        assert_eq!(opened.holder, Holder::Key(KeyHash::of("sk-1")));
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
        let session = Session::new(0, Sent::Anywhere, Holder::Operator);
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
    fn the_cookie_is_taken_out_of_what_is_sent_on() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=b; hale_session=x; c=d".parse().unwrap());
        headers.append(header::COOKIE, "hale_session = y".parse().unwrap());
        headers.append(header::COOKIE, "not_hale_session=z".parse().unwrap());
        remove_cookie(&mut headers);
        let kept: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(kept, ["a=b; c=d", "not_hale_session=z"]);
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
