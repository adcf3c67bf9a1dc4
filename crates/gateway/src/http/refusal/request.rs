//! Refusals of what a request asks for: a field, a path, a format that is not served.
//!
//! Made by the router and the first phases of a request. Always true: each names the thing and what to send instead.

use hale_wire::errors::clean;
use http::{Method, StatusCode};

use super::{LINE_MAX, Refusal};

/// A required field is missing.
pub(crate) fn missing_parameter(route: &str, field: &str) -> Refusal {
    let message = format!("{route}: Missing required parameter: '{field}'.");
    Refusal::new(StatusCode::BAD_REQUEST, "missing_parameter", message).param(field)
}

/// The dashboard is for admins, and the key is none of theirs.
pub(crate) fn dashboard_for_admins() -> Refusal {
    let message = "only admins may use the dashboard (general_settings.ui_access_mode); use the API with this key";
    Refusal::new(StatusCode::FORBIDDEN, "dashboard_for_admins", message.to_owned())
}

/// The request names tags, and only keys may.
pub(crate) fn tags_of_clients(param: &'static str) -> Refusal {
    let message = format!(
        "Client-side '{param}' not allowed in request. 'reject_clientside_metadata_tags'=True. Tags can only be set via API key metadata."
    );
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message).param(param)
}

/// The path exists, but is no WebSocket.
pub(crate) fn no_websocket(path: &str, allowed: &'static str) -> Refusal {
    let message =
        format!("{} is no WebSocket here; send {allowed} over HTTP", clean(path, LINE_MAX));
    let status = StatusCode::UPGRADE_REQUIRED;
    let mut refusal = Refusal::new(status, "no_websocket", message);
    refusal.upgrade = Some("HTTP/1.1");
    refusal.allow = Some(allowed);
    refusal
}

/// The request is in a format that has no endpoint.
pub(crate) fn foreign_format(method: &Method, path: &str, format: &str) -> Refusal {
    let message = format!(
        "{method} {} is in the format of {format}, which is not served; send OpenAI's format to /v1/chat/completions, or \
         Anthropic's to /v1/messages",
        clean(path, LINE_MAX)
    );
    Refusal::new(StatusCode::NOT_FOUND, "foreign_format", message)
}

/// A path of LiteLLM's that manages or serves something that this version does not have.
pub(crate) fn unserved_route(method: &Method, path: &str, about: &str, instead: &str) -> Refusal {
    let path = clean(path, LINE_MAX);
    let message =
        format!("{method} {path} is about {about}, and this version does not serve it; {instead}");
    Refusal::new(StatusCode::NOT_FOUND, "not_served", message)
}

/// Several models are named at once.
pub(crate) fn several_models(name: &str) -> Refusal {
    let message = format!(
        "`model` names several models ({}); a request goes to one model: send one request for each",
        clean(name, 200)
    );
    Refusal::new(StatusCode::BAD_REQUEST, "several_models", message).param("model")
}

/// A field asks for a simulated answer, and no request may.
pub(crate) fn mock_parameter(field: &str) -> Refusal {
    let message = format!(
        "`{field}` asks for a simulated answer, which this gateway does not permit; set \
         general_settings.dangerously_allow_mock_testing_request_params: true, or leave it out"
    );
    Refusal::new(StatusCode::BAD_REQUEST, "forbidden_parameter", message).param(field)
}

/// A field asks for what is not served and may not be left out silently.
pub(crate) fn unserved_parameter(field: &str, about: &str) -> Refusal {
    let message = format!("`{field}` is not served ({about}); leave it out");
    Refusal::new(StatusCode::BAD_REQUEST, "unserved_parameter", message).param(field)
}

/// The path could leave the provider's address.
pub(crate) fn odd_path(path: &str) -> Refusal {
    let message = format!(
        "{} is not passed on: write the path below the provider without `..`, empty segments and encoded slashes",
        clean(path, LINE_MAX)
    );
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_path", message)
}

/// No deployment is of the provider.
pub(crate) fn no_provider(provider: &str) -> Refusal {
    let message = format!(
        "no deployment is of the provider {provider}; add one to model_list, or use the endpoint of another provider"
    );
    Refusal::new(StatusCode::NOT_FOUND, "no_such_provider", message)
}

/// The client's address is not one of `allowed_ips`. Which these are is not told.
#[cold]
pub(crate) fn address_not_allowed() -> Refusal {
    let message = "Access forbidden: IP address not allowed.".to_owned();
    let mut refusal = Refusal::new(StatusCode::FORBIDDEN, "address_not_allowed", message);
    "auth_error".clone_into(&mut refusal.reply.kind);
    refusal
}

/// What the provider keeps under ids of its own has no owner that the gateway knows.
pub(crate) fn provider_objects(provider: &str) -> Refusal {
    let message = format!(
        "this key may not read or change by ids of its own what {provider} keeps: those ids do not say whose it is; use \
         `/v1/files`, `/v1/batches` or `/v1/responses`, or ask an admin to put the path into the key's `allowed_routes`"
    );
    Refusal::new(StatusCode::FORBIDDEN, "owner_unknown", message)
}

/// A key with certain models passes through something that names none.
pub(crate) fn passed_model_unknown(provider: &str) -> Refusal {
    let message = format!(
        "this key may use certain models, and no model can be read in this request to {provider}: name it once in `model` of a \
         JSON object or of a form, or in the path; lists of models are at `/v1/models`"
    );
    Refusal::new(StatusCode::FORBIDDEN, "model_unknown", message).param("model")
}

/// A key with a budget or a limit of tokens passes through what is not measured.
pub(crate) fn passed_unmeasured(provider: &str) -> Refusal {
    let message = format!(
        "this key has a budget or a limit of tokens, and what {provider} charges for what is passed through is not measured: use \
         the gateway's own endpoints (`/v1/...`), or ask an admin to put the path into the key's `allowed_routes`"
    );
    Refusal::new(StatusCode::FORBIDDEN, "cost_unknown", message)
}

/// A field would set credentials or addresses.
pub(crate) fn forbidden_parameter(field: &str) -> Refusal {
    let message = format!(
        "`{field}` may not be set by a request; configure it for a deployment in model_list instead"
    );
    Refusal::new(StatusCode::BAD_REQUEST, "forbidden_parameter", message).param(field)
}

/// A field has an invalid value.
pub(crate) fn bad_parameter(field: &str, problem: &str) -> Refusal {
    let message = clean(problem, 2 * LINE_MAX);
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message).param(field)
}

/// A field is not a list with entries.
pub(crate) fn wrong_list(field: &str) -> Refusal {
    let message = format!("`{field}` must be a list with at least one entry");
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message).param(field)
}

/// A page of an origin that is not listed connects.
pub(crate) fn unlisted_origin() -> Refusal {
    let message = "pages of this origin may not connect; add it to general_settings.cors_origins";
    Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", message.to_owned())
}
