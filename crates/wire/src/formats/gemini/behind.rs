//! A stream for Google's clients that broke off, and the request that has another deployment go on with it.
//!
//! Called by [`crate::formats::prefixed`] and by the conversion that goes on. Always true: names are read in both of their spellings;
//! a request whose answer has a shape, several candidates or probabilities is not continued.

use std::borrow::Cow;

use hale_core::rescue::No;

use super::fields::Fields;
use super::stream_write::Writer;
use crate::bytes::edit::{self, Edit, json_string};
use crate::bytes::elements::elements;
use crate::bytes::json::lossy;
use crate::bytes::members::texts;
use crate::bytes::object;
use crate::bytes::peek::Peek;

/// The settings of an answer, in both spellings.
const CONFIG: [&str; 2] = ["generationConfig", "generation_config"];

fn config(peek: &Peek) -> Option<(&'static str, &str)> {
    CONFIG.into_iter().find_map(|name| peek.raw(name).map(|raw| (name, raw)))
}

/// Why the answer to this request would not be continued, as far as its fields say.
pub(crate) fn refuses(peek: &Peek) -> Option<No> {
    let (at, raw) = config(peek)?;
    let config = Fields::of(at, raw).ok()?;
    let kind = config.get("responseMimeType").and_then(|raw| lossy(raw, &mut None));
    let is_shaped = kind.is_some_and(|kind| !matches!(&*kind, "" | "text/plain"))
        || ["responseSchema", "responseJsonSchema"].iter().any(|name| config.get(name).is_some());
    let is_other = |raw: &str| !raw.eq_ignore_ascii_case("\"text\"");
    let mut modalities = config.get("responseModalities").and_then(elements).into_iter().flatten();
    if is_shaped {
        Some(No::Schema)
    } else if config.get("candidateCount").is_some_and(|count| count.trim() != "1") {
        Some(No::N)
    } else if config.is_true("responseLogprobs") {
        Some(No::Logprobs)
    } else {
        modalities.any(is_other).then_some(No::NotText)
    }
}

/// The contents with one more, which says `prefix`; `None` if they end with other words of the model.
pub(crate) fn with_content(peek: &Peek, prefix: &str) -> Option<String> {
    let contents = peek.raw("contents")?.trim();
    let said = format!(r#"{{"role":"model","parts":[{{"text":{}}}]}}"#, json_string(prefix));
    if !contents.starts_with('[') {
        let one = match contents.starts_with('"') {
            true => format!(r#"{{"role":"user","parts":[{{"text":{contents}}}]}}"#),
            false => contents.to_owned(),
        };
        return Some(format!("[{one},{said}]"));
    }
    let last = elements(contents)?.last()?;
    let is_models = matches!(texts(last, ["role"]), Ok([Some("\"model\"")]));
    let open = contents.strip_suffix(']')?;
    (!is_models).then(|| format!("{open},{said}]"))
}

/// The settings without those of thinking: the model does not think again before it goes on.
pub(crate) fn without_thinking(peek: &Peek) -> Option<Edit<'static>> {
    let (place, raw) = config(peek)?;
    let members = object::members(raw.as_bytes()).ok()?;
    let edits = [Edit::Remove("thinkingConfig"), Edit::Remove("thinking_config")];
    let changed = edit::apply(raw.as_bytes(), &members, &edits);
    Some(Edit::Set(place, Cow::Owned(std::str::from_utf8(&changed).ok()?.to_owned())))
}

/// Where a stream stands.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// The id of the answer.
    id: Box<str>,
    /// Whether there was a chunk.
    has_begun: bool,
}

impl Behind {
    /// Takes the next chunk.
    ///
    /// # Errors
    /// Why nothing goes on behind it.
    pub(crate) fn take(&mut self, text: &str) -> Result<(), No> {
        let [snake, id] = texts(text, ["response_id", "responseId"]).map_err(|_| No::NotText)?;
        if let Some(id) = id.or(snake).and_then(|raw| lossy(raw, &mut None)) {
            self.id = Box::from(&*id);
        }
        self.has_begun = true;
        Ok(())
    }

    /// The writer of what follows.
    ///
    /// # Errors
    /// If nothing does.
    pub(crate) fn writer(self) -> Result<Writer, No> {
        if self.has_begun { Ok(Writer::behind(self.id)) } else { Err(No::BetweenParts) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(text: &str) -> Peek {
        Peek::parse(text.to_owned().into()).unwrap()
    }

    #[test]
    fn an_answer_with_a_shape_is_not_continued_in_either_spelling() {
        for (config, why) in [
            (r#"{"responseMimeType":"application/json"}"#, Some(No::Schema)),
            (r#"{"response_mime_type":"application/json"}"#, Some(No::Schema)),
            (r#"{"response_schema":{"type":"OBJECT"}}"#, Some(No::Schema)),
            (r#"{"responseMimeType":"text/plain","temperature":1}"#, None),
            (r#"{"candidateCount":2}"#, Some(No::N)),
            (r#"{"candidate_count":1}"#, None),
            (r#"{"responseLogprobs":true}"#, Some(No::Logprobs)),
            (r#"{"responseModalities":["TEXT"]}"#, None),
            (r#"{"response_modalities":["TEXT","IMAGE"]}"#, Some(No::NotText)),
        ] {
            for name in CONFIG {
                let text = format!(r#"{{"contents":[],"{name}":{config}}}"#);
                assert_eq!(refuses(&peek(&text)), why, "{text}");
            }
        }
    }

    #[test]
    fn words_of_the_model_are_put_behind_any_contents_and_thinking_is_taken_out() {
        let said = r#"{"role":"model","parts":[{"text":"a\"b"}]}"#;
        for (contents, first) in [
            (r#"[{"parts":[]} ]"#, r#"{"parts":[]} "#),
            (r#"{"parts":[]}"#, r#"{"parts":[]}"#),
            (r#""hi""#, r#"{"role":"user","parts":[{"text":"hi"}]}"#),
        ] {
            let peek = peek(&format!(
                r#"{{"contents":{contents},"generation_config":{{"thinkingConfig":{{}},"seed":1}}}}"#
            ));
            assert_eq!(with_content(&peek, "a\"b"), Some(format!("[{first},{said}]")));
            let Some(Edit::Set(place, config)) = without_thinking(&peek) else { panic!("an edit") };
            assert_eq!((place, &*config), ("generation_config", r#"{"seed":1}"#));
        }
        let own = peek(r#"{"contents":[{"role":"model","parts":[]}]}"#);
        assert_eq!(with_content(&own, "a"), None);
    }
}
