//! The request fields that mean something to the gateway: the sets made of the table of parameters.
//!
//! Read by the readers of bodies and forms, by the edits of each format and by the gateway. Always true: every set is made of
//! the rows of [`PARAMETERS`] when this is compiled.

use hale_core::parameters::{InBody, PARAMETERS, names_a_credential};

/// A set of fields.
#[derive(Clone, Copy)]
enum Set {
    Spelled,
    Request,
    Read,
    Small,
    Removed,
    Refused,
}

impl Set {
    const fn holds(self, row: InBody) -> bool {
        match self {
            Set::Spelled => !matches!(row, InBody::Stripped),
            Set::Request => matches!(row, InBody::Request),
            Set::Read => matches!(row, InBody::Request | InBody::Control),
            Set::Small => matches!(row, InBody::Request | InBody::Control | InBody::Inspected),
            Set::Removed => !matches!(row, InBody::Request),
            Set::Refused => matches!(row, InBody::Unserved | InBody::Mock | InBody::Credential),
        }
    }

    const fn count(self) -> usize {
        let (mut count, mut row) = (0, 0);
        while row < PARAMETERS.len() {
            if self.holds(PARAMETERS[row].in_body) {
                count += 1;
            }
            row += 1;
        }
        count
    }

    const fn names<const N: usize>(self) -> [&'static str; N] {
        let mut names = [""; N];
        let (mut count, mut row) = (0, 0);
        while row < PARAMETERS.len() {
            if self.holds(PARAMETERS[row].in_body) {
                names[count] = PARAMETERS[row].name;
                count += 1;
            }
            row += 1;
        }
        names
    }
}

const SPELLED_NAMES: [&str; Set::Spelled.count()] = Set::Spelled.names();
const READ_NAMES: [&str; Set::Read.count()] = Set::Read.names();
const SMALL_NAMES: [&str; Set::Small.count()] = Set::Small.names();
const REMOVED_NAMES: [&str; Set::Removed.count()] = Set::Removed.names();
const REFUSED_NAMES: [&str; Set::Refused.count()] = Set::Refused.names();

/// Fields that the gateway reads. A body that has one of them twice is refused, because the gateway and the
/// provider could read different ones.
pub(crate) static READ: Names = Names::new(&READ_NAMES);
/// Where the fields that steer the gateway begin in [`READ`].
pub(crate) const CONTROLS_FROM: u32 = Set::Request.count() as u32;
/// Fields of which the gateway reads all, or a part.
pub(crate) static SMALL: Names = Names::new(&SMALL_NAMES);
/// Fields that are meant for a gateway: no provider gets them.
pub(crate) static REMOVED: Names = Names::new(&REMOVED_NAMES);
/// Fields that are refused, some of them only if they ask for something.
pub(crate) static REFUSED: Names = Names::new(&REFUSED_NAMES);

/// How the fields of LiteLLM's own begin, also those that no row has yet.
const OWN: [&[u8]; 2] = [b"litellm_", b"_litellm_"];

/// Whether a field is meant for a gateway by the beginning of its name.
pub(crate) fn begins_as_own(name: &[u8]) -> bool {
    OWN.iter().any(|own| name.starts_with(own))
}

/// Whether no provider gets a field.
pub(crate) fn is_removed(name: &str) -> bool {
    REMOVED.has(name) || begins_as_own(name.as_bytes())
}

/// Why a field is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It would set a credential or an address.
    Credential,
    /// It asks for a simulated answer.
    Mock,
    /// It asks for what is not served; what that is.
    Unserved(&'static str),
}

/// Whether there may be an objection to a field with this name. False for nearly all names that have none.
pub(crate) fn may_be_refused(name: &[u8]) -> bool {
    REFUSED.may_have(name) || std::str::from_utf8(name).is_ok_and(names_a_credential)
}

/// The objection to a field with this name and value (JSON), if there is one.
pub(crate) fn objection(name: &str, value: &str) -> Option<Objection> {
    if value == "null" {
        // A field that is null is absent.
        return None;
    }
    if !REFUSED.has(name) {
        let is_foreign = names_a_credential(name) && !is_removed(name);
        return is_foreign.then_some(Objection::Credential);
    }
    let row = hale_core::parameters::parameter(name)?;
    match row.in_body {
        InBody::Credential => Some(Objection::Credential),
        InBody::Mock => Some(Objection::Mock),
        InBody::Unserved if asks_for_nothing(value) => None,
        InBody::Unserved => Some(Objection::Unserved(row.about)),
        InBody::Request | InBody::Control | InBody::Inspected | InBody::Stripped => None,
    }
}

/// Whether a value is `null`, `false`, or empty.
fn asks_for_nothing(value: &str) -> bool {
    let value: String = value.chars().take(16).filter(|c| !c.is_whitespace()).collect();
    matches!(&*value, "null" | "false" | "[]" | "{}" | "\"\"")
}

/// Longest key that can be one of them in other letters, bytes: a letter of another alphabet has up to three.
const OTHER_LETTERS_MAX: usize = 3 * 64;

/// The field that `key` names in other letters than the gateway reads. Some servers do not heed case (Go's
/// `encoding/json`, which also takes a long s for an s), so they would read a field that nothing here has read.
pub(crate) fn in_other_letters(key: &str) -> Option<&'static str> {
    // The names themselves are lower-case ASCII, and so are most keys.
    let is_plain = key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_plain || key.len() > OTHER_LETTERS_MAX {
        return None;
    }
    let folded = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    SPELLED_NAMES.into_iter().find(|name| key.chars().map(folded).eq(name.chars()))
}

/// Names of fields that are looked for together.
#[derive(Debug)]
pub struct Names {
    names: &'static [&'static str],
    /// One bit for each mark that occurs: nearly all other fields are ruled out without a comparison.
    marks: [u64; MARKS / 64],
}

/// How many marks there are: forty for each name of the largest set, which takes long to be looked through.
const MARKS: usize = 16_384;

/// What a name is recognised by, before it is compared: its length and four of its letters.
pub(super) const fn mark(name: &[u8]) -> usize {
    let length = name.len();
    if length == 0 {
        return 0;
    }
    let (first, last) = (name[0] as usize, name[length - 1] as usize);
    let (second, middle) = (name[length / 4] as usize, name[length / 2] as usize);
    (length * 1031 + first * 257 + second * 7919 + middle * 4099 + last * 613) % MARKS
}

impl Names {
    /// The set of `names`.
    #[must_use]
    pub const fn new(names: &'static [&'static str]) -> Names {
        let mut marks = [0; MARKS / 64];
        let mut i = 0;
        while i < names.len() {
            let mark = mark(names[i].as_bytes());
            marks[mark / 64] |= 1 << (mark % 64);
            i += 1;
        }
        Names { names, marks }
    }

    /// The names.
    #[must_use]
    pub const fn all(&self) -> &'static [&'static str] {
        self.names
    }

    /// Whether `name` is one of them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.may_have(name.as_bytes()) && self.names.contains(&name)
    }

    /// Whether one of them may be this one.
    pub(crate) fn may_have(&self, name: &[u8]) -> bool {
        let mark = mark(name);
        self.marks[mark / 64] & (1 << (mark % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_has_a_bit_and_controls_come_last() {
        assert!(READ.all().len() <= 32, "a bit of a u32 stands for each");
        let (request, controls) = READ.all().split_at(CONTROLS_FROM as usize);
        assert!(request.iter().all(|name| !REMOVED.has(name)));
        assert!(controls.iter().all(|name| REMOVED.has(name)));
    }

    #[test]
    fn every_name_of_the_table_is_read_removed_or_refused() {
        for row in PARAMETERS {
            let handled = [READ.has(row.name), REMOVED.has(row.name), REFUSED.has(row.name)];
            assert!(handled.contains(&true), "{}", row.name);
            assert!(is_removed(row.name) || READ.has(row.name));
        }
        assert!(is_removed("litellm_of_tomorrow") && is_removed("_litellm_x"));
        assert!(!is_removed("litellm") && !is_removed("seed"));
    }

    #[test]
    fn a_field_is_refused_for_what_it_asks() {
        for name in
            ["api_key", "base_url", "user_config", "mock_response", "hf_token", "extra_body"]
        {
            assert_eq!(objection(name, "null"), None, "{name}: null is absent");
        }
        assert_eq!(objection("api_key", "\"\""), Some(Objection::Credential));
        assert_eq!(objection("aws_bearer_token", "\"x\""), Some(Objection::Credential));
        assert_eq!(objection("token", "\"x\""), None);
        assert_eq!(objection("some_vendors_api_key", "1"), Some(Objection::Credential));
        assert_eq!(objection("mock_response", "\"x\""), Some(Objection::Mock));
        for nothing in ["[]", "[ ]", "null", "false", "{ }", "\"\""] {
            assert_eq!(objection("guardrails", nothing), None, "{nothing}");
        }
        for asked in ["[\"a\"]", "true", "\"a\"", "{\"a\":[]}", "[[]]", "0"] {
            let objection = objection("guardrails", asked);
            assert!(matches!(objection, Some(Objection::Unserved(_))), "{asked}");
        }
        for own in ["prompt_cache_key", "seed", "model", "cache", "langfuse_secret_key"] {
            assert_eq!(objection(own, "\"x\""), None, "{own}");
        }
    }

    #[test]
    fn a_field_in_other_letters_is_recognised() {
        for (key, name) in [
            ("Model", "model"),
            ("MODEL", "model"),
            ("\u{17f}tream", "stream"),
            ("api_\u{212a}ey", "api_key"),
            ("Tags", "tags"),
            ("No-Log", "no-log"),
        ] {
            assert_eq!(in_other_letters(key), Some(name), "{key}");
        }
        let long = "M".repeat(1_000);
        for key in ["model", "Models", "m\u{f6}del", "", "Seed", &long] {
            assert_eq!(in_other_letters(key), None, "{key}");
        }
    }

    #[test]
    fn few_other_names_share_a_mark() {
        static FEW: Names = Names::new(&["a", "abc"]);
        assert!(FEW.has("abc") && !FEW.has("ab") && !FEW.has(""));
        let of_providers = [
            "model",
            "messages",
            "stream",
            "stream_options",
            "top_k",
            "frequency_penalty",
            "presence_penalty",
            "reasoning_effort",
            "parallel_tool_calls",
            "input",
            "tools",
            "tool_choice",
            "temperature",
            "top_p",
            "max_tokens",
            "max_completion_tokens",
            "response_format",
            "stop",
            "seed",
            "n",
            "user",
            "metadata",
            "system",
            "thinking",
            "store",
            "reasoning",
            "include",
            "instructions",
            "prompt",
            "encoding_format",
        ];
        let shared = of_providers.iter().filter(|name| REMOVED.may_have(name.as_bytes()));
        assert_eq!(shared.collect::<Vec<_>>(), [&""; 0], "each request would pay for it");
        assert!(of_providers.iter().all(|name| !REMOVED.has(name) && !REFUSED.has(name)));
    }
}
