//! Full answers of these modes: checks their content and finds what they are charged as.
//!
//! Called by the conversion. Always true: a list of the wrong objects, a missing image or page, and invalid base64 are
//! faults.
//!
//! Sources: <https://platform.openai.com/docs/api-reference/images/object>,
//! <https://platform.openai.com/docs/api-reference/moderations/object>,
//! <https://docs.cohere.com/reference/rerank>, <https://docs.voyageai.com/reference/reranker-api>,
//! <https://jina.ai/reranker/>, <https://docs.mistral.ai/api/endpoint/ocr>.

use std::borrow::Cow;

use hale_core::operation::{Billing, Operation};
use hale_core::usage::{Quality, Units, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::base64::{fault_of_url, is_base64};
use super::transcripts;
use super::units::parse_size;
use crate::bytes::edit::Patch;
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::{key_place, texts};
use crate::formats::answer::{self, Fault, Observed};
use crate::formats::codec::Own;
use crate::formats::read_source::is_data;
use crate::formats::usage::{parse_response_usage, parse_usage};
use crate::formats::view::View;

/// What Voyage calls the results of a rerank.
const OTHER_RANKS: &str = "data";

/// What an answer reports besides its content.
#[derive(Default)]
struct Reported<'t> {
    usage: Option<&'t str>,
    meta: Option<&'t str>,
    size: Option<&'t str>,
    quality: Option<&'t str>,
    duration: Option<&'t str>,
}

/// Observes a full answer to `operation`.
pub(crate) fn observe_answer(
    operation: Operation,
    expected: Own,
    text: &str,
    view: &View,
) -> Result<Observed, Fault> {
    let names = [
        "model",
        "error",
        "usage",
        "usage_info",
        "meta",
        "size",
        "quality",
        "duration",
        operation.content_field(),
        OTHER_RANKS,
    ];
    let [model, error, usage, usage_info, meta, size, quality, duration, content, other] =
        answer::places(text, names)?;
    let other = other.filter(|_| expected == Own::Ranks && content.is_none());
    let is_other = other.is_some();
    let Some(content) = content.or(other).filter(|_| error.is_none()) else {
        return Err(Fault::without_content(operation, text, error));
    };
    let start = content.start;
    let content = &text[content];
    let count = match expected {
        Own::Images => images(content),
        Own::Transcript => transcript(content),
        Own::Verdicts => moderations(content),
        Own::Ranks => ranks(content),
        Own::Pages => pages(content),
    };
    // The later of the two counts, as with two members of the same name.
    let usage = [usage, usage_info].into_iter().flatten().max_by_key(|place| place.start);
    let [usage, meta, size, quality, duration] =
        [usage, meta, size, quality, duration].map(|place| place.map(|place| &text[place]));
    let reported = Reported { usage, meta, size, quality, duration };
    let usage = charged(operation.billing(), count.map_err(Fault::Malformed)?, &reported);
    let patches = view.renamed(text, model).map(|place| view.model_patch(place));
    let mut patches: Vec<Patch> = patches.into_iter().collect();
    if expected == Own::Ranks {
        let key = is_other.then(|| key_place(text, OTHER_RANKS)).flatten();
        patches.extend(key.map(|place| (place, "\"results\"".into())));
        add_documents(&mut patches, content, start);
        patches.sort_by_key(|(place, _)| place.start);
    }
    Ok(Observed { patches, usage })
}

/// Puts documents that are texts into the object that clients expect. `content` begins at `start`.
fn add_documents(patches: &mut Vec<Patch>, content: &str, start: usize) {
    if memchr::memmem::find(content.as_bytes(), b"\"document\"").is_none() {
        return;
    }
    for result in elements(content).into_iter().flatten() {
        let Ok([Some(document)]) = texts(result, ["document"]) else { continue };
        if !document.starts_with('"') {
            continue;
        }
        // A document is a slice of the content.
        let from = start + (document.as_ptr() as usize - content.as_ptr() as usize);
        let end = from + document.len();
        patches.push((from..from, "{\"text\":".into()));
        patches.push((end..end, "}".into()));
    }
}

/// The usage that is charged for `count` results.
fn charged(billing: Billing, count: u32, reported: &Reported<'_>) -> Option<Usage> {
    fn word(raw: Option<&str>) -> Option<Cow<'_, str>> {
        raw.and_then(|raw| serde_json::from_str(raw).ok())
    }
    match billing {
        Billing::Images => {
            let units = Units {
                images: count,
                size: word(reported.size).and_then(|size| parse_size(&size)),
                quality: word(reported.quality).and_then(|name| Quality::named(&name)),
                ..Units::default()
            };
            let tokens = reported.usage.and_then(parse_response_usage).unwrap_or_default();
            Some(Usage { units, ..tokens })
        }
        Billing::Searches => {
            let searches = reported.meta.and_then(billed_searches).unwrap_or(0);
            let tokens = reported.usage.and_then(all_tokens).unwrap_or_default();
            let units = Units { searches, ..Units::default() };
            Some(Usage { units, ..tokens }).filter(|usage| *usage != Usage::default())
        }
        Billing::Pages => {
            let pages = reported.usage.and_then(pages_processed).unwrap_or(count);
            Some(Usage { units: Units { pages, ..Units::default() }, ..Usage::default() })
        }
        Billing::Heard => transcripts::usage(reported.usage, reported.duration),
        Billing::Tokens | Billing::Characters => reported.usage.and_then(parse_usage),
    }
}

/// A text; empty if there was no speech.
fn transcript(raw: &str) -> Result<u32, String> {
    match raw.starts_with('"') {
        true => Ok(1),
        false => Err("a transcript whose `text` is no text".to_owned()),
    }
}

/// The length of a list that is not empty and whose values, read as that type, `check` accepts.
fn list<'t, T: Deserialize<'t>>(
    raw: &'t str,
    of: &str,
    check: impl Fn(T) -> Result<(), String>,
) -> Result<u32, String> {
    let wrong = || format!("no list of {of}");
    let mut count = 0u32;
    for value in elements(raw).ok_or_else(wrong)? {
        check(serde_json::from_str(value).map_err(|_| wrong())?)?;
        count = count.saturating_add(1);
    }
    if count == 0 { Err(format!("an empty list of {of}")) } else { Ok(count) }
}

fn images(raw: &str) -> Result<u32, String> {
    #[derive(Deserialize)]
    struct Image<'t> {
        #[serde(borrow)]
        b64_json: Option<Str<'t>>,
        #[serde(borrow)]
        url: Option<Str<'t>>,
    }
    list(raw, "images", |image: Image<'_>| match (image.b64_json, image.url) {
        (Some(data), _) if !is_base64(&data.0) => {
            Err("an image whose `b64_json` is not valid base64".to_owned())
        }
        (None, Some(url)) if url.0.is_empty() => Err("an image without a URL".to_owned()),
        (None, None) => Err("an image without `b64_json` and `url`".to_owned()),
        (Some(_), _) | (None, Some(_)) => Ok(()),
    })
}

fn moderations(raw: &str) -> Result<u32, String> {
    #[derive(Deserialize)]
    struct Verdict<'t> {
        #[serde(borrow)]
        categories: &'t RawValue,
    }
    let of = "verdicts with `categories`";
    list(raw, of, |verdict: Verdict<'_>| match verdict.categories.get().starts_with('{') {
        true => Ok(()),
        false => Err(format!("no list of {of}")),
    })
}

fn ranks(raw: &str) -> Result<u32, String> {
    #[derive(Deserialize)]
    struct Rank {
        #[serde(rename = "index")]
        _index: u64,
        #[serde(rename = "relevance_score")]
        _score: f64,
    }
    list(raw, "results with `index` and `relevance_score`", |_: Rank| Ok(()))
}

fn pages(raw: &str) -> Result<u32, String> {
    #[derive(Deserialize)]
    struct Image<'t> {
        #[serde(borrow)]
        image_base64: Option<Str<'t>>,
    }
    #[derive(Deserialize)]
    struct Page<'t> {
        #[serde(rename = "index")]
        _index: u64,
        #[serde(borrow)]
        markdown: &'t RawValue,
        #[serde(borrow)]
        images: Option<&'t RawValue>,
    }
    let of = "pages with `index` and `markdown`";
    let wrong = || format!("no list of {of}");
    list(raw, of, |page: Page<'_>| {
        let images = page.images.map_or("[]", RawValue::get);
        let images = elements(images).filter(|_| page.markdown.get().starts_with('"'));
        for image in images.ok_or_else(wrong)? {
            let image: Image<'_> = serde_json::from_str(image).map_err(|_| wrong())?;
            let Some(Str(data)) = image.image_base64 else { continue };
            let is_good = if is_data(&data) {
                fault_of_url(&data).is_none()
            } else {
                // Images are empty if the request did not ask for them.
                data.is_empty() || is_base64(&data)
            };
            if !is_good {
                let why = "a page with an image whose `image_base64` is not valid base64";
                return Err(why.to_owned());
            }
        }
        Ok(())
    })
}

/// The searches in Cohere's `meta`.
fn billed_searches(raw: &str) -> Option<u32> {
    #[derive(Deserialize)]
    struct Billed {
        search_units: Option<f64>,
    }
    #[derive(Deserialize)]
    struct Meta {
        billed_units: Option<Billed>,
    }
    let meta: Meta = serde_json::from_str(raw).ok()?;
    let units = meta.billed_units?.search_units?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count, and the cast saturates"
    )]
    Some(units.ceil() as u32)
}

/// The tokens of a provider that bills rerank by tokens. Most report only the sum.
fn all_tokens(raw: &str) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Counted {
        prompt_tokens: Option<u64>,
        total_tokens: Option<u64>,
    }
    let counted: Counted = serde_json::from_str(raw).ok()?;
    let input = counted.total_tokens.or(counted.prompt_tokens)?;
    Some(Usage { input, ..Usage::default() })
}

fn pages_processed(raw: &str) -> Option<u32> {
    #[derive(Deserialize)]
    struct Counted {
        pages_processed: Option<u32>,
    }
    serde_json::from_str::<Counted>(raw).ok()?.pages_processed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::codec::{self, Codec};

    fn observed(operation: Operation, text: &str) -> Result<Observed, Fault> {
        let Codec::Modes(own) = codec::of(operation) else { panic!("{operation:?}") };
        observe_answer(operation, own, text, &crate::fixture::view())
    }

    fn found(operation: Operation, text: &str) -> Result<Usage, String> {
        match observed(operation, text) {
            Ok(observed) => Ok(observed.usage.unwrap_or_default()),
            Err(Fault::Malformed(why)) => Err(why),
            Err(Fault::Error(error)) => panic!("{error:?}"),
        }
    }

    #[test]
    fn charged_units_are_read() {
        let image = r#"{"created":1,"data":[{"b64_json":"aGk="},{"url":"https://x.test/i.png"}],
            "size":"1024x1536","quality":"high","usage":{"input_tokens":9,"output_tokens":100}}"#;
        let usage = found(Operation::GenerateImage, image).unwrap();
        assert_eq!((usage.units.images, usage.input, usage.output), (2, 9, 100));
        assert_eq!(usage.units.size, Some((1024, 1536)));
        assert_eq!(usage.units.quality, Some(Quality::High));
        let cohere = r#"{"id":"1","results":[{"index":0,"relevance_score":0.9}],
            "meta":{"api_version":{"version":"2"},"billed_units":{"search_units":2}}}"#;
        assert_eq!(found(Operation::Rerank, cohere).unwrap().units.searches, 2);
        let vllm = r#"{"id":"1","model":"m","usage":{"total_tokens":56},
            "results":[{"index":0,"document":{"text":"a"},"relevance_score":1}]}"#;
        let usage = found(Operation::Rerank, vllm).unwrap();
        assert_eq!((usage.input, usage.units.searches), (56, 0));
        let ocr = r##"{"model":"o","pages":[{"index":0,"markdown":"# hi","images":[
            {"id":"i","image_base64":"data:image/jpeg;base64,aGk="},{"id":"j","image_base64":null}],
            "dimensions":null}],"usage_info":{"pages_processed":4,"doc_size_bytes":9}}"##;
        assert_eq!(found(Operation::Ocr, ocr).unwrap().units.pages, 4);
        let heard = r#"{"text":"","usage":{"type":"duration","seconds":9}}"#;
        assert_eq!(found(Operation::Transcribe, heard).unwrap().units.heard_ms, 9_000);
        let verbose = r#"{"task":"transcribe","duration":0.7,"text":"hi"}"#;
        assert_eq!(found(Operation::Transcribe, verbose).unwrap().units.heard_ms, 700);
        let verdict = r#"{"model":"m","results":[{"flagged":false,"categories":{"hate":false}}]}"#;
        assert_eq!(found(Operation::Moderate, verdict), Ok(Usage::default()));
    }

    #[test]
    fn ranks_have_one_shape_whatever_their_provider_calls_them() {
        let voyage = r#"{"object":"list","data":[{"relevance_score":0.9,"index":1,"document":"b \"c\""},{"relevance_score":0.1,"index":0}],
            "model":"rerank-2.5","usage":{"total_tokens":26}}"#;
        let observed = observed(Operation::Rerank, voyage).unwrap();
        let body = crate::bytes::edit::patched(voyage.as_bytes(), &observed.patches);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["results"][0]["document"], serde_json::json!({"text": "b \"c\""}));
        assert_eq!(
            (&body["model"], &body["data"]),
            (&serde_json::json!("mine"), &serde_json::Value::Null)
        );
        assert_eq!(observed.usage.unwrap().input, 26);
        let jina = r#"{"results":[{"index":0,"relevance_score":1,"document":{"text":"a"}},{"index":1,"relevance_score":0.5,"document":"b"}]}"#;
        let observed = super::tests::observed(Operation::Rerank, jina).unwrap();
        let body = crate::bytes::edit::patched(jina.as_bytes(), &observed.patches);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["results"][0]["document"], serde_json::json!({"text": "a"}));
        assert_eq!(body["results"][1]["document"], serde_json::json!({"text": "b"}));
        assert!(matches!(
            super::tests::observed(Operation::Moderate, voyage),
            Err(Fault::Malformed(_))
        ));
    }

    #[test]
    fn error_bodies_under_200_are_rejected() {
        let rows = [
            (Operation::GenerateImage, r#"{"data":[]}"#, "empty list"),
            (Operation::GenerateImage, r#"{"data":[{}]}"#, "without `b64_json`"),
            (Operation::GenerateImage, r#"{"data":[{"b64_json":"?"}]}"#, "not valid base64"),
            (Operation::GenerateImage, r#"{"data":[{"b64_json":""}]}"#, "not valid base64"),
            (Operation::GenerateImage, r#"{"data":[{"url":""}]}"#, "without a URL"),
            (Operation::GenerateImage, r#"{"data":"x"}"#, "no list of images"),
            (Operation::EditImage, r#"{"data":[]}"#, "empty list"),
            (Operation::Transcribe, r#"{"text":[]}"#, "no text"),
            (Operation::Moderate, r#"{"results":[{"flagged":true}]}"#, "categories"),
            (Operation::Rerank, r#"{"results":[{"index":0}]}"#, "relevance_score"),
            (Operation::Rerank, r#"{"results":{}}"#, "no list"),
            (Operation::Ocr, r#"{"pages":[{"index":0}]}"#, "markdown"),
            (
                Operation::Ocr,
                r#"{"pages":[{"index":0,"markdown":"","images":[{"image_base64":"%%"}]}]}"#,
                "not valid base64",
            ),
        ];
        for (operation, text, part) in rows {
            let why = found(operation, text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
        assert_eq!(found(Operation::Ocr, "{}"), Err("JSON without `pages`".to_owned()));
        let error = r#"{"pages":null,"error":{}}"#;
        assert!(matches!(observed(Operation::Ocr, error), Err(Fault::Error(_))));
    }
}
