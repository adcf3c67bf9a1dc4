//! What is one incident, when it is told, and what stays bounded.

use std::collections::BTreeMap;

use super::*;
use crate::cause::Cause;
use crate::route::AccessWindow;
use crate::route::windows::{time_of_day, zone};
use crate::secret::Secret;

const NOW: u64 = 1_800_000_000_000;
const SECOND: u64 = 1_000;

fn settings() -> AlertSettings {
    let place = Place::Slack(Secret::new("https://hooks.example/x"));
    let channels = vec![Channel { name: "slack".into(), only: None, place }];
    AlertSettings { channels, ..AlertSettings::default() }
}

/// A trouble of a deployment of `group`, at `host` of `provider`.
fn down(id: &str, group: &str, (provider, host): (&str, &str), cause: Cause) -> Trouble {
    Trouble {
        kind: Kind::DeploymentDown,
        subject: format!("deployment:{id}").into(),
        name: id.into(),
        root: Root { family: Family::of(cause), provider: provider.into(), place: host.into() },
        cause: cause.name().into(),
        words: "no".into(),
        fix: "fix it".into(),
        groups: vec![group.into()],
        since: NOW,
    }
}

/// What a replica says of these troubles, whose groups each lost so many requests.
fn report(troubles: &[Trouble], hurt: u64) -> Report {
    let effect = Effect { hurt, ..Effect::default() };
    let groups = troubles.iter().flat_map(|one| one.groups.clone());
    let groups: BTreeMap<Box<str>, Counter> =
        groups.map(|group| (group, Counter { total: effect, lately: effect })).collect();
    Report { replica: "r".into(), troubles: troubles.to_vec(), groups, ..Report::default() }
}

/// Goes on for so many seconds, and returns the titles of what is told.
fn told(
    book: &mut Book,
    settings: &AlertSettings,
    seconds: std::ops::Range<u64>,
    said: &Report,
) -> Vec<String> {
    let mut titles = Vec::new();
    for second in seconds {
        let now = NOW + second * SECOND;
        book.observe(now, std::slice::from_ref(said), settings);
        while let Some(letter) = book.due(now, |_| false).into_iter().next() {
            titles.push(format!("{} {}", letter.message.event.name(), letter.message.title));
            book.delivered(letter.number, now);
        }
    }
    titles
}

#[test]
fn what_falls_at_one_host_or_one_provider_at_once_is_one_incident_and_other_causes_are_others() {
    let openai = ("openai", "api.openai.com");
    let six: Vec<Trouble> = (0..6)
        .map(|at| down(&format!("d{at}"), &format!("g{}", at % 3), openai, Cause::ServerError))
        .collect();
    let (mut book, settings) = (Book::default(), settings());
    let titles = told(&mut book, &settings, 0..60, &report(&six, 4));
    assert_eq!(titles, ["incident_opened 6 deployments of openai are down: server_error"]);
    // Two regions of a provider fall at once; a key is another cause.
    let mut book = Book::default();
    let key = Trouble { kind: Kind::KeyRefused, ..down("c", "g", ("azure", "key-1"), Cause::Auth) };
    let all = [
        down("a", "g", ("azure", "east.example"), Cause::Connect),
        down("b", "g", ("azure", "west.example"), Cause::Timeout),
        key,
    ];
    let titles = told(&mut book, &settings, 0..60, &report(&all, 1));
    assert_eq!(
        titles,
        [
            "incident_opened 2 deployments of azure are down: connect",
            "incident_opened the key of c is refused: auth"
        ]
    );
    // A server that falls after the first was told is told.
    let late = down("x", "h", ("azure", "south.example"), Cause::Dns);
    let more = [all.as_slice(), &[late]].concat();
    let titles = told(&mut book, &settings, 60..90, &report(&more, 1));
    assert_eq!(titles, ["incident_opened x is down: dns"]);
}

#[test]
fn a_group_in_which_nothing_serves_is_part_of_the_incident_unless_that_was_told_before() {
    let host = ("openai", "h");
    let one = down("a", "g", host, Cause::ServerError);
    let other = down("b", "g", host, Cause::ServerError);
    let group = Trouble {
        kind: Kind::GroupDown,
        subject: "group:g".into(),
        name: "g".into(),
        ..one.clone()
    };
    let all = [one.clone(), other, group];
    let settings = settings();
    let titles = told(&mut Book::default(), &settings, 0..60, &report(&all, 3));
    assert_eq!(titles, ["incident_opened nothing serves g: server_error"]);
    let mut book = Book::default();
    let titles = told(&mut book, &settings, 0..20, &report(&[one], 3));
    assert_eq!(titles, ["incident_opened a is down: server_error"]);
    let titles = told(&mut book, &settings, 20..60, &report(&all, 3));
    assert_eq!(titles, ["incident_opened nothing serves g: server_error"]);
    let titles = told(&mut book, &settings, 60..80, &report(&[], 0));
    assert_eq!(titles.len(), 2, "{titles:?}");
}

#[test]
fn what_follows_from_a_fault_is_its_effect_whichever_is_seen_first() {
    let fault = down("a", "g", ("p", "h"), Cause::Timeout);
    let exhausted = Trouble {
        kind: Kind::FallbacksExhausted,
        subject: "fallbacks:g".into(),
        name: "g".into(),
        root: Root { family: Family::Outage, provider: "".into(), place: "g".into() },
        ..fault.clone()
    };
    let settings = settings();
    let mut book = Book::default();
    let mut titles = told(&mut book, &settings, 0..3, &report(std::slice::from_ref(&exhausted), 3));
    titles.extend(told(&mut book, &settings, 3..60, &report(&[exhausted, fault], 3)));
    assert_eq!(titles, ["incident_opened the fallbacks of a fail too: timeout"]);
}

#[test]
fn a_rate_limit_is_told_only_once_requests_fail() {
    let limit = down("a", "g", ("p", "key"), Cause::RateLimited);
    let settings = settings();
    let mut moved = report(std::slice::from_ref(&limit), 0);
    let counter = moved.groups.get_mut("g").unwrap();
    counter.total = Effect { moved: 50, waited: 9, ..Effect::default() };
    assert_eq!(told(&mut Book::default(), &settings, 0..60, &moved).len(), 0);
    assert_eq!(told(&mut Book::default(), &settings, 0..60, &report(&[limit], 1)).len(), 1);
}

#[test]
fn in_quiet_hours_only_what_is_critical_is_told_and_the_others_at_their_end() {
    let time = |text| time_of_day(text).unwrap();
    // 2027-01-15, 08:00 UTC.
    let quiet = AccessWindow::new(time("07:59"), time("08:01"), zone("UTC").unwrap(), Vec::new());
    let mut settings = settings();
    settings.rules.quiet = vec![quiet];
    let fault = [down("a", "g", ("p", "h"), Cause::Timeout)];
    let mut book = Book::default();
    assert_eq!(told(&mut book, &settings, 0..50, &report(&fault, 3)).len(), 0);
    assert_eq!(told(&mut book, &settings, 50..70, &report(&fault, 3)).len(), 1, "they are over");
    let titles = told(&mut Book::default(), &settings, 0..50, &report(&fault, 10));
    assert_eq!(titles.len(), 1, "ten failed requests are critical");
}

#[test]
fn a_book_is_bounded_and_what_it_drops_is_counted() {
    let settings = settings();
    let mut book = Book::default();
    let many: Vec<Trouble> = (0..900)
        .map(|at| {
            let (provider, host) = (format!("p{at}"), format!("h{at}"));
            down(&format!("d{at}"), "g", (&provider, &host), Cause::Timeout)
        })
        .collect();
    let said = report(&many, 3);
    for second in 0..30 {
        book.observe(NOW + second * SECOND, std::slice::from_ref(&said), &settings);
    }
    assert_eq!(book.incidents().len(), 200);
    assert_eq!(book.waiting(), 200);
    // No channel takes them for a day.
    book.observe(NOW + 25 * 3_600 * SECOND, &[said], &settings);
    assert_eq!((book.waiting(), book.dropped), (0, 200));
}

#[test]
fn an_incident_is_read_as_it_was_written_and_is_open_until_something_is_seen_to_work() {
    let settings = settings();
    let fault = [down("a", "g", ("p", "h"), Cause::Timeout)];
    let mut book = Book::default();
    assert_eq!(told(&mut book, &settings, 0..30, &report(&fault, 3)).len(), 1);
    let text = serde_json::to_string(&book.incidents()[0]).unwrap();
    let incident: Incident = serde_json::from_str(&text).unwrap();
    assert_eq!(&incident, &book.incidents()[0]);
    let mut again = Book::default();
    again.adopt(vec![incident.clone()]);
    again.adopt(vec![incident]);
    assert_eq!(again.incidents().len(), 1, "it is in it already");
    let mut other = Report { replica: "r2".into(), ..Report::default() };
    assert_eq!(told(&mut again, &settings, 30..90, &other).len(), 0, "not tried since");
    assert_eq!(again.unseen(None), [Box::from("deployment:a")]);
    other.healthy = again.unseen(None);
    let titles = told(&mut again, &settings, 90..100, &other);
    assert_eq!(titles, ["incident_resolved resolved after 90 s: a is down: timeout"]);
}

#[test]
fn what_a_report_has_no_room_for_is_neither_over_nor_healthy() {
    let all: Vec<Trouble> = (0..40)
        .map(|at| down(&format!("d{at:02}"), "g", ("openai", "h"), Cause::ServerError))
        .collect();
    let (whole, settings) = (report(&all, 3), settings());
    let mut book = Book::default();
    assert_eq!(told(&mut book, &settings, 0..30, &whole).len(), 1);
    let bytes = |report: &Report| serde_json::to_string(report).unwrap().len();
    for most in [0, 100, 1_000, 5_000, 9_000] {
        let cut = whole.clone().within(most);
        assert!(bytes(&cut) <= most + 200, "{} of {most}", bytes(&cut));
        assert_eq!(cut.troubles.len() as u64 + cut.unnamed, 40);
        assert_eq!(cut.groups.is_empty(), cut.troubles.is_empty(), "what it names is counted");
    }
    assert_eq!(whole.clone().within(1 << 20), whole);
    let mut cut = whole.clone().within(5_000);
    assert!((1..40).contains(&cut.troubles.len()));
    assert_eq!(told(&mut book, &settings, 30..90, &cut).len(), 0, "nothing says that it is over");
    assert_eq!(book.unseen(None).len(), 0);
    assert_eq!(book.unseen(Some("r")).len(), 40, "it is asked about what it saw");
    // It still sees more than it names, and says of those which work again.
    cut.troubles.clear();
    cut.healthy = book.unseen(Some("r"));
    let titles = told(&mut book, &settings, 90..100, &cut);
    assert_eq!(titles.len(), 1, "{titles:?}");
    assert!(titles[0].contains("40 deployments of openai are down"), "{titles:?}");
}

/// Deployments `d0` to `d1999` of one group, and what is asked about them.
struct Many;

impl Scene for Many {
    fn facts(&self, id: &str) -> Option<Facts> {
        let groups = vec!["g".into()];
        self.has(id).then(|| Facts { name: id.into(), groups, ..Facts::default() })
    }

    fn has(&self, id: &str) -> bool {
        id.strip_prefix('d')
            .and_then(|number| number.parse().ok())
            .is_some_and(|at: u32| at < 2_000)
    }

    fn group_of(&self, name: &str) -> Option<std::sync::Arc<str>> {
        Some(name.into())
    }

    fn members(&self, group: &str) -> Vec<Member> {
        let all = (0..2_000).filter(|_| group == "g");
        all.map(|at| Member { id: format!("d{at}").into(), can_work: true }).collect()
    }

    fn advice(&self, _: &str, _: Cause) -> (String, String) {
        Default::default()
    }
}

#[test]
fn of_more_faults_than_a_report_names_the_worst_are_named_and_none_counts_as_healthy() {
    let rules = Rules::default();
    let mut watch = Watch::new("r");
    let id = |at: u32| -> std::sync::Arc<str> { format!("d{at}").into() };
    let mut tally = Tally::default();
    (0..2_000)
        .for_each(|at| tally.attempted(&id(at), Attempts { answered: 1, ..Attempts::default() }));
    let asked: Vec<Box<str>> =
        (0..2_000).map(|at| format!("deployment:d{at}").into()).chain(["group:g".into()]).collect();
    let look = |watch: &mut Watch, tally, down: u32, second: u64| {
        let down = (0..down).map(|at| Down { id: id(at), cause: Cause::ServerError }).collect();
        let sight = Sight { tally, down, own: Vec::new(), asked: &asked };
        watch.observe(NOW + second * SECOND, sight, &Many, &rules)
    };
    let some = look(&mut watch, tally, 1_500, 0);
    assert_eq!((some.troubles.len(), some.unnamed), (1_000, 500));
    assert_eq!(some.healthy.len(), 501, "those that are not down, and the group");
    let all = look(&mut watch, Tally::default(), 2_000, 1);
    assert_eq!((all.troubles.len(), all.unnamed), (1_000, 1_001));
    assert_eq!(all.troubles[0].kind, Kind::GroupDown);
    assert_eq!(all.healthy.len(), 0);
}

#[test]
fn what_no_config_has_any_more_is_forgotten() {
    struct Nothing;
    impl Scene for Nothing {
        fn facts(&self, _: &str) -> Option<Facts> {
            None
        }
        fn has(&self, _: &str) -> bool {
            false
        }
        fn group_of(&self, _: &str) -> Option<std::sync::Arc<str>> {
            None
        }
        fn members(&self, _: &str) -> Vec<Member> {
            Vec::new()
        }
        fn advice(&self, _: &str, _: Cause) -> (String, String) {
            Default::default()
        }
    }
    let (mut watch, rules) = (Watch::new("r"), Rules::default());
    let mut tally = Tally::with_slow_ms(1);
    let group: std::sync::Arc<str> = "g".into();
    let fails = Attempts { answered: 1, failed: 9, cause: Some(Cause::ServerError) };
    tally.attempted(&"d1".into(), fails);
    tally.hangs(&group, 5);
    let look = |watch: &mut Watch, tally| {
        watch.observe(NOW, Sight { tally, ..Sight::default() }, &Many, &rules)
    };
    let seen = look(&mut watch, tally);
    assert_eq!(seen.troubles.len(), 2, "{seen:?}");
    assert_eq!(&*seen.troubles[0].cause, "one has no answer after 1 s");
    watch.reconfigured(&Many);
    assert_eq!(look(&mut watch, Tally::default()).troubles.len(), 2, "it has them");
    watch.reconfigured(&Nothing);
    assert_eq!(look(&mut watch, Tally::default()).troubles.len(), 0);
    assert!(watch.is_empty());
}

#[test]
fn types_and_channels_of_types_decide_where_a_kind_is_told() {
    let slack = |name: &str, only: Option<&str>| Channel {
        name: name.into(),
        only: only.map(Box::from),
        place: Place::Slack(Secret::new("https://hooks.example/x")),
    };
    let mut settings = settings();
    settings.channels.push(slack("slack:llm_too_slow", Some("llm_too_slow")));
    assert_eq!(settings.channels_for(Kind::SlowRequests), ["slack:llm_too_slow"]);
    assert_eq!(settings.channels_for(Kind::GroupDown), ["slack"]);
    settings.rules.types = Some(vec!["outage_alerts".into(), "budget_spent".into()]);
    assert_eq!(settings.channels_for(Kind::GroupDown), ["slack"]);
    assert_eq!(settings.channels_for(Kind::BudgetSpent), ["slack"]);
    assert_eq!(settings.channels_for(Kind::ProbeBudget), [""; 0]);
    assert_eq!(settings.channels_for(Kind::SlowRequests), [""; 0]);
    for kind in Kind::ALL {
        assert!(kind.is_of_type(kind.name()) && !OTHER_TYPES.iter().any(|it| kind.is_of_type(it)));
    }
}
