//! Tells the demo second by second: which deployment answered or was probed, which one lost its traffic and
//! why, and which one got it back: on a terminal as one picture, else as lines.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hale_core::deployment::Deployment;
use hale_core::health::Verdict;
use hale_core::health::probe::Finding;
use hale_core::time::Millis;

use super::provider::Provider;
use super::screen::{EVENTS, Look, Row, Screen, View};
use super::script::Stage;
use crate::clock;
use crate::console::paint::{Paint, size};
use crate::console::print;
use crate::state::Process;

/// What is said at the end.
const NEXT: &str = "What to do next:
  hale init                    writes config.yaml from the keys in the environment
  hale --config config.yaml    serves it, with the dashboard at /ui/
  docs/start.md                the first steps, one by one
";

/// The result of one of the demo's requests.
pub(super) enum Answer {
    /// An answer from that deployment.
    From {
        /// The deployment's id.
        deployment: String,
        /// Whether another deployment had failed first.
        moved: bool,
    },
    /// No answer, or an error.
    Lost,
}

/// The state of a deployment a second ago.
#[derive(Clone, Copy, Default)]
struct Known {
    /// Whether it was in cooldown or half-open.
    cools_down: bool,
    /// Whether its probes failed.
    unhealthy: bool,
    /// When its last probe ended.
    checked_at: Option<Millis>,
}

/// The narrator. Clones share the counts.
#[derive(Clone)]
pub(super) struct Narrator {
    process: Arc<Process>,
    gateway: SocketAddr,
    seconds: u64,
    count: Rc<RefCell<Count>>,
    paint: Rc<Paint>,
    /// The terminal, if it is one that can be drawn on.
    drawn: Option<Rc<RefCell<Drawn>>>,
}

/// What is drawn on a terminal, besides the counts.
#[derive(Default)]
struct Drawn {
    screen: Screen,
    events: Vec<(Look, String)>,
    told: &'static str,
}

/// Whether a terminal moves its cursor when it is told to.
fn can_draw() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb");
    std::io::stdout().is_terminal() && !is_dumb
}

#[derive(Default)]
struct Count {
    second: BTreeMap<String, u32>,
    total: BTreeMap<String, u32>,
    moved: u32,
    waiting: u32,
    lost: u32,
    known: BTreeMap<String, Known>,
}

impl Narrator {
    /// A narrator for a demo of that length.
    pub(super) fn new(process: Arc<Process>, (gateway, seconds): (SocketAddr, u64)) -> Narrator {
        let paint = Rc::new(Paint::on(std::io::stdout().is_terminal()));
        let drawn = can_draw().then(Rc::default);
        Narrator { process, gateway, seconds, count: Rc::default(), paint, drawn }
    }

    /// Prints the introduction.
    pub(super) fn introduce(&self, providers: &[Provider]) {
        let gateway = self.gateway;
        let mut text =
            format!("Hale listens on http://{gateway}. Behind it, simulated on loopback:\n");
        for provider in providers {
            text.push_str(&format!("  {:<7} {}\n", provider.name, provider.about));
        }
        text.push_str(&format!(
            "For {} s it gets 8 requests a second. Send your own while it runs:\n\n  \
             curl http://{gateway}/v1/chat/completions -H 'content-type: application/json' \\\n    \
             -d '{{\"model\":\"demo\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'\n\n\
             Look at it in a browser: http://{gateway}/ui/\n\n",
            self.seconds
        ));
        print(&text);
    }

    /// Counts a request.
    pub(super) fn asked(&self) {
        self.count.borrow_mut().waiting += 1;
    }

    /// Waits for the answers that are still missing.
    pub(super) async fn all_answered(&self) {
        while self.count.borrow().waiting > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Counts an answer.
    pub(super) fn answered(&self, answer: Answer) {
        let mut count = self.count.borrow_mut();
        count.waiting -= 1;
        match answer {
            Answer::From { deployment, moved } => {
                *count.second.entry(deployment.clone()).or_default() += 1;
                *count.total.entry(deployment).or_default() += 1;
                count.moved += u32::from(moved);
            }
            Answer::Lost => count.lost += 1,
        }
    }

    /// Prints the demo, second by second, to its end.
    pub(super) async fn narrate(&self, stage: &Stage<'_>) {
        let mut clock = tokio::time::interval(Duration::from_secs(1));
        for second in 0.. {
            clock.tick().await;
            if second > 0 && self.drawn.is_none() {
                self.tell_second(second, stage.providers());
            }
            let is_over = stage.is_over(second);
            let turn = if is_over { None } else { stage.turn(second) };
            match (&self.drawn, turn) {
                (Some(drawn), turn) => {
                    let mut drawn = drawn.borrow_mut();
                    drawn.told = turn.map_or(drawn.told, |turn| turn.told);
                    self.draw(second, &mut drawn);
                }
                (None, Some(turn)) => {
                    print(&format!("\n{second:>4} s  {}\n", self.paint.bold(turn.told)));
                }
                (None, None) => {}
            }
            if is_over {
                return;
            }
        }
    }

    /// Draws the picture of a second.
    fn draw(&self, second: u64, drawn: &mut Drawn) {
        let mut count = self.count.borrow_mut();
        let answered = std::mem::take(&mut count.second);
        let (_, changes) = self.changes(&mut count.known);
        for change in changes.lines().map(str::trim) {
            let look = if change.starts_with("->") { Look::Bad } else { Look::Good };
            drawn.events.push((look, format!("{second:>3} s  {change}")));
        }
        let older = drawn.events.len().saturating_sub(EVENTS);
        drawn.events.drain(..older);
        let shown = self.rows(&answered, &count);
        let view = View {
            second,
            seconds: self.seconds,
            gateway: &self.gateway.to_string(),
            rows: &shown,
            told: drawn.told,
            events: &drawn.events,
            answered: count.total.values().sum(),
            lost: count.lost,
            moved: count.moved,
        };
        print(&drawn.screen.draw(&view, (size(std::io::stdout()), &self.paint)));
    }

    /// Each deployment as it is now.
    fn rows(&self, answered: &BTreeMap<String, u32>, count: &Count) -> Vec<Row> {
        let serving = self.process.serving();
        let now = clock::now().millis();
        let staleness_ms = serving.snapshot.probing.staleness_ms();
        let row = |deployment: &Deployment| {
            let unhealthy = deployment.state.probes().unhealthy(now, staleness_ms);
            let (state, look) = match (deployment.verdict(now), unhealthy) {
                (Verdict::Cooling(cooldown), _) => {
                    (format!("ejected: {}", cooldown.cause.name()), Look::Bad)
                }
                (Verdict::HalfOpen(_), _) => ("half-open".to_owned(), Look::Limited),
                (_, Some(cause)) => (format!("unhealthy: {}", cause.name()), Look::Bad),
                (Verdict::Reopening, None) => ("reopening".to_owned(), Look::Limited),
                (Verdict::Ready, None) => ("healthy".to_owned(), Look::Good),
            };
            let times = |of: &BTreeMap<String, u32>| of.get(&*deployment.id).copied().unwrap_or(0);
            Row {
                name: deployment.id.to_string(),
                state,
                look,
                second: times(answered),
                total: times(&count.total),
                probes: deployment.state.probes().count(),
            }
        };
        serving.snapshot.deployments.iter().map(|one| row(one)).collect()
    }

    fn tell_second(&self, second: u64, providers: &[Provider]) {
        let mut count = self.count.borrow_mut();
        let answered = std::mem::take(&mut count.second);
        let mut line = format!("{second:>4} s ");
        for name in providers.iter().map(|provider| provider.name).chain(["last-resort"]) {
            let times = answered.get(name).copied().unwrap_or(0) as usize;
            // Deployments that usually answer have a column.
            let width = if matches!(name, "standby" | "last-resort") { 0 } else { 8 };
            if width > 0 || times > 0 {
                let bar = format!("{:<width$}", "#".repeat(times));
                let bar = if width > 0 { self.paint.green(&bar) } else { self.paint.yellow(&bar) };
                line.push_str(&format!(" {name} {bar}"));
            }
        }
        let (probes, changes) = self.changes(&mut count.known);
        if !probes.is_empty() {
            let probed = format!(" | probed: {}", probes.join(", "));
            line.push_str(&self.paint.faint(&probed));
        }
        print(&format!("{}\n{}", line.trim_end(), painted(&changes, &self.paint)));
    }

    /// The probes of the last second, and lines about deployments that lost or got back their traffic.
    fn changes(&self, known: &mut BTreeMap<String, Known>) -> (Vec<String>, String) {
        let serving = self.process.serving();
        let now = clock::now().millis();
        let (mut probes, mut changes) = (Vec::new(), String::new());
        for deployment in &serving.snapshot.deployments {
            let before = known.get(&*deployment.id).copied().unwrap_or_default();
            let staleness_ms = serving.snapshot.probing.staleness_ms();
            let last = deployment.state.probes().history(now, staleness_ms).last;
            let checked_at = last.as_ref().map(|last| last.ended);
            if let Some(last) = last.filter(|_| checked_at != before.checked_at) {
                let found = match last.finding {
                    Finding::Healthy => "healthy",
                    Finding::RateLimited(_) => "rate limited",
                    Finding::Failing(_) | Finding::Unknown(_) | Finding::ProbeError => "failed",
                };
                probes.push(format!("{} {found}", deployment.id));
            }
            let unhealthy = deployment.state.probes().unhealthy(now, staleness_ms);
            let verdict = deployment.verdict(now);
            let after = Known {
                cools_down: cools_down(verdict),
                unhealthy: unhealthy.is_some(),
                checked_at,
            };
            if let (false, Some(cause)) = (before.unhealthy, unhealthy) {
                changes.push_str(&format!(
                    "        -> {} is unhealthy, its probes fail with: {}\n",
                    deployment.id,
                    cause.name()
                ));
            }
            changes.push_str(&by_traffic(&deployment.id, verdict, before, after));
            known.insert(deployment.id.to_string(), after);
        }
        (probes, changes)
    }

    /// Prints the summary; gives the number of requests without an answer.
    pub(super) fn conclude(&self) -> u32 {
        let count = self.count.borrow();
        let answered: u32 = count.total.values().sum();
        let mut text = format!(
            "\n{} requests, {answered} answered, {} lost.\n",
            answered + count.lost,
            count.lost
        );
        text.push_str(&format!(
            "{} of them met a failing provider first and were answered by another one.\n",
            count.moved
        ));
        for (name, times) in &count.total {
            text.push_str(&format!("  {name:<12} {times:>5}\n"));
        }
        text.push_str(&self.conclude_probes());
        let (first, others) = text.trim_start().split_once('\n').unwrap_or((&text, ""));
        let first = match count.lost {
            0 => self.paint.green(first),
            _ => self.paint.red(first),
        };
        print(&format!("\n{first}\n{others}\n{NEXT}"));
        count.lost
    }

    /// The number of probes of each deployment, and their cost.
    fn conclude_probes(&self) -> String {
        let serving = self.process.serving();
        let health = &self.process.health;
        let sent = health.probes.load(Ordering::Relaxed);
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let usd = health.nano_usd.load(Ordering::Relaxed) as f64 / 1e9;
        let mut text = format!("{sent} health probes, which cost {usd:.6} USD:\n");
        for deployment in &serving.snapshot.deployments {
            let times = deployment.state.probes().count();
            if times > 0 {
                text.push_str(&format!("  {:<12} {times:>5}\n", deployment.id));
            }
        }
        text
    }
}

/// The lines about changes: red for a deployment that lost its traffic, green for one that got it back.
fn painted(changes: &str, paint: &Paint) -> String {
    let line = |line: &str| match line.trim_start().starts_with("->") {
        true => paint.red(line) + "\n",
        false => paint.green(line) + "\n",
    };
    changes.lines().map(line).collect()
}

/// Whether its cooldown goes on. One that reopens has its traffic again, though not yet all of it.
fn cools_down(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Cooling(_) | Verdict::HalfOpen(_) => true,
        Verdict::Ready | Verdict::Reopening => false,
    }
}

/// A line about a deployment that lost its traffic, or got it back.
fn by_traffic(id: &str, verdict: Verdict, before: Known, after: Known) -> String {
    match verdict {
        Verdict::Cooling(cooldown) | Verdict::HalfOpen(cooldown) if !before.cools_down => {
            format!("        -> {id} is ejected, traffic met: {}\n", cooldown.cause.name())
        }
        Verdict::Ready | Verdict::Reopening
            if !after.unhealthy && (before.cools_down || before.unhealthy) =>
        {
            format!("        <- {id} is back\n")
        }
        Verdict::Ready | Verdict::Reopening | Verdict::Cooling(_) | Verdict::HalfOpen(_) => {
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use hale_core::cause::Cause;
    use hale_core::health::Cooldown;

    use super::*;

    #[test]
    fn a_loss_of_traffic_is_red_and_its_return_green() {
        let changes = "  -> a is ejected\n  <- b is back\n";
        assert_eq!(
            painted(changes, &Paint::COLOURED),
            "\x1b[31m  -> a is ejected\x1b[0m\n\x1b[32m  <- b is back\x1b[0m\n"
        );
        assert_eq!(painted(changes, &Paint::on(false)), changes);
    }

    #[test]
    fn a_deployment_that_comes_back_is_told_once() {
        let cooldown =
            Cooldown { until: Millis(9), cause: Cause::ServerError, provider_issued: false };
        let mut before = Known::default();
        let mut told = Vec::new();
        for verdict in [
            Verdict::Ready,
            Verdict::Cooling(cooldown),
            Verdict::HalfOpen(cooldown),
            Verdict::Reopening,
            Verdict::Reopening,
            Verdict::Ready,
            Verdict::Reopening,
            Verdict::Cooling(cooldown),
        ] {
            let after = Known { cools_down: cools_down(verdict), ..Known::default() };
            told.push(by_traffic("d", verdict, before, after));
            before = after;
        }
        let (ejected, back) =
            ("        -> d is ejected, traffic met: server_error\n", "        <- d is back\n");
        assert_eq!(told, ["", ejected, "", back, "", "", "", ejected]);
    }
}
