//! `GET /routes`: which endpoints there are, made from the table that serves them.

use http::{Response, StatusCode};
use serde::Serialize;

use super::table::{Endpoint, endpoints};
use crate::http::reply::{self, Reply};
use crate::pages::PageRequest;

#[derive(Serialize)]
struct Route {
    path: String,
    methods: Vec<&'static str>,
    name: &'static str,
    role: String,
}

/// The page.
pub(super) fn list(_: &PageRequest<'_>) -> Response<Reply> {
    #[derive(Serialize)]
    struct List {
        routes: Vec<Route>,
    }
    let rows = endpoints().iter();
    let rows = rows.flat_map(|row| row.paths.iter().map(move |path| route(row, path)));
    let page = List { routes: rows.collect() };
    reply::json(StatusCode::OK, serde_json::to_vec(&page).unwrap_or_default())
}

fn route(row: &Endpoint, path: &str) -> Route {
    Route {
        path: path.replace("{}", "{name}"),
        methods: if row.method == "GET" { vec!["GET", "HEAD"] } else { vec![row.method] },
        name: row.name,
        role: format!("{:?}", row.role).to_lowercase(),
    }
}
