//! One entry of `model_list`: how to reach a model, and under which rules.
//!
//! Built by [`crate::config`], used by routing and by the gateway's attempts. Always true: a
//! [`Deployment`] never changes; only its [`DeploymentState`] does, which a reload carries over to
//! the deployment with the same id, address, key and model.

mod health;
mod rules;
mod taught;

use std::borrow::Cow;
use std::sync::Arc;

use crate::aws::Aws;
use crate::azure::Azure;
use crate::health::outcome::ProviderError;
use crate::health::probe::ProbeRules;
use crate::health::{CredentialId, DeploymentState, Known, Lesson};
use crate::index::{BudgetIndex, GroupIndex};
use crate::operation::{Counterpart, Operation};
use crate::policy::ByKind;
use crate::prices::{self, ModelFacts};
use crate::provider::{self, HostOwner, Provider};
use crate::route::{AccessWindow, Needs, SetBy, TagRules};
use crate::secret::Secret;
use crate::takes::Takes;
use crate::tenancy::KeyLimits;
use crate::time::Millis;
use crate::vertex::{Publisher, Vertex};
use crate::wire_format::WireFormat;

pub use self::rules::{BodyRules, CachePlace, CachePoint};
pub use self::taught::Taught;
pub use crate::index::DeploymentIndex;

/// One deployment, resolved and validated. Its own fields identify it; each part describes one
/// concern.
#[derive(Debug)]
pub struct Deployment {
    /// Its place in the snapshot.
    pub index: DeploymentIndex,
    /// Its id: `model_info.id`, else the hash of its parameters.
    pub id: Arc<str>,
    /// The model group it belongs to.
    pub group: GroupIndex,
    /// Where its requests go, and what is added to them or removed.
    pub endpoint: UpstreamEndpoint,
    /// What authorizes its requests.
    pub credential: Credential,
    /// Which requests it gets, and how many.
    pub routing: Routing,
    /// How it is probed.
    pub probing: ProbeRules,
    /// Prices and capabilities: the embedded list, overridden by the config.
    pub facts: ModelFacts,
    /// What is only shown on pages and in messages.
    pub display: Display,
    /// Why it cannot serve, if it cannot.
    pub misconfigured: Option<Misconfigured>,
    /// What is known about its health, shared with earlier snapshots.
    pub state: Arc<DeploymentState>,
}

/// Where a deployment's requests go, and what is added to them or removed.
#[derive(Debug)]
pub struct UpstreamEndpoint {
    /// The provider.
    pub provider: &'static Provider,
    /// The model's name at the provider, without the provider's prefix; may contain `*` in a
    /// wildcard.
    pub upstream_model: Box<str>,
    /// `litellm_params.model` as written. Clients may use it as a model name too.
    pub model_param: Box<str>,
    /// Scheme, host, port and base path, without a slash at its end. Empty if misconfigured.
    pub api_base: Box<str>,
    /// What is particular to Azure.
    pub azure: Option<Azure>,
    /// What is particular to Bedrock.
    pub aws: Option<Aws>,
    /// What is particular to Vertex AI.
    pub vertex: Option<Vertex>,
    /// Request parameters that are set if the client does not: name and JSON text.
    pub default_params: Vec<(Box<str>, Box<str>)>,
    /// Request parameters that are always removed: `additional_drop_params`.
    pub dropped_params: Vec<Box<str>>,
    /// What else the config asks for in bodies.
    pub rules: BodyRules,
    /// What its model takes; `None` if it stands for many models.
    pub takes: Option<Takes>,
    /// Whether its model is written `responses/...`: it is called with responses and nothing else.
    pub is_for_responses: bool,
    /// The canned answer that replaces an upstream.
    pub mock: Option<MockAnswer>,
}

/// What authorizes a deployment's requests.
#[derive(Debug, Default)]
pub struct Credential {
    /// Its id in events; none without a key.
    pub id: Option<CredentialId>,
    /// The key sent to the provider.
    pub api_key: Option<Secret>,
    /// The environment variable that the key comes from, if any.
    pub key_variable: Option<Box<str>>,
    /// `organization`, sent as `openai-organization`.
    pub organization: Option<Secret>,
    /// In place of a key: what the server itself gives tokens to.
    pub principal: Option<Principal>,
    /// `extra_headers`, sent with each request.
    pub extra_headers: Vec<(Box<str>, Secret)>,
    /// What is known about its health, if other deployments use the same key: what the provider
    /// says about the account applies to all of them.
    pub shared: Option<Arc<DeploymentState>>,
    /// What is known about its rate limit, if other deployments call the same model with the same
    /// key: the time that the provider names holds for all of them.
    pub limit: Option<Arc<DeploymentState>>,
}

/// A service principal: the provider's server gives it tokens, as [`crate::provider::TokenSource`] says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// `client_id`.
    pub client_id: Box<str>,
    /// `client_secret`.
    pub client_secret: Secret,
}

/// Which requests a deployment gets, and how many.
#[derive(Debug)]
pub struct Routing {
    /// Share of the group's traffic; 1 if nothing is set.
    pub weight: f64,
    /// Limits and times of this deployment.
    pub limits: Limits,
    /// Its tier: the lowest of a group is used first. Members without a tier come last.
    pub order: Option<u32>,
    /// Which requests it is for, if tags decide.
    pub tags: TagRules,
    /// `access_groups`: labels by which keys will be allowed to use it.
    pub access_groups: Vec<Box<str>>,
    /// `region_name`: where it is.
    pub region: Option<Box<str>>,
    /// `access_windows`: hours in which it is reserved for teams.
    pub windows: Vec<AccessWindow>,
    /// What limits its cost: its provider's budget and its own.
    pub budgets: Vec<BudgetIndex>,
    /// Tolerated failures within a minute, by kind; completed by the router's.
    pub tolerance: ByKind,
    /// Whether the config pauses it: `blocked`.
    pub is_paused: bool,
    /// The team whose keys alone reach it.
    pub team: Option<OfTeam>,
}

/// What a deployment comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// A file of the config.
    #[default]
    Config,
    /// A row of the store, made at run time.
    Store,
}

/// A team that has a deployment for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfTeam {
    /// The team.
    pub team: Box<str>,
    /// What keys of the team call the model, if not as it is called here.
    pub public_name: Option<Box<str>>,
}

/// What is only shown about a deployment, on pages and in messages.
#[derive(Debug, Default)]
pub struct Display {
    /// Its name for people, which no other deployment has: its id if the config gives one, else its
    /// model and line, `openai/gpt-4o :12`.
    pub name: Arc<str>,
    /// What it comes from.
    pub source: Source,
    /// Where it is in the config, `file:line`; the table and the id of a row of the store.
    pub declared_at: Box<str>,
    /// `model_info` as JSON text, completed for `/model/info`; contains no secret.
    pub model_info: Box<str>,
    /// `litellm_params` as JSON text with every credential removed, for `/model/info`.
    pub public_params: Box<str>,
}

impl Default for Routing {
    fn default() -> Routing {
        Routing {
            weight: 1.0,
            limits: Limits::default(),
            order: None,
            tags: TagRules::default(),
            access_groups: Vec::new(),
            region: None,
            team: None,
            windows: Vec::new(),
            budgets: Vec::new(),
            tolerance: ByKind::default(),
            is_paused: false,
        }
    }
}

impl UpstreamEndpoint {
    /// Host and port of the address.
    #[must_use]
    pub fn host(&self) -> &str {
        provider::host_of(&self.api_base)
    }

    /// Whose server it is.
    #[must_use]
    pub fn owner(&self) -> HostOwner {
        self.provider.host_owner(self.host())
    }
}

impl Deployment {
    /// Prices and capabilities of that model, by its name at the provider: one that has many models has the list's, unless its
    /// entry states prices.
    #[must_use]
    pub fn facts_of(&self, model: &str) -> Cow<'_, ModelFacts> {
        if model.is_empty() || self.endpoint.takes.is_some() || self.facts.has_price() {
            return Cow::Borrowed(&self.facts);
        }
        match prices::priced(&self.endpoint.provider.name, model) {
            Some(facts) => {
                let (reported_cost, adjust) = (self.facts.reported_cost, self.facts.adjust);
                Cow::Owned(ModelFacts { reported_cost, adjust, ..facts })
            }
            None => Cow::Borrowed(&self.facts),
        }
    }

    /// The same with the prices of a moment, milliseconds since 1970.
    #[must_use]
    pub fn facts_at(&self, model: &str, unix_ms: u64) -> Cow<'_, ModelFacts> {
        match self.facts_of(model) {
            Cow::Borrowed(facts) => facts.at(unix_ms),
            Cow::Owned(facts) if facts.off_peak.is_some() => {
                Cow::Owned(facts.at(unix_ms).into_owned())
            }
            Cow::Owned(facts) => Cow::Owned(facts),
        }
    }

    /// Whether it may ever get traffic: it is not misconfigured, paused or disabled.
    #[must_use]
    pub fn can_work(&self) -> bool {
        self.misconfigured.is_none() && !self.routing.is_paused && !self.state.is_disabled()
    }

    /// Whether it can serve `operation`. Canned answers have the format of OpenAI's completions.
    #[must_use]
    pub fn serves(&self, operation: Operation) -> bool {
        match self.endpoint.mock {
            Some(_) => operation.has_canned(),
            None if self.endpoint.is_for_responses => self.has_by_responses(operation),
            None => self.endpoint.provider.serves(operation),
        }
    }

    /// Whether a model that has responses alone can serve `operation`.
    fn has_by_responses(&self, operation: Operation) -> bool {
        match operation.counterpart(WireFormat::Responses) {
            Counterpart::Same => self.endpoint.provider.serves(operation),
            Counterpart::Other(_) | Counterpart::Estimated => true,
            Counterpart::Missing => false,
        }
    }

    /// The wire that it speaks when `model`, its name there, is called for `operation`: its own, unless it has the operation in
    /// the client's format. Canned answers are of the OpenAI wire.
    #[must_use]
    pub fn wire(&self, operation: Operation, model: &str) -> WireFormat {
        let provider = self.endpoint.provider;
        let is_native = match operation.counterpart(WireFormat::Responses) {
            Counterpart::Same => provider.lists(operation),
            Counterpart::Other(_) => self.endpoint.is_for_responses,
            Counterpart::Estimated | Counterpart::Missing => false,
        };
        let endpoint = &self.endpoint;
        match (&endpoint.mock, &endpoint.vertex, &endpoint.aws) {
            (Some(_), _, _) => WireFormat::OpenAi,
            (None, _, _) if is_native => WireFormat::Responses,
            // What is passed through is in the format of its path.
            (None, Some(_), _) if operation.is_passed_through() => operation.format(),
            (None, Some(_), _) => Publisher::of(model).wire(),
            (None, None, Some(aws)) => aws.wire(operation, model),
            (None, None, None) => operation.called_in(provider.wire),
        }
    }

    /// Whether `model`, its name there, sees no images, as far as the config, the price list or a refusal says.
    #[must_use]
    pub fn sees_no_images(&self, now: Millis, model: &str) -> bool {
        let needs = Needs { vision: true, ..Needs::default() };
        let unmet = || self.state.unmet(now, (None, &needs), || self.one_of_many(model).into());
        self.facts.supports_vision == Some(false) || unmet().is_some()
    }

    /// What its provider refused to be told about `model`, its name there.
    #[must_use]
    pub fn known(&self, model: &str) -> Known {
        self.state.learned().of(self.one_of_many(model))
    }

    /// Learns what a refusal for `model` taught, once an answer has proved it. Returns what is known then.
    pub fn learn(&self, model: &str, lesson: Lesson) -> Known {
        self.state.learned().learn(self.one_of_many(model), lesson)
    }

    /// `model` if the deployment stands for many, else nothing.
    fn one_of_many<'m>(&self, model: &'m str) -> &'m str {
        if self.endpoint.takes.is_none() { model } else { "" }
    }

    /// The message for a request for `operation` that it does not serve, and the alternative.
    #[must_use]
    pub fn lacks(&self, operation: Operation) -> String {
        if self.endpoint.is_for_responses && !self.has_by_responses(operation) {
            let name = &self.endpoint.model_param;
            let or = match name.contains("responses/") {
                true => ", or remove `responses/` from its name in the config",
                false => "",
            };
            return format!("model {name} is served by /v1/responses only; use that{or}");
        }
        self.endpoint.provider.lacks(operation)
    }

    /// Whether both send the same credential to the same provider.
    #[must_use]
    pub fn shares_credential(&self, other: &Deployment) -> bool {
        match (self.credential.id, other.credential.id) {
            (Some(own), Some(theirs)) => own == theirs,
            _ => self.index == other.index,
        }
    }
}

impl Deployment {
    /// Removes this deployment's own credentials from a provider's error: whole ones, and the start
    /// of one where the text was cut.
    pub fn hide_credentials(&self, error: &mut ProviderError) {
        let headers = self.credential.extra_headers.iter().map(|(_, value)| value);
        let of_azure = self.endpoint.azure.iter().flat_map(Azure::secrets);
        let of_aws = self.endpoint.aws.iter().flat_map(Aws::secrets);
        let of_vertex = self.endpoint.vertex.iter().filter_map(|vertex| vertex.source.as_ref());
        let of_vertex = of_vertex.flat_map(|source| source.identity.secrets());
        for secret in self
            .credential
            .api_key
            .iter()
            .chain(&self.credential.organization)
            .chain(headers)
            .chain(of_azure)
            .chain(of_aws)
            .chain(of_vertex)
            .chain(self.credential.principal.iter().map(|principal| &principal.client_secret))
        {
            error.hide(secret);
        }
    }
}

/// Limits and times of one deployment; `None` means the router's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Limit of one attempt, milliseconds.
    pub timeout_ms: Option<u64>,
    /// Limit of the time to a stream's first content and of every silence after it, milliseconds.
    pub stream_timeout_ms: Option<u64>,
    /// Attempts after the first.
    pub num_retries: Option<u32>,
    /// Cooldown after a trip, milliseconds; 0 turns cooldown off.
    pub cooldown_ms: Option<u64>,
    /// Requests a minute: a share of the traffic, and a limit if limits are enforced.
    pub rpm: Option<u64>,
    /// Tokens a minute: a share of the traffic, and a limit if limits are enforced.
    pub tpm: Option<u64>,
    /// Limit of attempts in flight.
    pub max_parallel: Option<u32>,
    /// Of each key, if it has none of its own for the model.
    pub of_keys: KeyLimits,
    /// Comments in silent streams.
    pub keepalive: Keepalive,
}

/// When a silent stream of a deployment gets a comment, so that nothing between the gateway and the client cuts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// After how much silence, milliseconds; 0 is never, `None` as for all deployments.
    pub ms: Option<u64>,
    /// Whose wish counts.
    pub set_by: SetBy,
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive { ms: None, set_by: SetBy::Config }
    }
}

/// A canned answer.
#[derive(Clone, Debug, PartialEq)]
pub struct MockAnswer {
    /// Its content.
    pub content: MockContent,
    /// The delay before it, milliseconds.
    pub delay_ms: u64,
}

/// The content of a canned answer.
#[derive(Clone, Debug, PartialEq)]
pub enum MockContent {
    /// The text of a chat or text completion.
    Text(Box<str>),
    /// The vector of an embedding.
    Vector(Vec<f64>),
    /// A failure with that HTTP status.
    Failure(u16),
}

/// Failures that a canned answer can simulate, and their status.
const FAILURES: &[(&str, u16)] = &[
    ("APIConnectionError", 500),
    ("APIError", 500),
    ("AuthenticationError", 401),
    ("BadGatewayError", 502),
    ("BadRequestError", 400),
    ("ContentPolicyViolationError", 400),
    ("ContextWindowExceededError", 400),
    ("InternalServerError", 500),
    ("NotFoundError", 404),
    ("PermissionDeniedError", 403),
    ("RateLimitError", 429),
    ("ServiceUnavailableError", 503),
    ("Timeout", 408),
    ("UnprocessableEntityError", 422),
];

impl MockContent {
    /// The status of a failure that a canned answer can simulate, by LiteLLM's name of it.
    #[must_use]
    pub fn failure(class: &str) -> Option<u16> {
        FAILURES.iter().find(|(name, _)| *name == class).map(|(_, status)| *status)
    }

    /// The names of failures.
    pub fn failures() -> impl Iterator<Item = &'static str> {
        FAILURES.iter().map(|(name, _)| *name)
    }
}

/// What a deployment that cannot serve lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A provider: `model` names none that is served.
    Provider,
    /// An environment variable that it refers to.
    Variable,
    /// A key: neither the config nor the environment has one.
    Key,
    /// The entry of `credential_list` that it names.
    Credential,
    /// The provider's address, or another setting that it needs.
    Setting,
}

/// Why a deployment cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misconfigured {
    /// What it lacks.
    pub lack: Lack,
    /// What is wrong: "environment variable OPENAI_API_KEY is not set".
    pub problem: Box<str>,
    /// The fix: "set OPENAI_API_KEY, which deployment gpt-4 reads".
    pub hint: Box<str>,
}
