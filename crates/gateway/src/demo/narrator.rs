//! Tells the audience of the demo who answered, who was moved away from, and who came back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hale_core::health::Verdict;

use super::provider::Provider;
use super::script::Stage;
use crate::state::Process;
use crate::{clock, print};

/// What came of one of the demo's own requests.
pub(super) enum Answer {
    /// An answer from that deployment; whether another one had failed before.
    From {
        /// The deployment's id.
        deployment: String,
        /// Whether the request was moved.
        moved: bool,
    },
    /// No answer, or an error.
    Lost,
}

/// The narrator. Clones share what was counted.
#[derive(Clone)]
pub(super) struct Narrator {
    process: Arc<Process>,
    seconds: u64,
    count: Rc<RefCell<Count>>,
}

#[derive(Default)]
struct Count {
    second: BTreeMap<String, u32>,
    total: BTreeMap<String, u32>,
    moved: u32,
    waiting: u32,
    lost: u32,
    resting: BTreeMap<String, bool>,
}

impl Narrator {
    /// A narrator for a demo of that length.
    pub(super) fn new(process: Arc<Process>, seconds: u64) -> Narrator {
        Narrator { process, seconds, count: Rc::default() }
    }

    /// What the audience sees first.
    pub(super) fn introduce(&self, gateway: SocketAddr, providers: &[Provider; 3]) {
        let mut text =
            format!("Hale listens on http://{gateway}. Behind it, simulated on loopback:\n");
        for provider in providers {
            text.push_str(&format!("  {:<7} {}\n", provider.name, provider.about));
        }
        text.push_str(&format!(
            "For {} s it is asked 8 times a second. Ask it yourself while it runs:\n\n  \
             curl http://{gateway}/v1/chat/completions -H 'content-type: application/json' \\\n    \
             -d '{{\"model\":\"demo\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'\n\n",
            self.seconds
        ));
        print(&text);
    }

    /// Counts a question.
    pub(super) fn asked(&self) {
        self.count.borrow_mut().waiting += 1;
    }

    /// Waits for the answers that are still to come.
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

    /// Tells the demo, second by second, to its end.
    pub(super) async fn narrate(&self, stage: &Stage<'_>) {
        let mut clock = tokio::time::interval(Duration::from_secs(1));
        for second in 0.. {
            clock.tick().await;
            if second > 0 {
                self.tell_second(second, stage.providers());
            }
            if stage.is_over(second) {
                return;
            }
            if let Some(turn) = stage.turn(second) {
                print(&format!("\n{second:>4} s  {}\n", turn.told));
            }
        }
    }

    fn tell_second(&self, second: u64, providers: &[Provider; 3]) {
        let mut count = self.count.borrow_mut();
        let answered = std::mem::take(&mut count.second);
        let mut line = format!("{second:>4} s ");
        for name in providers.iter().map(|provider| provider.name).chain(["last-resort"]) {
            let times = answered.get(name).copied().unwrap_or(0) as usize;
            let width = if name == "last-resort" { 0 } else { 10 };
            if width > 0 || times > 0 {
                line.push_str(&format!(" {name} {:<width$}", "#".repeat(times)));
            }
        }
        print(&format!("{}\n", line.trim_end()));
        let changes = self.changes(&mut count.resting);
        print(&changes);
    }

    /// Lines about deployments that went to rest or came back since the last look.
    fn changes(&self, known: &mut BTreeMap<String, bool>) -> String {
        let serving = self.process.serving();
        let now = clock::now().millis();
        let mut text = String::new();
        for deployment in &serving.snapshot.deployments {
            let verdict = deployment.verdict(now);
            let rests = verdict != Verdict::Ready;
            let before = known.insert(deployment.id.to_string(), rests).unwrap_or(false);
            match verdict {
                Verdict::Cooling(rest) | Verdict::Trial(rest) if !before => {
                    text.push_str(&format!(
                        "        -> {} is moved away from: {}\n",
                        deployment.id,
                        rest.cause.name()
                    ));
                }
                Verdict::Ready if before => {
                    text.push_str(&format!("        <- {} is back\n", deployment.id));
                }
                Verdict::Ready | Verdict::Cooling(_) | Verdict::Trial(_) => {}
            }
        }
        text
    }

    /// Sums up; gives the number of requests without an answer.
    pub(super) fn conclude(&self) -> u32 {
        let count = self.count.borrow();
        let answered: u32 = count.total.values().sum();
        let mut text = format!(
            "\n{} requests, {answered} answered, {} lost.\n",
            answered + count.lost,
            count.lost
        );
        text.push_str(&format!(
            "{} of them met a failing provider first and were moved without their client noticing.\n",
            count.moved
        ));
        for (name, times) in &count.total {
            text.push_str(&format!("  {name:<12} {times:>5}\n"));
        }
        print(&text);
        count.lost
    }
}
