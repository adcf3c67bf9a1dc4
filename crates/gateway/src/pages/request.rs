//! The request for a page, and the future that a waiting page returns.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use hale_core::settings::Bounds;
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::body::Incoming;

use crate::arrival::Arrival;
use crate::http::query;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::Reply;
use crate::http::tree::{self, Longest};
use crate::limits::Held;
use crate::offload;

/// A request for a page.
#[derive(Clone, Copy)]
pub(crate) struct PageRequest<'a> {
    /// The request, and what it may use.
    pub(crate) arrival: &'a Arrival,
    /// The name in its path, decoded.
    pub(crate) name: Option<&'a str>,
    /// Its head.
    pub(crate) head: &'a Parts,
    /// How long its body may be: its row of the table of endpoints says so.
    pub(crate) longest: Longest,
}

/// A page on its way, or the refusal to send.
pub(crate) type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Response<Reply>, Refusal>> + 'a>>;

impl PageRequest<'_> {
    /// Reads the whole body and counts it as `held`.
    ///
    /// # Errors
    /// The refusal to send.
    pub(crate) async fn read_body(
        &self,
        incoming: Incoming,
        held: &mut Held,
    ) -> Result<Bytes, Refusal> {
        let headers = &self.head.headers;
        let bounds = &self.arrival.serving.snapshot.gateway.bounds;
        match self.longest {
            Longest::Bytes(limit) if limit < bounds.body_bytes => {
                let bounds = Bounds { body_bytes: limit, ..bounds.clone() };
                let read = self.arrival.read_within(&bounds, headers, incoming, held).await;
                let is_long = |refusal: &Refusal| refusal.status == StatusCode::PAYLOAD_TOO_LARGE;
                read.map_err(|refusal| match is_long(&refusal) {
                    true => tree::too_long(limit),
                    false => refusal,
                })
            }
            Longest::Bytes(_) | Longest::AsConfigured => {
                self.arrival.read_body(headers, incoming, held).await
            }
        }
    }

    /// Counts the tree that a body becomes as `held`.
    ///
    /// # Errors
    /// The body has too many values or levels, or there is no room for its tree.
    pub(crate) async fn hold_tree(&self, body: &Bytes, held: &mut Held) -> Result<(), Refusal> {
        let cost = if body.len() <= offload::LARGE {
            tree::cost(body)?
        } else {
            let body = body.clone();
            offload::run(move || tree::cost(&body)).await?
        };
        let limit = self.arrival.serving.snapshot.gateway.bounds.buffered_bytes;
        if held.add_in_time(cost, limit).await { Ok(()) } else { Err(refusal::too_much_held()) }
    }

    /// The value of a parameter in its query.
    pub(crate) fn parameter(&self, name: &str) -> Option<Box<str>> {
        query::form_value(self.head.uri.query(), name)
    }
}
