//! Fields of a request that are LiteLLM's own: served, stripped or refused by name, and never sent to a provider.

use hale_core::parameters::{InBody, PARAMETERS};
use hale_testkit::{FakeUpstream, Hale, Response, Script, anthropic, forms, openai, responses};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, UPSTREAM_KEY, chat_with, client, error, expect_error, lone};

/// Requests of several operations, to a provider of each wire.
const REQUESTS: [(&str, &str, &str); 8] = [
    (CHAT, "m", r#"{"messages":[{"role":"user","content":"hi"}]}"#),
    (CHAT, "m", r#"{"messages":[{"role":"user","content":"hi"}],"stream":true}"#),
    (CHAT, "claude", r#"{"messages":[{"role":"user","content":"hi"}]}"#),
    ("/v1/messages", "claude", r#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":9}"#),
    ("/v1/messages", "m", r#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":9}"#),
    ("/v1/responses", "m", r#"{"input":"hi"}"#),
    ("/v1/embeddings", "m", r#"{"input":"hi"}"#),
    ("/v1/completions", "m", r#"{"prompt":"hi"}"#),
];

fn providers(upstream: &FakeUpstream) -> Hale {
    let claude = json!({
        "model_name": "claude", "model_info": {"id": "c"},
        "litellm_params": {"model": "anthropic/x", "api_base": upstream.url(), "api_key": UPSTREAM_KEY},
    });
    Config::new().deployment("m", "a", upstream).entry(claude).start()
}

fn fake() -> FakeUpstream {
    FakeUpstream::with(|request| match &*request.path {
        "/v1/messages" => anthropic::answer(request),
        "/v1/responses" => responses::answer(request),
        "/v1/audio/transcriptions" => forms::answer(request),
        _ => openai::answer(request),
    })
}

fn send(hale: &Hale, (path, model, body): (&str, &str, &str), more: &[(&str, Value)]) -> Response {
    let mut body: Value = serde_json::from_str(body).unwrap();
    body["model"] = json!(model);
    for (name, value) in more {
        body[*name] = value.clone();
    }
    client(hale).post_json(path, &[], &body)
}

fn of(kind: InBody) -> impl Iterator<Item = &'static str> {
    PARAMETERS.iter().filter(move |row| row.in_body == kind).map(|row| row.name)
}

#[test]
fn a_stripped_field_costs_no_request_and_reaches_no_provider() {
    let upstream = fake();
    let hale = providers(&upstream);
    let values = [json!("x"), json!(1), json!(true), json!({"a": [1]}), json!(["x"])];
    let stripped: Vec<(&str, Value)> = of(InBody::Stripped)
        .chain(["litellm_of_tomorrow"])
        .zip(values.iter().cycle().cloned())
        .collect();
    assert!(stripped.len() > 250);
    for request in REQUESTS {
        let answer = send(&hale, request, &stripped);
        assert_eq!(answer.status, 200, "{request:?}: {}", answer.text());
    }
    let kind = forms::content_type();
    let texts = stripped.iter().map(|(name, _)| (*name, None, &b"x"[..]));
    let parts: Vec<forms::Part<'_>> =
        [("file", Some("a.wav"), &b"RIFF"[..]), ("model", None, &b"m"[..])]
            .into_iter()
            .chain(texts)
            .collect();
    let form = client(&hale).request(
        "POST",
        "/v1/audio/transcriptions",
        &[("content-type", &*kind)],
        &forms::form(&parts),
    );
    assert_eq!(form.status, 200, "{}", form.text());
    let state = upstream.state();
    assert_eq!(state.requests.len(), REQUESTS.len() + 1);
    for request in &state.requests {
        let text = String::from_utf8_lossy(&request.body);
        for (name, _) in &stripped {
            let (key, part) = (format!("\"{name}\":"), format!("name=\"{name}\""));
            assert!(!text.contains(&key) && !text.contains(&part), "{} {name}", request.path);
        }
    }
}

#[test]
fn an_escaped_name_is_stripped_too() {
    let upstream = fake();
    let hale = providers(&upstream);
    let body =
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"c\u0061ching":true,"seed":1}"#;
    let answer = client(&hale).request("POST", CHAT, &[], body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = upstream.state().requests[0].json();
    assert_eq!((sent.get("caching"), &sent["seed"]), (None, &json!(1)));
}

#[test]
fn what_may_not_be_left_out_is_refused_by_name() {
    let upstream = fake();
    let hale = providers(&upstream);
    for request in REQUESTS {
        for (kind, reason) in [
            (InBody::Unserved, "unserved_parameter"),
            (InBody::Credential, "forbidden_parameter"),
            (InBody::Mock, "forbidden_parameter"),
        ] {
            // One request for each name would take long.
            for name in of(kind).step_by(5) {
                let answer = send(&hale, request, &[(name, json!(["x"]))]);
                assert_eq!(answer.status, 400, "{name}: {}", answer.text());
                assert!(answer.text().contains(&format!("`{name}`")), "{}", answer.text());
                if request.0 == CHAT {
                    let told = expect_error(&answer, 400, reason);
                    assert_eq!(told["param"], name);
                }
            }
        }
    }
    for request in REQUESTS {
        for name in [
            "some_vendors_api_key",
            "aws_bearer_token",
            "access_token",
            "apiKey",
            "X-Api-Key",
            "passwd",
            "cookie",
        ] {
            let foreign = send(&hale, request, &[(name, json!("sk-1"))]);
            assert_eq!(foreign.status, 400, "{name}: {}", foreign.text());
            assert!(foreign.text().contains(&format!("`{name}`")), "{}", foreign.text());
        }
    }
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn a_refused_field_that_is_null_is_absent() {
    let upstream = fake();
    let hale = providers(&upstream);
    let refused = || of(InBody::Unserved).chain(of(InBody::Mock)).chain(of(InBody::Credential));
    let nulls: Vec<(&str, Value)> = refused().map(|name| (name, json!(null))).collect();
    for request in REQUESTS {
        let answer = send(&hale, request, &nulls);
        assert_eq!(answer.status, 200, "{request:?}: {}", answer.text());
    }
    for request in &upstream.state().requests {
        let body = request.json();
        assert!(refused().all(|name| body.get(name).is_none()), "{body}");
    }
}

#[test]
fn a_field_of_the_providers_own_passes_though_its_name_is_like_that_of_a_credential() {
    let upstream = fake();
    let hale = providers(&upstream);
    for name in ["token", "stop_token", "pad_token", "prompt_cache_key", "max_token", "page_token"]
    {
        let answer = send(&hale, REQUESTS[0], &[(name, json!("x"))]);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(upstream.state().requests.last().unwrap().json()[name], "x");
    }
}

#[test]
fn guardrails_fail_closed_wherever_they_are_named() {
    let upstream = fake();
    let hale = providers(&upstream);
    for request in REQUESTS {
        for (field, value) in [
            ("guardrails", json!(["g"])),
            ("guardrails", json!({"g": {"enabled": true}})),
            ("metadata", json!({"guardrails": ["g"]})),
            ("litellm_metadata", json!({"guardrails": [{"g": {}}]})),
            ("disable_global_guardrails", json!(true)),
        ] {
            let answer = send(&hale, request, &[(field, value.clone())]);
            assert_eq!(answer.status, 400, "{field} {value}: {}", answer.text());
            assert!(answer.text().contains("guardrail"), "{}", answer.text());
        }
    }
    let nested = send(
        &hale,
        REQUESTS[0],
        &[("fallbacks", json!([{"model": "claude", "guardrails": ["g"]}]))],
    );
    assert_eq!(error(&nested)["param"], "fallbacks");
    assert_eq!(upstream.state().opened(), 0);
    for (field, value) in [
        ("guardrails", json!([])),
        ("guardrails", json!(null)),
        ("metadata", json!({"guardrails": "my own note"})),
    ] {
        let answer = send(&hale, REQUESTS[0], &[(field, value.clone())]);
        assert_eq!(answer.status, 200, "{field} {value} asks for nothing: {}", answer.text());
    }
}

fn failing() -> FakeUpstream {
    FakeUpstream::with(|_| Script::error(500, "down"))
}

#[test]
fn settings_of_the_router_are_overridden_for_one_request() {
    let (bad, good) = (failing(), FakeUpstream::start());
    let hale = Config::new()
        .deployment("m", "bad", &bad)
        .deployment("spare", "good", &good)
        .router(json!({"num_retries": 0}))
        .start();
    let ask = |settings: Value, more: &[(&str, Value)]| {
        let mut body = openai::chat_request("m", "hi");
        body["router_settings_override"] = settings;
        for (name, value) in more {
            body[*name] = value.clone();
        }
        chat_with(&hale, &[], &body)
    };
    assert_eq!(ask(json!({}), &[]).status, 500);
    for fallbacks in
        [json!([{"m": ["spare"]}]), json!(["spare"]), json!([{"model": "spare", "seed": 7}])]
    {
        let served = ask(json!({"fallbacks": fallbacks}), &[]);
        assert_eq!(served.status, 200, "{fallbacks}: {}", served.text());
        assert_eq!(served.header("x-litellm-attempted-fallbacks"), Some("1"));
    }
    assert_eq!(good.state().requests.last().unwrap().json()["seed"], 7);
    for request in &good.state().requests {
        assert_eq!(request.json().get("router_settings_override"), None);
    }
    // The field of the request itself wins, and what is no setting of a request has no effect.
    assert_eq!(
        ask(json!({"fallbacks": ["spare"]}), &[("disable_fallbacks", json!(true))]).status,
        500
    );
    assert_eq!(
        ask(json!({"fallbacks": ["spare"], "routing_strategy": "least-busy"}), &[]).status,
        200
    );
    let before = bad.state().requests.len();
    let retried = ask(json!({"num_retries": 1}), &[]);
    assert_eq!(retried.status, 500);
    assert_eq!(bad.state().requests.len(), before + 2);
    for wrong in [json!("x"), json!({"num_retries": "many"}), json!({"timeout": -1})] {
        expect_error(&ask(wrong, &[]), 400, "invalid_parameter");
    }
}

#[test]
fn a_timeout_of_the_override_bounds_the_request_in_every_format() {
    let silent = FakeUpstream::with(|_| Script::silent());
    let hale = lone(&silent).start();
    for (path, body) in [
        (CHAT, json!({"messages": [{"role": "user", "content": "hi"}]})),
        ("/v1/messages", json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9})),
    ] {
        let mut body = body;
        body["model"] = json!("m");
        body["router_settings_override"] = json!({"timeout": 0.2});
        let answer = client(&hale).post_json(path, &[], &body);
        assert_eq!(answer.status, 408, "{path}: {}", answer.text());
    }
}

/// A gateway that simulates what a request asks for: group `m` and its fallbacks of each kind.
fn simulating(upstream: &FakeUpstream) -> Hale {
    Config::new()
        .deployment("m", "a", upstream)
        .deployment("spare", "s", upstream)
        .deployment("long", "l", upstream)
        .deployment("polite", "p", upstream)
        .router(json!({
            "num_retries": 0,
            "fallbacks": [{"m": ["spare"]}],
            "context_window_fallbacks": [{"m": ["long"]}],
            "content_policy_fallbacks": [{"m": ["polite"]}],
        }))
        .general(json!({"dangerously_allow_mock_testing_request_params": true}))
        .start()
}

#[test]
fn fallbacks_are_tried_out_with_a_simulated_failure_that_blames_no_deployment() {
    let upstream = fake();
    let hale = simulating(&upstream);
    for (field, group) in [
        ("mock_testing_fallbacks", "spare"),
        ("mock_testing_context_fallbacks", "long"),
        ("mock_testing_content_policy_fallbacks", "polite"),
        ("mock_testing_rate_limit_error", "spare"),
    ] {
        for request in [REQUESTS[0], REQUESTS[1], REQUESTS[4]] {
            for _ in 0..4 {
                let answer = send(&hale, request, &[(field, json!(true))]);
                assert_eq!(answer.status, 200, "{field}: {}", answer.text());
                assert_eq!(answer.header("x-litellm-model-group"), Some(group), "{field}");
            }
        }
        let plain = send(&hale, REQUESTS[0], &[(field, json!(false))]);
        assert_eq!(
            plain.header("x-litellm-model-group"),
            Some("m"),
            "{field}: nothing is simulated"
        );
        let alone =
            send(&hale, REQUESTS[0], &[(field, json!(true)), ("disable_fallbacks", json!(true))]);
        assert!(matches!(alone.status, 400 | 429 | 500), "{field}: {}", alone.text());
    }
    for request in &upstream.state().requests {
        assert!(!String::from_utf8_lossy(&request.body).contains("mock_"));
    }
}

#[test]
fn a_request_may_simulate_its_answer_or_a_timeout_where_the_config_permits_it() {
    let upstream = fake();
    let hale = simulating(&upstream);
    for request in [REQUESTS[0], REQUESTS[1], REQUESTS[4]] {
        let answer = send(&hale, request, &[("mock_response", json!("as I said"))]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let said = answer.text();
        assert!(said.contains("as I said") || said.contains("\"said\""), "{said}");
    }
    let vector = send(&hale, REQUESTS[6], &[("mock_response", json!([0.5, 1]))]);
    assert_eq!(vector.json()["data"][0]["embedding"], json!([0.5, 1.0]), "{}", vector.text());
    let failure = [("mock_response", json!("litellm.RateLimitError"))];
    assert_eq!(send(&hale, REQUESTS[0], &failure).status, 429);
    let timeout = [
        ("mock_timeout", json!(true)),
        ("timeout", json!(0.2)),
        ("disable_fallbacks", json!(true)),
    ];
    assert_eq!(send(&hale, REQUESTS[0], &timeout).status, 408);
    assert_eq!(upstream.state().opened(), 0, "no provider was called");
    for (field, value) in [
        ("mock_response", json!("litellm.NoSuchError")),
        ("mock_response", json!({"a": 1})),
        ("mock_testing_fallbacks", json!("yes")),
        ("mock_tool_calls", json!([{}])),
    ] {
        let answer = send(&hale, REQUESTS[0], &[(field, value)]);
        assert_eq!(answer.status, 400, "{field}: {}", answer.text());
        assert_eq!(error(&answer)["param"], field);
    }
    assert_eq!(send(&hale, REQUESTS[0], &[]).status, 200, "no deployment is blamed");
    let api_key =
        send(&hale, REQUESTS[0], &[("mock_response", json!("x")), ("api_key", json!("k"))]);
    expect_error(&api_key, 400, "forbidden_parameter");
}
