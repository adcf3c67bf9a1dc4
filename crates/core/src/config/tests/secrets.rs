//! No secret reaches a problem, a text for `/model/info`, or a debug print.

use super::*;

const CANARY: &str = "canary-7f3a9b";

#[test]
fn shown_texts_hold_no_secret_at_any_depth() {
    let yaml = format!(
        "model_list:
- model_name: m
  litellm_params:
    model: openai/gpt-4o
    api_key: {CANARY}-1
    extra_headers: {{x-any: {CANARY}-2}}
    aws_secret_access_key: {CANARY}-3
    vertex_credentials: {{a: {CANARY}-4}}
    my_params: [{{inner_token: {CANARY}-5, fine: 1}}]
    extra_body: {{Password: {CANARY}-6}}
    refresh_tokens: {CANARY}-7
    client_secret: {CANARY}-8
    litellm_credential_name: {CANARY}-name
    max_tokens: 5
    input_cost_per_token: 0.5
  model_info: {{owner: me, api_key: {CANARY}-9, deep: {{x: [{{auth: {CANARY}-10}}]}}}}
credential_list:
- credential_name: {CANARY}-name
  credential_values: {{api_key: {CANARY}-11}}
"
    );
    let (snapshot, warnings) = Fake::new(&yaml).warned();
    let d = &snapshot.deployments[0];
    for text in [&d.display.model_info, &d.display.public_params] {
        assert!(!text.contains(CANARY), "{text}");
    }
    for text in [
        &warnings.join("\n"),
        &format!("{d:?}").replace(&format!("{:?}", d.endpoint.default_params), ""),
    ] {
        assert!(!text.contains(CANARY), "{text}");
    }
    let params: serde_json::Value = serde_json::from_str(&d.display.public_params).unwrap();
    assert_eq!(params["max_tokens"], 5);
    assert_eq!(params["input_cost_per_token"], 0.5);
    assert_eq!(params["my_params"][0]["fine"], 1);
    assert_eq!(params["model"], "openai/gpt-4o");
    let info: serde_json::Value = serde_json::from_str(&d.display.model_info).unwrap();
    assert_eq!(info["owner"], "me");
}

#[test]
fn problems_hold_no_secret() {
    let bad = [
        format!("api_key: \"{CANARY} x\""),
        format!("api_key: [{CANARY}]"),
        format!("api_key: {{{CANARY}: {CANARY}}}"),
        format!("api_base: https://user:{CANARY}@host/v1"),
        format!("api_base: https://host/v1?key={CANARY}"),
        format!("extra_headers: 'Bearer {CANARY}'"),
        format!("extra_headers: {{authorization: [\"Bearer {CANARY}\"]}}"),
        format!("extra_headers: {{authorization: \"Bearer {CANARY}\\n\"}}"),
        format!("additional_drop_params: {CANARY}"),
        format!("organization: \"{CANARY}\\n\""),
        "rpm: os.environ/CANARY".to_owned(),
        "timeout: os.environ/CANARY".to_owned(),
        "mock_response: [os.environ/CANARY]".to_owned(),
        "extra_headers: os.environ/CANARY".to_owned(),
        "extra_body: os.environ/CANARY".to_owned(),
        "api_base: os.environ/CANARY".to_owned(),
        format!("api_key: \"{CANARY}"),
        format!("api_key: {CANARY}: x"),
    ];
    for more in bad {
        let fake = Fake::new(&entry("").replace("    api_key: sk-1\n", &format!("    {more}\n")));
        let loaded = fake.env("CANARY", CANARY).load();
        let problems = texts(&loaded).join("\n");
        assert!(!problems.is_empty() && !problems.contains(CANARY), "{more}: {problems}");
        let kept = loaded.snapshot.iter().flat_map(|snapshot| &snapshot.deployments);
        let whys: Vec<_> = kept.filter_map(|one| one.misconfigured.clone()).collect();
        assert!(!format!("{whys:?}").contains(CANARY), "{whys:?}");
    }
    for section in [
        format!("general_settings: {{master_key: \"{CANARY} x\"}}"),
        format!("general_settings: {{master_key: [{CANARY}]}}"),
        "general_settings: {max_header_bytes: os.environ/CANARY}".to_owned(),
        format!("environment_variables: {CANARY}"),
        format!("credential_list: {CANARY}"),
        format!("credential_list: [{CANARY}]"),
        format!("credential_list: [{{credential_name: x, credential_values: {CANARY}}}]"),
        format!(
            "credential_list: [{{credential_name: x, credential_values: {{api_key: \"{CANARY}\\n\"}}}}, {{credential_name: x, credential_values: {{}}}}]"
        ),
    ] {
        let loaded = with(&format!("{section}\n")).env("CANARY", CANARY).load();
        let problems = texts(&loaded).join("\n");
        assert!(!problems.is_empty() && !problems.contains(CANARY), "{section}: {problems}");
    }
    let env = with("").env("LITELLM_MASTER_KEY", &format!("{CANARY} x")).refused().join("\n");
    assert!(!env.contains(CANARY), "{env}");
}

/// A config of one deployment at a server of one's own, without a key.
fn at_own_server(model: &str, base: &str) -> String {
    format!(
        "model_list:\n- model_name: m\n  litellm_params: {{model: {model}, api_base: '{base}'}}\n"
    )
}

#[test]
fn no_provider_gets_the_key_of_another_ones_variable() {
    let variables: Vec<&str> =
        crate::provider::all().flat_map(|one| one.api_key_env.iter().map(|name| &**name)).collect();
    let names = crate::provider::all().map(|one| (&*one.name, one));
    let aliases = ["custom_openai", "text-completion-openai"];
    let openai = crate::provider::lookup("openai").unwrap();
    for (name, provider) in names.chain(aliases.map(|name| (name, openai))) {
        let mut fake = Fake::new(&at_own_server(&format!("{name}/x"), "http://10.0.0.5:8000/v1"));
        for variable in &variables {
            if !provider.api_key_env.iter().any(|own| **own == **variable) {
                fake = fake.env(variable, CANARY);
            }
        }
        let (snapshot, _) = fake.warned();
        let key = &snapshot.deployments[0].credential.api_key;
        assert!(key.is_none(), "{name} got a key of another provider");
    }
}

#[test]
fn a_server_of_ones_own_gets_the_key_of_its_own_variable_only() {
    let yaml = at_own_server("openai_like/x", "http://10.0.0.5:8000/v1");
    let key = |fake: Fake| {
        let snapshot = fake.env("OPENAI_API_KEY", CANARY).clean();
        let key = snapshot.deployments[0].credential.api_key.as_ref();
        key.map(|key| key.expose().to_owned())
    };
    assert_eq!(key(Fake::new(&yaml)), None);
    assert_eq!(key(Fake::new(&yaml).env("OPENAI_LIKE_API_KEY", "own")).as_deref(), Some("own"));
}

#[test]
fn a_key_of_the_environment_that_goes_to_a_foreign_host_is_warned_of() {
    let warnings = |model: &str, base: &str, variable: &str| {
        Fake::new(&at_own_server(model, base)).env(variable, CANARY).warned().1
    };
    assert_eq!(
        warnings("openai/x", "http://10.0.0.5:8000/v1", "OPENAI_API_KEY"),
        ["warning: c.yaml:3:47: model_list[0].litellm_params.api_base: sends OPENAI_API_KEY to \
          10.0.0.5:8000. write `api_key: os.environ/OPENAI_API_KEY`, or `api_key: none`"]
    );
    for (model, base, variable) in [
        ("custom_openai/x", "http://localhost:8000/v1", "OPENAI_API_KEY"),
        ("gpt-4o", "https://proxy.example.com/v1", "OPENAI_API_KEY"),
        ("anthropic/x", "https://proxy.example.com", "ANTHROPIC_API_KEY"),
        ("azure/x", "https://proxy.example.com", "AZURE_API_KEY"),
        ("cohere/rerank-v3.5", "http://proxy", "CO_API_KEY"),
        ("huggingface/x", "http://tgi:8080", "HF_TOKEN"),
    ] {
        one(&warnings(model, base, variable), &format!("sends {variable} to "));
    }
    for (model, base, variable) in [
        ("openai/x", "https://eu.api.openai.com/v1", "OPENAI_API_KEY"),
        ("azure/x", "https://east.openai.azure.com", "AZURE_API_KEY"),
        ("hosted_vllm/x", "http://gpu:8000/v1", "HOSTED_VLLM_API_KEY"),
        ("litellm_proxy/x", "http://proxy:4000", "LITELLM_PROXY_API_KEY"),
    ] {
        assert_eq!(warnings(model, base, variable), Vec::<String>::new(), "{model} {base}");
    }
    let azure = at_own_server("azure/x", "https://proxy.example.com");
    let identity =
        [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", CANARY)];
    let fake = identity.iter().fold(Fake::new(&azure), |fake, (name, value)| fake.env(name, value));
    one(&fake.warned().1, "sends AZURE_CLIENT_SECRET to proxy.example.com. write `client_secret: ");
    let token = Fake::new(&azure).env("AZURE_AD_TOKEN", CANARY).warned().1;
    one(&token, "sends AZURE_AD_TOKEN to proxy.example.com. write `azure_ad_token: ");
    let written = at_own_server("openai/x", "http://h/v1")
        .replace(", api_base", ", api_key: os.environ/OPENAI_API_KEY, api_base");
    Fake::new(&written).env("OPENAI_API_KEY", CANARY).clean();
    let credential = "model_list:
- model_name: m
  litellm_params: {model: openai/x, litellm_credential_name: c}
credential_list:
- credential_name: c
  credential_values: {api_base: 'http://h/v1'}
";
    let (_, warnings) = Fake::new(credential).env("OPENAI_API_KEY", CANARY).warned();
    one(&warnings, "litellm_credential_name: sends OPENAI_API_KEY to h.");
    let environment = "model_list:\n- {model_name: m, litellm_params: {model: openai/x}}\n";
    let fake = Fake::new(environment).env("OPENAI_API_KEY", CANARY);
    fake.env("OPENAI_BASE_URL", "http://h/v1").clean();
}

#[test]
fn what_looks_like_a_credential_is_kept_out_of_bodies_with_a_warning() {
    for name in [
        "api_token",
        "access_token",
        "hf_token",
        "auth_token",
        "bearer_token",
        "token",
        "Token",
        "apiKey",
        "x-api-key",
        "passwd",
        "cookie",
        "authorization",
        "session_token",
        "service_account",
        "connection_string",
        "accessToken",
        "HF_TOKEN",
    ] {
        let entry = format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: openai/x, api_key: k, {name}: {CANARY}}}}}\n"
        );
        let (snapshot, warnings) = Fake::new(&entry).warned();
        one(&warnings, "looks like a secret");
        assert!(snapshot.deployments[0].endpoint.default_params.is_empty(), "{name}");
        assert!(!warnings.join("").contains(CANARY), "{name}");
    }
    let own = [
        "max_tokens",
        "max_completion_tokens",
        "prompt_cache_key",
        "logit_bias",
        "top_logprobs",
        "stop_token_ids",
        "tokens",
        "ignore_eos",
        "safety_identifier",
        "page_token",
    ];
    for name in own {
        let entry = format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: openai/x, api_key: k, {name}: 1}}}}\n"
        );
        let snapshot = Fake::new(&entry).clean();
        assert_eq!(&*snapshot.deployments[0].endpoint.default_params[0].0, name);
    }
}

#[test]
fn a_key_in_place_of_a_variables_name_is_shown_nowhere() {
    let key = "sk-proj-Ab12Cd34Ef56";
    for (text, is_refused) in [
        (entry("").replace("sk-1", &format!("os.environ/{key}")), false),
        (entry("").replace("sk-1", &format!("os.environ/{key}/x")), false),
        (entry("").replace("sk-1", &format!("Bearer os.environ/{key}")), false),
        (entry("").replace("openai/gpt-4o", &format!("os.environ/{key}")), false),
        (entry("").replace("name: m", &format!("name: os.environ/{key}")), false),
        (entry(&format!("timeout: os.environ/{key}")), false),
        (entry(&format!("extra_headers: {{x-a: os.environ/{key}}}")), false),
        (entry("") + &format!("  model_info: {{base_model: os.environ/{key}}}\n"), false),
        (entry("") + &format!("general_settings: {{master_key: os.environ/{key}}}\n"), true),
        (entry("") + &format!("router_settings: {{timeout: os.environ/{key}}}\n"), false),
        (entry("") + &format!("environment_variables: {{A: os.environ/{key}}}\n"), false),
        (entry("") + &format!("router_settings: {{routing_strategy: [os.environ/{key}}}\n"), true),
    ] {
        let loaded = Fake::new(&text).load();
        let told = texts(&loaded).join("\n");
        assert!(!told.contains("Ab12"), "{text}: {told}");
        assert_eq!(loaded.snapshot.is_none(), is_refused, "{told}");
        for one in loaded.snapshot.iter().flat_map(|snapshot| &snapshot.deployments) {
            let shown = format!("{:?} {:?}", one.display, one.misconfigured);
            assert!(!shown.contains("Ab12"), "{shown}");
            assert!(!one.endpoint.model_param.contains("Ab12"), "{text}");
        }
    }
    let text = entry("").replace("sk-1", &format!("os.environ/{key}"));
    one(&Fake::new(&text).warned().1, "what follows `os.environ/` looks like a key");
    let set = Fake::new(&text).env(key, "value").clean();
    assert!(set.deployments[0].misconfigured.is_none(), "a variable that is set is one");
}

#[test]
fn a_text_that_looks_like_a_key_is_shown_nowhere_whatever_it_stands_under() {
    let yaml = "model_list:\n- model_name: m\n  litellm_params: {model: openai/gpt-4o, api_key: k, note: sk-proj-CANARY1}\n  \
                model_info: {note: sk-proj-CANARY2, notes: [sk-ant-CANARY3, plain], deep: {a: sk-CANARY4}, word: sk-1234}\n";
    let (snapshot, _) = Fake::new(yaml).warned();
    let display = &snapshot.deployments[0].display;
    let shown = format!("{} {}", display.model_info, display.public_params);
    assert!(!shown.contains("CANARY"), "{shown}");
    assert!(shown.contains("plain") && shown.contains("sk-1234"), "{shown}");
}

#[test]
fn a_key_that_is_written_with_an_equals_sign_is_told_and_not_shown() {
    let (_, warnings) = Fake::new(
        "model_list: [{model_name: m, litellm_params: {model: openai/x, api_key=sk-CANARY12345678}}]\n",
    )
    .env("OPENAI_API_KEY", "k")
    .warned();
    one(&warnings, "`api_key=...` is not a key with its value: ignored. write `api_key: ...`");
    assert!(!format!("{warnings:?}").contains("CANARY"), "{warnings:?}");
}
