//! `hale logs`: the requests that a running gateway recorded, as a table.
//!
//! Called by `main`. Always true: the gateway's store is asked once; prompts are not shown, because that page has none.

mod table;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;
use hale_wire::payload::Payload;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::running::Running;
use crate::console::paint::{Paint, columns};
use crate::console::{complain, print};

/// Options of `hale logs`.
#[derive(Args, Clone)]
pub(crate) struct LogsOptions {
    /// Only the request with this call id (`x-litellm-call-id`)
    #[arg(value_name = "CALL_ID")]
    call_id: Option<String>,
    /// Show requests that succeeded, too
    #[arg(long)]
    all: bool,
    /// Only requests for this model
    #[arg(long)]
    model: Option<String>,
    /// Only requests that this deployment, named by its id, ended
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,
    /// Only requests that failed for this cause, such as `rate_limited`
    #[arg(long)]
    cause: Option<String>,
    /// How far back, in hours
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=744))]
    hours: u64,
    /// How many requests, the newest first
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=500))]
    limit: u64,
    #[command(flatten)]
    running: Running,
    /// Print the page as JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Fetches the page and prints it.
pub(crate) fn run(options: &LogsOptions) -> ExitCode {
    let path = format!("/ui/requests?{}", query(options));
    let page = match options.running.page(&Method::GET, &path, Payload::default()) {
        Ok(page) => page,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(1);
        }
    };
    if options.json {
        print(&format!("{page:#}\n"));
        return ExitCode::SUCCESS;
    }
    if page["has_store"].as_bool() == Some(false) {
        let fix = "the gateway keeps no records: its store is off, or cannot be opened; its log says which";
        complain(&format!("{}: {fix}", options.running.url));
        return ExitCode::from(1);
    }
    let out = std::io::stdout();
    let paint = Paint::on(out.is_terminal());
    let width = if out.is_terminal() { columns(&out) } else { usize::MAX };
    print(&table::text(&page, &paint, width));
    ExitCode::SUCCESS
}

fn query(options: &LogsOptions) -> String {
    let mut query = format!("hours={}&limit={}", options.hours, options.limit);
    // A request that is named is shown however it ended.
    if options.all || options.call_id.is_some() {
        query.push_str("&all=1");
    }
    let given = [
        ("call_id", &options.call_id),
        ("model", &options.model),
        ("deployment", &options.deployment),
        ("cause", &options.cause),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            query.push_str(&format!("&{name}={value}"));
        }
    }
    query
}
