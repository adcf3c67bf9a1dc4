//! One replica: what it says to the others, and what it makes of what they say.
//!
//! Owned by the gateway's fleet task and by the simulator. Always true: what it says of a
//! deployment comes from its own evidence, but for deadlines of providers, which it passes on word
//! for word; each report of others is applied to a deployment once, as evidence.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::judgement::{Judgement, Local, judge};
use super::message::Message;
use super::peers::Peers;
use super::report::{Closed, REMEMBERED_MS, Report, Reports, ServerClock, ServerMs};
use super::share::{Mode, Shares, Use};
use crate::deployment::{Deployment, DeploymentIndex};
use crate::health::{
    Cooldown, Doubted, Evidence, FleetEvidence, HealthEvents, OperatorAction, QUOTA_CAP_MS,
    RateLimit, Verdict,
};
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// How much younger a good answer must be to be told again, milliseconds.
const OK_STEP_MS: u64 = 1_000;
/// How long it takes a replica that was on its own to hear of all others, milliseconds.
const HEARD_AGAIN_MS: u64 = 5_000;
/// Operators' resets that are remembered: a message has room for them.
const CLEARED_MAX: usize = 1_000;

/// What this replica last said of a deployment.
#[derive(Clone, Copy, Debug)]
struct Said {
    report: Report,
    /// The end of the cooldown on this replica's clock: the same cooldown is told with the same
    /// times, however the estimate of the server's time moves.
    until: Option<Millis>,
    changed: Millis,
}

/// What was applied to a deployment because others reported it.
#[derive(Clone, Copy, Debug, Default)]
struct Applied {
    closed: Option<Closed>,
    /// Whether that has not been taken back.
    holds: bool,
    doubt: Option<(Doubted, ServerMs)>,
}

/// What there is to publish.
#[derive(Clone, Debug)]
pub struct Published {
    /// All that this replica says.
    pub whole: Message,
    /// What is new, if anything is.
    pub news: Option<Message>,
}

/// What changed at a deployment.
pub type Changes = Vec<(DeploymentIndex, HealthEvents)>;

/// One replica among others.
#[derive(Debug)]
pub struct Fleet {
    me: Arc<str>,
    seq: u64,
    said: BTreeMap<Arc<str>, Said>,
    reports: Reports,
    peers: Peers,
    applied: BTreeMap<Arc<str>, Applied>,
    cleared: BTreeMap<Arc<str>, ServerMs>,
    shares: BTreeMap<Arc<str>, Shares>,
    uses: BTreeMap<Arc<str>, Use>,
    /// Since when it was on its own, and when that was last so.
    alone_at: Option<(Millis, Millis)>,
}

impl Fleet {
    /// A replica that knows of no other. `me` is an id that no replica had before.
    #[must_use]
    pub fn new(me: Arc<str>) -> Fleet {
        Fleet {
            me,
            seq: 0,
            said: BTreeMap::new(),
            reports: Reports::default(),
            peers: Peers::default(),
            applied: BTreeMap::new(),
            cleared: BTreeMap::new(),
            shares: BTreeMap::new(),
            uses: BTreeMap::new(),
            alone_at: None,
        }
    }

    /// The same with reports numbered from `seq` on: a replica that begins anew under its id counts on.
    #[must_use]
    pub fn counting_from(mut self, seq: u64) -> Fleet {
        self.seq = seq;
        self
    }

    /// Its id.
    #[must_use]
    pub fn me(&self) -> &Arc<str> {
        &self.me
    }

    /// The other replicas.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// An operator had everything about a deployment forgotten: on all replicas, and what was said of those with the same
    /// key, because a limit of the account is told of each of them.
    pub fn cleared(&mut self, deployment: &Arc<str>, snapshot: &Snapshot, clock: ServerClock) {
        let index = snapshot.by_id.get(deployment);
        let shared = index.and_then(|at| snapshot.deployment(*at).credential.shared.as_ref());
        let shares = |one: &&Arc<Deployment>| {
            let its = one.credential.shared.as_ref();
            shared.zip(its).is_some_and(|(shared, its)| Arc::ptr_eq(shared, its))
        };
        let others = snapshot.deployments.iter().filter(shares).map(|one| &one.id);
        for id in others.chain([deployment]) {
            self.cleared.insert(id.clone(), clock.server);
            self.reports.clear(id, clock.server);
        }
        self.cleared_at_most(CLEARED_MAX);
    }

    /// Forgets the oldest of more.
    fn cleared_at_most(&mut self, most: usize) {
        while self.cleared.len() > most {
            let oldest = self.cleared.iter().min_by_key(|(_, at)| **at);
            let Some(id) = oldest.map(|(id, _)| id.clone()) else { return };
            self.cleared.remove(&id);
        }
    }

    /// Looks at all deployments, and says what there is to say about them.
    pub fn publish(&mut self, snapshot: &Snapshot, clock: ServerClock) -> Published {
        let mut news = Message::new(self.me.clone(), clock.server);
        for deployment in &snapshot.deployments {
            if let Some(report) = self.say(deployment, clock) {
                news.reports.insert(deployment.id.clone(), report);
            }
        }
        let is_recent = |said: &Said| {
            said.report.closed.is_some() || clock.here.since(said.changed) <= REMEMBERED_MS
        };
        self.said.retain(|id, said| is_recent(said) && snapshot.by_id.contains_key(id));
        // As long as a deadline of before may be told by a replica that did not hear it.
        self.cleared.retain(|id, at| {
            clock.server.since(*at) <= QUOTA_CAP_MS && snapshot.by_id.contains_key(id)
        });
        let is_news = |at: &ServerMs| clock.server.since(*at) <= REMEMBERED_MS;
        let recent = self.cleared.iter().filter(|(_, at)| is_news(at));
        news.cleared = recent.map(|(id, at)| (id.clone(), *at)).collect();
        let mut whole = Message { reports: BTreeMap::new(), ..news.clone() };
        whole.cleared.clone_from(&self.cleared);
        let said = self.said.iter().map(|(id, said)| (id.clone(), said.report));
        whole.reports = said.collect();
        let deadlines = self.reports.deadlines(clock.server);
        whole.passed_on = deadlines.map(|(id, by, one)| (by.clone(), id.clone(), *one)).collect();
        whole.uses.clone_from(&self.uses);
        let has_news = !news.reports.is_empty() || !news.cleared.is_empty();
        Published { whole, news: has_news.then_some(news) }
    }

    /// What is new about `deployment`.
    fn say(&mut self, deployment: &Deployment, clock: ServerClock) -> Option<Report> {
        let own = deployment.own_cooldown(clock.here);
        let known = self.said.get(&deployment.id).copied();
        if own.is_none() && known.is_none() && self.reports.of(&deployment.id).next().is_none() {
            return None;
        }
        let until = own.map(|(_, cooldown)| cooldown.until);
        let before = known.and_then(|known| known.report.closed);
        let is_same = |closed: &Closed| {
            let cause = own.map(|(_, cooldown)| cooldown.cause);
            known.and_then(|known| known.until) == until && cause == Some(closed.cause)
        };
        let probes = deployment.state.probes();
        let closed = own.map(|(since, cooldown)| Closed {
            since: clock.server(since),
            until: clock.server(cooldown.until),
            cause: cooldown.cause,
            provider_issued: cooldown.provider_issued,
            confirmed: probes.unhealthy(clock.here, u64::MAX) == Some(cooldown.cause),
        });
        // What others report may have prolonged the cooldown since: what was said still holds.
        let is_prolonged =
            own.is_none() && known.is_some_and(|known| is_in(deployment, known, clock));
        let until = until.or(known.and_then(|known| known.until).filter(|_| is_prolonged));
        let closed = match (before.filter(is_same), closed) {
            _ if is_prolonged => before,
            (Some(before), Some(closed)) => Some(Closed { confirmed: closed.confirmed, ..before }),
            (None, closed) => closed,
            (Some(_), None) => None,
        };
        let answered = probes.live_at().map(|at| clock.server(at));
        let told = known.and_then(|known| known.report.ok_at);
        let is_younger = |at: &ServerMs| told.is_none_or(|told| at.since(told) > OK_STEP_MS);
        let ok_at = answered.filter(is_younger).or(told);
        if known.is_some_and(|known| (known.report.closed, known.report.ok_at) == (closed, ok_at)) {
            return None;
        }
        if known.is_none() && closed.is_none() && ok_at.is_none() {
            return None;
        }
        self.seq += 1;
        let report = Report { seq: self.seq, closed, ok_at };
        self.said.insert(deployment.id.clone(), Said { report, until, changed: clock.here });
        Some(report)
    }

    /// Takes note of a message. Returns the deployments of which everything is to be forgotten;
    /// `None` if the message is one's own or there is no room for its replica.
    pub fn receive(&mut self, message: &Message, snapshot: &Snapshot) -> Option<Vec<Arc<str>>> {
        if message.replica == self.me || !self.peers.heard(message) {
            return None;
        }
        let is_configured = |id: &Arc<str>| snapshot.by_id.contains_key(id);
        let mut cleared = Vec::new();
        for (deployment, at) in message.cleared.iter().filter(|(id, _)| is_configured(id)) {
            let known = self.cleared.entry(deployment.clone()).or_default();
            if at > known {
                *known = *at;
                self.reports.clear(deployment, *at);
                // What began here since then is not what the operator meant.
                let taken = self.applied.get(deployment).and_then(|one| one.closed);
                let is_meant = taken.is_some_and(|closed| closed.since <= *at);
                if is_meant || message.at.since(*at) <= REMEMBERED_MS {
                    cleared.push(deployment.clone());
                }
            }
        }
        self.cleared_at_most(CLEARED_MAX);
        let is_past = |fleet: &Fleet, deployment: &Arc<str>, report: &Report| {
            let cleared = fleet.cleared.get(deployment);
            cleared.is_some_and(|at| report.closed.is_some_and(|closed| closed.since <= *at))
        };
        let own = message.reports.iter().map(|(id, report)| (&message.replica, id, report));
        let passed = message.passed_on.iter().map(|(by, id, report)| (by, id, report));
        for (by, deployment, report) in own.chain(passed) {
            if *by != self.me && is_configured(deployment) && !is_past(self, deployment, report) {
                self.reports.join(deployment, by, *report);
            }
        }
        Some(cleared)
    }

    /// Applies what others report to the deployments of `snapshot`, and returns what changed.
    pub fn settle(&mut self, snapshot: &Snapshot, clock: ServerClock) -> Changes {
        let mut changes = Changes::new();
        let concerned: Vec<Arc<str>> =
            self.reports.deployments().chain(self.applied.keys()).cloned().collect();
        for id in concerned {
            let Some(index) = snapshot.by_id.get(&id) else { continue };
            let deployment = snapshot.deployment(*index);
            if !self.may_close(snapshot, deployment) {
                continue;
            }
            let judgement = self.judge(snapshot, deployment, clock);
            for evidence in self.evidence(&id, judgement, clock) {
                let changed = deployment.apply(clock.here, &Evidence::Fleet(evidence));
                if !changed.is_empty() {
                    changes.push((*index, changed));
                }
            }
        }
        let peers = &self.peers;
        self.reports.forget(
            clock.server,
            |id| snapshot.by_id.contains_key(id),
            |replica| peers.is_alive(replica, clock.server),
        );
        self.peers.forget(clock.server);
        let lasts = |one: &Applied| {
            let closed = one.closed.map(|closed| closed.until.plus(REMEMBERED_MS));
            closed.is_some_and(|until| until > clock.server) || one.doubt.is_some()
        };
        self.applied.retain(|id, one| lasts(one) && snapshot.by_id.contains_key(id));
        changes
    }

    /// Forgets everything about `deployment`, as an operator had it done on another replica.
    pub fn reset(deployment: &Deployment, now: Millis) -> HealthEvents {
        deployment.apply(now, &Evidence::Operator(OperatorAction::Reset))
    }

    fn may_close(&self, snapshot: &Snapshot, deployment: &Deployment) -> bool {
        let own = deployment.routing.limits.cooldown_ms;
        !snapshot.router.disable_cooldowns && own.unwrap_or(snapshot.router.cooldown_ms) > 0
    }

    fn judge(&self, snapshot: &Snapshot, deployment: &Deployment, clock: ServerClock) -> Judgement {
        let (now, id) = (clock.server, &*deployment.id);
        let group = snapshot.group(deployment.group);
        let works = |index: &&DeploymentIndex| snapshot.deployment(**index).can_work();
        let router = &snapshot.router;
        let has_named = router.fallbacks.contains_key(&*group.name);
        let local = Local {
            ok_at: deployment.state.probes().live_at().map(|at| clock.server(at)),
            failures_in_a_row: deployment.state.report().failures_in_a_row,
            has_sibling: group.members.iter().filter(works).nth(1).is_some(),
            has_fallback: has_named
                || router.default_fallbacks.iter().any(|one| *one.name != *group.name),
        };
        let cleared = self.cleared.get(id).copied();
        let counts = |report: &&Report| {
            report.closed.is_none_or(|closed| cleared.is_none_or(|at| closed.since > at))
        };
        let all = self.reports.of(id).filter(|(_, report)| counts(report));
        let reports: Vec<_> =
            all.map(|(replica, report)| (self.peers.is_alive(replica, now), report)).collect();
        judge(&reports, self.peers.alive(now).count() + 1, now, &local)
    }

    /// What is new in a judgement.
    fn evidence(
        &mut self,
        id: &Arc<str>,
        judgement: Judgement,
        clock: ServerClock,
    ) -> Vec<FleetEvidence> {
        let mut evidence = Vec::new();
        if judgement == Judgement::default() && !self.applied.contains_key(id) {
            return evidence;
        }
        let applied = self.applied.entry(id.clone()).or_default();
        match (judgement.closed, applied.closed) {
            // Applied once: what happened here since then is better known here.
            (Some(closed), Some(known))
                if closed.since <= known.since && closed.until <= known.until => {}
            (Some(closed), _) => {
                let until = clock.here(closed.until);
                let Closed { cause, provider_issued, .. } = closed;
                let cooldown = Cooldown { until, cause, provider_issued };
                evidence.push(FleetEvidence::Closed(cooldown));
                (applied.closed, applied.holds) = (Some(closed), true);
            }
            // One that is over ends by a half-open request, as any other.
            (None, Some(known)) if applied.holds && known.until > clock.server => {
                evidence.push(FleetEvidence::Cleared);
                applied.holds = false;
            }
            (None, _) => {}
        }
        if applied.doubt != judgement.doubt {
            applied.doubt = judgement.doubt;
            let doubt = judgement.doubt.map(|(doubted, until)| (doubted, clock.here(until)));
            evidence.push(FleetEvidence::Doubted(doubt));
        }
        evidence
    }

    /// Divides the limits of `snapshot` anew; to be called once a second.
    pub fn share(&mut self, snapshot: &Snapshot, clock: ServerClock, mode: Mode) {
        let mode = self.settled(mode, clock.here);
        let mut uses = BTreeMap::new();
        if snapshot.router.enforce_rates {
            for deployment in &snapshot.deployments {
                let limits = &deployment.routing.limits;
                for (of, limit) in
                    [(RateLimit::Requests, limits.rpm), (RateLimit::Tokens, limits.tpm)]
                {
                    let Some(limit) = limit else { continue };
                    let key: Arc<str> = format!("{}:{}", of.name(), deployment.id).into();
                    let rates = deployment.state.rates();
                    let (used, refused) = rates.use_of(of, clock.here);
                    let own = self.own_use(&key, used, refused);
                    let share = self.divide(&key, number(limit), own, (clock, mode));
                    rates.set_share(of, (share < number(limit)).then(|| whole(share)));
                    uses.insert(key, Use { share, ..own });
                }
            }
        }
        for budget in &snapshot.budgets.all {
            let key: Arc<str> = format!("usd:{}:{}", budget.scope.name(), budget.name).into();
            let (used, _) = budget.spent(clock.here);
            let is_spent = budget.exhausted_for(clock.here).is_some();
            let wanted = if is_spent { budget.limit_usd } else { used * 1.25 };
            let own = Use { share: 0.0, used, wanted };
            let share = self.divide(&key, budget.limit_usd, own, (clock, mode));
            budget.spend.set_share((share < budget.limit_usd).then_some(share));
            uses.insert(key, Use { share, ..own });
        }
        self.shares.retain(|key, _| uses.contains_key(key));
        self.uses = uses;
    }

    /// The mode; a replica that was on its own stays so until it has heard of the others again.
    fn settled(&mut self, mode: Mode, now: Millis) -> Mode {
        match (mode, self.alone_at) {
            (Mode::Local(since), _) => {
                // One that never heard of others has nothing to wait for.
                if !self.peers.is_empty() {
                    self.alone_at = Some((since, now));
                }
                mode
            }
            (Mode::Shared, Some((since, last))) if now.since(last) < HEARD_AGAIN_MS => {
                Mode::Local(since)
            }
            (Mode::Shared, _) => mode,
        }
    }

    /// What is used of a limit, and what would be: refused requests count for the whole window.
    fn own_use(&self, key: &str, used: u64, refused: u64) -> Use {
        let before = self.uses.get(key).map_or(0.0, |one| one.wanted);
        let wanted = number(used.saturating_add(refused.saturating_mul(10)));
        // What was wanted is forgotten within some seconds, not at once.
        Use { share: 0.0, used: number(used), wanted: wanted.max(before * 0.9) }
    }

    fn divide(
        &mut self,
        key: &Arc<str>,
        limit: f64,
        own: Use,
        (clock, mode): (ServerClock, Mode),
    ) -> f64 {
        let others = self.peers.uses(key, clock.server);
        let first = || match others.of_each.is_empty() {
            true => Shares::alone(limit),
            false => Shares::joining(limit),
        };
        let shares = self.shares.entry(key.clone()).or_insert_with(first);
        shares.limit(limit);
        match mode {
            Mode::Shared => shares.rebalance(own, &others),
            Mode::Local(since) => shares.on_its_own(clock.here, since),
        }
    }
}

/// Whether the cooldown that was said to close `deployment` still does, perhaps with a later end.
fn is_in(deployment: &Deployment, said: Said, clock: ServerClock) -> bool {
    let Some(until) = said.until.filter(|until| *until > clock.here) else { return false };
    match deployment.verdict(clock.here) {
        Verdict::Cooling(cooldown) => cooldown.until >= until,
        Verdict::Ready | Verdict::Reopening | Verdict::HalfOpen(_) => false,
    }
}

#[allow(clippy::cast_precision_loss, reason = "limits are far below 2^52")]
fn number(amount: u64) -> f64 {
    amount as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
fn whole(share: f64) -> u64 {
    share as u64
}

mod litellm;
#[cfg(test)]
mod tests;
