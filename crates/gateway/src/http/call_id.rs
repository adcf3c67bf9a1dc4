//! The id of a call, on every answer: the client's own if it sent one.
//!
//! Called by the router.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use uuid::Uuid;

use super::reply::Reply;
use crate::clock;

/// The header that carries it, in requests and in answers.
pub(crate) const CALL_ID: HeaderName = HeaderName::from_static("x-litellm-call-id");
/// Longest call id that is accepted from a client, bytes.
const CALL_ID_MAX: usize = 128;

/// The client's own id for this call, or a new one.
pub(crate) fn call_id(headers: &HeaderMap) -> Arc<str> {
    let own = headers.get(&CALL_ID).and_then(|value| value.to_str().ok());
    if let Some(own) = own.filter(|id| !id.is_empty() && id.len() <= CALL_ID_MAX) {
        return Arc::from(own);
    }
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    let id = uuid::Builder::from_unix_timestamp_millis(clock::unix_ms(), &random).into_uuid();
    let mut buffer = Uuid::encode_buffer();
    Arc::from(&*id.hyphenated().encode_lower(&mut buffer))
}

/// Adds the call id to an answer's headers.
pub(crate) fn with_call_id(mut response: Response<Reply>, call_id: &str) -> Response<Reply> {
    if let Ok(value) = HeaderValue::from_str(call_id) {
        response.headers_mut().insert(CALL_ID, value);
    }
    response
}
