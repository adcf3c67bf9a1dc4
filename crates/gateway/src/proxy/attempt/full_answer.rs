//! Reads a full answer within its bounds, and checks it.
//!
//! Called by [`super`]. Always true: its bytes count against the memory for bodies, and an answer that passes
//! is valid for the operation.

use bytes::Bytes;
use hale_core::cause::Cause;
use hale_core::health::outcome::ProviderError;
use hale_core::operation::{Billing, Streaming};
use hale_core::usage::Usage;
use hale_wire::answer::{self, Answer};
use hale_wire::prepare::Conversion;
use hale_wire::stream::View;
use hale_wire::{errors, events, modes};
use http::HeaderMap;

use super::answer::Content;
use super::call::{AnswerForm, Expect, OperationCall, PolicyStop, Scope};
use super::failed::Failed;
use crate::limits::{Added, Collected, Held};
use crate::offload;
use crate::upstream::AnswerBody;

/// Reads and checks the answer.
pub(super) async fn read(
    scope: Scope<'_>,
    call: &OperationCall<'_>,
    (headers, mut body): (&HeaderMap, AnswerBody),
) -> Result<Content, Failed> {
    let bounds = &scope.serving.snapshot.gateway.bounds;
    if let Some(length) = body.declared().filter(|length| *length > bounds.response_bytes as u64) {
        return Err(Failed::too_large(
            &format!("the answer of {length} bytes"),
            bounds.response_bytes,
        ));
    }
    let mut held = Held::none(&scope.process.buffered);
    let declared = body.declared().and_then(|length| usize::try_from(length).ok());
    let mut collected = Collected::none(declared.unwrap_or(bounds.response_bytes));
    while let Some(piece) = body.piece().await {
        let piece =
            piece.map_err(|error| Failed::of_body(&error, "the answer was cut before its end"))?;
        match collected.push(piece, &mut held, bounds.with_answers()).await {
            Added::Yes => {}
            Added::TooLarge => return Err(Failed::too_large("the answer", bounds.response_bytes)),
            Added::NoRoom => return Err(Failed::no_room()),
        }
    }
    match counted(headers) {
        None => check(scope, call, (collected.whole(), held)).await,
        Some(tokens) => {
            let view = call.expect.view.counting(tokens);
            let usage = Usage { input: tokens, ..Usage::default() };
            let checked = check_as(scope, (call, &view), (collected.whole(), held)).await?;
            Ok(match checked {
                Content::Full(body, None, held) => {
                    Content::Full(body, charged(call, Some(usage)), held)
                }
                other => other,
            })
        }
    }
}

/// The tokens of the request that Bedrock counts in a header, for models whose answers do not. Source:
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>.
fn counted(headers: &HeaderMap) -> Option<u64> {
    headers.get("x-amzn-bedrock-input-token-count")?.to_str().ok()?.parse().ok()
}

/// What is expected of an answer.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    conversion: Conversion,
    form: AnswerForm,
    policy_stop: PolicyStop,
    view: &'a View,
}

/// Accepts `whole` if it is what the call expects.
pub(super) async fn check(
    scope: Scope<'_>,
    call: &OperationCall<'_>,
    whole: (Bytes, Held),
) -> Result<Content, Failed> {
    check_as(scope, (call, &call.expect.view), whole).await
}

/// The same for a client that sees it so.
async fn check_as(
    scope: Scope<'_>,
    (call, view): (&OperationCall<'_>, &View),
    (whole, mut held): (Bytes, Held),
) -> Result<Content, Failed> {
    let Expect { form, policy_stop, .. } = &call.expect;
    let (conversion, form, policy_stop) = (call.conversion, *form, *policy_stop);
    let answer = if whole.len() <= offload::LARGE {
        accept(Wanted { conversion, form, policy_stop, view }, &whole)?
    } else {
        let limit = scope.serving.snapshot.gateway.bounds.with_answers();
        if !held.add_copy(whole.len(), limit).await {
            return Err(Failed::no_room());
        }
        let view = view.clone();
        let job = move || accept(Wanted { conversion, form, policy_stop, view: &view }, &whole);
        let answer = Box::pin(offload::run(job)).await?;
        held.shrink_to(answer.body.len());
        answer
    };
    let Answer { body, usage, is_empty } = answer;
    let usage = if form == AnswerForm::Text { None } else { charged(call, usage) };
    Ok(match is_empty {
        true => Content::Empty(body, usage, held),
        false => Content::Full(body, usage, held),
    })
}

/// The answer for the client, if `whole` is what is wanted.
fn accept(wanted: Wanted<'_>, whole: &Bytes) -> Result<Answer, Failed> {
    if wanted.form == AnswerForm::Text {
        return match modes::transcripts::check_text(whole) {
            Ok(()) => Ok(Answer { body: whole.clone(), usage: None, is_empty: false }),
            Err(fault) => Err(Failed::faulty(fault)),
        };
    }
    let answer = answer::check(wanted.conversion, whole, wanted.view)
        .map_err(|fault| error_of_events(whole).unwrap_or_else(|| Failed::faulty(fault)))?;
    let may_ignore = wanted.conversion.operation.streaming() == Streaming::Optional;
    if wanted.form.is_stream() && !may_ignore {
        let message = "the upstream sent a full answer although a stream was requested";
        return Err(Failed::malformed(message.to_owned()));
    }
    if wanted.policy_stop == PolicyStop::MovesOn && answer::stopped_by_policy(whole) {
        let message = "the provider's content filter stopped the answer".to_owned();
        let code = Some("content_filter".to_owned());
        let error = ProviderError { message, code, ..ProviderError::default() };
        let failed = Failed::of(Cause::ContentPolicy, Some(400), String::new());
        return Err(Failed { error, ..failed });
    }
    Ok(answer)
}

/// The error in a body that is a stream of events although none was requested: some servers send their errors so.
fn error_of_events(whole: &[u8]) -> Option<Failed> {
    if events::begins_as_events(whole) != Some(true) {
        return None;
    }
    let error = errors::parse_provider_error(whole);
    (!error.message.is_empty()).then(|| Failed::in_band(error))
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
