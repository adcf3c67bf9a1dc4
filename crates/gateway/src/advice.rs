//! Explains a failure to the operator: what is wrong, and how to fix it.
//!
//! Called by the page `/health`, by `hale doctor` and for errors to clients. Always true: the attempt determines
//! the cause and the obstacle, this file only words them; no text names a secret.

mod vertex;

use hale_core::azure::{Azure, Service};
use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::Obstacle;
use hale_core::provider::{HostOwner, WireFormat};

use crate::clock::seconds;
use crate::upstream::Upstream;

/// A failure as an attempt reported it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure<'f> {
    /// Why it failed.
    pub(crate) cause: Cause,
    /// The step of the connection that failed.
    pub(crate) obstacle: Option<Obstacle>,
    /// The upstream's status.
    pub(crate) status: Option<u16>,
    /// The provider's or the system's message.
    pub(crate) message: &'f str,
}

impl Failure<'_> {
    /// Whether the upstream refused the request in words that are not known.
    fn is_refusal(&self) -> bool {
        matches!(self.status, Some(400 | 422))
    }

    /// The obstacle that tells more than the cause: of a redirect the cause does.
    fn met(&self) -> Option<Obstacle> {
        self.obstacle.filter(|_| !self.is_redirect())
    }

    /// Whether the upstream answered with a redirect.
    pub(crate) fn is_redirect(&self) -> bool {
        self.status.is_some_and(|status| (300..400).contains(&status))
    }
}

/// How to fix a server that refuses every request, in words that are not known.
const FIX_OF_REFUSALS: &str = "correct the model, the key or api_base; if the model needs other parameters, set \
                               health_check_params in model_info";

/// How to fix a failure of `deployment`; `None` if the client or the gateway is to blame.
pub(crate) fn fix(deployment: &Deployment, failure: &Failure<'_>) -> Option<String> {
    if failure.met() == Some(Obstacle::NoPath) {
        return Some(fix_of_path(deployment));
    }
    if let Some(obstacle) = failure.met() {
        return Some(fix_of(obstacle, &Upstream::parse(&deployment.endpoint.api_base)));
    }
    if let Some(text) = vertex::fix(deployment, failure) {
        return Some(text);
    }
    let model = &deployment.endpoint.upstream_model;
    let text = match failure.cause {
        Cause::Auth => format!(
            "set {} to a key that this provider issued, and restart",
            key_source(deployment)
        ),
        Cause::Permission => format!(
            "give the account of the key in {} access to `{model}` at the provider, or use another \
             key; some providers block whole regions",
            key_source(deployment)
        ),
        Cause::NotFound if failure.is_redirect() => {
            "set api_base to the API's own address: with https:// if it moved there, and with its /v1"
                .to_owned()
        }
        Cause::NotFound => "correct `litellm_params.model`; for Azure it is the deployment's name, \
                            with the region's api_base and a valid api_version"
            .to_owned(),
        Cause::RateLimited => {
            "wait, or add a deployment with another key, or have the provider raise the limit"
                .to_owned()
        }
        Cause::Quota => {
            "pay or raise the quota at the provider; until then add a deployment at another provider"
                .to_owned()
        }
        Cause::Overloaded => {
            "wait, or add a deployment at a second provider to the group".to_owned()
        }
        Cause::ServerError => fix_of_server(deployment, failure.status).to_owned(),
        Cause::Timeout | Cause::StreamStall => {
            "check whether the engine hangs or its queue is long; raise health_check_timeout if it is \
             only slow"
                .to_owned()
        }
        Cause::StreamCut => fix_of(Obstacle::Closed, &Upstream::parse(&deployment.endpoint.api_base)),
        Cause::BadResponse if failure.is_refusal() => FIX_OF_REFUSALS.to_owned(),
        Cause::BadResponse => {
            "check that api_base is the address of the API, with its /v1, and that model_info.mode \
            is right"
                .to_owned()
        }
        Cause::Connect | Cause::Dns | Cause::Tls => {
            "check api_base: its scheme, host and port".to_owned()
        }
        Cause::Misconfigured => deployment.misconfigured.as_ref()?.hint.to_string(),
        Cause::BadRequest
        | Cause::Unsupported
        | Cause::ContextWindow
        | Cause::ContentPolicy
        | Cause::EmptyAnswer
        | Cause::ClientTimeout
        | Cause::ClientClosed
        | Cause::Gateway => return None,
    };
    Some(text)
}

/// How to fix a server that fails: whose it is says where to look.
fn fix_of_server(deployment: &Deployment, status: Option<u16>) -> &'static str {
    match (deployment.endpoint.owner(), status) {
        (HostOwner::Provider, _) => {
            "see the provider's status page; add a deployment at another provider to the group or as its \
             fallback"
        }
        (HostOwner::Operator, Some(503)) => {
            "read the server's log; wait while it loads the model, restart it if its engine has \
             crashed"
        }
        (HostOwner::Operator, _) => "read the server's log",
    }
}

/// How to fix an address below which the server has no such path. It names no host.
pub(crate) fn fix_of_path(deployment: &Deployment) -> String {
    if deployment.endpoint.azure.as_ref().is_some_and(Azure::names_model) {
        return "correct the region in api_base, the deployment's name or api_version".to_owned();
    }
    let add = if has_version(deployment) {
        "correct the path of api_base"
    } else {
        "add /v1, or the API's own path, to api_base"
    };
    format!("{add}; or correct model_info.mode")
}

/// Whether the address ends with a version, or the provider's paths have none.
pub(crate) fn has_version(deployment: &Deployment) -> bool {
    let endpoint = &deployment.endpoint;
    let base = endpoint.api_base.trim_end_matches('/');
    let is_version = |end: &str| {
        end.strip_prefix('v').is_some_and(|tail| tail.starts_with(|c: char| c.is_ascii_digit()))
    };
    let is_of_resource = |azure: &Azure| azure.service != Service::Serverless;
    let needs_none = endpoint.azure.as_ref().is_some_and(is_of_resource)
        || endpoint.provider.wire != WireFormat::OpenAi;
    needs_none || base.rsplit('/').next().is_some_and(is_version)
}

/// How to fix a failure of a client's request. It names no host, because clients may not see the addresses
/// of upstreams.
pub(crate) fn fix_of_traffic(
    deployment: &Deployment,
    cause: Cause,
    status: Option<u16>,
) -> Option<String> {
    match cause {
        Cause::Timeout | Cause::StreamStall => Some(
            "check whether the engine hangs or its queue is long; raise timeout or stream_timeout if it \
             is only slow"
                .to_owned(),
        ),
        // What the provider said is not known here: it may be the address.
        Cause::NotFound if !has_version(deployment) && status == Some(404) => Some(
            "correct `litellm_params.model`, or add /v1, or the API's own path, to api_base".to_owned(),
        ),
        cause => fix(deployment, &Failure { cause, obstacle: None, status, message: "" }),
    }
}

/// What is wrong, in one sentence for an operator who does not know the code.
pub(crate) fn problem(deployment: &Deployment, failure: &Failure<'_>) -> String {
    let status = failure.status.map_or(String::new(), |status| format!(" ({status})"));
    let upstream = Upstream::parse(&deployment.endpoint.api_base);
    match failure.met() {
        Some(Obstacle::NoAnswer) => {
            let limit_ms = deployment.probing.timeout_ms;
            let limit =
                limit_ms.map_or("in time".to_owned(), |ms| format!("within {} s", seconds(ms)));
            return format!("{} accepts the request and does not answer {limit}", place(&upstream));
        }
        Some(obstacle) => return problem_of(obstacle, &upstream, failure.message),
        None => {}
    }
    let what = match failure.cause {
        Cause::Auth => "the provider refuses the key".to_owned(),
        Cause::Permission => "the provider accepts the key, but not for this model".to_owned(),
        Cause::NotFound if failure.is_redirect() => {
            "this address redirects to another one".to_owned()
        }
        Cause::NotFound => {
            format!("the provider has no model `{}`", deployment.endpoint.upstream_model)
        }
        Cause::RateLimited => "the provider limits the rate".to_owned(),
        Cause::Quota => "the account's quota or money is used up".to_owned(),
        Cause::Overloaded => "the provider is overloaded".to_owned(),
        Cause::ServerError if failure.status == Some(503) => {
            "the server is up, but its model is not loaded".to_owned()
        }
        Cause::ServerError => "the server fails".to_owned(),
        Cause::Timeout | Cause::StreamStall => "the server takes too long".to_owned(),
        Cause::StreamCut => problem_of(Obstacle::Closed, &upstream, ""),
        Cause::BadResponse if failure.is_refusal() => "the server refuses every request".to_owned(),
        Cause::BadResponse => {
            return format!("the answer is not one of the API: {}", failure.message);
        }
        Cause::Connect => "the connection fails".to_owned(),
        Cause::Dns => "the host name does not resolve".to_owned(),
        Cause::Tls => "the TLS handshake fails".to_owned(),
        Cause::Misconfigured => "it cannot work as configured".to_owned(),
        Cause::BadRequest | Cause::Unsupported | Cause::ContextWindow | Cause::ContentPolicy => {
            "the provider refuses the probe's request".to_owned()
        }
        Cause::EmptyAnswer => "the answer has no content".to_owned(),
        Cause::ClientTimeout | Cause::ClientClosed | Cause::Gateway => {
            "this process could not send the probe".to_owned()
        }
    };
    // Such a message only repeats the status.
    if failure.message.is_empty() || failure.message.starts_with("the upstream answered ") {
        return format!("{what}{status}");
    }
    format!("{what}{status}: {}", failure.message)
}

/// Where the key is set.
fn key_source(deployment: &Deployment) -> String {
    match (&deployment.credential.key_variable, deployment.endpoint.provider.api_key_env.first()) {
        (Some(name), _) => format!("the environment variable {name}"),
        (None, Some(name)) => format!("api_key of {} or {name}", label(deployment)),
        (None, None) => format!("api_key of {}", label(deployment)),
    }
}

/// The deployment's name for a person: its id if the config gives one, else its model and line.
pub(crate) fn label(deployment: &Deployment) -> String {
    if has_own_id(deployment) {
        return deployment.id.to_string();
    }
    format!("{} (line {})", deployment.endpoint.model_param, line(deployment))
}

/// Whether the config gives it an id; else the id is a hash.
fn has_own_id(deployment: &Deployment) -> bool {
    let id = &deployment.id;
    id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn line(deployment: &Deployment) -> &str {
    deployment.display.declared_at.rsplit_once(':').map_or("", |(_, line)| line)
}

fn place(upstream: &Upstream) -> String {
    let host = match upstream.address() {
        Some(address) if address.is_ipv6() => format!("[{}]", upstream.host),
        _ => upstream.host.clone(),
    };
    format!("{host}:{}", upstream.port)
}

/// What is wrong, by the step of the connection that failed.
fn problem_of(obstacle: Obstacle, upstream: &Upstream, message: &str) -> String {
    let (host, place) = (&upstream.host, place(upstream));
    // The TLS library's message, without its prefix.
    let message = message.rsplit_once("invalid peer certificate: ").map_or(message, |(_, why)| why);
    match obstacle {
        // The resolver's message, without its prefix.
        Obstacle::NoAddress => message.replace("failed to lookup address information: ", ""),
        Obstacle::ResolverSilent => {
            format!("this machine's resolver does not answer a query for {host}")
        }
        Obstacle::Refused => format!("{place} refuses connections: no server runs there"),
        Obstacle::Filtered => {
            format!("no reply from {place}: packets to it are dropped on the way")
        }
        Obstacle::Unreachable => format!("this machine has no route to {place}"),
        Obstacle::Proxy => {
            let why = message.strip_prefix("no connection: ").unwrap_or(message);
            format!("the proxy in HTTPS_PROXY cannot connect to {place}: {why}")
        }
        Obstacle::NoConnection | Obstacle::Handshake => message.to_owned(),
        Obstacle::Untrusted => {
            format!("the certificate of {place} is not signed by a trusted CA")
        }
        Obstacle::OtherName => format!("the certificate of {place} is for another name: {message}"),
        Obstacle::NotValidNow => {
            let why = message.split_once(':').map_or(message, |(why, _)| why);
            format!("the certificate of {place} is not valid now: {why}")
        }
        Obstacle::NotTls => format!("{place} does not speak TLS"),
        Obstacle::HandshakeSilent => {
            format!("{place} accepts connections and does not finish the TLS handshake")
        }
        Obstacle::Closed => {
            format!(
                "{place} accepts the connection and closes it before the answer is complete: the server \
                crashed or is shutting down"
            )
        }
        Obstacle::NoAnswer => format!("{place} accepts the request and does not answer in time"),
        Obstacle::NoPath => format!("the server at {place} has nothing at this path: {message}"),
        Obstacle::NotHttp => {
            let why = message.rsplit_once(": ").map_or(message, |(_, why)| why);
            format!("{place} does not speak HTTP: {why}")
        }
    }
}

/// How to fix it, by the step of the connection that failed.
fn fix_of(obstacle: Obstacle, upstream: &Upstream) -> String {
    let (host, place) = (&upstream.host, place(upstream));
    let is_own = host == "localhost" || upstream.address().is_some_and(|ip| ip.is_loopback());
    match obstacle {
        Obstacle::NoAddress => {
            "correct the host in api_base; if it is right, check this machine's resolver \
             (/etc/resolv.conf, the DNS of the container)"
                .to_owned()
        }
        Obstacle::ResolverSilent => {
            "check this machine's resolver (/etc/resolv.conf, the DNS of the container)"
                .to_owned()
        }
        Obstacle::Refused => {
            let container =
                if is_own { "; in a container this host is the container itself" } else { "" };
            format!(
                "start the server, or read its log if it has crashed; or correct host and port in \
                 api_base{container}"
            )
        }
        Obstacle::Filtered => format!(
            "allow connections to {place} in the firewall or security group, set HTTPS_PROXY if the \
             network has a proxy, or correct api_base"
        ),
        Obstacle::Unreachable => {
            "connect this machine to that network (route, VPN), or correct api_base".to_owned()
        }
        Obstacle::Proxy => format!("correct HTTPS_PROXY, or put {host} into NO_PROXY"),
        Obstacle::NoConnection => "check api_base: its scheme, host and port".to_owned(),
        Obstacle::Untrusted => {
            "for a private or self-signed certificate set SSL_CERT_FILE to a file with its root; a \
             proxy that inspects TLS has its own root"
                .to_owned()
        }
        Obstacle::OtherName => {
            "use a name of the certificate in api_base, or have a certificate issued for this name"
                .to_owned()
        }
        Obstacle::NotValidNow => {
            "renew the certificate, and check this machine's clock".to_owned()
        }
        Obstacle::NotTls => "use http:// in api_base, or the port that speaks TLS".to_owned(),
        Obstacle::HandshakeSilent => {
            "check the port: it may not speak TLS (then use http://), or a firewall may block TLS"
                .to_owned()
        }
        Obstacle::Handshake => {
            "the server must offer TLS 1.2 or 1.3 and not require a client certificate; if it does \
             not speak TLS at all, use http://"
                .to_owned()
        }
        Obstacle::Closed => {
            "read the server's log and restart it; check whether a proxy in between closes connections"
                .to_owned()
        }
        Obstacle::NoAnswer => {
            "check whether the engine hangs or its queue is long; allow more time \
             (health_check_timeout, doctor's --timeout) if it is only slow"
                .to_owned()
        }
        Obstacle::NoPath => "add /v1, or the API's own path, to api_base".to_owned(),
        Obstacle::NotHttp => {
            "use https:// in api_base if the port speaks TLS, or correct the port".to_owned()
        }
    }
}
