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

/// Whether `name`, which stands where the name of a variable belongs, may be a key that was pasted there.
pub(super) fn is_pasted_key(name: &str) -> bool {
    let has_both = |text: &str| {
        let digits = text.chars().any(|c| c.is_ascii_digit());
        digits && text.chars().any(char::is_alphabetic)
    };
    let is_part = |part: &str| {
        let count = part.chars().count();
        count >= 2 * KEY_LIKE_CHARS || (count >= KEY_LIKE_CHARS && has_both(part))
    };
    let has_dashes = name.contains('-') && name.chars().count() >= KEY_LIKE_CHARS;
    name.starts_with("sk-")
        || (has_dashes && has_both(name))
        || name.split(['_', '-', '.']).any(is_part)
}

/// The name of a variable as it may be shown: `***` for what may be a key.
pub(super) fn variable(name: &str) -> String {
    if is_pasted_key(name) { "***".to_owned() } else { shown(name) }
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
    let is_end = |c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.');
    let name = word.split_once("os.environ/").map(|(_, tail)| tail.split(is_end).next());
    let named = name.flatten().is_some_and(|name| !is_pasted_key(name));
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
    fn a_key_in_place_of_a_name_is_told_from_a_name() {
        for key in [
            "sk-1",
            "sk-proj-abcDEF",
            "sk-ant-api03-Abc",
            "gsk_aB3dE5fG7hI9jK1l",
            "AIzaSyA1b2C3d4E5f6G7h8",
            "AKIAIOSFODNN7EXAMPLE",
            "0123456789abcdef0123456789abcdef",
            "abcdefghijklmnopqrstuvwxyzABCD",
            "1b2c3d4e-aaaa-bbbb-cccc-123456789abc",
        ] {
            assert_eq!(variable(key), "***", "{key}");
            let told = line(&format!("- {{model: os.environ/{key}}}"));
            assert!(!told.contains(key), "{told}");
        }
        for name in [
            "OPENAI_API_KEY",
            "AZURE_API_KEY_2",
            "openai_key",
            "AZURE_GPT4O_EASTUS2_KEY",
            "KEY2",
            "my-key",
            "task-sk",
            "AWS_BEARER_TOKEN_BEDROCK",
        ] {
            assert_eq!(variable(name), name);
        }
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
