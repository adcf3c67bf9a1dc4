//! What is sent of a deployment's guards, for clients of every format.

use bytes::Bytes;
use hale_core::aws::{Aws, Route};
use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use serde_json::{Value, json};

use crate::bytes::peek::Peek;
use crate::conversion::prepare::{Prepared, prepare};
use crate::fixture::{deployment, order, sent};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const CLIENTS: [Operation; 3] = [Operation::Chat, Operation::Messages, Operation::Responses];

fn at(provider: &str, defaults: &[(&str, Value)]) -> Deployment {
    let mut made = deployment(provider);
    made.endpoint.takes = None;
    made.endpoint.default_params =
        defaults.iter().map(|(name, value)| ((*name).into(), value.to_string().into())).collect();
    made
}

fn at_bedrock(route: Route, defaults: &[(&str, Value)]) -> Deployment {
    let mut made = at("bedrock", defaults);
    made.endpoint.aws =
        Some(Aws { region: "us-east-1".into(), model_id: None, route, source: None });
    made
}

fn body(operation: Operation, more: Value) -> Value {
    let mut body = match operation {
        Operation::Responses => json!({"model": "m", "input": "hi"}),
        _ => {
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
        }
    };
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn left_out(
    deployment: &Deployment,
    operation: Operation,
    model: &str,
    more: Value,
) -> Vec<&'static str> {
    let peek = Peek::parse(Bytes::from(body(operation, more).to_string())).unwrap();
    match prepare(&peek, &order(deployment, operation, model)).unwrap() {
        Prepared::Body(_, _, notes) => {
            notes.map(|notes| notes.left_out.clone()).unwrap_or_default()
        }
        other => panic!("{other:?}"),
    }
}

fn guardrail(id: &str) -> Value {
    json!({"guardrailIdentifier": id, "guardrailVersion": "1"})
}

fn safety(threshold: &str) -> Value {
    json!([{"category": "HARM_CATEGORY_HARASSMENT", "threshold": threshold}])
}

#[test]
fn clients_of_every_format_get_the_guards_of_the_config() {
    let bedrock = at_bedrock(Route::Converse, &[("guardrailConfig", guardrail("ADMIN"))]);
    let google = at("gemini", &[("safety_settings", safety("BLOCK_LOW_AND_ABOVE"))]);
    let cohere = at("cohere", &[("safety_mode", json!("STRICT"))]);
    for operation in CLIENTS {
        let plain = body(operation, json!({}));
        let out = sent(&plain, &order(&bedrock, operation, CLAUDE)).unwrap();
        assert_eq!(out["guardrailConfig"], guardrail("ADMIN"), "{operation:?}");
        let out = sent(&plain, &order(&google, operation, "gemini-2.5-flash")).unwrap();
        assert_eq!(out["safetySettings"], safety("BLOCK_LOW_AND_ABOVE"), "{operation:?}");
        let out = sent(&plain, &order(&cohere, operation, "command-a-03-2025")).unwrap();
        assert_eq!(out["safety_mode"], "STRICT", "{operation:?}");
    }
}

#[test]
fn a_client_of_responses_gets_the_other_defaults_that_its_format_has_no_name_for() {
    let operation = Operation::Responses;
    let plain = body(operation, json!({}));
    let google =
        at("gemini", &[("seed", json!(5)), ("labels", json!({"a": "b"})), ("stop", json!("x"))]);
    let out = sent(&plain, &order(&google, operation, "gemini-2.5-flash")).unwrap();
    assert_eq!(out["generationConfig"], json!({"seed": 5, "stopSequences": ["x"]}));
    assert_eq!(out["labels"], json!({"a": "b"}));
    let ollama = at("ollama_chat", &[("num_ctx", json!(8192)), ("keep_alive", json!("5m"))]);
    let out = sent(&plain, &order(&ollama, operation, "qwen3:8b")).unwrap();
    assert_eq!((&out["options"]["num_ctx"], &out["keep_alive"]), (&json!(8192), &json!("5m")));
    let anthropic = at("anthropic", &[("top_k", json!(4))]);
    let out = sent(&plain, &order(&anthropic, operation, "claude-sonnet-4-5")).unwrap();
    assert_eq!(out["top_k"], 4);
    // One that the provider lacks is left out, because the client did not send it.
    let bedrock = at_bedrock(
        Route::Converse,
        &[("logit_bias", json!({"1": 2})), ("guardrailConfig", guardrail("ADMIN"))],
    );
    let out = sent(&plain, &order(&bedrock, operation, CLAUDE)).unwrap();
    assert_eq!(out["guardrailConfig"], guardrail("ADMIN"));
}

#[test]
fn a_client_cannot_replace_a_guard_of_the_config_in_any_spelling() {
    let cases = [
        ("guardrailConfig", "guardrailConfig"),
        ("guardrailConfig", "guardrail_config"),
        ("guardrail_config", "guardrailConfig"),
    ];
    for ((config, client), operation) in cases.iter().flat_map(|case| CLIENTS.map(|o| (*case, o))) {
        let bedrock = at_bedrock(Route::Converse, &[(config, guardrail("ADMIN"))]);
        let mine = json!({client: guardrail("MINE")});
        let peek = body(operation, mine.clone());
        let order = order(&bedrock, operation, CLAUDE);
        let text = {
            let peek = Peek::parse(Bytes::from(peek.to_string())).unwrap();
            match prepare(&peek, &order).unwrap() {
                Prepared::Body(_, body, _) => String::from_utf8(body.joined().to_vec()).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert!(text.contains("ADMIN") && !text.contains("MINE"), "{config} {client}: {text}");
        assert_eq!(text.matches("\"guardrailConfig\":").count(), 1, "{text}");
        // A client's `guardrail_config` is a control of the reference's, which the gateway refuses.
        if operation != Operation::Responses && client == "guardrailConfig" {
            assert_eq!(left_out(&bedrock, operation, CLAUDE, mine), ["guardrailConfig"]);
        }
    }
    let settings = json!({"safetySettings": safety("OFF")});
    let google = json!({"google": {"safety_settings": safety("OFF"), "cached_content": "c"}});
    for (config, client) in [
        ("safety_settings", settings.clone()),
        ("safetySettings", json!({"safety_settings": safety("OFF")})),
        ("safety_settings", google.clone()),
    ] {
        let gemini = at("gemini", &[(config, safety("BLOCK_LOW_AND_ABOVE"))]);
        let order = order(&gemini, Operation::Chat, "gemini-2.5-flash");
        let out = sent(&body(Operation::Chat, client.clone()), &order).unwrap();
        assert_eq!(out["safetySettings"], safety("BLOCK_LOW_AND_ABOVE"), "{config} {client}");
        assert!(!out.to_string().contains("OFF"), "{out}");
        assert_eq!(
            left_out(&gemini, Operation::Chat, "gemini-2.5-flash", client),
            ["safety_settings"]
        );
    }
    let cohere = at("cohere", &[("safety_mode", json!("STRICT"))]);
    let off = body(Operation::Chat, json!({"safety_mode": "OFF"}));
    let out = sent(&off, &order(&cohere, Operation::Chat, "command-a-03-2025")).unwrap();
    assert_eq!(out["safety_mode"], "STRICT");
    // Without one in the config the client's own counts.
    let free = at_bedrock(Route::Converse, &[]);
    let mine = body(Operation::Chat, json!({"guardrailConfig": guardrail("MINE")}));
    let out = sent(&mine, &order(&free, Operation::Chat, CLAUDE)).unwrap();
    assert_eq!(out["guardrailConfig"], guardrail("MINE"));
}

#[test]
fn a_client_of_googles_format_cannot_replace_its_safety_settings() {
    for (config, client) in [
        ("safety_settings", "safetySettings"),
        ("safetySettings", "safety_settings"),
        ("safety_settings", "safety_settings"),
    ] {
        let gemini = at("gemini", &[(config, safety("BLOCK_LOW_AND_ABOVE"))]);
        let mine = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}], client: safety("OFF")});
        let out = sent(&mine, &order(&gemini, Operation::GenerateContent, "gemini-2.5-flash"));
        let out = out.unwrap();
        assert_eq!(out["safetySettings"], safety("BLOCK_LOW_AND_ABOVE"), "{config} {client}");
        assert!(!out.to_string().contains("OFF"), "{out}");
    }
    // Towards another provider its guard holds, too.
    let bedrock = at_bedrock(Route::Converse, &[("guardrailConfig", guardrail("ADMIN"))]);
    let plain = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let out = sent(&plain, &order(&bedrock, Operation::GenerateContent, CLAUDE)).unwrap();
    assert_eq!(out["guardrailConfig"], guardrail("ADMIN"));
}

#[test]
fn a_client_whose_bytes_pass_cannot_replace_a_guard_either() {
    let mistral = at("mistral", &[("safe_prompt", json!(true))]);
    let off = body(Operation::Chat, json!({"safe_prompt": false}));
    let out = sent(&off, &order(&mistral, Operation::Chat, "mistral-large-latest")).unwrap();
    assert_eq!(out["safe_prompt"], true);
    let said = left_out(&mistral, Operation::Chat, "m", json!({"safe_prompt": false}));
    assert_eq!(said, ["safe_prompt"]);
    assert!(left_out(&mistral, Operation::Chat, "m", json!({"safe_prompt": true})).is_empty());
    let google = json!({"safety_settings": safety("BLOCK_LOW_AND_ABOVE")});
    let google = at("openai", &[("google", google)]);
    let mine = json!({"google": {"safety_settings": safety("OFF"), "thinking_config": {"thinkingBudget": 1}}});
    let out = sent(&body(Operation::Chat, mine), &order(&google, Operation::Chat, "g")).unwrap();
    assert_eq!(
        out["google"],
        json!({"safety_settings": safety("BLOCK_LOW_AND_ABOVE"), "thinking_config": {"thinkingBudget": 1}})
    );
}

#[test]
fn a_guardrail_stands_in_headers_where_a_model_is_called_in_its_own_format() {
    let invoked = at_bedrock(
        Route::Invoke,
        &[
            ("guardrailConfig", guardrail("ADMIN")),
            ("performanceConfig", json!({"latency": "optimized"})),
        ],
    );
    for operation in CLIENTS {
        for more in [json!({}), json!({"guardrailConfig": guardrail("MINE")})] {
            let out = sent(&body(operation, more), &order(&invoked, operation, CLAUDE)).unwrap();
            for name in ["guardrailConfig", "guardrail_config", "performanceConfig"] {
                assert!(out.get(name).is_none(), "{operation:?}: {out}");
            }
        }
    }
    // What cannot be named in headers is not left out: the request is refused.
    let broken =
        at_bedrock(Route::Invoke, &[("guardrailConfig", json!({"guardrailIdentifier": "g"}))]);
    let plain = body(Operation::Chat, json!({}));
    let refused = sent(&plain, &order(&broken, Operation::Chat, CLAUDE)).unwrap_err();
    assert_eq!(refused.field, "guardrailConfig");
    let passed = body(Operation::Messages, json!({}));
    let out = sent(&passed, &order(&broken, Operation::Messages, CLAUDE)).unwrap();
    assert_eq!(out["guardrailConfig"]["guardrailIdentifier"], "g");
}

#[test]
fn pictures_of_a_chat_model_are_guarded_too() {
    let google = at("gemini", &[("safety_settings", safety("BLOCK_LOW_AND_ABOVE"))]);
    let order = order(&google, Operation::GenerateImage, "gemini-2.5-flash-image");
    let out = sent(&json!({"model": "m", "prompt": "a cat"}), &order).unwrap();
    assert_eq!(out["safetySettings"], safety("BLOCK_LOW_AND_ABOVE"));
}
