//! `/utils/token_counter`: the tokens of a prompt, counted by the provider, by OpenAI's tokenizer, or estimated.
//!
//! Called when a request is prepared and when its answer is translated. Always true: the reply names the tokenizer, and
//! an estimate is marked as one. [`Count::answer`] takes processor time and must not block a worker.

use std::borrow::Cow;

use bytes::Bytes;
use hale_core::deployment::Deployment;
use hale_core::provider::WireFormat;
use serde::Deserialize;
use serde_json::value::RawValue;
use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};

use super::tokenizer::tables;
use crate::bytes::edit::{Edit, json_string};
use crate::bytes::json::{JsonText, Str};
use crate::bytes::payload::Payload;
use crate::bytes::peek::Peek;
use crate::formats::anthropic::count::{BYTES_PER_TOKEN, PER_IMAGE};
use crate::formats::fit::fit;
use crate::formats::neutral::Unfit;
use crate::formats::order::Order;
use crate::formats::room::Room;
use crate::formats::unfit::{field, list_field, object_field};
use crate::formats::view::View;
use crate::formats::{anthropic, bedrock, gemini, openai};

/// Tokens of a message, of a name in it and of the start of the answer, besides their texts. Source:
/// <https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken>.
const PER_MESSAGE: u64 = 3;
const PER_NAME: u64 = 1;
const PER_ANSWER: u64 = 3;

/// Longest prompt that is tokenized, in bytes; longer ones are estimated. The limit keeps the tokenizer's regular
/// expressions below a million steps for one match.
const TOKENIZED_MAX: usize = 512 << 10;

/// Fields of a chat request that counting in the messages format does not accept. Source:
/// <https://platform.claude.com/docs/en/api/messages-count-tokens>.
const NOT_COUNTED: [&str; 7] =
    ["max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata"];

/// A count that the gateway makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    requested: Box<str>,
    used: Box<str>,
    /// The texts, unless they are too long for a tokenizer.
    texts: Vec<String>,
    /// Their length, bytes.
    length: usize,
    /// Their tokens, estimated.
    estimated: u64,
    /// Tokens besides those of the texts.
    besides: u64,
    /// Whether the prompt has content that a tokenizer cannot count.
    rough: bool,
    tokenizer: Option<Tokenizer>,
}

impl Count {
    /// The reply. Tokenizing takes up to a second; the first time takes longer, because the tables are loaded.
    #[must_use]
    pub fn answer(&self) -> Bytes {
        match self.tokenizer.filter(|_| self.length <= TOKENIZED_MAX).and_then(tables) {
            Some(tables) => {
                let counts = self.texts.iter().map(|text| tables.count_ordinary(text) as u64);
                let source = if self.rough { "estimate" } else { "local_tokenizer" };
                self.reply(counts.sum(), "openai_tokenizer", source)
            }
            None => self.estimate(),
        }
    }

    /// The reply without a tokenizer.
    #[must_use]
    pub fn estimate(&self) -> Bytes {
        self.reply(self.estimated, "estimate", "estimate")
    }

    fn reply(&self, tokens: u64, tokenizer: &str, source: &str) -> Bytes {
        let reply = Reply {
            total: tokens + self.besides,
            requested_json: &json_string(&self.requested),
            used: &self.used,
            tokenizer,
            source,
            original: None,
        };
        reply.json()
    }
}

/// What the gateway counts in the request `peek`.
pub(crate) fn local(peek: &Peek, order: &Order<'_>) -> Result<Count, Unfit> {
    let requested = peek.string("model").ok().flatten().unwrap_or_default();
    let mut count = Count {
        requested: Box::from(&*requested),
        used: order.upstream_model.into(),
        texts: Vec::new(),
        length: 0,
        estimated: 0,
        besides: 0,
        rough: false,
        tokenizer: tokenizer(order.deployment, order.upstream_model),
    };
    let Some(messages) = peek.raw("messages") else {
        let prompt = peek.string("prompt").map_err(|why| Unfit::malformed("prompt", why))?;
        if let Some(prompt) = prompt {
            count.push(prompt);
        }
        return Ok(count);
    };
    let room = &Room::of(peek.body().len());
    count.besides = PER_ANSWER;
    for message in list_field("messages", messages, room)? {
        count.add(object_field("messages", message?)?, room)?;
    }
    if let Some(tools) = peek.raw("tools") {
        count.rough = true;
        count.push(tools.into());
    }
    Ok(count)
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Str<'a>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Str<'a>>,
}

impl Count {
    fn add(&mut self, message: Message<'_>, room: &Room) -> Result<(), Unfit> {
        self.besides += PER_MESSAGE;
        self.push(message.role.0);
        if let Some(name) = message.name {
            self.besides += PER_NAME;
            self.push(name.0);
        }
        match message.content.map(RawValue::get) {
            Some(text) if text.starts_with('"') => {
                self.push(field::<Str<'_>>("messages.content", text)?.0);
            }
            Some(parts) => {
                for part in list_field("messages.content", parts, room)? {
                    self.add_part(object_field("messages.content", part?)?);
                }
            }
            None => {}
        }
        if let Some(calls) = message.tool_calls {
            self.rough = true;
            self.push(calls.get().into());
        }
        Ok(())
    }

    fn add_part(&mut self, part: Part<'_>) {
        match part.text {
            Some(text) => self.push(text.0),
            None => {
                self.rough = true;
                self.besides += PER_IMAGE;
            }
        }
    }

    /// Adds a text. It is kept only as long as the prompt can still be tokenized.
    fn push(&mut self, text: Cow<'_, str>) {
        self.length += text.len();
        self.estimated += (text.len() as u64).div_ceil(BYTES_PER_TOKEN);
        if self.length > TOKENIZED_MAX {
            self.texts = Vec::new();
        } else {
            self.texts.push(text.into_owned());
        }
    }
}

/// OpenAI's tokenizer for the deployment's model, or for the base model that the config names.
fn tokenizer(deployment: &Deployment, upstream_model: &str) -> Option<Tokenizer> {
    #[derive(Deserialize)]
    struct Info<'a> {
        #[serde(borrow)]
        base_model: Option<Str<'a>>,
    }
    let info: Option<Info<'_>> = serde_json::from_str(&deployment.display.model_info).ok();
    let named = info.and_then(|info| info.base_model).map(Cow::from);
    let name = named.as_deref().unwrap_or(upstream_model);
    get_tokenizer(name.rsplit('/').next().unwrap_or(name))
}

/// The body of the request to a provider of the messages format.
pub(crate) fn ask(peek: &Peek, order: &Order<'_>) -> Result<Payload, Unfit> {
    let bytes = peek.body().len();
    let prompt = peek.raw("prompt").filter(|_| peek.raw("messages").is_none());
    let turn = prompt.map(|prompt| format!("[{{\"role\":\"user\",\"content\":{prompt}}}]"));
    let messages = turn.as_deref().or(peek.raw("messages")).unwrap_or("[]");
    let edits = [Edit::Set("messages", Cow::Borrowed(messages)), Edit::Remove("prompt")];
    let written = {
        let fields = peek.fields_with(&edits);
        let mut request = openai::read_request::read(fields, &Room::of(bytes))?;
        fit(&mut request, order, bytes)?;
        match order.wire() {
            // Of other wires none is asked.
            WireFormat::OpenAi
            | WireFormat::Anthropic
            | WireFormat::Cohere
            | WireFormat::Responses
            | WireFormat::Ollama => anthropic::write_request::write(&request, order, bytes)?,
            WireFormat::Gemini => {
                let written = gemini::write_request::write_counted(&request, order, bytes)?;
                return Ok(Bytes::from(written).into());
            }
            WireFormat::Converse => {
                let written = bedrock::write_request::write_counted(&request, order, bytes)?;
                return Ok(Bytes::from(written).into());
            }
        }
    };
    drop(turn);
    let written = Peek::parse(Bytes::from(written));
    let written = written.map_err(|why| Unfit::malformed("request_body", why))?;
    Ok(asked(&written, order))
}

/// The body that asks a provider of the messages format for the tokens of the message `written`.
pub(crate) fn asked(written: &Peek, order: &Order<'_>) -> Payload {
    anthropic::edits::counted_body(written, order, &NOT_COUNTED)
}

/// The provider's count in `text` as a reply.
pub(crate) fn counted(text: &str, view: &View) -> Result<Vec<u8>, String> {
    #[derive(Deserialize)]
    struct Counted {
        input_tokens: u64,
    }
    let (total, tokenizer) = match serde_json::from_str::<Counted>(text) {
        Ok(counted) => (counted.input_tokens, "anthropic_api"),
        Err(why) => match gemini::count::total(text) {
            Ok(total) => (total, "gemini_api"),
            Err(_) => match bedrock::count::total(text) {
                Ok(total) => (total, "bedrock_api"),
                Err(_) => return Err(why.to_string()),
            },
        },
    };
    let used = view.upstream_model.as_deref().unwrap_or_default();
    let reply = Reply {
        total,
        requested_json: &view.model_json,
        used,
        tokenizer,
        source: "provider_api",
        original: Some(text),
    };
    Ok(reply.json().to_vec())
}

/// A reply, in LiteLLM's shape.
struct Reply<'r> {
    total: u64,
    requested_json: &'r str,
    used: &'r str,
    tokenizer: &'r str,
    /// The source of the count.
    source: &'r str,
    /// The provider's answer.
    original: Option<&'r str>,
}

impl Reply<'_> {
    fn json(&self) -> Bytes {
        let mut json = JsonText::new();
        json.open(b'{').count_member("total_tokens", self.total);
        json.raw_member("request_model", self.requested_json).member("model_used", self.used);
        json.member("tokenizer_type", self.tokenizer).member("count_source", self.source);
        json.raw_member("original_response", self.original.unwrap_or("null"));
        json.raw_member("error", "false").raw_member("error_message", "null");
        json.raw_member("status_code", "null").close(b'}');
        Bytes::from(json.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use hale_core::operation::Operation;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::{deployment, order};

    /// The example of the page that [`PER_MESSAGE`] names.
    fn example() -> Value {
        json!([
            {"role": "system", "content": "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
            {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
            {"role": "system", "name": "example_assistant", "content": "Things working well together will increase revenue."},
            {"role": "system", "name": "example_user", "content": "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
            {"role": "system", "name": "example_assistant", "content": "Let's talk later when we're less busy about how to do better."},
            {"role": "user", "content": "This late pivot means we don't have time to boil the ocean for the client deliverable."}
        ])
    }

    fn count_of(model: &str, body: &Value) -> Value {
        let deployment = deployment("openai");
        let peek = Peek::parse(Bytes::from(body.to_string())).unwrap();
        let order = order(&deployment, Operation::CountPrompt, model);
        serde_json::from_slice(&local(&peek, &order).unwrap().answer()).unwrap()
    }

    #[test]
    fn the_published_example_has_the_published_counts() {
        let body = json!({"model": "m", "messages": example()});
        for (model, tokens) in [("gpt-4", 129), ("gpt-3.5-turbo-0125", 129), ("gpt-4o", 124)] {
            let reply = count_of(model, &body);
            let expected = json!({
                "total_tokens": tokens, "request_model": "m", "model_used": model,
                "tokenizer_type": "openai_tokenizer", "count_source": "local_tokenizer",
                "original_response": null, "error": false, "error_message": null,
                "status_code": null,
            });
            assert_eq!(reply, expected);
        }
    }

    #[test]
    fn content_that_no_tokenizer_counts_is_marked_as_an_estimate() {
        let source = |model: &str, body: Value| {
            let reply = count_of(model, &body);
            (
                reply["total_tokens"].as_u64().unwrap(),
                reply["count_source"].as_str().unwrap().to_owned(),
            )
        };
        assert_eq!(
            source("gpt-4o", json!({"prompt": "hello world"})),
            (2, "local_tokenizer".into())
        );
        assert_eq!(source("llama-3", json!({"prompt": "hello world"})), (3, "estimate".into()));
        let image = json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]});
        assert!(source("gpt-4o", image).0 > 1600);
        let calls = json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]});
        assert_eq!(source("gpt-4o", calls).1, "estimate");
        let tools = json!({"messages": [{"role": "user", "content": "x"}], "tools": [{}]});
        assert_eq!(source("gpt-4o", tools).1, "estimate");
        let long = json!({"prompt": "x".repeat(TOKENIZED_MAX + 1)});
        assert_eq!(source("gpt-4o", long).1, "estimate");
    }

    #[test]
    fn monotonous_prompts_are_counted_in_time() {
        for text in [" ", "A", "\n", "\u{4e00}", "!"] {
            let prompt = text.repeat(TOKENIZED_MAX / 8 / text.len());
            assert!(
                count_of("gpt-4o", &json!({"prompt": prompt}))["total_tokens"].as_u64() > Some(0)
            );
        }
    }

    #[test]
    fn the_base_model_decides_about_the_tokenizer() {
        let mut azure = deployment("azure");
        azure.display.model_info = r#"{"base_model":"azure/gpt-4o"}"#.into();
        assert_eq!(tokenizer(&azure, "my-own"), Some(Tokenizer::O200kBase));
        azure.display.model_info = "{}".into();
        assert_eq!(tokenizer(&azure, "my-own"), None);
    }
}
