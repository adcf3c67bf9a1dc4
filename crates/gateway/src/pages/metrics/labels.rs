//! The labels of families, and the values that a series has for them.
//!
//! Used by the table of families and by what writes their series. Always true: a label has the name that the reference, or
//! Hale's own documentation, gives it; a value that is not known is empty.

use hale_core::cause::Cause;

use crate::metrics::{OTHER, Reading, Subject};

/// The value of a series.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'v> {
    /// A whole number.
    Count(u64),
    /// A number.
    Number(f64),
    /// Observations, shown at these bounds, seconds.
    Seconds(&'v Reading, &'v [f64]),
}

/// Takes the series of a family: the values of their labels, and their own.
pub(super) type Put<'p> = dyn FnMut(&Row<'_>, Value<'_>) + 'p;

/// A label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    ApiBase,
    ApiKeyAlias,
    ApiProvider,
    CallbackName,
    ClientIp,
    Database,
    Deployment,
    EndUser,
    Ending,
    ErrorClass,
    ExceptionClass,
    ExceptionStatus,
    FallbackModel,
    FunctionName,
    HashedApiKey,
    LitellmModelName,
    LitellmVersion,
    Model,
    ModelGroup,
    ModelId,
    Name,
    Of,
    OrgAlias,
    OrgId,
    Outcome,
    Postgres,
    Provider,
    Reason,
    Redis,
    RequestedModel,
    Route,
    ServiceTier,
    Source,
    State,
    Status,
    StatusCode,
    Team,
    TeamAlias,
    User,
    UserAgent,
    UserEmail,
    Version,
}

/// The values of one series.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row<'a> {
    pub(super) group: &'a str,
    pub(super) requested: &'a str,
    /// Id, provider, model at the provider and address of the deployment.
    pub(super) id: &'a str,
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    pub(super) api_base: &'a str,
    /// The deployment's name for people.
    pub(super) deployment: &'a str,
    pub(super) route: &'a str,
    pub(super) status: &'a str,
    /// What the family tells apart: an outcome, a kind of error, a state.
    pub(super) kind: &'a str,
    /// What it tells apart besides.
    pub(super) detail: &'a str,
    /// Whose budget it is, and what people call that.
    pub(super) who: &'a str,
    pub(super) alias: &'a str,
}

impl<'a> Row<'a> {
    /// The values of a series of requests.
    pub(super) fn of(subject: &'a Subject) -> Row<'a> {
        let group = &*subject.group;
        let row = Row {
            group,
            requested: if group.is_empty() { OTHER } else { group },
            ..Row::default()
        };
        match &subject.deployment {
            None => row,
            Some(place) => Row {
                id: &place.id,
                provider: place.provider,
                model: &place.model,
                api_base: &place.api_base,
                ..row
            },
        }
    }
}

impl Label {
    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Label::ApiBase => "api_base",
            Label::ApiKeyAlias => "api_key_alias",
            Label::ApiProvider => "api_provider",
            Label::CallbackName => "callback_name",
            Label::ClientIp => "client_ip",
            Label::Database => "database",
            Label::Deployment => "deployment",
            Label::EndUser => "end_user",
            Label::Ending => "ending",
            Label::ErrorClass => "error_class",
            Label::ExceptionClass => "exception_class",
            Label::ExceptionStatus => "exception_status",
            Label::FallbackModel => "fallback_model",
            Label::FunctionName => "function_name",
            Label::HashedApiKey => "hashed_api_key",
            Label::LitellmModelName => "litellm_model_name",
            Label::LitellmVersion => "litellm_version",
            Label::Model => "model",
            Label::ModelGroup => "model_group",
            Label::ModelId => "model_id",
            Label::Name => "name",
            Label::Of => "of",
            Label::OrgAlias => "org_alias",
            Label::OrgId => "org_id",
            Label::Outcome => "outcome",
            Label::Postgres => "postgres",
            Label::Provider => "provider",
            Label::Reason => "reason",
            Label::Redis => "redis",
            Label::RequestedModel => "requested_model",
            Label::Route => "route",
            Label::ServiceTier => "service_tier",
            Label::Source => "source",
            Label::State => "state",
            Label::Status => "status",
            Label::StatusCode => "status_code",
            Label::Team => "team",
            Label::TeamAlias => "team_alias",
            Label::User => "user",
            Label::UserAgent => "user_agent",
            Label::UserEmail => "user_email",
            Label::Version => "version",
        }
    }

    /// Its value.
    pub(super) fn value<'a>(self, row: &Row<'a>) -> &'a str {
        match self {
            Label::ModelGroup => row.group,
            Label::RequestedModel => row.requested,
            Label::ModelId => row.id,
            Label::ApiProvider | Label::Provider => row.provider,
            Label::Model | Label::LitellmModelName => row.model,
            Label::ApiBase => row.api_base,
            Label::Deployment => row.deployment,
            Label::Route => row.route,
            Label::ExceptionStatus | Label::Status | Label::StatusCode => row.status,
            Label::CallbackName
            | Label::Database
            | Label::Ending
            | Label::ErrorClass
            | Label::ExceptionClass
            | Label::Of
            | Label::Outcome
            | Label::Reason
            | Label::Source
            | Label::State
            | Label::Version => row.kind,
            Label::FallbackModel | Label::FunctionName | Label::LitellmVersion | Label::Name => {
                row.detail
            }
            Label::Postgres => "postgres",
            Label::Redis => "redis",
            // Of requests clients are told apart only where the operator asks for it.
            Label::EndUser | Label::HashedApiKey | Label::OrgId | Label::Team | Label::User => {
                row.who
            }
            Label::ApiKeyAlias | Label::OrgAlias | Label::TeamAlias => row.alias,
            Label::ClientIp | Label::ServiceTier | Label::UserAgent | Label::UserEmail => "",
        }
    }
}

/// The class of an error that has this cause, as `LiteLLM` calls it.
const fn class_of(cause: Cause, status: u16) -> &'static str {
    match cause {
        Cause::ServerError if status == 502 => "BadGatewayError",
        Cause::ServerError if status == 503 => "ServiceUnavailableError",
        Cause::BadRequest if status == 422 => "UnprocessableEntityError",
        Cause::Auth => "AuthenticationError",
        Cause::Permission => "PermissionDeniedError",
        Cause::NotFound => "NotFoundError",
        Cause::RateLimited | Cause::Quota => "RateLimitError",
        Cause::Overloaded => "ServiceUnavailableError",
        Cause::ServerError | Cause::Gateway => "InternalServerError",
        Cause::Timeout | Cause::StreamStall | Cause::ClientTimeout => "Timeout",
        Cause::Connect | Cause::Dns | Cause::Tls | Cause::StreamCut => "APIConnectionError",
        Cause::BadResponse | Cause::EmptyAnswer | Cause::Misconfigured => "APIError",
        Cause::BadRequest => "BadRequestError",
        Cause::Unsupported => "UnsupportedParamsError",
        Cause::ContextWindow => "ContextWindowExceededError",
        Cause::ContentPolicy => "ContentPolicyViolationError",
        Cause::ClientClosed => "ClientDisconnected",
    }
}

/// The class of an error behind the name of the provider that it came from, if it came from one: `Openai.RateLimitError`.
pub(super) fn exception_class(provider: &str, cause: Option<Cause>, status: u16) -> String {
    let class = cause.map_or("RouterRateLimitError", |cause| class_of(cause, status));
    let mut letters = provider.chars();
    match letters.next() {
        None => class.to_owned(),
        Some(first) => format!("{}{}.{class}", first.to_ascii_uppercase(), letters.as_str()),
    }
}

/// The class of an error of the gateway's own that has this status.
pub(super) const fn class_of_status(status: u16) -> &'static str {
    match status {
        401 => "AuthenticationError",
        403 => "PermissionDeniedError",
        404 | 405 => "NotFoundError",
        408 => "Timeout",
        422 => "UnprocessableEntityError",
        429 => "RateLimitError",
        502 => "APIConnectionError",
        503 => "ServiceUnavailableError",
        400..500 => "BadRequestError",
        _ => "InternalServerError",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_an_error_names_the_provider_that_it_came_from() {
        assert_eq!(
            exception_class("openai", Some(Cause::RateLimited), 429),
            "Openai.RateLimitError"
        );
        assert_eq!(exception_class("", Some(Cause::BadRequest), 400), "BadRequestError");
        assert_eq!(exception_class("", None, 0), "RouterRateLimitError");
    }
}
