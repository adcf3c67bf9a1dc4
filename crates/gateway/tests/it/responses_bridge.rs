//! `/v1/responses` in front of providers that have no responses: chats, Anthropic's and Google's formats. The consumer here
//! demands of a stream what OpenAI's clients and Codex demand.

use std::collections::BTreeMap;

use hale_testkit::{FakeUpstream, Hale, Script, anthropic, gemini, openai};
use serde_json::{Value, json};

use crate::sessions::{last, served, with};
use crate::support::{Config, client, column, expect_error};

pub(crate) const RESPONSES: &str = "/v1/responses";

/// A model, how its provider answers, and what that says.
type Wire = (&'static str, fn(&hale_testkit::Request) -> Script, &'static str);

/// The models of the wires.
const WIRES: [Wire; 3] = [
    ("deepseek/deepseek-chat", Script::answer, openai::TEXT),
    ("anthropic/claude-sonnet-4-5", anthropic::answer, anthropic::TEXT),
    ("gemini/gemini-2.5-flash", gemini::answer, gemini::TEXT),
];

pub(crate) fn config(upstream: &FakeUpstream, model: &str) -> Config {
    let base = match model.starts_with("gemini/") {
        true => upstream.api_base().replace("/v1", "/v1beta"),
        false => upstream.api_base(),
    };
    let key = if model.starts_with("gemini/") { gemini::KEY } else { "sk-upstream" };
    Config::new().with(
        "m",
        "a",
        upstream,
        json!({"model": model, "api_key": key, "api_base": base}),
    )
}

pub(crate) fn ask(more: Value) -> Value {
    with(json!({"model": "m", "input": "hi"}), more)
}

/// The response that ends a stream. Checks what clients rely on: the numbers of events, items before their pieces, pieces that
/// add up to the items that are done, one end with all items.
#[track_caller]
pub(crate) fn consumed(hale: &Hale, body: &Value) -> (Value, Vec<String>) {
    let mut client = client(hale);
    let mut stream = client.stream(RESPONSES, &[], &with(body.clone(), json!({"stream": true})));
    assert_eq!(stream.status, 200);
    assert!(stream.header("content-type").unwrap().starts_with("text/event-stream"));
    let (mut kinds, mut number) = (Vec::new(), 0);
    let mut open: BTreeMap<u64, (Value, String)> = BTreeMap::new();
    let (mut done, mut end) = (BTreeMap::new(), None);
    while let Some(event) = stream.next_event() {
        if event.comment.is_some() {
            continue;
        }
        assert_eq!(end, None, "an event after the end: {event:?}");
        let name = event.name.clone().unwrap();
        let event = event.json();
        assert_eq!((&event["type"], &event["sequence_number"]), (&json!(name), &json!(number)));
        number += 1;
        kinds.push(name.trim_start_matches("response.").to_owned());
        let at = event["output_index"].as_u64();
        if let (Some(at), Some(item)) = (at, event["item_id"].as_str()) {
            let (added, text) = open.get_mut(&at).expect("a piece of an item that was not added");
            assert_eq!(added["id"], item);
            if name.ends_with(".delta") {
                text.push_str(event["delta"].as_str().unwrap());
            }
        }
        match &*name {
            "response.created" => assert_eq!(number, 1),
            "response.output_item.added" => {
                open.insert(at.unwrap(), (event["item"].clone(), String::new()));
            }
            "response.output_item.done" => {
                let (added, text) = open.remove(&at.unwrap()).expect("it was added");
                let item = event["item"].clone();
                assert_eq!((&added["id"], &added["type"]), (&item["id"], &item["type"]));
                let texts = |list: &Value| {
                    let parts = list.as_array().into_iter().flatten();
                    let text = |part: &Value| {
                        part["text"].as_str().or(part["refusal"].as_str()).unwrap().to_owned()
                    };
                    parts.map(text).collect::<String>()
                };
                let whole = match item["type"].as_str().unwrap() {
                    "message" => texts(&item["content"]),
                    "reasoning" => texts(&item["summary"]) + &texts(&item["content"]),
                    "function_call" => item["arguments"].as_str().unwrap().to_owned(),
                    "custom_tool_call" => item["input"].as_str().unwrap().to_owned(),
                    _ => String::new(),
                };
                assert_eq!(text, whole, "the pieces of {item}");
                done.insert(at.unwrap(), item);
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                end = Some(event["response"].clone());
            }
            _ => {}
        }
    }
    let end = end.expect("stream closed before response.completed");
    assert_eq!(end["output"], json!(done.into_values().collect::<Vec<_>>()));
    (end, kinds)
}

/// A response without what differs from answer to answer.
fn plain(mut response: Value) -> Value {
    response["id"] = json!("");
    response["created_at"] = json!(0);
    for item in response["output"].as_array_mut().unwrap() {
        item["id"] = json!("");
    }
    response
}

/// The response in one piece, and the one that ends the stream of the same answer, which must be equal.
#[track_caller]
pub(crate) fn both(hale: &Hale, body: &Value) -> Value {
    let (streamed, _) = consumed(hale, body);
    let whole = served(hale, RESPONSES, body);
    assert_eq!(plain(streamed), plain(whole.clone()));
    whole
}

fn chat_stream(deltas: &[Value], finish: &str) -> Script {
    let mut chunks = vec![openai::role_chunk("up")];
    chunks.extend(deltas.iter().map(|delta| openai::chunk("up", delta, None)));
    chunks.push(openai::finish_chunk("up", finish));
    Script::ok().stream().events(&chunks).done().end()
}

/// A chat with that message, in one piece or as these deltas.
pub(crate) fn chat_answer(
    message: Value,
    deltas: Vec<Value>,
    finish: &'static str,
) -> FakeUpstream {
    FakeUpstream::with(move |request| {
        if request.json()["stream"] == true {
            return chat_stream(&deltas, finish);
        }
        let mut body = openai::chat_completion("up", "");
        body["choices"][0]["message"] = message.clone();
        body["choices"][0]["finish_reason"] = json!(finish);
        body.as_object_mut().unwrap().remove("usage");
        Script::ok().json(&body)
    })
}

#[test]
fn a_text_comes_from_every_wire_whole_and_in_the_same_events() {
    for (model, answer, text) in WIRES {
        let upstream = FakeUpstream::with(answer);
        let hale = config(&upstream, model).start();
        let body = ask(
            json!({"instructions": "Be kind.", "max_output_tokens": 99, "user": "u", "metadata": {"a": "b"}}),
        );
        let response = served(&hale, RESPONSES, &body);
        let id = response["id"].as_str().unwrap();
        assert!(id.starts_with("resp_"), "{model}: {response}");
        let message = response["output"].as_array().unwrap().last().unwrap();
        assert_eq!(message["content"][0]["text"], text, "{model}");
        assert_eq!((&response["model"], &response["store"]), (&json!("m"), &json!(false)));
        assert_eq!(
            (&response["instructions"], &response["metadata"]),
            (&json!("Be kind."), &json!({"a": "b"}))
        );
        assert_eq!(response["usage"]["output_tokens"], 7, "{model}: {response}");
        assert_eq!(response["status"], "completed");
        let (end, kinds) = consumed(&hale, &ask(json!({"reasoning": {"summary": "auto"}})));
        let shown = column(&end["output"], "type");
        assert_eq!(shown.last(), Some(&json!("message")), "{model}");
        let at = kinds.iter().position(|kind| kind == "content_part.added").unwrap();
        assert_eq!(kinds[..2], ["created", "in_progress"], "{model}");
        assert_eq!(kinds[at - 1], "output_item.added");
        assert_eq!(
            kinds[kinds.len() - 4..],
            ["output_text.done", "content_part.done", "output_item.done", "completed"]
        );
        assert_eq!(end["usage"]["total_tokens"], 16, "{model}: {end}");
        let again = served(&hale, RESPONSES, &body);
        assert_ne!(again["id"], response["id"], "each response has an id of its own");
    }
}

#[test]
fn a_request_reaches_a_chat_with_its_turns_tools_and_shape() {
    let upstream = FakeUpstream::with(Script::answer);
    let hale = config(&upstream, "deepseek/deepseek-chat").start();
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let body = ask(json!({
        "instructions": "Be kind.",
        "input": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "input_text", "text": "weather?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{\"city\":\"Rome\"}"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        ],
        "tools": [{"type": "function", "name": "weather", "description": "d", "parameters": schema, "strict": false}],
        "tool_choice": {"type": "function", "name": "weather"},
        "parallel_tool_calls": false,
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "store": false, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k",
        "client_metadata": {"x": "y"}, "truncation": "disabled", "background": false,
    }));
    served(&hale, RESPONSES, &body);
    let sent = last(&upstream);
    assert_eq!(sent.path, "/v1/chat/completions");
    let sent = sent.json();
    assert_eq!(
        column(&sent["messages"], "role"),
        ["system", "user", "assistant", "tool"].map(|role| json!(role))
    );
    let assistant = &sent["messages"][2];
    assert_eq!(assistant["content"], "Let me look.");
    assert_eq!(assistant["tool_calls"][0]["function"]["arguments"], "{\"city\":\"Rome\"}");
    assert_eq!(sent["messages"][3]["content"], "sunny");
    assert_eq!(sent["messages"][1]["content"][1]["image_url"]["url"], "data:image/png;base64,AAAA");
    assert_eq!(sent["tools"][0]["function"]["name"], "weather");
    assert_eq!(sent["tool_choice"]["function"]["name"], "weather");
    assert_eq!(
        (&sent["parallel_tool_calls"], &sent["response_format"]["type"]),
        (&json!(false), &json!("json_object"))
    );
    for absent in
        ["store", "include", "prompt_cache_key", "client_metadata", "input", "instructions", "text"]
    {
        assert_eq!(sent.get(absent), None, "{absent}");
    }
}

#[test]
fn calls_that_come_mixed_are_items_of_their_own() {
    let start = |index: u64, id: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": "f", "arguments": ""}}]});
    let piece = |index: u64, text: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    let deltas = vec![
        json!({"content": "Look."}),
        start(0, "a"),
        start(1, "b"),
        piece(0, "{\"x\":"),
        piece(1, "{\"y\""),
        piece(0, "1}"),
        start(2, "c"),
        piece(1, ":2}"),
    ];
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let message = json!({"role": "assistant", "content": "Look.",
        "tool_calls": [call("a", "{\"x\":1}"), call("b", "{\"y\":2}"), call("c", "")]});
    let upstream = chat_answer(message, deltas, "tool_calls");
    let hale = config(&upstream, "deepseek/deepseek-chat").start();
    let tools = json!({"tools": [{"type": "function", "name": "f", "parameters": null}]});
    let response = both(&hale, &ask(tools));
    let output = &response["output"];
    assert_eq!(column(output, "type")[0], "message");
    assert_eq!(column(output, "call_id")[1..], [json!("a"), json!("b"), json!("c")]);
    assert_eq!(
        column(output, "arguments")[1..],
        [json!("{\"x\":1}"), json!("{\"y\":2}"), json!("{}")]
    );
    assert_eq!(response["status"], "completed");
}

#[test]
fn what_was_cut_is_incomplete_and_half_a_call_is_none() {
    let half = json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\""}}]});
    let message =
        json!({"role": "assistant", "content": "So", "tool_calls": [half["tool_calls"][0]]});
    for (finish, reason) in [("length", "max_output_tokens"), ("content_filter", "content_filter")]
    {
        let texts = vec![json!({"content": "So"})];
        let upstream =
            chat_answer(json!({"role": "assistant", "content": "So"}), texts.clone(), finish);
        let hale = config(&upstream, "deepseek/deepseek-chat").start();
        assert_eq!(both(&hale, &ask(json!({})))["output"][0]["status"], "incomplete");
        let upstream = chat_answer(message.clone(), [texts, vec![half.clone()]].concat(), finish);
        let hale = config(&upstream, "deepseek/deepseek-chat").start();
        let (end, kinds) = consumed(&hale, &ask(json!({})));
        assert_eq!(kinds.last().unwrap(), "incomplete");
        assert_eq!(
            (&end["status"], &end["incomplete_details"]["reason"]),
            (&json!("incomplete"), &json!(reason))
        );
        assert_eq!(column(&end["output"], "type"), [json!("message")]);
        assert_eq!(end["output"][0]["status"], "completed", "it was whole before the call");
    }
}

#[test]
fn a_stream_that_breaks_fails_by_its_code() {
    let upstream = FakeUpstream::with(|_| {
        let chunks = [openai::role_chunk("up"), openai::content_chunk("up", "Hel")];
        Script::ok().stream().events(&chunks).close()
    });
    let hale = config(&upstream, "deepseek/deepseek-chat").start();
    let (end, kinds) = consumed_broken(&hale, &ask(json!({})));
    assert_eq!(kinds.last().unwrap(), "failed");
    assert_eq!((&end["status"], &end["error"]["code"]), (&json!("failed"), &json!("server_error")));
    for (status, code, expected) in [
        (429, "rate_limit_exceeded", "rate_limit_exceeded"),
        (429, "insufficient_quota", "insufficient_quota"),
        (400, "context_length_exceeded", "context_length_exceeded"),
        (503, "overloaded", "server_is_overloaded"),
    ] {
        let upstream = FakeUpstream::with(move |_| {
            let error = json!({"error": {"message": "no more", "type": "x", "code": code, "status": status}});
            Script::ok().stream().event(&openai::content_chunk("up", "Hel")).event(&error).end()
        });
        let hale = config(&upstream, "deepseek/deepseek-chat").start();
        let (end, _) = consumed_broken(&hale, &ask(json!({})));
        assert_eq!(end["error"]["code"], expected, "{end}");
    }
}

/// The same as [`consumed`] of a stream whose items are not all done.
#[track_caller]
fn consumed_broken(hale: &Hale, body: &Value) -> (Value, Vec<String>) {
    let mut client = client(hale);
    let mut stream = client.stream(RESPONSES, &[], &with(body.clone(), json!({"stream": true})));
    let (mut kinds, mut end) = (Vec::new(), Value::Null);
    while let Some(event) = stream.next_event() {
        let Some(name) = event.name.clone() else { continue };
        let event = event.json();
        assert_eq!(event["sequence_number"], kinds.len());
        kinds.push(name.trim_start_matches("response.").to_owned());
        end = event["response"].clone();
    }
    (end, kinds)
}

#[test]
fn what_no_provider_keeps_is_refused_with_the_way_out() {
    let upstream = FakeUpstream::with(Script::answer);
    let hale = config(&upstream, "deepseek/deepseek-chat").start();
    let id = served(&hale, RESPONSES, &ask(json!({})))["id"].as_str().unwrap().to_owned();
    for (more, param) in [
        (json!({"previous_response_id": id}), "previous_response_id"),
        (json!({"previous_response_id": "resp_unknown"}), "previous_response_id"),
        (json!({"conversation": "conv_1"}), "conversation"),
        (json!({"prompt": {"id": "pmpt_1"}}), "prompt"),
        (json!({"background": true}), "background"),
        (json!({"truncation": "auto"}), "truncation"),
        (
            json!({"input": [{"type": "item_reference", "id": "msg_1"}]}),
            "input[0].type: item_reference",
        ),
        (
            json!({"input": [{"type": "compaction", "encrypted_content": "gAAAAB"}]}),
            "input[0].encrypted_content",
        ),
        (
            json!({"input": [{"type": "function_call_output", "call_id": "c9", "output": "x"}]}),
            "messages: the result of tool call c9",
        ),
        (
            json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}),
            "tool_choice: web_search",
        ),
    ] {
        let answer = client(&hale).post_json(RESPONSES, &[], &ask(more));
        assert_eq!(answer.status, 400, "{}", answer.text());
        let error = &answer.json()["error"];
        assert_eq!(error["param"], param, "{error}");
    }
    let gone = client(&hale).request("GET", &format!("{RESPONSES}/{id}"), &[], b"");
    expect_error(&gone, 404, "unknown_response");
    assert_eq!(upstream.requests().len(), 1);
}
