//! Leases: which replica probes what, so that all of them together send one set of probes.
//!
//! Driven by [`super::Fleet`]'s owner, which asks the server for what [`Leases::wanted`] says and
//! reports what it granted. Always true: a replica probes what it holds a lease of, and for no
//! longer than the server keeps it; a lease that is not renewed is free for others after one
//! period; replicas that know the same of each other want different leases.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::time::Millis;

/// Who has a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// This replica, until then.
    Own(Millis),
    /// Another one, until then.
    Other(Arc<str>, Millis),
}

/// What to ask the server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// To take it if it is free, or to keep it for another period.
    Hold,
    /// To give it up.
    GiveUp,
}

/// What is known of the leases.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    held: BTreeMap<Arc<str>, Holding>,
    /// Since when a lease is known to be free.
    free_since: BTreeMap<Arc<str>, Millis>,
}

/// A number that differs by replica and subject: the highest one is preferred.
fn rank(subject: &str, replica: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(subject);
    hash.update([0]);
    hash.update(replica);
    let hash = hash.finalize();
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Whether `me` is preferred for `subject` among itself and `others`.
fn is_preferred(subject: &str, me: &str, others: &[Arc<str>]) -> bool {
    let own = (rank(subject, me), me);
    others.iter().all(|other| (rank(subject, other), &**other) < own)
}

impl Leases {
    /// What to ask for at `now`: each subject that this replica should hold or give up. `others`
    /// are alive. A lease that stays free for a third of its period is for the first replica that asks.
    #[must_use]
    pub fn wanted(
        &self,
        now: Millis,
        subjects: &[Arc<str>],
        (me, others): (&str, &[Arc<str>]),
        period_ms: u64,
    ) -> Vec<(Arc<str>, Want)> {
        let want = |subject: &Arc<str>| {
            let is_mine = is_preferred(subject, me, others);
            match self.held.get(subject) {
                Some(Holding::Own(until)) if *until > now && !is_mine => Some(Want::GiveUp),
                Some(Holding::Own(_)) => Some(Want::Hold),
                Some(Holding::Other(_, until)) if *until > now => None,
                Some(Holding::Other(..)) | None => {
                    let free = self.free_since.get(subject);
                    let is_left = free.is_some_and(|since| now.since(*since) >= period_ms / 3);
                    (is_mine || is_left).then_some(Want::Hold)
                }
            }
        };
        let wants = subjects.iter().filter_map(|one| Some((one.clone(), want(one)?)));
        wants.collect()
    }

    /// What the server says about `subject` at `now`: who holds it, or that it is free.
    pub fn told(&mut self, now: Millis, subject: &Arc<str>, holding: Option<Holding>) {
        match holding {
            Some(holding) => {
                self.free_since.remove(subject);
                self.held.insert(subject.clone(), holding);
            }
            None => {
                self.held.remove(subject);
                self.free_since.entry(subject.clone()).or_insert(now);
            }
        }
    }

    /// Forgets leases of what is not configured.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.held.retain(|subject, _| is_there(subject));
        self.free_since.retain(|subject, _| is_there(subject));
    }

    /// The leases that last at `now`.
    pub fn held(&self, now: Millis) -> impl Iterator<Item = (&Arc<str>, &Holding)> {
        self.held.iter().filter(move |(_, holding)| match holding {
            Holding::Own(until) | Holding::Other(_, until) => *until > now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: u64 = 60_000;

    /// A server of leases, as the script in the real one.
    #[derive(Default)]
    struct Server(BTreeMap<Arc<str>, (Arc<str>, Millis)>);

    impl Server {
        fn serve(
            &mut self,
            now: Millis,
            me: &Arc<str>,
            subject: &Arc<str>,
            want: Want,
        ) -> Option<Holding> {
            self.0.retain(|_, (_, until)| *until > now);
            let held_by_me = self.0.get(subject).is_none_or(|(holder, _)| holder == me);
            match want {
                Want::Hold if held_by_me => {
                    self.0.insert(subject.clone(), (me.clone(), now.plus(PERIOD)));
                }
                Want::GiveUp if held_by_me => {
                    self.0.remove(subject);
                }
                Want::Hold | Want::GiveUp => {}
            }
            self.0.get(subject).map(|(holder, until)| match holder == me {
                true => Holding::Own(*until),
                false => Holding::Other(holder.clone(), *until),
            })
        }
    }

    struct Fleet {
        server: Server,
        subjects: Vec<Arc<str>>,
        replicas: Vec<(Arc<str>, Leases)>,
    }

    impl Fleet {
        fn of(replicas: usize, subjects: usize) -> Fleet {
            let name = |kind: &str, number| Arc::from(format!("{kind}{number}"));
            Fleet {
                server: Server::default(),
                subjects: (0..subjects).map(|number| name("d", number)).collect(),
                replicas: (0..replicas).map(|one| (name("r", one), Leases::default())).collect(),
            }
        }

        fn step(&mut self, now: Millis) {
            let names: Vec<Arc<str>> = self.replicas.iter().map(|(name, _)| name.clone()).collect();
            for (me, leases) in &mut self.replicas {
                let others: Vec<_> = names.iter().filter(|one| *one != me).cloned().collect();
                for (subject, want) in leases.wanted(now, &self.subjects, (me, &others), PERIOD) {
                    let told = self.server.serve(now, me, &subject, want);
                    leases.told(now, &subject, told);
                }
            }
        }

        fn owned(&self, at: usize, now: Millis) -> usize {
            let held = self.replicas[at].1.held(now);
            held.filter(|(_, holding)| matches!(holding, Holding::Own(_))).count()
        }

        fn all_owned(&self, now: Millis) -> usize {
            (0..self.replicas.len()).map(|at| self.owned(at, now)).sum()
        }
    }

    #[test]
    fn each_lease_has_one_holder_and_all_replicas_hold_some() {
        let mut fleet = Fleet::of(4, 50);
        for second in 0..300 {
            let now = Millis(second * 1_000);
            fleet.step(now);
            assert_eq!(fleet.all_owned(now), 50, "after {second} s");
        }
        assert!((0..4).all(|at| fleet.owned(at, Millis(299_000)) >= 5));
    }

    #[test]
    fn the_leases_of_a_replica_that_is_gone_are_taken_over_within_two_periods() {
        let mut fleet = Fleet::of(4, 50);
        fleet.step(Millis(0));
        fleet.replicas.remove(0);
        let taken = (1..).find(|second| {
            let now = Millis(second * 1_000);
            fleet.step(now);
            fleet.all_owned(now) == 50
        });
        assert!(taken.is_some_and(|second| second * 1_000 <= 2 * PERIOD), "{taken:?} s");
    }

    #[test]
    fn a_replica_that_joins_gets_leases_and_no_probe_is_left_out() {
        let mut fleet = Fleet::of(1, 40);
        fleet.step(Millis(0));
        assert_eq!(fleet.owned(0, Millis(0)), 40);
        fleet.replicas.push(("late".into(), Leases::default()));
        for second in 1..200 {
            fleet.step(Millis(second * 1_000));
        }
        let now = Millis(199_000);
        assert!(fleet.owned(1, now) >= 10, "{}", fleet.owned(1, now));
        assert_eq!(fleet.all_owned(now), 40);
    }
}
