//! What the cache of answers has to know of a request and of an answer.
//!
//! Called by the gateway where a cache is on. Always true: two requests share a fingerprint only if the same model would be
//! asked the same; an answer that a limit or a policy ended is not whole.

use std::borrow::Cow;

use hale_core::cache::CacheControls;
use hale_core::operation::Operation;

use crate::bytes::canonical;
use crate::bytes::elements::elements;
use crate::bytes::fields;
use crate::bytes::members::texts;
use crate::bytes::peek::{Names, Peek, seconds_to_ms};

/// Fields that name the model or the client and change no word of an answer. The model is known by its group.
static NAMING: Names = Names::new(&[
    "model",
    "user",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
]);

/// The longest time that a request can ask for, seconds: a year.
const TTL_MAX_S: u64 = 366 * 86_400;

/// What the body asks of the cache. What is not understood asks for nothing: it is advice.
#[must_use]
pub fn controls(peek: &Peek) -> CacheControls {
    let mut controls = CacheControls::default();
    if peek.raw("caching") == Some("false") {
        controls.no_cache = true;
        controls.no_store = true;
    }
    let names = ["no-cache", "no-store", "ttl", "s-maxage", "s-max-age", "namespace", "use-cache"];
    let Some(Ok([no_cache, no_store, ttl, max_age, max_age_too, namespace, wants])) =
        peek.raw("cache").map(|raw| texts(raw, names))
    else {
        return controls;
    };
    controls.no_cache |= no_cache == Some("true");
    controls.no_store |= no_store == Some("true");
    controls.wants_cache = wants == Some("true");
    controls.ttl_ms = ttl.and_then(ms);
    controls.max_age_ms = max_age.or(max_age_too).and_then(ms);
    controls.namespace = namespace
        .and_then(|raw| serde_json::from_str::<String>(raw).ok())
        .map(String::into_boxed_str);
    controls
}

/// Adds what a `cache-control` header says.
pub fn add_header(controls: &mut CacheControls, header: &str) {
    for directive in header.split(',').map(str::trim) {
        match directive.split_once('=') {
            None if directive.eq_ignore_ascii_case("no-cache") => controls.no_cache = true,
            None if directive.eq_ignore_ascii_case("no-store") => controls.no_store = true,
            Some((name, value)) if name.eq_ignore_ascii_case("s-maxage") => {
                controls.max_age_ms = ms(value).or(controls.max_age_ms);
            }
            None | Some(_) => {}
        }
    }
}

/// Whole seconds, or a fraction of one, as milliseconds.
fn ms(text: &str) -> Option<u64> {
    let whole = text.trim().trim_matches('"');
    match whole.parse::<u64>() {
        Ok(seconds) => Some(seconds.min(TTL_MAX_S) * 1_000),
        Err(_) => seconds_to_ms(whole),
    }
}

/// Whether the answer to `peek` may be kept: not if the provider is to keep it, too, since a kept answer cannot be read there.
#[must_use]
pub fn may_be_kept(peek: &Peek) -> bool {
    peek.form().is_none() && peek.raw("store") != Some("true")
}

/// Feeds what decides about the answer to `peek`. The order of its fields does not matter.
pub fn fingerprint(peek: &Peek, out: &mut impl FnMut(&[u8])) {
    fingerprint_with(peek, None, out);
}

/// The same with another `input`.
pub(super) fn fingerprint_with(peek: &Peek, input: Option<&str>, out: &mut impl FnMut(&[u8])) {
    let mut found = deciding(peek);
    // Of two fields with one name the provider may read either: they keep their order.
    found.sort_by(|one, other| one.0.cmp(&other.0));
    for (name, value) in &found {
        canonical::feed_name(name, out);
        canonical::feed(input.filter(|_| name == "input").unwrap_or(value), out);
        out(b",");
    }
}

fn deciding(peek: &Peek) -> Vec<(Cow<'_, str>, &str)> {
    let decides = |(name, value): &(Cow<'_, str>, &str)| {
        *value != "null" && !NAMING.has(name) && !fields::is_removed(name)
    };
    peek.fields().filter(decides).collect()
}

/// Whether a full answer in the format of `operation` came to its own end, and says so.
#[must_use]
pub fn is_whole(operation: Operation, answer: &str) -> bool {
    match operation {
        Operation::Chat | Operation::Completion => {
            let choices = texts(answer, ["choices"]).ok().and_then(|[choices]| choices);
            let mut ends =
                choices.and_then(elements).into_iter().flatten().map(|choice| {
                    texts(choice, ["finish_reason"]).ok().and_then(|[reason]| reason)
                });
            let mut any = false;
            ends.all(|end| {
                any = true;
                is_own_end(end)
            }) && any
        }
        Operation::Messages => {
            is_own_end(texts(answer, ["stop_reason"]).ok().and_then(|[reason]| reason))
        }
        Operation::GenerateContent => {
            let candidates = texts(answer, ["candidates"]).ok().and_then(|[candidates]| candidates);
            let mut ends = candidates
                .and_then(elements)
                .into_iter()
                .flatten()
                .map(|one| texts(one, ["finishReason"]).ok().and_then(|[reason]| reason))
                .peekable();
            ends.peek().is_some() && ends.all(is_own_end)
        }
        Operation::Embedding => true,
        _ => false,
    }
}

/// The same for a stream that is complete: some event says how it ended.
#[must_use]
pub fn is_whole_stream(operation: Operation, events: &str) -> bool {
    let (mut ended, mut broke) = (false, false);
    for data in events.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start) {
        let mut note = |reason: Option<&str>| match reason {
            None => {}
            Some(_) if is_own_end(reason) => ended = true,
            Some(_) => broke = true,
        };
        match operation {
            Operation::Chat | Operation::Completion => {
                let Ok([choices, error]) = texts(data, ["choices", "error"]) else { continue };
                for choice in choices.and_then(elements).into_iter().flatten() {
                    note(texts(choice, ["finish_reason"]).ok().and_then(|[reason]| reason));
                }
                broke |= error.is_some();
            }
            Operation::Messages => {
                let Ok([delta, error]) = texts(data, ["delta", "error"]) else { continue };
                note(delta.and_then(|delta| texts(delta, ["stop_reason"]).ok()?[0]));
                broke |= error.is_some();
            }
            Operation::GenerateContent => {
                let Ok([candidates, error]) = texts(data, ["candidates", "error"]) else {
                    continue;
                };
                for candidate in candidates.and_then(elements).into_iter().flatten() {
                    note(texts(candidate, ["finishReason"]).ok().and_then(|[reason]| reason));
                }
                broke |= error.is_some();
            }
            _ => return false,
        }
    }
    ended && !broke
}

/// Whether an answer ended because it was complete, not by a limit or a policy.
fn is_own_end(reason: Option<&str>) -> bool {
    const OWN: [&str; 8] = [
        "\"STOP\"",
        "\"stop\"",
        "\"tool_calls\"",
        "\"function_call\"",
        "\"end_turn\"",
        "\"tool_use\"",
        "\"stop_sequence\"",
        "\"eos\"",
    ];
    reason.is_some_and(|reason| OWN.contains(&reason))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn peek(text: &str) -> Peek {
        Peek::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn print(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        fingerprint(&peek(text), &mut |piece| out.extend_from_slice(piece));
        out
    }

    #[test]
    fn requests_that_ask_the_same_share_a_fingerprint() {
        let one = r#"{"model":"m","messages":[{"role":"user","content":"a b"}],"temperature":0}"#;
        for other in [
            r#"{ "temperature": 0, "messages": [ {"role":"user","content":"a\u0020b"} ], "model":"m" }"#,
            r#"{"temperature":0,"user":"u","messages":[{"role":"user","content":"a b"}],"model":"other"}"#,
            r#"{"temperature":0,"num_retries":1,"cache":{"ttl":3},"messages":[{"role":"user","content":"a b"}],
                "litellm_session_id":"x","metadata":{"a":1},"top_p":null}"#,
        ] {
            assert_eq!(print(one), print(other), "{other}");
        }
    }

    #[test]
    fn what_changes_an_answer_changes_the_fingerprint() {
        let one = r#"{"model":"m","messages":[{"role":"user","content":"a b"}],"temperature":0}"#;
        for other in [
            r#"{"model":"m","messages":[{"role":"user","content":"ab"}],"temperature":0}"#,
            r#"{"model":"m","messages":[{"role":"system","content":"a b"}],"temperature":0}"#,
            r#"{"model":"m","messages":[{"role":"user","content":"a b"}],"temperature":0.1}"#,
            r#"{"model":"m","messages":[{"role":"user","content":"a b"}],"temperature":0,"seed":1}"#,
            r#"{"model":"m","messages":[{"role":"user","content":"a b"}],"temperature":0,"stream":true}"#,
            r#"{"model":"m","messages":[{"role":"user","content":"a b"}],"temperature":0,"unknown":1}"#,
        ] {
            assert_ne!(print(one), print(other), "{other}");
        }
    }

    #[test]
    fn a_field_cannot_pretend_to_be_two() {
        assert_ne!(print(r#"{"a":"1","b":"2"}"#), print(r#"{"a":"1\",\"b\":\"2"}"#));
        assert_ne!(print(r#"{"a\":1,\"b":2}"#), print(r#"{"a":1,"b":2}"#));
    }

    #[test]
    fn a_body_and_a_header_ask_for_less() {
        let asks = |text: &str| controls(&peek(text));
        assert_eq!(asks(r#"{"cache":null}"#), CacheControls::default());
        assert_eq!(asks(r#"{"cache":7}"#), CacheControls::default());
        let all = asks(
            r#"{"cache":{"no-cache":true,"no-store":true,"ttl":10,"s-maxage":"2.5","namespace":"n","use-cache":true}}"#,
        );
        let expected = CacheControls {
            no_cache: true,
            no_store: true,
            ttl_ms: Some(10_000),
            max_age_ms: Some(2_500),
            namespace: Some("n".into()),
            wants_cache: true,
        };
        assert_eq!(all, expected);
        let off = asks(r#"{"caching":false}"#);
        assert!(off.no_cache && off.no_store);
        let mut of_header = CacheControls::default();
        add_header(&mut of_header, "No-Cache, s-maxage=5, max-age=0");
        assert_eq!(
            of_header,
            CacheControls { no_cache: true, max_age_ms: Some(5_000), ..CacheControls::default() }
        );
    }

    #[test]
    fn what_the_provider_is_to_keep_is_not_kept_here() {
        assert!(!may_be_kept(&peek(r#"{"store":true}"#)));
        assert!(may_be_kept(&peek(r#"{"store":false}"#)) && may_be_kept(&peek("{}")));
    }

    #[test]
    fn an_answer_is_whole_if_nothing_cut_it_short() {
        let chat = |reason: &str| {
            is_whole(
                Operation::Chat,
                &format!(
                    r#"{{"choices":[{{"finish_reason":"stop"}},{{"finish_reason":{reason}}}]}}"#
                ),
            )
        };
        assert!(chat(r#""stop""#) && chat(r#""tool_calls""#));
        assert!(!chat(r#""length""#) && !chat(r#""content_filter""#) && !chat("null"));
        assert!(!is_whole(Operation::Chat, r#"{"choices":[]}"#));
        assert!(is_whole(Operation::Messages, r#"{"stop_reason":"end_turn"}"#));
        for reason in ["max_tokens", "refusal", "pause_turn", "model_context_window_exceeded"] {
            let answer = format!(r#"{{"stop_reason":"{reason}"}}"#);
            assert!(!is_whole(Operation::Messages, &answer), "{reason}");
        }
        assert!(is_whole(Operation::Embedding, r#"{"data":[]}"#));
    }

    #[test]
    fn a_stream_is_whole_if_an_event_says_so_and_none_says_otherwise() {
        let chat = |text: &str| is_whole_stream(Operation::Chat, text);
        let open = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":null}]}\n\n";
        let end = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        assert!(!chat(open));
        assert!(chat(&format!("{open}{end}")));
        assert!(!chat(&end.replace("stop", "length")));
        assert!(!chat(&format!("{end}data: {{\"error\":{{\"message\":\"x\"}}}}\n\n")));
        let messages = |reason: &str| {
            let text = format!(
                "event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{reason}\"}}}}\n\n"
            );
            is_whole_stream(Operation::Messages, &text)
        };
        assert!(messages("end_turn") && !messages("max_tokens"));
    }
}
