//! What the person who runs a command reads: its two outputs and its exit code.
//!
//! Used by the command line, the start of the process, the doctor and the demo. The log is not written here.

use std::io::Write;

use crate::logging;

/// The config is wrong. Source: `EX_CONFIG` of sysexits.
pub(crate) const EXIT_CONFIG: u8 = 78;

/// Writes text for a person to standard output. A closed pipe is no reason to fail.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _closed: Result<(), _> = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes text for a person to standard error, after the lines of the log so far.
pub(crate) fn complain(text: &str) {
    logging::flush();
    let _closed: Result<(), _> = writeln!(std::io::stderr().lock(), "{text}");
}
