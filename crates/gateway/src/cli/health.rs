//! `hale health`: asks a running gateway for its `/health` and prints it.
//!
//! Called by `main`. Always true: the page goes to standard output and everything else to standard error;
//! the exit code says whether there was a page.

use std::process::ExitCode;
use std::time::Duration;

use hale_wire::payload::Payload;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, header};
use tokio::runtime::LocalOptions;

use super::HealthOptions;
use crate::console::{complain, print};
use crate::upstream::{self, Upstream, UpstreamRequest};

/// How long a gateway may take: without background checks it asks its providers first.
const PATIENCE: Duration = Duration::from_secs(120);
/// Largest page, bytes.
const PAGE_MAX: usize = 256 << 20;

/// Asks and prints.
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
    complain("Hale: Health Testing models in config");
    match fetched {
        Ok((success, text)) => {
            print(&format!("{text}\n"));
            if success { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(problem) => {
            complain(&format!("{}: {problem}", options.url));
            ExitCode::from(1)
        }
    }
}

async fn fetch(options: &HealthOptions) -> Result<(bool, String), String> {
    let base = options.url.trim_end_matches('/');
    if !base.starts_with("http://") && !base.starts_with("https://") {
        return Err("is no address; write http://HOST:PORT".to_owned());
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
        headers: &headers,
        more: Vec::new(),
        body: &Payload::default(),
        granted: None,
    };
    let answer = upstream::send(&upstream, &request).await.map_err(|error| error.to_string())?;
    let (status, mut body) = (answer.status, answer.body);
    let mut whole = Vec::new();
    while let Some(piece) = body.piece().await {
        whole.extend_from_slice(&piece.map_err(|_| "the answer was cut".to_owned())?);
        if whole.len() > PAGE_MAX {
            return Err("the answer is too large to be a page of health".to_owned());
        }
    }
    let page: serde_json::Value = serde_json::from_slice(&whole).map_err(|_| {
        format!("answered {status} with something that is no JSON; is it a gateway?")
    })?;
    Ok((status.is_success(), indented(&page)))
}

/// With four spaces, as the reference prints it.
fn indented(page: &serde_json::Value) -> String {
    let mut text = Vec::new();
    let four = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, four);
    // A value that was parsed can be written, and writing to memory does not fail.
    let _written = serde::Serialize::serialize(page, &mut serializer);
    String::from_utf8(text).unwrap_or_default()
}
