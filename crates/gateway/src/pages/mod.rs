//! What the gateway answers by itself: models, health of the process, metrics.
//!
//! Called by the pipeline, after the key was checked. Always true: a page reads what the process
//! holds and calls nobody.

mod health;
mod models;
mod router;

use hale_core::endpoint::Page;
use http::{HeaderValue, Response, StatusCode};

use self::router::Hand;
pub(crate) use self::router::preview;
use crate::metrics;
use crate::proxy::Arrival;
use crate::proxy::reply::{self, Reply};

/// The page. `name` is the name in its path.
pub(crate) fn answer(page: Page, arrival: &Arrival, name: Option<&str>) -> Response<Reply> {
    match page {
        Page::Models => models::list(arrival),
        Page::Model => models::one(arrival, name.unwrap_or_default()),
        Page::ModelInfo => models::info(arrival),
        Page::Liveness => health::liveness(),
        Page::Readiness => health::readiness(arrival),
        Page::Metrics => {
            let page = metrics::expose(&arrival.worker.process, &arrival.serving);
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            reply::text(StatusCode::OK, HeaderValue::from_static(content_type), page)
        }
        Page::RouterState => router::state(arrival),
        Page::ResetDeployment => {
            router::lay_hand_on(arrival, name.unwrap_or_default(), Hand::Reset)
        }
        Page::DisableDeployment => {
            router::lay_hand_on(arrival, name.unwrap_or_default(), Hand::Disable)
        }
        Page::EnableDeployment => {
            router::lay_hand_on(arrival, name.unwrap_or_default(), Hand::Enable)
        }
        Page::Home => reply::text(
            StatusCode::OK,
            HeaderValue::from_static("text/plain; charset=utf-8"),
            "Hale is running. Models: GET /v1/models. Chat: POST /v1/chat/completions. \
             State: GET /health/readiness.\n",
        ),
    }
}
