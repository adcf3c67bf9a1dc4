//! Vertex AI: its addresses, its credentials and their tokens, the formats of its models. The issuer of tokens here checks the signature.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hale_testkit::{FakeUpstream, Hale, Request, Script, anthropic, gemini, openai};
use serde_json::{Value, json};

use crate::sessions::{MESSAGES, ask, chat, last, message, post, served, with};
use crate::support::{CHAT, Config, client, column, eventually, expect_error};

const MODEL: &str = "gemini-2.5-flash";
const PLACE: &str = "/v1/projects/p-1/locations/europe-west4";
/// A key that was made for these tests.
const KEY: &str = include_str!("../../../../testdata/google/service_account_key.pem");
const EMAIL: &str = "hale@p-1.iam.gserviceaccount.com";

/// The file of a service account whose tokens that issuer gives.
fn account(issuer: &FakeUpstream) -> Value {
    json!({"type": "service_account", "project_id": "p-1", "private_key_id": "key-1", "private_key": KEY,
        "client_email": EMAIL, "token_uri": format!("{}/token", issuer.url())})
}

fn entry(upstream: &FakeUpstream, model: &str, credentials: Value) -> Value {
    json!({"model": format!("vertex_ai/{model}"), "api_base": upstream.url(),
        "vertex_location": "europe-west4", "vertex_credentials": credentials})
}

/// One deployment, without the key that others have.
fn of(params: Value) -> Config {
    Config::new()
        .entry(json!({"model_name": "g", "litellm_params": params, "model_info": {"id": "a"}}))
}

fn config(upstream: &FakeUpstream, model: &str, credentials: Value) -> Config {
    of(entry(upstream, model, credentials))
}

/// The fields of a form.
fn fields(request: &Request) -> Vec<(String, String)> {
    let text = request.text();
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap();
        (name.to_owned(), value.into_owned())
    };
    text.split('&').map(pair).collect()
}

fn field(request: &Request, name: &str) -> String {
    let found = fields(request).into_iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value).unwrap_or_default()
}

/// The claims of the assertion in `request`, if its signature is that of the key.
fn claims(request: &Request) -> Value {
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    assert_eq!(field(request, "grant_type"), grant);
    let assertion = field(request, "assertion");
    let parts: Vec<&str> = assertion.split('.').collect();
    let body: String = KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    public.verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &signature).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap()
}

fn granted(token: &str, expires_in: u64) -> Script {
    let token = json!({"access_token": token, "expires_in": expires_in, "token_type": "Bearer"});
    Script::ok().json(&token)
}

/// Gives the tokens `token-0`, `token-1` and so on.
fn issuer(expires_in: u64) -> FakeUpstream {
    let count = AtomicUsize::new(0);
    FakeUpstream::with(move |_| {
        granted(&format!("token-{}", count.fetch_add(1, Ordering::Relaxed)), expires_in)
    })
}

/// Gemini at Vertex AI, for any token.
fn google(request: &Request) -> Script {
    match request.header("authorization").is_some_and(|value| value.starts_with("Bearer token-")) {
        true => gemini::answer_to_any_key(request),
        false => gemini::refusal(
            401,
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials.",
            json!([]),
        ),
    }
}

fn bearer(upstream: &FakeUpstream) -> String {
    last(upstream).header("authorization").unwrap_or_default().to_owned()
}

#[test]
fn a_service_account_gets_one_token_for_all_requests_whichever_way_it_is_written() {
    let directory = std::env::temp_dir().join(format!("hale-vertex-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for kind in ["object", "text", "file"] {
        let (upstream, issuer) = (FakeUpstream::with(google), issuer(3600));
        let file = directory.join("key.json");
        let written = match kind {
            "object" => account(&issuer),
            "text" => json!(account(&issuer).to_string()),
            _ => {
                std::fs::write(&file, account(&issuer).to_string()).unwrap();
                json!(file.to_str().unwrap())
            }
        };
        let hale = config(&upstream, MODEL, written).start();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| served(&hale, CHAT, &chat("g", json!({}))));
            }
        });
        let mut streaming = client(&hale);
        let mut stream = streaming.stream(CHAT, &[], &chat("g", json!({"stream": true})));
        assert_eq!(stream.content(), gemini::TEXT, "{kind}");
        drop(stream);
        message(&hale, &ask("g", json!({})), true);
        let asked = issuer.requests();
        assert_eq!((asked.len(), &*asked[0].path), (1, "/token"), "{kind}");
        let claims = claims(&asked[0]);
        let aud = format!("{}/token", issuer.url());
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!(EMAIL), &json!(aud)));
        assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
        let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(lifetime, 3600);
        let model = format!("{PLACE}/publishers/google/models/{MODEL}");
        for sent in upstream.requests() {
            let verbs = [":generateContent", ":streamGenerateContent?alt=sse"];
            assert!(
                verbs.iter().any(|verb| sent.path == format!("{model}{verb}")),
                "{}",
                sent.path
            );
            assert_eq!(sent.header("authorization"), Some("Bearer token-0"));
            assert_eq!(
                (sent.header("x-goog-api-key"), sent.header("x-goog-user-project")),
                (None, None)
            );
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_token_is_replaced_before_it_ends_and_an_issuer_that_hangs_holds_up_no_request() {
    let (upstream, issuer) = (FakeUpstream::with(google), FakeUpstream::start());
    // Replaced after 3 s, and used for 7.
    issuer.push(granted("token-0", 12));
    issuer.push(Script::silent());
    let hale = config(&upstream, MODEL, account(&issuer)).start();
    served(&hale, CHAT, &chat("g", json!({})));
    eventually("a second call to the issuer", || (issuer.requests().len() == 2).then_some(()));
    served(&hale, CHAT, &chat("g", json!({})));
    assert_eq!(bearer(&upstream), "Bearer token-0");
}

#[test]
fn the_next_token_is_there_before_a_request_needs_it() {
    let (upstream, issuer) = (FakeUpstream::with(google), issuer(4));
    let hale = config(&upstream, MODEL, account(&issuer)).start();
    served(&hale, CHAT, &chat("g", json!({})));
    eventually("a second call to the issuer", || (issuer.requests().len() >= 2).then_some(()));
    eventually("the next token", || {
        served(&hale, CHAT, &chat("g", json!({})));
        (bearer(&upstream) != "Bearer token-0").then_some(())
    });
}

#[test]
fn a_refused_token_is_replaced_once_and_what_refuses_that_too_is_the_answer() {
    let (upstream, issuer) = (FakeUpstream::with(google), issuer(3600));
    let once = json!({"num_retries": 0, "disable_cooldowns": true});
    let hale = config(&upstream, MODEL, account(&issuer)).router(once).start();
    served(&hale, CHAT, &chat("g", json!({})));
    let refusal = || gemini::refusal(401, "UNAUTHENTICATED", "The token was revoked.", json!([]));
    upstream.push(refusal());
    served(&hale, CHAT, &chat("g", json!({})));
    assert_eq!(bearer(&upstream), "Bearer token-1");
    upstream.push(refusal());
    let error = expect_error(&post(&hale, CHAT, &chat("g", json!({}))), 401, "upstream_auth");
    assert!(error["message"].as_str().unwrap().contains("revoked"), "{error}");
    assert_eq!(issuer.requests().len(), 2);
}

#[test]
fn an_issuer_that_refuses_is_named_with_the_kind_of_credential_and_shows_no_secret() {
    let upstream = FakeUpstream::with(google);
    let issuer = FakeUpstream::with(|request| {
        let said = format!("Invalid JWT Signature: {}", field(request, "assertion"));
        Script::with_status(400).json(&json!({"error": "invalid_grant", "error_description": said}))
    });
    let hale = config(&upstream, MODEL, account(&issuer)).start();
    let answer = post(&hale, CHAT, &chat("g", json!({})));
    let error = expect_error(&answer, 401, "upstream_auth").to_string();
    assert!(error.contains("the key of a service account"), "{error}");
    assert!(error.contains("Invalid JWT Signature: ***"), "{error}");
    assert_eq!(upstream.requests().len(), 0);
    for page in ["/model/info", "/health", "/router/state"] {
        let text = client(&hale).get(page).text();
        assert!(!text.contains("PRIVATE KEY") && !text.contains("eyJ"), "{page}: {text}");
    }
}

#[test]
fn a_clock_that_google_shows_to_be_off_is_corrected_once_and_remembered() {
    let upstream = FakeUpstream::with(google);
    // Google's clock says 2030.
    let issuer = FakeUpstream::with(|request| {
        let issued = claims(request)["iat"].as_u64().unwrap();
        match issued.abs_diff(1_893_456_000) < 300 {
            true => granted("token-0", 0),
            false => Script::with_status(400)
                .header("date", "Tue, 01 Jan 2030 00:00:00 GMT")
                .json(&json!({"error": "invalid_grant", "error_description":
                    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."})),
        }
    });
    let hale = config(&upstream, MODEL, account(&issuer)).start();
    served(&hale, CHAT, &chat("g", json!({})));
    assert_eq!(issuer.requests().len(), 2);
    served(&hale, CHAT, &chat("g", json!({})));
    assert!(issuer.requests().len() <= 4, "the time is known");
    let refused = issuer
        .requests()
        .iter()
        .filter(|one| claims(one)["iat"].as_u64() < Some(1_893_000_000))
        .count();
    assert_eq!(refused, 1);
}

#[test]
fn a_key_needs_no_project_and_goes_to_the_address_without_one() {
    let upstream = FakeUpstream::with(gemini::answer);
    let more = json!({"model": format!("vertex_ai/{MODEL}"), "api_base": upstream.url(), "api_key": gemini::KEY});
    let hale = of(more).start();
    served(&hale, CHAT, &chat("g", json!({})));
    let sent = last(&upstream);
    assert_eq!(sent.path, format!("/v1/publishers/google/models/{MODEL}:generateContent"));
    assert_eq!(sent.header("authorization"), None);
}

#[test]
fn what_is_wrong_with_place_or_credentials_is_named_before_traffic_meets_it() {
    let (upstream, issuer) = (FakeUpstream::with(google), issuer(3600));
    let refused = |more: Value, word: &str| {
        let params = with(entry(&upstream, MODEL, account(&issuer)), more);
        let hale = of(params).start();
        let error =
            expect_error(&post(&hale, CHAT, &chat("g", json!({}))), 503, "no_healthy_deployments");
        assert!(error.to_string().contains(word), "{word}: {error}");
    };
    refused(json!({"vertex_location": "x.evil.com/"}), "is no location");
    refused(json!({"vertex_project": "p/../q"}), "is no id of a project");
    refused(json!({"vertex_credentials": "/no/such/file.json"}), "cannot be read");
    refused(json!({"vertex_credentials": {"type": "service_account"}}), "client_email");
    let program = json!({"type": "external_account", "audience": "a", "subject_token_type": "t",
        "credential_source": {"executable": {"command": "/bin/true"}}});
    refused(json!({"vertex_credentials": program}), "a program");
    let mut without = account(&issuer);
    without.as_object_mut().unwrap().remove("project_id");
    refused(json!({"vertex_credentials": without}), "no vertex_project");
    assert_eq!(upstream.requests().len() + issuer.requests().len(), 0);
}

#[test]
fn a_messages_client_is_served_by_gemini_at_vertex() {
    let (upstream, issuer) = (FakeUpstream::with(google), issuer(3600));
    let hale = config(&upstream, MODEL, account(&issuer)).start();
    let answer = served(&hale, MESSAGES, &ask("g", json!({})));
    assert_eq!(answer["content"].as_array().unwrap().last().unwrap()["text"], gemini::TEXT);
}

/// Anthropic's models at Vertex AI: no model but in the path, and a version in the body.
fn claude(request: &Request) -> Script {
    let body = request.json();
    let is_count = request.path.ends_with("/count-tokens:rawPredict");
    let has_version = body["anthropic_version"].is_string();
    let named =
        ["anthropic-version", "x-api-key"].iter().any(|name| request.header(name).is_some());
    if body["model"].is_null() == is_count || !has_version || named {
        let error =
            anthropic::error("invalid_request_error", "model: Extra inputs are not permitted");
        return Script::with_status(400).json(&error);
    }
    match is_count {
        true => Script::ok().json(&json!({"input_tokens": 21})),
        false if body["stream"] == true => {
            anthropic::stream(&anthropic::events("claude-fake", &["Hello ", "there"]))
        }
        false => Script::ok().json(&anthropic::message("claude-fake", "Hello there")),
    }
}

const CLAUDE: &str = "claude-sonnet-4-5@20250929";

#[test]
fn claude_is_called_by_raw_predict_for_clients_of_both_formats() {
    let (upstream, issuer) = (FakeUpstream::with(claude), issuer(3600));
    let hale = config(&upstream, CLAUDE, account(&issuer)).start();
    let model = format!("{PLACE}/publishers/anthropic/models/{CLAUDE}");
    for streamed in [false, true] {
        let verb = if streamed { ":streamRawPredict" } else { ":rawPredict" };
        let answer = message(&hale, &ask("g", json!({})), streamed);
        assert_eq!(answer["content"][0]["type"], "text", "{answer}");
        let sent = last(&upstream);
        assert_eq!(sent.path, format!("{model}{verb}"));
        assert_eq!(sent.json()["anthropic_version"], "vertex-2023-10-16");
        assert_eq!(sent.json()["stream"] == json!(true), streamed);
        assert_eq!(sent.header("authorization"), Some("Bearer token-0"));
        let mut own = client(&hale);
        let body = chat("g", json!({"stream": streamed, "max_tokens": 9}));
        let text = match streamed {
            true => own.stream(CHAT, &[], &body).content(),
            false => served(&hale, CHAT, &body)["choices"][0]["message"]["content"]
                .as_str()
                .unwrap()
                .to_owned(),
        };
        assert!(!text.is_empty());
        let sent = last(&upstream);
        assert_eq!(sent.path, format!("{model}{verb}"));
        assert_eq!(sent.json()["messages"][0]["role"], "user");
    }
}

#[test]
fn a_client_of_claude_names_its_version_and_its_betas() {
    let (upstream, issuer) = (FakeUpstream::with(claude), issuer(3600));
    let hale = config(&upstream, CLAUDE, account(&issuer)).start();
    let mut own = client(&hale);
    let mut version = |headers: &[(&str, &str)], more: Value| {
        let answer = own.post_json(MESSAGES, headers, &ask("g", more));
        assert_eq!(answer.status, 200, "{}", answer.text());
        last(&upstream).json()["anthropic_version"].clone()
    };
    assert_eq!(version(&[("anthropic-version", "2023-06-01")], json!({})), "vertex-2023-10-16");
    assert_eq!(version(&[("anthropic-version", "2026-10-21")], json!({})), "2026-10-21");
    assert_eq!(version(&[("anthropic-version", "../x")], json!({})), "vertex-2023-10-16");
    let own_version = json!({"anthropic_version": "vertex-1"});
    assert_eq!(version(&[("anthropic-version", "2026-10-21")], own_version), "vertex-1");
    let betas =
        "claude-code-20250219,oauth-2025-04-20,context-management-2025-06-27,web-search-2025-03-05";
    version(&[("anthropic-beta", betas)], json!({}));
    let sent = last(&upstream);
    let kept = "context-management-2025-06-27,web-search-2025-03-05";
    assert_eq!(sent.header("anthropic-beta"), Some(kept));
    let path = "/v1/messages/count_tokens";
    let counted = own.post_json(path, &[("anthropic-beta", betas)], &ask("g", json!({})));
    assert_eq!(counted.json()["input_tokens"], 21, "{}", counted.text());
    let sent = last(&upstream);
    assert_eq!(sent.path, format!("{PLACE}/publishers/anthropic/models/count-tokens:rawPredict"));
    assert_eq!(
        (&sent.json()["model"], sent.header("anthropic-beta")),
        (&json!(CLAUDE), Some("context-management-2025-06-27"))
    );
}

#[test]
fn models_of_others_are_called_in_openais_format() {
    let upstream = FakeUpstream::with(|request| match request.json()["stream"] == true {
        true => Script::ok().sse(&openai::chunks("fake", &["Hello"])),
        false => Script::ok().json(&openai::chat_completion("fake", "Hello")),
    });
    let issuer = issuer(3600);
    for (model, path, name) in [
        (
            "meta/llama-4-scout-17b-16e-instruct-maas",
            "/endpoints/openapi/chat/completions",
            "meta/llama-4-scout-17b-16e-instruct-maas",
        ),
        ("openai/4711", "/endpoints/4711/chat/completions", "openai/4711"),
        (
            "mistral-small-2503@001",
            "/publishers/mistralai/models/mistral-small-2503@001:rawPredict",
            "mistral-small-2503",
        ),
    ] {
        let hale = config(&upstream, model, account(&issuer)).start();
        served(&hale, CHAT, &chat("g", json!({})));
        let sent = last(&upstream);
        assert_eq!(sent.path, format!("{PLACE}{path}"));
        assert_eq!(sent.json()["model"], name);
        message(&hale, &ask("g", json!({})), true);
        let streamed = path.replace(":rawPredict", ":streamRawPredict");
        assert_eq!(last(&upstream).path, format!("{PLACE}{streamed}"));
        assert_eq!(last(&upstream).json()["stream"], true);
    }
}

#[test]
fn tokens_are_counted_in_the_form_of_vertex() {
    let (upstream, issuer) = (FakeUpstream::with(google), issuer(3600));
    let hale = config(&upstream, MODEL, account(&issuer)).start();
    let counted =
        served(&hale, "/v1/messages/count_tokens", &ask("g", json!({"system": "be kind"})));
    assert_eq!(counted["input_tokens"], 42);
    let sent = last(&upstream);
    assert_eq!(sent.path, format!("{PLACE}/publishers/google/models/{MODEL}:countTokens"));
    assert_eq!(
        sent.json(),
        json!({"systemInstruction": {"parts": [{"text": "be kind"}]},
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}]})
    );
}

#[test]
fn a_pattern_serves_models_of_all_publishers() {
    let upstream = FakeUpstream::with(|request| match request.path.contains("/anthropic/") {
        true => claude(request),
        false => google(request),
    });
    let issuer = issuer(3600);
    let hale = Config::new().entry(json!({"model_name": "vertex_ai/*", "litellm_params": entry(&upstream, "*", account(&issuer))})).start();
    served(&hale, CHAT, &chat(&format!("vertex_ai/{MODEL}"), json!({})));
    assert!(last(&upstream).path.ends_with(&format!("/google/models/{MODEL}:generateContent")));
    served(&hale, CHAT, &chat(&format!("vertex_ai/{CLAUDE}"), json!({})));
    assert!(last(&upstream).path.ends_with(&format!("/anthropic/models/{CLAUDE}:rawPredict")));
}

#[test]
fn embeddings_are_predicted_and_their_tokens_are_counted() {
    let upstream = FakeUpstream::with(|request| {
        let body = request.json();
        if request.path.ends_with(":embedContent") {
            let counted = json!({"promptTokenCount": 4, "totalTokenCount": 4});
            return Script::ok()
                .json(&json!({"embedding": {"values": [0.5, 2]}, "usageMetadata": counted}));
        }
        let count = body["instances"].as_array().map_or(0, Vec::len);
        let one = |at: usize| {
            json!({"embeddings": {"values": [0.5, at],
            "statistics": {"truncated": false, "token_count": 3}}})
        };
        Script::ok().json(&json!({"predictions": (0..count).map(one).collect::<Vec<_>>()}))
    });
    let issuer = issuer(3600);
    let of = |model: &str| config(&upstream, model, account(&issuer)).start();
    let path = "/v1/embeddings";
    let hale = of("text-embedding-005");
    let more =
        json!({"model": "g", "input": ["a", "b"], "dimensions": 2, "input_type": "search_query"});
    let answer = served(&hale, path, &more);
    assert_eq!(answer["data"][1]["embedding"], json!([0.5, 1]));
    assert_eq!(answer["usage"]["prompt_tokens"], 6);
    let sent = last(&upstream);
    assert_eq!(sent.path, format!("{PLACE}/publishers/google/models/text-embedding-005:predict"));
    let instance = |text: &str| json!({"content": text, "task_type": "RETRIEVAL_QUERY"});
    let expected = json!({"instances": [instance("a"), instance("b")], "parameters": {"outputDimensionality": 2}});
    assert_eq!(sent.json(), expected);
    for (model, verb) in
        [("gemini-embedding-001", ":predict"), ("gemini-embedding-2", ":embedContent")]
    {
        let hale = of(model);
        let answer = served(&hale, path, &json!({"model": "g", "input": ["a"]}));
        assert_eq!(answer["data"].as_array().unwrap().len(), 1, "{answer}");
        assert!(last(&upstream).path.ends_with(&format!("/{model}{verb}")));
        // They take one text a call, and several calls are one answer.
        let before = upstream.requests().len();
        let answer = served(&hale, path, &json!({"model": "g", "input": ["a", "b", "c"]}));
        assert_eq!(column(&answer["data"], "index"), [json!(0), json!(1), json!(2)]);
        let tokens = if verb == ":predict" { 9 } else { 12 };
        assert_eq!(answer["usage"], json!({"prompt_tokens": tokens, "total_tokens": tokens}));
        assert_eq!(upstream.requests().len(), before + 3);
    }
}

#[test]
fn images_are_predicted_by_imagen() {
    let (upstream, issuer) = (FakeUpstream::with(google), issuer(3600));
    let hale = config(&upstream, "imagen-4.0-generate-001", account(&issuer)).start();
    let answer = served(&hale, "/v1/images/generations", &json!({"model": "g", "prompt": "a cat"}));
    assert!(answer["data"][0]["b64_json"].is_string(), "{answer}");
    let path = format!("{PLACE}/publishers/google/models/imagen-4.0-generate-001:predict");
    assert_eq!(last(&upstream).path, path);
}

#[test]
fn what_is_passed_through_gets_the_token_and_what_its_path_leaves_out() {
    let upstream = FakeUpstream::with(|request| match request.path.contains("/anthropic/") {
        true => claude(request),
        false => google(request),
    });
    let issuer = issuer(3600);
    let hale = config(&upstream, MODEL, account(&issuer)).start();
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let model = format!("publishers/google/models/{MODEL}:generateContent");
    for below in [model.clone(), format!("{}/{model}", PLACE.trim_start_matches('/'))] {
        for prefix in ["/vertex_ai/", "/vertex-ai/"] {
            let answer = post(&hale, &format!("{prefix}{below}"), &body);
            assert_eq!(answer.json()["candidates"][0]["finishReason"], "STOP", "{}", answer.text());
            let sent = last(&upstream);
            assert_eq!(sent.path, format!("{PLACE}/{model}"));
            assert_eq!(sent.header("authorization"), Some("Bearer token-0"));
        }
    }
    let refused = hale.client().post_json(&format!("/vertex_ai/{model}"), &[], &body);
    assert_eq!(refused.status, 401, "{}", refused.text());
    // Another publisher's model, at the same deployment.
    let path = "/vertex_ai/publishers/anthropic/models/claude-x:rawPredict";
    let asked = json!({"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": []});
    assert_eq!(post(&hale, path, &asked).status, 200);
    assert_eq!(last(&upstream).json(), asked);
}

#[test]
fn probes_call_each_publisher_as_traffic_does() {
    let upstream = FakeUpstream::with(|request| match request.path.contains("/anthropic/") {
        true => claude(request),
        false => google(request),
    });
    let issuer = issuer(3600);
    for model in [MODEL, CLAUDE] {
        let hale = config(&upstream, model, account(&issuer)).start();
        let page = client(&hale).get("/health").json();
        assert_eq!(page["healthy_count"], 1, "{page}");
        let path = last(&upstream).path;
        assert!(path.contains(&format!("/models/{model}:")), "{path}");
    }
}

#[test]
fn a_failing_link_is_named_with_its_fix() {
    let fix = |refusal: (u16, &'static str, &'static str, Value), word: &str| {
        let (status, kind, message, details) = refusal;
        let upstream =
            FakeUpstream::with(move |_| gemini::refusal(status, kind, message, details.clone()));
        let issuer = issuer(3600);
        let hale = config(&upstream, MODEL, account(&issuer)).start();
        let page = client(&hale).get("/health").text();
        assert!(page.contains(word), "{word}: {page}");
    };
    let disabled = "Vertex AI API has not been used in project 4711 before or it is disabled. Enable it by visiting \
                    https://console.developers.google.com/apis/api/aiplatform.googleapis.com/overview?project=4711 then retry.";
    let reason = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}]);
    fix(
        (403, "PERMISSION_DENIED", disabled, reason),
        "enable the API aiplatform.googleapis.com in project p-1",
    );
    let denied = "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/x' (or it may not exist).";
    fix((403, "PERMISSION_DENIED", denied, json!([])), "roles/aiplatform.user");
    let unknown = "Publisher Model `projects/p-1/locations/europe-west4/publishers/google/models/x` was not found or your \
                   project does not have access to it.";
    fix((404, "NOT_FOUND", unknown, json!([])), "set vertex_location to `global`");
    let (upstream, gone) = (
        FakeUpstream::with(google),
        FakeUpstream::with(|_| {
            Script::with_status(400).json(
                &json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}),
            )
        }),
    );
    let hale = config(&upstream, MODEL, account(&gone)).start();
    let page = client(&hale).get("/health").text();
    assert!(page.contains("create a new key"), "{page}");
}

/// The file of a login of a user whose tokens that issuer gives.
fn login(issuer: &FakeUpstream) -> Value {
    json!({"type": "authorized_user", "client_id": "c-1", "client_secret": "s3cret-client",
        "refresh_token": "1//refresh-token", "quota_project_id": "q-1", "token_uri": format!("{}/token", issuer.url())})
}

#[test]
fn the_login_of_a_user_pays_with_the_project_that_it_names() {
    let (upstream, issuer) = (FakeUpstream::with(google), issuer(3600));
    let hale = config(&upstream, MODEL, login(&issuer)).start();
    served(&hale, CHAT, &chat("g", json!({})));
    let asked = last(&issuer);
    assert_eq!(field(&asked, "grant_type"), "refresh_token");
    assert_eq!(field(&asked, "refresh_token"), "1//refresh-token");
    assert_eq!(field(&asked, "client_secret"), "s3cret-client");
    let sent = last(&upstream);
    assert_eq!(sent.header("x-goog-user-project"), Some("q-1"));
    assert!(sent.path.starts_with("/v1/projects/q-1/locations/europe-west4/"), "{}", sent.path);
}

#[test]
fn a_service_account_is_impersonated_by_another_identity() {
    let (upstream, issuer) = (FakeUpstream::with(google), issuer(3600));
    let acting = FakeUpstream::with(|request| {
        assert_eq!(request.header("authorization"), Some("Bearer token-0"));
        let body = request.json();
        assert_eq!((&body["lifetime"], &body["delegates"]), (&json!("3600s"), &json!(["d-1"])));
        Script::ok()
            .json(&json!({"accessToken": "token-acting", "expireTime": "2099-01-01T00:00:00Z"}))
    });
    let address = format!("{}/v1/projects/-/serviceAccounts/a@p:generateAccessToken", acting.url());
    let credentials = json!({"type": "impersonated_service_account", "delegates": ["d-1"],
        "service_account_impersonation_url": address, "source_credentials": login(&issuer)});
    let params = with(entry(&upstream, MODEL, credentials), json!({"vertex_project": "p-1"}));
    let hale = of(params).start();
    served(&hale, CHAT, &chat("g", json!({})));
    served(&hale, CHAT, &chat("g", json!({})));
    assert_eq!(bearer(&upstream), "Bearer token-acting");
    assert_eq!((acting.requests().len(), issuer.requests().len()), (1, 1));
}

#[test]
fn an_external_account_shows_the_token_in_its_file_or_at_its_address() {
    let directory =
        std::env::temp_dir().join(format!("hale-vertex-external-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("token");
    std::fs::write(&file, "subject-0\n").unwrap();
    let at = FakeUpstream::with(|request| {
        assert_eq!(request.header("metadata"), Some("true"));
        Script::ok().json(&json!({"id_token": "subject-1"}))
    });
    for (number, source) in [
        json!({"file": file.to_str().unwrap()}),
        json!({"url": format!("{}/identity?a=b", at.url()), "headers": {"Metadata": "true"},
            "format": {"type": "json", "subject_token_field_name": "id_token"}}),
    ]
    .into_iter()
    .enumerate()
    {
        let (upstream, issuer) = (FakeUpstream::with(google), issuer(3600));
        let credentials = json!({"type": "external_account", "audience": "//iam.googleapis.com/pool",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "credential_source": source,
            "token_url": format!("{}/v1/token", issuer.url())});
        let params = with(entry(&upstream, MODEL, credentials), json!({"vertex_project": "p-1"}));
        let hale = of(params).start();
        served(&hale, CHAT, &chat("g", json!({})));
        let asked = last(&issuer);
        assert_eq!(field(&asked, "subject_token"), format!("subject-{number}"));
        assert_eq!(field(&asked, "audience"), "//iam.googleapis.com/pool");
        assert_eq!(field(&asked, "grant_type"), "urn:ietf:params:oauth:grant-type:token-exchange");
        assert_eq!(bearer(&upstream), "Bearer token-0");
    }
    assert_eq!(last(&at).path, "/identity?a=b");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_machine_gets_the_token_of_its_metadata_server() {
    let upstream = FakeUpstream::with(google);
    let metadata = FakeUpstream::with(|request| match request.header("metadata-flavor") {
        Some("Google") => granted("token-machine", 3600),
        _ => Script::with_status(403).body("text/html", "no flavor"),
    });
    let params = json!({"model": format!("vertex_ai/{MODEL}"), "api_base": upstream.url(), "vertex_project": "p-1"});
    let host = metadata.url().replace("http://", "");
    let hale = of(params).launch().env("GCE_METADATA_HOST", &host).start();
    served(&hale, CHAT, &chat("g", json!({})));
    assert_eq!(bearer(&upstream), "Bearer token-machine");
    assert_eq!(last(&metadata).path, "/computeMetadata/v1/instance/service-accounts/default/token");
}

#[test]
fn credentials_and_places_are_found_in_the_order_of_googles_libraries() {
    let (upstream, issuer) = (FakeUpstream::with(google), issuer(3600));
    let directory = std::env::temp_dir().join(format!("hale-vertex-found-{}", std::process::id()));
    std::fs::create_dir_all(directory.join(".config/gcloud")).unwrap();
    let (named, found) = (
        directory.join("named.json"),
        directory.join(".config/gcloud/application_default_credentials.json"),
    );
    std::fs::write(&named, account(&issuer).to_string()).unwrap();
    std::fs::write(&found, login(&issuer).to_string()).unwrap();
    let params = || json!({"model": format!("vertex_ai/{MODEL}"), "api_base": upstream.url()});
    let place = |hale: &Hale| {
        served(hale, CHAT, &chat("g", json!({})));
        let path = last(&upstream).path;
        path.split("/publishers").next().unwrap().to_owned()
    };
    let home = directory.to_str().unwrap();
    let hale = of(params())
        .launch()
        .env("HOME", home)
        .env("GOOGLE_APPLICATION_CREDENTIALS", named.to_str().unwrap())
        .start();
    assert_eq!(place(&hale), "/v1/projects/p-1/locations/us-central1");
    let hale = of(params()).launch().env("HOME", home).env("VERTEXAI_LOCATION", "eu").start();
    assert_eq!(place(&hale), "/v1/projects/q-1/locations/eu");
    let settings = json!({"vertex_project": "p-2", "vertex_location": "us"});
    let hale = of(params())
        .litellm(settings)
        .launch()
        .env("HOME", home)
        .env("VERTEXAI_PROJECT", "p-3")
        .start();
    assert_eq!(place(&hale), "/v1/projects/p-2/locations/us");
    std::fs::remove_dir_all(&directory).unwrap();
}
