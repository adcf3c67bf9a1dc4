//! A search of the web that a client of another format offers the model: the target's own, or none.
//!
//! Called by [`super::fit`]. Always true: it is an offer. Where the target has no such tool, it is left out and named; a client of
//! Google's that offers nothing else is refused, because the search is what it asks for.

use std::borrow::Cow;

use hale_core::provider::{ClientFormat, WireFormat};

use crate::formats::neutral::{Request, Tool, Unfit};
use crate::formats::notes::Notes;
use crate::formats::order::Order;
use crate::formats::{bedrock, gemini};

/// The parameter that asks for it in the neutral form.
const SEARCH: &str = "web_search_options";
/// Anthropic's. Source: <https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool>.
const OF_CLAUDE: &str = r#"{"type":"web_search_20250305","name":"web_search"}"#;

/// Who searches.
enum Searcher {
    /// The writer of the wire asks for it.
    Writer,
    /// The provider, by a tool of its own.
    Tool(&'static str),
    /// Nothing.
    Nothing,
}

/// Fits the search that a client of Google's format or of responses offers. Clients of chats say by the same parameter that they
/// want one, and are refused by the writers.
pub(super) fn fit(
    request: &mut Request<'_>,
    order: &Order<'_>,
    notes: &mut Notes,
) -> Result<(), Unfit> {
    // Coding agents that speak responses offer it in every request.
    let (needs_it, name) = match order.operation.format().of_clients() {
        ClientFormat::Gemini => (true, "tools"),
        ClientFormat::Responses => (false, "tools: web_search"),
        ClientFormat::OpenAi | ClientFormat::Anthropic => return Ok(()),
    };
    if !request.others.iter().any(|(name, _)| name == SEARCH) {
        return Ok(());
    }
    let functions = request.tools.iter().any(|tool| matches!(tool, Tool::Function { .. }));
    match searcher(order, functions) {
        Searcher::Writer => return Ok(()),
        Searcher::Tool(raw) => request.tools.push(Tool::Native(Cow::Borrowed(raw))),
        Searcher::Nothing if needs_it && !functions => {
            let provider = &order.deployment.endpoint.provider.name;
            let fix = "leave it out, or use a model of Google's, Anthropic's or Amazon's Nova";
            return Err(Unfit::unsupported(SEARCH, provider, fix));
        }
        Searcher::Nothing => notes.leave_out(name),
    }
    request.others.retain(|(name, _)| name != SEARCH);
    Ok(())
}

fn searcher(order: &Order<'_>, functions: bool) -> Searcher {
    match order.wire() {
        WireFormat::Gemini if !functions || gemini::Model(order.upstream_model).is_newer() => {
            Searcher::Writer
        }
        WireFormat::Converse if bedrock::Model(order.upstream_model).is_nova() => Searcher::Writer,
        WireFormat::Anthropic if &*order.deployment.endpoint.provider.name == "anthropic" => {
            Searcher::Tool(OF_CLAUDE)
        }
        WireFormat::OpenAi
        | WireFormat::Anthropic
        | WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::Responses
        | WireFormat::Converse
        | WireFormat::Ollama => Searcher::Nothing,
    }
}
