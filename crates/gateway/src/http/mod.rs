//! What a request and an answer are to the gateway, before anything is routed: the key, the body, the query,
//! the reply.
//!
//! Used by the router, the proxy and the pages.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod query;
pub(crate) mod reply;
