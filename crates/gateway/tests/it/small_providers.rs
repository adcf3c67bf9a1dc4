//! Providers with few operations, and those of Azure AI: what each is called with, and what clients get.

use hale_testkit::{FakeUpstream, Request, Script, anthropic, modes, openai};
use serde_json::{Value, json};

use crate::sessions::{MESSAGES, ask, chat, last, post, served};
use crate::support::{CHAT, Config, client};

const RERANK: &str = "/v1/rerank";

fn one(model: &str, base: String, upstream: &FakeUpstream) -> Config {
    let params = json!({"model": model, "api_key": "the-key", "api_base": base});
    Config::new().with("g", "a", upstream, params)
}

/// What Voyage answers, which refuses what it has another name for.
fn voyage(request: &Request) -> Script {
    let body = request.json();
    if body["encoding_format"] == "float"
        || !body["top_n"].is_null()
        || !body["dimensions"].is_null()
    {
        return Script::with_status(400).json(&json!({"detail": "Argument is not supported."}));
    }
    match &*request.path {
        "/v1/rerank" => Script::ok().json(&json!({"object": "list", "model": "rerank-2.5",
            "data": [{"relevance_score": 0.9, "index": 1, "document": "b"}, {"relevance_score": 0.1, "index": 0, "document": "a"}],
            "usage": {"total_tokens": 26}})),
        "/v1/embeddings" => Script::ok().json(&json!({"object": "list", "model": "voyage-3.5",
            "data": [{"object": "embedding", "embedding": [0.5, 1], "index": 0}], "usage": {"total_tokens": 3}})),
        path => Script::with_status(404).json(&json!({"detail": format!("no {path}")})),
    }
}

#[test]
fn voyage_has_its_own_names_and_answers_in_the_clients_shape() {
    let upstream = FakeUpstream::with(voyage);
    let hale = one("voyage/voyage-3.5", upstream.api_base(), &upstream).start();
    let body = json!({"model": "g", "input": ["a"], "dimensions": 2, "encoding_format": "float", "input_type": "query"});
    let answer = served(&hale, "/v1/embeddings", &body);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
    let sent = last(&upstream).json();
    assert_eq!(
        sent,
        json!({"model": "voyage-3.5", "input": ["a"], "output_dimension": 2, "input_type": "query"})
    );
    served(
        &hale,
        "/v1/embeddings",
        &json!({"model": "g", "input": "a", "encoding_format": "base64"}),
    );
    assert_eq!(last(&upstream).json()["encoding_format"], "base64");
    let hale = one("voyage/rerank-2.5", upstream.api_base(), &upstream).start();
    let body = json!({"model": "g", "query": "q", "documents": ["a", "b"], "top_n": 2, "return_documents": true});
    let answer = served(&hale, RERANK, &body);
    assert_eq!(
        answer["results"][0],
        json!({"relevance_score": 0.9, "index": 1, "document": {"text": "b"}})
    );
    assert_eq!((&answer["data"], &answer["model"]), (&Value::Null, &json!("g")));
    assert_eq!(last(&upstream).json()["top_k"], 2);
    assert_eq!(client(&hale).get("/health").json()["healthy_count"], 1);
}

#[test]
fn documents_of_a_rerank_are_objects_at_every_provider() {
    let upstream = FakeUpstream::with(|_| {
        Script::ok().json(&json!({"model": "j", "usage": {"total_tokens": 9}, "results": [
            {"index": 0, "relevance_score": 0.9, "document": "text \"quoted\""},
            {"index": 1, "relevance_score": 0.1, "document": {"text": "b"}}]}))
    });
    for model in ["jina_ai/jina-reranker-v3", "infinity/r", "hosted_vllm/r"] {
        let hale = one(model, upstream.api_base(), &upstream).start();
        let body =
            json!({"model": "g", "query": "q", "documents": ["a", "b"], "return_documents": true});
        let answer = served(&hale, RERANK, &body);
        assert_eq!(answer["results"][0]["document"], json!({"text": "text \"quoted\""}), "{model}");
        assert_eq!(answer["results"][1]["document"], json!({"text": "b"}), "{model}");
    }
}

#[test]
fn a_result_of_no_rank_is_a_bad_answer_and_moves_on() {
    let good = FakeUpstream::with(modes::answer);
    let bad = FakeUpstream::with(|_| Script::ok().json(&json!({"data": [{"index": 0}]})));
    let params =
        |model: &str, base: String| json!({"model": model, "api_key": "k", "api_base": base});
    let hale = Config::new()
        .with("g", "a", &bad, params("voyage/rerank-2.5", bad.api_base()))
        .with("h", "b", &good, params("cohere/rerank-v3.5", good.url()))
        .router(json!({"num_retries": 0, "fallbacks": [{"g": ["h"]}]}))
        .start();
    let answer = served(&hale, RERANK, &json!({"model": "g", "query": "q", "documents": ["a"]}));
    assert!(answer["results"].is_array(), "{answer}");
}

#[test]
fn azure_ai_is_called_by_its_three_addresses_with_the_right_header() {
    let upstream = FakeUpstream::with(|request| match request.path.contains("/anthropic/") {
        true => anthropic::answer(request),
        false if request.path.ends_with("/rerank") => modes::answer(request),
        false => openai::answer(request),
    });
    let models = format!("{}/models", upstream.url());
    let hale = one("azure_ai/mistral-large", models.clone(), &upstream).start();
    served(&hale, CHAT, &chat("g", json!({})));
    let sent = last(&upstream);
    assert_eq!(sent.path, "/models/chat/completions?api-version=2024-05-01-preview");
    assert_eq!((sent.header("api-key"), sent.header("authorization")), (Some("the-key"), None));
    assert_eq!(sent.header("extra-parameters"), Some("pass-through"));
    served(&hale, "/v1/embeddings", &json!({"model": "g", "input": "a"}));
    assert_eq!(last(&upstream).path, "/models/embeddings?api-version=2024-05-01-preview");
    served(&hale, RERANK, &json!({"model": "g", "query": "q", "documents": ["a"]}));
    assert_eq!(last(&upstream).path, "/v1/rerank");

    let hale = one("azure_ai/llama", upstream.url(), &upstream).start();
    served(&hale, CHAT, &chat("g", json!({})));
    let sent = last(&upstream);
    assert_eq!((&*sent.path, sent.header("api-key")), ("/chat/completions", None));
    assert_eq!(sent.header("authorization"), Some("Bearer the-key"));

    for base in [upstream.url(), format!("{}/anthropic/v1/messages", upstream.url())] {
        let hale = one("azure_ai/claude-sonnet-4-5", base, &upstream).start();
        for (path, body) in [(CHAT, chat("g", json!({}))), (MESSAGES, ask("g", json!({})))] {
            served(&hale, path, &body);
            let sent = last(&upstream);
            assert_eq!(
                (&*sent.path, sent.header("api-key")),
                ("/anthropic/v1/messages", Some("the-key"))
            );
            assert_eq!((sent.header("x-api-key"), sent.header("authorization")), (None, None));
            assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
        }
    }
}

#[test]
fn the_version_and_the_identity_of_azure_ai_come_from_entry_address_or_environment() {
    let upstream = FakeUpstream::with(|request| match request.path.contains("/oauth2/") {
        true => Script::ok().json(&json!({"access_token": "entra-token", "expires_in": 3600})),
        false => openai::answer(request),
    });
    let address = format!("{}/models/chat/completions?api-version=2025-01-01", upstream.url());
    let hale = one("azure_ai/m", address, &upstream).start();
    served(&hale, CHAT, &chat("g", json!({})));
    assert_eq!(last(&upstream).path, "/models/chat/completions?api-version=2025-01-01");
    let params = json!({"model": "azure_ai/m", "api_base": format!("{}/models", upstream.url()), "tenant_id": "t",
        "client_id": "c", "client_secret": "s", "azure_authority_host": upstream.url()});
    let entry = json!({"model_name": "g", "litellm_params": params});
    let hale =
        Config::new().entry(entry).launch().env("AZURE_AI_API_VERSION", "2025-02-02").start();
    served(&hale, CHAT, &chat("g", json!({})));
    let sent = last(&upstream);
    assert_eq!(sent.path, "/models/chat/completions?api-version=2025-02-02");
    assert_eq!(sent.header("authorization"), Some("Bearer entra-token"));
    assert_eq!(sent.header("api-key"), None);
}

#[test]
fn databricks_gives_a_token_to_a_service_principal_once() {
    let upstream = FakeUpstream::with(|request| {
        match &*request.path {
        "/oidc/v1/token" if request.header("authorization") == Some("Basic aWQ6dGhlLXNlY3JldA==") => {
            Script::ok().json(&json!({"access_token": "m2m-token", "token_type": "Bearer", "expires_in": 3600}))
        }
        "/oidc/v1/token" => Script::with_status(401)
            .json(&json!({"error": "invalid_client", "error_description": "Client authentication failed"})),
        _ if request.header("authorization") == Some("Bearer m2m-token") => openai::answer(request),
        _ => Script::with_status(401).json(&json!({"error_code": "401", "message": "Credential was not sent"})),
    }
    });
    let entry = |secret: Value| {
        let mut params =
            json!({"model": "databricks/llama", "client_id": "id", "client_secret": secret});
        if secret.is_null() {
            params = json!({"model": "databricks/llama"});
        }
        Config::new()
            .entry(json!({"model_name": "g", "litellm_params": params}))
            .launch()
            .env("DATABRICKS_HOST", &upstream.url())
    };
    let by_environment = |launch: hale_testkit::Launch| {
        launch.env("DATABRICKS_CLIENT_ID", "id").env("DATABRICKS_CLIENT_SECRET", "the-secret")
    };
    for hale in [entry(json!("the-secret")).start(), by_environment(entry(Value::Null)).start()] {
        for _ in 0..3 {
            served(&hale, CHAT, &chat("g", json!({})));
        }
        assert_eq!(last(&upstream).path, "/serving-endpoints/chat/completions");
    }
    let requests = upstream.requests();
    let tokens: Vec<_> = requests.iter().filter(|one| one.path == "/oidc/v1/token").collect();
    assert_eq!(tokens.len(), 2, "one for each process");
    assert_eq!(tokens[0].text(), "grant_type=client_credentials&scope=all-apis");
    let hale = entry(json!("wrong")).start();
    let refused = post(&hale, CHAT, &chat("g", json!({})));
    assert!(refused.status >= 400, "{}", refused.text());
    assert!(refused.text().contains("databricks gives no token"), "{}", refused.text());
    assert!(!refused.text().contains("aWQ6d3Jvbmc"), "{}", refused.text());
}

#[test]
fn models_of_voyage_with_an_address_of_their_own_say_so() {
    let upstream = FakeUpstream::with(voyage);
    for model in ["voyage/voyage-context-3", "voyage/voyage-multimodal-3"] {
        let hale = one(model, upstream.api_base(), &upstream).start();
        let refused = post(&hale, "/v1/embeddings", &json!({"model": "g", "input": "a"}));
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.text().contains("an address and a form of its own"), "{}", refused.text());
    }
}
