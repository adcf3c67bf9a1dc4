//! The figures of each strategy and of waiting, as `docs/routing.md` shows them.
//!
//! `HALE_BLESS=1 cargo test -p hale-core --test sim report` writes them there.

use std::fmt::Write as _;
use std::path::Path;

use hale_core::route::{Controls, STRATEGIES};

use crate::figures::{outage, steady};
use crate::upstream::{Behaviour, Upstream};
use crate::world::{Began, World, ratio, snapshot, snapshot_with_keys};

/// The names of the two parts of the page.
const STRATEGY_PART: &str = "simulator";
const WAITING_PART: &str = "waiting";

/// What happens to the first of three members from second 10 to 40.
const CASES: [(&str, Behaviour); 4] = [
    ("refuses connections", Behaviour::Down),
    ("fails in 1 ms", Behaviour::FastFail),
    ("is silent", Behaviour::Silent),
    ("fails 40 %", Behaviour::Brownout(40, 100)),
];

fn run(strategy: &str, bad: Behaviour) -> World {
    let args = "routing_strategy_args: {lowest_latency_buffer: 0.5}";
    let router = format!("routing_strategy: {strategy}, {args}, timeout: 2");
    let upstreams = vec![outage(bad, 10, 40), steady(100), steady(100)];
    let mut world = World::new(snapshot(&[("g", 3)], &router), upstreams, 42);
    world.arrivals(0, 120_000, 200, "g");
    world.run();
    world
}

/// When the member last began to get less than a hundredth of the attempts after the start of its
/// outage, and when it got its full share again, in seconds since the outage began and ended.
fn ejected_and_back(world: &World) -> (Option<u64>, Option<u64>) {
    let share = |second: u64| world.share(0, second * 1000, (second + 1) * 1000);
    let ejected = (10..40).find(|second| share(*second) < 0.01).map(|second| second - 10);
    let back = (40..120).find(|second| share(*second) > 0.25).map(|second| second - 40);
    (ejected, back)
}

fn table() -> String {
    let mut text = String::from(
        "| strategy | the member | ejected after | back after | its share meanwhile | attempts per request | answered |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in STRATEGIES {
        for (name, bad) in CASES {
            let world = run(row.name, bad);
            let (ejected, back) = ejected_and_back(&world);
            let seconds = |value: Option<u64>| match value {
                None => "-".to_owned(),
                Some(0) => "< 1 s".to_owned(),
                Some(value) => format!("{value} s"),
            };
            let attempts = ratio(world.began.len(), world.ended.len());
            // Writing to a string cannot fail.
            let _written = writeln!(
                text,
                "| `{}` | {name} | {} | {} | {:.2} % | {attempts:.3} | {:.2} % |",
                row.name,
                seconds(ejected),
                seconds(back),
                world.share(0, 11_000, 40_000) * 100.0,
                world.success(0, u64::MAX) * 100.0,
            );
        }
    }
    text
}

/// The share of the first member that refuses connections, a column per two seconds.
fn plot() -> String {
    let world = run("simple-shuffle", Behaviour::Down);
    let shares: Vec<f64> = (0..60).map(|i| world.share(0, i * 2_000, (i + 1) * 2_000)).collect();
    let mut text = String::from("```text\n");
    for line in (1..=4u32).rev() {
        let level = f64::from(line) / 10.0;
        let row: String =
            shares.iter().map(|share| if *share >= level - 0.05 { '#' } else { ' ' }).collect();
        let _written = writeln!(text, "{:>3} % |{}", line * 10, row.trim_end());
    }
    text.push_str("      +----+----+----+----+----+----+----+----+----+----+----+----+\n");
    text.push_str("      0 s  10        down     40             70             100  120\n```\n");
    text
}

/// The same for every strategy, a line each.
fn plots() -> String {
    const LEVELS: [(f64, char); 5] =
        [(0.3, '#'), (0.2, '+'), (0.1, '='), (0.02, '-'), (0.001, '.')];
    let mut text = String::from("```text\n");
    for row in STRATEGIES {
        let world = run(row.name, Behaviour::Down);
        let mark = |i: u64| {
            let share = world.share(0, i * 2_000, (i + 1) * 2_000);
            LEVELS.iter().find(|(level, _)| share >= *level).map_or(' ', |(_, mark)| *mark)
        };
        let line: String = (0..60).map(mark).collect();
        let _written = writeln!(text, "{:<23} |{}", row.name, line.trim_end());
    }
    text.push_str(
        "                        +----+----+----+----+----+----+----+----+----+----+----+----+\n",
    );
    text.push_str("                        0 s  10        down     40             70             100  120\n```\n");
    text
}

/// A column for each value, up to `top`, in so many lines.
fn columns(values: &[usize], top: usize, lines: usize) -> String {
    let mut text = String::new();
    for line in (1..=lines).rev() {
        let level = top * line / lines;
        let mark = |value: &usize| if *value >= level { '#' } else { ' ' };
        let row: String = values.iter().map(mark).collect();
        let _written = writeln!(text, "{level:>4} |{}", row.trim_end());
    }
    text
}

/// Attempts of six members with one key, in each 50 ms from second 2.5 to 5.
fn rounds() -> String {
    let config = snapshot_with_keys(&[("g", 6)], "", |_, _| "k".to_owned());
    let limited = Upstream::new(vec![(0, Behaviour::LimitedUntil(3_000, 50))]);
    let mut world = World::new(config, vec![limited; 6], 1);
    world.arrive(0, "g", Controls::default());
    world.arrivals(100, 1_100, 50, "g");
    world.run();
    let began = |from: u64| {
        let within = |one: &&Began| (from..from + 50).contains(&one.at);
        world.began.iter().filter(within).count()
    };
    let counts: Vec<usize> = (0..30).map(|i| began(2_500 + i * 50)).collect();
    let axis = "     +---------+---------+---------+\n      2.5 s     3 s       3.5 s     4 s\n";
    format!("```text\n{}{axis}```\n", columns(&counts, 20, 5))
}

/// What a provider with a bucket answers in each second, and the share of attempts that it refuses.
fn bucket() -> String {
    let bucket = Behaviour::Tokens { holds: 10, per_second: 10, hint_ms: 1_000 };
    let upstreams = vec![Upstream::new(vec![(0, bucket)])];
    let mut world = World::new(snapshot(&[("g", 1)], ""), upstreams, 1);
    world.arrivals(0, 60_000, 12, "g");
    world.run();
    let answered: Vec<u64> =
        world.ended.iter().filter(|one| one.by().is_some()).map(|one| one.at).collect();
    let within = |i: u64| answered.iter().filter(|at| **at / 1_000 == i).count();
    let counts: Vec<usize> = (0..60).map(within).collect();
    let per_second = ratio(counts.iter().sum(), 60);
    let refused = 1.0 - ratio(answered.len(), world.began.len());
    let axis = "     +---------+---------+---------+---------+---------+---------+\n      0 s       10        20        30        40        50        60\n";
    format!(
        "```text\n{}{axis}```\n\n{per_second:.1} answers a second; {:.1} % of the attempts are refused.\n",
        columns(&counts, 12, 6),
        refused * 100.0
    )
}

#[test]
fn the_plots_of_waiting_are_what_the_document_shows() {
    shows(WAITING_PART, &format!("\n{}\n{}\n", rounds(), bucket()));
}

/// Compares a part of the page with `fresh`, or writes it there.
pub(crate) fn shows(part: &str, fresh: &str) {
    shows_in("routing.md", part, fresh);
}

/// The same for another page of `docs/`.
pub(crate) fn shows_in(page: &str, part: &str, fresh: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (begin, end) = (format!("<!-- {part}: begin -->\n"), format!("<!-- {part}: end -->"));
    let (before, page) = page.split_once(&begin).expect("the mark of its begin");
    let (shown, after) = page.split_once(&end).expect("the mark of its end");
    if std::env::var_os("HALE_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{fresh}{end}{after}"))
            .expect("it is written");
        return;
    }
    assert_eq!(shown, fresh, "HALE_BLESS=1 cargo test -p hale-core --test sim report");
}

#[test]
fn the_report_is_what_the_document_shows() {
    let fresh = format!(
        "\n{}\nThe share of the member that refuses connections, with `simple-shuffle`:\n\n{}\n\
         The same for every strategy (`#` from 30 % on, `+` 20, `=` 10, `-` 2, `.` 0.1):\n\n{}\n",
        table(),
        plot(),
        plots()
    );
    shows(STRATEGY_PART, &fresh);
}

#[test]
fn a_group_of_one_is_never_worse_than_its_upstream() {
    let upstreams = vec![Upstream::new(vec![(0, Behaviour::Brownout(20, 100))])];
    let mut world = World::new(snapshot(&[("g", 1)], "num_retries: 0"), upstreams, 8);
    world.arrivals(0, 60_000, 20, "g");
    world.run();
    let success = world.success(0, u64::MAX);
    assert!((0.75..0.85).contains(&success), "{success}");
    assert!(world.ended.iter().all(|one| one.attempts == 1), "asked once, always");
}
