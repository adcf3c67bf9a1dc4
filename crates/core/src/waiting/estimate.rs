//! When it would be a request's turn.
//!
//! Called by [`super::Queue`] when a request joins and when the process ends. Always true: what is
//! not known or not learned holds no request back.

use super::lane::Lane;
use super::way::Way;
use crate::health::DeploymentState;
use crate::time::Millis;

/// The expected turn behind everything that waits at these ways: their lines, if they have any.
pub(super) fn turn_at<'l>(
    ways: impl Iterator<Item = (&'l Way, Option<&'l Lane>)>,
    now: Millis,
) -> Millis {
    let mut opens = Millis::NEVER;
    let mut before = 0_u32;
    let mut known: Vec<(*const DeploymentState, f64)> = Vec::new();
    let mut is_unknown = false;
    for (way, lane) in ways {
        let Some(lane) = lane else {
            // No request waits there: it is the first one.
            opens = opens.min(alone_at(way, now));
            is_unknown = true;
            continue;
        };
        opens = opens.min(lane.opens_at(now));
        before = before.max(lane.waiting);
        match lane.rate(now, way.claim.max_parallel.is_some()) {
            // Deployments that share a limit share its rate.
            Some((_, of)) if known.iter().any(|(other, _)| *other == of) => {}
            Some((rate, of)) => known.push((of, rate)),
            None => is_unknown = true,
        }
    }
    if opens == Millis::NEVER {
        return now;
    }
    let rate: f64 = known.iter().map(|(_, rate)| rate).sum();
    if is_unknown || rate <= 0.0 {
        return opens;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and the time is not negative"
    )]
    let in_line_ms = (f64::from(before) * 1_000.0 / rate) as u64;
    opens.plus(in_line_ms)
}

/// When a way opens that no request waits for, as far as that is known.
fn alone_at(way: &Way, now: Millis) -> Millis {
    let opening = way.deployment.opening(now);
    let own = match opening {
        crate::health::Opening::Closed(until) => until,
        crate::health::Opening::Free
        | crate::health::Opening::Permit
        | crate::health::Opening::Held(_) => now,
    };
    let of_part = way
        .part
        .as_ref()
        .and_then(|part| way.deployment.state.model_cooldown(part.foreign, &part.model, now));
    of_part.map_or(own, |cooldown| own.max(cooldown.until))
}
