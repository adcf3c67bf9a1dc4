//! The probes that replicas share: leases, and results.
//!
//! Part of the fleet task. Always true: the health thread probes what this replica holds a lease of, and knows the
//! results of the others before it is given their leases; without the server between them it probes everything.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hale_core::fleet::{Holding, Leases, ServerClock, ServerMs, SharedProbe, Want};
use hale_core::health::probe::Status;
use hale_core::time::Millis;

use super::carrier::Carrier;
use super::terms::{Asked, Failed, Topic};
use crate::state::Process;
use crate::state::health::Elsewhere;

/// How long the server between the replicas may be silent before this replica probes by itself, milliseconds.
const ALONE_AFTER_MS: u64 = 2_000;

/// Whose probes they are, and where they are shared.
type With<'w> = (&'w Arc<Process>, &'w Carrier);

/// Whether this replica goes on probing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It takes its share of the leases.
    Stays,
    /// It gives its leases up, because it stops.
    Leaves,
}

/// The probes that replicas share.
#[derive(Default)]
pub(super) struct Probes {
    leases: Leases,
    /// When the newest known result of each deployment ended.
    seen: HashMap<Arc<str>, ServerMs>,
    last: Option<(Millis, Arc<str>)>,
    /// Deployments whose last result of this replica's the others could not be told.
    untold: BTreeSet<Arc<str>>,
}

impl Probes {
    /// Takes and renews leases, once a second, and tells the health thread.
    pub(super) async fn lease(
        &mut self,
        with: With<'_>,
        (me, others): (&Arc<str>, &[Arc<str>]),
        (clock, lost): (ServerClock, Option<Millis>),
        presence: Presence,
    ) {
        let (process, _) = with;
        let serving = process.serving();
        let (shared, now) = (&serving.snapshot.shared, clock.here);
        let hold = |held| process.health.limits.lock().leases.hold(held);
        if !shared.probes || lost.is_some_and(|since| now.since(since) >= ALONE_AFTER_MS) {
            hold(None);
            return;
        }
        let subjects = process.health.limits.lock().leases.subjects().to_vec();
        // The results first: what another replica has just probed is not due here.
        if self.read(with, clock).await.is_err() {
            return;
        }
        let mut wants: HashMap<Arc<str>, Want> = match presence {
            Presence::Leaves => self.own(now).map(|(id, _)| (id.clone(), Want::GiveUp)).collect(),
            Presence::Stays => {
                let wanted = self.leases.wanted(now, &subjects, (me, others), shared.lease_ms);
                wanted.into_iter().collect()
            }
        };
        // A lease is renewed when a third of it has passed.
        let fresh: Vec<Arc<str>> = self
            .own(now)
            .filter(|(_, until)| until.since(now) > shared.lease_ms / 3 * 2)
            .map(|(id, _)| id.clone())
            .collect();
        for id in fresh {
            if wants.get(&id) == Some(&Want::Hold) {
                wants.remove(&id);
            }
        }
        let asked: Vec<Asked> =
            subjects.iter().map(|id| (id.clone(), wants.get(id).copied())).collect();
        if self.ask(with, me, &asked, (now, shared.lease_ms)).await.is_err() {
            return;
        }
        self.leases.retain(|id| subjects.iter().any(|one| **one == *id));
        hold(Some(self.own(now).map(|(id, until)| (id.clone(), until)).collect()));
    }

    async fn ask(
        &mut self,
        (process, carrier): With<'_>,
        me: &Arc<str>,
        asked: &[Asked],
        (now, lease_ms): (Millis, u64),
    ) -> Result<(), Failed> {
        let leased = carrier.lease(me, lease_ms, asked).await?;
        process.fleet.garbage.fetch_add(leased.garbage, Ordering::Relaxed);
        for ((subject, _), holder) in asked.iter().zip(leased.holders) {
            let holding = holder.map(|holder| {
                let until = now.plus(holder.left_ms);
                if holder.pod == *me {
                    Holding::Own(until)
                } else {
                    Holding::Other(holder.pod, until)
                }
            });
            self.leases.told(now, subject, holding);
        }
        Ok(())
    }

    fn own(&self, now: Millis) -> impl Iterator<Item = (&Arc<str>, Millis)> {
        self.leases.held(now).filter_map(|(id, holding)| match holding {
            Holding::Own(until) => Some((id, *until)),
            Holding::Other(..) => None,
        })
    }

    /// Reads the last results of all probes.
    async fn read(
        &mut self,
        (process, carrier): With<'_>,
        clock: ServerClock,
    ) -> Result<(), Failed> {
        let kept = carrier.probes().await?;
        process.fleet.garbage.fetch_add(kept.garbage, Ordering::Relaxed);
        kept.results.iter().for_each(|bytes| self.hear(process, bytes, clock));
        Ok(())
    }

    /// A result of a probe, of whichever replica.
    pub(super) fn hear(&mut self, process: &Process, bytes: &[u8], clock: ServerClock) {
        let serving = process.serving();
        let Some(told) = SharedProbe::read(bytes, clock.server) else {
            process.fleet.garbage.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let age_ms = clock.server.since(told.ended);
        let is_known = self.seen.get(&told.deployment).is_some_and(|at| *at >= told.ended);
        let shared = &serving.snapshot.shared;
        if is_known || !shared.probes || age_ms > shared.result_ms {
            return;
        }
        // Until the health thread has planned it, nothing can be told of it: it is heard again.
        let is_planned = {
            let limits = process.health.limits.lock();
            limits.leases.subjects().contains(&told.deployment)
        };
        if !is_planned {
            return;
        }
        let (ended, by) = (told.ended, told.by.clone());
        let probe = Arc::new(told.result(clock));
        let (deployment, is_confirmed) = (told.deployment, told.is_confirmed);
        let elsewhere = Elsewhere { deployment: deployment.clone(), probe, is_confirmed, age_ms };
        // If the thread has no room now, it hears it again with the next results.
        if process.health.elsewhere.try_send(elsewhere).is_ok() {
            self.seen.insert(deployment, ended);
            self.last = Some((clock.here(ended), by));
        }
    }

    /// Tells the others what a probe of this replica found; again with the next tick if that fails.
    pub(super) async fn tell(
        &mut self,
        (process, carrier): With<'_>,
        me: &Arc<str>,
        deployment: &Arc<str>,
        clock: ServerClock,
    ) {
        let serving = process.serving();
        self.untold.remove(deployment);
        if !serving.snapshot.shared.probes {
            return;
        }
        let Some(index) = serving.snapshot.by_id.get(deployment) else { return };
        let probes = serving.snapshot.deployment(*index).state.probes();
        let Some(probe) = probes.last() else { return };
        let is_confirmed = matches!(probes.standing(), (Status::Unhealthy(_), _));
        let (id, by) = (deployment.clone(), me.clone());
        let told = SharedProbe::of(id, by, &probe, is_confirmed, clock);
        self.seen.insert(deployment.clone(), told.ended);
        self.last = Some((probe.ended, me.clone()));
        let text = told.write();
        let told = async {
            carrier.keep(deployment, &text, serving.snapshot.shared.result_ms).await?;
            carrier.publish(Topic::Probe, &text).await
        };
        if let Err(error) = told.await {
            tracing::debug!(%error, "a probe was not told to the other replicas");
            self.untold.insert(deployment.clone());
        }
    }

    /// Tells what could not be told before.
    pub(super) async fn tell_again(&mut self, with: With<'_>, me: &Arc<str>, clock: ServerClock) {
        for deployment in std::mem::take(&mut self.untold) {
            if self.untold.is_empty() {
                self.tell(with, me, &deployment, clock).await;
            } else {
                // The server has just failed: the others wait, too.
                self.untold.insert(deployment);
            }
        }
    }

    /// Who probes what.
    pub(super) fn holders(&self, me: &Arc<str>, now: Millis) -> Vec<(Arc<str>, Arc<str>, Millis)> {
        let held = self.leases.held(now).map(|(id, holding)| match holding {
            Holding::Own(until) => (id.clone(), me.clone(), *until),
            Holding::Other(pod, until) => (id.clone(), pod.clone(), *until),
        });
        held.collect()
    }

    /// The last probe, and the replica that sent it.
    pub(super) fn last(&self) -> Option<(Millis, Arc<str>)> {
        self.last.clone()
    }
}
