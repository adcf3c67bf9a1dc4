//! The cache of answers: whether it works, and forgetting what it keeps. The shapes are LiteLLM's.
//!
//! Called by the router. Always true: only operators get here; what is forgotten is no client's any more.

use std::sync::Arc;

use hale_wire::peek::Peek;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::{PageRequest, Waiting};
use crate::cache::{AnswerCache, CacheKey};
use crate::http::refusal::{self, Refusal};
use crate::http::reply::{self, Reply};
use crate::limits::Held;

/// `GET /cache/ping`.
pub(crate) fn ping(request: &PageRequest<'_>) -> Response<Reply> {
    let Some(settings) = &request.arrival.serving.snapshot.gateway.cache else {
        let message = json!({
            "message": "no cache is on; set `cache: true` in litellm_settings",
            "litellm_cache_params": "{}",
            "health_check_cache_params": "{}",
        });
        let error = json!({"error": {
            "message": message.to_string(), "type": "cache_ping_error", "param": "cache_ping", "code": "503",
        }});
        return reply::json(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    };
    let answers = &request.arrival.worker.process.answers;
    let params = json!({
        "type": "local",
        "ttl": settings.ttl_ms / 1_000,
        "namespace": settings.namespace,
        "supported_call_types": settings.operations.iter().map(|one| one.name()).collect::<Vec<_>>(),
    });
    let page = json!({
        "status": "healthy",
        "cache_type": "local",
        "ping_response": null,
        "set_cache_response": null,
        "litellm_cache_params": params.to_string(),
        "health_check_cache_params": null,
        "answers": answers.len(),
        "bytes": answers.bytes(),
    });
    reply::json(StatusCode::OK, page.to_string())
}

/// `POST /cache/delete`: forgets the answers with the `keys` of its body.
pub(crate) fn delete(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let answers = on(&request)?;
        let mut held = Held::none(&request.arrival.worker.process.buffered);
        let body = request.arrival.read_body(&request.head.headers, incoming, &mut held).await?;
        let peek = Peek::parse(body).map_err(|error| refusal::bad_body(&error))?;
        let keys = peek.raw("keys").and_then(|raw| serde_json::from_str::<Vec<String>>(raw).ok());
        let Some(keys) = keys else {
            return Err(refusal::bad_parameter("keys", "`keys` must be a list of texts"));
        };
        // A key of several gateways' store is written behind its namespace.
        let named = |key: &String| CacheKey::parse(key.rsplit(':').next().unwrap_or_default());
        let found = keys.iter().filter_map(named).filter(|key| answers.forget(*key)).count();
        let page = json!({"status": "success", "deleted": found});
        Ok(reply::json(StatusCode::OK, page.to_string()))
    })
}

/// `POST /cache/flushall`: forgets all answers.
pub(crate) fn flush(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        on(&request)?.clear();
        Ok(reply::json(StatusCode::OK, json!({"status": "success"}).to_string()))
    })
}

/// The cache, if it is on.
fn on<'a>(request: &PageRequest<'a>) -> Result<&'a Arc<AnswerCache>, Refusal> {
    let arrival = request.arrival;
    match arrival.serving.snapshot.gateway.cache {
        Some(_) => Ok(&arrival.worker.process.answers),
        None => {
            let message = "no cache is on; set `cache: true` in litellm_settings".to_owned();
            Err(Refusal::new(StatusCode::BAD_REQUEST, "no_cache", message))
        }
    }
}
