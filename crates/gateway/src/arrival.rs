//! An accepted request with its connection, config and access.
//!
//! Made by the router for each request, used by the proxy and the pages. Always true: it holds the config that
//! the request started with, also after a reload.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hale_core::settings::Bounds;
use http::HeaderMap;
use hyper::body::Incoming;

use crate::clock::Micros;
use crate::http::auth::Principal;
use crate::http::body::{self, Arriving};
use crate::http::connection::ClientConn;
use crate::http::refusal::Refusal;
use crate::limits::Held;
use crate::state::{Serving, Worker};

/// An accepted request with its connection, config and access.
pub(crate) struct Arrival {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Its connection.
    pub(crate) connection: Rc<ClientConn>,
    /// The config that it started with.
    pub(crate) serving: Arc<Serving>,
    /// When its head was complete.
    pub(crate) at: Micros,
    /// Its id: the client's own if it sent one.
    pub(crate) call_id: Arc<str>,
    /// Who sent it, by its key.
    pub(crate) principal: Principal,
}

impl Arrival {
    /// Reads the whole body and counts it as `held`.
    ///
    /// # Errors
    /// The refusal to send.
    pub(crate) async fn read_body(
        &self,
        headers: &HeaderMap,
        incoming: Incoming,
        held: &mut Held,
    ) -> Result<Bytes, Refusal> {
        let bounds = &self.serving.snapshot.gateway.bounds;
        self.read_within(bounds, headers, incoming, held).await
    }

    /// The same within other bounds.
    ///
    /// # Errors
    /// The refusal to send.
    pub(crate) async fn read_within(
        &self,
        bounds: &Bounds,
        headers: &HeaderMap,
        incoming: Incoming,
        held: &mut Held,
    ) -> Result<Bytes, Refusal> {
        let arriving = Arriving::of(headers, incoming)?;
        body::read(&self.connection, bounds, arriving, held).await
    }
}
