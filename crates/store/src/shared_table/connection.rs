//! The connection of the shared table: opened again whenever it is lost.
//!
//! Part of [`super::SharedTable`]. Always true: whether the server notifies this process is tried out, not configured: a
//! pooler that lends connections for a transaction takes LISTEN without an error and delivers nothing.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Config};

use super::{Delivery, SharedTable, statements};
use crate::error::Error;
use crate::failure::of_postgres;
use crate::postgres::{Link, link};
use crate::tls::Tls;

/// How long a connection may take, and the trial of its notifications.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a notification may take to come back.
const ECHO_MAX: Duration = Duration::from_secs(1);
/// How long the cancelling of a call may take.
const CANCEL_MAX: Duration = Duration::from_secs(1);
/// The pause between connections: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// How often what has ended is deleted.
const SWEEP: Duration = Duration::from_secs(60);
/// The kind of the news that a process tells itself.
const ECHO: &str = "echo";

impl SharedTable {
    /// Stays connected, and gives news of others, their kind and their text, to `heard`, for as long as it is polled.
    pub async fn run(&self, heard: impl Fn(&str, &str) + Send + Sync) {
        let mut pause = PAUSE_MIN;
        loop {
            let Err(error) = self.serve(&heard).await;
            let was_connected = self.client.lock().take().is_some();
            self.note(&error);
            pause = if was_connected { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Connects, and serves calls until the connection fails.
    async fn serve(
        &self,
        heard: &(impl Fn(&str, &str) + Send + Sync),
    ) -> Result<Infallible, Error> {
        let tls = Tls::new(&self.server, &self.roots)?;
        let config = &self.server.config;
        let place = self.server.to_string();
        let late = || self.away("it does not answer within 3 s");
        let linked = timeout(CONNECT_MAX, link(config, &tls, &place)).await;
        let (client, link) = linked.unwrap_or_else(|_| Err(late()))?;
        let client = Arc::new(client);
        let working = async {
            let tried = timeout(CONNECT_MAX, self.try_out(&client, config, &tls)).await;
            let delivery = tried.unwrap_or_else(|_| Err(late()))?;
            *self.delivery.lock() = delivery;
            *self.client.lock() = Some(client.clone());
            tracing::info!(database = %self.server, ?delivery, "the database carries what replicas share");
            self.until_slow(&client).await
        };
        tokio::select! {
            error = self.listen(link, heard) => Err(error),
            error = working => {
                // Else a call that waits for a lock holds its place at the server.
                let cancelling = client.cancel_token();
                let _late: Result<_, _> = timeout(CANCEL_MAX, cancelling.cancel_query(tls.clone())).await;
                error
            }
        }
    }

    /// Deletes now and then what has ended, until a call meets its limit.
    async fn until_slow(&self, client: &Client) -> Result<Infallible, Error> {
        loop {
            if timeout(SWEEP, self.slow.notified()).await.is_ok() {
                return Err(self.away("it does not answer within half a second"));
            }
            // Whatever is wrong with it, the next call meets it as well.
            let _failed: Result<_, _> =
                timeout(SWEEP, client.execute_typed(statements::SWEEP, &[])).await;
        }
    }

    /// Moves the connection's bytes and passes on what it is notified of, until it ends.
    async fn listen(&self, mut link: Link, heard: &(impl Fn(&str, &str) + Send + Sync)) -> Error {
        loop {
            match poll_fn(|context| link.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(news))) => {
                    let (kind, text) =
                        news.payload().split_once(' ').unwrap_or((news.payload(), ""));
                    if kind != ECHO {
                        heard(kind, text);
                    } else if *text == *self.scope.me {
                        self.echoed.notify_one();
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return self.failed(&error),
                None => return self.away("the connection ended"),
            }
        }
    }

    /// Whether this connection is notified of what another one tells.
    async fn try_out(
        &self,
        client: &Client,
        config: &Config,
        tls: &Tls,
    ) -> Result<Delivery, Error> {
        let place = self.server.to_string();
        // A server with no place for a second connection delivers by the first one alone.
        let Ok((other, link)) = link(config, tls, &place).await else { return Ok(Delivery::Poll) };
        tokio::select! {
            delivery = self.echo(client, &other) => delivery,
            _ended = link => Ok(Delivery::Poll),
        }
    }

    async fn echo(&self, client: &Client, other: &Client) -> Result<Delivery, Error> {
        // A pooler gives the process that served the one to the other, or another one the second time.
        let first = self.process(client).await?;
        self.run_on(other, "begin").await?;
        let between = self.process(other).await?;
        let then = self.process(client).await?;
        self.run_on(other, "commit").await?;
        if first != then || first == between {
            return Ok(Delivery::Poll);
        }
        let (channel, me) = (&self.scope.channel, &self.scope.me);
        self.run_on(client, &format!("listen {channel}")).await?;
        // The name of a channel and of a replica are of this process's making.
        let echo = format!("select pg_notify('{channel}', '{ECHO} {}')", me.replace('\'', "''"));
        self.run_on(other, &echo).await?;
        if timeout(ECHO_MAX, self.echoed.notified()).await.is_ok() {
            return Ok(Delivery::Notify);
        }
        self.run_on(client, "unlisten *").await?;
        Ok(Delivery::Poll)
    }

    /// The server's process that has this connection now.
    async fn process(&self, client: &Client) -> Result<i32, Error> {
        let failed = |error| of_postgres(&self.server.to_string(), &error);
        let row = client.query_typed_one("select pg_backend_pid()", &[]).await.map_err(failed)?;
        row.try_get(0).map_err(failed)
    }

    async fn run_on(&self, client: &Client, sql: &str) -> Result<(), Error> {
        client.batch_execute(sql).await.map_err(|error| self.failed(&error))
    }
}
