//! `POST /global/spend/reset`: all keys and teams have spent nothing.
//!
//! Always true: only the master key may do it, as in the reference; rows of requests, days and the ledger stay; the audit log says who did it and
//! when; what is taken off each counter is noted with it, so that sums go on agreeing.

use hale_core::tenancy::SubjectKind;
use hale_store::{Change, Changed, TenantTable};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::json;

use crate::http::auth::Principal;
use crate::http::refusal;
use crate::pages::admin::{Audited, make, page, settle_spend, store, turn};
use crate::pages::{PageRequest, Waiting};

/// Whose counters begin anew, and whose accounts.
const RESET: [(TenantTable, SubjectKind); 2] =
    [(TenantTable::Keys, SubjectKind::Key), (TenantTable::Teams, SubjectKind::Team)];

/// `POST /global/spend/reset`.
pub(crate) fn all(request: PageRequest<'_>, _incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        if let Principal::Key(_) = &request.arrival.principal {
            let message = "Authentication Error, Tried to access route=/global/spend/reset, which is only for MASTER KEY";
            let status = StatusCode::UNAUTHORIZED;
            return Err(refusal::of_admin(status, "auth_error", message.to_owned()));
        }
        let _turn = turn(&request).await;
        // What has been spent so far is taken off, too.
        settle_spend(&request).await?;
        let changes = RESET.map(|(table, _)| Change::ResetAll { table });
        let audited = RESET.map(|(table, _)| Audited {
            table,
            action: "updated",
            object: "*",
            before: None,
            after: None,
        });
        let changed = make(&request, changes.to_vec(), &audited).await?;
        let progress = store(&request)?.progress();
        let keys = &request.arrival.worker.process.keys;
        keys.all_reset(RESET.map(|(_, kind)| kind), progress.begun);
        let rows = match changed {
            Changed::Done(rows) => rows,
            Changed::Exists(_) | Changed::Before => Vec::new(),
        };
        tracing::warn!(
            keys = rows.first().copied().unwrap_or(0),
            teams = rows.get(1).copied().unwrap_or(0),
            "what keys and teams have spent was reset by the master key"
        );
        let message = "Spend for all API Keys and Teams reset successfully";
        Ok(page(&json!({"message": message, "status": "success"})))
    })
}
