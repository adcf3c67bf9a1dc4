//! Embeddings: the client's request in Google's format, and Google's answer in the client's.
//!
//! Called by the conversion for clients of OpenAI's format. Always true: one call for all inputs; numbers are copied as
//! they are written, and read only where the client wants them in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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
use crate::formats::unfit::list_field;
use crate::formats::view::View;
use hale_core::usage::{BYTES_PER_TOKEN, Usage};

/// What an embedding is for, in the words of other providers and in Google's.
const TASKS: [(&str, &str); 4] = [
    ("\"search_document\"", "\"RETRIEVAL_DOCUMENT\""),
    ("\"search_query\"", "\"RETRIEVAL_QUERY\""),
    ("\"classification\"", "\"CLASSIFICATION\""),
    ("\"clustering\"", "\"CLUSTERING\""),
];

/// What is said about each input.
#[derive(Default)]
struct About<'r> {
    task: Option<&'r str>,
    title: Option<&'r str>,
    dimensions: Option<&'r str>,
}

/// The body for the inputs of `peek` with `edits`, and how the client wants the answer.
pub(crate) fn write(
    peek: &Peek,
    edits: &[Edit<'_>],
    order: &Order<'_>,
) -> Result<(Vec<u8>, Notes), Unfit> {
    let provider = &order.deployment.endpoint.provider.name;
    let (mut input, mut about) = ("[]", About::default());
    let mut form = NumberForm::Decimal;
    for (name, raw) in peek.fields_with(edits) {
        if raw == "null" || is_removed(&name) {
            continue;
        }
        match &*name {
            "model" | "user" | "metadata" => {}
            "input" => input = raw,
            "dimensions" | "output_dimensionality" | "outputDimensionality" => {
                about.dimensions = Some(raw);
            }
            "input_type" | "task_type" | "taskType" => {
                let known = TASKS.iter().find(|(given, _)| *given == raw);
                about.task = Some(known.map_or(raw, |(_, task)| *task));
            }
            "title" => about.title = Some(raw),
            "encoding_format" if raw == "\"base64\"" => form = NumberForm::Base64,
            "encoding_format" => {}
            // A deployment's defaults are for chats.
            _ if order.drop_params || !peek.has(&name) => {}
            _ => return Err(Unfit::unsupported(&*name, provider, FIX)),
        }
    }
    let room = Room::of(peek.body().len());
    let mut json = JsonText::with_room(input.len() + 256);
    json.open(b'{').key("requests").open(b'[');
    match input.starts_with('"') {
        true => write_one(&mut json, input, (&about, order))?,
        false => {
            for one in list_field("input", input, &room)? {
                write_one(&mut json, one?, (&about, order))?;
            }
        }
    }
    json.close(b']').close(b'}');
    let estimated = input.len() as u64 / BYTES_PER_TOKEN;
    let notes = Notes { embeddings: Embeddings { form, estimated }, ..Notes::default() };
    Ok((json.into_bytes(), notes))
}

fn write_one(
    json: &mut JsonText,
    input: &str,
    (about, order): (&About<'_>, &Order<'_>),
) -> Result<(), Unfit> {
    if !input.starts_with('"') {
        let fix = "send texts in place of tokens";
        return Err(Unfit::unsupported("input", &order.deployment.endpoint.provider.name, fix));
    }
    json.open(b'{').key("model");
    json.joined(["models/", order.upstream_model.trim_start_matches("models/")]);
    json.key("content").open(b'{').key("parts").open(b'[').open(b'{').raw_member("text", input);
    json.close(b'}').close(b']').close(b'}');
    let more = [
        ("taskType", about.task),
        ("title", about.title),
        ("outputDimensionality", about.dimensions),
    ];
    for (name, raw) in more {
        if let Some(raw) = raw {
            json.raw_member(name, raw);
        }
    }
    json.close(b'}');
    Ok(())
}

/// The answer in `text` for a client of OpenAI's format.
pub(crate) fn translate(text: &str, view: &View) -> Result<Vec<u8>, String> {
    let [embeddings, counts] =
        texts(text, ["embeddings", "usageMetadata"]).map_err(|_| "it is no object".to_owned())?;
    let all = embeddings.and_then(elements).ok_or("it has no list of `embeddings`")?;
    let wanted = view.notes.as_ref().map(|notes| notes.embeddings).unwrap_or_default();
    let mut json = JsonText::with_room(text.len());
    json.open(b'{').member("object", "list").key("data").open(b'[');
    for (index, one) in all.enumerate() {
        let values = texts(one, ["values"]).ok().and_then(|[values]| values);
        let values = values.ok_or("an embedding without `values`")?;
        json.open(b'{').member("object", "embedding").count_member("index", index as u64);
        json.key("embedding");
        match wanted.form {
            NumberForm::Decimal if values.starts_with('[') => json.raw(values),
            NumberForm::Decimal => return Err("`values` that are no list".to_owned()),
            NumberForm::Base64 => json.text(&in_base64(values)?),
        };
        json.close(b'}');
    }
    json.close(b']').raw_member("model", &view.model_json);
    let counted = counts.and_then(usage::read).unwrap_or(Usage {
        // Older models do not count.
        input: wanted.estimated,
        ..Usage::default()
    });
    json.key("usage").open(b'{').count_member("prompt_tokens", counted.input);
    json.count_member("total_tokens", counted.input).close(b'}').close(b'}');
    Ok(json.into_bytes())
}

/// Numbers as OpenAI's clients decode them: 32 bits each, the least byte first.
fn in_base64(values: &str) -> Result<String, String> {
    let values = elements(values).ok_or("`values` that are no list")?;
    let mut bytes = Vec::new();
    for value in values {
        let value: f32 = value.parse().map_err(|_| "a value that is no number".to_owned())?;
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    Ok(STANDARD.encode(bytes))
}
