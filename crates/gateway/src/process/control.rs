//! The control thread: signals, and nothing else.
//!
//! Called by the start. Always true: signals are caught before anything listens; nothing that may wait runs on
//! this thread, so that the next signal is always answered at once.

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::Reloads;
use super::shutdown::{Running, Stop};

/// The signals that the process answers.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Waits for a signal to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The runtime of the control thread, which gets the signals.
pub(super) fn catch_signals() -> std::io::Result<(Runtime, Signals)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _inside = runtime.enter();
        Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        }
    };
    Ok((runtime, signals))
}

/// Waits for signals until the process is to stop, and stops it.
pub(super) async fn control(running: Running, reloads: Option<Reloads>, signals: Signals) {
    let first = async move {
        let mut signals = signals;
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return (Stop::Drain, signals),
                _ = signals.interrupt.recv() => return (Stop::by_interrupt(), signals),
                _ = signals.hangup.recv() => reloads.iter().for_each(Reloads::ask),
            }
        }
    };
    running.until(first, async |mut signals: Signals| signals.stop().await).await;
}
