//! Who a request is for: the user that a header names, the client's own customer, who it is billed to.
//!
//! Part of [`super::Opening`]. Always true: it is known before anything can be refused for what the request says, so that a refusal's
//! record has it, too.

use std::sync::Arc;

use hale_core::tenancy::access::Level;
use hale_wire::peek::Peek;

use super::Opening;
use crate::http::refusal::{self, Refusal};
use crate::proxy::billed_to::{Names, billed_to, names_tags};
use crate::proxy::client_labels;
use crate::proxy::customer::customer;
use crate::sink::MASTER_KEY;

impl Opening {
    /// Notes the user that a header names, if the config says which.
    pub(super) fn note_user(&mut self) {
        let names = &self.arrival.serving.snapshot.gateway.user_headers;
        let values = names.iter().filter_map(|name| self.head.headers.get(&**name)?.to_str().ok());
        if let Some(user) = values.map(str::trim).find(|value| !value.is_empty()) {
            let user: Arc<str> = user.chars().take(200).collect::<String>().into();
            self.delivery.note(|record| record.user = Some(user));
        }
    }

    /// The client's own customer.
    pub(super) fn customer_of(&self, body: impl FnOnce() -> Option<Box<str>>) -> Option<Box<str>> {
        customer(&self.head.headers, self.delivery.user().as_deref(), body)
    }

    /// Finds the row of the client's own customer, if any has a row and the client has a key.
    ///
    /// # Errors
    /// It is blocked, or its row cannot be read.
    pub(super) async fn check_end_user(&mut self) -> Result<(), Refusal> {
        let keys = &self.arrival.worker.process.keys;
        if self.arrival.principal.access().is_none() || !keys.has_end_users() {
            return Ok(());
        }
        let Some(id) = &self.customer else { return Ok(()) };
        let found = Box::pin(keys.end_user(id)).await.map_err(refusal::denied)?;
        if let Some(end_user) = &found {
            end_user.check().map_err(refusal::denied)?;
        }
        self.end_user = found;
        Ok(())
    }

    /// Notes what labels of metrics tell of the client, if the config has such labels.
    pub(super) fn note_client(&mut self, peek: &Peek) {
        if self.arrival.serving.snapshot.gateway.metrics.client_labels.is_empty() {
            return;
        }
        let named = (self.customer.as_deref(), peek);
        let values = client_labels::values(&self.arrival, &self.head.headers, named);
        self.delivery.counting.client(values);
    }

    /// Notes who it is billed to, and refuses tags where only keys name them.
    pub(super) fn bill(&mut self, peek: &Peek) -> Result<(), Refusal> {
        self.note_billed_to(peek);
        self.check_tags(peek)
    }

    fn check_tags(&self, peek: &Peek) -> Result<(), Refusal> {
        if !self.arrival.serving.snapshot.gateway.refuses_tags {
            return Ok(());
        }
        match names_tags(&self.head.headers, peek) {
            Some(param) => Err(refusal::tags_of_clients(param)),
            None => Ok(()),
        }
    }

    /// Notes who it is billed to, if that is kept, and its session, if sessions have a ceiling.
    fn note_billed_to(&mut self, peek: &Peek) {
        let has_ceiling = self.arrival.serving.snapshot.gateway.session.is_any();
        if !has_ceiling && !self.delivery.keeps_calls() {
            return;
        }
        let headers = &self.head.headers;
        let names = self.names.take().unwrap_or_else(|| Names::of(headers, peek));
        if has_ceiling {
            self.session = names.session().map(Box::from);
        }
        if self.delivery.keeps_calls() {
            let to = billed_to(&self.arrival, headers, (self.customer.clone(), names));
            self.delivery.billed_to(to);
        }
    }

    /// What it counts against as part of a session, if sessions have a ceiling and it names one.
    pub(super) async fn limited_session(&self) -> Option<Arc<Level>> {
        let session = self.session.as_deref()?;
        let arrival = &self.arrival;
        let key = match arrival.principal.access() {
            Some(access) => &*access.identity.key,
            None if arrival.principal.is_operator() => MASTER_KEY,
            None => "",
        };
        let ceiling = arrival.serving.snapshot.gateway.session;
        let keys = &arrival.worker.process.keys;
        Some(Box::pin(keys.session(ceiling, (key, session))).await)
    }

    /// Those of its tags that have limits or budgets.
    pub(super) fn limited_tags(&self) -> Vec<Arc<Level>> {
        let keys = &self.arrival.worker.process.keys;
        match keys.has_tags() {
            true => keys.limited_tags(self.delivery.tags()),
            false => Vec::new(),
        }
    }
}
