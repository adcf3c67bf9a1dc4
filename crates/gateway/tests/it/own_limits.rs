//! The gateway's own limit of an answer's size is its own: named, exact, not tried again, and no deployment is blamed.

use hale_testkit::{FakeUpstream, Hale, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, client, column, expect_error, metric};

const LIMIT_MB: f64 = 0.001;

/// A group `m` of two, with a fallback; all at `upstream`.
fn start(upstream: &FakeUpstream, model: &str) -> Hale {
    let params = json!({"model": model});
    Config::new()
        .with("m", "a", upstream, params.clone())
        .with("m", "b", upstream, params.clone())
        .with("f", "f", upstream, params)
        .router(json!({"fallbacks": [{"m": ["f"]}], "cooldown_time": 60}))
        .general(json!({"max_response_size_mb": LIMIT_MB}))
        .start()
}

fn states(hale: &Hale) -> Vec<Value> {
    column(&client(hale).get("/router/state").json()["deployments"], "state")
}

#[test]
fn a_large_answer_of_any_operation_is_requested_once_and_blames_no_deployment() {
    let large = "x".repeat(2_000);
    let vector: Vec<f64> = vec![0.123_456_789; 400];
    let list = json!({"object": "list", "model": "e", "data":
        [{"object": "embedding", "index": 0, "embedding": vector}], "usage": {"prompt_tokens": 1, "total_tokens": 1}});
    let stream = Script::ok().sse(&openai::chunks("e", &[&large]));
    let rows = [
        (
            "openai/e",
            CHAT,
            json!({"messages": [{"role": "user", "content": "hi"}]}),
            Script::ok().json(&openai::chat_completion("e", &large)),
        ),
        (
            "openai/e",
            CHAT,
            json!({"messages": [{"role": "user", "content": "hi"}], "stream": true}),
            stream.clone(),
        ),
        (
            "openai/e",
            "/v1/messages",
            json!({"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": true}),
            stream,
        ),
        ("openai/e", "/v1/embeddings", json!({"input": "hi"}), Script::ok().json(&list)),
        (
            "anthropic/e",
            CHAT,
            json!({"messages": [{"role": "user", "content": "hi"}]}),
            Script::ok().json(&anthropic::message("e", &large)),
        ),
        (
            "anthropic/e",
            "/v1/messages",
            json!({"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}),
            Script::ok().json(&anthropic::message("e", &large)),
        ),
    ];
    for (model, path, mut body, script) in rows {
        body["model"] = json!("m");
        let upstream = FakeUpstream::with(move |_| script.clone());
        let hale = start(&upstream, model);
        for _ in 0..4 {
            let answer = client(&hale).post_json(path, &[], &body);
            let error = expect_error(&answer, 502, "answer_too_large");
            assert_eq!(column(&error["attempts"], "cause"), ["gateway"], "{path}: {error}");
            let message = error["message"].as_str().unwrap();
            assert!(
                message.contains("1049 bytes") && message.contains("max_response_size_mb"),
                "{message}"
            );
        }
        assert_eq!(upstream.requests().len(), 4, "{path} at {model}");
        assert_eq!(states(&hale), ["ready", "ready", "ready"], "{path} at {model}");
        assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
    }
}

#[test]
fn the_largest_embeddings_and_images_of_openai_pass_as_configured() {
    // 2,048 vectors of 3,072 numbers in base64, as the SDK asks for them.
    let vector = "A".repeat(16_384);
    let list: Vec<Value> = (0..2_048)
        .map(|i| json!({"object": "embedding", "index": i, "embedding": vector}))
        .collect();
    let body = json!({"object": "list", "model": "e", "data": list, "usage": {"prompt_tokens": 1, "total_tokens": 1}});
    let body = body.to_string();
    let upstream = FakeUpstream::with(move |_| Script::ok().body("application/json", &body));
    let hale = Config::new().deployment("m", "a", &upstream).start();
    let ask = json!({"model": "m", "input": ["hi"], "encoding_format": "base64"});
    let answer = client(&hale).post_json("/v1/embeddings", &[], &ask);
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 33_600_000);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
    // A partial image and the whole response in events of 2 MB.
    let image = "B".repeat(2_000_000);
    let events = [
        ("response.created", json!({"response": {"id": "resp_1", "status": "in_progress"}})),
        ("response.image_generation_call.partial_image", json!({"partial_image_b64": image})),
        (
            "response.completed",
            json!({"response": {"id": "resp_1", "status": "completed",
            "output": [{"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": image}],
            "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}}),
        ),
    ];
    let script = events.iter().fold(Script::ok().stream(), |script, (name, data)| {
        let mut data = data.clone();
        data["type"] = json!(name);
        script.named_event(name, &data)
    });
    let upstream = FakeUpstream::scripted([script.end()]);
    let hale = Config::new().deployment("m", "a", &upstream).start();
    let mut own = client(&hale);
    let mut stream =
        own.stream("/v1/responses", &[], &json!({"model": "m", "input": "hi", "stream": true}));
    let names: Vec<String> =
        stream.remaining().iter().filter_map(|event| event.name.clone()).collect();
    assert_eq!(names, events.map(|(name, _)| name.to_owned()));
    assert_eq!(upstream.requests().len(), 1);
}
