//! The control thread: signals, and files of the config that changed.
//!
//! Called by the start. Always true: signals are caught before anything listens.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::Reloader;
use super::shutdown::Running;

/// The signals that the process answers to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Somebody wants the process to end.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The control thread's runtime, with signals going to it.
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

/// Waits for signals and changed files until the process is to stop, and stops it.
pub(super) async fn control(running: Running, mut reloader: Reloader, signals: Signals) {
    let process = running.process.clone();
    let first = async move {
        let mut signals = signals;
        let mut look = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return signals,
                _ = signals.interrupt.recv() => return signals,
                _ = signals.hangup.recv() => reloader.reload(&process),
                _ = look.tick() => reloader.reload_if_changed(&process),
            }
        }
    };
    running.until(first, async |mut signals: Signals| signals.stop().await).await;
}
