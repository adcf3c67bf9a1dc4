//! `GET /` and `GET /test`: that something is there, and where to go on.

use http::{HeaderValue, Response, StatusCode, header};

use super::{PageRequest, dashboard};
use crate::http::header_list::list;
use crate::http::reply::{self, Reply};

/// `GET /`: a line of text; a browser is sent to the dashboard.
pub(crate) fn home(request: &PageRequest<'_>) -> Response<Reply> {
    let mut kinds = list(&request.head.headers, &header::ACCEPT);
    if kinds.any(|one| one.starts_with("text/html")) {
        return dashboard::redirect("ui/");
    }
    reply::text(
        StatusCode::OK,
        HeaderValue::from_static("text/plain; charset=utf-8"),
        "Hale is running. Models: GET /v1/models. Chat: POST /v1/chat/completions. \
         State: GET /health/readiness. Dashboard: GET /ui/.\n",
    )
}

/// `GET /test`.
pub(crate) fn test(_: &PageRequest<'_>) -> Response<Reply> {
    reply::json(StatusCode::OK, &br#"{"route":"/test"}"#[..])
}
