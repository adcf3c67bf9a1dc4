//! Keys and teams whose spend reached their `soft_budget`: operators are told, and nothing is refused.
//!
//! Looked at when a request is settled, read by alerting. Always true: without a soft budget nothing is done; what begins anew, or gets
//! more room, is told of no more.

use std::collections::HashMap;
use std::sync::Arc;

use hale_core::tenancy::access::Level;
use hale_core::tenancy::{Money, Subject, SubjectKind};
use hale_core::time::WallClock;
use parking_lot::Mutex;

/// Those that are kept in mind.
const CROSSED_MAX: usize = 1_000;

/// Those that reached it.
#[derive(Default)]
pub(crate) struct Soft {
    crossed: Mutex<HashMap<Subject, Arc<Level>>>,
}

/// One of them.
pub(crate) struct Crossed {
    /// Its id, which is not shown.
    pub(crate) id: String,
    /// `key ci (sk-...abcd)`, `team t1`.
    pub(crate) name: String,
    /// The sum from which on operators are told.
    pub(crate) soft: Money,
    /// What is spent.
    pub(crate) spent: Money,
}

impl Soft {
    /// Looks whether these reached it.
    pub(super) fn look(&self, levels: &[Arc<Level>]) {
        for level in levels {
            if level.account.beyond_soft(&level.terms).is_none() {
                continue;
            }
            let mut crossed = self.crossed.lock();
            if crossed.len() < CROSSED_MAX || crossed.contains_key(&level.subject) {
                crossed.insert(level.subject.clone(), level.clone());
            }
        }
    }

    /// Those that are beyond it now.
    pub(crate) fn crossed(&self, at: WallClock) -> Vec<Crossed> {
        let mut crossed = self.crossed.lock();
        let mut found = Vec::new();
        crossed.retain(|subject, level| {
            // It may have begun anew.
            let spent = level.account.balance(level.terms.budget.as_ref(), at).spent;
            let soft = level.terms.soft.filter(|soft| spent >= *soft);
            found.extend(soft.map(|soft| {
                let of = if subject.kind == SubjectKind::Key { "key" } else { "team" };
                let id = format!("{of}:{}", subject.id);
                Crossed { id, name: format!("{of} {}", subject.name), soft, spent }
            }));
            soft.is_some()
        });
        found
    }

    /// Forgets those whose terms were changed: they are looked at again with their next request.
    pub(super) fn forget(&self) {
        self.crossed.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use hale_core::tenancy::access::KeyAccess;
    use hale_core::tenancy::account::{Account, Claim, Used};
    use hale_core::tenancy::load::{KeyRows, load};
    use hale_core::tenancy::{KeyHash, access::More, of_models};
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
                keys.settle(admitted.unwrap(), Used { tokens: 0, cost });
            };
            keys.soft.forget();
            spend(0.75);
            assert!(keys.soft.crossed(now()).is_empty(), "{soft}");
            spend(0.75);
            spend(0.0);
            let names: Vec<String> =
                keys.soft.crossed(now()).into_iter().map(|one| one.name).collect();
            assert_eq!(names.join(", "), if told { "key ci (sk-...abcd)" } else { "" }, "{soft}");
        }
    }
}
