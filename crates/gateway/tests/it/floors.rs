//! The floors of each crate: what may use what.
//!
//! [`HOUSES`] is the one truth; the pictures in `ARCHITECTURE.md` are compared with it. Always true of the sources:
//! each `use` points to a lower floor, and no circle of files is larger than its crate's bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::tidy::{root, sources};

/// The floors of one crate.
struct House {
    /// Its folder below `crates/`.
    krate: &'static str,
    /// Its modules, from the lowest floor to the highest: those of the root, and parts of them that are on a floor of
    /// their own (`a/b`, or `a/*` for all parts of `a`). A module uses those of lower floors only, and not even its neighbours. Empty where only circles
    /// are counted.
    floors: &'static [&'static [&'static str]],
    /// How many files may use each other in a circle: a file and its parent.
    circle_max: usize,
}

const HOUSES: [House; 4] = [
    House {
        krate: "core",
        // What a module shows of its parts is lower than the parts that decide with all of the config.
        floors: &[
            &["money", "placeholder"],
            &[
                "cause",
                "index",
                "parameters",
                "route",
                "secret",
                "similar",
                "takes",
                "time",
                "trace",
                "usage",
                "wire_format",
            ],
            &["minute", "operation", "policy", "prices", "rescue"],
            &["azure", "cache", "google", "incident", "tenancy"],
            &["aws", "charge", "health", "provider", "settings", "vertex"],
            &["budget", "deployment", "group"],
            &["record", "snapshot", "waiting"],
            &["fleet", "health/probe/pick", "health/probe/schedule", "route/*"],
            &["config"],
        ],
        circle_max: 2,
    },
    House {
        krate: "store",
        floors: &[
            &["error", "table", "value"],
            &["address", "failure", "litellm", "spend", "sql", "tenants", "watch"],
            &["batch", "migrations", "past", "rows", "tls"],
            &["rollup", "spool"],
            &["pending", "postgres", "sqlite"],
            &["database", "shared_table"],
            &["audit", "retention", "unread"],
            &["copy", "store"],
        ],
        circle_max: 2,
    },
    House { krate: "wire", floors: &[&["bytes"], &["formats"], &["conversion"]], circle_max: 2 },
    House {
        krate: "gateway",
        floors: &[
            &["clock", "metrics", "offload", "unpack"],
            &["coalesce", "files", "limits", "logging", "redis_client"],
            &[
                "cache", "console", "events", "failures", "keys", "panics", "resume", "said",
                "stored", "upstream", "waiting",
            ],
            &["advice", "background", "http"],
            &["mirror", "sink"],
            &["state"],
            &["arrival", "fleet"],
            &["proxy"],
            &["alert", "prober"],
            &["service"],
            &["pages"],
            &["router"],
            &["server"],
            &["process"],
            &["cli"],
            &["demo", "doctor"],
        ],
        circle_max: 2,
    },
];

/// A module by its names from the root of its crate, which has none.
type Module = Vec<String>;

/// The files of a crate and what each of them uses.
#[derive(Default)]
struct Uses(BTreeMap<Module, BTreeSet<Module>>);

impl Uses {
    /// Reads files, each a path below `src` and its text. Tests are left out.
    fn of(files: &[(String, String)]) -> Uses {
        let mut texts: BTreeMap<Module, String> = BTreeMap::new();
        let mut tests: BTreeSet<Module> = BTreeSet::new();
        for (path, text) in files {
            let module = module_of(path);
            let code = Code::of(text);
            for name in code.test_modules {
                tests.insert([module.clone(), vec![name]].concat());
            }
            texts.insert(module, code.text);
        }
        let is_test =
            |module: &Module| (1..=module.len()).any(|end| tests.contains(&module[..end]));
        texts.retain(|module, _| !is_test(module));
        let known: BTreeSet<Module> = texts.keys().cloned().collect();
        let used = |(module, text): (&Module, &String)| {
            let found = paths(text).into_iter().map(|path| target(module, &path, &known));
            (module.clone(), found.filter(|to| to != module).collect())
        };
        Uses(texts.iter().map(used).collect())
    }

    fn of_crate(krate: &str) -> Uses {
        let src = root().join("crates").join(krate).join("src");
        let below = |path: &Path| path.strip_prefix(&src).unwrap().display().to_string();
        let files: Vec<_> =
            sources(&src).into_iter().map(|(path, text)| (below(&path), text)).collect();
        Uses::of(&files)
    }

    /// The uses that do not point to a lower floor, one a line.
    fn upward(&self, floors: &[&[&str]]) -> Vec<String> {
        let listed = |name: &str| floors.iter().position(|floor| floor.contains(&name));
        let floor = |module: &Module| match module.len() {
            // The root is above all.
            0 => Some(floors.len()),
            // What is not listed is where its parent says.
            length => (1..=length).rev().find_map(|end| {
                let name = module[..end].join("/");
                let below = if end < length { listed(&format!("{name}/*")) } else { None };
                below.or_else(|| listed(&name))
            }),
        };
        let mut wrong = Vec::new();
        for (from, used) in &self.0 {
            for to in used.iter().filter(|to| to.first() != from.first() || from.is_empty()) {
                let is_down = match (floor(from), floor(to)) {
                    (Some(from), Some(to)) => to < from,
                    _ => false,
                };
                if !is_down {
                    wrong.push(format!("{} uses {}", shown(from), shown(to)));
                }
            }
        }
        wrong
    }

    /// Files that use each other, by whatever way.
    fn circles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            self.0.keys().map(|module| (module, self.reached(module))).collect();
        let mut circles = BTreeSet::new();
        for (module, from_it) in &reached {
            let back = |other: &&&Module| reached[**other].contains(*module);
            let circle: Vec<String> = from_it.iter().filter(back).map(|one| shown(one)).collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    fn reached<'a>(&'a self, from: &'a Module) -> BTreeSet<&'a Module> {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(module) = open.pop() {
            for next in self.0.get(module).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    }
}

fn shown(module: &Module) -> String {
    if module.is_empty() { "the root".to_owned() } else { module.join("/") }
}

fn module_of(path: &str) -> Module {
    let mut names: Module = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if names.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        names.pop();
    }
    names
}

/// What counts of a file.
struct Code {
    /// Its text without comments, literals and tests.
    text: String,
    /// The modules that are declared for tests alone.
    test_modules: Vec<String>,
}

impl Code {
    fn of(text: &str) -> Code {
        let mut text = without_literals(text);
        let mut test_modules = Vec::new();
        while let Some(at) = text.find("#[cfg(test)]") {
            let behind = at + "#[cfg(test)]".len();
            let left = &text[behind..];
            let end = end_of_item(left);
            let mut words = left[..end].split_whitespace();
            if words.next() == Some("mod")
                && let Some(name) = words.next().and_then(|name| name.strip_suffix(';'))
            {
                test_modules.push(name.to_owned());
            }
            text.replace_range(at..behind + end, "");
        }
        Code { text, test_modules }
    }
}

/// Where the item, the variant or the arm ends with which `text` begins.
fn end_of_item(text: &str) -> usize {
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_arm = first.starts_with(|letter: char| letter.is_uppercase());
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' | '(' | '[' => depth += 1,
            // The end of what the variant or the arm is in.
            '}' | ')' | ']' if depth == 0 => return at,
            '}' if depth == 1 && !is_arm => return at + 1,
            '}' | ')' | ']' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            ',' if depth == 0 && is_arm => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The text without comments and without what stands in quotes.
fn without_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut left = text;
    while let Some(letter) = left.chars().next() {
        let length = if left.starts_with("//") {
            left.find('\n').unwrap_or(left.len())
        } else if left.starts_with("/*") {
            left.find("*/").map_or(left.len(), |end| end + 2)
        } else if let Some(length) = raw_string(left) {
            length
        } else if letter == '"' {
            quoted(left, '"')
        } else if letter == '\'' && is_character(left) {
            quoted(left, '\'')
        } else {
            out.push(letter);
            letter.len_utf8()
        };
        left = &left[length..];
    }
    out
}

/// Whether the quote with which `text` begins is a character's, rather than a lifetime's.
fn is_character(text: &str) -> bool {
    text.starts_with("'\\") || text.chars().nth(2) == Some('\'')
}

/// How long the quoted text is with which `text` begins.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            letter if letter == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// How long the raw string is with which `text` begins, if it does.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r')?;
    let inner = hashes.trim_start_matches('#');
    let count = hashes.len() - inner.len();
    let end = format!("\"{}", "#".repeat(count));
    let body = inner.strip_prefix('"')?;
    Some(1 + count + 1 + body.find(&end)? + end.len())
}

/// The paths in `text` that begin with `crate`, `super` or `self`, and those of each `use`.
fn paths(text: &str) -> Vec<Vec<String>> {
    let words = words(text);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let next = words.get(at + 1).map(String::as_str);
        // `impl Trait + use<'_>` is another use of the word.
        if word == "use" && next != Some("<") {
            at = tree(&words, at + 1, &[], &mut found);
        } else if matches!(word.as_str(), "crate" | "super") && next == Some("::") {
            let mut path = vec![word.clone()];
            while words.get(at + 1).is_some_and(|next| next == "::") {
                path.extend(words.get(at + 2).cloned());
                at += 2;
            }
            found.push(path);
            at += 1;
        } else {
            at += 1;
        }
    }
    found.retain(|path| {
        path.first().is_some_and(|it| matches!(it.as_str(), "crate" | "super" | "self"))
    });
    found
}

/// Reads the tree of a `use` below `prefix`; where it ends.
fn tree(words: &[String], start: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    let mut at = start;
    while let Some(word) = words.get(at) {
        match word.as_str() {
            "::" => {}
            "{" => {
                at += 1;
                while words.get(at).is_some_and(|word| word != "}") {
                    at = tree(words, at, &path, found);
                    match words.get(at).map(String::as_str) {
                        Some(",") => at += 1,
                        Some("}") => {}
                        other => panic!("{other:?} in the tree of a use"),
                    }
                }
                return at + 1;
            }
            "," | "}" | ";" => break,
            "as" => at += 1,
            // Of a module itself: `use crate::clock::{self, Micros}`.
            "self" if !path.is_empty() => {}
            word => path.push(word.to_owned()),
        }
        at += 1;
    }
    found.push(path);
    at
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut left = text;
    while let Some(letter) = left.chars().next() {
        let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = if is_name(letter) {
            left.find(|letter| !is_name(letter)).unwrap_or(left.len())
        } else if left.starts_with("::") {
            2
        } else {
            letter.len_utf8()
        };
        let (word, behind) = left.split_at(length);
        if !word.trim().is_empty() {
            words.push(word.to_owned());
        }
        left = behind;
    }
    words
}

/// The file that `path` leads to from `module`: that of the last module in it.
fn target(module: &Module, path: &[String], known: &BTreeSet<Module>) -> Module {
    let mut full = module.clone();
    let mut left = path;
    while let Some((first, behind)) = left.split_first() {
        match first.as_str() {
            "crate" => full.clear(),
            "super" => drop(full.pop()),
            "self" => {}
            _ => break,
        }
        left = behind;
    }
    full.extend(left.iter().cloned());
    while !full.is_empty() && !known.contains(&full) {
        full.pop();
    }
    full
}

#[test]
fn every_use_points_to_a_lower_floor() {
    for house in HOUSES.iter().filter(|house| !house.floors.is_empty()) {
        let uses = Uses::of_crate(house.krate);
        let wrong = uses.upward(house.floors);
        assert!(wrong.is_empty(), "{}:\n{}", house.krate, wrong.join("\n"));
        let there: BTreeSet<&str> =
            uses.0.keys().filter_map(|module| Some(module.first()?.as_str())).collect();
        let listed: BTreeSet<&str> = house.floors.iter().copied().flatten().copied().collect();
        let (parts, listed): (BTreeSet<&str>, _) =
            listed.into_iter().partition(|name| name.contains('/'));
        assert_eq!(there, listed, "{}", house.krate);
        let is_there = |part: &str| match part.strip_suffix('*') {
            Some(parent) => uses.0.keys().any(|module| shown(module).starts_with(parent)),
            None => uses.0.keys().any(|module| shown(module) == part),
        };
        assert!(parts.into_iter().all(is_there), "{}", house.krate);
    }
}

#[test]
fn no_circle_of_files_is_larger_than_its_bound() {
    for house in &HOUSES {
        let circles = Uses::of_crate(house.krate).circles();
        let large: Vec<_> =
            circles.iter().filter(|circle| circle.len() > house.circle_max).collect();
        assert!(large.is_empty(), "{}: {large:?}", house.krate);
    }
}

#[test]
fn the_picture_shows_the_floors() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for house in HOUSES.iter().filter(|house| !house.floors.is_empty()) {
        let heading = format!("### The floors of `{}`", house.krate);
        let picture = page.split_once(&heading).map(|(_, below)| below).unwrap_or_default();
        let picture = picture.split("```").nth(1).unwrap_or_default();
        // A line of the picture: a bar, the modules of a floor, a bar, what they are for.
        let shown: Vec<Vec<&str>> = picture
            .lines()
            .filter_map(|line| line.split('│').nth(1))
            .map(|floor| floor.split_whitespace().collect())
            .collect();
        let floors: Vec<&[&str]> = house.floors.iter().rev().copied().collect();
        assert_eq!(shown, floors, "below {heading}");
    }
}

fn made_up(files: &[(&str, &str)]) -> Uses {
    let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    Uses::of(&files.iter().map(own).collect::<Vec<_>>())
}

fn used(text: &str) -> Vec<String> {
    paths(&Code::of(text).text).iter().map(|path| path.join("::")).collect()
}

#[test]
fn a_tree_is_read_to_its_leaves() {
    assert_eq!(
        used(
            "pub(crate) use crate::{a::{self, B, c::{D as E, *}}, f};\nuse std::fmt;\nuse super::super::g::H;"
        ),
        [
            "crate::a",
            "crate::a::B",
            "crate::a::c::D",
            "crate::a::c::*",
            "crate::f",
            "super::super::g::H"
        ]
    );
    assert_eq!(
        used("fn f(x: &crate::a::B) { super::c::d(x); self.g() }"),
        ["crate::a::B", "super::c::d"]
    );
}

#[test]
fn comments_literals_and_tests_use_nothing() {
    let text = r##"
        // use crate::a;
        /* use crate::b; */
        const TEXT: &str = "use crate::c; \" use crate::d;";
        const RAW: &str = r#"use crate::e; ""#;
        const LETTERS: [char; 2] = ['"', '\''];
        #[cfg(test)]
        use crate::f;
        use crate::g;
        #[cfg(test)]
        mod tests {
            use crate::h;
            fn test<'a>() { if true { crate::i::j() } }
        }
        #[cfg(test)]
        fn only_here() -> impl Iterator<Item = ()> { crate::m::n() }
        enum Kind { One, #[cfg(test)] Two(crate::o::P), #[cfg(test)] Three }
        fn arms(kind: Kind) { match kind { #[cfg(test)] Kind::Two(p) => crate::q::r(p), Kind::One => {} } }
        fn last() -> impl Sized + use<> { crate::k::l() }
    "##;
    assert_eq!(used(text), ["crate::g", "crate::k::l"]);
    let uses = made_up(&[
        ("lib.rs", "mod a; #[cfg(test)] mod fixture;"),
        ("a.rs", "#[cfg(test)]\nmod tests;"),
        ("a/tests.rs", "use crate::fixture::X; use super::*;"),
        ("fixture.rs", "use crate::a;"),
    ]);
    assert_eq!(uses.0.keys().map(shown).collect::<Vec<_>>(), ["the root", "a"]);
    assert!(uses.circles().is_empty());
}

#[test]
fn a_use_upwards_is_found() {
    let floors: &[&[&str]] = &[&["low", "low_too"], &["high"]];
    let house = |text: &str| {
        made_up(&[
            ("lib.rs", "mod low; mod low_too; mod high; pub use self::high::run;"),
            ("low/mod.rs", "mod part; use self::part::P;"),
            ("low/part.rs", text),
            ("low_too.rs", ""),
            ("high.rs", "use crate::low::X; use crate::low_too;"),
        ])
        .upward(floors)
    };
    assert!(house("use super::X;").is_empty());
    assert_eq!(house("use super::super::high::run;"), ["low/part uses high"]);
    assert_eq!(house("use crate::{low, low_too};"), ["low/part uses low_too"]);
    assert_eq!(house("fn f() { crate::run() }"), ["low/part uses the root"]);
    let unknown = made_up(&[("lib.rs", "mod new;"), ("new.rs", "use crate::low;"), ("low.rs", "")]);
    assert_eq!(unknown.upward(floors), ["new uses low"]);
    let apart = made_up(&[
        ("a/mod.rs", "pub use self::upper::U;"),
        ("a/upper.rs", "use crate::b;"),
        ("a/lower/deep.rs", "use crate::b;"),
        ("b.rs", "use crate::a::X; use crate::a::upper::U;"),
    ]);
    let one: &[&[&str]] = &[&["a"], &["b"], &["a/upper"]];
    assert_eq!(apart.upward(one), ["a/lower/deep uses b", "b uses a/upper"]);
    let all: &[&[&str]] = &[&["a"], &["b"], &["a/*"]];
    assert_eq!(apart.upward(all), ["b uses a/upper"]);
}

#[test]
fn a_circle_is_found_by_whatever_way() {
    let uses = made_up(&[
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "mod c; use crate::b::B;"),
        ("a/c.rs", "use super::A;"),
        ("b.rs", "fn f() { crate::a::c::g() }"),
    ]);
    assert_eq!(uses.circles(), [["a", "a/c", "b"]]);
}

#[test]
fn a_requests_way_names_existing_files_each_at_most_twice() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, section) = page.split_once("## A request, in order").unwrap();
    let section = section.split_once("\n## ").unwrap().0;
    let (_, way) = section.split_once("1. **Connection.**").unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in way.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs")) {
        *counts.entry(name).or_default() += 1;
    }
    assert!(counts.len() > 25, "{counts:?}");
    for (name, count) in counts {
        let (crate_name, file) = match name.split_once('/') {
            Some(("core", file)) => ("core", file),
            Some(("wire", file)) => ("wire", file),
            _ => ("gateway", name),
        };
        let path = root().join("crates").join(crate_name).join("src").join(file);
        assert!(path.exists(), "{name} of ARCHITECTURE.md does not exist");
        assert!(count <= 2, "a request's way enters {name} {count} times");
    }
}
