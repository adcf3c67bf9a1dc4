//! The binary `hale`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hale_gateway::run()
}
