//! What must not be shown: which keys hold secrets, and a line of a file without its possible
//! secrets.
//!
//! Used for `/model/info` texts and for problems. Always true: in doubt a value counts as a secret.

use super::problem::shown;

/// Parts of a key's name that make its value a secret.
const SECRET_WORDS: [&str; 13] = [
    "key",
    "token",
    "secret",
    "password",
    "passwd",
    "credential",
    "auth",
    "bearer",
    "private",
    "signature",
    "header",
    "cookie",
    "organization",
];
/// From this length a word of letters and digits may be a key.
const KEY_LIKE_CHARS: usize = 12;
/// How much of a line is looked at.
const LINE_CHARS: usize = 500;

/// Whether the value of a key with this name is a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // Counts and prices of tokens are common, and they are numbers.
    let counts = name.ends_with("tokens") || name.contains("cost_per") || name.ends_with("_cost");
    !counts && SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Whether a name is about counts, so that its value is shown if it is a number.
pub(super) fn is_count_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word)) && !is_secret_name(&name)
}

/// A line of a config file with everything hidden that may be a secret.
#[must_use]
pub fn line(text: &str) -> String {
    let text = text.trim();
    // More is not shown anyway.
    let end = text.char_indices().nth(LINE_CHARS).map(|(end, _)| end);
    let text = text.get(..end.unwrap_or(text.len())).unwrap_or(text);
    let visible = match text.split_once(':') {
        Some((key, value)) if is_secret_name(key) && !value.trim().is_empty() => {
            format!("{key}: ***")
        }
        Some(_) | None => text.split(' ').map(word).collect::<Vec<_>>().join(" "),
    };
    shown(&visible)
}

fn word(word: &str) -> &str {
    let count = word.chars().count();
    let digits = word.chars().any(|c| c.is_ascii_digit());
    let letters = word.chars().any(char::is_alphabetic);
    let named = word.contains("os.environ/");
    let like_key = count >= KEY_LIKE_CHARS && digits && letters;
    if !named && (like_key || count >= 2 * KEY_LIKE_CHARS || word.contains("sk-")) {
        "***"
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_and_counts_are_not() {
        for name in ["api_key", "API_KEY", "aws_secret_access_key", "azure_ad_token", "password"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["max_tokens", "input_cost_per_token", "cache_read_input_token_cost", "model"] {
            assert!(!is_secret_name(name), "{name}");
        }
        assert!(is_count_name("max_tokens") && !is_count_name("model"));
    }

    #[test]
    fn a_shown_line_hides_values_that_may_be_keys() {
        assert_eq!(line("  api_key: sk-1"), "api_key: ***");
        assert_eq!(line("  - {model: x, api_key: sk-abc}"), "- {model: x, api_key: ***");
        assert_eq!(line("  abcdefgh12345678abcd"), "***");
        assert_eq!(line("key: os.environ/OPENAI_API_KEY_1 x"), "key: ***");
        assert_eq!(
            line("model: os.environ/OPENAI_API_KEY_1"),
            "model: os.environ/OPENAI_API_KEY_1"
        );
        assert_eq!(line("\tmodel_name: gpt-4"), "model_name: gpt-4");
    }
}
