//! Reads the items in the input of a response as turns.
//!
//! Called by [`super::read_request`]. Always true: what the model said, thought and called between two turns of the user is one
//! turn, its text before its calls; an item that cannot be content is left out and named, any other is refused by its type.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::read_parts::{Others, parts};
use super::read_tools::Tools;
use super::sealed;
use crate::bytes::id::IdKey;
use crate::bytes::json::{JsonText, Str};
use crate::bytes::seal::Use;
use crate::formats::arguments::{INPUT, as_object, wrapped};
use crate::formats::asked::Compacting;
use crate::formats::errors::clean;
use crate::formats::neutral::{Content, Json, Part, Request, Role, Text, Turn, Unfit, add};
use crate::formats::room::Room;
use crate::formats::signed_call;
use crate::formats::unfit::{field, list_field, object_field};

const INPUT_FIELD: &str = "input";
/// What stands before the summary of an earlier conversation.
const SUMMARY: &str = "The conversation so far, in short:";

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Str<'a>>,
    #[serde(borrow)]
    role: Option<Str<'a>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    call_id: Option<Str<'a>>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    namespace: Option<Str<'a>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<Str<'a>>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    operation: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    encrypted_content: Option<Str<'a>>,
}

/// Types of items about tools that the provider runs.
const OF_HOSTED: &[&str] = &[
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "computer_call",
    "mcp_",
    "program",
];

/// What items are read with.
pub(super) struct Items<'a, 'r> {
    pub(super) room: &'r Room,
    pub(super) seals: Option<&'r IdKey>,
    pub(super) tools: &'r mut Tools<'a>,
    pub(super) request: &'r mut Request<'a>,
    /// The letters that sign calls, by the ids of these.
    pub(super) signed: BTreeMap<String, String>,
    /// Whether an item asks for a summary.
    pub(super) compacting: Compacting,
}

/// The tools that stand in the input.
pub(super) fn tools_within<'a>(
    raw: &'a str,
    tools: &mut Tools<'a>,
    room: &Room,
) -> Result<(), Unfit> {
    // Most inputs have none, and need not be read twice.
    let holds = |word: &str| memchr::memmem::find(raw.as_bytes(), word.as_bytes()).is_some();
    if !raw.starts_with('[') || !(holds("additional_tools") || holds("tool_search_output")) {
        return Ok(());
    }
    for (i, raw) in list_field(INPUT_FIELD, raw, room)?.enumerate() {
        let at = format!("{INPUT_FIELD}[{i}]");
        let item: Item<'a> = object_field(&at, raw?)?;
        let kind = item.kind.as_ref().map(|kind| &*kind.0);
        if let (Some("additional_tools" | "tool_search_output"), Some(raw)) = (kind, item.tools) {
            tools.take(&format!("{at}.tools"), raw.get(), room)?;
        }
    }
    Ok(())
}

impl<'a> Items<'a, '_> {
    /// Takes the field `input`.
    pub(super) fn take(&mut self, raw: &'a str) -> Result<(), Unfit> {
        if raw.starts_with('"') {
            let text = field::<Str<'a>>(INPUT_FIELD, raw)?.0;
            add(&mut self.request.turns, Role::User, vec![Content::Text(text).into()]);
            return Ok(());
        }
        for (i, raw) in list_field(INPUT_FIELD, raw, self.room)?.enumerate() {
            let at = format!("{INPUT_FIELD}[{i}]");
            self.one(object_field(&at, raw?)?, &at)?;
        }
        Ok(())
    }

    fn one(&mut self, mut item: Item<'a>, at: &str) -> Result<(), Unfit> {
        let kind = item.kind.take().map_or(Cow::Borrowed("message"), Text::from);
        match &*kind {
            "message" => self.message(item, at),
            "reasoning" => {
                self.reasoning(item);
                Ok(())
            }
            "additional_tools"
            | "context_compaction"
            | "ghost_snapshot"
            | "configuration_update"
                if item.content.is_none() =>
            {
                Ok(())
            }
            "compaction" | "compaction_summary" => self.compaction(item, at),
            "compaction_trigger" => {
                self.compacting = Compacting::InResponse;
                Ok(())
            }
            "item_reference" => {
                let fix = "nothing is stored; send the item itself";
                Err(Unfit::unsupported(
                    format!("{at}.type: item_reference"),
                    "of another wire",
                    fix,
                ))
            }
            kind if kind.ends_with("_output") => self.result(item, (kind, at)),
            kind if OF_HOSTED.iter().any(|hosted| kind.starts_with(hosted)) => {
                const LEFT_OUT: &str = "input: items of the provider's tools";
                if !self.request.left_out.contains(&LEFT_OUT) {
                    self.request.left_out.push(LEFT_OUT);
                }
                Ok(())
            }
            "function_call" | "custom_tool_call" | "local_shell_call" | "shell_call"
            | "apply_patch_call" | "tool_search_call" => self.call(item, (&kind, at)),
            _ if item.role.is_some() && item.content.is_some() => self.message(item, at),
            other => {
                let field = format!("{at}.type: {}", clean(other, 60));
                Err(Unfit::unsupported(field, "of another wire", "leave it out"))
            }
        }
    }

    fn message(&mut self, item: Item<'a>, at: &str) -> Result<(), Unfit> {
        let content = item.content.map_or("[]", RawValue::get);
        let place = format!("{at}.content");
        let parts = parts(content, &place, (self.room, Others::AreRefused))?;
        match item.role.as_ref().map_or("user", |role| &*role.0) {
            "user" => add(&mut self.request.turns, Role::User, parts),
            "assistant" => self.say(parts),
            "system" | "developer" if self.request.turns.is_empty() => {
                self.request.system.extend(parts);
            }
            "system" | "developer" => add(&mut self.request.turns, Role::System, parts),
            other => {
                let why = format!(
                    "`{}` is no role; use user, assistant, system or developer",
                    clean(other, 60)
                );
                return Err(Unfit::malformed(format!("{at}.role"), why));
            }
        }
        Ok(())
    }

    /// What the model said stands before what it calls in the same turn.
    fn say(&mut self, parts: Vec<Part<'a>>) {
        let is_call = |part: &Part<'_>| matches!(part.content, Content::ToolCall { .. });
        match self.request.turns.last_mut() {
            Some(Turn { role: Role::Assistant, parts: earlier }) => {
                let place = earlier.iter().position(is_call).unwrap_or(earlier.len());
                earlier.splice(place..place, parts);
            }
            _ => self.request.turns.push(Turn { role: Role::Assistant, parts }),
        }
    }

    /// What was sealed here. Reasoning of others has no form in which it could go on.
    fn reasoning(&mut self, item: Item<'a>) {
        let opened = self.seals.zip(item.encrypted_content);
        let Some(opened) = opened.map(|(key, Str(sealed))| sealed::open(key, &sealed)) else {
            return;
        };
        self.signed.extend(opened.calls);
        if !opened.contents.is_empty() {
            let parts = opened.contents.into_iter().map(Part::from).collect();
            add(&mut self.request.turns, Role::Assistant, parts);
        }
    }

    fn call(&mut self, item: Item<'a>, (kind, at): (&str, &str)) -> Result<(), Unfit> {
        let name = match kind {
            "function_call" | "custom_tool_call" => {
                let given = item.name.ok_or_else(|| missing(at, "name"))?;
                let namespace = item.namespace.unwrap_or_default();
                self.tools.sent(&namespace.0, given.0)
            }
            other => {
                let name = other.trim_end_matches("_call").to_owned();
                self.tools.sent("", Cow::Owned(name))
            }
        };
        let input: Json<'a> = match kind {
            "custom_tool_call" => Cow::Owned(wrapped(INPUT, &item.input.unwrap_or_default().0)),
            "local_shell_call" | "shell_call" => {
                as_object(Cow::Borrowed(item.action.map_or("{}", RawValue::get)))
            }
            "apply_patch_call" => {
                let mut json = JsonText::new();
                let operation = item.operation.map_or("{}", RawValue::get);
                json.open(b'{').raw_member("operation", operation).close(b'}');
                Cow::Owned(String::from_utf8(json.into_bytes()).unwrap_or_default())
            }
            _ => match item.arguments.map(RawValue::get) {
                Some(raw) if raw.starts_with('"') => as_object(field::<Str<'a>>(at, raw)?.0),
                Some(raw) => as_object(Cow::Borrowed(raw)),
                None => Cow::Borrowed("{}"),
            },
        };
        let id = item.call_id.or(item.id).ok_or_else(|| missing(at, "call_id"))?;
        let id = match self.signed.get(&*id.0) {
            Some(tail) => Cow::Owned(format!("{}{}{tail}", id.0, signed_call::MARK)),
            None => id.0,
        };
        let content = Content::ToolCall { id, name, input };
        add(&mut self.request.turns, Role::Assistant, vec![content.into()]);
        Ok(())
    }

    fn result(&mut self, item: Item<'a>, (kind, at): (&str, &str)) -> Result<(), Unfit> {
        if kind.starts_with("computer_") || kind.starts_with("mcp_") {
            let field = format!("{at}.type: {}", clean(kind, 60));
            return Err(Unfit::unsupported(field, "of another wire", "leave it out, and its call"));
        }
        let id = item.call_id.or(item.id).ok_or_else(|| missing(at, "call_id"))?.0;
        // The result of a search for tools is the tools.
        let output = item.output.or(item.tools).map_or("\"\"", RawValue::get);
        let parts = parts(output, &format!("{at}.output"), (self.room, Others::AreTexts))?;
        let content = Content::ToolResult { id, parts, is_error: false };
        add(&mut self.request.turns, Role::User, vec![content.into()]);
        Ok(())
    }

    /// The summary that stands for an earlier conversation.
    fn compaction(&mut self, item: Item<'a>, at: &str) -> Result<(), Unfit> {
        let sealed = item.encrypted_content.unwrap_or_default().0;
        let opened = self.seals.and_then(|key| key.open_text(Use::Summary, &sealed));
        let Some(summary) = opened else {
            return Err(Unfit::malformed(
                format!("{at}.encrypted_content"),
                "it was made by another provider or with another master key; leave it out, and send \
                 the conversation or a summary of it",
            ));
        };
        let text = Content::Text(Cow::Owned(format!("{SUMMARY}\n\n{summary}")));
        add(&mut self.request.turns, Role::User, vec![text.into()]);
        Ok(())
    }
}

fn missing(at: &str, name: &str) -> Unfit {
    Unfit::malformed(format!("{at}.{name}"), "it is missing")
}
