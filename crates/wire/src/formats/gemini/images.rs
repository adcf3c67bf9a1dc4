//! Images: the client's request for Imagen or for a model that answers chats with images, and the answer.
//!
//! Called by the conversion for clients of OpenAI's format. Always true: images are in the answer in base64; one that was
//! filtered is no image, and an answer without any is an error of the provider's policy.

use hale_core::health::outcome::ProviderError;
use hale_core::operation::Operation;

use super::part::{self, Said};
use super::{FIX, usage};
use crate::bytes::edit::Edit;
use crate::bytes::elements::elements;
use crate::bytes::fields::is_removed;
use crate::bytes::json::{JsonText, lossy};
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::answer::Fault;
use crate::formats::guards;
use crate::formats::neutral::Unfit;
use crate::formats::order::Order;
use crate::formats::view::View;

/// Sizes in pixels, and the shapes that they have. Source: LiteLLM.
const SHAPES: [(&str, &str); 5] = [
    ("\"1024x1024\"", "1:1"),
    ("\"1792x1024\"", "16:9"),
    ("\"1024x1792\"", "9:16"),
    ("\"1280x896\"", "4:3"),
    ("\"896x1280\"", "3:4"),
];

/// What the client asks for.
#[derive(Default)]
struct Asked<'r> {
    prompt: Option<&'r str>,
    count: Option<&'r str>,
    shape: Option<&'static str>,
}

/// What is called for images of that model.
pub(crate) fn operation_of(model: &str) -> Operation {
    let name = model.rsplit('/').next().unwrap_or_default();
    match name.starts_with("gemini") {
        true => Operation::GenerateContent,
        false => Operation::PredictImages,
    }
}

/// The body for `peek` with `edits`.
pub(crate) fn write(peek: &Peek, edits: &[Edit<'_>], order: &Order<'_>) -> Result<Vec<u8>, Unfit> {
    let provider = &order.deployment.endpoint.provider.name;
    let mut asked = Asked::default();
    for (name, raw) in peek.fields_with(edits) {
        if raw == "null" || is_removed(&name) {
            continue;
        }
        match &*name {
            // What the answer is like is the model's.
            "model" | "user" | "quality" | "style" | "background" | "moderation" | "metadata" => {}
            "prompt" => asked.prompt = Some(raw),
            "n" => asked.count = Some(raw),
            "size" => {
                let known = SHAPES.iter().find(|(size, _)| *size == raw);
                asked.shape = known.map(|(_, shape)| *shape);
            }
            "response_format" if raw == "\"b64_json\"" => {}
            // A deployment's defaults are for chats.
            _ if order.drop_params || !peek.has(&name) => {}
            _ => return Err(Unfit::unsupported(&*name, provider, FIX)),
        }
    }
    let prompt = asked.prompt.ok_or_else(|| Unfit::malformed("prompt", "it is missing"))?;
    let mut json = JsonText::with_room(prompt.len() + 256);
    json.open(b'{');
    match operation_of(order.upstream_model) {
        Operation::GenerateContent => {
            if asked.count.is_some_and(|count| count != "1") && !order.drop_params {
                return Err(Unfit::unsupported("n", provider, FIX));
            }
            json.key("contents").open(b'[').open(b'{').member("role", "user").key("parts");
            json.open(b'[').open(b'{').raw_member("text", prompt).close(b'}').close(b']');
            json.close(b'}').close(b']').key("generationConfig").open(b'{');
            json.raw_member("responseModalities", r#"["TEXT","IMAGE"]"#);
            if let Some(shape) = asked.shape {
                json.key("imageConfig").open(b'{').member("aspectRatio", shape).close(b'}');
            }
            json.close(b'}');
            if let Some(safety) = guards::safety(order) {
                json.raw_member("safetySettings", safety);
            }
        }
        _ => {
            json.key("instances").open(b'[').open(b'{').raw_member("prompt", prompt);
            json.close(b'}').close(b']').key("parameters").open(b'{');
            json.raw_member("sampleCount", asked.count.unwrap_or("1"));
            json.member("aspectRatio", asked.shape.unwrap_or("1:1")).close(b'}');
        }
    }
    json.close(b'}');
    Ok(json.into_bytes())
}

/// The answer in `text` for a client of OpenAI's format.
pub(crate) fn translate(text: &str, view: &View) -> Result<Vec<u8>, Fault> {
    let broken = |why: &str| Fault::Malformed(format!("a broken answer: {why}"));
    let [predictions, candidates, counts] =
        texts(text, ["predictions", "candidates", "usageMetadata"])
            .map_err(|_| broken("no JSON"))?;
    let mut json = JsonText::with_room(text.len());
    json.open(b'{').count_member("created", view.created).key("data").open(b'[');
    let mut images = 0;
    for one in predictions.and_then(elements).into_iter().flatten() {
        let found = texts(one, ["bytesBase64Encoded"]).ok().and_then(|[data]| data);
        if let Some(data) = found {
            json.open(b'{').raw_member("b64_json", data).close(b'}');
            images += 1;
        }
    }
    for candidate in candidates.and_then(elements).into_iter().flatten() {
        let content = texts(candidate, ["content"]).ok().and_then(|[content]| content);
        let parts = content.and_then(|raw| texts(raw, ["parts"]).ok()).and_then(|[parts]| parts);
        for raw in parts.and_then(elements).into_iter().flatten() {
            if let Said::Data { data, .. } = part::read(raw).map_err(|why| broken(&why))?.said {
                json.open(b'{').member("b64_json", &data).close(b'}');
                images += 1;
            }
        }
    }
    if images == 0 {
        return Err(filtered(text, predictions));
    }
    json.close(b']');
    if let Some(usage) = counts.and_then(usage::read) {
        json.key("usage").open(b'{').count_member("input_tokens", usage.input);
        json.count_member("output_tokens", usage.output);
        json.count_member("total_tokens", usage.input.saturating_add(usage.output)).close(b'}');
    }
    json.close(b'}');
    Ok(json.into_bytes())
}

/// Why there is no image.
fn filtered(text: &str, predictions: Option<&str>) -> Fault {
    let said = predictions.and_then(elements).into_iter().flatten().find_map(|one| {
        let [reason] = texts(one, ["raiFilteredReason"]).ok()?;
        lossy(reason?, &mut None)
    });
    let is_filtered = said.is_some() || super::is_stopped(text);
    if !is_filtered {
        return Fault::Malformed("an answer without an image".to_owned());
    }
    let message = said.map_or("the image was filtered".to_owned(), |said| {
        crate::formats::errors::clean(&said, 300)
    });
    let code = Some("content_filter".to_owned());
    Fault::Error(ProviderError { message, code, ..ProviderError::default() })
}
