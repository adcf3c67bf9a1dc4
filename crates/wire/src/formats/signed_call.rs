//! Ids of calls with the signature that Google's models put on a call, for clients whose format has no place for one.
//!
//! Called by the readers and writers of the OpenAI wire, and where ids of calls are fitted. Always true: the signature stands behind
//! the id in letters of `[A-Za-z0-9_-]`; it goes to Google's models only, and no other provider sees it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bytes::json::Str;

/// What stands between an id and the signature. As in LiteLLM, whose sessions go on here.
pub(crate) const MARK: &str = "__thought__";
/// The longest signature, bytes. Those of Google have up to 20 KB.
const SIGNATURE_MAX: usize = 64 << 10;
/// What Google's models take in place of a signature. Source: <https://ai.google.dev/gemini-api/docs/thought-signatures>.
pub(crate) const PLACEHOLDER: &str = "skip_thought_signature_validator";

#[derive(Deserialize)]
struct Extra<'a> {
    #[serde(borrow)]
    google: Option<OfGoogle<'a>>,
    #[serde(borrow)]
    vertex: Option<OfGoogle<'a>>,
}

#[derive(Deserialize)]
struct OfGoogle<'a> {
    #[serde(borrow)]
    thought_signature: Option<Str<'a>>,
}

/// Whether the `extra_content` of a call, as JSON text, holds a signature.
pub(crate) fn has(extra: &str) -> bool {
    in_extra(extra).is_some()
}

/// The signature in the `extra_content` of a call.
fn in_extra(raw: &str) -> Option<String> {
    let extra: Extra<'_> = serde_json::from_str(raw).ok()?;
    let of = |part: Option<OfGoogle<'_>>| Some(part?.thought_signature?.0.into_owned());
    let found = of(extra.google).or_else(|| of(extra.vertex));
    found.filter(|signature| !signature.is_empty())
}

/// The id with the signature in `extra` behind it, if there is one.
pub(crate) fn joined<'a>(id: Cow<'a, str>, extra: Option<&RawValue>) -> Cow<'a, str> {
    match extra.and_then(|raw| in_extra(raw.get())) {
        Some(signature) => with_signature(id, &signature),
        None => id,
    }
}

/// The same for the `provider_specific_fields` of a call or of its function, as LiteLLM has them.
pub(crate) fn joined_of_fields<'a>(id: Cow<'a, str>, fields: Option<&RawValue>) -> Cow<'a, str> {
    let found = fields.and_then(|raw| {
        let given: OfGoogle<'_> = serde_json::from_str(raw.get()).ok()?;
        Some(given.thought_signature?.0.into_owned())
    });
    match found {
        Some(signature) => with_signature(id, &signature),
        None => id,
    }
}

/// The id with that signature behind it, unless that is empty or no text in base64.
pub(crate) fn with_signature<'a>(id: Cow<'a, str>, signature: &str) -> Cow<'a, str> {
    match tail(signature) {
        Some(tail) => Cow::Owned(format!("{id}{MARK}{tail}")),
        None => id,
    }
}

/// The signature in letters of ids; `None` if it is no text in base64.
fn tail(signature: &str) -> Option<String> {
    let letters = signature.trim_end_matches('=');
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    let fits = (1..=SIGNATURE_MAX).contains(&letters.len()) && letters.bytes().all(is_letter);
    fits.then(|| letters.replace('+', "-").replace('/', "_"))
}

/// Whether it has the letters of a signature. Google refuses a request with another one.
pub(crate) fn is_signature(text: &str) -> bool {
    tail(text).is_some()
}

/// An id without its signature, and the letters behind it, if there are any.
pub(crate) fn split(id: &str) -> (&str, Option<&str>) {
    match id.split_once(MARK) {
        Some((own, tail)) if !own.is_empty() && !tail.is_empty() => (own, Some(tail)),
        Some(_) | None => (id, None),
    }
}

/// An id without its signature.
pub(crate) fn own(id: Cow<'_, str>) -> Cow<'_, str> {
    match id {
        Cow::Borrowed(id) => Cow::Borrowed(split(id).0),
        Cow::Owned(mut id) => {
            let length = split(&id).0.len();
            id.truncate(length);
            Cow::Owned(id)
        }
    }
}

/// The signature as its provider wrote it, from the letters behind an id.
pub(crate) fn signature(tail: &str) -> String {
    if tail == PLACEHOLDER {
        return tail.to_owned();
    }
    let mut signature = tail.trim_end_matches('=').replace('-', "+").replace('_', "/");
    while !signature.len().is_multiple_of(4) {
        signature.push('=');
    }
    signature
}

/// Whether a model of Google's refuses calls of the current turn without a signature.
pub(crate) fn is_demanded(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or_default();
    let Some(version) = name.strip_prefix("gemini-") else { return false };
    let digits = version.bytes().take_while(u8::is_ascii_digit).count();
    version[..digits].parse::<u32>().map_or(version.ends_with("-latest"), |major| major >= 3)
}

/// What becomes of the signatures of the calls of one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallSigning {
    /// They are left out.
    Without,
    /// They go back.
    Kept,
    /// They go back, and the first call has one in any case.
    Demanded,
}

impl CallSigning {
    /// The signature of the `nth` call, from the letters behind its id.
    pub(crate) fn signature(self, nth: usize, tail: Option<&str>) -> Option<String> {
        let tail = tail.filter(|tail| is_signature(tail));
        match self {
            CallSigning::Without => None,
            CallSigning::Demanded if tail.is_none() && nth == 0 => Some(PLACEHOLDER.to_owned()),
            CallSigning::Kept | CallSigning::Demanded => tail.map(signature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_signature_travels_behind_the_id_and_comes_back_as_it_was() {
        for signature in ["Aa+/Bb0=", "AAAA", "a+b/c+d/", "QQ==", PLACEHOLDER] {
            let given = extra(&format!(r#"{{"google":{{"thought_signature":"{signature}"}}}}"#));
            let id = joined(Cow::Borrowed("call_1"), Some(&given));
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            assert!(id.bytes().all(letters), "{id}");
            let (own_id, tail) = split(&id);
            assert_eq!(
                (own_id, tail.map(super::signature)),
                ("call_1", Some(signature.to_owned()))
            );
            assert_eq!(own(id.clone()), "call_1");
        }
        // LiteLLM writes the tail as it is.
        assert_eq!(super::signature(split("c__thought__Aa+/Bb0=").1.unwrap()), "Aa+/Bb0=");
    }

    #[test]
    fn what_is_no_signature_is_left_out() {
        for text in [
            "{}",
            "null",
            "[]",
            r#"{"google":{}}"#,
            r#"{"google":{"thought_signature":""}}"#,
            r#"{"google":{"thought_signature":"a b"}}"#,
            r#"{"google":{"thought_signature":7}}"#,
            r#"{"other":{"thought_signature":"AAAA"}}"#,
        ] {
            assert_eq!(joined(Cow::Borrowed("c"), Some(&extra(text))), "c", "{text}");
        }
        let long = format!(r#"{{"google":{{"thought_signature":"{}"}}}}"#, "A".repeat(70_000));
        assert_eq!(joined(Cow::Borrowed("c"), Some(&extra(&long))), "c");
        for id in ["call_1", "__thought__x", "call__thought__"] {
            assert_eq!(split(id), (id, None));
        }
    }

    #[test]
    fn only_newer_models_demand_signatures() {
        for (model, expected) in [
            ("gemini-3-pro-preview", true),
            ("gemini-3.1-flash-lite", true),
            ("google/gemini-4-argon", true),
            ("gemini-flash-latest", true),
            ("gemini-2.5-pro", false),
            ("gemini-exp-1206", false),
            ("gemma-4-31b-it", false),
            ("gpt-5", false),
            ("", false),
        ] {
            assert_eq!(is_demanded(model), expected, "{model}");
        }
    }
}
