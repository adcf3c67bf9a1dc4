//! One entry of `model_list`: how to reach a model, and under which rules.
//!
//! Built by [`crate::config`], used by routing and by the gateway's attempts. Always true: a
//! [`Deployment`] never changes; what changes is its [`DeploymentState`], which a reload carries over
//! to the deployment with the same id.

use std::sync::Arc;

use crate::azure::Azure;
use crate::budget::BudgetIndex;
use crate::endpoint::Operation;
use crate::group::GroupIndex;
use crate::health::DeploymentState;
use crate::health::check::CheckRules;
use crate::health::outcome::ProviderError;
use crate::policy::ByKind;
use crate::prices::ModelFacts;
use crate::provider::Provider;
use crate::route::{AccessWindow, TagRules};
use crate::secret::Secret;

/// Where a deployment stands in [`crate::snapshot::Snapshot::deployments`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeploymentIndex(pub u32);

/// One deployment, resolved and checked.
#[derive(Debug)]
pub struct Deployment {
    /// Its place in the snapshot.
    pub index: DeploymentIndex,
    /// Its id: `model_info.id`, else the hash of its parameters.
    pub id: Arc<str>,
    /// The model group it belongs to.
    pub group: GroupIndex,
    /// Where in the config it stands, `file:line`.
    pub declared_at: Box<str>,
    /// The provider.
    pub provider: &'static Provider,
    /// The model's name at the provider, without the provider's prefix; may hold `*` in a wildcard.
    pub upstream_model: Box<str>,
    /// `litellm_params.model` as written.
    pub model_param: Box<str>,
    /// Scheme, host, port and base path, without a slash at its end. Empty when misconfigured.
    pub api_base: Box<str>,
    /// The key sent to the provider.
    pub api_key: Option<Secret>,
    /// What an Azure deployment has besides.
    pub azure: Option<Azure>,
    /// `organization`, sent as `openai-organization`.
    pub organization: Option<Box<str>>,
    /// `extra_headers`, sent with each request.
    pub extra_headers: Vec<(Box<str>, Secret)>,
    /// Share of the group's traffic; 1 when nothing is set.
    pub weight: f64,
    /// Limits and times of this deployment.
    pub limits: Limits,
    /// Its tier: the lowest of a group is used first. Those without come after those with one.
    pub order: Option<u32>,
    /// Which requests it is for, where tags decide.
    pub tags: TagRules,
    /// `region_name`: where it is.
    pub region: Option<Box<str>>,
    /// `access_windows`: hours in which it is reserved for teams.
    pub windows: Vec<AccessWindow>,
    /// What bounds its cost: its provider's budget and its own.
    pub budgets: Vec<BudgetIndex>,
    /// Failures within a minute that it may have, by kind; completed by the router's.
    pub tolerance: ByKind,
    /// Whether the config pauses it: `blocked`.
    pub is_paused: bool,
    /// Request parameters set when the client did not: name and JSON text.
    pub default_params: Vec<(Box<str>, Box<str>)>,
    /// Request parameters removed always: `additional_drop_params`.
    pub dropped_params: Vec<Box<str>>,
    /// The canned answer that stands in for an upstream.
    pub mock: Option<MockAnswer>,
    /// Why it can not work, when it can not.
    pub misconfigured: Option<Misconfigured>,
    /// Prices and capabilities: the embedded list, overridden by the config.
    pub facts: ModelFacts,
    /// `model_info` as JSON text, completed for `/model/info`; holds no secret.
    pub model_info: Box<str>,
    /// `litellm_params` as JSON text with every credential removed, for `/model/info`.
    pub public_params: Box<str>,
    /// How it is checked.
    pub check: CheckRules,
    /// What is known about its health, shared with the snapshot before.
    pub state: Arc<DeploymentState>,
    /// What is known about its credential, where other deployments use the same one: what the
    /// provider says about the account stops them all.
    pub credential: Option<Arc<DeploymentState>>,
}

impl Deployment {
    /// Whether it may ever get traffic: it is not misconfigured, paused or taken out.
    #[must_use]
    pub fn can_work(&self) -> bool {
        self.misconfigured.is_none() && !self.is_paused && !self.state.is_disabled()
    }

    /// Whether it can serve `operation`. Canned answers are of the OpenAI wire's completions.
    #[must_use]
    pub fn serves(&self, operation: Operation) -> bool {
        match self.mock {
            Some(_) => matches!(operation.mode(), "chat" | "completion" | "embedding"),
            None => self.provider.serves(operation),
        }
    }

    /// Whether both send the same credential to the same provider.
    #[must_use]
    pub fn shares_credential(&self, other: &Deployment) -> bool {
        match (&self.credential, &other.credential) {
            (Some(own), Some(theirs)) => Arc::ptr_eq(own, theirs),
            _ => self.index == other.index,
        }
    }
}

impl Deployment {
    /// Blacks out this deployment's own credentials in what its provider said, whole ones and the
    /// beginning of one at the place where the text was cut.
    pub fn hide_credentials(&self, error: &mut ProviderError) {
        let headers = self.extra_headers.iter().map(|(_, value)| value);
        let of_azure = self.azure.iter().flat_map(Azure::secrets);
        for secret in self.api_key.iter().chain(headers).chain(of_azure) {
            error.hide(secret);
        }
    }
}

/// Limits and times of one deployment; `None` means the router's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bounds one attempt, milliseconds.
    pub timeout_ms: Option<u64>,
    /// Bounds the first content of a stream and every silence after it, milliseconds.
    pub stream_timeout_ms: Option<u64>,
    /// Attempts after the first.
    pub num_retries: Option<u32>,
    /// Rest after a trip, milliseconds; 0 turns cooldown off.
    pub cooldown_ms: Option<u64>,
    /// Requests a minute: a share of the traffic, and a limit where limits are enforced.
    pub rpm: Option<u64>,
    /// Tokens a minute: a share of the traffic, and a limit where limits are enforced.
    pub tpm: Option<u64>,
    /// Attempts that may be under way together.
    pub max_parallel: Option<u32>,
}

/// A canned answer.
#[derive(Clone, Debug, PartialEq)]
pub struct MockAnswer {
    /// What it says.
    pub content: MockContent,
    /// How long it waits first, milliseconds.
    pub delay_ms: u64,
}

/// What a canned answer says.
#[derive(Clone, Debug, PartialEq)]
pub enum MockContent {
    /// The text of a chat or text completion.
    Text(Box<str>),
    /// The vector of an embedding.
    Vector(Vec<f64>),
    /// A failure with that HTTP status.
    Failure(u16),
}

/// Why a deployment can not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misconfigured {
    /// What is wrong: "environment variable OPENAI_API_KEY is not set".
    pub problem: Box<str>,
    /// What to do: "set OPENAI_API_KEY, which deployment gpt-4 reads".
    pub hint: Box<str>,
}
