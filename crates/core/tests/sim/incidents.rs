//! Incidents: servers that fail and come back, replicas that see it, restarts, and a speaking replica that changes.
//!
//! Each second of a world some servers are away; requests of the groups on them fail, move or do not come at all. Both
//! replicas report what they see, one of them keeps the book. Messages are counted by incident at the end.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::incident::{
    AlertSettings, Attempts, Book, Channel, Down, Ended, Event, Facts, Incident, Letter, Member,
    Message, Outcome, Place, Report, Scene, Sight, Tally, Watch,
};
use hale_core::secret::Secret;

use crate::world::Chance;

const EPOCH: u64 = 1_800_000_000_000;
const SECOND: u64 = 1_000;
const HOSTS: usize = 3;
/// Deployments of each host.
const ON_HOST: usize = 2;
/// What comes back within this time is the same incident.
const FLAP_S: u64 = 600;
/// How long worlds go on without faults, so that everything is told: twice what comes back, and then some.
const CALM_S: u64 = 4_000;

/// Deployment `d` is on host `d / ON_HOST`; a group has one of each of two hosts.
struct World {
    chance: Chance,
    /// Until when each host is away, seconds.
    away_until: [u64; HOSTS],
    /// How busy each group is: requests a second.
    traffic: [u64; HOSTS],
    replicas: Vec<Replica>,
    speaker: usize,
    book: Book,
    /// What the store has.
    kept: BTreeMap<Box<str>, String>,
    told: Vec<(u64, Message)>,
    settings: AlertSettings,
    starts: u64,
}

struct Replica {
    name: String,
    watch: Watch,
    tally: Tally,
    report: Report,
}

struct Hosts;

fn id(deployment: usize) -> Arc<str> {
    format!("d{deployment}").into()
}

/// The groups of a deployment: its first is on this host, its second on the next.
fn group_of(deployment: usize) -> usize {
    let (host, place) = (deployment / ON_HOST, deployment % ON_HOST);
    (host + place) % HOSTS
}

fn group(number: usize) -> Arc<str> {
    format!("g{number}").into()
}

impl Scene for Hosts {
    fn facts(&self, id: &str) -> Option<Facts> {
        let deployment: usize = id.strip_prefix('d')?.parse().ok()?;
        Some(Facts {
            name: id.into(),
            // Each host is a provider of its own: what falls together there has one cause.
            provider: format!("p{}", deployment / ON_HOST).into(),
            host: format!("h{}", deployment / ON_HOST).into(),
            credential: None,
            model: "x".into(),
            groups: vec![group(group_of(deployment))],
        })
    }

    fn has(&self, id: &str) -> bool {
        self.facts(id).is_some()
    }

    fn group_of(&self, name: &str) -> Option<Arc<str>> {
        Some(name.into())
    }

    fn members(&self, name: &str) -> Vec<Member> {
        let all = (0..HOSTS * ON_HOST).filter(|one| *group(group_of(*one)) == *name);
        all.map(|one| Member { id: id(one), can_work: true }).collect()
    }

    fn advice(&self, _: &str, cause: Cause) -> (String, String) {
        (format!("it says {}", cause.name()), "fix it".to_owned())
    }
}

impl Replica {
    fn new(number: u64) -> Replica {
        let name = format!("r{number}");
        let (tally, report) = (Tally::default(), Report::default());
        Replica { watch: Watch::new(&name), name, tally, report }
    }
}

fn settings() -> AlertSettings {
    let place = Place::Slack(Secret::new("https://hooks.example/x"));
    AlertSettings {
        channels: vec![Channel { name: "slack".into(), only: None, place }],
        ..AlertSettings::default()
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut world = World {
            chance: Chance::new(seed),
            away_until: [0; HOSTS],
            traffic: [0; HOSTS],
            replicas: vec![Replica::new(1), Replica::new(2)],
            speaker: 0,
            book: Book::default(),
            kept: BTreeMap::new(),
            told: Vec::new(),
            settings: settings(),
            starts: 2,
        };
        for group in 0..HOSTS {
            world.traffic[group] = world.chance.below(3);
        }
        world
    }

    fn is_away(&self, deployment: usize, second: u64) -> bool {
        self.away_until[deployment / ON_HOST] > second
    }

    /// Faults, restarts and another speaker.
    fn fate(&mut self, second: u64) {
        for host in 0..HOSTS {
            if self.away_until[host] <= second && self.chance.below(900) == 0 {
                let longest = [8, 60, 700][self.chance.below(3) as usize];
                self.away_until[host] = second + 1 + self.chance.below(longest);
            }
        }
        if self.chance.below(400) == 0 {
            self.restart();
        }
        if self.chance.below(400) == 0 {
            self.speaker = (self.speaker + 1) % self.replicas.len();
        }
    }

    /// The speaking replica is killed: what it knew is gone, but for the book, as the store or the other replica has it.
    fn restart(&mut self) {
        self.starts += 1;
        self.replicas[self.speaker] = Replica::new(self.starts);
        let incidents: Vec<Incident> =
            self.kept.values().map(|text| serde_json::from_str(text).unwrap()).collect();
        let mut book = Book::default();
        book.adopt(incidents);
        let is_kept = |one: &Incident| self.kept.contains_key(&one.id);
        let is_over = |one: &Incident| one.stage_name() == "closed";
        assert!(self.book.incidents().iter().all(|one| is_kept(one) || is_over(one)));
        self.book = book;
    }

    fn requests(&mut self, second: u64) {
        for number in 0..HOSTS {
            let members: Vec<usize> =
                (0..HOSTS * ON_HOST).filter(|one| group_of(*one) == number).collect();
            let serving = members.iter().find(|one| !self.is_away(**one, second)).copied();
            let back: Vec<usize> =
                members.iter().copied().filter(|one| !self.is_away(*one, second)).collect();
            let any_away = members.iter().any(|one| self.is_away(*one, second));
            for _ in 0..self.traffic[number] {
                let at = self.chance.below(self.replicas.len() as u64) as usize;
                let (name, deployment) = (group(number), id(serving.unwrap_or(members[0])));
                let ended = Ended {
                    group: Some(&name),
                    requested: Some(&name),
                    was_attempted: true,
                    outcome: match serving {
                        Some(_) => Outcome::Answered,
                        None => Outcome::Failed(Cause::ServerError),
                    },
                    is_moved: any_away,
                    fallbacks: 0,
                    has_waited: false,
                    took_ms: Some(5),
                };
                let tally = &mut self.replicas[at].tally;
                tally.add(&ended);
                let answered = Attempts { answered: 1, ..Attempts::default() };
                match serving {
                    // A deployment that is back gets traffic, too.
                    Some(_) => back.iter().for_each(|one| tally.attempted(&id(*one), answered)),
                    None => {
                        let cause = Some(Cause::ServerError);
                        tally.attempted(&deployment, Attempts { answered: 0, failed: 1, cause });
                    }
                }
            }
        }
    }

    fn second(&mut self, second: u64) {
        let now = EPOCH + second * SECOND;
        self.requests(second);
        let down: Vec<Down> = (0..HOSTS * ON_HOST)
            .filter(|one| self.is_away(*one, second) && self.traffic[group_of(*one)] > 0)
            .map(|one| Down { id: id(one), cause: Cause::ServerError })
            .collect();
        let asked = self.book.unseen(None);
        for replica in &mut self.replicas {
            let sight = Sight {
                tally: replica.tally.take(0),
                down: down.clone(),
                own: Vec::new(),
                asked: &asked,
            };
            replica.report = replica.watch.observe(now, sight, &Hosts, &self.settings.rules);
            assert_eq!(*replica.report.replica, *replica.name);
        }
        let reports: Vec<Report> = self.replicas.iter().map(|one| one.report.clone()).collect();
        self.book.observe(now, &reports, &self.settings);
        self.keep(now);
        loop {
            let letters = self.book.due(now, |_| false);
            let Some(Letter { number, message, .. }) = letters.into_iter().next() else { break };
            self.told.push((second, message));
            self.book.delivered(number, now);
            self.keep(now);
        }
    }

    fn keep(&mut self, now: u64) {
        for incident in self.book.changed(now) {
            let text = serde_json::to_string(incident).unwrap();
            match incident.stage_name() {
                "closed" => self.kept.remove(&incident.id),
                _ => self.kept.insert(incident.id.clone(), text),
            };
        }
    }

    fn run(mut self, seconds: u64) -> World {
        for second in 0..seconds {
            self.fate(second);
            self.second(second);
        }
        self.away_until = [0; HOSTS];
        for second in seconds..seconds + CALM_S {
            self.second(second);
        }
        self
    }

    /// The events of each incident, in order.
    fn by_incident(&self) -> BTreeMap<&str, Vec<(u64, Event)>> {
        let mut all: BTreeMap<&str, Vec<(u64, Event)>> = BTreeMap::new();
        for (second, message) in &self.told {
            all.entry(&message.incident_id).or_default().push((*second, message.event));
        }
        all
    }
}

#[test]
fn an_incident_is_told_once_and_its_end_once_and_both_once_more_if_it_comes_back() {
    let (mut incidents, mut reopened) = (0, 0);
    for seed in 0..12 {
        let world = World::new(seed).run(6_000);
        for (incident, events) in world.by_incident() {
            let kinds: Vec<Event> = events.iter().map(|(_, event)| *event).collect();
            let is_right = matches!(
                kinds.as_slice(),
                [Event::Opened, Event::Resolved]
                    | [Event::Opened, Event::Resolved, Event::Reopened, Event::Resolved]
            );
            assert!(is_right, "seed {seed}, {incident}: {events:?}");
            incidents += 1;
            if let [_, (ended, _), (back, _), (over, _)] = events.as_slice() {
                reopened += 1;
                assert!(back - ended <= FLAP_S, "seed {seed}: {events:?}");
                assert!(over - back >= FLAP_S, "seed {seed}: {events:?}");
            }
        }
        let told: HashSet<&str> = world.by_incident().into_keys().collect();
        for (_, message) in &world.told {
            assert!(message.effect.total() > 0, "seed {seed}: no request was touched: {message:?}");
            assert!(told.contains(&*message.incident_id));
        }
        assert_eq!(world.book.waiting(), 0);
        assert!(world.book.incidents().iter().all(|one| !one.is_down()), "seed {seed}");
        assert!(world.kept.len() <= world.book.incidents().len(), "seed {seed}: {:?}", world.kept);
    }
    assert!(incidents > 30 && reopened > 2, "{incidents} incidents, {reopened} came back");
}

#[test]
fn a_server_that_takes_all_its_deployments_is_one_incident_told_within_half_a_minute() {
    for seed in 0..4 {
        let mut world = World::new(seed);
        world.traffic = [2; HOSTS];
        for second in 0..60 {
            world.second(second);
        }
        world.away_until[1] = 260;
        for second in 60..260 {
            world.second(second);
        }
        assert_eq!(world.told.len(), 1, "{:?}", world.told);
        let (second, message) = world.told[0].clone();
        assert!(second <= 90, "{second}");
        assert_eq!(message.parts.len(), ON_HOST);
        assert_eq!(message.since, EPOCH + 60 * SECOND);
        for second in 260..300 {
            world.second(second);
        }
        let (second, resolved) = world.told[1].clone();
        assert_eq!((resolved.event, world.told.len()), (Event::Resolved, 2));
        assert!(second <= 290 && resolved.incident_id == message.incident_id);
        assert_eq!(resolved.duration_ms(), Some(200 * SECOND));
    }
}

#[test]
fn a_fault_that_touches_no_request_is_told_only_if_the_config_asks_for_it() {
    for (min_affected, messages) in [(1, 0), (0, 2)] {
        let mut world = World::new(1);
        world.settings.rules.min_affected = min_affected;
        for second in 0..200 {
            let now = EPOCH + second * SECOND;
            let down =
                (50..100).contains(&second).then(|| Down { id: id(0), cause: Cause::Connect });
            let sight = Sight { down: down.into_iter().collect(), ..Sight::default() };
            let rules = &world.settings.rules;
            let report = world.replicas[0].watch.observe(now, sight, &Hosts, rules);
            world.book.observe(now, &[report], &world.settings);
        }
        assert_eq!(world.book.waiting(), messages);
    }
}
