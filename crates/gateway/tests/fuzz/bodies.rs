//! Request bodies: what is read of them, and what the edits leave unchanged.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use hale_core::config::{self, InMemory, Options};
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_core::route::TagWish;
use hale_core::snapshot::Snapshot;
use hale_wire::controls;
use hale_wire::edit::Edit;
use hale_wire::object::ObjectError;
use hale_wire::order::Order;
use hale_wire::peek::{Peek, PeekError};
use hale_wire::prepare::{Prepared, prepare};
use serde_json::value::RawValue;

use crate::fuzz;

const WORDS: &[&str] = &[
    "\"model\":",
    "\"stream\":true",
    "\"stream_options\":{\"include_usage\":false}",
    "\"messages\":[]",
    "\"max_tokens\":5",
    "\"max_completion_tokens\":6",
    "\"temperature\":1.5",
    "\"tools\":[]",
    "\"metadata\":{}",
    "\"num_retries\":3",
    "\"timeout\":0.5",
    "\"fallbacks\":[\"a\",{\"model\":\"b\"}]",
    "\"user\":null",
    "\"m\\u006fdel\":\"x\"",
    "\\ud83d\\ude00",
    "\\ud800",
    "\\\\",
    "\\\"",
    "1e400",
    "-0",
    "01",
    "[[[[",
    "]]]]",
    "{}",
    "null",
    "true",
    ",,",
    "\u{0}",
    "\u{fc}",
    "\"\":",
    "\"a\":{\"model\":1}",
    "\"api_base\":\"x\"",
    "\"content\":[{\"type\":\"text\",\"text\":\"a\"}]",
];

fuzz!("bodies", WORDS, check);

/// Deployments whose edits differ: as it came, with drops and defaults, with a provider's own names.
pub(crate) static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let yaml = "model_list:\n\
        - {model_name: a, litellm_params: {model: openai/gpt-4o, api_key: k}}\n\
        - {model_name: b, litellm_params: {model: openai/gpt-4o, api_key: k, temperature: 0.5, stop: [x], additional_drop_params: [user, tools]}}\n\
        - {model_name: c, litellm_params: {model: mistral/x, api_key: k, max_tokens: 7}}\n\
        - {model_name: d, litellm_params: {model: groq/x, api_key: k}}\n\
        - {model_name: e, litellm_params: {model: deepseek/x, api_key: k}}\n\
        - {model_name: f, litellm_params: {model: anthropic/claude-x, api_key: k, temperature: 0.5}}\n";
    let loaded = config::load(&InMemory::file("c", yaml), "c", Options::default(), None);
    loaded.snapshot.expect("a config without a problem")
});

/// The members of an object: key and value as written.
fn members(peek: &Peek) -> Vec<(&[u8], &[u8])> {
    let body = peek.body();
    peek.members().iter().map(|one| (&body[one.key()], &body[one.value()])).collect()
}

fn parsed(bytes: &Bytes) -> Peek {
    let text = std::str::from_utf8(bytes).expect("text stays text");
    serde_json::from_str::<&RawValue>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    match Peek::parse(bytes.clone()) {
        Ok(peek) => peek,
        Err(error) => panic!("{error}: {text}"),
    }
}

fn edits_keep_what_they_do_not_name(peek: &Peek) {
    let edits = [
        Edit::Set("model", Cow::Borrowed("\"gpt\"")),
        Edit::Remove("user"),
        Edit::Rename("max_tokens", "max_completion_tokens"),
        Edit::Default("temperature", "1"),
    ];
    let named = ["model", "user", "max_tokens", "max_completion_tokens", "temperature"];
    let is_named = |key: &[u8]| {
        serde_json::from_slice::<String>(key).is_ok_and(|key| named.contains(&key.as_str()))
    };
    let once = peek.edited(&edits);
    let edited = parsed(&once);
    let untouched = |peek: &Peek| -> Vec<(Vec<u8>, Vec<u8>)> {
        let kept = members(peek).into_iter().filter(|(key, _)| !is_named(key));
        kept.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    };
    assert_eq!(untouched(peek), untouched(&edited), "untouched members, in their order");
    assert_eq!(edited.raw("model"), Some("\"gpt\""));
    assert!(!edited.has("user") && edited.has("temperature"));
    assert_eq!(edited.edited(&edits), once, "edited twice is edited once");
    assert_eq!(peek.edited(&[]), *peek.body(), "no edit, no change");
}

fn every_provider_gets_json(peek: &Peek) {
    for deployment in &SNAPSHOT.deployments {
        for (operation, ask_usage) in [
            (Operation::Chat, false),
            (Operation::Chat, true),
            (Operation::Embedding, true),
            (Operation::Messages, true),
            (Operation::Responses, false),
            (Operation::GenerateImage, true),
            (Operation::Rerank, true),
            (Operation::Ocr, false),
        ] {
            // Other deployments never get it.
            if !deployment.serves(operation) {
                continue;
            }
            let order = Order {
                deployment,
                operation,
                upstream_model: "up/stream \"x\"",
                kept: None,
                client_version: None,
                ask_usage,
                drop_params: ask_usage,
                known: hale_core::health::Known::default(),
                prefix: None,
                seals: None,
                fetched: None,
                client_betas: None,
            };
            let body = |peek: &Peek| match prepare(peek, &order) {
                Ok(Prepared::Body(_, body, _)) => Some(body.joined()),
                Ok(
                    Prepared::Estimate(_)
                    | Prepared::Count(_)
                    | Prepared::Several(..)
                    | Prepared::Fetch(_),
                ) => {
                    panic!("no count was requested")
                }
                Err(unfit) => {
                    // The name of a field may be empty.
                    assert!(!unfit.message.is_empty(), "{unfit:?}");
                    None
                }
            };
            let passes = operation.format() == order.wire();
            let Some(once) = body(peek) else {
                assert!(!passes, "what passes is never unfit");
                continue;
            };
            let edited = parsed(&once);
            assert_eq!(edited.string("model").unwrap().as_deref(), Some("up/stream \"x\""));
            if passes {
                assert_eq!(body(&edited), Some(once), "made twice is made once");
            }
        }
    }
}

fn check(input: &[u8]) -> (u8, usize) {
    let raw = std::str::from_utf8(input).ok().map(serde_json::from_str::<&RawValue>);
    let is_object = matches!(&raw, Some(Ok(raw)) if raw.get().trim_start().starts_with('{'));
    let peek = match Peek::parse(Bytes::copy_from_slice(input)) {
        Ok(peek) => peek,
        Err(error) => {
            let strict = matches!(
                error,
                PeekError::Duplicate(_)
                    | PeekError::Letters(_)
                    | PeekError::Json(ObjectError::Depth | ObjectError::Members)
            );
            assert!(strict || !is_object, "{error} of an object");
            return (if strict { 1 } else { 2 }, error.to_string().len());
        }
    };
    assert!(is_object, "taken for an object");
    edits_keep_what_they_do_not_name(&peek);
    every_provider_gets_json(&peek);
    // Readers of single fields survive any content.
    let readings = [
        peek.string("model").is_ok(),
        peek.boolean("stream").is_ok(),
        peek.count("num_retries").is_ok(),
        peek.seconds("timeout").is_ok(),
        peek.wants_usage().is_ok(),
        controls::fallbacks(&peek, "fallbacks").is_ok(),
        controls::overridden(&peek, 0).is_some(),
        controls::tags(&peek, &mut TagWish::default(), "").is_ok(),
        controls::needs(&peek, WireFormat::OpenAi, controls::Length::Measured).input_tokens > 0,
        controls::needs(&peek, WireFormat::Anthropic, controls::Length::Measured).vision,
        peek.objections().next().is_none(),
        peek.has_controls(),
    ];
    let bits = readings.iter().fold(0usize, |bits, one| bits << 1 | usize::from(*one));
    (3, bits << 4 | peek.members().len().min(15))
}
