//! Whose model an entry means: bare names, addresses, a bare star, and what is told where a provider is not served.

use super::*;

/// Provider, model and address of each deployment.
fn places(snapshot: &Snapshot) -> Vec<(String, String, String)> {
    let place = |deployment: &std::sync::Arc<Deployment>| {
        let endpoint = &deployment.endpoint;
        (
            endpoint.provider.name.to_string(),
            endpoint.upstream_model.to_string(),
            endpoint.api_base.to_string(),
        )
    };
    snapshot.deployments.iter().map(place).collect()
}

fn star(more: &str) -> Fake {
    Fake::new(&format!(
        "model_list:\n- {{model_name: '*', litellm_params: {{model: '*'{more}}}}}\n"
    ))
}

#[test]
fn a_bare_star_stands_for_the_providers_whose_key_is_in_the_environment() {
    let fake = star(", rpm: 9")
        .env("OPENAI_API_KEY", "k1")
        .env("ANTHROPIC_API_KEY", "k2")
        .env("OLLAMA_API_BASE", "http://o:1");
    let snapshot = fake.clean();
    let names: Vec<&str> = snapshot.groups.iter().map(|group| &*group.name).collect();
    assert_eq!(names, ["anthropic/*", "ollama/*", "openai/*"]);
    for deployment in &snapshot.deployments {
        assert_eq!(
            (&*deployment.endpoint.upstream_model, deployment.routing.limits.rpm),
            ("*", Some(9))
        );
        assert!(deployment.misconfigured.is_none(), "{deployment:?}");
    }
    // A pattern that the list has itself is not made again.
    let own = "model_list:
- {model_name: 'openai/*', litellm_params: {model: 'openai/*', api_key: own}}
- {model_name: '*', litellm_params: {model: '*'}}
";
    let snapshot = Fake::new(own).env("OPENAI_API_KEY", "k1").env("GROQ_API_KEY", "k2").clean();
    let names: Vec<&str> = snapshot.groups.iter().map(|group| &*group.name).collect();
    assert_eq!(names, ["openai/*", "groq/*"]);
    assert_eq!(snapshot.deployments.len(), 2);
}

#[test]
fn a_bare_star_with_a_key_or_an_address_is_openais() {
    let snapshot = star(", api_key: k").env("GROQ_API_KEY", "g").clean();
    assert_eq!(
        places(&snapshot),
        [("openai".into(), "*".into(), "https://api.openai.com/v1".into())]
    );
    let snapshot = star(", api_key: k, api_base: 'http://gpu:8000/v1'").clean();
    assert_eq!(&*snapshot.groups[0].name, "*");
    assert_eq!(places(&snapshot), [("openai".into(), "*".into(), "http://gpu:8000/v1".into())]);
    let snapshot = star(", api_key: k, custom_llm_provider: groq").clean();
    assert_eq!(places(&snapshot)[0].0, "groq");
    let (snapshot, warnings) = star("").warned();
    assert!(one(&warnings, "names no provider").contains("OPENAI_API_KEY"));
    assert!(snapshot.deployments[0].misconfigured.is_some());
}

#[test]
fn an_address_in_a_credential_says_whose_model_it_is() {
    let yaml = "model_list:
- {model_name: m, litellm_params: {model: llama-3.3-70b, litellm_credential_name: c}}
credential_list:
- {credential_name: c, credential_values: {api_key: k, api_base: 'https://api.groq.com/openai/v1'}}
";
    assert_eq!(places(&Fake::new(yaml).clean())[0].0, "groq");
    let by_base_url = "model_list:
- {model_name: m, litellm_params: {model: x, api_key: k, base_url: 'https://api.x.ai/v1'}}
";
    assert_eq!(places(&Fake::new(by_base_url).clean())[0].0, "xai");
}

#[test]
fn a_provider_that_is_not_served_is_told_before_a_variable_that_is_not_set() {
    let yaml = "model_list:
- {model_name: m, litellm_params: {model: bedrock/x, aws_region_name: os.environ/NO_REGION, api_key: os.environ/NO_KEY}}
";
    let (snapshot, warnings) = Fake::new(yaml).warned();
    let found = snapshot.deployments[0].misconfigured.as_ref().unwrap();
    assert!(found.problem.contains("not served"), "{found:?}");
    assert!(found.hint.contains("api_base: https://bedrock-mantle"), "{found:?}");
    one(&warnings, "provider `bedrock` is not served");
}

#[test]
fn chats_of_a_provider_that_is_served_for_ranks_only_are_told_at_once() {
    for model in ["cohere/command-a-03-2025", "cohere/my-own", "cohere_chat/command-r"] {
        let yaml = format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: {model}, api_key: k}}}}\n"
        );
        let (snapshot, _) = Fake::new(&yaml).warned();
        let found = snapshot.deployments[0].misconfigured.as_ref().unwrap();
        assert!(found.hint.contains("https://api.cohere.ai/compatibility/v1"), "{model} {found:?}");
    }
    let yaml = "model_list:
- {model_name: m, litellm_params: {model: cohere/my-own, api_key: k}, model_info: {mode: rerank}}
- {model_name: n, litellm_params: {model: cohere/rerank-v9, api_key: k}}
";
    assert!(Fake::new(yaml).clean().deployments.iter().all(|one| one.misconfigured.is_none()));
}

#[test]
fn the_lines_for_an_address_of_anthropics_format_send_no_key_to_a_server_of_others() {
    let told = |params: &str, more: &str| {
        let text =
            format!("model_list:\n- {{model_name: m, litellm_params: {{{params}}}}}\n{more}");
        let fake = Fake::new(&text).env("OPENAI_API_KEY", "k").env("GROQ_API_KEY", "k");
        let (snapshot, _) = fake.warned();
        snapshot.deployments[0].misconfigured.clone().expect("it is misconfigured")
    };
    let own = "own";
    for (params, more, says) in [
        ("model: openai/x, api_base: 'https://h.example/anthropic', api_key: k", "", own),
        (
            "model: openai/x, api_base: 'https://h.example/v1/messages', api_key: os.environ/GONE",
            "",
            own,
        ),
        (
            "model: openai/x, api_base: 'https://h.example/anthropic', litellm_credential_name: c",
            "credential_list: [{credential_name: c, credential_values: {api_key: k}}]\n",
            own,
        ),
        (
            "model: openai/x, api_base: 'https://h.example/anthropic'",
            "",
            "and the key of h.example as `api_key`",
        ),
        (
            "model: groq/x, base_url: 'http://10.0.0.1:80/anthropic/v1'",
            "",
            "and the key of 10.0.0.1:80 as `api_key`",
        ),
        (
            "model: openai/x, api_base: 'https://api.deepseek.com/anthropic'",
            "",
            "`api_key: os.environ/DEEPSEEK_API_KEY`",
        ),
        (
            "model: openai/x, api_base: 'https://api.anthropic.com/v1/messages'",
            "",
            "`api_key: os.environ/ANTHROPIC_API_KEY`",
        ),
    ] {
        let found = told(params, more);
        let says = if says == own { "and the `api_key` that it has" } else { says };
        assert!(found.hint.ends_with(says), "{params}: {}", found.hint);
        assert!(!found.hint.contains("OPENAI") && !found.hint.contains("GROQ"), "{}", found.hint);
        // The provider is served; the address is what is wrong.
        assert_eq!(found.lack, crate::deployment::Lack::Setting);
    }
}

#[test]
fn the_lines_for_bedrock_follow_the_region_of_the_entry() {
    let text = "model_list:
- {model_name: m, litellm_params: {model: bedrock/converse/a, aws_region_name: eu-west-1}}
- {model_name: m, litellm_params: {model: bedrock/invoke/ap-south-1/a}}
- {model_name: m, litellm_params: {model: a, custom_llm_provider: bedrock, aws_region_name: os.environ/R}}
- {model_name: m, litellm_params: {model: bedrock/a}}
";
    let (_, warnings) = Fake::new(text).env("R", "us-west-2").warned();
    for region in ["eu-west-1", "ap-south-1", "us-west-2", "us-east-1"] {
        let lines = format!("`model: openai/a`, `api_base: https://bedrock-mantle.{region}.api");
        one(&warnings, &lines);
    }
}
