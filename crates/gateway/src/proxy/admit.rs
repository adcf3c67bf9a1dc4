//! The phase between reading a request and its first attempt: what its key may use, and what it reserves.
//!
//! Called by [`super::opening`] for requests with a key other than the master key. Always true: a request that is not admitted has
//! called no upstream and used nothing up; what is reserved is settled by the request's [`super::delivery::Delivery`].

use std::sync::Arc;

use hale_core::operation::{Carries, Kind, Operation};
use hale_core::record::RequestRecord;
use hale_core::route::{ClientFallback, Controls, MayUse, RoutePlan};
use hale_core::snapshot::Snapshot;
use hale_core::tenancy::Money;
use hale_core::tenancy::access::{Admission, KeyAccess, Renamed};
use hale_core::tenancy::account::{Claim, Used};
use hale_core::tenancy::end_user::EndUser;
use hale_core::usage::{Units, Usage};
use hale_wire::controls::{self, estimated_input};
use hale_wire::peek::Peek;

use crate::arrival::Arrival;
use crate::http::refusal::{self, Refusal};
use crate::keys;
use crate::state::Process;

/// Tokens that an answer is expected to have if the request does not say how many it may have.
const ANSWER_TOKENS: u64 = 1_024;

impl Arrival {
    /// Puts the model in the place of a name of the key's own, and checks that the key may use it.
    ///
    /// # Errors
    /// The refusal to send.
    pub(super) fn check_model(&self, model: &mut Box<str>) -> Result<(), Refusal> {
        let Some(access) = self.principal.access() else { return Ok(()) };
        let renamed = access.renamed(model);
        MayUse::check(access, &self.serving.snapshot, renamed).map_err(refusal::denied)?;
        if *renamed.name != **model {
            *model = renamed.name.into();
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
    access: &Arc<KeyAccess>,
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
    controls.may_use = MayUse::of(access);
    Ok(())
}

fn check_fallback(
    access: &KeyAccess,
    snapshot: &Snapshot,
    fallback: &mut ClientFallback,
) -> Result<(), Refusal> {
    let renamed: Renamed<'_> = access.renamed(&fallback.name);
    MayUse::check(access, snapshot, renamed).map_err(refusal::denied)?;
    if *renamed.name != *fallback.name {
        fallback.name = renamed.name.into();
    }
    Ok(())
}

/// What a request asks for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) operation: Operation,
    /// Billing units besides tokens, as far as it states them.
    pub(super) units: Units,
    pub(super) peek: &'a Peek,
    /// The client's own customer that it is for, if that has a row.
    pub(super) end_user: Option<&'a EndUser>,
}

/// Reserves what a request is expected to use.
///
/// # Errors
/// The refusal: a budget is spent, or a limit is reached.
pub(super) fn admit(
    arrival: &Arrival,
    access: &Arc<KeyAccess>,
    plan: &RoutePlan,
    asked: Asked<'_>,
) -> Result<Admission, Refusal> {
    let end_user = asked.end_user;
    let snapshot = &arrival.serving.snapshot;
    let claim = match access.measures(end_user) {
        true => claim(snapshot, plan, asked),
        false => Claim::default(),
    };
    let group = plan.target().name(snapshot);
    access.admit(group, (claim, end_user), keys::now()).map_err(refusal::denied)
}

/// Replaces what a key reserved for a request by what its record has used.
#[cold]
pub(super) fn settle(process: &Process, admission: Admission, record: &RequestRecord) {
    let tokens = record.usage.map_or(0, |usage| usage.input.saturating_add(usage.output));
    let cost = record.cost_usd.and_then(Money::of_usd).unwrap_or_default();
    process.keys.settle(admission, Used { tokens, cost });
}

/// What the request is expected to use, at the first member of its group.
fn claim(snapshot: &Snapshot, plan: &RoutePlan, asked: Asked<'_>) -> Claim {
    let Asked { operation, units, peek, .. } = asked;
    let target = plan.target();
    let members = match &target.pinned {
        Some(only) => std::slice::from_ref(only),
        None => &snapshot.group(target.group).members,
    };
    let mut all = members.iter().map(|index| {
        let deployment = snapshot.deployment(*index);
        deployment.facts_of(&target.model_in_many(snapshot, deployment))
    });
    let is_free = !members.is_empty() && all.clone().all(|facts| facts.is_free());
    // What is kept already costs nothing to read.
    let reads = operation.is_by_id()
        || operation.kind() == Some(Kind::File)
        || operation.kind().is_some() && operation.carries() == Carries::Nothing;
    let facts = all.next();
    let facts = facts.as_deref();
    let asked = controls::answer_limit(peek);
    let has_answer = operation.row().token_limit.is_some();
    let most = facts.and_then(|facts| facts.max_output_tokens);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a limit is never negative, and the cast saturates"
    )]
    let most = most.map_or(u64::MAX, |tokens| tokens as u64);
    let answers = controls::answers(peek);
    let answer = match has_answer {
        true => asked.unwrap_or(ANSWER_TOKENS).min(most).saturating_mul(answers),
        false => 0,
    };
    let input = estimated_input(peek);
    let usage = Usage { input, output: answer, units, ..Usage::default() };
    let usd = facts.and_then(|facts| facts.cost_usd(&usage));
    Claim {
        tokens: input.saturating_add(answer),
        is_explicit: has_answer && asked.is_some(),
        cost: usd.and_then(Money::of_usd).unwrap_or_default(),
        is_free: is_free || reads,
    }
}
