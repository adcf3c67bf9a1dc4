//! The tags of requests that have limits or a budget.
//!
//! Asked by the proxy for each request with a key, while any tag has one. Always true: a tag without a budget costs nothing; what others
//! change counts within two seconds.

use std::collections::HashMap;
use std::sync::Arc;

use hale_core::tenancy::access::Level;
use hale_core::tenancy::load::load_tag;
use hale_core::tenancy::{Record, Row, SubjectKind};
use hale_store::{Error, Find, Store, TenantTable};
use parking_lot::RwLock;

use super::Keys;

/// Tags with budgets that are kept in mind; more are named in the log.
const TAGS_MAX: u32 = 10_000;

/// Those that have limits, by their names.
#[derive(Default)]
pub(super) struct Tags {
    limited: RwLock<HashMap<Box<str>, Arc<Level>>>,
}

impl Keys {
    /// Whether any tag has a limit or a budget.
    pub(crate) fn has_tags(&self) -> bool {
        !self.tags.limited.read().is_empty()
    }

    /// Those of the tags that have one.
    pub(crate) fn limited_tags(&self, tags: &[Box<str>]) -> Vec<Arc<Level>> {
        let limited = self.tags.limited.read();
        tags.iter().filter_map(|tag| limited.get(tag)).cloned().collect()
    }

    /// Reads the tags with budgets.
    pub(crate) async fn read_tags(&self) {
        let Some(store) = self.store() else { return };
        let done = store.progress().done;
        let marks: HashMap<Box<str>, u64> = {
            let limited = self.tags.limited.read();
            limited.iter().map(|(tag, level)| (tag.clone(), level.account.mark(done))).collect()
        };
        let reading = self.reads();
        let Ok((rows, budgets)) = tag_rows(store).await else { return };
        let begun = store.progress().begun;
        let by_id: HashMap<&str, &Record> =
            budgets.iter().filter_map(|row| Some((Row(row).text("budget_id")?, row))).collect();
        let limited = rows.iter().filter_map(|row| {
            let linked = by_id.get(Row(row).text("budget_id")?).copied();
            let level = load_tag(row, linked, |subject, opening| {
                let account = self.account(subject, opening, reading);
                if let Some(mark) = marks.get(&*subject.id) {
                    account.reload(opening, (*mark, begun));
                }
                account
            })?;
            Some((Box::from(&*level.subject.id), level))
        });
        let limited: HashMap<Box<str>, Arc<Level>> = limited.collect();
        let levels: Vec<Arc<Level>> =
            limited.values().filter(|level| level.terms.soft.is_some()).cloned().collect();
        self.soft.renew(&levels);
        *self.tags.limited.write() = limited;
    }

    /// A tag was deleted.
    pub(crate) fn tag_removed(&self, tag: &str) {
        self.tags.limited.write().remove(tag);
        self.forget(|subject| subject.kind == SubjectKind::Tag && *subject.id == *tag);
    }
}

/// The rows of tags, and of the budgets that they name.
async fn tag_rows(store: &Store) -> Result<(Vec<Record>, Vec<Record>), Error> {
    let all = Find { sorted_by: Some("tag_name"), limit: TAGS_MAX, ..Find::all(TenantTable::Tags) };
    let rows = store.find(&all).await?;
    if rows.len() >= TAGS_MAX as usize {
        tracing::warn!(
            most = TAGS_MAX,
            "there are more tags than are looked at: the others are not limited"
        );
    }
    let named: Vec<Box<str>> =
        rows.iter().filter_map(|row| Row(row).text("budget_id")).map(Box::from).collect();
    if named.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let find = Find { limit: TAGS_MAX, ..Find::with(TenantTable::Budgets, "budget_id", named) };
    Ok((rows, store.find(&find).await?))
}
