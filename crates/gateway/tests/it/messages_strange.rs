//! Upstreams of another format that follow it literally, or nearly: what clients get, and which side gets the blame.

use hale_testkit::{FakeUpstream, Hale, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{Config, client};

/// One OpenAI deployment `gpt` of group `m` behind `script`, called once for each request.
fn serve(script: Script) -> (FakeUpstream, Hale) {
    let upstream = FakeUpstream::with(move |_| script.clone());
    let config = Config::new().deployment("m", "gpt", &upstream);
    let hale = config.router(json!({"num_retries": 0})).start();
    (upstream, hale)
}

/// The events of a stream; what `upstream` holds back comes after the first text.
fn streamed(upstream: &FakeUpstream, hale: &Hale) -> Vec<(Option<String>, String)> {
    let mut client = client(hale);
    let mut stream = client.stream("/v1/messages", &[], &anthropic::stream_request("m", "hi"));
    let mut all = Vec::new();
    while let Some(event) = stream.next_event() {
        if event.data.contains("text_delta") {
            upstream.release("more");
        }
        all.push((event.name, event.data));
    }
    all
}

/// A text, and when it has arrived these chunks.
fn chunks(chunks: &[Value]) -> Script {
    let begun = Script::ok().stream().event(&openai::content_chunk("x", "Hel")).wait("more");
    chunks.iter().fold(begun, |script, chunk| script.event(chunk)).done()
}

/// The failures counted against the deployment, and its state.
fn standing(hale: &Hale) -> (Value, Value) {
    let state = client(hale).get("/router/state").json();
    let deployment = &state["deployments"][0];
    (deployment["failures"].clone(), deployment["state"].clone())
}

#[test]
fn a_call_that_the_clients_limit_cut_off_counts_against_no_deployment() {
    let mut answer = openai::chat_completion("x", "So");
    answer["choices"][0]["finish_reason"] = json!("length");
    answer["choices"][0]["message"]["tool_calls"] =
        json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"x\":"}}]);
    let (_upstream, hale) = serve(Script::ok().json(&answer));
    for _ in 0..5 {
        let answer = client(&hale).post_json("/v1/messages", &[], &anthropic::request("m", "hi"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["stop_reason"], "max_tokens");
        assert_eq!(answer.json()["content"].as_array().unwrap().len(), 1);
    }
    assert_eq!(standing(&hale), (json!({}), json!("ready")));
}

#[test]
fn content_that_is_not_understood_ends_a_translated_stream_with_an_error() {
    let odd = openai::chunk("x", &json!({"content": [{"type": "hologram"}]}), None);
    let said = [odd, openai::finish_chunk("x", "stop")];
    let (upstream, hale) = serve(chunks(&said));
    let got = streamed(&upstream, &hale);
    let (name, data) = got.last().unwrap();
    assert_eq!(name.as_deref(), Some("error"), "{got:?}");
    assert!(data.contains("hologram"), "{data}");
    assert_eq!(standing(&hale).0, json!({"bad_response": 1}));
}

#[test]
fn a_failure_as_finish_reason_does_not_end_the_turn() {
    for reason in ["error", "insufficient_system_resource"] {
        let said = [openai::finish_chunk("x", reason)];
        let (upstream, hale) = serve(chunks(&said));
        let got = streamed(&upstream, &hale);
        assert_eq!(got.last().unwrap().0.as_deref(), Some("error"), "{got:?}");
        assert!(!got.iter().any(|(_, data)| data.contains("end_turn")), "{got:?}");
        assert_eq!(standing(&hale).0, json!({"server_error": 1}));
    }
}

#[test]
fn a_stream_of_endless_calls_is_ended() {
    let call = |index: u64| {
        let call = json!({"index": index, "id": format!("c{index}"),
                          "function": {"name": "f", "arguments": "{}"}});
        openai::chunk("x", &json!({"tool_calls": [call]}), None)
    };
    let (upstream, hale) = serve(chunks(&(0..1_100).map(call).collect::<Vec<_>>()));
    let got = streamed(&upstream, &hale);
    assert!(got.last().unwrap().1.contains("1024 tool calls"), "{:?}", got.last());
    assert_eq!(standing(&hale).0, json!({"bad_response": 1}));
}

#[test]
fn content_in_parts_and_characters_in_halves_arrive() {
    let thought = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]);
    let half = |text: &str| {
        let chunk = openai::content_chunk("x", "HALF").to_string();
        chunk.replace("HALF", text)
    };
    let script = Script::ok()
        .stream()
        .event(&openai::chunk("x", &json!({"content": thought}), None))
        .data(&half("a\\ud83d"))
        .data(&half("\\ude00"))
        .event(&openai::finish_chunk("x", "stop"))
        .done();
    let (upstream, hale) = serve(script);
    let all: Vec<Value> = streamed(&upstream, &hale)
        .iter()
        .filter_map(|(_, data)| serde_json::from_str(data).ok())
        .collect();
    let joined = |name: &str| -> String {
        all.iter().filter_map(|event| event["delta"][name].as_str()).collect()
    };
    assert_eq!((joined("thinking"), joined("text")), ("Hm.".into(), "a\u{1f600}".into()));
}
