//! The log: lines on standard error, as text or as JSON.
//!
//! Set up once by the commands that serve. Always true: a request that succeeds leaves a line at debug only. Until
//! [`detach`] the thread that logs a line writes it; afterwards a thread of its own does, so that a slow reader
//! of standard error, or none, holds up no other thread. Lines that do not fit into the
//! queue are dropped and counted.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hale_core::time::rfc3339;
use parking_lot::{Condvar, Mutex};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock;

/// Bytes of lines that may wait for standard error.
const WAITING_MAX: usize = 1 << 20;
/// Memory that the queue keeps after a burst, bytes.
const KEPT: usize = 64 << 10;
/// How long the end of a process waits until its last lines are written.
const FLUSH_MAX: Duration = Duration::from_secs(1);
/// How soon a write is tried again on a standard error that does not wait.
const AGAIN: Duration = Duration::from_millis(10);

/// The variables that say how much is logged, and in which form.
const LEVEL: &str = "LITELLM_LOG";
const JSON: &str = "JSON_LOGS";

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Errors.
    Errors,
    /// Warnings, errors.
    Warnings,
    /// State changes, warnings, errors.
    Normal,
    /// One more line per request.
    Requests,
    /// Everything.
    All,
}

static LOG: Log = Log::new();

impl Detail {
    /// The detail that a level of Python's logging, as LiteLLM's users write it, stands for.
    fn of_level(level: &str) -> Option<Detail> {
        match level.trim().to_ascii_uppercase().as_str() {
            "DEBUG" => Some(Detail::Requests),
            "INFO" => Some(Detail::Normal),
            "WARNING" | "WARN" => Some(Detail::Warnings),
            "ERROR" | "CRITICAL" | "FATAL" => Some(Detail::Errors),
            _ => None,
        }
    }

    fn level(self) -> Level {
        match self {
            Detail::Errors => Level::ERROR,
            Detail::Warnings => Level::WARN,
            Detail::Normal => Level::INFO,
            Detail::Requests => Level::DEBUG,
            Detail::All => Level::TRACE,
        }
    }

    /// Which code's lines are logged: those of libraries only where everything is, because with one line a request
    /// there would be more of them than of requests.
    fn targets(self) -> Targets {
        let of_libraries = match self {
            Detail::All => Level::TRACE,
            Detail::Errors | Detail::Warnings | Detail::Normal | Detail::Requests => {
                self.level().min(Level::INFO)
            }
        };
        Targets::new().with_default(of_libraries).with_target("hale", self.level())
    }

    /// Whether each request has a line.
    pub(crate) fn has_requests(self) -> bool {
        self.level() >= Level::DEBUG
    }
}

/// The form of the lines, as the config has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
}

/// Sets the log up: in as much detail as the command line asks for, else `LITELLM_LOG`; in the config's form, or as
/// JSON if `JSON_LOGS` says so. Returns the detail.
pub(crate) fn set_up(asked: Option<Detail>, form: Form) -> Detail {
    let variable = std::env::var(LEVEL).ok().filter(|level| !level.trim().is_empty());
    let by_variable = variable.as_deref().and_then(Detail::of_level);
    let detail = asked.or(by_variable).unwrap_or(Detail::Normal);
    let builder = fmt().with_max_level(detail.level()).with_writer(|| Line).with_target(false);
    let own = detail.targets();
    let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
    let is_json = form == Form::Json || std::env::var(JSON).is_ok_and(|value| is_yes(&value));
    // A log that a test has set up stays.
    let _already_set: Result<(), _> = if is_json {
        builder.json().finish().with(own).try_init()
    } else if is_terminal {
        let builder = builder.with_ansi(has_colours(is_terminal)).with_timer(ShortTime);
        builder.finish().with(own).try_init()
    } else {
        builder.with_ansi(false).finish().with(own).try_init()
    };
    if let Some(level) = variable.filter(|_| by_variable.is_none()) {
        tracing::warn!("{LEVEL}={level:?} is no level: set DEBUG, INFO, WARNING or ERROR");
    }
    detail
}

fn is_yes(value: &str) -> bool {
    ["true", "1", "yes", "on"].iter().any(|yes| value.trim().eq_ignore_ascii_case(yes))
}

/// Whether text may have colours: at a terminal, unless the variables of <https://no-color.org> forbid it.
pub(crate) fn has_colours(is_terminal: bool) -> bool {
    let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    is_terminal && !has("NO_COLOR") && !is_dumb
}

/// The time of day, for a person at a terminal.
struct ShortTime;

impl FormatTime for ShortTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let time = rfc3339(clock::unix_ms());
        write!(writer, "{}Z", time.get(11..19).unwrap_or(&time))
    }
}

/// From now on a thread of its own writes the lines, messages of panics included.
///
/// # Errors
/// When the thread cannot start. Lines are then written as before.
pub(crate) fn detach() -> io::Result<()> {
    // A copy of the descriptor, because the lock of `io::stderr` would be held during a write that hangs.
    let out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    std::thread::Builder::new().name("log".to_owned()).spawn(move || LOG.write_to(out))?;
    LOG.queue.lock().is_detached = true;
    std::panic::set_hook(Box::new(|panic| LOG.line(panic_text(panic).as_bytes())));
    Ok(())
}

/// Waits until all lines are written, within a bound; false when that was too short.
pub(crate) fn flush() -> bool {
    LOG.flush(FLUSH_MAX)
}

/// Lines that were dropped because standard error was not read.
pub(crate) fn dropped_lines() -> u64 {
    LOG.dropped.load(Ordering::Relaxed)
}

/// What the standard library would write about a panic.
fn panic_text(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        return format!("\nthread '{name}' {panic}\nstack backtrace:\n{backtrace}\n");
    }
    format!(
        "\nthread '{name}' {panic}\nnote: run with `RUST_BACKTRACE=1` environment variable to display \
         a backtrace\n"
    )
}

/// Takes one line; the formatter makes one for each event.
struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LOG.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The queue of lines in front of the thread that writes them.
struct Log {
    queue: Mutex<Queue>,
    /// Tells the writer that there are lines.
    filled: Condvar,
    /// Tells the threads in [`Log::flush`] that all lines are written.
    emptied: Condvar,
    dropped: AtomicU64,
}

struct Queue {
    lines: Vec<u8>,
    /// Whether a thread writes them.
    is_detached: bool,
    /// Whether lines that were taken out are not written yet.
    is_writing: bool,
}

impl Log {
    const fn new() -> Log {
        Log {
            queue: Mutex::new(Queue { lines: Vec::new(), is_detached: false, is_writing: false }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Takes a line; never waits once a thread writes them.
    fn line(&self, line: &[u8]) {
        let mut queue = self.queue.lock();
        if !queue.is_detached {
            drop(queue);
            // A closed standard error is no reason to fail.
            let _closed: io::Result<()> = io::stderr().write_all(line);
        } else if queue.lines.len() + line.len() > WAITING_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            queue.lines.extend_from_slice(line);
            drop(queue);
            self.filled.notify_one();
        }
    }

    /// Writes lines as they come, for as long as the process lives.
    fn write_to(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        let mut told = 0;
        loop {
            let mut queue = self.queue.lock();
            queue.is_writing = false;
            while queue.lines.is_empty() {
                self.emptied.notify_all();
                self.filled.wait(&mut queue);
            }
            queue.is_writing = true;
            std::mem::swap(&mut queue.lines, &mut batch);
            drop(queue);
            if write_all(&mut out, &batch).is_err() {
                let lines = batch.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.dropped.fetch_add(lines, Ordering::Relaxed);
                told = self.dropped.load(Ordering::Relaxed);
            }
            batch.clear();
            batch.shrink_to(KEPT);
            let dropped = self.dropped.load(Ordering::Relaxed);
            if dropped > told {
                tracing::warn!(
                    lines = dropped - told,
                    "standard error was not read: log lines dropped"
                );
                told = dropped;
            }
        }
    }

    /// Waits until all lines are written; false when `limit` was too short.
    fn flush(&self, limit: Duration) -> bool {
        let mut queue = self.queue.lock();
        let has_lines = |queue: &mut Queue| !queue.lines.is_empty() || queue.is_writing;
        !self.emptied.wait_while_for(&mut queue, has_lines, limit).timed_out()
    }
}

/// Writes everything, also to what another process made non-blocking.
fn write_all(out: &mut impl Write, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match out.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => text = text.get(count..).unwrap_or_default(),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A standard error that takes one write for each word it is given.
    struct Gated(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Gated {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(text.to_vec()).map_err(io::Error::other)?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn levels_are_those_of_python_and_each_detail_includes_those_above_it() {
        let levels = ["debug", " INFO ", "Warning", "WARN", "ERROR", "critical", "verbose", ""];
        let details = levels.map(|level| Detail::of_level(level).map(|detail| detail.level()));
        let [debug, info, warn, error] =
            [Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR].map(Some);
        assert_eq!(details, [debug, info, warn, warn, error, error, None, None]);
        assert!(Detail::Requests.has_requests() && Detail::All.has_requests());
        assert!(!Detail::Normal.has_requests() && !Detail::Errors.has_requests());
    }

    #[test]
    fn libraries_have_lines_of_their_own_only_where_everything_has() {
        let has =
            |detail: Detail, target: &str, level| detail.targets().would_enable(target, &level);
        assert!(has(Detail::Requests, "hale_gateway::sink", Level::DEBUG));
        assert!(!has(Detail::Requests, "hyper_util::client", Level::DEBUG));
        assert!(has(Detail::Requests, "rustls", Level::WARN));
        assert!(!has(Detail::Errors, "rustls", Level::WARN));
        assert!(has(Detail::All, "hyper_util::client", Level::TRACE));
    }

    #[test]
    fn json_is_asked_for_in_every_form_of_yes() {
        assert!(["true", "True", "1", "yes", "ON"].iter().all(|value| is_yes(value)));
        assert!(!["", "false", "0", "no", "json"].iter().any(|value| is_yes(value)));
    }

    #[test]
    fn a_reader_that_stands_still_holds_up_no_writer_and_lost_lines_are_counted() {
        static LOG: Log = Log::new();
        LOG.queue.lock().is_detached = true;
        let (go, gate) = channel();
        let (written, lines) = channel();
        std::thread::spawn(move || LOG.write_to(Gated(gate, written)));
        LOG.line(b"first\n");
        let limit = Duration::from_secs(20);
        LOG.filled.notify_one();
        while !LOG.queue.lock().is_writing {
            std::thread::yield_now();
        }
        // The writer hangs in its first write; other threads go on.
        let long = vec![b'x'; WAITING_MAX / 4];
        for _ in 0..7 {
            LOG.line(&long);
        }
        assert_eq!(LOG.dropped.load(Ordering::Relaxed), 3);
        assert!(!LOG.flush(Duration::from_millis(1)), "nothing was written");
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(lines.recv_timeout(limit).unwrap(), b"first\n");
        assert_eq!(lines.recv_timeout(limit).unwrap().len(), WAITING_MAX);
        assert!(LOG.flush(limit));
    }
}
