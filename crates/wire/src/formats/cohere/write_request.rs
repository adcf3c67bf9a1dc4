//! Writes a neutral request as the body of a chat.
//!
//! Called by the conversion for clients of other formats. Always true: what cannot be expressed is refused, or left out if
//! `drop_params` allows it.

use super::{messages, parameters, tools};
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
    json.open(b'{').member("model", order.upstream_model);
    let documents = messages::write(&mut json, request, order)?;
    tools::write(&mut json, request, order)?;
    parameters::write(&mut json, request, (order, &documents))?;
    json.close(b'}');
    Ok(json.into_bytes())
}
