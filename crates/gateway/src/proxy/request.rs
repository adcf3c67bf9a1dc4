//! The request to an upstream: its path, headers and body.
//!
//! Called by [`super::attempt`] each time that a request is sent. Always true: of the client's head
//! nothing goes along but what [`Dialect`] holds.

use bytes::Bytes;
use hale_core::endpoint::Operation;
use hale_core::provider::WireFormat;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};

use super::attempt::Ask;
use crate::state::{BETA, Route, VERSION, betas};
use crate::upstream::SendBody;

/// What the headers of a client of the Anthropic format say about it.
#[derive(Default)]
pub(crate) struct Dialect {
    /// The betas that it wants.
    pub(crate) betas: Option<HeaderValue>,
    /// The version of the format that its bytes are in.
    pub(crate) version: Option<HeaderValue>,
}

/// The request for `upstream`, with that body.
pub(super) fn request(
    ask: &Ask<'_>,
    route: &Route,
    upstream: Operation,
    body: &Bytes,
) -> Request<SendBody> {
    let mut request = Request::new(SendBody::new(body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from(route.path(upstream));
    let mut headers = route.headers.clone();
    if ask.way.wire == WireFormat::Anthropic {
        speak(&mut headers, ask, route);
    }
    let accept = if ask.stream { "text/event-stream" } else { "application/json" };
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    *request.headers_mut() = headers;
    request
}

/// The betas that the client wants, beside the deployment's own; and where its bytes pass, their version.
fn speak(headers: &mut HeaderMap, ask: &Ask<'_>, route: &Route) {
    if let Some(wanted) = &ask.dialect.betas
        && let Some(all) = betas(headers.get_all(BETA).iter().chain([wanted]))
    {
        headers.insert(BETA, all);
    }
    if let Some(version) = &ask.dialect.version
        && !ask.way.translates()
        && !route.pins_version
    {
        headers.insert(VERSION, version.clone());
    }
}
