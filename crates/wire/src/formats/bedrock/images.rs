//! Images by `invoke`: the client's request for Titan or Nova Canvas, and the answer.
//!
//! Called by the conversion for clients of OpenAI's format. Always true: images are in the answer in base64; an answer without any
//! is an error, of the provider's policy if it says so.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-image.html>,
//! <https://docs.aws.amazon.com/nova/latest/userguide/image-gen-req-resp-structure.html>.

use hale_core::health::outcome::ProviderError;

use super::FIX;
use crate::bytes::edit::Edit;
use crate::bytes::elements::elements;
use crate::bytes::fields::is_removed;
use crate::bytes::json::{JsonText, lossy};
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::answer::Fault;
use crate::formats::errors::clean;
use crate::formats::neutral::Unfit;
use crate::formats::order::Order;
use crate::formats::view::View;

/// Words of a refusal for what an image would show.
const FILTERED: [&str; 4] = ["content filter", "Responsible AI", "policy", "blocked"];

/// What the client asks for, as JSON text.
#[derive(Default)]
struct Asked<'r> {
    prompt: Option<&'r str>,
    negative: Option<&'r str>,
    size: Option<(u32, u32)>,
    settings: Vec<(&'static str, &'r str)>,
}

/// Whether a model makes images in another format.
fn is_of_others(model: &str) -> bool {
    model.contains("stability.") || model.contains("stable-")
}

/// The body for `peek` with `edits`.
pub(crate) fn write(peek: &Peek, edits: &[Edit<'_>], order: &Order<'_>) -> Result<Vec<u8>, Unfit> {
    let provider = &order.deployment.endpoint.provider.name;
    if is_of_others(order.upstream_model) {
        let fix = "of Bedrock's models, Titan and Nova Canvas make images here";
        return Err(Unfit::unsupported("model", provider, fix));
    }
    let fields: Vec<_> = peek.fields_with(edits).collect();
    let mut asked = Asked::default();
    for (name, raw) in fields.iter().filter(|(name, raw)| *raw != "null" && !is_removed(name)) {
        let raw = *raw;
        match &**name {
            "model" | "user" | "style" | "background" | "moderation" | "metadata" => {}
            "prompt" => asked.prompt = Some(raw),
            "negative_prompt" | "negativeText" => asked.negative = Some(raw),
            "n" => asked.settings.push(("numberOfImages", raw)),
            "size" if raw == "\"auto\"" => {}
            "size" => asked.size = Some(size(raw)?),
            "quality" => asked.settings.push(("quality", quality(raw))),
            "seed" => asked.settings.push(("seed", raw)),
            "cfg_scale" | "cfgScale" => asked.settings.push(("cfgScale", raw)),
            "response_format" if raw == "\"b64_json\"" => {}
            // A deployment's defaults are for chats.
            _ if order.drop_params || !peek.has(name) => {}
            _ => return Err(Unfit::unsupported(&**name, provider, FIX)),
        }
    }
    let prompt = asked.prompt.ok_or_else(|| Unfit::malformed("prompt", "it is missing"))?;
    let mut json = JsonText::with_room(prompt.len() + 256);
    json.open(b'{').member("taskType", "TEXT_IMAGE").key("textToImageParams").open(b'{');
    json.raw_member("text", prompt);
    if let Some(raw) = asked.negative {
        json.raw_member("negativeText", raw);
    }
    json.close(b'}').key("imageGenerationConfig").open(b'{');
    if let Some((width, height)) = asked.size {
        json.count_member("width", width.into()).count_member("height", height.into());
    }
    for (name, raw) in &asked.settings {
        json.raw_member(name, raw);
    }
    json.close(b'}').close(b'}');
    Ok(json.into_bytes())
}

/// `"1024x768"`.
fn size(raw: &str) -> Result<(u32, u32), Unfit> {
    let sides = raw.trim_matches('"').split_once('x');
    let parsed =
        sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    parsed.ok_or_else(|| Unfit::malformed("size", "it must be `WIDTHxHEIGHT`, in pixels"))
}

/// The two words of the models for those of OpenAI's.
fn quality(raw: &str) -> &'static str {
    match raw {
        "\"hd\"" | "\"high\"" | "\"premium\"" => "\"premium\"",
        _ => "\"standard\"",
    }
}

/// How many images an answer has.
pub(super) fn count(images: &str) -> u32 {
    let all = elements(images).into_iter().flatten().filter(|one| one.starts_with('"'));
    u32::try_from(all.count()).unwrap_or(u32::MAX)
}

/// The answer in `text` for a client of OpenAI's format.
pub(crate) fn translate(text: &str, view: &View) -> Result<Vec<u8>, Fault> {
    let broken = || Fault::Malformed("a broken answer: no JSON".to_owned());
    let [images, error] = texts(text, ["images", "error"]).map_err(|_| broken())?;
    let all = images.and_then(elements).into_iter().flatten();
    let mut json = JsonText::with_room(text.len());
    json.open(b'{').count_member("created", view.created).key("data").open(b'[');
    let mut count = 0;
    for one in all.filter(|one| one.starts_with('"')) {
        json.open(b'{').raw_member("b64_json", one).close(b'}');
        count += 1;
    }
    if count == 0 {
        return Err(missing(error));
    }
    json.close(b']').close(b'}');
    Ok(json.into_bytes())
}

/// Why there is no image.
pub(super) fn missing(error: Option<&str>) -> Fault {
    let Some(said) = error.and_then(|raw| lossy(raw, &mut None)) else {
        return Fault::Malformed("an answer without an image".to_owned());
    };
    let is_filtered = FILTERED.iter().any(|word| said.contains(word));
    let code = is_filtered.then(|| "content_filter".to_owned());
    Fault::Error(ProviderError { message: clean(&said, 300), code, ..ProviderError::default() })
}
