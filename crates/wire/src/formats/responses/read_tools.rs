//! Reads the tools of a request for a response, and which of them the model must use.
//!
//! Called by [`super::read_request`], and by [`super::read_items`] for tools that stand in the input. Always true: each tool
//! that the client runs becomes a function with a name of its own; tools that the provider would run are only named.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use aws_lc_rs::digest;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bytes::json::Str;
use crate::formats::arguments::INPUT_SCHEMA;
use crate::formats::asked::{CallKind, Declared};
use crate::formats::errors::clean;
use crate::formats::neutral::{Request, Text, Tool, ToolChoice, Unfit};
use crate::formats::room::Room;
use crate::formats::unfit::{flag_field, list_field, object_field};

/// Tools that the provider runs, and how they are named where they are left out.
const HOSTED: &[(&str, &str)] = &[
    ("file_search", "tools: file_search"),
    ("code_interpreter", "tools: code_interpreter"),
    ("image_generation", "tools: image_generation"),
    ("computer", "tools: computer"),
    ("mcp", "tools: mcp"),
    ("programmatic_tool_calling", "tools: programmatic_tool_calling"),
];
/// The name of any other.
const UNKNOWN: &str = "tools: an unknown type";
/// The group whose tools keep their names.
const BARE: &str = "functions";
/// The schema of a tool without parameters.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;
const LOCAL_SHELL: &str = r#"{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"}},"working_directory":{"type":"string"},"timeout_ms":{"type":"integer"},"env":{"type":"object","additionalProperties":{"type":"string"}}},"required":["command"]}"#;
const SHELL: &str = r#"{"type":"object","properties":{"commands":{"type":"array","items":{"type":"string"}},"timeout_ms":{"type":"integer"},"max_output_length":{"type":"integer"}},"required":["commands"]}"#;
const APPLY_PATCH: &str = r#"{"type":"object","properties":{"operation":{"type":"object","properties":{"type":{"type":"string","enum":["create_file","update_file","delete_file"]},"path":{"type":"string"},"diff":{"type":"string"}},"required":["type","path"]}},"required":["operation"]}"#;

#[derive(Deserialize)]
struct GivenTool<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    description: Option<Str<'a>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    strict: Option<&'a RawValue>,
    #[serde(borrow)]
    format: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CustomFormat<'a> {
    #[serde(borrow)]
    syntax: Option<Str<'a>>,
    #[serde(borrow)]
    definition: Option<Str<'a>>,
}

/// The tools of one request, and their names.
#[derive(Debug, Default)]
pub(super) struct Tools<'a> {
    /// As the model gets them.
    pub(super) offered: Vec<Tool<'a>>,
    /// Those whose calls are no plain calls.
    pub(super) declared: Vec<Declared>,
    /// The names of functions by the names that the client wrote.
    sent: BTreeMap<(Box<str>, Box<str>), Box<str>>,
    /// All names of functions.
    taken: BTreeSet<Box<str>>,
    /// The tools that the provider would run.
    hosted: Vec<&'static str>,
    /// Whether a search of the web is one: other providers may have one of their own.
    searches: bool,
}

impl<'a> Tools<'a> {
    /// Takes the tools in the list `raw`, which is the field `field`.
    pub(super) fn take(&mut self, field: &str, raw: &'a str, room: &Room) -> Result<(), Unfit> {
        for (i, raw) in list_field(field, raw, room)?.enumerate() {
            let at = format!("{field}[{i}]");
            let given: GivenTool<'a> = object_field(&at, raw?)?;
            if given.kind != "namespace" {
                self.one((&at, ""), given)?;
                continue;
            }
            let Some(Str(namespace)) = given.name else { return Err(missing(&at, "name")) };
            let inner = given.tools.map_or("[]", RawValue::get);
            let place = format!("{at}.tools");
            for (i, raw) in list_field(&place, inner, room)?.enumerate() {
                let at = format!("{place}[{i}]");
                self.one((&at, &namespace), object_field(&at, raw?)?)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, (at, namespace): (&str, &str), given: GivenTool<'a>) -> Result<(), Unfit> {
        let named = |given: Option<Str<'a>>| given.map(Text::from).filter(|name| !name.is_empty());
        let (kind, name, schema) = match &*given.kind {
            "function" => {
                let name = named(given.name).ok_or_else(|| missing(at, "name"))?;
                let schema = given.parameters.map(RawValue::get).filter(|raw| *raw != "null");
                (CallKind::Function, name, schema.unwrap_or(NO_PARAMETERS))
            }
            "custom" => {
                let name = named(given.name).ok_or_else(|| missing(at, "name"))?;
                (CallKind::Custom, name, INPUT_SCHEMA)
            }
            "local_shell" => (CallKind::LocalShell, "local_shell".into(), LOCAL_SHELL),
            "shell" => (CallKind::Shell, "shell".into(), SHELL),
            "apply_patch" => (CallKind::ApplyPatch, "apply_patch".into(), APPLY_PATCH),
            "tool_search" => {
                let schema = given.parameters.map_or(NO_PARAMETERS, RawValue::get);
                (CallKind::ToolSearch, "tool_search".into(), schema)
            }
            other if other.starts_with("web_search") => {
                self.searches = true;
                return Ok(());
            }
            other => {
                let name = hosted(other);
                if !self.hosted.contains(&name) {
                    self.hosted.push(name);
                }
                return Ok(());
            }
        };
        let description = match kind {
            CallKind::Custom => Some(about(given.description, given.format, at)?),
            CallKind::Function
            | CallKind::LocalShell
            | CallKind::Shell
            | CallKind::ApplyPatch
            | CallKind::ToolSearch => given.description.map(Text::from),
        };
        let strict = flag_field(&format!("{at}.strict"), given.strict.map(RawValue::get))?;
        let Some(sent) = self.declare(kind, namespace, name) else { return Ok(()) };
        let schema = Some(Cow::Borrowed(schema));
        self.offered.push(Tool::Function { name: sent, description, schema, strict, cache: None });
        Ok(())
    }

    /// The name of the function for a tool; `None` if the client offers it twice.
    fn declare(&mut self, kind: CallKind, namespace: &str, name: Text<'a>) -> Option<Text<'a>> {
        let key = (Box::from(namespace), Box::from(&*name));
        if self.sent.contains_key(&key) {
            return None;
        }
        let mut sent = flat(namespace, name.clone());
        if self.taken.contains(&*sent) {
            sent = Cow::Owned(apart(&sent, namespace));
        }
        self.sent.insert(key, (&*sent).into());
        self.taken.insert((&*sent).into());
        if kind != CallKind::Function || sent != name || !namespace.is_empty() {
            let namespace = (!namespace.is_empty()).then(|| namespace.into());
            self.declared.push(Declared {
                sent: (&*sent).into(),
                kind,
                namespace,
                name: (&*name).into(),
            });
        }
        Some(sent)
    }

    /// The name of the function of a call in the history.
    pub(super) fn sent(&self, namespace: &str, name: Text<'a>) -> Text<'a> {
        let key = (Box::from(namespace), Box::from(&*name));
        match self.sent.get(&key) {
            Some(sent) if **sent == *name => name,
            Some(sent) => Cow::Owned(sent.to_string()),
            None => flat(namespace, name),
        }
    }

    /// Reads `tool_choice`, and leaves the tools out that the provider would run.
    pub(super) fn choose(
        &mut self,
        raw: Option<&'a str>,
        request: &mut Request<'a>,
    ) -> Result<(), Unfit> {
        request.tool_choice = raw.map(|raw| self.choice(raw)).transpose()?;
        if request.tool_choice == Some(ToolChoice::Any) && self.offered.is_empty() {
            match self.hosted.first() {
                Some(first) => return Err(not_here(first)),
                None if self.searches => return Err(not_here("tools: web_search")),
                None => {}
            }
        }
        if self.searches && request.tool_choice != Some(ToolChoice::Nothing) {
            request.others.push((Cow::Borrowed("web_search_options"), Cow::Borrowed("{}")));
        }
        request.left_out.append(&mut self.hosted);
        Ok(())
    }

    fn choice(&mut self, raw: &'a str) -> Result<ToolChoice<'a>, Unfit> {
        const FIELD: &str = "tool_choice";
        #[derive(Deserialize)]
        struct Chosen<'a> {
            #[serde(borrow, rename = "type", default)]
            kind: Text<'a>,
            #[serde(borrow)]
            name: Option<Str<'a>>,
            #[serde(borrow)]
            namespace: Option<Str<'a>>,
            #[serde(borrow)]
            mode: Option<Str<'a>>,
            #[serde(borrow)]
            tools: Option<&'a RawValue>,
        }
        match raw {
            "\"auto\"" => return Ok(ToolChoice::Auto),
            "\"none\"" => return Ok(ToolChoice::Nothing),
            "\"required\"" | "\"any\"" => return Ok(ToolChoice::Any),
            _ => {}
        }
        let chosen: Chosen<'a> = object_field(FIELD, raw)?;
        let namespace = chosen.namespace.unwrap_or_default().0;
        match (&*chosen.kind, chosen.name) {
            ("function" | "custom", Some(Str(name))) => {
                Ok(ToolChoice::Named(self.sent(&namespace, name)))
            }
            ("local_shell" | "shell" | "apply_patch" | "tool_search", _) => {
                Ok(ToolChoice::Named(self.sent("", chosen.kind)))
            }
            ("allowed_tools", _) => {
                let mut allowed = BTreeSet::new();
                for one in list_field(
                    FIELD,
                    chosen.tools.map_or("[]", RawValue::get),
                    &Room::of(raw.len()),
                )? {
                    let one: Chosen<'a> = object_field(FIELD, one?)?;
                    let name = one.name.map_or(one.kind, Text::from);
                    allowed.insert(self.sent(&one.namespace.unwrap_or_default().0, name));
                }
                self.offered.retain(|tool| match tool {
                    Tool::Function { name, .. } => allowed.contains(name),
                    Tool::Native(_) => true,
                });
                let is_required = chosen.mode.is_some_and(|mode| mode.0 == "required");
                Ok(if is_required { ToolChoice::Any } else { ToolChoice::Auto })
            }
            ("function" | "custom", None) => Err(missing(FIELD, "name")),
            (other, _) => Err(not_here(&format!("{FIELD}: {}", clean(other, 60)))),
        }
    }
}

/// How a tool that the provider runs is named where it is left out.
fn hosted(kind: &str) -> &'static str {
    let found = HOSTED.iter().find(|(name, _)| kind.starts_with(name));
    found.map_or(UNKNOWN, |(_, name)| name)
}

fn missing(at: &str, name: &str) -> Unfit {
    Unfit::malformed(format!("{at}.{name}"), "it is missing")
}

fn not_here(field: &str) -> Unfit {
    let fix = "let the model choose, or use a deployment whose provider has responses";
    Unfit::unsupported(field, "of another wire", fix)
}

/// The name of the function for a tool of a group.
fn flat<'a>(namespace: &str, name: Text<'a>) -> Text<'a> {
    match namespace {
        "" | BARE => name,
        namespace => Cow::Owned(format!("{namespace}__{name}")),
    }
}

/// A name that no other tool has.
fn apart(sent: &str, namespace: &str) -> String {
    let mut out = format!("{sent}_");
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(namespace.as_bytes());
    hash.update(b"\0");
    hash.update(sent.as_bytes());
    for byte in &hash.finish().as_ref()[..4] {
        // Writing to a string cannot fail.
        let _written = write!(out, "{byte:02x}");
    }
    out
}

/// What a model is told about a tool with a text as its input.
fn about<'a>(
    description: Option<Str<'a>>,
    format: Option<&'a RawValue>,
    at: &str,
) -> Result<Text<'a>, Unfit> {
    let mut out = description.map(|text| text.0.into_owned()).unwrap_or_default();
    if !out.is_empty() {
        out.push_str("\n\n");
    }
    out.push_str("The argument `input` is the raw text.");
    if let Some(format) = format {
        let format: CustomFormat<'_> = object_field(&format!("{at}.format"), format.get())?;
        if let Some(Str(definition)) = format.definition {
            let syntax = format.syntax.map_or(Cow::Borrowed("grammar"), Text::from);
            out.push_str(" It follows this grammar (");
            out.push_str(&syntax);
            out.push_str("):\n");
            out.push_str(&definition);
        }
    }
    Ok(Cow::Owned(out))
}
