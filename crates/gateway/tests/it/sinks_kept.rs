//! What sinks get whatever else is configured, what they never get, and what is kept for them.

use hale_testkit::{FakeUpstream, Launch, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, LOG, chat_with, client, eventually, lone, metric, wait_for_records,
};

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
fn who_joined_or_got_a_kept_answer_has_its_text_in_the_sinks_in_every_format_streamed_or_not() {
    let claude = json!({"model": "anthropic/claude-haiku-4-5"});
    for (path, body) in [
        (CHAT, openai::chat_request("m", "hi")),
        (CHAT, openai::stream_request("m", "hi")),
        ("/v1/messages", anthropic::request("claude", "hi")),
        ("/v1/messages", anthropic::stream_request("claude", "hi")),
    ] {
        let (upstream, hook) = (FakeUpstream::start(), takes_all());
        upstream.answer_with(|request| {
            let is_stream = request.json()["stream"].as_bool() == Some(true);
            match (request.path.contains("messages"), is_stream) {
                (true, true) => {
                    let events = anthropic::events("m", &["one ", "two"]);
                    let named = |script: Script, event: &Value| {
                        script.named_event(event["type"].as_str().unwrap(), event)
                    };
                    let start = Script::ok().stream();
                    events.iter().fold(start.wait("go"), named).end()
                }
                (true, false) => Script::ok().wait("go").json(&anthropic::message("m", "one two")),
                (false, true) => {
                    let chunks = openai::chunks("m", &["one ", "two"]);
                    Script::ok().stream().wait("go").events(&chunks).done().end()
                }
                (false, false) => {
                    Script::ok().wait("go").json(&openai::chat_completion("m", "one two"))
                }
            }
        });
        let mut claude = claude.clone();
        claude["api_base"] = json!(upstream.url());
        let config = lone(&upstream).with("claude", "claude", &upstream, claude);
        let cache = json!({"type": "local", "ttl": 600});
        let config = config
            .litellm(json!({"callbacks": ["generic_api"], "cache": true, "cache_params": cache}));
        let hale = hooked(&config, &hook).start();
        let sent = || {
            let mut client = client(&hale);
            let json = [("content-type", "application/json")];
            client.send("POST", path, &json, body.to_string().as_bytes()).unwrap();
            client
        };
        let mut first = sent();
        upstream.wait_for(|state| state.waiting_at("go") == 1);
        let mut joined = sent();
        eventually("it has joined", || {
            (metric(&hale, "hale_cache_joined_total", &[]) >= 1.0).then_some(())
        });
        upstream.release("go");
        for client in [&mut first, &mut joined] {
            assert_eq!(client.read_response().unwrap().status, 200, "{path} {body}");
        }
        eventually("it is kept", || {
            let answer = sent().read_response().unwrap();
            (answer.header("x-hale-cache") == Some("hit")).then_some(())
        });
        let records = payloads(&hook, 3);
        for record in &records {
            assert_eq!(record["response"]["content"], "one two", "{path} {body}: {record}");
        }
        assert_eq!(upstream.requests().len(), 1, "{path}");
    }
}

#[test]
fn spans_have_what_a_client_told_the_model_apart_from_the_messages() {
    let collector = takes_all();
    for (path, body, told) in [
        (
            "/v1/messages",
            json!({"system": "be brief"}),
            json!([{"type": "text", "content": "be brief"}]),
        ),
        (
            "/v1/messages",
            json!({"system": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}),
            json!([{"type": "text", "content": "one"}, {"type": "text", "content": "two"}]),
        ),
        (
            "/v1/responses",
            json!({"instructions": "be kind", "input": "hi"}),
            json!([{"type": "text", "content": "be kind"}]),
        ),
        (CHAT, json!({}), Value::Null),
    ] {
        let upstream = FakeUpstream::with(|request| match request.path.contains("messages") {
            true => Script::ok().json(&anthropic::message("m", "hi")),
            false if request.path.contains("responses") => hale_testkit::responses::answer(request),
            false => Script::answer(request),
        });
        let claude = json!({"model": "anthropic/claude-haiku-4-5", "api_base": upstream.url()});
        let config = lone(&upstream).with("claude", "claude", &upstream, claude);
        let config = config.litellm(json!({"callbacks": ["otel"]}));
        let hale = config
            .launch()
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
            .env("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
            .start();
        let (model, mut all) = match path {
            "/v1/messages" => ("claude", anthropic::request("claude", "hi")),
            _ => ("m", openai::chat_request("m", "hi")),
        };
        if path.ends_with("responses") {
            all = json!({"model": model});
        }
        all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let before = collector.requests().len();
        assert_eq!(client(&hale).post_json(path, &[], &all).status, 200, "{path}");
        let span = eventually("the span comes", || {
            let new = collector.requests().split_off(before);
            let sent = new.into_iter().map(|request| request.json());
            let spans = sent.flat_map(|one| {
                one["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
            });
            let mut roots = spans.filter(|span| span["kind"] == 2);
            roots.next()
        });
        let attributes = span["attributes"].as_array().unwrap();
        let named = attributes.iter().find(|one| one["key"] == "gen_ai.system_instructions");
        let value = named.map_or(Value::Null, |one| {
            serde_json::from_str(one["value"]["stringValue"].as_str().unwrap()).unwrap()
        });
        assert_eq!(value, told, "{path}: {span}");
    }
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
