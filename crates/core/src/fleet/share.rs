//! Shares: how much of a limit that all replicas have together one of them may use.
//!
//! Driven by [`super::Fleet`] once a second for each `rpm`, `tpm` and budget. Always true: a share
//! shrinks at once and grows only into what no other replica claims, so that the sum over all
//! replicas exceeds the limit by at most one equal share, whatever they know of each other; a
//! replica always has a little.

use crate::time::Millis;

/// How long a replica that lost the others keeps to its last share, milliseconds: as long as what
/// they used of its part can count.
pub const SHARE_MIN_MS: u64 = 60_000;
/// The part of an equal share that a replica always has.
const LEAST: f64 = 0.05;

/// What a replica uses of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Use {
    /// What it allows itself.
    pub share: f64,
    /// What it used within the limit's window.
    pub used: f64,
    /// What it would use, refused requests included.
    pub wanted: f64,
}

impl Use {
    /// What no other replica may use.
    pub(super) fn claim(&self) -> f64 {
        self.share.max(self.used)
    }

    pub(super) fn numbers(&self) -> [f64; 3] {
        [self.share, self.used, self.wanted]
    }

    /// The same from numbers that came from elsewhere, if they can be.
    pub(super) fn from_numbers(numbers: [f64; 3]) -> Option<Use> {
        let [share, used, wanted] = numbers;
        let are_amounts = numbers.iter().all(|one| one.is_finite() && *one >= 0.0);
        are_amounts.then_some(Use { share, used, wanted })
    }
}

/// What the other replicas use of one limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OthersUse {
    /// Each that is alive.
    pub of_each: Vec<Use>,
    /// What those used within the limit's window that have gone since.
    pub of_gone: f64,
    /// How many went without a word lately.
    pub missed: usize,
    /// Whether all of it is known well.
    pub is_fresh: bool,
}

/// Whether the replicas reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They do.
    Shared,
    /// This one is alone since that moment.
    Local(Millis),
}

/// The share of one limit.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// The limit of all together.
    limit: f64,
    share: f64,
    /// How many replicas there are, those that are missed included.
    replicas: f64,
}

impl Shares {
    /// The share of the only replica that is known.
    #[must_use]
    pub fn alone(limit: f64) -> Shares {
        Shares { limit, share: limit, replicas: 1.0 }
    }

    /// The share of a replica that joins others.
    #[must_use]
    pub fn joining(limit: f64) -> Shares {
        Shares { limit, share: 0.0, replicas: 1.0 }
    }

    /// Takes the limit of another config.
    pub fn limit(&mut self, limit: f64) {
        self.limit = limit;
    }

    /// What this replica may use.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.share
    }

    /// The share from now on. `own` is what it uses and would use.
    #[allow(clippy::cast_precision_loss, reason = "few replicas")]
    pub fn rebalance(&mut self, own: Use, others: &OthersUse) -> f64 {
        let live = others.of_each.len() as f64 + 1.0;
        // Those that are missed may be serving on their own. All but one of them are counted, so
        // that the sum exceeds the limit by one share at most.
        let among = live + others.missed.saturating_sub(1) as f64;
        let pool = self.limit * live / among;
        self.replicas = live + others.missed as f64;
        let all: Vec<f64> = others.of_each.iter().map(|one| one.wanted).collect();
        let target = fair(pool, own.wanted, &all);
        if target <= self.share {
            self.share = target;
        } else if others.is_fresh {
            let claims: f64 = others.of_each.iter().map(Use::claim).sum();
            let gap = (pool - claims - others.of_gone - self.share.max(own.used)).max(0.0);
            // Others grow into the same gap before they hear of this.
            let part = if others.of_each.is_empty() { 1.0 } else { 3.0 * live };
            self.share += (gap / part).min(target - self.share);
        }
        self.share = self.share.max(pool / live * LEAST);
        self.share
    }

    /// The share while no other replica is reached, at `now`, since `since`.
    pub fn on_its_own(&mut self, now: Millis, since: Millis) -> f64 {
        let equal = self.limit / self.replicas;
        self.share = match now.since(since) < SHARE_MIN_MS {
            true => self.share.min(equal),
            false => equal,
        };
        self.share
    }
}

/// The fair part of `pool` for one that wants `own` beside `others`: no one gets less than an equal
/// part unless it wants less; what is left is divided equally.
#[allow(clippy::cast_precision_loss, reason = "few replicas")]
fn fair(pool: f64, own: f64, others: &[f64]) -> f64 {
    let count = others.len() as f64 + 1.0;
    let total = own + others.iter().sum::<f64>();
    if total <= pool {
        return own + (pool - total) / count;
    }
    let mut wants: Vec<f64> = others.iter().copied().chain([own]).collect();
    wants.sort_by(f64::total_cmp);
    let (mut left, mut sharers) = (pool, count);
    for want in wants {
        let equal = left / sharers;
        if want > equal {
            return own.min(equal);
        }
        left -= want;
        sharers -= 1.0;
    }
    own
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn others(of_each: &[Use]) -> OthersUse {
        OthersUse { of_each: of_each.to_vec(), is_fresh: true, ..OthersUse::default() }
    }

    fn wants(wanted: f64) -> Use {
        Use { share: 0.0, used: 0.0, wanted }
    }

    #[test]
    fn equal_wants_get_equal_parts_and_what_one_leaves_goes_to_who_wants_it() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        near(fair(90.0, 50.0, &[50.0, 50.0]), 30.0);
        near(fair(90.0, 80.0, &[5.0, 5.0]), 80.0);
        near(fair(90.0, 80.0, &[5.0, 80.0]), 42.5);
        near(fair(90.0, 5.0, &[80.0, 80.0]), 5.0);
        near(fair(90.0, 0.0, &[0.0, 0.0]), 30.0);
        near(fair(90.0, 10.0, &[]), 90.0);
    }

    #[test]
    fn a_replica_that_joins_gets_what_the_first_one_gives_up() {
        let (mut first, mut second) = (Shares::alone(60.0), Shares::joining(60.0));
        let mut said = [wants(0.0), wants(0.0)];
        for _ in 0..60 {
            let one = first.rebalance(said[0], &others(&[said[1]]));
            let two = second.rebalance(said[1], &others(&[said[0]]));
            assert!(one + two <= 90.0, "{one} and {two}");
            said = [Use { share: one, ..wants(50.0) }, Use { share: two, ..wants(50.0) }];
        }
        assert!((29.0..31.0).contains(&first.share()), "{}", first.share());
        assert!((29.0..31.0).contains(&second.share()), "{}", second.share());
    }

    #[test]
    fn a_replica_on_its_own_keeps_to_its_share_for_a_minute_and_then_has_an_equal_one() {
        let mut lender = Shares::alone(60.0);
        lender.rebalance(wants(1.0), &others(&[wants(80.0)]));
        assert!(lender.share() < 20.0);
        let kept = lender.on_its_own(Millis(10_000), Millis(10_000));
        assert!(kept < 20.0);
        assert!((lender.on_its_own(Millis(70_000), Millis(10_000)) - 30.0).abs() < 1e-9);
    }

    proptest! {
        /// Replicas that hear of each other late and in part. What they may use together exceeds
        /// the limit by one share at most, at any time.
        #[test]
        fn the_sum_of_shares_exceeds_a_limit_by_one_equal_share_at_most(
            count in 2..6usize,
            steps in prop::collection::vec(
                (prop::collection::vec(0.0..200.0f64, 6), any::<[bool; 6]>()), 1..80,
            ),
        ) {
            let limit = 100.0;
            let mut shares: Vec<Shares> = (0..count).map(|_| Shares::joining(limit)).collect();
            let mut said = vec![Use::default(); count];
            // What each knows of each other: a message may come a step or two late.
            let mut known = vec![(0, vec![Use::default(); count]); count];
            for (wanted, is_heard) in steps {
                for at in 0..count {
                    if is_heard[at] || known[at].0 >= 2 {
                        known[at] = (0, said.clone());
                    } else {
                        known[at].0 += 1;
                    }
                }
                for at in 0..count {
                    let seen = known[at].1.iter().enumerate();
                    let of_each: Vec<Use> =
                        seen.filter(|(other, _)| *other != at).map(|(_, one)| *one).collect();
                    let own = Use { share: shares[at].share(), used: said[at].used, wanted: wanted[at] };
                    let share = shares[at].rebalance(own, &others(&of_each));
                    // It used as much as it might; a window of a minute forgets slowly.
                    let used = wanted[at].min(share).max((said[at].used - limit / 60.0).max(0.0));
                    said[at] = Use { share, used, wanted: wanted[at] };
                }
                let claimed: f64 = said.iter().map(Use::claim).sum();
                let one_share = limit / count as f64;
                prop_assert!(claimed <= limit + one_share + 1e-6, "{claimed}: {said:?}");
            }
        }
    }
}
