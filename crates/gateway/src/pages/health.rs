//! Is the process alive, and does it want traffic?

use http::{Response, StatusCode};
use serde::Serialize;

use crate::proxy::Arrival;
use crate::proxy::answer_headers::COMPATIBLE_VERSION;
use crate::proxy::reply::{self, Reply};

/// `GET /health/liveliness`: touches nothing.
pub(super) fn liveness() -> Response<Reply> {
    reply::json(StatusCode::OK, &b"\"I'm alive!\""[..])
}

/// `GET /health/readiness`: 503 from the moment that the process is told to stop.
pub(super) fn readiness(arrival: &Arrival) -> Response<Reply> {
    #[derive(Serialize)]
    struct Details {
        cache: Option<()>,
        litellm_version: &'static str,
        hale_version: &'static str,
        success_callbacks: [&'static str; 0],
    }
    #[derive(Serialize)]
    struct Readiness {
        status: &'static str,
        db: &'static str,
        #[serde(flatten)]
        details: Option<Details>,
    }
    let draining = arrival.worker.process.is_draining();
    let page = Readiness {
        status: if draining { "draining" } else { "connected" },
        db: "Not connected",
        details: arrival.serving.snapshot.gateway.health_details.then_some(Details {
            cache: None,
            litellm_version: COMPATIBLE_VERSION,
            hale_version: env!("CARGO_PKG_VERSION"),
            success_callbacks: [],
        }),
    };
    let status = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    reply::json(status, serde_json::to_vec(&page).unwrap_or_default())
}
