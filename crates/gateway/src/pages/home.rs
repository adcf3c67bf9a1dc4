//! `GET /` and `GET /test`: that something is there, and where to go on.

use http::{HeaderValue, Response, StatusCode};

use super::PageRequest;
use crate::http::reply::{self, Reply};

/// `GET /`.
pub(crate) fn home(_: &PageRequest<'_>) -> Response<Reply> {
    reply::text(
        StatusCode::OK,
        HeaderValue::from_static("text/plain; charset=utf-8"),
        "Hale is running. Models: GET /v1/models. Chat: POST /v1/chat/completions. \
         State: GET /health/readiness.\n",
    )
}

/// `GET /test`.
pub(crate) fn test(_: &PageRequest<'_>) -> Response<Reply> {
    reply::json(StatusCode::OK, &br#"{"route":"/test"}"#[..])
}
