//! What changes inside a messages request that passes to its own wire: what [`super::history`] says of the messages, and
//! thinking that cannot go on.
//!
//! Called by [`super::edits`]. Always true: blocks that the provider signed and everything else stay as they are; messages
//! without reasoning, in which [`calls::look`] finds nothing, are not read.

use std::borrow::Cow;

use super::calls;
use super::effort::{Asked, fitted, is_enabled, named_budget, thinking_of};
use super::history::{ASSISTANT, cleaned};
use crate::bytes::edit::Edit;
use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::notes::Notes;
use crate::formats::order::Order;
use crate::formats::thoughts::Target;

/// OpenAI's name for what asks a model to think.
pub(super) const EFFORT: &str = "reasoning_effort";

/// The edits for what the provider would refuse; what matters of it is noted.
pub(super) fn edits<'e>(peek: &Peek, order: &Order<'_>, notes: &mut Notes) -> Vec<Edit<'e>> {
    let mut edits = Vec::new();
    let Some(raw) = peek.raw("messages") else { return edits };
    let target = Target::of(order);
    let holds =
        |text: &str, word: &str| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some();
    let found = calls::look(raw);
    let cleaned = match holds(raw, "thinking") || found.is_something() {
        true => cleaned(raw, target, found),
        false => None,
    };
    let default = if peek.has("thinking") { None } else { default_thinking(order) };
    let thinks = peek.raw("thinking").or(default.as_deref());
    let is_on = thinks.is_some_and(is_enabled);
    let yields = default.as_deref().is_some_and(|thinking| yields(thinking, peek, order));
    if yields || (is_on && !can_go_on(cleaned.as_deref().unwrap_or(raw))) {
        notes.leave_out("thinking");
        edits.push(Edit::Remove("thinking"));
        // An edit of thoughts is refused where there are none.
        if peek.raw("context_management").is_some_and(|raw| holds(raw, "clear_thinking")) {
            notes.leave_out("context_management");
            edits.push(Edit::Remove("context_management"));
        }
    } else if let Some(less) =
        thinks.zip(order.known.most()).and_then(|(it, most)| fitted(it, most))
    {
        edits.push(match less {
            Some(less) => Edit::Set("thinking", Cow::Owned(less.into_owned())),
            None => {
                notes.leave_out("thinking");
                Edit::Remove("thinking")
            }
        });
    } else if let Some(Cow::Owned(made)) = default {
        edits.push(Edit::Set("thinking", Cow::Owned(made)));
    }
    if let Some(cleaned) = cleaned {
        edits.push(Edit::Set("messages", Cow::Owned(cleaned)));
    }
    edits
}

/// The `thinking` that the config asks for, as itself or as OpenAI's effort.
fn default_thinking<'o>(order: &Order<'o>) -> Option<Cow<'o, str>> {
    let defaults = &order.deployment.endpoint.default_params;
    let find = |wanted: &str| defaults.iter().find(|(name, _)| &**name == wanted);
    match find("thinking") {
        Some((_, raw)) => Some(Cow::Borrowed(raw)),
        None => {
            let (_, effort) = find(EFFORT).filter(|_| !order.drops(EFFORT))?;
            // It is written by its own name nowhere else.
            thinking_of(effort, order.upstream_model).map(|made| Cow::Owned(made.into_owned()))
        }
    }
}

/// Whether thinking by default has no place beside what the client asks for.
fn yields(thinking: &str, peek: &Peek, order: &Order<'_>) -> bool {
    let is_forced = || {
        let kind = peek.raw("tool_choice").and_then(|raw| texts(raw, ["type"]).ok());
        matches!(kind, Some([Some("\"any\"" | "\"tool\"")]))
    };
    let asked = Asked {
        most: peek.raw("max_tokens").and_then(|raw| raw.parse().ok()).map(|it| order.within(it)),
        temperature: peek.raw("temperature"),
        top_p: peek.raw("top_p"),
        has_top_k: peek.raw("top_k").is_some(),
    };
    !asked.has_place(named_budget(thinking), order.upstream_model)
        || (is_enabled(thinking) && is_forced())
}

/// The list of blocks of a message of the model.
fn blocks(message: &str) -> Option<&str> {
    match texts(message, ["role", "content"]) {
        Ok([Some(ASSISTANT), Some(content)]) => Some(content),
        _ => None,
    }
}

/// Whether the last calls of the model have signed reasoning before them.
fn can_go_on(raw: &str) -> bool {
    let Some(messages) = elements(raw) else { return true };
    let Some(content) = messages.filter_map(blocks).last() else { return true };
    for block in elements(content).into_iter().flatten() {
        match texts(block, ["type"]) {
            Ok([Some("\"thinking\"" | "\"redacted_thinking\"")]) => return true,
            Ok([Some("\"tool_use\"")]) => return false,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use hale_core::operation::Operation;
    use serde_json::{Value, json};

    use crate::fixture::{deployment, order, sent};

    fn passed(given: &Value) -> Value {
        sent(given, &order(&deployment("anthropic"), Operation::Messages, "x")).unwrap()
    }

    fn turns(blocks: Value) -> Value {
        json!({"model": "x", "max_tokens": 9, "messages": [
            {"role": "user", "content": "hi"},
            {"content": blocks, "role": "assistant"},
            {"role": "user", "content": "on"},
        ]})
    }

    #[test]
    fn only_reasoning_that_no_provider_signed_is_left_out() {
        let text = json!({"type": "text", "text": "hello [1], {thinking}"});
        let signed = json!({"type": "thinking", "thinking": "a", "signature": "c2ln"});
        for unsigned in [
            json!({"type": "thinking", "thinking": "let me see", "signature": ""}),
            json!({"type": "thinking", "thinking": "let me see", "signature": null}),
            json!({"type": "thinking", "thinking": "let me see"}),
            json!({"type": "thinking", "thinking": "let me see", "signature": "hale:qwen"}),
            json!({"type": "thinking", "thinking": "let me see", "signature": "hale:"}),
        ] {
            let out = passed(&turns(json!([signed, unsigned, text, unsigned])));
            assert_eq!(out, turns(json!([signed, text])));
            let alone = passed(&turns(json!([unsigned])));
            assert_eq!(alone["messages"].as_array().unwrap().len(), 2, "{alone}");
            let first = json!({"model": "x", "max_tokens": 9, "messages": [
                {"role": "assistant", "content": [unsigned]}, {"role": "user", "content": "on"}]});
            assert_eq!(passed(&first)["messages"], json!([{"role": "user", "content": "on"}]));
        }
        let same = turns(json!([signed, {"type": "redacted_thinking", "data": "x"}, text]));
        assert_eq!(passed(&same), same);
        // What the user quotes is not reasoning.
        let quoted = json!({"model": "x", "max_tokens": 9, "messages": [{"role": "user",
            "content": [{"type": "thinking", "thinking": "q"}]}]});
        assert_eq!(passed(&quoted), quoted);
    }

    #[test]
    fn an_id_that_the_provider_cannot_read_is_written_so_that_it_can() {
        let with = |id: &str| {
            json!({"model": "x", "max_tokens": 9, "messages": [
                {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {"id": "a:b"}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": id, "content": "\"tool_use_id\": \"a:b\""},
                    {"type": "text", "text": "on"},
                ]},
            ]})
        };
        let out = passed(&with("functions.Bash:0"));
        assert_eq!(out, with("hx_ZnVuY3Rpb25zLkJhc2g6MA"));
        for same in ["toolu_1", "hx_ZnVuY3Rpb25zLkJhc2g6MA", "hx"] {
            assert_eq!(passed(&with(same)), with(same));
        }
    }

    #[test]
    fn a_budget_is_left_out_where_the_last_calls_have_no_signed_reasoning() {
        let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
        let signed = json!({"type": "thinking", "thinking": "a", "signature": "c2ln"});
        let marked = json!({"type": "thinking", "thinking": "a", "signature": "hale:qwen"});
        let budget = json!({"type": "enabled", "budget_tokens": 1024});
        let adaptive = json!({"type": "adaptive"});
        for (blocks, thinking, stays) in [
            (json!([marked, call]), &budget, false),
            (json!([call]), &budget, false),
            (json!([signed, call]), &budget, true),
            (json!([marked]), &budget, true),
            (json!([marked, call]), &adaptive, true),
        ] {
            let mut given = turns(blocks.clone());
            given["thinking"] = thinking.clone();
            given["context_management"] = json!({"edits": [{"type": "clear_thinking_20251015"}]});
            let out = passed(&given);
            for name in ["thinking", "context_management"] {
                assert_eq!(out.get(name).is_some(), stays, "{blocks} {thinking}");
            }
        }
    }

    fn with(messages: &[Value]) -> Value {
        json!({"model": "x", "max_tokens": 9, "messages": messages})
    }

    fn said(role: &str, blocks: Value) -> Value {
        json!({"role": role, "content": blocks})
    }

    fn call(id: &str) -> Value {
        json!({"type": "tool_use", "id": id, "name": "f", "input": {}})
    }

    fn result(id: &str) -> Value {
        json!({"type": "tool_result", "tool_use_id": id, "content": "x"})
    }

    fn text(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    #[test]
    fn a_call_without_a_result_gets_one_that_says_so() {
        let made = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "the tool call was not run", "is_error": true});
        let calls = said("assistant", json!([call("a"), call("b:0")]));
        let renamed = said("assistant", json!([call("a"), call("hx_Yjow")]));
        for (given, expected) in [
            (
                vec![said("user", json!("stop"))],
                vec![said("user", json!([made("a"), made("hx_Yjow"), text("stop")]))],
            ),
            (
                vec![said("user", json!([result("b:0"), text("on")]))],
                vec![said("user", json!([made("a"), result("hx_Yjow"), text("on")]))],
            ),
            (
                vec![said("user", json!(" "))],
                vec![said("user", json!([made("a"), made("hx_Yjow")]))],
            ),
            (vec![], vec![said("user", json!([made("a"), made("hx_Yjow")]))]),
            (
                vec![said("assistant", json!("go on")), said("user", json!("x"))],
                vec![
                    said("user", json!([made("a"), made("hx_Yjow")])),
                    said("assistant", json!("go on")),
                    said("user", json!("x")),
                ],
            ),
        ] {
            let all = |head: &Value, tail: &[Value]| {
                with(&[&[said("user", json!("hi")), head.clone()], tail].concat())
            };
            let out = passed(&all(&calls, &given));
            assert_eq!(out, all(&renamed, &expected), "{given:?}");
            let claude = deployment("anthropic");
            let counted = order(&claude, Operation::CountTokens, "x");
            assert_eq!(sent(&all(&calls, &given), &counted).unwrap()["messages"], out["messages"]);
        }
    }

    #[test]
    fn the_results_that_are_added_are_bounded() {
        let with_calls = |length: usize| {
            let mut call = call("c");
            call["input"]["text"] = json!("x".repeat(length));
            let calls: Vec<Value> = (0..2_000).map(|_| call.clone()).collect();
            with(&[said("assistant", json!(calls)), said("user", json!("on"))])
        };
        let out = passed(&with_calls(300));
        let results = out["messages"][1]["content"].as_array().unwrap().len();
        assert!((400..2_000).contains(&results), "{results}");
        // Of so many tiny calls more would have to be kept than they are.
        assert_eq!(passed(&with_calls(0)), with_calls(0));
    }

    #[test]
    fn two_calls_with_one_id_are_told_apart() {
        let turn =
            |id: &str| [said("assistant", json!([call(id)])), said("user", json!([result(id)]))];
        let out = passed(&with(&[turn("call_0"), turn("call_0"), turn("call_0")].concat()));
        let expected = with(&[turn("call_0"), turn("hx2_Y2FsbF8w"), turn("hx3_Y2FsbF8w")].concat());
        assert_eq!(out, expected);
        // What was told apart before stays, and what is new gets an id that none has.
        let mixed = passed(&with(&[turn("hx2_Y2FsbF8w"), turn("call_0"), turn("call_0")].concat()));
        assert_eq!(
            mixed,
            with(&[turn("hx2_Y2FsbF8w"), turn("call_0"), turn("hx3_Y2FsbF8w")].concat())
        );
        let foreign = passed(&with(&[turn("a:0"), turn("a:0")].concat()));
        assert_eq!(foreign, with(&[turn("hx_YTow"), turn("hx2_YTow")].concat()));
        let both = [
            said("assistant", json!([call("c"), call("c")])),
            said("user", json!([result("c"), result("c")])),
        ];
        let sent = [
            said("assistant", json!([call("c"), call("hx2_Yw")])),
            said("user", json!([result("c"), result("hx2_Yw")])),
        ];
        assert_eq!(passed(&with(&both)), with(&sent));
    }

    #[test]
    fn texts_without_a_word_are_left_out() {
        for blank in ["\n\n", " ", "", "\t\r\n"] {
            let given = [
                said("assistant", json!([text(blank), call("a")])),
                said("user", json!([result("a"), text(blank)])),
            ];
            let expected =
                [said("assistant", json!([call("a")])), said("user", json!([result("a")]))];
            assert_eq!(passed(&with(&given)), with(&expected), "{blank:?}");
            // The reasoning of another family, and white space behind it.
            let marked = json!({"type": "thinking", "thinking": "hm", "signature": "hale:qwen"});
            let alone = passed(&turns(json!([marked, text(blank)])));
            assert_eq!(alone["messages"].as_array().unwrap().len(), 2, "{alone}");
            // Where there are no calls, and for an answer that is nothing else.
            let plain =
                [said("assistant", json!([text(blank), text("x")])), said("user", json!("y"))];
            let expected = [said("assistant", json!([text("x")])), said("user", json!("y"))];
            assert_eq!(passed(&with(&plain)), with(&expected), "{blank:?}");
            for silent in [json!(blank), json!([text(blank)])] {
                let given = [said("assistant", silent), said("user", json!("y"))];
                assert_eq!(passed(&with(&given)), with(&[said("user", json!("y"))]), "{blank:?}");
            }
            let of_user = [said("user", json!(blank)), said("assistant", json!("x"))];
            assert_eq!(passed(&with(&of_user)), with(&of_user));
        }
        let empty_result = json!({"type": "tool_result", "tool_use_id": "a", "content": ""});
        let results = [said("assistant", json!([call("a")])), said("user", json!([empty_result]))];
        assert_eq!(passed(&with(&results)), with(&results));
        // A turn of the user that says nothing else is the provider's to judge.
        let user = [
            said("user", json!([text(" ")])),
            said("assistant", json!([call("a")])),
            said("user", json!([result("a")])),
        ];
        assert_eq!(passed(&with(&user)), with(&user));
    }
}
