//! Sends one request and waits for the head of the answer: the only door to the outside.
//!
//! Called by [`super::target`], by the credential that asks an authority for a token, and by the commands
//! that talk to a gateway. Always true: a connection belongs to the thread that made it, travels with the
//! request that uses it, and is closed when that request is dropped half-way.

use hale_core::record::ResendReason;

use super::address::Upstream;
use super::answer::Answer;
use super::error::SendError;
use super::progress::SendProgress;
use super::request::{Reuse, UpstreamRequest};
use super::{connect, link, pool};
use crate::clock;

/// The time within which a kept connection must turn out to be closed, microseconds. Later, the upstream may
/// have worked on the request. The news takes a round trip; making a connection took one and a half at least.
fn race_us(made_in_us: u64) -> u64 {
    made_in_us.saturating_mul(3).clamp(100_000, 500_000)
}

/// A connection that had idled for so long may be closed at any moment, however late the news comes.
const IDLED_MS: u64 = 1_000;

/// Sends `request` to `upstream` and waits for the head of the answer.
///
/// A kept connection that turns out to be closed, before any byte of an answer, was closed by the upstream while it
/// idled: if it had idled for seconds, or if the news comes at once. The request is sent again on a new connection, unless the config forbids that.
///
/// # Errors
/// Why no answer came.
pub(crate) async fn send(
    upstream: &Upstream,
    request: &UpstreamRequest<'_>,
) -> Result<Answer, SendError> {
    send_watched(upstream, request, &SendProgress::default()).await
}

/// The same; `progress` tells at any moment how far it has come.
///
/// # Errors
/// Why no answer came.
pub(super) async fn send_watched(
    upstream: &Upstream,
    request: &UpstreamRequest<'_>,
    progress: &SendProgress,
) -> Result<Answer, SendError> {
    // Read here: the caller may have waited for a token, and a prober's thread reads the clock seldom.
    let began = clock::now();
    let kept = match request.reuse {
        Reuse::Allowed => pool::take(upstream),
        Reuse::Never => None,
    };
    if let Some(mut kept) = kept {
        let (race_us, idled_ms) = (race_us(kept.made_in_us()), kept.idled_ms());
        let exchanged = link::exchange(&mut kept, request).await;
        let stale = match &exchanged {
            Ok(head) => head.is_farewell().then_some(ResendReason::Closed),
            Err(error) => resend_reason(error),
        };
        let may = |_: &ResendReason| {
            let is_stale = idled_ms >= IDLED_MS || clock::now().since(began) < race_us;
            upstream.kept.resend_on_stale && is_stale
        };
        match (stale.filter(may), exchanged) {
            (Some(reason), _) => {
                pool::was_closed(&upstream.key, idled_ms);
                progress.resend(reason);
            }
            (None, Ok(head)) => return Ok(Answer::new(head, kept)),
            (None, Err(error)) => return Err(error),
        }
    }
    // Boxed: most requests find a kept connection, and should not carry the room to make one.
    let mut fresh = Box::pin(connect::connect(upstream, progress)).await?;
    let head = link::exchange(&mut fresh, request).await?;
    Ok(Answer::new(head, fresh))
}

/// Why a request whose kept connection failed so may be sent again: no byte of an answer came.
fn resend_reason(error: &SendError) -> Option<ResendReason> {
    match error {
        SendError::Closed => Some(ResendReason::Closed),
        SendError::Reset => Some(ResendReason::Reset),
        SendError::Dns { .. }
        | SendError::Connect { .. }
        | SendError::NoDescriptors
        | SendError::Barred { .. }
        | SendError::Tls { .. }
        | SendError::Cut
        | SendError::Protocol(_) => None,
    }
}
