//! The files of the dashboard, which are in the binary.
//!
//! Called for `/ui` and `/ui/assets/NAME`. Always true: nothing is read from a disk; a page may load and contact nothing but this
//! gateway, and runs no script that stands in its text; an unchanged file is not sent again.

use std::io::Read;

use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::http::header_list::list;
use crate::http::refusal;
use crate::http::reply::{self, Reply};
use crate::pages::PageRequest;

/// One file.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    /// Changes with its content; in quotes.
    tag: &'static str,
    /// Its content, compressed with gzip.
    packed: &'static [u8],
}

// The files of `assets/`: `const ASSETS: &[Asset]`, made by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/dashboard_assets.rs"));

/// The page that loads the others.
const SHELL: &str = "index.html";
/// What its pages may do: <https://www.w3.org/TR/CSP3/>. Text cannot become markup, whatever the scripts do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";
/// Those that each file has.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-cache"),
];

/// `GET /ui/`. Without the slash it sends the browser there, because the page names its files by relative paths.
pub(crate) fn shell(request: &PageRequest<'_>) -> Response<Reply> {
    if !request.head.uri.path().ends_with('/') {
        return redirect("ui/");
    }
    send(SHELL, &request.head.headers)
}

/// `GET /ui/assets/NAME`.
pub(crate) fn asset(request: &PageRequest<'_>) -> Response<Reply> {
    send(request.name.unwrap_or_default(), &request.head.headers)
}

/// Sends a browser to `place`, which is relative to the path that it requested.
pub(crate) fn redirect(place: &'static str) -> Response<Reply> {
    let mut response = Response::new(Reply::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(place));
    response
}

/// The file with that name.
pub(super) fn send(name: &str, headers: &HeaderMap) -> Response<Reply> {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        let path = format!("/ui/assets/{name}");
        return refusal::unknown_route(&http::Method::GET, &path, Some("/ui/"))
            .into_response(hale_core::provider::WireFormat::OpenAi);
    };
    let is_known = list(headers, &header::IF_NONE_MATCH)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == asset.tag);
    let unpacks = unpacks(headers);
    let content_type = HeaderValue::from_static(asset.content_type);
    let mut response = match (is_known, unpacks) {
        (true, _) => {
            let mut response = Response::new(Reply::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        (false, true) => reply::text(StatusCode::OK, content_type, asset.packed),
        (false, false) => reply::text(StatusCode::OK, content_type, asset.unpacked()),
    };
    let of_answer = response.headers_mut();
    if unpacks && !is_known {
        of_answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    of_answer.insert(header::ETAG, HeaderValue::from_static(asset.tag));
    of_answer.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    for (name, value) in HEADERS {
        of_answer.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the client takes gzip.
pub(super) fn unpacks(headers: &HeaderMap) -> bool {
    list(headers, &header::ACCEPT_ENCODING).any(accepts_gzip)
}

/// Whether a member of `accept-encoding` takes gzip.
fn accepts_gzip(one: &str) -> bool {
    let (name, weight) = one.split_once(';').unwrap_or((one, ""));
    let refuses = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
    name.trim().eq_ignore_ascii_case("gzip") && !refuses
}

impl Asset {
    fn unpacked(&self) -> Vec<u8> {
        let mut content = Vec::new();
        // Packed by our own build.
        let _whole = GzDecoder::new(self.packed).read_to_end(&mut content);
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_browser_loads_is_below_300_kb() {
        let packed: usize = ASSETS.iter().map(|asset| asset.packed.len()).sum();
        let plain: usize = ASSETS.iter().map(|asset| asset.unpacked().len()).sum();
        assert!(packed < 100_000 && plain < 300_000, "{packed} compressed, {plain} plain");
        assert!(ASSETS.iter().any(|asset| asset.name == SHELL));
    }

    #[test]
    fn no_file_names_another_origin_or_makes_markup_of_text() {
        for asset in ASSETS {
            let text = String::from_utf8(asset.unpacked()).unwrap();
            let foreign = |at: &(usize, &str)| {
                // The name of a kind of markup is no address.
                !text[at.0..].starts_with("http://www.w3.org/2000/svg")
            };
            let outside = ["http://", "https://", "//cdn", "@import"];
            let found = outside.iter().flat_map(|word| text.match_indices(word)).find(foreign);
            assert_eq!(found, None, "{}", asset.name);
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!text.contains(word), "{}: {word}", asset.name);
            }
            if asset.name.ends_with(".html") {
                for word in ["<script>", "<style", " style=", " onclick=", "javascript:"] {
                    assert!(!text.contains(word), "{}: {word}", asset.name);
                }
            }
        }
    }

    #[test]
    fn gzip_is_sent_to_those_that_take_it() {
        for (one, takes) in [
            ("gzip", true),
            ("GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("br", false),
        ] {
            assert_eq!(accepts_gzip(one), takes, "{one}");
        }
    }
}
