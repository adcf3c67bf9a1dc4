//! The phase between reading a request and its first attempt: what its key may use, and what it reserves.
//!
//! Called by [`super::opening`] for requests with a key other than the master key, and for those of a session with a ceiling. Always true: a request that is not admitted has
//! called no upstream and used nothing up; what is reserved is settled by the request's [`super::delivery::Delivery`].

use std::sync::Arc;
use std::time::Duration;

use hale_core::operation::{Carries, Kind, Operation};
use hale_core::prices::ModelFacts;
use hale_core::record::RequestRecord;
use hale_core::route::{
    Affinity, ClientFallback, Controls, MayUse, NamedBy, Resolved, RoutePlan, Target, resolve,
};
use hale_core::snapshot::Snapshot;
use hale_core::tenancy::access::{Admission, KeyAccess, Left, Level, More, Renamed, Spent};
use hale_core::tenancy::account::{Claim, Used};
use hale_core::tenancy::denied::BUDGET_RESERVED;
use hale_core::tenancy::end_user::EndUser;
use hale_core::tenancy::of_models::{self, Names};
use hale_core::tenancy::{Denied, KeyLimits, Money};
use hale_core::time::UnixMs;
use hale_core::usage::{Units, Usage};
use hale_wire::controls::{self, estimated_input};
use hale_wire::peek::Peek;

use crate::arrival::Arrival;
use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::keys;
use crate::state::Process;

/// Tokens that an answer is expected to have if the request does not say how many it may have.
const ANSWER_TOKENS: u64 = 1_024;
/// How long a request waits while the remainder of a budget is reserved by others, and how often it looks again.
const RESERVED_MS: u64 = 2_000;
const RESERVED_AGAIN: Duration = Duration::from_millis(50);

impl Arrival {
    /// Puts the model in the place of a name of the key's own, and checks that the key may use it.
    ///
    /// # Errors
    /// The refusal to send.
    pub(super) fn check_model(&self, model: &mut Box<str>) -> Result<(), Refusal> {
        let Some(access) = self.principal.access() else { return Ok(()) };
        let renamed = access.renamed(model);
        let snapshot = &self.serving.snapshot;
        let meant = MayUse::check(access, snapshot, renamed).map_err(refusal::denied)?;
        let group = |name: &str| match resolve(snapshot, name) {
            Resolved::Target(target) => target.name(snapshot).into(),
            Resolved::Unknown(_) => name.into(),
        };
        let cheaper = access.cheaper(renamed.name, group, keys::now());
        if let Some(cheaper) = cheaper {
            let other = Renamed { name: cheaper, is_team_alias: false };
            // A model that the key may not use takes no place: the budget refuses the request.
            if let Ok(meant) = MayUse::check(access, snapshot, other) {
                *model = meant.into();
                return Ok(());
            }
        }
        if *meant != **model {
            *model = meant.into();
        }
        Ok(())
    }
}

/// Keeps a request within the models of its key, also where it falls back.
///
/// # Errors
/// The refusal of a fallback that the client names.
pub(super) fn restrict(
    arrival: &Arrival,
    (access, end_user): (&Arc<KeyAccess>, Option<&Arc<EndUser>>),
    controls: &mut Controls,
) -> Result<(), Refusal> {
    let snapshot = &arrival.serving.snapshot;
    let lists = [
        &mut controls.fallbacks,
        &mut controls.context_window_fallbacks,
        &mut controls.content_policy_fallbacks,
    ];
    for fallback in lists.into_iter().flatten().flatten() {
        check_fallback(access, snapshot, fallback)?;
    }
    controls.may_use = MayUse::with_budgets(access, end_user, || UnixMs(clock::unix_ms()));
    let by_key = snapshot.inspects.home && snapshot.router.affinity.by_key;
    if by_key && controls.affinity.is_none() {
        let key = access.identity.key.as_bytes();
        controls.affinity = Some(Affinity::of(NamedBy::Key, [key]));
    }
    Ok(())
}

fn check_fallback(
    access: &KeyAccess,
    snapshot: &Snapshot,
    fallback: &mut ClientFallback,
) -> Result<(), Refusal> {
    let renamed: Renamed<'_> = access.renamed(&fallback.name);
    let meant = MayUse::check(access, snapshot, renamed).map_err(refusal::denied)?;
    if *meant != *fallback.name {
        fallback.name = meant.into();
    }
    Ok(())
}

/// What a request asks for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) operation: Operation,
    /// The name that the client wrote, behind names of the key's own.
    pub(super) model: &'a str,
    /// Billing units besides tokens, as far as it states them.
    pub(super) units: Units,
    pub(super) peek: &'a Peek,
    /// What it counts against besides its key.
    pub(super) more: More<'a>,
}

/// Reserves what a request is expected to use.
///
/// # Errors
/// The refusal: a budget is spent, or a limit is reached.
pub(super) async fn admit(
    arrival: &Arrival,
    plan: &RoutePlan,
    asked: Asked<'_>,
) -> Result<Admission, Refusal> {
    let snapshot = &arrival.serving.snapshot;
    // A limit of one model may be written with any of its names.
    let names = of_models::names(plan.target().name(snapshot), asked.model);
    let process = &arrival.worker.process;
    let access = arrival.principal.access();
    let default =
        access.and_then(|access| default(process, access, (snapshot, plan.target(), names)));
    let more = More { default: default.as_ref(), ..asked.more };
    let is_measured = match access {
        Some(access) => access.measures(&more),
        None => more.session.is_some_and(|level| level.terms.budget.is_some()),
    };
    let claim = if is_measured { claim(snapshot, plan, asked) } else { Claim::default() };
    let admitted = || match (access, more.session) {
        (Some(access), _) => access.admit(names, (claim, &more), keys::now()),
        (None, Some(session)) => Admission::keyless(session.clone(), claim, keys::now()),
        (None, None) => Ok(Admission::default()),
    };
    let until = clock::now().millis().plus(RESERVED_MS);
    loop {
        let denied = match admitted() {
            Ok(admission) => return Ok(admission),
            Err(denied) => denied,
        };
        // What is reserved is mostly more than what is used in the end.
        if denied.reason != BUDGET_RESERVED || clock::now().millis() >= until {
            return Err(refusal::denied(denied));
        }
        tokio::time::sleep(RESERVED_AGAIN).await;
    }
}

/// The limit of a group for keys without one of their own.
fn default(
    process: &Process,
    access: &Arc<KeyAccess>,
    (snapshot, target, names): (&Snapshot, &Target, Names<'_>),
) -> Option<Arc<Level>> {
    let group = snapshot.group(target.group);
    let limits = group.members.iter().map(|one| snapshot.deployment(*one).routing.limits.of_keys);
    let least = limits.fold(KeyLimits::default(), KeyLimits::least);
    if least == KeyLimits::default() {
        return None;
    }
    let limits = access.of_models.lacks(names, least);
    // By the group's own name: the names that a pattern stands for are the client's choice.
    process.keys.default_level(access, (&group.name, limits))
}

/// What is sent to another group than before.
pub(super) struct Moved<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) plan: &'a RoutePlan,
    /// What it asks for, if its body is still held.
    pub(super) asked: Option<Asked<'a>>,
    /// Whether the group of before was called.
    pub(super) left: Left,
}

/// Takes what a request is expected to use from the limits and budgets of the group that its route has led to.
///
/// # Errors
/// Why that group may not be called: a budget is spent, or a limit is reached.
#[cold]
pub(super) fn moves(
    process: &Process,
    admission: &mut Admission,
    moved: &Moved<'_>,
) -> Result<(), Denied> {
    let Moved { snapshot, plan, asked, left } = moved;
    let Some(access) = admission.access().cloned() else { return Ok(()) };
    let group = plan.target().name(snapshot);
    let names = of_models::names(group, plan.written().unwrap_or(group));
    let claim = asked.map_or_else(|| admission.claim(), |asked| claim(snapshot, plan, asked));
    let default = default(process, &access, (snapshot, plan.target(), names));
    admission.moves((names, default.as_ref()), (claim, *left), keys::now())
}

/// Replaces what a key reserved for a request by what its record has used.
#[cold]
pub(super) fn settle(process: &Process, admission: Admission, record: &mut RequestRecord) {
    // It was refused before any upstream was called.
    let is_unbilled = record.cost_usd.is_none_or(|usd| usd <= 0.0);
    if record.deployment.is_none() && record.status >= 400 && is_unbilled {
        admission.refund();
        return;
    }
    let calls = &record.calls;
    let in_group = |group: &str| {
        let bills = calls.iter().filter(|call| *call.model_group == *group);
        bills.filter_map(|call| call.bill).fold(Used::default(), |sum, bill| Used {
            tokens: sum.tokens.saturating_add(tokens(&bill.usage)),
            cost: sum.cost.plus(bill.cost.unwrap_or_default()),
        })
    };
    let all = Used {
        tokens: record.usage.as_ref().map_or(0, tokens),
        cost: record.cost_usd.and_then(Money::of_usd).unwrap_or_default(),
    };
    let spent = Spent { all, in_group: &in_group };
    if let Some(to) = &mut record.billed_to {
        to.charged = admission.charged(&spent);
    }
    process.keys.settle(admission, &spent);
}

fn tokens(usage: &Usage) -> u64 {
    usage.input.saturating_add(usage.output)
}

/// What the request is expected to use, at the dearest member of its group.
fn claim(snapshot: &Snapshot, plan: &RoutePlan, asked: Asked<'_>) -> Claim {
    let Asked { operation, units, peek, .. } = asked;
    // What is kept already costs nothing to read, to cancel and to delete.
    let reads = operation.is_by_id()
        || operation.kind() == Some(Kind::File)
        || operation.kind().is_some() && operation.carries() == Carries::Nothing;
    if reads {
        return Claim { is_free: true, ..Claim::default() };
    }
    let target = plan.target();
    let members = match &target.pinned {
        Some(only) => std::slice::from_ref(only),
        None => &snapshot.group(target.group).members,
    };
    let has_answer = operation.row().token_limit.is_some();
    let asked = controls::answer_limit(peek).filter(|_| has_answer);
    let answers = controls::answers(peek);
    // A text of a few bytes is a token, too.
    let input = estimated_input(peek).max(1);
    let now_ms = clock::unix_ms();
    let mut claim = Claim { is_explicit: asked.is_some(), ..Claim::default() };
    if has_answer && asked.is_none() {
        claim.implied = ANSWER_TOKENS.saturating_mul(answers);
    }
    for member in members {
        let deployment = snapshot.deployment(*member);
        let facts = &*deployment.facts_at(&target.model_in_many(snapshot, deployment), now_ms);
        let output = match has_answer {
            true => asked.unwrap_or(ANSWER_TOKENS).min(most_tokens(facts)).saturating_mul(answers),
            false => 0,
        };
        let usage = Usage { input, output, units, ..Usage::default() };
        let cost = facts.cost_usd(&usage).and_then(Money::of_usd).unwrap_or_default();
        let named = if claim.is_explicit { output } else { 0 };
        claim.tokens = claim.tokens.max(input.saturating_add(named));
        claim.cost = claim.cost.max(cost);
    }
    claim.is_free = plan.is_free(snapshot);
    claim
}

/// The tokens that an answer of the model can have.
fn most_tokens(facts: &ModelFacts) -> u64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a limit is never negative, and the cast saturates"
    )]
    let most = facts.max_output_tokens.map(|tokens| tokens as u64);
    most.unwrap_or(u64::MAX)
}
