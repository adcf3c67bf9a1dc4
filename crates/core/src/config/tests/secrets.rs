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
        let problems = fake.env("CANARY", CANARY).refused().join("\n");
        assert!(!problems.contains(CANARY), "{problems}");
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
            "credential_list: [{{credential_name: x, credential_values: {{api_key: \"{CANARY}\\n\"}}}}]"
        ),
    ] {
        let problems = with(&format!("{section}\n")).env("CANARY", CANARY).refused().join("\n");
        assert!(!problems.contains(CANARY), "{problems}");
    }
    let env = with("").env("LITELLM_MASTER_KEY", &format!("{CANARY} x")).refused().join("\n");
    assert!(!env.contains(CANARY), "{env}");
}
