//! What the head of a request to an upstream has besides what all requests to it have.
//!
//! Called by [`super::attempt`] before a request is sent. Always true: of the client's head
//! nothing goes along but what [`Dialect`] holds.

use hale_core::health::outcome::{Observation, classify};
use hale_core::provider::WireFormat;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::attempt::{Ask, Failed, unsent};
use super::handshake::Handshake;
use crate::state::{BETA, Route, VERSION, betas};
use crate::upstream::entra::{Token, TokenError};

/// What a client's head says that goes along: of the Anthropic format what concerns that, and of a
/// handshake what is offered.
#[derive(Default)]
pub(crate) struct Dialect {
    /// What it offers, where it wants to switch to another protocol; checks offer nothing.
    pub(crate) handshake: Handshake,
    /// The betas that it wants.
    pub(crate) betas: Option<HeaderValue>,
    /// The version of the format that its bytes are in.
    pub(crate) version: Option<HeaderValue>,
}

impl Dialect {
    /// What `headers` say to an endpoint of that format.
    pub(super) fn of(format: WireFormat, headers: &HeaderMap) -> Dialect {
        match format {
            WireFormat::OpenAi => Dialect::default(),
            WireFormat::Anthropic => Dialect {
                handshake: Handshake::default(),
                betas: betas(headers.get_all(BETA).iter()),
                version: headers.get(VERSION).cloned(),
            },
        }
    }
}

/// The token that the deployment's identity has, where it has one in place of a key.
pub(super) async fn token(ask: &Ask<'_>, route: &Route) -> Result<Option<Token>, Failed> {
    match &route.tokens {
        None => Ok(None),
        Some(tokens) => tokens.token().await.map(Some).map_err(|error| no_token(error, ask.admin)),
    }
}

/// The headers of this request alone. `content_type` is that of a body which is no JSON.
pub(super) fn headers(
    ask: &Ask<'_>,
    route: &Route,
    token: Option<&Token>,
    content_type: Option<&HeaderValue>,
) -> Vec<(HeaderName, HeaderValue)> {
    let accept = match ask.stream {
        true => "text/event-stream",
        false if ask.way.operation.answers_bytes() => "application/octet-stream",
        false => "application/json",
    };
    let mut headers = vec![(header::ACCEPT, HeaderValue::from_static(accept))];
    if ask.way.wire == WireFormat::Anthropic {
        speak(&mut headers, ask, route);
    }
    if let Some(content_type) = content_type {
        headers.push((header::CONTENT_TYPE, content_type.clone()));
    }
    if let Some(token) = token {
        headers.push((header::AUTHORIZATION, token.header.clone()));
    }
    headers
}

/// The deployment's identity got no token: what the authority did is the deployment's failure.
fn no_token(error: TokenError, admin: bool) -> Failed {
    match error {
        TokenError::Unsent(error) => {
            let mut failed = unsent(&error, admin);
            failed.error.message = format!("Entra ID: {}", failed.error.message);
            // It is not the deployment's address that was not reached.
            failed.obstacle = None;
            failed
        }
        TokenError::Refused(status, error, hint_ms) => {
            // A refusal to give a token is a refusal of the credential, but for the authority's own
            // troubles.
            let own = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            let observed = if own { status.as_u16() } else { 401 };
            let cause = classify(&Observation::Status(observed, &error));
            Failed { cause, status: Some(observed), error, hint_ms, obstacle: None }
        }
        TokenError::None => Failed::malformed("Entra ID answered without a token".to_owned()),
    }
}

/// The betas that the client wants, beside the deployment's own; and where its bytes pass, their version.
fn speak(headers: &mut Vec<(HeaderName, HeaderValue)>, ask: &Ask<'_>, route: &Route) {
    if let Some(wanted) = &ask.dialect.betas
        && let Some(all) = betas(route.headers.get_all(BETA).iter().chain([wanted]))
    {
        headers.push((BETA, all));
    }
    if let Some(version) = &ask.dialect.version
        && !ask.way.translates()
        && !route.pins_version
    {
        headers.push((VERSION, version.clone()));
    }
}
