//! What a deployment at Vertex AI needs besides a model: a project, a location and an identity; and where that leads.
//!
//! Built by [`crate::config`], used by the gateway's targets and by `hale-wire`. Always true: a location is one label of a host; a
//! project and a model cannot break out of their places in a path.
//!
//! Source: <https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations>,
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/use-partner-models>.

use std::borrow::Cow;

use percent_encoding::utf8_percent_encode;

use crate::azure::RESERVED;
use crate::google::Source;
use crate::operation::Operation;
use crate::wire_format::WireFormat;

/// The location if nothing names one. Source: LiteLLM.
pub const DEFAULT_LOCATION: &str = "us-central1";
/// The version of the interface.
const VERSION: &str = "/v1";
/// The versions that an address may end with.
const VERSIONS: [&str; 3] = ["/v1", "/v1beta1", "/v1alpha1"];

/// What is particular to a deployment at Vertex AI.
#[derive(Debug)]
pub struct Vertex {
    /// The project; `None` for a key, which has one.
    pub project: Option<Box<str>>,
    /// The location.
    pub location: Box<str>,
    /// Whose tokens authorize its requests; `None` with a key.
    pub source: Option<Source>,
}

/// Whose models are called in which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publisher {
    /// Google's own.
    Google,
    /// One that was tuned, or is served at an endpoint of its own, in Google's format.
    Tuned,
    /// Anthropic's.
    Anthropic,
    /// This one's, in OpenAI's format, with the paths of Anthropic's.
    Raw(&'static str),
    /// Others, at an address of OpenAI's format.
    OpenAi,
}

impl Publisher {
    /// That of `model`.
    #[must_use]
    pub fn of(model: &str) -> Publisher {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if is_number(model) {
            return Publisher::Tuned;
        }
        if model.contains('/') && !model.starts_with("models/") {
            return Publisher::OpenAi;
        }
        if model.starts_with("claude") {
            return Publisher::Anthropic;
        }
        if ["mistral", "codestral", "ministral"].iter().any(|name| model.starts_with(name)) {
            return Publisher::Raw("mistralai");
        }
        if model.starts_with("jamba") {
            return Publisher::Raw("ai21");
        }
        Publisher::Google
    }

    /// The wire on which its models are called.
    #[must_use]
    pub fn wire(self) -> WireFormat {
        match self {
            Publisher::Google | Publisher::Tuned => WireFormat::Gemini,
            Publisher::Anthropic => WireFormat::Anthropic,
            Publisher::Raw(_) | Publisher::OpenAi => WireFormat::OpenAi,
        }
    }
}

/// A name without its version: `claude-sonnet-4-5@20250929`.
#[must_use]
pub fn unversioned(model: &str) -> &str {
    model.split_once('@').map_or(model, |(name, _)| name)
}

/// The name of `model` in a body, where a body has one.
#[must_use]
pub fn name_in_body(model: &str) -> &str {
    match Publisher::of(model) {
        Publisher::Raw(_) | Publisher::Anthropic => unversioned(model),
        Publisher::Google | Publisher::Tuned | Publisher::OpenAi => model,
    }
}

/// The address of `location`.
fn address(location: &str) -> String {
    match location {
        "global" => "https://aiplatform.googleapis.com".to_owned(),
        "us" | "eu" => format!("https://aiplatform.{location}.rep.googleapis.com"),
        region => format!("https://{region}-aiplatform.googleapis.com"),
    }
}

impl Vertex {
    /// Its address, if the config names none.
    #[must_use]
    pub fn address(&self) -> String {
        address(&self.location)
    }

    /// Path and query of a request: `base` is the path of the address, `path` the operation's, `model` the name at Vertex AI. An
    /// address with a path of its own stands for the model.
    #[must_use]
    pub fn path(&self, base: &str, call: Call<'_>) -> String {
        let Call { operation, path, model, is_streamed } = call;
        let base = base.trim_end_matches('/');
        let publisher = Publisher::of(model);
        let verb: Cow<'_, str> = match publisher {
            Publisher::Google | Publisher::Tuned => path.into(),
            Publisher::Anthropic | Publisher::Raw(_) if is_streamed => ":streamRawPredict".into(),
            Publisher::Anthropic | Publisher::Raw(_) => ":rawPredict".into(),
            Publisher::OpenAi => format!("/endpoints/{}{path}", endpoint(model)).into(),
        };
        let version = match base {
            "" => VERSION,
            known if VERSIONS.contains(&known) => known,
            own => return format!("{own}{verb}"),
        };
        let place = self.place(version);
        match publisher {
            Publisher::Google => {
                format!("{place}/publishers/google/models/{}{verb}", resource(model))
            }
            Publisher::Tuned => format!("{place}/endpoints/{model}{verb}"),
            Publisher::Anthropic if operation == Operation::CountTokens => {
                format!("{place}/publishers/anthropic/models/count-tokens{verb}")
            }
            Publisher::Anthropic => {
                format!("{place}/publishers/anthropic/models/{}{verb}", segment(model))
            }
            Publisher::Raw(name) => {
                format!("{place}/publishers/{name}/models/{}{verb}", segment(model))
            }
            Publisher::OpenAi => format!("{place}{verb}"),
        }
    }

    /// A client's path `below` the address with what it leaves out: the version, and the project and the location; `None` if it
    /// is whole.
    #[must_use]
    pub fn below(&self, below: &str) -> Option<String> {
        let version = VERSION.trim_start_matches('/');
        match below.split('/').next().unwrap_or_default() {
            "projects" => Some(format!("{version}/{below}")),
            "publishers" | "endpoints" | "cachedContents" => {
                let place = self.place(VERSION);
                Some(format!("{}/{below}", place.trim_start_matches('/')))
            }
            _ => None,
        }
    }

    /// The path of the list of Google's models.
    #[must_use]
    pub fn list_path(&self) -> String {
        "/v1beta1/publishers/google/models?pageSize=1000".to_owned()
    }

    /// The project and the location in a path. A key has a project of its own.
    fn place(&self, version: &str) -> String {
        match &self.project {
            Some(project) => {
                format!("{version}/projects/{project}/locations/{}", self.location)
            }
            None => version.to_owned(),
        }
    }
}

/// What a path is made of.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// The operation at the provider.
    pub operation: Operation,
    /// Its path.
    pub path: &'c str,
    /// The model.
    pub model: &'c str,
    /// Whether the answer is a stream.
    pub is_streamed: bool,
}

/// The endpoint of a model that is called in OpenAI's format: one of its own by its number, or the one that all others share.
fn endpoint(model: &str) -> &str {
    let own = model.strip_prefix("openai/").unwrap_or_default();
    match !own.is_empty() && own.bytes().all(|b| b.is_ascii_digit()) {
        true => own,
        false => "openapi",
    }
}

/// A model's name in a path, without the word that may stand before it.
fn resource(model: &str) -> String {
    let model = model.strip_prefix("models/").unwrap_or(model);
    segment(model)
}

/// One segment of a path. A version keeps its sign.
fn segment(text: &str) -> String {
    const KEPT: percent_encoding::AsciiSet = RESERVED.remove(b'@');
    if text.bytes().all(|byte| byte == b'.') {
        return text.replace('.', "%2E");
    }
    utf8_percent_encode(text, &KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(base: &str, model: &str, operation: Operation) -> String {
        let vertex =
            Vertex { project: Some("p-1".into()), location: "us-east5".into(), source: None };
        let call = |is_streamed| {
            let path = match is_streamed {
                true => operation.streamed_path(),
                false => operation.upstream_path(),
            };
            vertex.path(base, Call { operation, path, model, is_streamed })
        };
        call(false)
    }

    const PLACE: &str = "/v1/projects/p-1/locations/us-east5";

    #[test]
    fn a_model_leads_to_its_publisher() {
        for (model, operation, expected) in [
            (
                "gemini-2.5-flash",
                Operation::GenerateContent,
                "/publishers/google/models/gemini-2.5-flash:generateContent",
            ),
            (
                "models/gemini-2.5-flash",
                Operation::CountContents,
                "/publishers/google/models/gemini-2.5-flash:countTokens",
            ),
            (
                "imagen-4.0-generate-001",
                Operation::PredictImages,
                "/publishers/google/models/imagen-4.0-generate-001:predict",
            ),
            ("1234567890", Operation::GenerateContent, "/endpoints/1234567890:generateContent"),
            (
                "claude-sonnet-4-5@20250929",
                Operation::Messages,
                "/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
            ),
            (
                "claude-sonnet-4-5@20250929",
                Operation::CountTokens,
                "/publishers/anthropic/models/count-tokens:rawPredict",
            ),
            (
                "mistral-small-2503@001",
                Operation::Chat,
                "/publishers/mistralai/models/mistral-small-2503@001:rawPredict",
            ),
            ("codestral-2", Operation::Chat, "/publishers/mistralai/models/codestral-2:rawPredict"),
            ("meta/llama-4", Operation::Chat, "/endpoints/openapi/chat/completions"),
            ("openai/gpt-oss-20b-maas", Operation::Chat, "/endpoints/openapi/chat/completions"),
            ("openai/4711", Operation::Chat, "/endpoints/4711/chat/completions"),
            ("../x?y", Operation::GenerateContent, "/endpoints/openapi:generateContent"),
            ("..", Operation::GenerateContent, "/publishers/google/models/%2E%2E:generateContent"),
            (
                "x?a#b",
                Operation::GenerateContent,
                "/publishers/google/models/x%3Fa%23b:generateContent",
            ),
        ] {
            assert_eq!(path("", model, operation), format!("{PLACE}{expected}"), "{model}");
        }
    }

    #[test]
    fn an_address_may_have_a_version_or_stand_for_the_model() {
        let of = |base| path(base, "gemini-2.5-flash", Operation::GenerateContent);
        for base in ["", "/", "/v1", "/v1/"] {
            assert!(of(base).starts_with(PLACE), "{base}");
        }
        assert!(of("/v1beta1").starts_with("/v1beta1/projects/p-1/"));
        assert_eq!(of("/proxy/my-gemini"), "/proxy/my-gemini:generateContent");
        let raw = path("/proxy/my-claude/", "claude-x", Operation::Messages);
        assert_eq!(raw, "/proxy/my-claude:rawPredict");
    }

    #[test]
    fn a_key_has_a_project_of_its_own() {
        let vertex = Vertex { project: None, location: "global".into(), source: None };
        let call = Call {
            operation: Operation::GenerateContent,
            path: Operation::GenerateContent.streamed_path(),
            model: "gemini-2.5-flash",
            is_streamed: true,
        };
        let expected =
            "/v1/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
        assert_eq!(vertex.path("", call), expected);
    }

    #[test]
    fn a_clients_path_gets_what_it_leaves_out() {
        let vertex = Vertex { project: Some("p".into()), location: "us".into(), source: None };
        assert_eq!(vertex.below("projects/q/x").as_deref(), Some("v1/projects/q/x"));
        let expected = "v1/projects/p/locations/us/publishers/google/models/m:generateContent";
        let found = vertex.below("publishers/google/models/m:generateContent");
        assert_eq!(found.as_deref(), Some(expected));
        assert_eq!(vertex.below("v1beta1/projects/q"), None);
    }

    #[test]
    fn each_location_has_its_host() {
        assert_eq!(address("global"), "https://aiplatform.googleapis.com");
        assert_eq!(address("us"), "https://aiplatform.us.rep.googleapis.com");
        assert_eq!(address("eu"), "https://aiplatform.eu.rep.googleapis.com");
        assert_eq!(address("europe-west4"), "https://europe-west4-aiplatform.googleapis.com");
    }
}
