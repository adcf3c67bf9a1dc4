//! Counts of tokens: what is asked in the words of Claude's own format, and the answer of `count-tokens`.
//!
//! Called by the conversion for counts of clients of other formats. Always true: what is counted is what would be sent.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;

use crate::bytes::edit::Edit;
use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::bytes::payload::Payload;
use crate::bytes::peek::Peek;
use crate::formats::neutral::Unfit;
use crate::formats::order::Order;
use crate::formats::usage::count_of;

/// The limit of an answer, which the format wants also where nothing is answered.
const LIMIT: Edit<'_> = Edit::Default("max_tokens", "1");

/// Whether messages of a client would be sent in the model's own format.
pub(crate) fn is_in_its_format(order: &Order<'_>) -> bool {
    let aws = order.deployment.endpoint.aws.as_ref();
    aws.is_some_and(|aws| {
        aws.wire(Operation::Messages, order.upstream_model) == WireFormat::Anthropic
    })
}

/// The request with a limit of its answer.
pub(crate) fn with_limit(peek: &Peek) -> Result<Peek, Unfit> {
    let limited = Peek::parse(peek.edited(&[LIMIT]));
    limited.map_err(|why| Unfit::malformed("request_body", why))
}

/// The body that asks for a count of `body`, which is in the model's own format.
pub(crate) fn of_invoke(body: &Payload) -> Vec<u8> {
    let mut json = JsonText::with_room(body.len() * 4 / 3);
    json.open(b'{').key("input").open(b'{').key("invokeModel").open(b'{');
    json.member("body", &STANDARD.encode(body.joined()));
    json.close(b'}').close(b'}').close(b'}');
    json.into_bytes()
}

/// The tokens that the answer in `text` counts.
pub(crate) fn total(text: &str) -> Result<u64, String> {
    let found = texts(text, ["inputTokens"]).ok().and_then(|[total]| total);
    found.and_then(count_of).ok_or_else(|| "it has no count in `inputTokens`".to_owned())
}
