//! A deployment's parameters in a request that was read from a format with other names for them.
//!
//! Called by [`super::prepare`] for Google's clients. Always true: the config has OpenAI's names; what the client says counts
//! before what the config says, and what the config drops is not sent.

use crate::bytes::edit::Edit;
use crate::formats::neutral::{Request, Unfit};
use crate::formats::openai;
use crate::formats::room::Room;

/// Completes `request` by `edits`, which are made of the deployment's parameters.
pub(super) fn complete<'p>(
    request: &mut Request<'p>,
    edits: &'p [Edit<'p>],
    room: &Room,
) -> Result<(), Unfit> {
    for edit in edits {
        match edit {
            Edit::Remove(name) => drop_parameter(request, name),
            Edit::Default(..) | Edit::Set(..) | Edit::Rename(..) => {}
        }
    }
    let given = edits.iter().filter_map(|edit| match edit {
        Edit::Default(name, raw) => Some(((*name).into(), *raw)),
        Edit::Set(name, raw) => Some(((*name).into(), &**raw)),
        Edit::Remove(_) | Edit::Rename(..) => None,
    });
    let config = openai::read_request::read(given, room)?;
    let thinks = request.thinking.is_some() || request.effort.is_some();
    if !thinks {
        (request.thinking, request.effort) = (config.thinking, config.effort);
    }
    if request.tools.is_empty() {
        (request.tools, request.tool_choice) = (config.tools, config.tool_choice);
    }
    if request.stop.is_empty() {
        request.stop = config.stop;
    }
    request.max_tokens = request.max_tokens.take().or(config.max_tokens);
    request.temperature = request.temperature.take().or(config.temperature);
    request.top_p = request.top_p.take().or(config.top_p);
    request.user = request.user.take().or(config.user);
    request.format = request.format.take().or(config.format);
    request.parallel_tools = request.parallel_tools.or(config.parallel_tools);
    for (name, raw) in config.others {
        if !request.others.iter().any(|(given, _)| *given == name) {
            request.others.push((name, raw));
        }
    }
    Ok(())
}

/// Leaves out the parameter that OpenAI's format calls so.
fn drop_parameter(request: &mut Request<'_>, name: &str) {
    match name {
        "max_tokens" | "max_completion_tokens" => request.max_tokens = None,
        "temperature" => request.temperature = None,
        "top_p" => request.top_p = None,
        "stop" => request.stop.clear(),
        "user" => request.user = None,
        "reasoning_effort" => request.effort = None,
        "thinking" => request.thinking = None,
        "response_format" => request.format = None,
        "tools" => request.tools.clear(),
        "tool_choice" => request.tool_choice = None,
        "parallel_tool_calls" => request.parallel_tools = None,
        name => request.others.retain(|(given, _)| given != name),
    }
}
