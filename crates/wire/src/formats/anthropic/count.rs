//! Counts of tokens: estimates those of a prompt for providers that do not count them, reads and writes answers.
//!
//! Called for `/v1/messages/count_tokens`, and for counts of Google's clients. Always true: an answer in this format says that it is
//! an estimate.

use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::formats::neutral::{Content, Part, Request, Source, Tool};
use crate::formats::usage::count_of;

/// Bytes of text per token: a rule of thumb for English and code.
pub(crate) use hale_core::usage::BYTES_PER_TOKEN;
/// Tokens of a turn besides its text.
const PER_TURN: u64 = 4;
/// Tokens of an image of the largest size that is not scaled down. Source:
/// <https://platform.claude.com/docs/en/build-with-claude/vision>.
pub(crate) const PER_IMAGE: u64 = 1_600;
/// Bytes of a PDF per token: a page has about 50 KB and 2,000 tokens.
const PDF_BYTES_PER_TOKEN: u64 = 25;

/// The tokens of a request, estimated.
pub(crate) fn estimated(request: &Request<'_>) -> u64 {
    let turns = request.turns.iter().map(|turn| PER_TURN + parts(&turn.parts)).sum::<u64>();
    let tools = request.tools.iter().map(tool).sum::<u64>();
    (parts(&request.system) + turns + tools).max(1)
}

/// The tokens that the answer in `text` counts.
pub(crate) fn total(text: &str) -> Result<u64, String> {
    let found = texts(text, ["input_tokens"]).ok().and_then(|[total]| total);
    found.and_then(count_of).ok_or_else(|| "it has no count in `input_tokens`".to_owned())
}

/// The answer to a request for a count.
pub(crate) fn estimate(request: &Request<'_>) -> Vec<u8> {
    let total = estimated(request);
    let mut json = JsonText::new();
    json.open(b'{').count_member("input_tokens", total).raw_member("estimated", "true");
    json.close(b'}');
    json.into_bytes()
}

/// The answer with the tokens that a provider of another format counted.
pub(crate) fn counted(total: u64) -> Vec<u8> {
    let mut json = JsonText::new();
    json.open(b'{').count_member("input_tokens", total).close(b'}');
    json.into_bytes()
}

fn text(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

fn parts(list: &[Part<'_>]) -> u64 {
    list.iter().map(|part| content(&part.content)).sum()
}

fn content(content: &Content<'_>) -> u64 {
    match content {
        Content::Text(words) | Content::Refusal(words) => text(words),
        Content::Image(_) => PER_IMAGE,
        Content::Document { source, title, context } => {
            let own = match source {
                Source::Plain(words) => text(words),
                Source::Base64 { data, .. } => (data.len() as u64 / 4 * 3) / PDF_BYTES_PER_TOKEN,
                Source::Url(_) | Source::File(_) => PER_IMAGE,
            };
            own + [title, context].into_iter().flatten().map(|words| text(words)).sum::<u64>()
        }
        // A second of sound is 32 tokens, and some 16 KB.
        Content::Media(Source::Base64 { data, .. }) => data.len() as u64 / 4 * 3 / 512,
        Content::Media(_) => PER_IMAGE,
        Content::ToolCall { name, input, .. } => PER_TURN + text(name) + text(input),
        Content::ToolResult { parts: inner, .. } => PER_TURN + parts(inner),
        // Reasoning of earlier turns does not count as input.
        Content::Thinking { .. } | Content::Redacted(_) => 0,
    }
}

fn tool(tool: &Tool<'_>) -> u64 {
    match tool {
        Tool::Function { name, description, schema, .. } => {
            PER_TURN
                + text(name)
                + description.as_deref().map_or(0, text)
                + schema.as_deref().map_or(0, text)
        }
        Tool::Native(raw) => text(raw),
    }
}
