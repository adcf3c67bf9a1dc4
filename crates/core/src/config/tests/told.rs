//! What is said of keys that have no effect: which is which, and where they belong.

use super::*;

#[test]
fn a_key_of_another_section_is_told_its_section() {
    let belongs = |key: &str, place: &str| {
        format!("{key}: has no effect here: it is a key of `{place}`. move it there")
    };
    for (section, key, place) in [
        ("litellm_settings: {store_model_in_db: true}", "store_model_in_db", ""),
        ("litellm_settings: {retry_policy: {}}", "retry_policy", "router_settings"),
        ("general_settings: {request_timeout: 5}", "request_timeout", "router_settings"),
        (
            "general_settings: {enable_pre_call_checks: true}",
            "enable_pre_call_checks",
            "router_settings",
        ),
        ("general_settings: {drop_params: true}", "drop_params", "litellm_settings"),
        ("router_settings: {request_log: x}", "request_log", "general_settings"),
        ("general_settings: {cache: true}", "cache", ""),
        ("general_settings: {set_verbose: true}", "set_verbose", ""),
        (
            "general_settings: {max_internal_user_budget: 1}",
            "max_internal_user_budget",
            "litellm_settings",
        ),
        ("drop_params: true", "drop_params", "litellm_settings"),
        ("router_settings: {environment_variables: {}}", "environment_variables", ""),
    ] {
        let (_, warnings) = with(&format!("{section}\n")).warned();
        assert_eq!(warnings.len(), 1, "{section}: {warnings:#?}");
        match place {
            "" => {
                assert!(warnings[0].contains(": has no effect here: it is a key"), "{warnings:#?}")
            }
            place => assert!(warnings[0].ends_with(&belongs(key, place)), "{warnings:#?}"),
        }
        assert!(!warnings[0].contains("did you mean"), "{warnings:#?}");
    }
    let (_, warnings) = with("litellm_settings: {master_key: sk-0123456789abcdef}\n").warned();
    one(
        &warnings,
        "it is a key of `general_settings`. move it there: without it the gateway has no master key",
    );
    assert!(!warnings[0].contains("0123456789"), "{warnings:#?}");
    let (_, warnings) = Fake::new(&entry("mode: embedding")).warned();
    one(
        &warnings,
        "litellm_params.mode: has no effect here, and goes to the provider as it is: it is a key of `model_info`. move it there",
    );
}

#[test]
fn only_what_litellm_knows_is_called_a_key_of_its() {
    for (key, says) in [
        ("prometheus_adapter", "unknown key `prometheus_adapter`"),
        ("prometheus_anything", "unknown key `prometheus_anything`"),
        ("foo_key", "unknown key `foo_key`"),
        ("langfuse_nothing", "unknown key `langfuse_nothing`"),
        (
            "prometheus_emit_stream_label",
            "not served: ignored. `/metrics` is as docs/metrics.md says",
        ),
        ("openai_key", "not served: ignored. set `api_key` per deployment"),
        ("timezone", "not served: ignored. the windows of budgets end by UTC"),
        ("dynamodb_table_name", "not served: ignored. nothing is sent there"),
        ("disable_streaming_logging", "not served: ignored. nothing is sent there"),
        ("reasoning_auto_summary", "not served: ignored. requests are changed only"),
        ("vertex_ai_safety_settings", "not served: ignored. write `safety_settings`"),
    ] {
        let (_, warnings) = with(&format!("litellm_settings: {{{key}: x}}\n")).warned();
        one(&warnings, says);
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
    }
    let (_, warnings) = with("general_settings: {otel: true}\n").warned();
    one(&warnings, "general_settings.otel: not served: ignored. nothing is sent there");
}

#[test]
fn a_mode_that_does_not_exist_says_what_happens_and_the_one_that_was_meant() {
    for (mode, meant) in
        [("embeddings", "embedding"), ("tts", "audio_speech"), ("messages", "anthropic_messages")]
    {
        let text = format!("{}  model_info: {{mode: {mode}}}\n", entry(""));
        let (snapshot, warnings) = Fake::new(&text).warned();
        let told = format!(
            "unknown mode `{mode}`: requests are served, and the deployment is not probed. did you mean `{meant}`?"
        );
        one(&warnings, &told);
        assert!(snapshot.deployments[0].misconfigured.is_none());
    }
}

#[test]
fn a_suggestion_is_neither_the_opposite_nor_another_word() {
    for key in ["enable_cooldowns", "timezones"] {
        let (_, warnings) = with(&format!("router_settings: {{{key}: true}}\n")).warned();
        assert!(warnings[0].ends_with(&format!("unknown key `{key}`")), "{warnings:#?}");
    }
}

#[test]
fn a_hint_begins_small_and_is_a_sentence() {
    for section in ["block_robots", "supported_db_objects", "ui_theme_color"] {
        let (_, warnings) = with(&format!("general_settings: {{{section}: x}}\n")).warned();
        let (_, hint) = warnings[0].split_once("not served: ignored. ").expect("it is not served");
        let first = hint.chars().next().unwrap();
        assert!(!first.is_uppercase() && !hint.ends_with('.') && hint.contains(' '), "{hint}");
    }
}

#[test]
fn a_key_of_a_pattern_of_another_section_is_told_its_section() {
    for (section, key, place) in [
        ("router_settings", "ui_logo_path", "general_settings"),
        ("litellm_settings", "ui_theme_color", "general_settings"),
        ("litellm_settings", "database_connection_pool_limit", "general_settings"),
        ("router_settings", "key_management_system", "general_settings"),
        ("general_settings", "redis_startup_nodes", "router_settings"),
    ] {
        let (_, warnings) = with(&format!("{section}: {{{key}: x}}\n")).warned();
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
        let told = format!(
            "{section}.{key}: has no effect here: it is a key that is not served, of `{place}`"
        );
        one(&warnings, &told);
    }
    // A slip of the own section is one.
    let (_, warnings) = with("router_settings: {tag_filtering_match_anyy: true}\n").warned();
    one(&warnings, "did you mean `tag_filtering_match_any`?");
}

#[test]
fn what_stops_a_deployment_says_so_and_what_does_not_does_not() {
    let stops = ": the deployment cannot serve";
    for more in [
        "  model_info: {supported_environments: [production]}\n",
        "  model_info: {blocked: 7}\n",
        "    guardrails: [g]\n",
        "    rpm: many\n",
    ] {
        let (snapshot, warnings) = Fake::new(&(entry("") + more)).warned();
        assert!(one(&warnings, "model_list[0]").contains(stops), "{warnings:#?}");
        let why = snapshot.deployments[0].misconfigured.clone().expect("it cannot serve");
        assert!(!why.problem.contains(stops), "{why:?}");
    }
    for more in ["    timeout: soon\n", "    weight: heavy\n", "  model_info: {mode: x}\n"] {
        let (snapshot, warnings) = Fake::new(&(entry("") + more)).warned();
        assert!(!one(&warnings, "model_list[0]").contains(stops), "{warnings:#?}");
        assert!(snapshot.deployments[0].misconfigured.is_none());
    }
}

#[test]
fn what_two_sections_say_differently_is_told_where_it_has_no_effect() {
    let yaml = |litellm: &str, router: &str| {
        format!("{}litellm_settings: {{{litellm}}}\nrouter_settings: {{{router}}}\n", entry(""))
    };
    let lists =
        yaml("fallbacks: [{m: [n]}], num_retries: 4", "fallbacks: [{m: [o]}], num_retries: 2");
    let (snapshot, warnings) = Fake::new(&lists).warned();
    for key in ["fallbacks", "num_retries"] {
        one(
            &warnings,
            &format!(
                "litellm_settings.{key}: has no effect: `router_settings` says it too, on line 7, and wins"
            ),
        );
    }
    assert_eq!(snapshot.router.num_retries, 2);
    assert_eq!(&*snapshot.router.fallbacks["m"][0].name, "o");
    for (litellm, router) in [
        ("num_retries: 2", "num_retries: 2"),
        ("num_retries: 2", "num_retries: "),
        ("", "num_retries: 2"),
    ] {
        let loaded = Fake::new(&yaml(litellm, router)).load();
        assert!(!texts(&loaded).iter().any(|text| text.contains("has no effect")), "{litellm}");
    }
}

#[test]
fn a_template_and_a_name_in_quotes_are_told() {
    let problems =
        Fake::new("model_list:\n{{- range .Values.models }}\n- model_name: x\n{{- end }}\n")
            .refused();
    one(&problems, "this looks like a template that was not filled in: render it first");
    let (_, warnings) = deployment_warned("api_key: os.environ/\"KEY\"");
    one(&warnings, "the name of environment variable KEY is in quotes. write `os.environ/KEY`");
}

/// The only deployment with that, beside its model, and the warnings.
fn deployment_warned(more: &str) -> (Snapshot, Vec<String>) {
    Fake::new(&format!(
        "model_list:\n- model_name: m\n  litellm_params:\n    model: openai/gpt-4o\n    {more}\n"
    ))
    .warned()
}
