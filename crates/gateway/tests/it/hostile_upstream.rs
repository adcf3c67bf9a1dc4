//! Bad answers of upstreams: rows 77 to 98.
//!
//! Always true: each is one failed attempt with its cause, a sibling's answer hides it, and bytes left
//! on its connection are never taken for the next answer.

use std::fmt;

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::json;

use crate::hostile_table::{quoted, rows};
use crate::support::{CHAT, blamed, chat, client, column, error, lone, metric, pair};

/// What follows from an answer.
enum Expected {
    /// Another status for the client, the cause of the attempt, texts of the error.
    Failed(u16, &'static str, &'static [&'static str]),
    /// The client's fault: passed on, called once, no deployment is blamed.
    Relayed(u16, &'static str, &'static [&'static str]),
    /// An answer like any other.
    Good,
}
use Expected::{Failed, Good, Relayed};

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed(status, cause, []) => write!(f, "{status} `{cause}`"),
            Failed(status, cause, says) => write!(f, "{status} `{cause}`: {}", quoted(says)),
            Relayed(status, reason, []) => write!(f, "{status} `{reason}`, asked once"),
            Relayed(status, reason, says) => {
                write!(f, "{status} `{reason}`, asked once: {}", quoted(says))
            }
            Good => f.write_str("served"),
        }
    }
}

fn json(body: impl AsRef<[u8]>) -> Script {
    Script::ok().body("application/json", body)
}

fn completion() -> String {
    openai::chat_completion("gpt-4o", "whole").to_string()
}

fn half() -> String {
    let body = completion();
    body[..body.len() / 2].to_owned()
}

/// A head that is cut in the middle of its last header's name.
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";

fn raw(head: &str) -> Script {
    Script::ok().raw(head)
}

fn with_status(status: u16, message: &str, code: &str) -> Script {
    Script::with_status(status).json(&openai::error(message, "some_error", code))
}

/// An empty gzip stream.
fn gzip() -> Script {
    let bytes = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    Script::ok().header("content-encoding", "gzip").body("application/json", bytes)
}

fn many_headers() -> Script {
    (0..10_000)
        .fold(Script::ok(), |script, n| script.header(&format!("x-{n}"), "1"))
        .json(&json!({}))
}

#[track_caller]
fn check(given: Script, expected: &Expected) {
    alone(&given, expected);
    if matches!(expected, Failed(..)) {
        beside_a_sibling(given);
    }
}

#[track_caller]
fn alone(given: &Script, expected: &Expected) {
    let upstream = FakeUpstream::scripted([given.clone()]);
    let hale = lone(&upstream).router(json!({"num_retries": 0, "disable_cooldowns": true})).start();
    let answer = chat(&hale, "m");
    let text = answer.text();
    match expected {
        Failed(status, cause, says) => {
            assert_eq!(answer.status, *status, "{text}");
            assert_eq!(column(&error(&answer)["attempts"], "cause"), [*cause], "{text}");
            assert!(says.iter().all(|part| text.contains(part)), "{says:?}: {text}");
            let counted = metric(&hale, "hale_attempts_total", &[("outcome", cause)]);
            assert!(counted >= 1.0, "{cause} was not counted");
        }
        Relayed(status, reason, says) => {
            assert_eq!(
                (answer.status, &error(&answer)["reason"]),
                (*status, &json!(reason)),
                "{text}"
            );
            assert!(says.iter().all(|part| text.contains(part)), "{says:?}: {text}");
            assert_eq!(blamed(&hale), 0.0, "the deployment is blamed");
        }
        Good => assert_eq!(answer.status, 200, "{text}"),
    }
    assert!(answer.body.len() < 10_000, "{} bytes", answer.body.len());
    assert!(!text.contains("Traceback") && !text.contains("<html"), "{text}");
    assert_eq!(upstream.requests().len(), 1);
    // Bytes left on that connection must not be taken for the next answer.
    let next = chat(&hale, "m");
    assert_eq!(next.status, 200, "afterwards: {}", next.text());
    assert_eq!(next.json()["choices"][0]["message"]["content"], openai::TEXT);
    assert_eq!(metric(&hale, "hale_panics_total", &[]), 0.0);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
}

#[track_caller]
fn beside_a_sibling(given: Script) {
    let (bad, good) = (FakeUpstream::scripted([given]), FakeUpstream::start());
    let hale = pair(&bad, &good).start();
    let answer = chat(&hale, "m");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-litellm-model-id"), Some("good"));
    assert_eq!(answer.header("x-litellm-attempted-retries"), Some("1"));
    assert_eq!((bad.requests().len(), good.requests().len()), (1, 1));
}

/// A stream of these bytes must read as one with this text.
#[track_caller]
fn expect_stream(pieces: &[&[u8]], text: &str) {
    let script = pieces.iter().fold(Script::ok().stream(), |script, piece| script.chunk(piece));
    let upstream = FakeUpstream::scripted([script.end()]);
    let hale = lone(&upstream).start();
    let mut client = client(&hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.status, 200);
    let all = stream.text();
    // Line ends leave as they came; here they only have to be read.
    let lines = all.replace("\r\n", "\n").replace('\r', "\n");
    let payloads = lines.lines().filter_map(|line| line.strip_prefix("data:"));
    let contents = payloads.filter_map(|data| {
        let json: serde_json::Value = serde_json::from_str(data).ok()?;
        json["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
    });
    assert_eq!(contents.collect::<String>(), text, "{all:?}");
}

rows! {
    "77" an_empty_answer_is_a_failed_attempt "200 with nothing":
        json("") => Failed(502, "bad_response", &["the upstream answered 200 with"]);
    "77" white_space_is_a_failed_attempt "200 with white space":
        json(" \n ") => Failed(502, "bad_response", &["the upstream answered 200 with"]);
    // F29: pages and errors under 200, the rows 78 and 81.
    "78" html_is_a_failed_attempt "200 with HTML":
        Script::ok().body("text/html", "<!doctype html><p>hi") => Failed(502, "bad_response", &["an HTML page"]);
    "78" html_called_json_is_a_failed_attempt "200 with HTML that calls itself JSON":
        json("<html><body>busy</body></html>") => Failed(502, "bad_response", &["an HTML page"]);
    // F10: the rows 79 and 80.
    "79" half_an_answer_is_a_failed_attempt "200 with half of its JSON":
        json(half()) => Failed(502, "bad_response", &["the upstream answered 200 with"]);
    "79" two_documents_are_a_failed_attempt "200 with two JSON documents":
        json(format!("{0}{0}", completion())) => Failed(502, "bad_response", &["the upstream answered 200 with"]);
    "79" an_answer_that_is_not_utf_8_is_a_failed_attempt "200 with bytes that are not UTF-8":
        json(b"{\"choices\":[\"\xff\"]}") => Failed(502, "bad_response", &["the upstream answered 200 with"]);
    "79" endless_nesting_is_a_failed_attempt "200 nested 100 000 levels deep":
        json(format!("{{\"choices\":{}", "[".repeat(100_000))) => Failed(502, "bad_response", &["the upstream answered 200 with"]);
    "80" an_empty_object_is_a_failed_attempt "200 with `{}`":
        json("{}") => Failed(502, "bad_response", &["the upstream answered 200 with"]);
    "80" null_is_a_failed_attempt "200 with `null`":
        json("null") => Failed(502, "bad_response", &["the upstream answered 200 with"]);
    "80" a_list_is_a_failed_attempt "200 with a list":
        json("[]") => Failed(502, "bad_response", &["the upstream answered 200 with"]);
    "80" no_choices_are_a_failed_attempt "200 with no entry in `choices`":
        json(r#"{"choices":[]}"#) => Failed(502, "bad_response", &["choices"]);
    "80" null_choices_are_a_failed_attempt "200 with `choices: null`":
        json(r#"{"choices":null}"#) => Failed(502, "bad_response", &["choices"]);
    "80" a_number_of_choices_is_a_failed_attempt "200 with `choices: 7`":
        json(r#"{"choices":7}"#) => Failed(502, "bad_response", &["choices"]);
    "81" an_error_under_200_is_an_error "200 with an error object":
        Script::ok().json(&openai::error("the engine is on fire", "server_error", "boom"))
        => Failed(502, "server_error", &["the engine is on fire"]);
    "81" a_rate_limit_under_200_is_a_rate_limit "200 with a rate limit in it":
        Script::ok().json(&openai::error("slow down", "rate_limit_error", "429")) => Failed(429, "rate_limited", &["slow down"]);
    "82" no_content_is_a_failed_attempt "204":
        raw("HTTP/1.1 204 No Content\r\n\r\n") => Failed(502, "bad_response", &["204 No Content"]);
    "82" accepted_is_a_failed_attempt "202":
        Script::with_status(202).json(&openai::chat_completion("x", "y")) => Failed(502, "bad_response", &["202 Accepted"]);
    "82" part_of_an_answer_is_a_failed_attempt "206":
        Script::with_status(206).json(&openai::chat_completion("x", "y")) => Failed(502, "bad_response", &["206 Partial Content"]);
    "82" not_modified_is_a_failed_attempt "304":
        raw("HTTP/1.1 304 Not Modified\r\n\r\n") => Failed(404, "not_found", &["304"]);
    "82" switching_protocols_is_a_failed_attempt "101":
        raw("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n") => Failed(502, "bad_response", &[]);
    "83" a_redirect_is_not_followed "a redirect":
        Script::with_status(307).header("location", "http://169.254.169.254/latest").body("text/plain", "")
        => Failed(404, "not_found", &["a redirect (307 Temporary Redirect), which is not followed"]);
    "84" a_400_that_is_text_is_relayed "400 with a JSON string":
        Script::with_status(400).body("application/json", "\"no\"") => Relayed(400, "upstream_rejected", &["no"]);
    "84" a_400_that_is_a_list_is_relayed "400 with a list":
        Script::with_status(400).body("application/json", r#"[{"error":"odd"}]"#) => Relayed(400, "upstream_rejected", &[]);
    "84" a_400_that_is_html_is_relayed_without_it "400 with HTML":
        Script::with_status(400).body("text/html", "<html>bad</html>") => Relayed(400, "upstream_rejected", &["the upstream answered with an HTML page"]);
    "84" a_400_of_five_mebibytes_is_cut "400 with 5 MiB of text":
        Script::with_status(400).body("text/plain", "e".repeat(5 << 20)) => Relayed(400, "upstream_rejected", &["eeee"]);
    "85" a_refused_key_is_said_to_be_the_deployments "401":
        with_status(401, "Incorrect API key provided", "invalid_api_key")
        => Failed(401, "auth", &["the provider refused deployment a's key; yours is fine"]);
    "85" a_key_without_permission_is_said_to_be_the_deployments "403":
        with_status(403, "Your project does not have access", "forbidden")
        => Failed(403, "permission", &["the provider refused deployment a's key; yours is fine"]);
    "86" a_model_that_is_gone_is_said_to_be "404":
        with_status(404, "The model `gpt-4o` does not exist", "model_not_found")
        => Failed(404, "not_found", &["the provider of deployment a does not know its model"]);
    "87" a_rate_limit_for_eternity_is_capped "429 with a `retry-after` of 10^18 s":
        Script::with_status(429).header("retry-after", "1000000000000000000").json(&openai::error("slow", "t", "c"))
        => Failed(429, "rate_limited", &["slow"]);
    "87" a_rate_limit_with_a_negative_time_is_one_without "429 with a negative `retry-after`":
        Script::with_status(429).header("retry-after", "-5").json(&openai::error("slow", "t", "c"))
        => Failed(429, "rate_limited", &["slow"]);
    "88" an_exhausted_quota_is_quota "429 for an exhausted quota":
        with_status(429, "You exceeded your current quota", "insufficient_quota") => Failed(429, "quota", &["You exceeded your current quota"]);
    "88" an_empty_account_is_quota "400 for an account without credit":
        with_status(400, "Your credit balance is too low", "invalid_request_error") => Failed(400, "quota", &["Your credit balance is too low"]);
    "89" a_502_page_is_not_shown "502 with HTML":
        Script::with_status(502).body("text/html", "<html>nginx</html>") => Failed(502, "server_error", &["the upstream answered with an HTML page"]);
    "89" a_key_in_an_error_is_blacked_out "500 with a key in its text":
        with_status(500, "internal: used sk-proj-abcdefghijklmnop", "c") => Failed(500, "server_error", &["internal: used sk-..."]);
    "90" status_999_is_a_failed_attempt "status 999":
        Script::with_status(999).body("text/plain", "?") => Failed(502, "bad_response", &[]);
    "90" status_000_is_not_http "status 000":
        raw("HTTP/1.1 000 Nothing\r\ncontent-length: 0\r\n\r\n") => Failed(502, "bad_response", &["the answer is not valid HTTP"]);
    "90" status_60_is_not_http "status 60":
        raw("HTTP/1.1 60 Odd\r\ncontent-length: 0\r\n\r\n") => Failed(502, "bad_response", &["the answer is not valid HTTP"]);
    "91" a_header_of_a_mebibyte_is_a_failed_attempt "a header of 1 MiB":
        Script::ok().header("x-long", &"v".repeat(1 << 20)).json(&json!({})) => Failed(502, "bad_response", &["the answer is not valid HTTP"]);
    "91" ten_thousand_headers_are_a_failed_attempt "10 000 headers":
        many_headers() => Failed(502, "bad_response", &["the answer is not valid HTTP"]);
    "91" a_nul_in_a_header_is_a_failed_attempt "a NUL in a header":
        raw("HTTP/1.1 200 OK\r\nx-odd: a\0b\r\ncontent-length: 0\r\n\r\n") => Failed(502, "bad_response", &["the answer is not valid HTTP"]);
    "91" bytes_in_a_header_are_dropped "a header with bytes that are not ASCII":
        Script::ok().header("x-odd", "\u{fc}\u{20ac}").json(&openai::chat_completion("gpt-4o", "x")) => Good;
    // F11: the row 92.
    "92" a_length_too_long_is_a_failed_attempt "a length longer than the body":
        Script::ok().declared_length(completion().len() + 10).body("application/json", completion()).close() => Failed(502, "stream_cut", &["the answer was cut before its end"]);
    "92" a_length_too_short_is_a_failed_attempt "a length shorter than the body":
        Script::ok().declared_length(completion().len() - 5).body("application/json", completion()) => Failed(502, "bad_response", &["the upstream answered 200 with"]);
    "92" two_lengths_are_a_failed_attempt "two different lengths":
        raw(&format!("{HEAD}: 5\r\ncontent-length: 7\r\n\r\nabcdefg")) => Failed(502, "bad_response", &["the answer is not valid HTTP"]);
    "92" a_negative_length_is_a_failed_attempt "a negative length":
        raw(&format!("{HEAD}: -1\r\n\r\n")) => Failed(502, "bad_response", &["the answer is not valid HTTP"]);
    // F12: the row 93.
    "93" a_chunk_without_a_size_is_a_failed_attempt "a chunk without a size":
        Script::ok().chunked("application/json").raw("xyz\r\nabc\r\n").close() => Failed(502, "stream_cut", &["the answer was cut before its end"]);
    "93" chunks_that_end_early_are_a_failed_attempt "chunks that end early":
        Script::ok().chunked("application/json").chunk(half()).close() => Failed(502, "stream_cut", &["the answer was cut before its end"]);
    "93" chunks_that_are_reset_are_a_failed_attempt "chunks, then a reset":
        Script::ok().chunked("application/json").chunk(half()).reset() => Failed(502, "stream_cut", &["the answer was cut before its end"]);
    "93" a_body_that_ends_early_is_a_failed_attempt "half of the declared body":
        Script::ok().declared_length(completion().len()).body("application/json", half()).close() => Failed(502, "stream_cut", &["the answer was cut before its end"]);
    "93" a_head_that_ends_early_is_a_failed_attempt "half of the head":
        raw(HEAD).close() => Failed(502, "connect", &["the connection was closed in the head of the answer"]);
    "93" a_reset_is_a_failed_attempt "a reset instead of an answer":
        Script::ok().reset() => Failed(502, "connect", &["the connection was closed before an answer came"]);
    "93" an_end_is_a_failed_attempt "an end instead of an answer":
        Script::ok().close() => Failed(502, "connect", &["the connection was closed before an answer came"]);
    "93" another_protocol_is_a_failed_attempt "an SSH greeting":
        raw("SSH-2.0-OpenSSH_9.6\r\n\r\n").close() => Failed(502, "bad_response", &["the answer is not valid HTTP"]);
    "93" binary_is_a_failed_attempt "a TLS record from a plain port":
        Script::ok().raw([0x16, 3, 1, 2, 0, 1, 0, 13, 10, 13, 10]).close() => Failed(502, "bad_response", &["the answer is not valid HTTP"]);
    "94" a_compressed_answer_of_nothing_is_a_failed_attempt "gzip that unpacks to nothing":
        gzip() => Failed(502, "bad_response", &["the upstream answered 200 with an empty body"]);
    "94" an_encoding_that_does_not_exist_is_refused "an encoding that does not exist":
        Script::ok().header("content-encoding", "zip-bomb").json(&openai::chat_completion("gpt-4o", "x"))
        => Failed(502, "bad_response", &["the answer is compressed in a way that is not known, which was not asked for"]);
}

#[test]
fn an_endless_retry_after_is_not_passed_on() {
    // Bad input, row 87.
    let upstream = FakeUpstream::with(|_| Script::rate_limited(1 << 40));
    let answer = chat(&lone(&upstream).router(json!({"num_retries": 0})).start(), "m");
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("3600")));
}

#[test]
fn every_way_to_write_events_is_accepted() {
    // Bad input, row 95.
    let one = format!("data: {}", openai::content_chunk("gpt-4o", "gr\u{fc}\u{df}e "));
    let two = format!("data:{}", openai::content_chunk("gpt-4o", "\u{1f600}"));
    let end = format!("data: {}", openai::finish_chunk("gpt-4o", "stop"));
    for ending in ["\n", "\r\n", "\r"] {
        let text = format!(
            "\u{feff}: hello{ending}{ending}event: x{ending}id: 7{ending}{one}{ending}{ending}\
             : ping{ending}{ending}{two}{ending}{ending}retry: 5{ending}{end}{ending}{ending}data: [DONE]{ending}{ending}"
        );
        // In one piece, in single bytes (and so through every character), and in odd pieces.
        for size in [text.len(), 1, 7] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            expect_stream(&pieces, "gr\u{fc}\u{df}e \u{1f600}");
        }
    }
    let without_an_end = format!("{one}\n\n{end}\n\ndata: [DONE]");
    expect_stream(&[without_an_end.as_bytes()], "gr\u{fc}\u{df}e ");
}

#[test]
fn odd_events_are_tolerated() {
    // Bad input, row 97.
    let event = |text: &str| format!("data: {text}\n\n").into_bytes();
    let chunk = |text: &str| event(&openai::content_chunk("gpt-4o", text).to_string());
    let finish = event(&openai::finish_chunk("gpt-4o", "stop").to_string());
    let usage = event(
        r#"{"choices":[],"usage":{"prompt_tokens":-5,"completion_tokens":-7,"total_tokens":-12}}"#,
    );
    let jump = event(r#"{"choices":[{"index":7,"delta":{"content":"b"}}]}"#);
    let done = event("[DONE]");
    let cases: [&[&[u8]]; 4] = [
        &[&chunk("a"), &finish, &finish, &done],
        &[&chunk("a"), &finish, &done, &chunk("late")],
        &[&chunk("a"), &jump, &finish, &done],
        &[&chunk("a"), &finish, &usage, &done],
    ];
    for (case, text) in cases.into_iter().zip(["a", "a", "ab", "a"]) {
        expect_stream(case, text);
    }
}

#[test]
fn tool_arguments_that_are_not_json_are_passed_on() {
    // Bad input, row 99.
    let calls = json!([
        {"index": 0, "id": "same", "type": "function", "function": {"name": "f", "arguments": "{\"a\":"}},
        {"index": 1, "id": "same", "type": "function", "function": {"name": "f", "arguments": "]"}},
        {"index": 2, "type": "function", "function": {"name": "f", "arguments": ""}},
    ]);
    let mut full = openai::chat_completion("gpt-4o", "x");
    full["choices"][0]["message"]["tool_calls"] = calls.clone();
    let mut chunk = openai::content_chunk("gpt-4o", "");
    chunk["choices"][0]["delta"]["tool_calls"] = calls.clone();
    let upstream = FakeUpstream::start();
    upstream.push(Script::ok().json(&full));
    upstream.push(Script::ok().sse(&[chunk, openai::finish_chunk("gpt-4o", "tool_calls")]));
    let hale = lone(&upstream).start();
    assert_eq!(chat(&hale, "m").json()["choices"][0]["message"]["tool_calls"], calls);
    let mut client = client(&hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    let events = stream.remaining();
    assert_eq!(events[0].json()["choices"][0]["delta"]["tool_calls"], calls);
    assert!(events.last().unwrap().is_done());
}

#[test]
fn an_unrequested_answer_reaches_no_client() {
    // Bad input, row 100.
    let mine = completion();
    let stolen = openai::chat_completion("gpt-4o", "stolen").to_string();
    let answer = |body: &str| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
        format!("{head}: {}\r\n\r\n{body}", body.len())
    };
    // In one write with the answer, and in a write of its own that comes a little later.
    let together = raw(&format!("{}{}", answer(&mine), answer(&stolen)));
    let later = raw(&answer(&mine)).wait("later").raw(answer(&stolen));
    for script in [together, later] {
        let upstream = FakeUpstream::scripted([script]);
        let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
        let text = |answer: hale_testkit::Response| {
            answer.json()["choices"][0]["message"]["content"].clone()
        };
        assert_eq!(text(chat(&hale, "m")), "whole");
        upstream.release("later");
        upstream.wait_for(|state| state.answered() == 1);
        for _ in 0..3 {
            let next = chat(&hale, "m");
            assert_eq!(next.status, 200, "{}", next.text());
            assert_eq!(text(next), openai::TEXT);
        }
    }
}
