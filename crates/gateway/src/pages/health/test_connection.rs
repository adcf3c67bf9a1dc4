//! `POST /health/test_connection`: would a deployment with these parameters work?
//!
//! Called by the router, for the master key. Always true: the parameters are read by the loader of
//! configs; a stored credential is never sent to an address from the request; nothing of it is in force
//! afterwards.

use std::io;
use std::sync::Arc;

use hale_core::config::{self, Options, Source};
use hale_core::deployment::DeploymentIndex;
use hale_core::health::probe::{Doubt, Finding, modes};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::words::unproved;
use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::{self, Reply};
use crate::limits::Held;
use crate::pages::{PageRequest, Waiting};
use crate::state::Serving;
use crate::state::health::Answer;

/// What stands for the file in messages.
const NAME: &str = "(request)";
/// Parameters for the address and the credential.
const CONNECTION: [&str; 6] = [
    "api_base",
    "base_url",
    "api_key",
    "azure_ad_token",
    "litellm_credential_name",
    "organization",
];

#[derive(Deserialize)]
struct Wish {
    mode: Option<String>,
    #[serde(default)]
    litellm_params: Map<String, Value>,
    #[serde(default)]
    model_info: Map<String, Value>,
}

/// The page.
pub(crate) fn page(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(run(request, incoming))
}

/// Tries.
///
/// # Errors
/// The refusal to send.
async fn run(request: PageRequest<'_>, incoming: Incoming) -> Result<Response<Reply>, Refusal> {
    let arrival = request.arrival;
    let mut held = Held::none(&arrival.worker.process.buffered);
    let body = request.read_body(incoming, &mut held).await?;
    request.hold_tree(&body, &mut held).await?;
    let wish: Wish = serde_json::from_slice(&body).map_err(|error| {
        // The library's message quotes the input, which may be a secret.
        let (line, column) = (error.line(), error.column());
        let problem = format!(
            "expected an object with mode, litellm_params and model_info; see line {line}, column \
                 {column}"
        );
        refusal::bad_parameter("request_body", &problem)
    })?;
    let unknown = wish.mode.as_deref().filter(|mode| modes().all(|known| known != *mode));
    if let Some(mode) = unknown {
        let known: Vec<_> = modes().collect();
        let problem = format!("mode must be one of {}, not {mode:?}", known.join(", "));
        return Err(refusal::bad_parameter("mode", &problem));
    }
    let all = json!([wish.litellm_params, wish.model_info]);
    if all.to_string().contains("os.environ/") {
        let problem = "environment variable references are not permitted in request parameters";
        return Err(refusal::bad_parameter("litellm_params", problem));
    }
    let id = wish.model_info.get("id").and_then(Value::as_str).unwrap_or_default();
    let known = arrival.serving.snapshot.by_id.get(id).copied();
    let (serving, index) = match known.filter(|_| wish.litellm_params.is_empty()) {
        Some(index) => (arrival.serving.clone(), index),
        None => (Arc::new(load(wish)?), DeploymentIndex(0)),
    };
    if let Some(why) = &serving.snapshot.deployment(index).misconfigured {
        return Err(refusal::bad_parameter(
            "litellm_params",
            &format!("{}: {}", why.problem, why.hint),
        ));
    }
    let round = arrival.worker.process.health.round(&serving, vec![index]).await;
    let answer = round.as_ref().and_then(|round| round.first()).map(|(_, answer)| answer);
    Ok(reply::json(StatusCode::OK, findings(&serving, index, answer).to_string()))
}

/// The parameters as a config of their own.
fn load(wish: Wish) -> Result<Serving, Refusal> {
    let own_connection = CONNECTION.iter().any(|key| wish.litellm_params.contains_key(*key));
    let mut info = wish.model_info;
    info.remove("id");
    if let Some(mode) = wish.mode {
        info.insert("mode".to_owned(), json!(mode));
    }
    let entry = json!({
        "model_name": "test-connection", "litellm_params": wish.litellm_params, "model_info": info,
    });
    let source = Text { text: json!({"model_list": [entry]}).to_string(), own_connection };
    let loaded = config::load(&source, NAME, Options::default(), None);
    let errors: Vec<String> = loaded.errors().map(ToString::to_string).collect();
    match loaded.snapshot {
        Some(snapshot) if !snapshot.deployments.is_empty() => Ok(Serving::apart(snapshot)),
        _ => Err(refusal::bad_parameter("litellm_params", &errors.join("; "))),
    }
}

/// The request as a config file.
struct Text {
    text: String,
    /// Whether the request says where to connect: then no key of the environment goes there.
    own_connection: bool,
}

impl Source for Text {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if path == NAME {
            return Ok(self.text.clone().into_bytes());
        }
        Err(io::Error::from(io::ErrorKind::PermissionDenied))
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|_| !self.own_connection)
    }
}

fn findings(serving: &Serving, index: DeploymentIndex, answer: Option<&Answer>) -> Value {
    let deployment = serving.snapshot.deployment(index);
    let mut result = json!({"model": &*deployment.endpoint.model_param});
    let checked = match answer {
        Some(Answer::Probed(checked)) => checked,
        Some(Answer::OnHold(until)) => {
            let seconds = until.since(clock::now().millis()).div_ceil(1000);
            result["cause"] = json!("rate_limited");
            result["error"] = json!(format!(
                "the provider limits the rate of this credential for another {seconds} s"
            ));
            return json!({"status": "error", "result": result});
        }
        Some(Answer::NotReached) | None => {
            result["error"] = json!("there was no time or no free slot for the probe");
            return json!({"status": "error", "result": result});
        }
    };
    result["latency_ms"] = json!(checked.ended.since(checked.started));
    for (name, value) in &checked.headers {
        result[*name] = json!(&**value);
    }
    let healthy = match checked.finding {
        Finding::Healthy | Finding::RateLimited(_) => true,
        // The config asks for no deeper probe (`health_check_kind: metadata`).
        Finding::Unknown(Doubt::Shallow) => deployment.probing.metadata,
        Finding::Unknown(_) | Finding::Failing(_) | Finding::ProbeError => false,
    };
    if let Some(cause) = checked.cause {
        result["cause"] = json!(cause.name());
        result["error"] = json!(&*checked.message);
        result["exception_status"] = json!(checked.status);
    } else if let Finding::Unknown(doubt) = checked.finding
        && !healthy
    {
        result["cause"] = json!(doubt.name());
        result["error"] = json!(unproved(deployment, doubt.name()));
    }
    json!({"status": if healthy { "success" } else { "error" }, "result": result})
}
