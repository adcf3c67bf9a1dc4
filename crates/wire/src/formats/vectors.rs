//! Writes embeddings as clients of OpenAI's format read them.
//!
//! Called by the formats whose answers have another shape. Always true: numbers are copied as they are written, and read only
//! where the client wants them in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::notes::NumberForm;
use super::view::View;
use crate::bytes::elements::elements;
use crate::bytes::json::JsonText;

/// The answer with `vectors`, each a list of numbers as JSON text, in the order of the inputs; `counted` is the tokens of the
/// inputs, if the provider says.
///
/// # Errors
/// What is wrong with a vector.
pub(crate) fn write<'t>(
    vectors: impl Iterator<Item = Result<&'t str, String>>,
    counted: Option<u64>,
    view: &View,
) -> Result<Vec<u8>, String> {
    let wanted = view.notes.as_ref().map(|notes| notes.embeddings).unwrap_or_default();
    let mut json = JsonText::new();
    json.open(b'{').member("object", "list").key("data").open(b'[');
    for (index, values) in vectors.enumerate() {
        let values = values?;
        json.open(b'{').member("object", "embedding").count_member("index", index as u64);
        json.key("embedding");
        match wanted.form {
            NumberForm::Decimal if values.starts_with('[') => json.raw(values),
            NumberForm::Decimal => return Err("values that are no list".to_owned()),
            NumberForm::Base64 => json.text(&in_base64(values)?),
        };
        json.close(b'}');
    }
    json.close(b']').raw_member("model", &view.model_json);
    let tokens = counted.unwrap_or(wanted.estimated);
    json.key("usage").open(b'{').count_member("prompt_tokens", tokens);
    json.count_member("total_tokens", tokens).close(b'}').close(b'}');
    Ok(json.into_bytes())
}

/// Numbers as OpenAI's clients decode them: 32 bits each, the least byte first.
fn in_base64(values: &str) -> Result<String, String> {
    let values = elements(values).ok_or("values that are no list")?;
    let mut bytes = Vec::new();
    for value in values {
        let value: f32 = value.parse().map_err(|_| "a value that is no number".to_owned())?;
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    Ok(STANDARD.encode(bytes))
}
