//! The verdict on a deployment: which step failed, why, and the fix.
//!
//! Made by [`super::examine`] for each deployment. Always true: no upstream is called here; the verdict follows
//! from the config and from the result of one probe.

use hale_core::cause::Cause;
use hale_core::config;
use hale_core::deployment::{Deployment, Lack};
use hale_core::health::Obstacle;
use hale_core::health::probe::{Doubt, Finding, ProbeResult};
use hale_core::prices;

use super::kind::{Kind, Step};
use super::when;
use crate::advice::{self, Failure};
use crate::upstream::Upstream;

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It works.
    Passed,
    /// It fails.
    Failed,
    /// It may work.
    Unsure,
    /// The deployment needs no such step.
    Unneeded,
    /// An earlier one failed.
    Unreached,
}

/// Whether requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Works {
    Yes,
    No,
    Unknown,
}

/// The verdict on one deployment.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) kind: Kind,
    pub(super) works: Works,
    /// The result of each step.
    pub(super) marks: [Mark; Step::ALL.len()],
    /// What is wrong, in one sentence; empty if nothing is.
    pub(super) problem: String,
    /// What to do; empty if there is nothing to do.
    pub(super) fix: String,
}

/// A finding about the step of its kind.
struct Diagnosed {
    kind: Kind,
    works: Works,
    problem: String,
    fix: String,
}

/// The verdict on `deployment`. `checked` is its probe's result, if one was sent; `models` is the provider's
/// list, if it was fetched.
pub(super) fn of(
    deployment: &Deployment,
    checked: Option<&ProbeResult>,
    models: &[Box<str>],
    unix_ms: u64,
) -> Verdict {
    if deployment.misconfigured.is_none() && deployment.routing.is_paused {
        let fix = "remove `blocked` from its entry to use it again".to_owned();
        return untried(Kind::Paused, Works::No, "the config pauses it".to_owned(), fix);
    }
    if let Some(diagnosed) = by_config(deployment) {
        return diagnosed.verdict(deployment, None);
    }
    let Some(checked) = checked else {
        let fix = "run the doctor again without interrupting it".to_owned();
        return untried(
            Kind::NotProbed,
            Works::Unknown,
            "the run ended before this deployment was probed".to_owned(),
            fix,
        );
    };
    if was_unsent(checked) {
        let problem = format!("the probe could not be sent: {}", checked.message);
        let fix = "fix what the text names, and run the doctor again".to_owned();
        return untried(Kind::NotProbed, Works::Unknown, problem, fix);
    }
    match by_probe(deployment, checked, models, unix_ms) {
        Some(diagnosed) => diagnosed.verdict(deployment, checked.obstacle),
        None => Verdict {
            kind: Kind::Works,
            works: Works::Yes,
            marks: marks(deployment, None, Works::Yes),
            problem: String::new(),
            fix: String::new(),
        },
    }
}

/// Whether no probe was sent: this process could not, or the provider's format cannot express it.
fn was_unsent(checked: &ProbeResult) -> bool {
    let by_us = matches!(checked.cause, Some(Cause::Gateway | Cause::Unsupported));
    checked.finding == Finding::ProbeError && by_us
}

fn untried(kind: Kind, works: Works, problem: String, fix: String) -> Verdict {
    let marks = [Mark::Unreached; Step::ALL.len()];
    Verdict { kind, works, marks, problem, fix }
}

impl Diagnosed {
    fn verdict(self, deployment: &Deployment, obstacle: Option<Obstacle>) -> Verdict {
        let Diagnosed { kind, works, problem, fix } = self;
        let at = kind.step();
        let mut marks = marks(deployment, at, works);
        // A server that gave no answer of the API may have looked neither at the key nor at the model.
        let is_silent = obstacle.is_some() && at == Some(Step::Probe);
        let in_doubt = if is_silent { Some(Step::Credential) } else { kind.first_in_doubt() };
        for (step, mark) in Step::ALL.into_iter().zip(&mut marks) {
            let is_in_doubt = in_doubt.zip(at).is_some_and(|(from, at)| (from..at).contains(&step));
            if is_in_doubt && *mark == Mark::Passed {
                *mark = Mark::Unsure;
            }
            // The proxy resolves the host.
            if kind == Kind::Proxy && step == Step::Dns {
                *mark = Mark::Unneeded;
            }
        }
        Verdict { kind, works, marks, problem, fix }
    }
}

fn marks(deployment: &Deployment, at: Option<Step>, works: Works) -> [Mark; Step::ALL.len()] {
    let upstream = Upstream::parse(&deployment.endpoint.api_base);
    let is_mock = deployment.endpoint.mock.is_some();
    let has_credential = deployment.credential.api_key.is_some()
        || deployment.credential.principal.is_some()
        || deployment.endpoint.azure.is_some()
        || deployment.endpoint.vertex.is_some();
    Step::ALL.map(|step| {
        let needed = match step {
            Step::Name | Step::Environment | Step::Probe => true,
            Step::Dns => !is_mock && upstream.address().is_none(),
            Step::Tcp => !is_mock,
            Step::Tls => !is_mock && upstream.tls,
            Step::Credential => !is_mock && has_credential,
            Step::Model => !is_mock,
        };
        match at {
            Some(at) if step == at && works == Works::No => Mark::Failed,
            Some(at) if step == at => Mark::Unsure,
            Some(at) if step > at => Mark::Unreached,
            _ if needed => Mark::Passed,
            _ => Mark::Unneeded,
        }
    })
}

/// What the config shows without a probe.
fn by_config(deployment: &Deployment) -> Option<Diagnosed> {
    let why = deployment.misconfigured.as_ref()?;
    let kind = match why.lack {
        Lack::Provider => Kind::UnknownProvider,
        Lack::Variable => Kind::MissingVariable,
        Lack::Key => Kind::MissingKey,
        Lack::Credential => Kind::MissingCredential,
        Lack::Setting => Kind::MissingSetting,
    };
    let (problem, fix) = (why.problem.to_string(), why.hint.to_string());
    Some(Diagnosed { kind, works: Works::No, problem, fix })
}

/// What the probe shows; `None` if the deployment works.
fn by_probe(
    deployment: &Deployment,
    checked: &ProbeResult,
    models: &[Box<str>],
    unix_ms: u64,
) -> Option<Diagnosed> {
    let message = &*checked.message;
    let failure =
        |cause| Failure { cause, obstacle: checked.obstacle, status: checked.status, message };
    let diagnosed = match checked.finding {
        Finding::Healthy => return None,
        Finding::Unknown(Doubt::Shallow) if deployment.probing.metadata => return None,
        Finding::RateLimited(hold_ms) => {
            rate_limited(deployment, &failure(Cause::RateLimited), hold_ms, unix_ms)
        }
        Finding::Failing(Cause::NotFound)
            if !failure(Cause::NotFound).is_redirect()
                && knows_no_path(deployment, checked, models) =>
        {
            doubtful(Doubt::NoPath, checked)
        }
        Finding::Failing(Cause::NotFound) if !failure(Cause::NotFound).is_redirect() => {
            no_model(deployment, &failure(Cause::NotFound), models, unix_ms)
        }
        Finding::Failing(cause) => Diagnosed {
            kind: kind_of(&failure(cause)),
            works: Works::No,
            problem: advice::problem(deployment, &failure(cause)),
            fix: advice::fix(deployment, &failure(cause)).unwrap_or_default(),
        },
        Finding::Unknown(doubt) => doubtful(doubt, checked),
        Finding::ProbeError => Diagnosed {
            kind: Kind::ProbeRefused,
            works: Works::Unknown,
            problem: format!("the provider answers, but refuses the probe's request: {message}"),
            fix:
                "check mode, health_check_params and health_check_max_tokens in model_info; it may \
                  still answer requests"
                    .to_owned(),
        },
    };
    Some(diagnosed)
}

/// What kind of failure it is.
fn kind_of(failure: &Failure<'_>) -> Kind {
    if failure.cause == Cause::NotFound && failure.is_redirect() {
        return Kind::Redirect;
    }
    if let Some(obstacle) = failure.obstacle {
        return behind(obstacle);
    }
    match failure.cause {
        Cause::Auth => Kind::Auth,
        Cause::Permission => Kind::Permission,
        Cause::Quota => Kind::Quota,
        Cause::NotFound => Kind::ModelNotFound,
        Cause::RateLimited => Kind::RateLimited,
        Cause::Overloaded => Kind::Overloaded,
        Cause::ServerError if failure.status == Some(503) => Kind::NotReady,
        Cause::ServerError => Kind::ServerError,
        Cause::Timeout | Cause::StreamStall => Kind::NoAnswer,
        Cause::StreamCut => Kind::Crashed,
        Cause::BadResponse => Kind::BadResponse,
        Cause::Connect => Kind::NoConnection,
        Cause::Dns => Kind::Dns,
        Cause::Tls => Kind::Tls,
        Cause::Misconfigured => Kind::Misconfigured,
        Cause::BadRequest
        | Cause::Unsupported
        | Cause::ContextWindow
        | Cause::ContentPolicy
        | Cause::EmptyAnswer
        | Cause::ClientTimeout
        | Cause::ClientClosed
        | Cause::Gateway => Kind::ProbeRefused,
    }
}

fn behind(obstacle: Obstacle) -> Kind {
    match obstacle {
        Obstacle::NoAddress => Kind::Dns,
        Obstacle::ResolverSilent => Kind::DnsSilent,
        Obstacle::Refused => Kind::Refused,
        Obstacle::Filtered => Kind::Filtered,
        Obstacle::Unreachable => Kind::Unreachable,
        Obstacle::Proxy => Kind::Proxy,
        Obstacle::NoConnection => Kind::NoConnection,
        Obstacle::Untrusted => Kind::TlsUntrusted,
        Obstacle::OtherName => Kind::TlsOtherName,
        Obstacle::NotValidNow => Kind::TlsNotValidNow,
        Obstacle::NotTls => Kind::TlsNotSpoken,
        Obstacle::HandshakeSilent => Kind::TlsSilent,
        Obstacle::Handshake => Kind::Tls,
        Obstacle::Closed => Kind::Crashed,
        Obstacle::NoAnswer => Kind::NoAnswer,
        Obstacle::NotHttp => Kind::NotHttp,
        Obstacle::NoPath => Kind::NoSuchPath,
    }
}

fn rate_limited(
    deployment: &Deployment,
    failure: &Failure<'_>,
    hold_ms: Option<u64>,
    unix_ms: u64,
) -> Diagnosed {
    let mut problem = advice::problem(deployment, failure);
    if let Some(hold_ms) = hold_ms {
        let until = when::time_of_day(unix_ms.saturating_add(hold_ms));
        problem = format!("for {} s, until {until}, {problem}", hold_ms.div_ceil(1000));
    }
    let fix = advice::fix(deployment, failure).unwrap_or_default();
    Diagnosed { kind: Kind::RateLimited, works: Works::No, problem, fix }
}

/// Words of providers about a model that they have retired.
const RETIRED: [&str; 5] =
    ["deprecated", "decommissioned", "retired", "no longer available", "no longer supported"];

/// Whether the address is probably wrong: the server lists no models, and its 404 is not about a model. That
/// the config names the mode proves nothing about the address.
fn knows_no_path(deployment: &Deployment, checked: &ProbeResult, models: &[Box<str>]) -> bool {
    let message = checked.message.to_ascii_lowercase();
    let model = deployment.endpoint.upstream_model.to_ascii_lowercase();
    let words = ["model", "deployment", &*model];
    let is_about_models = words.iter().chain(&RETIRED).any(|word| message.contains(*word));
    checked.status == Some(404) && models.is_empty() && !is_about_models
}

/// The provider does not know the model: it is misspelt or retired.
fn no_model(
    deployment: &Deployment,
    failure: &Failure<'_>,
    models: &[Box<str>],
    unix_ms: u64,
) -> Diagnosed {
    let message = failure.message.to_ascii_lowercase();
    let model = &*deployment.endpoint.upstream_model;
    let mut problem = advice::problem(deployment, failure);
    let ended = deployment.facts.deprecation_date.as_deref();
    let ended = ended.filter(|date| **date <= *when::date(unix_ms));
    let mut kind = Kind::ModelNotFound;
    let mut fix = advice::fix(deployment, failure).unwrap_or_default();
    if ended.is_some() || RETIRED.iter().any(|word| message.contains(word)) {
        kind = Kind::ModelDeprecated;
        let date = ended.map_or(String::new(), |date| format!(" (on {date}, by the price list)"));
        let status = failure.status.map_or(String::new(), |status| format!(" ({status})"));
        problem = format!("the provider has retired `{model}`{date}{status}: {}", failure.message);
        fix = format!("replace `{model}` with a model that the provider still has");
    } else {
        let advice = advice(deployment, models);
        if !advice.is_empty() {
            fix = format!("{advice} {fix}");
        }
    }
    Diagnosed { kind, works: Works::No, problem, fix }
}

/// A list of at most so many models is quoted whole.
const FEW: usize = 5;

/// Suggests a model: from the provider's own list, else from the price list.
fn advice(deployment: &Deployment, models: &[Box<str>]) -> String {
    let model = &deployment.endpoint.upstream_model;
    let provider = &*deployment.endpoint.provider.name;
    if models.is_empty() {
        let own = |key: &'static str| {
            key.strip_prefix(provider).and_then(|tail| tail.strip_prefix('/')).unwrap_or(key)
        };
        let names = prices::of_provider(provider).map(|(key, _)| own(key));
        return config::did_you_mean(&config::nearest(model, names));
    }
    let near = config::nearest(model, models.iter().map(|name| &**name));
    if near.is_empty() && models.len() <= FEW {
        let names: Vec<String> = models.iter().map(|name| format!("`{name}`")).collect();
        return format!("it lists {};", names.join(", "));
    }
    config::did_you_mean(&near)
}

fn doubtful(doubt: Doubt, checked: &ProbeResult) -> Diagnosed {
    let status = checked.status.map_or(String::new(), |status| format!(" ({status})"));
    let is_empty =
        checked.message.is_empty() || checked.message.starts_with("the upstream answered ");
    let detail = if is_empty { status } else { format!("{status}: {}", checked.message) };
    let (kind, works, problem, fix) = match doubt {
        Doubt::NoPath => (
            Kind::NoSuchPath,
            Works::No,
            format!("the server has nothing at this address{detail}"),
            "add /v1, or the API's own path, to api_base; or correct model_info.mode",
        ),
        Doubt::WrongMode => (
            Kind::WrongMode,
            Works::Unknown,
            format!("the model has another mode than the probe{detail}"),
            "set model_info.mode to the model's mode",
        ),
        Doubt::Model => (
            Kind::PatternUntried,
            Works::Unknown,
            format!(
                "the provider lacks `{}`, which was probed for the pattern{detail}",
                checked.model
            ),
            "set model_info.health_check_model to a model that the account has",
        ),
        Doubt::Unserved => (
            Kind::ModeNotServed,
            Works::Unknown,
            format!("it can be reached; its mode cannot be probed{detail}"),
            "set model_info.mode if the model has another mode",
        ),
        Doubt::Shallow => (
            Kind::Reachable,
            Works::Unknown,
            "it can be reached; whether the model answers was not probed".to_owned(),
            "for a pattern set model_info.health_check_model; some modes are never probed with a call",
        ),
    };
    Diagnosed { kind, works, problem, fix: fix.to_owned() }
}
