//! Checks on demand: all that were asked for at once, within the longest of their times.
//!
//! Called by [`super::thread`]. Always true: who asks for the same while it is under way gets the same; a
//! check that is the same byte for byte is sent once; a round ends, whoever does not answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use hale_core::deployment::DeploymentIndex;
use hale_core::health::check::Checked;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::thread::{contained, record};
use super::{Command, Round, probe};
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

/// `targets` with those together whose checks are the same, in their order.
pub(crate) fn alike(serving: &Serving, targets: &[DeploymentIndex]) -> Vec<Vec<DeploymentIndex>> {
    let mut together: Vec<Vec<DeploymentIndex>> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    for index in targets {
        let built = probe::build(serving, serving.snapshot.deployment(*index), false);
        let place = *places.entry(built.identity(serving, *index)).or_insert(together.len());
        match together.get_mut(place) {
            Some(members) => members.push(*index),
            None => together.push(vec![*index]),
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
        let limits = targets.iter().map(|index| serving.snapshot.deployment(*index));
        let longest = limits.map(|one| probe::limit(serving, one)).max().unwrap_or_default();
        let mut tasks = JoinSet::new();
        // The first of those with the same check makes it for all.
        for members in alike(serving, targets) {
            let (process, serving) = (self.process.clone(), serving.clone());
            let places = self.places.clone();
            tasks.spawn_local(async move {
                // It is never closed.
                let _place = places.acquire().await;
                let checked = match members.first() {
                    Some(index) => Some(contained(&process, &serving, *index, false).await),
                    None => None,
                };
                (members, checked)
            });
        }
        let mut found: HashMap<DeploymentIndex, Arc<Checked>> = HashMap::new();
        let gather = async {
            while let Some(done) = tasks.join_next().await {
                let Ok((members, Some(checked))) = done else { continue };
                let checked = Arc::new(checked);
                for index in members {
                    record(serving, serving.snapshot.deployment(index), &checked, false);
                    found.insert(index, checked.clone());
                }
            }
        };
        // A check ends by itself at its time, so that this is for those that had no place.
        let grace = std::time::Duration::from_millis(250);
        let _late: Result<(), _> = tokio::time::timeout(longest + grace, gather).await;
        targets.iter().map(|index| (*index, found.get(index).cloned())).collect()
    }
}
