//! The items of a response as they are written: while they begin, and when they are complete.
//!
//! Called by the writers of items. Always true: an item has the same id in all that is written of it.

use crate::bytes::elements::elements;
use crate::bytes::json::{JsonText, Str};
use crate::bytes::members::texts;
use crate::formats::arguments::{INPUT, INVALID};
use crate::formats::asked::{Asked, CallKind, Declared};

/// How an item ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is all of it.
    Complete,
    /// The answer was cut.
    Cut,
}

impl End {
    pub(super) const fn status(self) -> &'static str {
        match self {
            End::Complete => "completed",
            End::Cut => "incomplete",
        }
    }
}

/// What a call is to the client.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) kind: CallKind,
    pub(super) namespace: Option<Box<str>>,
    pub(super) name: Box<str>,
}

impl Called {
    /// A call of the function `name`.
    pub(super) fn of(asked: Option<&Asked>, name: &str) -> Called {
        match asked.and_then(|asked| asked.declared(name)) {
            Some(Declared { kind, namespace, name, .. }) => {
                Called { kind: *kind, namespace: namespace.clone(), name: name.clone() }
            }
            None => Called { kind: CallKind::Function, namespace: None, name: name.into() },
        }
    }

    /// What the ids of such items begin with.
    pub(super) fn prefix(&self) -> &'static str {
        match self.kind {
            CallKind::Function => "fc",
            CallKind::Custom => "ctc",
            CallKind::LocalShell => "lsh",
            CallKind::Shell => "sh",
            CallKind::ApplyPatch => "apc",
            CallKind::ToolSearch => "tsc",
        }
    }

    /// The item. `input` is the arguments as the model wrote them.
    pub(super) fn write(
        &self,
        json: &mut JsonText,
        (id, call_id): (&str, &str),
        (input, status): (&str, &str),
    ) {
        let kind = match self.kind {
            CallKind::Function => "function_call",
            CallKind::Custom => "custom_tool_call",
            CallKind::LocalShell => "local_shell_call",
            CallKind::Shell => "shell_call",
            CallKind::ApplyPatch => "apply_patch_call",
            CallKind::ToolSearch => "tool_search_call",
        };
        json.open(b'{').member("id", id).member("type", kind).member("status", status);
        json.member("call_id", call_id);
        match self.kind {
            CallKind::Function | CallKind::Custom => {
                json.member("name", &self.name);
                if let Some(namespace) = &self.namespace {
                    json.member("namespace", namespace);
                }
                let field = if self.kind == CallKind::Function { "arguments" } else { "input" };
                json.member(field, input);
            }
            CallKind::LocalShell => {
                json.key("action").open(b'{').member("type", "exec");
                let names = ["command", "env", "working_directory", "timeout_ms"];
                let found = texts(input, names).unwrap_or_default();
                let absent = ["[]", "{}", "null", "null"];
                for ((name, found), absent) in names.iter().zip(found).zip(absent) {
                    json.raw_member(name, found.unwrap_or(absent));
                }
                json.close(b'}');
            }
            CallKind::Shell => {
                json.key("action").open(b'{');
                let names = ["commands", "timeout_ms", "max_output_length"];
                let found = texts(input, names).unwrap_or_default();
                for ((name, found), absent) in names.iter().zip(found).zip(["[]", "null", "null"]) {
                    json.raw_member(name, found.unwrap_or(absent));
                }
                json.close(b'}');
            }
            CallKind::ApplyPatch => {
                let operation = texts(input, ["operation"]).ok().and_then(|[found]| found);
                json.raw_member("operation", operation.unwrap_or("{}"));
            }
            CallKind::ToolSearch => {
                json.member("execution", "client");
                let is_object = input.starts_with('{') && elements(&format!("[{input}]")).is_some();
                json.raw_member("arguments", if is_object { input } else { "{}" });
            }
        }
        json.close(b'}');
    }

    /// The arguments of a complete call as the client gets them: the text of a tool that takes one.
    pub(super) fn input(&self, arguments: String) -> String {
        let member = |name| {
            let found = texts(&arguments, [name]).ok().and_then(|[found]| found)?;
            serde_json::from_str::<Str<'_>>(found).ok().map(|text| text.0.into_owned())
        };
        let text = match self.kind {
            CallKind::Custom => member(INPUT).or_else(|| member(INVALID)),
            CallKind::Function => {
                // What the model wrote, if it was no object.
                arguments.contains(INVALID).then(|| member(INVALID)).flatten()
            }
            CallKind::LocalShell
            | CallKind::Shell
            | CallKind::ApplyPatch
            | CallKind::ToolSearch => None,
        };
        match text {
            Some(text) => text,
            None if arguments.trim().is_empty() && self.kind != CallKind::Custom => "{}".to_owned(),
            None => arguments,
        }
    }
}
