//! What is always true of a deployment's state and of a route plan: properties with shrinking, and
//! every history of a small scope.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;

use hale_core::cause::Cause;
use hale_core::config::{InMemory, Options, load};
use hale_core::health::{
    AttemptRef, Claim, DeploymentState, Evidence, Failure, FailureContext, HalfOpen, HealthEvents,
    Measured, OperatorAction, QUOTA_CAP_MS, Verdict,
};
use hale_core::policy::ByKind;
use hale_core::route::{
    AttemptPlan, Controls, GiveUp, MAX_ATTEMPTS, Next, Repeat, Resolved, RoutePlan, Tried, resolve,
};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use proptest::prelude::*;

/// One outcome in a deployment's history.
#[derive(Clone, Debug)]
struct Step {
    /// Milliseconds since the step before.
    after: u64,
    /// How long the attempt took.
    took: u64,
    request: u64,
    /// `None` is a good answer.
    cause: Option<Cause>,
    hint_ms: Option<u64>,
    half_open: bool,
}

fn causes() -> impl Strategy<Value = Option<Cause>> {
    let blamed: Vec<Cause> =
        Cause::ALL.into_iter().filter(|cause| cause.blames_deployment()).collect();
    prop_oneof![2 => Just(None), 5 => proptest::sample::select(blamed).prop_map(Some)]
}

/// Every cause, whichever side is to blame.
fn all_causes() -> impl Strategy<Value = Cause> {
    proptest::sample::select(Cause::ALL.to_vec())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hint = prop_oneof![3 => Just(None), 1 => (0u64..u64::MAX).prop_map(Some), 1 => (0u64..20_000).prop_map(Some)];
    let step = (0u64..20_000, 0u64..30_000, 0u64..4, causes(), hint, any::<bool>());
    let step = step.prop_map(|(after, took, request, cause, hint_ms, half_open)| Step {
        after,
        took,
        request,
        cause,
        hint_ms,
        half_open,
    });
    proptest::collection::vec(step, 0..60)
}

fn failure_context() -> impl Strategy<Value = FailureContext> {
    let allowed = prop_oneof![Just(None), (0u32..4).prop_map(Some)];
    (any::<bool>(), any::<bool>(), 0u64..60_000, allowed, any::<bool>()).prop_map(
        |(has_sibling, has_fallback, cooldown_ms, others, many_models)| FailureContext {
            has_sibling,
            has_fallback,
            cooldown_ms,
            tolerance: ByKind { others, ..ByKind::default() },
            attempt_timeout_ms: 10_000,
            many_models,
            foreign: None,
        },
    )
}

/// Applies a step and checks whether the state is still consistent.
fn apply(state: &DeploymentState, now: u64, step: &Step, context: &FailureContext) -> HealthEvents {
    let started = Millis(now.saturating_sub(step.took));
    let own = if step.half_open { state.take_half_open(started, 0) } else { None };
    let half_open = HalfOpen { own, ..HalfOpen::NONE };
    let attempt = AttemptRef { started, request: step.request, half_open };
    let evidence = match step.cause {
        None => Evidence::Succeeded { attempt, measured: Measured::default(), model: "" },
        Some(cause) => {
            let failure = Failure { cause, status: None, hint_ms: step.hint_ms };
            Evidence::Failed { attempt, failure, model: "", context }
        }
    };
    let events = state.apply(Millis(now), &evidence);
    assert_eq!(state.check_invariants(), Ok(()), "after {step:?}");
    events
}

fn until(state: &DeploymentState, now: u64) -> Option<(Cause, u64, Millis)> {
    match state.verdict(Millis(now)) {
        Verdict::Ready | Verdict::Reopening => None,
        Verdict::Cooling(cooldown) | Verdict::HalfOpen(cooldown) => {
            Some((cooldown.cause, cooldown.until.0, state.cooling_since()?))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant I4: faults of the client or the gateway change no verdict, wherever they are in
    /// the history.
    #[test]
    fn failures_of_the_client_or_the_gateway_change_no_verdict(
        steps in steps(),
        context in failure_context(),
        noise in proptest::collection::vec((0usize..60, 0usize..6, 0u64..30_000), 0..40),
    ) {
        let others: Vec<Cause> =
            Cause::ALL.into_iter().filter(|cause| !cause.blames_deployment()).collect();
        let (plain, noisy) = (DeploymentState::default(), DeploymentState::default());
        let mut now = 100_000;
        for (i, step) in steps.iter().enumerate() {
            for (_, which, took) in noise.iter().filter(|(at, ..)| *at == i) {
                let foreign = Step {
                    cause: Some(others[which % others.len()]), took: *took, half_open: false, ..step.clone()
                };
                prop_assert!(apply(&noisy, now, &foreign, &context).is_empty());
            }
            now += step.after;
            prop_assert_eq!(
                apply(&plain, now, step, &context), apply(&noisy, now, step, &context)
            );
            prop_assert_eq!(plain.verdict(Millis(now)), noisy.verdict(Millis(now)));
        }
        prop_assert_eq!(plain.report(), noisy.report());
    }

    /// Invariant I8: the end of a cooldown only moves later until a success, and is capped.
    #[test]
    fn deadlines_only_move_forward_and_are_capped(steps in steps(), context in failure_context()) {
        let state = DeploymentState::default();
        let mut now = 100_000;
        for step in &steps {
            now += step.after;
            let before = until(&state, now);
            apply(&state, now, step, &context);
            let after = until(&state, now);
            if let (Some((_, old, since)), Some((_, new, still))) = (before, after)
                && since == still
            {
                prop_assert!(new >= old, "{old} became {new}");
            }
            if let Some((_, until, _)) = after {
                prop_assert!(until <= now + QUOTA_CAP_MS.max(context.cooldown_ms * 2));
            }
        }
    }

    /// Invariant I7: an attempt that began before the cooldown neither ends it nor begins another
    /// one.
    #[test]
    fn late_results_decide_nothing(steps in steps(), context in failure_context(), late in causes()) {
        let state = DeploymentState::default();
        let mut now = 100_000;
        for step in &steps {
            now += step.after;
            apply(&state, now, step, &context);
            if let Some((_, _, since)) = until(&state, now) {
                let step = Step {
                    took: now.saturating_sub(since.0) + 1, cause: late, hint_ms: None, half_open: false,
                    ..step.clone()
                };
                let (verdict, report) = (state.verdict(Millis(now)), state.report());
                let events = apply(&state, now, &step, &context);
                prop_assert_eq!(events.cooldown_change(), None);
                prop_assert_eq!(state.verdict(Millis(now)), verdict);
                prop_assert_eq!(state.report().opens_in_a_row, report.opens_in_a_row);
            }
        }
    }

    /// Invariants I6 and I12: every cooldown ends with a half-open request, and with one at a time.
    #[test]
    fn every_cooldown_ends(steps in steps(), context in failure_context(), timeout in 0u64..600_000) {
        let state = DeploymentState::default();
        let mut now = 100_000;
        for step in &steps {
            now += step.after;
            apply(&state, now, step, &context);
        }
        if let Some((_, until, _)) = until(&state, now) {
            let due = Millis(until.max(now));
            prop_assert!(matches!(state.verdict(due), Verdict::HalfOpen(_)));
            prop_assert!(state.take_half_open(due, timeout).is_some());
            prop_assert!(state.take_half_open(due, timeout).is_none());
            let lost = due.plus(timeout).plus(1_000);
            prop_assert!(state.half_open_is_free(lost), "a lost permit expires");
        }
    }

    /// Invariant I10: a deployment with a sibling that stops is ejected after three failures of
    /// different requests, whatever happened before, unless the config tolerates more.
    #[test]
    fn three_failures_in_a_row_trip(steps in steps(), context in failure_context(), gaps in (0u64..10_000, 0u64..10_000)) {
        let context = FailureContext {
            has_sibling: true, cooldown_ms: context.cooldown_ms + 1, tolerance: ByKind::default(),
            many_models: false, ..context
        };
        let state = DeploymentState::default();
        let mut now = 100_000;
        for step in &steps {
            now += step.after;
            apply(&state, now, step, &context);
        }
        // Its cooldown is over, and it works.
        now += QUOTA_CAP_MS;
        let well = Step { after: 0, took: 0, request: 0, cause: None, hint_ms: None, half_open: true };
        apply(&state, now, &well, &context);
        prop_assert_eq!(state.verdict(Millis(now)), Verdict::Ready);
        for (request, gap) in [0, gaps.0, gaps.1].into_iter().enumerate() {
            now += 1 + gap;
            let stopped = Step {
                request: 100 + request as u64, cause: Some(Cause::Connect), half_open: false, ..well.clone()
            };
            apply(&state, now, &stopped, &context);
        }
        prop_assert!(matches!(state.verdict(Millis(now)), Verdict::Cooling(_)));
    }

    /// Invariant I11: a lone deployment without a fallback is never ejected for a temporary
    /// failure.
    #[test]
    fn a_lone_deployment_cools_down_only_when_the_provider_says_so(steps in steps(), context in failure_context()) {
        let alone = FailureContext { has_sibling: false, has_fallback: false, ..context };
        let state = DeploymentState::default();
        let mut now = 100_000;
        for step in &steps {
            now += step.after;
            apply(&state, now, step, &alone);
            if let Verdict::Cooling(cooldown) = state.verdict(Millis(now)) {
                prop_assert!(matches!(cooldown.cause, Cause::RateLimited | Cause::Quota | Cause::Overloaded));
            }
        }
    }

    /// Invariant I18: time may jump anywhere.
    #[test]
    fn time_may_jump(steps in steps(), context in failure_context(), times in proptest::collection::vec(any::<u64>(), 60)) {
        let state = DeploymentState::default();
        for (step, now) in steps.iter().zip(times) {
            apply(&state, now, step, &context);
            let _verdict = state.verdict(Millis(now));
            let share = state.ramp(Millis(now));
            prop_assert!(share > 0.0 && share <= 1.0);
            prop_assert!(state.penalty_ms(Millis(now)) >= 0.0);
            let claim = Claim { max_parallel: Some(1), rpm: Some(5), counts: true, ..Claim::default() };
            let entered = state.enter(Millis(now), &claim);
            if entered {
                state.leave();
            }
            prop_assert_eq!(state.in_flight(), 0);
        }
    }

    /// Invariants I2 and I20: a route plan ends, within its bounds, whatever happens.
    #[test]
    fn a_route_plan_ends_and_visits_each_group_once(
        members in (1usize..4, 1usize..3, 1usize..3),
        outcomes in proptest::collection::vec((all_causes(), 0u64..3_000), 40),
        retries in 0u32..30,
        timeout_ms in prop_oneof![Just(None), (1u64..20_000).prop_map(Some)],
        disabled in any::<bool>(),
    ) {
        let snapshot = snapshot(members, "fallbacks: [{a: [b]}, {b: [a, c]}, {c: [a]}], context_window_fallbacks: [{a: [c]}, \
             {c: [b]}], content_policy_fallbacks: [{b: [c]}, {c: [a]}]");
        if disabled {
            let out = Evidence::Operator(OperatorAction::Disable);
            snapshot.deployments[0].apply(Millis(0), &out);
        }
        let controls = Controls { num_retries: Some(retries), timeout_ms, ..Controls::default() };
        let Resolved::Target(target) = resolve(&snapshot, "a") else { panic!("a") };
        let mut route_plan = RoutePlan::new(&snapshot, target, controls, Millis(0));
        let (mut now, mut groups, mut attempts) = (0, Vec::new(), 0);
        let mut outcomes = outcomes.into_iter().cycle();
        for turn in 0u64.. {
            prop_assert!(turn < 200, "it ends");
            match route_plan.next(&snapshot, Millis(now), turn.wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
                Next::GiveUp(_) => break,
                Next::Pause(ms) => now += ms,
                Next::Wait(_) => route_plan.stop_waiting(Millis(now)),
                Next::Attempt(plan) => {
                    attempts += 1;
                    prop_assert!(plan.ends.0 >= now && plan.ends <= route_plan.deadline());
                    prop_assert!(!(disabled && plan.deployment.0 == 0), "I5: taken out is out");
                    let group = snapshot.deployment(plan.deployment).group;
                    if groups.last() != Some(&group) {
                        groups.push(group);
                    }
                    let (cause, took) = outcomes.next().unwrap();
                    let ended = (now + took).min(plan.ends.0);
                    fail(&snapshot, &mut route_plan, &plan, now..ended, cause);
                    now = ended;
                }
            }
        }
        prop_assert!(attempts <= MAX_ATTEMPTS);
        let count = groups.len();
        groups.sort_unstable();
        groups.dedup();
        // A group that was passed over during its cooldown may get its one attempt at the end.
        prop_assert!(count <= groups.len() + 1 && count <= 4, "{count} visits");
    }

    /// Attempts are exactly one plus the retries, in a group without a fallback.
    #[test]
    fn attempts_are_exact(members in 1usize..6, retries in 0u32..6) {
        let snapshot = snapshot((members, 1, 1), "");
        let controls = Controls { num_retries: Some(retries), ..Controls::default() };
        let Resolved::Target(target) = resolve(&snapshot, "a") else { panic!("a") };
        let mut route_plan = RoutePlan::new(&snapshot, target, controls, Millis(0));
        let mut seen = Vec::new();
        loop {
            match route_plan.next(&snapshot, Millis(1), 7) {
                Next::GiveUp(why) => {
                    prop_assert_eq!(why, GiveUp::Exhausted(vec![]));
                    break;
                }
                Next::Pause(_) => {}
                Next::Wait(wait) => prop_assert!(false, "nothing closes it: {wait:?}"),
                Next::Attempt(plan) => {
                    seen.push(plan.deployment);
                    fail(&snapshot, &mut route_plan, &plan, 1..1, Cause::ServerError);
                }
            }
        }
        prop_assert_eq!(seen.len(), retries as usize + 1);
        let different = seen.iter().take(members).collect::<std::collections::BTreeSet<_>>().len();
        prop_assert_eq!(different, seen.len().min(members), "no member twice while another one is left");
    }
}

/// Reports a failure to the deployment and to the route plan.
fn fail(
    snapshot: &Snapshot,
    route_plan: &mut RoutePlan,
    plan: &AttemptPlan,
    took: Range<u64>,
    cause: Cause,
) {
    let (began, ended) = (took.start, took.end);
    let context = route_plan.failure_context(snapshot, plan);
    let attempt = AttemptRef { started: Millis(began), request: 1, half_open: plan.half_open };
    let deployment = snapshot.deployment(plan.deployment);
    let failure = Failure::of(cause);
    let evidence = Evidence::Failed { attempt, failure, model: "", context: &context };
    deployment.apply(Millis(ended), &evidence);
    let tried = Tried {
        group: "".into(),
        deployment: plan.deployment,
        former: None,
        status: None,
        cause,
        message: "".into(),
        ms: 0,
        resent: false,
        hint_ms: None,
        half_open: plan.half_open.is_trial(),
        repeat: Repeat::default(),
    };
    route_plan.failed(snapshot, tried, Millis(ended), 17);
    assert_eq!(deployment.check_invariants(), Ok(()));
    assert_eq!(route_plan.check_invariants(snapshot), Ok(()));
}

fn snapshot(members: (usize, usize, usize), router: &str) -> Snapshot {
    let mut yaml = String::from("model_list:\n");
    for (name, count) in [("a", members.0), ("b", members.1), ("c", members.2)] {
        for member in 0..count {
            yaml.push_str(&format!(
                "- {{model_name: {name}, model_info: {{id: {name}{member}}}, litellm_params: \
                 {{model: openai/x, api_key: k{name}{member}}}}}\n"
            ));
        }
    }
    yaml.push_str(&format!("router_settings: {{{router}}}\n"));
    load(&InMemory::file("c.yaml", yaml), "c.yaml", Options::default(), None)
        .snapshot
        .expect("a good config")
}

/// The events of the small scope: two siblings, and up to two requests in flight, whose attempts
/// begin and end in any order.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Happens {
    TenSeconds,
    /// The next request begins, if a place is free.
    Begin,
    /// The older attempt, else the newer one, succeeds.
    Answer(Place),
    Fails(Place),
    /// A 429 with a time.
    Limited(Place),
    Refused,
    ClientsFault,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Older,
    Newer,
}

const ALL: [Happens; 8] = [
    Happens::TenSeconds,
    Happens::Begin,
    Happens::Answer(Place::Older),
    Happens::Answer(Place::Newer),
    Happens::Fails(Place::Newer),
    Happens::Limited(Place::Older),
    Happens::Refused,
    Happens::ClientsFault,
];

/// An attempt in flight.
struct UnderWay {
    plan: AttemptPlan,
    attempt: AttemptRef,
    context: FailureContext,
}

/// The small scope during a history.
struct Scope<'s> {
    snapshot: &'s Snapshot,
    now: u64,
    requests: u64,
    under_way: Vec<UnderWay>,
}

impl Scope<'_> {
    /// One event; panics if an invariant is broken. `path` is for the message.
    fn happen(&mut self, what: Happens, path: &[Happens]) {
        let (place, outcome) = match what {
            Happens::TenSeconds => return self.now += 10_000,
            Happens::Begin => return self.begin(path),
            Happens::Answer(place) => (place, None),
            Happens::Fails(place) => (place, Some((Cause::ServerError, None))),
            Happens::Limited(place) => (place, Some((Cause::RateLimited, Some(13_000)))),
            Happens::Refused => (Place::Older, Some((Cause::Auth, None))),
            Happens::ClientsFault => (Place::Older, Some((Cause::ClientClosed, None))),
        };
        self.end(place, outcome, path);
    }

    fn begin(&mut self, path: &[Happens]) {
        if self.under_way.len() == 2 {
            return;
        }
        self.requests += 1;
        let (at, request) = (Millis(self.now), self.requests);
        let Resolved::Target(target) = resolve(self.snapshot, "a") else { panic!("a") };
        let mut route_plan =
            RoutePlan::new(self.snapshot, target, Controls::default(), at).numbered(request);
        let members = &self.snapshot.deployments[..2];
        match route_plan.next(self.snapshot, at, request.wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
            Next::Attempt(plan) => {
                let deployment = self.snapshot.deployment(plan.deployment);
                if let Verdict::Cooling(cooldown) = deployment.verdict(at) {
                    assert!(!cooldown.provider_issued, "against the provider's time: {path:?}");
                    let well = members.iter().any(|one| one.verdict(at) == Verdict::Ready);
                    assert!(!well, "a well one was left out: {path:?}");
                }
                let of_it = self.under_way.iter().filter(|one| {
                    one.plan.deployment == plan.deployment && one.plan.half_open.is_held()
                });
                if plan.half_open.is_held() {
                    // A permit expires with its attempt's time limit, which no history here
                    // reaches.
                    assert_eq!(of_it.count(), 0, "two trials at once: {path:?}");
                }
                let context = route_plan.failure_context(self.snapshot, &plan);
                let attempt = AttemptRef { started: at, request, half_open: plan.half_open };
                self.under_way.push(UnderWay { plan, attempt, context });
            }
            Next::Wait(_) => {
                for one in members {
                    let cools_down = match one.verdict(at) {
                        Verdict::Cooling(cooldown) => {
                            cooldown.provider_issued || !one.half_open_is_free(at)
                        }
                        Verdict::HalfOpen(_) | Verdict::Reopening => !one.half_open_is_free(at),
                        Verdict::Ready => false,
                    };
                    assert!(cools_down, "I1: refused although it may be tried: {path:?}");
                }
            }
            other => panic!("{other:?}: {path:?}"),
        }
    }

    fn end(&mut self, place: Place, outcome: Option<(Cause, Option<u64>)>, path: &[Happens]) {
        let index = match place {
            Place::Older => 0,
            Place::Newer => self.under_way.len().saturating_sub(1),
        };
        if self.under_way.is_empty() {
            return;
        }
        let UnderWay { plan, attempt, context } = self.under_way.remove(index);
        let at = Millis(self.now);
        let deployment = self.snapshot.deployment(plan.deployment);
        let before = deployment.verdict(at);
        match outcome {
            None => {
                let measured = Measured::default();
                deployment.apply(at, &Evidence::Succeeded { attempt, measured, model: "" });
            }
            Some((cause, hint_ms)) => {
                let failure = Failure { cause, status: None, hint_ms };
                let context = &context;
                deployment.apply(at, &Evidence::Failed { attempt, failure, model: "", context });
                if !cause.blames_deployment() {
                    assert_eq!(
                        deployment.verdict(at),
                        before,
                        "not the deployment's fault: {path:?}"
                    );
                }
            }
        }
        let of_it = self.under_way.iter().filter(|one| one.plan.deployment == plan.deployment);
        let half_opens = of_it.filter(|one| one.plan.half_open.is_held()).count();
        assert_eq!(
            deployment.state.half_open_is_free(at),
            half_opens == 0,
            "who holds it: {path:?}"
        );
    }
}

/// Every history of this many events.
fn walk_all(depth: u32) {
    let snapshot = snapshot((2, 1, 1), "cooldown_time: 5");
    for code in 0..8u64.pow(depth) {
        for one in &snapshot.deployments {
            one.apply(Millis(0), &Evidence::Operator(OperatorAction::Reset));
        }
        let path: Vec<Happens> =
            (0..depth).map(|i| ALL[usize::try_from(code >> (3 * i) & 7).unwrap()]).collect();
        let mut scope =
            Scope { snapshot: &snapshot, now: 1_000_000, requests: 0, under_way: Vec::new() };
        for what in &path {
            scope.happen(*what, &path);
        }
    }
}

#[test]
fn every_history_of_seven_events_keeps_the_invariants() {
    walk_all(7);
}
