//! The response as an object, at any time of its stream.
//!
//! Called by [`super::stream_write`]. Always true: it repeats the request, and has the items that are done.

use hale_core::usage::Usage;

use super::events::Events;
use super::read_request::echo_of_nothing;
use crate::bytes::edit::{self, Edit, json_string};
use crate::bytes::json::JsonText;
use crate::bytes::object;
use crate::formats::asked::Compacting;
use crate::formats::errors::ErrorReply;
use crate::formats::neutral::Stop;
use crate::formats::view::View;

/// The state of a response.
#[derive(Clone, Copy, Debug)]
pub(super) enum Status<'r> {
    InProgress,
    Completed,
    /// Why.
    Incomplete(&'static str),
    /// The code and the message of the error.
    Failed(&'static str, &'r str),
}

impl Status<'_> {
    /// That of an answer that ended so.
    pub(super) fn of(stop: Option<&Stop>) -> Status<'static> {
        match stop {
            Some(Stop::Length | Stop::ContextWindow) => Status::Incomplete("max_output_tokens"),
            Some(Stop::Refusal) => Status::Incomplete("content_filter"),
            None
            | Some(Stop::End | Stop::Sequence | Stop::Tools | Stop::Pause | Stop::Other(_)) => {
                Status::Completed
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Incomplete(_) => "incomplete",
            Status::Failed(..) => "failed",
        }
    }
}

/// Writes the response as it is now.
pub(super) fn write(
    json: &mut JsonText,
    (view, status): (&View, Status<'_>),
    events: &Events,
    usage: Option<Usage>,
) {
    if let Some(begun) = events.begun() {
        json.raw(&gone_on(begun, status, events, usage));
        return;
    }
    let id = view.issuer.as_ref().map(|issuer| issuer.translated(view.serial));
    let id = id.unwrap_or_else(|| format!("resp_{:032x}", view.serial));
    if view.asked().is_some_and(|asked| asked.compacting == Compacting::Alone) {
        json.open(b'{').member("id", &id).member("object", "response.compaction");
        json.count_member("created_at", view.created).key("output").open(b'[');
        events.write_items(json);
        json.close(b']').key("usage");
        write_usage(json, &usage.unwrap_or_default());
        json.close(b'}');
        return;
    }
    json.open(b'{').member("id", &id).member("object", "response");
    json.count_member("created_at", view.created).member("status", status.name());
    json.raw_member("background", "false").key("error");
    match status {
        Status::Failed(code, message) => {
            json.open(b'{').member("code", code).member("message", message).close(b'}');
        }
        Status::InProgress | Status::Completed | Status::Incomplete(_) => {
            json.raw("null");
        }
    }
    json.key("incomplete_details");
    match status {
        Status::Incomplete(reason) => {
            json.open(b'{').member("reason", reason).close(b'}');
        }
        Status::InProgress | Status::Completed | Status::Failed(..) => {
            json.raw("null");
        }
    }
    json.raw_member("model", &view.model_json).key("output").open(b'[');
    events.write_items(json);
    json.close(b']');
    match view.kept.as_ref().and_then(|kept| kept.previous.as_deref()) {
        Some(previous) => json.member("previous_response_id", previous),
        None => json.raw_member("previous_response_id", "null"),
    };
    json.raw_member("store", if view.kept.is_some() { "true" } else { "false" });
    match view.asked() {
        Some(asked) => json.raw(&asked.echo),
        None => json.raw(&echo_of_nothing()),
    };
    json.key("usage");
    match usage.filter(|_| !matches!(status, Status::InProgress)) {
        Some(usage) => write_usage(json, &usage),
        None => {
            json.raw("null");
        }
    }
    json.close(b'}');
}

/// The response that another stream has begun, as it is now.
fn gone_on(begun: &str, status: Status<'_>, events: &Events, usage: Option<Usage>) -> String {
    let value = |fill: &dyn Fn(&mut JsonText)| {
        let mut json = JsonText::default();
        fill(&mut json);
        String::from_utf8(json.into_bytes()).unwrap_or_default().into()
    };
    let error = value(&|json| match status {
        Status::Failed(code, message) => {
            json.open(b'{').member("code", code).member("message", message).close(b'}');
        }
        Status::InProgress | Status::Completed | Status::Incomplete(_) => {
            json.raw("null");
        }
    });
    let details = value(&|json| match status {
        Status::Incomplete(reason) => {
            json.open(b'{').member("reason", reason).close(b'}');
        }
        Status::InProgress | Status::Completed | Status::Failed(..) => {
            json.raw("null");
        }
    });
    let output = value(&|json| {
        json.open(b'[');
        events.write_items(json);
        json.close(b']');
    });
    let counts = value(&|json| match usage {
        Some(usage) => write_usage(json, &usage),
        None => {
            json.raw("null");
        }
    });
    let edits = [
        Edit::Set("status", json_string(status.name()).into()),
        Edit::Set("error", error),
        Edit::Set("incomplete_details", details),
        Edit::Set("output", output),
        Edit::Set("usage", counts),
    ];
    let members = object::members(begun.as_bytes()).unwrap_or_default();
    String::from_utf8(edit::apply(begun.as_bytes(), &members, &edits).into()).unwrap_or_default()
}

fn write_usage(json: &mut JsonText, usage: &Usage) {
    json.open(b'{').count_member("input_tokens", usage.input).key("input_tokens_details");
    json.open(b'{').count_member("cached_tokens", usage.cached_input);
    json.count_member("cache_write_tokens", usage.cache_creation).close(b'}');
    json.count_member("output_tokens", usage.output).key("output_tokens_details").open(b'{');
    json.count_member("reasoning_tokens", usage.reasoning).close(b'}');
    json.count_member("total_tokens", usage.input.saturating_add(usage.output)).close(b'}');
}

/// The code of a failure, by which clients decide whether to ask again.
pub(super) fn code(reply: &ErrorReply) -> &'static str {
    const KNOWN: [&str; 5] = [
        "context_length_exceeded",
        "insufficient_quota",
        "invalid_prompt",
        "rate_limit_exceeded",
        "server_is_overloaded",
    ];
    let given = reply.provider_code.as_deref().unwrap_or_default();
    let known = KNOWN.into_iter().find(|known| *known == given || *known == reply.reason);
    known.unwrap_or(match (reply.reason, &*reply.code) {
        ("context_window", _) => "context_length_exceeded",
        ("quota", _) => "insufficient_quota",
        (_, "429") => "rate_limit_exceeded",
        (_, "503" | "529") => "server_is_overloaded",
        (_, "400") => "invalid_prompt",
        _ => "server_error",
    })
}
