//! One key of a section with its value, checked against the table of keys.
//!
//! Called by every reader of a section through [`visit`]. Always true: a reader sees only keys that are
//! served and have a value; every other key has been reported.

use super::if_wrong::IfWrong;
use crate::parameters::parameter;

use super::keys::{self, Kind, Row, Section, Support};
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::did_you_mean;
use super::tree::{Entry, Map, Node, Value};
use super::value;

/// A key that is served, and its value.
pub(super) struct Field<'n> {
    /// Its row.
    pub(super) row: &'static Row,
    /// Its value.
    pub(super) node: &'n Node,
    /// Its path.
    pub(super) path: Path<'n>,
    /// Where the key is.
    pub(super) at: At,
    /// What becomes of a wrong value.
    pub(super) if_wrong: IfWrong,
}

/// What a section does with keys that are not in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    /// They are mistakes.
    Report,
    /// They are legal, but a name close to a known key is suspicious.
    Keep,
}

impl Unknown {
    const fn of(section: Section) -> Unknown {
        match section {
            Section::Params | Section::Info => Unknown::Keep,
            Section::Top
            | Section::Entry
            | Section::Litellm
            | Section::Router
            | Section::General
            | Section::Credential
            | Section::Alias
            | Section::Strategy
            | Section::Retries
            | Section::Fails
            | Section::Budget
            | Section::Window
            | Section::Cache
            | Section::Alerting => Unknown::Report,
        }
    }
}

/// Calls `served` for each key of `map` that is served and set, in the order of the file, and
/// reports the others. Returns the entries that are not in the table.
pub(super) fn visit<'n>(
    section: Section,
    map: &'n Map,
    path: &'n Path<'n>,
    problems: &mut Problems,
    mut served: impl FnMut(&Field<'n>, &mut Problems),
) -> Vec<&'n Entry> {
    let mut others = Vec::new();
    for entry in &map.entries {
        let Some(row) = keys::find(section, &entry.key) else {
            report_unknown(section, entry, path, problems);
            others.push(entry);
            continue;
        };
        let path = path.key(&entry.key);
        match row.support {
            Support::Served if entry.value.is_unset() => {}
            Support::Served => {
                let if_wrong = IfWrong::of(section, row.name);
                let (node, at) = (&entry.value, entry.at);
                served(&Field { row, node, path, at, if_wrong }, problems);
            }
            Support::Ignored => {}
            Support::NotYet if is_off(&entry.value) && !is_missing(&entry.value) => {}
            Support::NotYet => {
                let feature = if row.feature.is_empty() { row.name } else { row.feature };
                let wrong = Wrong::new("not served: ignored", within_a_line(row.doc));
                problems.unserved(entry.at, &path, wrong, feature);
            }
            Support::Misplaced => {
                let wrong = Wrong::new("has no effect in this section", within_a_line(row.doc));
                problems.lax(entry.at, &path, wrong);
            }
            Support::Refused if is_off(&entry.value) => {}
            Support::Refused => problems.wrong(
                IfWrong::of_refused(section),
                entry.at,
                &path,
                Wrong::new(
                    format!("not served, and ignoring it is not safe: {}", row.doc),
                    format!("remove `{}` to go without it", shown(&entry.key)),
                ),
            ),
        }
    }
    others
}

/// Whether it refers to a variable that is not set: then it was meant to be on.
fn is_missing(node: &Node) -> bool {
    matches!(node.value, Value::Missing(_))
}

/// A sentence of the table of keys as a hint: it begins small and has no full stop.
fn within_a_line(doc: &str) -> String {
    let doc = doc.strip_suffix('.').unwrap_or(doc);
    let mut chars = doc.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            format!("{}{}", first.to_lowercase(), doc.get(first.len_utf8()..).unwrap_or_default())
        }
        _ => doc.to_owned(),
    }
}

/// Whether a value turns its key off: null, `false`, an empty list or mapping.
fn is_off(node: &Node) -> bool {
    match &node.value {
        Value::Missing(_) => true,
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.entries.is_empty(),
        Value::Scalar(text, _) => {
            text.is_empty() || node.is_null() || value::flag(node) == Ok(false)
        }
    }
}

fn report_unknown(section: Section, entry: &Entry, path: &Path<'_>, problems: &mut Problems) {
    let (name, unknown) = (&*entry.key, Unknown::of(section));
    // A name of the operator's own, for an anchor.
    let is_own = section == Section::Top
        && ["_", ".", "x-", "x_"].iter().any(|start| name.starts_with(start));
    if is_own || (unknown == Unknown::Keep && is_request_param(section, name)) {
        return;
    }
    let path = path.key(name);
    let is_parameter = section == Section::Params && parameter(name).is_some();
    if let Some((place, row)) = keys::elsewhere(section, name).filter(|_| !is_parameter) {
        problems.lax(entry.at, &path, misplaced(section, place, row));
        return;
    }
    let near = problems.nearest(name, keys::names(section));
    let is_mistyped = near.first().is_some_and(|known| is_typo(name, known));
    let by_pattern = keys::pattern_elsewhere(section, name).filter(|_| !is_mistyped);
    if let Some((place, row)) = by_pattern {
        problems.lax(entry.at, &path, misplaced(section, place, row));
        return;
    }
    match unknown {
        Unknown::Report => {
            let wrong = Wrong::new(format!("unknown key `{}`", shown(name)), did_you_mean(&near));
            problems.lax(entry.at, &path, wrong);
        }
        Unknown::Keep if is_mistyped => {
            let what = match section {
                Section::Params => "unknown key, sent to the provider as it is",
                _ => "unknown key",
            };
            problems.lax(entry.at, &path, Wrong::new(what, did_you_mean(&near)));
        }
        Unknown::Keep => {}
    }
}

/// A key that has a meaning in another section, which is called `place`.
fn misplaced(section: Section, place: &str, row: &Row) -> Wrong {
    let place = if place.contains(' ') { place.to_owned() } else { format!("`{place}`") };
    let here = match section {
        Section::Params => "has no effect here, and goes to the provider as it is",
        _ => "has no effect here",
    };
    let doc = within_a_line(row.doc);
    let (whose, hint) = match row.support {
        Support::Served if row.name == "master_key" => {
            ("a key of", "move it there: without it the gateway has no master key".to_owned())
        }
        Support::Served => ("a key of", "move it there".to_owned()),
        Support::Ignored | Support::NotYet | Support::Misplaced => {
            ("a key that is not served, of", doc)
        }
        Support::Refused => ("a key that would refuse the start, of", doc),
    };
    Wrong::new(format!("{here}: it is {whose} {place}"), hint)
}

fn is_request_param(section: Section, name: &str) -> bool {
    section == Section::Params && keys::REQUEST_PARAMS.contains(&name)
}

/// Nearer than names that are merely similar.
fn is_typo(name: &str, known: &str) -> bool {
    let reach = if name.len() < 6 { 1 } else { 2 };
    strsim::osa_distance(&name.to_lowercase(), known) <= reach
}

impl Field<'_> {
    /// Yes or no.
    pub(super) fn flag(&self, problems: &mut Problems) -> Option<bool> {
        self.check(value::flag(self.node), problems)
    }

    /// A whole number in the row's range.
    pub(super) fn count(&self, problems: &mut Problems) -> Option<u64> {
        let Kind::Count(min, max) = self.row.kind else { return None };
        self.check(value::count(self.node, min, max), problems)
    }

    /// As [`Field::count`], for a row whose range is small.
    pub(super) fn small(&self, problems: &mut Problems) -> Option<u32> {
        self.count(problems).and_then(|count| u32::try_from(count).ok())
    }

    /// A number in the row's range.
    pub(super) fn number(&self, problems: &mut Problems) -> Option<f64> {
        let Kind::Number(min, max) = self.row.kind else { return None };
        self.check(value::number(self.node, min, max), problems)
    }

    /// A time in milliseconds.
    pub(super) fn time(&self, problems: &mut Problems) -> Option<u64> {
        let Kind::Time(min, max) = self.row.kind else { return None };
        self.check(value::time(self.node, min, max), problems)
    }

    /// A size in bytes.
    pub(super) fn bytes(&self, problems: &mut Problems) -> Option<usize> {
        match self.row.kind {
            Kind::Megabytes(min, max) => {
                self.check(value::megabytes(self.node, min, max), problems)
            }
            _ => self.count(problems).and_then(|count| usize::try_from(count).ok()),
        }
    }

    /// Text that is not empty.
    pub(super) fn text(&self, problems: &mut Problems) -> Option<&str> {
        let read = match self.row.kind {
            Kind::Secret if self.node.text().is_none() => Err(Wrong::new(
                format!("expected text, got {}", value::describe_kind(self.node)),
                "",
            )),
            _ => value::text(self.node),
        };
        let text = self.check(read, problems)?;
        if text.trim().is_empty() {
            self.wrong(Wrong::new("is empty", "write a value, or remove the key"), problems);
            return None;
        }
        Some(text)
    }

    /// A list.
    pub(super) fn list(&self, problems: &mut Problems) -> Option<&[Node]> {
        self.check(value::list(self.node), problems)
    }

    /// A mapping.
    pub(super) fn map(&self, problems: &mut Problems) -> Option<&Map> {
        let wrong = || {
            let problem = format!("expected a mapping, got {}", value::describe_kind(self.node));
            Wrong::new(problem, "write `key: value` lines below it")
        };
        self.check(self.node.as_map().ok_or_else(wrong), problems)
    }

    /// Adds what is wrong with the value, which then counts as the row says.
    pub(super) fn wrong(&self, wrong: Wrong, problems: &mut Problems) {
        problems.wrong(self.if_wrong, self.node.at, &self.path, wrong);
    }

    /// The same for a part of the value.
    pub(super) fn wrong_in(&self, at: At, path: &Path<'_>, wrong: Wrong, problems: &mut Problems) {
        problems.wrong(self.if_wrong, at, path, wrong);
    }

    /// Adds a warning at the value.
    pub(super) fn warn(&self, wrong: Wrong, problems: &mut Problems) {
        problems.warn(self.node.at, &self.path, wrong);
    }

    fn check<T>(&self, read: Result<T, Wrong>, problems: &mut Problems) -> Option<T> {
        read.map_err(|wrong| self.wrong(wrong, problems)).ok()
    }
}
