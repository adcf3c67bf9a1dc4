//! The one classifier: from what an attempt met to its [`Cause`], and to what it is about.
//!
//! Called by the gateway's attempts, for traffic and probes alike. Always true: it is total (any
//! status, any text); it looks at the status first, the provider's code second and the text last;
//! text that the provider quotes from the request is ignored.

mod aws;
mod capability;
mod says;
mod wait;

use crate::cause::Cause;
use crate::google;
use crate::route::Need;
use crate::secret::Secret;

/// A provider's error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// Its message, bounded in length and without control characters.
    pub message: String,
    /// Its `type`.
    pub kind: Option<String>,
    /// Its `code`; numbers as text.
    pub code: Option<String>,
    /// The parameter that it names.
    pub param: Option<String>,
    /// How long its body asks to wait, milliseconds.
    pub wait_ms: Option<u64>,
}

impl ProviderError {
    /// How long to wait, milliseconds, if it says so, in its text too, or names a quota of Google's days, which begin at midnight at
    /// Google.
    #[must_use]
    pub fn wait_ms(&self, cause: Cause, unix_ms: u64) -> Option<u64> {
        let is_of_a_day = || {
            let names_day = self.code.as_deref().is_some_and(|code| code.contains("PerDay"));
            cause == Cause::Quota && names_day && says::kind_is(self, &["RESOURCE_EXHAUSTED"])
        };
        let is_of_load = matches!(cause, Cause::RateLimited | Cause::Overloaded | Cause::Quota);
        let told = || if is_of_load { wait::told_ms(&self.message) } else { None };
        let day = || is_of_a_day().then(|| google::ms_to_next_day(unix_ms)).flatten();
        // Waiting does not fix a request.
        let wait = self.wait_ms.or_else(told).or_else(day);
        wait.filter(|_| cause.blames_deployment())
    }
}

impl ProviderError {
    /// Removes `secret` wherever the provider repeats it.
    pub fn hide(&mut self, secret: &Secret) {
        let others = [self.kind.as_mut(), self.code.as_mut(), self.param.as_mut()];
        for text in others.into_iter().flatten().chain([&mut self.message]) {
            secret.hide_in(text);
        }
    }
}

/// What an attempt met instead of a good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation<'e> {
    /// An HTTP status outside 200-299.
    Status(u16, &'e ProviderError),
    /// The same of an operation that many servers do not have, such as counting tokens.
    OnTheSide(u16, &'e ProviderError),
    /// A 404 for an object that the client named by its id: it says nothing about the deployment's
    /// model.
    NoSuchObject,
    /// An error object in a 2xx answer or in a stream.
    InBand(&'e ProviderError),
    /// A 2xx answer that is not what the wire format promises.
    Malformed,
    /// The name did not resolve.
    Dns,
    /// No connection, or it was reset before an answer.
    Connect,
    /// No TLS session.
    Tls,
    /// The attempt's own time passed.
    Timeout,
    /// The client's deadline passed.
    ClientDeadline,
    /// The answer ended before it was complete.
    Cut,
    /// The stream sent nothing for too long.
    Stall,
    /// The gateway itself has no room or no time left for the attempt.
    NoRoom,
}

/// What an observation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classified {
    /// Why the attempt failed.
    pub cause: Cause,
    /// What it is about.
    pub about: About,
}

/// What a failure is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// What the cause says.
    #[default]
    Whole,
    /// The address: the server has no such path, and names neither a model nor anything of the
    /// client's.
    Address,
    /// Something that the server or its model lacks; the others that it does are not concerned.
    Lacking(Lacking),
    /// Nothing that is known: a 400 or 422 that names no parameter, in unknown words.
    Unclear,
}

/// What a server or its model lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// The operation that was called.
    Operation,
    /// A capability.
    Need(Need),
    /// Something that the request asks for and that has no name here: other members may have it.
    Unnamed,
}

impl About {
    /// What is lacking, if that is what the failure is about.
    #[must_use]
    pub fn lacking(self) -> Option<Lacking> {
        match self {
            About::Lacking(lacking) => Some(lacking),
            About::Whole | About::Address | About::Unclear => None,
        }
    }
}

impl From<Cause> for Classified {
    fn from(cause: Cause) -> Classified {
        Classified { cause, about: About::Whole }
    }
}

/// Returns what an attempt met means.
#[must_use]
pub fn classify(observation: &Observation<'_>) -> Classified {
    match observation {
        Observation::Status(status, error) => by_status(*status, error),
        Observation::OnTheSide(status, error) => on_the_side(*status, error),
        Observation::NoSuchObject => Cause::BadRequest.into(),
        Observation::InBand(error) => in_band(error),
        Observation::Malformed => Cause::BadResponse.into(),
        Observation::Dns => Cause::Dns.into(),
        Observation::Connect => Cause::Connect.into(),
        Observation::Tls => Cause::Tls.into(),
        Observation::Timeout => Cause::Timeout.into(),
        Observation::ClientDeadline => Cause::ClientTimeout.into(),
        Observation::Cut => Cause::StreamCut.into(),
        Observation::Stall => Cause::StreamStall.into(),
        Observation::NoRoom => Cause::Gateway.into(),
    }
}

fn by_status(status: u16, error: &ProviderError) -> Classified {
    if let Some(lacking) = lacking(status, error) {
        return Classified { cause: Cause::BadRequest, about: About::Lacking(lacking) };
    }
    if matches!(status, 400 | 403 | 404) && says::names_what_a_request_refers_to(error) {
        // The client named it, or the config: where siblings answer, it is the config.
        return Classified { cause: Cause::BadRequest, about: About::Unclear };
    }
    if let Some(cause) = aws::cause(error) {
        return cause.into();
    }
    let cause = match status {
        // The gateway chose the address, which has moved.
        300..=399 => return Classified { cause: Cause::NotFound, about: About::Address },
        400 | 422 => return refused(status, error),
        401 | 403 if says::refuses_the_models_use(error) => Cause::Permission,
        401 => Cause::Auth,
        402 => Cause::Quota,
        403 if says::keeps_the_key_out(error) => Cause::Permission,
        403 if says::is_policy(error) => Cause::ContentPolicy,
        403 if says::is_quota(error) => Cause::Quota,
        // The account may not use the model, so for this account the model does not exist.
        403 if says::code_is(error, &["model_not_found"]) => Cause::NotFound,
        // Anthropic's text about a missing permission names the key that lacks it.
        403 if says::kind_is(error, &["permission_error"]) => Cause::Permission,
        403 if says::names_the_key(error) => Cause::Auth,
        403 => Cause::Permission,
        // What the client named comes first: texts about it may say of which model it is.
        404 if says::is_about_a_client_object(error) => Cause::BadRequest,
        404 if says::names_the_model(error) => Cause::NotFound,
        404 if says::names_an_id(error) => Cause::BadRequest,
        // The gateway chose path and method.
        404 | 405 => return Classified { cause: Cause::NotFound, about: About::Address },
        408 => Cause::Timeout,
        429 if says::is_quota(error) => Cause::Quota,
        429 if says::is_beyond_the_rate(error) => Cause::ContextWindow,
        429 if says::is_own_overload(error) => Cause::Overloaded,
        429 => Cause::RateLimited,
        413 if says::is_context(error) || says::is_beyond_the_rate(error) => Cause::ContextWindow,
        413 => Cause::BadRequest,
        // The gateway chose the proxy, the server and the protocol.
        407 | 421 => Cause::BadResponse,
        410 if !says::is_about_a_client_object(error) => Cause::NotFound,
        // text-generation-inference's word for a generation that broke off.
        424 if says::kind_is(error, &["generation"]) => Cause::ServerError,
        // The gateway chose the protocol, not the client.
        426 => Cause::BadResponse,
        // Google's words for what it gave up, and for what may be tried again.
        499 if says::kind_is(error, &["CANCELLED"]) => Cause::Timeout,
        409 if says::kind_is(error, &["ABORTED"]) => Cause::ServerError,
        498 if says::blocks_the_prompt(error) => Cause::ContentPolicy,
        // Cohere's word for a prompt with tokens of its own.
        498 if says::text_has(error, &["invalid token"]) => Cause::BadRequest,
        // What it serves is paused, or the server is not ready yet.
        423 | 425 if error.param.is_none() => Cause::ServerError,
        // Groq's word for a tier without room.
        406..=499 if says::is_overload(error) => Cause::Overloaded,
        406..=499 => return refused(status, error),
        504 => Cause::Timeout,
        529 => Cause::Overloaded,
        // A gateway in between changed the status.
        500..=599 if says::code_is(error, &["429"]) => Cause::RateLimited,
        503 if says::is_overload(error) => Cause::Overloaded,
        500..=599 if says::is_context(error) => Cause::ContextWindow,
        500 if says::is_a_clients_fault(error) => Cause::BadRequest,
        500..=599 => Cause::ServerError,
        _ => Cause::BadResponse,
    };
    cause.into()
}

/// A 400, a 422 or another status that says little: real servers use them for what is theirs.
fn refused(status: u16, error: &ProviderError) -> Classified {
    // A text that names a parameter is about the request, not about the account.
    let names_no_field = error.param.as_deref().is_none_or(|param| param == "model");
    let cause = if says::is_context(error) {
        Cause::ContextWindow
    } else if says::is_policy(error) {
        Cause::ContentPolicy
    } else if status != 422 && error.param.is_none() && says::is_quota(error) {
        Cause::Quota
    } else if names_no_field && says::refuses_the_key(error) {
        Cause::Auth
    } else if says::refuses_the_models_use(error) || says::refuses_the_place(error) {
        Cause::Permission
    } else if names_no_field && says::knows_no_path(error) {
        return Classified { cause: Cause::NotFound, about: About::Address };
    } else if names_no_field && says::knows_no_model(error) {
        Cause::NotFound
    } else if names_no_field && says::is_a_servers_fault(error) {
        Cause::ServerError
    } else {
        let about = if !says::names_a_field(error) { About::Unclear } else { About::Whole };
        return Classified { cause: Cause::BadRequest, about };
    };
    cause.into()
}

/// What the server says that it lacks.
fn lacking(status: u16, error: &ProviderError) -> Option<Lacking> {
    match status {
        400 | 403 | 404 | 415 | 422 | 424 | 500 => capability::lacking(error),
        501 => capability::lacking(error).or(Some(Lacking::Operation)),
        _ => None,
    }
}

/// The same about an operation that many servers do not have beside the one that they are for: a
/// missing path is about that operation alone.
fn on_the_side(status: u16, error: &ProviderError) -> Classified {
    let classified = by_status(status, error);
    match classified.about {
        About::Address => {
            let about = About::Lacking(Lacking::Operation);
            Classified { cause: Cause::BadRequest, about }
        }
        About::Whole | About::Lacking(_) | About::Unclear => classified,
    }
}

/// An error object without an HTTP status: its code may be a status, else the text decides.
fn in_band(error: &ProviderError) -> Classified {
    if says::names_what_a_request_refers_to(error) {
        return Classified { cause: Cause::BadRequest, about: About::Unclear };
    }
    if let Some(cause) = aws::cause(error) {
        return cause.into();
    }
    let status = error.code.as_deref().and_then(|code| code.parse::<u16>().ok());
    let status = status.or_else(|| aws::status(error)).or_else(|| google_status(error));
    if let Some(status @ 400..=599) = status {
        return by_status(status, error);
    }
    let says = |words: &[&str]| says::code_is(error, words) || says::kind_is(error, words);
    let cause = if let Some(lacking) = capability::lacking(error) {
        return Classified { cause: Cause::BadRequest, about: About::Lacking(lacking) };
    } else if says::knows_no_path(error) {
        return Classified { cause: Cause::NotFound, about: About::Address };
    } else if says::is_context(error) {
        Cause::ContextWindow
    } else if says::is_policy(error) {
        Cause::ContentPolicy
    } else if error.param.is_none() && says::is_quota(error) {
        Cause::Quota
    } else if says(&[
        "rate_limit_exceeded",
        "rate_limit_error",
        "throttling_error",
        "too_many_requests",
        "RESOURCE_EXHAUSTED",
    ]) {
        Cause::RateLimited
    } else if says(&["authentication_error", "invalid_api_key"])
        || says::refuses_the_key(error)
        || says::is_unauthorized(error)
    {
        Cause::Auth
    } else if says(&["permission_error"]) {
        Cause::Permission
    } else if says(&["not_found_error"]) || says::knows_no_model(error) {
        Cause::NotFound
    } else if says(&["overloaded_error", "overloaded"]) {
        Cause::Overloaded
    } else if says(&["timeout_error"]) {
        Cause::Timeout
    } else if says(&["invalid_request_error", "request_too_large", "invalid_prompt", "validation"])
    {
        Cause::BadRequest
    } else {
        Cause::ServerError
    };
    cause.into()
}

/// The status that Google's word for it stands for, where a more specific code is in the place of its number.
/// Source: <https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>.
fn google_status(error: &ProviderError) -> Option<u16> {
    Some(match error.kind.as_deref()? {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => 400,
        "UNAUTHENTICATED" => 401,
        "PERMISSION_DENIED" => 403,
        "NOT_FOUND" => 404,
        "ALREADY_EXISTS" | "ABORTED" => 409,
        "RESOURCE_EXHAUSTED" => 429,
        "CANCELLED" => 499,
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" => 500,
        "UNIMPLEMENTED" => 501,
        "UNAVAILABLE" => 503,
        "DEADLINE_EXCEEDED" => 504,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
