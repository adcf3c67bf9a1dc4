//! From the rows of an end user, or of a tag, and of the budget that it names, to what its requests count against.
//!
//! Part of [`super`]. Always true: an end user or a tag without a budget is counted and not limited.

use std::sync::Arc;

use super::models;
use super::models::{Counters, Owner};
use super::rows::Opening;
use super::terms::{budget, soft, terms};
use crate::tenancy::account::Account;
use crate::tenancy::end_user::EndUser;
use crate::tenancy::level::Level;
use crate::tenancy::row::{Record, Row};
use crate::tenancy::subject::{Subject, SubjectKind};
use crate::time::UnixMs;

/// Columns of an end user that are not served.
const UNSERVED: [&str; 4] =
    ["models", "allowed_model_region", "default_model", "object_permission_id"];

/// What follows a budget of several: the limits of `linked`, and the spend of `row`.
fn level(
    subject: Subject,
    (row, linked): (Row<'_>, Option<Row<'_>>),
    account: &mut impl FnMut(&Subject, Opening) -> Arc<Account>,
) -> Arc<Level> {
    let mut terms = linked.map(|row| terms(row, None)).unwrap_or_default();
    terms.budget = linked.and_then(budget);
    terms.soft = linked.and_then(soft);
    let ends = linked.and_then(|row| row.time("budget_reset_at"));
    let account = account(&subject, (row.money("spend").unwrap_or_default(), ends));
    let clock = row.text("budget_id").map(Box::from);
    Arc::new(Level { subject, terms, account, clock, counter: None })
}

/// An end user, by its row, the budget that the row names, and what it spent on models. `None` if the row has no id.
pub fn load_end_user(
    row: &Record,
    linked: Option<&Record>,
    (counters, read_at): (&[Record], UnixMs),
    mut account: impl FnMut(&Subject, Opening) -> Arc<Account>,
) -> Option<EndUser> {
    let (row, linked) = (Row(row), linked.map(Row));
    let id = row.text("user_id")?;
    let level = level(Subject::new(SubjectKind::EndUser, id), (row, linked), &mut account);
    let budgets = linked.map(|row| row.object("model_max_budget")).unwrap_or_default();
    let owner = Owner { kind: SubjectKind::ModelBudgetOfEndUser, id, counted_as: id, alias: id };
    let (of_models, _) =
        models::budgets(owner, (&budgets, ""), Counters(counters, read_at), &mut account);
    let unserved = UNSERVED.into_iter().filter(|column| row.has(column)).collect();
    Some(EndUser { is_blocked: row.is("blocked"), level, of_models, unserved })
}

/// A tag, by its row and the budget that the row names. `None` if nothing limits it and no one is told of it.
pub fn load_tag(
    row: &Record,
    linked: Option<&Record>,
    mut account: impl FnMut(&Subject, Opening) -> Arc<Account>,
) -> Option<Arc<Level>> {
    let (row, linked) = (Row(row), Row(linked?));
    let subject = Subject::new(SubjectKind::Tag, row.text("tag_name")?);
    let level = level(subject, (row, Some(linked)), &mut account);
    let terms = &level.terms;
    let is_limited = terms.budget.is_some()
        || terms.soft.is_some()
        || terms.rpm.is_some()
        || terms.tpm.is_some()
        || terms.parallel.is_some();
    is_limited.then_some(level)
}
