//! What reaches the upstream of a request: its bytes, the deployment's key, and nothing else.

use hale_testkit::{FakeUpstream, Request, Script, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, KEY, UPSTREAM_KEY, chat_with, client, lone};

/// What the upstream got for this body.
#[track_caller]
fn sent(config: &Config, upstream: &FakeUpstream, body: &str) -> Request {
    let hale = config.start();
    let headers = [("content-type", "application/json")];
    let answer = client(&hale).request("POST", CHAT, &headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    upstream.request(0)
}

/// A server that answers as soon as it has a head, and ends only when it has read the whole request.
fn early(status: &'static str, body: String) -> (u16, std::thread::JoinHandle<usize>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(hale_testkit::TIMEOUT)).unwrap();
        let mut seen = Vec::new();
        let mut piece = vec![0; 64 << 10];
        let end = loop {
            let count = stream.read(&mut piece).unwrap();
            seen.extend_from_slice(&piece[..count]);
            let end = seen.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&seen[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        let kind = "content-type: application/json\r\nconnection: close";
        let head = format!("HTTP/1.1 {status}\r\n{kind}\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        let mut read = seen.len() - end;
        while read < length {
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => read += count,
                Ok(_) | Err(_) => break,
            }
        }
        drop(stream.write_all(body.as_bytes()));
        read
    });
    (port, server)
}

#[test]
fn a_request_goes_on_while_its_answer_has_begun() {
    let kit = FakeUpstream::start();
    let good = openai::chat_completion("gpt-4o", "read to the end").to_string();
    let (port, server) = early("200 OK", good);
    let base = json!({"api_base": format!("http://127.0.0.1:{port}/v1")});
    let hale = Config::new().with("m", "a", &kit, base).router(json!({"num_retries": 0})).start();
    let body = openai::chat_request("m", &"x".repeat(16 << 20));
    let answer = client(&hale).post_json(CHAT, &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "read to the end");
    assert!(server.join().unwrap() > 16 << 20);
}

#[test]
fn only_the_model_changes_and_every_other_byte_survives() {
    let upstream = FakeUpstream::start();
    let body = " { \"messages\" :[ {\"role\":\"user\",\"content\":\"h\\u00e9llo \\/ \\ud83d\\ude00 \u{fc}\
                \u{1f600}\"} ] ,\r\n\t\"temperature\": 1.50, \"x_unknown\":{\"b\":1,\"a\":[1.0,1e3, -0]},\
                \"model\" : \"m\" , \"seed\":9007199254740993,\"top_p\":1E-2 }\n";
    let request = sent(&lone(&upstream), &upstream, body);
    assert_eq!(request.text(), body.replace("\"m\"", "\"gpt-4o\""));
    assert_eq!(request.header("content-length"), Some(&*request.body.len().to_string()));
    assert_eq!(request.headers.all("content-length").count(), 1);
    assert!(!request.headers.contains("transfer-encoding"));
}

#[test]
fn a_model_written_with_escapes_is_the_same_model() {
    let upstream = FakeUpstream::start();
    let body = r#"{"model":"\u006d","messages":[{"role":"user","content":"hi"}],"user":"\u0000"}"#;
    let request = sent(&lone(&upstream), &upstream, body);
    assert_eq!(request.text(), body.replace(r#""\u006d""#, r#""gpt-4o""#));
}

#[test]
fn unknown_fields_that_stand_twice_are_the_providers_to_judge() {
    let upstream = FakeUpstream::start();
    let body = r#"{"model":"m","x":1,"messages":[{"role":"user","content":"hi"}],"x":2}"#;
    let request = sent(&lone(&upstream), &upstream, body);
    assert_eq!(request.text(), body.replace(r#""m""#, r#""gpt-4o""#));
}

#[test]
fn a_large_chunked_body_arrives_whole_with_a_length() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let text = "\u{fc}\\n ".repeat(400_000);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"model":"m"}}"#);
    let mut client = client(&hale);
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    client.send_raw(head.as_bytes()).unwrap();
    for piece in body.as_bytes().chunks(70_001) {
        client.send_raw(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
        client.send_raw(piece).unwrap();
        client.send_raw(b"\r\n").unwrap();
    }
    client.send_raw(b"0\r\n\r\n").unwrap();
    assert_eq!(client.read_response().unwrap().status, 200);
    let request = upstream.request(0);
    assert!(request.text() == body.replace(r#""m""#, r#""gpt-4o""#), "the body changed");
    assert_eq!(request.header("content-length"), Some(&*request.body.len().to_string()));
}

#[test]
fn the_deployments_key_goes_out_and_nothing_of_the_clients_head() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let headers = [
        ("cookie", "session=from-client"),
        ("x-forwarded-for", "10.0.0.1"),
        ("user-agent", "from-client/1"),
        ("accept", "text/from-client"),
        ("accept-encoding", "gzip, br"),
        ("openai-organization", "org-from-client"),
        ("x-api-key", KEY),
        ("api-key", KEY),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "from-client"),
        ("keep-alive", "timeout=from-client"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic from-client"),
        ("x-litellm-timeout", "30"),
        ("x-stainless-lang", "from-client"),
    ];
    let answer = chat_with(&hale, &headers, &openai::chat_request("m", "hi"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let request = upstream.request(0);
    let head = String::from_utf8(request.raw_head.clone()).unwrap();
    assert!(!head.contains("from-client") && !head.contains(KEY), "{head}");
    let names: Vec<String> =
        request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    for name in ["connection", "te", "keep-alive", "x-hop", "cookie", "x-api-key", "expect"] {
        assert!(!names.iter().any(|it| it == name), "{name} was passed on: {head}");
    }
    assert_eq!(request.header("authorization"), Some(&*format!("Bearer {UPSTREAM_KEY}")));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("host"), Some(&*upstream.address().to_string()));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let mut once = names.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), names.len(), "a header twice: {head}");
}

#[test]
fn the_path_of_api_base_is_kept_with_and_without_a_slash() {
    for base in ["/deep/er/v2", "/deep/er/v2/"] {
        let upstream = FakeUpstream::start();
        let base = json!({"api_base": format!("{}{base}", upstream.url())});
        let hale = Config::new().with("m", "a", &upstream, base).start();
        let body = openai::chat_request("m", "hi");
        assert_eq!(chat_with(&hale, &[], &body).status, 200);
        assert_eq!(upstream.request(0).path, "/deep/er/v2/chat/completions");
    }
}

#[test]
fn every_spelling_of_an_endpoint_goes_to_the_same_upstream_path() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let mut client = client(&hale);
    let operations = [
        ("chat/completions", openai::chat_request("elsewhere", "hi")),
        ("completions", json!({"model": "elsewhere", "prompt": "hi"})),
        ("embeddings", json!({"model": "elsewhere", "input": ["hi"]})),
    ];
    let mut expected = Vec::new();
    for (operation, body) in &operations {
        let mut named = body.clone();
        named["model"] = json!("m");
        let plain = [format!("/v1/{operation}"), format!("/{operation}")];
        let with_name = [
            format!("/engines/m/{operation}"),
            format!("/openai/deployments/m/{operation}?api-version=2024-02-01"),
        ];
        let all = plain.iter().map(|path| (path, &named));
        for (path, body) in all.chain(with_name.iter().map(|path| (path, body))) {
            let answer = client.post_json(path, &[], body);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            expected.push(format!("/v1/{operation}"));
        }
    }
    let requests = upstream.requests();
    assert_eq!(requests.iter().map(|it| it.path.clone()).collect::<Vec<_>>(), expected);
    assert!(requests.iter().all(|it| it.model() == "gpt-4o"), "{requests:?}");
}

#[test]
fn control_fields_stay_here_and_defaults_fill_what_is_missing() {
    let upstream = FakeUpstream::start();
    let more = json!({
        "temperature": 0.2,
        "seed": 7,
        "additional_drop_params": ["logit_bias"],
        "extra_headers": {"x-team": "research"},
        "organization": "org-1",
    });
    let config = Config::new().with("m", "a", &upstream, more);
    let body = r#"{"model":"m","num_retries":1,"messages":[{"role":"user","content":"hi"}],"timeout":30,"temperature":0.90,"fallbacks":["x"],"logit_bias":{"1":2},"user":"u"}"#;
    let request = sent(&config, &upstream, body);
    let text = request.text();
    let kept = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":0.90,"user":"u""#;
    assert!(text.starts_with(kept), "{text}");
    let json = request.json();
    assert_eq!(json["seed"], 7);
    for gone in ["num_retries", "timeout", "fallbacks", "logit_bias"] {
        assert_eq!(json.get(gone), None, "{text}");
    }
    assert_eq!(request.header("x-team"), Some("research"));
    assert_eq!(request.header("openai-organization"), Some("org-1"));
}

#[test]
fn a_providers_row_renames_parameters_and_metadata_stays_here() {
    let upstream = FakeUpstream::start();
    let body = json!({
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 5,
        "metadata": {"trace": "t"},
    });
    let config = Config::new().with("m", "a", &upstream, json!({"model": "publicai/some-model"}));
    let request = sent(&config, &upstream, &body.to_string()).json();
    assert_eq!((&request["max_tokens"], request.get("max_completion_tokens")), (&json!(5), None));
    assert_eq!((&request["model"], request.get("metadata")), (&json!("some-model"), None));
}

#[test]
fn a_stream_requests_usage_and_is_otherwise_untouched() {
    let cases = [
        (r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#, None),
        (
            r#"{"model":"m","stream_options":{"include_usage":false,"x":1},"stream":true,"messages":[{"role":"user","content":"hi"}]}"#,
            Some(json!({"include_usage": true, "x": 1})),
        ),
    ];
    for (body, options) in cases {
        let upstream = FakeUpstream::start();
        let request = sent(&lone(&upstream), &upstream, body).json();
        let expected = options.unwrap_or_else(|| json!({"include_usage": true}));
        assert_eq!(request["stream_options"], expected);
        let mut others = request.clone();
        let mut original: Value = serde_json::from_str(body).unwrap();
        for json in [&mut others, &mut original] {
            json.as_object_mut().unwrap().remove("stream_options");
            json["model"] = json!("");
        }
        assert_eq!(others, original);
    }
}

#[test]
fn connections_to_an_upstream_are_reused() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    for _ in 0..5 {
        assert_eq!(chat_with(&hale, &[], &openai::chat_request("m", "hi")).status, 200);
        let mut client = client(&hale);
        let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
        assert!(stream.remaining().last().unwrap().is_done());
    }
    assert_eq!(upstream.state().opened(), 1);
}

#[test]
fn an_answer_of_unknown_length_is_relayed_whole() {
    let upstream = FakeUpstream::start();
    let body = openai::chat_completion("gpt-4o", &"long ".repeat(100_000)).to_string();
    let (one, two) = body.split_at(70_000);
    upstream.push(Script::ok().chunked("application/json").chunk(one).chunk(two).end());
    upstream.push(Script::ok().until_close("application/json").raw(one).raw(two).close());
    let hale = lone(&upstream).start();
    for _ in 0..2 {
        let answer = chat_with(&hale, &[], &openai::chat_request("m", "hi"));
        assert_eq!(answer.status, 200);
        assert!(answer.text() == body.replace("\"gpt-4o\"", "\"m\""), "the answer changed");
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    }
}
