//! The families of budgets of keys, teams, organizations, users and end users, with `LiteLLM`'s names.
//!
//! Part of the table of families. Always true: only what was used lately has a series, as in `LiteLLM`, whose values come with requests.

use hale_core::tenancy::SubjectKind::{
    self, EndUser as EndUsers, Key, Organization, Team as Teams, User as Users,
};

use super::super::labels::Label::{
    self, ApiKeyAlias, EndUser, HashedApiKey, OrgAlias, OrgId, Team, TeamAlias, User,
};
use super::super::labels::{Put, Row, Value};
use super::super::source::Source;
use super::Read::Once;
use super::{Family, gauge};
use crate::keys;
use crate::keys::budgeted::Budgeted;

const OF_KEY: &[Label] = &[HashedApiKey, ApiKeyAlias];
const OF_TEAM: &[Label] = &[Team, TeamAlias];
const OF_ORGANIZATION: &[Label] = &[OrgId, OrgAlias];
const OF_USER: &[Label] = &[User];
const OF_CUSTOMER: &[Label] = &[EndUser];

/// What a family shows of a budget.
type Shown = fn(&Budgeted) -> Option<f64>;

fn each(source: &Source, (kind, shown): (SubjectKind, Shown), put: &mut Put<'_>) {
    for one in source.process.keys.budgeted(kind, keys::now()) {
        if let Some(number) = shown(&one) {
            let row = Row { who: &one.id, alias: &one.alias, ..Row::default() };
            put(&row, Value::Number(number));
        }
    }
}

fn left(one: &Budgeted) -> Option<f64> {
    Some(one.left.usd())
}

fn max(one: &Budgeted) -> Option<f64> {
    Some(one.max.usd())
}

#[allow(clippy::cast_precision_loss, reason = "hours of a budget are few")]
fn hours(one: &Budgeted) -> Option<f64> {
    let left_ms = one.ends?.0.saturating_sub(keys::now().unix_ms.0);
    Some(left_ms as f64 / 3_600_000.0)
}

const LEFT: &str = "What is left of the budget, USD; below 0 if more was spent";
const MAX: &str = "What may be spent until the budget begins anew, USD";
const HOURS: &str = "Hours until the budget begins anew";

/// All of them.
#[rustfmt::skip]
pub(super) const FAMILIES: &[Family] = &[
    gauge("litellm_remaining_api_key_budget_metric", "usd", OF_KEY, Once(|s, put| each(s, (Key, left), put)), LEFT),
    gauge("litellm_api_key_max_budget_metric", "usd", OF_KEY, Once(|s, put| each(s, (Key, max), put)), MAX),
    gauge("litellm_api_key_budget_remaining_hours_metric", "hours", OF_KEY, Once(|s, put| each(s, (Key, hours), put)), HOURS),
    gauge("litellm_remaining_team_budget_metric", "usd", OF_TEAM, Once(|s, put| each(s, (Teams, left), put)), LEFT),
    gauge("litellm_team_max_budget_metric", "usd", OF_TEAM, Once(|s, put| each(s, (Teams, max), put)), MAX),
    gauge("litellm_team_budget_remaining_hours_metric", "hours", OF_TEAM, Once(|s, put| each(s, (Teams, hours), put)), HOURS),
    gauge("litellm_remaining_org_budget_metric", "usd", OF_ORGANIZATION, Once(|s, put| each(s, (Organization, left), put)), LEFT),
    gauge("litellm_org_max_budget_metric", "usd", OF_ORGANIZATION, Once(|s, put| each(s, (Organization, max), put)), MAX),
    gauge("litellm_org_budget_remaining_hours_metric", "hours", OF_ORGANIZATION, Once(|s, put| each(s, (Organization, hours), put)), HOURS),
    gauge("litellm_remaining_user_budget_metric", "usd", OF_USER, Once(|s, put| each(s, (Users, left), put)), LEFT),
    gauge("litellm_user_max_budget_metric", "usd", OF_USER, Once(|s, put| each(s, (Users, max), put)), MAX),
    gauge("litellm_user_budget_remaining_hours_metric", "hours", OF_USER, Once(|s, put| each(s, (Users, hours), put)), HOURS),
    gauge("litellm_remaining_customer_budget_metric", "usd", OF_CUSTOMER, Once(|s, put| each(s, (EndUsers, left), put)), LEFT),
    gauge("litellm_customer_max_budget_metric", "usd", OF_CUSTOMER, Once(|s, put| each(s, (EndUsers, max), put)), MAX),
    gauge("litellm_customer_budget_remaining_hours_metric", "hours", OF_CUSTOMER, Once(|s, put| each(s, (EndUsers, hours), put)), HOURS),
];
