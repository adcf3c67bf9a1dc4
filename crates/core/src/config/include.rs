//! The files of a config, read and put together.
//!
//! Called by [`super::load`]. Always true: each file is read once; of two sections with the same
//! name, lists are joined and any other value is replaced by the included one.

use std::collections::HashSet;
use std::io;

use super::Source;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::tree::{self, Entry, Map, Node, Value};
use super::value::describe_kind;
use super::wrapped;

/// Most files of one config.
const MAX_FILES: usize = 100;

/// The top of the config that begins at `root`, or `None` if a file could not be read.
pub(super) fn read(source: &dyn Source, root: &str, problems: &mut Problems) -> Option<Map> {
    let file = problems.file(root);
    let bytes = match source.read(root) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.error(At::whole(file), &Path::Root, unreadable("config", root, &error));
            return None;
        }
    };
    let mut reader = Reader { source, root, seen: HashSet::from([normal(root)]), failed: false };
    let top = reader.parse(&bytes, root, file, problems);
    top.filter(|_| !reader.failed)
}

struct Reader<'s> {
    source: &'s dyn Source,
    root: &'s str,
    seen: HashSet<String>,
    failed: bool,
}

impl Reader<'_> {
    fn parse(
        &mut self,
        bytes: &[u8],
        path: &str,
        file: u16,
        problems: &mut Problems,
    ) -> Option<Map> {
        let node = tree::parse(bytes, file, wrapped::recognise, problems);
        self.failed |= node.is_none();
        let node = node?;
        let mut top = match &node.value {
            Value::Map(map) => Map::clone(map),
            Value::Scalar(..) if node.is_null() => Map::default(),
            Value::Scalar(..) | Value::List(_) | Value::Missing(_) => {
                self.failed = true;
                let problem = format!("expected a mapping, got {}", describe_kind(&node));
                let hint = "the file begins with a section, such as `model_list:`";
                problems.error(node.at, &Path::Root, Wrong::new(problem, hint));
                return None;
            }
        };
        let position = top.entries.iter().position(|entry| &*entry.key == "include");
        if let Some(position) = position {
            let include = top.entries.remove(position);
            self.include(&mut top, &include.value, path, problems);
        }
        Some(top)
    }

    fn include(&mut self, top: &mut Map, list: &Node, declaring: &str, problems: &mut Problems) {
        let key = Path::Root.key("include");
        if list.is_null() {
            return;
        }
        let Some(items) = list.items() else {
            self.failed = true;
            let problem = format!("expected a list of files, got {}", describe_kind(list));
            problems.error(list.at, &key, Wrong::new(problem, "write `include: [file.yaml]`"));
            return;
        };
        for (i, item) in items.iter().enumerate() {
            let path = key.item(i);
            let Some(name) = item.text() else {
                self.failed = true;
                let problem = format!("expected the name of a file, got {}", describe_kind(item));
                problems.error(item.at, &path, Wrong::new(problem, ""));
                continue;
            };
            let wanted = Wanted { name, declaring, at: item.at, path: &path };
            let Some((resolved, bytes)) = self.find(&wanted, problems) else { continue };
            let file = problems.file(&resolved);
            if let Some(included) = self.parse(&bytes, &resolved, file, problems) {
                merge(top, included, problems);
            }
        }
    }

    /// Finds the file next to the declaring one, else next to the root.
    fn find(&mut self, wanted: &Wanted<'_>, problems: &mut Problems) -> Option<(String, Vec<u8>)> {
        let Wanted { name, declaring, at, path } = *wanted;
        let near = join(declaring, name);
        if self.seen.contains(&near) {
            return None;
        }
        if self.seen.len() >= MAX_FILES {
            self.failed = true;
            let problem = format!("more than {MAX_FILES} files");
            problems.error(at, path, Wrong::new(problem, "merge some of them"));
            return None;
        }
        let error = match self.source.read(&near) {
            Ok(bytes) => {
                self.seen.insert(near.clone());
                return Some((near, bytes));
            }
            Err(error) => error,
        };
        let far = join(self.root, name);
        if error.kind() == io::ErrorKind::NotFound && far != near {
            if self.seen.contains(&far) {
                return None;
            }
            if let Ok(bytes) = self.source.read(&far) {
                let problem = format!("not found next to {declaring}; {far} is used");
                problems.warn(at, path, Wrong::new(problem, "write the path from this file"));
                self.seen.insert(far.clone());
                return Some((far, bytes));
            }
        }
        self.failed = true;
        problems.error(at, path, unreadable("included file", &near, &error));
        None
    }
}

/// A file that is included.
struct Wanted<'w> {
    name: &'w str,
    /// The file that includes it.
    declaring: &'w str,
    /// Where it does so, and at which key.
    at: At,
    path: &'w Path<'w>,
}

fn merge(top: &mut Map, included: Map, problems: &mut Problems) {
    for entry in included.entries {
        let Some(current) = top.entries.iter_mut().find(|current| current.key == entry.key) else {
            top.entries.push(entry);
            continue;
        };
        match (current.value.items(), entry.value.items()) {
            (Some(before), Some(after)) => {
                let items = before.iter().chain(after).cloned().collect();
                current.value = Node::list(items, current.value.at);
            }
            _ => replace(current, entry, problems),
        }
    }
}

fn replace(current: &mut Entry, entry: Entry, problems: &mut Problems) {
    if !current.value.is_null() {
        let before = problems.other_place(entry.at, current.at);
        let problem = format!("replaces the whole `{}` of {before}", shown(&entry.key));
        let path = Path::Root.key(&entry.key);
        problems.warn(entry.at, &path, Wrong::new(problem, "keep a section in one file"));
    }
    *current = entry;
}

fn unreadable(what: &str, path: &str, error: &io::Error) -> Wrong {
    let path = printable(path);
    // The system's own message adds nothing to the kind of the error.
    let detail = error.get_ref().map_or(String::new(), |detail| format!(": {detail}"));
    let detail = printable(&detail);
    match error.kind() {
        io::ErrorKind::NotFound => {
            Wrong::new(format!("{what} not found: {path}{detail}"), "check the path")
        }
        io::ErrorKind::IsADirectory => {
            Wrong::new(format!("{what} is a directory: {path}"), "name the file in it")
        }
        io::ErrorKind::PermissionDenied => Wrong::new(
            format!(
                "{what} cannot be read: {path}{}",
                if detail.is_empty() { ": permission denied" } else { &detail }
            ),
            "check its owner and mode, and the user that runs this process",
        ),
        _ => Wrong::new(
            format!("{what} cannot be read: {path}: {}", printable(&error.to_string())),
            "",
        ),
    }
}

fn printable(path: &str) -> String {
    path.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn join(declaring: &str, name: &str) -> String {
    if name.starts_with('/') {
        return normal(name);
    }
    match declaring.rsplit_once('/') {
        Some((dir, _)) => normal(&format!("{dir}/{name}")),
        None => normal(name),
    }
}

/// The path without `.` and, where possible, without `..`, so that one file has one name.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if path.starts_with('/') { format!("/{joined}") } else { joined }
}
