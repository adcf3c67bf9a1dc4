//! A look at an upstream that makes no model run: a request for what costs nothing.
//!
//! Called by [`crate::prober`] where a check may not cost anything. Always true: it has the deployment's own
//! head and address, and its failure is classified like an attempt's.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use hale_core::health::outcome::Observation;
use hale_wire::payload::Payload;
use http::Method;
use http::uri::PathAndQuery;
use serde_json::Value;

use super::{Ask, Failed, refused, request};
use crate::clock::seconds;
use crate::upstream::{Target, UpstreamRequest};

/// How much of what comes is read.
const LOOK_MAX: usize = 1 << 20;

/// Asks for `path` with the deployment's own headers, within `limit`, and gives what comes, or its
/// beginning. It makes no model run.
pub(crate) async fn look(
    ask: &Ask<'_>,
    target: &Target,
    path: &PathAndQuery,
    limit: Duration,
) -> Result<Bytes, Failed> {
    let stage = Cell::default();
    let asked = async {
        let mut request = UpstreamRequest {
            method: &Method::GET,
            path,
            headers: &target.headers,
            more: request::headers(ask, target, None),
            body: &Payload::default(),
            granted: None,
        };
        let sent = target.send(&mut request, &stage).await;
        let mut answer = sent.map_err(|error| request::unanswered(error, ask.admin))?;
        if answer.status.is_success() {
            let mut text = Vec::new();
            while text.len() < LOOK_MAX
                && let Some(Ok(piece)) = answer.body.piece().await
            {
                text.extend_from_slice(&piece);
            }
            return Ok(Bytes::from(text));
        }
        let mut failed =
            refused(ask.way.operation, answer.status, &answer.headers, answer.body).await;
        request.hide_in(&mut failed.error);
        Err(failed)
    };
    let late = || {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let message = format!("no answer within {} s", seconds(limit_ms));
        let failed = Failed::because(&Observation::Timeout, None, message);
        Err(failed.met(Some(stage.get().obstacle())))
    };
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| late())
}

/// Whether what came of a look at the list of models is one, as far as can be told of every provider's.
///
/// # Errors
/// It is a page, nothing, or an error under 200: who answers so may have no list, and proves nothing.
pub(crate) fn expect_list(text: &[u8]) -> Result<(), Failed> {
    let found = match serde_json::from_slice(text) {
        Ok(Value::Array(_)) => return Ok(()),
        Ok(Value::Object(fields)) if fields.get("error").is_some_and(|error| !error.is_null()) => {
            "an error"
        }
        Ok(Value::Object(fields)) if !fields.is_empty() => return Ok(()),
        // More than was read.
        Err(error) if error.is_eof() && text.len() >= LOOK_MAX => return Ok(()),
        Ok(_) => "nothing",
        Err(_) => "no JSON",
    };
    let message = format!("where the list of models should be there is {found}");
    Err(Failed::because(&Observation::Malformed, Some(200), message))
}
