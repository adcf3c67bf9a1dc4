//! What the gateway answers by itself: models, health of the process, metrics.
//!
//! Called by the pipeline, after the key was checked. Always true: a page reads what the process
//! holds and calls nobody.

mod budgets;
pub(crate) mod explain;
pub(crate) mod health;
mod metrics;
mod model_groups;
mod models;
mod router;
mod routes;

use hale_core::endpoint::Page;
use http::{HeaderValue, Response, StatusCode};

use self::health::readiness;
use crate::arrival::Arrival;
use crate::events::OperatorAction;
use crate::http::query::form_value;
use crate::http::reply::{self, Reply};

/// The page. `name` is the name in its path, `query` what follows the question mark.
pub(crate) fn answer(
    page: Page,
    arrival: &Arrival,
    name: Option<&str>,
    query: Option<&str>,
) -> Response<Reply> {
    match page {
        Page::Models => {
            let of_query = |name| form_value(query, name);
            let access_groups = of_query("include_model_access_groups");
            models::list(arrival, of_query("healthy_only").as_deref(), access_groups.as_deref())
        }
        Page::Model => models::one(arrival, name.unwrap_or_default()),
        Page::ModelInfo => models::info(arrival),
        Page::ModelGroupInfo => model_groups::info(arrival, form_value(query, "model_group")),
        Page::Routes => routes::list(),
        Page::Liveness => readiness::liveness(),
        Page::Readiness => readiness::readiness(arrival),
        Page::ReadinessDetails => readiness::readiness_details(arrival),
        Page::Backlog => readiness::backlog(arrival),
        Page::License => readiness::license(),
        Page::Test => reply::json(StatusCode::OK, &br#"{"route":"/test"}"#[..]),
        Page::Metrics => {
            let page = metrics::expose(&arrival.worker.process, &arrival.serving);
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            reply::text(StatusCode::OK, HeaderValue::from_static(content_type), page)
        }
        Page::RouterState => router::state(arrival),
        Page::ProviderBudgets => budgets::of_providers(arrival),
        Page::ResetDeployment => {
            router::lay_hand_on(arrival, name.unwrap_or_default(), OperatorAction::Reset)
        }
        Page::DisableDeployment => {
            router::lay_hand_on(arrival, name.unwrap_or_default(), OperatorAction::Disable)
        }
        Page::EnableDeployment => {
            router::lay_hand_on(arrival, name.unwrap_or_default(), OperatorAction::Enable)
        }
        Page::Home => reply::text(
            StatusCode::OK,
            HeaderValue::from_static("text/plain; charset=utf-8"),
            "Hale is running. Models: GET /v1/models. Chat: POST /v1/chat/completions. \
             State: GET /health/readiness.\n",
        ),
    }
}
