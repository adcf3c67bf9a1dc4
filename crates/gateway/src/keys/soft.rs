//! Keys, teams, members and end users whose spend reached their `soft_budget`: operators are told, and nothing is refused.
//!
//! Looked at when a request is settled, read by alerting. Always true: without a soft budget nothing is done; what begins anew, or gets
//! more room, is told of no more; any other change of keys, teams or users forgets nothing, so that the same crossing is told once.

use std::collections::HashMap;
use std::sync::Arc;

use hale_core::tenancy::access::Level;
use hale_core::tenancy::{KeyHash, Money, Subject, SubjectKind};
use hale_core::time::WallClock;
use parking_lot::Mutex;

/// Those that are kept in mind.
const CROSSED_MAX: usize = 1_000;

/// Those that reached it.
#[derive(Default)]
pub(crate) struct Soft {
    crossed: Mutex<HashMap<Subject, Entry>>,
}

struct Entry {
    level: Arc<Level>,
    /// A key that counts against it: it is read again after a change.
    key: KeyHash,
}

/// One of them.
pub(crate) struct Crossed {
    /// Its id, which is not shown.
    pub(crate) id: String,
    /// `key ci (sk-...abcd)`, `team t1`, `user u1 in team t1`, `end user c1`.
    pub(crate) name: String,
    /// The sum from which on operators are told.
    pub(crate) soft: Money,
    /// What is spent.
    pub(crate) spent: Money,
}

/// What people call a subject, with what it is.
fn named(subject: &Subject) -> String {
    if let Some((team, user)) = subject.member() {
        return format!("user {user} in team {team}");
    }
    let of = match subject.kind {
        SubjectKind::Key => "key",
        SubjectKind::EndUser => "end user",
        SubjectKind::Organization => "organization",
        SubjectKind::User => "user",
        SubjectKind::Tag => "tag",
        _ => "team",
    };
    format!("{of} {}", subject.name)
}

impl Soft {
    /// Looks whether these reached it, with a request of that key.
    pub(super) fn look(&self, levels: &[Arc<Level>], key: KeyHash) {
        for level in levels {
            if level.account.beyond_soft(&level.terms).is_none() {
                continue;
            }
            let mut crossed = self.crossed.lock();
            if crossed.len() < CROSSED_MAX || crossed.contains_key(&level.subject) {
                crossed.insert(level.subject.clone(), Entry { level: level.clone(), key });
            }
        }
    }

    /// Those that are beyond it now.
    pub(crate) fn crossed(&self, at: WallClock) -> Vec<Crossed> {
        let mut crossed = self.crossed.lock();
        let mut found = Vec::new();
        crossed.retain(|subject, Entry { level, .. }| {
            // It may have begun anew.
            let spent = level.account.balance(level.terms.budget.as_ref(), at).spent;
            let soft = level.terms.soft.filter(|soft| spent >= *soft);
            found.extend(soft.map(|soft| {
                let id = format!("{}:{}", subject.kind.descriptor(), subject.id);
                Crossed { id, name: named(subject), soft, spent }
            }));
            soft.is_some()
        });
        found
    }

    /// The keys by which the terms of these are read.
    pub(super) fn keys(&self) -> Vec<KeyHash> {
        self.crossed.lock().values().map(|entry| entry.key).collect()
    }

    /// These are the terms of now.
    pub(super) fn renew(&self, levels: &[Arc<Level>]) {
        let mut crossed = self.crossed.lock();
        if crossed.is_empty() {
            return;
        }
        for level in levels {
            if let Some(entry) = crossed.get_mut(&level.subject) {
                entry.level = level.clone();
            }
        }
    }

    /// These are not there any more.
    pub(super) fn forget(&self, is_gone: impl Fn(&Subject) -> bool) {
        self.crossed.lock().retain(|subject, _| !is_gone(subject));
    }
}

#[cfg(test)]
mod tests {
    use hale_core::tenancy::access::KeyAccess;
    use hale_core::tenancy::access::{More, Spent};
    use hale_core::tenancy::account::{Account, Claim, Terms, Used};
    use hale_core::tenancy::load::{KeyRows, load, load_end_user};
    use hale_core::tenancy::of_models;
    use serde_json::{Value, json};

    use super::super::{Keys, now};
    use super::*;

    fn access(soft: f64) -> Arc<KeyAccess> {
        let row = json!({"token": KeyHash::of("sk-1").to_string(), "key_alias": "ci", "key_name": "sk-...abcd"});
        let budget = json!({"budget_id": "b", "soft_budget": soft});
        let (Value::Object(key), Value::Object(budget)) = (row, budget) else { panic!("objects") };
        let rows = KeyRows { key, budget: Some(budget), ..KeyRows::default() };
        let account =
            |_: &Subject, opening: (Money, _)| Arc::new(Account::new(opening.0, opening.1));
        Arc::new(load(&rows, account).unwrap())
    }

    #[test]
    fn a_soft_budget_refuses_nothing_and_is_told_of_once_it_is_reached() {
        let keys = Keys::default();
        for (soft, told) in [(1.0, true), (9.0, false), (0.0, false)] {
            let access = access(soft);
            let spend = |usd: f64| {
                let names = of_models::names("m", "m");
                let admitted = access.admit(names, (Claim::default(), &More::default()), now());
                let cost = Money::of_usd(usd).unwrap();
                let all = Used { tokens: 0, cost };
                keys.settle(admitted.unwrap(), &Spent { all, in_group: &|_| all });
            };
            keys.soft.forget(|_| true);
            spend(0.75);
            assert!(keys.soft.crossed(now()).is_empty(), "{soft}");
            spend(0.75);
            spend(0.0);
            let names: Vec<String> =
                keys.soft.crossed(now()).into_iter().map(|one| one.name).collect();
            assert_eq!(names.join(", "), if told { "key ci (sk-...abcd)" } else { "" }, "{soft}");
        }
    }

    /// The names of those that are beyond it.
    fn told(keys: &Keys) -> Vec<String> {
        keys.soft.crossed(now()).into_iter().map(|one| one.name).collect()
    }

    #[test]
    fn a_change_elsewhere_tells_nothing_again_and_a_raise_of_its_own_ends_it() {
        let keys = Keys::default();
        let level = |soft: f64, account: &Arc<Account>| {
            let subject = Subject::of_member("t", "u");
            let terms = Terms { soft: Money::of_usd(soft), ..Terms::default() };
            Arc::new(Level { subject, terms, account: account.clone(), clock: None, counter: None })
        };
        let account = Arc::new(Account::new(Money::of_usd(2.0).unwrap(), None));
        let hash = KeyHash::of("sk-1");
        keys.soft.look(&[level(1.0, &account)], hash);
        keys.all_changed();
        keys.changed(KeyHash::of("sk-2"));
        keys.removed(KeyHash::of("sk-3"));
        assert_eq!(told(&keys), ["user u in team t"]);
        // Its terms are read again by a key that counts against it.
        assert!(keys.wanted.lock().contains(&hash));
        keys.soft.renew(&[level(3.0, &account)]);
        assert!(told(&keys).is_empty());
        keys.soft.look(&[level(1.0, &account)], hash);
        keys.team_removed("t");
        assert!(told(&keys).is_empty());
    }

    #[test]
    fn members_and_end_users_have_soft_budgets_too() {
        let record = |value: Value| value.as_object().cloned().unwrap();
        let budget = || record(json!({"budget_id": "b", "soft_budget": 1.0}));
        let account =
            |_: &Subject, opening: (Money, _)| Arc::new(Account::new(opening.0, opening.1));
        let rows = KeyRows {
            key: record(
                json!({"token": KeyHash::of("sk-1").to_string(), "team_id": "t", "user_id": "u"}),
            ),
            team: Some(record(json!({"team_id": "t", "members_with_roles": [{"user_id": "u"}]}))),
            default_member_budget: Some(budget()),
            ..KeyRows::default()
        };
        let access = Arc::new(load(&rows, account).unwrap());
        let row = record(json!({"user_id": "e", "budget_id": "b"}));
        let counters = (&[][..], now().unix_ms);
        let end_user = Arc::new(load_end_user(&row, Some(&budget()), counters, account).unwrap());
        let keys = Keys::default();
        let more = More { end_user: Some(&end_user), ..More::default() };
        let admitted = access.admit(of_models::names("m", "m"), (Claim::default(), &more), now());
        let all = Used { tokens: 0, cost: Money::of_usd(1.5).unwrap() };
        keys.settle(admitted.unwrap(), &Spent { all, in_group: &|_| all });
        let mut names = told(&keys);
        names.sort();
        assert_eq!(names, ["end user e", "user u in team t"]);
    }
}
