//! Chats, streams, embeddings, counts and images between clients of other formats and Google's.

mod clients;
mod history;

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::conversion::answer::{self, Fault};
use crate::conversion::prepare::Conversion;
use crate::conversion::stream::Broken;
use crate::fixture::{data, deployment, order, sent, streamed, view};
use crate::formats::order::Order;

const OLDER: &str = "gemini-2.5-flash";
const NEWER: &str = "gemini-3-pro-preview";
/// A signature as Google writes it, and as it stands behind an id.
const SIGNATURE: &str = "CiQB4/8Vc+Zk3Q==";
const TAIL: &str = "CiQB4_8Vc-Zk3Q";

fn with(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("{more}") };
    base.as_object_mut().unwrap().extend(more);
    base
}

fn refused(operation: Operation, model: &str, body: &Value) -> Result<Value, String> {
    let google = deployment("gemini");
    sent(body, &order(&google, operation, model)).map_err(|why| why.field)
}

fn asked(operation: Operation, model: &str, body: &Value) -> Value {
    refused(operation, model, body).unwrap()
}

fn chat(model: &str, more: Value) -> Value {
    let body = json!({"model": "g", "messages": [{"role": "user", "content": "hi"}]});
    asked(Operation::Chat, model, &with(body, more))
}

fn message(model: &str, more: Value) -> Value {
    let body =
        json!({"model": "g", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    asked(Operation::Messages, model, &with(body, more))
}

fn conversion(operation: Operation) -> Conversion {
    Conversion { operation, wire: WireFormat::Gemini }
}

fn answered(operation: Operation, body: &Value) -> Result<Value, Fault> {
    let body = Bytes::from(body.to_string());
    let answer = answer::check(conversion(operation), &body, &view())?;
    Ok(serde_json::from_slice(&answer.body).unwrap())
}

/// An answer with these parts.
fn candidate(parts: Value, finish: &str) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": finish}],
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20, "thoughtsTokenCount": 30,
            "cachedContentTokenCount": 40, "totalTokenCount": 150},
        "modelVersion": "gemini-2.5-flash", "responseId": "r1"})
}

fn events(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect()
}

#[test]
fn turns_alternate_and_instructions_stand_apart() {
    let body = json!({"model": "g", "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "assistant", "content": "I begin"},
        {"role": "developer", "content": [{"type": "text", "text": "and brief"}]},
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": " "}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "c"}]});
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "be kind"}, {"text": "and brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": " "}]},
            {"role": "model", "parts": [{"text": "I begin"}]},
            {"role": "user", "parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}]});
    assert_eq!(asked(Operation::Chat, OLDER, &body), expected);
    let alone = json!({"model": "g", "messages": [{"role": "system", "content": "hi"}]});
    let sent = asked(Operation::Chat, OLDER, &alone);
    assert_eq!(sent["contents"], json!([{"role": "user", "parts": [{"text": " "}]}]));
}

#[test]
fn parameters_have_googles_names_and_what_has_none_is_refused_by_its_own() {
    let more = json!({"max_completion_tokens": 7, "temperature": 0.5, "top_p": 0.9, "stop": ["x"],
        "seed": 3, "n": 1, "user": "u", "metadata": {"a": 1}, "store": true, "presence_penalty": 0.5,
        "top_k": 40, "stream": true, "stream_options": {"include_usage": true},
        "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        "service_tier": "flex", "google": {"cached_content": "cachedContents/1"}});
    let sent = chat(OLDER, more);
    assert_eq!(
        sent["generationConfig"],
        json!({"maxOutputTokens": 7, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"],
            "seed": 3, "presencePenalty": 0.5, "topK": 40})
    );
    assert_eq!(sent["safetySettings"][0]["threshold"], "OFF");
    assert_eq!(
        (&sent["serviceTier"], &sent["cachedContent"]),
        (&json!("flex"), &json!("cachedContents/1"))
    );
    let keys: Vec<&String> = sent.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["contents", "safetySettings", "serviceTier", "cachedContent", "generationConfig"]
    );
    assert_eq!(chat(OLDER, json!({})).get("generationConfig"), None);
    assert_eq!(chat(OLDER, json!({"n": 2}))["generationConfig"], json!({"candidateCount": 2}));
    let body =
        |more| with(json!({"model": "g", "messages": [{"role": "user", "content": "hi"}]}), more);
    for (model, more, field) in [
        (OLDER, json!({"n": 2, "stream": true}), "n"),
        (OLDER, json!({"logit_bias": {"1": 2}}), "logit_bias"),
        (OLDER, json!({"logprobs": true}), "logprobs"),
        (NEWER, json!({"presence_penalty": 0.5}), "presence_penalty"),
        (OLDER, json!({"audio": {"voice": "alloy"}}), "audio"),
        (OLDER, json!({"modalities": ["text", "audio"]}), "modalities"),
    ] {
        assert_eq!(refused(Operation::Chat, model, &body(more.clone())), Err(field.to_owned()));
        let google = deployment("gemini");
        let dropping = Order { drop_params: true, ..order(&google, Operation::Chat, model) };
        assert!(crate::fixture::sent(&body(more), &dropping).is_ok(), "{field}");
    }
    let images = chat("gemini-2.5-flash-image", json!({"modalities": ["text", "image"]}));
    assert_eq!(images["generationConfig"]["responseModalities"], json!(["TEXT", "IMAGE"]));
}

#[test]
fn an_effort_becomes_a_budget_or_a_level_and_never_both() {
    let config = |model, more| {
        let mut thinking = chat(model, more)["generationConfig"]["thinkingConfig"].take();
        let shown = thinking.as_object_mut().unwrap().remove("includeThoughts").unwrap();
        (thinking, shown == true)
    };
    for (model, effort, name, value, shown) in [
        ("gemini-2.5-pro", "none", "thinkingBudget", json!(128), false),
        ("gemini-2.5-pro", "minimal", "thinkingBudget", json!(128), true),
        (OLDER, "none", "thinkingBudget", json!(0), false),
        (OLDER, "minimal", "thinkingBudget", json!(1), true),
        ("gemini-2.5-flash-lite", "minimal", "thinkingBudget", json!(512), true),
        (OLDER, "low", "thinkingBudget", json!(1024), true),
        (OLDER, "medium", "thinkingBudget", json!(2048), true),
        (OLDER, "high", "thinkingBudget", json!(4096), true),
        (OLDER, "xhigh", "thinkingBudget", json!(16384), true),
        (NEWER, "none", "thinkingLevel", json!("LOW"), false),
        ("gemini-3-flash-preview", "none", "thinkingLevel", json!("MINIMAL"), false),
        ("gemini-3-flash-preview", "minimal", "thinkingLevel", json!("MINIMAL"), true),
        (NEWER, "minimal", "thinkingLevel", json!("LOW"), true),
        (NEWER, "medium", "thinkingLevel", json!("MEDIUM"), true),
        (NEWER, "max", "thinkingLevel", json!("HIGH"), true),
    ] {
        let expected = (json!({name: value}), shown);
        assert_eq!(
            config(model, json!({"reasoning_effort": effort})),
            expected,
            "{model} {effort}"
        );
    }
    let budget = |tokens| json!({"thinking": {"type": "enabled", "budget_tokens": tokens}});
    assert_eq!(config(OLDER, budget(3000)).0, json!({"thinkingBudget": 3000}));
    assert_eq!(config(OLDER, budget(99_999)).0, json!({"thinkingBudget": 24_576}));
    assert_eq!(config(NEWER, budget(6000)).0, json!({"thinkingLevel": "MEDIUM"}));
    assert_eq!(
        config(OLDER, json!({"thinking": {"type": "disabled"}})).0,
        json!({"thinkingBudget": 0})
    );
    assert_eq!(config(OLDER, json!({"thinking": {"type": "adaptive"}})).0, json!({}));
    let own = chat(
        OLDER,
        json!({"google": {"thinking_config": {"thinking_budget": 5}},
        "reasoning_effort": "low"}),
    );
    assert_eq!(own["generationConfig"]["thinkingConfig"], json!({"thinking_budget": 5}));
    let both = json!({"model": "g", "messages": [], "reasoning_effort": "low",
        "thinking": {"type": "enabled", "budget_tokens": 3000}});
    assert_eq!(refused(Operation::Chat, OLDER, &both), Err("reasoning_effort".to_owned()));
    let claude_code =
        json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}});
    let sent = message(OLDER, claude_code);
    assert_eq!(sent["generationConfig"]["thinkingConfig"]["thinkingBudget"], 4096);
}

#[test]
fn tools_keep_their_schemas_and_a_choice_becomes_a_mode() {
    let schema = json!({"type": "object", "properties": {"a": {"type": ["string", "null"],
        "exclusiveMinimum": 1, "const": 1, "oneOf": [{"$ref": "#/$defs/x"}]}}, "additionalProperties": false});
    let tool = |name: &str| {
        json!({"type": "function", "function": {"name": name, "description": "d",
        "parameters": schema, "strict": true}})
    };
    let named = json!({"type": "function", "function": {"name": "f"}});
    for (choice, expected) in [
        (json!("auto"), json!({"mode": "AUTO"})),
        (json!("none"), json!({"mode": "NONE"})),
        (json!("required"), json!({"mode": "ANY"})),
        (named, json!({"mode": "ANY", "allowedFunctionNames": ["f"]})),
    ] {
        let sent = chat(OLDER, json!({"tools": [tool("f"), tool("g")], "tool_choice": choice}));
        let declarations = &sent["tools"][0]["functionDeclarations"];
        assert_eq!(
            declarations[0],
            json!({"name": "f", "description": "d", "parametersJsonSchema": schema})
        );
        assert_eq!(declarations[1]["name"], "g");
        assert_eq!(sent["toolConfig"]["functionCallingConfig"], expected);
    }
    let bare = json!({"type": "function", "function": {"name": "now"}});
    let sent = chat(OLDER, json!({"tools": [bare]}));
    assert_eq!(sent["tools"][0]["functionDeclarations"][0], json!({"name": "now"}));
    let odd = json!({"type": "function", "function": {"name": "1st.of"}});
    let sent = chat(OLDER, json!({"tools": [odd]}));
    let name = sent["tools"][0]["functionDeclarations"][0]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("_1st_of_"), "{name}");
    // Google's own.
    let search = chat(OLDER, json!({"tools": [{"googleSearch": {}}]}));
    assert_eq!(search["tools"], json!([{"googleSearch": {}}]));
    let search = chat(OLDER, json!({"web_search_options": {}}));
    assert_eq!(search["tools"], json!([{"googleSearch": {}}]));
    let mixed = json!({"tools": [tool("f"), {"googleSearch": {}}]});
    let sent = chat(NEWER, mixed.clone());
    assert_eq!(sent["toolConfig"]["includeServerSideToolInvocations"], true);
    let body =
        |more| with(json!({"model": "g", "messages": [{"role": "user", "content": "hi"}]}), more);
    assert_eq!(refused(Operation::Chat, OLDER, &body(mixed)), Err("tools".to_owned()));
    let two = body(json!({"tools": [tool("f"), tool("g")], "parallel_tool_calls": false}));
    assert_eq!(refused(Operation::Chat, OLDER, &two), Err("parallel_tool_calls".to_owned()));
    let one = body(json!({"tools": [tool("f")], "parallel_tool_calls": false}));
    assert!(refused(Operation::Chat, OLDER, &one).is_ok());
}

#[test]
fn the_answers_shape_is_a_schema_and_beside_tools_of_older_models_a_tool() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let sent = chat(OLDER, json!({"response_format": format}));
    let expected = json!({"responseMimeType": "application/json", "responseJsonSchema": schema});
    assert_eq!(sent["generationConfig"], expected);
    let sent = chat(OLDER, json!({"response_format": {"type": "json_object"}}));
    assert_eq!(sent["generationConfig"], json!({"responseMimeType": "application/json"}));
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let sent = chat(NEWER, json!({"response_format": format, "tools": tools}));
    assert_eq!(sent["generationConfig"], expected);
    let sent = chat(OLDER, json!({"response_format": format, "tools": tools}));
    assert_eq!(sent.get("generationConfig"), None);
    assert_eq!(sent["tools"][0]["functionDeclarations"][1]["name"], "json_answer");
    let sent = chat(OLDER, json!({"response_format": {"type": "json_object"}, "tools": tools}));
    assert_eq!(sent.get("generationConfig"), None);
}

#[test]
fn content_in_data_is_inline_and_addresses_are_files() {
    let part = |part: Value| {
        let body = json!({"model": "g", "messages": [{"role": "user", "content": [part]}]});
        refused(Operation::Chat, OLDER, &body).map(|sent| sent["contents"][0]["parts"].clone())
    };
    let image =
        |url: &str| json!({"type": "image_url", "image_url": {"url": url, "detail": "low"}});
    let file = |file: Value| json!({"type": "file", "file": file});
    let inline = |kind: &str| json!([{"inlineData": {"mimeType": kind, "data": "AAAA"}}]);
    for (given, expected) in [
        (image("data:image/jpg;base64,AAAA"), inline("image/jpeg")),
        (
            image("https://x.example/a/cat.PNG?size=1"),
            json!([{"fileData": {"fileUri": "https://x.example/a/cat.PNG?size=1", "mimeType": "image/png"}}]),
        ),
        (
            image("https://x.example/cat"),
            json!([{"fileData": {"fileUri": "https://x.example/cat"}}]),
        ),
        (file(json!({"file_data": "data:application/pdf;base64,AAAA"})), inline("application/pdf")),
        (file(json!({"file_data": "data:text/plain;base64,AAAA"})), inline("text/plain")),
        (file(json!({"file_data": "data:video/mp4;base64,AAAA"})), inline("video/mp4")),
        (
            json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
            inline("audio/wav"),
        ),
        (
            json!({"type": "video_url", "video_url": {"url": "https://www.youtube.com/watch?v=x"}}),
            json!([{"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}}]),
        ),
    ] {
        assert_eq!(part(given.clone()), Ok(expected), "{given}");
    }
    let office = "data:application/msword;base64,AAAA";
    assert!(part(file(json!({"file_data": office}))).unwrap_err().contains("application/msword"));
    assert!(part(image("gs://bucket/cat.png")).is_err());
    assert!(part(file(json!({"file_id": "file-1"}))).is_err());
}

fn call(id: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}})
}

fn result(id: &str, content: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": content})
}

fn calls(model: &str, messages: &[Value]) -> Value {
    let body = json!({"model": "g", "messages": messages});
    asked(Operation::Chat, model, &body)["contents"].clone()
}

#[test]
fn results_follow_in_the_order_of_their_calls_with_the_names_of_these() {
    let user = json!({"role": "user", "content": "a"});
    let both =
        json!({"role": "assistant", "content": "I look", "tool_calls": [call("c1"), call("c2")]});
    let more = json!({"role": "user", "content": "go on"});
    let sent =
        calls(OLDER, &[user, both, result("c2", "{\"ok\":true}"), result("c1", "sunny"), more]);
    let called = json!({"functionCall": {"name": "f", "args": {"a": 1}}});
    assert_eq!(sent[1], json!({"role": "model", "parts": [{"text": "I look"}, called, called]}));
    let answer = |response: Value| json!({"functionResponse": {"name": "f", "response": response}});
    assert_eq!(
        sent[2],
        json!({"role": "user", "parts": [answer(json!({"output": "sunny"})), answer(json!({"ok": true})),
            {"text": "go on"}]})
    );
    // A call that was not run, and a result with an image.
    let blocks = json!([{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "see"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]}]);
    let messages = json!([{"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}},
            {"type": "tool_use", "id": "c2", "name": "g", "input": {}}]},
        {"role": "user", "content": blocks}]);
    let inline = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let older = message(OLDER, json!({"messages": messages}))["contents"][2]["parts"].clone();
    assert_eq!(older[0]["functionResponse"]["response"], json!({"output": "see"}));
    assert_eq!(older[1], inline);
    assert_eq!(older[2]["functionResponse"]["name"], "g");
    assert!(older[2]["functionResponse"]["response"]["error"].is_string(), "{older}");
    let newer = message(NEWER, json!({"messages": messages}))["contents"][2]["parts"].clone();
    assert_eq!(newer[0]["functionResponse"]["parts"], json!([inline]));
    let orphan =
        json!({"model": "g", "messages": [{"role": "user", "content": "a"}, result("x", "y")]});
    assert!(refused(Operation::Chat, OLDER, &orphan).unwrap_err().contains('x'));
}

#[test]
fn a_signature_goes_back_once_and_on_its_own_part() {
    let user = json!({"role": "user", "content": "a"});
    let extra = json!({"google": {"thought_signature": SIGNATURE}});
    let tailed = format!("c1__thought__{TAIL}");
    for first in [
        call(&tailed),
        call(&format!("c1__thought__{SIGNATURE}")),
        with(call("c1"), json!({"extra_content": extra})),
        with(call(&tailed), json!({"extra_content": extra})),
    ] {
        let id = first["id"].as_str().unwrap().to_owned();
        let turn = json!({"role": "assistant", "tool_calls": [first, call("c2")]});
        let sent = calls(NEWER, &[user.clone(), turn, result(&id, "x"), result("c2", "y")]);
        let parts = &sent[1]["parts"];
        assert_eq!(parts[0]["thoughtSignature"], SIGNATURE, "{id}");
        assert_eq!(parts[1].get("thoughtSignature"), None);
        assert_eq!(
            (&parts[0]["functionCall"]["id"], &parts[1]["functionCall"]["id"]),
            (&json!("c1"), &json!("c2"))
        );
        assert_eq!(sent[2]["parts"][0]["functionResponse"]["id"], "c1");
    }
    // Calls of another model get Google's placeholder, in the current turn of newer models.
    let turn = json!({"role": "assistant", "tool_calls": [call("toolu_1"), call("toolu_2")]});
    let results = [result("toolu_1", "x"), result("toolu_2", "y")];
    let mut history = vec![user.clone(), turn.clone()];
    history.extend(results.clone());
    history.extend([json!({"role": "assistant", "content": "done"}), user, turn]);
    history.extend(results);
    let sent = calls(NEWER, &history);
    assert_eq!(sent[1]["parts"][0].get("thoughtSignature"), None, "{sent}");
    assert_eq!(sent[5]["parts"][0]["thoughtSignature"], "skip_thought_signature_validator");
    assert_eq!(sent[5]["parts"][1].get("thoughtSignature"), None);
    assert_eq!(sent[5]["parts"][0]["functionCall"].get("id"), None);
    let older = calls(OLDER, &history).to_string();
    assert!(!older.contains("thoughtSignature") && !older.contains("\"id\""), "{older}");
}

#[test]
fn a_full_answer_has_thoughts_text_calls_and_all_tokens() {
    let parts = json!([{"text": "hm", "thought": true}, {"text": "It is "}, {"text": "sunny"},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": SIGNATURE},
        {"functionCall": {"id": "own", "name": "g"}}]);
    let answer = answered(Operation::Chat, &candidate(parts.clone(), "STOP")).unwrap();
    let message = &answer["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("It is sunny"), &json!("hm"))
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let [first, second] = &message["tool_calls"].as_array().unwrap()[..] else {
        panic!("{answer}")
    };
    assert_eq!(first["id"], format!("call_g0_r1__thought__{TAIL}"));
    assert_eq!(first["extra_content"]["google"]["thought_signature"], SIGNATURE);
    assert_eq!(first["function"], json!({"name": "f", "arguments": "{\"a\":1}"}));
    assert_eq!((&second["id"], &second["function"]["arguments"]), (&json!("own"), &json!("{}")));
    let usage = &answer["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(100), &json!(50)));
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 40);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 30);
    let answer = answered(Operation::Messages, &candidate(parts, "STOP")).unwrap();
    let kinds: Vec<&Value> =
        answer["content"].as_array().unwrap().iter().map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use", "tool_use"]);
    assert_eq!(answer["content"][2]["id"], format!("call_g0_r1__thought__{TAIL}"));
    assert_eq!(
        (&answer["stop_reason"], &answer["usage"]["input_tokens"]),
        (&json!("tool_use"), &json!(60))
    );
}

#[test]
fn code_that_ran_is_text_and_a_picture_is_an_image() {
    let code = json!([{"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}, {"text": "one"}]);
    let answer = answered(Operation::Chat, &candidate(code, "STOP")).unwrap();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(text, "\n```python\nprint(1)\n```\n\n```\n1\n```\none");
    let picture =
        json!([{"text": "a cat"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]);
    let answer = answered(Operation::Chat, &candidate(picture.clone(), "STOP")).unwrap();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["images"][0]["image_url"]["url"], "data:image/png;base64,AAAA");
    // No place for it blames no deployment, and the text stays.
    let answer = candidate(picture, "STOP");
    let message = answered(Operation::Messages, &answer).unwrap();
    let texts = |blocks: &[Value]| {
        blocks
            .iter()
            .filter_map(|block| block["text"].as_str())
            .map(str::to_owned)
            .collect::<String>()
    };
    let text = texts(message["content"].as_array().unwrap());
    assert!(
        text.starts_with("a cat[an image, which an answer of this format cannot hold"),
        "{text}"
    );
    let (_, out) = streamed(conversion(Operation::Messages), &events(&[answer]), &[]);
    let deltas: Vec<Value> = data(&out).iter().map(|event| event["delta"].clone()).collect();
    assert_eq!(texts(&deltas), text);
}

#[test]
fn a_long_id_of_an_answer_is_not_repeated_by_each_call() {
    let call = json!({"functionCall": {"name": "f", "args": {}}});
    let mut answer = candidate(json!(vec![call; 300]), "STOP");
    answer["responseId"] = json!("r".repeat(1 << 20));
    for operation in [Operation::Chat, Operation::Messages, Operation::Responses] {
        let length = answered(operation, &answer).unwrap().to_string().len();
        assert!(length < 300 << 10, "{operation:?}: {length}");
    }
    let named = |id: &str| json!([{"functionCall": {"name": "f", "id": id, "args": {}}}]);
    let long = candidate(named(&"i".repeat(100_000)), "STOP");
    assert!(matches!(answered(Operation::Chat, &long), Err(Fault::Malformed(_))));
    assert!(answered(Operation::Chat, &candidate(named(&"i".repeat(4000)), "STOP")).is_ok());
}

#[test]
fn every_finish_reason_has_its_meaning() {
    let text = || json!([{"text": "a"}]);
    for (word, expected) in [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("IMAGE_PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_RECITATION", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("OTHER", "stop"),
        ("IMAGE_OTHER", "stop"),
        ("NO_IMAGE", "stop"),
        ("FINISH_REASON_UNSPECIFIED", "stop"),
        ("ESCALATION", "stop"),
        ("CONTINUATION", "stop"),
    ] {
        let answer = answered(Operation::Chat, &candidate(text(), word)).unwrap();
        assert_eq!(answer["choices"][0]["finish_reason"], expected, "{word}");
        let (_, out) =
            streamed(conversion(Operation::Chat), &events(&[candidate(text(), word)]), &[]);
        let finish = data(&out)
            .iter()
            .find_map(|event| event["choices"][0]["finish_reason"].as_str().map(str::to_owned));
        assert_eq!(finish.as_deref(), Some(expected), "{word}");
    }
    for word in [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
    ] {
        let Err(Fault::Malformed(why)) = answered(Operation::Chat, &candidate(text(), word)) else {
            panic!("{word}")
        };
        assert!(why.contains(word), "{why}");
    }
    assert!(answered(Operation::Chat, &candidate(json!([]), "OTHER")).is_err());
    let Err(Fault::Error(error)) =
        answered(Operation::Chat, &candidate(text(), "MISSING_THOUGHT_SIGNATURE"))
    else {
        panic!("it passed")
    };
    assert_eq!(error.code.as_deref(), Some("400"));
}

#[test]
fn a_block_is_a_refusal_and_an_empty_stop_is_empty() {
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}});
    let answer = answered(Operation::Chat, &blocked).unwrap();
    assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(answer["choices"][0]["message"]["content"], Value::Null);
    assert_eq!(answered(Operation::Messages, &blocked).unwrap()["stop_reason"], "refusal");
    let bytes = |body: &Value| Bytes::from(body.to_string());
    assert!(answer::stopped_by_policy(&bytes(&blocked)));
    assert!(answer::stopped_by_policy(&bytes(&candidate(json!([{"text": "a"}]), "SAFETY"))));
    assert!(!answer::stopped_by_policy(&bytes(&candidate(json!([{"text": "refusal"}]), "STOP"))));
    let is_empty = |body: &Value| {
        answer::check(conversion(Operation::Chat), &bytes(body), &view())
            .map(|answer| answer.is_empty)
    };
    for (body, expected) in [
        (candidate(json!([]), "STOP"), true),
        (candidate(json!([{"text": ""}]), "STOP"), true),
        (candidate(json!([{"text": "hm", "thought": true}]), "STOP"), true),
        (json!({"candidates": [{"finishReason": "STOP"}]}), true),
        (candidate(json!([{"text": "hm", "thought": true}]), "MAX_TOKENS"), false),
        (candidate(json!([{"text": "a"}]), "STOP"), false),
        (candidate(json!([{"functionCall": {"name": "f"}}]), "STOP"), false),
        (blocked, false),
    ] {
        assert_eq!(is_empty(&body), Ok(expected), "{body}");
    }
    for body in
        [json!({}), json!({"candidates": []}), json!({"usageMetadata": {"promptTokenCount": 3}})]
    {
        assert!(matches!(is_empty(&body), Err(Fault::Malformed(_))), "{body}");
    }
    let error = json!([{"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}]);
    let Err(Fault::Error(error)) = is_empty(&error) else { panic!("an error passed") };
    assert_eq!(error.kind.as_deref(), Some("RESOURCE_EXHAUSTED"));
}

#[test]
fn what_is_unknown_is_not_lost_in_silence() {
    let unknown = candidate(json!([{"text": "a"}, {"hologram": {}}]), "STOP");
    let Err(Fault::Malformed(why)) = answered(Operation::Chat, &unknown) else {
        panic!("it passed")
    };
    assert!(why.contains("hologram"), "{why}");
    let known = candidate(
        json!([{}, {"thoughtSignature": SIGNATURE}, {"text": "a", "partMetadata": {}}]),
        "STOP",
    );
    assert_eq!(answered(Operation::Chat, &known).unwrap()["choices"][0]["message"]["content"], "a");
    let mut reader = crate::conversion::stream::Reader::new(conversion(Operation::Chat), view());
    let broken = reader.push(Bytes::from(events(&[unknown])), &mut Vec::new());
    assert!(matches!(broken, Err(Broken::Unreadable(_))), "{broken:?}");
}

/// A stream with thoughts, text, a call, counts in each chunk and a signature on an empty part.
fn stream_of_chunks() -> Vec<Value> {
    let chunk = |parts: Value| {
        json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}],
            "usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8}, "responseId": "r1"})
    };
    let last = json!({"candidates": [{"content": {"parts": [{"text": "", "thoughtSignature": SIGNATURE}]},
        "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 5,
        "thoughtsTokenCount": 2, "totalTokenCount": 15}, "responseId": "r1"});
    vec![
        chunk(json!([{"text": "let me see", "thought": true}])),
        chunk(json!([{"text": "日本 "}])),
        chunk(json!([{"text": "é"}])),
        chunk(
            json!([{"functionCall": {"name": "f", "args": {"a": [1, 2]}}, "thoughtSignature": SIGNATURE}]),
        ),
        json!({"usageMetadata": {"promptTokenCount": 8}}),
        last,
    ]
}

#[test]
fn a_stream_has_the_same_content_and_counts_once() {
    let text = events(&stream_of_chunks());
    let (reader, out) = streamed(conversion(Operation::Chat), &text, &[]);
    assert!(reader.is_complete() && reader.has_content() && !reader.is_empty_so_far());
    let usage = reader.usage().unwrap();
    assert_eq!((usage.input, usage.output, usage.reasoning), (8, 7, 2));
    let events = data(&out);
    let joined = |name: &str| {
        let pieces = events.iter().filter_map(|event| event["choices"][0]["delta"][name].as_str());
        pieces.collect::<String>()
    };
    assert_eq!(
        (joined("content"), joined("reasoning_content")),
        ("日本 é".to_owned(), "let me see".to_owned())
    );
    let call = events
        .iter()
        .find(|event| event["choices"][0]["delta"]["tool_calls"][0]["id"].is_string())
        .unwrap();
    let call = &call["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(call["id"], format!("call_g0_r1__thought__{TAIL}"));
    assert_eq!(call["extra_content"]["google"]["thought_signature"], SIGNATURE);
    assert!(out.contains(&format!("\"signature\":\"gemini:{SIGNATURE}\"")), "{out}");
    let finishes = events.iter().filter_map(|event| event["choices"][0]["finish_reason"].as_str());
    assert_eq!(finishes.collect::<Vec<_>>(), ["tool_calls"]);
    let (_, out) = streamed(conversion(Operation::Messages), &text, &[]);
    let kinds: Vec<Value> = data(&out)
        .iter()
        .map(|event| event["content_block"]["type"].clone())
        .filter(|kind| !kind.is_null())
        .collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use", "thinking"]);
}

#[test]
fn an_error_in_a_stream_is_the_providers_and_garbage_is_skipped() {
    let fine = candidate(json!([{"text": "a"}]), "STOP");
    let (reader, out) =
        streamed(conversion(Operation::Chat), &format!("data: {{oops\n\n{}", events(&[fine])), &[]);
    assert_eq!((reader.skipped(), reader.is_complete()), (1, true), "{out}");
    for error in [
        json!({"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}),
        json!([{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}]),
    ] {
        let (reader, _) = streamed(conversion(Operation::Messages), &events(&[error]), &[]);
        assert_eq!(reader.error().map(|error| &*error.message), Some("slow down"));
    }
    let half = [json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}]})];
    let (reader, _) = streamed(conversion(Operation::Chat), &events(&half), &[]);
    assert!(!reader.is_complete());
}

#[test]
fn embeddings_are_one_call_and_have_the_form_that_the_client_wants() {
    let google = deployment("gemini");
    let order = order(&google, Operation::Embedding, "gemini-embedding-001");
    let body = json!({"model": "g", "input": ["a", "b\n"], "dimensions": 2, "input_type": "search_query",
        "encoding_format": "float", "user": "u"});
    let one = |text: &str| {
        json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]},
        "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 2})
    };
    assert_eq!(sent(&body, &order).unwrap(), json!({"requests": [one("a"), one("b\n")]}));
    let text = sent(&json!({"model": "g", "input": "a"}), &order).unwrap();
    assert_eq!(text["requests"].as_array().unwrap().len(), 1);
    for (input, field) in [(json!([1, 2]), "input"), (json!([[1]]), "input"), (json!({}), "input")]
    {
        let body = json!({"model": "g", "input": input});
        assert_eq!(sent(&body, &order).map_err(|why| why.field), Err(field.to_owned()));
    }
    let answer = json!({"embeddings": [{"values": [0.5, -1e-3]}, {"values": [2, 3]}],
        "usageMetadata": {"promptTokenCount": 4}});
    let answer = answered(Operation::Embedding, &answer).unwrap();
    assert_eq!(
        answer["data"][0],
        json!({"object": "embedding", "index": 0, "embedding": [0.5, -0.001]})
    );
    assert_eq!((&answer["model"], &answer["usage"]["prompt_tokens"]), (&json!("mine"), &json!(4)));
}

#[test]
fn counts_ask_for_the_whole_request_and_answer_in_the_clients_format() {
    let body = json!({"model": "g", "system": "be kind", "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}]});
    let sent = asked(Operation::CountTokens, OLDER, &body);
    let request = &sent["generateContentRequest"];
    assert_eq!(request["model"], format!("models/{OLDER}"));
    assert_eq!(request["systemInstruction"]["parts"][0]["text"], "be kind");
    assert_eq!(request["tools"][0]["functionDeclarations"][0]["name"], "f");
    let counted = json!({"totalTokens": 12});
    assert_eq!(answered(Operation::CountTokens, &counted).unwrap(), json!({"input_tokens": 12}));
    let sent = asked(Operation::CountPrompt, OLDER, &json!({"model": "g", "prompt": "hi"}));
    assert_eq!(sent["generateContentRequest"]["contents"][0]["parts"][0]["text"], "hi");
    let answer = answered(Operation::CountPrompt, &counted).unwrap();
    assert_eq!(
        (&answer["total_tokens"], &answer["tokenizer_type"]),
        (&json!(12), &json!("gemini_api"))
    );
    assert!(answered(Operation::CountTokens, &json!({"totalTokens": "many"})).is_err());
}

#[test]
fn images_are_predicted_or_generated_and_filtered_ones_say_so() {
    let body = json!({"model": "g", "prompt": "a cat", "n": 2, "size": "1792x1024"});
    let sent = asked(Operation::GenerateImage, "imagen-4.0-generate-001", &body);
    let expected = json!({"instances": [{"prompt": "a cat"}], "parameters": {"sampleCount": 2, "aspectRatio": "16:9"}});
    assert_eq!(sent, expected);
    let body = json!({"model": "g", "prompt": "a cat"});
    let sent = asked(Operation::GenerateImage, "gemini-2.5-flash-image", &body);
    assert_eq!(sent["generationConfig"]["responseModalities"], json!(["TEXT", "IMAGE"]));
    let predicted =
        json!({"predictions": [{"bytesBase64Encoded": "AAAA", "mimeType": "image/png"}]});
    assert_eq!(
        answered(Operation::GenerateImage, &predicted).unwrap()["data"],
        json!([{"b64_json": "AAAA"}])
    );
    let generated =
        candidate(json!([{"inlineData": {"mimeType": "image/png", "data": "BBBB"}}]), "STOP");
    assert_eq!(
        answered(Operation::GenerateImage, &generated).unwrap()["data"],
        json!([{"b64_json": "BBBB"}])
    );
    let filtered = json!({"predictions": [{"raiFilteredReason": "it violates our guidelines"}]});
    for none in [filtered, candidate(json!([]), "IMAGE_SAFETY")] {
        let Err(Fault::Error(error)) = answered(Operation::GenerateImage, &none) else {
            panic!("{none}")
        };
        assert_eq!(error.code.as_deref(), Some("content_filter"));
    }
    let words = candidate(json!([{"text": "no"}]), "STOP");
    assert!(matches!(answered(Operation::GenerateImage, &words), Err(Fault::Malformed(_))));
}

proptest! {
    #[test]
    fn a_stream_in_pieces_is_the_stream_in_one(
        cuts in proptest::collection::vec(0_usize..1200, 0..12),
        messages in any::<bool>(),
    ) {
        let operation = if messages { Operation::Messages } else { Operation::Chat };
        let mut cuts = cuts;
        cuts.sort_unstable();
        let text = events(&stream_of_chunks());
        let (_, whole) = streamed(conversion(operation), &text, &[]);
        let (_, pieces) = streamed(conversion(operation), &text, &cuts);
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn any_answer_is_read_or_refused(text in r#"[\{\}\[\]":,a-z0-9 ]{0,60}"#) {
        let body = Bytes::from(format!("{{\"candidates\":[{{\"content\":{text}}}]}}"));
        let _read = answer::check(conversion(Operation::Chat), &body, &view());
        let (_, _) = {
            let mut reader = crate::conversion::stream::Reader::new(conversion(Operation::Chat), view());
            let mut out = Vec::new();
            (reader.push(Bytes::from(format!("data: {text}\n\n")), &mut out), out)
        };
    }
}

#[test]
fn what_an_answer_is_grounded_in_is_cited_whole_and_once_in_a_stream() {
    let metadata = json!({"webSearchQueries": ["q"], "searchEntryPoint": {"renderedContent": "<div>"},
        "groundingChunks": [{"web": {"uri": "https://a.example/x", "title": "a.example"}}],
        "groundingSupports": [{"segment": {"startIndex": 7, "endIndex": 13, "text": "\u{e9} two"},
            "groundingChunkIndices": [0], "confidenceScores": [0.9]}]});
    let cited = json!({"type": "url_citation", "url_citation": {"start_index": 3, "end_index": 8,
        "url": "https://a.example/x", "title": "a.example"}});
    let mut whole = candidate(json!([{"text": "日本 "}, {"text": "é two"}]), "STOP");
    whole["candidates"][0]["groundingMetadata"] = metadata.clone();
    let answer = answered(Operation::Chat, &whole).unwrap();
    assert_eq!(answer["choices"][0]["message"]["annotations"], json!([cited]), "{answer}");
    // A client of Anthropic's format gets the text.
    let answer = answered(Operation::Messages, &whole).unwrap();
    assert_eq!(answer["content"][0]["text"], "日本 é two");
    let chunk = |text: &str| json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}]});
    let mut repeated = chunk("");
    repeated["candidates"][0]["groundingMetadata"] = metadata;
    let mut last = repeated.clone();
    last["candidates"][0]["finishReason"] = json!("STOP");
    let text = events(&[chunk("日本 "), chunk("é two"), repeated, last]);
    let (_, out) = streamed(conversion(Operation::Chat), &text, &[]);
    let found: Vec<Value> = data(&out)
        .iter()
        .map(|event| event["choices"][0]["delta"]["annotations"].clone())
        .filter(Value::is_array)
        .collect();
    let mut indexed = cited;
    indexed["index"] = json!(0);
    assert_eq!(found, [json!([indexed])]);
}

#[test]
fn images_within_an_answer_are_counted_with_their_tokens() {
    let image = || json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}});
    let mut body = candidate(json!([{"text": "two"}, image(), image()]), "STOP");
    body["usageMetadata"]["candidatesTokensDetails"] =
        json!([{"modality": "IMAGE", "tokenCount": 2580}]);
    let expected = hale_core::usage::Drawn { images: 2, tokens: 2580 };
    let bytes = Bytes::from(body.to_string());
    let answer = answer::check(conversion(Operation::Chat), &bytes, &view()).unwrap();
    assert_eq!(answer.usage.unwrap().drawn, expected);
    let parts =
        |parts: Value| json!({"candidates": [{"content": {"role": "model", "parts": parts}}]});
    let mut last = body.clone();
    last["candidates"][0]["content"] = json!({"parts": [{"text": ""}]});
    let text = events(&[parts(json!([image()])), parts(json!([image()])), last]);
    let (reader, _) = streamed(conversion(Operation::Chat), &text, &[]);
    assert_eq!(reader.usage().unwrap().drawn, expected);
}
