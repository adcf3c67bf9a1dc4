//! Signatures of other providers' reasoning in the one place that Google's clients have for them.
//!
//! Written into answers and read from requests of these clients. Always true: what is written is base64, because the
//! clients' libraries refuse anything else; what is read is what was written, and a signature of Google's is none of these.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

use crate::formats::thoughts::{GOOGLES, MARK};

/// What a signature of Anthropic's begins with.
const CLAUDES: &str = "claude:";
/// What reasoning begins with that only Anthropic can read.
const HIDDEN: &str = "claude-redacted:";

/// Takes base64 with and without its padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// What a signature of a thought is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The signature, as its provider or this gateway made it.
    Signature(String),
    /// The reasoning itself, which only its provider can read.
    Redacted(String),
    /// There is none.
    Nothing,
}

/// The signature for a client, of reasoning that has `signature` in the neutral form.
pub(super) fn written(signature: &str) -> String {
    match signature.strip_prefix(GOOGLES) {
        Some(own) => own.to_owned(),
        None if signature.starts_with(MARK) => STANDARD.encode(signature),
        None => STANDARD.encode(format!("{CLAUDES}{signature}")),
    }
}

/// The same for reasoning that only its provider can read.
pub(super) fn redacted(data: &str) -> String {
    STANDARD.encode(format!("{HIDDEN}{data}"))
}

/// What the signature `given` of a thought is.
pub(super) fn read(given: &str) -> Read {
    if given.is_empty() {
        return Read::Nothing;
    }
    match foreign(given) {
        Some(text) => match (text.strip_prefix(CLAUDES), text.strip_prefix(HIDDEN)) {
            (_, Some(data)) => Read::Redacted(data.to_owned()),
            (Some(signature), None) => Read::Signature(signature.to_owned()),
            (None, None) => Read::Signature(text),
        },
        None => Read::Signature(format!("{GOOGLES}{given}")),
    }
}

/// What a signature says that Google did not make; `None` if Google did.
pub(super) fn foreign(given: &str) -> Option<String> {
    // Few letters tell.
    let begins = ["Y2xhdWRl", "aGFsZT"];
    if !begins.iter().any(|begin| given.starts_with(begin)) {
        return None;
    }
    let alphabet = match given.contains(['-', '_']) {
        true => URL_SAFE_ALPHABET,
        false => STANDARD_ALPHABET,
    };
    let text = String::from_utf8(alphabet.decode(given).ok()?).ok()?;
    [CLAUDES, HIDDEN, MARK].iter().any(|begin| text.starts_with(begin)).then_some(text)
}

const STANDARD_ALPHABET: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL_SAFE_ALPHABET: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE;

    use super::*;

    #[test]
    fn a_signature_comes_back_as_it_was() {
        for signature in ["EqRkLmNo+/==", "hale:deepseek", "gemini:CiQB", "hale:hosted_vllm.x", "a"]
        {
            let shown = written(signature);
            assert_eq!(read(&shown), Read::Signature(signature.to_owned()), "{signature}");
            // Google's own library writes it in another alphabet when it sends it back.
            let other = shown.replace('+', "-").replace('/', "_");
            if !signature.starts_with(GOOGLES) {
                assert!(URL_SAFE.decode(&other).is_ok(), "{other}");
                assert_eq!(read(&other), Read::Signature(signature.to_owned()), "{signature}");
                assert_eq!(
                    read(other.trim_end_matches('=')),
                    Read::Signature(signature.to_owned()),
                    "{signature}"
                );
            }
        }
        assert_eq!(read(&redacted("x/y")), Read::Redacted("x/y".to_owned()));
        assert_eq!(read(""), Read::Nothing);
        assert_eq!(foreign("CiQBq83v"), None);
        assert_eq!(foreign("aGFsZT"), None, "it begins like one and is none");
    }
}
