//! Bad requests that are well-formed HTTP: rows 35 to 76, over a raw socket.
//!
//! Always true: each is answered by the error of its row, nothing of it reaches the upstream, and the
//! process serves the next request.

use std::fmt;

use hale_testkit::FakeUpstream;
use serde_json::json;

use crate::hostile_table::{quoted, rows};
use crate::support::{CHAT, KEY, chat, expect_error, lone, metric};

/// What a client reads.
enum Expected {
    /// An error with this status, this `reason` and these texts.
    Error(u16, &'static str, &'static [&'static str]),
    /// An error after which the connection ends.
    Last(u16, &'static str, &'static [&'static str]),
    /// An answer like any other.
    Served,
    /// The provider's to judge: it gets these bytes as they came.
    PassedOn(&'static str),
}
use Expected::{Error, Last, PassedOn, Served};

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error(status, reason, says) => write!(f, "{status} `{reason}`: {}", quoted(says)),
            Last(status, reason, says) => {
                write!(f, "{status} `{reason}`: {}; the connection is closed", quoted(says))
            }
            Served => f.write_str("served"),
            PassedOn(_) => {
                f.write_str(
                    "between equal formats passed on unchanged: the provider's to judge, its 400 is \
                     relayed; between others a value passes too, and what cannot be read or expressed \
                     there is a 400 that names it",
                )
            }
        }
    }
}

/// A request with this start line and these further header lines.
fn request(start: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length =
        if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let mut bytes = format!("{start} HTTP/1.1\r\nhost: x\r\n{headers}{length}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn authorized() -> String {
    format!("authorization: Bearer {KEY}\r\n")
}

fn get(path: &str) -> Vec<u8> {
    request(&format!("GET {path}"), &authorized(), b"")
}

/// A GET that presents itself so.
fn with_key(headers: &str) -> Vec<u8> {
    request("GET /v1/models", headers, b"")
}

/// A chat request with this body.
fn post(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = format!("{}content-length: {}\r\n", authorized(), body.len());
    let mut bytes = request(&format!("POST {CHAT}"), &length, b"");
    bytes.extend_from_slice(body);
    bytes
}

/// A good chat request with these further members.
fn body(members: &str) -> Vec<u8> {
    post(format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{members}}}"#))
}

/// A good chat request with these further header lines.
fn headed(headers: &str) -> Vec<u8> {
    headed_body(headers, r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#)
}

fn headed_body(headers: &str, text: &str) -> Vec<u8> {
    request(&format!("POST {CHAT}"), &format!("{}{headers}", authorized()), text.as_bytes())
}

#[track_caller]
fn check(given: Vec<u8>, expected: &Expected) {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream)
        .general(json!({"max_request_size_mb": 3, "max_header_bytes": 32768}))
        .start();
    let mut client = hale.client();
    // A refusal may come before everything was sent.
    drop(client.send_raw(&given));
    let text = match expected {
        Error(status, reason, says) => {
            let answer = client.read_response().expect("an answer");
            expect_error(&answer, *status, reason);
            says.iter().for_each(|part| {
                assert!(answer.text().contains(part), "{part:?}: {}", answer.text())
            });
            answer.text()
        }
        Last(status, reason, says) => {
            let all = client.read_to_end().expect("the gateway closes");
            let text = String::from_utf8_lossy(&all).into_owned();
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
            assert!(text.contains("connection: close"), "{text}");
            assert!(text.contains(&format!(r#""reason":"{reason}""#)), "{text}");
            says.iter().for_each(|part| assert!(text.contains(part), "{part:?}: {text}"));
            text
        }
        Served | PassedOn(_) => {
            let answer = client.read_response().expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.text()
        }
    };
    match expected {
        Error(..) | Last(..) => assert_eq!(upstream.state().opened(), 0, "it reached the upstream"),
        PassedOn(part) => {
            assert!(upstream.request(0).text().contains(part), "{:?}", upstream.request(0))
        }
        Served => {}
    }
    let secrets = [KEY, "sk-wrong-one-of-a-stranger"];
    assert!(!secrets.iter().any(|key| text.contains(key) || hale.stderr().contains(key)), "{text}");
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(metric(&hale, "hale_panics_total", &[]), 0.0);
}

rows! {
    "35" an_unknown_path_names_the_nearest "an unknown path":
        get("/v1/chat/completion") => Error(404, "unknown_route", &["there is no GET /v1/chat/completion; did you mean /v1/chat/completions?"]);
    "35" a_path_out_of_the_tree_is_unknown "`/../../etc/passwd`":
        get("/../../etc/passwd") => Error(404, "unknown_route", &["there is no GET /../../etc/passwd"]);
    "36" a_wrong_method_names_the_right_one "a wrong method":
        get(CHAT) => Error(405, "method_not_allowed", &["/v1/chat/completions has no GET; use POST"]);
    "37" a_missing_key_is_said_to_be_missing "no key":
        with_key("") => Error(401, "missing_api_key", &["No api key passed in. Send `Authorization: Bearer <key>`."]);
    "38" another_scheme_is_malformed "`Authorization: Basic …`":
        with_key("authorization: Basic c2s6\r\n") => Error(401, "malformed_api_key", &["Ensure Key has `Bearer ` prefix, and send it once."]);
    "38" two_authorizations_are_malformed "two `Authorization` headers":
        with_key(&authorized().repeat(2)) => Error(401, "malformed_api_key", &["send it once"]);
    "38" the_case_of_the_scheme_and_spaces_do_not_matter "`bearer` in lower case, two spaces":
        with_key(&format!("authorization: bearer  {KEY}\r\n")) => Served;
    "39" a_key_of_twenty_kilobytes_is_unknown "a key of 20 KB":
        with_key(&format!("authorization: Bearer {}\r\n", "k".repeat(20_000))) => Error(401, "invalid_api_key", &["the key is not known to this gateway"]);
    "39" a_key_that_is_sql_is_unknown "a key that is SQL":
        with_key("x-api-key: ' OR 1=1; DROP TABLE keys; --\r\n") => Error(401, "invalid_api_key", &["Check the key that the client sends."]);
    "39" a_key_in_look_alike_letters_is_malformed "a key with letters that look alike":
        with_key(&format!("authorization: Bearer {}\r\n", KEY.replace('s', "\u{455}"))) => Error(401, "malformed_api_key", &["Malformed API Key passed in"]);
    "39" a_binary_key_is_malformed "a key of bytes":
        [b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\xfe\x80\r\n\r\n".to_vec()].concat() => Error(401, "malformed_api_key", &["Malformed API Key passed in"]);
    "40" an_unknown_key_is_not_repeated "an unknown key":
        with_key("authorization: Bearer sk-wrong-one-of-a-stranger\r\n") => Error(401, "invalid_api_key", &["the key is not known to this gateway"]);
    "45" an_empty_body_is_said_to_be_empty "an empty body":
        post("") => Error(400, "empty_body", &["the request body is empty; send a JSON object"]);
    "46" the_place_where_a_body_stops_being_json_is_named "a body that is not JSON":
        post("not json") => Error(400, "invalid_json", &["Invalid JSON payload: "]);
    "46" the_place_where_a_body_is_truncated_is_named "JSON that is cut off":
        post(r#"{"model":"m","messages":[{"#) => Error(400, "invalid_json", &["Invalid JSON payload: ", "expected a key in double quotes at line 1 column 27"]);
    "46" the_place_of_trailing_bytes_is_named "bytes after the JSON":
        post(r#"{"model":"m","messages":[{}]} trailing"#) => Error(400, "invalid_json", &["expected the end of the text at line 1 column 31"]);
    "46" a_trailing_comma_is_refused "a comma before the brace":
        post(r#"{"model":"m",}"#) => Error(400, "invalid_json", &["Invalid JSON payload: "]);
    "46" single_quotes_are_refused "single quotes":
        post("{'model':'m'}") => Error(400, "invalid_json", &["Invalid JSON payload: "]);
    "47" a_list_is_not_a_request "a list at the top":
        post("[]") => Error(400, "invalid_json", &["expected an object at line 1 column 1"]);
    "47" a_string_is_not_a_request "a string at the top":
        post("\"m\"") => Error(400, "invalid_json", &["expected an object at line 1 column 1"]);
    "47" null_is_not_a_request "`null` at the top":
        post("null") => Error(400, "invalid_json", &["expected an object at line 1 column 1"]);
    "48" ten_thousand_levels_are_refused "10 000 levels":
        body(&format!(r#","x":{}{}"#, "[".repeat(10_000), "]".repeat(10_000))) => Error(400, "invalid_json", &["nesting deeper than 256 levels"]);
    "48" a_hundred_thousand_fields_are_refused "100 000 fields":
        body(&(0..100_000).map(|n| format!(r#","f{n}":1"#)).collect::<String>()) => Error(400, "invalid_json", &["more than 10000 fields"]);
    "48" a_field_that_is_read_stands_once "two `model`s":
        body(r#","model":"n""#) => Error(400, "invalid_parameter", &["the field `model` stands twice; send it once", r#""param":"model""#]);
    "48" a_field_hidden_by_escapes_stands_once "two `stream`s, one written with escapes":
        body(r#","stream":true,"str\u0065am":false"#) => Error(400, "invalid_parameter", &["the field `stream` stands twice"]);
    "48" a_field_in_other_letters_is_refused "`MODEL` beside `model`: some servers do not heed case":
        body(r#","MODEL":"n""#) => Error(400, "invalid_parameter", &["the field `model` is written in other letters", r#""param":"model""#]);
    "71" a_credential_in_other_letters_is_refused "`Api_Key`, with a letter of another alphabet":
        body(r#","Api_\u212aey":"k""#) => Error(400, "invalid_parameter", &["the field `api_key` is written in other letters"]);
    "48" fields_of_the_provider_may_stand_twice "two `seed`s: the provider's to judge":
        body(r#","seed":1,"seed":2"#) => PassedOn(r#""seed":1,"seed":2"#);
    "49" the_place_of_bytes_that_are_not_utf_8_is_named "bytes that are not UTF-8":
        post([br#"{"model":"m","messages":[{}],"x":""#, &b"\xff\"}"[..]].concat()) => Error(400, "invalid_json", &["invalid UTF-8 at byte 34"]);
    "49" half_a_surrogate_is_the_providers_to_judge "half a surrogate in a field that is passed on":
        body(r#","user":"\ud800""#) => PassedOn(r#""user":"\ud800""#);
    "49" half_a_surrogate_is_not_a_model_name "half a surrogate in `model`":
        post(r#"{"model":"\ud800","messages":[{}]}"#) => Error(400, "invalid_parameter", &["`model` must be a string"]);
    "50" nan_is_not_json "`NaN`":
        body(r#","x":NaN"#) => Error(400, "invalid_json", &["Invalid JSON payload: "]);
    "50" a_leading_zero_is_not_json "`01`":
        body(r#","x":01"#) => Error(400, "invalid_json", &["Invalid JSON payload: "]);
    "50" large_numbers_are_the_providers_to_judge "`1e400`, `-0`, 2^63: passed on as they are":
        body(r#","a":1e400,"b":-0,"c":9223372036854775808"#) => PassedOn(r#""a":1e400,"b":-0,"c":9223372036854775808"#);
    "50" a_gateway_parameter_out_of_range_is_refused "`num_retries: 1e400`":
        body(r#","num_retries":1e400"#) => Error(400, "invalid_parameter", &["`num_retries` must be a whole number from 0 to 1000"]);
    "51" any_content_type_is_taken_for_json "`text/plain`":
        headed("content-type: text/plain\r\n") => Served;
    "51" utf_16_is_not_json "a body in UTF-16":
        post("{\"model\":\"m\"}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()) => Error(400, "invalid_json", &["Invalid JSON payload: "]);
    "52" an_unknown_coding_is_refused "a body in an unknown content coding":
        headed("content-encoding: compress\r\n") => Last(415, "encoded_body", &["send one of gzip, deflate, br and zstd"]);
    "52" several_codings_are_refused "a body that is compressed twice":
        headed("content-encoding: gzip, br\r\n") => Last(415, "encoded_body", &["send one of gzip, deflate, br and zstd"]);
    "52" a_plain_body_that_is_labelled_gzip_is_refused "plain JSON, labelled `gzip`":
        headed("content-encoding: gzip\r\n") => Last(400, "invalid_encoding", &["the request body is not valid gzip"]);
    "53" a_body_that_says_that_it_is_too_long_is_refused_unread "a length beyond the limit, and no byte of the body":
        request(&format!("POST {CHAT}"), &format!("{}content-length: 3145729\r\n", authorized()), b"")
        => Last(413, "body_too_large", &["the request body is larger than 3 MiB (max_request_size_mb)"]);
    "53" a_chunked_body_is_refused_as_soon_as_it_is_too_long "chunks beyond the limit, without an end":
        [request(&format!("POST {CHAT}"), &format!("{}transfer-encoding: chunked\r\n", authorized()), b""),
         format!("300001\r\n{}\r\n", "x".repeat(0x30_0001)).into_bytes()].concat()
        => Last(413, "body_too_large", &["larger than 3 MiB"]);
    "55" a_bad_key_is_refused_before_the_body_is_requested "`Expect: 100-continue` with a bad key":
        request(&format!("POST {CHAT}"), "authorization: Bearer sk-wrong-one-of-a-stranger\r\nexpect: 100-continue\r\ncontent-length: 99\r\n", b"")
        => Error(401, "invalid_api_key", &["the key is not known"]);
    "58" a_missing_model_is_named "no `model`":
        post(r#"{"messages":[{}]}"#) => Error(400, "missing_parameter", &["Missing required parameter: 'model'.", r#""param":"model""#]);
    "58" a_null_model_is_missing "`model: null`":
        post(r#"{"model":null,"messages":[{}]}"#) => Error(400, "missing_parameter", &["Missing required parameter: 'model'."]);
    "58" an_empty_model_is_not_a_name "`model: \"\"`":
        post(r#"{"model":"","messages":[{}]}"#) => Error(400, "invalid_parameter", &["`model` must be 1 to 1024 characters"]);
    "58" a_number_is_not_a_model "`model: 7`":
        post(r#"{"model":7,"messages":[{}]}"#) => Error(400, "invalid_parameter", &["`model` must be a string", r#""param":"model""#]);
    "59" an_unknown_model_names_the_page_of_models "an unknown model":
        post(r#"{"model":"mm","messages":[{}]}"#) => Error(400, "unknown_model", &["Invalid model name passed in model=mm. Call `/v1/models`"]);
    "60" a_model_with_control_characters_is_refused "a model with control characters":
        post(r#"{"model":"a\u0000\u001b[2Jb","messages":[{}]}"#) => Error(400, "invalid_parameter", &["`model` must be 1 to 1024 characters without control characters"]);
    "60" a_model_of_two_kilobytes_is_refused "a model of 2 KB":
        post(format!(r#"{{"model":"{}","messages":[{{}}]}}"#, "x".repeat(2048))) => Error(400, "invalid_parameter", &["`model` must be 1 to 1024 characters"]);
    "60" a_model_that_is_a_path_is_unknown "a model that is a path":
        post(r#"{"model":"../../etc/passwd","messages":[{}]}"#) => Error(400, "unknown_model", &["model=../../etc/passwd"]);
    "61" missing_messages_are_named "no `messages`":
        post(r#"{"model":"m"}"#) => Error(400, "missing_parameter", &["Missing required parameter: 'messages'.", r#""param":"messages""#]);
    "61" empty_messages_are_refused "no entry in `messages`":
        post(r#"{"model":"m","messages":[]}"#) => Error(400, "invalid_parameter", &["`messages` must be a list with at least one entry"]);
    "61" messages_that_are_not_a_list_are_refused "`messages` that are text":
        post(r#"{"model":"m","messages":"hi"}"#) => Error(400, "invalid_parameter", &["`messages` must be a list with at least one entry"]);
    "62" a_role_that_does_not_exist_is_passed_on "a role that does not exist, parts without content":
        post(r#"{"model":"m","messages":[{"role":"boss","content":[]}]}"#) => PassedOn(r#"[{"role":"boss","content":[]}]"#);
    "63" a_tool_result_without_its_call_is_passed_on "a tool result without its call":
        post(r#"{"model":"m","messages":[{"role":"tool","tool_call_id":"x","content":"1"}]}"#) => PassedOn(r#""tool_call_id":"x""#);
    "64" a_tool_that_refers_to_itself_is_passed_on "a tool whose schema refers to itself":
        body(r##","tools":[{"type":"function","function":{"name":"f","parameters":{"$ref":"#"}}}]"##) => PassedOn(r##"{"$ref":"#"}"##);
    "65" parameters_out_of_range_are_passed_on "`temperature: \"hot\"`, `top_p: 7`, `n: 0`, `max_tokens: -1`":
        body(r#","temperature":"hot","top_p":7,"n":0,"max_tokens":-1"#) => PassedOn(r#""temperature":"hot","top_p":7,"n":0,"max_tokens":-1"#);
    "66" two_limits_of_output_are_passed_on "both `max_tokens` and `max_completion_tokens`":
        body(r#","max_tokens":1,"max_completion_tokens":2"#) => PassedOn(r#""max_tokens":1,"max_completion_tokens":2"#);
    "67" stream_is_true_or_false "`stream: \"yes\"`":
        body(r#","stream":"yes""#) => Error(400, "invalid_parameter", &["`stream` must be true or false", r#""param":"stream""#]);
    "67" stream_options_are_an_object "`stream_options: 7`":
        body(r#","stream":true,"stream_options":7"#) => Error(400, "invalid_parameter", &["`stream_options` must be an object whose `include_usage` is true or false"]);
    "68" an_unknown_parameter_is_passed_on "an unknown parameter":
        body(r#","no_such_parameter":1"#) => PassedOn(r#""no_such_parameter":1"#);
    "69" an_image_at_an_address_is_never_fetched_here "an image at `file://` or an internal address: never fetched here":
        post(r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]}"#)
        => PassedOn(r#"{"url":"file:///etc/passwd"}"#);
    "71" an_address_in_the_body_is_refused "`api_base` in the body":
        body(r#","api_base":"http://127.0.0.1:1""#) => Error(400, "forbidden_parameter", &["`api_base` may not be set by a request; configure it for a deployment in model_list instead"]);
    "71" a_credential_in_the_body_is_refused "`api_key` in the body":
        body(r#","api_key":"k""#) => Error(400, "forbidden_parameter", &["`api_key` may not be set by a request"]);
    "71" an_address_hidden_by_escapes_is_refused "`api_base` written with escapes":
        body(r#","\u0061pi_base":"http://127.0.0.1:1""#) => Error(400, "forbidden_parameter", &["`api_base` may not be set"]);
    "71" headers_in_the_body_are_refused "`extra_headers` in the body":
        body(r#","extra_headers":{"authorization":"Bearer k"}"#) => Error(400, "forbidden_parameter", &["`extra_headers` may not be set"]);
    "71" a_config_in_the_body_is_refused "`user_config` in the body":
        body(r#","user_config":{"model_list":[]}"#) => Error(400, "forbidden_parameter", &["`user_config` may not be set"]);
    "71" a_canned_answer_in_the_body_is_refused "`mock_response` in the body":
        body(r#","mock_response":"x""#) => Error(400, "forbidden_parameter", &["`mock_response` asks for a simulated answer"]);
    "72" a_gateway_timeout_below_zero_is_refused "`x-litellm-timeout: -1`":
        headed("x-litellm-timeout: -1\r\n") => Error(400, "invalid_parameter", &["the header `x-litellm-timeout` must be a number of seconds above 0, at most 86400"]);
    "72" a_gateway_timeout_that_is_not_a_number_is_refused "`x-litellm-timeout: abc`":
        headed("x-litellm-timeout: abc\r\n") => Error(400, "invalid_parameter", &["the header `x-litellm-timeout` must be"]);
    "72" a_gateway_timeout_beyond_a_day_is_refused "`x-litellm-timeout: 1e9`":
        headed("x-litellm-timeout: 1e9\r\n") => Error(400, "invalid_parameter", &["the header `x-litellm-timeout` must be"]);
    "72" headers_of_other_proxies_are_ignored "`x-forwarded-*`":
        headed("x-forwarded-for: 127.0.0.1\r\nx-forwarded-host: evil.example\r\nx-forwarded-proto: ftp\r\n") => Served;
    "76" an_upgrade_to_another_protocol_is_not_made "an upgrade to a WebSocket where there is none: it is not made":
        with_key(&format!("{}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", authorized()))
        => Error(426, "no_websocket", &["/v1/models is no WebSocket here; send GET over HTTP"]);
    "76" a_repeated_idempotency_key_means_nothing_yet "`idempotency-key`: passed over":
        headed("idempotency-key: one\r\n") => Served;
}
