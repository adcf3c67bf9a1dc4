//! Requests in Cohere's format, its answers and its streams.

use bytes::Bytes;
use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_core::usage::Usage;
use serde_json::{Value, json};

use crate::conversion::answer;
use crate::conversion::prepare::Conversion;
use crate::fixture::{data, deployment, order, sent, streamed, view};
use crate::formats::answer::Fault;
use crate::formats::neutral::Unfit;
use crate::formats::order::Order;

const CONVERSION: Conversion = Conversion { operation: Operation::Chat, wire: WireFormat::Cohere };

fn written(body: &Value) -> Result<Value, Unfit> {
    sent(body, &order(&deployment("cohere"), Operation::Chat, "command-a-reasoning"))
}

fn chat(more: Value) -> Result<Value, Unfit> {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    written(&body)
}

/// A tool that the client runs.
fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
}

#[test]
fn parameters_have_coheres_names_and_none_is_written_twice() {
    let body = chat(
        json!({"max_completion_tokens": 5, "temperature": 0.1, "top_p": 0.2, "top_k": 3, "p": 0.4, "k": 7,
        "stop": ["a"], "seed": 1, "frequency_penalty": 0.5, "logprobs": true, "safety_mode": "NONE", "user": "u",
        "store": false, "service_tier": "auto", "n": 1, "logit_bias": {}, "documents": ["d"], "strict_tools": false,
        "prompt_cache_key": "c", "modalities": ["text"], "stream": true, "stream_options": {"include_usage": true}}),
    );
    let expected = json!({"model": "command-a-reasoning", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5,
        "temperature": 0.1, "p": 0.4, "k": 7, "stop_sequences": ["a"], "seed": 1, "frequency_penalty": 0.5, "logprobs": true,
        "safety_mode": "NONE", "documents": ["d"], "strict_tools": false, "stream": true});
    assert_eq!(body.unwrap(), expected);
    for (name, value) in [
        ("n", json!(2)),
        ("top_logprobs", json!(2)),
        ("logit_bias", json!({"1": 2})),
        ("web_search_options", json!({})),
        ("modalities", json!(["audio"])),
        ("audio", json!({"voice": "x"})),
        ("something", json!(1)),
    ] {
        assert_eq!(chat(json!({ name: value })).unwrap_err().field, name);
    }
}

#[test]
fn what_may_be_dropped_is_and_a_default_of_the_config_is_no_fault_of_the_client() {
    let deployment = deployment("cohere");
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "n": 2, "documents": ["d"],
        "response_format": {"type": "json_object"}});
    let dropping = Order { drop_params: true, ..order(&deployment, Operation::Chat, "command-r") };
    let body = sent(&body, &dropping).unwrap();
    assert_eq!((&body["n"], &body["response_format"]), (&Value::Null, &Value::Null));
    let mut set: Deployment = self::deployment("cohere");
    set.endpoint.default_params =
        vec![("n".into(), "2".into()), ("safety_mode".into(), "\"STRICT\"".into())];
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let body = sent(&body, &order(&set, Operation::Chat, "command-r")).unwrap();
    assert_eq!((&body["n"], &body["safety_mode"]), (&Value::Null, &json!("STRICT")));
}

#[test]
fn a_choice_of_a_tool_sends_that_tool_alone() {
    let tools = json!([tool("a"), tool("b")]);
    let named = json!({"type": "function", "function": {"name": "b"}});
    for (choice, word, count) in [
        (json!("auto"), Value::Null, 2),
        (json!("none"), json!("NONE"), 2),
        (json!("required"), json!("REQUIRED"), 2),
        (named.clone(), json!("REQUIRED"), 1),
    ] {
        let body = chat(json!({"tools": tools, "tool_choice": choice})).unwrap();
        assert_eq!(body["tool_choice"], word);
        assert_eq!(body["tools"].as_array().unwrap().len(), count, "{body}");
    }
    let one = json!({"tools": tools, "tool_choice": named, "parallel_tool_calls": false});
    assert_eq!(chat(one).unwrap()["tools"][0], tool("b"));
    let both = chat(json!({"tools": tools, "parallel_tool_calls": false}));
    assert_eq!(both.unwrap_err().field, "parallel_tool_calls");
    let mut strict = tool("a");
    strict["function"]["strict"] = json!(true);
    assert_eq!(chat(json!({"tools": [strict]})).unwrap()["strict_tools"], true);
    assert_eq!(chat(json!({"tools": [strict, tool("b")]})).unwrap()["strict_tools"], Value::Null);
}

#[test]
fn the_answers_shape_is_a_schema_and_beside_tools_a_tool() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let body = chat(json!({"response_format": format})).unwrap();
    assert_eq!(body["response_format"], json!({"type": "json_object", "json_schema": schema}));
    let body = chat(json!({"response_format": {"type": "json_object"}})).unwrap();
    assert_eq!(body["response_format"], json!({"type": "json_object"}));
    let body = chat(json!({"response_format": format, "tools": [tool("a")]})).unwrap();
    assert_eq!(body["response_format"], Value::Null);
    assert_eq!(
        (body["tools"].as_array().unwrap().len(), &body["tool_choice"]),
        (2, &json!("REQUIRED"))
    );
    let error = chat(json!({"response_format": format, "documents": [{"data": {}}]})).unwrap_err();
    assert!(error.message.contains("documents"), "{error}");
}

#[test]
fn thinking_has_a_budget_of_tokens() {
    for (more, expected) in [
        (json!({}), Value::Null),
        (json!({"reasoning_effort": "none"}), json!({"type": "disabled"})),
        (json!({"reasoning_effort": "minimal"}), json!({"type": "enabled", "token_budget": 1024})),
        (json!({"reasoning_effort": "low"}), json!({"type": "enabled", "token_budget": 2048})),
        (json!({"reasoning_effort": "high"}), json!({"type": "enabled", "token_budget": 8192})),
        (json!({"reasoning_effort": "xhigh"}), json!({"type": "enabled"})),
        (json!({"thinking": {"type": "disabled"}}), json!({"type": "disabled"})),
        (json!({"thinking": {"type": "enabled"}}), json!({"type": "enabled"})),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 99}}),
            json!({"type": "enabled", "token_budget": 99}),
        ),
        (
            json!({"thinking": {"type": "enabled", "token_budget": 98}}),
            json!({"type": "enabled", "token_budget": 98}),
        ),
    ] {
        assert_eq!(chat(more.clone()).unwrap()["thinking"], expected, "{more}");
    }
    for (more, field) in [
        (json!({"reasoning_effort": "much"}), "reasoning_effort"),
        (json!({"thinking": {"type": "x"}}), "thinking.type"),
        (json!({"thinking": {"type": "enabled"}, "reasoning_effort": "low"}), "reasoning_effort"),
    ] {
        assert_eq!(chat(more).unwrap_err().field, field);
    }
}

#[test]
fn messages_keep_their_roles_and_reasoning_goes_back_where_it_came_from() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let thought =
        |text: &str| json!([{"type": "thinking", "thinking": text, "signature": "hale:cohere"}]);
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let body = written(&json!({"model": "m", "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "what?"}, image]},
        {"role": "assistant", "content": "I see", "thinking_blocks": thought("hm")},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")], "thinking_blocks": thought("plan")},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "user", "content": "go on"}]}));
    let expected = json!([
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "what?"}, image]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "I see"}]},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "tool_plan": "plan", "tool_calls": [call("a"), call("b")]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "user", "content": "go on"}]);
    let mut messages = body.unwrap()["messages"].clone();
    // In which order results stand says nothing.
    let list = messages.as_array_mut().unwrap();
    list[5..7].sort_by_key(|one| one["tool_call_id"].as_str().map(str::to_owned));
    assert_eq!(messages, expected);
    let foreign = json!({"model": "m", "messages": [{"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "theirs"}]},
        {"role": "user", "content": "c"}]});
    assert_eq!(
        written(&foreign).unwrap()["messages"][1],
        json!({"role": "assistant", "content": "b"})
    );
}

#[test]
fn content_without_a_place_is_refused_by_its_kind() {
    let with = |part: Value| {
        let content = json!([{"type": "text", "text": "a"}, part]);
        written(&json!({"model": "m", "messages": [{"role": "user", "content": content}]}))
    };
    let file = |kind: &str, data: &str| json!({"type": "file", "file": {"filename": "f", "file_data": format!("data:{kind};base64,{data}")}});
    let text = with(file("text/plain", "aGk=")).unwrap();
    assert_eq!(text["documents"], json!([{"data": {"title": "f", "text": "hi"}}]));
    assert!(with(file("application/pdf", "aGk=")).unwrap_err().field.contains("application/pdf"));
    let sound = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}});
    assert!(with(sound).unwrap_err().field.contains("sound"));
}

fn read(text: &str) -> Result<Value, Fault> {
    let answer = answer::check(CONVERSION, &Bytes::copy_from_slice(text.as_bytes()), &view())?;
    Ok(serde_json::from_slice(&answer.body).unwrap())
}

/// An answer with that message.
fn answered(message: Value, finish: &str) -> String {
    json!({"id": "c", "message": message, "finish_reason": finish,
        "usage": {"tokens": {"input_tokens": 4, "output_tokens": 2}}})
    .to_string()
}

#[test]
fn ends_have_the_clients_words_and_failures_are_none() {
    let said = json!({"content": [{"type": "text", "text": "a"}]});
    let called = json!({"tool_calls": [{"id": "t", "function": {"name": "f", "arguments": ""}}]});
    for (message, word, expected) in [
        (&said, "COMPLETE", "stop"),
        (&called, "COMPLETE", "tool_calls"),
        (&called, "TOOL_CALL", "tool_calls"),
        (&said, "STOP_SEQUENCE", "stop"),
        (&said, "MAX_TOKENS", "length"),
        (&said, "ERROR_TOXIC", "content_filter"),
        (&said, "NEW_WORD", "NEW_WORD"),
    ] {
        let answer = read(&answered(message.clone(), word)).unwrap();
        assert_eq!(answer["choices"][0]["finish_reason"], expected, "{word}");
    }
    let call = read(&answered(called, "TOOL_CALL")).unwrap();
    assert_eq!(call["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{}");
    assert!(matches!(read(&answered(said.clone(), "ERROR")), Err(Fault::Malformed(_))));
    let Err(Fault::Error(error)) = read(&answered(said, "TIMEOUT")) else { panic!("passed") };
    assert_eq!(error.code.as_deref(), Some("504"));
    let Err(Fault::Error(error)) = read(r#"{"message":"no"}"#) else { panic!("passed") };
    assert_eq!(error.message, "no");
    for text in [
        "{}",
        "[]",
        "",
        r#"{"message":{"content":[{"type":"audio"}]}}"#,
        r#"{"message":{"content":7}}"#,
    ] {
        assert!(matches!(read(text), Err(Fault::Malformed(_))), "{text}");
    }
}

#[test]
fn only_a_complete_answer_without_content_is_empty() {
    let is_empty = |message: Value, finish: &str| {
        let text = answered(message, finish).replace("\"output_tokens\":2", "\"output_tokens\":0");
        answer::check(CONVERSION, &Bytes::from(text), &view()).unwrap().is_empty
    };
    assert!(is_empty(json!({"content": []}), "COMPLETE"));
    assert!(is_empty(json!({"content": [{"type": "text", "text": ""}]}), "COMPLETE"));
    assert!(!is_empty(json!({"content": []}), "MAX_TOKENS"));
    assert!(!is_empty(json!({"content": [{"type": "text", "text": "a"}]}), "COMPLETE"));
}

/// An event of a stream.
fn event(value: &Value) -> String {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap())
}

fn text_event(index: u64, text: &str) -> String {
    event(
        &json!({"type": "content-delta", "index": index, "delta": {"message": {"content": {"text": text}}}}),
    )
}

fn end(delta: Value) -> String {
    event(&json!({"type": "message-end", "delta": delta}))
}

#[test]
fn a_stream_with_interleaved_calls_keeps_them_apart_wherever_it_is_cut() {
    let start = |index: u64| {
        event(&json!({"type": "tool-call-start", "index": index,
        "delta": {"message": {"tool_calls": {"id": format!("t{index}"), "type": "function", "function": {"name": "f", "arguments": ""}}}}}))
    };
    let piece = |index: u64, text: &str| {
        event(&json!({"type": "tool-call-delta", "index": index,
        "delta": {"message": {"tool_calls": {"function": {"arguments": text}}}}}))
    };
    let usage = json!({"tokens": {"input_tokens": 4, "output_tokens": 2}});
    let text = [
        event(&json!({"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}})),
        event(&json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "hm"}}})),
        start(1),
        start(4),
        piece(4, "{\"b\":"),
        piece(1, "{}"),
        piece(4, "1}"),
        start(6),
        event(&json!({"type": "tool-call-end", "index": 6})),
        event(&json!({"type": "debug", "prompt": "p"})),
        end(json!({"finish_reason": "TOOL_CALL", "usage": usage})),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let (reader, whole) = streamed(CONVERSION, &text, &[]);
    let calls: Vec<Value> = data(&whole)
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0].as_object().cloned())
        .map(Value::Object)
        .collect();
    let input = |index: u64| -> String {
        let of = calls.iter().filter(|call| call["index"] == index);
        of.filter_map(|call| call["function"]["arguments"].as_str()).collect()
    };
    assert_eq!([input(0), input(1), input(2)], ["{}", "{\"b\":1}", "{}"]);
    assert!(whole.contains("\"finish_reason\":\"tool_calls\"") && reader.is_done());
    assert_eq!(reader.usage(), Some(Usage { input: 4, output: 2, ..Usage::default() }));
    for cut in (0..text.len()).step_by(7) {
        assert_eq!(streamed(CONVERSION, &text, &[cut]).1, whole, "{cut}");
    }
}

#[test]
fn a_citation_counts_from_the_beginning_of_the_whole_text() {
    let citation = json!({"start": 1, "end": 3, "content_index": 2, "type": "TEXT_CONTENT",
        "sources": [{"type": "document", "id": "d", "document": {"url": "https://x/", "title": "T"}},
            {"type": "tool", "id": "t:0", "tool_output": {"a": "b"}}]});
    let plan =
        json!({"start": 0, "end": 1, "type": "PLAN", "sources": [{"type": "tool", "id": "t"}]});
    let content = json!([{"type": "text", "text": "日本"}, {"type": "thinking", "thinking": "long thoughts"}, {"type": "text", "text": "é, so"}]);
    let whole =
        read(&answered(json!({"content": content, "citations": [citation, plan]}), "COMPLETE"))
            .unwrap();
    let cited = |start: u64, url: &str, title: &str| {
        json!({"type": "url_citation", "url_citation":
        {"start_index": start, "end_index": start + 2, "url": url, "title": title}})
    };
    let expected = json!([cited(3, "https://x/", "T"), cited(3, "source:t:0", "t:0")]);
    assert_eq!(whole["choices"][0]["message"]["annotations"], expected);
    let cite = event(
        &json!({"type": "citation-start", "index": 0, "delta": {"message": {"citations": citation}}}),
    );
    let text = [
        text_event(0, "日"),
        text_event(0, "本"),
        text_event(2, "é, so"),
        cite,
        end(json!({"finish_reason": "COMPLETE"})),
    ]
    .concat();
    let (_, out) = streamed(CONVERSION, &text, &[]);
    let told: Vec<Value> = data(&out)
        .iter()
        .flat_map(|chunk| {
            chunk["choices"][0]["delta"]["annotations"].as_array().cloned().unwrap_or_default()
        })
        .collect();
    let mut indexed = expected;
    for (index, one) in indexed.as_array_mut().unwrap().iter_mut().enumerate() {
        one["index"] = json!(index);
    }
    assert_eq!(json!(told), indexed);
}

#[test]
fn a_stream_that_fails_or_says_what_is_unknown_ends_with_an_error() {
    let read = |events: &[String]| {
        let mut reader = crate::conversion::stream::Reader::new(CONVERSION, view());
        let mut out = Vec::new();
        let read = reader.push(Bytes::from(events.concat()), &mut out);
        (read.err().map(|broken| broken.to_string()), reader.error().cloned())
    };
    let text = text_event(0, "a");
    let (broken, _) = read(&[text.clone(), end(json!({"finish_reason": "ERROR"}))]);
    assert!(broken.unwrap().contains("ERROR"));
    let (_, error) = read(&[
        text.clone(),
        end(json!({"finish_reason": "ERROR", "error": "too many tokens: x"})),
    ]);
    assert_eq!(error.unwrap().message, "too many tokens: x");
    let (_, error) = read(&[text.clone(), "data: {\"message\":\"no\"}\n\n".to_owned()]);
    assert_eq!(error.unwrap().message, "no");
    let unknown = event(
        &json!({"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "audio"}}}}),
    );
    let other = event(&json!({"type": "video-delta", "delta": {"message": {}}}));
    let lost = event(
        &json!({"type": "tool-call-delta", "index": 3, "delta": {"message": {"tool_calls": {"function": {"arguments": "x"}}}}}),
    );
    for event in [unknown, other, lost] {
        assert!(read(&[text.clone(), event]).0.is_some());
    }
}

#[test]
fn an_answer_of_very_many_small_contents_is_refused() {
    let content = json!({"type": "text", "text": "a"});
    let many = answered(json!({"content": vec![content; 20_000]}), "COMPLETE");
    let Err(Fault::Malformed(why)) = read(&many) else { panic!("passed") };
    assert!(why.contains("contents"), "{why}");
    let citation = json!({"start": 0, "end": 1, "sources": [{"id": "d"}]});
    let many = answered(json!({"content": [], "citations": vec![citation; 10_001]}), "COMPLETE");
    let Err(Fault::Malformed(why)) = read(&many) else { panic!("passed") };
    assert!(why.contains("citations"), "{why}");
}

#[test]
fn embeddings_are_of_texts_or_of_images() {
    let deployment = deployment("cohere");
    let asked = |more: Value| {
        let mut body = json!({"model": "m", "input": ["a"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sent(&body, &order(&deployment, Operation::Embedding, "embed-v4.0"))
    };
    let image = "data:image/png;base64,AAAA";
    let body = asked(json!({"input": [image], "truncate": "END"})).unwrap();
    assert_eq!(
        body,
        json!({"model": "embed-v4.0", "truncate": "END", "images": [image], "input_type": "image", "embedding_types": ["float"]})
    );
    assert_eq!(asked(json!({"input": "x"})).unwrap()["texts"], json!(["x"]));
    assert_eq!(asked(json!({"input": [1, 2]})).unwrap_err().field, "input");
    assert_eq!(asked(json!({"colour": 1})).unwrap_err().field, "colour");
    let conversion = Conversion { operation: Operation::Embedding, wire: WireFormat::Cohere };
    for (text, expected) in [
        (r#"{"embeddings":{"float":[[1.50,2]]}}"#, json!([1.5, 2])),
        (r#"{"embeddings":{"int8":[[1,2]]}}"#, json!([1, 2])),
        (r#"{"embeddings":[[3]]}"#, json!([3])),
    ] {
        let answer = answer::check(conversion, &Bytes::from(text), &view()).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["data"][0]["embedding"], expected, "{text}");
    }
    for text in [r#"{"embeddings":{}}"#, "{}", r#"{"embeddings":{"float":[7]}}"#] {
        assert!(answer::check(conversion, &Bytes::from(text), &view()).is_err(), "{text}");
    }
}

#[test]
fn a_choice_of_a_tool_that_is_not_there_is_refused() {
    let tools =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools,
        "tool_choice": {"type": "function", "function": {"name": "g"}}});
    let cohere = deployment("cohere");
    let refused = sent(&body, &order(&cohere, Operation::Chat, "command-a-03-2025")).unwrap_err();
    assert_eq!(refused.field, "tool_choice");
}
