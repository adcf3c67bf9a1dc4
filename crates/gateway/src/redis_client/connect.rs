//! How Redis is connected to: one server, a cluster, or what sentinels say.
//!
//! Called by [`super::Redis::run`]. Always true: certificates are verified; no message contains a password; a node of a
//! cluster is used as one, however it is named, because by itself it answers for a part of the keys only.

use std::time::Duration;

use ::redis::cluster::ClusterClient;
use ::redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, TlsMode,
};
use hale_core::secret::Secret;
use hale_core::settings::{RedisPlace, RedisSettings, Transport};

use super::{Connected, Connection};

/// The time limit of a call of the library's own, in a cluster.
const CLUSTER_LIMIT: Duration = Duration::from_millis(500);

/// A connection, which has answered.
///
/// # Errors
/// What the library says.
pub(super) async fn connect(settings: &RedisSettings) -> Result<Connected, RedisError> {
    let connected = match &settings.place {
        RedisPlace::Url(url) => {
            let info = url.expose().into_connection_info()?;
            server(with_credentials(info, settings)).await?
        }
        RedisPlace::Host(host, port) => server(node(host, *port, settings)?).await?,
        RedisPlace::Cluster(nodes) => {
            let infos = nodes.iter().map(|(host, port)| node(host, *port, settings));
            cluster(infos.collect::<Result<Vec<ConnectionInfo>, RedisError>>()?).await?
        }
        RedisPlace::Sentinel { nodes, service, password } => {
            let sentinels = nodes.iter().map(|(host, port)| address(host, *port, settings));
            let mut builder =
                SentinelClientBuilder::new(sentinels, service, SentinelServerType::Master)?
                    .set_client_to_redis_db(i64::from(settings.db));
            if let Some(username) = &settings.username {
                builder = builder.set_client_to_redis_username(username);
            }
            if let Some(own) = &settings.password {
                builder = builder.set_client_to_redis_password(own.expose());
            }
            if let Some(password) = password {
                builder = builder.set_client_to_sentinel_password(password.expose());
            }
            if settings.transport == Transport::Tls {
                builder = builder
                    .set_client_to_redis_tls_mode(TlsMode::Secure)
                    .set_client_to_sentinel_tls_mode(TlsMode::Secure);
            }
            one(builder.build()?.async_get_client().await?).await?
        }
    };
    let mut connection = connected.connection.clone();
    let _pong: String = ::redis::cmd("PING").query_async(&mut connection).await?;
    Ok(connected)
}

async fn one(client: Client) -> Result<Connected, RedisError> {
    // The limits are those of each call.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    Ok(Connected { connection: Connection::One(connection), client })
}

/// One server, or the cluster that it is a node of.
async fn server(info: ConnectionInfo) -> Result<Connected, RedisError> {
    let connected = one(Client::open(info.clone())?).await?;
    let mut connection = connected.connection.clone();
    let mut ask = ::redis::cmd("INFO");
    ask.arg("cluster");
    // Not every server says so, and to every user.
    let said: Result<String, RedisError> = ask.query_async(&mut connection).await;
    match said.is_ok_and(|said| said.contains("cluster_enabled:1")) {
        true => cluster(vec![info]).await,
        false => Ok(connected),
    }
}

/// The cluster that these nodes are of.
async fn cluster(infos: Vec<ConnectionInfo>) -> Result<Connected, RedisError> {
    let Some(first) = infos.first().cloned() else {
        return Err(RedisError::from((::redis::ErrorKind::InvalidClientConfig, "no nodes")));
    };
    let mut builder = ClusterClient::builder(infos).retries(1).response_timeout(CLUSTER_LIMIT);
    if matches!(first.addr(), ConnectionAddr::TcpTls { .. }) {
        builder = builder.tls(TlsMode::Secure);
    }
    let connection = builder.build()?.get_async_connection().await?;
    // What is published on one node reaches the subscribers of all.
    Ok(Connected { connection: Connection::Cluster(connection), client: Client::open(first)? })
}

fn address(host: &str, port: u16, settings: &RedisSettings) -> ConnectionAddr {
    match settings.transport {
        Transport::Plain => ConnectionAddr::Tcp(host.to_owned(), port),
        Transport::Tls => ConnectionAddr::TcpTls {
            host: host.to_owned(),
            port,
            insecure: false,
            tls_params: None,
        },
    }
}

/// Another node of the cluster that `first` is of.
pub(super) fn sibling(first: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    // One that does not know its own address is the one that said so.
    let host = |known: &str| if host.is_empty() { known.to_owned() } else { host.to_owned() };
    let addr = match first.addr() {
        ConnectionAddr::TcpTls { host: known, insecure, tls_params, .. } => {
            let (insecure, tls_params) = (*insecure, tls_params.clone());
            ConnectionAddr::TcpTls { host: host(known), port, insecure, tls_params }
        }
        ConnectionAddr::Tcp(known, _) => ConnectionAddr::Tcp(host(known), port),
        other => other.clone(),
    };
    first.clone().set_addr(addr)
}

fn node(host: &str, port: u16, settings: &RedisSettings) -> Result<ConnectionInfo, RedisError> {
    let info = address(host, port, settings).into_connection_info()?;
    Ok(with_credentials(info, settings))
}

/// The same with what the settings say beside the address. What a URL says itself wins.
fn with_credentials(info: ConnectionInfo, settings: &RedisSettings) -> ConnectionInfo {
    let mut redis: RedisConnectionInfo = info.redis_settings().clone();
    if let Some(username) = settings.username.as_deref().filter(|_| redis.username().is_none()) {
        redis = redis.set_username(username);
    }
    if let Some(password) = settings.password.as_ref().filter(|_| redis.password().is_none()) {
        redis = redis.set_password(password.expose());
    }
    if redis.db() == 0 {
        redis = redis.set_db(i64::from(settings.db));
    }
    info.set_redis_settings(redis)
}

/// Where it is, without credentials.
pub(super) fn shown(settings: &RedisSettings) -> String {
    let listed = |nodes: &[(Box<str>, u16)]| {
        let each = nodes.iter().map(|(host, port)| format!("{host}:{port}"));
        each.collect::<Vec<_>>().join(",")
    };
    match &settings.place {
        RedisPlace::Url(url) => masked(url),
        RedisPlace::Host(host, port) => format!("{host}:{port}"),
        RedisPlace::Cluster(nodes) => format!("cluster {}", listed(nodes)),
        RedisPlace::Sentinel { nodes, service, .. } => {
            format!("{service} of sentinels {}", listed(nodes))
        }
    }
}

/// The URL with its user and password left out, and what may be a password in its query.
fn masked(url: &Secret) -> String {
    let url = url.expose();
    let Some((scheme, remainder)) = url.split_once("://") else { return "***".to_owned() };
    let (whole, query) = remainder.split_at(remainder.find(['?', '#']).unwrap_or(remainder.len()));
    // The password may have such a sign that is not written as %3F or %23: what is in front of it may be a part of it.
    if query.contains('@') {
        return format!("{scheme}://***");
    }
    match whole.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://***@{place}"),
        None => format!("{scheme}://{whole}"),
    }
}

/// What is wrong, and the fix.
pub(super) fn explained(settings: &RedisSettings, problem: &str) -> String {
    let mut problem = problem.to_owned();
    if let Some(password) = &settings.password {
        password.hide_in(&mut problem);
    }
    if let RedisPlace::Url(url) = &settings.place {
        url.hide_in(&mut problem);
    }
    let lower = problem.to_ascii_lowercase();
    let fix = if lower.contains("did not parse") {
        "write redis://USER:PASSWORD@HOST:PORT/DB, signs such as ? # / @ in the password as %3F %23 %2F %40"
    } else if lower.contains("wrongpass")
        || lower.contains("noauth")
        || lower.contains("authentication failed")
    {
        "set the password that the server expects: redis_password, REDIS_PASSWORD or the URL"
    } else if lower.contains("cluster support disabled") {
        "it is a single server: name it by redis_host, not as nodes of a cluster"
    } else if lower.contains("certificate") || lower.contains("tls") {
        "use a certificate that SSL_CERT_FILE or the system trusts, or a plain address"
    } else {
        "see that it runs and that this machine reaches it"
    };
    format!("Redis at {} is not reached: {problem}; {fix}", shown(settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> RedisSettings {
        RedisSettings {
            place: RedisPlace::Url(Secret::new(url)),
            username: None,
            password: Some(Secret::new("beside-the-url")),
            db: 0,
            transport: Transport::Plain,
            namespace: None,
        }
    }

    #[test]
    fn addresses_are_shown_without_credentials() {
        let rows = [
            ("redis://h:1/2", "redis://h:1/2"),
            ("rediss://user:p%40ss@h:1", "rediss://***@h:1"),
            ("redis://:p@ss@h:1?password=x#insecure", "redis://***@h:1"),
            ("redis://:hunter2?x@h:1", "redis://***"),
            ("redis://u:hunter2@x#y@h:1", "redis://***"),
            ("redis://h:1?password=a@b", "redis://***"),
            ("redis+unix:///run/r.sock?pass=x", "redis+unix:///run/r.sock"),
            ("secret", "***"),
        ];
        for (url, expected) in rows {
            assert_eq!(shown(&at(url)), expected);
        }
    }

    #[test]
    fn a_problem_names_the_fix_and_no_password() {
        let text = explained(&at("redis://:hunter2hunter2@h:1"), "WRONGPASS beside-the-url is bad");
        assert!(text.contains("redis://***@h:1") && text.contains("REDIS_PASSWORD"), "{text}");
        assert!(!text.contains("beside-the-url") && !text.contains("hunter2"), "{text}");
        let unread = explained(&at("redis://:p?q@h:1"), "Redis URL did not parse");
        assert!(unread.contains("redis://*** is") && unread.contains("%3F"), "{unread}");
        let single = explained(&at("redis://h:1"), "This instance has cluster support disabled");
        assert!(single.contains("single server"), "{single}");
    }
}
