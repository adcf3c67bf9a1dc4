//! The page as JSON: three lists of entries, and how long each is.
//!
//! Called by [`super::report`]. Always true: each given deployment is in exactly one list; entries are
//! serialized without an intermediate tree, so that a thousand entries do not block a worker for long.

use std::borrow::Cow;

use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::health::probe::ProbeResult;
use hale_core::time::Millis;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::known::{Known, Sees, Standing};
use super::words::{error_text, hint, status_of};
use crate::clock;
use crate::proxy::explain::unix_s;
use crate::state::Serving;

/// What the page shows.
pub(super) struct Listing<'s> {
    serving: &'s Serving,
    pub(super) sees: Sees,
    now: Millis,
    healthy: Vec<Row>,
    unhealthy: Vec<Row>,
    unchecked: Vec<Row>,
    /// Why there is nothing in it.
    pub(super) error: Option<String>,
}

type Row = (DeploymentIndex, Known);

impl<'s> Listing<'s> {
    /// Sorts the entries into the lists; `sees` is how much the client may see.
    pub(super) fn new(
        serving: &'s Serving,
        sees: Sees,
        known: impl Iterator<Item = Row>,
    ) -> Listing<'s> {
        let (healthy, unhealthy, unchecked) = (Vec::new(), Vec::new(), Vec::new());
        let now = clock::now().millis();
        let mut listing =
            Listing { serving, sees, now, healthy, unhealthy, unchecked, error: None };
        for row in known {
            match row.1.standing {
                Standing::Healthy => listing.healthy.push(row),
                Standing::Unhealthy => listing.unhealthy.push(row),
                Standing::Unprobed => listing.unchecked.push(row),
            }
        }
        listing
    }

    /// Whether the first list is empty.
    pub(super) fn has_no_healthy(&self) -> bool {
        self.healthy.is_empty()
    }
}

impl Serialize for Listing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = |rows| Rows { listing: self, rows };
        let mut page = serializer.serialize_map(None)?;
        page.serialize_entry("healthy_endpoints", &rows(&self.healthy))?;
        page.serialize_entry("unhealthy_endpoints", &rows(&self.unhealthy))?;
        page.serialize_entry("healthy_count", &self.healthy.len())?;
        page.serialize_entry("unhealthy_count", &self.unhealthy.len())?;
        page.serialize_entry("unchecked_count", &self.unchecked.len())?;
        page.serialize_entry("unchecked_endpoints", &rows(&self.unchecked))?;
        if let Some(error) = &self.error {
            page.serialize_entry("error", error)?;
        }
        page.end()
    }
}

struct Rows<'l> {
    listing: &'l Listing<'l>,
    rows: &'l [Row],
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Listing { serving, sees, now, .. } = *self.listing;
        serializer.collect_seq(self.rows.iter().map(|(index, known)| Entry {
            serving,
            sees,
            now,
            index: *index,
            known,
        }))
    }
}

struct Entry<'l> {
    serving: &'l Serving,
    sees: Sees,
    now: Millis,
    index: DeploymentIndex,
    known: &'l Known,
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Entry { serving, sees, now, index, known } = *self;
        let deployment = serving.snapshot.deployment(index);
        let last = known.last.as_deref();
        let mut entry = serializer.serialize_map(None)?;
        entry.serialize_entry("model", &model_name(deployment, last))?;
        entry.serialize_entry("model_id", &*deployment.id)?;
        let failed = known.standing == Standing::Unhealthy;
        if failed {
            entry.serialize_entry("exception_status", &status_of(known))?;
        }
        if sees.details {
            if sees.addresses {
                entry.serialize_entry("api_base", &*deployment.endpoint.api_base)?;
            }
            entry.serialize_entry("name", &*deployment.display.name)?;
            entry.serialize_entry("custom_llm_provider", &*deployment.endpoint.provider.name)?;
            let group = serving.snapshot.group(deployment.group);
            entry.serialize_entry("model_name", &*group.name)?;
            check(&mut entry, known, now)?;
            limits(&mut entry, deployment, sees)?;
            if let Some(seconds) = known.retry_after_s {
                entry.serialize_entry("retry_after_s", &seconds)?;
            }
            for (name, value) in last.map_or(&[][..], |last| &last.headers) {
                entry.serialize_entry(name, &**value)?;
            }
            if let Some(hint) = hint(deployment, known, sees) {
                entry.serialize_entry("hint", &hint)?;
            }
            if failed || known.failure.is_some() {
                entry.serialize_entry("error", &error_text(deployment, known, sees))?;
            }
        }
        entry.end()
    }
}

/// What was found, when, and by which kind of evidence.
fn check<M: SerializeMap>(entry: &mut M, known: &Known, now: Millis) -> Result<(), M::Error> {
    let last = known.last.as_deref();
    let next_at = known.next_at.map(|at| unix_s(now, now) + at.since(now).div_ceil(1000));
    entry.serialize_entry("status", known.status)?;
    entry.serialize_entry("source", if known.by_traffic { "traffic" } else { "check" })?;
    entry.serialize_entry("checked_at", &known.checked_at.map(|at| unix_s(at, now)))?;
    entry.serialize_entry("latency_ms", &last.map(|last| last.ended.since(last.started)))?;
    entry.serialize_entry("cause", &known.cause)?;
    entry.serialize_entry("next_check_at", &next_at)
}

/// What the config says of it.
fn limits<M: SerializeMap>(
    entry: &mut M,
    deployment: &Deployment,
    sees: Sees,
) -> Result<(), M::Error> {
    if let Some(mode) = &deployment.facts.mode {
        entry.serialize_entry("mode", &**mode)?;
    }
    let version = deployment.endpoint.azure.as_ref().and_then(|azure| azure.api_version.as_ref());
    if let Some(version) = version.filter(|_| sees.addresses) {
        entry.serialize_entry("api_version", &**version)?;
    }
    for (name, limit) in
        [("tpm", deployment.routing.limits.tpm), ("rpm", deployment.routing.limits.rpm)]
    {
        if let Some(limit) = limit {
            entry.serialize_entry(name, &limit)?;
        }
    }
    Ok(())
}

/// The requested model; for a pattern, the model that was probed for it.
fn model_name<'d>(deployment: &'d Deployment, last: Option<&ProbeResult>) -> Cow<'d, str> {
    let written = &*deployment.endpoint.model_param;
    let asked = last.map(|last| &*last.model).filter(|model| !model.is_empty());
    match asked {
        Some(model) if *model != *deployment.endpoint.upstream_model => {
            let prefix =
                written.split_once('/').map_or(&*deployment.endpoint.provider.name, |(it, _)| it);
            Cow::Owned(format!("{prefix}/{model}"))
        }
        _ => Cow::Borrowed(written),
    }
}
