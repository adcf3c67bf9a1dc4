//! Warnings about what cannot work, before any request meets it.

use super::*;

/// A config with these entries, `(group, model, base, key, id)`, and `sections` behind them.
fn config(entries: &[(&str, &str, &str, &str, &str)], sections: &str) -> Fake {
    let entry = |(group, model, base, key, id): &(&str, &str, &str, &str, &str)| {
        format!(
            "- model_name: {group}\n  litellm_params: {{model: {model}, api_base: '{base}', api_key: {key}}}\n  \
             model_info: {{id: {id}}}\n"
        )
    };
    let entries: String = entries.iter().map(entry).collect();
    Fake::new(&format!("model_list:\n{entries}{sections}"))
}

const A: &str = "http://a.example/v1";
const B: &str = "http://b.example/v1";

#[test]
fn two_that_differ_in_nothing_are_named() {
    let twice = [("m", "openai/gpt-4o", A, "k", "one"), ("m", "openai/gpt-4o", A, "k", "two")];
    let (snapshot, warnings) = config(&twice, "").warned();
    assert_eq!(snapshot.deployments.len(), 2, "they are kept");
    let text = one(&warnings, "has the same model, address and key: the two fail together");
    assert!(text.contains("c.yaml:5:") && text.contains("the entry on line 2"), "{text}");
    assert_eq!(warnings.len(), 1, "one reason is enough: {warnings:#?}");
    for other in [("m", "openai/gpt-4o", B, "k", "two"), ("n", "openai/gpt-4o", A, "k", "two")] {
        config(&[twice[0], other], "").clean();
    }
}

#[test]
fn a_group_that_hangs_on_one_key_is_named() {
    let entries = [
        ("m", "openai/gpt-4o", A, "k", "one"),
        ("m", "openai/gpt-4o-mini", A, "k", "two"),
        ("m", "openai/gpt-4.1", A, "k", "three"),
    ];
    let (_, warnings) = config(&entries, "").warned();
    let text = one(&warnings, "all 3 deployments of `m` have one key at a.example");
    assert!(text.contains("give one of them another key or provider"), "{text}");
    assert!(!text.contains("`k`"));
    let mut more = entries.to_vec();
    more.extend([("n", "openai/x", A, "k", "four"), ("n", "openai/y", A, "k", "five")]);
    let (_, warnings) = config(&more, "").warned();
    one(&warnings, "have one key at a.example, and so have those of another group");
    assert_eq!(warnings.len(), 1, "once for each key");
    let mut other_key = entries;
    other_key[2].3 = "k2";
    config(&other_key, "").clean();
    let mut other_host = entries;
    other_host[2].2 = B;
    config(&other_host, "").clean();
}

#[test]
fn a_fallback_that_can_do_less_is_named() {
    let entries = [
        ("big", "openai/gpt-4o", A, "k1", "one"),
        ("small", "openai/gpt-3.5-turbo-instruct", A, "k2", "two"),
        ("own", "hosted_vllm/my-model", B, "k3", "three"),
    ];
    let to_small = "router_settings: {fallbacks: [{big: [small, own]}]}\n";
    let (_, warnings) = config(&entries, to_small).warned();
    let length = one(&warnings, "`small` takes prompts of 8192 tokens, `big` of 128000");
    assert!(length.contains("fallbacks[0].big[0]"), "{length}");
    one(&warnings, "`small` is not known to call tools, and `big` is");
    one(&warnings, "`small` is not known to see images, and `big` is");
    assert_eq!(warnings.len(), 3, "an unknown model is trusted: {warnings:#?}");
    config(&entries, "router_settings: {fallbacks: [{small: [big]}]}\n").clean();
}

#[test]
fn a_fallback_for_length_has_to_take_longer_prompts() {
    let entries = [
        ("big", "openai/gpt-4o", A, "k1", "one"),
        ("same", "openai/gpt-4o-mini", A, "k2", "two"),
        ("huge", "openai/gpt-4.1", A, "k3", "three"),
    ];
    let for_length =
        |to: &str| format!("litellm_settings: {{context_window_fallbacks: [{{big: [{to}]}}]}}\n");
    let (_, warnings) = config(&entries, &for_length("same")).warned();
    one(&warnings, "`same` has no larger context window (128000 tokens) than `big` (128000)");
    config(&entries, &for_length("huge")).clean();
    let alias = for_length("other") + "router_settings: {model_group_alias: {other: same}}\n";
    let (_, warnings) = config(&entries, &alias).warned();
    one(&warnings, "`same` has no larger context window");
}

#[test]
fn attempts_that_take_longer_than_clients_wait_are_named() {
    let (_, warnings) = with("router_settings: {timeout: 300}\n").warned();
    let text = one(&warnings, "3 attempts in m take up to 901.500 s, and clients wait");
    assert!(text.contains("router_settings.timeout") && text.contains("600 s"), "{text}");
    with("router_settings: {timeout: 150}\n").clean();
    with("").clean();
}

#[test]
fn a_variable_that_is_set_and_called_much_the_same_is_suggested() {
    let fake = Fake::new(
        "model_list:\n- model_name: m\n  litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KYE}\n",
    );
    let (snapshot, _) = fake.env("OPENAI_API_KEY", "sk-1").env("OPENAI_API_KEI", "").warned();
    let why = snapshot.deployments[0].misconfigured.as_ref().unwrap();
    assert_eq!(
        &*why.hint,
        "set OPENAI_API_KYE, which deployment m reads; did you mean `OPENAI_API_KEY`?"
    );
    assert_eq!(why.lack, crate::deployment::Lack::Variable);
}

#[test]
fn where_a_key_comes_from_is_known() {
    let key = |written: &str| {
        let yaml = format!(
            "model_list:\n- model_name: m\n  litellm_params: {{model: openai/gpt-4o{written}}}\n"
        );
        let fake = Fake::new(&yaml).env("MINE", "sk-1").env("OPENAI_API_KEY", "sk-2");
        fake.clean().deployments[0].credential.key_variable.clone()
    };
    assert_eq!(key(", api_key: os.environ/MINE").as_deref(), Some("MINE"));
    assert_eq!(key("").as_deref(), Some("OPENAI_API_KEY"));
    assert_eq!(key(", api_key: sk-3"), None);
}
