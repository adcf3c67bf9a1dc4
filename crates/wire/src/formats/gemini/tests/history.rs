//! What comes back in a history: results with documents, pictures of the model, signatures; and what is said twice.

use super::*;

#[test]
fn a_document_in_a_result_of_a_tool_is_text_of_the_result_or_data() {
    let result = |content: Value| {
        json!([{"role": "user", "content": "read"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": content}]}])
    };
    let plain = json!([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"},
        "title": "T", "context": "C", "citations": {"enabled": true}}]);
    let pdf = json!([{"type": "text", "text": "see"}, {"type": "document", "context": "C", "source":
        {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}]);
    let inline = json!([{"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}}]);
    for model in [NEWER, OLDER] {
        let out = message(model, json!({"messages": result(plain.clone())}));
        let parts = out["contents"][2]["parts"].as_array().unwrap();
        assert_eq!(parts.len(), 1, "{out}");
        let response = &parts[0]["functionResponse"];
        assert_eq!(response["response"], json!({"output": "C\nT\nhello"}), "{out}");
        assert!(response.get("parts").is_none(), "{out}");
    }
    let out = message(NEWER, json!({"messages": result(pdf.clone())}));
    let response = &out["contents"][2]["parts"][0]["functionResponse"];
    assert_eq!(response["response"], json!({"output": "see\nC"}), "{out}");
    assert_eq!(response["parts"], inline, "{out}");
    let out = message(OLDER, json!({"messages": result(pdf)}));
    let parts = &out["contents"][2]["parts"];
    assert_eq!((&parts[1], &parts[2]), (&json!({"text": "C"}), &inline[0]), "{out}");
}

#[test]
fn a_picture_of_the_model_goes_back_to_it_with_its_signature() {
    let parts = json!([{"text": "here"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": SIGNATURE}]);
    let answer = answered(Operation::Chat, &candidate(parts.clone(), "STOP")).unwrap();
    let said = &answer["choices"][0]["message"];
    let history =
        json!([{"role": "user", "content": "draw"}, said, {"role": "user", "content": "bluer"}]);
    let out = chat(NEWER, json!({"messages": history}));
    assert_eq!(out["contents"][1]["parts"], parts, "{out}");
    // A signature of a text stands behind it, as for clients of other formats.
    let signed = json!([{"text": "hi", "thoughtSignature": SIGNATURE}]);
    let answer = answered(Operation::Chat, &candidate(signed, "STOP")).unwrap();
    let said = &answer["choices"][0]["message"];
    let back = json!([{"role": "user", "content": "a"}, said, {"role": "user", "content": "b"}]);
    let out = chat(NEWER, json!({"messages": back}));
    let expected = json!([{"text": "hi"}, {"text": "", "thoughtSignature": SIGNATURE}]);
    assert_eq!(out["contents"][1]["parts"], expected, "{out}");
    // Other models refuse pictures there, which is told.
    for provider in ["bedrock", "anthropic", "ollama_chat", "cohere"] {
        let deployment = deployment(provider);
        let body = json!({"model": "m", "messages": history});
        let peek = crate::bytes::peek::Peek::parse(Bytes::from(body.to_string())).unwrap();
        let prepared = crate::conversion::prepare::prepare(
            &peek,
            &order(&deployment, Operation::Chat, "claude-sonnet-4-5"),
        );
        let crate::conversion::prepare::Prepared::Body(_, body, notes) = prepared.unwrap() else {
            panic!("{provider}")
        };
        assert!(!String::from_utf8(body.joined().to_vec()).unwrap().contains("AAAA"), "{provider}");
        assert_eq!(notes.unwrap().left_out, ["messages.images"], "{provider}");
    }
    let odd = json!([{"role": "assistant", "content": "x", "images": [{"a": 1}, 7]},
        {"role": "user", "content": "y"}]);
    assert_eq!(
        chat(NEWER, json!({"messages": odd}))["contents"][1]["parts"],
        json!([{"text": "x"}])
    );
}

#[test]
fn a_chat_has_one_finish_and_it_is_the_last() {
    let chunk = |parts: Value, finish: Option<&str>| {
        json!({"candidates": [{"content": {"parts": parts}, "finishReason": finish}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2}, "responseId": "r"})
    };
    let call = json!([{"functionCall": {"name": "f", "args": {}}}]);
    for (second, expected) in
        [(json!([{"text": "more"}]), "stop"), (call, "tool_calls"), (json!([]), "stop")]
    {
        let chunks = [chunk(json!([{"text": "one"}]), Some("STOP")), chunk(second, Some("STOP"))];
        let (reader, out) = streamed(conversion(Operation::Chat), &events(&chunks), &[]);
        assert!(reader.is_complete());
        let choices: Vec<Value> =
            data(&out).iter().map(|event| event["choices"][0].clone()).collect();
        let with_finish = |choice: &&Value| choice["finish_reason"].is_string();
        let finishes: Vec<&Value> = choices.iter().filter(with_finish).collect();
        assert_eq!(finishes.len(), 1, "{out}");
        assert_eq!(finishes[0]["finish_reason"], expected);
        let place = choices.iter().position(|choice| choice["finish_reason"].is_string());
        let behind = &choices[place.unwrap() + 1..];
        assert!(behind.iter().all(Value::is_null), "only the usage follows: {out}");
    }
}

#[test]
fn one_setting_in_two_spellings_is_written_once() {
    let mut made = deployment("gemini");
    made.endpoint.default_params = vec![
        ("thinking_config".into(), r#"{"thinkingBudget":0}"#.into()),
        ("cached_content".into(), "\"theirs\"".into()),
    ];
    let body = r#"{"model":"g","messages":[{"role":"user","content":"hi"}],"top_k":3,"top_k":4,
        "thinkingConfig":{"thinkingBudget":9},"cachedContent":"mine"}"#;
    let peek = crate::bytes::peek::Peek::parse(Bytes::from_static(body.as_bytes())).unwrap();
    let order = order(&made, Operation::Chat, OLDER);
    let crate::conversion::prepare::Prepared::Body(_, out, _) =
        crate::conversion::prepare::prepare(&peek, &order).unwrap()
    else {
        panic!("no body")
    };
    let text = String::from_utf8(out.joined().to_vec()).unwrap();
    for (name, value) in [
        ("topK", "4"),
        ("thinkingConfig", r#"{"thinkingBudget":9}"#),
        ("cachedContent", "\"mine\""),
    ] {
        assert_eq!(text.matches(name).count(), 1, "{text}");
        assert!(text.contains(&format!("\"{name}\":{value}")), "{text}");
    }
}

#[test]
fn of_two_conversations_in_one_request_the_last_one_counts() {
    let said = |text: &str| format!(r#"[{{"role":"user","content":"{text}"}}]"#);
    let body = format!(
        r#"{{"model":"g","max_tokens":9,"messages":{},"messages":{}}}"#,
        said("A"),
        said("B")
    );
    let made = deployment("gemini");
    for operation in [Operation::Chat, Operation::Messages] {
        let peek = crate::bytes::peek::Peek::parse(Bytes::from(body.clone())).unwrap();
        let order = order(&made, operation, OLDER);
        let crate::conversion::prepare::Prepared::Body(_, out, _) =
            crate::conversion::prepare::prepare(&peek, &order).unwrap()
        else {
            panic!("no body")
        };
        let out: Value = serde_json::from_slice(&out.joined()).unwrap();
        assert_eq!(
            out["contents"],
            json!([{"role": "user", "parts": [{"text": "B"}]}]),
            "{operation:?}"
        );
    }
}

#[test]
fn a_signature_in_the_fields_of_the_provider_returns_and_what_is_no_base64_does_not() {
    let history = |call: Value| {
        json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "r"}])
    };
    let signature = |call: Value| {
        let out = chat(NEWER, json!({"messages": history(call)}));
        out["contents"][1]["parts"][0]["thoughtSignature"].clone()
    };
    let fields = json!({"thought_signature": SIGNATURE});
    let function = json!({"name": "f", "arguments": "{}"});
    let of_call = json!({"id": "a", "type": "function", "function": function, "provider_specific_fields": fields});
    assert_eq!(signature(of_call), SIGNATURE);
    let of_function = json!({"id": "a", "type": "function", "function":
        {"name": "f", "arguments": "{}", "provider_specific_fields": fields}});
    assert_eq!(signature(of_function), SIGNATURE);
    let odd = json!({"id": "a__thought__!!!", "type": "function", "function": function});
    assert_eq!(signature(odd), "skip_thought_signature_validator");
    let thought = json!([{"type": "thinking", "thinking": "x", "signature": "gemini:***"}]);
    let out = message(
        NEWER,
        json!({"messages": [{"role": "user", "content": "a"},
        {"role": "assistant", "content": thought}, {"role": "user", "content": "b"}]}),
    );
    assert!(!out.to_string().contains("***"), "{out}");
}

#[test]
fn sound_is_no_picture() {
    let sound = json!([{"inlineData": {"mimeType": "audio/L16", "data": "AAAA"}}]);
    for operation in [Operation::Chat, Operation::Messages, Operation::Responses] {
        let answer = answered(operation, &candidate(sound.clone(), "STOP")).unwrap().to_string();
        assert!(answer.contains("data of type audio/L16") && !answer.contains("AAAA"), "{answer}");
        let (_, out) =
            streamed(conversion(operation), &events(&[candidate(sound.clone(), "STOP")]), &[]);
        assert!(out.contains("data of type audio/L16") && !out.contains("AAAA"), "{out}");
    }
    let deployment = deployment("gemini");
    for name in ["response_modalities", "responseModalities"] {
        let mut body = json!({"model": "g", "messages": [{"role": "user", "content": "hi"}]});
        body[name] = json!(["AUDIO"]);
        let mut order = order(&deployment, Operation::Chat, OLDER);
        assert_eq!(sent(&body, &order).unwrap_err().field, name);
        order.drop_params = true;
        assert!(!sent(&body, &order).unwrap().to_string().contains("AUDIO"));
    }
}

#[test]
fn a_choice_of_allowed_tools_offers_only_those() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    for (mode, expected) in [("required", "ANY"), ("auto", "AUTO")] {
        let choice = json!({"type": "allowed_tools", "allowed_tools": {"mode": mode,
            "tools": [{"type": "function", "function": {"name": "g"}}]}});
        let out = chat(OLDER, json!({"tool_choice": choice, "tools": [tool("f"), tool("g")]}));
        let offered = &out["tools"][0]["functionDeclarations"];
        assert_eq!(
            (offered.as_array().unwrap().len(), &offered[0]["name"]),
            (1, &json!("g")),
            "{out}"
        );
        let sent = &out["toolConfig"]["functionCallingConfig"]["mode"];
        assert!(sent == expected || (mode == "auto" && sent.is_null()), "{out}");
    }
    let broken = json!({"type": "allowed_tools"});
    let body = json!({"model": "g", "messages": [{"role": "user", "content": "hi"}], "tool_choice": broken});
    let deployment = deployment("gemini");
    let refused = sent(&body, &order(&deployment, Operation::Chat, OLDER)).unwrap_err();
    assert!(refused.message.contains("it needs `mode` and `tools`"), "{refused}");
}

#[test]
fn embeddings_of_nothing_are_the_clients_to_fix() {
    for (provider, model) in [
        ("gemini", "gemini-embedding-001"),
        ("cohere", "embed-v4.0"),
        ("ollama", "nomic-embed-text"),
    ] {
        let deployment = deployment(provider);
        for body in [json!({"model": "m", "input": []}), json!({"model": "m"})] {
            let refused =
                sent(&body, &order(&deployment, Operation::Embedding, model)).unwrap_err();
            assert_eq!(refused.field, "input", "{provider}");
        }
    }
}
