//! Reads a stream up to its first content. Until then nothing has reached the client.
//!
//! Called by [`super`] and for canned answers. Always true: a stream that fails before its first content is
//! a failed attempt, and another deployment can be tried.

use hale_core::cause::Cause;
use hale_wire::stream::Reader;

use super::answer::{Source, Stream};
use super::call::{AnswerForm, Behind, OperationCall, Scope};
use super::failed::Failed;
use super::stream_room::StreamRoom;
use crate::clock;

/// How long a complete answer waits for its usage and its end marker.
pub(crate) const END_MAX_MS: u64 = 500;
/// How much of that end is read before the client gets it, bytes.
const END_MAX: usize = 1 << 20;

/// How the events of a stream are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framed {
    /// As server-sent events.
    #[default]
    AsEvents,
    /// As frames of AWS.
    InFrames,
}

/// Reads `source` up to its first content.
pub(super) async fn read(
    scope: Scope<'_>,
    call: &OperationCall<'_>,
    (mut source, framed): (Source, Framed),
) -> Result<Stream, Failed> {
    let most = scope.serving.snapshot.gateway.bounds.response_bytes;
    let mut reader = reader_of(call)?.within(most);
    if framed == Framed::InFrames {
        reader = reader.in_frames();
    }
    if call.expect.form == AnswerForm::List {
        reader = reader.in_list();
    }
    let (mut ready, mut room) = (Vec::new(), StreamRoom::default());
    loop {
        let piece = std::future::poll_fn(|cx| source.poll_piece(cx)).await;
        let ended = piece.is_none();
        match piece {
            Some(Ok(piece)) => {
                let taken = room.take((&mut reader, &mut ready), piece, scope.memory());
                if !reader.differs() {
                    taken?;
                }
            }
            Some(Err(error)) => {
                return Err(Failed::of_body(&error, "the stream was cut before its first content"));
            }
            None => {
                let finished = reader.finish(&mut ready);
                if !reader.differs() {
                    finished.map_err(|broken| Failed::broken(&broken))?;
                }
                room.gather(&reader);
            }
        }
        // What has been said of another answer costs, too.
        if reader.has_content() || reader.differs() {
            let mut stream = Stream { source, reader, ready, room, token: None, bytes: None };
            if stream.reader.is_empty_so_far() && !ended && !stream.reader.differs() {
                // Boxed: hardly any stream has this end.
                Box::pin(read_the_end(scope, &mut stream)).await?;
            }
            if is_held(call) && !stream.reader.differs() {
                Box::pin(hold(scope, &mut stream)).await?;
            }
            return Ok(stream);
        }
        if let Some(error) = reader.error() {
            return Err(Failed::in_band(error.clone()));
        }
        if ended || reader.is_done() {
            return Err(Failed::cut("the stream ended without content"));
        }
        if ready.len() > most {
            return Err(Failed::too_large("what precedes the content of the stream", most));
        }
    }
}

/// Whether the first words of the stream may be held back.
fn is_held(call: &OperationCall<'_>) -> bool {
    call.conversion.operation.is_conversation() && call.wants_events() && call.behind.is_none()
}

/// Reads on behind the first content for as long as the config says: a break meanwhile is a failed attempt.
async fn hold(scope: Scope<'_>, stream: &mut Stream) -> Result<(), Failed> {
    let wanted = scope.serving.snapshot.router.hold;
    let Some(ms) = wanted.longest_ms() else { return Ok(()) };
    let ends = clock::timer_instant(clock::now().millis().plus(ms));
    let goes_on = |stream: &Stream| {
        let reader = &stream.reader;
        !reader.is_complete()
            && !wanted.has_enough(reader.estimated_output())
            && stream.ready.len() <= END_MAX
    };
    while goes_on(stream) {
        let next = std::future::poll_fn(|cx| stream.source.poll_piece(cx));
        let Ok(piece) = tokio::time::timeout_at(ends, next).await else { return Ok(()) };
        match piece {
            Some(Ok(piece)) => {
                let ready = (&mut stream.reader, &mut stream.ready);
                stream.room.take(ready, piece, scope.memory())?;
            }
            Some(Err(error)) => {
                return Err(Failed::of_body(&error, "the stream was cut in its first words"));
            }
            None => return held_to_its_end(stream),
        }
        if let Some(error) = stream.reader.error() {
            return Err(Failed::in_band(error.clone()));
        }
    }
    Ok(())
}

/// The upstream has ended its body while all of it was held back.
fn held_to_its_end(stream: &mut Stream) -> Result<(), Failed> {
    let finished = stream.reader.finish(&mut stream.ready);
    stream.room.gather(&stream.reader);
    finished.map_err(|broken| Failed::broken(&broken))?;
    if let Some(error) = stream.reader.error() {
        return Err(Failed::in_band(error.clone()));
    }
    match stream.reader.is_complete() {
        true => {
            stream.source = Source::Canned(None);
            Ok(())
        }
        false => Err(Failed::cut("the stream ended in its first words")),
    }
}

/// The reader of the answer.
fn reader_of(call: &OperationCall<'_>) -> Result<Reader, Failed> {
    let view = call.expect.view.clone();
    let Some(Behind { broken, echo }) = call.behind else {
        let make = if call.is_tapped { Reader::tapped } else { Reader::new };
        return Ok(make(call.conversion, view));
    };
    let reader = Reader::behind(broken, echo, (call.conversion, view)).ok_or_else(|| {
        let message = "there is no place for the rest of the answer".to_owned();
        Failed::of(Cause::Gateway, None, message)
    })?;
    Ok(if call.is_tapped { reader.with_tap(call.conversion) } else { reader })
}

/// Reads on after a finish reason without any content: what follows shows whether the answer is empty.
async fn read_the_end(scope: Scope<'_>, stream: &mut Stream) -> Result<(), Failed> {
    let ends = clock::timer_instant(clock::now().millis().plus(END_MAX_MS));
    let is_open = |stream: &Stream| {
        let (reader, read) = (&stream.reader, stream.ready.len());
        reader.is_empty_so_far() && !reader.is_done() && read <= END_MAX
    };
    while is_open(stream) {
        let next = std::future::poll_fn(|cx| stream.source.poll_piece(cx));
        let Ok(piece) = tokio::time::timeout_at(ends, next).await else { return Ok(()) };
        match piece {
            Some(Ok(piece)) => {
                stream.room.take((&mut stream.reader, &mut stream.ready), piece, scope.memory())?;
            }
            // A finish reason came: it is complete.
            Some(Err(_)) | None => {
                stream.source = Source::Canned(None);
                return Ok(());
            }
        }
    }
    Ok(())
}
