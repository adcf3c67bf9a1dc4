//! Texts that were to be replaced before they were used, and keys that published documents use: `${NAME}`, `%NAME%`, `{{ name }}`,
//! `<your-key>`, `[YOUR KEY]`, `YOUR_API_KEY`, `sk-...`, `sk-1234`.
//!
//! Asked by [`crate::secret`] about the master key, and by the loader of configs about every text. Always true: this is the one table of
//! such texts, so that what the loader calls a placeholder keeps no secret either.

/// What a text is, if it is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder<'t> {
    /// A variable as shells, Python and others write it, by its name.
    Variable(&'t str),
    /// `os.environ/NAME` within a longer text.
    Reference(&'t str),
    /// A blank that was not filled in.
    Blank,
}

/// How placeholders for keys begin, in lower case.
const BEGINNINGS: [&str; 8] =
    ["your-", "your_", "my-api-key", "my_api_key", "sk-your", "sk-xxx", "changeme", "replace"];

/// What stands before a variable's name in other languages and files, in lower case.
const CALLS: [&str; 12] = [
    "os.environ.get(",
    "os.environ[",
    "os.environ",
    "os.getenv",
    "os.env",
    "process.env",
    "environ/",
    "getenv",
    "env/",
    "env.",
    "env:",
    "$env:",
];

/// Words of which documents make the keys of their examples: a key of nothing else is guessed first.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "a", "admin", "an", "any", "api", "apikey", "change", "changeit", "changeme", "default", "demo", "dummy", "enter", "example", "fake",
    "gateway", "goes", "hale", "here", "in", "insert", "it", "key", "litellm", "llm", "master", "masterkey", "me", "my", "new", "openai",
    "our", "own", "password", "placeholder", "please", "prod", "production", "proxy", "put", "random", "real", "replace", "root", "sample",
    "secret", "secure", "set", "sk", "some", "strong", "super", "test", "the", "this", "todo", "token", "use", "value", "with", "your",
];
/// Rows of characters with which documents fill keys.
const ROWS: [&str; 4] = [
    "1234567890abcdefghijklmnopqrstuvwxyz",
    "abcdefghijklmnopqrstuvwxyz1234567890",
    "abc1234567890",
    "abcdef1234567890",
];

/// The variable that a text is nothing but, as shells, Python and others write it.
#[must_use]
pub fn of_shell(text: &str) -> Option<&str> {
    let text = text.trim();
    let between = |begin: &str, end: &str| text.strip_prefix(begin)?.strip_suffix(end);
    if let Some(name) = between("${{", "}}") {
        // A step of GitHub's writes `${{ secrets.NAME }}`.
        return variable(name.trim().rsplit('.').next().unwrap_or(name));
    }
    if let Some(name) = between("${", "}").or_else(|| between("%", "%")) {
        return variable(name);
    }
    let after = |call: &&str| {
        let head = text.get(..call.len())?;
        head.eq_ignore_ascii_case(call).then(|| &text[call.len()..])
    };
    let tail = CALLS.iter().find_map(after).or_else(|| text.strip_prefix('$'))?;
    variable(tail.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|_| !tail.contains(char::is_whitespace))
}

/// The placeholder that a text has in it, for a value that is never prose.
#[must_use]
pub fn anywhere(text: &str) -> Option<Placeholder<'_>> {
    if let Some((_, tail)) = text.split_once("${") {
        let name = tail.trim_start_matches('{').split_once('}')?.0;
        let of_secrets = name.trim().rsplit('.').next().filter(|_| tail.starts_with('{'));
        return variable(of_secrets.unwrap_or(name)).map(Placeholder::Variable);
    }
    if let Some((_, tail)) = text.split_once("os.environ/") {
        let name =
            tail.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
        return Some(Placeholder::Reference(name));
    }
    let is_template = text.contains("{{") && text.contains("}}");
    let is_bracketed = text.split_once('<').is_some_and(|(_, tail)| tail.contains('>'));
    let lower = text.trim().to_ascii_lowercase();
    let is_boxed = lower.starts_with('[') && lower.ends_with(']') && !lower.contains(':');
    let is_cut = lower.ends_with("...") || lower.ends_with('\u{2026}');
    let is_blank = |part: &str| part.len() >= 4 && part.bytes().all(|b| b == b'x');
    let is_cut = is_cut || lower.split(|c: char| !c.is_ascii_alphanumeric()).any(is_blank);
    let host = lower.split_once("://").map_or(&*lower, |(_, host)| host);
    let is_named = BEGINNINGS.iter().any(|beginning| host.starts_with(beginning));
    (is_template || is_bracketed || is_boxed || is_cut || is_named).then_some(Placeholder::Blank)
}

/// Whether a key keeps no secret: a placeholder, or one of those that documents use.
#[must_use]
pub fn is_no_secret(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let mut words =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).peekable();
    let is_of_documents = words.peek().is_some()
        && words.all(|word| {
            let same = |b: u8| word.bytes().all(|other| other == b);
            WORDS.contains(&word)
                || ROWS.iter().any(|row| row.starts_with(word))
                || word.bytes().next().is_some_and(same)
        });
    is_of_documents || of_shell(key).is_some() || anywhere(key).is_some()
}

/// `NAME`, and what may follow it in braces: a default is not shown, because it may be a secret.
fn variable(inner: &str) -> Option<&str> {
    let name = inner.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
    let has_letters = name.bytes().any(|b| b.is_ascii_alphabetic());
    let is_name = name.len() >= 2 && has_letters && !name.bytes().any(|b| b.is_ascii_lowercase());
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_shells_and_python_are_recognised() {
        for text in [
            "${KEY}",
            "${KEY:-sk-1234}",
            "${KEY-x}",
            "$KEY",
            "os.environ[\"KEY\"]",
            "os.environ.get('KEY')",
            "os.getenv(\"KEY\")",
            "os.getenv/KEY",
            "environ/KEY",
            "OS.ENVIRON/KEY",
            "Os.Environ/KEY",
            "env/KEY",
            "$env:KEY",
            "process.env.KEY",
            "%KEY%",
            "${{ secrets.KEY }}",
            "${{KEY}}",
        ] {
            assert_eq!(of_shell(text), Some("KEY"), "{text}");
            assert!(is_no_secret(text), "{text}");
        }
        for text in [
            "$5",
            "$",
            "${}",
            "${key}",
            "price: $KEY now",
            "KEY",
            "$KEY and more",
            "",
            "$ref",
            "%",
            "%%",
            "%41%",
            "env/key",
        ] {
            assert_eq!(of_shell(text), None, "{text}");
        }
    }

    #[test]
    fn placeholders_are_recognised_and_ordinary_values_are_not() {
        for text in [
            "https://h.${DOMAIN}/v1",
            "{{KEY}}",
            "{{ .Values.key }}",
            "<your-key>",
            "http://<HOST>/v1",
            "YOUR_API_KEY",
            "your-api-key",
            "sk-xxxx",
            "https://os.environ/HOST/v1",
            "Bearer os.environ/KEY",
            "changeme",
            "[YOUR KEY]",
            "[your-key]",
            "sk-...",
            "sk-ant-xxxxxxxx",
            "sk-proj-\u{2026}",
            "https://YOUR_RESOURCE.openai.azure.com",
            "https://your-resource.openai.azure.com/",
        ] {
            assert!(anywhere(text).is_some() && is_no_secret(text), "{text}");
        }
        for text in [
            "sk-abc123",
            "none",
            "anything",
            "https://yourdomain.example/v1",
            "a<b",
            "{}",
            "dummy",
            "sk-1234",
            "http://[::1]:8000/v1",
            "[::1]",
            "sk-a.b",
        ] {
            assert_eq!(anywhere(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_that_documents_use_keeps_no_secret_and_a_key_of_ones_own_does() {
        for key in [
            "sk-1234",
            "sk-12345",
            "sk-123456789",
            "sk-1234567890abcdef",
            "sk-master-key",
            "sk-litellm-master-key",
            "sk-your-master-key-here",
            "<your-master-key-here>",
            "sk-<your-key>",
            "my_master_key",
            "change-me",
            "CHANGE_ME",
            "password",
            "sk-test-1234",
            "sk-abc123",
            "sk-abcdef",
            "sk-0000000000000000",
            "sk-11111111-1111",
            "insert-your-key-here",
            "prefix-${LITELLM_MASTER_KEY}",
            "1234",
        ] {
            assert!(is_no_secret(key), "{key}");
        }
        for key in [
            "short",
            "fifteen-letters",
            "sk-0123456789abcdef",
            "sk-test-0123456789abcdef",
            "sk-9f86d081884c7d659a2feaa0c55ad015",
            "sk-12349f86d081884c",
            "correct-horse-battery-staple",
            "sk-from-the-environment",
            "$2a$10$N9qo8uLOickgx2ZMRZoMye",
            "schl\u{fc}ssel",
            "",
        ] {
            assert!(!is_no_secret(key), "{key}");
        }
    }
}
