//! `GET /health/services`: tests one service, in LiteLLM's shape.
//!
//! Called by the router, for operators. Always true: what is configured is really asked, and the answer holds what the service said;
//! what cannot be tested is an error that names the variables.

use hale_core::incident::{AlertSettings, Kind};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::{PageRequest, Waiting};
use crate::http::refusal::{self, Refusal};
use crate::http::reply::{self, Reply};
use crate::service::{self, SERVICES, Service, Tested, Wording};

/// The page.
pub(crate) fn test(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let Some(name) = request.parameter("service") else {
            let message = format!("name a service: `?service=`, one of {}", names());
            return Err(unprocessable(message, "service_missing"));
        };
        let Some(service) = service::named(&name) else {
            let settings = &request.arrival.serving.snapshot.gateway.sinks;
            if settings.listed.iter().any(|(_, listed)| **listed == *name) {
                let process = &request.arrival.worker.process;
                return own(&name, service::test_sinks(process, &name).await);
            }
            let name = hale_wire::errors::clean(&name, refusal::LINE_MAX);
            let message =
                format!("there is no service `{name}`; `service` must be one of {}", names());
            let refusal = Refusal::new(StatusCode::BAD_REQUEST, "unknown_service", message);
            return Err(refusal.param("service"));
        };
        match service.test(&request.arrival.worker.process).await {
            Tested::Works => Ok(works(service, &request.arrival.serving.snapshot.gateway.alerts)),
            Tested::Fails(why) => fails(service, why),
            Tested::NotConfigured => {
                let message = format!(
                    "`{}` is not configured, so it is not tested: add it to `{}`, and set {}",
                    service.name,
                    service.key,
                    variables(service)
                );
                Err(unprocessable(message, "service_not_configured"))
            }
            Tested::NotServed => {
                let message = format!(
                    "`{}` is known and not served: nothing is sent there, whatever {} say",
                    service.name,
                    variables(service)
                );
                Err(unprocessable(message, "service_not_served"))
            }
        }
    })
}

/// The result of a test of a webhook that the operator named in `callback_settings`.
fn own(name: &str, tested: Tested) -> Result<Response<Reply>, Refusal> {
    match tested {
        Tested::Works => {
            let message = format!("Mock LLM request made - check {name}.");
            let page = json!({"status": "success", "message": message});
            Ok(reply::json(StatusCode::OK, page.to_string()))
        }
        Tested::Fails(why) => {
            let message = format!("`{name}` does not work: {why}");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "service_failed", message))
        }
        Tested::NotConfigured | Tested::NotServed => {
            let message = format!(
                "`{name}` is not configured, so it is not tested: write `callback_type` and `endpoint` below \
                 `callback_settings.{name}`"
            );
            Err(unprocessable(message, "service_not_configured"))
        }
    }
}

fn names() -> String {
    let names: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
    names.join(", ")
}

fn variables(service: &Service) -> String {
    match service.variables {
        [] => "its variables".to_owned(),
        all => all.join(", "),
    }
}

fn unprocessable(message: String, reason: &'static str) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, reason, message).param("service")
}

/// The types of alerts that are told: those of the config, else all, by the reference's names.
fn alert_types(alerts: &AlertSettings) -> Vec<&str> {
    if let Some(types) = &alerts.rules.types {
        return types.iter().map(|name| &**name).collect();
    }
    let mut names: Vec<&str> = Kind::ALL.iter().flat_map(|kind| kind.types()).copied().collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn works(service: &Service, alerts: &AlertSettings) -> Response<Reply> {
    let name = service.name;
    let page = match service.wording {
        Wording::Healthy => json!({"status": "healthy", "message": format!("{name} is healthy")}),
        Wording::Success if service.is_callback() => json!({
            "status": "success",
            "message": format!("Mock LLM request made - check {name}."),
        }),
        Wording::Success if service.tells_slack() => json!({
            "status": "success",
            "alert_types": alert_types(alerts),
            "message": "Mock Slack Alert sent, verify Slack Alert Received on your channel",
        }),
        Wording::Success => json!({
            "status": "success",
            "message": format!("Mock {name} alert sent, verify that it was received"),
        }),
    };
    reply::json(StatusCode::OK, page.to_string())
}

fn fails(service: &Service, why: String) -> Result<Response<Reply>, Refusal> {
    match service.wording {
        Wording::Healthy => {
            let page = json!({"status": "unhealthy", "message": why});
            Ok(reply::json(StatusCode::OK, page.to_string()))
        }
        Wording::Success => {
            let message = format!("`{}` does not work: {why}", service.name);
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "service_failed", message))
        }
    }
}
