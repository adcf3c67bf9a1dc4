//! Empty answers: another deployment is tried, and no side is blamed.

use hale_testkit::{FakeUpstream, Response, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{Config, blamed, client, lone, metric, pair};

/// A chat answer with this message and so many output tokens.
fn chat_answer(message: &Value, output: u64) -> Value {
    let mut answer = openai::chat_completion("gpt-4o", "");
    answer["choices"][0]["message"] = message.clone();
    answer["usage"] = openai::usage(5, output);
    answer
}

fn empty(stream: bool) -> Script {
    if stream {
        let end = openai::finish_chunk("gpt-4o", "stop");
        return Script::ok().stream().events(&[openai::role_chunk("gpt-4o"), end]).done();
    }
    Script::ok().json(&chat_answer(&json!({"role": "assistant", "content": ""}), 0))
}

fn ask(hale: &hale_testkit::Hale, stream: bool) -> Response {
    let mut body = openai::chat_request("m", "hi");
    body["stream"] = json!(stream);
    let headers = [("x-litellm-num-retries", "0"), ("x-hale-explain", "1")];
    client(hale).post_json(crate::support::CHAT, &headers, &body)
}

#[test]
fn an_empty_answer_moves_on_to_a_sibling_and_no_side_is_blamed() {
    for stream in [false, true] {
        let (bad, good) = (FakeUpstream::with(move |_| empty(stream)), FakeUpstream::start());
        let hale = pair(&bad, &good).start();
        let answer = ask(&hale, stream);
        let text = answer.text();
        assert_eq!(
            (answer.status, answer.header("x-litellm-model-id")),
            (200, Some("good")),
            "{text}"
        );
        let route = answer.header("x-hale-route").unwrap();
        assert!(route.starts_with("m/bad=200 empty_answer"), "{route}");
        assert_eq!((bad.requests().len(), good.requests().len()), (1, 1));
        assert_eq!(blamed(&hale), 0.0, "no deployment is blamed");
    }
}

#[test]
fn an_empty_answer_is_delivered_as_it_is_if_no_other_comes() {
    for stream in [false, true] {
        let (one, two) = (
            FakeUpstream::with(move |_| empty(stream)),
            FakeUpstream::with(move |_| empty(stream)),
        );
        let hale = pair(&one, &two).start();
        let answer = ask(&hale, stream);
        assert_eq!((answer.status, answer.header("x-litellm-model-id")), (200, Some("bad")));
        assert!(answer.text().contains("stop"), "{}", answer.text());
        let hale = lone(&one).start();
        assert_eq!(ask(&hale, stream).status, 200);
        assert_eq!(
            (one.requests().len(), two.requests().len()),
            (2, 1),
            "not again at the same one"
        );
        two.answer_with(|_| Script::error(500, "boom"));
        assert_eq!(ask(&pair(&one, &two).start(), stream).status, 200);
    }
}

#[test]
fn an_empty_answer_moves_on_to_a_fallback_and_names_the_group_that_answers() {
    let (bad, good) = (FakeUpstream::with(|_| empty(false)), FakeUpstream::start());
    let fallback = |up: &FakeUpstream| {
        let config = lone(&bad).deployment("f", "b", up);
        config.router(json!({"fallbacks": [{"m": ["f"]}]})).start()
    };
    let answer = ask(&fallback(&good), false);
    assert_eq!(answer.header("x-litellm-model-group"), Some("f"), "{}", answer.text());
    let answer = ask(&fallback(&bad), false);
    assert_eq!((answer.status, answer.header("x-litellm-model-group")), (200, Some("m")));
    assert_eq!(answer.json()["model"], "m");
}

#[test]
fn an_answer_with_a_word_or_with_output_is_not_empty() {
    let message = |more: Value| {
        let mut message = json!({"role": "assistant", "content": null});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    let call =
        json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    for (message, output) in [
        (message(json!({})), 3),
        (message(json!({"tool_calls": call})), 0),
        (message(json!({"reasoning_content": "hm"})), 0),
        (message(json!({"refusal": "no"})), 0),
    ] {
        let answer = chat_answer(&message, output);
        let (first, other) =
            (FakeUpstream::with(move |_| Script::ok().json(&answer)), FakeUpstream::start());
        let answer = ask(&pair(&first, &other).start(), false);
        assert_eq!(answer.header("x-litellm-model-id"), Some("bad"), "{message}");
    }
    let (bad, good) = (FakeUpstream::with(|_| empty(false)), FakeUpstream::start());
    let hale = pair(&bad, &good).router(json!({"accept_empty_answers": true})).start();
    assert_eq!(ask(&hale, false).header("x-litellm-model-id"), Some("bad"));
}

#[test]
fn messages_without_a_block_are_empty_too() {
    let mut whole = anthropic::message("claude", "");
    whole["content"] = json!([]);
    whole["usage"]["output_tokens"] = json!(0);
    let (bad, good) =
        (FakeUpstream::with(move |_| Script::ok().json(&whole)), FakeUpstream::start());
    good.answer_with(|_| Script::ok().json(&anthropic::message("claude", "hello")));
    let member = |config: Config, id: &str, up: &FakeUpstream, weight: u32| {
        config.entry(json!({"model_name": "m", "model_info": {"id": id}, "litellm_params": {
            "model": "anthropic/claude-sonnet-4-5", "api_key": "k", "api_base": up.url(), "weight": weight}}))
    };
    let hale = member(member(Config::new(), "bad", &bad, 1), "good", &good, 0).start();
    let answer = client(&hale).post_json("/v1/messages", &[], &anthropic::request("m", "hi"));
    assert_eq!(answer.header("x-litellm-model-id"), Some("good"), "{}", answer.text());
    // The same for a client of another format.
    let answer = ask(&hale, false);
    assert_eq!(answer.header("x-litellm-model-id"), Some("good"), "{}", answer.text());
}

#[test]
fn an_answer_that_was_passed_over_gives_back_its_slot_and_blames_no_client() {
    let bad = FakeUpstream::with(|_| empty(true));
    let good = FakeUpstream::with(|_| {
        let content = openai::content_chunk("gpt-4o", "x");
        Script::ok().stream().event(&content).wait("go").events(&openai::chunks("m", &[])).done()
    });
    let hale = pair(&bad, &good).start();
    let mut reading = client(&hale);
    let body = openai::stream_request("m", "hi");
    let mut stream = reading.stream(crate::support::CHAT, &[], &body);
    assert_eq!(stream.next_event().unwrap().content(), "x");
    let state = client(&hale).get("/router/state").json();
    let in_flight = |id: &str| {
        let all = state["deployments"].as_array().unwrap();
        all.iter().find(|one| one["id"] == id).unwrap()["in_flight"].clone()
    };
    assert_eq!((in_flight("bad"), in_flight("good")), (json!(0), json!(1)), "{state}");
    let outcome = |name| metric(&hale, "hale_attempts_total", &[("outcome", name)]);
    assert_eq!((outcome("empty_answer"), outcome("client_closed")), (1.0, 0.0));
    good.release("go");
    stream.remaining();
}
