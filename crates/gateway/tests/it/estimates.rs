//! Answers whose tokens the provider does not count, counts too late, or counts beyond belief: they are charged by
//! estimate, and the record says so.

use hale_testkit::{FakeUpstream, Hale, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, LOG, chat_with, client, error, metric, wait_for_records, wait_until_idle,
};

/// 400 bytes: 100 tokens.
fn long_text() -> String {
    "word ".repeat(80)
}

/// A gateway with one priced deployment of `model`, whose budget allows one answer.
fn start(upstream: &FakeUpstream, model: &str) -> Hale {
    let params = json!({
        "model": model, "input_cost_per_token": 0.001, "output_cost_per_token": 0.001,
        "max_budget": 0.01, "budget_duration": "1d",
    });
    Config::new().with("m", "a", upstream, params).general(json!({"request_log": LOG})).start()
}

/// The only record. Its tokens are estimated, and so is its cost, which has spent the budget.
#[track_caller]
fn expect_estimated(hale: &Hale) -> Value {
    let record = wait_for_records(hale, 1).pop().unwrap();
    assert_eq!(record["usage_estimated"], true, "{record}");
    assert!(record["cost_usd"].as_f64().unwrap() > 0.0, "{record}");
    assert_eq!(metric(hale, "hale_estimated_usage_total", &[("model_group", "m")]), 1.0);
    assert!(metric(hale, "hale_spend_usd_total", &[("model_group", "m")]) > 0.0);
    record
}

fn ask(model: &str, stream: bool) -> Value {
    let mut body = openai::chat_request(model, &long_text());
    body["stream"] = json!(stream);
    body
}

#[test]
fn a_client_that_leaves_before_the_usage_pays_for_what_it_read() {
    let text = long_text();
    let content = openai::content_chunk("m", &text);
    let short = openai::content_chunk("m", "a");
    let finished = openai::finish_chunk("m", "stop");
    for events in [vec![short.clone(), content.clone()], vec![short, content, finished]] {
        let sent = events.clone();
        let upstream = FakeUpstream::with(move |_| Script::ok().stream().events(&sent).silence());
        let hale = start(&upstream, "openai/gpt-4o");
        let mut leaving = client(&hale);
        let mut stream = leaving.stream(CHAT, &[], &ask("m", true));
        for _ in &events {
            stream.next_event().unwrap();
        }
        stream.disconnect();
        wait_until_idle(&hale);
        let record = expect_estimated(&hale);
        let (input, output) = (record["input_tokens"].as_u64(), record["output_tokens"].as_u64());
        assert!((100..110).contains(&input.unwrap()), "{record}");
        assert!((95..115).contains(&output.unwrap()), "{record}");
        let refused = chat_with(&hale, &[], &ask("m", false));
        assert_eq!(error(&refused)["reason"], "budget_exceeded", "the budget is spent");
    }
}

#[test]
fn a_client_of_messages_that_leaves_pays_for_more_than_the_first_count() {
    for (path, body) in [
        ("/v1/messages", anthropic::stream_request("m", "hi")),
        (CHAT, openai::stream_request("m", "hi")),
    ] {
        let upstream = FakeUpstream::with(|_| {
            let start = [anthropic::start("m"), anthropic::text_start()];
            let texts = ["a", &long_text()].map(anthropic::text_delta);
            anthropic::stream(&[&start[..], &texts].concat()).silence()
        });
        let hale = start(&upstream, "anthropic/claude-x");
        let mut leaving = client(&hale);
        let mut stream = leaving.stream(path, &[], &body);
        while !stream.next_event().unwrap().data.contains("word word") {}
        stream.disconnect();
        wait_until_idle(&hale);
        let record = expect_estimated(&hale);
        assert!((95..115).contains(&record["output_tokens"].as_u64().unwrap()), "{path} {record}");
        let counted = &anthropic::start("m")["message"]["usage"];
        let counted = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"]
            .map(|name| counted[name].as_u64().unwrap_or(0));
        assert_eq!(record["input_tokens"], counted.iter().sum::<u64>(), "{path} {counted:?}");
    }
}

#[test]
fn an_answer_without_usage_is_charged_by_its_texts() {
    for stream in [false, true] {
        let upstream = FakeUpstream::with(move |_| {
            if stream {
                return Script::ok().sse(&openai::chunks("m", &["a", &long_text()]));
            }
            let mut body = openai::chat_completion("m", &long_text());
            body.as_object_mut().unwrap().remove("usage");
            Script::ok().json(&body)
        });
        let hale = start(&upstream, "openai/gpt-4o");
        assert_eq!(chat_with(&hale, &[], &ask("m", stream)).status, 200);
        let record = expect_estimated(&hale);
        assert_eq!(record["ending"], "success");
        let (input, output) = (record["input_tokens"].as_u64(), record["output_tokens"].as_u64());
        assert!((100..110).contains(&input.unwrap()), "{record}");
        assert!((95..125).contains(&output.unwrap()), "{stream} {record}");
    }
}

#[test]
fn an_embedding_without_usage_is_charged_by_its_input() {
    let upstream = FakeUpstream::with(|_| {
        let mut body = openai::embeddings("m", 1);
        body.as_object_mut().unwrap().remove("usage");
        Script::ok().json(&body)
    });
    let hale = start(&upstream, "openai/text-embedding-3-small");
    let body = json!({"model": "m", "input": long_text()});
    assert_eq!(client(&hale).post_json("/v1/embeddings", &[], &body).status, 200);
    let record = expect_estimated(&hale);
    assert_eq!((&record["input_tokens"], &record["output_tokens"]), (&json!(100), &json!(0)));
}

#[test]
fn a_count_beyond_the_models_limits_is_not_charged() {
    for (prompt, completion) in
        [(12, 10_u64.pow(15)), (10_u64.pow(15), 12), (10_u64.pow(18), 10_u64.pow(18))]
    {
        for stream in [false, true] {
            let upstream = FakeUpstream::with(move |_| {
                if stream {
                    let mut events = openai::chunks("m", &["a"]);
                    events.push(openai::usage_chunk("m", prompt, completion));
                    return Script::ok().sse(&events);
                }
                let mut body = openai::chat_completion("m", "ok");
                body["usage"]["prompt_tokens"] = json!(prompt);
                body["usage"]["completion_tokens"] = json!(completion);
                Script::ok().json(&body)
            });
            let hale = start(&upstream, "openai/gpt-4o");
            assert_eq!(chat_with(&hale, &[], &ask("m", stream)).status, 200);
            let record = expect_estimated(&hale);
            assert!(record["cost_usd"].as_f64().unwrap() < 1.0, "{record}");
        }
    }
}

#[test]
fn a_believable_count_is_charged_as_it_is() {
    let upstream = FakeUpstream::with(|_| Script::ok().json(&openai::chat_completion("m", "ok")));
    let hale = start(&upstream, "openai/gpt-4o");
    assert_eq!(chat_with(&hale, &[], &ask("m", false)).status, 200);
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!(record["usage_estimated"], Value::Null, "{record}");
    assert_eq!(metric(&hale, "hale_estimated_usage_total", &[]), 0.0);
}
