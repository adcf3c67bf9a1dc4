//! Whose model a bare name is: a name without a provider before it.
//!
//! Called by [`super::owner`]. Always true: the table comes first, then the price list, then the rules for names that are newer
//! than both.
//!
//! Source of the table and of the rules: what LiteLLM 1.106.2 resolves.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Names and providers, one pair a line.
const TABLE: &str = include_str!("../../data/bare_names.txt");

static OWNERS: LazyLock<HashMap<&str, &str>> =
    LazyLock::new(|| TABLE.lines().filter_map(|line| line.split_once(' ')).collect());

/// The provider of `name` in the table.
pub(super) fn in_table(name: &str) -> Option<&'static str> {
    OWNERS.get(name).copied()
}

/// The provider of a name of a form that one company uses.
pub(super) fn by_rule(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    if is_of_bedrock(&lower) {
        return Some("bedrock");
    }
    if lower.strip_prefix("claude-").is_some_and(is_family_and_number) {
        return Some("anthropic");
    }
    let is_openais = name.contains("ft:gpt-3.5-turbo")
        || name.contains("ft:gpt-4")
        || name.starts_with("gpt-image")
        || name.starts_with("dall-e-");
    is_openais
        .then_some("openai")
        .or_else(|| name.starts_with("amazon_nova").then_some("amazon_nova"))
}

/// `anthropic.claude-...`, with or without a region before it.
fn is_of_bedrock(name: &str) -> bool {
    let Some((before, _)) = name.split_once("anthropic.claude-") else { return false };
    let region = before.strip_suffix('.').unwrap_or(before);
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    before.is_empty()
        || (before.ends_with('.') && !region.is_empty() && region.bytes().all(is_letter))
}

/// `opus-5`, `sonnet-4-5`, `haiku-4.5-20251001`.
fn is_family_and_number(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some((family, version)) = name.split_once('-') else { return false };
    let is_family = !family.is_empty() && family.bytes().all(|b| b.is_ascii_lowercase());
    let mut parts = version.split(['-', '.']);
    // The date has eight digits, and nothing but a dash before it.
    let is_version = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(major), None, None, None) => is_number(major),
        (Some(major), Some(minor), None, None) => is_number(major) && is_number(minor),
        (Some(major), Some(minor), Some(date), None) => {
            let ends = version.len() > 9 && version.as_bytes()[version.len() - 9] == b'-';
            is_number(major) && is_number(minor) && is_number(date) && date.len() == 8 && ends
        }
        _ => false,
    };
    is_family && is_version
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::owner;

    #[test]
    fn a_bare_name_has_the_provider_that_litellm_finds() {
        assert!(OWNERS.len() > 600, "{}", OWNERS.len());
        for (name, provider) in &*OWNERS {
            assert_eq!(owner(name), Some(*provider));
        }
        for (name, expected) in [
            ("gpt-4o", Some("openai")),
            ("dall-e-3", Some("openai")),
            ("gpt-image-9", Some("openai")),
            ("ft:gpt-4o-mini:acme::x", Some("openai")),
            ("claude-sonnet-4-5", Some("anthropic")),
            ("claude-newfamily-5", Some("anthropic")),
            ("claude-newfamily-5.1-20270101", Some("anthropic")),
            ("Claude-Opus-7", Some("anthropic")),
            ("claude-opus", None),
            ("claude-opus-5-latest", None),
            ("claude-opus-5-1.20270101", None),
            ("claude-opus-5-1-2027", None),
            ("my-claude-opus-5", None),
            ("anthropic.claude-new-9", Some("bedrock")),
            ("eu.anthropic.claude-new-9", Some("bedrock")),
            ("bedrockz/anthropic.claude-new-9", None),
            ("my-model", None),
            ("", None),
        ] {
            assert_eq!(owner(name), expected, "{name}");
        }
    }
}
