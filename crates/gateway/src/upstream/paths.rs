//! The paths of a target: one template per operation and kind of answer.
//!
//! Made with a [`super::target`]. Always true: a path is made once, when the config is loaded, unless it
//! names something that only the request knows.

use hale_core::azure::{Azure, RealtimeForm, escaped};
use hale_core::deployment::Deployment;
use hale_core::operation::{ModelPlace, Operation};
use hale_core::provider::{Called, Edition, WireFormat};
use hale_core::vertex;
use http::uri::PathAndQuery;

/// How an answer is transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// In one piece.
    Whole,
    /// As a stream.
    Streamed,
}

/// What a path is made of.
#[derive(Clone, Copy)]
pub(crate) struct PathCall<'c> {
    /// What the upstream is called for.
    pub(crate) called: Called,
    /// How it is to answer.
    pub(crate) transfer: Transfer,
    /// The model's name at the provider. A deployment with a star in its model learns it from the request.
    pub(crate) model: &'c str,
    /// The stored object that the call addresses.
    pub(crate) object: Option<&'c ObjectPath>,
}

/// How a stored object (a response, a file, a batch) is addressed at its provider.
pub(crate) struct ObjectPath {
    /// The provider's id.
    pub(crate) id: Box<str>,
    /// The parameters of the client's query that are passed on, written anew; may be empty.
    pub(crate) query: Box<str>,
}

/// The paths of one deployment that do not depend on the request.
pub(super) struct Paths {
    whole: [PathAndQuery; Operation::ALL.len()],
    /// Of streamed answers. `None` where they are the same.
    streamed: Option<Box<[PathAndQuery; Operation::ALL.len()]>>,
}

impl Paths {
    /// The paths of `deployment`; `base` is the path of its base URL.
    pub(super) fn new(deployment: &Deployment, base: &str) -> Paths {
        let all = |transfer| {
            Operation::ALL.map(|operation| {
                let model = &deployment.endpoint.upstream_model;
                let called = operation.into();
                make(deployment, base, PathCall { called, transfer, model, object: None })
            })
        };
        let (whole, streamed) = (all(Transfer::Whole), all(Transfer::Streamed));
        let streamed = (streamed != whole).then(|| Box::new(streamed));
        Paths { whole, streamed }
    }

    /// The template for what is called; `None` for an earlier edition, which is called seldom.
    pub(super) fn template(&self, called: Called, transfer: Transfer) -> Option<&PathAndQuery> {
        match called.edition {
            Edition::Current => {}
            Edition::First => return None,
        }
        let templates = match (transfer, &self.streamed) {
            (Transfer::Streamed, Some(streamed)) => streamed,
            (Transfer::Streamed, None) | (Transfer::Whole, _) => &self.whole,
        };
        Some(&templates[called.operation as usize])
    }
}

/// Whether the path of `operation` names the model.
pub(super) fn names_model(deployment: &Deployment, operation: Operation) -> bool {
    match operation.model_place() {
        ModelPlace::Query | ModelPlace::Resource => true,
        ModelPlace::Body | ModelPlace::Account => {
            let endpoint = &deployment.endpoint;
            endpoint.azure.as_ref().is_some_and(Azure::names_model)
                || endpoint.aws.is_some()
                || endpoint.vertex.is_some()
        }
    }
}

/// The path of one call.
pub(super) fn make(deployment: &Deployment, base: &str, call: PathCall<'_>) -> PathAndQuery {
    let PathCall { called, transfer, model, object } = call;
    let operation = called.operation;
    if let Some(aws) = &deployment.endpoint.aws {
        let base = deployment.endpoint.provider.base_path(base, called.edition);
        // Bedrock's agents name the model in the body.
        if operation.format() == WireFormat::Converse && operation.model_place() == ModelPlace::Body
        {
            return path(format!("{}{}", base.trim_end_matches('/'), operation.upstream_path()));
        }
        return path(aws.path(&base, below_model(operation, transfer), model));
    }
    let base = deployment.endpoint.provider.base_of(base, called);
    let id = object.map(|object| escaped(&object.id)).unwrap_or_default();
    let below = match transfer {
        Transfer::Whole => operation.upstream_path(),
        Transfer::Streamed => operation.streamed_path(),
    };
    if let Some(vertex) = &deployment.endpoint.vertex {
        let is_streamed = transfer == Transfer::Streamed;
        return path(
            vertex.path(&base, vertex::Call { operation, path: below, model, is_streamed }),
        );
    }
    let below = below.replace("{}", &id);
    let mut text = match &deployment.endpoint.azure {
        Some(azure) => match operation.model_place() {
            ModelPlace::Query => {
                azure.realtime_path(&base, &below, model, realtime(called.edition))
            }
            ModelPlace::Body | ModelPlace::Account | ModelPlace::Resource => {
                azure.path(&base, operation, &below, model)
            }
        },
        None => match operation.model_place() {
            ModelPlace::Query => format!("{base}{below}?model={}", escaped(model)),
            ModelPlace::Resource => {
                format!("{base}/{}{below}", resource(model))
            }
            ModelPlace::Body | ModelPlace::Account => format!("{base}{below}"),
        },
    };
    if let Some(query) = object.map(|object| &*object.query).filter(|query| !query.is_empty()) {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(query);
    }
    path(text)
}

/// What stands behind the name of a model of Bedrock.
fn below_model(operation: Operation, transfer: Transfer) -> &'static str {
    match (operation.format(), transfer) {
        (WireFormat::Converse, Transfer::Whole) => operation.upstream_path(),
        (WireFormat::Converse, Transfer::Streamed) => operation.streamed_path(),
        // In the model's own format.
        (_, Transfer::Whole) => "/invoke",
        (_, Transfer::Streamed) => "/invoke-with-response-stream",
    }
}

/// The resource of a model in the paths of Google's format. Tuned models are named by theirs.
fn resource(model: &str) -> String {
    let segments: Vec<String> = model.split('/').map(escaped).collect();
    let kind = if segments.len() > 1 { "" } else { "models/" };
    format!("{kind}{}", segments.join("/"))
}

/// The form of realtime that the client asks for.
fn realtime(edition: Edition) -> Option<RealtimeForm> {
    match edition {
        Edition::Current => None,
        Edition::First => Some(RealtimeForm::Beta),
    }
}

/// The path of the list of models.
pub(super) fn models(deployment: &Deployment, base: &str) -> PathAndQuery {
    if let Some(vertex) = &deployment.endpoint.vertex {
        return path(vertex.list_path());
    }
    path(match &deployment.endpoint.azure {
        Some(azure) => azure.list_path(base),
        None => deployment.endpoint.provider.list_path(base),
    })
}

/// The path of what is passed through, with its query. A client may repeat the beginning that the address has: `v1`, or
/// Azure's `openai`.
pub(super) fn below(
    deployment: &Deployment,
    base: &str,
    (below, query): (&str, &str),
) -> PathAndQuery {
    let base = deployment.endpoint.provider.base_path(base, Edition::Current);
    let base = base.trim_end_matches('/');
    let of_vertex = deployment.endpoint.vertex.as_ref().and_then(|vertex| vertex.below(below));
    let below = of_vertex.as_deref().unwrap_or(below);
    let first = below.split('/').next().unwrap_or_default();
    // Each version of Google's and Cohere's has methods of its own, and a client names the one that it wants.
    let versioned = match deployment.endpoint.provider.wire {
        WireFormat::Gemini | WireFormat::Cohere if is_version(first) => {
            base.rsplit_once('/').filter(|(_, last)| is_version(last)).map(|(before, _)| before)
        }
        WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::OpenAi
        | WireFormat::Anthropic
        | WireFormat::Responses
        | WireFormat::Converse
        | WireFormat::Ollama => None,
    };
    let base = versioned.unwrap_or(base);
    let repeats = base.split('/').position(|segment| !first.is_empty() && segment == first);
    let kept = match repeats {
        Some(at) => base.split('/').take(at).collect::<Vec<_>>().join("/"),
        None => base.to_owned(),
    };
    let mut text = format!("{kept}/{below}");
    if !query.is_empty() {
        text.push('?');
        text.push_str(query);
    }
    path(text)
}

/// Whether a segment of a path is a version of Google's or of Cohere's.
fn is_version(segment: &str) -> bool {
    matches!(segment, "v1" | "v1beta" | "v1alpha" | "v2")
}

fn path(text: String) -> PathAndQuery {
    PathAndQuery::try_from(text).unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_of_googles_is_a_resource_and_leads_to_no_other_path() {
        assert_eq!(resource("gemini-2.5-flash"), "models/gemini-2.5-flash");
        assert_eq!(resource("models/gemini-2.5-flash"), "models/gemini-2.5-flash");
        assert_eq!(resource("tunedModels/x y"), "tunedModels/x%20y");
        assert_eq!(resource("models/../x?a"), "models/%2E%2E/x%3Fa");
    }
}
