//! Checks on demand: all that were asked for at once, within the longest of their times.
//!
//! Called by [`super::thread`]. Always true: who asks for the same while it is under way gets the same; a
//! check that is the same byte for byte is sent once; a credential that is to be left alone is left alone;
//! beyond the day's budget nothing paid is sent; a round ends, whoever does not answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::health::check::{Allowance, Checked, Finding};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::thread::{contained, record};
use super::{probe, request};
use crate::clock;
use crate::state::health::{Answer, Command, Round};
use crate::state::{Process, Serving};

/// Rounds under way; who asks for one more gets no answer.
const ROUNDS_MAX: usize = 32;

/// The rounds under way.
#[derive(Clone)]
pub(super) struct Rounds {
    process: Arc<Process>,
    places: Rc<Semaphore>,
    under_way: Rc<RefCell<Vec<UnderWay>>>,
}

struct UnderWay {
    serving: Arc<Serving>,
    targets: Vec<DeploymentIndex>,
    waiting: Vec<oneshot::Sender<Arc<Round>>>,
}

impl UnderWay {
    fn is_for(&self, serving: &Arc<Serving>, targets: &[DeploymentIndex]) -> bool {
        Arc::ptr_eq(&self.serving, serving) && self.targets == targets
    }
}

/// Deployments whose checks are the same.
pub(crate) struct Alike {
    /// What one check costs as far as can be told before, in units of 10^-9 USD.
    cost_nano_usd: u64,
    /// Those that it speaks for, at least one.
    pub(crate) members: Vec<DeploymentIndex>,
}

/// `targets` with those together whose checks are the same, in their order.
pub(crate) fn alike(serving: &Serving, targets: &[DeploymentIndex]) -> Vec<Alike> {
    let mut together: Vec<Alike> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    for index in targets {
        let deployment = serving.snapshot.deployment(*index);
        let built = request::build(serving, deployment, false);
        let place = *places.entry(built.identity(serving, *index)).or_insert(together.len());
        match together.get_mut(place) {
            Some(alike) => alike.members.push(*index),
            None => {
                let cost_nano_usd = built.estimate(deployment);
                together.push(Alike { cost_nano_usd, members: vec![*index] });
            }
        }
    }
    together
}

impl Rounds {
    /// `places` bounds the checks of all rounds together.
    pub(super) fn new(process: Arc<Process>, places: Rc<Semaphore>) -> Rounds {
        Rounds { process, places, under_way: Rc::default() }
    }

    /// Begins a round, or joins one.
    pub(super) fn begin(&self, command: Command) {
        let Command { serving, targets, answer } = command;
        {
            let mut under_way = self.under_way.borrow_mut();
            if let Some(same) = under_way.iter_mut().find(|one| one.is_for(&serving, &targets)) {
                same.waiting.push(answer);
                return;
            }
            if under_way.len() >= ROUNDS_MAX {
                return;
            }
            let (serving, targets) = (serving.clone(), targets.clone());
            under_way.push(UnderWay { serving, targets, waiting: vec![answer] });
        }
        let rounds = self.clone();
        tokio::task::spawn_local(async move {
            let round = Arc::new(rounds.make(&serving, &targets).await);
            let waiting = {
                let mut under_way = rounds.under_way.borrow_mut();
                let place = under_way.iter().position(|one| one.is_for(&serving, &targets));
                place.map(|place| under_way.swap_remove(place).waiting).unwrap_or_default()
            };
            for answer in waiting {
                // Who asked may have gone.
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
            if let Some(until) = self.process.health.quiet.lock().until(now, credential) {
                found.insert(*index, Answer::LeftAlone(until));
                continue;
            }
            longest = longest.max(probe::limit(serving, deployment));
            asked.push(*index);
        }
        let mut tasks = JoinSet::new();
        // The first of those with the same check makes it for all.
        for Alike { cost_nano_usd: cost, members } in alike(serving, &asked) {
            let (rounds, serving) = (self.clone(), serving.clone());
            tasks.spawn_local(async move {
                // It is never closed.
                let _place = rounds.places.acquire().await;
                let checked = match members.first() {
                    Some(index) => Some(rounds.check(&serving, *index, cost).await),
                    None => None,
                };
                (members, checked)
            });
        }
        // In the background one failure is no verdict, whoever asked for the check.
        let confirm = serving.snapshot.checks.background;
        let gather = async {
            while let Some(done) = tasks.join_next().await {
                let Ok((members, Some(checked))) = done else { continue };
                let checked = Arc::new(checked);
                for index in members {
                    let deployment = serving.snapshot.deployment(index);
                    if self.has(deployment) {
                        record(serving, deployment, &checked, confirm);
                    }
                    found.insert(index, Answer::Checked(checked.clone()));
                }
            }
        };
        // A check ends by itself at its time, so that this is for those that had no place.
        let grace = std::time::Duration::from_millis(250);
        let _late: Result<(), _> = tokio::time::timeout(longest + grace, gather).await;
        let mut answer = |index| found.remove(&index).unwrap_or(Answer::NotReached);
        targets.iter().map(|index| (*index, answer(*index))).collect()
    }

    /// Whether it is one of the config in force, rather than of a request that only tries it, or of a
    /// config that was.
    fn has(&self, deployment: &Deployment) -> bool {
        let in_force = self.process.serving();
        let index = in_force.snapshot.by_id.get(&deployment.id);
        let state = index.map(|index| &in_force.snapshot.deployment(*index).state);
        state.is_some_and(|state| Arc::ptr_eq(state, &deployment.state))
    }

    /// Checks the deployment at `index`, for so much money where the budget has it.
    async fn check(&self, serving: &Arc<Serving>, index: DeploymentIndex, cost: u64) -> Checked {
        let deployment = serving.snapshot.deployment(index);
        let health = &self.process.health;
        // What is only tried is no config that could allow itself anything.
        let in_force = self.process.serving();
        let allowed = Allowance {
            own: deployment.probing.daily_budget_nano_usd(),
            all: in_force.snapshot.checks.daily_budget_nano_usd(),
        };
        let now = clock::now().millis();
        let booked = health.ledger.lock().book(now, &deployment.id, cost, allowed);
        if !booked {
            health.budget_reached(&deployment.id, now);
        }
        let checked = contained(&self.process, serving, index, !booked).await;
        let is_there = |id: &str| in_force.snapshot.by_id.contains_key(id);
        if !is_there(&deployment.id) {
            // Nobody asks for the account of something that was only tried.
            health.ledger.lock().retain(is_there);
        }
        if let Finding::RateLimited(Some(ms)) = checked.finding {
            let credential = request::credential(serving, deployment);
            health.quiet.lock().ask(checked.ended, credential, ms);
        }
        checked
    }
}
