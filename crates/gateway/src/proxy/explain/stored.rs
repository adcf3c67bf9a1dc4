//! Errors about ids of responses, files and batches that this gateway cannot serve.
//!
//! Called by `proxy::stored_object`. Always true: an error about one id reveals nothing about other
//! clients' ids.

use hale_core::operation::Kind;
use hale_wire::errors::clean;
use http::StatusCode;

use crate::http::refusal::{Refusal, bad_parameter, too_much_held};
use crate::state::kept_responses::Missing;

/// 400 for an id in the body or the query, 404 for an id in the path.
fn about_id(kind: Kind, field: Option<&str>, reason: &'static str, message: String) -> Refusal {
    let status = if field.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
    let own = match kind {
        Kind::Response => "response_id",
        Kind::File => "file_id",
        Kind::Batch => "batch_id",
        Kind::Stream => "x-hale-resume",
    };
    Refusal::new(status, reason, message).param(field.unwrap_or(own))
}

/// An id that this gateway has not issued. `field` of the body or the query holds it.
pub(crate) fn foreign_id(kind: Kind, field: Option<&str>, id: &str) -> Refusal {
    let message = format!(
        "'{}' is not the id of a {} that this gateway issued; send an id that it issued under its current \
         master key",
        clean(id, 80),
        kind.name()
    );
    unknown(kind, field, message)
}

/// The same for the holder of a key: an id that was issued to others is like one that was never issued.
pub(crate) fn not_the_keys_own(kind: Kind, field: Option<&str>, id: &str) -> Refusal {
    let message = format!(
        "'{}' is not the id of a {} that this gateway issued to this key, its user or its team; send an id that they \
         got under the current master key, or ask an admin",
        clean(id, 80),
        kind.name()
    );
    unknown(kind, field, message)
}

/// A provider lists what all clients of its account keep there, and says of none whose it is.
pub(crate) fn list_of_all(kind: Kind) -> Refusal {
    let (name, kinds) = match kind {
        Kind::Response => ("response", "responses"),
        Kind::File => ("file", "files"),
        Kind::Batch => ("batch", "batches"),
        Kind::Stream => ("stream", "streams"),
    };
    let message = format!(
        "a list has the {kinds} of everyone who uses the provider's account, so that only an admin's key may ask for it; \
         keep the id of each {name} that you make: what is yours can be read by its id"
    );
    Refusal::new(StatusCode::FORBIDDEN, "list_of_all", message)
}

fn unknown(kind: Kind, field: Option<&str>, message: String) -> Refusal {
    let reason = match kind {
        Kind::Response => "unknown_response",
        Kind::File => "unknown_file",
        Kind::Batch => "unknown_batch",
        Kind::Stream => "unknown_stream",
    };
    about_id(kind, field, reason, message)
}

/// The deployment that issued an id is no longer configured.
pub(crate) fn stored_without_deployment(
    kind: Kind,
    field: Option<&str>,
    deployment: &str,
) -> Refusal {
    let message = format!(
        "deployment '{}', which stores this {kind}, is no longer configured; configure it again with the \
         same `model_info.id`, or start over without the {kind}",
        clean(deployment, 80),
        kind = kind.name()
    );
    about_id(kind, field, "deployment_gone", message)
}

/// The requested model has no deployment that can read the object in `field`.
pub(crate) fn stored_elsewhere(kind: Kind, field: &str, group: &str, asked: &str) -> Refusal {
    let (reason, fix) = match kind {
        Kind::Response => ("response_elsewhere", format!(", or leave `{field}` out")),
        Kind::File => ("file_elsewhere", ", or upload the file for that model".to_owned()),
        // A stream is no object of a model: its client goes to the process that has it.
        Kind::Batch | Kind::Stream => ("batch_elsewhere", format!(", or leave `{field}` out")),
    };
    let message = format!(
        "`{field}` names a {} of model '{}', which no deployment of '{}' can read; ask for '{1}'{fix}",
        kind.name(),
        clean(group, 200),
        clean(asked, 200)
    );
    Refusal::new(StatusCode::BAD_REQUEST, reason, message).param(field)
}

/// The response with that id was translated: neither its provider nor the gateway keeps it.
pub(crate) fn kept_nowhere(field: Option<&str>, id: &str) -> Refusal {
    let id = clean(id, 80);
    match field {
        Some(field) => {
            let message = format!(
                "`{field}` names '{id}', and no provider keeps that response: its own has no responses; send the \
                 whole conversation in `input`, or have the gateway keep them: general_settings.responses_history: store"
            );
            Refusal::new(StatusCode::BAD_REQUEST, "unsupported_parameter", message).param(field)
        }
        None => {
            let message = format!(
                "no provider keeps the response '{id}': its own has no responses, and the answer said `store: false`"
            );
            Refusal::new(StatusCode::NOT_FOUND, "unknown_response", message).param("response_id")
        }
    }
}

/// A response is kept by the gateway, or should be, and is not there.
pub(crate) fn not_kept(field: Option<&str>, id: &str, why: Missing) -> Refusal {
    let id = clean(id, 80);
    let named = match field {
        Some(field) => format!("`{field}` names '{id}', which"),
        None => format!("the response '{id}'"),
    };
    let (status, reason, told) = match why {
        Missing::Gone => (
            if field.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND },
            "unknown_response",
            "is not kept (any more): it was deleted, has expired, was too long, or said `store: false`; send the \
             conversation in `input`",
        ),
        Missing::TooLong => (
            StatusCode::BAD_REQUEST,
            "conversation_too_long",
            "has a conversation before it that is longer than a request may be; begin a new one, or send a summary",
        ),
        Missing::NoRoom => return too_much_held(),
        Missing::Away => (
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "cannot be read, because the database does not work; try again, or send the conversation in `input`",
        ),
    };
    let refusal = Refusal::new(status, reason, format!("{named} {told}"));
    refusal.param(field.unwrap_or("response_id"))
}

/// A response that is kept is not under way.
pub(crate) fn not_in_background(id: &str) -> Refusal {
    let id = clean(id, 80);
    let message = format!(
        "the response '{id}' is complete: only one that was made in the background is cancelled"
    );
    Refusal::new(StatusCode::BAD_REQUEST, "not_in_background", message).param("response_id")
}

/// A stream of the client's own that is kept no longer.
pub(crate) fn stream_gone(id: &str) -> Refusal {
    let message = format!(
        "the stream '{}' is not kept any more: `router_settings.resume_window_s` is over, it was too long, no memory was left, it was \
         a stream of another path, or another process has it; send the request again without `x-hale-resume`",
        clean(id, 80)
    );
    about_id(Kind::Stream, None, "stream_gone", message)
}

/// The client has an event that has not come.
pub(crate) fn event_not_yet(after: Option<u64>, last: Option<u64>) -> Refusal {
    let (after, last) = (after.unwrap_or_default(), last.unwrap_or_default());
    let message = format!(
        "the stream has no event {after} yet: its last one is {last}; send the number of the last event that arrived"
    );
    bad_parameter("Last-Event-ID", &message)
}
