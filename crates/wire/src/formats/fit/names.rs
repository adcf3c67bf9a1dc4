//! Names of tools in the form that the target takes.
//!
//! Called by [`super`]. Always true: a name is written the same way wherever it occurs in a request and in every
//! request; two names stay two; the notes have each that was changed, so that the client sees its own.

use std::borrow::Cow;
use std::fmt::Write as _;

use aws_lc_rs::digest;
use hale_core::provider::WireFormat;

use crate::formats::neutral::{Content, Request, Text, Tool, ToolChoice};
use crate::formats::notes::Notes;

/// Writes all names for `wire`.
pub(super) fn fit(request: &mut Request<'_>, wire: WireFormat, notes: &mut Notes) {
    let limit = match wire {
        WireFormat::OpenAi
        | WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::Responses
        | WireFormat::Converse => 64,
        WireFormat::Anthropic => 128,
        // Models read names as text.
        WireFormat::Ollama => return,
    };
    let rewritten = |name: &str| match wire {
        WireFormat::OpenAi
        | WireFormat::Anthropic
        | WireFormat::Cohere
        | WireFormat::Responses
        | WireFormat::Converse
        | WireFormat::Ollama => rewritten(name, limit),
        WireFormat::Gemini => rewritten(name, limit).map(lettered).or_else(|| {
            let first = name.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            first.then(|| lettered(name.to_owned()))
        }),
    };
    for tool in &mut request.tools {
        if let Tool::Function { name, .. } = tool
            && let Some(sent) = rewritten(name)
        {
            notes.names.push((sent.as_str().into(), (&**name).into()));
            *name = Cow::Owned(sent);
        }
    }
    let rename = |name: &mut Text<'_>| {
        if let Some(sent) = rewritten(name) {
            *name = Cow::Owned(sent);
        }
    };
    if let Some(ToolChoice::Named(name)) = &mut request.tool_choice {
        rename(name);
    }
    for part in request.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Content::ToolCall { name, .. } = &mut part.content {
            rename(name);
        }
    }
}

/// A name that begins as Google's models want it: with a letter or an underscore.
fn lettered(name: String) -> String {
    match name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        true => name,
        false => format!("_{name}"),
    }
}

/// `name` in letters that every wire takes; `None` if it has no others, and at most `limit` of them.
fn rewritten(name: &str, limit: usize) -> Option<String> {
    /// An underscore and eight digits.
    const TAIL: usize = 9;
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.len() <= limit && name.chars().all(is_letter) {
        return None;
    }
    let letters = name.chars().map(|c| if is_letter(c) { c } else { '_' });
    let mut out: String = letters.take(limit - TAIL).collect();
    out.push('_');
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    for byte in &hash.as_ref()[..4] {
        // Writing to a string cannot fail.
        let _written = write!(out, "{byte:02x}");
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_wire_takes_stays_and_others_stay_apart() {
        assert_eq!(rewritten("get_weather-2", 64), None);
        assert_eq!(rewritten(&"a".repeat(128), 128), None);
        let names = [
            "mcp.fs.read",
            "mcp_fs.read",
            "mcp.fs_read",
            "f\u{fc}r",
            &"a".repeat(65),
            &"a".repeat(66),
        ];
        let mut all: Vec<String> = names.iter().map(|name| rewritten(name, 64).unwrap()).collect();
        assert!(all[0].starts_with("mcp_fs_read_"), "{all:?}");
        assert!(all.iter().all(|name| name.len() <= 64 && rewritten(name, 64).is_none()));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), names.len());
    }
}
