//! What sinks get whatever else is configured, what they never get, and what is kept for them.

use hale_testkit::{FakeUpstream, Launch, Script, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, LOG, chat_with, client, eventually, lone, wait_for_records};

fn takes_all() -> FakeUpstream {
    FakeUpstream::with(|_| Script::ok().json(&json!({})))
}

fn hooked(config: &Config, hook: &FakeUpstream) -> Launch {
    config.launch().env("GENERIC_LOGGER_ENDPOINT", &format!("{}/hook", hook.url()))
}

/// The records that a webhook got so far.
#[track_caller]
fn payloads(hook: &FakeUpstream, count: usize) -> Vec<Value> {
    eventually("the records come", || {
        let sent = hook.requests().into_iter().filter(|request| request.path == "/hook");
        let lists = sent.map(|request| request.json());
        let all: Vec<Value> =
            lists.flat_map(|list| list.as_array().cloned().unwrap_or_default()).collect();
        (all.len() >= count).then_some(all)
    })
}

#[test]
fn facts_of_attempts_are_told_although_no_span_is_recorded() {
    let (upstream, hook) = (FakeUpstream::start(), takes_all());
    let config = lone(&upstream).litellm(json!({"callbacks": ["otel", "generic_api"]}));
    let hale = hooked(&config, &hook)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &hook.url())
        .env("OTEL_TRACES_SAMPLER", "always_off")
        .start();
    assert_eq!(chat_with(&hale, &[], &openai::chat_request("m", "hi")).status, 200);
    let record = payloads(&hook, 1).remove(0);
    assert_eq!((&record["model"], &record["model_group"]), (&json!("gpt-4o"), &json!("m")));
    assert_eq!(record["custom_llm_provider"], "openai");
    assert!(record["api_base"].as_str().unwrap().starts_with("127.0.0.1"), "{record}");
    assert!(hook.requests().iter().all(|request| request.path == "/hook"), "no span is sent");
}

#[test]
fn a_body_keeps_what_was_said_from_sinks_and_still_names_its_user() {
    let (upstream, hook) = (FakeUpstream::start(), takes_all());
    let config = lone(&upstream).litellm(json!({"callbacks": ["generic_api"]}));
    let hale = hooked(&config, &hook).start();
    let mut body = openai::chat_request("m", "a private question");
    body["user"] = json!("u-1");
    body["litellm_session_id"] = json!("s-1");
    body["metadata"] = json!({"tags": ["a", 1]});
    let mut hidden = body.clone();
    hidden["turn_off_message_logging"] = json!(true);
    assert_eq!(chat_with(&hale, &[], &hidden).status, 200);
    assert_eq!(upstream.request(0).json().get("turn_off_message_logging"), None);
    let record = payloads(&hook, 1).remove(0);
    assert!(!record.to_string().contains("private"), "{record}");
    assert!(record.get("response").is_none(), "{record}");
    assert_eq!((&record["end_user"], &record["session_id"]), (&json!("u-1"), &json!("s-1")));
    assert_eq!(record["request_tags"], json!(["a"]));
    body["turn_off_message_logging"] = json!(false);
    assert_eq!(chat_with(&hale, &[], &body).status, 200);
    let shown = payloads(&hook, 2).remove(1);
    assert_eq!(shown["messages"][0]["content"], "a private question");
}

#[test]
fn what_steers_the_gateway_is_no_parameter_of_the_model() {
    let (upstream, hook) = (FakeUpstream::start(), takes_all());
    let config = lone(&upstream).litellm(json!({"callbacks": ["generic_api"]}));
    let hale = hooked(&config, &hook).start();
    let mut body = openai::chat_request("m", "hi");
    body["langfuse_secret_key"] = json!("sk-lf-of-a-client");
    body["langsmith_api_key"] = json!("lsv2-of-a-client");
    body["num_retries"] = json!(1);
    body["temperature"] = json!(0.5);
    body["max_tokens"] = json!(7);
    body["service_tier"] = json!("auto");
    assert_eq!(chat_with(&hale, &[], &body).status, 200);
    let record = payloads(&hook, 1).remove(0);
    let parameters = json!({"temperature": 0.5, "max_tokens": 7, "service_tier": "auto"});
    assert_eq!(record["model_parameters"], parameters);
    assert!(!record.to_string().contains("of-a-client"), "{record}");
}

#[test]
fn a_body_of_several_lines_is_one_line_of_the_file() {
    let upstream = FakeUpstream::start();
    let hale =
        lone(&upstream).general(json!({"request_log": LOG, "request_log_messages": true})).start();
    let body = "{\n  \"model\": \"m\",\r\n  \"messages\": [\n    {\"role\": \"user\",\n     \"content\": \"one\\ntwo\"}\n  ]\n}";
    let answer = client(&hale).try_request("POST", CHAT, &[], body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = wait_for_records(&hale, 1).remove(0);
    assert_eq!(record["messages"], json!([{"role": "user", "content": "one\ntwo"}]));
    assert_eq!(record["response"]["content"], openai::TEXT);
}
