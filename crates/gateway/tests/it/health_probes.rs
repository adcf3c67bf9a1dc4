//! Probes: what is sent, what an answer proves, what it costs.

use std::collections::{BTreeMap, BTreeSet};

use hale_core::operation::Operation;
use hale_core::provider::{self, Addressing};
use hale_testkit::{
    FakeUpstream, Request, Script, anthropic, bedrock, cohere, forms, gemini, modes, ollama, openai,
};
use serde_json::{Value, json};

use crate::health::{background, checked, counts, entry, health, wait_for_status};
use crate::support::{Config, chat, chat_with, client, column, eventually, lone, metric, scrape};

/// A deployment `a` of `m` with that `model_info`.
fn with_info(upstream: &FakeUpstream, model: &str, info: Value) -> Config {
    let params =
        json!({"model": model, "api_key": "k-0123456789", "api_base": upstream.api_base()});
    with_params(params, info)
}

fn with_params(params: Value, info: Value) -> Config {
    let mut all = json!({"id": "a"});
    all.as_object_mut().unwrap().extend(info.as_object().unwrap().clone());
    Config::new().entry(json!({"model_name": "m", "litellm_params": params, "model_info": all}))
}

/// The body of the one probe of a deployment with that `model_info`, and its path.
#[track_caller]
fn sent(model: &str, info: Value) -> (String, Value) {
    let upstream = FakeUpstream::with(answer);
    health(&with_info(&upstream, model, info).start(), "");
    let request = upstream.request(0);
    assert_eq!(upstream.requests().len(), 1);
    (request.path.clone(), request.json())
}

/// A healthy upstream of either wire.
fn answer(request: &Request) -> Script {
    if request.path.ends_with("/messages") {
        anthropic::answer(request)
    } else if request.path.ends_with(":generateContent") {
        gemini::answer_to_any_key(request)
    } else if request.path.ends_with("/v2/chat") {
        cohere::answer_to_any_key(request)
    } else if request.path.ends_with("/api/chat") {
        ollama::answer(request)
    } else if request.path.ends_with("/converse") {
        bedrock::answer(request)
    } else {
        openai::answer(request)
    }
}

#[test]
fn each_mode_has_its_own_request() {
    // Cases 27, 28, 29, 38, 39.
    let prompt = json!([{"role": "user", "content": "test from litellm"}]);
    let rows = [
        (
            "openai/my-model",
            json!({}),
            "/v1/chat/completions",
            json!({"messages": prompt, "max_tokens": 1}),
        ),
        (
            "openai/my-model",
            json!({"mode": "completion"}),
            "/v1/completions",
            json!({"prompt": "test from litellm", "max_tokens": 1}),
        ),
        (
            "openai/my-model",
            json!({"mode": "embedding"}),
            "/v1/embeddings",
            json!({"input": ["test from litellm"]}),
        ),
        (
            "openai/my-model",
            json!({"mode": "responses"}),
            "/v1/responses",
            json!({"input": "test from litellm", "max_output_tokens": 1}),
        ),
        (
            "anthropic/my-model",
            json!({"mode": "anthropic_messages"}),
            "/v1/messages",
            json!({"messages": prompt, "max_tokens": 1}),
        ),
        (
            "openai/text-embedding-3-small",
            json!({}),
            "/v1/embeddings",
            json!({"input": ["test from litellm"]}),
        ),
        (
            "openai/my-own-embedder",
            json!({}),
            "/v1/embeddings",
            json!({"input": ["test from litellm"]}),
        ),
        (
            "openai/my-model",
            json!({"health_check_prompt": "are you there?", "health_check_max_tokens": 3,
                   "health_check_params": {"seed": 7, "max_tokens": 99}}),
            "/v1/chat/completions",
            json!({"messages": [{"role": "user", "content": "are you there?"}], "max_tokens": 3, "seed": 7}),
        ),
        (
            "openai/my-model",
            json!({"health_check_supports_max_tokens": false}),
            "/v1/chat/completions",
            json!({"messages": prompt}),
        ),
        (
            "openai/o3-mini",
            json!({"health_check_max_tokens_reasoning": 128, "health_check_reasoning_effort": "low"}),
            "/v1/chat/completions",
            json!({"messages": prompt, "max_completion_tokens": 128, "reasoning_effort": "low"}),
        ),
    ];
    for (model, info, path, expected) in rows {
        let (at, mut body) = sent(model, info.clone());
        let asked = body.as_object_mut().unwrap().remove("model").unwrap();
        assert_eq!(asked, model.split_once('/').unwrap().1);
        assert_eq!((at.as_str(), body), (path, expected), "{model} {info}");
    }
}

#[test]
fn the_prompt_of_the_environment_is_used_in_every_mode() {
    // Case 48.
    for (mode, field) in [("chat", "messages"), ("completion", "prompt"), ("embedding", "input")] {
        let upstream = FakeUpstream::start();
        let config = with_info(&upstream, "openai/x", json!({"mode": mode}));
        let hale = config.launch().env("DEFAULT_HEALTH_CHECK_PROMPT", "are you well?").start();
        health(&hale, "");
        let body = upstream.request(0).json();
        assert!(body[field].to_string().contains("are you well?"), "{body}");
    }
}

#[test]
fn the_deployment_s_own_parameters_go_along() {
    // Case 27.
    let upstream = FakeUpstream::start();
    let params = json!({"temperature": 0.7, "extra_headers": {"x-tenant": "t1"}});
    let hale = Config::new().with("m", "a", &upstream, params).start();
    health(&hale, "");
    let request = upstream.request(0);
    assert_eq!(request.json()["temperature"], 0.7);
    assert_eq!(request.header("x-tenant"), Some("t1"));
}

/// Two hundred deployments over all providers, each with a path of its own at one upstream.
fn two_hundred(upstream: &FakeUpstream) -> (Config, usize) {
    let mut config = Config::new().general(json!({"drain_delay_s": 0}));
    let providers: Vec<_> = provider::all().filter(|it| it.serves(Operation::Chat)).collect();
    let mut count = 0;
    for i in 0..200 {
        let provider = providers[i % providers.len()];
        let mut params = json!({
            "model": format!("{}/model-{i}", provider.name),
            "api_key": format!("sk-of-deployment-{i:04}"),
            "api_base": format!("{}/p{i}", upstream.url()),
        });
        if provider.addressing == Addressing::Azure {
            params["api_version"] = json!("2024-10-21");
        }
        match i % 4 {
            1 => params["extra_headers"] = json!({"x-tenant": format!("t{i}")}),
            2 => params["organization"] = json!(format!("org-{i}")),
            _ => {}
        }
        let info = json!({"id": format!("d{i}"), "mode": "chat"});
        config =
            config.entry(json!({"model_name": "m", "litellm_params": params, "model_info": info}));
        count += 1;
    }
    (config, count)
}

#[test]
fn a_probe_goes_where_traffic_goes_with_the_same_head_and_model() {
    // Requirement H6.
    let upstream = FakeUpstream::with(answer);
    let (config, count) = two_hundred(&upstream);
    let hale = config.start();
    let (_, page) = health(&hale, "");
    assert_eq!(counts(&page), [count as u64, 0, 0], "{page}");
    let seen = |requests: Vec<Request>| -> BTreeMap<String, String> {
        requests
            .iter()
            .map(|request| {
                let headers: BTreeSet<String> = request
                    .headers
                    .iter()
                    .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
                    .map(|(name, value)| format!("{name}: {value}"))
                    .collect();
                let model = request.json()["model"].clone();
                (request.path.clone(), format!("{} {headers:?} {model}", request.method))
            })
            .collect()
    };
    let checks = seen(upstream.requests());
    assert_eq!(checks.len(), count);
    let before = upstream.requests().len();
    for i in 0..count {
        let answer = chat(&hale, &format!("d{i}"));
        assert_eq!(answer.status, 200, "d{i}: {}", answer.text());
    }
    let traffic = seen(upstream.requests().split_off(before));
    assert_eq!(checks, traffic);
}

#[test]
fn reaching_the_token_limit_proves_health() {
    // Requirement H1.
    let limit = "Could not finish the message because max_tokens or model output limit was reached. \
                 Please try again with higher max_tokens.";
    let well = checked(move || Script::error(400, limit));
    assert_eq!(well["status"], "healthy", "{well}");
    let empty = checked(|| {
        let mut body = openai::chat_completion("gpt-4o", "");
        body["choices"][0]["finish_reason"] = json!("length");
        Script::ok().json(&body)
    });
    assert_eq!(empty["status"], "healthy", "{empty}");
    let refused = checked(|| {
        let error =
            openai::error("The response was filtered", "invalid_request_error", "content_filter");
        Script::with_status(400).json(&error)
    });
    assert_eq!(refused["status"], "healthy", "{refused}");
}

#[test]
fn the_floor_of_tokens_is_learned_once() {
    // Requirement H1.
    let upstream = FakeUpstream::with(|request| {
        if request.json()["max_tokens"].as_u64() >= Some(16) {
            return openai::answer(request);
        }
        let says = "Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, but got 1 \
                    instead.";
        Script::error(400, says)
    });
    let hale = lone(&upstream).start();
    for _ in 0..3 {
        assert_eq!(counts(&health(&hale, "").1), [1, 0, 0]);
    }
    let asked: Vec<Value> =
        upstream.requests().iter().map(|it| it.json()["max_tokens"].clone()).collect();
    assert_eq!(asked, [1, 16, 16, 16].map(Value::from));
}

#[test]
fn a_model_that_wants_the_other_name_for_the_limit_gets_it() {
    let upstream = FakeUpstream::with(|request| {
        if request.json().get("max_tokens").is_none() {
            return openai::answer(request);
        }
        let says = "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                    'max_completion_tokens' instead.";
        Script::error(400, says)
    });
    let hale = with_info(&upstream, "openai/my-own-name", json!({})).start();
    for _ in 0..2 {
        assert_eq!(counts(&health(&hale, "").1), [1, 0, 0]);
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn an_answer_without_content_does_not_prove_health() {
    // Requirement H21.
    type Case = (&'static str, fn() -> Script);
    let cases: [Case; 6] = [
        ("a page", || Script::ok().body("text/html", "<html><body>welcome</body></html>")),
        ("nothing in it", || Script::ok().body("application/json", "{}")),
        ("an error in good clothes", || Script::ok().json(&openai::error("no", "x", "y"))),
        ("an empty body", || Script::ok().body("application/json", "")),
        ("null", || Script::ok().body("application/json", "null")),
        ("cut", || {
            Script::ok().declared_length(500).body("application/json", "{\"choices\":").close()
        }),
    ];
    for (name, script) in cases {
        let entry = checked(script);
        assert_eq!(entry["status"], "unhealthy", "{name}: {entry}");
    }
}

#[test]
fn a_complaint_about_what_we_added_changes_nothing() {
    // Requirement H5.
    let entry = checked(|| Script::error(400, "Unknown parameter: 'max_tokens'."));
    assert_eq!((&entry["status"], &entry["cause"]), (&json!("unchecked"), &json!("probe_error")));
    assert!(entry["hint"].as_str().unwrap().contains("health_check_params"), "{entry}");
    let upstream = FakeUpstream::start();
    let hale = background(lone(&upstream))
        .general(json!({"health_check_staleness_threshold": 600}))
        .start();
    wait_for_status(&hale, "a", "healthy");
    upstream.answer_with(|_| Script::error(400, "Unknown parameter: 'messages'."));
    let seen = upstream.requests().len();
    upstream.wait_for_requests(seen + 3);
    assert_eq!(entry_of(&hale)["status"], "healthy", "the state stays");
}

fn entry_of(hale: &hale_testkit::Hale) -> Value {
    entry(&health(hale, "").1, "a").unwrap()
}

#[test]
fn a_probe_of_the_wrong_mode_gives_no_verdict() {
    // Requirement H4.
    let rows = [
        (
            404,
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint.",
        ),
        (400, "The model does not support Chat Completions API"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (400, "\"nomic\" does not support chat"),
    ];
    for (status, says) in rows {
        let upstream = FakeUpstream::with(move |_| {
            Script::with_status(status).json(&json!({"detail": says, "error": {"message": says}}))
        });
        let (code, page) =
            health(&with_info(&upstream, "openai/unheard-of", json!({})).start(), "");
        let entry = entry(&page, "a").unwrap();
        assert_eq!((code, &entry["status"]), (200, &json!("unknown")), "{status} {says}: {entry}");
        assert!(entry["hint"].as_str().unwrap().contains("model_info.mode"), "{entry}");
    }
}

#[test]
fn each_mode_beyond_text_has_its_own_request_and_no_field_of_another() {
    let prompt = "test from litellm";
    let ranked = json!({"query": prompt, "documents": ["my sample text"]});
    let rows = [
        ("openai", "image_generation", "/v1/images/generations", json!({"prompt": prompt})),
        ("openai", "audio_speech", "/v1/audio/speech", json!({"input": prompt, "voice": "alloy"})),
        ("openai", "moderation", "/v1/moderations", json!({"input": prompt})),
        ("cohere", "rerank", "/v1/rerank", ranked.clone()),
        ("hosted_vllm", "rerank", "/v1/rerank", ranked.clone()),
        ("jina_ai", "rerank", "/v1/rerank", ranked),
        ("mistral", "ocr", "/v1/ocr", json!(null)),
    ];
    for (provider, mode, path, expected) in rows {
        let upstream = FakeUpstream::with(modes::answer);
        let info = json!({"mode": mode, "health_check_max_tokens": 5});
        let hale = with_info(&upstream, &format!("{provider}/my-model"), info).start();
        let (_, page) = health(&hale, "");
        assert_eq!(counts(&page), [1, 0, 0], "{provider} {mode}: {page}");
        let request = upstream.request(0);
        let mut body = request.json();
        assert_eq!(body.as_object_mut().unwrap().remove("model").unwrap(), "my-model");
        assert_eq!((request.path.as_str(), upstream.requests().len()), (path, 1));
        if mode == "ocr" {
            let url = body["document"]["document_url"].as_str().unwrap();
            assert!(url.starts_with("data:application/pdf;base64,JVBERi"), "{url}");
            assert_eq!(body.as_object().unwrap().len(), 1);
        } else {
            assert_eq!(body, expected, "{provider} {mode}");
        }
    }
}

#[test]
fn forms_are_probed_with_the_projects_own_files() {
    // Cases 31, 33.
    let rows = [
        ("openai/my-model", "image_edit", "/v1/images/edits", "image[]", &b"\x89PNG\r\n\x1a\n"[..]),
        ("openai/my-model", "audio_transcription", "/v1/audio/transcriptions", "file", b"RIFF"),
        (
            "groq/whisper-large-v3",
            "audio_transcription",
            "/v1/audio/transcriptions",
            "file",
            b"RIFF",
        ),
    ];
    for (model, mode, path, file, begin) in rows {
        // It refuses every field of another mode.
        let upstream = FakeUpstream::with(forms::answer);
        let info = json!({"mode": mode, "health_check_max_tokens": 5});
        let (_, page) = health(&with_info(&upstream, model, info).start(), "");
        assert_eq!(counts(&page), [1, 0, 0], "{mode}: {page}");
        let request = upstream.request(0);
        assert_eq!((request.path.as_str(), upstream.requests().len()), (path, 1));
        let mut parts: BTreeMap<String, Vec<u8>> = forms::parts(&request).into_iter().collect();
        assert!(parts.remove(file).unwrap().starts_with(begin));
        let name = model.split_once('/').unwrap().1;
        assert_eq!(parts.remove("model").unwrap(), name.as_bytes());
        if mode == "image_edit" {
            assert_eq!(parts.remove("prompt").unwrap(), b"test from litellm");
        }
        assert!(parts.is_empty(), "{parts:?}");
    }
}

#[test]
fn batch_is_a_list_where_the_provider_has_it() {
    // Case 40.
    let upstream = FakeUpstream::with(forms::answer);
    let config = with_info(&upstream, "openai/my-model", json!({"mode": "batch"}));
    assert_eq!(counts(&health(&config.start(), "").1), [1, 0, 0]);
    let request = upstream.request(0);
    assert_eq!((&*request.method, &*request.path, request.body.len()), ("GET", "/v1/batches", 0));
    let params = json!({"model": "azure/x", "api_key": "k-0123456789", "api_base": upstream.url(),
                        "api_version": "2024-10-21"});
    assert_eq!(
        counts(&health(&with_params(params, json!({"mode": "batch"})).start(), "").1),
        [1, 0, 0]
    );
    assert_eq!(upstream.request(1).path, "/openai/batches?api-version=2024-10-21");
    let other = with_info(&upstream, "groq/my-model", json!({"mode": "batch"})).start();
    let (_, page) = health(&other, "");
    let entry = entry(&page, "a").unwrap();
    assert_eq!((&entry["status"], &entry["cause"]), (&json!("unknown"), &json!("mode_not_served")));
    let bad = FakeUpstream::with(|_| Script::ok().json(&json!({"object": "list"})));
    let config = with_info(&bad, "openai/my-model", json!({"mode": "batch"}));
    assert_eq!(counts(&health(&config.start(), "").1), [0, 1, 0]);
}

#[test]
fn a_refusal_by_policy_is_an_image_models_health() {
    // Case 31.
    for code in ["moderation_blocked", "content_policy_violation"] {
        let says = "Your request was rejected as a result of our safety system.";
        let error = openai::error(says, "image_generation_user_error", code);
        let upstream = FakeUpstream::with(move |_| Script::with_status(400).json(&error));
        let config = with_info(&upstream, "openai/gpt-image-1", json!({"mode": "image_edit"}));
        assert_eq!(counts(&health(&config.start(), "").1), [1, 0, 0], "{code}");
    }
}

#[test]
fn the_voice_of_a_probe_is_the_configs() {
    let info = json!({"mode": "audio_speech", "health_check_voice": "en-US-AriaNeural"});
    let upstream = FakeUpstream::with(modes::answer);
    health(&with_info(&upstream, "openai/tts-1", info).start(), "");
    assert_eq!(upstream.request(0).json()["voice"], "en-US-AriaNeural");
}

#[test]
fn a_probe_of_another_mode_costs_its_price() {
    for (model, mode, usd) in [
        ("openai/tts-1", "audio_speech", 17.0 * 1.5e-5),
        ("cohere/rerank-v3.5", "rerank", 0.002),
        ("mistral/mistral-ocr-latest", "ocr", 0.004),
        // By the tokens that the provider counts.
        ("openai/gpt-image-1", "image_generation", 0.01093),
    ] {
        let upstream = FakeUpstream::with(modes::answer);
        let hale = with_info(&upstream, model, json!({"mode": mode})).start();
        health(&hale, "");
        let spent = metric(&hale, "hale_probe_cost_usd_total", &[]);
        assert!((spent - usd).abs() < 2e-9, "{model}: {spent}");
    }
}

#[test]
fn a_probe_of_a_server_of_ones_own_costs_nothing_without_a_price() {
    for model in [
        "openai/my-own",
        "openai_like/my-own",
        "hosted_vllm/my-own",
        "groq/my-own",
        "hosted_vllm/gpt-4o",
        "lm_studio/claude-sonnet-4-5",
        "infinity/text-embedding-3-small",
    ] {
        let upstream = FakeUpstream::start();
        let hale = with_info(&upstream, model, json!({})).start();
        health(&hale, "");
        assert_eq!(upstream.requests().len(), 1, "{model}");
        assert_eq!(metric(&hale, "hale_probe_cost_usd_total", &[]), 0.0, "{model}");
    }
}

#[test]
fn an_answer_of_another_mode_does_not_prove_health() {
    let sound: fn() -> Script = || Script::ok().body("audio/mpeg", modes::SOUND);
    let nothing: fn() -> Script = || Script::ok().body("application/json", "{}");
    for (model, mode, script) in [
        ("openai/x", "image_generation", sound),
        ("openai/x", "audio_speech", nothing),
        ("openai/x", "moderation", nothing),
        ("cohere/x", "rerank", sound),
        ("mistral/x", "ocr", nothing),
    ] {
        let upstream = FakeUpstream::with(move |_| script());
        let hale = with_info(&upstream, model, json!({"mode": mode})).start();
        let entry = entry_of(&hale);
        assert_eq!(
            (&entry["status"], &entry["cause"]),
            (&json!("unhealthy"), &json!("bad_response")),
            "{mode}: {entry}"
        );
    }
}

#[test]
fn no_probe_buys_a_video_and_an_unprobed_mode_says_why() {
    let upstream = FakeUpstream::with(modes::answer);
    let video = with_info(&upstream, "openai/sora", json!({"mode": "video_generation"})).start();
    assert_eq!(entry_of(&video)["status"], "reachable");
    assert_eq!((upstream.request(0).path.as_str(), upstream.requests().len()), ("/v1/models", 1));
    let (lacks, unserved) = (("misconfigured", "misconfigured"), ("unknown", "mode_not_served"));
    for (model, mode, (status, cause), member, why) in [
        ("openai/x", "rerank", lacks, "error", "provider `openai` has no rerank"),
        ("anthropic/x", "image_generation", lacks, "error", "provider `anthropic` has no image"),
        ("openai/x", "search", unserved, "hint", "models of mode search are not served"),
    ] {
        let hale = with_info(&upstream, model, json!({"mode": mode})).start();
        let entry = entry_of(&hale);
        assert_eq!((&entry["status"], &entry["cause"]), (&json!(status), &json!(cause)), "{entry}");
        assert!(entry[member].as_str().unwrap().contains(why), "{entry}");
    }
    assert!(upstream.requests().iter().all(|request| request.method == "GET"));
    upstream.answer_with(|_| Script::error(401, "no"));
    let hale = with_info(&upstream, "openai/x", json!({"mode": "search"})).start();
    assert_eq!(entry_of(&hale)["cause"], "auth", "a refused key is seen all the same");
}

#[test]
fn a_dear_mode_may_be_looked_at_always() {
    let upstream = FakeUpstream::start();
    let hale =
        with_info(&upstream, "openai/gpt-4o", json!({"health_check_kind": "metadata"})).start();
    let (_, page) = health(&hale, "");
    assert_eq!((counts(&page), upstream.request(0).method.as_str()), ([1, 0, 0], "GET"));
    assert_eq!(metric(&hale, "hale_probe_cost_usd_total", &[]), 0.0);
}

#[test]
fn a_page_nothing_or_an_error_in_place_of_the_list_of_models_proves_nothing() {
    // Requirement H21.
    let metadata = json!({"health_check_kind": "metadata"});
    for shown in ["<html>welcome</html>", "", "{}", "null", "{\"error\": \"Unexpected endpoint\"}"]
    {
        let upstream = FakeUpstream::with(move |_| Script::ok().body("text/html", shown));
        let hale = with_info(&upstream, "openai/gpt-4o", metadata.clone()).start();
        let (_, page) = health(&hale, "");
        let entry = entry(&page, "a").unwrap();
        assert_eq!((counts(&page), &entry["cause"]), ([0, 0, 1], &json!("probe_error")), "{shown}");
        assert!(entry["error"].as_str().unwrap().contains("list of models"), "{entry}");
        assert!(entry["hint"].as_str().unwrap().contains("api_base"), "{entry}");
    }
    // Providers have lists of their own.
    for list in ["{\"models\": [{\"name\": \"x\"}]}", "[]", "{\"data\": [], \"error\": null}"] {
        let upstream = FakeUpstream::with(move |_| Script::ok().body("application/json", list));
        let hale = with_info(&upstream, "openai/gpt-4o", metadata.clone()).start();
        assert_eq!(counts(&health(&hale, "").1), [1, 0, 0], "{list}");
    }
}

#[test]
fn a_rate_limit_is_not_a_failure_and_its_credential_is_not_probed() {
    // Requirement H14.
    let upstream = FakeUpstream::with(|_| Script::rate_limited(60));
    let hale = background(lone(&upstream)).start();
    let entry = wait_for_status(&hale, "a", "rate_limited");
    assert_eq!(counts(&health(&hale, "").1), [1, 0, 0]);
    assert!(
        entry["retry_after_s"].as_u64().is_some_and(|left| (50..=60).contains(&left)),
        "{entry}"
    );
    // The state is published a moment before the plan.
    eventually("the next check is not before its time", || {
        let entry = entry_of(&hale);
        let soonest = entry["checked_at"].as_u64().map(|at| at + 55);
        (entry["next_check_at"].as_u64() >= soonest).then_some(())
    });
    let checks = upstream.requests().len();
    // Traffic is not excluded: only its own refusals count.
    upstream.answer_with(Script::answer);
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(upstream.requests().len(), checks + 1);
}

#[test]
fn a_pattern_is_probed_with_one_of_its_models() {
    // Cases 44, 45, requirement H19.
    let upstream = FakeUpstream::start();
    let pattern = |info: Value| {
        let params = json!({"model": "openai/*", "api_key": "k", "api_base": upstream.api_base()});
        let mut all = json!({"id": "a"});
        all.as_object_mut().unwrap().extend(info.as_object().unwrap().clone());
        Config::new()
            .entry(json!({"model_name": "openai/*", "litellm_params": params, "model_info": all}))
    };
    for named in ["gpt-4o-mini", "openai/gpt-4o-mini"] {
        let before = upstream.requests().len();
        let hale = pattern(json!({"health_check_model": named})).start();
        assert_eq!(entry_of(&hale)["model"], "openai/gpt-4o-mini");
        let body = upstream.request(before).json();
        assert_eq!((&body["model"], &body["max_tokens"]), (&json!("gpt-4o-mini"), &json!(10)));
    }
    // Without a name: a cheap chat model, then the one that traffic used.
    let before = upstream.requests().len();
    let hale = pattern(json!({})).start();
    let picked = entry_of(&hale)["model"].as_str().unwrap().to_owned();
    assert!(picked.starts_with("openai/gpt-"), "{picked}");
    assert_eq!(upstream.request(before).path, "/v1/chat/completions");
    assert_eq!(chat(&hale, "openai/my-fine-tune").status, 200);
    assert_eq!(entry_of(&hale)["model"], "openai/my-fine-tune");
    // A model that the account lacks proves nothing about the others.
    upstream.answer_with(|_| Script::error(404, "The model `x` does not exist"));
    let entry = entry_of(&hale);
    assert_eq!((&entry["status"], &entry["cause"]), (&json!("unknown"), &json!("not_found")));
    // For a provider without known models only the list is requested.
    let list = FakeUpstream::start();
    let params = json!({"model": "hosted_vllm/*", "api_base": list.api_base()});
    let own = json!({"model_name": "*", "litellm_params": params, "model_info": {"id": "a"}});
    let hale = Config::new().entry(own).start();
    assert_eq!(
        (entry_of(&hale)["status"].clone(), list.request(0).path.as_str()),
        (json!("reachable"), "/v1/models")
    );
}

#[test]
fn steady_traffic_needs_no_probe() {
    // Requirement H2, invariant I14.
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream)
        .general(json!({"background_health_checks": true, "health_check_interval": 30}))
        .start();
    // The first probe comes at its own time; traffic comes before.
    let before = upstream.requests().len();
    for _ in 0..30 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    assert!(before <= 1 && upstream.requests().len() <= 31, "at most the first check");
    let entry = entry_of(&hale);
    assert_eq!((&entry["status"], &entry["source"]), (&json!("healthy"), &json!("traffic")));
}

#[test]
fn beyond_the_budget_nothing_paid_is_sent() {
    // Requirement H2.
    let upstream = FakeUpstream::with(|request| {
        let mut answer = openai::chat_completion(&request.model(), "a");
        answer["usage"] = json!({"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 13});
        Script::ok().json(&answer)
    });
    // A probe of gpt-4o is estimated at 12 * 2.5 + 10 millionths, and costs that.
    let hale = background(lone(&upstream))
        .general(json!({"health_check_daily_budget_usd": 0.0001}))
        .start();
    upstream.wait_for(|state| state.requests.iter().filter(|it| it.method == "GET").count() >= 3);
    let paid = upstream.requests().iter().filter(|it| it.method == "POST").count();
    assert_eq!(paid, 2);
    // Free probes continue, and prove less.
    let entry = wait_for_status(&hale, "a", "reachable");
    assert_eq!(counts(&health(&hale, "").1), [0, 0, 1], "{entry}");
    assert_eq!(chat(&hale, "m").status, 200, "unknown is not unhealthy");
}

#[test]
fn probes_leave_no_trace_in_what_traffic_counts() {
    // Requirement H20.
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).general(json!({"request_log": crate::support::LOG})).start();
    let deployment = || client(&hale).get("/router/state").json()["deployments"][0].clone();
    let own = |state: &Value| {
        let mut state = state.clone();
        for name in ["check", "changes", "requests_this_minute"] {
            state.as_object_mut().unwrap().remove(name);
        }
        state
    };
    let before = deployment();
    for _ in 0..100 {
        assert_eq!(counts(&health(&hale, "").1), [1, 0, 0]);
    }
    assert_eq!(own(&before), own(&deployment()));
    assert_eq!(deployment()["requests_this_minute"], 0);
    let spend = scrape(&hale).into_iter().filter(|it| it.name.contains("spend")).map(|it| it.value);
    assert_eq!(spend.sum::<f64>(), 0.0);
    assert_eq!(metric(&hale, "hale_requests_total", &[]), 0.0);
    assert!(crate::support::records(&hale).is_empty());
}

#[test]
fn a_probe_whose_answer_is_endless_or_huge_ends() {
    let huge = FakeUpstream::with(|_| Script::ok().body("application/json", vec![b' '; 3 << 20]));
    let config = lone(&huge).general(json!({"max_response_size_mb": 1}));
    // The limit is the gateway's: the probe proves nothing.
    let entry = entry_of(&config.start());
    assert_eq!(
        (&entry["status"], &entry["cause"]),
        (&json!("unchecked"), &json!("probe_error")),
        "{entry}"
    );
    // And with the limits as they are.
    let large =
        FakeUpstream::with(|_| Script::ok().body("application/json", vec![b' '; 100 << 20]));
    let entry = entry_of(&lone(&large).start());
    assert_eq!(
        (&entry["status"], &entry["cause"]),
        (&json!("unchecked"), &json!("probe_error")),
        "{entry}"
    );
    let endless =
        FakeUpstream::with(|_| Script::ok().chunked("application/json").chunk("{").silence());
    let hale = lone(&endless).launch().env("HEALTH_CHECK_TIMEOUT_SECONDS", "0.3").start();
    assert_eq!(entry_of(&hale)["cause"], "timeout");
}

#[test]
fn canaries_are_not_on_the_page_whatever_the_provider_repeats() {
    let key = "canary7d41-key-0123456789";
    let upstream = FakeUpstream::with(|request| {
        let says = format!("bad key {:?}", request.header("authorization"));
        Script::error(401, &says)
    });
    let header = "canary7d41-header-0123456789";
    let params = json!({"api_key": key, "extra_headers": {"x-auth": header}});
    let hale = background(Config::new().with("m", "a", &upstream, params))
        .launch()
        .arg("--detailed_debug")
        .start();
    wait_for_status(&hale, "a", "unhealthy");
    let pages = ["/health", "/v1/model/info", "/metrics", "/router/state"];
    for path in pages {
        let text = client(&hale).get(path).text();
        assert!(!text.contains("canary7d41"), "{path}: {text}");
    }
    let (out, log) = (hale.stdout(), hale.stderr());
    assert!(!out.contains("canary7d41") && !log.contains("canary7d41"), "{log}");
}

#[test]
fn a_stream_of_traffic_is_evidence_too() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream)
        .general(json!({"background_health_checks": true, "health_check_interval": 3600}))
        .start();
    let answer = chat_with(&hale, &[], &openai::stream_request("m", "hi"));
    assert_eq!(answer.status, 200);
    let entry = wait_for_status(&hale, "a", "healthy");
    assert_eq!(entry["source"], "traffic");
    assert_eq!(column(&health(&hale, "").1["healthy_endpoints"], "model_id"), ["a"]);
}
