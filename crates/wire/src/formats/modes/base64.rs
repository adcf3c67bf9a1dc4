//! Checks base64 in requests and answers.
//!
//! Called by [`super::observe`] for answers and by [`super::bytes`] for requests. Always true: texts are decoded in
//! pieces, so the memory does not grow with the text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::formats::read_source::is_data;

/// Characters that are decoded at once; a multiple of four.
const STEP: usize = 4096;

/// What stands before the comma of a data URL, in any case.
const CODING: &str = ";base64";

/// Whether `text` is base64 with the standard alphabet and padding, and not empty.
#[must_use]
pub(crate) fn is_base64(text: &str) -> bool {
    let mut room = [0; STEP];
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && text.as_bytes().chunks(STEP).enumerate().all(|(i, chunk)| {
            // Padding may only be at the end of the text.
            let is_last = (i + 1) * STEP >= text.len();
            (is_last || !chunk.ends_with(b"=")) && STANDARD.decode_slice(chunk, &mut room).is_ok()
        })
}

/// What is wrong with a data URL; `None` for a valid one and for any other text.
#[must_use]
pub(crate) fn fault_of_url(url: &str) -> Option<&'static str> {
    let tail = url.get(5..).filter(|_| is_data(url))?;
    let is_coded = |head: &&str| {
        let coding = head.len().checked_sub(CODING.len()).and_then(|at| head.get(at..));
        coding.is_some_and(|coding| coding.eq_ignore_ascii_case(CODING))
    };
    match tail.split_once(',').filter(|(head, _)| is_coded(head)) {
        None => Some("a data URL without `;base64,`"),
        Some((_, "")) => Some("a data URL without data"),
        Some((_, data)) if !is_base64(data) => Some("a data URL whose data is not valid base64"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_differs_from_what_only_looks_like_it() {
        let long = STANDARD.encode(vec![7; STEP]);
        for good in ["aGk=", "aGkh", "QUJDRA==", &*long] {
            assert!(is_base64(good), "{good}");
        }
        let mut broken = long.clone();
        broken.replace_range(STEP - 1..STEP, "=");
        for bad in ["", "aGk", "aG k", "aGk!", "a===", "aGk=aGk=", &*broken] {
            assert!(!is_base64(bad), "{bad}");
        }
    }

    #[test]
    fn only_data_urls_are_checked() {
        assert_eq!(fault_of_url("https://example.com/a.pdf"), None);
        assert_eq!(fault_of_url("data:application/pdf;base64,aGk="), None);
        assert_eq!(fault_of_url("DATA:application/pdf;BASE64,aGk="), None);
        assert!(fault_of_url("DATA:application/pdf;BASE64,***=").is_some());
        for bad in ["data:application/pdf,hi", "data:image/png;base64,", "data:x;base64,%%%%"] {
            assert!(fault_of_url(bad).is_some(), "{bad}");
        }
    }
}
