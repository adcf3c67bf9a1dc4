//! What the store adds to the config of the files: deployments, credentials and settings that were made at run time.
//!
//! Given to [`super::load_with`] by the gateway, which reads and decrypts the rows. Always true: each row is a file of its own to the
//! loader, so that a problem names it; a row with an error stops what it makes and nothing else; what the files say wins over a row.

use std::fmt;

use serde_json::{Map as Object, Value as Json};

use super::problem::{At, Path, Problem, Problems, Severity, Wrong, shown};
use super::tree::{Entry, Map, Node, Style, Value};

/// How the loader calls a row about a deployment, before its id.
const MODEL: &str = "LiteLLM_ProxyModelTable/";
/// The same of a credential, and of a setting.
const CREDENTIAL: &str = "LiteLLM_CredentialsTable/";
const SETTING: &str = "LiteLLM_Config/";
/// The section whose members are environment variables.
const VARIABLES: &str = "environment_variables";
/// The setting that turns all of this on: true in either place is true.
const SWITCH: &str = "store_model_in_db";
/// Sections that a row may add to.
pub const SECTIONS: [&str; 4] =
    ["general_settings", "litellm_settings", "router_settings", VARIABLES];
/// Settings that are read at the start, or that say what may read the store: no row sets them.
const OF_THE_FILES: [&str; 6] =
    ["master_key", "database_*", "store_*", "dangerously_*", "redis_*", "include"];

/// What the store has.
#[derive(Clone, Default)]
pub struct Stored {
    /// The deployments, the oldest first.
    pub models: Vec<StoredModel>,
    /// The credentials: name, values.
    pub credentials: Vec<(Box<str>, Object<String, Json>)>,
    /// The sections of settings: name, members.
    pub sections: Vec<(Box<str>, Object<String, Json>)>,
}

/// A deployment that was made at run time.
#[derive(Clone)]
pub struct StoredModel {
    /// The id of its row.
    pub id: Box<str>,
    /// `model_name`.
    pub name: Box<str>,
    /// `litellm_params`, decrypted.
    pub params: Object<String, Json>,
    /// `model_info`.
    pub info: Object<String, Json>,
    /// Whether it is paused.
    pub is_paused: bool,
    /// What is wrong with its row, and the fix.
    pub trouble: Option<(Box<str>, Box<str>)>,
}

impl fmt::Debug for Stored {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = (self.models.len(), self.credentials.len(), self.sections.len());
        write!(to, "Stored{counts:?}")
    }
}

impl Stored {
    /// Whether it adds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty() && self.credentials.is_empty() && self.sections.is_empty()
    }

    /// What a setting of a row is called in problems.
    #[must_use]
    pub fn file_of_setting(section: &str, name: &str) -> String {
        format!("{SETTING}{section}.{}", shown(name))
    }

    /// What the row of a deployment is called in problems.
    #[must_use]
    pub fn file_of_model(id: &str) -> String {
        format!("{MODEL}{}", shown(id))
    }
}

/// Why no row may set that member of that section, if none may.
#[must_use]
pub fn why_not_stored(section: &str, name: &str) -> Option<&'static str> {
    let is = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == *pattern,
    };
    let of_files = section == "general_settings"
        && name != SWITCH
        && name != "store_prompts_in_spend_logs"
        && OF_THE_FILES.iter().any(is);
    if of_files {
        return Some("it is read from the config alone, at the start or before the store");
    }
    None
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It is read whole.
    Whole,
    /// It makes a deployment that cannot serve, for this reason.
    Broken(String, String),
    /// It makes nothing, for this reason: the path, the problem and the fix.
    LeftOut(String, String, String),
}

/// The rows of one loading: which of them are read.
pub(super) struct Rows<'s> {
    stored: &'s Stored,
    models: Vec<State>,
    credentials: Vec<State>,
    /// The members of all sections, in their order.
    settings: Vec<State>,
    /// The first file of the rows, and what each file is.
    files: Option<(u16, Vec<Row>)>,
}

/// One row, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Model(usize),
    Credential(usize),
    Setting(usize),
}

impl<'s> Rows<'s> {
    pub(super) fn new(stored: &'s Stored) -> Rows<'s> {
        let settings = stored.sections.iter().map(|(_, members)| members.len()).sum();
        let state = |model: &StoredModel| match &model.trouble {
            Some((problem, hint)) => State::Broken(problem.to_string(), hint.to_string()),
            None => State::Whole,
        };
        Rows {
            stored,
            models: stored.models.iter().map(state).collect(),
            credentials: vec![State::Whole; stored.credentials.len()],
            settings: vec![State::Whole; settings],
            files: None,
        }
    }

    /// Adds the rows to what the files say.
    pub(super) fn add_to(&mut self, top: &mut Map, problems: &mut Problems) {
        self.files = None;
        if self.stored.is_empty() {
            return;
        }
        let mut files = Files { first: None, rows: Vec::new() };
        self.add_settings(top, &mut files, problems);
        self.add_credentials(top, &mut files, problems);
        self.add_models(top, &mut files, problems);
        self.files = files.first.map(|first| (first, files.rows));
        problems.rows_from(self.files.as_ref().map(|(first, _)| *first));
    }

    /// Takes out the rows because of which the config would be refused. Says whether there are any, so that it is to be read again.
    pub(super) fn take_out(&mut self, problems: &[(u16, Problem)]) -> bool {
        let Some((first, rows)) = self.files.clone() else { return false };
        let mut is_changed = false;
        for (file, problem) in problems {
            let row = file.checked_sub(first).and_then(|at| rows.get(usize::from(at)));
            let Some(row) = row.filter(|_| problem.severity == Severity::Error) else { continue };
            let state = match row {
                Row::Model(at) => &mut self.models[*at],
                Row::Credential(at) => &mut self.credentials[*at],
                Row::Setting(at) => &mut self.settings[*at],
            };
            let next = match (row, &*state) {
                (Row::Model(_), State::Whole) => {
                    State::Broken(named(problem), problem.hint.to_string())
                }
                (_, State::LeftOut(..)) => continue,
                _ => State::LeftOut(
                    problem.path.to_string(),
                    format!("{}: this row is left out", problem.problem),
                    problem.hint.to_string(),
                ),
            };
            is_changed = true;
            *state = next;
        }
        is_changed
    }

    fn add_models(&self, top: &mut Map, files: &mut Files, problems: &mut Problems) {
        let mut items = Vec::new();
        for (at, (model, state)) in self.stored.models.iter().zip(&self.models).enumerate() {
            let place = files.add(&Stored::file_of_model(&model.id), Row::Model(at), problems);
            match state {
                State::Whole => items.push(entry(model, place)),
                State::Broken(problem, hint) => {
                    problems.broken_row(place.file, Wrong::new(problem, hint));
                    items.push(broken(model, place));
                }
                State::LeftOut(path, problem, hint) => {
                    problems.warn(place, &Path::Text(path), Wrong::new(problem, hint));
                }
            }
        }
        append(top, "model_list", items);
    }

    fn add_credentials(&self, top: &mut Map, files: &mut Files, problems: &mut Problems) {
        let is_known = |top: &Map, name: &str| {
            let list = top.get("credential_list").and_then(Node::items).unwrap_or_default();
            list.iter().any(|item| {
                let named = item.as_map().and_then(|map| map.get("credential_name")?.text());
                named == Some(name)
            })
        };
        let mut items = Vec::new();
        for (at, (name, values)) in self.stored.credentials.iter().enumerate() {
            let file = format!("{CREDENTIAL}{}", shown(name));
            let place = files.add(&file, Row::Credential(at), problems);
            if is_known(top, name) {
                problems.shadowed(place, "credential_list", "the config has one of that name");
            } else if let State::LeftOut(path, problem, hint) = &self.credentials[at] {
                problems.warn(place, &Path::Text(path), Wrong::new(problem, hint));
            } else {
                let values = tree(&Json::Object(values.clone()), place);
                let members =
                    vec![("credential_name", text(name, place)), ("credential_values", values)];
                items.push(Node::map(map_of(members, place), place));
            }
        }
        append(top, "credential_list", items);
    }

    fn add_settings(&self, top: &mut Map, files: &mut Files, problems: &mut Problems) {
        let all = self.stored.sections.iter().flat_map(|(section, members)| {
            members.iter().map(move |(name, value)| (&**section, &**name, value))
        });
        for (at, (section, name, value)) in all.enumerate() {
            let file = Stored::file_of_setting(section, name);
            let place = files.add(&file, Row::Setting(at), problems);
            if let State::LeftOut(path, problem, hint) = &self.settings[at] {
                problems.warn(place, &Path::Text(path), Wrong::new(problem, hint));
                continue;
            }
            if let Some(why) = why_not_stored(section, name) {
                problems.shadowed(place, section, why);
                continue;
            }
            let is_written = top.get(section).and_then(Node::as_map).and_then(|map| map.get(name));
            match is_written {
                Some(_) if name == SWITCH && value.as_bool() == Some(true) => {
                    replace(top, section, name, tree(value, place));
                }
                Some(written) if !written.is_null() => {
                    problems.shadowed(place, section, "the config says it, and wins");
                }
                Some(_) | None => replace(top, section, name, tree(value, place)),
            }
        }
    }
}

/// The files of rows, in the order in which they are added.
struct Files {
    first: Option<u16>,
    rows: Vec<Row>,
}

impl Files {
    fn add(&mut self, name: &str, row: Row, problems: &mut Problems) -> At {
        let file = problems.file(name);
        self.first.get_or_insert(file);
        self.rows.push(row);
        At::whole(file)
    }
}

/// A problem as the reason of its deployment.
fn named(problem: &Problem) -> String {
    let within = problem.path.split_once("].").map(|(_, key)| format!("`{key}`: "));
    format!("{}{}", within.unwrap_or_default(), problem.problem)
}

/// The entry of `model_list` that a row stands for.
fn entry(model: &StoredModel, at: At) -> Node {
    let mut info = model.info.clone();
    info.insert("id".to_owned(), Json::from(&*model.id));
    info.remove("db_model");
    let params = tree(&Json::Object(model.params.clone()), at);
    let mut members = vec![
        ("model_name", text(&model.name, at)),
        ("litellm_params", params),
        ("model_info", tree(&Json::Object(info), at)),
    ];
    if model.is_paused {
        members.push(("blocked", Node::scalar("true", Style::Plain, at)));
    }
    Node::map(map_of(members, at), at)
}

/// The least of a row that is shown as a deployment: its name, its id and its model.
fn broken(model: &StoredModel, at: At) -> Node {
    let called = model.params.get("model").and_then(Json::as_str);
    let is_clean = |text: &&str| !text.is_empty() && !text.contains(char::is_control);
    let called = called.filter(is_clean).unwrap_or("unknown");
    let team = |name: &str| Some((name.to_owned(), model.info.get(name)?.as_str()?.into()));
    let mut info: Object<String, Json> =
        ["team_id", "team_public_model_name"].into_iter().filter_map(team).collect();
    info.insert("id".to_owned(), Json::from(&*model.id));
    let name = shown(&model.name);
    let name = if name.is_empty() { "unknown" } else { &name };
    let params = map_of(vec![("model", text(called, at))], at);
    let members = vec![
        ("model_name", text(name, at)),
        ("litellm_params", Node::map(params, at)),
        ("model_info", tree(&Json::Object(info), at)),
    ];
    Node::map(map_of(members, at), at)
}

fn text(value: &str, at: At) -> Node {
    Node::scalar(value, Style::Quoted, at)
}

fn map_of(members: Vec<(&'static str, Node)>, at: At) -> Map {
    let entry =
        |(key, value): (&str, Node)| Entry { key: key.into(), style: Style::Quoted, at, value };
    Map { entries: members.into_iter().map(entry).collect() }
}

/// A value of a row as the loader reads values.
fn tree(value: &Json, at: At) -> Node {
    match value {
        Json::Null => Node::scalar("", Style::Plain, at),
        Json::Bool(is) => Node::scalar(if *is { "true" } else { "false" }, Style::Plain, at),
        Json::Number(number) => {
            // Not with an exponent, which YAML 1.1 reads as text.
            let text = match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(whole), ..) => whole.to_string(),
                (None, Some(whole), _) => whole.to_string(),
                (None, None, float) => float.unwrap_or_default().to_string(),
            };
            Node::scalar(&text, Style::Plain, at)
        }
        Json::String(said) => text(said, at),
        Json::Array(items) => Node::list(items.iter().map(|item| tree(item, at)).collect(), at),
        Json::Object(members) => {
            let entry = |(key, value): (&String, &Json)| Entry {
                key: key.as_str().into(),
                style: Style::Quoted,
                at,
                value: tree(value, at),
            };
            Node::map(Map { entries: members.iter().map(entry).collect() }, at)
        }
    }
}

/// Adds items to a list of the config. One that is something else than a list stays, and is reported.
fn append(top: &mut Map, name: &str, items: Vec<Node>) {
    let Some(first) = items.first().map(|item| item.at) else { return };
    match top.entries.iter_mut().find(|entry| &*entry.key == name) {
        Some(entry) if entry.value.is_unset() => entry.value = Node::list(items, entry.value.at),
        Some(entry) => {
            let Some(before) = entry.value.items() else { return };
            let all = before.iter().cloned().chain(items).collect();
            entry.value = Node::list(all, entry.value.at);
        }
        None => top.entries.push(Entry {
            key: name.into(),
            style: Style::Quoted,
            at: first,
            value: Node::list(items, first),
        }),
    }
}

/// Sets a member of a section. A section that is no mapping stays, and is reported.
fn replace(top: &mut Map, section: &str, name: &str, value: Node) {
    let at = value.at;
    let new = Entry { key: name.into(), style: Style::Quoted, at, value };
    match top.entries.iter_mut().find(|entry| &*entry.key == section) {
        Some(entry) => {
            let mut map = match (&entry.value.value, entry.value.is_unset()) {
                (Value::Map(map), _) => Map::clone(map),
                (_, true) => Map::default(),
                (_, false) => return,
            };
            map.entries.retain(|one| one.key != new.key);
            map.entries.push(new);
            entry.value = Node::map(map, entry.value.at);
        }
        None => {
            let map = Map { entries: vec![new] };
            let value = Node::map(map, at);
            top.entries.push(Entry { key: section.into(), style: Style::Quoted, at, value });
        }
    }
}
