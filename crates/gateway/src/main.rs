//! Hale: an LLM gateway that knows which deployment is well, sends traffic only there, and explains
//! itself when it can not.
//!
//! The process: arguments, config, workers, shutdown. Start reading at [`serve`] for the process and
//! at [`proxy`] for a request.

mod cli;
mod clock;
mod coalesce;
mod demo;
mod doctor;
mod files;
mod health;
mod logging;
mod metrics;
mod pages;
mod panics;
mod proxy;
mod reload;
mod room;
mod serve;
mod server;
mod sink;
mod state;
mod upstream;

use std::process::ExitCode;

/// The config is wrong. Source: `EX_CONFIG` of sysexits.
pub(crate) const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    clock::start();
    match cli::parse() {
        cli::Command::Serve(options) => serve::run(options),
        cli::Command::Check(options) => serve::check(&options),
        cli::Command::Doctor(options) => doctor::run(&options),
        cli::Command::Health(options) => health::fetch::run(&options),
        cli::Command::Demo(options) => demo::run(&options),
        cli::Command::Exit(code) => code,
    }
}

/// Writes text for a person to standard output. A closed pipe is no reason to fail.
pub(crate) fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _closed: Result<(), _> = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes text for a person to standard error.
pub(crate) fn complain(text: &str) {
    use std::io::Write;
    let _closed: Result<(), _> = writeln!(std::io::stderr().lock(), "{text}");
}
