//! Canned answers of deployments with `mock_response`; no upstream is called.
//!
//! Called by [`super`]. Always true: a canned answer passes the same checks as an upstream's.

use std::time::Duration;

use bytes::Bytes;
use hale_core::cause::Cause;
use hale_core::deployment::MockAnswer;
use hale_core::health::outcome::{Observation, ProviderError};
use hale_core::operation::Operation;
use hale_wire::mock;

use super::answer::{Content, Source};
use super::call::{OperationCall, Scope};
use super::failed::Failed;
use super::first_content::{self, Framed};
use super::full_answer;
use crate::clock;
use crate::limits::Held;
use crate::proxy::simulated::{Outcome, Simulated};

/// What a request asks to be simulated.
pub(super) async fn simulate(
    scope: Scope<'_>,
    call: &OperationCall<'_>,
    simulated: &Simulated,
) -> Result<Content, Failed> {
    match &simulated.outcome {
        Outcome::Answer(canned) => {
            let operation = call.conversion.upstream().unwrap_or(call.conversion.operation);
            answer(scope, call, operation, canned).await
        }
        Outcome::Failure(cause, status) => {
            let message = "the request asks for this failure to be simulated".to_owned();
            Err(Failed::of(*cause, Some(*status), message))
        }
        // The attempt's own limit ends it.
        Outcome::Silence => std::future::pending().await,
    }
}

/// The canned answer to `call`; `upstream` is the provider's operation.
pub(super) async fn answer(
    scope: Scope<'_>,
    call: &OperationCall<'_>,
    upstream: Operation,
    canned: &MockAnswer,
) -> Result<Content, Failed> {
    if canned.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(canned.delay_ms)).await;
    }
    let frame = mock::Frame {
        id: scope.call_id,
        created: clock::unix_ms() / 1000,
        model: &call.expect.shown_model,
    };
    if call.wants_events() {
        let events = mock::stream(upstream, &canned.content, frame).map_err(unfit)?;
        let source = Source::Canned(Some(Bytes::from(events)));
        return Ok(Content::Stream(Box::new(
            first_content::read(scope, call, (source, Framed::AsEvents)).await?,
        )));
    }
    let body = mock::full(upstream, &canned.content, frame).map_err(unfit)?;
    let held = Held::none(&scope.process.buffered);
    full_answer::check(scope, call, (Bytes::from(body), held)).await
}

fn unfit(unfit: mock::Unfit) -> Failed {
    match unfit {
        mock::Unfit::Failure(status) => {
            let message = format!("`mock_response` simulates a failure with status {status}");
            let error = ProviderError { message, ..ProviderError::default() };
            let observation = Observation::Status(status, &error);
            Failed::because(&observation, Some(status), error.message.clone())
        }
        mock::Unfit::Mode(why) => Failed::of(Cause::BadRequest, Some(400), why.to_owned()),
    }
}
