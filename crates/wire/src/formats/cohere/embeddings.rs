//! Embeddings: the client's request in Cohere's format, and Cohere's answer in the client's.
//!
//! Called by the conversion for clients of OpenAI's format. Always true: numbers are copied as they are written, and read only
//! where the client wants them in base64.

use super::{FIX, usage};
use crate::bytes::edit::Edit;
use crate::bytes::elements::elements;
use crate::bytes::fields::is_removed;
use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::neutral::Unfit;
use crate::formats::notes::{Embeddings, Notes, NumberForm};
use crate::formats::order::Order;
use crate::formats::room::Room;
use crate::formats::unfit::{asks_nothing, list_field, no_input};
use crate::formats::vectors;
use crate::formats::view::View;
use hale_core::usage::BYTES_PER_TOKEN;

/// What an embedding is for where the client does not say. Source: LiteLLM.
pub(crate) const INPUT_TYPE: &str = "\"search_document\"";
/// How many inputs a call may have. Source: <https://docs.cohere.com/reference/embed>.
pub(crate) const INPUTS_MAX: usize = 96;
/// Kinds of numbers, in the order in which one of several in an answer is taken.
const KINDS: [&str; 5] = ["float", "int8", "uint8", "binary", "ubinary"];

/// The body for the inputs of `peek` with `edits`, and how the client wants the answer.
pub(crate) fn write(
    peek: &Peek,
    edits: &[Edit<'_>],
    order: &Order<'_>,
) -> Result<(Vec<u8>, Notes), Unfit> {
    let provider = &order.deployment.endpoint.provider.name;
    let (mut input, mut purpose, mut kinds) = ("[]", INPUT_TYPE, "[\"float\"]");
    let mut form = NumberForm::Decimal;
    let mut json = JsonText::with_room(peek.body().len() + 256);
    json.open(b'{').member("model", order.upstream_model);
    let fields: Vec<_> = peek.fields_with(edits).collect();
    for (name, raw) in fields.iter().filter(|(name, raw)| *raw != "null" && !is_removed(name)) {
        match &**name {
            "model" | "user" | "metadata" => {}
            "input" => input = raw,
            "input_type" => purpose = raw,
            "embedding_types" => kinds = raw,
            "dimensions" | "output_dimension" => {
                json.raw_member("output_dimension", raw);
            }
            "truncate" | "max_tokens" | "priority" if peek.has(name) => {
                json.raw_member(name, raw);
            }
            "encoding_format" if *raw == "\"base64\"" => form = NumberForm::Base64,
            "encoding_format" => {}
            // A deployment's defaults are for chats.
            _ if order.drop_params || !peek.has(name) => {}
            _ => return Err(Unfit::unsupported(&**name, provider, FIX)),
        }
    }
    let room = Room::of(peek.body().len());
    let inputs: Vec<&str> = match input.starts_with('"') {
        true => vec![input],
        false if asks_nothing(input) => return Err(no_input()),
        false => list_field("input", input, &room)?.collect::<Result<_, _>>()?,
    };
    if inputs.iter().any(|one| !one.starts_with('"')) {
        return Err(Unfit::unsupported("input", provider, "send texts in place of tokens"));
    }
    let are_images =
        !inputs.is_empty() && inputs.iter().all(|one| one.starts_with("\"data:image/"));
    json.key(if are_images { "images" } else { "texts" }).open(b'[');
    for one in inputs {
        json.raw(one);
    }
    json.close(b']');
    json.raw_member("input_type", if are_images { "\"image\"" } else { purpose });
    json.raw_member("embedding_types", kinds).close(b'}');
    let estimated = input.len() as u64 / BYTES_PER_TOKEN;
    let notes = Notes { embeddings: Embeddings { form, estimated }, ..Notes::default() };
    Ok((json.into_bytes(), notes))
}

/// The answer in `text` for a client of OpenAI's format.
pub(crate) fn translate(text: &str, view: &View) -> Result<Vec<u8>, String> {
    let [embeddings, meta] =
        texts(text, ["embeddings", "meta"]).map_err(|_| "it is no object".to_owned())?;
    let embeddings = embeddings.unwrap_or_default();
    // Older models answer with the list alone.
    let list = match embeddings.starts_with('[') {
        true => Some(embeddings),
        false => vectors_of(embeddings),
    };
    let all = list.and_then(elements).ok_or("it has no list of `embeddings`")?;
    let counted = meta.and_then(usage::billed).map(|usage| usage.input);
    vectors::write(all.map(Ok), counted, view)
}

/// The numbers in an object that has them by kind; of several kinds the first.
pub(crate) fn vectors_of(by_kind: &str) -> Option<&str> {
    texts(by_kind, KINDS).ok().and_then(|kinds| kinds.into_iter().flatten().next())
}
