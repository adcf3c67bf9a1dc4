//! Which replicas share probes and evidence.

use http::{Response, StatusCode};
use serde_json::json;

use crate::clock;
use crate::http::reply::{self, Reply};
use crate::pages::PageRequest;
use crate::state::fleet::{Sharing, Through};

/// `GET /health/shared-status`: the reference's fields, `mode` and `holders` with their readable names.
pub(crate) fn status(request: &PageRequest<'_>) -> Response<Reply> {
    let snapshot = &request.arrival.serving.snapshot;
    let shared = &snapshot.shared;
    if !shared.probes {
        let page = json!({
            "shared_health_check_enabled": false,
            "message": "Shared health check is not enabled",
        });
        return reply::json(StatusCode::OK, page.to_string());
    }
    let fleet = &request.arrival.worker.process.fleet;
    let status = fleet.status.load();
    let Some(through) = status.through else {
        let page = json!({
            "shared_health_check_enabled": true,
            "redis_available": false,
            "message": "Redis is not configured",
        });
        return reply::json(StatusCode::OK, page.to_string());
    };
    let now = clock::now().millis();
    let holders: Vec<_> = status
        .holders
        .iter()
        .filter(|(_, _, until)| *until > now)
        .map(|(deployment, pod_id, until)| {
            let known = snapshot.deployments.iter().find(|one| one.id == *deployment);
            json!({
                "deployment": &**deployment,
                "name": known.map(|one| &*one.display.name),
                "pod_id": &**pod_id,
                "expires_in_s": until.since(now).div_ceil(1_000),
            })
        })
        .collect();
    let owner = status.holders.iter().find(|(_, _, until)| *until > now).map(|(_, pod, _)| &**pod);
    let fresh = status.last_probe.as_ref().filter(|(at, _)| now.since(*at) <= shared.result_ms);
    let mut inner = json!({
        "pod_id": &*status.pod_id,
        "through": through.name(),
        "delivery": status.delivery,
        "redis_available": through == Through::Redis && status.sharing == Sharing::Shared,
        "lock_ttl": shared.lease_ms / 1_000,
        "cache_ttl": shared.result_ms / 1_000,
        "lock_owner": owner,
        "lock_in_progress": owner.is_some(),
        "cache_available": fresh.is_some(),
        "mode": status.sharing.name(),
        "holders": holders,
        "replicas": status.others.len() + 1,
    });
    if let Some((at, by)) = fresh {
        #[allow(clippy::cast_precision_loss, reason = "an age in seconds")]
        let age = now.since(*at) as f64 / 1_000.0;
        inner["cache_age_seconds"] = json!(age);
        inner["last_checked_by"] = json!(by.as_deref());
    }
    if status.sharing != Sharing::Shared {
        let problem = status.problem.as_deref();
        inner["error"] = json!(problem.unwrap_or("the server between the replicas is not reached"));
    }
    let page = json!({"shared_health_check_enabled": true, "status": inner});
    reply::json(StatusCode::OK, page.to_string())
}
