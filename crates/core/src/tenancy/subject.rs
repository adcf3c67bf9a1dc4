//! Whose limits and budgets a request counts against.
//!
//! Named by every level of [`super::access`], by refusals and by the store's rows. Always true: a kind and an id name one account.

use crate::money::Money;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A kind of subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectKind {
    /// A key; its id is its hash.
    Key,
    /// A user in a team; its id has both ([`Subject::of_member`]).
    Member,
    /// A team.
    Team,
    /// An organization.
    Organization,
    /// A user.
    User,
    /// A client's own customer.
    EndUser,
    /// A model, as one key uses it; its id is `HASH:MODEL`.
    ModelOfKey,
}

impl SubjectKind {
    /// What it is called in rate limits and their headers.
    #[must_use]
    pub const fn descriptor(self) -> &'static str {
        match self {
            SubjectKind::Key => "api_key",
            SubjectKind::Member => "team_member",
            SubjectKind::Team => "team",
            SubjectKind::Organization => "organization",
            SubjectKind::User => "user",
            SubjectKind::EndUser => "end_user",
            SubjectKind::ModelOfKey => "model_per_key",
        }
    }

    /// `error.type` of a refused model. A member's list is its team's.
    #[must_use]
    pub const fn model_denied(self) -> &'static str {
        match self {
            SubjectKind::Key | SubjectKind::ModelOfKey => "key_model_access_denied",
            SubjectKind::Team | SubjectKind::Member => "team_model_access_denied",
            SubjectKind::Organization => "org_model_access_denied",
            SubjectKind::User => "user_model_access_denied",
            SubjectKind::EndUser => "customer_model_access_denied",
        }
    }
}

/// A subject. Two are the same if kind and id are: a name may change.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// Its id.
    pub id: Arc<str>,
    /// What people call it, and the shown end of a key.
    pub name: Arc<str>,
}

impl PartialEq for Subject {
    fn eq(&self, other: &Subject) -> bool {
        (self.kind, &self.id) == (other.kind, &other.id)
    }
}

impl Eq for Subject {}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
        self.id.hash(state);
    }
}

impl Subject {
    /// The subject of that kind with that id, which is also its name.
    #[must_use]
    pub fn new(kind: SubjectKind, id: &str) -> Subject {
        let id: Arc<str> = id.into();
        Subject { kind, name: id.clone(), id }
    }

    /// A user in a team. Ids may have any character, so that the length of the first says where the second begins.
    #[must_use]
    pub fn of_member(team: &str, user: &str) -> Subject {
        let id = format!("{}:{team}:{user}", team.len()).into();
        Subject { kind: SubjectKind::Member, id, name: format!("{team}:{user}").into() }
    }

    /// The team and the user of a member.
    #[must_use]
    pub fn member(&self) -> Option<(&str, &str)> {
        if self.kind != SubjectKind::Member {
            return None;
        }
        let (length, both) = self.id.split_once(':')?;
        let (team, user) = both.split_at_checked(length.parse().ok()?)?;
        Some((team, user.strip_prefix(':')?))
    }

    /// The hash of the key, of a key and of a model as a key uses it.
    #[must_use]
    pub fn hash(&self) -> Option<&str> {
        match self.kind {
            SubjectKind::Key => Some(&self.id),
            SubjectKind::ModelOfKey => self.id.split_once(':').map(|(hash, _)| hash),
            SubjectKind::Member
            | SubjectKind::Team
            | SubjectKind::Organization
            | SubjectKind::User
            | SubjectKind::EndUser => None,
        }
    }

    /// The reference's text for a spent budget.
    pub(super) fn over_budget(&self, known: Money, max: Money) -> String {
        let exceeded = |whose: &str| {
            format!("Budget has been exceeded! {whose} Current cost: {known}, Max budget: {max}")
        };
        let over = |whose: &str| {
            format!("ExceededBudget: {whose} over budget. Spend={known}, Budget={max}")
        };
        match self.kind {
            SubjectKind::Key => exceeded(&format!("Key={}", self.name)),
            SubjectKind::Team => exceeded(&format!("Team={}", self.id)),
            SubjectKind::Organization => exceeded(&format!("Organization={}", self.id)),
            SubjectKind::Member => {
                let (team, user) = self.member().unwrap_or((&self.id, ""));
                exceeded(&format!("User={user} in Team={team}"))
            }
            SubjectKind::User => over(&format!("User={}", self.id)),
            SubjectKind::EndUser => over(&format!("End User={}", self.id)),
            SubjectKind::ModelOfKey => {
                let (key, model) = self.id.split_once(':').unwrap_or((&self.id, ""));
                let alias = &self.name;
                format!(
                    "LiteLLM Virtual Key: {key}, key_alias: {alias}, exceeded budget for model={model}"
                )
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", self.kind.descriptor(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_teams_whose_ids_have_colons_are_told_apart() {
        let (one, other) = (Subject::of_member("x:y", "z"), Subject::of_member("x", "y:z"));
        assert_ne!(one, other);
        assert_eq!((one.member(), other.member()), (Some(("x:y", "z")), Some(("x", "y:z"))));
        assert_eq!(Subject::of_member("ü:", "").member(), Some(("ü:", "")));
        assert_eq!(
            (&*one.name, Subject::new(SubjectKind::Team, "1:x:y").member()),
            ("x:y:z", None)
        );
    }
}
