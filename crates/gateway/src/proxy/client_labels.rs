//! What labels of metrics tell of a client, where the operator asked for such labels.
//!
//! Called by [`super::opening`] when a request is read. Always true: without such labels in the config nothing is read; what
//! cannot be read is empty, and refuses no request.

use hale_core::group::Pattern;
use hale_core::settings::ClientSource;
use hale_wire::peek::Peek;
use http::{HeaderMap, header};
use serde_json::Value;

use super::billed_to;
use crate::arrival::Arrival;

/// Longest `metadata` that is read for a label, bytes.
const METADATA_MAX: usize = 64 << 10;

/// The values of the labels of the config, in its order.
pub(super) fn values(
    arrival: &Arrival,
    headers: &HeaderMap,
    (customer, peek): (Option<&str>, &Peek),
) -> Box<[Option<Box<str>>]> {
    let settings = &arrival.serving.snapshot.gateway.metrics;
    let metadata = metadata(peek);
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let value = |source: &ClientSource| match source {
        ClientSource::EndUser => customer.map(Box::from),
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

/// The tags of a request. As in LiteLLM its program is among them.
fn tags(headers: &HeaderMap, peek: &Peek, agent: Option<&str>) -> Vec<Box<str>> {
    let mut tags = billed_to::wish(headers, peek).any;
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
    use crate::proxy::controls::TAGS;

    fn peek(body: &'static str) -> Peek {
        Peek::parse(body.into()).unwrap()
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
