//! An answer of bytes: audio, or a file's content.
//!
//! Called by [`super`]. Always true: nothing reaches the client before the first bytes have arrived and look
//! like the requested content. A file may be empty.

use bytes::Bytes;
use hale_core::operation::{Answer, Content, Operation};
use hale_wire::modes;
use hale_wire::stream::Reader;
use http::{HeaderMap, HeaderValue, header};

use super::answer::{BytesHead, Source, Stream};
use super::call::OperationCall;
use super::error_body::read_text;
use super::failed::Failed;
use super::full_answer::charged;
use super::stream_room::StreamRoom;
use crate::upstream::AnswerBody;

fn may_be_empty(operation: Operation) -> bool {
    match operation.answer() {
        Answer::Bytes(Content::File | Content::Anything) => true,
        Answer::Bytes(Content::Audio) | Answer::Json | Answer::Socket => false,
    }
}

/// Reads the first bytes, and makes sure that they are not an error message.
pub(super) async fn read(
    call: &OperationCall<'_>,
    headers: &HeaderMap,
    mut body: AnswerBody,
) -> Result<Stream, Failed> {
    let operation = call.conversion.operation;
    let content_type = headers.get(header::CONTENT_TYPE);
    let length = body.declared();
    let first = loop {
        match body.piece().await {
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(Ok(piece)) => break Some(piece),
            Some(Err(error)) => {
                return Err(Failed::of_body(&error, "the answer was cut before its first byte"));
            }
            None if may_be_empty(operation) => break None,
            None => return Err(Failed::faulty(modes::bytes::no_bytes(operation, b""))),
        }
    };
    let named = content_type.and_then(|value| value.to_str().ok());
    let start = first.as_ref().map_or(&b""[..], Bytes::as_ref);
    if !modes::bytes::may_be_bytes(operation, named, start) {
        let text = read_text(start.to_vec(), body).await;
        return Err(Failed::faulty(modes::bytes::no_bytes(operation, &text)));
    }
    let view = call.expect.view.clone();
    let mut reader = Reader::bytes(call.conversion, view, charged(call, None));
    let mut ready = Vec::new();
    let read = match first {
        Some(first) => reader.push(first, &mut ready),
        None => reader.finish(&mut ready),
    };
    read.map_err(|broken| Failed::broken(&broken))?;
    let unnamed = HeaderValue::from_static("application/octet-stream");
    let content_type = content_type.cloned().unwrap_or(unnamed);
    let bytes = Some(BytesHead { content_type, length, relayed: None });
    let source = Source::Upstream(Box::new(body));
    Ok(Stream { source, reader, ready, room: StreamRoom::default(), token: None, bytes })
}
