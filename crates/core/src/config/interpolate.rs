//! References to environment variables, and the variables that a config brings itself.
//!
//! Called by [`super::load`] once the files are read. Always true: the process environment is never
//! changed; an empty variable counts as not set.

use std::collections::HashMap;

use super::Source;
use super::address;
use super::if_wrong::IfWrong;
use super::placeholder::{self, Outcome};
use super::problem::{At, Path, Problems, Wrong, shown};
use super::redact;
use super::tree::{Entry, Map, Node, Style, Value};
use super::value;

/// The start of a reference.
const PREFIX: &str = "os.environ/";
/// Variables that the process reads itself at start, so that a value in the config comes too late.
#[rustfmt::skip]
const OF_THE_PROCESS: &[&str] = &[
    "ALL_PROXY", "DEBUG", "DETAILED_DEBUG", "HOST", "HTTPS_PROXY", "HTTP_PROXY", "JSON_LOGS",
    "LITELLM_LOG", "NO_PROXY", "NUM_WORKERS", "PORT", "RUST_LOG", "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// The variable that `text` refers to, if it is a reference.
pub(super) fn reference(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX).map(str::trim)
}

/// The environment as the config sees it.
pub(super) struct Env<'s> {
    source: &'s dyn Source,
    /// The config's own variables, and where they are.
    own: HashMap<String, (String, At)>,
}

impl<'s> Env<'s> {
    /// The environment of `source`, overridden by the config's `environment_variables`.
    pub(super) fn new(source: &'s dyn Source, top: &Map, problems: &mut Problems) -> Env<'s> {
        let mut env = Env { source, own: HashMap::new() };
        let path = Path::Root.key("environment_variables");
        let Some(section) = top.get("environment_variables").filter(|node| !node.is_null()) else {
            return env;
        };
        let Some(map) = section.as_map() else {
            let problem = format!("expected a mapping, got {}", value::describe_kind(section));
            problems.error(section.at, &path, Wrong::new(problem, "write `NAME: value` lines"));
            return env;
        };
        for entry in &map.entries {
            env.add(entry, &path, problems);
        }
        env
    }

    /// The value of a variable that is set and not empty.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        // Variables with such names cannot exist, and the system call panics on them.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        let mut found = self.own.get(name).map(|(value, _)| value.clone());
        found = found.or_else(|| self.source.env(name));
        let mut found = found?;
        // A secret that is read from a file ends with its line break.
        found.truncate(found.trim_end_matches(['\r', '\n']).len());
        Some(found).filter(|value| !value.is_empty())
    }

    /// The content of a file.
    pub(super) fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        self.source.read(path)
    }

    /// The variables that are set and not empty.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.source.env_names();
        names.extend(self.own.keys().cloned());
        names.retain(|name| self.get(name).is_some());
        names
    }

    /// Why the variable `name`, which is referred to at `at`, has no value, and the fix.
    pub(super) fn unset(&self, name: &str, at: At, problems: &Problems) -> Wrong {
        if name.is_empty() {
            return Wrong::new("the reference names no variable", "write `os.environ/NAME`");
        }
        let is_suffix = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.');
        if name.split(is_suffix).next().is_some_and(redact::is_pasted_key) {
            return Wrong::new(
                "what follows `os.environ/` looks like a key, and no variable of that name is set",
                "put the key into a variable and write its name; or write the key without `os.environ/`",
            );
        }
        let bare = name.trim_matches(['"', '\'', '`']);
        if bare.len() < name.len() && !bare.contains(is_suffix) {
            let problem = format!("the name of environment variable {} is in quotes", shown(bare));
            return Wrong::new(problem, format!("write `os.environ/{}`", shown(bare)));
        }
        if let Some(end) = name.find(is_suffix).filter(|end| *end > 0) {
            // What follows may be a secret that was meant as a default.
            let name = shown(&name[..end]);
            let problem = format!(
                "environment variable {name} is followed by other text, but all that follows `os.environ/` is the name: there \
                 is no default and no suffix"
            );
            return Wrong::new(
                problem,
                format!("write `os.environ/{name}`, and set {name} to the whole value"),
            );
        }
        let shown = shown(name);
        if let Some((_, own)) = self.own.get(name) {
            let place = problems.other_place(at, *own);
            let problem = format!(
                "environment variable {shown} is set to nothing in `environment_variables` on {place}, which wins over the \
                 environment of the process"
            );
            return Wrong::new(problem, "remove it there, or give it a value");
        }
        Wrong::new(format!("environment variable {shown} is not set"), format!("set {shown}"))
    }

    fn add(&mut self, entry: &Entry, path: &Path<'_>, problems: &mut Problems) {
        let path = path.key(&entry.key);
        if OF_THE_PROCESS.contains(&entry.key.to_uppercase().as_str()) {
            let problem = "the process reads this variable before the config: ignored";
            let hint = "set it in the environment of the process";
            problems.warn(entry.at, &path, Wrong::new(problem, hint));
        }
        if entry.value.is_null() {
            return;
        }
        let Some(text) = entry.value.text() else {
            let problem = format!("expected text, got {}", value::describe_kind(&entry.value));
            problems.wrong(IfWrong::Unset, entry.value.at, &path, Wrong::new(problem, ""));
            return;
        };
        let text = match reference(text) {
            None => text.to_owned(),
            Some(name) => match self.get(name) {
                Some(found) => found,
                None => {
                    let mut wrong = self.unset(name, entry.value.at, problems);
                    wrong.hint.push_str(", or remove this line");
                    problems.warn(entry.value.at, &path, wrong);
                    return;
                }
            },
        };
        self.own.insert(entry.key.to_string(), (text, entry.at));
    }

    /// Warns about every variable that is not set in `node`, whose key has no effect without it.
    pub(super) fn warn_unset(&self, node: &Node, path: &Path<'_>, problems: &mut Problems) {
        match &node.value {
            Value::Missing(name) => {
                let mut wrong = self.unset(name, node.at, problems);
                wrong.problem.push_str(": this key is ignored");
                problems.warn(node.at, path, wrong);
            }
            Value::Map(map) => {
                for entry in &map.entries {
                    self.warn_unset(&entry.value, &path.key(&entry.key), problems);
                }
            }
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.warn_unset(item, &path.item(i), problems);
                }
            }
            Value::Scalar(..) => {}
        }
    }

    /// `map` with every reference replaced by what it refers to.
    pub(super) fn resolve_map(&self, map: &Map, path: &Path<'_>, problems: &mut Problems) -> Map {
        let entry = |entry: &Entry, problems: &mut Problems| {
            let value = self.resolve(&entry.value, &path.key(&entry.key), problems);
            Entry { value, ..entry.clone() }
        };
        Map { entries: map.entries.iter().map(|e| entry(e, problems)).collect() }
    }

    fn resolve(&self, node: &Node, path: &Path<'_>, problems: &mut Problems) -> Node {
        match &node.value {
            Value::Missing(_) => node.clone(),
            Value::Map(map) => Node::map(self.resolve_map(map, path, problems), node.at),
            Value::List(items) => {
                let resolve = |(i, item)| self.resolve(item, &path.item(i), problems);
                Node::list(items.iter().enumerate().map(resolve).collect(), node.at)
            }
            Value::Scalar(text, _) => match reference(text) {
                Some(name) => match self.get(name) {
                    Some(value) => Node::scalar(&value, Style::Environment, node.at),
                    None => Node::missing(name, node.at),
                },
                None => {
                    warn_about_other_forms(text, node, path, problems);
                    node.clone()
                }
            },
        }
    }
}

/// Warns about `${NAME}` and its kin, which are common attempts and are not read; about an address and a key that cannot be sent
/// their readers do.
fn warn_about_other_forms(text: &str, node: &Node, path: &Path<'_>, problems: &mut Problems) {
    let key = path.last_key();
    let is_told_by_its_reader =
        matches!(key, "api_base" | "base_url") || (is_sent(key) && address::key(text).is_err());
    if is_told_by_its_reader {
        return;
    }
    let outcome = if key == "master_key" { Outcome::NoSecret } else { Outcome::Used };
    let found = placeholder::of_shell(text, outcome).or_else(|| {
        let is_filled =
            NEEDED.contains(&key) || key.ends_with("_token") || key.ends_with("_secret");
        if is_filled { placeholder::anywhere(text, outcome) } else { None }
    });
    if let Some(wrong) = found {
        problems.warn(node.at, path, wrong);
    }
}

/// Whether the value of `key` is refused by its reader if it cannot be sent.
fn is_sent(key: &str) -> bool {
    matches!(key, "api_key" | "master_key")
}

/// Keys whose values are never prose, so that what looks like a placeholder in them is one.
#[rustfmt::skip]
const NEEDED: &[&str] = &[
    "api_key", "api_version", "client_id", "client_secret", "litellm_key_header_name", "master_key", "model", "organization",
    "tenant_id",
];

/// The first variable that is not set in `node`.
pub(super) fn first_missing(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Missing(name) => Some(name),
        Value::Map(map) => map.entries.iter().find_map(|entry| first_missing(&entry.value)),
        Value::List(items) => items.iter().find_map(first_missing),
        Value::Scalar(..) => None,
    }
}
