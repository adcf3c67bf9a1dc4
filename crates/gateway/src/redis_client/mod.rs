//! The connection to Redis or Valkey, for whatever is shared between replicas.
//!
//! Kept alive by [`Redis::run`] on the background thread; used by the fleet task, and by the cache of answers from any
//! thread, each with a connection of its own. Always true: every call has a time limit; while the breaker is open a call fails at once; only
//! [`Redis::run`] connects and finds out whether the server is back; no message contains a password.

mod breaker;
mod connect;
mod delete;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::{
    Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture, Script,
    ServerErrorKind, Value,
};
use arc_swap::ArcSwapOption;
use hale_core::settings::{LATENCY_BUCKETS, RedisSettings};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::breaker::{Breaker, Call};
use crate::clock;
use crate::metrics::Service;

/// The calls of all servers of the process.
static CALLS: LazyLock<Service> = LazyLock::new(|| Service::new(LATENCY_BUCKETS));

/// The time limit of one call.
pub(crate) const LIMIT: Duration = Duration::from_millis(50);
/// The time limit of a new connection, the first answer included.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// The first pause between attempts to connect, and the longest, milliseconds.
const BACKOFF_MS: (u64, u64) = (500, 30_000);
/// The pause between calls that find out whether the server still answers.
const SUSPECT_PAUSE: Duration = Duration::from_millis(100);

/// The calls of all servers of the process.
pub(crate) fn calls() -> &'static Service {
    &CALLS
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// There is no connection.
    #[error("Redis is not reached")]
    Down,
    /// No answer came within the limit.
    #[error("Redis does not answer in time")]
    TooSlow,
    /// It answered with an error, or the connection broke.
    #[error("Redis: {0}")]
    Error(#[from] RedisError),
}

impl Failed {
    /// The name in metrics, as in `LiteLLM`.
    fn class(&self) -> &'static str {
        match self {
            Failed::Down => "ConnectionError",
            Failed::TooSlow => "TimeoutError",
            Failed::Error(error) if is_lost(error) => "ConnectionError",
            Failed::Error(_) => "ResponseError",
        }
    }
}

/// A connection; clones share it.
#[derive(Clone)]
enum Connection {
    One(::redis::aio::MultiplexedConnection),
    Cluster(::redis::cluster_async::ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Connection::One(one) => one.req_packed_command(cmd),
            Connection::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Connection::One(one) => one.req_packed_commands(pipeline, offset, count),
            Connection::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Connection::One(one) => one.get_db(),
            Connection::Cluster(cluster) => cluster.get_db(),
        }
    }
}

/// What was connected.
struct Connected {
    connection: Connection,
    /// Opens connections for subscriptions to the same server.
    client: Client,
}

/// What it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What replicas share.
    Replicas,
    /// Answers that are kept.
    Answers,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Purpose::Replicas => "what replicas share",
            Purpose::Answers => "the answers that are kept",
        }
    }

    /// What happens without it.
    const fn without(self) -> &'static str {
        match self {
            Purpose::Replicas => "this process goes on by itself",
            Purpose::Answers => "answers are kept in this process only",
        }
    }
}

/// Redis.
pub(crate) struct Redis {
    purpose: Purpose,
    settings: RedisSettings,
    connected: ArcSwapOption<Connected>,
    breaker: Mutex<Breaker>,
    /// Why the last attempt to connect failed.
    problem: Mutex<Option<String>>,
    /// A call failed: see whether the server still answers.
    suspected: Notify,
}

impl Redis {
    /// The server that `settings` name, not connected yet.
    pub(crate) fn new(settings: RedisSettings, purpose: Purpose) -> Arc<Redis> {
        Arc::new(Redis {
            purpose,
            settings,
            connected: ArcSwapOption::empty(),
            breaker: Mutex::default(),
            problem: Mutex::default(),
            suspected: Notify::new(),
        })
    }

    /// Where it is, without credentials.
    pub(crate) fn shown(&self) -> String {
        connect::shown(&self.settings)
    }

    /// Whether calls have a chance.
    pub(crate) fn is_up(&self) -> bool {
        self.connected.load().is_some()
    }

    /// Why it is not reached, if that is known.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }

    /// Connects, and again whenever the connection is lost, for as long as it is polled.
    pub(crate) async fn run(&self) {
        let mut backoff_ms = BACKOFF_MS.0;
        loop {
            let connecting = connect::connect(&self.settings);
            let opened = match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
                Ok(Ok(connected)) => Ok(connected),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no answer within a second".to_owned()),
            };
            match opened {
                Ok(connected) => {
                    backoff_ms = BACKOFF_MS.0;
                    *self.breaker.lock() = Breaker::default();
                    *self.problem.lock() = None;
                    self.connected.store(Some(Arc::new(connected)));
                    tracing::info!(
                        "Redis at {} is connected, for {}",
                        self.shown(),
                        self.purpose.name()
                    );
                    self.watch().await;
                    self.connected.store(None);
                    tracing::warn!(
                        "Redis at {} does not answer; {}",
                        self.shown(),
                        self.purpose.without()
                    );
                }
                Err(problem) => {
                    let text = connect::explained(&self.settings, &problem);
                    let is_news = self.problem.lock().replace(text.clone()).as_ref() != Some(&text);
                    if is_news {
                        tracing::warn!("{text}; {}, and it keeps trying", self.purpose.without());
                    }
                }
            }
            // Replicas that lost it together do not come back together.
            let pause = backoff_ms / 2 + fastrand::u64(..=backoff_ms / 2);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            backoff_ms = (backoff_ms * 2).min(BACKOFF_MS.1);
        }
    }

    /// Waits until the breaker opens. A call that fails is followed by others at once, so that a server that
    /// hangs is known within a second.
    async fn watch(&self) {
        loop {
            self.suspected.notified().await;
            while self.breaker.lock().is_suspected() {
                let _failed: Result<String, Failed> =
                    self.query(&::redis::cmd("PING"), LIMIT).await;
                if self.breaker.lock().is_open() {
                    return;
                }
                tokio::time::sleep(SUSPECT_PAUSE).await;
            }
        }
    }

    /// Sends one command.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        limit: Duration,
    ) -> Result<T, Failed> {
        let Some(mut connection) = self.connection() else { return Err(Failed::Down) };
        self.within("query", limit, command.query_async(&mut connection)).await
    }

    /// Sends several calls at once, each of commands with keys of one place; an error of the server's is that of its call
    /// only.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn each<T: FromRedisValue>(
        &self,
        calls: Vec<Vec<Cmd>>,
        limit: Duration,
    ) -> Result<Vec<Result<T, RedisError>>, Failed> {
        match self.connection() {
            None => Err(Failed::Down),
            Some(Connection::One(one)) => {
                self.within("pipelines", limit, together(one, calls)).await
            }
            Some(cluster @ Connection::Cluster(_)) => {
                let sent = calls.into_iter().map(|call| apart(cluster.clone(), call));
                self.within("pipelines", limit, futures_util::future::try_join_all(sent)).await
            }
        }
    }

    /// Runs a script; `keys` decide which node of a cluster has it.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> Result<T, Failed> {
        let Some(mut connection) = self.connection() else { return Err(Failed::Down) };
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        for argument in arguments {
            call.arg(&argument[..]);
        }
        self.within("script", LIMIT, call.invoke_async(&mut connection)).await
    }

    /// A connection of its own that gets what is published on `channels`.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn subscribe(
        &self,
        channels: &[&str],
    ) -> Result<::redis::aio::PubSub, Failed> {
        let connected = self.connected.load_full().ok_or(Failed::Down)?;
        let subscribing = async {
            let mut subscription = connected.client.get_async_pubsub().await?;
            subscription.subscribe(channels).await?;
            Ok(subscription)
        };
        match tokio::time::timeout(CONNECT_LIMIT, subscribing).await {
            Ok(subscribed) => subscribed.map_err(Failed::Error),
            Err(_) => Err(Failed::TooSlow),
        }
    }

    fn connection(&self) -> Option<Connection> {
        self.connected.load().as_ref().map(|connected| connected.connection.clone())
    }

    async fn within<T>(
        &self,
        what: &'static str,
        limit: Duration,
        call: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, Failed> {
        let began = clock::now();
        let ended = match tokio::time::timeout(limit, call).await {
            Ok(ended) => ended.map_err(Failed::Error),
            Err(_) => Err(Failed::TooSlow),
        };
        let failed = ended.as_ref().err().map(|failed| (failed.class(), what));
        CALLS.called(clock::now().since(began), failed);
        // Other errors that the server itself sends show that it works.
        let call = match &ended {
            Ok(_) | Err(Failed::Down) => Call::Answered,
            Err(Failed::TooSlow) => Call::Lost,
            Err(Failed::Error(error)) if is_lost(error) => Call::Lost,
            Err(Failed::Error(_)) => Call::Answered,
        };
        self.breaker.lock().ended(call);
        if call == Call::Lost {
            self.suspected.notify_one();
        }
        ended
    }
}

/// Sends one call to the node of a cluster that has its keys.
async fn apart<T: FromRedisValue>(
    mut connection: Connection,
    call: Vec<Cmd>,
) -> Result<Result<T, RedisError>, RedisError> {
    match pipeline(call).query_async(&mut connection).await {
        Err(error) if is_lost(&error) => Err(error),
        answered => Ok(answered),
    }
}

/// Sends all calls as one pipeline: a task and a channel for each would take longer than Redis does.
async fn together<T: FromRedisValue>(
    mut one: ::redis::aio::MultiplexedConnection,
    calls: Vec<Vec<Cmd>>,
) -> Result<Vec<Result<T, RedisError>>, RedisError> {
    let lengths: Vec<usize> = calls.iter().map(Vec::len).collect();
    let mut all = pipeline(calls.into_iter().flatten());
    all.ignore_errors();
    let answers: Vec<Result<Value, RedisError>> = all.query_async(&mut one).await?;
    let mut answers = answers.into_iter();
    let mut sorted = Vec::with_capacity(lengths.len());
    for length in lengths {
        let values: Result<Vec<Value>, RedisError> = answers.by_ref().take(length).collect();
        match values.and_then(|values| Ok(::redis::from_redis_value(Value::Array(values))?)) {
            Err(error) if is_lost(&error) => return Err(error),
            answered => sorted.push(answered),
        }
    }
    Ok(sorted)
}

fn pipeline(commands: impl IntoIterator<Item = Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    commands.into_iter().for_each(|command| _ = pipeline.add_command(command));
    pipeline
}

/// Whether an error says that this server is not the one to ask: the connection's, or that it is a replica or not ready.
fn is_lost(error: &RedisError) -> bool {
    let is_other = match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading
        ),
        _ => false,
    };
    is_other || error.is_io_error() || error.is_connection_dropped()
}
