//! A WebSocket session: bytes in both directions, until one side ends it.
//!
//! Made by [`super::respond`] after both handshakes, polled by the client's connection. Always true: a side is
//! read only when the other has taken everything, so that a session holds one buffer per direction; frames
//! pass unchanged; the end is reported once; each side that is still connected gets a close frame with the
//! reason, unless a frame to it is incomplete.

use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::route::AttemptPlan;
use hale_core::tenancy::Denied;
use hale_core::time::Millis;
use hale_core::usage::Usage;
use hale_wire::realtime;
use hale_wire::websocket::{Speaker, close_frame};
use tokio::io::{AsyncRead, AsyncWrite};

use self::farewell::Farewell;
use self::pipe::{Moved, Pipe};
use super::attempt::Failed;
use super::counted::Counted;
use super::delivery::{Carrier, Progress};
use super::exchange::Exchange;
use super::silence_timeout::SilenceTimeout;
use crate::clock::{self, seconds};
use crate::http::connection::{ClientStream, InFlight, Protocol, Session as ClientSession};
use crate::upstream::Switched;

mod farewell;
mod pipe;

/// How long the second side may take to close after the first, milliseconds: the default of the client
/// libraries.
const CLOSING_MS: u64 = 10_000;
/// How long both sides may take to receive the close frame, milliseconds.
const FAREWELL_MS: u64 = 1_000;
/// Close codes of an upstream that failed (RFC 6455, section 7.4, and its registry).
const FAILURES: std::ops::RangeInclusive<u16> = 1011..=1014;

/// A session after its handshakes.
pub(crate) struct Tunnel {
    upstream: Switched,
    /// The request that it answers.
    exchange: Box<Exchange>,
    idle_ms: u64,
    /// When it has to end.
    ends: Millis,
    in_flight: Option<InFlight>,
    /// From the upstream to the client.
    down: Pipe,
    /// From the client to the upstream.
    up: Pipe,
    usage: Option<Usage>,
    last_moved: Millis,
    /// When it ends even if one side does not close.
    closes: Millis,
    /// Whether the upstream closed first.
    upstream_closed_first: bool,
    farewell: Option<Farewell>,
    /// Why its key may not go on.
    denied: Option<Denied>,
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Closed,
    UpstreamGone,
    ClientGone,
    Idle,
    TooLong,
    KeyEnded,
    Stopping,
}

/// A running session with its client.
struct Session<C> {
    tunnel: Box<Tunnel>,
    client: C,
    silence: SilenceTimeout,
}

impl Tunnel {
    /// A session with `upstream`.
    pub(super) fn new(upstream: Switched, exchange: Box<Exchange>, plan: &AttemptPlan) -> Tunnel {
        Tunnel {
            upstream,
            idle_ms: exchange.arrival.serving.snapshot.gateway.bounds.websocket_idle_ms,
            exchange,
            ends: plan.stream_ends,
            in_flight: None,
            down: Pipe::new(Some(realtime::REPORTS_USAGE)),
            up: Pipe::new(None),
            usage: None,
            last_moved: clock::now().millis(),
            closes: Millis::NEVER,
            upstream_closed_first: false,
            farewell: None,
            denied: None,
        }
    }

    /// Starts with the bytes that the client has sent already.
    fn with<C>(mut self: Box<Self>, client: C, early: &Bytes) -> Session<C> {
        self.up.preload(early);
        self.last_moved = clock::now().millis();
        let silence = SilenceTimeout::at(self.due());
        Session { tunnel: self, client, silence }
    }

    fn due(&self) -> Millis {
        match &self.farewell {
            Some(farewell) => farewell.until(),
            None => {
                let ends = self.last_moved.plus(self.idle_ms).min(self.ends).min(self.closes);
                ends.min(self.exchange.delivery.key_due())
            }
        }
    }

    /// Moves the available bytes; gives the reason if the session ends.
    fn carry<C>(&mut self, client: &mut C, cx: &mut Context<'_>) -> Option<Why>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        if self.exchange.delivery.is_cut() {
            return Some(Why::Stopping);
        }
        let before = self.down.bytes() + self.up.bytes();
        let usage = &mut self.usage;
        let down = self.down.poll(cx, &mut self.upstream, client, |event| {
            if let Some(more) = realtime::usage(event) {
                usage.get_or_insert_default().add(&more);
            }
        });
        let up = self.up.poll(cx, client, &mut self.upstream, |_| {});
        if self.down.bytes() + self.up.bytes() > before {
            self.last_moved = clock::now().millis();
        }
        self.note_close();
        match (down, up) {
            (Moved::Ended, _) if self.is_closed() => Some(Why::Closed),
            (Moved::Ended, _) => Some(Why::UpstreamGone),
            (Moved::Refused, _) => Some(self.client_left()),
            (Moved::Some, Moved::Ended) if !self.up.frames().is_closed() => Some(Why::ClientGone),
            (Moved::Some, Moved::Refused) => {
                // Its last messages may still be in flight to the client.
                self.closes = self.closes.min(clock::now().millis().plus(FAREWELL_MS));
                None
            }
            (Moved::Some, Moved::Some | Moved::Ended) => None,
        }
    }

    /// Whether one side has closed.
    fn is_closed(&self) -> bool {
        self.down.frames().is_closed() || self.up.frames().is_closed()
    }

    /// Why the session ends when the client takes no more bytes.
    fn client_left(&self) -> Why {
        if self.is_closed() { Why::Closed } else { Why::ClientGone }
    }

    /// Once one side has closed, starts the time limit for the other.
    fn note_close(&mut self) {
        let (down, up) = (self.down.frames().is_closed(), self.up.frames().is_closed());
        if (down || up) && self.closes == Millis::NEVER {
            self.upstream_closed_first = down && !up;
            self.closes = clock::now().millis().plus(CLOSING_MS);
        }
    }

    /// Which time limit ends it, if one does. Its key is looked at once a second.
    fn overdue(&mut self, now: Millis) -> Option<Why> {
        if now >= self.exchange.delivery.key_due() {
            let so_far = Counted::reported(self.usage);
            self.denied = self.exchange.delivery.check_session(so_far).err();
            if self.denied.is_some() {
                return Some(Why::KeyEnded);
            }
        }
        (now >= self.due()).then(|| self.past_limit(now))
    }

    fn past_limit(&self, now: Millis) -> Why {
        if now >= self.closes {
            if self.is_closed() { Why::Closed } else { Why::UpstreamGone }
        } else if now >= self.ends {
            Why::TooLong
        } else {
            Why::Idle
        }
    }

    /// Reports the end, and prepares the last bytes for both sides.
    fn end(&mut self, why: Why) {
        self.note_bytes();
        let (progress, counted) = (self.progress(), Counted::reported(self.usage));
        let delivery = &mut self.exchange.delivery;
        match why {
            Why::Closed => delivery.carrier_dropped(Carrier::WebSocket, progress, counted),
            Why::ClientGone => {
                delivery.carrier_dropped(Carrier::WebSocket, Progress::Partial, counted);
            }
            Why::Idle => {
                delivery.succeed(Carrier::WebSocket, counted);
            }
            Why::UpstreamGone => {
                let failed = Failed::cut("the upstream ended the session without closing it");
                delivery.fail(Carrier::WebSocket, &failed, counted);
            }
            Why::TooLong => delivery.fail(Carrier::WebSocket, &Failed::too_long(), counted),
            Why::KeyEnded => {
                let failed = self.denied.as_ref().map_or_else(Failed::stopping, Failed::denied);
                delivery.fail(Carrier::WebSocket, &failed, counted);
            }
            Why::Stopping => delivery.fail(Carrier::WebSocket, &Failed::stopping(), counted),
        }
        let until = clock::now().millis().plus(FAREWELL_MS);
        let (code, reason) = self.reason(why);
        let to_client = (why != Why::ClientGone)
            .then(|| self.down.last_bytes(|| close_frame(Speaker::Server, code, &reason)));
        let to_upstream = (why != Why::UpstreamGone)
            .then(|| self.up.last_bytes(|| close_frame(Speaker::Client, code, &reason)));
        self.farewell = Some(Farewell::new(until, to_client, to_upstream));
    }

    /// The close code and reason for a side that has not closed yet.
    fn reason(&self, why: Why) -> (u16, String) {
        match why {
            Why::Closed => (1000, String::new()),
            Why::UpstreamGone => {
                (1011, "the provider ended the session without a reason".to_owned())
            }
            Why::ClientGone => (1001, "the client went away".to_owned()),
            Why::Idle => {
                let idle = seconds(self.idle_ms);
                (1001, format!("the session was idle for {idle} s (websocket_idle_timeout_s)"))
            }
            Why::TooLong => (1001, "the session took longer than max_stream_duration".to_owned()),
            Why::KeyEnded => {
                let denied = self.denied.as_ref();
                let text = denied.map(|denied| format!("{}: {}", denied.reason, denied.message));
                (1008, text.unwrap_or_default())
            }
            Why::Stopping => (1001, "the gateway is shutting down; connect again".to_owned()),
        }
    }

    /// How far the session got.
    fn progress(&self) -> Progress {
        let code = self.down.frames().close_code();
        let says_failure = code.is_some_and(|code| FAILURES.contains(&code));
        if !self.is_closed() {
            Progress::Partial
        } else if self.upstream_closed_first && says_failure {
            Progress::FailedByUpstream
        } else {
            Progress::Complete
        }
    }

    fn note_bytes(&mut self) {
        let (down, up) = (self.down.bytes(), self.up.bytes());
        self.exchange.delivery.note(|record| {
            record.response_bytes = down;
            record.request_bytes = up;
        });
    }
}

impl Protocol for Tunnel {
    fn hold(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }

    fn begin(
        self: Box<Self>,
        client: Box<dyn ClientStream>,
        early: &Bytes,
    ) -> Box<dyn ClientSession> {
        Box::new(self.with(client, early))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // If its end was not reported before, the connection was closed under it: by the sweep, or because
        // the process stops.
        self.note_bytes();
        let (progress, counted) = (self.progress(), Counted::reported(self.usage));
        self.exchange.delivery.carrier_dropped(Carrier::WebSocket, progress, counted);
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> ClientSession for Session<C> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let tunnel = &mut *self.tunnel;
            if let Some(farewell) = &mut tunnel.farewell {
                if farewell.poll(cx, &mut self.client, &mut tunnel.upstream).is_ready() {
                    return Poll::Ready(());
                }
            } else if let Some(why) = tunnel.carry(&mut self.client, cx) {
                tunnel.end(why);
                continue;
            }
            if self.silence.poll(cx, self.tunnel.due()).is_pending() {
                return Poll::Pending;
            }
            if self.tunnel.farewell.is_some() {
                return Poll::Ready(());
            }
            if let Some(why) = self.tunnel.overdue(clock::now().millis()) {
                self.tunnel.end(why);
            }
        }
    }

    fn give_up(&mut self) {
        let counted = Counted::reported(self.tunnel.usage);
        self.tunnel.exchange.delivery.panicked(counted);
    }
}
