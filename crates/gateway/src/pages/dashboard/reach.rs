//! `GET /ui/reach?key=`: what a key may use, and what counts against it.
//!
//! Called by the router. Always true: rights and balances are those that requests with the key are judged by; a client sees keys that
//! `/key/info` or `/key/update` would let it see or change, and nothing of what the user of a team's key has elsewhere.

use std::sync::Arc;

use hale_core::route::MayUse;
use hale_core::tenancy::access::{KeyAccess, Level};
use hale_core::tenancy::{KeyHash, Row, Subject, SubjectKind};
use hale_core::time::{WallClock, rfc3339};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::http::refusal::{self, Refusal};
use crate::keys;
use crate::pages::admin::{NOT_FOUND, is_own, page, row_of, store};
use crate::pages::managers::manager;
use crate::pages::{PageRequest, Waiting};

/// Model groups that are named at most.
const GROUPS_MAX: usize = 1_000;
/// Levels of single models at most.
const MODELS_MAX: usize = 200;

/// The page.
pub(crate) fn reach(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let Some(named) = request.parameter("key").filter(|key| !key.is_empty()) else {
            return Err(refusal::missing_parameter("/ui/reach", "key"));
        };
        let hash = KeyHash::named(&named);
        let is_own = check(&request, hash).await?;
        let keys = &request.arrival.worker.process.keys;
        let now = keys::now();
        let access = match keys.known(hash, now.now) {
            Some(access) => access,
            None => keys.look_up_hash(hash, "sk-...").await.map_err(refusal::denied)?,
        };
        let snapshot = &request.arrival.serving.snapshot;
        let may = |name: &str| MayUse::check(&access, snapshot, access.renamed(name)).is_ok();
        let groups = snapshot.listed_groups().map(|group| &*group.name);
        let (mut own, mut others) = (Vec::new(), 0);
        for name in groups {
            if !may(name) {
                others += 1;
            } else if own.len() < GROUPS_MAX {
                own.push(name);
            }
        }
        let refused = access.check_alive(now.unix_ms).err().map(|denied| denied.message);
        // What its user has elsewhere is nothing to a key of a team: an admin of the team may hold it.
        let sees_user = access.identity.team.is_none() || request.arrival.principal.sees(|_| false);
        let is_seen = |level: &&Arc<Level>| {
            let kind = level.subject.kind;
            sees_user || !matches!(kind, SubjectKind::User | SubjectKind::ModelBudgetOfUser)
        };
        let levels = access.levels.iter().chain(access.of_models.all().take(MODELS_MAX));
        let levels = all_shown(levels.filter(is_seen), now);
        Ok(page(&json!({
            "models": own, "refused_models": others, "all_models": access.allows_all_models(), "levels": levels,
            "names": names(&access), "role": access.role.name(), "allowed_routes": access.allowed_routes, "refused": refused,
            "is_own": is_own, "unserved": access.unserved, "team": access.identity.team.as_deref(),
        })))
    })
}

/// The client may see that key: whether `/key/info` shows it, and not because the client manages its team.
async fn check(request: &PageRequest<'_>, hash: KeyHash) -> Result<bool, Refusal> {
    let store = store(request)?;
    let not_there = || {
        let message = "Key not found in database".to_owned();
        refusal::of_admin(StatusCode::NOT_FOUND, NOT_FOUND, message).param("key")
    };
    let Some(row) = row_of(store, hash).await? else { return Err(not_there()) };
    if request.arrival.principal.sees(|access| is_own(access, Row(&row))) {
        return Ok(true);
    }
    let manager = manager(request)?;
    manager.check_key(request, store, Ok(row)).await.map(|_| false).map_err(|_| not_there())
}

/// Names of the team's and of the key's own, and what they lead to.
fn names(access: &KeyAccess) -> Value {
    access.aliases.iter().flatten().map(|(name, model)| (name.to_string(), json!(model))).collect()
}

/// The levels, each subject once: requests and tokens of a model are two.
fn all_shown<'l>(levels: impl Iterator<Item = &'l Arc<Level>>, now: WallClock) -> Vec<Value> {
    let mut all: Vec<(&Subject, Value)> = Vec::new();
    for level in levels {
        let Some((_, one)) = all.iter_mut().find(|(subject, _)| **subject == level.subject) else {
            all.push((&level.subject, shown(level, now)));
            continue;
        };
        for (name, limit) in [("rpm_limit", level.terms.rpm), ("tpm_limit", level.terms.tpm)] {
            if let Some(limit) = limit {
                one[name] = json!(limit);
            }
        }
    }
    all.into_iter().map(|(_, shown)| shown).collect()
}

/// One level: whose, what it may use, what it has used.
fn shown(level: &Arc<Level>, now: WallClock) -> Value {
    let terms = &level.terms;
    let balance = level.account.balance(terms.budget.as_ref(), now);
    let budget = terms.budget.as_ref().map(|budget| budget.max_at(now.unix_ms).usd());
    json!({
        "of": level.subject.kind.descriptor(),
        "id": &*level.subject.id,
        "max_budget": budget,
        "spend": balance.spent.usd(),
        "reserved": balance.reserved.usd(),
        "soft_budget": terms.soft.map(hale_core::tenancy::Money::usd),
        "budget_reset_at": level.account.ends().map(|ends| rfc3339(ends.0)),
        "rpm_limit": terms.rpm,
        "requests": balance.requests,
        "tpm_limit": terms.tpm,
        "tokens": balance.tokens,
        "max_parallel_requests": terms.parallel,
        "in_flight": balance.in_flight,
    })
}
