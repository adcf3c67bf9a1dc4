//! Rows that are read while accounts go on: what of them an account that is there already takes over.
//!
//! Used wherever rows of keys, end users and tags are read. Always true: a file has one writer, which is this process, so that a row that
//! was read while no reset was being written has the clock of its budget as operators set it; on a server, rows are compared with
//! accounts once a second by [`super::task`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::tenancy::access::{KeyAccess, Level};
use hale_core::tenancy::account::{Account, Terms};
use hale_core::tenancy::load::Opening;
use hale_core::tenancy::{KeyLimits, Subject, SubjectKind};
use hale_core::time::UnixMs;

use super::Keys;
use crate::clock;

/// How often the writing of resets began and ended: odd while it goes on.
#[derive(Default)]
pub(super) struct Resets(AtomicU64);

/// The writing of resets; its drop ends it.
pub(super) struct Writing<'r>(&'r Resets);

impl Resets {
    pub(super) fn begin(&self) -> Writing<'_> {
        self.0.fetch_add(1, Ordering::AcqRel);
        Writing(self)
    }

    fn seen(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A mark from before rows are read.
#[derive(Clone, Copy)]
pub(super) struct Reading(Option<u64>);

impl Keys {
    /// Marks that rows are read from here on.
    pub(super) fn reads(&self) -> Reading {
        let seen = self.resets.seen();
        Reading(Some(seen).filter(|seen| seen.is_multiple_of(2) && !self.is_shared()))
    }

    /// The account of a subject; made of its row if there is none yet.
    pub(super) fn account(
        &self,
        subject: &Subject,
        opening: Opening,
        Reading(seen): Reading,
    ) -> Arc<Account> {
        let mut accounts = self.accounts.lock();
        let Some(account) = accounts.get(subject) else {
            let account = Arc::new(Account::new(opening.0, opening.1));
            accounts.insert(subject.clone(), account.clone());
            return account;
        };
        if seen.is_some_and(|seen| seen == self.resets.seen()) {
            account.follow(opening.1, UnixMs(clock::unix_ms()));
        }
        account.clone()
    }

    /// The limits of a model group for a key that has none of its own there. `None` if there are none.
    pub(crate) fn default_level(
        &self,
        access: &KeyAccess,
        (group, limits): (&str, KeyLimits),
    ) -> Option<Arc<Level>> {
        let terms = Terms { rpm: limits.rpm, tpm: limits.tpm, ..Terms::default() };
        if terms.rpm.is_none() && terms.tpm.is_none() {
            return None;
        }
        let identity = &access.identity;
        let subject = Subject {
            kind: SubjectKind::ModelOfKey,
            id: format!("{}:{group}", identity.key).into(),
            name: identity.key_alias.clone().unwrap_or_else(|| identity.key.clone()),
        };
        let account = self.accounts.lock().entry(subject.clone()).or_default().clone();
        Some(Arc::new(Level { subject, terms, account, clock: None, counter: None }))
    }
}
