//! What clients are told about ids that lead nowhere: of responses, files and batches.
//!
//! Called by `proxy::kept`. Always true: what is said of an id says nothing of other clients' ids.

use hale_core::operation::Kind;
use hale_wire::errors::clean;
use http::StatusCode;

use crate::http::refusal::Refusal;

/// What an id names is unknown where it stands in the body or the query, and absent where it is the path.
fn about_kept(kind: Kind, field: Option<&str>, reason: &'static str, message: String) -> Refusal {
    let status = if field.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
    let own = match kind {
        Kind::Response => "response_id",
        Kind::File => "file_id",
        Kind::Batch => "batch_id",
    };
    Refusal::new(status, reason, message).param(field.unwrap_or(own))
}

/// An id that this gateway has not issued. `field` is where it stands in the body or the query.
pub(crate) fn foreign_id(kind: Kind, field: Option<&str>, id: &str) -> Refusal {
    let message = format!(
        "'{}' is no id of a {} that this gateway issued; send the id of an answer that came through it and \
         was made with the present master key",
        clean(id, 80),
        kind.name()
    );
    let reason = match kind {
        Kind::Response => "unknown_response",
        Kind::File => "unknown_file",
        Kind::Batch => "unknown_batch",
    };
    about_kept(kind, field, reason, message)
}

/// The deployment that issued an id is no more.
pub(crate) fn kept_without_deployment(
    kind: Kind,
    field: Option<&str>,
    deployment: &str,
) -> Refusal {
    let message = format!(
        "deployment '{}', which keeps this {kind}, is no longer configured; put it back, and give \
         deployments a lasting `model_info.id`, or begin anew without the {kind}",
        clean(deployment, 80),
        kind = kind.name()
    );
    about_kept(kind, field, "deployment_gone", message)
}

/// What `field` names is kept where the model that is asked for is not.
pub(crate) fn kept_elsewhere(kind: Kind, field: &str, group: &str, asked: &str) -> Refusal {
    let (reason, remedy) = match kind {
        Kind::Response => ("response_elsewhere", format!(", or leave `{field}` out")),
        Kind::File => ("file_elsewhere", ", or upload the file for that model".to_owned()),
        Kind::Batch => ("batch_elsewhere", format!(", or leave `{field}` out")),
    };
    let message = format!(
        "`{field}` names a {} of model '{}', which no deployment of '{}' can read; ask for '{1}'{remedy}",
        kind.name(),
        clean(group, 200),
        clean(asked, 200)
    );
    Refusal::new(StatusCode::BAD_REQUEST, reason, message).param(field)
}
