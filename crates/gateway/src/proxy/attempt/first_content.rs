//! Reads a stream up to its first content. Until then nothing has reached the client.
//!
//! Called by [`super`] and for canned answers. Always true: a stream that fails before its first content is
//! a failed attempt, and another deployment can be tried.

use hale_wire::stream::Reader;

use super::answer::{Source, Stream};
use super::call::OperationCall;
use super::failed::Failed;
use crate::clock;

/// How long a complete answer waits for its usage and its end marker.
pub(crate) const END_MAX_MS: u64 = 500;

/// Reads `source` up to its first content.
pub(super) async fn read(call: &OperationCall<'_>, mut source: Source) -> Result<Stream, Failed> {
    let mut reader = Reader::new(call.conversion, call.expect.view.clone());
    let mut ready = Vec::new();
    loop {
        let piece = std::future::poll_fn(|cx| source.poll_piece(cx)).await;
        let ended = piece.is_none();
        match piece {
            Some(Ok(piece)) => reader
                .push(piece, &mut ready)
                .map_err(|error| Failed::malformed(error.to_string()))?,
            Some(Err(_)) => return Err(Failed::cut("the stream was cut before its first content")),
            None => {
                reader.finish(&mut ready).map_err(|error| Failed::malformed(error.to_string()))?;
            }
        }
        if reader.has_content() {
            let mut stream = Stream { source, reader, ready, token: None, bytes: None };
            if stream.reader.is_empty_so_far() && !ended {
                // Boxed: hardly any stream has this end.
                Box::pin(read_the_end(&mut stream)).await?;
            }
            return Ok(stream);
        }
        if let Some(error) = reader.error() {
            return Err(Failed::in_band(error.clone()));
        }
        if ended || reader.is_done() {
            return Err(Failed::cut("the stream ended without content"));
        }
        if ready.len() > hale_wire::events::TAIL_MAX {
            return Err(Failed::malformed("the stream is long and has no content".to_owned()));
        }
    }
}

/// Reads on after a finish reason without any content: what follows shows whether the answer is empty.
async fn read_the_end(stream: &mut Stream) -> Result<(), Failed> {
    let ends = clock::timer_instant(clock::now().millis().plus(END_MAX_MS));
    let is_open = |stream: &Stream| {
        let (reader, read) = (&stream.reader, stream.ready.len());
        reader.is_empty_so_far() && !reader.is_done() && read <= hale_wire::events::TAIL_MAX
    };
    while is_open(stream) {
        let next = std::future::poll_fn(|cx| stream.source.poll_piece(cx));
        let Ok(piece) = tokio::time::timeout_at(ends, next).await else { return Ok(()) };
        match piece {
            Some(Ok(piece)) => stream
                .reader
                .push(piece, &mut stream.ready)
                .map_err(|error| Failed::malformed(error.to_string()))?,
            // A finish reason came: it is complete.
            Some(Err(_)) | None => {
                stream.source = Source::Canned(None);
                return Ok(());
            }
        }
    }
    Ok(())
}
