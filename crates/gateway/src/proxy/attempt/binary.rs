//! Answers that are bytes, and the words that come in place of one.
//!
//! Called by [`super::attempt`]. Always true: nothing is promised to the client before the first bytes are
//! there and look like what was asked for. A file may have none.

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_wire::modes;
use hale_wire::stream::Reader;
use http::{HeaderMap, HeaderValue, header};

use super::{Ask, ERROR_BODY_MAX, ERROR_BODY_PATIENCE, Failed, Source, Stream, charged, faulty};
use crate::upstream::AnswerBody;

/// What is known of bytes before they come.
pub(crate) struct BytesHead {
    /// The upstream's content type.
    pub(crate) content_type: HeaderValue,
    /// How many there will be, where the upstream says.
    pub(crate) length: Option<u64>,
}

/// Reads bytes up to the first that are there, and makes sure that they are no words.
pub(super) async fn bytes_content(
    ask: &Ask<'_>,
    headers: &HeaderMap,
    mut body: AnswerBody,
) -> Result<Stream, Failed> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let length = body.declared();
    let first = loop {
        match body.piece().await {
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(Ok(piece)) => break Some(piece),
            Some(Err(_)) => return Err(Failed::cut("the answer was cut before its first byte")),
            None if ask.way.operation == Operation::GetFileContent => break None,
            None => return Err(faulty(modes::bytes::no_bytes(ask.way.operation, b""))),
        }
    };
    let named = content_type.and_then(|value| value.to_str().ok());
    let start = first.as_ref().map_or(&b""[..], Bytes::as_ref);
    if !modes::bytes::may_be_bytes(ask.way.operation, named, start) {
        let text = words(start.to_vec(), body).await;
        return Err(faulty(modes::bytes::no_bytes(ask.way.operation, &text)));
    }
    let mut reader = Reader::bytes(ask.way, ask.view.clone(), charged(ask, None));
    let mut ready = Vec::new();
    let read = match first {
        Some(first) => reader.push(first, &mut ready),
        None => reader.finish(&mut ready),
    };
    read.map_err(|error| Failed::malformed(error.to_string()))?;
    let unnamed = HeaderValue::from_static("application/octet-stream");
    let content_type = content_type.cloned().unwrap_or(unnamed);
    let bytes = Some(BytesHead { content_type, length });
    Ok(Stream { source: Source::Upstream(Box::new(body)), reader, ready, token: None, bytes })
}

/// The words of an answer that is no good one, as far as they come: an explanation that does not come is
/// not awaited. `text` is what was read of it already.
pub(super) async fn words(mut text: Vec<u8>, mut body: AnswerBody) -> Vec<u8> {
    let reading = async {
        while text.len() < ERROR_BODY_MAX
            && let Some(Ok(piece)) = body.piece().await
        {
            text.extend_from_slice(&piece);
        }
    };
    let _late: Result<(), _> = tokio::time::timeout(ERROR_BODY_PATIENCE, reading).await;
    text.truncate(ERROR_BODY_MAX);
    text
}
