//! Texts that were to be replaced before the config was used: `${NAME}`, `%NAME%`, `{{ name }}`, `<your-key>`, `[YOUR KEY]`,
//! `YOUR_API_KEY`, `sk-...`.
//!
//! Asked by [`super::interpolate`] about every text, and by [`super::address`]. Always true: no finding shows more of a text than
//! the name of a variable.

use super::problem::{Wrong, shown};
use super::redact;

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

/// What is wrong with a text that is nothing but a variable as shells, Python and others write it.
pub(super) fn of_shell(text: &str) -> Option<Wrong> {
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

/// What is wrong with a text that has a placeholder in it, for a value that is never prose.
pub(super) fn anywhere(text: &str) -> Option<Wrong> {
    if let Some((_, tail)) = text.split_once("${") {
        let name = tail.trim_start_matches('{').split_once('}')?.0;
        let of_secrets = name.trim().rsplit('.').next().filter(|_| tail.starts_with('{'));
        return variable(of_secrets.unwrap_or(name));
    }
    if let Some((_, tail)) = text.split_once("os.environ/") {
        let name =
            tail.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
        let problem = format!(
            "`os.environ/{}` stands within a longer text, where it is not read",
            redact::variable(name)
        );
        return Some(Wrong::new(
            problem,
            "write `os.environ/NAME` alone, and set the variable to the whole value",
        ));
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
    (is_template || is_bracketed || is_boxed || is_cut || is_named).then(|| {
        let problem =
            "looks like a placeholder that was not filled in, and is used as it is written";
        Wrong::new(problem, "write the value, or `os.environ/NAME`")
    })
}

/// `NAME`, and what may follow it in braces: a default is not shown, because it may be a secret.
fn variable(inner: &str) -> Option<Wrong> {
    let name = inner.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
    let has_letters = name.bytes().any(|b| b.is_ascii_alphabetic());
    if name.len() < 2 || !has_letters || name.bytes().any(|b| b.is_ascii_lowercase()) {
        return None;
    }
    let name = shown(name);
    let problem = format!(
        "looks like the environment variable {name}, which was not filled in: neither LiteLLM nor Hale reads that form, and it is used as it is written"
    );
    Some(Wrong::new(
        problem,
        format!("run envsubst before, or write `os.environ/{name}` for the whole value"),
    ))
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
            let wrong = of_shell(text).unwrap_or_else(|| panic!("{text}"));
            assert!(wrong.hint.contains("`os.environ/KEY`"), "{wrong:?}");
            assert!(!format!("{wrong:?}").contains("1234"));
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
            assert!(anywhere(text).is_some(), "{text}");
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
}
