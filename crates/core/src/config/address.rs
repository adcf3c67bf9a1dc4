//! Whether an address or a key can be used at all.
//!
//! Called by [`super::upstream`] and [`super::settings`]. Always true: no finding contains the
//! value itself, because keys are sometimes written in the wrong place.

use super::placeholder::{self, Outcome};
use super::problem::Wrong;

/// Paths that are added to an address, so it must not end with one.
const ENDPOINTS: [&str; 8] = [
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/responses",
    "/moderations",
    "/images/generations",
    "/audio/speech",
    "/ocr",
];
/// Placeholders for the address of one's own server.
const EXAMPLE: &str = "write it as `https://api.example.com/v1`";

/// The address without a slash at its end.
pub(super) fn api_base(text: &str) -> Result<Box<str>, Wrong> {
    let refuse = |problem: &str, hint: &str| Err(Wrong::new(format!("api_base {problem}"), hint));
    if let Some(wrong) = placeholder::anywhere(text, Outcome::Used) {
        return refuse(&wrong.problem, &wrong.hint);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse("contains whitespace or control characters", "remove them");
    }
    if !text.is_ascii() {
        return refuse("contains characters outside ASCII", "write the host in its xn-- form");
    }
    let Some((scheme, tail)) = text.split_once("://") else {
        return refuse("has no scheme", EXAMPLE);
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return refuse("has a scheme other than http and https", EXAMPLE);
    }
    if tail.contains(['?', '#']) {
        return refuse("has a query or a fragment", "remove what follows `?` or `#`");
    }
    let (authority, path) = match tail.find('/') {
        Some(slash) => tail.split_at(slash),
        None => (tail, ""),
    };
    if authority.contains('@') {
        let hint = "remove the part before `@` and set `api_key`";
        return refuse("contains a user name or password", hint);
    }
    if let Err(problem) = host_and_port(authority) {
        return refuse(problem, EXAMPLE);
    }
    let path = path.trim_end_matches('/');
    if path.contains("/v1/v1") {
        return refuse("has `/v1` twice", "keep one of them");
    }
    if let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| path.ends_with(**endpoint)) {
        return refuse(
            &format!("ends with the endpoint `{endpoint}`"),
            "remove the endpoint; it is added to each request",
        );
    }
    Ok(format!("{}://{authority}{path}", scheme.to_ascii_lowercase()).into())
}

/// The base of an address that Azure's portal shows, which is that of one endpoint, and its version: the path from `/openai/` on
/// and the query are left out, but for `/openai/v1`, which is a base. `None` if it is a base already.
pub(super) fn azure_base(text: &str) -> Option<(&str, Option<&str>)> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let endpoint = || ENDPOINTS.iter().find_map(|endpoint| path.strip_suffix(endpoint));
    let of_account = || Some(endpoint()?).filter(|base| base.ends_with("/openai"));
    let of_account = || of_account().map(|base| base.trim_end_matches("/openai"));
    let newer = || endpoint().filter(|base| base.ends_with("/openai/v1"));
    let classic = path.split_once("/openai/deployments/").map(|(base, _)| base);
    let base = classic.or_else(of_account).or_else(newer)?;
    let version = query.split('&').find_map(|pair| pair.strip_prefix("api-version="));
    Some((base, version.filter(|version| !version.is_empty())))
}

/// The same of an address of Azure AI: without the endpoint and the query.
pub(super) fn azure_ai_base(text: &str) -> Option<(&str, Option<&str>)> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let path = path.trim_end_matches('/');
    let base = ENDPOINTS.iter().find_map(|endpoint| path.strip_suffix(endpoint))?;
    let version = query.split('&').find_map(|pair| pair.strip_prefix("api-version="));
    Some((base, version.filter(|version| !version.is_empty())))
}

fn host_and_port(authority: &str) -> Result<(), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(tail) => {
            let (host, after) = tail.split_once(']').ok_or("has a `[` without its `]`")?;
            let address = host.parse::<std::net::Ipv6Addr>();
            address.map_err(|_| "has a bad IPv6 address")?;
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':').ok_or("has text after `]`")?),
            };
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err("has no host");
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if !host.bytes().all(allowed) {
        return Err("has a host with characters that no host has");
    }
    match port {
        None => Ok(()),
        Some(port) => match port.parse::<u16>() {
            Ok(0) => Err("has port 0"),
            Ok(_) if port.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
            Ok(_) | Err(_) => Err("has a port that is not a number from 1 to 65535"),
        },
    }
}

/// The text without the line break at its end that a block in YAML, and a secret that is read from a file, have.
pub(super) fn without_line_break(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

/// Whether `text` can be sent as a key.
pub(super) fn key(text: &str) -> Result<(), Wrong> {
    let is_sendable = text.bytes().all(|b| b.is_ascii_graphic());
    if let Some(wrong) = placeholder::anywhere(text, Outcome::Used).filter(|_| !is_sendable) {
        let problem = "looks like a placeholder that was not filled in";
        return Err(Wrong::new(problem, wrong.hint));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Wrong::new(
            "contains whitespace or control characters",
            "copy the key again, without the line break or the spaces around it",
        ));
    }
    if !text.is_ascii() {
        return Err(Wrong::new(
            "contains characters outside ASCII",
            "copy the key again; an editor may have changed its quotes or dashes",
        ));
    }
    if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        return Err(Wrong::new(
            "is wrapped in quotes that belong to it",
            "remove the inner quotes",
        ));
    }
    Ok(())
}

/// Whether `name` can be the name of a header.
pub(super) fn is_header_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(allowed)
}

/// Whether `value` can be the value of a header.
pub(super) fn is_header_value(value: &str) -> bool {
    value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) && value.trim() == value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_lose_their_last_slash_only() {
        for (text, base) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            ("HTTP://localhost:8000/", "http://localhost:8000"),
            ("http://10.0.0.7:8000/v1//", "http://10.0.0.7:8000/v1"),
            ("http://[::1]:11434/v1", "http://[::1]:11434/v1"),
            ("https://x/a%20b", "https://x/a%20b"),
        ] {
            assert_eq!(&*api_base(text).unwrap(), base);
        }
    }

    #[test]
    fn bad_addresses_say_what_is_wrong() {
        for (text, reason) in [
            ("api.openai.com/v1", "has no scheme"),
            ("ftp://x/v1", "a scheme other than http and https"),
            ("https://user:pass@x/v1", "a user name or password"),
            ("https://x y/v1", "whitespace"),
            ("https://x/v1\n", "whitespace"),
            ("https://x:0/v1", "port 0"),
            ("https://x:70000", "a port that is not"),
            ("https://x:+80", "a port that is not"),
            ("https://x:", "a port that is not"),
            ("https:///v1", "no host"),
            ("https://", "no host"),
            ("https://x/v1?key=1", "a query"),
            ("https://x/v1#a", "a query or a fragment"),
            ("https://x/v1/v1", "`/v1` twice"),
            ("https://x/v1/chat/completions", "the endpoint `/chat/completions`"),
            ("https://x/v1/embeddings/", "the endpoint `/embeddings`"),
            ("https://[::1/v1", "`[` without"),
            ("https://[zz]/v1", "bad IPv6"),
            ("https://[::1]x/v1", "text after"),
            ("https://b\u{fc}cher.de", "outside ASCII"),
            ("https://a,b/v1", "characters that no host has"),
        ] {
            let problem = api_base(text).unwrap_err().problem;
            assert!(problem.contains(reason), "{text}: {problem}");
        }
    }

    #[test]
    fn keys_that_a_header_cannot_carry_are_refused() {
        assert_eq!(key("sk-1"), Ok(()));
        for bad in ["sk-1\n", " sk-1", "sk 1", "sk-\u{7f}", "sk-\u{201c}1", "\"sk-1\"", "'sk-1'"] {
            let wrong = key(bad).unwrap_err();
            assert!(!wrong.problem.contains("sk-") && !wrong.hint.contains("sk-"), "{wrong:?}");
        }
        assert!(is_header_name("x-a") && !is_header_name("x a") && !is_header_name(""));
        assert!(is_header_value("a b") && !is_header_value("a\n") && !is_header_value("a "));
    }
}
