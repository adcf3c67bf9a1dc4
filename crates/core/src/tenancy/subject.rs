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
    /// A model, as the keys of one team use it ([`Subject::of_model`]).
    ModelOfTeam,
    /// What one key may spend on a model in a period; its id is `HASH:PERIOD:MODEL`.
    ModelBudgetOfKey,
    /// The same of a team ([`Subject::of_budget`]).
    ModelBudgetOfTeam,
    /// The same of a user.
    ModelBudgetOfUser,
    /// The same of an end user.
    ModelBudgetOfEndUser,
    /// What one key may spend in one of several periods; its id is `HASH:PERIOD`.
    WindowOfKey,
    /// The same of a team ([`Subject::of_budget`]).
    WindowOfTeam,
    /// A tag of requests.
    Tag,
    /// A session of a key ([`Subject::of_session`]).
    Session,
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
            SubjectKind::ModelOfKey | SubjectKind::ModelBudgetOfKey => "model_per_key",
            SubjectKind::ModelOfTeam | SubjectKind::ModelBudgetOfTeam => "model_per_team",
            SubjectKind::ModelBudgetOfUser => "model_per_user",
            SubjectKind::ModelBudgetOfEndUser => "model_per_end_user",
            SubjectKind::WindowOfKey => "api_key_window",
            SubjectKind::WindowOfTeam => "team_window",
            SubjectKind::Tag => "tag",
            SubjectKind::Session => "session",
        }
    }

    /// `error.type` of a refused model. A member's list is its team's.
    #[must_use]
    pub const fn model_denied(self) -> &'static str {
        match self {
            SubjectKind::Key
            | SubjectKind::ModelOfKey
            | SubjectKind::ModelBudgetOfKey
            | SubjectKind::WindowOfKey
            | SubjectKind::Tag
            | SubjectKind::Session => "key_model_access_denied",
            SubjectKind::Team
            | SubjectKind::Member
            | SubjectKind::ModelOfTeam
            | SubjectKind::ModelBudgetOfTeam
            | SubjectKind::WindowOfTeam => "team_model_access_denied",
            SubjectKind::Organization => "org_model_access_denied",
            SubjectKind::User | SubjectKind::ModelBudgetOfUser => "user_model_access_denied",
            SubjectKind::EndUser | SubjectKind::ModelBudgetOfEndUser => {
                "customer_model_access_denied"
            }
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

    /// A session of the key with that hash: other keys may use the same name.
    #[must_use]
    pub fn of_session(key: &str, session: &str) -> Subject {
        let id = format!("{}:{key}:{session}", key.len()).into();
        Subject { kind: SubjectKind::Session, id, name: session.into() }
    }

    /// What `owner` may spend on a model in a period; without a model in the period in all. A key, the owner of some kinds, has a name.
    #[must_use]
    pub fn of_budget(
        kind: SubjectKind,
        (owner, name): (&str, Option<&str>),
        (model, period): (&str, &str),
    ) -> Subject {
        // A period has no colon.
        let of_model = match model {
            "" => period.to_owned(),
            model => format!("{period}:{model}"),
        };
        match name {
            Some(name) => {
                Subject { kind, id: format!("{owner}:{of_model}").into(), name: name.into() }
            }
            None => {
                let shown = if model.is_empty() { period } else { model };
                let id = format!("{}:{owner}:{of_model}", owner.len()).into();
                Subject { kind, id, name: format!("{owner}:{shown}").into() }
            }
        }
    }

    /// A model of a team, a user or an end user.
    #[must_use]
    pub fn of_model(kind: SubjectKind, owner: &str, model: &str) -> Subject {
        let id = format!("{}:{owner}:{model}", owner.len()).into();
        Subject { kind, id, name: format!("{owner}:{model}").into() }
    }

    /// The team and the user of a member.
    #[must_use]
    pub fn member(&self) -> Option<(&str, &str)> {
        if self.kind != SubjectKind::Member {
            return None;
        }
        self.halves()
    }

    /// The team whose it is, of a team, its members, its models and its periods.
    #[must_use]
    pub fn team(&self) -> Option<&str> {
        let is_part = matches!(
            self.kind,
            SubjectKind::Member
                | SubjectKind::ModelOfTeam
                | SubjectKind::ModelBudgetOfTeam
                | SubjectKind::WindowOfTeam
        );
        match self.kind == SubjectKind::Team {
            true => Some(&self.id),
            false => self.halves().filter(|_| is_part).map(|(team, _)| team),
        }
    }

    /// The owner, and the model or the period, of a subject of two parts.
    fn parts(&self) -> (&str, &str) {
        let parts = match self.hash() {
            Some(_) => self.id.split_once(':'),
            None => self.halves(),
        };
        let (owner, part) = parts.unwrap_or((&self.id, ""));
        let has_period = matches!(
            self.kind,
            SubjectKind::ModelBudgetOfKey
                | SubjectKind::ModelBudgetOfTeam
                | SubjectKind::ModelBudgetOfUser
                | SubjectKind::ModelBudgetOfEndUser
        );
        let model = part.split_once(':').filter(|_| has_period).map(|(_, model)| model);
        (owner, model.unwrap_or(part))
    }

    /// The model of a subject that is one's model.
    #[must_use]
    pub fn model(&self) -> &str {
        self.parts().1
    }

    fn halves(&self) -> Option<(&str, &str)> {
        let (length, both) = self.id.split_once(':')?;
        let (team, user) = both.split_at_checked(length.parse().ok()?)?;
        Some((team, user.strip_prefix(':')?))
    }

    /// The hash of the key, of a key and of a model as a key uses it.
    #[must_use]
    pub fn hash(&self) -> Option<&str> {
        match self.kind {
            SubjectKind::Key => Some(&self.id),
            SubjectKind::ModelOfKey | SubjectKind::ModelBudgetOfKey | SubjectKind::WindowOfKey => {
                self.id.split_once(':').map(|(hash, _)| hash)
            }
            SubjectKind::Member
            | SubjectKind::Team
            | SubjectKind::Organization
            | SubjectKind::User
            | SubjectKind::EndUser
            | SubjectKind::ModelOfTeam
            | SubjectKind::ModelBudgetOfTeam
            | SubjectKind::ModelBudgetOfUser
            | SubjectKind::ModelBudgetOfEndUser
            | SubjectKind::WindowOfTeam
            | SubjectKind::Tag
            | SubjectKind::Session => None,
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
            SubjectKind::Tag => exceeded(&format!("Tag={}", self.id)),
            SubjectKind::Session => format!(
                "{} Begin a new session, or have an admin raise `max_budget_per_session`",
                exceeded(&format!("Session={}", self.name))
            ),
            SubjectKind::ModelOfKey | SubjectKind::ModelBudgetOfKey => {
                let whose = format!("Virtual Key: {}, key_alias: {}", self.parts().0, self.name);
                self.over_model(&whose, known, max)
            }
            SubjectKind::ModelOfTeam | SubjectKind::ModelBudgetOfTeam => {
                self.over_model(&format!("Team: {}", self.parts().0), known, max)
            }
            SubjectKind::ModelBudgetOfUser => {
                self.over_model(&format!("User: {}", self.parts().0), known, max)
            }
            SubjectKind::ModelBudgetOfEndUser => {
                self.over_model(&format!("End User: {}", self.parts().0), known, max)
            }
            SubjectKind::WindowOfKey => self.over_window("Key", known, max),
            SubjectKind::WindowOfTeam => {
                self.over_window(&format!("Team={}", self.parts().0), known, max)
            }
        }
    }

    fn over_model(&self, whose: &str, known: Money, max: Money) -> String {
        let model = self.parts().1;
        format!(
            "LiteLLM {whose}, exceeded budget for model={model}. Current cost: {known}, Max budget: {max}; use another model, or \
             have an admin raise `model_max_budget`"
        )
    }

    fn over_window(&self, whose: &str, known: Money, max: Money) -> String {
        let period = self.parts().1;
        let (known, max) = (known.usd(), max.usd());
        format!(
            "ExceededBudget: {whose} over {period} budget. Spend=${known:.4}, Limit=${max:.2}; wait for the next period, or have \
             an admin raise `budget_limits`"
        )
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
        let model =
            Subject::of_budget(SubjectKind::ModelBudgetOfTeam, ("x:y", None), ("a:b", "1d"));
        assert_eq!((model.team(), model.model(), model.member()), (Some("x:y"), "a:b", None));
        let week = Subject::of_budget(SubjectKind::ModelBudgetOfTeam, ("x:y", None), ("a:b", "7d"));
        assert_ne!(model, week);
        assert_eq!(model.name, week.name);
        let key =
            Subject::of_budget(SubjectKind::ModelBudgetOfKey, ("h", Some("ci")), ("a:b", "1d"));
        assert_eq!((key.hash(), key.model(), &*key.name), (Some("h"), "a:b", "ci"));
        assert_eq!(
            (&*one.name, Subject::new(SubjectKind::Team, "1:x:y").member()),
            ("x:y:z", None)
        );
    }
}
