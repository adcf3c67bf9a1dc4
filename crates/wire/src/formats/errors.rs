//! Error bodies: reads those of providers, writes those of the gateway.
//!
//! Attempts read them, the gateway's replies are written with them. Always true: text from a provider is bounded
//! and has no control characters and nothing that looks like a key.

use std::borrow::Cow;

use hale_core::health::outcome::ProviderError;
use hale_core::provider::WireFormat;
use serde::Serialize;

use crate::bytes::elements::elements;
use crate::bytes::json::{Str, without_mark};
use crate::bytes::members::texts;
pub use crate::formats::google_error::google_code;
use crate::formats::google_error::{self, Google};

/// Longest message of a provider that is relayed, in characters.
pub const MESSAGE_MAX: usize = 1000;

/// The error in a provider's error body. Any bytes give a result.
#[must_use]
pub fn parse_provider_error(body: &[u8]) -> ProviderError {
    const NAMES: [&str; 10] = [
        "message",
        "type",
        "code",
        "param",
        "status",
        "details",
        // What AWS has beside them.
        "Message",
        "__type",
        "originalStatusCode",
        // As Ollama's cloud names the status, in its streams too.
        "StatusCode",
    ];
    let body = &*first_data(without_mark(body));
    let Ok(text) = std::str::from_utf8(body) else { return plain(body) };
    if let Some(Str(word)) =
        Some(text.trim()).filter(|text| is_short_string(text)).and_then(decoded)
    {
        return plain(word.as_bytes());
    }
    let text = first_object(text);
    let text = inner(text).unwrap_or(text);
    let beside = ["error", "detail", "error_type", "error_code"];
    let Ok([error, detail, error_type, error_code]) = texts(text, beside) else {
        return plain(body);
    };
    let object = error.filter(|error| error.starts_with('{')).unwrap_or(text);
    let Ok([message, kind, code, param, status, details, of_aws, class_of_aws, original, number]) =
        texts(object, NAMES)
    else {
        return plain(body);
    };
    let message = message.or(of_aws);
    let code = code.or(number);
    let message = match error {
        Some(error) if error.starts_with('"') => Some(error),
        Some(error) if error.starts_with('{') => message,
        Some(_) | None => message.or(detail),
    };
    // LiteLLM writes Python's `None` where there is nothing.
    let named = |raw: Option<&str>| shown(raw, 100).filter(|text| text != "None");
    // Google's class is a word beside its status.
    let class = status.filter(|raw| raw.starts_with('"'));
    let specific = details.filter(|_| class.is_some()).and_then(google_error::code);
    ProviderError {
        message: shown(message, MESSAGE_MAX).map(without_wrapping).unwrap_or_default(),
        kind: named(kind.or(error_type).or(class))
            .or_else(|| named(class_of_aws).map(|class| aws_class(&class).to_owned())),
        code: specific
            .map(|code| clean(&code, 100))
            .or_else(|| named(code.or(error_code).or(original))),
        param: named(param),
        wait_ms: google_error::wait_ms(details),
    }
}

/// The class of an error of AWS as a header or a body names it: `prefix#ThrottlingException:http://...`.
#[must_use]
pub fn aws_class(named: &str) -> &str {
    let named = named.split(':').next().unwrap_or_default();
    named.rsplit('#').next().unwrap_or_default().trim()
}

/// Whether a JSON text without the content of an answer is an error in one of the forms that servers have beside an
/// `error` member: the object of older vLLM and of LMDeploy, FastAPI's `detail`, Google's list, a bare message.
#[must_use]
#[cold]
pub(crate) fn is_error(text: &str) -> bool {
    let text = first_of_list(text).unwrap_or(text);
    let names = ["error", "object", "type", "detail", "message"];
    let Ok([error, object, kind, detail, message]) = texts(text, names) else { return false };
    let is_named = [object, kind].contains(&Some("\"error\""));
    is_named
        || error.is_some()
        || detail.is_some()
        || message.is_some_and(|message| message.starts_with('"'))
}

/// The object of an error, which may be the first one of a list.
pub(super) fn first_object(text: &str) -> &str {
    first_of_list(text).unwrap_or(text)
}

/// The error within another object: in FastAPI's `detail` (TabbyAPI), or in a list of `errors`, of which the reason of the first
/// says most (Cloudflare).
fn inner(text: &str) -> Option<&str> {
    let [error, detail, errors] = texts(text, ["error", "detail", "errors"]).ok()?;
    if error.is_some() {
        return None;
    }
    let says = |text: &&str| {
        texts(text, ["error", "message"]).is_ok_and(|found| found.iter().any(Option::is_some))
    };
    detail.filter(says).or_else(|| {
        let first = first_of_list(errors?)?;
        let [chain] = texts(first, ["error_chain"]).ok()?;
        chain.and_then(first_of_list).or(Some(first))
    })
}

/// The first object of a list: Google's form of an error on its OpenAI surface.
fn first_of_list(text: &str) -> Option<&str> {
    elements(text.trim())?.next().filter(|first| first.starts_with('{'))
}

/// The data of the first event with some, if the body is a stream of events: some servers send their errors so.
fn first_data(body: &[u8]) -> Cow<'_, [u8]> {
    const FIELDS: [&[u8]; 4] = [b"data:", b"event:", b"id:", b"retry:"];
    let text = body.trim_ascii_start();
    if !FIELDS.iter().any(|field| text.starts_with(field)) && !text.starts_with(b":") {
        return Cow::Borrowed(body);
    }
    let end = if text.contains(&b'\n') { b'\n' } else { b'\r' };
    let mut lines = text.split(|byte| *byte == end).map(<[u8]>::trim_ascii_end);
    let Some(first) = lines.find_map(data_of) else { return Cow::Borrowed(body) };
    // The data of one event may be written in several lines.
    let mut all = Cow::Borrowed(first);
    for more in lines.take_while(|line| !line.is_empty()).filter_map(data_of) {
        all.to_mut().push(b'\n');
        all.to_mut().extend_from_slice(more);
    }
    all
}

/// What a line of an event says, if it is one of its data.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"data:").map(<[u8]>::trim_ascii)
}

/// LiteLLM's text without the Python dictionary around it: `{'error': '...'}`.
fn without_wrapping(text: String) -> String {
    let inner = text.strip_prefix("{'error': '").and_then(|tail| tail.strip_suffix("'}"));
    inner.map(str::to_owned).unwrap_or(text)
}

/// A value of an error as text, cut to `max` characters. Truths say nothing.
fn shown(raw: Option<&str>, max: usize) -> Option<String> {
    let raw = raw?;
    match raw.as_bytes().first()? {
        b't' | b'f' => None,
        b'"' => Some(match decoded(raw).filter(|_| is_short_string(raw)) {
            Some(Str(text)) => clean(&text, max),
            // Its start is shown as it is written.
            None => clean(raw.trim_matches('"'), max),
        }),
        _ => Some(clean(raw, max)),
    }
}

/// Longest string of an error that is decoded, in bytes.
const DECODED_MAX: usize = 64 << 10;

fn is_short_string(raw: &str) -> bool {
    raw.len() <= DECODED_MAX && raw.starts_with('"')
}

fn decoded(raw: &str) -> Option<Str<'_>> {
    serde_json::from_str(raw).ok()
}

fn plain(body: &[u8]) -> ProviderError {
    let message = if is_html(body) {
        "the upstream answered with an HTML page".to_owned()
    } else {
        let end = body.len().min(MESSAGE_MAX * 4);
        clean(&String::from_utf8_lossy(&body[..end]), MESSAGE_MAX)
    };
    ProviderError { message, ..ProviderError::default() }
}

/// Whether a body looks like HTML.
#[must_use]
pub fn is_html(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    start.len() >= 5
        && (start[..5].eq_ignore_ascii_case(b"<html") || start[..5].eq_ignore_ascii_case(b"<!doc"))
}

/// `text` cut to `max` characters, without control characters, with keys masked.
#[must_use]
pub fn clean(text: &str, max: usize) -> String {
    // Most texts are ASCII without control characters; this loop is vectorized.
    let is_plain = text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    let out = if is_plain {
        text[..text.len().min(max)].to_owned()
    } else {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max).collect()
    };
    if out.contains("sk-") || out.contains("Bearer ") { mask(&out) } else { out }
}

fn mask(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, word) in text.split_inclusive([' ', '"', '\'', ',', ';', '(', ')']).enumerate() {
        let after_bearer = i > 0 && out.ends_with("Bearer ");
        match word.find("sk-") {
            Some(at) if word.len() - at > 8 => {
                out.push_str(&word[..at]);
                out.push_str("sk-...");
                push_delimiter(&mut out, word);
            }
            _ if after_bearer => {
                out.push_str("...");
                push_delimiter(&mut out, word);
            }
            _ => out.push_str(word),
        }
    }
    out
}

fn push_delimiter(out: &mut String, word: &str) {
    if let Some(last) = word.chars().last().filter(|c| !c.is_alphanumeric() && *c != '-') {
        out.push(last);
    }
}

/// An error as a client sees it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ErrorReply {
    /// What happened and what to do about it.
    pub message: String,
    /// The class: `invalid_request_error`, `rate_limit_error`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// The field that caused it.
    pub param: Option<String>,
    /// The HTTP status as text.
    pub code: String,
    /// The machine-readable cause: `unknown_model`, `deadline_exceeded`, ...
    pub reason: &'static str,
    /// The provider's own code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
    /// Seconds after which the client may try again, where its format says so in the body.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
    /// Why no other deployment has continued a broken stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescue: Option<&'static str>,
    /// For a refusal: the deployments that were excluded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deployments: Vec<DeploymentLine>,
    /// The attempts that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptLine>,
}

/// Why one deployment was excluded.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DeploymentLine {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its model group.
    pub model_group: String,
    /// `misconfigured`, `cooldown`, `trial`.
    pub state: &'static str,
    /// The cause's name.
    pub cause: &'static str,
    /// Since when, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Seconds until it may be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// The last status of its upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
    /// What to do.
    pub hint: String,
}

/// One failed attempt.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AttemptLine {
    /// The model group.
    pub model_group: String,
    /// The deployment's name for people: its id if the config gives one.
    pub deployment: String,
    /// The upstream's status.
    pub status: Option<u16>,
    /// The cause's name.
    pub cause: &'static str,
    /// The provider's message.
    pub message: String,
    /// How long it took.
    pub ms: u64,
}

impl ErrorReply {
    /// The body in `format`.
    #[must_use]
    pub fn body(&self, format: WireFormat) -> Vec<u8> {
        #[derive(Serialize)]
        struct OpenAi<'e> {
            error: &'e ErrorReply,
        }
        #[derive(Serialize)]
        struct Anthropic<'e> {
            #[serde(rename = "type")]
            kind: &'static str,
            error: &'e ErrorReply,
        }
        let mut body = Vec::with_capacity(self.size_hint());
        // Writing to memory cannot fail.
        let _written: Result<(), _> = match format {
            WireFormat::OpenAi | WireFormat::Responses | WireFormat::Ollama => {
                serde_json::to_writer(&mut body, &OpenAi { error: self })
            }
            WireFormat::Anthropic => {
                let kind = anthropic_kind(&self.kind, &self.code).to_owned();
                let error = &ErrorReply { kind, ..self.clone() };
                serde_json::to_writer(&mut body, &Anthropic { kind: "error", error })
            }
            WireFormat::Gemini => serde_json::to_writer(&mut body, &Google::of(self)),
            WireFormat::Cohere => {
                let (message, error) = (&*self.message, self);
                serde_json::to_writer(&mut body, &Cohere { message, error })
            }
            // Its class is in a header.
            WireFormat::Converse => serde_json::to_writer(&mut body, self),
        };
        body
    }

    /// About how many bytes the body has: what is fixed, and the long texts.
    fn size_hint(&self) -> usize {
        let deployments = self.deployments.iter().map(|line| 200 + line.hint.len());
        let attempts = self.attempts.iter().map(|line| 200 + line.message.len());
        150 + self.message.len() + deployments.chain(attempts).sum::<usize>()
    }

    /// The body as an event of a stream in `format`.
    #[must_use]
    pub fn event(&self, format: WireFormat) -> Vec<u8> {
        let start: &[u8] = match format {
            WireFormat::OpenAi
            | WireFormat::Gemini
            | WireFormat::Cohere
            | WireFormat::Responses
            | WireFormat::Converse
            | WireFormat::Ollama => b"data: ",
            WireFormat::Anthropic => b"event: error\ndata: ",
        };
        [start, &self.body(format), b"\n\n"].concat()
    }
}

/// An error in Cohere's format, with all that is known beside the text.
#[derive(Serialize)]
struct Cohere<'e> {
    message: &'e str,
    error: &'e ErrorReply,
}

/// The error type in Anthropic's vocabulary: the given one if it belongs to it, else the one for the status.
/// Source: <https://platform.claude.com/docs/en/api/errors>.
fn anthropic_kind<'k>(kind: &'k str, status: &str) -> &'k str {
    const KINDS: &[&str] = &[
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "api_error",
        "timeout_error",
        "overloaded_error",
    ];
    let by_status = match status {
        "401" => "authentication_error",
        "402" => "billing_error",
        "403" => "permission_error",
        "404" => "not_found_error",
        "413" => "request_too_large",
        "429" => "rate_limit_error",
        "408" | "504" => "timeout_error",
        "503" | "529" => "overloaded_error",
        other if other.starts_with('4') => "invalid_request_error",
        _ => "api_error",
    };
    match by_status {
        // Providers use this type for many errors; the status is more precise.
        special if kind == "invalid_request_error" => special,
        _ if KINDS.contains(&kind) => kind,
        other => other,
    }
}

/// The error type for a status, if the provider names none.
#[must_use]
pub fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "internal_server_error",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_error_shapes_of_known_providers_are_read() {
        let parse = |text: &str| parse_provider_error(text.as_bytes());
        let openai = parse(r#"{"error":{"message":"m","type":"t","param":"p","code":"c"}}"#);
        assert_eq!(openai.message, "m");
        assert_eq!(openai.kind.as_deref(), Some("t"));
        assert_eq!(openai.param.as_deref(), Some("p"));
        assert_eq!(openai.code.as_deref(), Some("c"));
        assert_eq!(parse(r#"{"error":"text"}"#).message, "text");
        assert_eq!(parse(r#"{"message":"text","code":42}"#).code.as_deref(), Some("42"));
        assert_eq!(parse(r#"{"detail":"Not Found"}"#).message, "Not Found");
        assert_eq!(parse(r#"{"detail":[{"loc":1}]}"#).message, r#"[{"loc":1}]"#);
        assert_eq!(parse("\"text\"").message, "text");
        let listed = parse(
            r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]"#,
        );
        assert_eq!((&*listed.message, listed.code.as_deref()), ("API key not valid.", Some("400")));
        assert_eq!(parse("[1,2]").message, "[1,2]");
        assert_eq!(
            parse("<!DOCTYPE html>secret").message,
            "the upstream answered with an HTML page"
        );
        assert_eq!(parse("plain\u{7}\n text").message, "plain   text");
    }

    /// The errors of servers that people run themselves, as their sources and users have them.
    #[test]
    fn every_recorded_error_of_a_server_has_its_cause() {
        use hale_core::health::outcome::{Observation, classify};
        use serde_json::Value;

        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/servers");
        let mut servers = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let rows: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            servers += 1;
            for row in rows.as_array().unwrap() {
                let body = match &row["body"] {
                    Value::String(text) => text.clone(),
                    object => object.to_string(),
                };
                let error = parse_provider_error(body.as_bytes());
                let observation = match row["status"].as_u64() {
                    Some(200) => Observation::InBand(&error),
                    Some(status) => Observation::Status(u16::try_from(status).unwrap(), &error),
                    None => panic!("{row}"),
                };
                let classified = classify(&observation);
                let about = format!("{:?}", classified.about);
                let expected = row["about"].as_str().unwrap_or("Whole");
                assert_eq!(classified.cause.name(), row["cause"], "{path:?} {row}");
                assert_eq!(about, expected, "{path:?} {row}");
            }
        }
        assert_eq!(servers, 16);
    }

    #[test]
    fn an_error_within_events_is_read() {
        let error = r#"{"error":{"message":"m","type":"t"}}"#;
        for (before, after) in [
            ("data: ", "\n\n"),
            ("event: error\ndata: ", "\n\ndata: [DONE]\n\n"),
            (": ping\r\n\r\nid: 1\r\ndata:", "\r\n\r\n"),
            ("\u{feff}data: ", ""),
        ] {
            let read = parse_provider_error(format!("{before}{error}{after}").as_bytes());
            assert_eq!((&*read.message, read.kind.as_deref()), ("m", Some("t")), "{before:?}");
        }
        let text = parse_provider_error(b"data centre on fire");
        assert_eq!(text.message, "data centre on fire");
        assert_eq!(parse_provider_error(b"event: error\n\n").message, "event: error  ");
    }

    #[test]
    fn keys_are_masked() {
        let text =
            clean("Incorrect API key provided: sk-abcdefghijkl. See (sk-proj-12345678).", 200);
        assert!(!text.contains("abcdefghijkl") && !text.contains("12345678"), "{text}");
        assert!(!clean("used Bearer abc.def.ghi, sorry", 200).contains("abc.def"));
        assert_eq!(clean("task-list is fine", 200), "task-list is fine");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_bounded_message(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let error = parse_provider_error(&body);
            prop_assert!(error.message.chars().count() <= MESSAGE_MAX + 8);
            prop_assert!(!error.message.chars().any(char::is_control));
        }
    }

    #[test]
    fn an_error_in_several_lines_of_one_event_is_read_whole() {
        for text in [
            "event: error\ndata: {\"error\":\ndata: {\"message\": \"m\", \"code\": 7}}\n\ndata: {\"error\": {\"message\": \"later\"}}\n\n",
            "event: error\r\ndata: {\"error\":\r\ndata: {\"message\": \"m\", \"code\": 7}}\r\n\r\ndata: x\r\n",
            "data: {\"error\": {\"message\": \"m\", \"code\": 7}}",
        ] {
            let error = parse_provider_error(text.as_bytes());
            assert_eq!((&*error.message, error.code.as_deref()), ("m", Some("7")), "{text}");
        }
    }
}
