//! The probes that replicas share: leases, and results.
//!
//! Part of the fleet task. Always true: the health thread probes what this replica holds a lease of, and knows the
//! results of the others before it is given their leases; without Redis it probes everything.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use ::redis::Script;
use hale_core::fleet::{Holding, Leases, ServerClock, ServerMs, SharedProbe, Want};
use hale_core::health::probe::Status;
use hale_core::time::Millis;

use super::keys::Keys;
use crate::redis_client::{Failed, LIMIT, Redis};
use crate::state::Process;
use crate::state::health::Elsewhere;

/// How long Redis may be silent before this replica probes by itself, milliseconds.
const ALONE_AFTER_MS: u64 = 2_000;

static LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local told = {}
for at = 3, #ARGV, 2 do
    local key = KEYS[1] .. ARGV[at + 1]
    local holder = redis.pcall('GET', key)
    if type(holder) == 'table' then
        redis.call('DEL', key)
        holder = false
    end
    if ARGV[at] == 'hold' and (not holder or holder == ARGV[1]) then
        redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
        holder = ARGV[1]
    elseif ARGV[at] == 'give up' and holder == ARGV[1] then
        redis.call('DEL', key)
        holder = false
    end
    local left = 0
    if holder then
        left = redis.call('PTTL', key)
        if left < 0 or left > tonumber(ARGV[2]) then
            redis.call('PEXPIRE', key, ARGV[2])
            left = tonumber(ARGV[2])
        end
    end
    told[#told + 1] = holder or ''
    told[#told + 1] = tostring(left)
end
return told
",
    )
});

/// Whose probes they are, and where they are shared.
type With<'w> = (&'w Arc<Process>, &'w Redis, &'w Keys);

/// The probes that replicas share.
#[derive(Default)]
pub(super) struct Probes {
    leases: Leases,
    /// When the newest known result of each deployment ended.
    seen: HashMap<Arc<str>, ServerMs>,
    last: Option<(Millis, Arc<str>)>,
}

impl Probes {
    /// Takes and renews leases, once a second, and tells the health thread.
    pub(super) async fn lease(
        &mut self,
        with: With<'_>,
        (me, others): (&Arc<str>, &[Arc<str>]),
        (clock, lost): (ServerClock, Option<Millis>),
        leaves: bool,
    ) {
        let (process, redis, keys) = with;
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
        let mut wants: HashMap<Arc<str>, Want> = match leaves {
            true => self.own(now).map(|(id, _)| (id.clone(), Want::GiveUp)).collect(),
            false => {
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
        if self.ask((redis, keys), me, (&subjects, &wants), (now, shared.lease_ms)).await.is_err() {
            return;
        }
        self.leases.retain(|id| subjects.iter().any(|one| **one == *id));
        hold(Some(self.own(now).map(|(id, until)| (id.clone(), until)).collect()));
    }

    async fn ask(
        &mut self,
        (redis, keys): (&Redis, &Keys),
        me: &Arc<str>,
        (subjects, wants): (&[Arc<str>], &HashMap<Arc<str>, Want>),
        (now, lease_ms): (Millis, u64),
    ) -> Result<(), Failed> {
        let mut arguments = vec![me.as_bytes().to_vec(), lease_ms.to_string().into_bytes()];
        for subject in subjects {
            let word = match wants.get(subject) {
                Some(Want::Hold) => "hold",
                Some(Want::GiveUp) => "give up",
                None => "look",
            };
            arguments.push(word.as_bytes().to_vec());
            arguments.push(subject.as_bytes().to_vec());
        }
        let told: Vec<String> =
            redis.script(&LEASE, std::slice::from_ref(&keys.lease), &arguments).await?;
        for (subject, told) in subjects.iter().zip(told.chunks_exact(2)) {
            let [holder, left_ms] = told else { continue };
            let until = now.plus(left_ms.parse().unwrap_or(0));
            let holding = match holder.as_str() {
                "" => None,
                holder if *holder == **me => Some(Holding::Own(until)),
                holder => Some(Holding::Other(holder.into(), until)),
            };
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
        (process, redis, keys): With<'_>,
        clock: ServerClock,
    ) -> Result<(), Failed> {
        let mut command = ::redis::cmd("HGETALL");
        command.arg(&keys.probes);
        let results: HashMap<Vec<u8>, Vec<u8>> = match redis.query(&command, LIMIT).await {
            Ok(results) => results,
            Err(Failed::Error(error)) if !error.is_io_error() => {
                // Something else is under that key.
                process.fleet.garbage.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let mut delete = ::redis::cmd("DEL");
                delete.arg(&keys.probes);
                let _deleted: i64 = redis.query(&delete, LIMIT).await?;
                HashMap::new()
            }
            Err(failed) => return Err(failed),
        };
        results.values().for_each(|bytes| self.hear(process, bytes, clock));
        Ok(())
    }

    /// A result of a probe, of whichever replica.
    pub(super) fn hear(&mut self, process: &Process, bytes: &[u8], clock: ServerClock) {
        let serving = process.serving();
        let Some(told) = SharedProbe::read(bytes, clock.server) else {
            process.fleet.garbage.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
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
        self.seen.insert(told.deployment.clone(), told.ended);
        self.last = Some((clock.here(told.ended), told.by.clone()));
        let probe = Arc::new(told.result(clock));
        let (deployment, is_confirmed) = (told.deployment, told.is_confirmed);
        let elsewhere = Elsewhere { deployment, probe, is_confirmed, age_ms };
        // The thread hears it again with the next results if it has no room now.
        let _full: Result<(), _> = process.health.elsewhere.try_send(elsewhere);
    }

    /// Tells the others what a probe of this replica found.
    pub(super) async fn tell(
        &mut self,
        (process, redis, keys): With<'_>,
        me: &Arc<str>,
        deployment: &Arc<str>,
        clock: ServerClock,
    ) {
        let serving = process.serving();
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
        let mut publish = ::redis::cmd("PUBLISH");
        publish.arg(&keys.probed).arg(&text);
        let mut keep = ::redis::cmd("HSET");
        keep.arg(&keys.probes).arg(&**deployment).arg(&text);
        let mut expire = ::redis::cmd("PEXPIRE");
        expire.arg(&keys.probes).arg(serving.snapshot.shared.result_ms);
        for command in [&publish, &keep, &expire] {
            let sent: Result<i64, Failed> = redis.query(command, LIMIT).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "a probe was not told to the other replicas");
                return;
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
