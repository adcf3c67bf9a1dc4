//! The columns of the table of operations.
//!
//! Filled by the rows of [`super::table`]. Always true: a column is a fact of one operation, and the same for every provider
//! of a wire.

use super::facts::{Addressed, Answer, Billing, Carries, Kind, Method, ModelPlace, Streaming};
use super::table::Operation;
use crate::wire_format::WireFormat;

/// All that is to be known about an operation.
#[derive(Debug)]
pub struct Row {
    /// The name in metrics and records.
    pub name: &'static str,
    /// The method, of clients and of what is sent to an upstream.
    pub method: Method,
    /// The paths for clients; at most one `{}` in each stands for a name that may contain slashes.
    pub paths: &'static [&'static str],
    /// The path below the base URL of an upstream of its own format; `{}` stands for an id.
    pub upstream_path: &'static str,
    /// The same for an answer that is a stream, where that is another one.
    pub streamed_path: Option<&'static str>,
    /// The format in which clients speak to its endpoint and providers of that wire are called.
    pub format: WireFormat,
    /// What a provider of the OpenAI wire is called for.
    pub open_ai: Counterpart,
    /// What a provider of the Anthropic wire is called for.
    pub anthropic: Counterpart,
    /// What a provider of Gemini's wire is called for.
    pub gemini: Counterpart,
    /// What a provider of Cohere's wire is called for.
    pub cohere: Counterpart,
    /// What a server that speaks responses is called for.
    pub responses: Counterpart,
    /// What a provider of Converse's wire is called for.
    pub converse: Counterpart,
    /// What a provider of Ollama's wire is called for.
    pub ollama: Counterpart,
    /// The `mode` of the models that are for it.
    pub mode: &'static str,
    /// The `mode` of the models that are probed by it.
    pub probes: Option<&'static str>,
    /// The path that a provider's row lists if it has the operation; `None` if every provider of the
    /// format is called, because nearly all have it.
    pub listed_as: Option<&'static str>,
    /// What to use if a provider lacks it.
    pub way_out: WayOut,
    /// How the deployments that can serve it are found.
    pub addressed: Addressed,
    /// Where its upstream path names the model.
    pub model_place: ModelPlace,
    /// The kind of stored object that it makes, lists or addresses, if a deployment stores it.
    pub stored: Option<Kind>,
    /// The field of its body (without a body, of its query) that names an object that a deployment
    /// stores, and the kind of that object.
    pub refers_to: Option<(&'static str, Kind)>,
    /// The parameters of a client's query that are passed on. No others are.
    pub query: &'static [&'static str],
    /// What a client sends with it.
    pub carries: Carries,
    /// The fields without which a request makes no sense, its content first.
    pub required: &'static [&'static str],
    /// Fields of which one is enough, the usual one first.
    pub one_of: &'static [&'static str],
    /// The model that is meant where a request names none.
    pub default_model: Option<&'static str>,
    /// What the limit on the tokens of an answer is called, where it has one.
    pub token_limit: Option<&'static str>,
    /// What a good answer is.
    pub answer: Answer,
    /// Whether that may be a stream.
    pub streaming: Streaming,
    /// The field of a full answer that carries its content; empty where there is no JSON.
    pub content_field: &'static str,
    /// What it is charged by.
    pub billing: Billing,
    /// Whether a deployment of canned answers can have one for it.
    pub canned: bool,
}

/// What a provider of some wire is called for when a client asks for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counterpart {
    /// The same, in the format of the operation: a provider may have it in that one beside its own.
    Same,
    /// Another operation, to which request and answer are translated.
    Other(Operation),
    /// Nothing: the gateway estimates the answer itself.
    Estimated,
    /// Nothing: it has no counterpart.
    Missing,
}

/// What to use if a provider lacks an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// Another provider.
    Provider,
    /// Another provider, or this operation if the provider has that one.
    Operation(Operation),
    /// Another provider, or a server of one's own, under this provider's name.
    OwnServer(&'static str),
}
