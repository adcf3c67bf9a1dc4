//! The tool whose input is the answer, for targets that have no schemas for answers.
//!
//! Offered by [`super::fit`], undone by the conversion of the answer. Always true: the client sees the input of the first
//! call of it as text, and no call of it; other calls keep their order.

use super::neutral::{Answer, Content, Delta, Stop};

/// Its name.
pub(crate) const NAME: &str = "json_answer";
/// What the model is told about it.
pub(crate) const DESCRIPTION: &str =
    "Gives the final answer. Call it once, with the whole answer as its input.";

/// `answer` with the input of that tool as its text.
pub(crate) fn unwrap_answer(answer: &mut Answer<'_>) {
    let mut was_called = false;
    answer.parts.retain_mut(|part| match &mut part.content {
        Content::ToolCall { name, input, .. } if name == NAME => {
            let input = std::mem::take(input);
            part.content = Content::Text(input);
            !std::mem::replace(&mut was_called, true)
        }
        _ => true,
    });
    let is_call = |content: &Content<'_>| matches!(content, Content::ToolCall { .. });
    let has_others = answer.parts.iter().any(|part| is_call(&part.content));
    if was_called && !has_others && answer.stop == Some(Stop::Tools) {
        answer.stop = Some(Stop::End);
    }
}

/// The same for the deltas of a stream.
#[derive(Debug, Default)]
pub(crate) struct Unwrapper {
    /// The calls of that tool, by number. The first is the answer.
    own: Vec<usize>,
    /// Whether other tools are called.
    has_others: bool,
}

impl Unwrapper {
    /// Changes the deltas of one event.
    pub(crate) fn unwrap_deltas(&mut self, deltas: &mut Vec<Delta<'_>>) {
        deltas.retain_mut(|delta| self.stays(delta));
    }

    fn stays(&mut self, delta: &mut Delta<'_>) -> bool {
        match delta {
            Delta::ToolStart { call, name, .. } if name == NAME => {
                self.own.push(*call);
                false
            }
            Delta::ToolStart { call, .. } => {
                self.has_others = true;
                *call = self.among_others(*call);
                true
            }
            Delta::ToolInput { call, json } => {
                if let Some(nth) = self.own.iter().position(|own| own == call) {
                    *delta = Delta::Text(std::mem::take(json));
                    return nth == 0;
                }
                *call = self.among_others(*call);
                true
            }
            Delta::Stop(stop, _) if *stop == Stop::Tools && !self.own.is_empty() => {
                if !self.has_others {
                    *stop = Stop::End;
                }
                true
            }
            Delta::Start(_)
            | Delta::Text(_)
            | Delta::Thinking(_)
            | Delta::Signature(_)
            | Delta::Redacted(_)
            | Delta::Image { .. }
            | Delta::Refusal(_)
            | Delta::Citation(_)
            | Delta::Stop(..)
            | Delta::Usage(_)
            | Delta::Ping
            | Delta::End => true,
        }
    }

    /// The number of a call among those that the client sees.
    fn among_others(&self, call: usize) -> usize {
        call - self.own.iter().filter(|own| **own < call).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::neutral::Part;

    fn call(name: &'static str, input: &'static str) -> Part<'static> {
        Content::ToolCall { id: "c".into(), name: name.into(), input: input.into() }.into()
    }

    #[test]
    fn the_input_of_the_tool_is_the_answers_text() {
        let mut answer = Answer {
            parts: vec![call(NAME, "{\"a\":1}"), call(NAME, "{}")],
            stop: Some(Stop::Tools),
            ..Answer::default()
        };
        unwrap_answer(&mut answer);
        assert_eq!(answer.parts, [Content::Text("{\"a\":1}".into()).into()]);
        assert_eq!(answer.stop, Some(Stop::End));
        let mut other =
            Answer { parts: vec![call("f", "{}")], stop: Some(Stop::Tools), ..Answer::default() };
        unwrap_answer(&mut other);
        assert_eq!((other.parts.len(), other.stop), (1, Some(Stop::Tools)));
    }

    #[test]
    fn in_a_stream_the_calls_of_other_tools_are_counted_anew() {
        let start =
            |call, name: &'static str| Delta::ToolStart { call, id: "c".into(), name: name.into() };
        let input = |call, json: &'static str| Delta::ToolInput { call, json: json.into() };
        let mut deltas = vec![
            start(0, NAME),
            input(0, "{\"a\""),
            input(0, ":1}"),
            start(1, "f"),
            input(1, "{}"),
            start(2, NAME),
            input(2, "{}"),
            Delta::Stop(Stop::Tools, None),
        ];
        Unwrapper::default().unwrap_deltas(&mut deltas);
        let expected = [
            Delta::Text("{\"a\"".into()),
            Delta::Text(":1}".into()),
            start(0, "f"),
            input(0, "{}"),
            Delta::Stop(Stop::Tools, None),
        ];
        assert_eq!(deltas, expected);
        let mut alone = vec![start(0, NAME), input(0, "{}"), Delta::Stop(Stop::Tools, None)];
        Unwrapper::default().unwrap_deltas(&mut alone);
        assert_eq!(alone, [Delta::Text("{}".into()), Delta::Stop(Stop::End, None)]);
    }
}
