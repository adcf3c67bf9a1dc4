//! Reports: what each replica says about each deployment, and their join.
//!
//! Made by [`super::Fleet`] from local evidence, read by [`super::judge`]. Always true: of two
//! reports of one replica about one deployment the newer one counts, whatever the order in which
//! they come, so that the join is commutative, associative and idempotent.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::time::Millis;

/// Milliseconds since 1970 on the clock of the server that all replicas reach.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ServerMs(pub u64);

impl ServerMs {
    /// This moment plus `ms` milliseconds.
    #[must_use]
    pub fn plus(self, ms: u64) -> ServerMs {
        ServerMs(self.0.saturating_add(ms))
    }

    /// This moment less `ms` milliseconds.
    #[must_use]
    pub fn before(self, ms: u64) -> ServerMs {
        ServerMs(self.0.saturating_sub(ms))
    }

    /// Milliseconds since `earlier`; 0 if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: ServerMs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One moment on the process's clock and on the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerClock {
    /// The moment on the process's own clock.
    pub here: Millis,
    /// The same moment on the server's.
    pub server: ServerMs,
}

impl ServerClock {
    /// `at` on the server's clock.
    #[must_use]
    pub fn server(self, at: Millis) -> ServerMs {
        let before = self.here.since(at);
        ServerMs(self.server.0.saturating_sub(before).saturating_add(at.since(self.here)))
    }

    /// `at` on the process's own clock.
    #[must_use]
    pub fn here(self, at: ServerMs) -> Millis {
        let before = self.server.since(at);
        Millis(self.here.0.saturating_sub(before).saturating_add(at.since(self.server)))
    }
}

/// A cooldown that a replica's own evidence caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closed {
    /// When it began.
    pub since: ServerMs,
    /// When it ends.
    pub until: ServerMs,
    /// Why.
    pub cause: Cause,
    /// Whether the provider named its end.
    pub provider_issued: bool,
    /// Whether a probe of that replica failed for the same cause.
    pub confirmed: bool,
}

/// What one replica says about one deployment. The order is that of its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    /// Its number; a replica's newer report has a higher one.
    pub seq: u64,
    /// The cooldown, if there is one.
    pub closed: Option<Closed>,
    /// When the replica last got a good answer.
    pub ok_at: Option<ServerMs>,
}

/// The reports of all other replicas: the newest of each about each deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports(BTreeMap<Arc<str>, BTreeMap<Arc<str>, Report>>);

/// How long a report without a cooldown, or with one that has ended, is remembered: late messages
/// of that age change nothing any more. Milliseconds.
pub(super) const REMEMBERED_MS: u64 = 60_000;

impl Reports {
    /// Joins what `replica` says about `deployment`. Returns whether that is news.
    pub fn join(&mut self, deployment: &Arc<str>, replica: &Arc<str>, report: Report) -> bool {
        let of_deployment = self.0.entry(deployment.clone()).or_default();
        match of_deployment.get_mut(replica) {
            Some(known) if *known >= report => false,
            Some(known) => {
                *known = report;
                true
            }
            None => {
                of_deployment.insert(replica.clone(), report);
                true
            }
        }
    }

    /// Forgets the cooldowns of `deployment` that began until then: an operator had them ended.
    pub fn clear(&mut self, deployment: &str, until: ServerMs) {
        if let Some(of) = self.0.get_mut(deployment) {
            of.retain(|_, report| report.closed.is_none_or(|closed| closed.since > until));
        }
    }

    /// The reports about `deployment`, by replica.
    pub fn of(&self, deployment: &str) -> impl Iterator<Item = (&Arc<str>, &Report)> {
        self.0.get(deployment).into_iter().flatten()
    }

    /// The deployments that a replica said something about.
    pub fn deployments(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    /// The deadlines that providers issued and that last, of each deployment the latest, as its
    /// replica reported it: it holds even if that replica is gone. One of each, because what is
    /// passed on has to fit into a message, however many replicas were told.
    pub fn deadlines(
        &self,
        now: ServerMs,
    ) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, &Report)> {
        let until = move |report: &Report| {
            let closed = report.closed.filter(|one| one.provider_issued && one.until > now);
            closed.map(|closed| closed.until)
        };
        self.0.iter().filter_map(move |(deployment, of)| {
            let lasting = of.iter().filter(|(_, report)| until(report).is_some());
            let (replica, report) = lasting.max_by_key(|(_, report)| until(report))?;
            Some((deployment, replica, report))
        })
    }

    /// Forgets what no longer counts: reports about deployments that are not configured, and those
    /// of replicas that are gone unless a deadline in them lasts.
    pub fn forget(
        &mut self,
        now: ServerMs,
        is_configured: impl Fn(&str) -> bool,
        is_alive: impl Fn(&str) -> bool,
    ) {
        self.0.retain(|deployment, of| {
            of.retain(|replica, report| {
                let ends = report.closed.map(|closed| closed.until);
                let lasts = ends.is_some_and(|ends| now <= ends.plus(REMEMBERED_MS));
                let is_deadline = report.closed.is_some_and(|one| one.provider_issued);
                (is_alive(replica) || is_deadline) && (lasts || report.closed.is_none())
            });
            !of.is_empty() && is_configured(deployment)
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_is_the_same_there_and_back_whatever_the_clocks_say() {
        let clock = ServerClock { here: Millis(5_000), server: ServerMs(1_000_000) };
        for at in [0, 4_000, 5_000, 90_000] {
            assert_eq!(clock.here(clock.server(Millis(at))), Millis(at));
        }
        assert_eq!(clock.here(ServerMs(0)), Millis(0), "before the process");
        assert_eq!(clock.server(Millis::NEVER).0, u64::MAX);
        assert!(clock.here(ServerMs(u64::MAX)).0 > u64::MAX / 2, "no overflow");
    }

    #[test]
    fn of_the_deadlines_of_a_deployment_the_latest_is_passed_on() {
        let report = |until, provider_issued| {
            let cause = Cause::RateLimited;
            let (since, until) = (ServerMs(0), ServerMs(until));
            let closed = Closed { since, until, cause, provider_issued, confirmed: false };
            Report { seq: 1, closed: Some(closed), ok_at: None }
        };
        let rows =
            [("a", 20, true), ("b", 40, true), ("c", 30, true), ("d", 90, false), ("e", 9, true)];
        let mut reports = Reports::default();
        for (replica, until, issued) in rows {
            reports.join(&"x".into(), &replica.into(), report(until, issued));
        }
        reports.join(&"y".into(), &"a".into(), report(50, true));
        reports.join(&"z".into(), &"a".into(), report(10, true));
        let passed: Vec<(&str, &str)> =
            reports.deadlines(ServerMs(10)).map(|(id, by, _)| (&**id, &**by)).collect();
        assert_eq!(passed, [("x", "b"), ("y", "a")]);
    }

    fn cause() -> impl Strategy<Value = Cause> {
        prop::sample::select(Cause::ALL.to_vec())
    }

    fn report() -> impl Strategy<Value = Report> {
        let closed = (0..50u64, 0..100u64, cause(), any::<bool>(), any::<bool>());
        let closed = closed.prop_map(|(since, ms, cause, provider_issued, confirmed)| Closed {
            since: ServerMs(since),
            until: ServerMs(since + ms),
            cause,
            provider_issued,
            confirmed,
        });
        let ok_at = prop::option::of((0..100u64).prop_map(ServerMs));
        (0..6u64, prop::option::of(closed), ok_at).prop_map(|(seq, closed, ok_at)| Report {
            seq,
            closed,
            ok_at,
        })
    }

    type Said = (u8, u8, Report);

    fn joined<'s>(all: impl IntoIterator<Item = &'s Said>) -> Reports {
        let mut reports = Reports::default();
        for (deployment, replica, report) in all {
            let (deployment, replica) = (format!("d{deployment}"), format!("r{replica}"));
            reports.join(&deployment.into(), &replica.into(), *report);
        }
        reports
    }

    proptest! {
        #[test]
        fn reports_join_to_the_same_in_any_order_and_any_number_of_times(
            said in prop::collection::vec((0..3u8, 0..3u8, report()), 0..20),
            order in any::<u64>(),
            again in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let straight = joined(&said);
            let mut shuffled = said.clone();
            let mut chance = order;
            for at in (1..shuffled.len()).rev() {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(at, (chance >> 33) as usize % (at + 1));
            }
            prop_assert_eq!(&joined(&shuffled), &straight);
            // Once more, some of them twice, some late.
            let late = again.iter().filter(|_| !said.is_empty()).map(|index| index.get(&said));
            prop_assert_eq!(&joined(said.iter().chain(late)), &straight);
        }

        #[test]
        fn what_is_no_news_changes_nothing(said in prop::collection::vec((0..2u8, 0..2u8, report()), 0..12)) {
            let mut reports = Reports::default();
            for (deployment, replica, report) in &said {
                let (deployment, replica) = (format!("d{deployment}").into(), format!("r{replica}").into());
                let before = reports.clone();
                let news = reports.join(&deployment, &replica, *report);
                prop_assert_eq!(news, before != reports);
                prop_assert!(!reports.join(&deployment, &replica, *report));
            }
        }
    }
}
