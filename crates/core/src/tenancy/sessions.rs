//! What sessions have used, for their ceilings: a table of bounded size.
//!
//! Kept by the gateway, asked for each request that names a session while sessions have a ceiling. Always true: at most two generations of
//! [`GENERATION`] sessions are kept, and those with calls in flight; one that was used longest ago is forgotten first, and asks the ledger
//! again when it comes back.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::account::{Account, Budget, Terms};
use super::level::Level;
use super::subject::Subject;
use crate::money::Money;
use crate::time::Millis;

/// Sessions of a generation.
pub const GENERATION: usize = 10_000;

/// What each session may use at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// Money.
    pub budget: Option<Money>,
    /// Requests.
    pub requests: Option<u64>,
}

impl Ceiling {
    /// Whether there is one.
    #[must_use]
    pub const fn is_any(self) -> bool {
        self.budget.is_some() || self.requests.is_some()
    }

    /// The level of a session.
    #[must_use]
    pub fn level(self, subject: Subject, account: Arc<Account>) -> Arc<Level> {
        let budget = |max| Budget { max, duration: None, raised: None, zone: TimeZone::UTC };
        let terms =
            Terms { budget: self.budget.map(budget), requests: self.requests, ..Terms::default() };
        Arc::new(Level { subject, terms, account, clock: None, counter: None })
    }
}

/// One session.
#[derive(Debug)]
struct Session {
    account: Arc<Account>,
    /// When the ledger was last asked for it.
    asked: Option<Millis>,
}

/// The sessions in use.
#[derive(Debug, Default)]
pub struct Sessions {
    young: HashMap<Arc<str>, Session>,
    old: HashMap<Arc<str>, Session>,
}

impl Sessions {
    /// The account of a session, and whether the ledger is to be asked for it: it was not for `every_ms`, or never.
    pub fn of(&mut self, subject: &Subject, now: Millis, every_ms: u64) -> (Arc<Account>, bool) {
        if !self.young.contains_key(&subject.id) {
            let known = self.old.remove(&subject.id);
            let known = known.unwrap_or_else(|| Session { account: Arc::default(), asked: None });
            if self.young.len() >= GENERATION {
                self.begin_generation();
            }
            self.young.insert(subject.id.clone(), known);
        }
        let Some(session) = self.young.get_mut(&subject.id) else {
            return (Arc::default(), false);
        };
        let is_due = session.asked.is_none_or(|asked| now.since(asked) >= every_ms);
        if is_due {
            session.asked = Some(now);
        }
        (session.account.clone(), is_due)
    }

    /// The ledger did not answer: it is asked again for the next request.
    pub fn not_asked(&mut self, subject: &Subject) {
        if let Some(session) = self.young.get_mut(&subject.id) {
            session.asked = None;
        }
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn begin_generation(&mut self) {
        let gone = mem::replace(&mut self.old, mem::take(&mut self.young));
        // What calls in flight reserve must not be forgotten.
        let is_used = |session: &Session| Arc::strong_count(&session.account) > 1;
        self.young.extend(gone.into_iter().filter(|(_, session)| is_used(session)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::{Admission, Spent};
    use super::super::account::{Claim, Used};
    use super::super::time_of_tests::at;
    use super::*;

    fn usd(usd: f64) -> Money {
        Money::of_usd(usd).unwrap()
    }

    fn session(name: &str) -> Subject {
        Subject::of_session("hash", name)
    }

    fn claim(cost: f64) -> Claim {
        Claim { cost: usd(cost), ..Claim::default() }
    }

    /// Spent in one group.
    fn whole(all: Used) -> Spent<'static> {
        Spent { all, in_group: &|_| Used::default() }
    }

    #[test]
    fn a_session_that_has_spent_its_budget_is_refused_as_a_session() {
        let ceiling = Ceiling { budget: Some(usd(1.0)), requests: None };
        let mut sessions = Sessions::default();
        let (account, _) = sessions.of(&session("a"), Millis(0), 1_000);
        let level = ceiling.level(session("a"), account);
        let one = Admission::keyless(level.clone(), claim(0.5), at(0)).unwrap();
        one.settle(&whole(Used { tokens: 1, cost: usd(1.0) }), |_| {});
        let denied = Admission::keyless(level, claim(0.5), at(1)).unwrap_err();
        assert_eq!((denied.status, denied.reason), (422, "session_limit"));
        assert_eq!((denied.kind, denied.retry_after_s), ("budget_exceeded", None));
        let other = ceiling.level(session("b"), sessions.of(&session("b"), Millis(0), 1_000).0);
        assert!(Admission::keyless(other, claim(0.5), at(1)).is_ok());
    }

    #[test]
    fn requests_that_called_no_upstream_do_not_count_and_others_do() {
        let ceiling = Ceiling { budget: None, requests: Some(2) };
        let level = ceiling.level(session("a"), Arc::default());
        let admit = || Admission::keyless(level.clone(), claim(0.0), at(0));
        admit().unwrap().refund();
        drop(admit().unwrap());
        admit().unwrap().settle(&whole(Used::default()), |_| {});
        let denied = admit().unwrap_err();
        assert_eq!((denied.status, denied.reason), (422, "session_limit"));
        assert!(denied.message.contains("max_requests_per_session"), "{}", denied.message);
    }

    #[test]
    fn what_the_ledger_has_raises_what_is_known_and_never_lowers_it() {
        let ceiling = Ceiling { budget: Some(usd(3.0)), requests: Some(5) };
        let level = ceiling.level(session("a"), Arc::default());
        let admit = || Admission::keyless(level.clone(), claim(0.0), at(0));
        admit().unwrap().settle(&whole(Used { tokens: 0, cost: usd(1.0) }), |_| {});
        level.account.at_least(usd(0.5), 0);
        assert!(admit().is_ok());
        level.account.at_least(usd(3.0), 2);
        assert!(admit().unwrap_err().message.contains("Current cost: 3.0"));
        let counted = ceiling.level(session("b"), Arc::default());
        counted.account.at_least(Money::ZERO, 5);
        assert!(Admission::keyless(counted, claim(0.0), at(0)).is_err());
    }

    #[test]
    fn a_million_sessions_take_a_bounded_place_and_those_in_flight_stay() {
        let mut sessions = Sessions::default();
        let ceiling = Ceiling { budget: Some(usd(1.0)), requests: None };
        let (account, is_due) = sessions.of(&session("held"), Millis(0), 1_000);
        assert!(is_due);
        let held = Admission::keyless(ceiling.level(session("held"), account), claim(0.9), at(0));
        for number in 0..1_000_000 {
            sessions.of(&session(&number.to_string()), Millis(0), 1_000);
        }
        assert!(sessions.len() <= 2 * GENERATION + 2, "{}", sessions.len());
        let (account, is_due) = sessions.of(&session("held"), Millis(1), 1_000);
        assert_eq!(account.balance(None, at(0)).reserved, usd(0.9));
        assert!(!is_due, "the ledger was asked a millisecond ago");
        drop(held);
        let (_, is_due) = sessions.of(&session("7"), Millis(1), 1_000);
        assert!(is_due, "it was forgotten");
    }

    #[test]
    fn sessions_of_other_keys_are_others() {
        let mut sessions = Sessions::default();
        let (one, _) = sessions.of(&Subject::of_session("a", "s"), Millis(0), 1);
        let (other, _) = sessions.of(&Subject::of_session("b", "s"), Millis(0), 1);
        assert!(!Arc::ptr_eq(&one, &other));
    }
}
