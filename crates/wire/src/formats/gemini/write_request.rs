//! Writes a neutral request as the body of `generateContent`, and of a count of its tokens.
//!
//! Called by the conversion for clients of other formats. Always true: the model is in the path and not in the body; what
//! cannot be expressed is refused, or left out if `drop_params` allows it.

use super::{contents, generation, tools};
use crate::bytes::json::JsonText;
use crate::formats::neutral::{Request, Unfit};
use crate::formats::order::Order;
use crate::formats::schema;

/// The body of `request`, which was read from that many bytes.
pub(crate) fn write(
    request: &Request<'_>,
    order: &Order<'_>,
    bytes: usize,
) -> Result<Vec<u8>, Unfit> {
    let mut json = JsonText::of_request(bytes, schema::GROWTH);
    json.open(b'{');
    contents::write(&mut json, request, order)?;
    tools::write(&mut json, request, order)?;
    generation::write(&mut json, request, order)?;
    json.close(b'}');
    Ok(json.into_bytes())
}

/// The body that asks how many tokens `request` has.
pub(crate) fn write_counted(
    request: &Request<'_>,
    order: &Order<'_>,
    bytes: usize,
) -> Result<Vec<u8>, Unfit> {
    let mut json = JsonText::of_request(bytes, schema::GROWTH);
    json.open(b'{');
    if order.deployment.endpoint.vertex.is_some() {
        contents::write(&mut json, request, order)?;
        tools::write(&mut json, request, order)?;
        json.close(b'}');
        return Ok(json.into_bytes());
    }
    json.key("generateContentRequest").open(b'{');
    json.key("model").joined(["models/", order.upstream_model.trim_start_matches("models/")]);
    contents::write(&mut json, request, order)?;
    tools::write(&mut json, request, order)?;
    json.close(b'}').close(b'}');
    Ok(json.into_bytes())
}
