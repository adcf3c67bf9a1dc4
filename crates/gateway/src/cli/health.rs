//! `hale health`: fetches `/health` from a running gateway and prints it as a table.
//!
//! Called by `main`. Always true: the page goes to standard output, messages go to standard error; the exit
//! code is 1 if no deployment is healthy or there is no page.

mod table;

use std::io::IsTerminal;
use std::process::ExitCode;

use hale_wire::payload::Payload;
use http::Method;
use serde_json::Value;

use super::{HealthOptions, Manner};
use crate::console::paint::Paint;
use crate::console::{complain, print};

/// Fetches the page and prints it.
pub(crate) fn run(options: &HealthOptions) -> ExitCode {
    let fetched = options.running.call(&Method::GET, "/health", Payload::default());
    if options.manner == Manner::LiteLlm {
        complain("Hale: Health Testing models in config");
    }
    let (status, page) = match fetched {
        Ok(fetched) => fetched,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(1);
        }
    };
    let is_page = page.get("healthy_endpoints").is_some_and(Value::is_array);
    if options.json {
        print(&format!("{}\n", indented(&page)));
    } else if is_page {
        let out = std::io::stdout();
        let paint = Paint::on(out.is_terminal());
        print(&table::text(&options.running.url, &page, &paint));
    } else {
        complain(&options.running.refusal(status, &page));
    }
    let is_good = match options.manner {
        Manner::LiteLlm => status.is_success(),
        Manner::Hale => status.is_success() && page["healthy_count"].as_u64() > Some(0),
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// JSON indented by four spaces, as LiteLLM prints it.
fn indented(page: &Value) -> String {
    let mut text = Vec::new();
    let four = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, four);
    // A parsed value can be serialized, and writing to memory cannot fail.
    let _written = serde::Serialize::serialize(page, &mut serializer);
    String::from_utf8(text).unwrap_or_default()
}
