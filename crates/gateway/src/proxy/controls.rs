//! What a request asks of routing: its headers, and the fields of its body that are meant for the gateway.
//!
//! Called by [`super::opening`] and the page that explains routing. Always true: headers win over the body.

use std::sync::atomic::Ordering;

use hale_core::provider::WireFormat;
use hale_core::route::{Controls, TagWish};
use hale_wire::affinity::{Headers as SessionHeaders, affinity};
use hale_wire::controls::{self, Length};
use hale_wire::peek::{Peek, PeekError, seconds_to_ms};
use http::{HeaderMap, HeaderName};

use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::state::Serving;

const NUM_RETRIES: HeaderName = HeaderName::from_static("x-litellm-num-retries");
const TIMEOUT: HeaderName = HeaderName::from_static("x-litellm-timeout");
const STREAM_TIMEOUT: HeaderName = HeaderName::from_static("x-litellm-stream-timeout");
pub(super) const TAGS: HeaderName = HeaderName::from_static("x-litellm-tags");
static SESSION: HeaderName = HeaderName::from_static("x-litellm-session-id");
/// The headers in which coding agents name their sessions: Claude Code, Codex, opencode.
static AGENT_SESSIONS: [HeaderName; 5] = [
    HeaderName::from_static("x-claude-code-session-id"),
    HeaderName::from_static("session-id"),
    HeaderName::from_static("session_id"),
    HeaderName::from_static("x-session-id"),
    HeaderName::from_static("x-session-affinity"),
];
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
    let own = Numbers::of(peek).map_err(bad)?;
    let settings = controls::overriding(peek).map_err(bad)?;
    let settings = match &settings {
        Some(settings) => Numbers::of(settings).map_err(bad)?,
        None => Numbers::default(),
    };
    let disabled = own.disable_fallbacks.or(settings.disable_fallbacks);
    Ok(Controls {
        num_retries: controls.num_retries.or(own.num_retries).or(settings.num_retries),
        timeout_ms: controls.timeout_ms.or(own.timeout_ms).or(settings.timeout_ms),
        stream_timeout_ms: controls
            .stream_timeout_ms
            .or(own.stream_timeout_ms)
            .or(settings.stream_timeout_ms),
        fallbacks: controls::fallbacks(peek, "fallbacks").map_err(bad)?,
        context_window_fallbacks: controls::fallbacks(peek, "context_window_fallbacks")
            .map_err(bad)?,
        content_policy_fallbacks: controls::fallbacks(peek, "content_policy_fallbacks")
            .map_err(bad)?,
        disable_fallbacks: disabled.unwrap_or(false),
        max_fallbacks: own.max_fallbacks.or(settings.max_fallbacks),
        // Clients of LiteLLM may send other values: they change nothing.
        drop_params: peek.raw("drop_params") == Some("true"),
        region: peek.string("allowed_model_region").map_err(bad)?.map(Box::from),
        ..Controls::default()
    })
}

/// The controls that are numbers or flags, of a request or of the settings that it overrides.
#[derive(Default)]
struct Numbers {
    num_retries: Option<u32>,
    timeout_ms: Option<u64>,
    stream_timeout_ms: Option<u64>,
    disable_fallbacks: Option<bool>,
    max_fallbacks: Option<u32>,
}

impl Numbers {
    fn of(peek: &Peek) -> Result<Numbers, PeekError> {
        let timeout_ms = match peek.seconds("timeout")? {
            Some(ms) => Some(ms),
            None => peek.seconds("request_timeout")?,
        };
        Ok(Numbers {
            num_retries: peek.count("num_retries")?,
            timeout_ms,
            stream_timeout_ms: peek.seconds("stream_timeout")?,
            disable_fallbacks: peek.boolean("disable_fallbacks")?,
            max_fallbacks: peek.count("max_fallbacks")?,
        })
    }
}

/// Reads the parts of the request that restrict its deployments, if the config uses them.
fn inspect(source: Source<'_>, controls: &mut Controls) -> Result<(), Refusal> {
    let Source { serving, format, peek, headers } = source;
    let inspects = serving.snapshot.inspects;
    if inspects.length || serving.reads_needs.load(Ordering::Relaxed) {
        let length = if inspects.length { Length::Measured } else { Length::Ignored };
        controls.needs = controls::needs(peek, format, length);
    }
    if inspects.home {
        controls.affinity = affinity(peek, serving.snapshot.router.affinity, session(headers));
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

/// The ids of sessions in the headers. One pass: most requests have fewer headers than there are names.
pub(super) fn session(headers: &HeaderMap) -> SessionHeaders<'_> {
    let mut found = SessionHeaders { own: None, of_agents: None };
    let mut best = AGENT_SESSIONS.len();
    let mut last = None;
    for (name, value) in headers {
        // Of a header that is repeated the first one counts.
        if last.replace(name) == Some(name) {
            continue;
        }
        let id = value.as_bytes().trim_ascii();
        if id.is_empty() {
            continue;
        }
        if *name == SESSION {
            found.own = Some(id);
        } else if let Some(rank) = AGENT_SESSIONS[..best].iter().position(|known| known == name) {
            (best, found.of_agents) = (rank, Some(id));
        }
    }
    found
}

pub(super) fn wants_explanation(headers: &HeaderMap) -> Result<bool, Refusal> {
    match headers.get(&EXPLAIN).map(http::HeaderValue::as_bytes) {
        None | Some(b"0" | b"false") => Ok(false),
        Some(b"1" | b"true") => Ok(true),
        Some(_) => Err(refusal::bad_header(&EXPLAIN, "1 or 0")),
    }
}

/// What the headers ask of routing; they win over the body.
pub(super) fn header_controls(headers: &HeaderMap) -> Result<Controls, Refusal> {
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
