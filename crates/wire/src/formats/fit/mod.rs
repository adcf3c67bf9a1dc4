//! Fits a translated request to the deployment that gets it: calls and results, ids, reasoning, the answer's shape.
//!
//! Called by the conversion between the reader of the client's format and the writer of the provider's. Always true: what
//! is left of the request can be written as it is; what was left out and could have mattered is in the notes.

mod begin;
mod names;
mod pairs;
mod search;
mod shape;

use std::borrow::Cow;

use hale_core::provider::{ClientFormat, ThoughtsField, WireFormat};
use hale_core::takes::Efforts;

use self::pairs::Ids;
use super::anthropic::effort;
use super::bedrock;
use super::call_id;
use super::gemini;
use super::neutral::{Content, Part, Request, Role, Thinking, Tool, ToolChoice, Turn, Unfit};
use super::notes::Notes;
use super::order::Order;
use super::thoughts::{Origin, Target};

/// Fits `request`, which was read from that many bytes, to the target of `order`.
///
/// # Errors
/// If something in it cannot be expressed there.
pub(crate) fn fit(
    request: &mut Request<'_>,
    order: &Order<'_>,
    bytes: usize,
) -> Result<Notes, Unfit> {
    let target = Target::of(order);
    let mut notes = Notes::default();
    std::mem::take(&mut request.left_out).into_iter().for_each(|what| notes.leave_out(what));
    notes.asked = request.asked.take();
    let ids = match order.wire() {
        WireFormat::Anthropic => Ids::Shown,
        WireFormat::Converse => {
            notes.mark = target.mark().into();
            Ids::Shown
        }
        WireFormat::OpenAi
        | WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::Responses
        | WireFormat::Ollama => {
            notes.mark = target.mark().into();
            Ids::Undone(call_id::of(order))
        }
    };
    (request.turns, notes.calls) = pairs::pair(std::mem::take(&mut request.turns), ids, bytes)?;
    let is_strict = matches!(order.wire(), WireFormat::Anthropic | WireFormat::Converse);
    leave_out_offers(request, order, &mut notes)?;
    leave_out_pictures_of_the_model(request, order, &mut notes);
    if is_strict {
        begin::fill_silence(request);
        begin::fit(request, order.wire());
    }
    names::fit(request, order.wire(), &mut notes);
    leave_out_limit_of_calls(request, order, &mut notes);
    leave_out_sampling(request, order, &mut notes);
    leave_out_thoughts(request, order, target);
    if is_strict {
        leave_out_blanks(request);
    }
    search::fit(request, order, &mut notes)?;
    shape::fit(request, order, &mut notes)?;
    let wants_claude = target.thinks_as_claude();
    let never_reasons = order.wire() == WireFormat::Converse
        && bedrock::Model(order.upstream_model).never_reasons();
    if never_reasons || order.takes().efforts == Some(Efforts::NOTHING) {
        turn_off(request, &mut notes, None);
    } else if !can_go_on(request, order.wire(), target) {
        stop_thinking(request, order, &mut notes);
    } else if is_forced(request) && (wants_claude || target.demands()) {
        turn_off(request, &mut notes, no_thinking(order.wire()));
    } else if wants_claude && !effort::has_place(request, order) {
        turn_off(request, &mut notes, None);
    }
    Ok(notes)
}

/// Coding agents that speak responses limit their calls in every request: where the model cannot be limited, the wish is left
/// out. Clients of other formats that ask for it are refused by the writers.
fn leave_out_limit_of_calls(request: &mut Request<'_>, order: &Order<'_>, notes: &mut Notes) {
    let has_no_limit = match order.wire() {
        WireFormat::Gemini | WireFormat::Cohere | WireFormat::Ollama => true,
        WireFormat::Converse => !bedrock::Model(order.upstream_model).can_limit_calls(),
        WireFormat::OpenAi | WireFormat::Anthropic | WireFormat::Responses => false,
    };
    if has_no_limit && notes.asked.is_some() && request.parallel_tools == Some(false) {
        request.parallel_tools = None;
        if request.tools.len() > 1 {
            notes.leave_out("parallel_tool_calls");
        }
    }
}

/// Google's coding agent says in every request among how many words the model chooses, which is left out where nothing can be told.
/// Clients of other formats that say so are refused by the writers.
fn leave_out_sampling(request: &mut Request<'_>, order: &Order<'_>, notes: &mut Notes) {
    const NAME: &str = "top_k";
    let has_no_place = matches!(order.wire(), WireFormat::OpenAi | WireFormat::Responses);
    let is_of_google = order.operation.format().of_clients() == ClientFormat::Gemini;
    if has_no_place && is_of_google && request.others.iter().any(|(name, _)| name == NAME) {
        request.others.retain(|(name, _)| name != NAME);
        notes.leave_out("topK");
    }
}

/// Leaves out the reasoning that the target may not see.
fn leave_out_thoughts(request: &mut Request<'_>, order: &Order<'_>, target: Target<'_>) {
    let wire = order.wire();
    let has_place = match wire {
        WireFormat::Anthropic
        | WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::Responses
        | WireFormat::Converse
        | WireFormat::Ollama => true,
        WireFormat::OpenAi => {
            let field = order.deployment.endpoint.provider.quirks.thoughts_field;
            field != ThoughtsField::None && !order.known.has_no_thoughts()
        }
    };
    let stays = |part: &mut Part<'_>| match &mut part.content {
        Content::Thinking { signature, .. } => {
            let origin = Origin::of(signature);
            let is_signed = matches!(origin, Origin::Signed | Origin::Google);
            let stays = has_place && target.takes(origin);
            // A mark is for the way back only.
            if !is_signed {
                *signature = "".into();
            }
            stays
        }
        Content::Redacted(_) => wire == WireFormat::Anthropic || target.thinks_as_claude(),
        Content::Text(_)
        | Content::Image(_)
        | Content::Media(_)
        | Content::Document { .. }
        | Content::ToolCall { .. }
        | Content::ToolResult { .. }
        | Content::Refusal(_) => true,
    };
    for turn in &mut request.turns {
        turn.parts.retain_mut(stays);
    }
}

/// Leaves out texts without a word, which other models write before their calls, and white space at the end: this wire
/// refuses both.
fn leave_out_blanks(request: &mut Request<'_>) {
    let is_blank = |part: &Part<'_>| part.content.is_blank();
    for turn in &mut request.turns {
        turn.parts.retain(|part| !is_blank(part));
    }
    // The model goes on where the last turn ends, and this wire refuses white space there.
    if let Some(Turn { role: Role::Assistant, parts }) = request.turns.last_mut()
        && let Some(Part { content: Content::Text(text) | Content::Refusal(text), .. }) =
            parts.last_mut()
    {
        let length = text.trim_end().len();
        match text {
            Cow::Borrowed(text) => *text = &text[..length],
            Cow::Owned(text) => text.truncate(length),
        }
    }
}

/// Leaves out tools of another provider that the model need not use.
fn leave_out_offers(
    request: &mut Request<'_>,
    order: &Order<'_>,
    notes: &mut Notes,
) -> Result<(), Unfit> {
    let wire = order.wire();
    let foreign = |tool: &Tool<'_>| match tool {
        Tool::Native(raw) => match wire {
            WireFormat::Gemini => !gemini::tools::is_own(raw),
            WireFormat::Converse => {
                !bedrock::tools::is_own(raw, bedrock::Model(order.upstream_model))
            }
            WireFormat::OpenAi
            | WireFormat::Anthropic
            | WireFormat::Cohere
            | WireFormat::Responses
            | WireFormat::Ollama => true,
        },
        Tool::Function { .. } => false,
    };
    let Some(first) = request.tools.iter().position(foreign) else { return Ok(()) };
    if wire == WireFormat::Anthropic {
        return Ok(());
    }
    let has = |wanted: &dyn Fn(&str) -> bool| {
        request.tools.iter().any(|tool| match tool {
            Tool::Function { name, .. } => wanted(name),
            Tool::Native(_) => false,
        })
    };
    let can_do_without = match &request.tool_choice {
        None | Some(ToolChoice::Auto | ToolChoice::Nothing) => true,
        Some(ToolChoice::Any) => has(&|_| true),
        Some(ToolChoice::Named(chosen)) => has(&|name| name == chosen),
    };
    if !can_do_without {
        return Err(Unfit::unsupported(
            format!("tools[{first}]"),
            &order.deployment.endpoint.provider.name,
            "only tools that the client runs can be",
        ));
    }
    request.tools.retain(|tool| !foreign(tool));
    notes.leave_out("tools");
    Ok(())
}

/// Pictures that the model made are in the history of models that make some. Others refuse them there.
fn leave_out_pictures_of_the_model(
    request: &mut Request<'_>,
    order: &Order<'_>,
    notes: &mut Notes,
) {
    if order.wire() == WireFormat::Gemini {
        return;
    }
    let is_picture = |part: &Part<'_>| matches!(part.content, Content::Image(_));
    for turn in request.turns.iter_mut().filter(|turn| turn.role == Role::Assistant) {
        if turn.parts.iter().any(is_picture) {
            turn.parts.retain(|part| !is_picture(part));
            notes.leave_out("messages.images");
        }
    }
}

/// Whether the model can go on thinking: its last calls have the reasoning that the target demands.
fn can_go_on(request: &Request<'_>, wire: WireFormat, target: Target<'_>) -> bool {
    match wire {
        WireFormat::Anthropic | WireFormat::Converse if target.thinks_as_claude() => {
            let last = request.turns.iter().rev().find(|turn| turn.role == Role::Assistant);
            last.is_none_or(has_reason)
        }
        WireFormat::OpenAi if target.demands() => {
            let says = |part: &Part<'_>| !matches!(part.content, Content::ToolResult { .. });
            let is_asked =
                |turn: &&Turn<'_>| turn.role == Role::User && turn.parts.iter().any(says);
            // The last turn of the model counts in any case, because the user may have spoken in the middle of a loop.
            let last = request.turns.iter().rposition(|turn| turn.role == Role::Assistant);
            let Some(last) = last else { return true };
            has_reason(&request.turns[last])
                && request.turns.iter().rev().take_while(|turn| !is_asked(turn)).all(has_reason)
        }
        WireFormat::OpenAi
        | WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::Anthropic
        | WireFormat::Responses
        | WireFormat::Converse
        | WireFormat::Ollama => true,
    }
}

/// Whether a turn has no call, or reasoning before its first one.
fn has_reason(turn: &Turn<'_>) -> bool {
    let is_decisive = |part: &&Part<'_>| {
        matches!(
            part.content,
            Content::ToolCall { .. } | Content::Thinking { .. } | Content::Redacted(_)
        )
    };
    let decisive = turn.parts.iter().find(is_decisive);
    !decisive.is_some_and(|part| matches!(part.content, Content::ToolCall { .. }))
}

/// Whether the model must call a tool, which these models cannot do while they think.
fn is_forced(request: &Request<'_>) -> bool {
    let must = matches!(&request.tool_choice, Some(ToolChoice::Any | ToolChoice::Named(_)));
    must && !request.tools.is_empty()
}

/// Thinking is advice: the request goes without, where the target would refuse it.
fn stop_thinking(request: &mut Request<'_>, order: &Order<'_>, notes: &mut Notes) {
    match order.wire() {
        // Adaptive thinking demands nothing.
        WireFormat::Anthropic | WireFormat::Converse if !effort::has_budget(request, order) => {}
        wire => turn_off(request, notes, no_thinking(wire)),
    }
}

/// What stands for no thinking on a wire.
fn no_thinking(wire: WireFormat) -> Option<Thinking<'static>> {
    match wire {
        WireFormat::Anthropic | WireFormat::Converse => None,
        WireFormat::OpenAi
        | WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::Responses
        | WireFormat::Ollama => Some(Thinking::Off),
    }
}

/// Sets `thinking` to what stands for none, and says what the client asked for.
fn turn_off<'a>(request: &mut Request<'a>, notes: &mut Notes, thinking: Option<Thinking<'a>>) {
    let was_asked = match &request.thinking {
        None | Some(Thinking::Off) => None,
        Some(Thinking::Adaptive | Thinking::Budget(_) | Thinking::Native(_)) => Some("thinking"),
    };
    let effort = request.effort.take().filter(|effort| effort != "none");
    request.thinking = thinking;
    if let Some(what) = was_asked.or(effort.map(|_| "reasoning_effort")) {
        notes.leave_out(what);
    }
    // An edit of thoughts is refused where there are none.
    let is_about_thoughts =
        |raw: &str| memchr::memmem::find(raw.as_bytes(), b"clear_thinking").is_some();
    request.others.retain(|(name, raw)| !(name == "context_management" && is_about_thoughts(raw)));
}
