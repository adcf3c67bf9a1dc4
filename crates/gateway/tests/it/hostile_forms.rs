//! Bad forms, and forms where none belong: row 70 and other faults of multipart bodies; and bad
//! answers to transcriptions.
//!
//! Always true: a refused form is answered by the error of its row, nothing of it reaches the upstream, and
//! the process serves the next request.

use std::fmt;

use hale_testkit::forms::{BOUNDARY, content_type, form};
use hale_testkit::{FakeUpstream, Script};
use serde_json::json;

use crate::forms::{TRANSCRIPTIONS, fake, post};
use crate::hostile_table::{quoted, rows};
use crate::support::{CHAT, KEY, client, expect_error, lone};

/// What a client sends: path, type and body.
struct Sent(&'static str, String, Vec<u8>);

/// An error with this status, this `reason` and these texts.
struct Refused(u16, &'static str, &'static [&'static str]);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`: {}", self.0, self.1, quoted(self.2))
    }
}

/// A body that is sent as a form to the transcription endpoint.
fn raw(content_type: &str, body: &str) -> Sent {
    Sent(TRANSCRIPTIONS, content_type.to_owned(), body.as_bytes().to_vec())
}

fn typed(body: &str) -> Sent {
    raw(&content_type(), body)
}

fn words(more: &[(&str, &[u8])]) -> Sent {
    let file = [("file", Some("a.wav"), &b"RIFF"[..])].into_iter();
    let parts: Vec<_> = file.chain(more.iter().map(|(name, word)| (*name, None, *word))).collect();
    Sent(TRANSCRIPTIONS, content_type(), form(&parts))
}

fn to(path: &'static str, content_type: &str, body: &str) -> Sent {
    Sent(path, content_type.to_owned(), body.as_bytes().to_vec())
}

#[track_caller]
fn check(given: Sent, expected: &Refused) {
    let upstream = fake();
    let hale = lone(&upstream).general(json!({"max_request_size_mb": 1})).start();
    let Sent(path, kind, body) = given;
    let headers = if kind.is_empty() { vec![] } else { vec![("content-type", &*kind)] };
    let answer = client(&hale).request("POST", path, &headers, &body);
    expect_error(&answer, expected.0, expected.1);
    let text = answer.text();
    expected.2.iter().for_each(|part| assert!(text.contains(part), "{part:?}: {text}"));
    assert!(upstream.requests().is_empty(), "it reached the upstream");
    let good = post(
        &hale,
        TRANSCRIPTIONS,
        &[("file", Some("../../etc/passwd"), b"x"), ("model", None, b"m")],
    );
    assert_eq!(good.status, 200, "{}", good.text());
}

const FORM: &str = "multipart/form-data";

/// A whole form whose part `model` has this head and content, behind a file.
fn with_model(head: &str, content: &str) -> Sent {
    typed(&format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n\
         --{BOUNDARY}\r\n{head}\r\n\r\n{content}\r\n--{BOUNDARY}--\r\n"
    ))
}

const MODEL: &str = "Content-Disposition: form-data; name=\"model\"";

rows! {
    "70" a_name_with_an_escape_is_refused "`name=\"mod\\el\"`: some readers drop the backslash":
        with_model("Content-Disposition: form-data; name=\"mod\\el\"", "m") => Refused(400, "invalid_form", &["part 2 of the form has no readable"]);
    "70" a_name_in_an_encoding_is_refused "`name*=utf-8''model` beside `name`":
        with_model("Content-Disposition: form-data; name=\"x\"; name*=utf-8''model", "m") => Refused(400, "invalid_form", &["part 2 of the form has no readable"]);
    "70" a_name_in_pieces_is_refused "`name*0` and `name*1` beside `name`":
        with_model("Content-Disposition: form-data; name=\"x\"; name*0=mo; name*1=del", "m") => Refused(400, "invalid_form", &["part 2 of the form has no readable"]);
    "70" a_control_character_in_a_head_is_refused "a NUL in the head of a part":
        with_model(&format!("X-One: a\0b\r\n{MODEL}"), "m") => Refused(400, "invalid_form", &["part 2 of the form has a control character in its head"]);
    "70" a_folded_head_is_refused "a header of a part that is folded":
        with_model(&format!("X-One: a\r\n {MODEL}"), "m") => Refused(400, "invalid_form", &["has a header that is folded over two lines"]);
    "70" a_space_before_the_colon_of_a_part_is_refused "a space before the colon in the head of a part":
        with_model(&MODEL.replace(": ", " : "), "m") => Refused(400, "invalid_form", &["has a space before the colon of a header"]);
    "70" an_encoded_part_is_refused "a part in base64":
        with_model(&format!("{MODEL}\r\nContent-Transfer-Encoding: Base64"), "bQ==") => Refused(400, "invalid_form", &["is encoded (`Content-Transfer-Encoding`); send it plain"]);
    "70" a_boundary_behind_a_bare_line_feed_is_refused "a boundary behind a line feed alone, within a part":
        with_model(MODEL, &format!("m\n--{BOUNDARY}\n{MODEL}\n\ndear")) => Refused(400, "invalid_form", &["part 2 of the form holds its boundary in a line that does not begin and end with CRLF"]);
    "70" a_closing_boundary_behind_a_bare_carriage_return_is_refused "a closing boundary behind a carriage return alone":
        with_model(MODEL, &format!("m\r--{BOUNDARY}--")) => Refused(400, "invalid_form", &["part 2 of the form holds its boundary"]);
    "70" a_boundary_before_a_bare_line_feed_is_refused "a boundary before a line feed alone":
        with_model(MODEL, &format!("m\r\n--{BOUNDARY}\n{MODEL}\n\ndear")) => Refused(400, "invalid_form", &["part 2 of the form holds its boundary"]);
    "70" a_form_with_a_field_in_other_letters_is_refused "`Model` beside `model` in a form":
        words(&[("model", b"m"), ("Model", b"dear")]) => Refused(400, "invalid_parameter", &["the field `model` is written in other letters"]);
    "70" a_form_where_json_belongs_is_refused "a form where JSON belongs":
        to(CHAT, &content_type(), "--x--") => Refused(415, "wrong_content_type", &["takes JSON: send `application/json`"]);
    "70" json_where_a_form_belongs_is_refused "JSON where a form belongs":
        to(TRANSCRIPTIONS, "application/json", r#"{"model":"m"}"#) => Refused(415, "wrong_content_type", &["takes a form: send `multipart/form-data`", "came as `application/json`"]);
    "70" a_form_without_its_type_is_refused "a form without `content-type`":
        to("/v1/files", "", "--x--") => Refused(415, "wrong_content_type", &["came without `content-type`"]);
    "70" a_missing_boundary_is_named "a form without a boundary":
        raw(FORM, "--x\r\n\r\n--x--") => Refused(400, "invalid_form", &["the boundary in `content-type` is missing", "let the client library set that header"]);
    "70" two_boundaries_are_refused "a form with two boundaries":
        raw("multipart/form-data; boundary=a; boundary=b", "--a--") => Refused(400, "invalid_form", &["stands twice"]);
    "70" a_long_boundary_is_refused "a boundary of 71 characters (one of 1 MiB is a head that is too long)":
        raw(&format!("{FORM}; boundary={}", "a".repeat(71)), "--a--") => Refused(400, "invalid_form", &["must have 1 to 70 characters"]);
    "70" a_boundary_of_another_body_is_refused "a boundary that is not the body's":
        raw("multipart/form-data; boundary=other", "--x\r\n\r\n--x--") => Refused(400, "invalid_form", &["does not begin the body"]);
    "70" a_form_that_was_cut_is_refused "a form without its end":
        typed("--form-boundary-0001\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nRIFF") => Refused(400, "invalid_form", &["ends without its closing boundary"]);
    "70" a_part_without_a_name_is_refused "a part without a name":
        typed("--form-boundary-0001\r\nContent-Type: a/b\r\n\r\n1\r\n--form-boundary-0001--") => Refused(400, "invalid_form", &["part 1 of the form has no readable"]);
    "70" a_part_with_an_endless_head_is_refused "a part whose head is longer than 8 KiB":
        typed(&format!("--form-boundary-0001\r\nx: {}\r\n\r\n1\r\n--form-boundary-0001--", "a".repeat(9_000))) => Refused(400, "invalid_form", &["headers of at most 8 KiB"]);
    "70" a_line_feed_alone_in_a_parts_head_is_refused "a part whose head has a line feed without a carriage return":
        typed("--form-boundary-0001\r\nx: \nContent-Disposition: form-data; name=\"b\"\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--form-boundary-0001--") => Refused(400, "invalid_form", &["a line end in its head that is not CRLF"]);
    "70" too_many_parts_are_refused "more than 1000 parts":
        words(&vec![("a", &b"1"[..]); 1_001]) => Refused(400, "invalid_form", &["more than 1000 parts"]);
    "70" a_form_within_a_form_is_content "a form within the file of a form: content; it has no `model` of its own":
        words(&[("prompt", b"--inner\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--inner--")]) => Refused(400, "missing_parameter", &["Missing required parameter: 'model'"]);
    "70" an_empty_form_is_refused "an empty body where a form belongs":
        typed("") => Refused(400, "empty_body", &["send a form with its parts"]);
    "70" a_form_without_a_model_is_refused "a form without `model`":
        words(&[]) => Refused(400, "missing_parameter", &["Missing required parameter: 'model'"]);
    "70" a_form_with_two_models_is_refused "a form with `model` twice":
        words(&[("model", b"m"), ("model", b"other")]) => Refused(400, "invalid_parameter", &["`model` stands twice"]);
    "70" a_model_that_is_a_file_is_refused "a `model` of 20 KB or one that is no text":
        words(&[("model", &[0xff; 9])]) => Refused(400, "invalid_parameter", &["`model` must be a string"]);
    "70" a_form_without_its_file_is_refused "a form without `file`":
        Sent(TRANSCRIPTIONS, content_type(), form(&[("model", None, b"m")])) => Refused(400, "missing_parameter", &["Missing required parameter: 'file'"]);
    "70" a_control_of_a_wrong_type_is_named "`num_retries: many` in a form":
        words(&[("model", b"m"), ("num_retries", b"many")]) => Refused(400, "invalid_parameter", &["`num_retries` must be a whole number"]);
    "70" a_control_in_an_odd_notation_is_refused "`fallbacks[0][model]` in a form":
        words(&[("model", b"m"), ("fallbacks[0][model]", b"x")]) => Refused(400, "invalid_parameter", &["send `fallbacks` once, as JSON text"]);
    "71" a_credential_in_a_form_is_refused "`api_key` or `extra_headers[x]` in a form":
        words(&[("model", b"m"), ("extra_headers[x]", b"y")]) => Refused(400, "forbidden_parameter", &["`extra_headers` may not be set by a request"]);
    "70" a_form_that_is_too_large_is_refused "a form larger than `max_request_size_mb`":
        words(&[("model", b"m"), ("prompt", &[b'a'; 1 << 20])]) => Refused(413, "body_too_large", &["larger than 1 MiB (max_request_size_mb)"]);
}

#[test]
fn a_form_of_exactly_100_mib_passes_and_one_byte_more_does_not() {
    // Bad input, row 70.
    let upstream = FakeUpstream::start();
    upstream.answer_with(|_| Script::ok().json(&json!({"text": "long"})));
    let hale = lone(&upstream).start();
    let words: [(&str, Option<&str>, &[u8]); 1] = [("model", None, b"m")];
    let frame = form(&[words[0], ("file", Some("a.wav"), b"")]).len();
    let mut file = vec![b'a'; (100 << 20) - frame];
    let largest = post(&hale, TRANSCRIPTIONS, &[words[0], ("file", Some("a.wav"), &file)]);
    assert_eq!(largest.status, 200, "{}", largest.text());
    // The deployment's name for the model is longer by five bytes.
    assert_eq!(upstream.request(0).body.len(), (100 << 20) + 5);
    file.push(b'a');
    let mut client = client(&hale);
    let head = format!(
        "POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: {}\r\n\
         content-length: {}\r\n\r\n",
        content_type(),
        frame + file.len()
    );
    client.send_raw(head.as_bytes()).unwrap();
    let error = expect_error(&client.read_response().unwrap(), 413, "body_too_large");
    assert!(error["message"].as_str().unwrap().contains("100 MiB"), "{error}");
    assert_eq!(upstream.requests().len(), 1);
}

/// The answer to a transcription, for a request of that format.
#[track_caller]
fn wrong(format: &str, answer: Script, says: &str) {
    let (bad, good) = (fake(), fake());
    bad.answer_with(move |_| answer.clone());
    let sent: [(&str, Option<&str>, &[u8]); 3] = [
        ("file", Some("a.wav"), b"RIFF"),
        ("model", None, b"m"),
        ("response_format", None, format.as_bytes()),
    ];
    let alone = lone(&bad).router(json!({"num_retries": 0})).start();
    let error = expect_error(&post(&alone, TRANSCRIPTIONS, &sent), 502, "upstream_failed");
    assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    let pair = crate::support::pair(&bad, &good).start();
    assert_eq!(post(&pair, TRANSCRIPTIONS, &sent).status, 200);
}

#[test]
fn a_transcription_of_the_wrong_type_is_a_failed_attempt() {
    // Bad input, row 78.
    let html = || Script::ok().body("text/html", "<html>portal</html>");
    let sound = || Script::ok().body("audio/mpeg", b"ID3\x04\xff");
    for format in ["json", "text"] {
        wrong(format, html(), "an HTML page");
        wrong(format, sound(), "not UTF-8");
        wrong(format, Script::ok().body("text/plain", ""), "an empty body");
    }
    wrong(
        "srt",
        Script::ok().json(&json!({"text": "hi"})),
        "although `response_format` asks for a text",
    );
    wrong("json", Script::ok().body("text/plain", "hi"), "no JSON object");
    wrong("json", Script::ok().json(&json!({"choices": [{}]})), "JSON without `text`");
    wrong("verbose_json", Script::ok().json(&json!({"text": ["hi"]})), "no text");
}
