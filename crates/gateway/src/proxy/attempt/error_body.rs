//! Turns an upstream's error into a cause, from its status, headers and body.
//!
//! Called by [`super`] for every answer that is not 2xx. Always true: reading is bounded in bytes and time.

use std::time::Duration;

use hale_core::health::outcome::{Observation, classify};
use hale_wire::{errors, retry_after};
use http::{HeaderMap, StatusCode, header};

use super::failed::Failed;
use crate::clock;
use crate::upstream::{Answer, AnswerBody};

/// Error bodies are read up to this size, bytes.
const ERROR_BODY_MAX: usize = 64 << 10;
/// Longest wait for an error body after its head.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(2);

/// What a 404 says is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addressed {
    /// A model.
    Model,
    /// A model, by an operation that many servers do not have.
    OnTheSide,
    /// An object that the provider stores, named by its id.
    StoredObject,
}

/// The failure behind an answer other than 2xx.
pub(super) async fn refused(answer: Answer, addressed: Addressed) -> Failed {
    let Answer { status, headers, body, .. } = answer;
    let mut text = read_text(Vec::new(), body).await;
    if is_encoded(&headers) {
        // Hale requests no compression, and compressed bytes are not text.
        text.clear();
    }
    let mut error = errors::parse_provider_error(&text);
    // AWS has the class of an error in a header.
    let class = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    if let Some(class) = class {
        error.kind = Some(errors::clean(errors::aws_class(class), 100));
    }
    if status.is_redirection() {
        error.message =
            format!("the upstream answered with a redirect ({status}), which is not followed");
    } else if error.message.is_empty() {
        error.message = format!("the upstream answered {status}");
    }
    let of_header = retry_after::retry_hint_ms(status.as_u16(), &headers, clock::unix_ms());
    error.wait_ms = of_header.or(error.wait_ms);
    let observation = match (status, addressed) {
        (StatusCode::NOT_FOUND, Addressed::StoredObject) => Observation::NoSuchObject,
        (_, Addressed::OnTheSide) => Observation::OnTheSide(status.as_u16(), &error),
        (_, Addressed::Model | Addressed::StoredObject) => {
            Observation::Status(status.as_u16(), &error)
        }
    };
    Failed::told(classify(&observation), status.as_u16(), error)
}

/// Appends to `text` what arrives of an error body within the limits.
pub(super) async fn read_text(mut text: Vec<u8>, mut body: AnswerBody) -> Vec<u8> {
    let reading = async {
        while text.len() < ERROR_BODY_MAX
            && let Some(Ok(piece)) = body.piece().await
        {
            text.extend_from_slice(&piece);
        }
    };
    let _late: Result<(), _> = tokio::time::timeout(ERROR_BODY_PATIENCE, reading).await;
    text.truncate(ERROR_BODY_MAX);
    text
}

/// Whether an answer is compressed.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING);
    encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
