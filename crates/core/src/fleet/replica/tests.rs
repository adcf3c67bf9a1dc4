use super::*;
use crate::cause::Cause;
use crate::config::{InMemory, Options, load};
use crate::health::{AttemptRef, Failure, FailureContext, HalfOpen, Measured, Verdict};
use crate::policy::ByKind;

const CONFIG: &str = "model_list:\n\
    - {model_name: m, model_info: {id: a}, litellm_params: {model: openai/x, api_key: k1, rpm: 60}}\n\
    - {model_name: m, model_info: {id: b}, litellm_params: {model: openai/x, api_key: k1}}\n\
    - {model_name: m, model_info: {id: c}, litellm_params: {model: openai/y, api_key: k2}}\n\
    router_settings: {enable_pre_call_checks: true}\n";

struct One {
    fleet: Fleet,
    snapshot: Snapshot,
    /// How far its clock is from the server's.
    started: u64,
}

impl One {
    fn new(name: &str, started: u64) -> One {
        let yaml = CONFIG.replace("\n    -", "\n-").replace("\n    router", "\nrouter");
        let loaded = load(&InMemory::file("f.yaml", yaml), "f.yaml", Options::default(), None);
        One { fleet: Fleet::new(name.into()), snapshot: loaded.snapshot.unwrap(), started }
    }

    fn clock(&self, at: u64) -> ServerClock {
        ServerClock { here: Millis(at - self.started), server: ServerMs(1_000_000_000 + at) }
    }

    fn says(&mut self, at: u64) -> Message {
        let clock = self.clock(at);
        let whole = self.fleet.publish(&self.snapshot, clock).whole;
        Message::read(&whole.write(), clock.server).unwrap()
    }

    fn hears(&mut self, at: u64, message: &Message) -> Changes {
        self.fleet.receive(message, &self.snapshot);
        let clock = self.clock(at);
        self.fleet.settle(&self.snapshot, clock)
    }

    fn fails(&self, at: u64, id: &str, failure: Failure) {
        let now = self.clock(at).here;
        let attempt = AttemptRef { started: now, request: at, half_open: HalfOpen::NONE };
        let context = FailureContext {
            has_sibling: true,
            has_fallback: false,
            cooldown_ms: 5_000,
            tolerance: ByKind::default(),
            attempt_timeout_ms: 1_000,
            many_models: false,
            foreign: None,
        };
        self.of(id)
            .apply(now, &Evidence::Failed { attempt, failure, model: "", context: &context });
    }

    fn answers(&self, at: u64, id: &str) {
        let now = self.clock(at).here;
        let attempt = AttemptRef { started: now, request: at, half_open: HalfOpen::NONE };
        let measured = Measured::default();
        self.of(id).apply(now, &Evidence::Succeeded { attempt, measured, model: "" });
    }

    fn of(&self, id: &str) -> &Deployment {
        self.snapshot.deployment(self.snapshot.by_id[id])
    }

    fn until(&self, at: u64, id: &str) -> Option<u64> {
        let clock = self.clock(at);
        match self.of(id).verdict(clock.here) {
            Verdict::Cooling(cooldown) => Some(clock.server(cooldown.until).0 - 1_000_000_000),
            Verdict::Ready | Verdict::Reopening | Verdict::HalfOpen(_) => None,
        }
    }
}

fn limited(seconds: u64) -> Failure {
    Failure { hint_ms: Some(seconds * 1_000), status: Some(429), ..Failure::of(Cause::RateLimited) }
}

#[test]
fn a_deadline_holds_elsewhere_with_the_same_end_whatever_the_clocks_say() {
    let (mut one, mut two) = (One::new("r1", 0), One::new("r2", 49_000));
    one.fails(50_000, "a", limited(30));
    let changes = two.hears(50_400, &one.says(50_300));
    assert_eq!(changes.len(), 2);
    assert_eq!(two.until(50_400, "a"), Some(80_000));
    assert_eq!(two.until(50_400, "b"), Some(80_000), "the same model with the same key");
    assert_eq!(two.until(50_400, "c"), None);
    assert!(two.hears(50_500, &one.says(50_450)).is_empty(), "told twice, applied once");
    assert_eq!(two.until(80_000, "a"), None, "half-open");
}

#[test]
fn deadlines_are_passed_on_word_for_word_and_outlive_the_replica_that_was_told() {
    let (mut one, mut two, mut three) = (One::new("r1", 0), One::new("r2", 0), One::new("r3", 0));
    one.fails(1_000, "a", limited(120));
    two.hears(1_500, &one.says(1_400));
    for second in 2..60 {
        let message = two.says(second * 1_000);
        three.hears(second * 1_000 + 100, &message);
        two.hears(second * 1_000 + 200, &three.says(second * 1_000 + 150));
    }
    assert_eq!(three.until(60_000, "a"), Some(121_000), "it did not move");
    assert_eq!(two.until(60_000, "a"), Some(121_000));
}

#[test]
fn a_deadline_that_an_operator_ended_comes_back_from_no_replica_dead_late_or_new() {
    let (mut one, mut two, mut late) = (One::new("r1", 0), One::new("r2", 0), One::new("r3", 0));
    // A quota of hours; the replica that was told is killed, and another one loses the server.
    let quota = Failure { hint_ms: Some(4 * 3_600_000), ..Failure::of(Cause::Quota) };
    one.fails(1_000, "a", quota);
    let told = one.says(1_400);
    two.hears(1_500, &told);
    late.hears(1_500, &told);
    let passed_on = late.says(1_600);
    assert!(two.until(2_000, "a").is_some() && !passed_on.passed_on.is_empty());
    let clock = two.clock(5_000);
    Fleet::reset(two.of("a"), clock.here);
    two.fleet.cleared(&"a".into(), &two.snapshot, clock);
    assert_eq!(two.until(5_000, "a"), None);
    for second in 6..200 {
        two.says(second * 1_000);
        two.hears(second * 1_000 + 500, &told);
        assert_eq!(two.until(second * 1_000 + 600, "a"), None, "{second}");
    }
    // A new one hears the living one, and what the dead one and the late one had said.
    let mut new = One::new("r4", 200_000);
    for message in [&two.says(300_000), &told, &passed_on] {
        new.hears(300_500, message);
    }
    assert_eq!(new.until(300_600, "a"), None);
    assert!(new.says(300_700).passed_on.is_empty());
    // The late one is back: it learns of the reset, though that is long ago.
    assert!(late.until(301_000, "a").is_some());
    let cleared = late.fleet.receive(&two.says(301_000), &late.snapshot).unwrap();
    assert_eq!(cleared, [Arc::from("a"), "b".into()], "they have one key");
    // What a replica met after the reset is its own, and holds.
    one.fails(302_000, "c", limited(120));
    let clock = two.clock(150_000);
    two.fleet.cleared(&"c".into(), &two.snapshot, clock);
    let cleared = one.fleet.receive(&two.says(302_500), &one.snapshot).unwrap();
    assert!(!cleared.contains(&Arc::from("c")), "{cleared:?}");
}

#[test]
fn a_good_answer_on_the_replica_that_reported_ends_the_cooldown_elsewhere() {
    let (mut one, mut two) = (One::new("r1", 0), One::new("r2", 0));
    for at in 1..4 {
        one.fails(at * 1_000, "c", Failure::of(Cause::ServerError));
    }
    assert_eq!(two.hears(3_500, &one.says(3_400)).len(), 1);
    assert!(two.until(3_500, "c").is_some());
    one.answers(4_000, "c");
    let changes = two.hears(4_500, &one.says(4_400));
    assert_eq!((changes.len(), two.until(4_500, "c")), (1, None));
}

#[test]
fn a_broken_network_elsewhere_closes_nothing_here_and_only_takes_traffic_away() {
    let (mut one, mut two) = (One::new("r1", 0), One::new("r2", 0));
    for at in 1..4 {
        one.fails(at * 1_000, "c", Failure::of(Cause::Connect));
    }
    assert!(one.until(3_400, "c").is_some());
    assert!(two.hears(3_500, &one.says(3_400)).is_empty());
    let ramp = |two: &One, at| two.of("c").state.ramp(Millis(at));
    assert_eq!((two.until(3_500, "c"), ramp(&two, 3_500)), (None, 0.75));
    two.answers(3_600, "c");
    two.hears(4_600, &one.says(4_500));
    assert!((ramp(&two, 4_700) - 1.0).abs() < f64::EPSILON, "it answers here");
}

#[test]
fn an_operator_who_resets_a_deployment_on_one_replica_resets_it_on_all() {
    let (mut one, mut two) = (One::new("r1", 0), One::new("r2", 0));
    one.fails(1_000, "a", limited(60));
    two.hears(1_500, &one.says(1_400));
    let clock = two.clock(2_000);
    Fleet::reset(two.of("a"), clock.here);
    two.fleet.cleared(&"a".into(), &two.snapshot, clock);
    let message = two.says(2_100);
    let cleared = one.fleet.receive(&message, &one.snapshot);
    assert_eq!(cleared, Some(vec!["a".into(), "b".into()]), "they have one key");
    Fleet::reset(one.of("a"), one.clock(2_200).here);
    assert_eq!(one.fleet.receive(&message, &one.snapshot), Some(vec![]), "once");
    two.hears(2_400, &one.says(2_300));
    assert_eq!((one.until(2_400, "a"), two.until(2_400, "a")), (None, None));
}

#[test]
fn limits_are_divided_over_the_replicas_that_live_and_a_lone_one_has_all_of_them() {
    let (mut one, mut two) = (One::new("r1", 0), One::new("r2", 0));
    let part = |one: &One| one.of("a").state.rates().own_part(RateLimit::Requests, 60);
    for second in 1..120u64 {
        let at = second * 1_000;
        for replica in [&mut one, &mut two] {
            let clock = replica.clock(at);
            replica.fleet.share(&replica.snapshot, clock, Mode::Shared);
        }
        if second > 2 {
            let (of_one, of_two) = (one.says(at), two.says(at));
            one.hears(at, &of_two);
            two.hears(at, &of_one);
        } else {
            assert_eq!(part(&one), 60, "it knows of no other");
        }
    }
    assert!((28..=31).contains(&part(&one)) && (28..=31).contains(&part(&two)));
    // The other one leaves.
    let mut last = two.says(120_000);
    last.leaves = true;
    one.hears(120_000, &last);
    let clock = one.clock(121_000);
    one.fleet.share(&one.snapshot, clock, Mode::Shared);
    assert_eq!(part(&one), 60);
}

#[test]
fn reports_about_what_is_not_configured_and_of_too_many_replicas_are_not_kept() {
    let mut one = One::new("r1", 0);
    let mut two = One::new("r2", 0);
    two.fails(1_000, "a", limited(60));
    let mut message = two.says(1_100);
    let report = message.reports["a"];
    message.reports = [("unknown".into(), report)].into();
    assert!(one.hears(1_200, &message).is_empty());
    assert_eq!(one.fleet.reports.deployments().count(), 0);
    for number in 0..200 {
        message.replica = format!("x{number}").into();
        one.hears(1_300, &message);
    }
    assert!(one.fleet.peers.alive(one.clock(1_300).server).count() <= 64);
}
