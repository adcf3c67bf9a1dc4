//! Ids of calls in the form that every wire takes, and back.
//!
//! Called where a call or its result is translated. Always true: a shown id has at most 64 letters of
//! `[A-Za-z0-9_-]`; two ids, or two calls with the same id, are shown differently; [`original`] undoes
//! [`shown`] for ids of up to 45 bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hale_core::provider::CallIds;

use super::neutral::Text;
use super::order::Order;
use super::signed_call;

/// What a call without a result is answered with.
pub(crate) const NOT_RUN: &str = "the tool call was not run";

/// How much of such results a request may get: a quarter of it, and something besides.
#[derive(Debug)]
pub(crate) struct ResultRoom(usize);

impl ResultRoom {
    /// For a request of that many bytes.
    pub(crate) fn of(bytes: usize) -> ResultRoom {
        ResultRoom(bytes / 4 + (64 << 10))
    }

    /// What is left of it, bytes.
    pub(crate) fn left(&self) -> usize {
        self.0
    }

    /// Takes the room for the result of a call with an id of that many bytes; false if there is none left.
    pub(crate) fn take(&mut self, id: usize) -> bool {
        /// What a result that says so takes besides its id, bytes.
        const RESULT_COST: usize = 128;
        let left = self.0.checked_sub(id + RESULT_COST);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// What an id begins with that was rewritten.
const MARK: &str = "hx";
/// The longest id that every wire takes, bytes.
const LENGTH_MAX: usize = 64;
/// How much of an id that is too long stays, bytes.
const PREFIX: usize = 40;

/// The id `original` of the call that is the `nth` with this id in its conversation, counted from 1.
pub(crate) fn shown(original: Text<'_>, nth: usize) -> Text<'_> {
    if nth == 1 && is_plain(&original) {
        return original;
    }
    // Longer ones are not encoded, only to be thrown away.
    if original.len() <= LENGTH_MAX {
        let encoded = URL_SAFE_NO_PAD.encode(original.as_bytes());
        let shown = match nth {
            1 => format!("{MARK}_{encoded}"),
            nth => format!("{MARK}{nth}_{encoded}"),
        };
        if shown.len() <= LENGTH_MAX {
            return Cow::Owned(shown);
        }
    }
    Cow::Owned(shortened(&original, (PREFIX, nth)))
}

/// The id that [`shown`] showed as `given`; `given` itself if it was not rewritten.
pub(crate) fn original(given: Text<'_>) -> Text<'_> {
    decoded(&given).map_or(given, Cow::Owned)
}

/// The ids of calls that the target of `order`, of the OpenAI wire, takes.
pub(crate) fn of(order: &Order<'_>) -> CallIds {
    let provider = order.deployment.endpoint.provider;
    match provider.quirks.call_ids {
        // Its models are the same behind any address.
        CallIds::Any if is_openais(order.upstream_model) => CallIds::Forty,
        given => given,
    }
}

/// Whether OpenAI made a model, which others may serve.
fn is_openais(model: &str) -> bool {
    let name = model.rsplit_once('/').map_or(model, |(_, name)| name);
    let is_numbered = |letter: char| {
        let tail = name.strip_prefix(letter);
        tail.is_some_and(|tail| tail.starts_with(|c: char| c.is_ascii_digit()))
    };
    (name.starts_with("gpt-") && !name.starts_with("gpt-oss"))
        || name.starts_with("chatgpt-")
        || is_numbered('o')
}

/// `original` as a provider takes it that takes only some ids. Nothing comes back, because the provider did not make it.
pub(crate) fn taken(original: Text<'_>, taken: CallIds) -> Text<'_> {
    /// Digits and letters, of which each stands for a byte of a hash.
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    match taken {
        CallIds::Any => original,
        CallIds::Forty if original.len() <= 40 => original,
        CallIds::Forty => Cow::Owned(shortened(&original, (23, 1))),
        CallIds::NineLetters => {
            if original.len() == 9 && original.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return original;
            }
            let hash = digest::digest(&digest::SHA256, original.as_bytes());
            let letters = hash.as_ref().iter().take(9);
            Cow::Owned(letters.map(|byte| char::from(LETTERS[usize::from(*byte) % 62])).collect())
        }
    }
}

fn decoded(given: &str) -> Option<String> {
    let tail = given.strip_prefix(MARK).filter(|_| given.len() <= LENGTH_MAX)?;
    let (nth, encoded) = tail.split_once('_')?;
    let nth = if nth.is_empty() { 1 } else { nth.parse().ok()? };
    let id = String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
    // Another text of the same bytes was not made here.
    (nth > 0 && shown(Cow::Borrowed(&id), nth) == given).then_some(id)
}

/// Whether every wire takes `id`, and no provider's signature stands behind it.
pub(crate) fn is_readable(id: &str) -> bool {
    is_short(id) && signed_call::split(id).1.is_none()
}

fn is_short(id: &str) -> bool {
    (1..=LENGTH_MAX).contains(&id.len()) && id.bytes().all(is_letter)
}

/// Whether it also cannot be mistaken for one that was rewritten.
fn is_plain(id: &str) -> bool {
    is_short(id) && !id.starts_with(MARK)
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// An id that is too long: so many of its letters, and a hash of all of it.
fn shortened(id: &str, (prefix, nth): (usize, usize)) -> String {
    let id = id.trim_start_matches(MARK);
    let mut out: String =
        id.chars().filter(char::is_ascii).filter(|c| is_letter(*c as u8)).take(prefix).collect();
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(id.as_bytes());
    hash.update(&nth.to_le_bytes());
    out.push('_');
    for byte in &hash.finish().as_ref()[..8] {
        out.push_str(&format!("{byte:02x}"));
    }
    out
}

/// The calls of a conversation by their ids, to tell which is the n-th with one id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    /// How many calls there are with the id that has this hash.
    seen: BTreeMap<u64, usize>,
}

impl Calls {
    /// Shows the id of one more call.
    pub(crate) fn show<'t>(&mut self, original: Text<'t>) -> Text<'t> {
        let nth = self.add(signed_call::split(&original).0);
        let Some(tail) = signed_call::split(&original).1 else { return shown(original, nth) };
        let shown = shown(signed_call::own(Cow::Borrowed(&*original)), nth);
        Cow::Owned(format!("{shown}{}{tail}", signed_call::MARK))
    }

    /// Takes one more call with that id; returns how many there are now.
    pub(crate) fn add(&mut self, original: &str) -> usize {
        let count = self.seen.entry(hash(original)).or_default();
        *count += 1;
        *count
    }

    /// Whether there is a call with that id.
    pub(crate) fn has(&self, original: &str) -> bool {
        self.seen.contains_key(&hash(original))
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(id: &str, nth: usize) -> String {
        shown(Cow::Borrowed(id), nth).into_owned()
    }

    fn undo(id: &str) -> String {
        original(Cow::Borrowed(id)).into_owned()
    }

    #[test]
    fn an_id_that_every_wire_takes_stays() {
        for id in ["toolu_01A", "call_1", "chatcmpl-tool-0", &"a".repeat(64)] {
            assert_eq!((show(id, 1), undo(id)), (id.to_owned(), id.to_owned()));
        }
    }

    #[test]
    fn two_ids_stay_two_and_both_come_back() {
        let ids = [
            "functions.Bash:0",
            "functions_Bash_0",
            "hx_ZnVuY3Rpb25zLkJhc2g6MA",
            "hx",
            "hx2_YQ",
            "a",
            "",
        ];
        let mut all: Vec<String> =
            ids.iter().flat_map(|id| [1, 2, 3].map(|nth| show(id, nth))).collect();
        for id in ids {
            for nth in 1..4 {
                assert_eq!(undo(&show(id, nth)), id, "{nth}");
            }
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 3 * ids.len());
    }

    #[test]
    fn what_only_looks_rewritten_is_left_alone() {
        for id in ["hx_!", "hx_YQ==", "hx_YQ", "hx0_YQ", "hx01_YQ", "hxx_YQ", "hx2_gA", "hx_YR"] {
            assert_eq!(undo(id), id);
        }
    }

    #[test]
    fn an_id_that_is_too_long_is_cut_and_stays_apart() {
        let (one, two) = (":".repeat(65_536), format!("{}.", ":".repeat(65_535)));
        let long = "a:".repeat(40_000);
        for id in [&one, &two, &long] {
            let shown = show(id, 1);
            assert!(shown.len() <= 64 && shown.bytes().all(is_letter), "{shown}");
            assert_ne!(shown, show(id, 2));
        }
        assert_ne!(show(&one, 1), show(&two, 1));
        assert!(show(&long, 1).starts_with(&"a".repeat(40)));
        assert!(!show(&format!("hx_{one}"), 1).starts_with("hx"));
    }

    #[test]
    fn a_provider_that_takes_few_ids_gets_such() {
        let takes = |id: &str, ids| taken(Cow::Owned(id.to_owned()), ids).into_owned();
        let long = format!("chatcmpl-tool-{}", "0".repeat(32));
        for id in ["toolu_1", &long, "functions.Bash:0", "abcdefgh1"] {
            assert_eq!(takes(id, CallIds::Any), id);
            let forty = takes(id, CallIds::Forty);
            assert!(forty.len() <= 40 && (forty == id) == (id.len() <= 40), "{forty}");
            let nine = takes(id, CallIds::NineLetters);
            assert!(nine.len() == 9 && nine.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert_eq!(nine == id, id == "abcdefgh1");
        }
    }

    #[test]
    fn a_call_with_an_id_that_was_there_is_counted() {
        let mut calls = Calls::default();
        let mut show = |id: &'static str| calls.show(Cow::Borrowed(id)).into_owned();
        assert_eq!([show("c"), show("d"), show("c"), show("c")], ["c", "d", "hx2_Yw", "hx3_Yw"]);
        assert!(calls.has("d") && !calls.has("e"));
    }

    proptest! {
        #[test]
        fn any_id_of_45_bytes_comes_back(id in "\\PC{0,11}", nth in 1..3_usize) {
            let shown = show(&id, nth);
            prop_assert!(shown.len() <= 64 && shown.bytes().all(is_letter));
            prop_assert_eq!(undo(&shown), id);
        }
    }
}
