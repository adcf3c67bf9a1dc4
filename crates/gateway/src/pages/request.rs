//! The request for a page, and the future that a waiting page returns.

use std::future::Future;
use std::pin::Pin;

use http::Response;
use http::request::Parts;

use crate::arrival::Arrival;
use crate::http::query;
use crate::http::refusal::Refusal;
use crate::http::reply::Reply;

/// A request for a page.
#[derive(Clone, Copy)]
pub(crate) struct PageRequest<'a> {
    /// The request, and what it may use.
    pub(crate) arrival: &'a Arrival,
    /// The name in its path, decoded.
    pub(crate) name: Option<&'a str>,
    /// Its head.
    pub(crate) head: &'a Parts,
}

/// A page on its way, or the refusal to send.
pub(crate) type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Response<Reply>, Refusal>> + 'a>>;

impl PageRequest<'_> {
    /// The value of a parameter in its query.
    pub(crate) fn parameter(&self, name: &str) -> Option<Box<str>> {
        query::form_value(self.head.uri.query(), name)
    }
}
