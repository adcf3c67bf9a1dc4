//! The doctor's findings: their public names, and the step that each is about.
//!
//! Chosen by [`super::verdict`], printed by the table and the JSON. Always true: a name is public
//! (`docs/troubleshooting.md`) and belongs to at most one step.

/// The steps on the way to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The name of a provider that is served.
    Name,
    /// The variables, the key and the address that the config refers to.
    Environment,
    /// The host's name has an address.
    Dns,
    /// The host accepts connections.
    Tcp,
    /// It has a certificate that is trusted.
    Tls,
    /// The provider accepts the key.
    Credential,
    /// It has the model.
    Model,
    /// The model answers.
    Probe,
}

impl Step {
    /// All of them, in order.
    pub(super) const ALL: [Step; 8] = [
        Step::Name,
        Step::Environment,
        Step::Dns,
        Step::Tcp,
        Step::Tls,
        Step::Credential,
        Step::Model,
        Step::Probe,
    ];

    /// The name for programs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Step::Name => "name",
            Step::Environment => "environment",
            Step::Dns => "dns",
            Step::Tcp => "tcp",
            Step::Tls => "tls",
            Step::Credential => "credential",
            Step::Model => "model",
            Step::Probe => "probe",
        }
    }
}

/// What the doctor finds about a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Requests are answered.
    Works,
    /// The config pauses it.
    Paused,
    /// It was not tried.
    NotProbed,
    /// No provider of that name is served.
    UnknownProvider,
    /// An environment variable is not set.
    MissingVariable,
    /// There is no key.
    MissingKey,
    /// The config has no such credential.
    MissingCredential,
    /// A setting is missing.
    MissingSetting,
    /// It cannot work as written, for another reason.
    Misconfigured,
    /// The host name does not resolve.
    Dns,
    /// The resolver does not answer.
    DnsSilent,
    /// The host refuses the port.
    Refused,
    /// Packets are dropped on the way.
    Filtered,
    /// There is no route to the host.
    Unreachable,
    /// The proxy of the environment did not let it through.
    Proxy,
    /// There is no connection, for another reason.
    NoConnection,
    /// The certificate is not trusted here.
    TlsUntrusted,
    /// The certificate is for another name.
    TlsOtherName,
    /// The certificate is not valid now.
    TlsNotValidNow,
    /// The port does not speak TLS.
    TlsNotSpoken,
    /// The handshake does not finish.
    TlsSilent,
    /// The handshake fails for another reason.
    Tls,
    /// The provider refuses the key.
    Auth,
    /// The key may not use this model.
    Permission,
    /// The account's quota is used up.
    Quota,
    /// The provider does not know the model.
    ModelNotFound,
    /// The provider no longer has the model.
    ModelDeprecated,
    /// The server is up, its model is not.
    NotReady,
    /// The model that was tried for a pattern is not there.
    PatternUntried,
    /// The address redirects.
    Redirect,
    /// The provider limits the rate.
    RateLimited,
    /// The provider is overloaded.
    Overloaded,
    /// The server fails.
    ServerError,
    /// The answer does not come in time.
    NoAnswer,
    /// The connection is closed without a whole answer.
    Crashed,
    /// The answer is not the API's.
    BadResponse,
    /// The answer is not HTTP.
    NotHttp,
    /// The server has nothing at this path.
    NoSuchPath,
    /// The provider does not take the probe's request.
    ProbeRefused,
    /// The model has another mode than the one probed.
    WrongMode,
    /// The model's mode cannot be probed.
    ModeNotServed,
    /// The server answers; the model was not called.
    Reachable,
}

impl Kind {
    /// The name for programs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Works => "works",
            Kind::Paused => "paused",
            Kind::NotProbed => "not_checked",
            Kind::UnknownProvider => "unknown_provider",
            Kind::MissingVariable => "missing_variable",
            Kind::MissingKey => "missing_key",
            Kind::MissingCredential => "missing_credential",
            Kind::MissingSetting => "missing_setting",
            Kind::Misconfigured => "misconfigured",
            Kind::Dns => "dns",
            Kind::DnsSilent => "dns_silent",
            Kind::Refused => "refused",
            Kind::Filtered => "filtered",
            Kind::Unreachable => "unreachable",
            Kind::Proxy => "proxy",
            Kind::NoConnection => "no_connection",
            Kind::TlsUntrusted => "tls_untrusted",
            Kind::TlsOtherName => "tls_other_name",
            Kind::TlsNotValidNow => "tls_not_valid_now",
            Kind::TlsNotSpoken => "tls_not_spoken",
            Kind::TlsSilent => "tls_silent",
            Kind::Tls => "tls",
            Kind::Auth => "auth",
            Kind::Permission => "permission",
            Kind::Quota => "quota",
            Kind::ModelNotFound => "model_not_found",
            Kind::ModelDeprecated => "model_deprecated",
            Kind::NotReady => "not_ready",
            Kind::PatternUntried => "pattern_untried",
            Kind::Redirect => "redirect",
            Kind::RateLimited => "rate_limited",
            Kind::Overloaded => "overloaded",
            Kind::ServerError => "server_error",
            Kind::NoAnswer => "no_answer",
            Kind::Crashed => "crashed",
            Kind::BadResponse => "bad_response",
            Kind::NotHttp => "not_http",
            Kind::NoSuchPath => "no_such_path",
            Kind::ProbeRefused => "probe_refused",
            Kind::WrongMode => "wrong_mode",
            Kind::ModeNotServed => "mode_not_served",
            Kind::Reachable => "reachable",
        }
    }

    /// The step that failed, or whose result is unknown.
    pub(super) const fn step(self) -> Option<Step> {
        match self {
            Kind::Works | Kind::Paused | Kind::NotProbed => None,
            Kind::UnknownProvider => Some(Step::Name),
            Kind::MissingVariable
            | Kind::MissingKey
            | Kind::MissingCredential
            | Kind::MissingSetting
            | Kind::Misconfigured => Some(Step::Environment),
            Kind::Dns | Kind::DnsSilent => Some(Step::Dns),
            Kind::Refused
            | Kind::Filtered
            | Kind::Unreachable
            | Kind::Proxy
            | Kind::NoConnection => Some(Step::Tcp),
            Kind::TlsUntrusted
            | Kind::TlsOtherName
            | Kind::TlsNotValidNow
            | Kind::TlsNotSpoken
            | Kind::TlsSilent
            | Kind::Tls => Some(Step::Tls),
            Kind::Auth | Kind::Permission | Kind::Quota => Some(Step::Credential),
            Kind::ModelNotFound | Kind::ModelDeprecated | Kind::NotReady | Kind::PatternUntried => {
                Some(Step::Model)
            }
            Kind::Redirect
            | Kind::RateLimited
            | Kind::Overloaded
            | Kind::ServerError
            | Kind::NoAnswer
            | Kind::Crashed
            | Kind::BadResponse
            | Kind::NotHttp
            | Kind::NoSuchPath
            | Kind::ProbeRefused
            | Kind::WrongMode
            | Kind::ModeNotServed
            | Kind::Reachable => Some(Step::Probe),
        }
    }

    /// The first step that the finding leaves in doubt: a server that fails may have looked neither at the
    /// key nor at the model.
    pub(super) const fn first_in_doubt(self) -> Option<Step> {
        match self {
            Kind::NotReady
            | Kind::Redirect
            | Kind::Overloaded
            | Kind::ServerError
            | Kind::Crashed
            | Kind::BadResponse
            | Kind::NoSuchPath => Some(Step::Credential),
            Kind::Reachable => Some(Step::Model),
            Kind::Works
            | Kind::Paused
            | Kind::NotProbed
            | Kind::UnknownProvider
            | Kind::MissingVariable
            | Kind::MissingKey
            | Kind::MissingCredential
            | Kind::MissingSetting
            | Kind::Misconfigured
            | Kind::Dns
            | Kind::DnsSilent
            | Kind::Refused
            | Kind::Filtered
            | Kind::Unreachable
            | Kind::Proxy
            | Kind::NoConnection
            | Kind::TlsUntrusted
            | Kind::TlsOtherName
            | Kind::TlsNotValidNow
            | Kind::TlsNotSpoken
            | Kind::TlsSilent
            | Kind::Tls
            | Kind::Auth
            | Kind::Permission
            | Kind::Quota
            | Kind::ModelNotFound
            | Kind::ModelDeprecated
            | Kind::PatternUntried
            | Kind::RateLimited
            | Kind::NoAnswer
            | Kind::NotHttp
            | Kind::ProbeRefused
            | Kind::WrongMode
            | Kind::ModeNotServed => self.step(),
        }
    }
}
