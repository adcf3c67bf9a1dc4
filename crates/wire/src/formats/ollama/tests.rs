//! Chats, streams and embeddings between clients of other formats and Ollama's.

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::conversion::answer::{self, Fault};
use crate::conversion::prepare::Conversion;
use crate::fixture::{data, deployment, order, sent, streamed, view};
use crate::formats::order::Order;

const MODEL: &str = "llama3.1:8b";

fn with(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("{more}") };
    base.as_object_mut().unwrap().extend(more);
    base
}

fn refused(operation: Operation, model: &str, body: &Value) -> Result<Value, String> {
    let ollama = deployment("ollama");
    sent(body, &order(&ollama, operation, model)).map_err(|why| why.field)
}

fn chat(more: Value) -> Result<Value, String> {
    let body = json!({"model": "g", "messages": [{"role": "user", "content": "hi"}]});
    refused(Operation::Chat, MODEL, &with(body, more))
}

fn message(more: Value) -> Result<Value, String> {
    let body =
        json!({"model": "g", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    refused(Operation::Messages, MODEL, &with(body, more))
}

/// The members of an order that drops what does not fit.
fn lenient<'o>(order: Order<'o>) -> Order<'o> {
    Order { drop_params: true, ..order }
}

fn conversion(operation: Operation) -> Conversion {
    Conversion { operation, wire: WireFormat::Ollama }
}

fn answered(operation: Operation, body: &Value) -> Result<Value, Fault> {
    let body = Bytes::from(body.to_string());
    let answer = answer::check(conversion(operation), &body, &view())?;
    Ok(serde_json::from_slice(&answer.body).unwrap())
}

fn line(message: Value) -> Value {
    json!({"model": MODEL, "created_at": "2026-11-28T10:00:00.1Z", "message": message, "done": false})
}

fn last(message: Value, reason: &str) -> Value {
    let end = json!({"done": true, "done_reason": reason, "prompt_eval_count": 5, "eval_count": 7});
    with(line(message), end)
}

fn lines(all: &[Value]) -> String {
    all.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_message_has_one_text_and_its_pictures_beside_it() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let body = json!({"model": "g", "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "developer", "content": [{"type": "text", "text": "and brief"}]},
        {"role": "user", "name": "u", "content": [{"type": "text", "text": "what"}, image, {"type": "text", "text": "is it"}]},
        {"role": "assistant", "content": "a cat"},
        {"role": "system", "content": "now be long"},
        {"role": "user", "content": "on"}]});
    let expected = json!([
        {"role": "system", "content": "be kind\nand brief\nnow be long"},
        {"role": "user", "content": "what\nis it", "images": ["AAAA"]},
        {"role": "assistant", "content": "a cat"},
        {"role": "user", "content": "on"}]);
    let sent = refused(Operation::Chat, MODEL, &body).unwrap();
    assert_eq!(sent["messages"], expected);
    assert_eq!((&sent["model"], &sent["stream"]), (&json!(MODEL), &json!(false)));
    let source = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
    let content = json!([{"type": "text", "text": "what"}, {"type": "image", "source": source},
        {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "long"}}]);
    let sent = message(json!({"messages": [{"role": "user", "content": content}], "system": "s"}));
    assert_eq!(
        sent.unwrap()["messages"],
        json!([{"role": "system", "content": "s"},
            {"role": "user", "content": "what\nt\nlong", "images": ["AAAA"]}])
    );
}

#[test]
fn content_without_a_place_is_refused_even_where_parameters_are_dropped() {
    let pdf = json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}});
    let sound = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}});
    let address = json!({"type": "image_url", "image_url": {"url": "https://x.example/a.png"}});
    let ollama = deployment("ollama");
    for part in [pdf, sound, address] {
        let body = json!({"model": "g", "messages": [{"role": "user", "content": [part]}]});
        let lenient = lenient(order(&ollama, Operation::Chat, MODEL));
        let field = sent(&body, &lenient).unwrap_err().field;
        assert!(field.starts_with("messages: "), "{field}");
    }
}

#[test]
fn calls_are_objects_and_results_have_the_names_of_their_tools() {
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let body = json!({"model": "g", "messages": [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": null, "tool_calls": [
            call("c1", "get.weather", "{\"city\":\"Rome\"}"), call("c2", "time", "{}")]},
        {"role": "tool", "tool_call_id": "c2", "content": "noon"},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "user", "content": "and?"}],
        "tools": [{"type": "function", "function": {"name": "get.weather", "description": "d", "strict": true,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}},
            {"type": "function", "function": {"name": "time"}}],
        "tool_choice": "auto", "parallel_tool_calls": true});
    let sent = refused(Operation::Chat, MODEL, &body).unwrap();
    assert_eq!(
        sent["messages"],
        json!([{"role": "user", "content": "weather?"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"function": {"name": "get.weather", "arguments": {"city": "Rome"}}},
                {"function": {"name": "time", "arguments": {}}}]},
            {"role": "tool", "tool_name": "time", "content": "noon"},
            {"role": "tool", "tool_name": "get.weather", "content": "sunny"},
            {"role": "user", "content": "and?"}])
    );
    assert_eq!(
        sent["tools"],
        json!([{"type": "function", "function": {"name": "get.weather", "description": "d",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}},
            {"type": "function", "function": {"name": "time", "parameters": {"type": "object"}}}])
    );
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}});
    let sent = message(json!({"messages": [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "shot", "input": {"x": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": true,
            "content": [{"type": "text", "text": "no"}, image]}]}]}));
    let sent = sent.unwrap();
    assert_eq!(
        sent["messages"][2],
        json!({"role": "tool", "tool_name": "shot", "content": "Error: no", "images": ["AAAA"]})
    );
    assert_eq!(sent["messages"].as_array().unwrap().len(), 3);
}

#[test]
fn parameters_have_ollamas_places_and_what_has_none_is_refused_by_its_name() {
    let asked = chat(json!({"max_completion_tokens": 7, "temperature": 0.5, "top_p": 0.9, "stop": ["x", "\n"],
        "seed": 3, "n": 1, "user": "u", "metadata": {"a": 1}, "store": false, "presence_penalty": 0.5,
        "frequency_penalty": 0.25, "top_k": 40, "num_ctx": 8192, "min_p": 0.1, "keep_alive": "5m",
        "stream": true, "stream_options": {"include_usage": true}, "logit_bias": {}, "service_tier": "auto",
        "options": {"num_gpu": 1, "temperature": 2}}))
    .unwrap();
    assert_eq!(
        asked["options"],
        json!({"num_predict": 7, "temperature": 0.5, "top_p": 0.9, "stop": ["x", "\n"], "seed": 3,
            "presence_penalty": 0.5, "frequency_penalty": 0.25, "top_k": 40, "num_ctx": 8192, "min_p": 0.1, "num_gpu": 1})
    );
    let keys: Vec<&String> = asked.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["model", "messages", "options", "keep_alive", "stream"]);
    assert_eq!(asked["stream"], true);
    assert_eq!(
        message(json!({"top_k": 4})).unwrap()["options"],
        json!({"num_predict": 9, "top_k": 4})
    );
    assert_eq!(chat(json!({})).unwrap()["options"], Value::Null);
    let one = json!({"type": "function", "function": {"name": "f"}});
    let two = json!({"type": "function", "function": {"name": "g"}});
    let ollama = deployment("ollama");
    for (field, more) in [
        ("n", json!({"n": 2})),
        ("logprobs", json!({"logprobs": true})),
        ("logit_bias", json!({"logit_bias": {"1": 1}})),
        ("template", json!({"template": "x"})),
        ("web_search_options", json!({"web_search_options": {}})),
        ("options", json!({"options": 1})),
        ("tool_choice", json!({"tools": [one], "tool_choice": "required"})),
        (
            "tool_choice",
            json!({"tools": [one], "tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ),
        ("parallel_tool_calls", json!({"tools": [one, two], "parallel_tool_calls": false})),
        ("response_format", json!({"tools": [one], "response_format": {"type": "json_object"}})),
    ] {
        assert_eq!(chat(more.clone()).unwrap_err(), field, "{more}");
        let body =
            with(json!({"model": "g", "messages": [{"role": "user", "content": "hi"}]}), more);
        let lenient = lenient(order(&ollama, Operation::Chat, MODEL));
        match sent(&body, &lenient) {
            Ok(sent) => assert!(sent[field].is_null() && sent["format"].is_null(), "{sent}"),
            Err(why) => assert_eq!(why.field, "options", "only an unreadable one stays refused"),
        }
    }
    let asked = chat(json!({"tools": [one], "tool_choice": "none"})).unwrap();
    assert_eq!(asked["tools"], Value::Null);
    assert!(chat(json!({"tools": [one], "parallel_tool_calls": false})).is_ok(), "one tool");
    let asked = message(
        json!({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any"}}),
    );
    assert_eq!(asked.unwrap_err(), "tool_choice");
}

#[test]
fn the_answers_shape_is_its_format() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "$defs": {}});
    let of = |format: Value| chat(json!({"response_format": format})).unwrap()["format"].clone();
    assert_eq!(of(json!({"type": "json_object"})), "json");
    assert_eq!(of(json!({"type": "text"})), Value::Null);
    let named = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": true}});
    assert_eq!(of(named), schema);
    assert_eq!(chat(json!({"format": "json"})).unwrap()["format"], "json");
    let config = json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}});
    assert_eq!(message(config).unwrap()["format"], schema);
}

#[test]
fn a_model_thinks_as_it_is_told_in_the_words_that_it_has() {
    let think = |model: &str, more: Value| {
        let body =
            json!({"model": "g", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        refused(Operation::Chat, model, &with(body, more)).map(|sent| sent["think"].clone())
    };
    let effort = |effort: &str| json!({"reasoning_effort": effort});
    let budget = |tokens: u64| json!({"thinking": {"type": "enabled", "budget_tokens": tokens}});
    for (more, of_words, of_others) in [
        (json!({}), Value::Null, Value::Null),
        (effort("none"), json!(false), json!(false)),
        (effort("minimal"), json!("low"), json!(true)),
        (effort("low"), json!("low"), json!(true)),
        (effort("medium"), json!("medium"), json!(true)),
        (effort("xhigh"), json!("high"), json!(true)),
        (budget(1024), json!("low"), json!(true)),
        (budget(4096), json!("medium"), json!(true)),
        (budget(16_384), json!("high"), json!(true)),
        (json!({"thinking": {"type": "disabled"}}), json!(false), json!(false)),
        (json!({"thinking": {"type": "adaptive"}}), json!(true), json!(true)),
        (json!({"think": "low", "reasoning_effort": "high"}), json!("low"), json!("low")),
    ] {
        assert_eq!(think("gpt-oss:20b", more.clone()), Ok(of_words), "{more}");
        assert_eq!(think("qwen3:8b", more.clone()), Ok(of_others), "{more}");
    }
    let odd = json!({"reasoning_effort": "enormous"});
    assert_eq!(think("gpt-oss:20b", odd).unwrap_err(), "reasoning_effort");
    let both =
        json!({"reasoning_effort": "low", "thinking": {"type": "enabled", "budget_tokens": 1024}});
    assert_eq!(think("qwen3:8b", both).unwrap_err(), "reasoning_effort");
}

#[test]
fn reasoning_goes_back_to_its_own_family_only() {
    let ask = |signature: &str| {
        message(json!({"messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": signature},
                {"type": "text", "text": "a"}]},
            {"role": "user", "content": "on"}]}))
        .unwrap()["messages"][1]
            .clone()
    };
    let kept = json!({"role": "assistant", "content": "a", "thinking": "hm"});
    assert_eq!(ask("hale:ollama.llama"), kept);
    for foreign in ["", "hale:qwen", "EqRkLmNo", "gemini:CiQB"] {
        assert_eq!(ask(foreign), json!({"role": "assistant", "content": "a"}), "{foreign}");
    }
}

#[test]
fn an_answer_is_what_it_says_thinks_and_calls() {
    let calls = json!([{"function": {"name": "f", "arguments": {"a": 1}}},
        {"id": "call_own", "function": {"index": 1, "name": "g", "arguments": "{\"b\":2}"}}]);
    let said =
        json!({"role": "assistant", "content": "hello", "thinking": "hm", "tool_calls": calls});
    let answer = answered(Operation::Chat, &last(said.clone(), "stop")).unwrap();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let message = &choice["message"];
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("hello"), &json!("hm"))
    );
    let id = message["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("call_") && id.len() == 29, "{id}");
    assert_eq!(
        message["tool_calls"][0]["function"],
        json!({"name": "f", "arguments": "{\"a\":1}"})
    );
    assert_eq!(message["tool_calls"][1]["id"], "call_own");
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(answer["usage"]["prompt_tokens"], 5);
    assert_eq!(answer["usage"]["completion_tokens"], 7);
    let answer = answered(Operation::Messages, &last(said, "stop")).unwrap();
    assert_eq!(answer["stop_reason"], "tool_use");
    assert_eq!(answer["content"][2]["input"], json!({"a": 1}));
    // Two answers have two ids, and so have their calls.
    let other = with(
        last(json!({"content": "", "tool_calls": [{"function": {"name": "f"}}]}), ""),
        json!({"created_at": "2026"}),
    );
    let other = answered(Operation::Chat, &other).unwrap();
    assert_ne!(other["choices"][0]["message"]["tool_calls"][0]["id"], id);
    for (reason, expected) in [("stop", "stop"), ("", "stop"), ("length", "length"), ("odd", "odd")]
    {
        let answer = answered(Operation::Chat, &last(json!({"content": "a"}), reason)).unwrap();
        assert_eq!(answer["choices"][0]["finish_reason"], expected, "{reason}");
    }
    // What was not counted is not said to be nothing.
    let uncounted = with(last(json!({"content": "a"}), "stop"), json!({"prompt_eval_count": null}));
    assert_eq!(answered(Operation::Chat, &uncounted).unwrap()["usage"], Value::Null);
}

#[test]
fn what_is_no_answer_is_a_fault() {
    for body in [
        json!({}),
        json!([]),
        line(json!({"content": "half"})),
        last(json!({"content": 1}), "stop"),
        last(
            json!({"content": "", "tool_calls": [{"function": {"name": "f", "arguments": "x"}}]}),
            "stop",
        ),
        last(json!({"content": "", "tool_calls": [{}]}), "stop"),
        last(json!({"content": "", "images": ["AAAA"]}), "stop"),
    ] {
        let fault = answered(Operation::Chat, &body).unwrap_err();
        assert!(matches!(fault, Fault::Malformed(_)), "{body}: {fault:?}");
    }
    for (body, said) in [
        (json!({"error": "model requires more system memory"}), "more system memory"),
        (last(json!({"content": ""}), "load"), "did not run the model"),
    ] {
        let Fault::Error(error) = answered(Operation::Chat, &body).unwrap_err() else { panic!() };
        assert!(error.message.contains(said), "{error:?}");
    }
}

#[test]
fn only_an_answer_without_any_content_is_empty() {
    let is_empty = |message: Value, reason: &str| {
        let body = Bytes::from(last(message.clone(), reason).to_string());
        let whole = answer::check(conversion(Operation::Chat), &body, &view()).unwrap().is_empty;
        let (reader, _) =
            streamed(conversion(Operation::Chat), &lines(&[last(message, reason)]), &[]);
        assert_eq!(reader.is_empty_so_far(), whole);
        whole
    };
    assert!(is_empty(json!({"role": "assistant", "content": ""}), "stop"));
    assert!(!is_empty(json!({"content": "a"}), "stop"));
    assert!(!is_empty(json!({"content": "", "thinking": "hm"}), "stop"));
    assert!(!is_empty(json!({"content": "", "tool_calls": [{"function": {"name": "f"}}]}), "stop"));
}

#[test]
fn a_stream_says_what_the_answer_in_one_piece_says() {
    let calls = |name: &str| json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": name, "arguments": {"a": 1}}}]});
    let text = lines(&[
        line(json!({"role": "assistant", "content": "", "thinking": "h"})),
        line(json!({"role": "assistant", "content": "", "thinking": "m"})),
        line(json!({"role": "assistant", "content": "hel"})),
        line(json!({"role": "assistant", "content": "lo"})),
        line(calls("f")),
        line(calls("g")),
        last(json!({"role": "assistant", "content": ""}), "stop"),
    ]);
    let (reader, out) = streamed(conversion(Operation::Chat), &text, &[]);
    let events = data(&out);
    let joined = |name: &str| -> String {
        let deltas = events.iter().filter_map(|event| event["choices"][0]["delta"][name].as_str());
        deltas.collect()
    };
    assert_eq!((joined("content"), joined("reasoning_content")), ("hello".into(), "hm".into()));
    let names: Vec<&Value> = events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| call["id"].is_string())
        .collect();
    assert_eq!((&names[0]["index"], &names[1]["index"]), (&json!(0), &json!(1)));
    assert_ne!(names[0]["id"], names[1]["id"]);
    let finishes = events.iter().filter_map(|event| event["choices"][0]["finish_reason"].as_str());
    assert_eq!(finishes.collect::<Vec<_>>(), ["tool_calls"]);
    assert!(out.ends_with("data: [DONE]\n\n") && out.contains("\"prompt_tokens\":5"), "{out}");
    assert!(reader.is_done() && reader.usage().unwrap().output == 7);
    let (_, out) = streamed(conversion(Operation::Messages), &text, &[]);
    assert!(out.contains("\"stop_reason\":\"tool_use\"") && out.contains("message_stop"), "{out}");
}

#[test]
fn a_stream_that_breaks_off_is_not_complete_and_an_error_in_it_is_one() {
    let half = lines(&[line(json!({"content": "half"}))]);
    let (reader, _) = streamed(conversion(Operation::Chat), &half, &[]);
    assert!(reader.has_content() && !reader.is_complete());
    let cut = format!("{half}{{\"message\":{{\"content\":\"x");
    let (reader, out) = streamed(conversion(Operation::Chat), &cut, &[]);
    assert!(!reader.is_complete() && reader.skipped() == 1 && !out.contains("\"x"), "{out}");
    for error in [
        json!({"error": "an error was encountered"}),
        json!({"StatusCode": 429, "Status": "429 Too Many Requests", "error": "slow down"}),
    ] {
        let text = format!("{half}{error}\n{}", lines(&[line(json!({"content": "more"}))]));
        let (reader, out) = streamed(conversion(Operation::Chat), &text, &[]);
        assert_eq!(reader.error().unwrap().message, error["error"].as_str().unwrap());
        assert_eq!(
            reader.error().unwrap().code.as_deref(),
            error["StatusCode"].as_u64().map(|_| "429")
        );
        assert!(!out.contains("more"), "{out}");
    }
    // A last line without its end is one.
    let whole = lines(&[last(json!({"content": "a"}), "stop")]);
    let (reader, _) = streamed(conversion(Operation::Chat), whole.trim_end(), &[]);
    assert!(reader.is_done());
}

#[test]
fn embeddings_are_one_call_and_answered_in_the_clients_form() {
    let ask = |more: Value| {
        let body = with(json!({"model": "g", "input": ["a", "b"]}), more);
        refused(Operation::Embedding, "nomic-embed-text", &body)
    };
    let sent =
        ask(json!({"dimensions": 64, "user": "u", "encoding_format": "float", "truncate": false,
        "num_ctx": 2048, "keep_alive": -1, "options": {"num_gpu": 0}}));
    assert_eq!(
        sent.unwrap(),
        json!({"model": "nomic-embed-text", "input": ["a", "b"], "dimensions": 64, "truncate": false,
            "keep_alive": -1, "options": {"num_ctx": 2048, "num_gpu": 0}})
    );
    let one = refused(Operation::Embedding, "m", &json!({"model": "g", "input": "a"})).unwrap();
    assert_eq!(one, json!({"model": "m", "input": "a"}));
    assert_eq!(ask(json!({"input": [1, 2]})).unwrap_err(), "input");
    assert_eq!(ask(json!({"input": [["a"]]})).unwrap_err(), "input");
    assert_eq!(ask(json!({"task": "x"})).unwrap_err(), "task");
    let body = json!({"model": "m", "embeddings": [[0.5, 1], [2, -3e-2]], "prompt_eval_count": 4});
    let answer = answered(Operation::Embedding, &body).unwrap();
    assert_eq!(
        answer["data"][1],
        json!({"object": "embedding", "index": 1, "embedding": [2, -3e-2]})
    );
    assert_eq!(answer["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    for body in [json!({"embeddings": []}), json!({"embeddings": [{}]}), json!({})] {
        assert!(answered(Operation::Embedding, &body).is_err(), "{body}");
    }
}

#[test]
fn tokens_are_estimated_because_no_server_counts_them() {
    let body = json!({"model": "g", "messages": [{"role": "user", "content": "some words"}]});
    let counted = refused(Operation::CountTokens, MODEL, &body).unwrap();
    assert!(counted["input_tokens"].as_u64().unwrap() > 0, "{counted}");
    let counted = refused(Operation::CountPrompt, MODEL, &body).unwrap();
    assert!(counted["total_tokens"].as_u64().unwrap() > 0, "{counted}");
}

proptest! {
    #[test]
    fn a_stream_reads_the_same_in_any_pieces(cuts in prop::collection::vec(0..600_usize, 0..9)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let text = lines(&[
            line(json!({"content": "h\u{e9}l", "thinking": "\u{1f600}"})),
            line(json!({"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]})),
            last(json!({"content": ""}), "stop"),
        ]);
        for operation in [Operation::Chat, Operation::Messages] {
            let (whole, expected) = streamed(conversion(operation), &text, &[]);
            let (pieces, out) = streamed(conversion(operation), &text, &cuts);
            prop_assert_eq!(out, expected);
            prop_assert_eq!(pieces.usage(), whole.usage());
        }
    }
}

#[test]
fn what_a_client_says_of_an_option_counts_before_the_config() {
    let mut made = deployment("ollama_chat");
    made.endpoint.default_params = vec![("num_ctx".into(), "8192".into())];
    let order = order(&made, Operation::Chat, "qwen3:8b");
    let of = |more: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sent(&body, &order).unwrap()["options"].clone()
    };
    assert_eq!(of(json!({})), json!({"num_ctx": 8192}));
    assert_eq!(of(json!({"num_ctx": 1})), json!({"num_ctx": 1}));
    assert_eq!(of(json!({"options": {"num_ctx": 2, "seed": 3}})), json!({"num_ctx": 2, "seed": 3}));
}
