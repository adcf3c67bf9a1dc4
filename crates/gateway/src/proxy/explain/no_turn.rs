//! A request that waited for its turn in vain, or could not wait: the reason, and what to change.
//!
//! Called by the exchange with the refusal that its route plan led to. Always true: the refusal keeps what it says of
//! each deployment; the end of the process and the memory for bodies are faults of the gateway, 503.

use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use hale_core::waiting::Turned;
use http::StatusCode;

use crate::clock::seconds;
use crate::http::refusal::Refusal;

/// Why a request got no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// It waited as long as it may.
    TimedOut,
    /// As many requests of its group wait as may.
    Full,
    /// Its turn would come then, which is too late.
    TooLate(Millis),
    /// The bodies of waiting requests take too much memory, and its own is the largest.
    Memory,
    /// The process ends before it.
    Draining,
}

impl NoTurn {
    /// Why the queue did not take it; `None` if there was nothing to wait for.
    pub(crate) fn of(turned: Turned) -> Option<NoTurn> {
        match turned {
            Turned::NoWay => None,
            Turned::Full => Some(NoTurn::Full),
            Turned::TooLong(turn) => Some(NoTurn::TooLate(turn)),
            Turned::Draining => Some(NoTurn::Draining),
        }
    }

    /// The refusal that says so. `waited_ms` is the time that the request waited.
    pub(crate) fn explain(
        self,
        mut refusal: Refusal,
        snapshot: &Snapshot,
        waited_ms: u64,
        now: Millis,
    ) -> Refusal {
        let router = &snapshot.router;
        let why = match self {
            NoTurn::TimedOut => format!(
                "It waited {} s for its turn; allow more with `max_wait_s` in router_settings, or with a longer \
                 `timeout`",
                seconds(waited_ms)
            ),
            NoTurn::Full => format!(
                "It did not wait for its turn, because {} requests for its model group wait already; raise \
                 `max_waiting` in router_settings, or add a deployment",
                router.max_waiting
            ),
            NoTurn::TooLate(turn) => {
                let in_ms = turn.since(now);
                let ends = match waited_ms.saturating_add(in_ms) > router.max_wait_ms {
                    true => {
                        format!(
                            "`max_wait_s` in router_settings ({} s)",
                            seconds(router.max_wait_ms)
                        )
                    }
                    false => "its own deadline".to_owned(),
                };
                format!(
                    "It did not wait for its turn, which comes in about {} s: {ends} ends before",
                    in_ms.div_ceil(1000)
                )
            }
            NoTurn::Memory => {
                let message = "the bodies of requests that wait for their turn fill half of the gateway's memory for \
                               bodies, and the body of this one is the largest; try again, or raise \
                               `max_buffered_mb` in general_settings";
                return own(refusal, "overloaded", message);
            }
            NoTurn::Draining => {
                let message = "the gateway shuts down before it is this request's turn; send it again: another \
                               instance may serve it";
                return own(refusal, "shutting_down", message).closing();
            }
        };
        refusal.reply.message.push_str(&format!(" {why}."));
        refusal
    }
}

/// A fault of the gateway, in place of what kept the request from its turn.
fn own(refusal: Refusal, reason: &'static str, message: &str) -> Refusal {
    let mut own = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason, message.to_owned());
    own.retry_after_s = Some(1);
    own.reply.deployments = refusal.reply.deployments;
    own.reply.attempts = refusal.reply.attempts;
    own
}
