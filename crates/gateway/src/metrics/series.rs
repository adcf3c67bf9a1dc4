//! The counters of one deployment, or of one group for the requests that no deployment of it answered.
//!
//! Resolved when a config is applied, written when a request ends, read by the page of metrics. Always true: each finished
//! request is counted in exactly one place; counters that no request needed take no memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use hale_core::deployment::Deployment;
use hale_core::record::{Ending, RequestRecord};
use parking_lot::Mutex;

use super::clients::{ClientKey, Clients};
use super::counters::{Counters, Measured, Scales};

/// What a series is about. Its order puts a group's own series before those of its deployments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    /// The group's name; empty for requests without a group.
    pub(crate) group: Arc<str>,
    /// The deployment, if one answered.
    pub(crate) deployment: Option<Place>,
}

/// What labels say of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Its id.
    pub(crate) id: Arc<str>,
    /// The provider's name.
    pub(crate) provider: &'static str,
    /// The model's name at the provider.
    pub(crate) model: Box<str>,
    /// The address, without credentials.
    pub(crate) api_base: Box<str>,
}

impl Place {
    /// What labels say of `deployment`.
    pub(crate) fn of(deployment: &Deployment) -> Place {
        Place {
            id: deployment.id.clone(),
            provider: &deployment.endpoint.provider.name,
            model: deployment.endpoint.upstream_model.clone(),
            api_base: without_credentials(&deployment.endpoint.api_base),
        }
    }
}

/// An address without the user and the password that it may name.
fn without_credentials(address: &str) -> Box<str> {
    let start = address.find("://").map_or(0, |at| at + 3);
    let end = address[start..].find('/').map_or(address.len(), |at| start + at);
    match address[start..end].rfind('@') {
        Some(at) => format!("{}{}", &address[..start], &address[start + at + 1..]).into(),
        None => address.into(),
    }
}

/// The counters of requests that were answered, and of those that were not.
#[derive(Default)]
pub(crate) struct Cell {
    answered: OnceLock<Box<Counters>>,
    failed: OnceLock<Box<Counters>>,
}

impl Cell {
    fn count(&self, scales: &Scales, record: &RequestRecord, measured: Measured) {
        self.of(record.ending)
            .get_or_init(|| Box::new(Counters::new(scales)))
            .count(record, measured);
    }

    fn of(&self, ending: Ending) -> &OnceLock<Box<Counters>> {
        match ending {
            Ending::Success => &self.answered,
            Ending::Error | Ending::Broken | Ending::ClientClosed | Ending::Panicked => {
                &self.failed
            }
        }
    }

    /// The counters of requests that were answered, if there were any.
    pub(crate) fn answered(&self) -> Option<&Counters> {
        self.answered.get().map(|counters| &**counters)
    }

    /// The counters of the others, if there were any.
    pub(crate) fn failed(&self) -> Option<&Counters> {
        self.failed.get().map(|counters| &**counters)
    }

    fn absorb(&self, other: &Cell, scales: &Scales) {
        for (own, other) in [(&self.answered, &other.answered), (&self.failed, &other.failed)] {
            if let Some(other) = other.get() {
                own.get_or_init(|| Box::new(Counters::new(scales))).absorb(other);
            }
        }
    }
}

/// What the last answer said is left of a provider's limit.
pub(crate) struct Remaining(AtomicU64);

impl Default for Remaining {
    fn default() -> Remaining {
        Remaining(AtomicU64::new(u64::MAX))
    }
}

impl Remaining {
    /// What is left now.
    pub(crate) fn set(&self, left: Option<u64>) {
        if let Some(left) = left {
            self.0.store(left.min(u64::MAX - 1), Ordering::Relaxed);
        }
    }

    /// What is left, if an answer said it.
    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|left| *left != u64::MAX)
    }
}

/// The counters of one subject.
pub(crate) struct Series {
    /// What it is about.
    pub(crate) subject: Subject,
    scales: Arc<Scales>,
    cell: Cell,
    /// By the values of the labels that the operator asked for beyond those of the config.
    by_client: Mutex<BTreeMap<ClientKey, Arc<Cell>>>,
    /// Requests that are left of the provider's limit.
    pub(crate) requests_left: Remaining,
    /// Tokens that are left of it.
    pub(crate) tokens_left: Remaining,
}

impl Series {
    /// Without any count.
    pub(crate) fn new(subject: Subject, scales: Arc<Scales>) -> Series {
        Series {
            subject,
            scales,
            cell: Cell::default(),
            by_client: Mutex::default(),
            requests_left: Remaining::default(),
            tokens_left: Remaining::default(),
        }
    }

    /// Counts a finished request.
    pub(crate) fn count(&self, record: &RequestRecord, measured: Measured) {
        self.cell.count(&self.scales, record, measured);
    }

    /// Counts a finished request of a client of which labels tell.
    pub(crate) fn count_client(
        &self,
        client: (ClientKey, &Clients),
        record: &RequestRecord,
        measured: Measured,
    ) {
        let (key, clients) = client;
        let cell = clients.cell_of(&mut self.by_client.lock(), key);
        cell.count(&self.scales, record, measured);
    }

    /// Whether any request has ended.
    pub(crate) fn has_counted(&self) -> bool {
        let mut any = false;
        self.each(|_, cell| any |= cell.answered.get().or(cell.failed.get()).is_some());
        any
    }

    /// Each of its cells, with the values of the labels that the operator asked for.
    pub(crate) fn each(&self, mut each: impl FnMut(Option<&ClientKey>, &Cell)) {
        each(None, &self.cell);
        let clone = |(key, cell): (&ClientKey, &Arc<Cell>)| (key.clone(), cell.clone());
        let clients: Vec<(ClientKey, Arc<Cell>)> =
            self.by_client.lock().iter().map(clone).collect();
        for (key, cell) in clients {
            each(Some(&key), &cell);
        }
    }

    /// Adds all that another one counted, whatever the client.
    pub(crate) fn absorb(&self, other: &Series) {
        other.each(|_, cell| self.cell.absorb(cell, &self.scales));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_credentials() {
        for (address, shown) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            ("https://user:p@ss@host:8443/a@b", "https://host:8443/a@b"),
            ("http://key@host", "http://host"),
            ("", ""),
        ] {
            assert_eq!(&*without_credentials(address), shown);
        }
    }

    #[test]
    fn what_is_left_of_a_limit_is_what_the_last_answer_said() {
        let left = Remaining::default();
        assert_eq!(left.get(), None);
        left.set(Some(0));
        left.set(None);
        assert_eq!(left.get(), Some(0));
        left.set(Some(u64::MAX));
        assert_eq!(left.get(), Some(u64::MAX - 1));
    }
}
