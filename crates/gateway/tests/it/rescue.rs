//! Streams that break after their first content, and another deployment that goes on with them.

use hale_testkit::{Event, FakeUpstream, Hale, Request, Script, anthropic, gemini, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, LOG, UPSTREAM_KEY, chat_with, client, eventually, metric, pair, wait_for_records,
};

/// What the models of these tests say.
pub(crate) const ANSWER: &str = "The quick brown fox jumps over the lazy dog and runs away from it all, until it is \
                                 caught by the hounds at the far end of the long green valley.";
/// How much of it the first deployment says.
const HALF: usize = 80;

/// The words of the model with which a request ends.
pub(crate) fn prefix_of(request: &Request) -> String {
    let body = request.json();
    let last =
        body["messages"].as_array().and_then(|list| list.last()).cloned().unwrap_or_default();
    match (&last["role"], &last["content"]) {
        (role, Value::String(text)) if role == "assistant" => text.clone(),
        (role, parts) if role == "assistant" => parts[0]["text"].as_str().unwrap().to_owned(),
        _ => String::new(),
    }
}

/// The answer in pieces of a few bytes, from `from` to `to`.
fn pieces(from: usize, to: usize) -> Vec<&'static str> {
    let text = &ANSWER.as_bytes()[from..to];
    text.chunks(7).map(|piece| std::str::from_utf8(piece).unwrap()).collect()
}

/// The first half, in OpenAI's format.
pub(crate) fn half() -> Script {
    let said = pieces(0, HALF).into_iter().map(|text| openai::content_chunk("gpt-4o", text));
    said.fold(Script::ok().stream().event(&openai::role_chunk("gpt-4o")), |it, one| it.event(&one))
}

/// What a model that goes on from a prefix answers.
pub(crate) fn goes_on(request: &Request) -> Script {
    let from = prefix_of(request).len();
    if request.path.ends_with("/messages") {
        return anthropic::stream(&anthropic::events("claude", &pieces(from, ANSWER.len()))).end();
    }
    let mut events = openai::chunks("gpt-4o", &pieces(from, ANSWER.len()));
    for event in &mut events {
        event["id"] = json!("chatcmpl-other");
    }
    events.push(openai::usage_chunk("gpt-4o", 40, 20));
    Script::ok().sse(&events)
}

/// A deployment that goes on from a prefix; one of weight 0 is called only if no other is left.
pub(crate) fn entry(id: &str, upstream: &FakeUpstream, more: Value) -> Value {
    let mut params = json!({
        "model": "openai/gpt-4o", "api_key": UPSTREAM_KEY, "api_base": upstream.api_base(),
        "input_cost_per_token": 0.001, "output_cost_per_token": 0.01,
        "weight": i32::from(id == "bad"),
    });
    let Value::Object(more) = more else { panic!("an object") };
    params.as_object_mut().unwrap().extend(more);
    json!({"model_name": "m", "litellm_params": params,
        "model_info": {"id": id, "supports_assistant_prefill": true}})
}

/// A group of one whose streams break, and one that goes on.
pub(crate) fn two(bad: &FakeUpstream, good: &FakeUpstream) -> Config {
    let config = Config::new().general(json!({"request_log": LOG}));
    let config = config.router(json!({"disable_cooldowns": true, "stream_timeout": 1}));
    config.entry(entry("bad", bad, json!({}))).entry(entry("good", good, json!({})))
}

pub(crate) struct Streamed {
    pub(crate) rescue: Option<String>,
    pub(crate) events: Vec<Event>,
    pub(crate) cut: bool,
}

impl Streamed {
    pub(crate) fn comments(&self) -> Vec<&str> {
        self.events.iter().filter_map(|event| event.comment.as_deref()).collect()
    }

    pub(crate) fn text(&self) -> String {
        let text = |event: &Event| {
            let json = event.json();
            let piece = match &json["type"] {
                Value::String(kind) if kind == "response.output_text.delta" => &json["delta"],
                Value::String(kind) if kind == "content_block_delta" => &json["delta"]["text"],
                _ if json["candidates"].is_array() => {
                    &json["candidates"][0]["content"]["parts"][0]["text"]
                }
                _ => &json["choices"][0]["delta"]["content"],
            };
            piece.as_str().unwrap_or_default().to_owned()
        };
        self.events.iter().map(text).collect()
    }

    pub(crate) fn error(&self) -> Value {
        let last = self.events.last().unwrap().json();
        let error = &last["error"];
        assert!(error.is_object(), "{last}");
        error.clone()
    }
}

pub(crate) fn stream(hale: &Hale, path: &str, body: &Value) -> Streamed {
    let mut client = client(hale);
    let mut stream = client.stream(path, &[], body);
    assert_eq!(stream.status, 200);
    let rescue = stream.header("x-hale-rescue").map(str::to_owned);
    let events = stream.remaining();
    Streamed { rescue, events, cut: stream.cut() }
}

fn request() -> Value {
    let mut body = openai::stream_request("m", "hi");
    body["stream_options"] = json!({"include_usage": true});
    body
}

/// What is broken, the cause, and the first half.
type Broken = (&'static str, &'static str, fn() -> Script);

#[test]
fn another_deployment_goes_on_however_the_stream_broke() {
    let breaks: [Broken; 5] = [
        ("fin", "stream_cut", || half().close()),
        ("reset", "stream_cut", || half().reset()),
        ("ended", "stream_cut", || half().end()),
        ("silence", "stream_stall", || half().silence()),
        ("error", "server_error", || {
            half().event(&openai::error("boom", "server_error", "500")).end()
        }),
    ];
    for (what, cause, script) in breaks {
        let (bad, good) = (FakeUpstream::with(move |_| script()), FakeUpstream::with(goes_on));
        let hale = two(&bad, &good).start();
        let streamed = stream(&hale, CHAT, &request());
        assert_eq!(streamed.text(), ANSWER, "{what}");
        assert!(!streamed.cut, "{what}");
        assert_eq!(streamed.rescue.as_deref(), Some("allowed"), "{what}");
        assert_eq!(streamed.comments(), ["rescue deployment=good"], "{what}");
        let chunks: Vec<Value> =
            streamed.events.iter().map(Event::json).filter(Value::is_object).collect();
        for chunk in &chunks {
            assert_eq!(
                (&chunk["id"], &chunk["model"]),
                (&json!("chatcmpl-fake0001"), &json!("m")),
                "{what}"
            );
        }
        let finishes =
            chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string());
        assert_eq!(finishes.count(), 1, "{what}");
        assert!(streamed.events.last().unwrap().is_done(), "{what}");
        let sent = prefix_of(&good.request(0));
        assert!(
            ANSWER.starts_with(&sent) && (16..=64).contains(&(HALF - sent.len())),
            "{what}: {sent}"
        );
        let record = wait_for_records(&hale, 1).pop().unwrap();
        assert_eq!(
            (&record["ending"], &record["rescue"]),
            (&json!("success"), &json!("continued")),
            "{record}"
        );
        assert_eq!(
            (&record["deployment"], &record["status"]),
            (&json!("good"), &json!(200)),
            "{record}"
        );
        let usage = chunks.last().unwrap()["usage"].clone();
        let output = record["usage"]["output_tokens"].as_u64().or(record["output_tokens"].as_u64());
        assert!(usage["completion_tokens"].as_u64().unwrap() > 20, "{usage}");
        assert_eq!(usage["completion_tokens"].as_u64(), output, "{record}");
        let cost = usage["prompt_tokens"].as_f64().unwrap() * 0.001
            + usage["completion_tokens"].as_f64().unwrap() * 0.01;
        let charged = record["cost_usd"].as_f64().unwrap();
        assert!((charged - cost).abs() < 1e-9, "{charged} {cost} {record}");
        let attempts = |id, outcome| {
            metric(&hale, "hale_attempts_total", &[("deployment", id), ("outcome", outcome)])
        };
        assert_eq!((attempts("bad", cause), attempts("good", "success")), (1.0, 1.0), "{what}");
        let rescues = metric(&hale, "hale_rescues_total", &[("outcome", "continued")]);
        assert_eq!(rescues, 1.0, "{what}");
    }
}

#[test]
fn each_format_of_clients_goes_on_behind_each_format_of_providers() {
    let message = json!({"model": "m", "max_tokens": 99, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let response = json!({"model": "m", "input": "hi", "stream": true});
    let claude = |upstream: &FakeUpstream| json!({"model": "anthropic/claude-sonnet-4-0", "api_base": upstream.url()});
    let chat = |_: &FakeUpstream| json!({"model": "hosted_vllm/x"});
    let first_of_claude = || {
        let mut events = anthropic::events("claude", &pieces(0, HALF));
        events.truncate(events.len() - 3);
        anthropic::stream(&events)
    };
    for (path, body) in
        [(CHAT, &request()), ("/v1/messages", &message), ("/v1/responses", &response)]
    {
        for first_is_claude in [false, true] {
            for second_is_claude in [false, true] {
                let bad = FakeUpstream::with(move |_| {
                    (if first_is_claude { first_of_claude() } else { half() }).close()
                });
                let good = FakeUpstream::with(goes_on);
                let more =
                    |is_claude, upstream| if is_claude { claude(upstream) } else { chat(upstream) };
                let config = Config::new()
                    .entry(entry("bad", &bad, more(first_is_claude, &bad)))
                    .entry(entry("good", &good, more(second_is_claude, &good)));
                // A server of responses would answer in its own format.
                if path == "/v1/responses" && !(first_is_claude && second_is_claude) {
                    continue;
                }
                let hale = config.start();
                let streamed = stream(&hale, path, body);
                let name =
                    format!("{path} {first_is_claude} {second_is_claude} {:?}", streamed.events);
                assert_eq!(streamed.text(), ANSWER, "{name}");
                assert_eq!(streamed.comments().last(), Some(&"rescue deployment=good"), "{name}");
                assert!(!prefix_of(&good.request(0)).is_empty(), "{name}");
                if path == "/v1/responses" {
                    let last = streamed.events.last().unwrap().json();
                    assert_eq!(
                        last["response"]["output"][0]["content"][0]["text"], ANSWER,
                        "{last}"
                    );
                    assert_eq!(last["response"]["id"], streamed.events[0].json()["response"]["id"]);
                }
            }
        }
    }
}

#[test]
fn another_answer_is_never_joined() {
    let says = |text: &'static str| {
        move |_: &Request| Script::ok().sse(&openai::chunks("gpt-4o", &[text]))
    };
    for text in [
        "A wholly different answer.",
        ANSWER,
        " ",
        "lazy dog and runs away from it all, until it is",
    ] {
        let (bad, good) = (FakeUpstream::with(|_| half().close()), FakeUpstream::with(says(text)));
        let hale = two(&bad, &good).start();
        let streamed = stream(&hale, CHAT, &request());
        assert_eq!(streamed.text(), &ANSWER[..HALF], "{text}");
        let error = streamed.error();
        assert_eq!(
            (&error["reason"], &error["rescue"]),
            (&json!("upstream_stream_interrupted"), &json!("differs"))
        );
        assert!(!streamed.events.iter().any(Event::is_done), "{text}");
        let record = wait_for_records(&hale, 1).pop().unwrap();
        assert_eq!(
            (&record["ending"], &record["rescue"]),
            (&json!("broken"), &json!("differs")),
            "{record}"
        );
        assert_eq!(record["deployment"], "bad", "{record}");
        // What the other deployment said costs, too.
        let own =
            record["usage"]["output_tokens"].as_u64().or(record["output_tokens"].as_u64()).unwrap();
        let cost = record["cost_usd"].as_f64().unwrap();
        let input = record["input_tokens"].as_u64().unwrap();
        let priced = input as f64 * 0.001 + own as f64 * 0.01;
        assert!((priced - cost).abs() < 1e-9, "{text}: tokens of both come to {priced}: {record}");
        assert!(own > (HALF as u64).div_ceil(4), "{text}: both answers: {record}");
        let same = |other: f64| (other - cost).abs() < 1e-9;
        let spent = metric(&hale, "hale_spend_usd_total", &[]);
        assert!(same(spent), "{text}: {spent} in the metrics, {cost} in the record");
        let path = format!("/spend/logs?request_id={}", record["call_id"].as_str().unwrap());
        let row = eventually("its row", || {
            client(&hale).get(&path).json().as_array().and_then(|rows| rows.first()).cloned()
        });
        assert!(same(row["spend"].as_f64().unwrap()), "{text}: {cost} in the record, {row}");
        // The prefix was sent, and what was said instead was read.
        assert!(row["prompt_tokens"].as_u64().unwrap() > HALF as u64 / 8, "{row}");
        assert_eq!(
            metric(
                &hale,
                "hale_attempts_total",
                &[("deployment", "good"), ("outcome", "empty_answer")]
            ),
            1.0
        );
    }
}

#[test]
fn what_is_more_than_text_is_refused_ahead_or_when_it_breaks() {
    let (bad, good) = (FakeUpstream::with(|_| half().close()), FakeUpstream::with(goes_on));
    let hale = two(&bad, &good).start();
    let with = |name: &str, value: Value| {
        let mut body = request();
        body[name] = value;
        body
    };
    for (body, why) in [
        (with("response_format", json!({"type": "json_object"})), "schema"),
        (with("n", json!(2)), "n"),
        (with("logprobs", json!(true)), "logprobs"),
    ] {
        let streamed = stream(&hale, CHAT, &body);
        assert_eq!(streamed.rescue, Some(format!("no; {why}")));
        assert_eq!(streamed.error()["rescue"], why);
    }
    assert!(good.requests().is_empty());
    let call = json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}]});
    let later: [(Value, &str); 3] = [
        (openai::chunk("gpt-4o", &call, None), "tool_call"),
        (openai::chunk("gpt-4o", &json!({"reasoning_content": "hm"}), None), "reasoning"),
        (openai::chunk("gpt-4o", &json!({"audio": {"data": "AA=="}}), None), "not_text"),
    ];
    for (event, why) in later {
        bad.push(half().event(&event).close());
        let streamed = stream(&hale, CHAT, &request());
        assert_eq!(streamed.rescue.as_deref(), Some("allowed"));
        assert_eq!(streamed.error()["rescue"], why);
    }
    assert!(good.requests().is_empty());
    // A full answer is not a stream.
    let plain = chat_with(&hale, &[], &openai::chat_request("m", "hi"));
    assert_eq!(plain.header("x-hale-rescue"), None);
}

#[test]
fn it_can_be_turned_off_and_no_deployment_is_asked_that_cannot() {
    let (bad, good) = (FakeUpstream::with(|_| half().close()), FakeUpstream::with(goes_on));
    let off = two(&bad, &good).router(json!({"rescue": "off"})).start();
    let streamed = stream(&off, CHAT, &request());
    assert_eq!(streamed.rescue, None);
    assert_eq!(streamed.error().get("rescue"), None);
    let config = Config::new().deployment("m", "bad", &bad).deployment("n", "good", &good);
    let none = config.start();
    let streamed = stream(&none, CHAT, &request());
    assert_eq!(streamed.rescue.as_deref(), Some("no; no_target"));
    assert_eq!(streamed.error()["rescue"], "no_target");
    assert!(good.requests().is_empty());
}

#[test]
fn a_replay_is_read_silently_and_goes_on_where_it_agrees() {
    let (bad, good) = (FakeUpstream::with(|_| half().close()), FakeUpstream::with(goes_on));
    let config = Config::new().router(json!({"rescue": "replay"}));
    let hale = config
        .with("m", "bad", &bad, json!({"weight": 1}))
        .with("m", "good", &good, json!({"weight": 0}))
        .start();
    let streamed = stream(&hale, CHAT, &request());
    assert_eq!(streamed.text(), ANSWER);
    assert_eq!(prefix_of(&good.request(0)), "");
    good.answer_with(|_| Script::ok().sse(&openai::chunks("gpt-4o", &["The quick brown cat"])));
    assert_eq!(stream(&hale, CHAT, &request()).error()["rescue"], "differs");
}

#[test]
fn a_deployment_that_refuses_a_prefix_is_passed_over_and_remembered() {
    let refuses = || {
        let message = "This model does not support assistant message prefill. The conversation must end with a user message.";
        Script::with_status(400).json(&openai::error(message, "invalid_request_error", "400"))
    };
    let bad = FakeUpstream::with(|_| half().close());
    let proud = FakeUpstream::with(move |_| refuses());
    let good = FakeUpstream::with(goes_on);
    let hale = two(&bad, &proud).entry(entry("third", &good, json!({}))).start();
    // The order of two members without weight is chance.
    for _ in 0..8 {
        assert_eq!(stream(&hale, CHAT, &request()).text(), ANSWER);
    }
    assert!(proud.requests().len() <= 1, "{}", proud.requests().len());
    assert_eq!(good.requests().len(), 8);
    let alone = two(&bad, &proud).start();
    let before = proud.requests().len();
    assert_eq!(stream(&alone, CHAT, &request()).error()["rescue"], "failed");
    let streamed = stream(&alone, CHAT, &request());
    assert_eq!(streamed.rescue.as_deref(), Some("no; no_target"));
    assert_eq!(proud.requests().len(), before + 1);
}

#[test]
fn the_page_of_routes_says_which_deployments_could_continue_a_stream() {
    let up = FakeUpstream::start();
    let config = Config::new().entry(entry("bad", &up, json!({}))).deployment("m", "plain", &up);
    let explained = |hale: &Hale| {
        let page = client(hale).post_json("/router/explain", &[], &json!({"model": "m"})).json();
        let can = page["groups"][0]["candidates"].as_array().unwrap().iter();
        let can: Vec<(String, bool)> = can
            .map(|one| {
                (one["deployment"].as_str().unwrap().to_owned(), one["continues_streams"] == true)
            })
            .collect();
        (page["rescue"].as_str().unwrap().to_owned(), can)
    };
    let (mode, mut can) = explained(&config.start());
    can.sort();
    assert_eq!((&*mode, can), ("text", vec![("bad".into(), true), ("plain".into(), false)]));
    let (mode, can) = explained(&config.router(json!({"rescue": "replay"})).start());
    assert_eq!((&*mode, can.iter().all(|one| one.1)), ("replay", true));
}

#[test]
fn a_break_in_the_words_that_are_held_back_is_not_seen() {
    let breaks: [fn() -> Script; 4] = [
        || half().close(),
        || half().reset(),
        || half().end(),
        || half().event(&openai::error("boom", "server_error", "500")).end(),
    ];
    for hold in [json!({"rescue_buffer_ms": 3_000}), json!({"rescue_buffer_tokens": 500})] {
        for script in breaks {
            let (bad, good) = (FakeUpstream::with(move |_| script()), FakeUpstream::start());
            // Neither of them goes on from a prefix.
            let hale = pair(&bad, &good)
                .router(json!({"disable_cooldowns": true}))
                .router(hold.clone())
                .start();
            let streamed = stream(&hale, CHAT, &request());
            assert_eq!(streamed.text(), openai::TEXT, "{hold}");
            assert!(streamed.events.last().unwrap().is_done() && streamed.comments().is_empty());
            assert_eq!((bad.requests().len(), good.requests().len()), (1, 1));
        }
    }
}

#[test]
fn what_is_held_back_leaves_when_its_time_or_its_tokens_are_over() {
    let slow = || half().wait("go").event(&openai::finish_chunk("gpt-4o", "stop")).done();
    for hold in [json!({"rescue_buffer_ms": 300}), json!({"rescue_buffer_tokens": 5}), json!({})] {
        let up = FakeUpstream::with(move |_| slow());
        let hale = Config::new().deployment("m", "a", &up).router(hold).start();
        let mut own = client(&hale);
        let mut stream = own.stream(CHAT, &[], &request());
        assert_eq!(stream.status, 200);
        let first = stream.next_event().unwrap();
        assert!(first.json()["choices"].is_array());
        up.release("go");
        assert!(stream.remaining().last().unwrap().is_done());
    }
    let up = FakeUpstream::start();
    let hale =
        Config::new().deployment("m", "a", &up).router(json!({"rescue_buffer_ms": 60_000})).start();
    assert_eq!(
        stream(&hale, CHAT, &request()).text(),
        openai::TEXT,
        "a whole answer waits for nothing"
    );
}

#[test]
fn a_stream_of_googles_clients_goes_on_at_another_wire_without_a_comment() {
    let said = |text: &str| gemini::chunk(json!([{"text": text}]));
    let bad = FakeUpstream::with(move |_| {
        let half = pieces(0, HALF).into_iter().map(said);
        half.fold(Script::ok().stream(), |it, one| it.event(&one)).close()
    });
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let google =
        json!({"model": "gemini/gemini-2.5-flash", "api_base": bad.url(), "api_key": "AIza-test"});
    for model in ["openai/gpt-4o", "anthropic/claude-haiku-4-5"] {
        let good = FakeUpstream::with(goes_on);
        let base = if model.starts_with("anthropic") { good.url() } else { good.api_base() };
        let hale = Config::new()
            .general(json!({"request_log": LOG}))
            .router(json!({"disable_cooldowns": true}))
            .entry(entry("bad", &bad, google.clone()))
            .entry(entry("good", &good, json!({"model": model, "api_base": base})))
            .start();
        let streamed = stream(&hale, "/v1beta/models/m:streamGenerateContent?alt=sse", &body);
        assert_eq!(streamed.text(), ANSWER, "{model}");
        assert_eq!((streamed.rescue.as_deref(), streamed.comments()), (Some("allowed"), vec![]));
        let last = streamed.events.last().unwrap().json();
        assert_eq!(last["candidates"][0]["finishReason"], "STOP", "{last}");
        assert_eq!(last["responseId"], "resp-1", "{last}");
        assert_eq!(wait_for_records(&hale, 1)[0]["rescue"], "continued");
    }
    let schema = json!({"contents": body["contents"], "generationConfig": {"responseMimeType": "application/json"}});
    let good = FakeUpstream::with(goes_on);
    let hale = Config::new()
        .entry(entry("bad", &bad, google))
        .entry(entry("good", &good, json!({})))
        .start();
    let told = stream(&hale, "/v1beta/models/m:streamGenerateContent?alt=sse", &schema);
    assert_eq!(told.rescue.as_deref(), Some("no; schema"));
    assert_eq!(told.error()["code"], 502, "{}", told.error());
}
