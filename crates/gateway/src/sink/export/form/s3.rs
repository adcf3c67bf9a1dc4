//! S3, and what speaks its API: one object a request, filed by day.
//!
//! Called by [`super`]. Always true: the key of an object follows from the request, so that what is sent twice is stored once; an
//! item is its key, a line break and its text.

use bytes::Bytes;
use hale_core::settings::S3;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Verdict, payload};
use crate::sink::export::told::Told;
use crate::upstream::{Heard, Outgoing, Outward, Service, Signer, Unsigned, hash_of};

/// What is escaped in the path of an object.
const ESCAPED: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// Longest key of an object, bytes.
const KEY_MAX: usize = 1024;

/// Writes the key and the text of a record's object.
pub(super) fn write(place: &S3, excluded: &[Box<str>], told: &Told<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(key(place, told).as_bytes());
    out.push(b'\n');
    payload::write(excluded, told, out);
}

fn key(place: &S3, told: &Told<'_>) -> String {
    let at = i64::try_from(told.began_us()).ok();
    let at = at.and_then(|us| jiff::Timestamp::from_microsecond(us).ok()).unwrap_or_default();
    let day = at.strftime(if place.by_hour { "%Y-%m-%d/%H" } else { "%Y-%m-%d" });
    let time = at.strftime("%H-%M-%S-%6f");
    let plain = |c: char| if c.is_ascii_graphic() && !"/:\\".contains(c) { c } else { '_' };
    let id: String = told.record.call_id.chars().map(plain).take(200).collect();
    let key = format!("{}{day}/time-{time}_{id}.json", place.prefix);
    if key.len() <= KEY_MAX { key } else { format!("{day}/time-{time}_{id}.json") }
}

/// The request that stores an object.
pub(super) fn request(
    place: &S3,
    door: &Outward,
    items: &[Box<[u8]>],
    now_unix_ms: u64,
) -> Outgoing {
    let item = items.first().map(|item| &**item).unwrap_or_default();
    let end = memchr::memchr(b'\n', item).unwrap_or(item.len());
    let (key, body) = (&item[..end], item.get(end + 1..).unwrap_or_default());
    let key = String::from_utf8_lossy(key);
    let path =
        format!("{}/{}", door.path().trim_end_matches('/'), utf8_percent_encode(&key, &ESCAPED));
    let signer = Signer {
        access_key: &place.access_key,
        secret_key: &place.secret_key,
        token: place.token.as_ref(),
        region: &place.region,
        service: Service::S3,
    };
    let unsigned = Unsigned {
        method: &Method::PUT,
        host: door.authority(),
        path: &path,
        query: "",
        headers: &[],
        hash: hash_of([body]),
    };
    let mut headers = signer.sign(&unsigned, now_unix_ms);
    headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
    headers.push((header::CONTENT_LANGUAGE, HeaderValue::from_static("en")));
    Outgoing {
        method: Method::PUT,
        path: PathAndQuery::try_from(path).ok(),
        headers,
        body: Bytes::copy_from_slice(body),
    }
}

/// What S3 answers with status 400 that is about the sink or the connection, not about the object. Source:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
const NOT_OF_OBJECT: [&str; 8] = [
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "ExpiredToken",
    "IllegalLocationConstraintException",
    "InvalidToken",
    "RequestTimeout",
    "TokenRefreshRequired",
    "UserKeyMustBeSpecified",
];

/// What a refusal means: that of a key that has expired is no refusal of the object.
pub(super) fn refused(why: String, heard: &Heard) -> Verdict {
    let text = String::from_utf8_lossy(&heard.body);
    let code = text.split_once("<Code>").and_then(|(_, tail)| tail.split_once("</Code>"));
    if code.is_some_and(|(code, _)| NOT_OF_OBJECT.contains(&code.trim())) {
        return Verdict::Later(format!("{why}; check its key, its token and its region"), None);
    }
    Verdict::Refused(why)
}

#[cfg(test)]
mod tests {
    use hale_core::secret::Secret;

    use super::*;
    use crate::sink::export::told::{Shows, of_test};

    #[test]
    fn an_expired_token_is_no_fault_of_the_object() {
        let judged = |body: &str| {
            let heard = Heard {
                status: http::StatusCode::BAD_REQUEST,
                headers: http::HeaderMap::new(),
                body: body.into(),
                is_cut: false,
            };
            refused("h answered 400".to_owned(), &heard)
        };
        for code in ["ExpiredToken", "AuthorizationHeaderMalformed"] {
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
            assert!(matches!(judged(&body), Verdict::Later(..)), "{code}");
        }
        for body in ["<Error><Code>EntityTooLarge</Code></Error>", "", "<Code>"] {
            assert_eq!(judged(body), Verdict::Refused("h answered 400".to_owned()), "{body}");
        }
    }

    #[test]
    fn a_key_is_filed_by_day_and_cannot_leave_its_place() {
        let record = of_test("../../a b", 1_700_000_000_123);
        let told = Told::of(&record, Shows::Facts).unwrap();
        let mut place = S3 {
            prefix: "logs/".into(),
            region: "r".into(),
            access_key: "a".into(),
            secret_key: Secret::new("s"),
            token: None,
            by_hour: false,
        };
        assert_eq!(key(&place, &told), "logs/2023-11-14/time-22-13-20-123000_.._.._a_b.json");
        place.by_hour = true;
        assert!(key(&place, &told).starts_with("logs/2023-11-14/22/time-"));
    }
}
