//! What Azure OpenAI needs besides an address and a key: a version, paths of its own, an identity.
//!
//! Built by [`crate::config`], used by the gateway's targets. Always true: a deployment's name
//! cannot break out of its place in the path.
//!
//! Source: <https://learn.microsoft.com/azure/ai-foundry/openai/reference> (classic) and
//! <https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle> (v1).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::operation::{ModelPlace, Operation};
use crate::secret::Secret;

/// The default version; the value is LiteLLM's.
const DEFAULT_API_VERSION: &str = "2025-02-01-preview";
/// The same for responses.
const RESPONSES_API_VERSION: &str = "preview";
/// Default authority for tokens.
pub const DEFAULT_AUTHORITY: &str = "https://login.microsoftonline.com";
/// Default scope of tokens.
pub const DEFAULT_SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// Versions that mean the v1 interface, where the model is in the body.
const V1_VERSIONS: [&str; 3] = ["v1", "latest", "preview"];
const V1_PATH: &str = "/openai/v1";
const DEPLOYMENTS: &str = "/openai/deployments/";

/// The version of models beside Azure OpenAI if the config names none. Source:
/// <https://learn.microsoft.com/rest/api/aifoundry/modelinference/>.
const MODELS_API_VERSION: &str = "2024-05-01-preview";

/// Which of Azure's services a deployment is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// Azure OpenAI: a path names a deployment.
    #[default]
    OpenAi,
    /// The models of a resource of Azure AI: paths below `/models`.
    Models,
    /// One model with an address of its own.
    Serverless,
    /// Claude at a resource of Azure AI: Anthropic's paths below `/anthropic`.
    Claude,
}

/// What is particular to a deployment at Azure.
#[derive(Debug, Default)]
pub struct Azure {
    /// The service.
    pub service: Service,
    /// `api_version`, if set.
    pub api_version: Option<Box<str>>,
    /// The form of realtime, if the config names it: `realtime_protocol`.
    pub realtime: Option<RealtimeForm>,
    /// A token from the config: `azure_ad_token`. A key takes precedence.
    pub token: Option<Secret>,
    /// The identity whose tokens are requested. A key and a token take precedence.
    pub identity: Option<Identity>,
}

/// The two forms of realtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealtimeForm {
    /// Below the v1 interface.
    General,
    /// The one before it.
    Beta,
}

/// An application in Entra ID that may use the deployment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Scheme and host of the authority.
    pub authority: Box<str>,
    /// `tenant_id`.
    pub tenant_id: Box<str>,
    /// `client_id`.
    pub client_id: Box<str>,
    /// `client_secret`.
    pub client_secret: Secret,
    /// `azure_scope`.
    pub scope: Box<str>,
}

impl Azure {
    /// Its secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let identity = self.identity.iter().map(|identity| &identity.client_secret);
        self.token.iter().chain(identity)
    }

    /// Path and query of a request: `base` is the path of `api_base`, `path` the operation's, `model`
    /// the deployment's name at Azure. Responses, files and batches are not below a deployment: a model
    /// is in the body in either form. The version of responses is the newest unless one is named.
    /// Source: the reference.
    #[must_use]
    pub fn path(&self, base: &str, operation: Operation, path: &str, model: &str) -> String {
        match self.service {
            Service::OpenAi => {}
            Service::Models | Service::Serverless | Service::Claude => {
                return self.beside(base, operation, path);
            }
        }
        let of_account = match operation.model_place() {
            ModelPlace::Query => return self.realtime_path(base, path, model, None),
            ModelPlace::Account => true,
            ModelPlace::Body | ModelPlace::Resource => false,
        };
        let default = match operation.is_of_responses() {
            true => RESPONSES_API_VERSION,
            false => DEFAULT_API_VERSION,
        };
        let version = self.api_version.as_deref().unwrap_or(default);
        let base = base.trim_end_matches('/');
        let base = match base.find(DEPLOYMENTS) {
            Some(at) if of_account => &base[..at],
            _ => base,
        };
        if V1_VERSIONS.contains(&version) || base.ends_with(V1_PATH) {
            let base = base.strip_suffix("/v1").unwrap_or(base);
            return format!("{}{V1_PATH}{path}", base.strip_suffix("/openai").unwrap_or(base));
        }
        if of_account {
            let base = base.strip_suffix("/openai").unwrap_or(base);
            return format!("{base}/openai{path}?api-version={version}");
        }
        if base.contains(DEPLOYMENTS) {
            return format!("{base}{path}?api-version={version}");
        }
        let base = base.strip_suffix("/openai").unwrap_or(base);
        format!("{base}{DEPLOYMENTS}{}{path}?api-version={version}", escaped(model))
    }

    /// Whether its paths name the model.
    #[must_use]
    pub fn names_model(&self) -> bool {
        self.service == Service::OpenAi
    }

    /// The path of a request to a service beside Azure OpenAI.
    fn beside(&self, base: &str, operation: Operation, path: &str) -> String {
        let base = base.trim_end_matches('/');
        let root = base.strip_suffix("/models").unwrap_or(base);
        let with = |path: String, version: Option<&str>| match version {
            Some(version) => format!("{path}?api-version={version}"),
            None => path,
        };
        let version = self.api_version.as_deref();
        if path == Operation::Rerank.upstream_path() {
            return match base.ends_with("/v1") || base.ends_with("/v2") {
                true => format!("{base}{path}"),
                false => format!("{root}/v1{path}"),
            };
        }
        match self.service {
            Service::Claude => {
                format!("{}/anthropic{path}", base.strip_suffix("/anthropic").unwrap_or(base))
            }
            Service::Models if base.ends_with(V1_PATH) => format!("{base}{path}"),
            Service::Models if operation.model_place() == ModelPlace::Account => {
                format!("{root}{V1_PATH}{path}")
            }
            Service::Models => {
                let version = version.unwrap_or(MODELS_API_VERSION);
                with(format!("{root}/models{path}"), Some(version))
            }
            Service::Serverless | Service::OpenAi => with(format!("{base}{path}"), version),
        }
    }

    /// The same of realtime, whose model is in the query in either form. The version of the deployment's
    /// other requests does not choose the form; where the config does not, the client's handshake does (`asked`).
    /// Source: the reference, and <https://learn.microsoft.com/azure/ai-foundry/openai/how-to/realtime-audio-websockets>.
    #[must_use]
    pub fn realtime_path(
        &self,
        base: &str,
        path: &str,
        model: &str,
        asked: Option<RealtimeForm>,
    ) -> String {
        let base = base.trim_end_matches('/');
        let base = base.find(DEPLOYMENTS).map_or(base, |at| &base[..at]);
        let root = base.strip_suffix("/v1").unwrap_or(base);
        let root = root.strip_suffix("/openai").unwrap_or(root);
        let model = escaped(model);
        match self.realtime.or(asked) {
            None | Some(RealtimeForm::General) => {
                return format!("{root}{V1_PATH}{path}?model={model}");
            }
            Some(RealtimeForm::Beta) => {}
        }
        let dated = self.api_version.as_deref().filter(|text| !V1_VERSIONS.contains(text));
        let version = dated.unwrap_or(DEFAULT_API_VERSION);
        format!("{root}/openai{path}?api-version={version}&deployment={model}")
    }

    /// The path of the list of models below `base`, the path of the `api_base`.
    #[must_use]
    pub fn list_path(&self, base: &str) -> String {
        let base = base.trim_end_matches('/');
        let root = base.strip_suffix("/models").unwrap_or(base);
        let root = root.strip_suffix(V1_PATH).unwrap_or(root);
        match self.service {
            Service::OpenAi => {}
            Service::Models => return format!("{root}{V1_PATH}/models"),
            Service::Serverless => return format!("{base}/models"),
            Service::Claude => {
                let root = root.strip_suffix("/anthropic").unwrap_or(root);
                return format!("{root}/anthropic/v1/models");
            }
        }
        let base = base.find(DEPLOYMENTS).map_or(base, |at| &base[..at]);
        let version = self.api_version.as_deref().unwrap_or(DEFAULT_API_VERSION);
        let is_v1 = V1_VERSIONS.contains(&version) || base.ends_with(V1_PATH);
        let root = base.strip_suffix("/v1").unwrap_or(base);
        let root = root.strip_suffix("/openai").unwrap_or(root);
        match is_v1 {
            true => format!("{root}{V1_PATH}/models"),
            false => format!("{root}/openai/models?api-version={version}"),
        }
    }
}

/// What is escaped in a path and in a form: everything but RFC 3986's unreserved characters.
pub const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One segment of a path. Everything reserved is escaped, and so are the dots of a segment that has
/// nothing else: `.` and `..` would lead to another path.
#[must_use]
pub fn escaped(segment: &str) -> String {
    if segment.bytes().all(|byte| byte == b'.') {
        return segment.replace('.', "%2E");
    }
    utf8_percent_encode(segment, &RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(version: &str, base: &str, model: &str) -> String {
        let azure = Azure { api_version: Some(version.into()), ..Azure::default() };
        azure.path(base, Operation::Chat, "/chat/completions", model)
    }

    #[test]
    fn responses_are_below_no_deployment() {
        let path = |version: Option<&str>, base: &str| {
            let api_version = version.map(Box::from);
            let azure = Azure { api_version, ..Azure::default() };
            azure.path(base, Operation::GetResponse, "/responses/r1", "my-gpt")
        };
        for base in ["", "/openai/", "/openai/v1", "/openai/deployments/my-gpt"] {
            assert_eq!(path(None, base), "/openai/v1/responses/r1", "{base}");
        }
        for base in ["", "/openai", "/openai/deployments/my-gpt"] {
            let expected = "/openai/responses/r1?api-version=2025-04-01-preview";
            assert_eq!(path(Some("2025-04-01-preview"), base), expected, "{base}");
        }
    }

    #[test]
    fn the_classic_form_names_deployment_and_version() {
        let expected = "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21";
        for base in ["", "/", "/openai", "/openai/"] {
            assert_eq!(path("2024-10-21", base, "my-gpt"), expected, "{base}");
        }
        let own = "/openai/deployments/other/chat/completions?api-version=2024-10-21";
        assert_eq!(path("2024-10-21", "/openai/deployments/other", "my-gpt"), own);
        assert!(path("2024-10-21", "/prefix", "m").starts_with("/prefix/openai/deployments/m/"));
    }

    #[test]
    fn realtime_has_the_model_in_its_query() {
        use RealtimeForm::{Beta, General};
        let path = |version: Option<&str>, (realtime, asked), base: &str| {
            let api_version = version.map(Box::from);
            let azure = Azure { api_version, realtime, ..Azure::default() };
            azure.realtime_path(base, "/realtime", "my rt", asked)
        };
        for base in ["", "/", "/openai/", "/openai/v1", "/openai/deployments/my-gpt"] {
            for version in [None, Some("v1"), Some("2024-10-01-preview")] {
                let expected = "/openai/v1/realtime?model=my%20rt";
                for forms in [(None, None), (Some(General), None), (Some(General), Some(Beta))] {
                    assert_eq!(path(version, forms, base), expected, "{base}");
                }
            }
            let expected = "/openai/realtime?api-version=2024-10-01-preview&deployment=my%20rt";
            for forms in [(Some(Beta), None), (None, Some(Beta)), (Some(Beta), Some(General))] {
                assert_eq!(path(Some("2024-10-01-preview"), forms, base), expected, "{base}");
            }
        }
        let beta = path(Some("v1"), (Some(Beta), None), "");
        assert!(beta.contains("api-version=2025-02-01-preview&"));
    }

    #[test]
    fn services_beside_azure_openai_have_paths_of_their_own() {
        use Service::{Claude, Models, Serverless};
        let path = |service, version: Option<&str>, base: &str, operation: Operation| {
            let api_version = version.map(Box::from);
            let azure = Azure { service, api_version, ..Azure::default() };
            azure.path(base, operation, operation.upstream_path(), "m")
        };
        let chat = Operation::Chat;
        for base in ["", "/", "/models", "/models/"] {
            let expected = "/models/chat/completions?api-version=2024-05-01-preview";
            assert_eq!(path(Models, None, base, chat), expected, "{base}");
            assert_eq!(path(Models, None, base, Operation::Rerank), "/v1/rerank", "{base}");
            assert_eq!(path(Models, None, base, Operation::Responses), "/openai/v1/responses");
        }
        let dated = "/models/embeddings?api-version=2025-04-01";
        assert_eq!(path(Models, Some("2025-04-01"), "", Operation::Embedding), dated);
        assert_eq!(path(Models, None, "/openai/v1/", chat), "/openai/v1/chat/completions");
        assert_eq!(path(Serverless, None, "/v1", chat), "/v1/chat/completions");
        assert_eq!(path(Serverless, Some("x"), "", chat), "/chat/completions?api-version=x");
        for (base, expected) in [
            ("", "/v1/rerank"),
            ("/v2", "/v2/rerank"),
            ("/providers/cohere/v2", "/providers/cohere/v2/rerank"),
        ] {
            assert_eq!(path(Serverless, None, base, Operation::Rerank), expected);
        }
        for base in ["", "/anthropic", "/anthropic/"] {
            assert_eq!(path(Claude, None, base, Operation::Messages), "/anthropic/v1/messages");
        }
    }

    #[test]
    fn the_v1_form_has_neither() {
        for version in V1_VERSIONS {
            assert_eq!(path(version, "", "my-gpt"), "/openai/v1/chat/completions");
        }
        for base in ["/openai/v1", "/openai/v1/"] {
            assert_eq!(path("2024-10-21", base, "m"), "/openai/v1/chat/completions");
        }
        assert_eq!(path("v1", "/openai", "m"), "/openai/v1/chat/completions");
    }

    #[test]
    fn a_name_stays_in_its_segment() {
        for (name, segment) in [
            ("../x", "..%2Fx"),
            ("..", "%2E%2E"),
            ("a?b#c", "a%3Fb%23c"),
            ("gpt-4.1", "gpt-4.1"),
            ("a-_~ü%\n", "a-_~%C3%BC%25%0A"),
        ] {
            let found = path("2024-10-21", "", name);
            assert!(found.contains(&format!("/deployments/{segment}/chat")), "{found}");
        }
    }
}
