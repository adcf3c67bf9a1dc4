//! What a page says about a failure: its status, its class and words, and what to do about it.
//!
//! Called by [`super::report`] for each entry. Always true: one line, with LiteLLM's class names;
//! every hint names the key or the thing to look at.

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::probe::{Doubt, Finding, ProbeResult, unserved};

use super::known::{Known, Sees};
use crate::advice;

/// The status as LiteLLM shows it: the upstream's, 408 for a timeout, else 500.
pub(super) fn status_of(known: &Known) -> u16 {
    match known.failure {
        Some(Cause::Timeout) => 408,
        _ => known.last.as_ref().and_then(|last| last.status).unwrap_or(500),
    }
}

/// The error class, named as in LiteLLM, and the message.
pub(super) fn error_text(deployment: &Deployment, known: &Known, sees: Sees) -> String {
    if let Some(why) = &deployment.misconfigured {
        return format!("Misconfigured: {}", why.problem);
    }
    let Some(cause) = known.failure else { return String::new() };
    let class = match cause {
        // The exact text of LiteLLM.
        Cause::Timeout => return "Timeout exceeded".to_owned(),
        Cause::Auth => "AuthenticationError",
        Cause::Permission => "PermissionDeniedError",
        Cause::NotFound => "NotFoundError",
        Cause::RateLimited | Cause::Quota => "RateLimitError",
        Cause::Overloaded => "ServiceUnavailableError",
        Cause::ServerError => "InternalServerError",
        Cause::Connect | Cause::Dns | Cause::Tls => "APIConnectionError: Connection error.",
        Cause::StreamCut | Cause::StreamStall | Cause::BadResponse | Cause::EmptyAnswer => {
            "APIError"
        }
        Cause::BadRequest
        | Cause::Unsupported
        | Cause::ContextWindow
        | Cause::ContentPolicy
        | Cause::ClientTimeout
        | Cause::ClientClosed => "BadRequestError",
        Cause::Misconfigured | Cause::Gateway => "Error",
    };
    // Why there is no connection names hosts.
    let names_hosts = matches!(cause, Cause::Connect | Cause::Dns | Cause::Tls);
    let last = known.last.as_ref().filter(|_| sees.addresses || !names_hosts);
    match last.map(|last| &*last.message).filter(|text| !text.is_empty()) {
        Some(text) => format!("{class}: {text}"),
        None if known.by_traffic => format!("{class}: real requests fail ({})", cause.name()),
        None => class.to_owned(),
    }
}

/// Why a probe proved nothing, by the name of the reason.
pub(super) fn unproved(deployment: &Deployment, reason: &str) -> Option<String> {
    let text = match reason {
        "wrong_mode" => "the model does not do what the probe requested; set model_info.mode",
        "probe_error" => {
            "the provider refuses the probe, which says nothing about the deployment; see \
             health_check_params, health_check_max_tokens and model_info.mode"
        }
        "not_found" => "set model_info.health_check_model to a model that the account has",
        "reachable" => "it can be reached; whether it generates was not tested",
        "mode_not_served" => {
            let why = unserved(deployment);
            return Some(format!("{why}; only the list of models was looked at"));
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// What to do about it.
pub(super) fn hint(deployment: &Deployment, known: &Known, sees: Sees) -> Option<String> {
    if let Some(why) = &deployment.misconfigured {
        return Some(why.hint.to_string());
    }
    let is_of_path = |last: &ProbeResult| last.finding == Finding::Unknown(Doubt::NoPath);
    if known.cause == Some(Doubt::NoPath.name()) && known.last.as_deref().is_some_and(is_of_path) {
        let fix = advice::fix_of_path(deployment);
        return Some(format!("the server has nothing at this path: {fix}"));
    }
    let text = match (known.cause?, known.failure) {
        ("not_reached", _) => {
            "there was no time or no free slot for this probe; request it alone with \
                               ?model_id=, or turn on background_health_checks"
                .to_owned()
        }
        ("probe_error", Some(Cause::BadResponse)) => {
            "this address returns no list of models; see api_base and health_check_kind".to_owned()
        }
        (reason @ ("wrong_mode" | "probe_error" | "mode_not_served"), _)
        | (reason @ ("not_found" | "reachable"), None) => return unproved(deployment, reason),
        ("stale", _) => {
            "the last verdict is older than health_check_staleness_threshold".to_owned()
        }
        (_, Some(cause)) => {
            let last = known.last.as_deref().filter(|last| last.cause == Some(cause));
            let failure = advice::Failure {
                cause,
                // What to do about an obstacle names the host where it stands.
                obstacle: last.and_then(|last| last.obstacle).filter(|_| sees.addresses),
                status: last.and_then(|last| last.status),
                message: last.map_or("", |last| &last.message),
            };
            return advice::fix(deployment, &failure);
        }
        _ => return None,
    };
    Some(text)
}
