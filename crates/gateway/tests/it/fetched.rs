//! Images and files by address, for providers that need the data itself: who gets them, and what is not fetched. The address is
//! always another server on loopback, which the config allows by name, or does not.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Hale, Request, Script, bedrock, gemini, ollama};
use serde_json::{Value, json};

use crate::sessions::{MESSAGES, last, with};
use crate::support::{
    CHAT, Config, LOG, blamed, client, metric, wait_for_records, wait_until_idle,
};

const RESPONSES: &str = "/v1/responses";
const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";
const PNG_64: &str = "iVBORw0KGgogYW5kIHNvIG9u";

/// A server of files.
fn files() -> FakeUpstream {
    FakeUpstream::with(|request: &Request| match &*request.path {
        "/cat" | "/cat?size=1" => Script::ok().body("image/jpeg", PNG),
        "/moved" => Script::with_status(302).header("location", "/cat").body("text/plain", "there"),
        "/circle" => Script::with_status(307).header("location", "/circle").body("text/plain", ""),
        "/paper" => Script::ok().body("application/pdf", b"%PDF-1.7 ..."),
        "/page" => Script::ok().body("text/html", b"<!DOCTYPE html><p>sign in"),
        "/lies" => Script::ok().body("image/png", b"<!DOCTYPE html><p>sign in"),
        "/nothing" => Script::ok().body("image/png", b""),
        "/inward" => {
            let to = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";
            Script::with_status(302).header("location", to).body("text/plain", "")
        }
        "/file" => {
            Script::with_status(302).header("location", "file:///etc/passwd").body("text/plain", "")
        }
        "/declared" => Script::ok().declared_length(40 << 20).body("image/png", PNG).wait("never"),
        "/endless" => {
            let piece = vec![7; 1 << 20];
            (0..24)
                .fold(Script::ok().chunked("image/png").chunk(PNG), |script, _| {
                    script.chunk(&piece)
                })
                .wait("never")
        }
        "/large" => {
            let mut image = PNG.to_vec();
            image.resize(3 << 20, 0);
            Script::ok().body("image/png", image)
        }
        "/slow" => Script::ok().chunked("image/png").chunk(PNG).wait("never"),
        "/cut" => Script::ok().chunked("image/png").chunk(PNG).close(),
        _ => Script::with_status(404).body("text/plain", "no such file"),
    })
}

fn at(server: &FakeUpstream, path: &str) -> String {
    format!("{}{path}", server.url())
}

fn base(upstream: &FakeUpstream) -> String {
    upstream.api_base().trim_end_matches("/v1").to_owned()
}

/// Deployments of each wire that needs data, with those upstreams.
fn everywhere(aws: &FakeUpstream, google: &FakeUpstream, llama: &FakeUpstream) -> Config {
    let keys = json!({"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret-of-aws",
        "aws_region_name": "eu-central-1", "api_base": base(aws)});
    let entry = |name: &str, params: Value| json!({"model_name": name, "litellm_params": params});
    Config::new()
        .entry(entry(
            "converse",
            with(json!({"model": format!("bedrock/converse/{CLAUDE}")}), keys.clone()),
        ))
        .entry(entry("invoke", with(json!({"model": format!("bedrock/invoke/{CLAUDE}")}), keys)))
        .entry(entry(
            "gemini",
            json!({"model": "gemini/gemini-2.5-flash", "api_key": gemini::KEY,
            "api_base": google.api_base().replace("/v1", "/v1beta")}),
        ))
        .entry(entry("ollama", json!({"model": "ollama/llava", "api_base": base(llama)})))
}

/// The same with files that may be at that server and nowhere else of this machine.
fn allowing(config: Config, files: &FakeUpstream) -> Config {
    config
        .litellm(json!({"user_url_allowed_hosts": [format!("127.0.0.1:{}", files.port())]}))
        .general(json!({"request_log": LOG}))
}

/// One deployment of Converse.
fn converse(upstream: &FakeUpstream) -> Config {
    everywhere(upstream, upstream, upstream)
}

/// A request of each format that shows what is at the address in its words, and in a result.
fn asked(path: &str, model: &str, address: &str) -> Value {
    match path {
        CHAT => {
            let image = json!({"type": "image_url", "image_url": {"url": address}});
            json!({"model": model, "messages": [
                {"role": "user", "content": [{"type": "text", "text": "see"}, image]},
                {"role": "assistant", "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": [image]}],
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]})
        }
        MESSAGES => {
            let image = json!({"type": "image", "source": {"type": "url", "url": address}});
            json!({"model": model, "max_tokens": 9, "messages": [
                {"role": "user", "content": [{"type": "text", "text": "see"}, image]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [image]}]}],
                "tools": [{"name": "f", "input_schema": {"type": "object"}}]})
        }
        _ => json!({"model": model, "input": [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": address}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [
                {"type": "input_image", "image_url": address}]}]}),
    }
}

/// A chat with one image.
fn shown(address: &str) -> Value {
    let image = json!({"type": "image_url", "image_url": {"url": address}});
    json!({"model": "converse", "messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, image]}]})
}

/// The refusal of a request that shows what is at the address.
#[track_caller]
fn refused(hale: &Hale, address: &str) -> String {
    let answer = client(hale).post_json(CHAT, &[], &shown(address));
    assert_eq!(answer.status, 400, "{address}: {}", answer.text());
    let error = &answer.json()["error"];
    assert_eq!(error["param"], "messages[0].content[1].image_url.url", "{error}");
    error["message"].as_str().unwrap().to_owned()
}

#[test]
fn every_client_has_its_images_fetched_once_for_each_provider_that_needs_them() {
    let (aws, google, llama) = (
        FakeUpstream::with(bedrock::answer),
        FakeUpstream::with(gemini::answer),
        FakeUpstream::with(ollama::answer),
    );
    let files = files();
    let hale = allowing(everywhere(&aws, &google, &llama), &files).start();
    let mut asked_so_far = 0;
    for (model, upstream) in
        [("converse", &aws), ("invoke", &aws), ("gemini", &google), ("ollama", &llama)]
    {
        for path in [CHAT, MESSAGES, RESPONSES] {
            for streamed in [false, true] {
                let body =
                    with(asked(path, model, &at(&files, "/cat")), json!({"stream": streamed}));
                let answer = client(&hale).post_json(path, &[], &body);
                let about = format!("{model} {path} {streamed}: {}", answer.text());
                assert_eq!(answer.status, 200, "{about}");
                let sent = String::from_utf8(last(upstream).body.clone()).unwrap();
                assert_eq!(sent.matches(PNG_64).count(), 2, "{about} {sent}");
                assert!(!sent.contains("/cat") && !sent.contains("jpeg"), "{about} {sent}");
                asked_so_far += 1;
                assert_eq!(files.requests().len(), asked_so_far, "once for a request: {about}");
            }
        }
    }
    let fetch = last(&files);
    assert_eq!((&*fetch.method, &*fetch.path, fetch.body.len()), ("GET", "/cat", 0));
    for name in ["authorization", "x-api-key", "cookie", "traceparent", "referer"] {
        assert_eq!(fetch.header(name), None, "{name} does not belong there");
    }
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0, "the memory is given back");
}

#[test]
fn what_was_fetched_serves_all_attempts_and_the_next_group_may_take_the_address() {
    let files = files();
    let upstream = FakeUpstream::with(bedrock::answer);
    upstream.push(bedrock::refusal(500, "InternalServerException", "try again"));
    upstream.push(bedrock::refusal(500, "InternalServerException", "try again"));
    let hale = allowing(converse(&upstream), &files).router(json!({"num_retries": 2})).start();
    let body = shown(&at(&files, "/moved"));
    let answer = client(&hale).post_json(CHAT, &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.requests().len(), 3);
    for sent in upstream.requests() {
        let blocks = &sent.json()["messages"][0]["content"];
        assert_eq!(blocks[1], json!({"image": {"format": "png", "source": {"bytes": PNG_64}}}));
    }
    let paths: Vec<String> = files.requests().iter().map(|one| one.path.to_string()).collect();
    assert_eq!(paths, ["/moved", "/cat"], "one redirect, and each step once");

    let open_ai = FakeUpstream::start();
    let config = allowing(converse(&upstream), &files)
        .deployment("g", "g", &open_ai)
        .router(json!({"fallbacks": [{"converse": ["g"]}]}));
    let hale = config.start();
    let body = shown(&at(&files, "/missing"));
    let answer = client(&hale).post_json(CHAT, &[], &body);
    assert_eq!(answer.status, 200, "its provider may reach it: {}", answer.text());
    assert_eq!(last(&open_ai).json()["messages"], body["messages"]);
    assert_eq!(blamed(&hale), 0.0);
}

#[test]
fn documents_come_by_address_too_and_bytes_say_what_they_are() {
    let files = files();
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = allowing(converse(&upstream), &files).start();
    let file =
        json!({"type": "file", "file": {"file_data": at(&files, "/paper"), "filename": "q3.pdf"}});
    let called_an_image = json!({"type": "image_url", "image_url": {"url": at(&files, "/paper")}});
    for (part, name) in [(file, "q3"), (called_an_image, "document")] {
        let body = json!({"model": "converse", "messages": [
            {"role": "user", "content": [{"type": "text", "text": "read"}, part]}]});
        let answer = client(&hale).post_json(CHAT, &[], &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = last(&upstream).json();
        assert_eq!(
            sent["messages"][0]["content"][1],
            json!({"document": {"format": "pdf", "name": name, "source": {"bytes": "JVBERi0xLjcgLi4u"}}})
        );
    }
}

#[test]
fn addresses_of_this_machine_and_of_its_networks_are_refused_by_name() {
    let (files, other) = (files(), files());
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = allowing(converse(&upstream), &files).start();
    let port = other.port();
    for (address, what) in [
        ("http://169.254.169.254/latest/meta-data/".to_owned(), "link-local"),
        (format!("http://127.0.0.1:{port}/cat"), "a loopback address"),
        (format!("http://localhost:{port}/cat"), "localhost is a loopback address"),
        (format!("http://127.1:{port}/cat"), "a loopback address"),
        (format!("http://2130706433:{port}/cat"), "a loopback address"),
        (format!("http://[::1]:{port}/cat"), "a loopback address"),
        (format!("http://[::ffff:127.0.0.1]:{port}/cat"), "a loopback address"),
        ("http://[::ffff:169.254.169.254]/".to_owned(), "link-local"),
        ("http://[64:ff9b::a9fe:a9fe]/".to_owned(), "link-local"),
        ("http://[fd00:ec2::254]/".to_owned(), "a private network"),
        ("http://10.0.0.1/".to_owned(), "a private network"),
        ("https://192.168.1.1/cat.png".to_owned(), "a private network"),
        ("http://100.100.100.200/".to_owned(), "a shared address"),
        (at(&files, "/inward"), "link-local"),
    ] {
        let said = refused(&hale, &address);
        assert!(said.contains(what) && said.contains("fetch_urls"), "{address}: {said}");
    }
    let said = refused(&hale, &format!("http://user:pass@127.0.0.1:{port}/cat"));
    assert!(said.contains("a user or a password") && !said.contains("pass@"), "{said}");
    let said = refused(&hale, &at(&files, "/file"));
    assert!(said.contains("its scheme is another one"), "{said}");
    assert_eq!((other.requests().len(), upstream.requests().len()), (0, 0));
    assert_eq!(blamed(&hale), 0.0, "no deployment is blamed");
}

#[test]
fn what_is_not_there_or_is_nothing_for_a_model_is_refused_by_name() {
    let files = files();
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = allowing(converse(&upstream), &files).start();
    for (path, what) in [
        ("/missing", "127.0.0.1 answered 404 Not Found"),
        ("/page", "is a text (text/html), not an image"),
        ("/lies", "labelled image/png, and its bytes are neither"),
        ("/nothing", "what is there is empty"),
        ("/circle", "leads on more than 3 times"),
        ("/declared", "larger than 20 MiB"),
        ("/endless", "larger than 20 MiB"),
        ("/cut", "was cut"),
    ] {
        let said = refused(&hale, &at(&files, path));
        assert!(said.contains(what), "{path}: {said}");
    }
    let gone = FakeUpstream::start();
    let address = at(&gone, "/cat");
    drop(gone);
    let config = converse(&upstream).general(json!({"fetch_urls": "any"}));
    let anywhere = config.start();
    let said = refused(&anywhere, &address);
    assert!(said.contains("127.0.0.1: no connection"), "{said}");
    assert_eq!(upstream.requests().len(), 0);
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0, "the memory is given back");
    assert_eq!((blamed(&hale), blamed(&anywhere)), (0.0, 0.0), "no deployment is blamed");
}

#[test]
fn a_slow_server_of_files_costs_the_request_its_time_and_no_deployment_its_name() {
    let files = files();
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = allowing(converse(&upstream), &files).start();
    let body = with(shown(&at(&files, "/slow")), json!({"timeout": 0.5}));
    let answer = client(&hale).post_json(CHAT, &[], &body);
    assert_eq!(answer.status, 408, "the request's own time is over: {}", answer.text());
    // Without a limit of its own the address has 10 s.
    let mut patient = client(&hale).with_timeout(Duration::from_secs(30));
    let answer = patient.post_json(CHAT, &[], &shown(&at(&files, "/slow")));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("did not come within 10 s"), "{}", answer.text());
    assert_eq!((upstream.requests().len(), blamed(&hale)), (0, 0.0));
}

#[test]
fn a_client_that_leaves_while_its_image_comes_frees_the_server_and_the_memory() {
    let files = files();
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = allowing(converse(&upstream), &files).start();
    let mut leaving = client(&hale);
    leaving.send("POST", CHAT, &[], shown(&at(&files, "/slow")).to_string().as_bytes()).unwrap();
    files.wait_for_requests(1);
    leaving.disconnect();
    files.wait_for(|state| state.closed_by_peer() == 1);
    wait_until_idle(&hale);
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!(record["ending"], "client_closed", "{record}");
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0, "the memory is given back");
    assert_eq!((upstream.requests().len(), blamed(&hale)), (0, 0.0));
}

#[test]
fn images_are_counted_in_the_memory_for_bodies() {
    let files = files();
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = allowing(converse(&upstream), &files)
        .general(json!({"request_log": LOG, "max_buffered_mb": 4, "max_request_size_mb": 1, "max_response_size_mb": 1}))
        .start();
    let answer = client(&hale).post_json(CHAT, &[], &shown(&at(&files, "/large")));
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("max_buffered_mb"), "{}", answer.text());
    assert_eq!((upstream.requests().len(), blamed(&hale)), (0, 0.0));
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0, "the memory is given back");
    let answer = client(&hale).post_json(CHAT, &[], &shown(&at(&files, "/cat")));
    assert_eq!(answer.status, 200, "a small one has room: {}", answer.text());
}

#[test]
fn a_closed_door_fetches_nothing_and_an_open_one_everything() {
    let files = files();
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = converse(&upstream).general(json!({"fetch_urls": "off"})).start();
    let answer = client(&hale).post_json(CHAT, &[], &shown(&at(&files, "/cat")));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("send the data itself in base64"), "{}", answer.text());
    assert_eq!(files.requests().len(), 0);
    let hale = converse(&upstream).general(json!({"fetch_urls": "any"})).start();
    let answer = client(&hale).post_json(CHAT, &[], &shown(&at(&files, "/cat?size=1")));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(last(&files).path, "/cat?size=1");
}
