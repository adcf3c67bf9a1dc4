//! The house rules that no compiler checks: layers, headers, sizes, leftovers.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file below `dir`, with its text.
pub(crate) fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    files(dir, "rs")
}

/// Every file with this extension below a directory, and its text.
pub(crate) fn files(dir: &Path, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("the directory is there") {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{}", dir.display());
    found.sort();
    found
}

/// The part of a file that is not its tests.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]").map_or(text, |at| &text[..at])
}

fn is_test(path: &Path) -> bool {
    path.components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "fixture.rs")))
}

#[test]
fn core_and_wire_have_no_clock_no_chance_and_no_input_or_output() {
    let forbidden = [
        "std::time::Instant",
        "SystemTime",
        "tokio",
        "std::net::Tcp",
        "std::net::Udp",
        "std::net::ToSocket",
        "std::fs",
        "std::thread",
        "std::env",
        "rand::",
        "fastrand",
        "hyper",
        "std::process",
        "Instant::now",
    ];
    let mut wrong = Vec::new();
    for layer in ["core", "wire"] {
        for (path, text) in sources(&root().join("crates").join(layer).join("src")) {
            if is_test(&path) {
                continue;
            }
            for line in without_tests(&text).lines() {
                let code = line.trim_start();
                if !code.starts_with("//") && forbidden.iter().any(|word| code.contains(word)) {
                    wrong.push(format!("{}: {code}", path.display()));
                }
            }
        }
        let manifest =
            fs::read_to_string(root().join("crates").join(layer).join("Cargo.toml")).unwrap();
        for name in ["tokio", "hyper", "fastrand", "rand", "socket2"] {
            let listed = manifest
                .lines()
                .any(|line| line.split(['.', ' ', '=']).next().is_some_and(|first| first == name));
            assert!(!listed, "{layer} depends on {name}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wire_knows_core_and_core_knows_no_other_crate() {
    let manifest = |name: &str| {
        fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap()
    };
    for (layer, other) in
        [("core", "hale-wire"), ("core", "hale-gateway"), ("wire", "hale-gateway")]
    {
        assert!(!manifest(layer).contains(other), "{layer} knows {other}");
    }
}

#[test]
fn every_reason_is_on_the_page_of_errors() {
    // Texts that are not reasons: parameters, keys of the config, a type.
    let others = [
        "api_key",
        "azure_ad_token",
        "client_secret",
        "request_body",
        "response_id",
        "file_id",
        "batch_id",
        "timeout_error",
        "auth_error",
    ];
    let gateway = root().join("crates/gateway/src");
    let mut texts = sources(&gateway.join("proxy/explain"));
    for file in
        ["proxy/explain.rs", "http/refusal.rs", "router/backend.rs"].map(|file| gateway.join(file))
    {
        texts.push((file.clone(), fs::read_to_string(file).unwrap()));
    }
    let page = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let is_word = |text: &&str| {
        text.contains('_')
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            && !others.contains(text)
    };
    let mut count = 0;
    for (path, text) in &texts {
        for word in without_tests(text).split('"').filter(is_word) {
            count += 1;
            assert!(page.contains(&format!("`{word}`")), "{word} of {}", path.display());
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = sources(&root().join("crates"))
        .into_iter()
        .filter(|(path, text)| !text.starts_with("//!") && !path.ends_with("tests.rs"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no //! at the top of:\n{}", silent.join("\n"));
}

/// Lines that a file may have without its tests.
const FILE_MAX: usize = 500;

/// Files that may be longer: a table is as long as what it lists.
const LONGER: [(&str, usize); 1] = [("core/src/operation/table.rs", 800)];

#[test]
fn no_file_is_long() {
    let limit = |path: &Path| {
        let longer = LONGER.iter().find(|(end, _)| path.ends_with(end));
        longer.map_or(FILE_MAX, |(_, lines)| *lines)
    };
    let long: Vec<String> = sources(&root().join("crates"))
        .into_iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| (without_tests(&text).lines().count(), path))
        .filter(|(lines, path)| *lines > limit(path))
        .map(|(lines, path)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
    for (end, _) in LONGER {
        let text = fs::read_to_string(root().join("crates").join(end)).unwrap();
        assert!(without_tests(&text).lines().count() > FILE_MAX, "{end} is no exception any more");
    }
}

#[test]
fn nothing_is_left_undone_in_the_sources() {
    let leftovers = ["todo!", "unimplemented!", "dbg!", "FIXME", "XXX"];
    let mut wrong = Vec::new();
    for layer in ["core", "wire", "store", "gateway"] {
        for (path, text) in sources(&root().join("crates").join(layer).join("src")) {
            for word in leftovers {
                if text.contains(&format!("{word}(")) || text.contains(&format!("// {word}")) {
                    wrong.push(format!("{}: {word}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn secrets_are_exposed_only_where_they_are_sent_compared_or_blacked_out() {
    let allowed = [
        "core/src/config/build.rs",
        "core/src/google.rs",
        "core/src/config/own_place.rs",
        "core/src/secret.rs",
        "gateway/src/alert/channel/email.rs",
        "gateway/src/alert/channel/pagerduty.rs",
        "gateway/src/alert/channel/webhook.rs",
        "gateway/src/alert/post.rs",
        "gateway/src/cli/running.rs",
        "gateway/src/mirror/mod.rs",
        "gateway/src/pages/health/drain.rs",
        "gateway/src/http/auth.rs",
        "gateway/src/redis_client/connect.rs",
        "gateway/src/process/address.rs",
        "gateway/src/process/remember.rs",
        "gateway/src/upstream/outward.rs",
        "gateway/src/server/tls.rs",
        "gateway/src/state/object_ids.rs",
        "gateway/src/stored/salt.rs",
        "gateway/src/upstream/credential/aws/metadata.rs",
        "gateway/src/upstream/credential/entra_id.rs",
        "gateway/src/upstream/credential/google.rs",
        "gateway/src/upstream/credential/google/assertion.rs",
        "gateway/src/upstream/credential/google/exchange.rs",
        "gateway/src/upstream/credential/principal.rs",
        "gateway/src/upstream/credential/static_key.rs",
        "gateway/src/upstream/sigv4.rs",
        "gateway/src/upstream/target.rs",
    ];
    let mut wrong = Vec::new();
    for layer in ["core", "wire", "store", "gateway"] {
        for (path, text) in sources(&root().join("crates").join(layer).join("src")) {
            let known = allowed.iter().any(|end| path.ends_with(end));
            let text = without_tests(&text);
            let exposes = text.contains("expose()") || text.contains("Secret::expose");
            if !known && !is_test(&path) && exposes {
                wrong.push(path.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_executed_and_no_code_is_unsafe() {
    let forbidden =
        ["process::Command", "Command::new", "unsafe {", "libloading", "dlopen", "execve"];
    let mut wrong = Vec::new();
    for layer in ["core", "wire", "store", "gateway"] {
        for (path, text) in sources(&root().join("crates").join(layer).join("src")) {
            let text = without_tests(&text);
            for word in forbidden.iter().filter(|word| text.contains(**word)) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_upstream_module_opens_connections() {
    let mut wrong = Vec::new();
    for (path, text) in sources(&root().join("crates/gateway/src")) {
        let inside = path
            .components()
            .any(|part| matches!(part.as_os_str().to_str(), Some("upstream" | "server" | "demo")));
        // SMTP has a socket of its own, with the same roots and the same crypto library.
        let is_mail = path.ends_with("alert/channel/email.rs");
        if !inside && !is_mail && without_tests(&text).contains("TcpStream") {
            wrong.push(path.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_test_that_the_coverage_of_the_seed_names_exists() {
    let page = fs::read_to_string(root().join("docs/dev/seed-coverage.md")).unwrap();
    let quoted: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let named = quoted.iter().filter_map(|name| name.split_once("::"));
    let named: Vec<_> = named.filter(|(_, test)| *test != "*").collect();
    assert!(named.len() > 100, "{named:?}");
    // Tests of the core are named there without a module: names of many words.
    let of_core = sources(&root().join("crates/core"));
    for test in quoted.iter().filter(|name| name.matches('_').count() > 5 && !name.contains("::")) {
        let found = of_core.iter().any(|(_, text)| text.contains(&format!("fn {test}()")));
        assert!(found, "{test} in hale-core");
    }
    // A requirement has a row, and a test in it says in its first line which one it holds.
    let all = [sources(&root().join("crates/gateway/tests")), of_core];
    for number in 1..=22 {
        let start = format!("| H{number} ");
        let row = page.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("no row for H{number}"));
        let tests = row.split('`').skip(1).step_by(2);
        let tests = tests.map(|name| name.rsplit_once("::").map_or(name, |(_, test)| test));
        let says_so = |test: &str| {
            all.iter().flatten().any(|(_, text)| {
                let body = text.split_once(&format!("fn {test}() {{\n"));
                let first = body.and_then(|(_, body)| body.lines().next()).unwrap_or_default();
                let first = first.trim_start().trim_start_matches("// ").trim_end_matches('.');
                let mut numbers = first.split([',', ' ']);
                numbers.any(|word| word == format!("H{number}"))
            })
        };
        let carries = tests.clone().any(says_so);
        assert!(carries, "no test of the row of H{number} says that it holds it: {row}");
    }
    for (module, test) in named {
        let file = root().join(format!("crates/gateway/tests/it/{module}.rs"));
        let text = fs::read_to_string(file).unwrap_or_default();
        let is_row = text.contains(&format!(" {test} \"")) || text.contains(&format!(" {test}: "));
        assert!(is_row || text.contains(&format!("fn {test}()")), "{module}::{test}");
    }
}
