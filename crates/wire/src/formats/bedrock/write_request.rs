//! Writes a neutral request as the body of `converse`, and of a count of its tokens.
//!
//! Called by the conversion for clients of other formats. Always true: the model is in the path and not in the body; what
//! cannot be expressed is refused, or left out if `drop_params` allows it.

use super::cache::Points;
use super::{messages, settings, tools};
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
    write_prompt(&mut json, request, order)?;
    settings::write(&mut json, request, order)?;
    json.close(b'}');
    Ok(json.into_bytes())
}

/// What the model reads: `system`, `messages`, `toolConfig`.
fn write_prompt(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let mut points = Points::of(request, order);
    messages::write(json, request, (order, &mut points))?;
    tools::write(json, request, (order, &mut points))
}

/// The body that asks how many tokens `request` has.
pub(crate) fn write_counted(
    request: &Request<'_>,
    order: &Order<'_>,
    bytes: usize,
) -> Result<Vec<u8>, Unfit> {
    let mut json = JsonText::of_request(bytes, schema::GROWTH);
    json.open(b'{').key("input").open(b'{').key("converse").open(b'{');
    write_prompt(&mut json, request, order)?;
    json.close(b'}').close(b'}').close(b'}');
    Ok(json.into_bytes())
}
