//! One request on its way, and what it may use.
//!
//! Made by the router for each request, borrowed by the proxy and the pages. Always true: it holds the config
//! that the request began with, whatever is reloaded meanwhile.

use std::rc::Rc;
use std::sync::Arc;

use crate::clock::Micros;
use crate::http::auth::Access;
use crate::server::connection::ConnectionState;
use crate::state::{Serving, Worker};

/// One request on its way, and what it may use.
pub(crate) struct Arrival {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// The connection that it came on.
    pub(crate) connection: Rc<ConnectionState>,
    /// The config that it began with.
    pub(crate) serving: Arc<Serving>,
    /// When its head was complete.
    pub(crate) at: Micros,
    /// Its id, the client's own where it sent one.
    pub(crate) call_id: Arc<str>,
    /// Who sent it.
    pub(crate) access: Access,
}
