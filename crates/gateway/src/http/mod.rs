//! What a request and an answer are to the gateway, before anything is routed: the client's connection, the key,
//! the body, the query, the reply, the refusal.
//!
//! Used by the server, the router, the proxy and the pages. Always true: nothing here knows a deployment.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod call_id;
pub(crate) mod connection;
pub(crate) mod header_list;
pub(crate) mod query;
pub(crate) mod refusal;
pub(crate) mod reply;

/// The version of the interface that clients of the reference look at. Source: the contract.
pub(crate) const COMPATIBLE_VERSION: &str = "1.106.2";
