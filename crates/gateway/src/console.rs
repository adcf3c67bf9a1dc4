//! Output to the person who runs a command: standard output, standard error, and exit codes.
//!
//! Used by the command line, the start of the process, the doctor and the demo. The log has its own writer.

pub(crate) mod paint;

use std::io::Write;

use crate::logging;

/// The config is wrong (`EX_CONFIG` of sysexits).
pub(crate) const EXIT_CONFIG: u8 = 78;

/// `1 warning`, `2 warnings`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Writes text to standard output. A closed pipe is not an error.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _closed: Result<(), _> = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes text to standard error, after the log lines so far.
pub(crate) fn complain(text: &str) {
    logging::flush();
    let _closed: Result<(), _> = writeln!(std::io::stderr().lock(), "{text}");
}
