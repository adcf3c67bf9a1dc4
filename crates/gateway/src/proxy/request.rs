//! What the head of a request to an upstream has besides what all requests to it have.
//!
//! Called by [`super::attempt`] before a request is sent. Always true: of the client's head
//! nothing goes along but what [`Dialect`] holds.

use hale_core::health::outcome::{Observation, classify};
use hale_core::provider::WireFormat;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::attempt::{Audience, Failed, OperationCall};
use super::handshake::Handshake;
use crate::upstream::Target;
use crate::upstream::credential::CredentialError;
use crate::upstream::dialect::anthropic;
use crate::upstream::target::TargetError;

/// What a client's head says that goes along: of the Anthropic format what concerns that, and of a
/// handshake what is offered.
#[derive(Default)]
pub(crate) struct Dialect {
    /// What it offers, where it wants to switch to another protocol; checks offer nothing.
    pub(crate) handshake: Handshake,
    /// What it asks of Anthropic.
    anthropic: anthropic::ClientHeaders,
}

impl Dialect {
    /// What `headers` say to an endpoint of that format.
    pub(super) fn of(format: WireFormat, headers: &HeaderMap) -> Dialect {
        match format {
            WireFormat::OpenAi => Dialect::default(),
            WireFormat::Anthropic => Dialect {
                handshake: Handshake::default(),
                anthropic: anthropic::ClientHeaders::of(headers),
            },
        }
    }
}

/// The headers of this request alone. `content_type` is that of a body which is no JSON.
pub(super) fn headers(
    call: &OperationCall<'_>,
    target: &Target,
    content_type: Option<&HeaderValue>,
) -> Vec<(HeaderName, HeaderValue)> {
    let accept = if call.wants_events() {
        "text/event-stream"
    } else if call.conversion.operation.answers_bytes() {
        "application/octet-stream"
    } else {
        "application/json"
    };
    let mut headers = vec![(header::ACCEPT, HeaderValue::from_static(accept))];
    if call.conversion.wire == WireFormat::Anthropic {
        let client = &call.dialect.anthropic;
        headers.extend(client.betas(&target.headers));
        if !call.conversion.translates() && !target.pins_version {
            headers.extend(client.version());
        }
    }
    if let Some(content_type) = content_type {
        headers.push((header::CONTENT_TYPE, content_type.clone()));
    }
    headers
}

/// The target gave no answer. What the issuer of its credential did is the deployment's failure.
pub(super) fn unanswered(error: TargetError, audience: Audience) -> Failed {
    match error {
        TargetError::Unsent(error) => Failed::unsent(&error, audience),
        TargetError::Credential(CredentialError::Unsent { issuer, error }) => {
            let mut failed = Failed::unsent(&error, audience);
            failed.error.message = format!("{issuer}: {}", failed.error.message);
            // It is not the deployment's address that was not reached.
            failed.obstacle = None;
            failed
        }
        TargetError::Credential(CredentialError::Refused { status, error, hint_ms }) => {
            // A refused token is a refused credential, unless the issuer has a problem of its own.
            let own = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            let observed = if own { status.as_u16() } else { 401 };
            let cause = classify(&Observation::Status(observed, &error));
            Failed { cause, status: Some(observed), error, hint_ms, obstacle: None }
        }
        TargetError::Credential(CredentialError::NoToken { issuer }) => {
            Failed::malformed(format!("{issuer} answered without a token"))
        }
    }
}
