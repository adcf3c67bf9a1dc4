//! What budgets hold and what of them is spent: a part of `/router/state`, and `GET /provider/budgets`.

use std::collections::BTreeMap;

use hale_core::budget::{Budget, BudgetScope, Budgets};
use hale_core::time::{Millis, rfc3339};
use http::{Response, StatusCode};
use serde::Serialize;

use super::PageRequest;
use crate::clock;
use crate::http::reply::{self, Reply};

/// One budget on `/router/state`.
#[derive(Serialize)]
pub(super) struct BudgetLine<'s> {
    /// `provider`, `deployment` or `tag`.
    of: &'static str,
    name: &'s str,
    limit_usd: f64,
    spent_usd: f64,
    remaining_usd: f64,
    period: &'s str,
    /// Whether nothing may begin until the window ends.
    exhausted: bool,
    /// When the window ends, in seconds since 1970; without one nothing was spent.
    until: Option<u64>,
}

/// All budgets.
pub(super) fn lines(budgets: &Budgets, now: Millis) -> Vec<BudgetLine<'_>> {
    budgets.all.iter().map(|budget| line(budget, now)).collect()
}

fn line(budget: &Budget, now: Millis) -> BudgetLine<'_> {
    let (spent_usd, ends_in_ms) = budget.spent(now);
    BudgetLine {
        of: budget.scope.name(),
        name: &budget.name,
        limit_usd: budget.limit_usd,
        spent_usd,
        remaining_usd: budget.remaining_usd(now),
        period: &budget.written_period,
        exhausted: budget.exhausted_for(now).is_some(),
        until: ends_in_ms.map(|ms| (clock::unix_ms() + ms) / 1000),
    }
}

/// One provider's budget, in the shape of LiteLLM's page.
#[derive(Serialize)]
struct OfProvider<'s> {
    budget_limit: f64,
    time_period: &'s str,
    spend: f64,
    budget_reset_at: Option<String>,
}

/// `GET /provider/budgets`.
pub(crate) fn of_providers(request: &PageRequest<'_>) -> Response<Reply> {
    #[derive(Serialize)]
    struct Page<'s> {
        providers: BTreeMap<&'s str, OfProvider<'s>>,
    }
    let now = clock::now().millis();
    let budgets = request.arrival.serving.snapshot.budgets.all.iter();
    let providers = budgets.filter(|budget| budget.scope == BudgetScope::Provider).map(|budget| {
        let (spend, ends_in_ms) = budget.spent(now);
        let line = OfProvider {
            budget_limit: budget.limit_usd,
            time_period: &budget.written_period,
            spend,
            budget_reset_at: ends_in_ms.map(|ms| rfc3339(clock::unix_ms() + ms)),
        };
        (&*budget.name, line)
    });
    let page = Page { providers: providers.collect() };
    reply::json(StatusCode::OK, serde_json::to_vec(&page).unwrap_or_default())
}
