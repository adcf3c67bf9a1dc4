//! Reads a full answer within its bounds, and checks it.
//!
//! Called by [`super`]. Always true: its bytes count against the memory for bodies, and an answer that passes
//! is valid for the operation.

use bytes::Bytes;
use hale_core::cause::Cause;
use hale_core::health::outcome::ProviderError;
use hale_core::operation::{Billing, Streaming};
use hale_core::usage::Usage;
use hale_wire::answer;
use hale_wire::modes;

use super::answer::Content;
use super::call::{AnswerForm, OperationCall, PolicyStop, Scope};
use super::failed::Failed;
use crate::limits::Held;
use crate::upstream::AnswerBody;

/// Reads and checks the answer.
pub(super) async fn read(
    scope: Scope<'_>,
    call: &OperationCall<'_>,
    mut body: AnswerBody,
) -> Result<Content, Failed> {
    let bounds = &scope.serving.snapshot.gateway.bounds;
    let too_large = || {
        let mib = bounds.response_bytes >> 20;
        Failed::malformed(format!("the answer is larger than {mib} MiB (max_response_size_mb)"))
    };
    if body.declared().is_some_and(|length| length > bounds.response_bytes as u64) {
        return Err(too_large());
    }
    let mut held = Held::none(&scope.process.buffered);
    let mut whole = Bytes::new();
    let mut joined = Vec::new();
    while let Some(piece) = body.piece().await {
        let piece = piece.map_err(|_| Failed::cut("the answer was cut before its end"))?;
        if whole.len() + joined.len() + piece.len() > bounds.response_bytes {
            return Err(too_large());
        }
        if !held.add(piece.len(), bounds.buffered_bytes) {
            let message = "the gateway's memory for bodies is full (max_buffered_mb)".to_owned();
            return Err(Failed::of(Cause::Gateway, Some(503), message));
        }
        if whole.is_empty() && joined.is_empty() {
            whole = piece;
        } else {
            if joined.is_empty() {
                joined.extend_from_slice(&whole);
                whole = Bytes::new();
            }
            joined.extend_from_slice(&piece);
        }
    }
    let whole = if joined.is_empty() { whole } else { Bytes::from(joined) };
    check(call, &whole, held)
}

/// Accepts `whole` if it is what the call expects.
pub(super) fn check(
    call: &OperationCall<'_>,
    whole: &Bytes,
    held: Held,
) -> Result<Content, Failed> {
    if call.expect.form == AnswerForm::Text {
        return match modes::transcripts::check_text(whole) {
            Ok(()) => Ok(Content::Full(whole.clone(), None, held)),
            Err(fault) => Err(Failed::faulty(fault)),
        };
    }
    let answer = answer::check(call.conversion, whole, &call.expect.view);
    let answer = answer.map_err(Failed::faulty)?;
    let may_ignore = call.conversion.operation.streaming() == Streaming::Optional;
    if call.wants_events() && !may_ignore {
        let message = "the upstream sent a full answer although a stream was requested";
        return Err(Failed::malformed(message.to_owned()));
    }
    if call.expect.policy_stop == PolicyStop::MovesOn && answer::stopped_by_policy(whole) {
        let message = "the provider's content filter stopped the answer".to_owned();
        let code = Some("content_filter".to_owned());
        let error = ProviderError { message, code, ..ProviderError::default() };
        let failed = Failed::of(Cause::ContentPolicy, Some(400), String::new());
        return Err(Failed { error, ..failed });
    }
    Ok(Content::Full(answer.body, charged(call, answer.usage), held))
}

/// The usage that a good answer is charged for: the reported one, completed by the request's units.
pub(super) fn charged(call: &OperationCall<'_>, reported: Option<Usage>) -> Option<Usage> {
    let asked = call.expect.units;
    if !asked.any() {
        return reported;
    }
    let reported = reported.unwrap_or_default();
    // A provider that reports tokens but no search units bills by tokens.
    let by_tokens = reported.input > 0 && call.conversion.operation.billing() == Billing::Searches;
    let units = if by_tokens { reported.units } else { reported.units.or(asked) };
    Some(Usage { units, ..reported })
}
