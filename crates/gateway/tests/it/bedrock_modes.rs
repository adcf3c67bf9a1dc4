//! Bedrock beyond chats: embeddings, ranks, images, counts in the model's own format, betas, tags of a session, a clock that is off,
//! pass-through. And requests for embeddings that are several calls, at other providers too.

use hale_testkit::{FakeUpstream, Hale, Request, Script, bedrock};
use serde_json::{Value, json};

use crate::sessions::{ask, chat, last, post, served, with};
use crate::support::{CHAT, Config, blamed, client, column, metric, wait_until_idle};

const EMBEDDINGS: &str = "/v1/embeddings";
const TITAN: &str = "amazon.titan-embed-text-v2:0";
const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

fn base(upstream: &FakeUpstream) -> String {
    upstream.api_base().trim_end_matches("/v1").to_owned()
}

fn entry(upstream: &FakeUpstream, model: &str) -> Value {
    json!({"model": format!("bedrock/{model}"), "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": "secret-of-aws", "aws_region_name": "eu-central-1", "api_base": base(upstream)})
}

fn start(upstream: &FakeUpstream, model: &str) -> Hale {
    of_entry(entry(upstream, model)).start()
}

fn of_entry(params: Value) -> Config {
    Config::new()
        .entry(json!({"model_name": "b", "litellm_params": params, "model_info": {"id": "d"}}))
}

/// Texts of as many letters as their place says.
fn texts(count: usize) -> Vec<String> {
    (0..count).map(|at| "x".repeat(at + 1)).collect()
}

fn first_numbers(answer: &Value) -> Vec<u64> {
    let all = answer["data"].as_array().unwrap().iter();
    all.map(|one| one["embedding"][0].as_u64().unwrap()).collect()
}

#[test]
fn a_model_that_embeds_one_text_a_call_is_called_for_each_and_answers_once() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = start(&upstream, TITAN);
    let body = json!({"model": "b", "input": texts(20), "dimensions": 512});
    let answer = served(&hale, EMBEDDINGS, &body);
    assert_eq!(first_numbers(&answer), (1..=20).collect::<Vec<u64>>(), "in the client's order");
    let places: Vec<Value> = (0..20).map(|at| json!(at)).collect();
    assert_eq!(column(&answer["data"], "index"), places);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 60, "total_tokens": 60}));
    assert_eq!(answer["model"], "b");
    let sent = upstream.requests();
    assert_eq!(sent.len(), 20);
    for request in &sent {
        assert_eq!(request.path, "/model/amazon.titan-embed-text-v2%3A0/invoke");
        assert!(request.header("authorization").unwrap().starts_with("AWS4-HMAC-SHA256 "));
        let length = request.json()["inputText"].as_str().unwrap().len();
        assert_eq!(request.json(), json!({"inputText": "x".repeat(length), "dimensions": 512}));
    }
    let one = served(
        &hale,
        EMBEDDINGS,
        &json!({"model": "b", "input": "abc", "encoding_format": "base64"}),
    );
    assert_eq!(one["data"][0]["embedding"], "AABAQAAAAD8=");
    let refused = post(&hale, EMBEDDINGS, &json!({"model": "b", "input": [1, 2, 3]}));
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("send texts in place of tokens"), "{}", refused.text());
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0, "the memory is given back");
}

#[test]
fn a_call_of_several_that_fails_is_a_failed_attempt_and_all_are_made_again() {
    let mut calls = 0;
    let upstream = FakeUpstream::with(move |request: &Request| {
        calls += 1;
        match calls {
            3 => bedrock::refusal(503, "ServiceUnavailableException", "try again"),
            _ => bedrock::answer(request),
        }
    });
    let hale = start(&upstream, TITAN);
    let answer = served(&hale, EMBEDDINGS, &json!({"model": "b", "input": texts(4)}));
    assert_eq!(first_numbers(&answer), [1, 2, 3, 4]);
    assert_eq!(upstream.requests().len(), 8);
    assert_eq!(metric(&hale, "hale_attempts_total", &[]), 2.0);
}

#[test]
fn an_answer_that_lacks_an_embedding_is_no_answer() {
    let upstream = FakeUpstream::with(|_| {
        Script::ok().json(&json!({"embeddings": [[1, 2]], "response_type": "embeddings_floats"}))
    });
    let config = of_entry(entry(&upstream, "cohere.embed-english-v3"));
    let hale = config.router(json!({"num_retries": 0})).start();
    let answer = post(&hale, EMBEDDINGS, &json!({"model": "b", "input": texts(97)}));
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("other embeddings than its inputs"), "{}", answer.text());
}

#[test]
fn more_texts_than_a_call_takes_are_several_calls_at_cohere_wherever_it_is() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = start(&upstream, "cohere.embed-multilingual-v3");
    let answer = served(&hale, EMBEDDINGS, &json!({"model": "b", "input": texts(200)}));
    assert_eq!(first_numbers(&answer), (1..=200).collect::<Vec<u64>>());
    // Bedrock counts them in a header.
    assert_eq!(answer["usage"]["prompt_tokens"], 400);
    let counts: Vec<usize> = upstream
        .requests()
        .iter()
        .map(|sent| sent.json()["texts"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 200);
    assert!(counts.iter().all(|count| *count <= 96), "{counts:?}");
    assert_eq!(last(&upstream).json()["input_type"], "search_document");

    let own = FakeUpstream::with(|request: &Request| {
        let texts = request.json()["texts"].as_array().cloned().unwrap_or_default();
        if texts.len() > 96 {
            return Script::with_status(400)
                .json(&json!({"message": "invalid request: too many texts"}));
        }
        let all: Vec<Value> =
            texts.iter().map(|text| json!([text.as_str().unwrap().len()])).collect();
        Script::ok().json(&json!({"id": "e", "embeddings": {"float": all}, "texts": texts,
            "meta": {"billed_units": {"input_tokens": texts.len()}}}))
    });
    let params = json!({"model": "cohere/embed-v4.0", "api_base": own.url(), "api_key": "k"});
    let hale = Config::new().entry(json!({"model_name": "b", "litellm_params": params})).start();
    let answer = served(&hale, EMBEDDINGS, &json!({"model": "b", "input": texts(97)}));
    assert_eq!(first_numbers(&answer), (1..=97).collect::<Vec<u64>>());
    assert_eq!((&answer["usage"]["prompt_tokens"], own.requests().len()), (&json!(97), 2));
}

#[test]
fn ranks_are_made_by_the_agents_api_and_have_coheres_shape() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = start(&upstream, "cohere.rerank-v3-5:0");
    let documents =
        json!(["short", {"text": "a longer one"}, {"title": "an object without a text", "n": 1}]);
    let body = json!({"model": "b", "query": "which", "documents": documents, "top_n": 2});
    let answer = served(&hale, "/v1/rerank", &body);
    assert_eq!(column(&answer["results"], "index"), [json!(2), json!(1)]);
    assert_eq!(answer["results"][0]["relevance_score"], 0.5);
    assert_eq!(answer["meta"]["billed_units"]["search_units"], 1);
    let sent = last(&upstream);
    assert_eq!(sent.path, "/rerank");
    let sent = sent.json();
    assert_eq!(sent["queries"], json!([{"type": "TEXT", "textQuery": {"text": "which"}}]));
    let text = |text: &str| json!({"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}});
    assert_eq!(sent["sources"][0], text("short"));
    assert_eq!(sent["sources"][1], text("a longer one"));
    assert_eq!(sent["sources"][2]["inlineDocumentSource"]["jsonDocument"], documents[2]);
    assert_eq!(
        sent["rerankingConfiguration"]["bedrockRerankingConfiguration"],
        json!({"numberOfResults": 2, "modelConfiguration":
            {"modelArn": "arn:aws:bedrock:eu-central-1::foundation-model/cohere.rerank-v3-5:0"}})
    );
    let refused = post(&hale, "/v1/rerank", &with(body, json!({"max_tokens_per_doc": 5})));
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("max_tokens_per_doc"), "{}", refused.text());
}

#[test]
fn titan_and_nova_canvas_make_images_and_say_what_they_filter() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = start(&upstream, "amazon.nova-canvas-v1:0");
    let body =
        json!({"model": "b", "prompt": "a cat", "n": 2, "size": "1280x720", "quality": "hd"});
    let answer = served(&hale, "/v1/images/generations", &body);
    assert_eq!(column(&answer["data"], "b64_json"), [json!("iVBORw0KGgo="), json!("iVBORw0KGgo=")]);
    let sent = last(&upstream);
    assert_eq!(sent.path, "/model/amazon.nova-canvas-v1%3A0/invoke");
    assert_eq!(
        sent.json(),
        json!({"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a cat"},
            "imageGenerationConfig": {"width": 1280, "height": 720, "numberOfImages": 2, "quality": "premium"}})
    );
    let refused = post(&hale, "/v1/images/generations", &with(body, json!({"size": "large"})));
    assert_eq!(refused.status, 400);
    let filtered = "This request has been blocked by our content filters.";
    upstream.push(Script::ok().json(&json!({"images": [], "error": filtered})));
    let answer = post(&hale, "/v1/images/generations", &json!({"model": "b", "prompt": "a cat"}));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains(filtered), "{}", answer.text());
    assert_eq!(blamed(&hale), 0.0);
}

#[test]
fn a_count_of_messages_asks_in_the_format_in_which_they_would_be_sent() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let body = json!({"model": "b", "messages": [{"role": "user", "content": "hi"}]});
    let hale = start(&upstream, CLAUDE);
    let answer = served(&hale, "/v1/messages/count_tokens", &body);
    assert_eq!(answer["input_tokens"], 42);
    let sent = last(&upstream);
    assert!(sent.path.ends_with("/count-tokens"), "{}", sent.path);
    // {"messages":[{"role":"user","content":"hi"}],"max_tokens":1,"anthropic_version":"bedrock-2023-05-31"}
    let coded = sent.json()["input"]["invokeModel"]["body"].as_str().unwrap().to_owned();
    assert!(
        coded.starts_with("eyJtZXNzYWdlcyI6W3sicm9sZSI6InVzZXIiLCJjb250ZW50IjoiaGkifV0"),
        "{coded}"
    );
    let hale = start(&upstream, &format!("converse/{CLAUDE}"));
    served(&hale, "/v1/messages/count_tokens", &body);
    let asked = last(&upstream).json();
    assert_eq!(asked["input"]["converse"]["messages"][0]["content"][0]["text"], "hi");
}

#[test]
fn betas_of_a_clients_headers_stand_in_the_body_if_bedrock_has_them() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let betas = "context-1m-2025-08-07,oauth-2025-04-20,claude-code-20250219,interleaved-thinking-2025-05-14";
    for (model, place) in [
        (CLAUDE.to_owned(), "/anthropic_beta"),
        (format!("converse/{CLAUDE}"), "/additionalModelRequestFields/anthropic_beta"),
    ] {
        let hale = start(&upstream, &model);
        let headers = [("anthropic-beta", betas)];
        let answer = client(&hale).post_json("/v1/messages", &headers, &ask("b", json!({})));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = last(&upstream);
        let found = sent.json().pointer(place).cloned();
        let kept = json!(["context-1m-2025-08-07", "interleaved-thinking-2025-05-14"]);
        assert_eq!(found, Some(kept), "{model}");
        assert_eq!(sent.header("anthropic-beta"), None, "{model}");
    }
}

#[test]
fn the_session_of_a_role_has_the_tags_of_the_config() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let sts = FakeUpstream::with(|_| bedrock::granted("session-token-1"));
    let role = json!({"aws_role_name": "arn:aws:iam::1:role/tagged", "aws_sts_endpoint": base(&sts),
        "aws_session_tags": [{"Key": "team", "Value": "a&b"}, {"Key": "cost center", "Value": "7"}]});
    let hale = of_entry(with(entry(&upstream, "us.amazon.nova-pro-v1:0"), role)).start();
    served(&hale, CHAT, &chat("b", json!({})));
    let form = String::from_utf8(last(&sts).body.clone()).unwrap();
    let tags = "Tags.member.1.Key=team&Tags.member.1.Value=a%26b&Tags.member.2.Key=cost%20center&Tags.member.2.Value=7";
    assert!(form.contains(tags), "{form}");
}

#[test]
fn a_clock_that_is_off_is_corrected_once_by_what_aws_says_and_remembered() {
    let upstream = FakeUpstream::with(|request: &Request| {
        // The server's clock stands in the year 2040.
        let signed_at = request.header("x-amz-date").unwrap_or_default().to_owned();
        match signed_at.starts_with("2040") {
            true => bedrock::answer(request),
            false => Script::with_status(403)
                .header("date", "Mon, 02 Jan 2040 03:14:05 GMT")
                .header("x-amzn-errortype", "InvalidSignatureException:http://internal.amazon.com/coral/")
                .json(&json!({"message": "Signature expired: it is now earlier than 20400102T031405Z"})),
        }
    });
    let hale = start(&upstream, "us.amazon.nova-pro-v1:0");
    let mark = hale.mark();
    served(&hale, CHAT, &chat("b", json!({})));
    assert_eq!(upstream.requests().len(), 2, "once more, signed by the server's time");
    let line = hale.wait_for_line_after(mark, "the clock of this machine differs from that of AWS");
    assert!(line.contains("seconds"), "{line}");
    served(&hale, CHAT, &chat("b", json!({})));
    assert_eq!(upstream.requests().len(), 3, "it is remembered");
    assert_eq!(blamed(&hale), 0.0);
}

#[test]
fn below_bedrock_requests_pass_as_they_came_and_are_signed() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = start(&upstream, "us.amazon.nova-pro-v1:0");
    let body = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]});
    let arn = "arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Aapplication-inference-profile%2Fabc";
    for model in ["us.amazon.nova-pro-v1%3A0", "us.amazon.nova-pro-v1:0", arn] {
        let path = format!("/bedrock/model/{model}/converse");
        let headers = [("x-amzn-bedrock-trace", "ENABLED")];
        let answer = client(&hale).post_json(&path, &headers, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["output"]["message"]["role"], "assistant");
        let sent = last(&upstream);
        assert_eq!(sent.path, format!("/model/{model}/converse"));
        assert_eq!(sent.json(), body);
        assert!(sent.header("authorization").unwrap().starts_with("AWS4-HMAC-SHA256 "));
        assert_eq!(sent.header("x-amzn-bedrock-trace"), Some("ENABLED"));
    }
    for path in ["/bedrock/model/a%2F..%2Fb/converse", "/bedrock/../x", "/bedrock/model/%2e%2e/x"] {
        let answer = client(&hale).post_json(path, &[], &body);
        assert!(answer.status == 400 || answer.status == 404, "{path}: {}", answer.status);
    }
    assert_eq!(upstream.requests().len(), 3);
}
