//! What changes costs: discounts, margins, hours, sessions.

use super::*;
use crate::money::Money;
use crate::prices::Adjust;

#[test]
fn a_provider_has_its_own_margin_in_the_place_of_the_global_one_and_its_discount_besides() {
    let adjust = |settings: &str| {
        with(&format!("litellm_settings: {settings}\n")).clean().deployments[0].facts.adjust
    };
    let all = adjust("{cost_margin_config: {global: 0.1}}");
    assert_eq!(all, Adjust { margin: 0.1, ..Adjust::default() });
    let own = adjust(
        "{cost_discount_config: {openai: 0.05}, cost_margin_config: {global: 0.1, openai: {percentage: 0.2, fixed_amount: 0.001}}}",
    );
    assert_eq!(own, Adjust { discount: 0.05, margin: 0.2, fixed: Money::of_parts(1_000_000) });
    let (other, told) =
        with("litellm_settings: {cost_discount_config: {vertex_ai: 0.05}}\n").warned();
    one(&told, "no deployment is of provider `vertex_ai`");
    assert!(other.deployments[0].facts.adjust.is_none());
}

#[test]
fn a_price_of_the_config_is_for_all_hours_unless_the_config_says_more() {
    let facts = |more: &str| {
        let yaml = format!(
            "model_list:\n- model_name: m\n  litellm_params: {{model: deepseek/deepseek-v4-pro, api_key: k}}\n  model_info: {{{more}}}\n"
        );
        Fake::new(&yaml).clean().deployments[0].facts.clone()
    };
    let listed = facts("");
    assert!(listed.off_peak.is_some());
    assert_eq!(listed.listed_as.as_deref(), Some("deepseek/deepseek-v4-pro"));
    let priced = facts("input_cost_per_token: 0.5, output_cost_per_token: 1");
    assert!(priced.off_peak.is_none() && priced.listed_as.is_none());
    let own = facts(
        "input_cost_per_token: 0.5, output_cost_per_token: 1, off_peak_pricing: {hours_utc: '01:00-02:00', input_cost_per_token: 0.25}",
    );
    assert_eq!(own.at(3_600_000).input_cost_per_token, Some(0.25));
    assert_eq!(own.at(0).input_cost_per_token, Some(0.5));
}

#[test]
fn hours_that_cannot_be_read_are_told_and_change_no_price() {
    let yaml = "model_list:\n- model_name: m\n  litellm_params: {model: deepseek/deepseek-v4-pro, api_key: k}\n  model_info: {off_peak_pricing: {hours_utc: nights}}\n";
    let (snapshot, told) = Fake::new(yaml).warned();
    one(&told, "hours_utc");
    // 1970-01-01 was a Thursday, and 00:00 is one of the list's hours.
    assert_eq!(snapshot.deployments[0].facts.at(0).input_cost_per_token, Some(6.6e-7));
}

#[test]
fn ceilings_of_sessions_are_amounts_above_nothing() {
    let session =
        with("general_settings: {max_budget_per_session: 2.5, max_requests_per_session: 100}\n")
            .clean()
            .gateway
            .session;
    assert_eq!(session.budget, Money::of_usd(2.5));
    assert_eq!(session.requests, Some(100));
    assert!(!with("").clean().gateway.session.is_any());
}
