//! What a request asks of routing: its headers, and the fields of its body that are meant for the gateway.
//!
//! Called by [`super::opening`] and the page that explains routing. Always true: headers win over the body.

use std::sync::atomic::Ordering;

use hale_core::provider::WireFormat;
use hale_core::route::{Controls, TagWish};
use hale_wire::controls::{self, Length};
use hale_wire::peek::{Peek, seconds_to_ms};
use http::{HeaderMap, HeaderName};

use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::state::Serving;

const NUM_RETRIES: HeaderName = HeaderName::from_static("x-litellm-num-retries");
const TIMEOUT: HeaderName = HeaderName::from_static("x-litellm-timeout");
const STREAM_TIMEOUT: HeaderName = HeaderName::from_static("x-litellm-stream-timeout");
const TAGS: HeaderName = HeaderName::from_static("x-litellm-tags");
const EXPLAIN: HeaderName = HeaderName::from_static("x-hale-explain");

/// A request whose controls are read.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// Its config.
    pub(crate) serving: &'a Serving,
    /// The format of its body.
    pub(crate) format: WireFormat,
    /// The fields of its body.
    pub(crate) peek: &'a Peek,
    /// Its headers.
    pub(crate) headers: &'a HeaderMap,
}

/// What headers and body ask of routing. The calling code sets whether the answer is a stream.
pub(crate) fn all_controls(source: Source<'_>) -> Result<Controls, Refusal> {
    let mut controls = controls(source.peek, source.headers)?;
    inspect(source, &mut controls)?;
    Ok(controls)
}

fn controls(peek: &Peek, headers: &HeaderMap) -> Result<Controls, Refusal> {
    let controls = header_controls(headers)?;
    if !peek.has_controls() {
        return Ok(controls);
    }
    let bad = |error| refusal::bad_body(&error);
    let timeout = match peek.seconds("timeout").map_err(bad)? {
        Some(ms) => Some(ms),
        None => peek.seconds("request_timeout").map_err(bad)?,
    };
    Ok(Controls {
        num_retries: controls.num_retries.or(peek.count("num_retries").map_err(bad)?),
        timeout_ms: controls.timeout_ms.or(timeout),
        stream_timeout_ms: controls
            .stream_timeout_ms
            .or(peek.seconds("stream_timeout").map_err(bad)?),
        fallbacks: controls::fallbacks(peek, "fallbacks").map_err(bad)?,
        context_window_fallbacks: controls::fallbacks(peek, "context_window_fallbacks")
            .map_err(bad)?,
        content_policy_fallbacks: controls::fallbacks(peek, "content_policy_fallbacks")
            .map_err(bad)?,
        disable_fallbacks: peek.boolean("disable_fallbacks").map_err(bad)?.unwrap_or(false),
        max_fallbacks: peek.count("max_fallbacks").map_err(bad)?,
        region: peek.string("allowed_model_region").map_err(bad)?.map(Box::from),
        ..Controls::default()
    })
}

/// Reads the parts of the request that restrict its deployments, if the config uses them.
fn inspect(source: Source<'_>, controls: &mut Controls) -> Result<(), Refusal> {
    let Source { serving, format, peek, headers } = source;
    let inspects = serving.snapshot.inspects;
    if inspects.length || serving.reads_needs.load(Ordering::Relaxed) {
        let length = if inspects.length { Length::Measured } else { Length::Ignored };
        controls.needs = controls::needs(peek, format, length);
    }
    if inspects.hours {
        controls.unix_ms = clock::unix_ms();
    }
    if !inspects.tags {
        return Ok(());
    }
    let prefix = &*serving.snapshot.router.tags.prefix;
    let mut wish = TagWish::default();
    for value in headers.get_all(&TAGS) {
        let text = value.to_str().map_err(|_| refusal::bad_header(&TAGS, "plain text"))?;
        text.split(',').for_each(|tag| wish.add(tag, prefix));
    }
    controls::tags(peek, &mut wish, prefix).map_err(|error| refusal::bad_body(&error))?;
    let agent = headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
    wish.user_agent = agent.unwrap_or_default().into();
    controls.tags = Some(Box::new(wish));
    Ok(())
}

pub(super) fn wants_explanation(headers: &HeaderMap) -> Result<bool, Refusal> {
    match headers.get(&EXPLAIN).map(http::HeaderValue::as_bytes) {
        None | Some(b"0" | b"false") => Ok(false),
        Some(b"1" | b"true") => Ok(true),
        Some(_) => Err(refusal::bad_header(&EXPLAIN, "1 or 0")),
    }
}

/// What the headers ask of routing; they win over the body.
fn header_controls(headers: &HeaderMap) -> Result<Controls, Refusal> {
    let header = |name: &HeaderName| match headers.get(name) {
        None => Ok(None),
        Some(value) => {
            value.to_str().map(Some).map_err(|_| refusal::bad_header(name, "plain text"))
        }
    };
    let header_seconds = |name: &HeaderName| match header(name)? {
        None => Ok(None),
        Some(text) => seconds_to_ms(text)
            .map(Some)
            .ok_or_else(|| refusal::bad_header(name, "a number of seconds above 0, at most 86400")),
    };
    let header_retries = match header(&NUM_RETRIES)? {
        None => None,
        Some(text) => {
            Some(text.trim().parse().ok().filter(|n| *n <= 1000).ok_or_else(|| {
                refusal::bad_header(&NUM_RETRIES, "a whole number from 0 to 1000")
            })?)
        }
    };
    Ok(Controls {
        num_retries: header_retries,
        timeout_ms: header_seconds(&TIMEOUT)?,
        stream_timeout_ms: header_seconds(&STREAM_TIMEOUT)?,
        ..Controls::default()
    })
}
