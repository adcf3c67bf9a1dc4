//! Where marks of the cache stand in a request of this format.
//!
//! Called by the writers of messages and tools. Always true: there are at most four marks, of which one is behind the tools and
//! one behind the instructions, and the last ones of the messages; a model without a cache gets none.

use super::model::{self, Model};
use crate::bytes::json::JsonText;
use crate::formats::neutral::{Content, Part, Request, Tool};
use crate::formats::order::Order;

/// How many marks a request may have. Source:
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>.
const MARKS_MAX: usize = 4;

/// The marks of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Points {
    /// How many marks of the messages are still to be left out.
    surplus: usize,
    is_on: bool,
    may_last: bool,
}

impl Points {
    /// Those of `request`.
    pub(super) fn of(request: &Request<'_>, order: &Order<'_>) -> Points {
        let in_turns = request.turns.iter().flat_map(|turn| &turn.parts).filter(|p| is_marked(p));
        let in_turns = in_turns.count();
        let in_system = request.system.iter().any(is_marked);
        let in_tools = request.tools.iter().any(|tool| mark_of(tool).is_some());
        let all = in_turns + usize::from(in_system) + usize::from(in_tools);
        if all == 0 || !model::has_cache(order) {
            return Points::default();
        }
        let may_last = Model(order.upstream_model).caches_for_an_hour();
        Points { surplus: all.saturating_sub(MARKS_MAX), is_on: true, may_last }
    }

    /// Writes the mark of a part of a message, if it has one that counts.
    pub(super) fn behind(&mut self, json: &mut JsonText, part: &Part<'_>) {
        let Some(mark) = part.cache.as_deref().filter(|_| self.is_on && is_marked(part)) else {
            return;
        };
        match self.surplus.checked_sub(1) {
            Some(left) => self.surplus = left,
            None => self.write(json, mark),
        }
    }

    /// Writes that of the instructions or of the tools: the last of theirs.
    pub(super) fn write(&self, json: &mut JsonText, mark: &str) {
        if !self.is_on {
            return;
        }
        json.open(b'{').key("cachePoint").open(b'{').member("type", "default");
        if self.may_last && mark.contains("\"1h\"") {
            json.member("ttl", "1h");
        }
        json.close(b'}').close(b'}');
    }
}

/// Whether a part has a mark, and a place for it: none stands behind reasoning.
fn is_marked(part: &Part<'_>) -> bool {
    let has_place = !matches!(part.content, Content::Thinking { .. } | Content::Redacted(_))
        && !part.content.is_blank();
    part.cache.is_some() && has_place
}

/// The mark of a tool.
pub(super) fn mark_of<'t>(tool: &'t Tool<'_>) -> Option<&'t str> {
    match tool {
        Tool::Function { cache, .. } => cache.as_deref(),
        Tool::Native(_) => None,
    }
}
