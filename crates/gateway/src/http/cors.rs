//! What pages of other origins may do with a gateway that has a secret key: <https://fetch.spec.whatwg.org/#http-cors-protocol>.
//!
//! Called by the router for each request. Always true: a page is allowed to read only what its own key opens, because
//! credentials of the browser are never allowed; without a secret key nothing is granted, and [`super::browser`] refuses.

use hale_core::settings::Origins;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::browser::Guard;
use super::header_list::only;
use super::reply::Reply;

/// How long a browser may remember a preflight, seconds.
const MAX_AGE_S: &str = "600";
/// The methods that endpoints have.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// What the page that sent a request may do.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// The origins that are told; `None` if the page may not read the answer.
    origin: Option<HeaderValue>,
}

impl Grant {
    /// The grant for a request with those headers; `None` if no page sent it.
    pub(crate) fn of(headers: &HeaderMap, guard: Guard, origins: &Origins) -> Option<Grant> {
        let sent = headers.get(header::ORIGIN)?;
        let origin = match (guard, origins) {
            (Guard::Origin | Guard::OriginAndHost, _) => None,
            (Guard::Key, Origins::Any) => Some(HeaderValue::from_static("*")),
            (Guard::Key, Origins::Only(names)) => {
                let known = |name: &str| names.iter().any(|one| one.eq_ignore_ascii_case(name));
                let is_known = only(headers, &header::ORIGIN).is_some_and(known);
                is_known.then(|| sent.clone())
            }
        };
        Some(Grant { origin })
    }

    /// Whether the page may open a WebSocket, which its browser lets it read in any case.
    pub(crate) fn may_connect(&self, headers: &HeaderMap) -> bool {
        let origin = only(headers, &header::ORIGIN).and_then(|origin| origin.split_once("://"));
        let own = only(headers, &header::HOST);
        let is_own =
            || origin.zip(own).is_some_and(|((_, of), host)| of.eq_ignore_ascii_case(host));
        self.origin.is_some() || is_own()
    }

    /// The answer to the question of a browser whether the request may be sent; `None` if this is no such question, or it
    /// may not.
    pub(crate) fn preflight(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<Response<Reply>> {
        const ASKED: HeaderName = header::ACCESS_CONTROL_REQUEST_METHOD;
        if *method != Method::OPTIONS || !headers.contains_key(ASKED) || self.origin.is_none() {
            return None;
        }
        let mut response = Response::new(Reply::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let ours = response.headers_mut();
        let methods = HeaderValue::from_static(METHODS);
        ours.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        // A star would not cover `authorization`.
        let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let asked = asked.unwrap_or(HeaderValue::from_static("*"));
        ours.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
        ours.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_S));
        let vary = HeaderValue::from_static("access-control-request-headers");
        ours.append(header::VARY, vary);
        Some(response)
    }

    /// Lets the page read an answer.
    pub(crate) fn add_to(self, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        let Some(origin) = self.origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture::headers;

    fn told(lines: &[(&str, &str)], guard: Guard, origins: &Origins) -> Option<String> {
        let mut answer = HeaderMap::new();
        Grant::of(&headers(lines), guard, origins)?.add_to(&mut answer);
        assert!(!answer.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert_eq!(answer[header::VARY], "origin");
        let origin = answer.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        Some(origin.map_or(String::new(), |value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn any_origin_is_granted_only_with_a_secret_key() {
        let page = [("origin", "https://app.example")];
        assert_eq!(told(&page, Guard::Key, &Origins::Any).as_deref(), Some("*"));
        for guard in [Guard::Origin, Guard::OriginAndHost] {
            assert_eq!(told(&page, guard, &Origins::Any).as_deref(), Some(""));
        }
        assert_eq!(told(&[], Guard::Key, &Origins::Any), None, "no page sent it");
    }

    #[test]
    fn a_list_of_origins_narrows_the_grant() {
        let only = Origins::Only(vec!["https://app.example".into()]);
        for (origin, granted) in [
            ("https://app.example", "https://app.example"),
            ("https://App.example", "https://App.example"),
            ("https://app.example:8443", ""),
            ("http://app.example", ""),
            ("https://app.example.evil", ""),
            ("null", ""),
        ] {
            let told = told(&[("origin", origin)], Guard::Key, &only);
            assert_eq!(told.as_deref(), Some(granted), "{origin}");
        }
        let twice = [("origin", "https://app.example"), ("origin", "https://evil.example")];
        assert_eq!(told(&twice, Guard::Key, &only).as_deref(), Some(""));
        let none = Origins::Only(Vec::new());
        assert_eq!(told(&[("origin", "https://a")], Guard::Key, &none).as_deref(), Some(""));
    }

    #[test]
    fn only_a_question_of_a_browser_is_a_preflight() {
        let asked = [
            ("origin", "https://app.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,x-stainless-os"),
        ];
        let asked = headers(&asked);
        let grant = Grant::of(&asked, Guard::Key, &Origins::Any).unwrap();
        let answer = grant.preflight(&Method::OPTIONS, &asked).unwrap();
        let allowed = &answer.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS];
        assert_eq!(allowed, "authorization,x-stainless-os");
        assert!(grant.preflight(&Method::POST, &asked).is_none());
        let plain = headers(&[("origin", "https://app.example")]);
        assert!(grant.preflight(&Method::OPTIONS, &plain).is_none());
        let refused = Grant::of(&asked, Guard::Origin, &Origins::Any).unwrap();
        assert!(refused.preflight(&Method::OPTIONS, &asked).is_none());
    }
}
