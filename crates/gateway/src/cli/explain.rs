//! `hale explain MODEL`: what a running gateway would do with a request, as a table.
//!
//! Called by `main`. Always true: the gateway decides, this only prints its page; nothing is sent to a provider.

mod table;

use std::io::IsTerminal;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use hale_core::config::Source as _;
use http::Method;
use serde_json::json;

use super::running::Running;
use crate::console::paint::Paint;
use crate::console::{complain, print};
use crate::files::Files;

/// Options of `hale explain`.
#[derive(Args, Clone)]
pub(crate) struct ExplainOptions {
    /// The model that the request names: a model group, an alias, or a name that a wildcard matches
    #[arg(value_name = "MODEL", required_unless_present = "body")]
    model: Option<String>,
    /// A request's body, JSON, with its own `model`; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    body: Option<String>,
    #[command(flatten)]
    running: Running,
    /// Print the page as JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Fetches the page and prints it. The exit code is 1 if no deployment would be tried.
pub(crate) fn run(options: &ExplainOptions) -> ExitCode {
    let body = match body(options) {
        Ok(body) => body,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(1);
        }
    };
    let page = match options.running.page(&Method::POST, "/router/explain", body.into()) {
        Ok(page) => page,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(1);
        }
    };
    if options.json {
        print(&format!("{page:#}\n"));
    } else {
        let paint = Paint::on(std::io::stdout().is_terminal());
        print(&table::text(&page, &paint));
    }
    if table::can_be_served(&page) { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn body(options: &ExplainOptions) -> Result<Bytes, String> {
    match (&options.body, &options.model) {
        (Some(path), _) => {
            let unread = |error| format!("{path} cannot be read: {error}");
            let (files, name) = Files::given(path).map_err(unread)?;
            Ok(files.read(&name).map_err(unread)?.into())
        }
        (None, model) => {
            // With messages it is a chat request, which most are.
            let body = json!({"model": model, "messages": [{"role": "user", "content": ""}]});
            Ok(body.to_string().into())
        }
    }
}
