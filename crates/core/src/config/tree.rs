//! The text of one YAML file as a tree whose every node knows its line.
//!
//! Called by [`super::include`] for each file. Always true: a tree is at most [`MAX_DEPTH`] levels
//! deep, aliases expanded, so that recursion over it is safe; and it has at most [`MAX_NODES`]
//! nodes, aliases expanded, so that walking it is fast.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScanError, Tag};

use super::flow;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::redact;
use super::tags::{check_tag, scalar_style};

mod bytes;

pub use bytes::MAX_BYTES;

/// Most levels of nesting.
pub(super) const MAX_DEPTH: usize = 128;
/// Most nodes, each use of an alias counted in full.
pub(super) const MAX_NODES: u64 = 1_000_000;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// What it is.
    pub(super) value: Value,
    /// Where it is; for an alias, where its anchor is.
    pub(super) at: At,
    size: u64,
    height: usize,
}

/// The value of a node. Collections are shared, so that an alias costs nothing.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Any single value; its type depends on what is expected.
    Scalar(Rc<str>, Style),
    /// A list.
    List(Rc<[Node]>),
    /// A mapping.
    Map(Rc<Map>),
    /// A reference to an environment variable that is not set.
    Missing(Rc<str>),
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Without quotes: it may be a number, a boolean or null.
    Plain,
    /// Quoted or as a block: it is text.
    Quoted,
    /// From an environment variable: it is text, and may be secret.
    Environment,
}

/// A mapping, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    /// Its entries; each key once.
    pub(super) entries: Vec<Entry>,
}

/// One key of a mapping and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key as written.
    pub(super) key: Rc<str>,
    /// How it was written.
    pub(super) style: Style,
    /// Where the key is.
    pub(super) at: At,
    /// The value.
    pub(super) value: Node,
}

impl Node {
    /// A scalar.
    pub(super) fn scalar(text: &str, style: Style, at: At) -> Node {
        Node { value: Value::Scalar(Rc::from(text), style), at, size: 1, height: 0 }
    }

    /// A reference to a variable that is not set.
    pub(super) fn missing(variable: &str, at: At) -> Node {
        Node { value: Value::Missing(Rc::from(variable)), at, size: 1, height: 0 }
    }

    /// A list.
    pub(super) fn list(items: Vec<Node>, at: At) -> Node {
        let size = items.iter().fold(1, |sum: u64, item| sum.saturating_add(item.size));
        let height = items.iter().map(|item| item.height + 1).max().unwrap_or(0);
        Node { value: Value::List(items.into()), at, size, height }
    }

    /// A mapping.
    pub(super) fn map(map: Map, at: At) -> Node {
        let size = map.entries.iter().fold(1, |sum: u64, e| sum.saturating_add(e.value.size + 1));
        let height = map.entries.iter().map(|e| e.value.height + 1).max().unwrap_or(0);
        Node { value: Value::Map(Rc::new(map)), at, size, height }
    }

    /// Whether it is empty, `null` or `~`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, Style::Plain)
            if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Whether it has no value: null, or a variable that is not set.
    pub(super) fn is_unset(&self) -> bool {
        matches!(self.value, Value::Missing(_)) || self.is_null()
    }

    /// The text of a scalar that is not null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) if !self.is_null() => Some(text),
            Value::Scalar(..) | Value::List(_) | Value::Map(_) | Value::Missing(_) => None,
        }
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            Value::Scalar(..) | Value::Map(_) | Value::Missing(_) => None,
        }
    }

    /// The mapping.
    pub(super) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            Value::Scalar(..) | Value::List(_) | Value::Missing(_) => None,
        }
    }
}

impl Map {
    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|entry| &*entry.key == key).map(|entry| &entry.value)
    }
}

/// What is said of a mapping that another document follows, if it is no config: where, and what is wrong.
pub(super) type Recognise = fn(&Map) -> Option<(At, Wrong)>;

/// The tree of `bytes`, or `None` after a problem was added. An empty file is null.
pub(super) fn parse(
    bytes: &[u8],
    file: u16,
    recognise: Recognise,
    problems: &mut Problems,
) -> Option<Node> {
    let text = match bytes::decode(bytes) {
        Ok(text) => text,
        Err(wrong) => {
            problems.error(At::whole(file), &Path::Root, wrong);
            return None;
        }
    };
    let read = build(&Source { text, file, shifts: &HashMap::new(), recognise }, problems).or_else(
        |refused| {
            // PyYAML reads further lines within brackets wherever they begin.
            let made = flow::reindent(text).ok_or_else(|| refused.clone())?;
            let source = Source { text: &made.text, file, shifts: &made.shifts, recognise };
            build(&source, problems).map_err(|_| refused)
        },
    );
    match read {
        Ok((root, duplicates)) => {
            for (at, path, wrong) in duplicates {
                problems.lax(at, &Path::Text(&path), wrong);
            }
            Some(root)
        }
        Err((at, wrong)) => {
            problems.error(at, &Path::Root, wrong);
            None
        }
    }
}

/// The text of a file.
struct Source<'t> {
    text: &'t str,
    file: u16,
    /// By how much lines are longer than in the file.
    shifts: &'t HashMap<usize, usize>,
    recognise: Recognise,
}

impl Source<'_> {
    fn place(&self, marker: &Marker) -> At {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let shift = self.shifts.get(&marker.line()).copied().unwrap_or(0);
        let column = number(marker.col().saturating_sub(shift).saturating_add(1));
        At { file: self.file, line: number(marker.line()), column }
    }
}

fn build(source: &Source<'_>, problems: &Problems) -> Result<(Node, Vec<Duplicate>), Refused> {
    let mut builder = Builder {
        stack: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        nodes: 0,
        documents: 0,
        duplicates: Vec::new(),
        recognise: source.recognise,
        problems,
    };
    let mut parser = Parser::new_from_str(source.text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| syntax_error(source, &error))?;
        builder.event(event, source.place(&span.start))?;
    }
    let start = At { file: source.file, line: 1, column: 1 };
    let root = builder.root.take();
    Ok((root.unwrap_or_else(|| Node::scalar("", Style::Plain, start)), builder.duplicates))
}

fn syntax_error(source: &Source<'_>, error: &ScanError) -> (At, Wrong) {
    let (text, at) = (source.text, source.place(error.marker()));
    if error.info() == "recursion limit exceeded" {
        return (at, too_deep());
    }
    let index = usize::try_from(at.line.saturating_sub(1)).unwrap_or(usize::MAX);
    // The tab may be on a line next to the one that the parser names.
    let mut near = text.lines().skip(index.saturating_sub(1)).take(3);
    let tab = near.any(|line| line.trim_start_matches(' ').starts_with('\t'));
    let line = text.lines().nth(index).unwrap_or("");
    let hint = if line.contains("{{") {
        "this looks like a template that was not filled in: render it first, as by `helm template`"
    } else if tab {
        "indent with spaces: YAML does not allow tabs there"
    } else {
        "check the indentation, the colons and the quotes of this line and the one before"
    };
    let line = redact::line(line);
    let problem = if line.is_empty() {
        format!("YAML syntax: {}", error.info())
    } else {
        format!("YAML syntax: {}: `{line}`", error.info())
    };
    (at, Wrong::new(problem, hint))
}

fn too_deep() -> Wrong {
    Wrong::new(format!("nested deeper than {MAX_DEPTH} levels"), "a config needs about 6")
}

type Refused = (At, Wrong);
/// A key that stands twice: where, its path, and what is said.
type Duplicate = (At, String, Wrong);

struct Builder<'p> {
    stack: Vec<Frame>,
    /// `None` while the anchored collection is still open.
    anchors: HashMap<usize, Option<Node>>,
    root: Option<Node>,
    nodes: u64,
    documents: u32,
    duplicates: Vec<Duplicate>,
    recognise: Recognise,
    problems: &'p Problems,
}

struct Frame {
    at: At,
    anchor: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { map: Map, index: HashMap<Rc<str>, usize>, key: Option<Node>, merges: Vec<Node> },
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, at: At) -> Result<(), Refused> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let hint = "keep one document; use `include` for further files";
                    let wrong = || (at, Wrong::new("a second YAML document begins here", hint));
                    let first = self.root.as_ref().and_then(Node::as_map);
                    return Err(first.and_then(self.recognise).unwrap_or_else(wrong));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = scalar_style(style, tag.as_deref()).map_err(|wrong| (at, wrong))?;
                let node = Node::scalar(&text, style, at);
                self.count(1, at)?;
                self.anchor(anchor, &node);
                self.push(node)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(at, anchor, tag.as_deref(), Kind::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let map = Map::default();
                let kind = Kind::Map { map, index: HashMap::new(), key: None, merges: Vec::new() };
                self.open(at, anchor, tag.as_deref(), kind)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(Some(node)) = self.anchors.get(&anchor) else {
                    let hint = "an alias must follow the anchored value";
                    return Err((at, Wrong::new("the alias is inside its own anchor", hint)));
                };
                let node = node.clone();
                self.count(node.size, at)?;
                if self.stack.len() + node.height >= MAX_DEPTH {
                    return Err((at, too_deep()));
                }
                self.push(node)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn count(&mut self, nodes: u64, at: At) -> Result<(), Refused> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            let problem = format!("more than {MAX_NODES} values, aliases expanded");
            return Err((at, Wrong::new(problem, "use fewer aliases, or split the file")));
        }
        Ok(())
    }

    fn open(
        &mut self,
        at: At,
        anchor: usize,
        tag: Option<&Tag>,
        kind: Kind,
    ) -> Result<(), Refused> {
        check_tag(tag, &["map", "seq"]).map_err(|wrong| (at, wrong))?;
        self.count(1, at)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err((at, too_deep()));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
        self.stack.push(Frame { at, anchor, kind });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refused> {
        let Some(Frame { at, anchor, kind }) = self.stack.pop() else { return Ok(()) };
        let node = match kind {
            Kind::List(items) => Node::list(items, at),
            Kind::Map { map, merges, .. } => Node::map(merged(map, &merges)?, at),
        };
        self.anchor(anchor, &node);
        self.push(node)
    }

    fn anchor(&mut self, anchor: usize, node: &Node) {
        if anchor > 0 {
            self.anchors.insert(anchor, Some(node.clone()));
        }
    }

    fn push(&mut self, node: Node) -> Result<(), Refused> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.kind {
            Kind::List(items) => items.push(node),
            Kind::Map { key: key @ None, .. } => {
                if !matches!(node.value, Value::Scalar(..)) {
                    let hint = match node.value {
                        Value::Map(_) => {
                            "write `key: value`; if it is `{{ ... }}`, a template was not filled in"
                        }
                        Value::Scalar(..) | Value::List(_) | Value::Missing(_) => {
                            "write `key: value`"
                        }
                    };
                    return Err((node.at, Wrong::new("a key must be plain text", hint)));
                }
                *key = Some(node);
            }
            Kind::Map { map, index, key, merges } => {
                let Some(Node { value: Value::Scalar(name, style), at, .. }) = key.take() else {
                    return Ok(());
                };
                if &*name == "<<" && style == Style::Plain {
                    merges.push(node);
                    return Ok(());
                }
                let entry = Entry { key: name.clone(), style, at, value: node };
                if let Some(first) = insert(map, index, entry) {
                    self.duplicate(&name, first, at);
                }
            }
        }
        Ok(())
    }

    fn duplicate(&mut self, name: &str, first: At, second: At) {
        let mut path = String::new();
        for frame in &self.stack {
            match &frame.kind {
                Kind::List(items) => path.push_str(&format!("[{}]", items.len())),
                Kind::Map { key: Some(Node { value: Value::Scalar(key, _), .. }), .. } => {
                    push_key(&mut path, key);
                }
                Kind::Map { .. } => {}
            }
        }
        push_key(&mut path, name);
        let other = self.problems.other_place(second, first);
        let problem = format!("duplicate key: also on {other}; the last one is used");
        self.duplicates.push((second, path, Wrong::new(problem, "remove one of them")));
    }
}

fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&shown(key));
}

/// Inserts the entry and returns the place of an earlier one with that key, which it replaces.
fn insert(map: &mut Map, index: &mut HashMap<Rc<str>, usize>, entry: Entry) -> Option<At> {
    if let Some(earlier) = index.get(&entry.key).and_then(|&i| map.entries.get_mut(i)) {
        let first = earlier.at;
        *earlier = entry;
        return Some(first);
    }
    index.insert(entry.key.clone(), map.entries.len());
    map.entries.push(entry);
    None
}

/// The entries of merge keys come first and yield to the mapping's own, as in YAML 1.1.
fn merged(own: Map, merges: &[Node]) -> Result<Map, Refused> {
    if merges.is_empty() {
        return Ok(own);
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut index: HashMap<Rc<str>, usize> = HashMap::new();
    let mut put = |entry: &Entry| match index.get(&entry.key).and_then(|&i| entries.get_mut(i)) {
        Some(earlier) => *earlier = entry.clone(),
        None => {
            index.insert(entry.key.clone(), entries.len());
            entries.push(entry.clone());
        }
    };
    let refused = |at: At| {
        (at, Wrong::new("`<<` expects a mapping or a list of mappings", "write `<<: *anchor`"))
    };
    for merge in merges {
        match &merge.value {
            Value::Map(map) => map.entries.iter().for_each(&mut put),
            // Of several mappings the first has precedence, so it is inserted last.
            Value::List(maps) => {
                for node in maps.iter().rev() {
                    let map = node.as_map().ok_or_else(|| refused(node.at))?;
                    map.entries.iter().for_each(&mut put);
                }
            }
            Value::Scalar(..) | Value::Missing(_) => return Err(refused(merge.at)),
        }
    }
    own.entries.iter().for_each(&mut put);
    Ok(Map { entries })
}

#[cfg(test)]
mod tests;
