//! What a server says that it lacks is about that alone; what is wrong with a client's picture is the client's.

use hale_testkit::{FakeUpstream, Hale, Request, Script};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, chat, client};

fn states(hale: &Hale) -> Vec<String> {
    let page = client(hale).get("/router/state").json();
    let lines = page["deployments"].as_array().unwrap();
    lines.iter().map(|line| line["state"].as_str().unwrap().to_owned()).collect()
}

/// Two members of `g` that refuse what holds `part`, one that does not, and the fallback `spare`.
fn start(status: u16, body: &Value, part: &'static str) -> (Hale, [FakeUpstream; 4]) {
    let refusing = || {
        let body = body.clone();
        FakeUpstream::with(move |request: &Request| {
            let is_refused = request.path.contains(part) || request.text().contains(part);
            if is_refused {
                Script::with_status(status).json(&body)
            } else {
                Script::answer(request)
            }
        })
    };
    let upstreams = [refusing(), refusing(), FakeUpstream::start(), FakeUpstream::start()];
    let [a, b, good, spare] = &upstreams;
    let hale = Config::new()
        .with("g", "a", a, json!({"api_key": "key-of-a"}))
        .with("g", "b", b, json!({"api_key": "key-of-b"}))
        .deployment("g", "good", good)
        .deployment("spare", "spare", spare)
        .router(json!({"num_retries": 2, "fallbacks": [{"g": ["spare"]}]}))
        .start();
    (hale, upstreams)
}

fn content(part: Value) -> Value {
    json!({"model": "g", "messages": [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, part]}]})
}

fn tool() -> Value {
    json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])
}

#[test]
fn what_no_endpoint_of_openrouter_supports_is_about_that_request_and_cools_nothing_down() {
    let says = |message: &str| json!({"error": {"message": message, "code": 404}});
    let sound = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}});
    let file = json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}});
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let hi = json!([{"role": "user", "content": "hi"}]);
    let forced = json!({"model": "g", "messages": hi, "tools": tool(), "tool_choice": "required"});
    let marked =
        content(json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}));
    let odd = json!({"model": "g", "messages": hi, "logit_bias": {"1": 1}});
    let rows = [
        ("No endpoints found that support input audio", "input_audio", content(sound)),
        ("No endpoints found that support file input", "file_data", content(file)),
        ("No endpoints found that support image input", "image_url", content(image)),
        (
            "No endpoints found that support the provided 'tool_choice' value. To learn more about provider routing, visit: https://openrouter.ai/docs/provider-routing",
            "tool_choice",
            forced,
        ),
        ("No endpoints found that support cache control", "cache_control", marked),
        ("No endpoints found that can handle the requested parameters.", "logit_bias", odd),
    ];
    for (message, part, ask) in rows {
        let (hale, upstreams) = start(404, &says(message), part);
        for _ in 0..6 {
            let answer = client(&hale).post_json(CHAT, &[], &ask);
            assert_eq!(answer.status, 200, "{message}: {}", answer.text());
            assert_eq!(answer.header("x-litellm-model-group"), Some("g"), "{message}");
            assert_eq!(chat(&hale, "g").header("x-litellm-attempted-fallbacks"), Some("0"));
        }
        assert_eq!(states(&hale), ["ready"; 4], "{message}");
        assert!(upstreams[3].requests().is_empty(), "{message}");
    }
}

#[test]
fn a_server_without_embeddings_lends_no_vectors_of_another_model() {
    let says = "This model does not appear to be an embedding model by default. Please add `--is-embedding` when launching the server or try another model.";
    let body = json!({"object": "error", "message": says, "type": "BadRequestError", "param": null, "code": 400});
    let (hale, upstreams) = start(400, &body, "/embeddings");
    for _ in 0..8 {
        let answer =
            client(&hale).post_json("/v1/embeddings", &[], &json!({"model": "g", "input": "x"}));
        assert_eq!(answer.header("x-litellm-model-group"), Some("g"), "{}", answer.text());
        assert_eq!(chat(&hale, "g").status, 200);
    }
    assert!(upstreams[3].requests().is_empty());
    assert_eq!(states(&hale), ["ready"; 4]);
}

#[test]
fn a_picture_that_a_server_cannot_read_is_the_clients_under_500_too() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    for says in [
        "cannot identify image file <_io.BytesIO object at 0x7f12>",
        "image file is truncated (12 bytes not processed)",
        "Incorrect padding",
    ] {
        let body = json!({"error": {"message": says, "type": "InternalServerError", "code": 500}});
        let member = || {
            let body = body.clone();
            FakeUpstream::with(move |request: &Request| {
                match request.text().contains("image_url") {
                    true => Script::with_status(500).json(&body),
                    false => Script::answer(request),
                }
            })
        };
        let (a, b, spare) = (member(), member(), FakeUpstream::start());
        let hale = Config::new()
            .deployment("g", "a", &a)
            .deployment("g", "b", &b)
            .deployment("spare", "spare", &spare)
            .router(json!({"num_retries": 2, "fallbacks": [{"g": ["spare"]}]}))
            .start();
        for _ in 0..4 {
            client(&hale).post_json(CHAT, &[], &content(image.clone()));
        }
        for _ in 0..6 {
            assert_eq!(chat(&hale, "g").header("x-litellm-model-group"), Some("g"), "{says}");
        }
        assert_eq!(states(&hale), ["ready"; 3], "{says}");
        assert_eq!(a.requests().len() + b.requests().len(), 10, "{says}: each is asked once");
    }
}
