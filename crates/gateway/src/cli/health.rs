//! `hale health`: fetches `/health` from a running gateway and prints it as a table.
//!
//! Called by `main`. Always true: the page goes to standard output, messages go to standard error; the exit
//! code is 1 if no deployment is healthy or there is no page.

mod table;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use hale_wire::payload::Payload;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use tokio::runtime::LocalOptions;

use super::{HealthOptions, Manner};
use crate::console::paint::Paint;
use crate::console::{complain, print};
use crate::upstream::{self, Reuse, Upstream, UpstreamRequest};

/// Longest wait for the gateway: without background probes it probes its providers first.
const PATIENCE: Duration = Duration::from_secs(120);
/// Size limit of the page, bytes.
const PAGE_MAX: usize = 256 << 20;

/// Fetches the page and prints it.
pub(crate) fn run(options: &HealthOptions) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let fetched = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let late = || Err(format!("no answer within {} s", PATIENCE.as_secs()));
            tokio::time::timeout(PATIENCE, fetch(options)).await.unwrap_or_else(|_| late())
        }),
        Err(error) => Err(error.to_string()),
    };
    if options.manner == Manner::LiteLlm {
        complain("Hale: Health Testing models in config");
    }
    let (status, page) = match fetched {
        Ok(fetched) => fetched,
        Err(problem) => {
            complain(&format!("{}: {problem}", options.url));
            return ExitCode::from(1);
        }
    };
    let is_page = page.get("healthy_endpoints").is_some_and(Value::is_array);
    if options.json {
        print(&format!("{}\n", indented(&page)));
    } else if is_page {
        let out = std::io::stdout();
        let paint = Paint::on(out.is_terminal());
        print(&table::text(&options.url, &page, &paint));
    } else {
        let message = page.pointer("/error/message").and_then(Value::as_str);
        let message = message.unwrap_or("the answer is no health page");
        complain(&format!("{}: {}: {message}", options.url, status.as_u16()));
    }
    let is_good = match options.manner {
        Manner::LiteLlm => status.is_success(),
        Manner::Hale => status.is_success() && page["healthy_count"].as_u64() > Some(0),
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

async fn fetch(options: &HealthOptions) -> Result<(StatusCode, Value), String> {
    let base = options.url.trim_end_matches('/');
    if !base.starts_with("http://") && !base.starts_with("https://") {
        return Err("is not an address; use http://HOST:PORT".to_owned());
    }
    let upstream = Upstream::parse(base);
    let mut headers = HeaderMap::new();
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
    headers.insert(header::HOST, value(&upstream.authority)?);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(key) = &options.key {
        let mut key = value(&format!("Bearer {key}"))?;
        key.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, key);
    }
    let path = PathAndQuery::try_from(format!("{}/health", upstream.base_path));
    let path = path.map_err(|error| error.to_string())?;
    let request = UpstreamRequest {
        method: &Method::GET,
        path: &path,
        headers: &headers.into(),
        more: Vec::new(),
        body: &Payload::default(),
        reuse: Reuse::Allowed,
        granted: None,
    };
    let answer = upstream::send(&upstream, &request).await.map_err(|error| error.to_string())?;
    let (status, mut body) = (answer.status, answer.body);
    let mut whole = Vec::new();
    while let Some(piece) = body.piece().await {
        whole.extend_from_slice(&piece.map_err(|_| "the answer was cut".to_owned())?);
        if whole.len() > PAGE_MAX {
            return Err("the answer is too large for a health page".to_owned());
        }
    }
    let page = serde_json::from_slice(&whole).map_err(|_| {
        format!("answered {status} with a body that is not JSON; check that a gateway runs there")
    })?;
    Ok((status, page))
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
