//! Hale: an LLM gateway that tracks which deployments are healthy, routes only to those, and explains every
//! failure.
//!
//! The process: arguments, config, workers, shutdown. Start reading at `process` for the process and
//! at `router` for a request. The binary calls [`run`]; the tests of the binary read its table of endpoints.

mod advice;
mod alert;
mod arrival;
mod background;
mod cache;
mod cli;
mod clock;
mod coalesce;
mod console;
mod demo;
mod doctor;
mod events;
mod failures;
mod files;
mod fleet;
mod http;
mod keys;
mod limits;
mod logging;
mod metrics;
mod mirror;
mod offload;
mod pages;
mod panics;
mod prober;
mod process;
mod proxy;
mod redis_client;
mod resume;
mod router;
mod said;
mod server;
mod service;
mod sink;
mod state;
mod stored;
mod unpack;
mod upstream;
mod waiting;

use std::process::ExitCode;

pub use self::http::auth::Role;
pub use self::router::table::{Endpoint, endpoints};

/// The binary `hale`: reads the arguments and does what they say.
#[must_use]
pub fn run() -> ExitCode {
    clock::start();
    let code = match cli::parse() {
        cli::Command::Serve(options) => process::run(options),
        cli::Command::Check(options) => cli::check::run(&options),
        cli::Command::Doctor(options) => doctor::run(&options),
        cli::Command::Health(options) => cli::health::run(&options),
        cli::Command::Explain(options) => cli::explain::run(&options),
        cli::Command::Logs(options) => cli::logs::run(&options),
        cli::Command::Init(options) => cli::init::run(&options),
        cli::Command::Schema => cli::schema(),
        cli::Command::Completions(options) => cli::completions::run(&options, cli::table()),
        cli::Command::Manual(options) => cli::completions::manual(&options, cli::table()),
        cli::Command::Db(options) => cli::db::run(&options),
        cli::Command::Key(options) => cli::keys::run(&options),
        cli::Command::Team(options) => cli::teams::run(&options),
        cli::Command::Migrate(options) => cli::migrate::run(&options),
        cli::Command::Spend(options) => cli::spend::run(&options),
        cli::Command::Demo(options) => demo::run(&options),
        cli::Command::Exit(code) => code,
    };
    logging::flush();
    code
}
