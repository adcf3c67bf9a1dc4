//! The content of a request for a model: JSON, a form or nothing, and the model that it names.
//!
//! Called by [`super::opening`]. Always true: a request that passes has all fields that its operation
//! requires.

use std::borrow::Cow;

use bytes::Bytes;
use hale_core::deployment::Deployment;
use hale_core::operation::{Carries, Operation, Streaming};
use hale_core::provider::WireFormat;
use hale_core::settings::GatewaySettings;
use hale_core::snapshot::Snapshot;
use hale_wire::controls;
use hale_wire::files::lines;
use hale_wire::modes;
use hale_wire::peek::{Objection, Peek};
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};

use crate::http::query;
use crate::http::refusal::{self, Refusal};
use crate::offload;

/// The content type of a form, without parameters.
const FORM: &str = "multipart/form-data";
/// Names the model that a file or a batch belongs to. LiteLLM's header.
const MODEL: HeaderName = HeaderName::from_static("x-litellm-model");
/// The same in a form or a query. LiteLLM takes a list; Hale takes one name.
const TARGET: &str = "target_model_names";

/// Refuses a body of the wrong type. A missing content type passes as JSON; a form needs one, because
/// it cannot be read without its boundary.
pub(super) fn check_type(
    operation: Operation,
    route: &str,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let given = content_type(headers);
    match operation.carries() {
        Carries::Form if !is_form(&given) => Err(refusal::no_form(route, &given)),
        Carries::Json if is_form(&given) => Err(refusal::no_json(route)),
        Carries::Form | Carries::Json | Carries::Nothing | Carries::Anything => Ok(()),
    }
}

/// The fields of the body.
pub(super) fn read(
    operation: Operation,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Peek, Refusal> {
    let read = match operation.carries() {
        Carries::Form => {
            let peek = Peek::of_form(body, &content_type(headers));
            return peek.map_err(|error| refusal::bad_form(&error));
        }
        Carries::Nothing if operation.switches() && !body.is_empty() => {
            let problem = "a WebSocket handshake has no body";
            return Err(refusal::bad_parameter("body", problem));
        }
        // It needs no body, but may have one with fields for the gateway.
        Carries::Nothing if body.is_empty() => Peek::parse(Bytes::from_static(b"{}")),
        Carries::Anything => return Ok(Peek::opaque(body)),
        Carries::Nothing | Carries::Json => Peek::parse(body),
    };
    read.map_err(|error| refusal::bad_body(&error))
}

pub(super) fn content_type(headers: &HeaderMap) -> Cow<'_, str> {
    let value = headers.get(header::CONTENT_TYPE);
    value.map_or(Cow::Borrowed(""), |value| String::from_utf8_lossy(value.as_bytes()))
}

pub(super) fn is_form(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(FORM)
}

/// Refuses a request that carries what no request may carry.
pub(super) fn check_objections(peek: &Peek, settings: &GatewaySettings) -> Result<(), Refusal> {
    for (field, objection) in peek.objections() {
        return Err(match objection {
            Objection::Mock if settings.allows_mocks => continue,
            Objection::Credential => refusal::forbidden_parameter(&field),
            Objection::Mock => refusal::mock_parameter(&field),
            Objection::Unserved(about) => refusal::unserved_parameter(&field, about),
        });
    }
    match controls::guardrails_in_metadata(peek) {
        Some(field) => Err(refusal::unserved_parameter(field, controls::GUARDRAILS)),
        None => Ok(()),
    }
}

/// Refuses a body that is passed through and asks for guardrails: no other field of it is read.
pub(super) async fn check_guardrails(body: &Bytes) -> Result<(), Refusal> {
    if memchr::memmem::find(body, b"guardrails").is_none() {
        return Ok(());
    }
    let copy = body.clone();
    let look = move || Peek::parse(copy).ok().and_then(|peek| controls::guardrails(&peek));
    let found = if body.len() > offload::LARGE { offload::run(look).await } else { look() };
    match found {
        Some(field) => Err(refusal::unserved_parameter(field, controls::GUARDRAILS)),
        None => Ok(()),
    }
}

/// Refuses ids of this gateway's files within a chat, a message or a response: no provider knows them.
pub(super) fn check_file_ids(operation: Operation, peek: &Peek) -> Result<(), Refusal> {
    let is_prompt = operation.mode() == "chat" || operation == Operation::Responses;
    if !is_prompt || operation.carries() != Carries::Json {
        return Ok(());
    }
    let Some(id) = hale_wire::id::sealed_file(peek.body()) else { return Ok(()) };
    let problem = format!(
        "'{id}' is the id of a file that this gateway issued, and the provider does not know it: files within a \
         request are not served yet; send the file's content (`file_data`), or the provider's own id"
    );
    Err(refusal::bad_parameter("file_id", &problem))
}

/// Refuses a request that lacks a required field.
pub(super) fn check(operation: Operation, peek: &Peek, route: &str) -> Result<(), Refusal> {
    if let [usual, ..] = operation.one_of()
        && operation.one_of().iter().all(|field| peek.raw(field).is_none())
    {
        return Err(refusal::missing_parameter(route, usual));
    }
    for field in operation.required_fields() {
        if !peek.is_given(field) {
            return Err(refusal::missing_parameter(route, field));
        }
        // Providers refuse an empty list, or answer with one: neither is to blame.
        let is_list = || peek.raw(field).is_some_and(|raw| raw.starts_with('['));
        let has_lists = || matches!(operation.mode(), "embedding" | "moderation" | "rerank");
        let is_wrong = *field == "messages" || (has_lists() && is_list());
        if is_wrong && !peek.is_filled_list(field) {
            return Err(refusal::wrong_list(field));
        }
    }
    check_modes(operation, peek)
}

/// The values that Hale itself has to validate, rather than the provider.
fn check_modes(operation: Operation, peek: &Peek) -> Result<(), Refusal> {
    if let Err((field, why)) = modes::bytes::check_request(operation, peek) {
        return Err(refusal::bad_parameter(field, &format!("{field} is {why}")));
    }
    let asks_for_events = operation.streaming() == Streaming::Refused
        && peek.boolean("stream").map_err(|error| refusal::bad_body(&error))? == Some(true);
    if asks_for_events {
        let problem = "streaming images is not supported; leave out `stream`";
        return Err(refusal::bad_parameter("stream", problem));
    }
    Ok(())
}

/// The requested model: the path's, else the body's.
pub(super) fn model(
    operation: Operation,
    route: &str,
    path_name: Option<Box<str>>,
    peek: &Peek,
) -> Result<Box<str>, Refusal> {
    let model = match path_name {
        Some(model) => model,
        None => match peek.string("model").map_err(|error| refusal::bad_body(&error))? {
            Some(model) => Box::from(&*model),
            None => match operation.default_model() {
                Some(model) => Box::from(model),
                None => return Err(refusal::missing_parameter(route, "model")),
            },
        },
    };
    checked(model)
}

/// The model that a path names. Google's clients may write it as a resource, and Vertex AI's below a project and a place.
pub(super) fn path_model(operation: Operation, name: Box<str>) -> Box<str> {
    if operation.format() != WireFormat::Gemini {
        return name;
    }
    let within = match name.split_once("/publishers/") {
        Some((_, below)) => below.split_once("/models/").map_or(&*name, |(_, model)| model),
        None => &name,
    };
    let kinds = ["models/", "tunedModels/"];
    kinds.iter().find_map(|kind| within.strip_prefix(kind)).unwrap_or(within).into()
}

fn checked(model: Box<str>) -> Result<Box<str>, Refusal> {
    if model.is_empty() || model.len() > 1024 || model.chars().any(char::is_control) {
        return Err(refusal::odd_model_name());
    }
    if model.contains(',') {
        return Err(refusal::several_models(&model));
    }
    Ok(model)
}

/// The model that body, query or header name: a file, a batch or a list of them belongs to its account.
pub(super) fn named_model(peek: &Peek, head: &Parts) -> Result<Option<Box<str>>, Refusal> {
    let query = head.uri.query().unwrap_or_default();
    let mut named = None;
    for field in ["model", TARGET] {
        let given = peek.string(field).map_err(|error| refusal::bad_body(&error))?;
        named = named.or(given.map(|name| Box::from(&*name)));
        named = named.or_else(|| query::value(query, field));
    }
    if named.is_none()
        && let Some(value) = head.headers.get(&MODEL)
    {
        let text = value.to_str().map_err(|_| refusal::bad_header(&MODEL, "plain text"))?;
        named = Some(text.into());
    }
    named.map(checked).transpose()
}

/// The model whose account a file, a batch or a list of them belongs to, if none is named: that of the first request in
/// a batch's file, else any if all use the same account.
pub(super) fn account_model(
    snapshot: &Snapshot,
    operation: Operation,
    first_model: impl FnOnce() -> Option<String>,
) -> Result<Option<Box<str>>, Refusal> {
    if operation.must_refer() {
        // The object it refers to determines the account.
        return Ok(None);
    }
    match first_model() {
        Some(name) => checked(name.into()).map(Some),
        None => Ok(any(snapshot, operation)),
    }
}

/// The model of the first request in a batch's file.
pub(super) fn batch_model(operation: Operation, peek: &Peek) -> Option<String> {
    if operation != Operation::CreateFile || peek.word("purpose").as_deref() != Some(lines::PURPOSE)
    {
        return None;
    }
    lines::first_model(&peek.form()?.content("file")?)
}

/// A model of the one account that all deployments serving the operation share; `None` if there are
/// several accounts, or none.
fn any(snapshot: &Snapshot, operation: Operation) -> Option<Box<str>> {
    let serves = |deployment: &&std::sync::Arc<Deployment>| {
        deployment.misconfigured.is_none() && deployment.serves(operation)
    };
    let mut all = snapshot.deployments.iter().filter(serves);
    let first = all.next()?;
    if !all.all(|other| other.shares_credential(first)) {
        return None;
    }
    let group = snapshot.group(first.group);
    Some(if group.pattern.is_some() { Box::from(&*first.id) } else { Box::from(&*group.name) })
}

/// The refusal when no account can be determined.
pub(super) fn no_account(operation: Operation, route: &str, peek: &Peek) -> Refusal {
    match operation.required_fields().iter().find(|field| !peek.is_given(field)) {
        Some(field) => refusal::missing_parameter(route, field),
        None => refusal::no_account(route),
    }
}
