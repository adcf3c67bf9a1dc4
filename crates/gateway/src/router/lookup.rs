//! Which row of the table a request is for.
//!
//! Called by the router for each request. Always true: a path without a name in it wins over one with a name, as a
//! model may be called `info`; among rows the first that fits is taken; what fits no row is refused.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hale_core::provider::WireFormat;
use hale_core::similar::{self, Reach};

use super::table::{Endpoint, Handler, endpoints};

/// What a path means.
pub(super) enum Found<'p> {
    /// A row, and the name in its path where it has one (still percent-encoded).
    Endpoint(&'static Endpoint, Option<&'p str>),
    /// The path exists, the method does not; the method that does.
    WrongMethod(&'static str),
    /// No such path; the nearest one.
    Unknown(Option<&'static str>),
}

/// Path suffix after the name, and the row with that path.
type Named = (&'static str, &'static Endpoint);

/// The paths of all rows. A path with a name in it is found by the part before the name. The name may contain
/// slashes, so only the suffix after it distinguishes rows with the same beginning.
struct Paths {
    exact: matchit::Router<Vec<&'static Endpoint>>,
    named: matchit::Router<Vec<Named>>,
    /// What is passed through, by the beginning of its path.
    passed: Vec<Named>,
}

static PATHS: LazyLock<Paths> = LazyLock::new(|| {
    let mut exact: BTreeMap<String, Vec<&'static Endpoint>> = BTreeMap::new();
    let mut named: BTreeMap<String, Vec<Named>> = BTreeMap::new();
    let mut passed = Vec::new();
    for row in endpoints() {
        for path in row.paths {
            if row.is_passed_through() {
                passed.push((path.trim_end_matches("{}"), row));
                continue;
            }
            match path.split_once("{}") {
                None => exact.entry((*path).to_owned()).or_default().push(row),
                Some((before, after)) => {
                    named.entry(format!("{before}{{*name}}")).or_default().push((after, row));
                }
            }
        }
    }
    Paths { exact: tree(exact), named: tree(named), passed }
});

fn tree<T>(paths: BTreeMap<String, T>) -> matchit::Router<T> {
    let mut tree = matchit::Router::new();
    for (path, rows) in paths {
        tree.insert(path, rows).expect("each path is inserted once, with at most one name in it");
    }
    tree
}

/// Finds the row of `method` and `path` (without query).
pub(super) fn find<'p>(method: &str, path: &'p str) -> Found<'p> {
    let path = match path.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => shorter,
        _ => path,
    };
    let mut other_method = None;
    let exact = PATHS.exact.at(path).into_iter().flat_map(|found| found.value);
    for row in exact {
        if answers(row, method) {
            return Found::Endpoint(row, None);
        }
        other_method = Some(row.method);
    }
    if let Ok(found) = PATHS.named.at(path) {
        let behind = found.params.get("name").unwrap_or_default();
        for (after, row) in found.value {
            let name = behind.strip_suffix(after).filter(|name| !name.is_empty());
            if name.is_none() {
                continue;
            }
            if answers(row, method) {
                return Found::Endpoint(row, name);
            }
            other_method = Some(row.method);
        }
    }
    for (before, row) in &PATHS.passed {
        let Some(name) = path.strip_prefix(before).filter(|name| !name.is_empty()) else {
            continue;
        };
        if answers(row, method) {
            return Found::Endpoint(row, Some(name));
        }
        other_method = Some(row.method);
    }
    match other_method {
        Some(method) => Found::WrongMethod(method),
        None => Found::Unknown(nearest(path)),
    }
}

fn answers(row: &Endpoint, method: &str) -> bool {
    row.method == method
        || match row.handler {
            Handler::Upstream(_) => false,
            Handler::Page(_) | Handler::WaitingPage(_) => row.method == "GET" && method == "HEAD",
        }
}

fn nearest(path: &str) -> Option<&'static str> {
    let paths = endpoints().iter().flat_map(|row| row.paths.iter().copied());
    let named = paths.filter(|pattern| !pattern.contains("{}") && *pattern != "/");
    similar::nearest(path, named, Reach::Narrow, 1).first().copied()
}

/// The format in which a client of `path` expects errors; OpenAI's for what is no endpoint.
pub(super) fn format_of(path: &str) -> WireFormat {
    if is_of_google(path) {
        return WireFormat::Gemini;
    }
    if path.starts_with("/anthropic/") {
        return WireFormat::Anthropic;
    }
    if ["/gemini/", "/vertex_ai/", "/vertex-ai/"].iter().any(|begin| path.starts_with(begin)) {
        return WireFormat::Gemini;
    }
    if path.starts_with("/cohere/") {
        return WireFormat::Cohere;
    }
    if path.starts_with("/bedrock/") {
        return WireFormat::Converse;
    }
    if is_of_responses(path) {
        return WireFormat::Responses;
    }
    let below = path.strip_prefix("/v1/messages");
    if below.is_some_and(|behind| behind.is_empty() || behind.starts_with('/')) {
        WireFormat::Anthropic
    } else {
        WireFormat::OpenAi
    }
}

/// Whether a path is one of Google's clients: only they have versions that are called so, and an action behind the model.
fn is_of_google(path: &str) -> bool {
    const VERSIONS: [&str; 3] = ["/v1beta/", "/v1alpha/", "/v1beta1/"];
    const ACTIONS: [&str; 2] = ["/models/", "/v1/models/"];
    VERSIONS.iter().any(|version| path.starts_with(version))
        || path.starts_with("/v1/projects/")
        || (ACTIONS.iter().any(|begin| path.starts_with(begin))
            && GOOGLES_ACTIONS.iter().any(|action| path.ends_with(action)))
}

/// What Google's clients ask of a model, as their paths end.
const GOOGLES_ACTIONS: [&str; 5] = [
    ":generateContent",
    ":streamGenerateContent",
    ":countTokens",
    ":embedContent",
    ":batchEmbedContents",
];

/// Whether a path is one of responses.
fn is_of_responses(path: &str) -> bool {
    let below = path.strip_prefix("/openai").unwrap_or(path);
    let below = below.strip_prefix("/v1").unwrap_or(below).strip_prefix("/responses");
    below.is_some_and(|behind| behind.is_empty() || behind.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use hale_core::operation::Operation;
    use proptest::prelude::*;

    use super::*;

    fn name_of(path: &str) -> Option<String> {
        match find("POST", path) {
            Found::Endpoint(_, name) => name.map(str::to_owned),
            Found::WrongMethod(_) | Found::Unknown(_) => panic!("{path} is not found"),
        }
    }

    fn operation(row: &Endpoint) -> Option<Operation> {
        match row.handler {
            Handler::Upstream(operation) => Some(operation),
            Handler::Page(_) | Handler::WaitingPage(_) => None,
        }
    }

    #[test]
    fn a_model_in_the_path_may_contain_slashes() {
        assert_eq!(name_of("/v1/chat/completions"), None);
        assert_eq!(
            name_of("/engines/openai/gpt-4/chat/completions").as_deref(),
            Some("openai/gpt-4")
        );
        let Found::Endpoint(row, name) = find("POST", "/openai/deployments/a/b/chat/completions")
        else {
            panic!("not found");
        };
        assert_eq!(operation(row), Some(Operation::Chat));
        assert_eq!(name, Some("a/b"));
    }

    #[test]
    fn the_longer_path_of_a_response_wins() {
        for (method, path, expected, expected_name) in [
            ("GET", "/v1/responses/r1", Operation::GetResponse, Some("r1")),
            ("DELETE", "/responses/r1", Operation::DeleteResponse, Some("r1")),
            ("GET", "/v1/responses/r1/input_items", Operation::ListInputItems, Some("r1")),
            ("POST", "/openai/v1/responses/r1/cancel", Operation::CancelResponse, Some("r1")),
            ("POST", "/v1/responses/compact", Operation::CompactResponses, None),
            ("POST", "/openai/responses", Operation::Responses, None),
        ] {
            let Found::Endpoint(row, name) = find(method, path) else {
                panic!("{method} {path} is not found");
            };
            assert_eq!((operation(row), name), (Some(expected), expected_name), "{method} {path}");
        }
        assert!(matches!(find("HEAD", "/v1/responses/r1"), Found::WrongMethod(_)));
        assert!(matches!(find("GET", "/v1/responses"), Found::WrongMethod("POST")));
    }

    #[test]
    fn wrong_method_and_unknown_path_differ() {
        assert!(matches!(find("GET", "/v1/chat/completions"), Found::WrongMethod("POST")));
        assert!(matches!(find("HEAD", "/health/liveliness"), Found::Endpoint(..)));
        assert!(matches!(
            find("POST", "/v1/chat/completion"),
            Found::Unknown(Some("/v1/chat/completions"))
        ));
        assert!(matches!(find("GET", "/nothing/like/it/anywhere"), Found::Unknown(None)));
    }

    #[test]
    fn errors_have_the_format_of_the_endpoint() {
        for row in endpoints() {
            let Some(operation) = operation(row) else { continue };
            for path in row.paths {
                assert_eq!(format_of(path), operation.format(), "{path}");
            }
        }
        assert_eq!(format_of("/v1/messages/batches"), WireFormat::Anthropic);
        assert_eq!(format_of("/v1/messagesx"), WireFormat::OpenAi);
    }

    #[test]
    fn every_path_is_in_one_row() {
        let mut seen = std::collections::BTreeSet::new();
        for row in endpoints() {
            for path in row.paths {
                assert!(seen.insert((row.method, path)), "{path} twice");
                assert!(path.matches("{}").count() < 2 && !path.contains('*'), "{path}");
            }
        }
    }

    /// No part before a name is the beginning of another one: a lookup meets only one of them.
    #[test]
    fn no_path_with_a_name_begins_where_another_one_is_named() {
        let rows = || endpoints().iter().filter(|row| !row.is_passed_through());
        let befores: Vec<(&str, &str)> = rows()
            .flat_map(|row| row.paths.iter().map(|path| (row.method, *path)))
            .filter_map(|(method, path)| Some((method, path.split_once("{}")?.0)))
            .collect();
        for (method, one) in &befores {
            let is_nested = |(other_method, other): &&(&str, &str)| {
                other_method == method && other != one && other.starts_with(one)
            };
            assert_eq!(befores.iter().find(is_nested), None, "{method} below {one}");
        }
    }

    /// The longest part before a name with which `path` begins.
    fn longest_before(path: &str) -> Option<usize> {
        let rows = endpoints().iter().filter(|row| !row.is_passed_through());
        let befores = rows.flat_map(|row| row.paths).filter_map(|path| path.split_once("{}"));
        let begins = |before: &&str| path.len() > before.len() && path.starts_with(before);
        befores.map(|(before, _)| before).filter(begins).map(str::len).max()
    }

    /// Scans every row in order: paths without a name first, then those that name most before it.
    fn by_scan<'p>(
        method: &str,
        path: &'p str,
    ) -> Result<(&'static Endpoint, Option<&'p str>), Option<&'static str>> {
        let path = path.strip_suffix('/').filter(|shorter| !shorter.is_empty()).unwrap_or(path);
        let mut other_method = None;
        let longest = longest_before(path);
        for exact in [true, false] {
            for row in endpoints() {
                for pattern in row.paths {
                    let name = match pattern.split_once("{}") {
                        None if exact && *pattern == path => None,
                        Some((before, after)) if !exact => {
                            if !row.is_passed_through() && longest != Some(before.len()) {
                                continue;
                            }
                            let behind = path.strip_prefix(before);
                            match behind.and_then(|behind| behind.strip_suffix(after)) {
                                Some(name) if !name.is_empty() => Some(name),
                                _ => continue,
                            }
                        }
                        _ => continue,
                    };
                    if answers(row, method) {
                        return Ok((row, name));
                    }
                    other_method = Some(row.method);
                }
            }
        }
        Err(other_method)
    }

    proptest! {
        #[test]
        fn the_trees_find_what_a_scan_of_all_rows_finds(
            row in 0..endpoints().len(),
            path in 0..8_usize,
            name in "[a-z/%{}*]{0,12}|compact|(a/)?input_items|content|info|x/chat",
            noise in "|/|//|x|/cancel|/\\{\\*name\\}",
            method in "GET|POST|DELETE|HEAD|PUT",
        ) {
            let paths = endpoints()[row].paths;
            let path = paths[path % paths.len()].replace("{}", &name) + &noise;
            match (find(&method, &path), by_scan(&method, &path)) {
                (Found::Endpoint(row, name), Ok((expected, expected_name))) => {
                    prop_assert!(std::ptr::eq(row, expected), "{path}");
                    prop_assert_eq!(name, expected_name);
                }
                (Found::WrongMethod(method), Err(expected)) => {
                    prop_assert_eq!(Some(method), expected);
                }
                (Found::Unknown(_), Err(expected)) => prop_assert_eq!(expected, None),
                (Found::Endpoint(..), Err(_)) => prop_assert!(false, "{} is in no row", path),
                (Found::WrongMethod(_) | Found::Unknown(_), Ok(_)) => {
                    prop_assert!(false, "{} is not found", path);
                }
            }
        }
    }
}
