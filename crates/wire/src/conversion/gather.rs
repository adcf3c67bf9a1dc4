//! What the deltas of an answer add up to, for sinks that show what was said.
//!
//! Called by the gateway with what a [`super::tap::Tap`] yields, and with the deltas of a full answer. Always true: the sum is
//! bounded; what does not fit is left out, and that is marked.

use hale_core::record::{Gathered, GatheredCall, MESSAGES_MAX};

use crate::formats::neutral::{Delta, Stop};

/// Most calls of tools that are kept.
const CALLS_MAX: usize = 128;

/// Adds `deltas` to `sum`.
pub fn add(sum: &mut Gathered, deltas: &[Delta<'_>]) {
    for delta in deltas {
        match delta {
            Delta::Text(text) => push(sum, text, |sum| &mut sum.text),
            Delta::Thinking(text) => push(sum, text, |sum| &mut sum.reasoning),
            Delta::Refusal(text) => push(sum, text, |sum| &mut sum.refusal),
            Delta::ToolStart { call, id, name } => {
                let room = MESSAGES_MAX.saturating_sub(sum.bytes());
                if *call >= CALLS_MAX || id.len() + name.len() > room {
                    sum.is_cut = true;
                    continue;
                }
                if sum.calls.len() <= *call {
                    sum.calls.resize_with(call + 1, GatheredCall::default);
                }
                let begun = &mut sum.calls[*call];
                (begun.id, begun.name) = (id.to_string(), name.to_string());
            }
            Delta::ToolInput { call, json } if *call < sum.calls.len() => {
                push(sum, json, |sum| &mut sum.calls[*call].input);
            }
            Delta::ToolInput { .. } => sum.is_cut = true,
            Delta::Stop(stop, _) => sum.stop = Some(word(stop).into()),
            // Pictures are no text, and sources none of the model's.
            Delta::Image { .. }
            | Delta::Citation(_)
            | Delta::Start(_)
            | Delta::Signature(_)
            | Delta::Redacted(_)
            | Delta::Usage(_)
            | Delta::Ping
            | Delta::End => {}
        }
    }
}

/// Adds `more`, which was said behind it.
pub fn join(sum: &mut Gathered, more: &Gathered) {
    push(sum, &more.text, |sum| &mut sum.text);
    push(sum, &more.reasoning, |sum| &mut sum.reasoning);
    push(sum, &more.refusal, |sum| &mut sum.refusal);
    sum.is_cut |= more.is_cut;
    sum.stop.clone_from(&more.stop);
    match sum.bytes() + more.bytes() <= MESSAGES_MAX {
        true => sum.calls.extend_from_slice(&more.calls),
        false => sum.is_cut |= !more.calls.is_empty(),
    }
}

/// Appends as much of `text` as there is room for.
fn push(sum: &mut Gathered, text: &str, place: impl FnOnce(&mut Gathered) -> &mut String) {
    let room = MESSAGES_MAX.saturating_sub(sum.bytes());
    let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    sum.is_cut |= end < text.len();
    let fits = text.get(..end).unwrap_or_default();
    place(sum).push_str(fits);
}

/// As OpenAI's format calls it.
fn word(stop: &Stop) -> &str {
    match stop {
        Stop::End | Stop::Sequence | Stop::Pause => "stop",
        Stop::Length | Stop::ContextWindow => "length",
        Stop::Tools => "tool_calls",
        Stop::Refusal => "content_filter",
        Stop::Other(word) => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_add_up_to_a_message() {
        let mut sum = Gathered::default();
        add(&mut sum, &[Delta::Text("Hel".into()), Delta::Thinking("hm".into())]);
        add(
            &mut sum,
            &[
                Delta::Text("lo".into()),
                Delta::ToolStart { call: 0, id: "c1".into(), name: "f".into() },
                Delta::ToolInput { call: 0, json: "{\"a\":".into() },
                Delta::ToolInput { call: 0, json: "1}".into() },
                Delta::Stop(Stop::Tools, None),
                Delta::End,
            ],
        );
        assert_eq!((&*sum.text, &*sum.reasoning), ("Hello", "hm"));
        assert_eq!(sum.calls[0].input, "{\"a\":1}");
        assert_eq!(sum.stop.as_deref(), Some("tool_calls"));
        assert!(!sum.is_cut);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_marked() {
        let mut sum = Gathered::default();
        let long = "\u{e4}".repeat(MESSAGES_MAX);
        add(&mut sum, &[Delta::Text(long.as_str().into()), Delta::Text("more".into())]);
        assert!(sum.is_cut && sum.bytes() <= MESSAGES_MAX);
        let many = CALLS_MAX + 1;
        let mut sum = Gathered::default();
        add(&mut sum, &[Delta::ToolStart { call: many, id: "i".into(), name: "n".into() }]);
        assert!(sum.is_cut && sum.calls.is_empty());
    }
}
