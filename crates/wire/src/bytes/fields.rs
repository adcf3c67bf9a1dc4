//! The request fields that mean something to the gateway: one table, and the sets made of it.
//!
//! Read by the readers of bodies and forms, by the edits of each format and by the gateway. Always true:
//! a field has one row, and every set of fields is made of the rows when this is compiled.

/// What a field is to the gateway.
#[derive(Clone, Copy)]
enum Role {
    /// It says what the client wants. The gateway reads it, and the provider gets it.
    Request,
    /// It steers the gateway, which reads it and does not forward it.
    Control,
    /// It is meant for a gateway, and is not forwarded.
    Private,
    /// It would set credentials, addresses or answers, and is refused.
    Forbidden,
}

use Role::{Control, Forbidden, Private, Request};

/// One row for each field. The rows of [`Role::Request`] come first: see [`CONTROLS_FROM`].
const TABLE: &[(&str, Role)] = &[
    ("model", Request),
    ("stream", Request),
    ("stream_options", Request),
    ("previous_response_id", Request),
    ("input_file_id", Request),
    ("num_retries", Control),
    ("timeout", Control),
    ("request_timeout", Control),
    ("stream_timeout", Control),
    ("fallbacks", Control),
    ("context_window_fallbacks", Control),
    ("content_policy_fallbacks", Control),
    ("disable_fallbacks", Control),
    ("max_fallbacks", Control),
    ("include_fallback_errors", Control),
    ("allowed_model_region", Control),
    ("litellm_metadata", Private),
    ("litellm_call_id", Private),
    ("cache", Private),
    ("guardrails", Private),
    ("tags", Private),
    ("priority", Private),
    ("specific_deployment", Private),
    ("drop_params", Private),
    ("additional_drop_params", Private),
    ("keepalive_seconds", Private),
    ("no-log", Private),
    // What LiteLLM's `completion()` takes besides what it forwards.
    ("api_base", Forbidden),
    ("base_url", Forbidden),
    ("api_key", Forbidden),
    ("user_config", Forbidden),
    ("mock_response", Forbidden),
    ("model_list", Forbidden),
    ("extra_headers", Forbidden),
    ("organization", Forbidden),
    ("litellm_credential_name", Forbidden),
    ("azure_ad_token", Forbidden),
    ("client_secret", Forbidden),
    ("vertex_credentials", Forbidden),
    ("aws_access_key_id", Forbidden),
    ("aws_secret_access_key", Forbidden),
    ("aws_session_token", Forbidden),
    ("aws_role_name", Forbidden),
    ("aws_web_identity_token", Forbidden),
    ("aws_sts_endpoint", Forbidden),
    ("aws_bedrock_runtime_endpoint", Forbidden),
    ("mock_testing_fallbacks", Forbidden),
    ("mock_testing_context_fallbacks", Forbidden),
    ("mock_testing_content_policy_fallbacks", Forbidden),
    ("mock_testing_rate_limit_error", Forbidden),
    ("mock_timeout", Forbidden),
];

/// A set of fields.
#[derive(Clone, Copy)]
enum Set {
    All,
    Request,
    Read,
    Removed,
    Forbidden,
}

impl Set {
    const fn holds(self, role: Role) -> bool {
        match self {
            Set::All => true,
            Set::Request => matches!(role, Request),
            Set::Read => matches!(role, Request | Control),
            Set::Removed => matches!(role, Control | Private),
            Set::Forbidden => matches!(role, Forbidden),
        }
    }

    const fn count(self) -> usize {
        let (mut count, mut row) = (0, 0);
        while row < TABLE.len() {
            if self.holds(TABLE[row].1) {
                count += 1;
            }
            row += 1;
        }
        count
    }

    const fn names<const N: usize>(self) -> [&'static str; N] {
        let mut names = [""; N];
        let (mut count, mut row) = (0, 0);
        while row < TABLE.len() {
            if self.holds(TABLE[row].1) {
                names[count] = TABLE[row].0;
                count += 1;
            }
            row += 1;
        }
        names
    }
}

const ALL_NAMES: [&str; Set::All.count()] = Set::All.names();
const READ_NAMES: [&str; Set::Read.count()] = Set::Read.names();
const REMOVED_NAMES: [&str; Set::Removed.count()] = Set::Removed.names();
const FORBIDDEN_NAMES: [&str; Set::Forbidden.count()] = Set::Forbidden.names();

/// Fields that the gateway reads. A body that has one of them twice is refused, because the gateway and the
/// provider could read different ones.
pub(crate) static READ: Names = Names::new(&READ_NAMES);
/// Where the fields that steer the gateway begin in [`READ`].
pub(crate) const CONTROLS_FROM: u32 = Set::Request.count() as u32;
/// Fields that are meant for the gateway: no provider gets them.
pub(crate) static REMOVED: Names = Names::new(&REMOVED_NAMES);
/// Fields that would set the gateway's credentials, addresses or answers.
pub static FORBIDDEN: Names = Names::new(&FORBIDDEN_NAMES);

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
    ALL_NAMES.into_iter().find(|name| key.chars().map(folded).eq(name.chars()))
}

/// Names of fields that are looked for together.
#[derive(Debug)]
pub struct Names {
    names: &'static [&'static str],
    /// One bit for each length that occurs: most fields are ruled out without a comparison.
    lengths: u64,
}

impl Names {
    /// The set of `names`, each shorter than 64 bytes.
    #[must_use]
    pub const fn new(names: &'static [&'static str]) -> Names {
        let mut lengths = 0;
        let mut i = 0;
        while i < names.len() {
            lengths |= 1 << names[i].len();
            i += 1;
        }
        Names { names, lengths }
    }

    /// The names.
    #[must_use]
    pub const fn all(&self) -> &'static [&'static str] {
        self.names
    }

    /// Whether `name` is one of them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// Whether one of them may have this length, in bytes.
    pub(crate) fn has_length(&self, length: usize) -> bool {
        length < 64 && self.lengths & (1 << length) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_one_row_and_request_fields_come_first() {
        for (row, (name, _)) in TABLE.iter().enumerate() {
            assert!(TABLE[..row].iter().all(|(other, _)| other != name), "{name} has two rows");
        }
        assert!(READ.all().len() <= 32, "a bit of a u32 stands for each");
        let (request, controls) = READ.all().split_at(CONTROLS_FROM as usize);
        assert!(request.iter().all(|name| !REMOVED.has(name)));
        assert!(controls.iter().all(|name| REMOVED.has(name)));
    }

    #[test]
    fn a_field_in_other_letters_is_recognised() {
        for (key, name) in [
            ("Model", "model"),
            ("MODEL", "model"),
            ("\u{17f}tream", "stream"),
            ("api_\u{212a}ey", "api_key"),
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
    fn lengths_tell_names_apart() {
        static FEW: Names = Names::new(&["a", "abc"]);
        assert!(FEW.has("abc") && !FEW.has("ab"));
        assert!(FEW.has_length(3) && !FEW.has_length(2) && !FEW.has_length(64));
    }
}
