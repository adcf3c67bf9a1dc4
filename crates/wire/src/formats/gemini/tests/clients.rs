//! Google's clients in front of providers of other wires, and of Google's.

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use serde_json::{Value, json};

use crate::bytes::peek::Peek;
use crate::conversion::answer;
use crate::conversion::prepare::{Conversion, Prepared, prepare};
use crate::conversion::stream::Reader;
use crate::fixture::{data, deployment, order, sent, streamed, view};
use crate::formats::neutral::Unfit;
use crate::formats::view::View;

const GENERATE: Operation = Operation::GenerateContent;

/// The body that a provider gets for `body`.
fn at(provider: &str, model: &str, body: &Value) -> Value {
    sent(body, &order(&deployment(provider), GENERATE, model)).unwrap()
}

fn refused(provider: &str, body: &Value) -> Unfit {
    sent(body, &order(&deployment(provider), GENERATE, "up")).unwrap_err()
}

/// The view of a client that sees thoughts, of an answer of that provider.
fn thoughtful(provider: &str, model: &str) -> View {
    let body =
        json!({"contents": [], "generationConfig": {"thinkingConfig": {"includeThoughts": true}}});
    let peek = Peek::parse(Bytes::from(body.to_string())).unwrap();
    let deployment = deployment(provider);
    let Ok(Prepared::Body(_, _, notes)) = prepare(&peek, &order(&deployment, GENERATE, model))
    else {
        panic!("not prepared")
    };
    View { notes, ..view() }
}

fn answered(wire: WireFormat, text: &Value, view: &View) -> Value {
    let conversion = Conversion { operation: GENERATE, wire };
    let answer = answer::check(conversion, &Bytes::from(text.to_string()), view).unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

/// What gemini-cli sends in the middle of a task, with both spellings of names.
fn session(is_camel: bool) -> Value {
    let camel = json!({
        "systemInstruction": {"role": "user", "parts": [{"text": "You are an agent."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Set up."}]},
            {"role": "user", "parts": [{"text": "List the files, and read a picture."},
                {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}]},
            {"role": "model", "parts": [{"text": "I look.", "thought": true},
                {"functionCall": {"name": "list", "args": {"path": "."}}},
                {"functionCall": {"name": "list", "args": {"path": "src"}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "list", "response": {"output": "a"}}},
                {"functionResponse": {"name": "list", "response": {"error": "no such folder"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "list", "description": "Lists files",
            "parametersJsonSchema": {"type": "object", "properties": {"path": {"type": "string"}}}},
            {"name": "read", "parameters": {"type": "OBJECT", "properties": {"max_lines": {"type": "INTEGER"}}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
        "generationConfig": {"temperature": 0, "topP": 0.5, "maxOutputTokens": 100, "stopSequences": ["END"],
            "thinkingConfig": {"includeThoughts": true, "thinkingBudget": 8192}},
    });
    if is_camel {
        return camel;
    }
    let mut text = camel.to_string();
    for (from, to) in [
        ("systemInstruction", "system_instruction"),
        ("inlineData", "inline_data"),
        ("mimeType", "mime_type"),
        ("functionCallingConfig", "function_calling_config"),
        ("functionCall\"", "function_call\""),
        ("functionResponse", "function_response"),
        ("functionDeclarations", "function_declarations"),
        ("parametersJsonSchema", "parameters_json_schema"),
        ("toolConfig", "tool_config"),
        ("generationConfig", "generation_config"),
        ("topP", "top_p"),
        ("maxOutputTokens", "max_output_tokens"),
        ("stopSequences", "stop_sequences"),
        ("thinkingConfig", "thinking_config"),
        ("includeThoughts", "include_thoughts"),
        ("thinkingBudget", "thinking_budget"),
    ] {
        text = text.replace(from, to);
    }
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_session_is_a_chat_with_its_calls_and_results_in_pairs() {
    let chat = at("openai", "up", &session(true));
    let messages = chat["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages.iter().map(|one| one["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool"]);
    let calls = messages[2]["tool_calls"].as_array().unwrap();
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    assert_eq!(messages[3]["tool_call_id"], calls[0]["id"]);
    assert_eq!(messages[4]["tool_call_id"], calls[1]["id"]);
    assert_eq!(
        (&messages[3]["content"], &messages[4]["content"]),
        (&json!("a"), &json!("Error: no such folder"))
    );
    assert_eq!(
        chat["tools"][1]["function"]["parameters"]["properties"]["max_lines"]["type"],
        "integer"
    );
    assert_eq!((&chat["max_tokens"], &chat["stop"]), (&json!(100), &json!(["END"])));
    assert_eq!(chat["tool_choice"], "auto");
}

#[test]
fn both_spellings_are_one_request_at_every_wire() {
    for (provider, model) in [
        ("openai", "up"),
        ("anthropic", "claude-sonnet-4-5"),
        ("cohere", "command-a-reasoning"),
        ("ollama", "qwen3:8b"),
        ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ] {
        let (camel, snake) =
            (at(provider, model, &session(true)), at(provider, model, &session(false)));
        assert_eq!(camel, snake, "{provider}");
    }
}

#[test]
fn a_session_in_front_of_claude_is_a_valid_body() {
    let body = at("anthropic", "claude-sonnet-4-5", &session(true));
    let messages = body["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    let results: Vec<&Value> = messages[2]["content"].as_array().unwrap().iter().collect();
    let calls = messages[1]["content"].as_array().unwrap();
    let calls: Vec<&Value> = calls.iter().filter(|one| one["type"] == "tool_use").collect();
    assert_eq!(calls.len(), 2);
    for (call, result) in calls.iter().zip(&results) {
        assert_eq!(call["id"], result["tool_use_id"]);
    }
    assert_eq!(results[1]["is_error"], true);
    assert_eq!(body["max_tokens"], 100);
}

#[test]
fn signed_thoughts_of_claude_come_back_as_they_were() {
    let view = thoughtful("anthropic", "claude-sonnet-4-5");
    let message = json!({"id": "msg_1", "content": [
        {"type": "thinking", "thinking": "Look.", "signature": "EqRk+/=="},
        {"type": "redacted_thinking", "data": "aGlk"},
        {"type": "tool_use", "id": "toolu_1", "name": "list", "input": {"path": "."}}],
        "stop_reason": "tool_use", "usage": {"input_tokens": 9, "output_tokens": 7}});
    let shown = answered(WireFormat::Anthropic, &message, &view);
    let content = shown["candidates"][0]["content"].clone();
    assert_eq!(content["parts"][0]["thought"], true);
    assert_eq!(
        content["parts"][2]["functionCall"],
        json!({"id": "toolu_1", "name": "list", "args": {"path": "."}})
    );
    assert_eq!(shown["candidates"][0]["finishReason"], "STOP");
    assert_eq!(
        shown["usageMetadata"],
        json!({"promptTokenCount": 9, "candidatesTokenCount": 7, "totalTokenCount": 16})
    );
    assert_eq!((&shown["modelVersion"], &shown["responseId"]), (&json!("mine"), &json!("msg_1")));
    let next = json!({"contents": [{"role": "user", "parts": [{"text": "go"}]}, content,
        {"role": "user", "parts": [{"functionResponse": {"id": "toolu_1", "name": "list", "response": {"result": "a"}}}]}],
        "generationConfig": {"maxOutputTokens": 4000, "thinkingConfig": {"thinkingBudget": 2000}},
        "tools": [{"functionDeclarations": [{"name": "list"}]}]});
    let sent = at("anthropic", "claude-sonnet-4-5", &next);
    let turn = &sent["messages"][1]["content"];
    assert_eq!(turn[0], json!({"type": "thinking", "thinking": "Look.", "signature": "EqRk+/=="}));
    assert_eq!(turn[1], json!({"type": "redacted_thinking", "data": "aGlk"}));
    assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "toolu_1");
    // No other provider gets them, and Google gets what it takes in place of a signature.
    let chat = at("openai", "gpt-5", &next);
    assert!(!chat.to_string().contains("EqRk") && !chat.to_string().contains("Look."), "{chat}");
    let google = at("gemini", "gemini-3-pro", &next);
    let parts = google["contents"][1]["parts"].as_array().unwrap();
    assert!(
        parts[0].get("thoughtSignature").is_none() && parts[1].get("thoughtSignature").is_none()
    );
    assert_eq!(parts[2]["thoughtSignature"], "skip_thought_signature_validator");
}

#[test]
fn a_stream_of_claude_is_chunks_that_end_once() {
    let view = thoughtful("anthropic", "claude-sonnet-4-5");
    let text = concat!(
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Lo\"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"ok.\"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"EqRk\"}}\n\n",
        "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n",
        "data: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{}}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":\"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"1}\"}}\n\n",
        "data: {\"type\":\"content_block_stop\",\"index\":2}\n\n",
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":8}}\n\n",
        "data: {\"type\":\"message_stop\"}\n\n",
    );
    let conversion = Conversion { operation: GENERATE, wire: WireFormat::Anthropic };
    let read = |in_list: bool| {
        let mut reader = Reader::new(conversion, view.clone());
        if in_list {
            reader = reader.in_list();
        }
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(37) {
            reader.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
        }
        reader.finish(&mut out).unwrap();
        assert!(reader.is_complete());
        reader.close(&mut out);
        reader.close(&mut out);
        String::from_utf8(out).unwrap()
    };
    let events = data(&read(false).replace("\r\n", "\n"));
    let parts: Vec<&Value> =
        events.iter().map(|one| &one["candidates"][0]["content"]["parts"][0]).collect();
    assert_eq!((&parts[0]["text"], &parts[1]["text"]), (&json!("Lo"), &json!("ok.")));
    assert_eq!((&parts[2]["thought"], &parts[2]["text"]), (&json!(true), &json!("")));
    assert_eq!(parts[3], &json!({"text": "Hi"}));
    assert_eq!(parts[4]["functionCall"], json!({"id": "toolu_1", "name": "f", "args": {"a": 1}}));
    let ends: Vec<&Value> =
        events.iter().map(|one| &one["candidates"][0]["finishReason"]).collect();
    assert_eq!(ends.iter().filter(|end| !end.is_null()).count(), 1);
    assert_eq!(events[4]["usageMetadata"]["totalTokenCount"], 11);
    let list: Vec<Value> = serde_json::from_str(&read(true)).unwrap();
    assert_eq!(list, events, "the list has what the events have");
}

#[test]
fn thoughts_that_were_not_asked_for_are_withheld() {
    let chat = json!({"id": "c", "choices": [{"message": {"content": "Hi", "reasoning_content": "hm"}, "finish_reason": "stop"}]});
    let parts = |view: &View| {
        answered(WireFormat::OpenAi, &chat, view)["candidates"][0]["content"]["parts"].clone()
    };
    assert_eq!(parts(&view()), json!([{"text": "Hi"}]));
    let shown = parts(&thoughtful("deepseek", "deepseek-reasoner"));
    assert_eq!((&shown[0]["text"], &shown[1]), (&json!("hm"), &json!({"text": "Hi"})));
    // Reasoning without a signature goes back to the family that made it, in its own field.
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "go"}]}, {"role": "model", "parts": shown},
        {"role": "user", "parts": [{"text": "more"}]}]});
    let sent = at("deepseek", "deepseek-reasoner", &body);
    assert_eq!(sent["messages"][1]["reasoning_content"], "hm");
}

#[test]
fn an_answer_without_content_has_no_parts_and_an_end() {
    for (stop, expected) in
        [("stop", "STOP"), ("length", "MAX_TOKENS"), ("content_filter", "SAFETY")]
    {
        let chat = json!({"choices": [{"message": {"content": ""}, "finish_reason": stop}]});
        let shown = answered(WireFormat::OpenAi, &chat, &view());
        assert_eq!(shown["candidates"][0]["finishReason"], expected);
        assert_eq!(shown["candidates"][0]["content"], json!({"role": "model"}));
    }
}

#[test]
fn a_choice_of_some_functions_offers_only_those() {
    let tools = json!([{"functionDeclarations": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}]);
    let body = |mode: &str, names: Value| {
        json!({"contents": "x", "tools": tools,
            "toolConfig": {"functionCallingConfig": {"mode": mode, "allowedFunctionNames": names}}})
    };
    let sent = |mode: &str, names: Value| at("openai", "up", &body(mode, names));
    let some = sent("ANY", json!(["a", "c"]));
    let names: Vec<&Value> =
        some["tools"].as_array().unwrap().iter().map(|one| &one["function"]["name"]).collect();
    assert_eq!((names, &some["tool_choice"]), (vec![&json!("a"), &json!("c")], &json!("required")));
    let one = sent("any", json!(["b"]));
    assert_eq!(one["tool_choice"]["function"]["name"], "b");
    assert_eq!(sent("NONE", json!([]))["tool_choice"], "none");
    assert_eq!(
        refused("openai", &body("ANY", json!(["z"]))).field,
        "toolConfig.functionCallingConfig.allowedFunctionNames"
    );
}

#[test]
fn a_schema_of_the_answer_is_one_of_json() {
    let body = json!({"contents": "x", "generationConfig": {"responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": true}}, "required": ["a"]}}});
    let sent = at("openai", "up", &body);
    let schema = &sent["response_format"]["json_schema"]["schema"];
    assert_eq!(schema["properties"]["a"]["type"], json!(["string", "null"]));
    let plain =
        json!({"contents": "x", "generationConfig": {"responseMimeType": "application/json"}});
    assert_eq!(at("openai", "up", &plain)["response_format"]["type"], "json_object");
    let several = json!({"contents": "x", "generationConfig": {"candidateCount": 2}});
    assert_eq!(at("openai", "up", &several)["n"], 2);
}

#[test]
fn what_another_provider_cannot_do_is_refused_in_the_clients_words() {
    for (provider, body, field) in [
        (
            "openai",
            json!({"contents": "x", "generationConfig": {"speechConfig": {}}}),
            "generationConfig.speechConfig",
        ),
        (
            "anthropic",
            json!({"contents": "x", "generationConfig": {"candidateCount": 2}}),
            "generationConfig.candidateCount",
        ),
        (
            "ollama",
            json!({"contents": "x", "generationConfig": {"candidateCount": 2}}),
            "generationConfig.candidateCount",
        ),
        ("openai", json!({"contents": "x", "cachedContent": "cachedContents/1"}), "cachedContent"),
        (
            "openai",
            json!({"contents": [{"parts": [{"newKind": {}}]}]}),
            "contents[0].parts[0].newKind",
        ),
        (
            "openai",
            json!({"contents": [{"parts": [{"fileData": {"fileUri": "gs://b/a", "mimeType": "image/png"}}]}]}),
            "contents[0].parts[0].fileData.fileUri",
        ),
        (
            "openai",
            json!({"contents": "x", "tools": [{"codeExecution": {}}]}),
            "tools[0].codeExecution",
        ),
        (
            "openai",
            json!({"contents": "x", "tools": [{"googleSearch": {}}]}),
            "tools: googleSearch",
        ),
        (
            "openai",
            json!({"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]}),
            "contents",
        ),
    ] {
        let why = refused(provider, &body);
        assert!(why.field.starts_with(field), "{body}: {why:?}");
        assert!(!why.message.contains("messages["), "{why}");
    }
    for allowed in [
        json!({"contents": "x", "generationConfig": {"candidateCount": 1, "responseLogprobs": false, "newField": 1}, "labels": {"a": "b"}}),
        json!({"contents": "x", "safetySettings": [{"category": "X", "threshold": "BLOCK_NONE"}], "store": true, "newField": {}}),
        json!({"contents": "x", "generationConfig": {"topK": 64}}),
        json!({"contents": [{"parts": [{}, {"thoughtSignature": "QQ=="}, {"text": ""}]}]}),
    ] {
        at("openai", "up", &allowed);
    }
}

#[test]
fn a_search_is_the_targets_own_or_left_out_beside_other_tools() {
    let body = json!({"contents": "x", "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}]});
    let claude = at("anthropic", "claude-sonnet-4-5", &body);
    assert!(
        claude["tools"].as_array().unwrap().iter().any(|one| one["name"] == "web_search"),
        "{claude}"
    );
    assert_eq!(at("openai", "up", &body)["tools"].as_array().unwrap().len(), 1);
    assert_eq!(at("gemini", "gemini-3-pro", &body), body, "bytes pass");
}

#[test]
fn bytes_of_google_pass_but_for_the_model_and_what_the_gateway_adds() {
    let text = r#"{ "contents" : [{"parts":[{"newKind":{"a":1.0}}]}], "num_retries":2, "futureField":{"x":[1,2]},
        "generationConfig":{"topK": 4.0} }"#;
    let peek = Peek::parse(Bytes::from(text)).unwrap();
    let google = deployment("gemini");
    let Ok(Prepared::Body(called, body, _)) =
        prepare(&peek, &order(&google, GENERATE, "gemini-2.5-pro"))
    else {
        panic!("not prepared")
    };
    assert_eq!(called.operation, GENERATE);
    let sent = String::from_utf8(body.joined().to_vec()).unwrap();
    assert_eq!(sent, text.replace(r#" "num_retries":2,"#, ""), "{sent}");
    let answer = r#"{"candidates":[{"content":{"parts":[{"future":1}]},"finishReason":"STOP"}],"modelVersion":"theirs","new":1e1}"#;
    let conversion = Conversion { operation: GENERATE, wire: WireFormat::Gemini };
    let checked = answer::check(conversion, &Bytes::from(answer), &view()).unwrap();
    assert_eq!(checked.body, answer.replace("theirs", "mine"));
    let stream = format!("data: {answer}\r\n\r\n");
    let (reader, out) = streamed(conversion, &stream, &[5, 40]);
    assert!(reader.is_complete() && reader.has_content());
    assert_eq!(out, stream.replace("theirs", "mine"));
}

#[test]
fn a_deployments_parameters_complete_what_passes() {
    let mut google = deployment("gemini");
    google.endpoint.default_params = vec![
        ("temperature".into(), "0.2".into()),
        ("max_tokens".into(), "50".into()),
        ("reasoning_effort".into(), "\"low\"".into()),
    ];
    google.endpoint.dropped_params = vec!["top_k".into()];
    let body = json!({"contents": "x", "generation_config": {"topK": 3, "max_output_tokens": 9}});
    let order = order(&google, GENERATE, "gemini-2.5-pro");
    let config = sent(&body, &order).unwrap()["generation_config"].clone();
    assert_eq!(config["temperature"], 0.2);
    assert_eq!((&config["maxOutputTokens"], config.get("topK")), (&json!(9), None));
    assert_eq!(config["thinkingConfig"]["thinkingBudget"], 1024);
    let mut claude = deployment("anthropic");
    claude.endpoint.default_params =
        vec![("max_tokens".into(), "50".into()), ("temperature".into(), "0.2".into())];
    let order = crate::fixture::order(&claude, GENERATE, "claude-3-5-haiku");
    let given =
        sent(&json!({"contents": "x", "generationConfig": {"temperature": 1}}), &order).unwrap();
    assert_eq!((&given["max_tokens"], &given["temperature"]), (&json!(50), &json!(1)));
}

#[test]
fn an_answer_that_the_model_spoilt_is_a_failure_unless_content_has_left() {
    let conversion = Conversion { operation: GENERATE, wire: WireFormat::Gemini };
    let spoilt = r#"{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"MALFORMED_FUNCTION_CALL"}]}"#;
    assert!(answer::check(conversion, &Bytes::from(spoilt), &view()).is_err());
    let alone = "data: {\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\"}]}\n\n";
    let mut reader = Reader::new(conversion, view());
    assert!(reader.push(Bytes::from(alone), &mut Vec::new()).is_err());
    let begun = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}]}\n\n";
    let (reader, out) = streamed(conversion, &format!("{begun}{alone}"), &[]);
    assert!(reader.is_complete());
    assert!(out.ends_with(alone));
}

#[test]
fn an_error_in_a_stream_ends_the_list() {
    let conversion = Conversion { operation: GENERATE, wire: WireFormat::Gemini };
    let mut reader = Reader::new(conversion, view()).in_list();
    let mut out = Vec::new();
    let begun = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}]}\n\n";
    reader.push(Bytes::from(begun), &mut out).unwrap();
    let reply = crate::formats::errors::ErrorReply { code: "503".to_owned(), ..Default::default() };
    out.extend(reader.failure(&reply));
    let list: Vec<Value> = serde_json::from_slice(&out).unwrap();
    assert_eq!(list[1]["error"]["status"], "UNAVAILABLE");
}

#[test]
fn counts_ask_the_provider_or_are_estimated() {
    let body = json!({"generateContentRequest": {"model": "models/mine", "contents": [{"role": "user", "parts": [{"text": "Hello there"}]}],
        "generationConfig": {"maxOutputTokens": 5}}});
    let of = |provider: &str, model: &str| {
        sent(&body, &order(&deployment(provider), Operation::CountContents, model)).unwrap()
    };
    let estimate = of("openai", "up");
    assert_eq!((estimate["totalTokens"].as_u64(), &estimate["estimated"]), (Some(7), &json!(true)));
    let claude = of("anthropic", "claude-sonnet-4-5");
    assert!(claude["messages"].is_array() && claude.get("max_tokens").is_none(), "{claude}");
    assert_eq!(
        of("gemini", "gemini-2.5-pro")["generateContentRequest"]["model"],
        "models/gemini-2.5-pro"
    );
    let counted = |wire, text: &str| {
        let conversion = Conversion { operation: Operation::CountContents, wire };
        let answer = answer::check(conversion, &Bytes::from(text.to_owned()), &view()).unwrap();
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    assert_eq!(counted(WireFormat::Anthropic, r#"{"input_tokens":12}"#), r#"{"totalTokens":12}"#);
    assert_eq!(counted(WireFormat::Converse, r#"{"inputTokens":12}"#), r#"{"totalTokens":12}"#);
    assert_eq!(
        counted(WireFormat::Gemini, r#"{"totalTokens":12,"new":1}"#),
        r#"{"totalTokens":12,"new":1}"#
    );
}

#[test]
fn vertex_ai_counts_and_embeds_in_its_own_ways() {
    let mut vertex = deployment("vertex_ai");
    vertex.endpoint.vertex = Some(hale_core::vertex::Vertex {
        project: Some("p".into()),
        location: "global".into(),
        source: None,
    });
    let counted = json!({"generateContentRequest": {"model": "models/mine", "contents": [{"role": "user", "parts": [{"text": "a"}]}]}});
    let body = sent(&counted, &order(&vertex, Operation::CountContents, "gemini-2.5-pro")).unwrap();
    assert_eq!(body, json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}]}));
    let batch = json!({"requests": [{"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY"}]});
    let body =
        sent(&batch, &order(&vertex, Operation::EmbedContents, "text-embedding-005")).unwrap();
    assert_eq!(body, json!({"instances": [{"content": "a", "task_type": "RETRIEVAL_QUERY"}]}));
}

#[test]
fn embeddings_of_each_provider_have_googles_form() {
    let batch = json!({"requests": [
        {"model": "models/mine", "content": {"parts": [{"text": "a"}, {"text": "b"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 3},
        {"model": "models/mine", "content": {"parts": [{"text": "c"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 3}]});
    let of = |provider: &str, operation, body: &Value| {
        sent(body, &order(&deployment(provider), operation, "up"))
    };
    let openai = of("openai", Operation::EmbedContents, &batch).unwrap();
    assert_eq!((&openai["input"], &openai["dimensions"]), (&json!(["a\nb", "c"]), &json!(3)));
    assert_eq!(openai["model"], "up");
    let cohere = of("cohere", Operation::EmbedContents, &batch).unwrap();
    assert_eq!(cohere["input_type"], "search_query");
    let google = of("gemini", Operation::EmbedContents, &batch).unwrap();
    assert_eq!(google["requests"][1]["model"], "models/up");
    assert_eq!(google["requests"][0]["content"], batch["requests"][0]["content"]);
    let one = json!({"content": {"parts": [{"text": "a"}]}});
    assert_eq!(of("openai", Operation::EmbedContent, &one).unwrap()["input"], json!(["a"]));
    let picture =
        json!({"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "QQ=="}}]}});
    assert!(of("openai", Operation::EmbedContent, &picture).is_err());
    let answered = |operation, wire, text: &str| {
        let answer =
            answer::check(Conversion { operation, wire }, &Bytes::from(text.to_owned()), &view())
                .unwrap();
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    let text = r#"{"object":"list","data":[{"embedding":[0.5,1e-3]},{"embedding":[1]}],"usage":{"prompt_tokens":3}}"#;
    assert_eq!(
        answered(Operation::EmbedContents, WireFormat::OpenAi, text),
        r#"{"embeddings":[{"values":[0.5,1e-3]},{"values":[1]}]}"#
    );
    let text = r#"{"data":[{"embedding":[0.5]}]}"#;
    assert_eq!(
        answered(Operation::EmbedContent, WireFormat::OpenAi, text),
        r#"{"embedding":{"values":[0.5]}}"#
    );
    // Vertex AI's older way.
    let text =
        r#"{"predictions":[{"embeddings":{"values":[0.5],"statistics":{"token_count":2}}}]}"#;
    assert_eq!(
        answered(Operation::EmbedContents, WireFormat::Gemini, text),
        r#"{"embeddings":[{"values":[0.5]}]}"#
    );
}
