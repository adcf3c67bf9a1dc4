//! The keys about budgets, regions, hours and rates.

use std::sync::Arc;

use super::*;
use crate::budget::{Budget, BudgetIndex, BudgetScope};
use crate::health::Period;
use crate::route::windows::reserved;
use crate::time::Millis;

const BUDGETS: &str = "\
router_settings: {provider_budget_config: {openai: {budget_limit: 100, time_period: 1d}}}
litellm_settings: {tag_budget_config: {'product:bot': {max_budget: 0.5, budget_duration: 1mo}}}
";

fn with_budgets(more: &str) -> Fake {
    Fake::new(&(entry(more) + BUDGETS))
}

#[test]
fn budgets_of_providers_deployments_and_tags_are_read() {
    let snapshot = with_budgets("max_budget: 1e-12\nbudget_duration: 10s").clean();
    let shown = |budget: &Budget| (budget.scope, budget.limit_usd, budget.period);
    let all: Vec<_> = snapshot.budgets.all.iter().map(shown).collect();
    assert_eq!(
        all,
        [
            (BudgetScope::Provider, 100.0, Period::Ms(86_400_000)),
            (BudgetScope::Deployment, 1e-12, Period::Ms(10_000)),
            (BudgetScope::Tag, 0.5, Period::Months(1)),
        ]
    );
    let deployment = &snapshot.deployments[0];
    assert_eq!(snapshot.budgets.all[1].name.as_ref(), &*deployment.id);
    assert_eq!(deployment.routing.budgets.len(), 2);
    assert_eq!(snapshot.budgets.of_tags(&["x".into(), "product:bot".into()]).len(), 1);
    assert!(snapshot.inspects.tags, "tags are read for their budgets");
}

#[test]
fn a_reload_keeps_what_was_spent_where_name_and_period_are_the_same() {
    let fake = with_budgets("");
    let before = fake.clean();
    let deployment = &before.deployments[0];
    let of_tags = before.budgets.of_tags(&["product:bot".into()]);
    let charged = || deployment.routing.budgets.iter().chain(&of_tags);
    let exhausted = before.budgets.charge(charged(), 6.0, Millis(5), 0);
    assert_eq!(exhausted, [BudgetIndex(1)], "that of 0.5 USD");
    assert_eq!(before.budgets.charge(charged(), 1.0, Millis(5), 0), [], "each is told once");
    let again = |fake: &Fake| {
        load(&fake.0, "c.yaml", Options::default(), Some(&before)).snapshot.unwrap().budgets.all
    };
    let kept = again(&fake);
    assert!(kept.iter().all(|budget| budget.spent(Millis(6)).0 > 6.9));
    let raised = BUDGETS.replace("budget_limit: 100", "budget_limit: 200");
    let raised = again(&Fake::new(&(entry("") + &raised)));
    assert_eq!(raised[0].remaining_usd(Millis(6)), 193.0, "another limit, the same window");
    let longer = again(&Fake::new(&(entry("") + &BUDGETS.replace("1d", "2d"))));
    assert_eq!(longer[0].spent(Millis(6)), (0.0, None), "another period is another window");
    assert!(Arc::ptr_eq(&longer[1].spend, &before.budgets.all[1].spend));
}

#[test]
fn bad_budgets_are_refused_with_their_place() {
    let provider =
        |line: &str| with(&format!("router_settings:\n  provider_budget_config:\n    {line}\n"));
    let path = "router_settings.provider_budget_config";
    for (line, reason) in [
        ("openai: 100", "openai: expected a mapping, got text. write `{budget_limit: 100"),
        ("openai: {budget_limit: 5}", "`budget_limit` without `time_period` is not a budget"),
        ("openai: {budget_limit: 0, time_period: 1d}", "a budget of 0 would refuse every request"),
        ("openai: {budget_limit: -1, time_period: 1d}", "expected a number from 0 to"),
        ("openai: {budget_limit: 5, time_period: 1y}", "expected a length of time, got `1y`"),
        ("openai: {budget_limit: 5, time_period: 30}", "expected a length of time, got `30`"),
        (
            "opnai: {budget_limit: 5, time_period: 1d}",
            "unknown provider `opnai`. did you mean `openai`?",
        ),
    ] {
        let problems = provider(line).refused();
        let problem = one(&problems, reason);
        assert!(problem.contains("c.yaml:8:") && problem.contains(path), "{problem}");
        assert_eq!(problems.len(), 1, "{problems:#?}");
    }
    for (line, reason) in [
        ("openai: {}", "openai: is not a budget: ignored. add `budget_limit` and `time_period`"),
        (
            "openai: {time_period: 1d}",
            "`time_period` without `budget_limit` is not a budget: ignored",
        ),
    ] {
        one(&provider(line).warned().1, reason);
    }
    let general = "general_settings: {max_budget: 5, budget_duration: 1d}\n";
    let (_, warnings) = with(general).warned();
    one(
        &warnings,
        "general_settings.max_budget: has no effect in this section. belongs in `litellm_settings`; LiteLLM does not read it here",
    );
    assert_eq!(warnings.len(), 2);
    let (_, warnings) = provider("cohere: {budget_limit: 5, time_period: 1d}").warned();
    one(&warnings, "no deployment is of provider `cohere`");
    let (_, warnings) = provider("openai: {budget: 5, budget_limit: 5, time_period: 1d}").warned();
    one(&warnings, "unknown key `budget`");
}

#[test]
fn a_budget_that_no_price_is_known_for_is_warned_of() {
    let unknown = entry("").replace("gpt-4o", "an-unknown-model");
    let budget =
        "router_settings: {provider_budget_config: {openai: {budget_limit: 1, time_period: 1d}}}\n";
    let (_, warnings) = Fake::new(&(unknown.clone() + budget)).warned();
    one(&warnings, "its price is unknown, so its cost counts against no budget");
    Fake::new(&unknown).clean();
}

#[test]
fn windows_regions_and_tag_settings_are_read() {
    let info = "  model_info: {enable_tag_filtering: false, allow_fail_open: true, access_windows: [\
        {start: '22:00', end: '06:00', timezone: Europe/Berlin, team_ids: [a, b]}]}\n";
    let settings = "router_settings: {enable_tag_filtering: true, tag_routing_prefix: 'r:'}\n";
    let snapshot = Fake::new(&(entry("region_name: eu") + info + settings)).clean();
    let deployment = &snapshot.deployments[0];
    assert_eq!(deployment.routing.region.as_deref(), Some("eu"));
    assert!(deployment.routing.tags.fail_open && snapshot.inspects.hours);
    assert_eq!(&*snapshot.router.tags.prefix, "r:");
    assert!(!snapshot.groups[0].filters_tags, "the group's own word counts");
    // 23:00 in winter, 12:00 in summer.
    assert_eq!(reserved(&deployment.routing.windows, 1_768_514_400_000).unwrap().teams.len(), 2);
    assert!(reserved(&deployment.routing.windows, 1_784_109_600_000).is_none());
}

#[test]
fn a_bad_window_closes_its_deployment_and_says_where_it_is() {
    let good = "start: '22:00', end: '06:00', timezone: UTC, team_ids: [t]";
    let window = |line: &str| {
        let info = format!("  model_info:\n    access_windows:\n    - {{{line}}}\n");
        Fake::new(&(entry("") + &info))
    };
    window(good).clean();
    for (from, to, reason) in [
        ("'22:00'", "'25:00'", "start: expected a time of the day, got `25:00`"),
        ("'06:00'", "'06:00+05:00'", "end: expected a time of the day, got `06:00+05:00`"),
        ("'06:00'", "'22:00'", "`start` and `end` are the same"),
        ("UTC", "Mars/Olympus", "timezone: unknown time zone `Mars/Olympus`"),
        ("[t]", "[]", "team_ids: the list is empty"),
        (", team_ids: [t]", "", "team_ids: is missing"),
        ("start: '22:00', ", "", "start: is missing"),
    ] {
        let (snapshot, problems) = window(&good.replace(from, to)).warned();
        assert!(snapshot.deployments[0].misconfigured.is_some());
        let problem = one(&problems, reason);
        assert!(problem.contains("c.yaml:8:"), "{problem}");
        assert!(problem.contains("model_list[0].model_info.access_windows[0]"), "{problem}");
        assert_eq!(problems.len(), 1, "{problems:#?}");
    }
}

#[test]
fn rates_are_limits_and_no_shares_where_the_strategy_says_so() {
    let two = "\
model_list:
- {model_name: m, litellm_params: {model: openai/x, api_key: a, rpm: 10, tpm: 100}}
- {model_name: m, litellm_params: {model: openai/x, api_key: b}}
";
    let settings = |name: &str| format!("{two}router_settings: {{routing_strategy: {name}}}\n");
    for name in ["usage-based-routing", "usage-based-routing-v2", "cost-based-routing"] {
        let snapshot = Fake::new(&settings(name)).clean();
        assert!(snapshot.router.enforce_rates && snapshot.inspects.length, "{name}");
        assert!(snapshot.deployments.iter().all(|one| one.routing.weight == 1.0), "{name}");
    }
    let (snapshot, warnings) = Fake::new(&settings("simple-shuffle")).warned();
    one(&warnings, "is a standby: it has no `rpm`");
    assert!(!snapshot.router.enforce_rates && snapshot.deployments[1].routing.weight == 0.0);
}

#[test]
fn arguments_without_an_effect_are_named() {
    let usage = |ttl: u32| {
        let args = format!("routing_strategy_args: {{ttl: {ttl}}}");
        with(&format!("router_settings: {{routing_strategy: usage-based-routing-v2, {args}}}\n"))
    };
    usage(60).clean();
    one(&usage(120).warned().1, "routing_strategy_args: `ttl` has no effect under this strategy");
    let (_, warnings) =
        with("router_settings: {routing_strategy: provider-budget-routing}\n").warned();
    one(&warnings, "no provider has a budget: it is the same as `simple-shuffle`");
    let checks = "router_settings: {optional_pre_call_checks: [router_budget_limiting]}\n";
    with(checks).clean();
}

#[test]
fn a_budget_of_all_requests_is_every_deployments() {
    let two =
        entry("") + "- {model_name: n, litellm_params: {model: openai/gpt-4o-mini, api_key: j}}\n";
    let yaml = two + "litellm_settings: {max_budget: 5, budget_duration: 1d}\n";
    let snapshot = Fake::new(&yaml).clean();
    let [budget] = &snapshot.budgets.all[..] else { panic!("{:?}", snapshot.budgets) };
    assert_eq!((budget.scope.name(), &*budget.name, budget.limit_usd), ("gateway", "all", 5.0));
    assert!(snapshot.deployments.iter().all(|one| one.routing.budgets.len() == 1));
    let after = load(&Fake::new(&yaml).0, "c.yaml", Options::default(), Some(&snapshot));
    assert!(Arc::ptr_eq(&after.snapshot.unwrap().budgets.all[0].spend, &budget.spend));
    let alone = with("litellm_settings: {budget_duration: 30d}\n").warned();
    one(&alone.1, "`budget_duration` without `max_budget` is not a budget: ignored");
    assert!(alone.0.budgets.all.is_empty());
    assert!(with("litellm_settings: {max_budget: 0}\n").clean().budgets.all.is_empty());
}
