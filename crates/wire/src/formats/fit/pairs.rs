//! Pairs calls with their results, and gives both the id that the target takes.
//!
//! Called by [`super::fit`]. Always true: behind each call of the model stands exactly one result, before everything else
//! of the next turn; no result is lost.

use std::borrow::Cow;
use std::collections::HashMap;

use hale_core::provider::CallIds;

use crate::formats::call_id::{self, Calls, NOT_RUN, ResultRoom};
use crate::formats::errors::clean;
use crate::formats::neutral::{Content, Part, Role, Text, Turn, Unfit};
use crate::formats::signed_call;

/// Whose ids a conversation has, and whose it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// Those of a wire that takes any, towards one that does not.
    Shown,
    /// Those that a client of the strict wire was shown, towards the wire that made them, whose provider takes these.
    Undone(CallIds),
}

/// A call that waits for its result.
struct Open<'a> {
    /// The id that the target gets.
    sent: Text<'a>,
    /// The place of its result among the results of the turn.
    result: Option<usize>,
}

/// The open calls that have one id, as the client wrote it.
#[derive(Default)]
struct Same {
    /// Their places among the open calls.
    calls: Vec<usize>,
    /// How many of them have a result.
    answered: usize,
}

struct Pairing<'a> {
    ids: Ids,
    /// What is left for results that are added.
    room: ResultRoom,
    calls: Calls,
    turns: Vec<Turn<'a>>,
    open: Vec<Open<'a>>,
    /// The open calls by their ids.
    by_id: HashMap<Text<'a>, Same>,
    /// Instructions between calls and their results.
    held: Vec<Turn<'a>>,
}

/// The `turns` with calls and results in pairs, and all calls by the ids of the other wire.
///
/// # Errors
/// If there is a result without a call.
pub(super) fn pair<'a>(
    turns: Vec<Turn<'a>>,
    ids: Ids,
    bytes: usize,
) -> Result<(Vec<Turn<'a>>, Calls), Unfit> {
    let is_of_tools = |part: &Part<'_>| {
        matches!(part.content, Content::ToolCall { .. } | Content::ToolResult { .. })
    };
    if !turns.iter().any(|turn| turn.parts.iter().any(is_of_tools)) {
        return Ok((turns, Calls::default()));
    }
    let mut pairing = Pairing {
        ids,
        room: ResultRoom::of(bytes),
        calls: Calls::default(),
        turns: Vec::with_capacity(turns.len() + 1),
        open: Vec::new(),
        by_id: HashMap::new(),
        held: Vec::new(),
    };
    for turn in turns {
        match turn.role {
            Role::Assistant => pairing.model(turn)?,
            Role::User => pairing.user(turn)?,
            Role::System if pairing.open.is_empty() => pairing.turns.push(turn),
            Role::System => pairing.held.push(turn),
        }
    }
    pairing.close(Vec::new())?;
    Ok((pairing.turns, pairing.calls))
}

impl<'a> Pairing<'a> {
    fn model(&mut self, mut turn: Turn<'a>) -> Result<(), Unfit> {
        self.close(Vec::new())?;
        for part in &mut turn.parts {
            let Content::ToolCall { id, .. } = &mut part.content else { continue };
            let given = std::mem::take(id);
            let tail = signed_call::split(&given).1.map(str::to_owned);
            let given = signed_call::own(given);
            let sent = match self.ids {
                Ids::Shown => self.calls.show(given.clone()),
                Ids::Undone(taken) => {
                    let sent = call_id::original(given.clone());
                    self.calls.add(&sent);
                    call_id::taken(sent, taken)
                }
            };
            *id = match (self.ids, tail) {
                (Ids::Undone(_), Some(tail)) => {
                    Cow::Owned(format!("{sent}{}{tail}", signed_call::MARK))
                }
                (Ids::Undone(_), None) | (Ids::Shown, _) => sent.clone(),
            };
            self.by_id.entry(given).or_default().calls.push(self.open.len());
            self.open.push(Open { sent, result: None });
        }
        self.turns.push(turn);
        Ok(())
    }

    fn user(&mut self, turn: Turn<'a>) -> Result<(), Unfit> {
        let mut results: Vec<Part<'a>> = Vec::new();
        let mut tail = Vec::with_capacity(turn.parts.len());
        for part in turn.parts {
            let cache = part.cache;
            match part.content {
                Content::ToolResult { id, parts, is_error } => {
                    let late = self.result(id, parts, &mut results, (is_error, cache))?;
                    tail.extend(late);
                }
                content => tail.push(Part { content, cache }),
            }
        }
        let had_results = !results.is_empty();
        let was_open = !self.open.is_empty();
        if was_open && self.held.is_empty() {
            self.answer_the_others(&mut results)?;
            results.append(&mut tail);
            self.turns.push(Turn { role: Role::User, parts: results });
            return Ok(());
        }
        self.close(results)?;
        if !(tail.is_empty() && had_results) {
            self.turns.push(Turn { role: Role::User, parts: tail });
        }
        Ok(())
    }

    /// Takes the result of the call `id`; returns it as other content if that call was answered long ago.
    fn result(
        &mut self,
        id: Text<'a>,
        mut parts: Vec<Part<'a>>,
        results: &mut Vec<Part<'a>>,
        (is_error, cache): (bool, Option<Text<'a>>),
    ) -> Result<Vec<Part<'a>>, Unfit> {
        let id = signed_call::own(id);
        let same = self.by_id.get_mut(&id);
        let first = same.as_ref().and_then(|same| self.open.get(*same.calls.first()?)?.result);
        let next = same.and_then(|same| {
            let next = *same.calls.get(same.answered)?;
            same.answered += 1;
            Some(next)
        });
        if let Some(open) = next.and_then(|next| self.open.get_mut(next)) {
            open.result = Some(results.len());
            let content = Content::ToolResult { id: open.sent.clone(), parts, is_error };
            results.push(Part { content, cache });
            return Ok(Vec::new());
        }
        // A second result of one call belongs to the first.
        let place = first.and_then(|at| results.get_mut(at)).map(|part| &mut part.content);
        if let Some(Content::ToolResult { parts: earlier, .. }) = place {
            earlier.append(&mut parts);
            return Ok(Vec::new());
        }
        let original = match self.ids {
            Ids::Shown => Cow::Borrowed(&*id),
            Ids::Undone(_) => call_id::original(Cow::Borrowed(&*id)),
        };
        if !self.calls.has(&original) {
            return Err(orphan(&id));
        }
        let head = format!("The result of the earlier tool call {}:", clean(&original, 64));
        let head = Part::from(Content::Text(Cow::Owned(head)));
        Ok(std::iter::once(head).chain(parts).collect())
    }

    /// Adds a result for each open call that has none; then no call is open.
    fn answer_the_others(&mut self, results: &mut Vec<Part<'a>>) -> Result<(), Unfit> {
        self.by_id.clear();
        for open in self.open.drain(..).filter(|open| open.result.is_none()) {
            if !self.room.take(open.sent.len()) {
                return Err(Unfit::malformed(
                    "messages",
                    "too many calls of tools have no result; send their results",
                ));
            }
            let parts = vec![Part::from(Content::Text(Cow::Borrowed(NOT_RUN)))];
            let content = Content::ToolResult { id: open.sent, parts, is_error: true };
            results.push(Part::from(content));
        }
        Ok(())
    }

    /// Ends the calls that are open, with these results, and lets out what was held.
    fn close(&mut self, mut results: Vec<Part<'a>>) -> Result<(), Unfit> {
        self.answer_the_others(&mut results)?;
        if !results.is_empty() {
            self.turns.push(Turn { role: Role::User, parts: results });
        }
        self.turns.append(&mut self.held);
        Ok(())
    }
}

fn orphan(id: &str) -> Unfit {
    let id = clean(id, 64);
    Unfit::malformed(
        format!("messages: the result of tool call {id}"),
        "no call before it has this id; send the model's message with the call, or leave the result out",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &'static str) -> Part<'static> {
        Content::ToolCall { id: id.into(), name: "f".into(), input: "{}".into() }.into()
    }

    fn text(text: &'static str) -> Part<'static> {
        Content::Text(text.into()).into()
    }

    fn result(id: &'static str, said: &'static str) -> Part<'static> {
        Content::ToolResult { id: id.into(), parts: vec![text(said)], is_error: false }.into()
    }

    /// The turns in short: `u` for the user, `a` for the model, `s` for instructions.
    fn short(turns: &[Turn<'_>]) -> Vec<String> {
        let texts = |parts: &[Part<'_>]| {
            let texts = parts.iter().map(|part| match &part.content {
                Content::Text(text) => text.to_string(),
                _ => "?".to_owned(),
            });
            texts.collect::<Vec<_>>().join("+")
        };
        let part = |part: &Part<'_>| match &part.content {
            Content::ToolCall { id, .. } => format!("call {id}"),
            Content::ToolResult { id, parts, is_error } => {
                format!("{id}={}{}", texts(parts), if *is_error { "!" } else { "" })
            }
            _ => texts(std::slice::from_ref(part)),
        };
        let turn = |turn: &Turn<'_>| {
            let role = match turn.role {
                Role::User => "u",
                Role::Assistant => "a",
                Role::System => "s",
            };
            let parts: Vec<String> = turn.parts.iter().map(part).collect();
            format!("{role}: {}", parts.join(", "))
        };
        turns.iter().map(turn).collect()
    }

    fn paired(turns: Vec<(Role, Vec<Part<'static>>)>, ids: Ids) -> Result<Vec<String>, Unfit> {
        let turns = turns.into_iter().map(|(role, parts)| Turn { role, parts }).collect();
        pair(turns, ids, 1_000).map(|(turns, _)| short(&turns))
    }

    use Role::{Assistant, System, User};

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a bound of a test")]
    fn many_calls_and_results_are_paired_in_linear_time() {
        // A look at all calls for each result takes hours.
        const COUNT: usize = 200_000;
        let id = |i: usize| Cow::Owned(format!("call-{i}"));
        let calls = (0..COUNT).map(|i| {
            let content = Content::ToolCall { id: id(i), name: id(i), input: "{}".into() };
            Part::from(content)
        });
        let results = (0..COUNT).rev().map(|i| {
            let parts = vec![text("r")];
            Part::from(Content::ToolResult { id: id(i), parts, is_error: false })
        });
        let turns = vec![
            Turn { role: Assistant, parts: calls.collect() },
            Turn { role: User, parts: results.collect() },
        ];
        let (turns, _) = pair(turns, Ids::Shown, 1_000).unwrap();
        assert_eq!(turns[1].parts.len(), COUNT);
    }

    #[test]
    fn a_call_without_a_result_was_not_run() {
        let not_run = |id| format!("{id}=the tool call was not run!");
        let turns = vec![(User, vec![text("hi")]), (Assistant, vec![call("c")])];
        assert_eq!(paired(turns, Ids::Shown).unwrap()[2], format!("u: {}", not_run("c")));
        let turns = vec![
            (Assistant, vec![call("c"), call("d")]),
            (User, vec![text("stop"), result("d", "x")]),
        ];
        let out = paired(turns, Ids::Undone(CallIds::Any)).unwrap();
        assert_eq!(out[1], format!("u: d=x, {}, stop", not_run("c")));
        let turns = vec![
            (Assistant, vec![call("c")]),
            (System, vec![text("s")]),
            (Assistant, vec![text("on")]),
        ];
        let out = paired(turns, Ids::Undone(CallIds::Any)).unwrap();
        assert_eq!(
            out,
            ["a: call c".to_owned(), format!("u: {}", not_run("c")), "s: s".into(), "a: on".into()]
        );
    }

    #[test]
    fn the_results_that_are_added_are_bounded() {
        let many = |count| vec![(Assistant, (0..count).map(|_| call("c")).collect::<Vec<_>>())];
        assert!(paired(many(400), Ids::Shown).is_ok());
        let error = paired(many(600), Ids::Shown).unwrap_err();
        assert!(error.message.contains("send their results"), "{error}");
    }

    #[test]
    fn instructions_between_a_call_and_its_result_move_behind_it() {
        let turns = vec![
            (Assistant, vec![call("c")]),
            (System, vec![text("s")]),
            (User, vec![result("c", "x"), text("on")]),
        ];
        assert_eq!(
            paired(turns, Ids::Undone(CallIds::Any)).unwrap(),
            ["a: call c", "u: c=x", "s: s", "u: on"]
        );
    }

    #[test]
    fn equal_ids_are_told_apart_in_order() {
        let turns = vec![
            (Assistant, vec![call("c"), call("c")]),
            (User, vec![result("c", "1"), result("c", "2"), result("c", "3")]),
            (Assistant, vec![call("c")]),
            (User, vec![result("c", "4")]),
        ];
        assert_eq!(
            paired(turns.clone(), Ids::Shown).unwrap(),
            ["a: call c, call hx2_Yw", "u: c=1+3, hx2_Yw=2", "a: call hx3_Yw", "u: hx3_Yw=4"]
        );
        assert_eq!(paired(turns, Ids::Undone(CallIds::Any)).unwrap()[3], "u: c=4");
    }

    #[test]
    fn a_late_result_becomes_text_and_one_without_a_call_is_refused_by_its_id() {
        let turns = vec![
            (Assistant, vec![call("hx_YTo")]),
            (User, vec![text("on")]),
            (Assistant, vec![text("ok")]),
            (User, vec![result("hx_YTo", "x")]),
        ];
        let out = paired(turns, Ids::Undone(CallIds::Any)).unwrap();
        assert_eq!(out[3], "u: The result of the earlier tool call a::, x");
        let turns = vec![(User, vec![result("gone", "x")])];
        let error = paired(turns, Ids::Shown).unwrap_err();
        assert!(error.field.contains("gone") && error.message.contains("leave the result out"));
    }
}
