//! What a failure means to whoever runs the gateway, and what to do about it.
//!
//! Called by the page `/health`, by `hale doctor`, and where clients are told why. Always true: the cause and the obstacle are the
//! attempt's; here they only get their words. No secret is in them.

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::Obstacle;

use crate::clock::seconds;
use crate::upstream::Upstream;

/// A failure as an attempt reported it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure<'f> {
    /// Why.
    pub(crate) cause: Cause,
    /// What stood in the way.
    pub(crate) obstacle: Option<Obstacle>,
    /// The upstream's status.
    pub(crate) status: Option<u16>,
    /// What was said.
    pub(crate) message: &'f str,
}

impl Failure<'_> {
    /// Whether the upstream only named another address.
    pub(crate) fn is_redirect(&self) -> bool {
        self.status.is_some_and(|status| (300..400).contains(&status))
    }
}

/// What to do about a failure of `deployment`; nothing where it is the caller's or the gateway's.
pub(crate) fn fix(deployment: &Deployment, failure: &Failure<'_>) -> Option<String> {
    if let Some(obstacle) = failure.obstacle {
        return Some(past(obstacle, &Upstream::parse(&deployment.endpoint.api_base)));
    }
    let model = &deployment.endpoint.upstream_model;
    let text = match failure.cause {
        Cause::Auth => format!(
            "put a key that this provider issued into {}, and restart",
            key_source(deployment)
        ),
        Cause::Permission => format!(
            "give the account behind {} access to `{model}` at the provider, or use another key; some \
             regions are barred as a whole",
            key_source(deployment)
        ),
        Cause::NotFound if failure.is_redirect() => {
            "write the API's own address into api_base: https:// where it moved there, and its /v1"
                .to_owned()
        }
        Cause::NotFound => "correct `litellm_params.model`; at Azure it is the deployment's name, \
                            with the region's api_base and a known api_version"
            .to_owned(),
        Cause::RateLimited => {
            "wait; for the meantime add a deployment with a key of its own, or have the limit raised"
                .to_owned()
        }
        Cause::Quota => {
            "pay, or raise the allowance, at the provider; until then add a deployment elsewhere"
                .to_owned()
        }
        Cause::Overloaded => {
            "wait; add a deployment at a second provider to the group".to_owned()
        }
        Cause::ServerError if failure.status == Some(503) => {
            "look into the server's log: wait while it loads the model, restart it if its engine \
             has crashed"
                .to_owned()
        }
        Cause::ServerError => {
            "look into the server's log, or at the provider's status page".to_owned()
        }
        Cause::Timeout | Cause::StreamStall => {
            "look whether the engine hangs or its queue is long; raise health_check_timeout if it \
             is only slow"
                .to_owned()
        }
        Cause::StreamCut => past(Obstacle::Closed, &Upstream::parse(&deployment.endpoint.api_base)),
        Cause::BadResponse => {
            "check that api_base is the API's, with its /v1, and that model_info.mode is right"
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
        | Cause::ClientTimeout
        | Cause::ClientClosed
        | Cause::Gateway => return None,
    };
    Some(text)
}

/// What to do about a failure of a client's request. It names no host: clients may not see where
/// upstreams are.
pub(crate) fn fix_of_traffic(
    deployment: &Deployment,
    cause: Cause,
    status: Option<u16>,
) -> Option<String> {
    match cause {
        Cause::Timeout | Cause::StreamStall => Some(
            "look whether the engine hangs or its queue is long; raise timeout or stream_timeout if \
             it is only slow"
                .to_owned(),
        ),
        cause => fix(deployment, &Failure { cause, obstacle: None, status, message: "" }),
    }
}

/// What is wrong, in one sentence that a person understands who has not seen the code.
pub(crate) fn problem(deployment: &Deployment, failure: &Failure<'_>) -> String {
    let status = failure.status.map_or(String::new(), |status| format!(" ({status})"));
    let upstream = Upstream::parse(&deployment.endpoint.api_base);
    match failure.obstacle {
        Some(Obstacle::NoAnswer) => {
            let limit_ms = deployment.probing.timeout_ms;
            let limit =
                limit_ms.map_or("in time".to_owned(), |ms| format!("within {} s", seconds(ms)));
            return format!("{} takes the request and does not answer {limit}", place(&upstream));
        }
        Some(obstacle) => return met(obstacle, &upstream, failure.message),
        None => {}
    }
    let what = match failure.cause {
        Cause::Auth => "the provider refuses the key".to_owned(),
        Cause::Permission => "the provider knows the key and refuses it this model".to_owned(),
        Cause::NotFound if failure.is_redirect() => {
            "this address only leads to another one".to_owned()
        }
        Cause::NotFound => {
            format!("the provider has no model `{}`", deployment.endpoint.upstream_model)
        }
        Cause::RateLimited => "the provider wants to be left alone".to_owned(),
        Cause::Quota => "the account has no money or allowance left".to_owned(),
        Cause::Overloaded => "the provider has too much to do".to_owned(),
        Cause::ServerError if failure.status == Some(503) => {
            "the server is up, its model is not".to_owned()
        }
        Cause::ServerError => "the server fails".to_owned(),
        Cause::Timeout | Cause::StreamStall => "the server takes too long".to_owned(),
        Cause::StreamCut => met(Obstacle::Closed, &upstream, ""),
        Cause::BadResponse => return format!("this is no answer of the API: {}", failure.message),
        Cause::Connect => "there is no connection".to_owned(),
        Cause::Dns => "the host name does not resolve".to_owned(),
        Cause::Tls => "the TLS handshake fails".to_owned(),
        Cause::Misconfigured => "it can not work as configured".to_owned(),
        Cause::BadRequest | Cause::Unsupported | Cause::ContextWindow | Cause::ContentPolicy => {
            "the provider does not take the check's request".to_owned()
        }
        Cause::ClientTimeout | Cause::ClientClosed | Cause::Gateway => {
            "this process could not make the check".to_owned()
        }
    };
    // That says no more than the status.
    if failure.message.is_empty() || failure.message.starts_with("the upstream answered ") {
        return format!("{what}{status}");
    }
    format!("{what}{status}: {}", failure.message)
}

/// Where the key is written.
fn key_source(deployment: &Deployment) -> String {
    match (&deployment.credential.key_variable, deployment.endpoint.provider.api_key_env.first()) {
        (Some(name), _) => format!("the environment variable {name}"),
        (None, Some(name)) => format!("api_key of {} or {name}", label(deployment)),
        (None, None) => format!("api_key of {}", label(deployment)),
    }
}

/// What a person calls the deployment: its id, where somebody gave it one, else its model and place.
pub(crate) fn label(deployment: &Deployment) -> String {
    if has_own_id(deployment) {
        return deployment.id.to_string();
    }
    format!("{} (line {})", deployment.endpoint.model_param, line(deployment))
}

/// The same where there is little room.
pub(crate) fn short_label(deployment: &Deployment) -> String {
    if has_own_id(deployment) {
        return deployment.id.to_string();
    }
    format!("{} :{}", deployment.endpoint.model_param, line(deployment))
}

/// Whether somebody gave it an id; else it is a hash.
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

/// What was met.
fn met(obstacle: Obstacle, upstream: &Upstream, message: &str) -> String {
    let (host, place) = (&upstream.host, place(upstream));
    // What the library says, without what the verdict says already.
    let message = message.rsplit_once("invalid peer certificate: ").map_or(message, |(_, why)| why);
    match obstacle {
        // What the resolver says begins with what everybody knows.
        Obstacle::NoAddress => message.replace("failed to lookup address information: ", ""),
        Obstacle::ResolverSilent => {
            format!("the resolver of this machine does not answer when asked for {host}")
        }
        Obstacle::Refused => format!("{place} refuses connections: no server runs there"),
        Obstacle::Filtered => {
            format!("nothing comes back from {place}: what is sent there is dropped on the way")
        }
        Obstacle::Unreachable => format!("there is no way from this machine to {place}"),
        Obstacle::Proxy => {
            let why = message.strip_prefix("no connection: ").unwrap_or(message);
            format!("the proxy of HTTPS_PROXY gives no way to {place}: {why}")
        }
        Obstacle::NoConnection | Obstacle::Handshake => message.to_owned(),
        Obstacle::Untrusted => {
            format!("nobody whom this machine trusts has signed the certificate of {place}")
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
                "{place} accepts the connection and closes it without a whole answer: the server crashed or is going down"
            )
        }
        Obstacle::NoAnswer => format!("{place} takes the request and does not answer in time"),
        Obstacle::NotHttp => {
            let why = message.rsplit_once(": ").map_or(message, |(_, why)| why);
            format!("{place} does not speak HTTP: {why}")
        }
    }
}

/// How to get past it.
fn past(obstacle: Obstacle, upstream: &Upstream) -> String {
    let (host, place) = (&upstream.host, place(upstream));
    let is_own = host == "localhost" || upstream.address().is_some_and(|ip| ip.is_loopback());
    match obstacle {
        Obstacle::NoAddress => {
            "correct the host in api_base; if it is right, look at this machine's resolver \
             (/etc/resolv.conf, the DNS of the container)"
                .to_owned()
        }
        Obstacle::ResolverSilent => {
            "look at this machine's resolver (/etc/resolv.conf, the DNS of the container)"
                .to_owned()
        }
        Obstacle::Refused => {
            let container =
                if is_own { "; in a container this host is the container itself" } else { "" };
            format!(
                "start the server; if it ran before it has crashed, and its log says why; or correct \
                 host and port in api_base{container}"
            )
        }
        Obstacle::Filtered => format!(
            "let connections to {place} through the firewall or security group, or set HTTPS_PROXY \
             where the network has a proxy; or correct api_base"
        ),
        Obstacle::Unreachable => {
            "connect this machine to that network (route, VPN), or correct api_base".to_owned()
        }
        Obstacle::Proxy => format!("correct HTTPS_PROXY, or put {host} into NO_PROXY"),
        Obstacle::NoConnection => "check api_base: its scheme, host and port".to_owned(),
        Obstacle::Untrusted => {
            "for a private or self-signed certificate set SSL_CERT_FILE to a file with its root; a \
             proxy that opens TLS has a root of its own"
                .to_owned()
        }
        Obstacle::OtherName => {
            "write a name that the certificate has into api_base, or have one issued for this name"
                .to_owned()
        }
        Obstacle::NotValidNow => {
            "have the certificate renewed; check this machine's clock".to_owned()
        }
        Obstacle::NotTls => "write http:// in api_base, or the port that speaks TLS".to_owned(),
        Obstacle::HandshakeSilent => {
            "check the port: it may speak no TLS (then http://), or something between cuts TLS off"
                .to_owned()
        }
        Obstacle::Handshake => {
            "the server must offer TLS 1.2 or 1.3, and ask for no client certificate; where it speaks \
             no TLS at all write http://"
                .to_owned()
        }
        Obstacle::Closed => {
            "look into the server's log, and restart it; look for a proxy between that closes \
             connections"
                .to_owned()
        }
        Obstacle::NoAnswer => {
            "look whether the engine hangs or its queue is long; allow more time \
             (health_check_timeout, doctor's --timeout) if it is only slow"
                .to_owned()
        }
        Obstacle::NotHttp => {
            "write https:// in api_base if the port speaks TLS, or correct the port".to_owned()
        }
    }
}
