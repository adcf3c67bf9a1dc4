//! Images, speech, moderations, rerank and OCR: the one pipeline for what is no text.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Request, Response, Script, modes, openai};
use serde_json::{Value, json};

use crate::support::{
    Config, LOG, client, error, eventually, expect_error, lone, pair, wait_for_records,
    wait_until_idle,
};

/// A mode: where clients ask, the model as the config names it, what is asked, and where it goes.
struct Mode {
    path: &'static str,
    model: &'static str,
    body: Value,
    there: &'static str,
    /// The operation in records, and what the answer costs.
    operation: &'static str,
    cost: Option<f64>,
    units: Option<(&'static str, u64)>,
}

const IMAGES: &str = "/v1/images/generations";
const SPEECH: &str = "/v1/audio/speech";
const MODERATIONS: &str = "/v1/moderations";
const RERANK: &str = "/v1/rerank";
const OCR: &str = "/v1/ocr";

fn body(path: &str) -> Value {
    match path {
        IMAGES => json!({"model": "m", "prompt": "a blue circle", "n": 1, "quality": "low"}),
        SPEECH => json!({"model": "m", "input": "hello", "voice": "nova", "speed": 1.5}),
        MODERATIONS => json!({"model": "m", "input": ["a", "b"]}),
        RERANK => json!({"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 2}),
        _ => json!({"model": "m", "document": {"type": "document_url",
                    "document_url": "data:application/pdf;base64,JVBERi0xLjQK"}}),
    }
}

fn all() -> Vec<Mode> {
    let mode = |path, model, there, operation, cost| Mode {
        path,
        model,
        body: body(path),
        there,
        operation,
        cost,
        units: match path {
            IMAGES => Some(("images", 1)),
            SPEECH => Some(("characters", 5)),
            RERANK => Some(("searches", 1)),
            OCR => Some(("pages", 1)),
            _ => None,
        },
    };
    vec![
        mode(
            IMAGES,
            "openai/gpt-image-1",
            "/v1/images/generations",
            "images_generations",
            Some(0.01093),
        ),
        mode(SPEECH, "openai/tts-1", "/v1/audio/speech", "audio_speech", Some(0.000_075)),
        mode(MODERATIONS, "openai/omni-moderation-latest", "/v1/moderations", "moderations", None),
        mode(RERANK, "cohere/rerank-v3.5", "/v2/rerank", "rerank", Some(0.002)),
        mode(OCR, "mistral/mistral-ocr-latest", "/v1/ocr", "ocr", Some(0.004)),
    ]
}

/// One deployment `a` of `m`, of that model.
fn of(model: &str, upstream: &FakeUpstream) -> Config {
    let base = if model.starts_with("cohere/") { upstream.url() } else { upstream.api_base() };
    Config::new().with("m", "a", upstream, json!({"model": model, "api_base": base}))
}

fn post(hale: &hale_testkit::Hale, path: &str, body: &Value) -> Response {
    client(hale).post_json(path, &[], body)
}

#[test]
fn each_mode_is_called_at_its_providers_path_and_has_its_price() {
    for mode in all() {
        let upstream = FakeUpstream::with(modes::answer);
        let config = of(mode.model, &upstream).general(json!({"request_log": LOG}));
        let hale = config.start();
        let answer = post(&hale, mode.path, &mode.body);
        assert_eq!(answer.status, 200, "{}: {}", mode.path, answer.text());
        let sent = upstream.request(0);
        let mut expected = mode.body.clone();
        expected["model"] = json!(mode.model.split_once('/').unwrap().1);
        assert_eq!((sent.path.as_str(), sent.json()), (mode.there, expected));
        assert_eq!(sent.header("authorization"), Some("Bearer sk-upstream-fedcba9876543210"));
        if mode.path == SPEECH {
            assert_eq!(answer.body, modes::SOUND);
            assert_eq!(answer.header("content-type"), Some("audio/mpeg"));
            let length = modes::SOUND.len().to_string();
            assert_eq!(answer.header("content-length"), Some(&*length));
            assert_eq!(sent.header("accept"), Some("application/octet-stream"));
        } else {
            let mut theirs = match mode.path {
                IMAGES => modes::image(),
                MODERATIONS => modes::verdict(),
                RERANK => modes::ranks(),
                _ => modes::pages(),
            };
            if theirs.get("model").is_some() {
                theirs["model"] = json!("m");
            }
            assert_eq!(answer.body, theirs.to_string().into_bytes(), "bytes pass");
        }
        assert_eq!(answer.header("x-litellm-model-id"), Some("a"));
        let record = wait_for_records(&hale, 1).remove(0);
        let told = (&record["operation"], &record["ending"], &record["deployment"]);
        assert_eq!(told, (&json!(mode.operation), &json!("success"), &json!("a")));
        if let Some((unit, count)) = mode.units {
            assert_eq!(record[unit], count, "{record}");
        }
        let cost = record["cost_usd"].as_f64().map(|usd| (usd * 1e9).round() / 1e9);
        assert_eq!(cost, mode.cost, "{}: {record}", mode.path);
        wait_until_idle(&hale);
    }
}

#[test]
fn every_path_of_the_reference_leads_there() {
    let rows = [
        ("/images/generations", IMAGES, "openai/gpt-image-1"),
        ("/openai/deployments/m/images/generations", IMAGES, "openai/gpt-image-1"),
        ("/audio/speech", SPEECH, "openai/tts-1"),
        ("/openai/deployments/m/audio/speech", SPEECH, "openai/tts-1"),
        ("/moderations", MODERATIONS, "openai/omni-moderation-latest"),
        ("/rerank", RERANK, "hosted_vllm/bge-reranker"),
        ("/v2/rerank", RERANK, "jina_ai/jina-reranker-v2-base-multilingual"),
        ("/ocr", OCR, "mistral/mistral-ocr-latest"),
    ];
    for (path, known, model) in rows {
        let upstream = FakeUpstream::with(modes::answer);
        let mut body = body(known);
        if path.contains("deployments") {
            body.as_object_mut().unwrap().remove("model");
        }
        let answer = post(&of(model, &upstream).start(), path, &body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(upstream.request(0).path, known);
    }
}

#[test]
fn an_operation_of_coheres_first_version_is_called_there() {
    let upstream = FakeUpstream::with(modes::answer);
    let by_default = json!({"model": "cohere/rerank-v3.5", "api_base": upstream.url(),
                            "return_documents": true});
    let hale = of("cohere/rerank-v3.5", &upstream).with("n", "b", &upstream, by_default).start();
    for (more, there) in [
        (json!({"model": "n"}), "/v1/rerank"),
        (json!({"return_documents": true}), "/v1/rerank"),
        (json!({"documents": [{"text": "a"}]}), "/v1/rerank"),
        (json!({"max_tokens_per_doc": 9}), "/v2/rerank"),
    ] {
        let mut asked = body(RERANK);
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(post(&hale, "/rerank", &asked).status, 200);
        assert_eq!(upstream.requests().pop().unwrap().path, there);
    }
}

#[test]
fn azure_is_called_at_its_own_paths() {
    let rows = [
        ("2024-10-21", IMAGES, "/openai/deployments/d/images/generations?api-version=2024-10-21"),
        ("2024-10-21", SPEECH, "/openai/deployments/d/audio/speech?api-version=2024-10-21"),
        ("v1", IMAGES, "/openai/v1/images/generations"),
        ("preview", SPEECH, "/openai/v1/audio/speech"),
        ("v1", MODERATIONS, "/openai/v1/moderations"),
    ];
    for (version, path, there) in rows {
        let upstream = FakeUpstream::with(modes::answer);
        let more = json!({"model": "azure/d", "api_base": upstream.url(), "api_version": version});
        let hale = Config::new().with("m", "a", &upstream, more).start();
        assert_eq!(post(&hale, path, &body(path)).status, 200);
        let sent = upstream.request(0);
        assert_eq!((sent.path.as_str(), &sent.json()["model"]), (there, &json!("d")));
        assert_eq!(sent.header("api-key"), Some("sk-upstream-fedcba9876543210"));
    }
}

#[test]
fn a_moderation_that_names_no_model_is_one_of_the_providers_default() {
    let upstream = FakeUpstream::with(modes::answer);
    let more = json!({"model": "openai/omni-moderation-latest"});
    let hale = Config::new().with("omni-moderation-latest", "a", &upstream, more).start();
    let answer = post(&hale, MODERATIONS, &json!({"input": "hi"}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.request(0).json()["model"], "omni-moderation-latest");
}

#[test]
fn sound_leaves_while_it_still_comes() {
    let upstream = FakeUpstream::with(|_| {
        let first = Script::ok().chunked("audio/wav").chunk(b"RIFF first ");
        first.wait("more").chunk(b"and the rest").end()
    });
    let hale = of("openai/tts-1", &upstream).start();
    let mut client = client(&hale);
    let mut stream = client.stream(SPEECH, &[], &body(SPEECH));
    assert_eq!(stream.header("content-type"), Some("audio/wav"));
    assert_eq!(stream.header("content-length"), None);
    upstream.release("more");
    stream.remaining();
    assert_eq!((stream.tail().as_str(), stream.cut()), ("RIFF first and the rest", false));
}

/// What stands for an answer and is none.
fn wrong(path: &str) -> Vec<(&'static str, Script)> {
    let page = "<html><body>welcome</body></html>";
    let refused = openai::error("The server had an error", "server_error", "x");
    let mut all = vec![
        ("a page", Script::ok().body("text/html", page)),
        (
            "a page that lies",
            Script::ok().body(if path == SPEECH { "audio/mpeg" } else { "application/json" }, page),
        ),
        ("nothing in it", Script::ok().body("application/json", "{}")),
        ("an error in good clothes", Script::ok().json(&refused)),
        ("an empty body", Script::ok().body("audio/mpeg", "")),
        ("cut", Script::ok().declared_length(50).close()),
        ("no content", Script::with_status(204).end()),
    ];
    match path {
        SPEECH => all.extend([
            ("an error that lies", Script::ok().body("audio/mpeg", refused.to_string())),
            ("words", Script::ok().body("text/plain", "hello")),
        ]),
        _ => all.push(("sound", Script::ok().body("audio/mpeg", modes::SOUND))),
    }
    let mut also = |name, body: Value| all.push((name, Script::ok().json(&body)));
    match path {
        IMAGES => {
            also("no base64", json!({"created": 1, "data": [{"b64_json": "?!"}]}));
            also("no picture", json!({"created": 1, "data": [{"revised_prompt": "x"}]}));
            also("an empty list", json!({"created": 1, "data": []}));
        }
        MODERATIONS => also("no verdict", json!({"results": [{"flagged": true}]})),
        RERANK => also("no score", json!({"results": [{"index": 0}]})),
        OCR => {
            let image = json!([{"id": "i", "image_base64": "data:image/png;base64,%%%%"}]);
            also("no base64", json!({"pages": [{"index": 0, "markdown": "", "images": image}]}));
        }
        _ => {}
    }
    all
}

#[test]
fn an_answer_of_the_wrong_type_is_a_failure_and_the_sibling_answers() {
    // Bad input, row 80.
    for mode in all() {
        for (name, script) in wrong(mode.path) {
            let (bad, good) = (FakeUpstream::start(), FakeUpstream::with(modes::answer));
            bad.push(script);
            let at = |upstream: &FakeUpstream, weight| {
                let base = if mode.path == RERANK { upstream.url() } else { upstream.api_base() };
                json!({"model": mode.model, "api_base": base, "weight": weight})
            };
            let config = Config::new().with("m", "bad", &bad, at(&bad, 1)).with(
                "m",
                "good",
                &good,
                at(&good, 0),
            );
            let hale = config.start();
            let answer = post(&hale, mode.path, &mode.body);
            let case = format!("{} {name}", mode.path);
            assert_eq!(answer.status, 200, "{case}: {}", answer.text());
            assert_eq!(answer.header("x-litellm-model-id"), Some("good"), "{case}");
            assert_eq!(answer.header("x-litellm-attempted-retries"), Some("1"), "{case}");
            assert_eq!((bad.requests().len(), good.requests().len()), (1, 1), "{case}");
            assert_eq!(bad.request(0).body.len(), good.request(0).body.len(), "nothing is lost");
        }
    }
}

#[test]
fn a_lone_upstream_with_an_error_under_200_is_named_for_it() {
    let rows: [(&str, &str, Script, &str); 4] = [
        (SPEECH, "openai/tts-1", Script::ok().body("text/html", "<html></html>"), "HTML page"),
        (SPEECH, "openai/tts-1", Script::ok().body("application/json", "{}"), "audio was expected"),
        (
            IMAGES,
            "openai/gpt-image-1",
            Script::ok().json(&json!({"data": [{"b64_json": "?"}]})),
            "`b64_json` is not valid base64",
        ),
        (OCR, "mistral/x", Script::ok().body("audio/mpeg", modes::SOUND), "not UTF-8"),
    ];
    for (path, model, script, part) in rows {
        let upstream = FakeUpstream::scripted([script]);
        let hale = of(model, &upstream).router(json!({"num_retries": 0})).start();
        let answer = post(&hale, path, &body(path));
        assert_eq!(answer.status, 502, "{}", answer.text());
        let message = error(&answer)["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn sound_that_stops_in_the_middle_is_a_broken_connection_and_charged() {
    // Bad input, row 98.
    for script in [
        Script::ok().chunked("audio/mpeg").chunk(modes::SOUND).close(),
        Script::ok().declared_length(500).body("audio/mpeg", modes::SOUND).close(),
    ] {
        let upstream = FakeUpstream::scripted([script]);
        let hale = of("openai/tts-1", &upstream).general(json!({"request_log": LOG})).start();
        let answer = post(&hale, SPEECH, &body(SPEECH));
        assert_eq!((answer.status, answer.cut), (200, true));
        assert_eq!(answer.body, modes::SOUND, "what came is there");
        let record = wait_for_records(&hale, 1).remove(0);
        let told = (&record["ending"], &record["cause"]);
        assert_eq!(told, (&json!("broken"), &json!("stream_cut")), "{record}");
        wait_until_idle(&hale);
    }
}

#[test]
fn sound_that_falls_silent_is_broken_off() {
    let upstream =
        FakeUpstream::with(|_| Script::ok().chunked("audio/mpeg").chunk(modes::SOUND).silence());
    let more = json!({"model": "openai/tts-1", "stream_timeout": 0.2});
    let config = Config::new().with("m", "a", &upstream, more);
    let hale = config.general(json!({"request_log": LOG})).start();
    let answer = post(&hale, SPEECH, &body(SPEECH));
    assert_eq!((answer.status, answer.cut, &*answer.body), (200, true, modes::SOUND));
    assert_eq!(wait_for_records(&hale, 1)[0]["cause"], "stream_stall");
}

#[test]
fn defaults_for_text_stay_here_and_those_of_the_mode_go_along() {
    let upstream = FakeUpstream::with(modes::answer);
    let more = json!({"model": "openai/gpt-image-1", "max_tokens": 9, "temperature": 0.5,
                      "top_p": 0.1, "quality": "low", "n": 1});
    let hale = Config::new().with("m", "a", &upstream, more).start();
    let answer = post(&hale, IMAGES, &json!({"model": "m", "prompt": "x"}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected = json!({"model": "gpt-image-1", "prompt": "x", "quality": "low", "n": 1});
    assert_eq!(upstream.request(0).json(), expected);
}

#[test]
fn a_slow_listener_holds_back_the_upstream() {
    let piece = vec![7u8; 60_000];
    let upstream = FakeUpstream::with(move |_| {
        let script = Script::ok().chunked("audio/pcm");
        (0..1000).fold(script, |it, _| it.chunk(&piece)).end()
    });
    let hale = of("openai/tts-1", &upstream).start();
    let mut client = client(&hale);
    let json = [("content-type", "application/json")];
    client.send("POST", SPEECH, &json, body(SPEECH).to_string().as_bytes()).unwrap();
    upstream.wait_for_requests(1);
    let stuck = eventually("the upstream waits", || {
        let before = upstream.state().connections[0].written;
        let more = upstream
            .wait_within(Duration::from_millis(300), |it| it.connections[0].written > before);
        more.is_err().then_some(before)
    });
    assert!(stuck < 30 << 20, "{stuck} bytes were taken for a client that does not read");
    let answer = client.read_response().unwrap();
    assert_eq!((answer.body.len(), answer.cut), (60_000_000, false));
}

#[test]
fn a_client_that_leaves_an_audio_answer_frees_the_upstream() {
    let upstream =
        FakeUpstream::with(|_| Script::ok().chunked("audio/mpeg").chunk(modes::SOUND).silence());
    let hale = of("openai/tts-1", &upstream).general(json!({"request_log": LOG})).start();
    let mut client = client(&hale);
    client.stream(SPEECH, &[], &body(SPEECH)).disconnect();
    upstream.wait_until_dropped();
    let record = wait_for_records(&hale, 1).remove(0);
    assert_eq!(record["ending"], "client_closed");
}

#[test]
fn failures_move_on_to_siblings_and_fallbacks_with_the_whole_request() {
    for mode in all() {
        let (bad, good) =
            (FakeUpstream::with(|_| Script::error(500, "boom")), FakeUpstream::with(modes::answer));
        let params = |upstream: &FakeUpstream| {
            let base = if mode.path == RERANK { upstream.url() } else { upstream.api_base() };
            json!({"model": mode.model, "api_base": base})
        };
        let config = Config::new()
            .with("m", "bad", &bad, params(&bad))
            .with("other", "good", &good, params(&good))
            .router(json!({"num_retries": 0, "fallbacks": [{"m": ["other"]}]}));
        let answer = post(&config.start(), mode.path, &mode.body);
        assert_eq!(answer.status, 200, "{}: {}", mode.path, answer.text());
        assert_eq!(answer.header("x-litellm-attempted-fallbacks"), Some("1"));
        assert_eq!(bad.request(0).body, good.request(0).body);
    }
}

#[test]
fn a_silent_upstream_costs_its_own_time() {
    for mode in all() {
        let upstream = FakeUpstream::with(|_| Script::silent());
        let config = of(mode.model, &upstream).router(json!({"num_retries": 0}));
        let hale = config.start();
        let answer =
            client(&hale).post_json(mode.path, &[("x-litellm-timeout", "0.3")], &mode.body);
        assert_eq!(answer.status, 408, "{}: {}", mode.path, answer.text());
    }
}

#[test]
fn a_provider_without_the_operation_is_skipped_or_named() {
    let (openai, vllm) = (FakeUpstream::with(modes::answer), FakeUpstream::with(modes::answer));
    let config = Config::new().with("m", "openai", &openai, json!({"weight": 1})).with(
        "m",
        "vllm",
        &vllm,
        json!({"model": "hosted_vllm/x", "weight": 0}),
    );
    let hale = config.with("lone", "b", &openai, json!({})).start();
    let answer = post(&hale, RERANK, &body(RERANK));
    assert_eq!(answer.header("x-litellm-model-id"), Some("vllm"), "{}", answer.text());
    for (path, body) in [(RERANK, body(RERANK)), (OCR, body(OCR))] {
        let mut body = body;
        body["model"] = json!("lone");
        let answer = post(&hale, path, &body);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("provider"), "{}", answer.text());
    }
    assert_eq!(openai.requests().len(), 0);
}

#[test]
fn what_is_missing_or_broken_in_a_request_is_named() {
    // Bad input, row 69.
    let upstream = FakeUpstream::with(modes::answer);
    let hale = of("mistral/x", &upstream).start();
    let broken = json!({"model": "m", "document": {"type": "image_url",
                        "image_url": {"url": "data:image/png;base64,not base64"}}});
    let rows = [
        (IMAGES, json!({"model": "m"}), "prompt"),
        (SPEECH, json!({"model": "m", "voice": "nova"}), "input"),
        (MODERATIONS, json!({"model": "m"}), "input"),
        (RERANK, json!({"model": "m", "documents": ["a"]}), "query"),
        (RERANK, json!({"model": "m", "query": "a"}), "documents"),
        (OCR, json!({"model": "m"}), "document"),
        (OCR, broken, "document.image_url"),
        (IMAGES, json!({"model": "m", "prompt": "x", "stream": true}), "stream"),
        (SPEECH, json!({"input": "hi", "voice": "nova"}), "model"),
    ];
    for (path, body, field) in rows {
        let answer = post(&hale, path, &body);
        assert_eq!((answer.status, &error(&answer)["param"]), (400, &json!(field)), "{path}");
    }
    assert_eq!(upstream.requests().len(), 0);
    // What an object looks like inside is the provider's to judge.
    let answer = post(&hale, MODERATIONS, &json!({"model": "m", "input": "x", "colour": 7}));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("Unknown parameter: 'colour'"), "{}", answer.text());
}

#[test]
fn a_model_for_something_else_than_its_provider_is_served_for_is_named_at_start() {
    let upstream = FakeUpstream::with(modes::answer);
    let entry = json!({"model_name": "m", "litellm_params": {"model": "jina_ai/jina-chat", "api_key": "k",
        "api_base": upstream.api_base()}, "model_info": {"mode": "chat"}});
    let hale = Config::new().entry(entry).start();
    let answer = post(&hale, "/v1/chat/completions", &openai::chat_request("m", "hi"));
    assert_eq!(answer.status, 503, "{}", answer.text());
    let part = "is served for /v1/embeddings, /v1/rerank only";
    assert!(answer.text().contains(part), "{}", answer.text());
}

#[test]
fn events_of_speech_pass_as_they_are() {
    let upstream = FakeUpstream::with(|_: &Request| {
        let events = [
            json!({"type": "speech.audio.delta", "audio": "aGk="}),
            json!({"type": "speech.audio.done"}),
        ];
        Script::ok().sse(&events)
    });
    let hale = of("openai/gpt-4o-mini-tts", &upstream).start();
    let mut asked = body(SPEECH);
    asked["stream_format"] = json!("sse");
    let mut client = client(&hale);
    let mut stream = client.stream(SPEECH, &[], &asked);
    assert!(stream.header("content-type").unwrap().starts_with("text/event-stream"));
    assert!(stream.remaining().len() >= 2);
}

#[test]
fn a_rate_limit_of_one_is_the_next_ones_turn() {
    let (limited, good) =
        (FakeUpstream::with(|_| Script::rate_limited(30)), FakeUpstream::with(modes::answer));
    let hale = pair(&limited, &good).start();
    for _ in 0..3 {
        assert_eq!(post(&hale, SPEECH, &body(SPEECH)).status, 200);
    }
    assert_eq!(limited.requests().len(), 1, "it is in cooldown");
    let gone = post(&hale, SPEECH, &json!({"model": "zz", "input": "x", "voice": "v"}));
    expect_error(&gone, 400, "unknown_model");
}

#[test]
fn an_empty_list_is_refused_before_any_provider_is_called() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let lists = [
        ("/v1/embeddings", json!({"model": "m", "input": []})),
        ("/v1/moderations", json!({"model": "m", "input": []})),
        ("/v1/rerank", json!({"model": "m", "query": "q", "documents": [ ]})),
        ("/v1beta/models/m:batchEmbedContents", json!({"requests": []})),
    ];
    for (path, body) in lists {
        let refused = client(&hale).post_json(path, &[], &body);
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
        assert!(refused.text().contains("list"), "{path}: {}", refused.text());
    }
    assert!(upstream.requests().is_empty());
}
