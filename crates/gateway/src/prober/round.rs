//! Probes on demand: all in parallel, within the longest of their time limits.
//!
//! Called by [`super::thread`]. Always true: equal requests at the same time share one round; byte-equal probes
//! are sent once; a rate-limited credential is not used; beyond the day's budget only free probes are sent;
//! a round ends even if a deployment does not answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use hale_core::deployment::{Deployment, DeploymentIndex, Taught};
use hale_core::health::FailureCount;
use hale_core::health::probe::{Allowance, Finding, ProbeResult};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::request::Spending;
use super::thread::{contained, record};
use super::{probe, request};
use crate::clock;
use crate::state::health::{Answer, Command, Round};
use crate::state::{Process, Serving};

/// Most rounds in flight; a request for one more gets no answer.
const ROUNDS_MAX: usize = 32;

/// The rounds in flight.
#[derive(Clone)]
pub(super) struct Rounds {
    process: Arc<Process>,
    places: Rc<Semaphore>,
    in_flight: Rc<RefCell<Vec<InFlight>>>,
}

struct InFlight {
    serving: Arc<Serving>,
    targets: Vec<DeploymentIndex>,
    waiting: Vec<oneshot::Sender<Arc<Round>>>,
}

impl InFlight {
    fn is_for(&self, serving: &Arc<Serving>, targets: &[DeploymentIndex]) -> bool {
        Arc::ptr_eq(&self.serving, serving) && self.targets == targets
    }
}

/// Deployments whose probes are byte for byte the same, so that one probe serves all.
pub(crate) struct ProbeGroup {
    /// The estimated cost of the probe, in units of 10^-9 USD.
    cost_nano_usd: u64,
    /// The deployments, at least one.
    pub(crate) members: Vec<DeploymentIndex>,
}

/// The deployment that sends the probe of all `members`: one whose mode the config names, because that says what the answer
/// proves for all; else the first.
pub(super) fn sender(serving: &Serving, members: &[DeploymentIndex]) -> Option<DeploymentIndex> {
    let has_mode = |index: &&DeploymentIndex| serving.snapshot.deployment(**index).probing.has_mode;
    members.iter().find(has_mode).or(members.first()).copied()
}

/// Groups `targets` by equal probes, in order.
pub(crate) fn probe_groups(serving: &Serving, targets: &[DeploymentIndex]) -> Vec<ProbeGroup> {
    let mut groups: Vec<ProbeGroup> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    for index in targets {
        let deployment = serving.snapshot.deployment(*index);
        let built = request::build(serving, deployment, (Spending::Allowed, &Taught::default()));
        let place = *places.entry(built.identity(serving, *index)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.members.push(*index),
            None => {
                let cost_nano_usd = built.estimate(deployment);
                groups.push(ProbeGroup { cost_nano_usd, members: vec![*index] });
            }
        }
    }
    groups
}

impl Rounds {
    /// `places` bounds the probes of all rounds together.
    pub(super) fn new(process: Arc<Process>, places: Rc<Semaphore>) -> Rounds {
        Rounds { process, places, in_flight: Rc::default() }
    }

    /// Starts a round, or joins one.
    pub(super) fn begin(&self, command: Command) {
        let Command { serving, targets, answer } = command;
        {
            let mut in_flight = self.in_flight.borrow_mut();
            if let Some(same) = in_flight.iter_mut().find(|one| one.is_for(&serving, &targets)) {
                same.waiting.push(answer);
                return;
            }
            if in_flight.len() >= ROUNDS_MAX {
                return;
            }
            let (serving, targets) = (serving.clone(), targets.clone());
            in_flight.push(InFlight { serving, targets, waiting: vec![answer] });
        }
        let rounds = self.clone();
        tokio::task::spawn_local(async move {
            let round = Arc::new(rounds.make(&serving, &targets).await);
            let waiting = {
                let mut in_flight = rounds.in_flight.borrow_mut();
                let place = in_flight.iter().position(|one| one.is_for(&serving, &targets));
                place.map(|place| in_flight.swap_remove(place).waiting).unwrap_or_default()
            };
            for answer in waiting {
                // The requester may be gone.
                let _gone: Result<(), _> = answer.send(round.clone());
            }
        });
    }

    async fn make(&self, serving: &Arc<Serving>, targets: &[DeploymentIndex]) -> Round {
        let mut found: HashMap<DeploymentIndex, Answer> = HashMap::new();
        let now = clock::now().millis();
        let mut asked = Vec::new();
        let mut longest = std::time::Duration::ZERO;
        for index in targets {
            let deployment = serving.snapshot.deployment(*index);
            let credential = request::credential(serving, deployment);
            if let Some(until) = self.process.health.limits.lock().holds.until(now, credential) {
                found.insert(*index, Answer::OnHold(until));
                continue;
            }
            longest = longest.max(probe::limit(serving, deployment));
            asked.push(*index);
        }
        let mut tasks = JoinSet::new();
        for ProbeGroup { cost_nano_usd: cost, members } in probe_groups(serving, &asked) {
            let (rounds, serving) = (self.clone(), serving.clone());
            tasks.spawn_local(async move {
                // The semaphore is never closed.
                let _place = rounds.places.acquire().await;
                let checked = match sender(&serving, &members) {
                    Some(index) => Some(rounds.probe(&serving, index, cost).await),
                    None => None,
                };
                (members, checked)
            });
        }
        // With background probes a failure needs confirmation, also when it was found on demand.
        let failures = match serving.snapshot.probing.background {
            true => FailureCount::WhenConfirmed,
            false => FailureCount::AtOnce,
        };
        let gather = async {
            while let Some(done) = tasks.join_next().await {
                let Ok((members, Some(checked))) = done else { continue };
                let checked = Arc::new(checked);
                for index in members {
                    let deployment = serving.snapshot.deployment(index);
                    if self.is_in_force(deployment) {
                        record(serving, deployment, &checked, failures);
                    }
                    found.insert(index, Answer::Probed(checked.clone()));
                }
            }
        };
        // A probe ends by its own time limit; this timeout is for probes that still wait for a place.
        let grace = std::time::Duration::from_millis(250);
        let _late: Result<(), _> = tokio::time::timeout(longest + grace, gather).await;
        let mut answer = |index| found.remove(&index).unwrap_or(Answer::NotReached);
        targets.iter().map(|index| (*index, answer(*index))).collect()
    }

    /// Whether it belongs to the config in force, and not to an earlier config or to the test of a
    /// connection.
    fn is_in_force(&self, deployment: &Deployment) -> bool {
        let in_force = self.process.serving();
        let index = in_force.snapshot.by_id.get(&deployment.id);
        let state = index.map(|index| &in_force.snapshot.deployment(*index).state);
        state.is_some_and(|state| Arc::ptr_eq(state, &deployment.state))
    }

    /// Probes the deployment at `index`; the probe is free if the budget cannot pay `cost`.
    async fn probe(
        &self,
        serving: &Arc<Serving>,
        index: DeploymentIndex,
        cost: u64,
    ) -> ProbeResult {
        let deployment = serving.snapshot.deployment(index);
        let health = &self.process.health;
        // A config that is only tested cannot raise the budget of all.
        let in_force = self.process.serving();
        let allowed = Allowance {
            own: deployment.probing.daily_budget_nano_usd(),
            all: in_force.snapshot.probing.daily_budget_nano_usd(),
        };
        let now = clock::now().millis();
        let booked = health.limits.lock().ledger.book(now, &deployment.id, cost, allowed);
        if !booked {
            health.budget_reached(&deployment.id, now);
        }
        let spending = if booked { Spending::Allowed } else { Spending::FreeOnly };
        let checked = contained(&self.process, serving, index, spending).await;
        let exists = |id: &str| in_force.snapshot.by_id.contains_key(id);
        if !exists(&deployment.id) {
            // The account of a deployment that was only tested is not needed again.
            health.limits.lock().ledger.retain(exists);
        }
        if let Finding::RateLimited(Some(ms)) = checked.finding {
            let credential = request::credential(serving, deployment);
            health.limits.lock().holds.hold(checked.ended, credential, ms);
        }
        checked
    }
}
