//! What labels of metrics tell of a client, where the operator asked for such labels.
//!
//! Called by [`super::opening`] when a request is read. Always true: without such labels in the config nothing is read; what
//! cannot be read is empty, and refuses no request.

use hale_core::group::Pattern;
use hale_core::route::TagWish;
use hale_core::settings::ClientSource;
use hale_wire::controls;
use hale_wire::peek::Peek;
use http::{HeaderMap, header};
use serde_json::Value;

use super::controls::TAGS;
use crate::arrival::Arrival;

/// Longest `metadata` that is read, bytes.
pub(super) const METADATA_MAX: usize = 64 << 10;

/// The values of the labels of the config, in its order.
pub(super) fn values(
    arrival: &Arrival,
    headers: &HeaderMap,
    user: Option<&str>,
    peek: &Peek,
) -> Box<[Option<Box<str>>]> {
    let settings = &arrival.serving.snapshot.gateway.metrics;
    let metadata = metadata(peek);
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let value = |source: &ClientSource| match source {
        ClientSource::EndUser => match user {
            Some(user) => Some(Box::from(user)),
            None => end_user_of(peek, metadata.as_ref()),
        },
        ClientSource::Ip => arrival.connection.peer().map(|peer| peer.to_string().into()),
        ClientSource::Agent => agent.map(Box::from),
        ClientSource::Metadata(names) => {
            let found = names.iter().try_fold(metadata.as_ref()?, |at, name| at.get(&**name))?;
            found.as_str().map(Box::from)
        }
        ClientSource::Tag(pattern) => {
            let has = has_tag(&tags(headers, peek, agent), pattern);
            Some(Box::from(if has { "true" } else { "false" }))
        }
    };
    settings.client_labels.iter().map(|label| value(&label.source)).collect()
}

fn metadata(peek: &Peek) -> Option<Value> {
    let text = ["metadata", "litellm_metadata"].iter().find_map(|name| peek.raw(name))?;
    (text.len() <= METADATA_MAX).then(|| serde_json::from_str(text).ok()).flatten()
}

/// The client's own customer that the body names, wherever LiteLLM looks for it.
pub(super) fn end_user(peek: &Peek) -> Option<Box<str>> {
    let of = |name: &str| {
        let text = peek.raw(name).filter(|text| text.len() <= METADATA_MAX)?;
        serde_json::from_str::<Value>(text).ok()
    };
    let text = |value: &Value, name: &str| value.get(name)?.as_str().map(Box::<str>::from);
    let word = |name: &'static str| -> Option<Box<str>> {
        peek.word(name).map(|word| word.as_ref().into())
    };
    word("user")
        .or_else(|| text(&of("litellm_metadata")?, "user"))
        .or_else(|| text(&of("metadata")?, "user_id"))
        .or_else(|| word("safety_identifier"))
        .filter(|id| !id.is_empty())
}

/// The user that the body names, in OpenAI's format or in Anthropic's.
fn end_user_of(peek: &Peek, metadata: Option<&Value>) -> Option<Box<str>> {
    if let Some(user) = peek.word("user") {
        return Some(user.as_ref().into());
    }
    metadata?.get("user_id")?.as_str().map(Box::from)
}

/// The tags of a request. As in LiteLLM its program is among them.
fn tags(headers: &HeaderMap, peek: &Peek, agent: Option<&str>) -> Vec<Box<str>> {
    let mut wish = TagWish::default();
    for text in headers.get_all(&TAGS).iter().filter_map(|value| value.to_str().ok()) {
        text.split(',').for_each(|tag| wish.add(tag, ""));
    }
    // A body that is wrong is refused elsewhere.
    let _read: Result<(), _> = controls::tags(peek, &mut wish, "");
    let mut tags = wish.any;
    if let Some(agent) = agent {
        let program = agent.split('/').next().unwrap_or_default();
        tags.extend([program, agent].map(|name| format!("User-Agent: {name}").into()));
    }
    tags
}

fn has_tag(tags: &[Box<str>], pattern: &str) -> bool {
    let like = Pattern::parse(pattern);
    tags.iter().any(|tag| {
        **tag == *pattern || like.as_ref().is_some_and(|like| like.captures(tag).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(body: &'static str) -> Peek {
        Peek::parse(body.into()).unwrap()
    }

    #[test]
    fn the_user_is_named_in_the_format_of_the_body() {
        let of = |body| {
            let peek = peek(body);
            end_user_of(&peek, metadata(&peek).as_ref())
        };
        assert_eq!(of(r#"{"user": "u"}"#).as_deref(), Some("u"));
        assert_eq!(of(r#"{"metadata": {"user_id": "a"}}"#).as_deref(), Some("a"));
        assert_eq!(of(r#"{"metadata": {"user_id": 7}, "user": 7}"#), None);
        assert_eq!(of("{}"), None);
    }

    #[test]
    fn tags_are_those_of_header_body_and_program() {
        let mut headers = HeaderMap::new();
        headers.insert(TAGS, "prod, eu".parse().unwrap());
        let peek = peek(r#"{"metadata": {"tags": ["team-a"]}}"#);
        let tags = tags(&headers, &peek, Some("curl/8.5"));
        for (pattern, has) in [
            ("prod", true),
            ("eu", true),
            ("team-*", true),
            ("User-Agent: curl/*", true),
            ("User-Agent: curl", true),
            ("User-Agent: python/*", false),
            ("pro", false),
        ] {
            assert_eq!(has_tag(&tags, pattern), has, "{pattern}");
        }
    }
}
