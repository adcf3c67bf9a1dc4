//! Writes a neutral request as the body of `/api/chat`.
//!
//! Called by the conversion for clients of all formats. Always true: the body says whether the answer is a stream, because it is
//! one where nothing is said; what cannot be expressed is refused, or left out if `drop_params` allows it.

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
    json.open(b'{').member("model", order.upstream_model);
    messages::write(&mut json, request, order)?;
    let offered = tools::write(&mut json, request, order)?;
    settings::write(&mut json, request, order, offered)?;
    json.raw_member("stream", if request.stream { "true" } else { "false" });
    json.close(b'}');
    Ok(json.into_bytes())
}
