//! Which endpoints there are. Generated from the table that serves them.

use hale_core::endpoint::{Action, ENDPOINTS, Endpoint};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::http::reply::{self, Reply};

#[derive(Serialize)]
struct Route {
    path: String,
    methods: Vec<&'static str>,
    name: String,
    role: String,
}

/// `GET /routes`.
pub(super) fn list() -> Response<Reply> {
    #[derive(Serialize)]
    struct List {
        routes: Vec<Route>,
    }
    let rows = ENDPOINTS.iter().flat_map(|row| row.paths.iter().map(move |path| route(row, path)));
    let page = List { routes: rows.collect() };
    reply::json(StatusCode::OK, serde_json::to_vec(&page).unwrap_or_default())
}

fn route(row: &Endpoint, path: &str) -> Route {
    let name = match row.action {
        Action::Upstream(operation) => operation.name().to_owned(),
        Action::Explain => "explain".to_owned(),
        Action::Health(action) => format!("{action:?}").to_lowercase(),
        Action::Page(page) => format!("{page:?}").to_lowercase(),
    };
    Route {
        path: path.replace("{}", "{name}"),
        methods: if row.method == "GET" { vec!["GET", "HEAD"] } else { vec![row.method] },
        name,
        role: format!("{:?}", row.role).to_lowercase(),
    }
}
