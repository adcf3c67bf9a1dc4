use super::*;
use crate::{FakeUpstream, Script, openai};

fn client(upstream: &FakeUpstream) -> Client {
    Client::new(upstream.address())
}

#[test]
fn requests_share_a_connection_and_carry_the_given_headers() {
    let upstream = FakeUpstream::start();
    let mut client = client(&upstream).with_key("sk-1");
    let body = openai::chat_request("m", "hi");
    for _ in 0..3 {
        let answer = client.post_json("/v1/chat/completions", &[("x-a", "1")], &body);
        assert_eq!((answer.status, &answer.json()["model"]), (200, &"m".into()));
    }
    let state = upstream.state();
    assert_eq!((state.requests.len(), state.opened()), (3, 1));
    assert_eq!(state.requests[2].header("Authorization"), Some("Bearer sk-1"));
    assert_eq!(state.requests[2].header("x-a"), Some("1"));
    assert_eq!(state.requests[2].json(), body);
}

#[test]
fn a_closed_idle_connection_is_replaced() {
    let upstream = FakeUpstream::start();
    let mut client = client(&upstream);
    assert_eq!(client.get("/v1/models").status, 200);
    upstream.close_connections();
    assert_eq!(client.get("/v1/models").status, 200);
    assert_eq!(upstream.state().opened(), 2);
}

#[test]
fn events_are_seen_one_by_one_while_the_stream_is_open() {
    let chunk = openai::content_chunk("m", "a");
    let upstream = FakeUpstream::scripted([Script::ok()
        .stream()
        .event(&chunk)
        .wait("more")
        .event(&chunk)
        .done()]);
    let mut client = client(&upstream);
    let mut stream = client.stream("/x", &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.next_event().unwrap().content(), "a");
    upstream.release("more");
    assert_eq!(stream.next_event().unwrap().content(), "a");
    assert!(stream.next_event().unwrap().is_done());
    assert_eq!((stream.next_event(), stream.cut(), stream.tail()), (None, false, String::new()));
    drop(stream);
    assert_eq!(client.get("/v1/models").status, 200);
    assert_eq!(upstream.state().opened(), 1);
}

#[test]
fn a_cut_stream_differs_from_a_whole_one() {
    let upstream =
        FakeUpstream::scripted([Script::ok().stream().data("a").chunk("data: b").close()]);
    let mut client = client(&upstream);
    let mut stream = client.stream("/x", &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.remaining().len(), 1);
    assert_eq!((stream.cut(), stream.tail().as_str()), (true, "data: b"));
}

#[test]
fn a_wrong_length_is_a_cut_body() {
    let script = Script::ok().declared_length(99).body("text/plain", "abc").close();
    let upstream = FakeUpstream::scripted([script]);
    let answer = client(&upstream).get("/");
    assert_eq!((answer.text().as_str(), answer.cut), ("abc", true));
}

#[test]
fn silence_ends_with_an_error_in_time() {
    let upstream = FakeUpstream::scripted([Script::silent()]);
    let mut client = client(&upstream).with_timeout(Duration::from_millis(50));
    let error = client.try_request("GET", "/", &[], b"").unwrap_err();
    assert!(is_timeout(&error), "{error}");
}

#[test]
fn raw_bytes_and_half_closes_reach_the_other_side() {
    let upstream = FakeUpstream::start();
    let mut client = client(&upstream);
    client.send_raw(b"GET /v1/models HTTP/1.1\r\n").unwrap();
    client.send_raw(b"X-Odd:  y \r\n\r\n").unwrap();
    client.half_close().unwrap();
    assert_eq!(client.read_response().unwrap().status, 200);
    assert!(upstream.request(0).raw_head.ends_with(b"X-Odd:  y \r\n\r\n"));
}
