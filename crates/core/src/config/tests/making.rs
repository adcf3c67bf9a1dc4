//! What a config says of keys and users that are made, and of keys about money or rights that are not served.

use super::*;
use serde_json::json;

#[test]
fn values_and_limits_of_keys_are_read() {
    let loaded = with(
        "litellm_settings:\n  default_key_generate_params: {max_budget: 2.5, models: [m], metadata: {a: 1}}\n  \
         upperbound_key_generate_params: {max_budget: 10, duration: 30d, tpm_limit: 1000, max_parallel_requests: 4}\n  \
         key_generation_settings:\n    team_key_generation: {allowed_team_member_roles: [admin], required_params: [tags]}\n    \
         personal_key_generation: {allowed_user_roles: [proxy_admin]}\n  \
         default_internal_user_params: {models: [m], max_budget: 1}\n  max_internal_user_budget: 5\n  \
         default_max_internal_user_budget: 6\n  internal_user_budget_duration: 30d\n\
         general_settings: {disable_custom_api_keys: true, reject_clientside_metadata_tags: true, ui_access_mode: admin_only, disable_requester_ip_address_logging: true}\n",
    )
    .clean();
    let gateway = &loaded.gateway;
    assert!(gateway.refuses_tags && gateway.dashboard_for_admins && gateway.hides_addresses);
    let rules = loaded.gateway.making;
    let read = |record: &crate::tenancy::Record| serde_json::Value::Object(record.clone());
    let defaults = json!({"max_budget": 2.5, "models": ["m"], "metadata": {"a": 1}});
    assert_eq!(read(&rules.defaults), defaults);
    let bounds = json!({
        "max_budget": 10, "duration": "30d", "tpm_limit": 1_000, "max_parallel_requests": 4,
    });
    assert_eq!(read(&rules.bounds), bounds);
    let of_teams = rules.of_teams.unwrap();
    assert_eq!(of_teams.roles.as_deref(), Some(&[Box::from("admin")][..]));
    assert_eq!(of_teams.required, [Box::from("tags")]);
    assert_eq!(rules.personal.unwrap().roles, Some(vec!["proxy_admin".into()]));
    assert_eq!(read(&rules.of_users), json!({"models": ["m"], "max_budget": 1}));
    let internal = json!({"max_budget": 5.0, "budget_duration": "30d"});
    assert_eq!(read(&rules.of_internal_users), internal);
    assert!(rules.no_chosen_texts);
}

#[test]
fn a_wrong_limit_of_keys_refuses_the_config() {
    for (params, says) in [
        ("upperbound_key_generate_params: {max_budget: -1}", "an amount in USD, 0 or more"),
        ("upperbound_key_generate_params: {max_budget: much}", "an amount in USD, 0 or more"),
        ("upperbound_key_generate_params: {tpm_limit: 1.5}", "a whole number, 0 or more"),
        ("upperbound_key_generate_params: {duration: 30 days}", "Invalid duration"),
        ("upperbound_key_generate_params: {spend: 1}", "`spend` has no limit"),
        ("upperbound_key_generate_params: 5", "expected a mapping"),
        ("default_key_generate_params: {models: m}", "a list of names"),
        ("key_generation_settings: {teams: {}}", "unknown key `teams`"),
        (
            "key_generation_settings: {personal_key_generation: {allowed_roles: [a]}}",
            "unknown key `allowed_roles`",
        ),
        (
            "key_generation_settings: {team_key_generation: {required_params: tags}}",
            "expected a list of names",
        ),
        ("internal_user_budget_duration: soon", "Invalid budget_duration"),
    ] {
        one(&with(&format!("litellm_settings: {{{params}}}\n")).refused(), says);
    }
    let other = "litellm_settings: {default_key_generate_params: {guardrails: [a]}}\n";
    one(&with(other).warned().1, "has no effect here, in LiteLLM neither");
}

#[test]
fn keys_about_money_rights_and_tls_that_are_not_served_refuse_the_start() {
    for setting in [
        "litellm_settings: {custom_key_generate: mine.check}",
        "general_settings: {custom_key_generate: mine.check}",
        "general_settings: {custom_key_update: mine.check}",
        "general_settings: {service_account_settings: {enforced_params: [user]}}",
        "general_settings: {default_team_disabled: true}",
        "general_settings: {ssl_certfile_path: a.pem, ssl_keyfile_path: b.pem}",
        "general_settings: {ssl_keyfile: b.pem}",
    ] {
        if setting.starts_with("litellm") {
            let (_, warnings) = with(&format!("{setting}\n")).warned();
            one(&warnings, "a key that would refuse the start, of `general_settings`");
            continue;
        }
        let problems = with(&format!("{setting}\n")).refused();
        assert!(problems[0].contains("not served, and ignoring it is not safe"), "{problems:#?}");
    }
    one(&with("general_settings: {ui_access_mode: mine}\n").refused(), "is neither `all` nor");
    with("general_settings: {default_team_disabled: false, service_account_settings: {}}\n")
        .clean();
}

#[test]
fn a_master_key_that_is_a_placeholder_is_told_once_and_never_as_used() {
    for (key, is_refused) in [
        ("'${LITELLM_MASTER_KEY}'", false),
        ("sk-your-master-key-here", false),
        ("'<your-master-key-here>'", false),
        ("'{{ var }}'", true),
    ] {
        let loaded = with(&format!("general_settings: {{master_key: {key}}}\n"));
        let problems = if is_refused { loaded.refused() } else { loaded.warned().1 };
        assert_eq!(problems.len(), 1, "{key}: {problems:#?}");
        assert!(!problems[0].contains("is used as it is written"), "{problems:#?}");
    }
}
