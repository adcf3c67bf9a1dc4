//! What a probe sends, and what it costs.
//!
//! Made for [`super::probe`], and for [`super::round`] and [`super::thread`] to group identical probes. Always
//! true: the request builder of traffic makes the request.

use std::hash::{DefaultHasher, Hash, Hasher};

use hale_core::deployment::{Deployment, DeploymentIndex, Taught};
use hale_core::health::probe::{ProbeKind, kind, model};
use hale_core::operation::Operation;
use hale_core::prices;
use hale_core::provider::{HostOwner, WireFormat};
use hale_core::usage::{Units, Usage};
use hale_wire::modes;
use hale_wire::neutral::Unfit;
use hale_wire::order::Order;
use hale_wire::prepare::{Conversion, Prepared, prepare};
use hale_wire::probe::{Probe, VOICE};
use http::HeaderMap;

use crate::state::Serving;
use crate::upstream::{PathCall, Transfer};

/// Default `max_tokens` of a probe: the model only has to run.
const MAX_TOKENS: u32 = 1;
/// The same for a deployment with many models, some of which refuse fewer.
const MAX_TOKENS_PATTERN: u32 = 10;
/// Input tokens assumed when the cost is estimated.
const PROMPT_TOKENS: u64 = 12;

/// Whether a probe may cost money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spending {
    /// It may run a model.
    Allowed,
    /// It may only fetch the list of models: the day's budget is spent.
    FreeOnly,
}

/// A probe, ready to send.
pub(super) struct ProbeRequest {
    /// What it asks for.
    pub(super) kind: ProbeKind,
    /// The model's name at the provider.
    pub(super) model: Box<str>,
    /// The most tokens that the answer may have, if it is limited.
    pub(super) tokens: Option<u32>,
    /// Billing units besides tokens.
    pub(super) units: Units,
    /// The operation, if a model is to run.
    pub(super) operation: Option<ProbeOperation>,
}

/// The operation of a probe for which a model runs.
pub(super) struct ProbeOperation {
    /// The operation, and the provider's wire.
    pub(super) conversion: Conversion,
    /// The request in the provider's format.
    pub(super) prepared: Result<Prepared, Unfit>,
}

/// Builds the probe of `deployment`, without what it `taught` to leave out.
pub(super) fn build(
    serving: &Serving,
    deployment: &Deployment,
    (spending, taught): (Spending, &Taught),
) -> ProbeRequest {
    let named = model(deployment);
    let kind = match spending {
        Spending::Allowed if named.is_some() => kind(deployment),
        Spending::Allowed | Spending::FreeOnly => ProbeKind::Free,
    };
    let model = named.unwrap_or_else(|| deployment.endpoint.upstream_model.clone());
    let ProbeKind::Call(operation) = kind else {
        let units = Units::default();
        return ProbeRequest { kind, model, tokens: None, units, operation: None };
    };
    let tokens = tokens(serving, deployment, operation);
    let probe = Probe {
        operation,
        model: &model,
        prompt: deployment.probing.prompt.as_deref().unwrap_or(&serving.snapshot.probing.prompt),
        max_tokens: tokens,
        reasoning_effort: effort(deployment, operation, &model),
        voice: deployment.probing.voice.as_deref().unwrap_or(VOICE),
        params: &deployment.probing.params,
    };
    let order = Order {
        deployment,
        operation,
        upstream_model: &model,
        ask_usage: false,
        drop_params: serving.snapshot.gateway.drop_params || deployment.endpoint.rules.drops_params,
        kept: None,
        client_version: None,
        known: taught.known((deployment, &model)),
        prefix: None,
        seals: None,
        fetched: None,
        client_betas: None,
    };
    let conversion = Conversion { operation, wire: order.wire() };
    let (units, prepared) = match probe.request() {
        Ok(peek) => (modes::units::requested(operation, &peek), prepare(&peek, &order)),
        Err(error) => {
            let field = "health_check_params".to_owned();
            (Units::default(), Err(Unfit { field, message: error.to_string() }))
        }
    };
    let operation = Some(ProbeOperation { conversion, prepared });
    ProbeRequest { kind, model, tokens, units, operation }
}

/// How much the model is to reason. At Ollama those that can do so by themselves, and the model only has to run.
fn effort<'d>(deployment: &'d Deployment, operation: Operation, model: &str) -> Option<&'d str> {
    let configured = deployment.probing.reasoning_effort.as_deref();
    let is_at_ollama = deployment.wire(operation, model) == WireFormat::Ollama;
    configured.or(is_at_ollama.then_some("none"))
}

/// The most tokens that the answer may have.
fn tokens(serving: &Serving, deployment: &Deployment, operation: Operation) -> Option<u32> {
    let (rules, settings) = (&deployment.probing, &serving.snapshot.probing);
    if rules.supports_max_tokens == Some(false) && !operation.requires("max_tokens") {
        return None;
    }
    let is_pattern = deployment.endpoint.upstream_model.contains('*');
    let reasons = deployment.facts.supports_reasoning == Some(true);
    let of_kind = if reasons {
        rules.max_tokens_reasoning.or(settings.max_tokens_reasoning)
    } else {
        rules.max_tokens_non_reasoning
    };
    let default = if is_pattern { MAX_TOKENS_PATTERN } else { MAX_TOKENS };
    let wanted = rules.max_tokens.or(of_kind.filter(|_| !is_pattern)).or(settings.max_tokens);
    Some(wanted.unwrap_or(default).max(deployment.state.probes().token_floor().unwrap_or(0)))
}

impl ProbeRequest {
    /// A hash that two probes share if they are byte for byte the same and go to the same place.
    pub(super) fn identity(&self, serving: &Serving, index: DeploymentIndex) -> u64 {
        let deployment = serving.snapshot.deployment(index);
        let target = serving.target(index);
        let mut hash = DefaultHasher::new();
        place(serving, index).hash(&mut hash);
        match &self.operation {
            Some(ProbeOperation { prepared: Ok(Prepared::Body(called, body, _)), .. })
                if deployment.endpoint.mock.is_none() =>
            {
                let (called, transfer) = (*called, Transfer::Whole);
                let model = &self.model;
                let path = target.path(PathCall { called, transfer, model, object: None });
                path.as_str().hash(&mut hash);
                body.hash(&mut hash);
            }
            // Nothing is sent, or not an HTTP body: no other probe is the same.
            _ => (deployment.id.as_bytes(), "alone").hash(&mut hash),
        }
        // A dynamic credential is not in the headers yet.
        if target.credential.is_dynamic() {
            deployment.id.hash(&mut hash);
        }
        hash.finish()
    }

    /// Its estimated cost, in units of 10^-9 USD.
    pub(super) fn estimate(&self, deployment: &Deployment) -> u64 {
        match self.kind {
            ProbeKind::Free | ProbeKind::Unserved => 0,
            // No model runs, or it gets no input.
            ProbeKind::Call(operation) if operation.is_of_files() || operation.switches() => 0,
            ProbeKind::Call(_) => {
                let output = u64::from(self.tokens.unwrap_or(0));
                let (input, units) = (PROMPT_TOKENS, self.units);
                cost(deployment, Usage { input, output, units, ..Usage::default() })
            }
        }
    }
}

/// A hash of what a probe of the deployment tests: the address, the credential and the model.
pub(super) fn subject(serving: &Serving, index: DeploymentIndex) -> u64 {
    let deployment = serving.snapshot.deployment(index);
    let mut hash = DefaultHasher::new();
    place(serving, index).hash(&mut hash);
    (&deployment.endpoint.upstream_model, &deployment.facts.mode, &deployment.probing.model)
        .hash(&mut hash);
    hash.finish()
}

/// A hash of the deployment's credential.
pub(super) fn credential(serving: &Serving, deployment: &Deployment) -> u64 {
    let upstream = &serving.target(deployment.index).upstream.key;
    let mut hash = DefaultHasher::new();
    match &deployment.credential.api_key {
        Some(key) => (upstream, key).hash(&mut hash),
        None => (upstream, &*deployment.id).hash(&mut hash),
    }
    hash.finish()
}

/// A hash of the deployment's address and headers.
fn place(serving: &Serving, index: DeploymentIndex) -> u64 {
    let target = serving.target(index);
    let mut hash = DefaultHasher::new();
    target.upstream.key.hash(&mut hash);
    target.upstream.base_path.hash(&mut hash);
    hash_headers(target.headers.map(), &mut hash);
    hash.finish()
}

fn hash_headers(headers: &HeaderMap, hash: &mut DefaultHasher) {
    for (name, value) in headers {
        name.as_str().hash(hash);
        value.as_bytes().hash(hash);
    }
}

/// The cost of `usage`, in units of 10^-9 USD. A model without a price costs as much as the provider's most
/// expensive one, on a server of one's own nothing.
pub(super) fn cost(deployment: &Deployment, usage: Usage) -> u64 {
    if deployment.endpoint.mock.is_some() {
        return 0;
    }
    let highest = || match deployment.endpoint.owner() {
        HostOwner::Operator => None,
        HostOwner::Provider => {
            let known = prices::of_provider(&deployment.endpoint.provider.name);
            known.filter_map(|(_, facts)| facts.cost_usd(&usage)).reduce(f64::max)
        }
    };
    let usd = deployment.facts.cost_usd(&usage).or_else(highest).unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
    let nano = (usd * 1e9) as u64;
    nano
}
