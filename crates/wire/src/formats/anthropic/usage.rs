//! Token counts of the Anthropic wire.
//!
//! Called for every full answer or event that has a usage. Always true: the counts of a stream are cumulative, so a
//! later count replaces an earlier one, and a count that is missing later stays.

use hale_core::usage::{ServiceTier, Usage, Web};

use crate::bytes::scan::{self, ScanError};
use crate::formats::usage::{count_of, tier};

/// The counts so far. `input` does not include the cache's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_creation: Option<u64>,
    cache_creation_1h: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    searches: Option<u64>,
    tier: ServiceTier,
    /// Whether the end of the answer has been counted.
    has_end: bool,
}

impl Counts {
    /// Takes the counts of the `usage` object in `text`.
    pub(crate) fn take(&mut self, text: &str) {
        let bytes = text.as_bytes();
        // A usage that is null or not an object has no counts.
        let _none: Result<(), ScanError> = scan::members(bytes, |key, value| {
            let value = &text[value];
            let place = match &bytes[key] {
                b"\"input_tokens\"" => &mut self.input,
                b"\"cache_read_input_tokens\"" => &mut self.cache_read,
                b"\"cache_creation_input_tokens\"" => &mut self.cache_creation,
                b"\"output_tokens\"" => &mut self.output,
                b"\"output_tokens_details\"" => {
                    return detail(value, b"\"thinking_tokens\"", &mut self.thinking);
                }
                b"\"server_tool_use\"" => {
                    return detail(value, b"\"web_search_requests\"", &mut self.searches);
                }
                b"\"service_tier\"" => {
                    self.tier = tier(value);
                    return;
                }
                b"\"cache_creation\"" => {
                    let hour = b"\"ephemeral_1h_input_tokens\"";
                    return detail(value, hour, &mut self.cache_creation_1h);
                }
                _ => return,
            };
            // A negative or invalid count is ignored, and nothing does not erase what was counted.
            let counted = count_of(value).filter(|count| *count > 0 || place.is_none());
            *place = counted.or(*place);
        });
    }

    /// The same, of the event that ends the answer: nothing of what its start counted as output stays beside its count.
    pub(crate) fn take_end(&mut self, text: &str) {
        if std::mem::replace(&mut self.has_end, true) {
            return self.take(text);
        }
        let begun = self.output.take();
        self.take(text);
        self.output = self.output.or(begun);
    }

    /// The tokens; `None` as long as there are no counts.
    pub(crate) fn usage(&self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let cached_input = self.cache_read.unwrap_or(0);
        let cache_creation = self.cache_creation.unwrap_or(0);
        let input = self.input.unwrap_or(0);
        Some(Usage {
            input: input.saturating_add(cached_input).saturating_add(cache_creation),
            output: self.output.unwrap_or(0),
            cached_input,
            cache_creation,
            cache_creation_1h: self.cache_creation_1h.unwrap_or(0).min(cache_creation),
            reasoning: self.thinking.unwrap_or(0),
            web: Web {
                searches: u32::try_from(self.searches.unwrap_or(0)).unwrap_or(u32::MAX),
                ..Web::default()
            },
            tier: self.tier,
            ..Usage::default()
        })
    }
}

/// Takes the count `name` of the object in `text`, if there is one.
fn detail(text: &str, name: &[u8], into: &mut Option<u64>) {
    let bytes = text.as_bytes();
    let _none: Result<(), ScanError> = scan::members(bytes, |key, count| {
        if &bytes[key] == name {
            *into = count_of(&text[count]).or(*into);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_counts_nothing_replaces_what_the_start_counted() {
        let mut counts = Counts::default();
        counts.take(r#"{"input_tokens":5,"output_tokens":1}"#);
        counts.take_end(r#"{"output_tokens":0}"#);
        assert_eq!(counts.usage().unwrap().output, 0);
        counts.take_end(r#"{"output_tokens":7}"#);
        counts.take_end(r#"{"output_tokens":0}"#);
        assert_eq!(counts.usage().unwrap().output, 7, "a second end adds to the first");
        let mut counts = Counts::default();
        counts.take(r#"{"input_tokens":5,"output_tokens":1}"#);
        counts.take_end(r#"{"input_tokens":6}"#);
        assert_eq!(counts.usage().unwrap().output, 1, "no count");
    }

    #[test]
    fn later_counts_replace_earlier_ones_and_the_cache_counts_as_input() {
        let mut counts = Counts::default();
        assert_eq!(counts.usage(), None);
        counts.take(
            r#"{"input_tokens":10,"cache_read_input_tokens":100,"cache_creation_input_tokens":null,
               "cache_creation":{"ephemeral_5m_input_tokens":3},"output_tokens":1}"#,
        );
        counts.take(r#"{"output_tokens":20,"output_tokens_details":{"thinking_tokens":7}}"#);
        counts.take("null");
        counts.take(r#"{"input_tokens":-1}"#);
        counts.take(r#"{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}"#);
        let expected = Usage {
            input: 110,
            output: 20,
            cached_input: 100,
            cache_creation: 0,
            reasoning: 7,
            cache_creation_1h: 0,
            ..Usage::default()
        };
        assert_eq!(counts.usage(), Some(expected));
        counts.take(
            r#"{"cache_creation_input_tokens":9,
               "cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":7}}"#,
        );
        let usage = counts.usage().unwrap();
        assert_eq!((usage.cache_creation, usage.cache_creation_1h), (9, 7));
    }
}
