//! The parts of a request for embeddings: its inputs, and what the answer says of each.
//!
//! Called by the gateway's cache, which keeps each input's embedding for itself. Always true: an embedding keeps its place
//! among the inputs, and all its members but `index` are as the provider wrote them.

use std::borrow::Cow;

use bytes::Bytes;

use super::reuse;
use crate::bytes::edit::{Edit, push_string};
use crate::bytes::elements::elements;
use crate::bytes::members::{places, texts};
use crate::bytes::object;
use crate::bytes::peek::Peek;

/// Most inputs that are looked up one by one.
const INPUTS_MAX: usize = 2_048;

/// The inputs of a request that has several; `None` if it has one. A list of numbers is one input, as tokens.
#[must_use]
pub fn inputs(peek: &Peek) -> Option<Vec<&str>> {
    let found: Vec<&str> = elements(peek.raw("input")?)?.take(INPUTS_MAX + 1).collect();
    let are_inputs = found.iter().all(|one| one.starts_with('"') || one.starts_with('['));
    ((2..=INPUTS_MAX).contains(&found.len()) && are_inputs).then_some(found)
}

/// Feeds what decides about the embedding of `input` in the request `peek`.
pub fn fingerprint(peek: &Peek, input: &str, out: &mut impl FnMut(&[u8])) {
    reuse::fingerprint_with(peek, Some(input), out);
}

/// The body of `peek` with these inputs alone.
#[must_use]
pub fn with_inputs(peek: &Peek, inputs: &[&str]) -> Bytes {
    let list = format!("[{}]", inputs.join(","));
    peek.edited(&[Edit::Set("input", Cow::Owned(list))])
}

/// What the answer says of each of `count` inputs, in their order, without the places; `None` if it does not say it.
#[must_use]
pub fn parts(answer: &str, count: usize) -> Option<Vec<String>> {
    let [data] = texts(answer, ["data"]).ok()?;
    let mut found: Vec<Option<String>> = vec![None; count];
    for (at, one) in elements(data?)?.enumerate() {
        let [index] = texts(one, ["index"]).ok()?;
        let at = index.map_or(Some(at), |index| index.parse().ok())?;
        let place = found.get_mut(at)?;
        if place.replace(without_index(one)?).is_some() {
            return None;
        }
    }
    found.into_iter().collect()
}

fn without_index(one: &str) -> Option<String> {
    let members = object::members(one.as_bytes()).ok()?;
    let kept = members.iter().filter(|member| !object::key_is(one.as_bytes(), member, "index"));
    let texts =
        kept.map(|member| Some(format!("{}:{}", one.get(member.key())?, one.get(member.value())?)));
    Some(format!("{{{}}}", texts.collect::<Option<Vec<String>>>()?.join(",")))
}

/// `answer` with these parts as its data.
#[must_use]
pub fn with_parts(answer: &str, parts: &[&str]) -> Option<String> {
    let [Some(place)] = places(answer.as_bytes(), ["data"]).ok()? else { return None };
    let data: Vec<String> = parts
        .iter()
        .enumerate()
        .map(|(index, part)| match part.strip_prefix('{') {
            Some("}") | None => format!("{{\"index\":{index}}}"),
            Some(members) => format!("{{\"index\":{index},{members}"),
        })
        .collect();
    Some(format!("{}[{}]{}", &answer[..place.start], data.join(","), &answer[place.end..]))
}

/// One answer of several, each with how many inputs it is about, in their order; the tokens of all are added up. `None` if one of
/// them does not say what it should.
#[must_use]
pub fn joined(answers: &[(&str, usize)]) -> Option<String> {
    let (first, _) = answers.first()?;
    if let Ok([None, Some(_)]) = texts(first, ["data", "embeddings"]) {
        return joined_for_google(answers);
    }
    let mut all = Vec::with_capacity(answers.iter().map(|(_, count)| count).sum());
    let mut tokens = [0u64; 2];
    for (answer, count) in answers {
        all.extend(parts(answer, *count)?);
        let [usage] = texts(answer, ["usage"]).ok()?;
        let counts = texts(usage.unwrap_or("{}"), ["prompt_tokens", "total_tokens"]).ok()?;
        for (sum, count) in tokens.iter_mut().zip(counts) {
            *sum = sum.saturating_add(count.and_then(|raw| raw.parse().ok()).unwrap_or(0));
        }
    }
    let parts: Vec<&str> = all.iter().map(String::as_str).collect();
    let whole = with_parts(first, &parts)?;
    let [Some(place)] = places(whole.as_bytes(), ["usage"]).ok()? else { return Some(whole) };
    let [prompt, total] = tokens;
    let usage = format!("{{\"prompt_tokens\":{prompt},\"total_tokens\":{total}}}");
    Some(format!("{}{usage}{}", &whole[..place.start], &whole[place.end..]))
}

/// The same of answers in Google's form.
fn joined_for_google(answers: &[(&str, usize)]) -> Option<String> {
    let mut all: Vec<&str> = Vec::with_capacity(answers.iter().map(|(_, count)| count).sum());
    for (answer, count) in answers {
        let [list] = texts(answer, ["embeddings"]).ok()?;
        let before = all.len();
        all.extend(elements(list?)?);
        if all.len() - before != *count {
            return None;
        }
    }
    Some(format!("{{\"embeddings\":[{}]}}", all.join(",")))
}

/// An answer for `model` that cost no tokens, without data.
#[must_use]
pub fn free_answer(model: &str) -> String {
    let mut text = br#"{"object":"list","data":[],"model":"#.to_vec();
    push_string(&mut text, model);
    text.extend_from_slice(br#","usage":{"prompt_tokens":0,"total_tokens":0}}"#);
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn peek(value: &Value) -> Peek {
        Peek::parse(Bytes::from(value.to_string())).unwrap()
    }

    #[test]
    fn only_a_list_of_several_inputs_has_parts() {
        let count = |input: Value| inputs(&peek(&json!({"input": input}))).map(|all| all.len());
        assert_eq!(count(json!(["a", "b"])), Some(2));
        assert_eq!(count(json!([[1, 2], [3]])), Some(2));
        for one in [
            json!("a"),
            json!(["a"]),
            json!([1, 2, 3]),
            json!([]),
            json!({"a": 1}),
            json!(["a", 1]),
        ] {
            assert_eq!(count(one.clone()), None, "{one}");
        }
    }

    #[test]
    fn an_input_has_the_same_fingerprint_in_every_list() {
        let print = |body: &Value, input: &str| {
            let mut out = Vec::new();
            fingerprint(&peek(body), input, &mut |piece| out.extend_from_slice(piece));
            out
        };
        let (one, other) = (json!({"input": ["a", "b"]}), json!({"input": ["x", "b", "c"]}));
        assert_eq!(print(&one, "\"b\""), print(&other, "\"b\""));
        assert_ne!(print(&one, "\"a\""), print(&one, "\"b\""));
        let shorter = json!({"input": ["a", "b"], "dimensions": 8});
        assert_ne!(print(&one, "\"b\""), print(&shorter, "\"b\""));
    }

    #[test]
    fn parts_are_put_together_at_their_places() {
        let answer = r#"{"object":"list","data":[{"index":1,"embedding":[2],"object":"embedding"},{"object":"embedding","embedding":[1],"index":0}],"model":"m"}"#;
        let found = parts(answer, 2).unwrap();
        assert_eq!(found[1], r#"{"embedding":[2],"object":"embedding"}"#);
        let all = with_parts(answer, &[&found[1], r#"{"embedding":[9]}"#, &found[0]]).unwrap();
        let all: Value = serde_json::from_str(&all).unwrap();
        let expected = json!({"object": "list", "model": "m", "data": [
            {"index": 0, "embedding": [2], "object": "embedding"},
            {"index": 1, "embedding": [9]},
            {"index": 2, "embedding": [1], "object": "embedding"},
        ]});
        assert_eq!(all, expected);
        let free = with_parts(&free_answer("a\"b"), &["{}"]).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&free).unwrap()["data"], json!([{"index": 0}]));
    }

    #[test]
    fn several_answers_are_one_in_the_form_of_their_client() {
        let open_ai = |at: &[u32], tokens: u32| {
            let data: Vec<Value> =
                at.iter().enumerate().map(|(i, n)| json!({"index": i, "embedding": [n]})).collect();
            json!({"data": data, "model": "m", "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
                .to_string()
        };
        let (one, other) = (open_ai(&[1, 2], 3), open_ai(&[3], 4));
        let all: Value = serde_json::from_str(&joined(&[(&one, 2), (&other, 1)]).unwrap()).unwrap();
        let data = json!([{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [2]}, {"index": 2, "embedding": [3]}]);
        let usage = json!({"prompt_tokens": 7, "total_tokens": 7});
        assert_eq!(all, json!({"data": data, "model": "m", "usage": usage}));
        assert_eq!(joined(&[(&one, 1), (&other, 1)]), None, "one too many");
        assert_eq!(joined(&[(&one, 2), (&other, 2)]), None, "one too few");
        let google = |at: &[u32]| {
            let all: Vec<Value> = at.iter().map(|n| json!({"values": [n]})).collect();
            json!({"embeddings": all}).to_string()
        };
        let (one, other) = (google(&[1, 2]), google(&[3]));
        let all = joined(&[(&one, 2), (&other, 1)]).unwrap();
        assert_eq!(all, google(&[1, 2, 3]));
        assert_eq!(joined(&[(&one, 2), (&other, 2)]), None);
    }

    #[test]
    fn an_answer_that_does_not_fit_its_inputs_has_no_parts() {
        for (data, count) in [
            (json!([{"index": 0}]), 2),
            (json!([{"index": 0}, {"index": 0}]), 2),
            (json!([{"index": 0}, {"index": 5}]), 2),
            (json!([{"index": "x"}, {"index": 1}]), 2),
            (json!("none"), 1),
        ] {
            assert_eq!(parts(&json!({"data": data}).to_string(), count), None, "{data}");
        }
        let unnumbered = json!({"data": [{"embedding": [1]}, {"embedding": [2]}]}).to_string();
        assert_eq!(parts(&unnumbered, 2).unwrap().len(), 2);
    }
}
