//! Embeddings: the client's request in Ollama's format, and Ollama's answer in the client's.
//!
//! Called by the conversion for clients of OpenAI's format. Always true: one call for all inputs.

use super::{FIX, settings};
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
use crate::formats::usage::count_of;
use crate::formats::vectors;
use crate::formats::view::View;
use hale_core::usage::BYTES_PER_TOKEN;

/// The body for the inputs of `peek` with `edits`, and how the client wants the answer.
pub(crate) fn write(
    peek: &Peek,
    edits: &[Edit<'_>],
    order: &Order<'_>,
) -> Result<(Vec<u8>, Notes), Unfit> {
    let provider = &order.deployment.endpoint.provider.name;
    let mut input = "[]";
    let mut form = NumberForm::Decimal;
    let (mut beside, mut options) = (Vec::new(), Vec::new());
    let fields: Vec<_> = peek.fields_with(edits).collect();
    for (name, raw) in &fields {
        if *raw == "null" || is_removed(name) {
            continue;
        }
        match &**name {
            "model" | "user" | "metadata" => {}
            "input" => input = raw,
            "dimensions" | "truncate" | "keep_alive" => beside.push((&**name, *raw)),
            "encoding_format" if *raw == "\"base64\"" => form = NumberForm::Base64,
            "encoding_format" => {}
            name if settings::is_option(name) => options.push((name, *raw)),
            // A deployment's defaults are for chats.
            _ if order.drop_params || !peek.has(name) => {}
            _ => return Err(Unfit::unsupported(&**name, provider, FIX)),
        }
    }
    if asks_nothing(input) {
        return Err(no_input());
    }
    check(input, order, &Room::of(peek.body().len()))?;
    let mut json = JsonText::with_room(peek.body().len() + 256);
    json.open(b'{').member("model", order.upstream_model).raw_member("input", input);
    for (name, raw) in beside {
        json.raw_member(name, raw);
    }
    settings::write_given(&mut json, Vec::new(), &options)?;
    json.close(b'}');
    let estimated = input.len() as u64 / BYTES_PER_TOKEN;
    let notes = Notes { embeddings: Embeddings { form, estimated }, ..Notes::default() };
    Ok((json.into_bytes(), notes))
}

/// Refuses what is neither a text nor a list of texts.
fn check(input: &str, order: &Order<'_>, room: &Room) -> Result<(), Unfit> {
    if input.starts_with('"') {
        return Ok(());
    }
    for one in list_field("input", input, room)? {
        if !one?.starts_with('"') {
            let fix = "send texts in place of tokens";
            return Err(Unfit::unsupported("input", &order.deployment.endpoint.provider.name, fix));
        }
    }
    Ok(())
}

/// The answer in `text` for a client of OpenAI's format.
pub(crate) fn translate(text: &str, view: &View) -> Result<Vec<u8>, String> {
    let [all, prompt] = texts(text, ["embeddings", "prompt_eval_count"])
        .map_err(|_| "it is no object".to_owned())?;
    let all = all.and_then(elements).ok_or("it has no list of `embeddings`")?;
    vectors::write(all.map(Ok), prompt.and_then(count_of), view)
}
