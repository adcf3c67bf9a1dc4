//! What is wrong in this process now, as far as the process itself says it.
//!
//! Called by [`super::desk`] once a second. Always true: it only reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hale_core::budget::BudgetScope;
use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::Verdict;
use hale_core::health::probe::Status as ProbeStatus;
use hale_core::incident::{
    Attempts, Down, Facts, Family, Kind, Member, Root, Scene, Tally, Trouble,
};
use hale_core::route;
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use hale_store::Status;
use hale_wire::errors::clean;

use crate::state::Process;
use crate::{advice, clock, said};

/// How long lost rows are a trouble, milliseconds.
const LOST_MS: u64 = 60_000;
/// Longest words of an error, characters.
const WORDS_MAX: usize = 300;

/// The deployments whose state says that they cannot serve.
pub(super) fn down(snapshot: &Snapshot, now: Millis) -> Vec<Down> {
    let routes = snapshot.probing.routes();
    let cause = |one: &Deployment| match one.verdict(now) {
        Verdict::Cooling(cooldown) | Verdict::HalfOpen(cooldown) => Some(cooldown.cause),
        Verdict::Ready | Verdict::Reopening if routes => match one.state.probes().standing().0 {
            ProbeStatus::Unhealthy(cause) => Some(cause),
            ProbeStatus::Unprobed
            | ProbeStatus::Healthy
            | ProbeStatus::RateLimited
            | ProbeStatus::Unknown(_) => None,
        },
        Verdict::Ready | Verdict::Reopening => None,
    };
    // One that is misconfigured matters where no sibling serves in its place.
    let has_no_sibling = |one: &Deployment| {
        let members = &snapshot.group(one.group).members;
        !members.iter().any(|member| snapshot.deployment(*member).can_work())
    };
    let cause = |one: &Deployment| match one.misconfigured {
        Some(_) => has_no_sibling(one).then_some(Cause::Misconfigured),
        None if one.can_work() => cause(one),
        None => None,
    };
    let all = snapshot.deployments.iter();
    all.filter_map(|one| Some(Down { id: one.id.clone(), cause: cause(one)? })).collect()
}

/// The config in force, as the watch asks for it.
pub(super) struct InForce<'s>(pub(super) &'s Snapshot);

impl InForce<'_> {
    fn deployment(&self, id: &str) -> Option<&Arc<Deployment>> {
        self.0.by_id.get(id).map(|index| self.0.deployment(*index))
    }
}

impl Scene for InForce<'_> {
    fn facts(&self, id: &str) -> Option<Facts> {
        let deployment = self.deployment(id)?;
        let group = &self.0.group(deployment.group).name;
        Some(Facts {
            name: (&*deployment.display.name).into(),
            provider: (&*deployment.endpoint.provider.name).into(),
            host: deployment.endpoint.host().into(),
            credential: deployment.credential.id.map(|id| id.to_string().into()),
            model: deployment.endpoint.upstream_model.clone(),
            groups: vec![group.clone()],
        })
    }

    fn has(&self, id: &str) -> bool {
        self.0.by_id.contains_key(id)
    }

    fn group_of(&self, name: &str) -> Option<Arc<str>> {
        let named = self.0.by_name.get(name).copied();
        let index = named.or_else(|| route::find(self.0, name).map(|target| target.group))?;
        let group = self.0.group(index);
        if group.is_listed {
            return Some(group.name.clone());
        }
        // It has the members of listed ones, by the model that they have at their provider.
        let member = self.0.deployment(*group.members.first()?);
        Some(self.0.group(member.group).name.clone())
    }

    fn members(&self, group: &str) -> Vec<Member> {
        let Some(index) = self.0.by_name.get(group) else { return Vec::new() };
        let members = self.0.group(*index).members.iter().map(|member| self.0.deployment(*member));
        members.map(|one| Member { id: one.id.clone(), can_work: one.can_work() }).collect()
    }

    fn advice(&self, id: &str, cause: Cause) -> (String, String) {
        let Some(deployment) = self.deployment(id) else { return Default::default() };
        let probe = deployment.state.probes().last();
        let of_probe = || {
            let probe = probe.filter(|probe| probe.cause == Some(cause))?;
            Some(clean(&probe.message, WORDS_MAX))
        };
        let of_config = || {
            let why =
                deployment.misconfigured.as_ref().filter(|_| cause == Cause::Misconfigured)?;
            Some(clean(&why.problem, WORDS_MAX))
        };
        let words = said::words(id, cause).or_else(of_probe).or_else(of_config).unwrap_or_default();
        let failure = advice::Failure { cause, obstacle: None, status: None, message: &words };
        let fix = advice::fix(deployment, &failure).unwrap_or_default();
        (words, fix)
    }
}

/// What is remembered between two looks.
#[derive(Default)]
pub(super) struct Own {
    store_away_since: Option<Millis>,
    redis_away_since: Option<Millis>,
    rows_lost: u64,
    rows_lost_at: Option<Millis>,
    /// Why the last reload was refused, and how many were put in force before.
    refused: Option<(Box<str>, u64)>,
    /// The day on which the budget of probes was spent, and of which deployment.
    probes_spent: Option<(u64, Box<str>)>,
    /// What each deployment had counted.
    counted: HashMap<Arc<str>, Counted>,
}

/// What a deployment counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    answered: u64,
    /// By cause.
    failed: [u64; Cause::ALL.len()],
}

impl Counted {
    fn of(deployment: &Deployment) -> Counted {
        let state = &deployment.state;
        let failed = |cause: Cause| {
            let is_blamed = cause.blames_deployment();
            if is_blamed { state.failures(cause) } else { 0 }
        };
        Counted { answered: state.successes(), failed: Cause::ALL.map(failed) }
    }

    /// What came since `before`.
    fn since(&self, before: &Counted) -> Attempts {
        let grown = |at: usize| self.failed[at].saturating_sub(before.failed[at]);
        let causes = Cause::ALL.into_iter().enumerate();
        let cause = causes.filter(|(at, _)| grown(*at) > 0).max_by_key(|(at, _)| grown(*at));
        Attempts {
            answered: self.answered.saturating_sub(before.answered),
            failed: (0..Cause::ALL.len()).map(grown).sum(),
            cause: cause.map(|(_, cause)| cause),
        }
    }
}

impl Own {
    /// A changed config was refused for that reason.
    pub(super) fn reload_refused(&mut self, process: &Process, reason: &str) {
        self.refused = Some((reason.into(), applied(process)));
    }

    /// A changed config was put in force.
    pub(super) fn reload_applied(&mut self) {
        self.refused = None;
    }

    /// The day's budget of probes is spent.
    pub(super) fn probes_spent(&mut self, name: &str, now: Millis) {
        self.probes_spent = Some((clock::day(now), name.into()));
    }

    /// Counts what became of attempts since the last time.
    pub(super) fn attempts(&mut self, snapshot: &Snapshot, tally: &mut Tally) {
        for deployment in &snapshot.deployments {
            let now = Counted::of(deployment);
            let before = self.counted.get(&deployment.id).copied().unwrap_or_default();
            if now != before {
                tally.attempted(&deployment.id, now.since(&before));
                self.counted.insert(deployment.id.clone(), now);
            }
        }
    }

    /// Forgets what no config has any more.
    pub(super) fn reconfigured(&mut self, snapshot: &Snapshot) {
        self.counted.retain(|id, _| snapshot.by_id.contains_key(id));
    }

    /// The troubles that have nothing to do with a deployment.
    pub(super) fn troubles(&mut self, process: &Process, now: Millis) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let away_ms = process.serving().snapshot.gateway.alerts.rules.away_ms;
        troubles.extend(self.of_store(process, now, away_ms));
        troubles.extend(self.of_redis(process, now, away_ms));
        // The event that says so may have been missed.
        self.refused = self.refused.take().filter(|(_, before)| *before == applied(process));
        if let Some((reason, _)) = &self.refused {
            let fix = "the log names each problem with its line; correct the file, it is read again by itself";
            troubles.push(own(Kind::ReloadRefused, "reload", "config", ("refused", reason), fix));
        }
        match &self.probes_spent {
            Some((day, name)) if *day == clock::day(now) => {
                let fix = "raise health_check_daily_budget_usd, or probe less often; until tomorrow only lists of models \
                           are requested";
                troubles.push(own(Kind::ProbeBudget, "probes", name, ("budget", ""), fix));
            }
            Some(_) => self.probes_spent = None,
            None => {}
        }
        troubles.extend(of_budgets(&process.serving().snapshot, now));
        troubles.extend(of_soft_budgets(process));
        troubles
    }

    fn of_store(&mut self, process: &Process, now: Millis, away_ms: u64) -> Option<Trouble> {
        let store = process.store()?;
        let dropped = store.figures().dropped;
        if dropped > self.rows_lost {
            self.rows_lost = dropped;
            self.rows_lost_at = Some(now);
        }
        let problem = match store.status() {
            Status::Disconnected(error) => Some(error.to_string()),
            Status::Opening | Status::Connected | Status::NoPlace => None,
        };
        self.store_away_since = problem.as_ref().map(|_| self.store_away_since.unwrap_or(now));
        let fix = "requests are served all the same; see docs/store.md for what the words mean";
        if let (Some(since), Some(words)) = (self.store_away_since, problem)
            && now.since(since) >= away_ms
        {
            let words = clean(&words, WORDS_MAX);
            return Some(own(Kind::StoreTrouble, "store", "store", ("disconnected", &words), fix));
        }
        let is_recent = self.rows_lost_at.is_some_and(|at| now.since(at) < LOST_MS);
        let words = format!("{dropped} rows are lost since the start");
        is_recent.then(|| own(Kind::StoreTrouble, "store", "store", ("rows lost", &words), fix))
    }

    fn of_redis(&mut self, process: &Process, now: Millis, away_ms: u64) -> Option<Trouble> {
        let redis = process.fleet.redis.load_full();
        let away = redis.filter(|redis| !redis.is_up());
        let Some(redis) = away else {
            self.redis_away_since = None;
            return None;
        };
        let since = *self.redis_away_since.get_or_insert(now);
        let words = clean(&redis.problem().unwrap_or_default(), WORDS_MAX);
        let fix = "each replica judges by itself until it is back; see docs/fleet.md";
        (now.since(since) >= away_ms)
            .then(|| own(Kind::RedisTrouble, "redis", "Redis", ("connect", &words), fix))
    }
}

/// How many configs were put in force while the process ran.
fn applied(process: &Process) -> u64 {
    process.metrics.reloads_applied.load(Ordering::Relaxed)
}

/// Keys and teams whose spend reached their soft budget.
fn of_soft_budgets(process: &Process) -> impl Iterator<Item = Trouble> + use<> {
    process.keys.soft.crossed(crate::keys::now()).into_iter().map(|one| {
        let words = format!("Total Soft Budget: {} USD, spent: {} USD", one.soft, one.spent);
        let fix = "nothing is refused; raise soft_budget, or ask its owner what it is used for";
        let subject = format!("soft_budget:{}", one.id);
        own(Kind::SoftBudget, &subject, &one.name, ("budget", &words), fix)
    })
}

fn of_budgets(snapshot: &Snapshot, now: Millis) -> impl Iterator<Item = Trouble> + use<'_> {
    snapshot.budgets.all.iter().filter_map(move |budget| {
        budget.exhausted_for(now)?;
        let scope = budget.scope.name();
        let name = match budget.scope {
            BudgetScope::Deployment => {
                let index = snapshot.by_id.get(&*budget.name);
                index.map_or(&*budget.name, |index| &snapshot.deployment(*index).display.name)
            }
            BudgetScope::Provider | BudgetScope::Tag | BudgetScope::Gateway => &budget.name,
        };
        let subject = format!("budget:{scope}:{}", budget.name);
        let words = format!("{} USD in {} are spent", budget.limit_usd, budget.written_period);
        let fix = "requests go elsewhere until the window ends; raise the budget, or wait";
        let shown = format!("{scope} {name}");
        Some(own(Kind::BudgetSpent, &subject, &shown, ("budget", &words), fix))
    })
}

fn own(kind: Kind, subject: &str, name: &str, (cause, words): (&str, &str), fix: &str) -> Trouble {
    Trouble {
        kind,
        subject: subject.into(),
        name: name.into(),
        root: Root { family: Family::Own, provider: Box::default(), place: subject.into() },
        cause: cause.into(),
        words: words.into(),
        fix: fix.into(),
        groups: Vec::new(),
        since: 0,
    }
}
