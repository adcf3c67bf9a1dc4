//! HTTP with clients, without routing: connection, key, body, query, reply, refusal.
//!
//! Used by the server, the router, the proxy and the pages. Always true: no code here knows a deployment.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod browser;
pub(crate) mod call_id;
pub(crate) mod connection;
pub(crate) mod cors;
#[cfg(test)]
mod fixture;
pub(crate) mod header_list;
pub(crate) mod keepalive;
pub(crate) mod limit_headers;
pub(crate) mod query;
pub(crate) mod refusal;
pub(crate) mod reply;
pub(crate) mod tree;

/// The version of LiteLLM whose API this one is compatible with; its clients read it.
pub(crate) const COMPATIBLE_VERSION: &str = "1.106.2";
