//! Leases: which replica probes what, so that all of them together send one set of probes.
//!
//! Driven by [`super::Fleet`]'s owner, which asks the server for what [`Leases::wanted`] says and
//! reports what it granted. Always true: a replica probes what it holds a lease of, and for no
//! longer than the server keeps it; a lease that is not renewed is free for others after one
//! period, and held by another one before the second has passed; replicas that know the same of
//! each other want different leases.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::peers::LIVE_MS;
use crate::time::Millis;

/// How long a free lease waits at most for the replica that is preferred for it, milliseconds:
/// that one asks each second.
const PATIENCE_MS: u64 = 3_000;
/// How much later the end of a lease is at least when it was renewed, milliseconds.
const RENEWED_MS: u64 = 250;
/// How many periods a replica is passed over that left a free lease, at least [`LIVE_MS`] in all.
const PASSED_OVER_PERIODS: u64 = 10;

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
    /// Replicas that left a lease that was theirs to take: none is given up to them until then.
    passed_over: BTreeMap<Arc<str>, Millis>,
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

/// The one of `others` that is preferred for `subject` before `me`, if there is one.
fn preferred<'o>(subject: &str, me: &str, others: &[&'o Arc<str>]) -> Option<&'o Arc<str>> {
    let of = |replica: &str| rank(subject, replica);
    let best = others.iter().max_by_key(|other| (of(other), **other))?;
    ((of(best), &***best) > (of(me), me)).then_some(*best)
}

impl Leases {
    /// What to ask for at `now`: each subject that this replica should hold or give up. `others`
    /// count as alive. One that leaves a free lease for a third of its period, or for
    /// `PATIENCE_MS`, is passed over: it may be dead, or not probe at all.
    #[must_use]
    pub fn wanted(
        &mut self,
        now: Millis,
        subjects: &[Arc<str>],
        (me, others): (&str, &[Arc<str>]),
        period_ms: u64,
    ) -> Vec<(Arc<str>, Want)> {
        // One that is gone and comes back has its part again.
        self.passed_over.retain(|replica, until| *until > now && others.contains(replica));
        let left_by = self.left_by(now, subjects, (me, others), period_ms);
        if !left_by.is_empty() {
            let until = now.plus((PASSED_OVER_PERIODS * period_ms).max(LIVE_MS));
            self.passed_over.extend(left_by.into_iter().map(|replica| (replica, until)));
            // Those that are preferred now have as long.
            self.free_since.values_mut().for_each(|since| *since = now);
        }
        let among: Vec<_> = self.not_passed_over(others).collect();
        let want = |subject: &Arc<str>| {
            let is_mine = preferred(subject, me, &among).is_none();
            match self.held.get(subject) {
                Some(Holding::Own(until)) if *until > now && !is_mine => Some(Want::GiveUp),
                Some(Holding::Own(_)) => Some(Want::Hold),
                Some(Holding::Other(_, until)) if *until > now => None,
                Some(Holding::Other(..)) | None => is_mine.then_some(Want::Hold),
            }
        };
        let wants = subjects.iter().filter_map(|one| Some((one.clone(), want(one)?)));
        wants.collect()
    }

    /// The replicas that left a free lease that was theirs to take.
    fn left_by(
        &self,
        now: Millis,
        subjects: &[Arc<str>],
        (me, others): (&str, &[Arc<str>]),
        period_ms: u64,
    ) -> Vec<Arc<str>> {
        let patience_ms = (period_ms / 3).min(PATIENCE_MS);
        let among: Vec<_> = self.not_passed_over(others).collect();
        let waits_too_long = |subject: &&Arc<str>| {
            self.free_since.get(*subject).is_some_and(|since| now.since(*since) >= patience_ms)
        };
        let left = subjects.iter().filter(waits_too_long);
        left.filter_map(|subject| preferred(subject, me, &among).cloned()).collect()
    }

    fn not_passed_over<'o>(&self, others: &'o [Arc<str>]) -> impl Iterator<Item = &'o Arc<str>> {
        others.iter().filter(|one| !self.passed_over.contains_key(*one))
    }

    /// What the server says about `subject` at `now`: who holds it, or that it is free.
    pub fn told(&mut self, now: Millis, subject: &Arc<str>, holding: Option<Holding>) {
        match holding {
            Some(holding) => {
                self.free_since.remove(subject);
                if let Holding::Other(replica, until) = &holding
                    && !self.is_known(subject, replica, *until)
                {
                    // It takes leases and renews them.
                    self.passed_over.remove(replica);
                }
                self.held.insert(subject.clone(), holding);
            }
            None => {
                self.held.remove(subject);
                self.free_since.entry(subject.clone()).or_insert(now);
            }
        }
    }

    /// Whether that holding was known before, with this end or a later one.
    fn is_known(&self, subject: &str, replica: &str, until: Millis) -> bool {
        match self.held.get(subject) {
            Some(Holding::Other(other, before)) => {
                **other == *replica && until.since(*before) < RENEWED_MS
            }
            Some(Holding::Own(_)) | None => false,
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
            want: Option<Want>,
        ) -> Option<Holding> {
            self.0.retain(|_, (_, until)| *until > now);
            let held_by_me = self.0.get(subject).is_none_or(|(holder, _)| holder == me);
            match want {
                Some(Want::Hold) if held_by_me => {
                    self.0.insert(subject.clone(), (me.clone(), now.plus(PERIOD)));
                }
                Some(Want::GiveUp) if held_by_me => {
                    self.0.remove(subject);
                }
                Some(Want::Hold | Want::GiveUp) | None => {}
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
            self.step_among(now, &names);
        }

        /// A step of replicas to which all of `names` count as alive.
        fn step_among(&mut self, now: Millis, names: &[Arc<str>]) {
            for (me, leases) in &mut self.replicas {
                let others: Vec<_> = names.iter().filter(|one| *one != me).cloned().collect();
                let wanted = leases.wanted(now, &self.subjects, (me, &others), PERIOD);
                let wanted: BTreeMap<Arc<str>, Want> = wanted.into_iter().collect();
                for subject in &self.subjects {
                    let want = wanted.get(subject).copied();
                    let told = self.server.serve(now, me, subject, want);
                    leases.told(now, subject, told);
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
    fn a_replica_that_counts_as_alive_and_takes_no_lease_is_passed_over_for_a_while() {
        let mut fleet = Fleet::of(3, 30);
        fleet.step(Millis(0));
        let names: Vec<Arc<str>> = fleet.replicas.iter().map(|(name, _)| name.clone()).collect();
        let silent = fleet.replicas.remove(0);
        let most = (PERIOD + PATIENCE_MS) / 1_000 + 3;
        for second in 1..=8 * PERIOD / 1_000 {
            fleet.step_among(Millis(second * 1_000), &names);
            let owned = fleet.all_owned(Millis(second * 1_000));
            assert!(second < most || owned == 30, "{owned} after {second} s");
        }
        assert!((0..2).all(|at| fleet.owned(at, Millis(8 * PERIOD)) >= 5), "each has its part");
        // It goes on, and gets its part again.
        fleet.replicas.push(silent);
        let end = (PASSED_OVER_PERIODS + 2) * PERIOD;
        for second in 8 * PERIOD / 1_000..=end / 1_000 {
            fleet.step(Millis(second * 1_000));
        }
        assert!(fleet.owned(2, Millis(end)) >= 5, "{}", fleet.owned(2, Millis(end)));
        assert_eq!(fleet.all_owned(Millis(end)), 30);
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
