//! Embeddings by `invoke`: each family of models has a format of its own.
//!
//! Called by the conversion for clients of OpenAI's format. Always true: a call has no more inputs than the family takes, see
//! [`inputs_max`]; numbers are copied as they are written.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-mm.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html>,
//! <https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html>.

use hale_core::usage::{BYTES_PER_TOKEN, Usage};

use super::FIX;
use crate::bytes::edit::Edit;
use crate::bytes::elements::elements;
use crate::bytes::fields::is_removed;
use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::cohere;
use crate::formats::neutral::Unfit;
use crate::formats::notes::{Embeddings, Notes, NumberForm};
use crate::formats::order::Order;
use crate::formats::room::Room;
use crate::formats::unfit::list_field;
use crate::formats::usage::count_of;
use crate::formats::vectors;
use crate::formats::view::View;

/// Whose format a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// Amazon's Titan, for texts. Version 1 has no settings.
    Titan { has_settings: bool },
    /// Amazon's Titan, for texts and images.
    TitanImages,
    /// Amazon's Nova.
    Nova,
    /// Cohere's.
    Cohere,
}

impl Family {
    fn of(model: &str) -> Family {
        if model.contains("cohere.") {
            Family::Cohere
        } else if model.contains("nova") {
            Family::Nova
        } else if model.contains("titan-embed-image") {
            Family::TitanImages
        } else {
            Family::Titan { has_settings: model.contains("v2") }
        }
    }
}

/// How many inputs a call for `model` may have.
pub(crate) fn inputs_max(model: &str) -> usize {
    match Family::of(model) {
        Family::Cohere => cohere::INPUTS_MAX,
        Family::Titan { .. } | Family::TitanImages | Family::Nova => 1,
    }
}

/// What the client says besides its inputs.
#[derive(Default)]
struct Said<'r> {
    input: &'r str,
    dimensions: Option<&'r str>,
    purpose: Option<&'r str>,
    kinds: Option<&'r str>,
    normalize: Option<&'r str>,
    truncate: Option<&'r str>,
    form: NumberForm,
}

/// The body for the inputs of `peek` with `edits`, and how the client wants the answer.
pub(crate) fn write(
    peek: &Peek,
    edits: &[Edit<'_>],
    order: &Order<'_>,
) -> Result<(Vec<u8>, Notes), Unfit> {
    let family = Family::of(order.upstream_model);
    let fields: Vec<_> = peek.fields_with(edits).collect();
    let mut said = Said { input: "[]", ..Said::default() };
    for (name, raw) in fields.iter().filter(|(name, raw)| *raw != "null" && !is_removed(name)) {
        let raw = *raw;
        match (&**name, family) {
            ("model" | "user" | "metadata", _) => {}
            ("input", _) => said.input = raw,
            ("encoding_format", _) if raw == "\"base64\"" => said.form = NumberForm::Base64,
            ("encoding_format", _) => {}
            // The first Titan has one size.
            ("dimensions" | "output_dimension", family)
                if family != (Family::Titan { has_settings: false }) =>
            {
                said.dimensions = Some(raw);
            }
            ("input_type", Family::Cohere | Family::Nova) => said.purpose = Some(raw),
            (
                "embedding_types" | "embeddingTypes",
                Family::Cohere | Family::Titan { has_settings: true },
            ) => {
                said.kinds = Some(raw);
            }
            ("normalize", Family::Titan { has_settings: true }) => said.normalize = Some(raw),
            ("truncate", Family::Cohere | Family::Nova) => said.truncate = Some(raw),
            // What an embedding is for changes nothing at models that do not ask.
            ("input_type", _) => {}
            // A deployment's defaults are for chats.
            (name, _) if order.drop_params || !peek.has(name) => {}
            (name, _) => {
                let provider = &order.deployment.endpoint.provider.name;
                return Err(Unfit::unsupported(name, provider, FIX));
            }
        }
    }
    let mut json = JsonText::with_room(said.input.len() + 256);
    let inputs = inputs(&said, peek, order)?;
    match (family, inputs.as_slice()) {
        (Family::Cohere, all) => write_cohere(&mut json, &said, all),
        (family, [one]) => write_one(&mut json, family, &said, one),
        (_, _) => return Err(Unfit::malformed("input", "it has no text")),
    }
    let estimated = said.input.len() as u64 / BYTES_PER_TOKEN;
    let embeddings = Embeddings { form: said.form, estimated };
    Ok((json.into_bytes(), Notes { embeddings, ..Notes::default() }))
}

/// The inputs, each a text as JSON text.
fn inputs<'r>(said: &Said<'r>, peek: &Peek, order: &Order<'_>) -> Result<Vec<&'r str>, Unfit> {
    let room = Room::of(peek.body().len());
    let inputs: Vec<&str> = match said.input.starts_with('"') {
        true => vec![said.input],
        false => list_field("input", said.input, &room)?.collect::<Result<_, _>>()?,
    };
    if inputs.iter().any(|one| !one.starts_with('"')) {
        let provider = &order.deployment.endpoint.provider.name;
        return Err(Unfit::unsupported("input", provider, "send texts in place of tokens"));
    }
    Ok(inputs)
}

/// Whether an input is an image in a data URL.
fn is_image(input: &str) -> bool {
    input.starts_with("\"data:image/")
}

fn write_cohere(json: &mut JsonText, said: &Said<'_>, inputs: &[&str]) {
    let are_images = !inputs.is_empty() && inputs.iter().all(|one| is_image(one));
    json.open(b'{').key(if are_images { "images" } else { "texts" }).open(b'[');
    for one in inputs {
        json.raw(one);
    }
    json.close(b']');
    let purpose = said.purpose.unwrap_or(cohere::INPUT_TYPE);
    json.raw_member("input_type", if are_images { "\"image\"" } else { purpose });
    let more = [
        ("embedding_types", said.kinds),
        ("output_dimension", said.dimensions),
        ("truncate", said.truncate),
    ];
    write_given(json, &more);
    json.close(b'}');
}

fn write_one(json: &mut JsonText, family: Family, said: &Said<'_>, input: &str) {
    json.open(b'{');
    match family {
        Family::Titan { .. } | Family::Cohere => {
            json.raw_member("inputText", input);
            let more = [
                ("dimensions", said.dimensions),
                ("normalize", said.normalize),
                ("embeddingTypes", said.kinds),
            ];
            write_given(json, &more);
        }
        Family::TitanImages => {
            match input.split_once(',').filter(|_| is_image(input)) {
                Some((_, data)) => json.member("inputImage", data.trim_end_matches('"')),
                None => json.raw_member("inputText", input),
            };
            if let Some(raw) = said.dimensions {
                json.key("embeddingConfig").open(b'{');
                json.raw_member("outputEmbeddingLength", raw).close(b'}');
            }
        }
        Family::Nova => {
            json.member("schemaVersion", "nova-multimodal-embed-v1");
            json.member("taskType", "SINGLE_EMBEDDING").key("singleEmbeddingParams").open(b'{');
            json.member("embeddingPurpose", nova_purpose(said.purpose));
            if let Some(raw) = said.dimensions {
                json.raw_member("embeddingDimension", raw);
            }
            json.key("text").open(b'{').member("truncationMode", nova_cut(said.truncate));
            json.raw_member("value", input).close(b'}').close(b'}');
        }
    }
    json.close(b'}');
}

fn write_given(json: &mut JsonText, more: &[(&str, Option<&str>)]) {
    for (name, raw) in more {
        if let Some(raw) = raw {
            json.raw_member(name, raw);
        }
    }
}

/// What an embedding is for, in Nova's words.
fn nova_purpose(raw: Option<&str>) -> &'static str {
    match raw {
        Some("\"search_query\"") => "GENERIC_RETRIEVAL",
        Some("\"classification\"") => "CLASSIFICATION",
        Some("\"clustering\"") => "CLUSTERING",
        _ => "GENERIC_INDEX",
    }
}

/// Which end of a text that is too long is cut.
fn nova_cut(raw: Option<&str>) -> &'static str {
    match raw {
        Some("\"START\"") => "START",
        Some("\"NONE\"") => "NONE",
        _ => "END",
    }
}

/// The tokens that an answer counts: Titan's do.
pub(super) fn counted(count: Option<&str>) -> Option<Usage> {
    let input = count.and_then(count_of).filter(|count| *count > 0)?;
    Some(Usage { input, ..Usage::default() })
}

/// The answer in `text` for a client of OpenAI's format.
pub(crate) fn translate(text: &str, view: &View) -> Result<Vec<u8>, String> {
    let names = ["embedding", "embeddingsByType", "embeddings", "inputTextTokenCount"];
    let [one, by_type, all, count] =
        texts(text, names).map_err(|_| "it is no object".to_owned())?;
    let counted = counted(count).map(|usage| usage.input);
    let typed = || by_type.and_then(cohere::vectors_of);
    if let Some(vector) = one.filter(|raw| raw.starts_with('[')).or_else(typed) {
        return vectors::write(std::iter::once(Ok(vector)), counted, view);
    }
    let all = all.ok_or("it has no list of `embeddings`")?;
    let list = if all.starts_with('[') { Some(all) } else { cohere::vectors_of(all) };
    let list = list.and_then(elements).ok_or("it has no list of `embeddings`")?;
    let vectors = list.map(|one| match one.starts_with('[') {
        true => Ok(one),
        // Nova's are objects.
        false => {
            let found = texts(one, ["embedding"]).ok().and_then(|[embedding]| embedding);
            found.ok_or_else(|| "an embedding without its numbers".to_owned())
        }
    });
    vectors::write(vectors, counted, view)
}
