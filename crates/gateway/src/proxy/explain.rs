//! The error for a client whose request was routed and got no answer: the cause and the fix.
//!
//! Called by the exchange and by streams in flight. Always true: it names no secret and no upstream address.

mod excluded;
mod no_turn;
mod refused;
mod stored;
mod trail;

use hale_core::cause::{Blame, Cause};
use hale_core::deployment::Deployment;
use hale_core::health::outcome::{About, Observation, ProviderError, classify};
use hale_core::health::{RATE_LIMIT_CAP_MS, Verdict};
use hale_core::rescue::No;
use hale_core::route::{Refused, RoutePlan, Tried};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use hale_wire::errors::{self, AttemptLine, ErrorReply, clean, kind_of};
use http::StatusCode;

pub(crate) use self::excluded::{line, unix_s};
pub(crate) use self::no_turn::NoTurn;
use self::refused::LINES_MAX;
pub(crate) use self::refused::refused;
pub(super) use self::stored::{
    event_not_yet, foreign_id, kept_nowhere, list_of_all, not_in_background, not_kept,
    not_the_keys_own, stored_elsewhere, stored_without_deployment, stream_gone,
};
use self::trail::Trail;
use super::attempt::{ANSWER_TOO_LARGE, Failed};
use crate::clock::seconds;
use crate::http::refusal::{LINE_MAX, Refusal, own_fault};

/// The end-to-end deadline passed: the client's, or the config's.
pub(crate) fn deadline(
    snapshot: &Snapshot,
    route_plan: &RoutePlan,
    errors: &[ProviderError],
) -> Refusal {
    let trail = Trail { snapshot, plan: route_plan, errors, first: None };
    let message = format!(
        "Request timed out: no answer from {} within {} s; allow more with `x-litellm-timeout` or \
         `timeout`, or set `request_timeout` in litellm_settings{}",
        trail.asked(),
        seconds(route_plan.deadline().since(route_plan.started())),
        trail.sentences()
    );
    let mut refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "deadline_exceeded", message);
    "timeout_error".clone_into(&mut refusal.reply.kind);
    refusal.cause = Cause::ClientTimeout;
    refusal.reply.attempts = attempt_lines(snapshot, route_plan.tried());
    refusal
}

/// A request whose every attempt failed, and for which nothing is left to try.
pub(crate) struct Exhausted<'a> {
    /// Its route plan.
    pub(crate) plan: &'a RoutePlan,
    /// The provider's error of each attempt.
    pub(crate) errors: &'a [ProviderError],
    /// The groups without a deployment to try.
    pub(crate) refused: &'a [Refused],
}

impl Exhausted<'_> {
    /// The error for its client.
    pub(crate) fn refusal(&self, snapshot: &Snapshot, now: Millis) -> Refusal {
        let Exhausted { plan: route_plan, errors, refused } = *self;
        let Some((index, tried)) = route_plan.original_failure() else {
            return own_fault();
        };
        let said = errors.get(index).cloned().unwrap_or_default();
        let deployment = tried.at(snapshot);
        let status = client_status(tried);
        let mut message = headline(tried, &said, deployment);
        let trail = Trail { snapshot, plan: route_plan, errors, first: Some(tried) };
        let sentences = trail.sentences();
        if !sentences.is_empty() && !message.ends_with(['.', '!', '?']) {
            message.push('.');
        }
        message.push_str(&sentences);
        message.push_str(&refused::others(snapshot, refused, now));
        let reason = match tried.cause {
            _ if route_plan.fallbacks() > 0 => "fallbacks_exhausted",
            Cause::Auth | Cause::Permission => "upstream_auth",
            Cause::Unsupported => "unsupported_parameter",
            Cause::BadRequest => "upstream_rejected",
            Cause::ContextWindow => "context_length_exceeded",
            Cause::ContentPolicy => "content_policy",
            Cause::RateLimited | Cause::Quota => "upstream_rate_limited",
            Cause::ClientTimeout => "deadline_exceeded",
            // A provider's own 504 is passed on as one.
            Cause::Timeout if tried.status.is_none() => "upstream_timeout",
            Cause::Gateway if tried.status == Some(ANSWER_TOO_LARGE) => "answer_too_large",
            // The gateway could not open one more connection; no upstream failed.
            Cause::Gateway => "overloaded",
            Cause::NotFound
            | Cause::Overloaded
            | Cause::ServerError
            | Cause::Timeout
            | Cause::Connect
            | Cause::Dns
            | Cause::Tls
            | Cause::StreamCut
            | Cause::StreamStall
            | Cause::BadResponse
            | Cause::EmptyAnswer
            | Cause::Misconfigured
            | Cause::ClientClosed => "upstream_failed",
        };
        let mut refusal = Refusal::new(status, reason, message);
        if matches!(reason, "deadline_exceeded" | "upstream_timeout") {
            "timeout_error".clone_into(&mut refusal.reply.kind);
        }
        if let Some(kind) = said.kind {
            refusal.reply.kind = kind;
        }
        refusal.reply.param = said.param;
        refusal.reply.provider_code = said.code;
        refusal.cause = tried.cause;
        // The same answer would be as large again, and paid again.
        refusal.must_not_repeat = reason == "answer_too_large";
        refusal.retry_after_s = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Some(self.retry_after_s(snapshot, now))
            }
            _ => None,
        };
        refusal.reply.attempts = attempt_lines(snapshot, route_plan.tried());
        refusal.reply.deployments = refused::lines(snapshot, refused, now);
        refusal
    }
}

impl Exhausted<'_> {
    /// Seconds until a deployment that failed may answer: the time that its provider named, else its cooldown.
    fn retry_after_s(&self, snapshot: &Snapshot, now: Millis) -> u64 {
        let of_provider = |tried: &Tried| match tried.at(snapshot).verdict(now) {
            Verdict::Cooling(cooldown) if cooldown.provider_issued => {
                // A cooldown may be shorter than the time that was named.
                let beyond_ms = tried.hint_ms.unwrap_or(0).saturating_sub(RATE_LIMIT_CAP_MS);
                Some(cooldown.until.since(now).saturating_add(beyond_ms))
            }
            Verdict::Cooling(_) | Verdict::HalfOpen(_) | Verdict::Reopening | Verdict::Ready => {
                tried.hint_ms
            }
        };
        let own = |tried: &Tried| match tried.at(snapshot).verdict(now) {
            Verdict::Cooling(cooldown) => Some(cooldown.until.since(now)),
            Verdict::HalfOpen(_) | Verdict::Reopening | Verdict::Ready => None,
        };
        let tried = self.plan.tried();
        let named = tried.iter().filter_map(of_provider).min();
        let ms = named.or_else(|| tried.iter().filter_map(own).min()).unwrap_or(0);
        // A provider's delay is passed on, but at most an hour.
        ms.div_ceil(1000).clamp(1, 3600)
    }
}

fn client_status(tried: &Tried) -> StatusCode {
    let own = tried.cause.facts().status;
    let is_clients = matches!(tried.cause.facts().blame, Blame::Client);
    let status = match tried.status {
        // The status and the words that the provider used contradict each other: the words count.
        Some(400 | 422) if tried.cause.blames_deployment() && !tried.cause.is_limit() => own,
        Some(500..=599) if is_clients => own,
        Some(status @ 400..=599) => status,
        _ => own,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// Whether a 404 names neither a model nor anything of the client's.
fn is_about_the_address(tried: &Tried, said: &ProviderError) -> bool {
    let status = tried.status.filter(|_| tried.cause == Cause::NotFound);
    let classified = match status {
        Some(status) => classify(&Observation::Status(status, said)),
        None => classify(&Observation::InBand(said)),
    };
    classified.about == About::Address
}

/// Where a deployment's credential is set, after `Check`; `id` is its name.
fn credential_of(deployment: &Deployment, id: &str) -> String {
    match &deployment.endpoint.azure {
        Some(azure) if azure.identity.is_some() => {
            return format!("client_secret of {id} (or AZURE_CLIENT_SECRET)");
        }
        Some(azure) if azure.token.is_some() => {
            return format!("azure_ad_token of {id} (or AZURE_AD_TOKEN)");
        }
        Some(_) | None => {}
    }
    if deployment.endpoint.vertex.as_ref().is_some_and(|vertex| vertex.source.is_some()) {
        return format!("vertex_credentials of {id} (or GOOGLE_APPLICATION_CREDENTIALS)");
    }
    if let Some(tokens) = &deployment.endpoint.provider.tokens
        && deployment.credential.principal.is_some()
    {
        return format!("client_secret of {id} (or {})", tokens.client_secret_env);
    }
    let variables = &deployment.endpoint.provider.api_key_env;
    match (&deployment.credential.key_variable, &deployment.credential.api_key) {
        (Some(variable), _) => format!("the environment variable {variable}, the api_key of {id}"),
        // Without a key, one of these would be read.
        (None, None) if !variables.is_empty() => {
            format!("api_key of {id} (or {})", variables.join(", "))
        }
        (None, Some(_) | None) => format!("api_key of {id}"),
    }
}

fn headline(tried: &Tried, said: &ProviderError, deployment: &Deployment) -> String {
    let id = clean(&deployment.display.name, 80);
    let said_all = said;
    let said = clean(&said.message, errors::MESSAGE_MAX);
    match tried.cause {
        Cause::Auth | Cause::Permission => {
            let place = credential_of(deployment, &id);
            format!(
                "the provider refused deployment {id}'s key; yours is fine. Check {place}. \
                 The provider said: {said}"
            )
        }
        Cause::NotFound if is_about_the_address(tried, said_all) => {
            format!("the server of deployment {id} has nothing at this address: {said}")
        }
        Cause::NotFound => {
            format!("the provider of deployment {id} does not know its model: {said}")
        }
        _ => said,
    }
}

/// Each failed attempt, for an error or the log.
pub(super) fn attempt_lines(snapshot: &Snapshot, tried: &[Tried]) -> Vec<AttemptLine> {
    let line = |one: &Tried| AttemptLine {
        model_group: one.group.to_string(),
        deployment: one.at(snapshot).display.name.to_string(),
        status: one.status,
        cause: one.cause.name(),
        message: clean(&one.message, LINE_MAX),
        ms: one.ms,
    };
    tried.iter().take(LINES_MAX).map(line).collect()
}

/// Why a stream broke, for programs.
pub(super) fn reason_of_break(failed: &Failed) -> &'static str {
    match (failed.cause, failed.status) {
        // The gateway ends a stream for these reasons, and when it shuts down.
        (Cause::Gateway, Some(ANSWER_TOO_LARGE)) => "answer_too_large",
        (Cause::Gateway, Some(504)) => "stream_too_long",
        (Cause::Gateway, _) => "shutting_down",
        (Cause::ClientTimeout, _) => "deadline_exceeded",
        // Nothing else has a status behind the head of an answer.
        (Cause::BadRequest, Some(_)) => "key_ended",
        _ => "upstream_stream_interrupted",
    }
}

/// The provider answered for other inputs than those that it was asked for.
pub(crate) fn unequal_parts() -> Refusal {
    let message = "the provider's answer does not have one embedding for each input that it was sent; \
                   send the request with `cache: {\"no-cache\": true}` to get its answer as it is";
    let mut refusal = Refusal::new(StatusCode::BAD_GATEWAY, "bad_response", message.to_owned());
    refusal.cause = Cause::BadResponse;
    refusal
}

/// A stream that broke after its first content.
pub(crate) fn broken_stream(
    deployment: &Deployment,
    failed: &Failed,
    rescue: Option<No>,
) -> ErrorReply {
    let status = failed.status.unwrap_or(failed.cause.facts().status);
    ErrorReply {
        message: format!(
            "the stream broke off and is not complete: {} ({} from deployment {})",
            clean(&failed.error.message, errors::MESSAGE_MAX),
            failed.cause.name(),
            clean(&deployment.display.name, 80)
        ),
        kind: failed.error.kind.clone().unwrap_or_else(|| kind_of(status).to_owned()),
        param: failed.error.param.clone(),
        code: status.to_string(),
        reason: reason_of_break(failed),
        rescue: rescue.map(No::word),
        provider_code: failed.error.code.clone(),
        ..ErrorReply::default()
    }
}
