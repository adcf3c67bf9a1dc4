//! Embeddings: the client's request in Google's format, and Google's answer in the client's.
//!
//! Called by the conversion for clients of OpenAI's format. Always true: one call for all inputs; numbers are copied as
//! they are written, and read only where the client wants them in base64.

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
use crate::formats::vectors;
use crate::formats::view::View;
use hale_core::usage::BYTES_PER_TOKEN;

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
    let vectors = all.map(|one| {
        let values = texts(one, ["values"]).ok().and_then(|[values]| values);
        values.ok_or_else(|| "an embedding without `values`".to_owned())
    });
    // Older models do not count.
    let counted = counts.and_then(usage::read).map(|usage| usage.input);
    vectors::write(vectors, counted, view)
}
