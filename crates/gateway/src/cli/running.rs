//! A gateway that runs: its address and key on the command line, and one call of one of its pages.
//!
//! Used by `hale health`, `hale explain`, `hale logs`, `hale key` and `hale team`. Always true: the key is sent to that address only and never
//! printed; an answer is bounded.

use std::time::Duration;

use clap::Args;
use hale_core::secret::Secret;
use hale_wire::payload::Payload;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use tokio::runtime::LocalOptions;

use crate::upstream::{self, Reuse, Upstream, UpstreamRequest};

/// Longest wait for an answer: `/health` without background probes probes the providers first.
const PATIENCE: Duration = Duration::from_secs(120);
/// Size limit of an answer, bytes.
const PAGE_MAX: usize = 256 << 20;

/// Where the gateway runs.
#[derive(Args, Clone, Debug)]
pub(crate) struct Running {
    /// The gateway's address
    #[arg(long, default_value = "http://127.0.0.1:4000")]
    pub(crate) url: String,
    /// A key of the gateway
    #[arg(long, env = "LITELLM_MASTER_KEY", hide_env_values = true, value_parser = secret)]
    pub(crate) key: Option<Secret>,
}

#[allow(clippy::unnecessary_wraps, reason = "the form of clap's parsers")]
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

impl Running {
    /// Calls the page at `path`, with its query, and reads its JSON.
    ///
    /// # Errors
    /// The address and what is wrong, if there is no answer or it is not JSON.
    pub(crate) fn call(
        &self,
        method: &Method,
        path: &str,
        body: Payload,
    ) -> Result<(StatusCode, Value), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .map_err(|error| error.to_string())?;
        let called = runtime.block_on(async {
            let late = || Err(format!("no answer within {} s", PATIENCE.as_secs()));
            let call = self.send(method, path, body);
            tokio::time::timeout(PATIENCE, call).await.unwrap_or_else(|_| late())
        });
        called.map_err(|problem| format!("{}: {problem}", self.url))
    }

    /// As [`Running::call`], for a page whose errors are the gateway's own.
    ///
    /// # Errors
    /// That, or the status and the message of a refusal.
    pub(crate) fn page(&self, method: &Method, path: &str, body: Payload) -> Result<Value, String> {
        let (status, page) = self.call(method, path, body)?;
        if status.is_success() {
            return Ok(page);
        }
        Err(self.refusal(status, &page))
    }

    /// What an answer that is not the page says.
    pub(crate) fn refusal(&self, status: StatusCode, page: &Value) -> String {
        let message = page.pointer("/error/message").and_then(Value::as_str);
        let message = message.unwrap_or("the answer is not a page of Hale");
        let fix = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.key.is_none() => {
                "; name the master key with --key or LITELLM_MASTER_KEY"
            }
            _ => "",
        };
        format!("{}: {}: {message}{fix}", self.url, status.as_u16())
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Payload,
    ) -> Result<(StatusCode, Value), String> {
        let base = self.url.trim_end_matches('/');
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err("is not an address; use http://HOST:PORT".to_owned());
        }
        let upstream = Upstream::parse(base);
        let path = PathAndQuery::try_from(format!("{}{path}", upstream.base_path));
        let path = path.map_err(|error| error.to_string())?;
        let headers = self.headers(&upstream.authority)?;
        let request = UpstreamRequest {
            method,
            path: &path,
            headers: &headers.into(),
            more: Vec::new(),
            body: &body,
            reuse: Reuse::Allowed,
            granted: None,
        };
        let answer =
            upstream::send(&upstream, &request).await.map_err(|error| error.to_string())?;
        let (status, mut body) = (answer.status, answer.body);
        let mut whole = Vec::new();
        while let Some(piece) = body.piece().await {
            whole.extend_from_slice(&piece.map_err(|_| "the answer was cut".to_owned())?);
            if whole.len() > PAGE_MAX {
                return Err("the answer is too large for a page of Hale".to_owned());
            }
        }
        let page = serde_json::from_slice(&whole).map_err(|_| {
            format!(
                "answered {status} with a body that is not JSON; check that a gateway runs there"
            )
        })?;
        Ok((status, page))
    }

    fn headers(&self, authority: &str) -> Result<HeaderMap, String> {
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, value(authority)?);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.key {
            let mut key = value(&format!("Bearer {}", key.expose()))?;
            key.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, key);
        }
        Ok(headers)
    }
}
