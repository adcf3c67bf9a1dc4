//! Full answers with several candidates, between the two formats that have such: OpenAI's `choices` and Google's `candidates`.
//!
//! Called by [`super::answer`] when an answer is translated. Always true: each candidate is translated as an answer of its own, and keeps
//! its place; what stands beside the candidates is that of the first.

use hale_core::operation::Operation;
use hale_core::provider::{ClientFormat, WireFormat};

use super::prepare::Conversion;
use crate::bytes::edit::{self, Edit};
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::bytes::object;

/// Most candidates of an answer.
const MOST: usize = 128;
/// What stands beside the candidates and each of them is translated with, bytes.
const BESIDE_MAX: usize = 4 << 10;

/// The answers of which `text` consists, each with one candidate; `None` if it has one, or if a format has no more.
pub(super) fn split(conversion: Conversion, text: &str) -> Option<Vec<String>> {
    let list = match conversion.wire {
        WireFormat::OpenAi => "choices",
        WireFormat::Gemini => "candidates",
        WireFormat::Anthropic
        | WireFormat::Cohere
        | WireFormat::Responses
        | WireFormat::Converse
        | WireFormat::Ollama => return None,
    };
    shown(conversion)?;
    let [found] = texts(text, [list]).ok()?;
    let all: Vec<&str> = elements(found?)?.take(MOST).collect();
    if all.len() < 2 {
        return None;
    }
    let members = object::members(text.as_bytes()).ok()?;
    // Only the first has all that stands beside the candidates: that of the others is not read.
    let mut beside = String::new();
    for member in &members {
        let (key, value) = (&text[member.key()], &text[member.value()]);
        let is_list = || serde_json::from_str::<Str<'_>>(key).is_ok_and(|name| name.0 == list);
        if beside.len() + key.len() + value.len() <= BESIDE_MAX && !is_list() {
            beside.extend([key, ":", value, ","]);
        }
    }
    let others = all.iter().skip(1);
    let others = others.map(|candidate| format!("{{{beside}\"{list}\":[{candidate}]}}"));
    let edits = [Edit::Set(list, format!("[{}]", all[0]).into())];
    let first = String::from_utf8(edit::apply(text.as_bytes(), &members, &edits).into()).ok()?;
    Some(std::iter::once(first).chain(others).collect())
}

/// The client's name of the list.
fn shown(conversion: Conversion) -> Option<&'static str> {
    let has_several = matches!(conversion.operation, Operation::Chat | Operation::GenerateContent);
    match conversion.operation.format().of_clients() {
        ClientFormat::OpenAi if has_several => Some("choices"),
        ClientFormat::Gemini if has_several => Some("candidates"),
        ClientFormat::OpenAi
        | ClientFormat::Gemini
        | ClientFormat::Anthropic
        | ClientFormat::Responses => None,
    }
}

/// The translated answers as one; `None` if one of them has no candidate.
pub(super) fn joined(conversion: Conversion, bodies: &[Vec<u8>]) -> Option<Vec<u8>> {
    let list = shown(conversion)?;
    let mut all = String::from("[");
    for (index, body) in bodies.iter().enumerate() {
        let [candidates] = texts(std::str::from_utf8(body).ok()?, [list]).ok()?;
        let candidate = elements(candidates?)?.next()?;
        let members = object::members(candidate.as_bytes()).ok()?;
        let edits = [Edit::Set("index", index.to_string().into())];
        let placed = edit::apply(candidate.as_bytes(), &members, &edits);
        if index > 0 {
            all.push(',');
        }
        all.push_str(std::str::from_utf8(&placed).ok()?);
    }
    all.push(']');
    let first = bodies.first()?;
    let members = object::members(first).ok()?;
    Some(edit::apply(first, &members, &[Edit::Set(list, all.into())]).to_vec())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::conversion::answer::{Fault, check};
    use crate::fixture::view;

    fn answered(operation: Operation, wire: WireFormat, body: &Value) -> Result<Value, Fault> {
        let body = Bytes::from(body.to_string());
        let answer = check(Conversion { operation, wire }, &body, &view())?;
        Ok(serde_json::from_slice(&answer.body).unwrap())
    }

    fn googles(candidates: &Value) -> Value {
        json!({"candidates": candidates, "responseId": "r", "modelVersion": "up",
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 8, "totalTokenCount": 11}})
    }

    fn said(text: &str, finish: &str) -> Value {
        json!({"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish})
    }

    #[test]
    fn each_candidate_of_googles_is_a_choice_at_its_place() {
        let call = json!({"content": {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
            "finishReason": "STOP", "index": 2});
        let body = googles(&json!([said("one", "STOP"), said("two", "MAX_TOKENS"), call]));
        let chat = answered(Operation::Chat, WireFormat::Gemini, &body).unwrap();
        let choices = chat["choices"].as_array().unwrap();
        let of = |name: &str| choices.iter().map(|one| one[name].clone()).collect::<Vec<_>>();
        assert_eq!(of("index"), [json!(0), json!(1), json!(2)]);
        assert_eq!(of("finish_reason"), [json!("stop"), json!("length"), json!("tool_calls")]);
        assert_eq!(choices[1]["message"]["content"], "two");
        assert_eq!(choices[2]["message"]["tool_calls"][0]["function"]["name"], "f");
        assert_eq!(chat["usage"]["completion_tokens"], 8, "the counts are of all, once");
        // Formats without candidates get the first.
        let message = answered(Operation::Messages, WireFormat::Gemini, &body).unwrap();
        assert_eq!(message["content"][0]["text"], "one");
        let response = answered(Operation::Responses, WireFormat::Gemini, &body).unwrap();
        assert_eq!(response["output"][0]["content"][0]["text"], "one");
        let spoilt = googles(&json!([said("one", "STOP"), said("x", "MALFORMED_FUNCTION_CALL")]));
        assert!(answered(Operation::Chat, WireFormat::Gemini, &spoilt).is_err());
    }

    #[test]
    fn each_choice_of_a_chat_is_a_candidate_at_its_place() {
        let choice = |index: u64, text: &str, finish: &str| json!({"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": finish});
        let body = json!({"id": "c", "object": "chat.completion", "model": "up",
            "choices": [choice(0, "one", "stop"), choice(1, "two", "length")],
            "usage": {"prompt_tokens": 3, "completion_tokens": 8}});
        let google = answered(Operation::GenerateContent, WireFormat::OpenAi, &body).unwrap();
        let candidates = google["candidates"].as_array().unwrap();
        assert_eq!(candidates.len(), 2, "{google}");
        for (at, (text, finish)) in [("one", "STOP"), ("two", "MAX_TOKENS")].into_iter().enumerate()
        {
            let one = &candidates[at];
            assert_eq!((&one["index"], &one["finishReason"]), (&json!(at), &json!(finish)));
            assert_eq!(one["content"]["parts"][0]["text"], text);
        }
        assert_eq!(google["usageMetadata"]["candidatesTokenCount"], 8);
    }

    #[test]
    fn what_is_long_beside_the_candidates_is_not_repeated_for_each() {
        let candidate = json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}});
        let mut answer = json!({"id": "a", "model": "m", "choices": vec![candidate; MOST], "long": "y".repeat(100_000)});
        for number in 0..5_000 {
            answer[format!("short-{number}")] = json!("z".repeat(50));
        }
        let answer = answer.to_string();
        let conversion =
            Conversion { operation: Operation::GenerateContent, wire: WireFormat::OpenAi };
        let all = split(conversion, &answer).unwrap();
        assert_eq!(all.len(), MOST);
        let bytes: usize = all.iter().map(String::len).sum();
        assert!(bytes < 4 * answer.len(), "{bytes} of {}", answer.len());
        assert!(all[0].contains("short-4999") && !all[1].contains("short-4999"));
        assert!(all.iter().all(|one| one.matches("\"role\"").count() == 1));
    }
}
