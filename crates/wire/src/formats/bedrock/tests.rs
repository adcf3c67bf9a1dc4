//! What requests of clients become for Bedrock, and its answers for clients. The cases with numbers are those of Bedrock's SDK.

mod claude;

use bytes::Bytes;
use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_testkit::bedrock;
use serde_json::{Value, json};

use crate::conversion::answer::check;
use crate::conversion::prepare::Conversion;
use crate::conversion::stream::Reader;
use crate::fixture::{data, deployment, order, sent, view};
use crate::formats::answer::Fault;
use crate::formats::neutral::Unfit;
use crate::formats::order::Order;

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "us.amazon.nova-2-lite-v1:0";
const LLAMA: &str = "us.meta.llama4-scout-17b-instruct-v1:0";

fn at_bedrock() -> Deployment {
    let mut deployment = deployment("bedrock");
    deployment.endpoint.takes = None;
    deployment
}

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn try_chat(model: &str, more: Value, drop_params: bool) -> Result<Value, Unfit> {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let deployment = at_bedrock();
    let order = Order { drop_params, ..order(&deployment, Operation::Chat, model) };
    sent(&with(body, more), &order)
}

fn chat(model: &str, more: Value) -> Value {
    try_chat(model, more, false).unwrap()
}

fn messages(model: &str, more: Value) -> Value {
    let body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    sent(&with(body, more), &order(&at_bedrock(), Operation::Messages, model)).unwrap()
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn tool(name: &str, parameters: Value) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": parameters}})
}

#[test]
fn turns_alternate_and_results_stand_in_the_order_of_the_calls() {
    let history = json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call("t1", "f", "{\"x\":1}"), call("t2", "f", "")]},
        {"role": "tool", "tool_call_id": "t2", "content": "two"},
        {"role": "tool", "tool_call_id": "t1", "content": [{"type": "text", "text": "one"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]);
    let out = chat(
        CLAUDE,
        json!({"messages": history, "max_tokens": 7, "temperature": 0.5, "stop": ["x", " "]}),
    );
    let expected = json!([
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "assistant", "content": [{"text": "Let me look."},
            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"x": 1}}},
            {"toolUse": {"toolUseId": "t2", "name": "f", "input": {}}}]},
        {"role": "user", "content": [
            {"toolResult": {"toolUseId": "t1", "content": [{"text": "one"}, {"image": {"format": "png", "source": {"bytes": "AAAA"}}}]}},
            {"toolResult": {"toolUseId": "t2", "content": [{"text": "two"}]}}]},
    ]);
    assert_eq!(out["messages"], expected, "{out}");
    assert_eq!(out["system"], json!([{"text": "be kind"}]));
    let config = json!({"maxTokens": 7, "temperature": 0.5, "stopSequences": ["x"]});
    assert_eq!(out["inferenceConfig"], config);
    // The history calls a tool that the request does not offer.
    assert_eq!(out["toolConfig"]["tools"][0]["toolSpec"]["name"], "f");
    assert_eq!(out["toolConfig"].get("toolChoice"), None);
}

#[test]
fn blank_texts_and_lone_documents_make_turns_that_the_provider_takes() {
    let pdf = json!({"type": "file", "file": {"filename": "Q3.pdf", "file_data": "data:application/pdf;base64,AAAA"}});
    let history = json!([{"role": "assistant", "content": "hello"}, {"role": "user", "content": " "},
        {"role": "user", "content": [pdf, pdf]}]);
    let out = chat(CLAUDE, json!({"messages": history}));
    let document = |name: &str| json!({"document": {"format": "pdf", "name": name, "source": {"bytes": "AAAA"}}});
    let expected = json!([{"role": "user", "content": [{"text": "."}]},
        {"role": "assistant", "content": [{"text": "hello"}]},
        {"role": "user", "content": [document("Q3"), document("Q3 2"), {"text": "."}]}]);
    assert_eq!(out["messages"], expected, "{out}");
    assert_eq!(out.get("inferenceConfig"), None);
}

#[test]
fn ids_and_names_have_the_letters_of_the_provider_and_stay_apart() {
    let long = "x".repeat(90);
    for id in ["call_abc__thought__xyz", &long, "a b"] {
        let history = json!([{"role": "user", "content": "a"},
            {"role": "assistant", "content": null, "tool_calls": [call(id, "f", "{}")]},
            {"role": "tool", "tool_call_id": id, "content": "x"}]);
        let out = chat(CLAUDE, json!({"messages": history}));
        let sent = out["messages"][1]["content"][0]["toolUse"]["toolUseId"].as_str().unwrap();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        assert!((1..=64).contains(&sent.len()) && sent.chars().all(plain), "{sent}");
        assert_eq!(out["messages"][2]["content"][0]["toolResult"]["toolUseId"], sent);
    }
    let tools = json!([tool("mcp.server/tool", json!({})), tool("mcp_server_tool", json!({}))]);
    let out = chat(CLAUDE, json!({"tools": tools}));
    let name = |at: usize| out["toolConfig"]["tools"][at]["toolSpec"]["name"].as_str().unwrap();
    assert!(name(0).starts_with("mcp_server_tool_") && name(0) != name(1), "{out}");
    // A description is demanded, and a schema of an object.
    let spec = &out["toolConfig"]["tools"][1]["toolSpec"];
    assert_eq!(spec["description"], "mcp_server_tool");
    assert_eq!(spec["inputSchema"]["json"]["type"], "object");
}

#[test]
fn a_choice_of_tools_is_written_or_refused() {
    let tools = json!([tool("f", json!({"type": "object"})), tool("g", json!({"type": "object"}))]);
    let with_choice = |choice: Value| chat(CLAUDE, json!({"tools": tools, "tool_choice": choice}));
    assert_eq!(with_choice(json!("auto"))["toolConfig"]["toolChoice"], json!({"auto": {}}));
    assert_eq!(with_choice(json!("required"))["toolConfig"]["toolChoice"], json!({"any": {}}));
    let named = json!({"type": "function", "function": {"name": "g"}});
    assert_eq!(with_choice(named)["toolConfig"]["toolChoice"], json!({"tool": {"name": "g"}}));
    assert_eq!(with_choice(json!("none")).get("toolConfig"), None);
    let history = json!([{"role": "user", "content": "a"},
        {"role": "assistant", "content": null, "tool_calls": [call("t", "f", "{}")]},
        {"role": "tool", "tool_call_id": "t", "content": "x"}]);
    let none = json!({"tools": tools, "tool_choice": "none", "messages": history});
    assert_eq!(try_chat(CLAUDE, none.clone(), false).unwrap_err().field, "tool_choice");
    let out = try_chat(CLAUDE, none, true).unwrap();
    assert!(out["toolConfig"]["tools"].is_array() && out["toolConfig"].get("toolChoice").is_none());
    let one = json!({"tools": tools, "parallel_tool_calls": false});
    let limit = json!({"type": "auto", "disable_parallel_tool_use": true});
    assert_eq!(chat(CLAUDE, one.clone())["additionalModelRequestFields"]["tool_choice"], limit);
    assert_eq!(try_chat(LLAMA, one, false).unwrap_err().field, "parallel_tool_calls");
}

#[test]
fn what_has_no_place_is_refused_by_its_name_or_dropped() {
    for (name, value) in [
        ("n", json!(2)),
        ("seed", json!(1)),
        ("logprobs", json!(true)),
        ("presence_penalty", json!(0.5)),
        ("logit_bias", json!({"1": 2})),
        ("modalities", json!(["text", "audio"])),
        ("web_search_options", json!({})),
        ("service_tier", json!("scale")),
    ] {
        let more = json!({name: value});
        assert_eq!(try_chat(CLAUDE, more.clone(), false).unwrap_err().field, name);
        let out = try_chat(CLAUDE, more, true).unwrap();
        assert_eq!(out.as_object().unwrap().keys().collect::<Vec<_>>(), ["messages"], "{name}");
    }
    let harmless = json!({"n": 1, "user": "u", "metadata": {"a": "b"}, "store": true, "presence_penalty": 0,
        "stream_options": {"include_usage": true}, "prompt_cache_key": "k"});
    assert_eq!(chat(CLAUDE, harmless).as_object().unwrap().len(), 1);
    let guardrail = json!({"guardrailIdentifier": "g", "guardrailVersion": "1"});
    let out = chat(
        CLAUDE,
        json!({"guardrailConfig": guardrail, "performanceConfig": {"latency": "optimized"},
        "service_tier": "flex", "requestMetadata": {"a": "b"}, "top_k": 5,
        "additionalModelRequestFields": {"x": 1}}),
    );
    assert_eq!(out["guardrailConfig"], guardrail);
    assert_eq!(out["performanceConfig"]["latency"], "optimized");
    assert_eq!(out["serviceTier"], json!({"type": "flex"}));
    assert_eq!(out["requestMetadata"], json!({"a": "b"}));
    assert_eq!(out["additionalModelRequestFields"], json!({"top_k": 5, "x": 1}));
    let nova = chat(NOVA, json!({"top_k": 5, "web_search_options": {}}));
    assert_eq!(nova["additionalModelRequestFields"], json!({"inferenceConfig": {"topK": 5}}));
    assert_eq!(nova["toolConfig"]["tools"], json!([{"systemTool": {"name": "nova_grounding"}}]));
}

#[test]
fn each_family_is_told_to_reason_in_its_own_words() {
    let told = |model: &str| {
        chat(model, json!({"reasoning_effort": "high"}))["additionalModelRequestFields"].clone()
    };
    let budget = json!({"thinking": {"type": "enabled", "budget_tokens": 4096}});
    assert_eq!(told(CLAUDE), budget);
    let adaptive = json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}});
    assert_eq!(told("us.anthropic.claude-opus-4-6-v1"), adaptive);
    let nova = json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}});
    assert_eq!(told(NOVA), nova);
    assert_eq!(told("openai.gpt-oss-120b-1:0"), json!({"reasoning_effort": "high"}));
    assert_eq!(told("openai.gpt-5"), json!({"reasoning": {"effort": "high"}}));
    // An effort advises: a model without one gets none.
    assert_eq!(told(LLAMA), Value::Null);
    let thinking = json!({"type": "enabled", "budget_tokens": 2000});
    let out = messages(CLAUDE, json!({"max_tokens": 4000, "thinking": thinking}));
    assert_eq!(out["additionalModelRequestFields"], json!({"thinking": thinking}));
    let gpt = messages("openai.gpt-oss-20b-1:0", json!({"max_tokens": 9000, "thinking": thinking}));
    assert_eq!(gpt["additionalModelRequestFields"], json!({"reasoning_effort": "low"}));
}

#[test]
fn a_shape_of_the_answer_is_a_text_of_its_schema_or_a_tool() {
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let format = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}});
    let out = chat(CLAUDE, format.clone());
    let shape = &out["outputConfig"]["textFormat"];
    assert_eq!(
        (&shape["type"], &shape["structure"]["jsonSchema"]["name"]),
        (&json!("json_schema"), &json!("n"))
    );
    let text = shape["structure"]["jsonSchema"]["schema"].as_str().unwrap();
    let written: Value = serde_json::from_str(text).unwrap();
    assert_eq!(written["additionalProperties"], false);
    let out = chat(LLAMA, format);
    assert_eq!(out.get("outputConfig"), None);
    assert_eq!(out["toolConfig"]["toolChoice"], json!({"tool": {"name": "json_answer"}}));
    let object = json!({"response_format": {"type": "json_object"}});
    assert_eq!(chat(CLAUDE, object.clone()).as_object().unwrap().len(), 1);
    assert_eq!(try_chat(LLAMA, object, false).unwrap_err().field, "response_format");
}

#[test]
fn marks_of_the_cache_become_points_and_only_four_count() {
    let mark = json!({"type": "ephemeral"});
    let hour = json!({"type": "ephemeral", "ttl": "1h"});
    let text =
        |text: &str, mark: &Value| json!({"type": "text", "text": text, "cache_control": mark});
    let marked = json!({"system": [text("s", &hour)],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": mark}],
        "messages": [{"role": "user", "content": [text("a", &mark), text("b", &mark), text("c", &mark), text("d", &mark)]}]});
    let out = messages(CLAUDE, marked.clone());
    let point = json!({"cachePoint": {"type": "default"}});
    assert_eq!(
        out["system"],
        json!([{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}])
    );
    assert_eq!(out["toolConfig"]["tools"][1], point);
    let expected =
        json!([{"text": "a"}, {"text": "b"}, {"text": "c"}, point, {"text": "d"}, point]);
    assert_eq!(out["messages"][0]["content"], expected);
    // This model has no cache, and would refuse the request.
    assert!(!messages(LLAMA, marked).to_string().contains("cachePoint"));
}

#[test]
fn reasoning_goes_back_to_claude_first_and_to_others_not_at_all() {
    let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": "c2ln"});
    let redacted = json!({"type": "redacted_thinking", "data": "QQ=="});
    let history = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": [thought, redacted, call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}]);
    let out = messages(CLAUDE, json!({"messages": history}));
    let expected = json!([{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "QQ=="}},
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]);
    assert_eq!(out["messages"][1]["content"], expected);
    let out = messages(NOVA, json!({"messages": history}));
    assert_eq!(out["messages"][1]["content"].as_array().unwrap().len(), 1, "{out}");
}

#[test]
fn data_without_a_word_in_the_format_is_refused() {
    let part = |part: Value| {
        try_chat(CLAUDE, json!({"messages": [{"role": "user", "content": [part]}]}), false)
    };
    let image = |url: &str| part(json!({"type": "image_url", "image_url": {"url": url}}));
    assert!(image("data:image/bmp;base64,AAAA").unwrap_err().field.contains("image/bmp"));
    assert!(image("https://example.com/a.png").unwrap_err().field.contains("address"));
    let found = image("s3://bucket/a.png").unwrap();
    let place = json!({"s3Location": {"uri": "s3://bucket/a.png"}});
    assert_eq!(found["messages"][0]["content"][0]["image"]["source"], place);
    for (media_type, format) in [
        ("text/csv", "csv"),
        ("text/x-python", "txt"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ] {
        let file =
            json!({"file_data": format!("data:{media_type};base64,AAAA"), "filename": "a.b"});
        let out = part(json!({"type": "file", "file": file})).unwrap();
        assert_eq!(out["messages"][0]["content"][0]["document"]["format"], format, "{media_type}");
    }
}

const CHAT: Conversion = Conversion { operation: Operation::Chat, wire: WireFormat::Converse };
const MESSAGES: Conversion =
    Conversion { operation: Operation::Messages, wire: WireFormat::Converse };

fn content() -> Value {
    let thought = json!({"text": "hm", "signature": "c2ln"});
    json!([{"reasoningContent": {"reasoningText": thought}}, {"text": "Let me look."},
        {"toolUse": {"toolUseId": "tooluse_1", "name": "f", "input": {"x": 1}}},
        {"toolUse": {"toolUseId": "tooluse_2", "name": "g", "input": {}}}])
}

fn full(conversion: Conversion, body: &Value) -> Result<Value, Fault> {
    let checked = check(conversion, &Bytes::from(body.to_string()), &view())?;
    Ok(serde_json::from_slice(&checked.body).unwrap())
}

/// What a client gets of these frames in pieces of `size` bytes.
fn streamed(conversion: Conversion, frames: &[Vec<u8>], size: usize) -> (Reader, String) {
    let mut reader = Reader::new(conversion, view());
    let mut out = Vec::new();
    for piece in frames.concat().chunks(size) {
        reader.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
    }
    reader.finish(&mut out).unwrap();
    (reader, String::from_utf8(out).unwrap())
}

#[test]
fn an_answer_says_the_same_in_one_piece_and_as_a_stream() {
    let whole = full(CHAT, &bedrock::message(content(), "tool_use")).unwrap();
    let message = &whole["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("Let me look."), &json!("hm"))
    );
    assert_eq!(message["thinking_blocks"][0]["signature"], "c2ln");
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    let usage = &whole["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(9), &json!(7)));
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 2);
    for size in [1, 5, 10_000] {
        let (reader, text) = streamed(CHAT, &bedrock::frames(&content(), "tool_use"), size);
        assert!(reader.is_done() && text.ends_with("data: [DONE]\n\n"), "{text}");
        let chunks = data(&text);
        let joined = |path: &dyn Fn(&Value) -> Value| -> String {
            chunks
                .iter()
                .filter_map(|chunk| path(&chunk["choices"][0]["delta"]).as_str().map(str::to_owned))
                .collect()
        };
        assert_eq!(joined(&|delta| delta["content"].clone()), "Let me look.");
        assert_eq!(joined(&|delta| delta["reasoning_content"].clone()), "hm");
        let of = |number: u64| {
            joined(&|delta| {
                let call = &delta["tool_calls"][0];
                if call["index"] == number {
                    call["function"]["arguments"].clone()
                } else {
                    Value::Null
                }
            })
        };
        assert_eq!((of(0), of(1)), ("{\"x\":1}".to_owned(), "{}".to_owned()));
        let finishes =
            chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string());
        assert_eq!(finishes.count(), 1);
        assert_eq!(reader.usage().unwrap().input, 9);
    }
    let whole = full(MESSAGES, &bedrock::message(content(), "tool_use")).unwrap();
    assert_eq!(
        whole["content"][0],
        json!({"type": "thinking", "thinking": "hm", "signature": "c2ln"})
    );
    assert_eq!(
        (&whole["stop_reason"], &whole["usage"]["input_tokens"]),
        (&json!("tool_use"), &json!(4))
    );
}

#[test]
fn a_call_without_any_input_has_an_empty_one() {
    let start =
        json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}});
    let frames = [
        bedrock::frame("messageStart", &json!({"role": "assistant"})),
        bedrock::frame("contentBlockStart", &start),
        bedrock::frame("contentBlockStop", &json!({"contentBlockIndex": 0})),
        bedrock::frame("somethingNew", &json!({"x": 1})),
        bedrock::frame("messageStop", &json!({"stopReason": "tool_use"})),
    ];
    let (reader, text) = streamed(CHAT, &frames, 7);
    assert!(
        text.contains("\"arguments\":\"{}\"") && reader.is_complete() && !reader.is_done(),
        "{text}"
    );
}

#[test]
fn ends_mean_what_they_say_and_spoilt_answers_are_none() {
    for (word, finish) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
    ] {
        let body = bedrock::message(json!([{"text": "a"}]), word);
        assert_eq!(full(CHAT, &body).unwrap()["choices"][0]["finish_reason"], finish, "{word}");
        let stopped = crate::conversion::answer::stopped_by_policy(body.to_string().as_bytes());
        assert_eq!(stopped, finish == "content_filter");
    }
    for word in ["malformed_tool_use", "malformed_model_output"] {
        assert!(matches!(full(CHAT, &bedrock::message(content(), word)), Err(Fault::Malformed(_))));
    }
    for body in [json!({"message": "no"}), json!({"output": {}}), json!({})] {
        assert!(full(CHAT, &body).is_err(), "{body}");
    }
    let strange = bedrock::message(json!([{"hologram": {}}]), "end_turn");
    assert!(matches!(full(CHAT, &strange), Err(Fault::Malformed(_))));
    let empty = json!({"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn"});
    let checked = check(CHAT, &Bytes::from(empty.to_string()), &view()).unwrap();
    assert!(checked.is_empty);
    let cited = json!([{"citationsContent": {"content": [{"text": "a "}, {"text": "fact"}], "citations": []}}]);
    let whole = full(CHAT, &bedrock::message(cited, "end_turn")).unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], "a fact");
}

#[test]
fn exceptions_and_broken_frames_end_a_stream() {
    let first = bedrock::frame(
        "contentBlockDelta",
        &json!({"contentBlockIndex": 0, "delta": {"text": "a"}}),
    );
    let exception =
        bedrock::exception("throttlingException", &json!({"message": "Too many requests"}));
    let (reader, _) = streamed(CHAT, &[first.clone(), exception], 3);
    let error = reader.error().unwrap();
    assert_eq!(
        (error.kind.as_deref(), &*error.message),
        (Some("throttlingException"), "Too many requests")
    );
    let of_model = json!({"message": "x", "originalStatusCode": 503, "originalMessage": "y"});
    let exception = bedrock::exception("modelStreamErrorException", &of_model);
    let (reader, _) = streamed(CHAT, &[exception], 10);
    assert_eq!(reader.error().unwrap().code.as_deref(), Some("503"));
    let mut wrong = first.clone();
    wrong[40] ^= 1;
    let mut reader = Reader::new(CHAT, view());
    let mut out = Vec::new();
    assert!(reader.push(Bytes::from([first, wrong].concat()), &mut out).is_err());
    assert!(reader.has_content(), "what came before is delivered");
}

#[test]
fn chunks_of_a_models_own_stream_are_its_events() {
    use base64::Engine;
    let event =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#;
    let bytes = base64::engine::general_purpose::STANDARD.encode(event);
    let frame = bedrock::frame("chunk", &json!({"bytes": bytes, "p": "abcdefghijklm"}));
    let conversion = Conversion { operation: Operation::Messages, wire: WireFormat::Anthropic };
    let mut reader = Reader::new(conversion, view()).in_frames();
    let mut out = Vec::new();
    reader.push(Bytes::from(frame), &mut out).unwrap();
    let expected = format!("event: content_block_delta\ndata: {event}\n\n");
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert!(reader.has_content());
    let broken = bedrock::frame("chunk", &json!({"bytes": "!"}));
    assert!(reader.push(Bytes::from(broken), &mut Vec::new()).is_err());
}

#[test]
fn a_count_asks_for_the_prompt_alone() {
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "system": "s"});
    let out = sent(&body, &order(&at_bedrock(), Operation::CountTokens, NOVA)).unwrap();
    let prompt = json!({"system": [{"text": "s"}], "messages": [{"role": "user", "content": [{"text": "hi"}]}]});
    assert_eq!(out, json!({"input": {"converse": prompt}}));
    let conversion = Conversion { operation: Operation::CountTokens, wire: WireFormat::Converse };
    assert_eq!(full(conversion, &json!({"inputTokens": 42})).unwrap(), json!({"input_tokens": 42}));
}

#[test]
fn claude_gets_the_bytes_of_an_anthropic_client_without_what_bedrock_refuses() {
    use hale_core::aws::{Aws, Route};
    let at = |route: Route| {
        let aws = Aws { region: "us-east-1".into(), model_id: None, route, source: None };
        let mut deployment = at_bedrock();
        deployment.endpoint.aws = Some(aws);
        deployment
    };
    let mark = json!({"type": "ephemeral", "scope": "global", "ttl": "1h"});
    let edits = json!([{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919", "keep": 3}]);
    let body = json!({"model": "m", "max_tokens": 9, "stream": true, "speed": "fast",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": mark}]}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "eager_input_streaming": true}],
        "context_management": {"edits": edits}});
    let of = |route: Route, operation, body: &Value| {
        sent(body, &order(&at(route), operation, CLAUDE)).unwrap()
    };
    let out = of(Route::Fitting, Operation::Messages, &body);
    let expected = json!({"max_tokens": 9, "anthropic_version": "bedrock-2023-05-31",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919", "keep": 3}]},
        "anthropic_beta": ["context-management-2025-06-27"]});
    assert_eq!(out, expected);
    let own = with(body.clone(), json!({"anthropic_version": "2026-10-21"}));
    assert_eq!(of(Route::Fitting, Operation::Messages, &own)["anthropic_version"], "2026-10-21");
    assert!(
        of(
            Route::Converse,
            Operation::Messages,
            &json!({"model": "m", "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}]})
        )["inferenceConfig"]
            .is_object()
    );
    let chat =
        json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true});
    let out = of(Route::Invoke, Operation::Chat, &chat);
    assert_eq!(out["anthropic_version"], "bedrock-2023-05-31");
    assert!(
        out.get("model").is_none() && out.get("stream").is_none() && out["messages"].is_array()
    );
    assert!(
        of(Route::Fitting, Operation::Chat, &chat)["messages"][0]["content"][0]
            .get("type")
            .is_none()
    );
}
