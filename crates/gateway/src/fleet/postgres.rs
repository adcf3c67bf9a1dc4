//! PostgreSQL as the carrier between replicas: the table that the store keeps for them.
//!
//! Part of [`super::carrier`]. Always true: what is in the table is text, and is not read here; news that a notification
//! cannot carry arrive without their text, and then everything is heard.

use std::sync::Arc;

use hale_core::fleet::{LIVE_MS, ServerClock, ServerMs, Want};
use hale_core::time::Millis;
use hale_store::{Delivery, Lease, SharedTable};
use tokio::sync::mpsc;

use super::terms::{Asked, Exchanged, Failed, Holder, Kept, Leased, News, Topic};
use crate::clock;

/// The words of news.
const EVIDENCE: &str = "evidence";
const PROBE: &str = "probe";

/// PostgreSQL between replicas.
pub(super) struct ThroughPostgres(Arc<SharedTable>);

impl ThroughPostgres {
    pub(super) fn new(table: Arc<SharedTable>) -> ThroughPostgres {
        ThroughPostgres(table)
    }

    pub(super) fn problem(&self) -> Option<String> {
        self.0.problem().map(|problem| problem.to_string())
    }

    pub(super) fn delivery(&self) -> &'static str {
        match self.0.delivery() {
            Delivery::Notify => "notify",
            Delivery::Poll => "poll",
        }
    }

    /// Stays connected, and passes on what the server notifies of.
    pub(super) async fn run(&self, heard: &mpsc::Sender<News>) {
        let pass_on = |kind: &str, text: &str| {
            let (topic, text) = match kind {
                EVIDENCE => (Topic::Evidence, text),
                PROBE => (Topic::Probe, text),
                // Not ours: it is counted where it is read.
                other => (Topic::Evidence, if other.is_empty() { "?" } else { other }),
            };
            let text = text.as_bytes().to_vec();
            // What there is no room for is heard with the next exchange.
            let _full: Result<(), _> = heard.try_send(News { topic, text });
        };
        self.0.run(pass_on).await;
    }

    pub(super) async fn exchange(&self, said: &[u8]) -> Result<Exchanged, Failed> {
        let begun = clock::now().millis();
        let heard = self.0.exchange(&String::from_utf8_lossy(said), LIVE_MS).await?;
        let took = clock::now().millis().since(begun);
        // The server read its clock somewhere in between.
        let clock = ServerClock { here: Millis(begun.0 + took / 2), server: ServerMs(heard.now) };
        let said = heard.said.into_iter().map(|text| text.into_boxed_bytes().into_vec()).collect();
        Ok(Exchanged { clock, said, garbage: heard.garbage })
    }

    pub(super) async fn publish(&self, topic: Topic, text: &[u8]) -> Result<(), Failed> {
        let kind = match topic {
            Topic::Evidence => EVIDENCE,
            Topic::Probe => PROBE,
        };
        Ok(self.0.tell(kind, &String::from_utf8_lossy(text)).await?)
    }

    pub(super) async fn lease(&self, period_ms: u64, asked: &[Asked]) -> Result<Leased, Failed> {
        let word = |want: Option<Want>| match want {
            Some(Want::Hold) => Lease::Hold,
            Some(Want::GiveUp) => Lease::GiveUp,
            None => Lease::Look,
        };
        let asked: Vec<(&str, Lease)> =
            asked.iter().map(|(id, want)| (&**id, word(*want))).collect();
        let leased = self.0.lease(period_ms, &asked).await?;
        let holder = |(pod, left_ms): (Box<str>, u64)| Holder { pod: pod.into(), left_ms };
        let holders = leased.holders.into_iter().map(|one| one.map(holder)).collect();
        Ok(Leased { holders, garbage: leased.garbage })
    }

    pub(super) async fn probes(&self) -> Result<Kept, Failed> {
        let kept = self.0.kept().await?;
        let results = kept.into_iter().map(|text| text.into_boxed_bytes().into_vec()).collect();
        Ok(Kept { results, garbage: 0 })
    }

    pub(super) async fn keep(
        &self,
        deployment: &str,
        text: &[u8],
        kept_ms: u64,
    ) -> Result<(), Failed> {
        Ok(self.0.keep(deployment, &String::from_utf8_lossy(text), kept_ms).await?)
    }
}
