//! What of a request's body names its home: a session, or the beginning of the conversation.
//!
//! Called by the gateway where the config has homes. Always true: what changes from turn to turn of a conversation (later
//! messages, marks of the cache) has no part in it; short requests cost a comparison.

use hale_core::route::{Affinity, AffinitySettings, NamedBy};
use hale_core::usage::BYTES_PER_TOKEN;

use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;

/// The shortest beginning that providers keep, tokens. OpenAI and Anthropic: 1,024.
const TOKENS: usize = 1_024;
/// Bytes of one text that have a part in the name: what follows changes nothing in practice, and costs time.
const TEXT_MAX: usize = 256 << 10;
/// Texts that have a part in it.
const TEXTS_MAX: usize = 64;
/// What stands before the first turn, in all formats.
const BEFORE: [&str; 5] =
    ["tools", "system", "instructions", "systemInstruction", "system_instruction"];
/// The turns, in all formats.
const TURNS: [&str; 3] = ["messages", "input", "contents"];

/// What names the home of the request with that body, by what `settings` allow.
#[must_use]
pub fn affinity(peek: &Peek, settings: AffinitySettings, headers: Headers<'_>) -> Option<Affinity> {
    if settings.by_session {
        let named = |id: &[u8]| Affinity::of(NamedBy::Session, [id]);
        if let Some(id) = headers.own {
            return Some(named(id));
        }
        if let Some(id) = own_session(peek) {
            return Some(named(id.as_bytes()));
        }
        if let Some(id) = headers.of_agents {
            return Some(named(id));
        }
        if let Some(id) = session_of_agents(peek) {
            return Some(named(id.as_bytes()));
        }
    }
    if settings.by_prefix { prefix(peek) } else { None }
}

/// The ids of sessions in a request's headers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'h> {
    /// What a client of a gateway says.
    pub own: Option<&'h [u8]>,
    /// What a coding agent says to its provider.
    pub of_agents: Option<&'h [u8]>,
}

/// The session that a request is part of: what its client tells the gateway, else what its agent tells the provider.
#[must_use]
pub fn session(peek: &Peek, headers: Headers<'_>) -> Option<String> {
    let shown = |id: &[u8]| String::from_utf8_lossy(id).into_owned();
    headers
        .own
        .map(shown)
        .or_else(|| own_session(peek))
        .or_else(|| headers.of_agents.map(shown))
        .or_else(|| session_of_agents(peek))
}

/// The id that is meant for a gateway.
fn own_session(peek: &Peek) -> Option<String> {
    let of_metadata = |field: &str| {
        let [id] = texts(peek.raw(field)?, ["session_id"]).ok()?;
        id.and_then(text)
    };
    peek.raw("litellm_session_id")
        .and_then(text)
        .or_else(|| of_metadata("metadata"))
        .or_else(|| of_metadata("litellm_metadata"))
}

/// The id that agents send to providers. A `user_id` is a session's only if it says so: others stand for all traffic of
/// an application.
fn session_of_agents(peek: &Peek) -> Option<String> {
    let of_user = || {
        let [id] = texts(peek.raw("metadata")?, ["user_id"]).ok()?;
        id.and_then(text).filter(|id| id.contains("session"))
    };
    of_user().or_else(|| peek.raw("prompt_cache_key").and_then(text))
}

/// A text that is not empty.
fn text(raw: &str) -> Option<String> {
    let Str(text) = serde_json::from_str(raw).ok()?;
    (!text.trim().is_empty()).then(|| text.into_owned())
}

/// The beginning of the conversation, if providers keep one of that length.
fn prefix(peek: &Peek) -> Option<Affinity> {
    let least = TOKENS * usize::try_from(BYTES_PER_TOKEN).unwrap_or(usize::MAX);
    if peek.body().len() < least {
        return None;
    }
    let mut found: Vec<&str> = BEFORE.iter().filter_map(|name| peek.raw(name)).collect();
    first_turn(TURNS.iter().find_map(|name| peek.raw(name))?, &mut found);
    let length: usize = found.iter().map(|text| text.len()).sum();
    let texts = found.iter().map(|text| &text.as_bytes()[..text.len().min(TEXT_MAX)]);
    (length >= least).then(|| Affinity::of(NamedBy::Prefix, texts))
}

/// Adds the texts of all turns up to the first of a user.
fn first_turn<'t>(turns: &'t str, found: &mut Vec<&'t str>) {
    let Some(turns) = elements(turns) else {
        found.push(turns);
        return;
    };
    for turn in turns.take(TEXTS_MAX) {
        let Ok([role, content, parts]) = texts(turn, ["role", "content", "parts"]) else {
            found.push(turn);
            return;
        };
        match content.or(parts) {
            Some(content) => add_texts(content, found),
            None => found.push(turn),
        }
        if role.is_none_or(|role| role == "\"user\"") {
            return;
        }
    }
}

/// Adds the texts of a message: what else its parts say (marks of the cache) may change from turn to turn.
fn add_texts<'t>(content: &'t str, found: &mut Vec<&'t str>) {
    let Some(parts) = elements(content) else {
        found.push(content);
        return;
    };
    for part in parts.take(TEXTS_MAX) {
        if let Ok([Some(text)]) = texts(part, ["text"]) {
            found.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hale_core::route::Keeps;
    use serde_json::{Value, json};

    use super::*;

    const BOTH: AffinitySettings =
        AffinitySettings { keeps: Keeps::Always, by_session: true, by_prefix: true, by_key: false };

    fn named(body: &Value, headers: Headers<'_>) -> Option<Affinity> {
        let peek = Peek::parse(Bytes::from(body.to_string())).unwrap();
        affinity(&peek, BOTH, headers)
    }

    fn of(body: &Value) -> Option<Affinity> {
        named(body, Headers::default())
    }

    fn session(id: &str) -> Option<Affinity> {
        Some(Affinity::of(NamedBy::Session, [id.as_bytes()]))
    }

    #[test]
    fn what_is_meant_for_a_gateway_comes_before_what_agents_say() {
        let all = json!({
            "litellm_session_id": "a", "metadata": {"session_id": "b", "user_id": "x_session_d"},
            "prompt_cache_key": "e",
        });
        let headers = Headers { own: Some(b"0"), of_agents: Some(b"c") };
        assert_eq!(named(&all, headers), session("0"));
        let headers = Headers { own: None, ..headers };
        assert_eq!(named(&all, headers), session("a"));
        let mut some = all;
        some["litellm_session_id"] = json!(null);
        assert_eq!(named(&some, headers), session("b"));
        some["metadata"]["session_id"] = json!(7);
        assert_eq!(named(&some, headers), session("c"));
        assert_eq!(of(&some), session("x_session_d"));
        some["metadata"]["user_id"] = json!("everyone");
        assert_eq!(of(&some), session("e"));
        some["prompt_cache_key"] = json!(" ");
        assert_eq!(of(&some), None);
    }

    #[test]
    fn a_conversation_keeps_its_name_while_it_grows_and_its_marks_move() {
        let long = "a tool that does something, ".repeat(200);
        let first = json!({"role": "user", "content": [
            {"type": "text", "text": "fix the bug", "cache_control": {"type": "ephemeral"}},
        ]});
        let bodies = |system: &str, tools: &str, turns: &str| {
            let begin = json!({(system): long, (tools): [{"name": "t"}], (turns): [first.clone()]});
            let mut later = begin.clone();
            later[turns] = json!([
                {"role": "user", "content": [{"type": "text", "text": "fix the bug"}]},
                {"role": "assistant", "content": "which one?"},
                {"role": "user", "content": [{"type": "text", "text": "all", "cache_control": {}}]},
            ]);
            later["temperature"] = json!(0.3);
            let mut other = begin.clone();
            other[turns][0]["content"][0]["text"] = json!("write a test");
            (of(&begin), of(&later), of(&other))
        };
        for (system, turns) in
            [("system", "messages"), ("instructions", "input"), ("systemInstruction", "contents")]
        {
            let (begin, later, other) = bodies(system, "tools", turns);
            assert_eq!(begin.unwrap().named_by(), NamedBy::Prefix);
            assert_eq!(begin, later, "{turns}");
            assert_ne!(begin, other, "{turns}");
        }
    }

    #[test]
    fn instructions_among_the_messages_and_a_plain_input_count() {
        let long = "be brief. ".repeat(500);
        let chat = |last: &str| {
            of(&json!({"messages": [
                {"role": "system", "content": long}, {"role": "user", "content": "hi"},
                {"role": "assistant", "content": last},
            ]}))
        };
        assert!(chat("a").is_some());
        assert_eq!(chat("a"), chat("b"));
        assert!(of(&json!({"input": long})).is_some());
        assert_eq!(of(&json!({"input": "hi", "pad": long})), None, "the beginning is short");
        assert_eq!(of(&json!({"messages": [{"role": "user", "content": "hi"}]})), None);
        assert_eq!(of(&json!({"pad": long})), None);
    }

    #[test]
    fn only_what_the_settings_allow_has_a_say() {
        let body = json!({"litellm_session_id": "a", "input": "x".repeat(5_000)});
        let peek = Peek::parse(Bytes::from(body.to_string())).unwrap();
        let by = |by_session, by_prefix| {
            let settings =
                AffinitySettings { keeps: Keeps::Always, by_session, by_prefix, by_key: false };
            affinity(&peek, settings, Headers::default()).map(Affinity::named_by)
        };
        assert_eq!(by(true, false), Some(NamedBy::Session));
        assert_eq!(by(false, true), Some(NamedBy::Prefix));
        assert_eq!(by(false, false), None);
    }
}
