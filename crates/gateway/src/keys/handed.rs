//! Accounts follow their rows: what a request cost is in a batch of the store.
//!
//! Called by the sink that gives records to the store. Always true: what was charged to an account is handed by it exactly once; accounts
//! that did not admit the request learn of its cost by the row that it raises.

use std::sync::Arc;

use hale_core::tenancy::access::Identity;
use hale_core::tenancy::{Charged, KeyHash, Money, Subject, SubjectKind};

use super::Keys;

impl Keys {
    /// What a request cost is in the batch of that number: the accounts of all that it belongs to follow their rows.
    pub(crate) fn handed(
        &self,
        identity: &Identity,
        (end_user, tags, charged): (Option<&str>, &[Box<str>], &[Charged]),
        (cost, batch): (Money, i64),
    ) {
        if cost == Money::ZERO {
            return;
        }
        charged.iter().for_each(|one| one.level.account.hand(one.cost, batch));
        self.tags_handed((tags, charged), (cost, batch));
        let end_user = end_user.map(|id| Subject::new(SubjectKind::EndUser, id));
        if let Some(account) = end_user.and_then(|subject| self.account_of(&subject)) {
            account.hand(cost, batch);
        }
        let known = KeyHash::parse(&identity.key)
            .and_then(|hash| Some(self.known.read().get(&hash)?.access.clone()));
        let levels = known.as_ref().map_or(&[][..], |access| &access.levels);
        for subject in subjects(identity) {
            // Settled against an account, whether or not it is the newest one.
            match levels.iter().find(|level| level.subject == subject) {
                Some(level) => level.account.hand(cost, batch),
                None => {
                    if let Some(account) = self.account_of(&subject) {
                        account.hand_besides(cost, batch);
                    }
                }
            }
        }
    }

    /// What a request cost is in the batch of that number: the accounts of tags follow it that it was not charged to.
    fn tags_handed(&self, (tags, charged): (&[Box<str>], &[Charged]), (cost, batch): (Money, i64)) {
        if !self.has_tags() {
            return;
        }
        let is_charged = |tag: &str| {
            charged.iter().any(|one| {
                one.level.subject.kind == SubjectKind::Tag && *one.level.subject.id == *tag
            })
        };
        for tag in tags.iter().filter(|tag| !is_charged(tag)) {
            if let Some(account) = self.account_of(&Subject::new(SubjectKind::Tag, tag)) {
                account.hand_besides(cost, batch);
            }
        }
    }
}

/// All whose counters a request of that key raises.
fn subjects(identity: &Identity) -> impl Iterator<Item = Subject> {
    let of = |kind, id: &Option<Arc<str>>| id.as_deref().map(|id| Subject::new(kind, id));
    let member = identity.team.as_deref().zip(identity.user.as_deref());
    [
        Some(Subject::new(SubjectKind::Key, &identity.key)),
        of(SubjectKind::Team, &identity.team),
        member.map(|(team, user)| Subject::of_member(team, user)),
        of(SubjectKind::User, &identity.user),
        of(SubjectKind::Organization, &identity.organization),
    ]
    .into_iter()
    .flatten()
}
