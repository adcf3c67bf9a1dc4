//! The log: lines on standard error, as text or as JSON.
//!
//! Set up once by `main`'s commands. Always true: nothing is written per request below debug.

use tracing::Level;
use tracing_subscriber::fmt;

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Changes of state, warnings, errors.
    Normal,
    /// One line per request besides.
    Requests,
    /// Everything.
    All,
}

/// Sets the log up. `JSON_LOGS=true` makes its lines JSON, as in the reference.
pub(crate) fn set_up(detail: Detail) {
    let level = match detail {
        Detail::Normal => Level::INFO,
        Detail::Requests => Level::DEBUG,
        Detail::All => Level::TRACE,
    };
    let json = std::env::var("JSON_LOGS").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let builder = fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    // A log that is set up already, by a test, stays.
    let _already_set: Result<(), _> = if json {
        builder.json().try_init()
    } else {
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        builder.with_ansi(is_terminal).try_init()
    };
}
