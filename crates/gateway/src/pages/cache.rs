//! The cache of answers: whether it works, and forgetting what it keeps. The shapes are LiteLLM's.
//!
//! Called by the router. Always true: only operators get here; what is forgotten is no client's any more.

use std::sync::Arc;

use hale_wire::peek::Peek;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{PageRequest, Waiting};
use crate::cache::{AnswerCache, CacheKey, NotReached};
use crate::http::refusal::{self, Refusal};
use crate::http::reply::{self, Reply};
use crate::limits::Held;

/// `GET /cache/ping`.
pub(crate) fn ping(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let Some(settings) = &request.arrival.serving.snapshot.gateway.cache else {
            let message = "no cache is on; set `cache: true` in litellm_settings";
            return Ok(unhealthy(message, &json!({}), &json!({})));
        };
        let answers = &request.arrival.worker.process.answers;
        let kind = settings.kind.name();
        let params = json!({
            "type": kind,
            "ttl": settings.ttl_ms / 1_000,
            "namespace": settings.namespace,
            "supported_call_types": settings.operations.iter().map(|one| one.name()).collect::<Vec<_>>(),
        });
        let redis = match answers.second() {
            Some(second) => match second.ping().await {
                Ok(redis) => redis,
                Err(error) => {
                    let message = format!("Service Unhealthy ({error})");
                    return Ok(unhealthy(&message, &params, &json!({})));
                }
            },
            None => None,
        };
        let health = redis.as_ref().map(|redis| {
            json!({
                "host": redis.place,
                "port": null,
                "redis_kwargs": null,
                "namespace": settings.namespace,
                "redis_version": redis.version,
            })
        });
        let page = json!({
            "status": "healthy",
            "cache_type": kind,
            "ping_response": redis.as_ref().map(|_| true),
            "set_cache_response": redis.as_ref().map(|_| "success"),
            "litellm_cache_params": params.to_string(),
            "health_check_cache_params": health,
            "answers": answers.len(),
            "bytes": answers.bytes(),
        });
        Ok(reply::json(StatusCode::OK, page.to_string()))
    })
}

/// The answer of a cache that is off or does not work. Its message is JSON, as in LiteLLM.
fn unhealthy(message: &str, params: &Value, health: &Value) -> Response<Reply> {
    let message = json!({
        "message": message,
        "litellm_cache_params": params.to_string(),
        "health_check_cache_params": health.to_string(),
    });
    let error = json!({"error": {
        "message": message.to_string(), "type": "cache_ping_error", "param": "cache_ping", "code": "503",
    }});
    reply::json(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// `POST /cache/delete`: forgets the answers with the `keys` of its body.
pub(crate) fn delete(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let answers = on(&request)?;
        let mut held = Held::none(&request.arrival.worker.process.buffered);
        let body = request.read_body(incoming, &mut held).await?;
        request.hold_tree(&body, &mut held).await?;
        let peek = Peek::parse(body).map_err(|error| refusal::bad_body(&error))?;
        let keys = peek.raw("keys").and_then(|raw| serde_json::from_str::<Vec<String>>(raw).ok());
        let Some(keys) = keys else {
            return Err(refusal::bad_parameter("keys", "`keys` must be a list of texts"));
        };
        // A key of several gateways' store is written behind its namespace.
        let named = |key: &String| CacheKey::parse(key.rsplit(':').next().unwrap_or_default());
        let keys: Vec<CacheKey> = keys.iter().filter_map(named).collect();
        let here = keys.iter().filter(|key| answers.forget(**key)).count() as u64;
        let deleted = match answers.second() {
            // What is in memory is a copy of what is there, or on its way.
            Some(second) => second.remove(&keys).await.map_err(|error| left(&error))?.max(here),
            None => here,
        };
        // Another request may have found it there in the meantime.
        keys.iter().for_each(|key| _ = answers.forget(*key));
        let page = json!({"status": "success", "deleted": deleted});
        Ok(reply::json(StatusCode::OK, page.to_string()))
    })
}

/// `POST /cache/flushall`: forgets all answers.
pub(crate) fn flush(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let answers = on(&request)?;
        answers.clear();
        if let Some(second) = answers.second() {
            second.clear().await.map_err(|error| left(&error))?;
            // Another request may have found one there in the meantime.
            answers.clear();
        }
        Ok(reply::json(StatusCode::OK, json!({"status": "success"}).to_string()))
    })
}

/// Some answers may be left.
fn left(error: &NotReached) -> Refusal {
    let message =
        format!("answers are forgotten in this process, and may be left elsewhere: {error}");
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "cache_unreachable", message)
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
