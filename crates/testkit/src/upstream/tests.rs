use super::*;
use crate::Client;

fn get(upstream: &FakeUpstream) -> Client {
    let mut client = Client::new(upstream.address());
    client.send("GET", "/v1/models", &[], b"").unwrap();
    client
}

#[test]
fn the_default_answers_by_path_and_stream() {
    let upstream = FakeUpstream::start();
    let mut client = Client::new(upstream.address());
    let mut body = openai::stream_request("m", "hi");
    body["stream_options"] = serde_json::json!({"include_usage": true});
    let mut stream = client.stream("/v1/chat/completions", &[], &body);
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    let events = stream.remaining();
    assert!(events.last().unwrap().is_done());
    assert_eq!(events[events.len() - 2].json()["usage"]["total_tokens"], 16);
    assert_eq!(events.iter().map(crate::Event::content).collect::<String>(), openai::TEXT);
    drop(stream);
    let one = client.post_json("/v1/embeddings", &[], &serde_json::json!({"input": ["a", "b"]}));
    assert_eq!(one.json()["data"].as_array().unwrap().len(), 2);
    let two = client.post_json("/v1/completions", &[], &serde_json::json!({"prompt": "a"}));
    assert_eq!(two.json()["object"], "text_completion");
    assert_eq!(client.get("/v1/nothing").status, 404);
    assert_eq!(upstream.state().opened(), 1);
}

#[test]
fn scripts_come_in_order_then_the_behaviour() {
    let upstream = FakeUpstream::with(Script::echo);
    upstream.push(Script::error(500, "no"));
    upstream.push(Script::rate_limited(7));
    let mut client = Client::new(upstream.address());
    assert_eq!(client.get("/a").status, 500);
    assert_eq!(client.get("/b").header("Retry-After"), Some("7"));
    let echo = client.request("POST", "/c?d=1", &[("X-E", "1"), ("x-e", "2")], b"{\"f\":1}");
    let echo = echo.json();
    assert_eq!((&echo["path"], &echo["body"]["f"]), (&"/c?d=1".into(), &1.into()));
    assert_eq!(echo["headers"]["x-e"], serde_json::json!(["1", "2"]));
}

#[test]
fn a_chunked_request_is_recorded_whole() {
    let upstream = FakeUpstream::start();
    let mut client = Client::new(upstream.address());
    let head = b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send_raw(head).unwrap();
    client.send_raw(b"3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n").unwrap();
    assert_eq!(client.read_response().unwrap().status, 200);
    assert_eq!(upstream.request(0).json()["a"], 1);
}

#[test]
fn a_peer_that_leaves_a_silent_upstream_or_a_gate_is_noticed() {
    let upstream = FakeUpstream::scripted([Script::silent(), Script::ok().wait("never")]);
    let mut first = get(&upstream);
    upstream.wait_for_requests(1);
    let mut second = get(&upstream);
    upstream.wait_for(|state| state.waiting_at("never") == 1);
    assert_eq!(upstream.state().open(), 2);
    first.disconnect();
    upstream.wait_for(|state| state.closed_by_peer() == 1);
    second.abort();
    let state = upstream.wait_until_dropped();
    assert_eq!((state.closed(), state.closed_by_peer()), (2, 2));
    upstream.wait_for(|state| state.waiting.is_empty());
}

#[test]
fn reset_and_close_differ_on_the_wire() {
    let upstream = FakeUpstream::scripted([Script::ok().reset(), Script::ok().close()]);
    let reset = get(&upstream).read_response().unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    let closed = get(&upstream).read_response().unwrap_err();
    assert_eq!(closed.kind(), io::ErrorKind::UnexpectedEof);
    let state = upstream.wait_until_dropped();
    assert!(state.connections.iter().all(|it| it.closed == Some(ClosedBy::Upstream)));
}

#[test]
fn a_stopped_upstream_refuses_and_can_come_back() {
    let mut upstream = FakeUpstream::start();
    let port = upstream.port();
    let mut client = get(&upstream);
    assert_eq!(client.read_response().unwrap().status, 200);
    upstream.stop();
    let error = client.try_request("GET", "/", &[], b"").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let again = FakeUpstream::start_on(port, openai::answer).unwrap();
    assert_eq!(get(&again).read_response().unwrap().status, 200);
}

#[test]
fn waiting_ends_with_the_state_when_nothing_comes() {
    let upstream = FakeUpstream::start();
    let limit = Duration::from_millis(20);
    let state = upstream.wait_within(limit, |state| !state.requests.is_empty()).unwrap_err();
    assert_eq!(state.opened(), 0);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, refused_port())).is_err());
}

#[test]
fn a_delay_ends_by_itself_or_with_the_peer() {
    let upstream = FakeUpstream::scripted([
        Script::ok().delay(Duration::from_millis(1)).body("text/plain", "x"),
        Script::ok().delay(Duration::from_secs(3600)),
    ]);
    assert_eq!(get(&upstream).read_response().unwrap().text(), "x");
    let mut client = get(&upstream);
    upstream.wait_for_requests(2);
    client.disconnect();
    upstream.wait_until_dropped();
}
