//! `GET /routes` and `GET /openapi.json`: which endpoints there are, made from the table that serves them.
//!
//! Called by the table. Always true: each row is in both with each of its paths and its method, and nothing else is.

use std::sync::LazyLock;

use bytes::Bytes;
use hale_core::operation::{Carries, Operation};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::table::{Endpoint, Handler, endpoints};
use crate::http::auth::Role;
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

/// The document. The table never changes.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

/// The page `/openapi.json`.
pub(super) fn openapi(_: &PageRequest<'_>) -> Response<Reply> {
    reply::json(StatusCode::OK, DOCUMENT.clone())
}

fn document() -> Value {
    let mut paths = Map::new();
    for row in endpoints() {
        for (at, path) in row.paths.iter().enumerate() {
            let methods = paths.entry(path.replace("{}", "{name}")).or_insert_with(|| json!({}));
            methods[row.method.to_lowercase()] = one(row, path, at);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hale",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A gateway for models. Errors have the form of the client's wire format.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "the master key, or a key of `/key/generate`"},
                "header": {"type": "apiKey", "in": "header", "name": "x-litellm-api-key"},
            },
        },
    })
}

/// One path of a row; the `at`th of them.
fn one(row: &Endpoint, path: &str, at: usize) -> Value {
    let operation = match row.handler {
        Handler::Upstream(operation) => Some(operation),
        Handler::Page(_) | Handler::WaitingPage(_) => None,
    };
    // An id is unique, and a row may have several paths and, passed through, several methods.
    let passed = if row.is_passed_through() { row.method } else { "" };
    let number = if at == 0 { String::new() } else { format!("_{}", at + 1) };
    let mut said = json!({
        "operationId": format!("{}{passed}{number}", row.name),
        "tags": [tag(row, path)],
        "responses": {
            "200": {"description": "the answer"},
            "default": {"description": "an error: its `error.message` says what to change"},
        },
        "x-hale-role": format!("{:?}", row.role).to_lowercase(),
    });
    said["security"] = match row.role {
        Role::Public => json!([]),
        Role::Key | Role::Metrics | Role::Viewer | Role::TeamAdmin | Role::Admin => {
            json!([{"bearer": []}, {"header": []}])
        }
    };
    if path.contains("{}") {
        said["parameters"] =
            json!([{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}]);
    }
    if let Some(body) = body(row, operation) {
        said["requestBody"] = body;
    }
    said
}

/// What a client writes.
fn body(row: &Endpoint, operation: Option<Operation>) -> Option<Value> {
    if matches!(row.method, "GET" | "DELETE") {
        return None;
    }
    let required = operation.map_or(&[][..], Operation::required_fields);
    let schema = json!({"type": "object", "additionalProperties": true, "required": required});
    let kind = match operation.map(Operation::carries) {
        Some(Carries::Form) => "multipart/form-data",
        Some(_) | None => "application/json",
    };
    Some(json!({"required": !required.is_empty(), "content": {kind: {"schema": schema}}}))
}

/// The part of a document that an endpoint is in: the first word of its path, behind a version.
fn tag<'p>(row: &Endpoint, path: &'p str) -> &'p str {
    if matches!(row.handler, Handler::Upstream(_)) {
        return "models";
    }
    let mut parts = path.split('/').filter(|part| !part.is_empty() && !part.contains('{'));
    let first = parts.next().unwrap_or("home");
    let is_version = first.starts_with('v') && first[1..].starts_with(|c: char| c.is_ascii_digit());
    if is_version { parts.next().unwrap_or(first) } else { first }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_path_and_method_of_the_table_is_in_the_document_once_and_nothing_else() {
        let document: Value = serde_json::from_slice(&DOCUMENT).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let mut written = 0;
        for row in endpoints() {
            for path in row.paths {
                let one = &paths[&path.replace("{}", "{name}")][row.method.to_lowercase()];
                assert!(one["operationId"].as_str().unwrap().starts_with(row.name), "{path}");
                assert_eq!(one["security"] == json!([]), row.role == Role::Public, "{path}");
                assert_eq!(one.get("parameters").is_some(), path.contains("{}"), "{path}");
                written += 1;
            }
        }
        let all: Vec<&Value> =
            paths.values().flat_map(|methods| methods.as_object().unwrap().values()).collect();
        assert_eq!(all.len(), written);
        let ids: HashSet<&str> =
            all.iter().map(|one| one["operationId"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), all.len(), "each has an id of its own");
    }

    #[test]
    fn what_an_operation_requires_is_in_its_schema() {
        let chat = &document()["paths"]["/v1/chat/completions"]["post"]["requestBody"];
        assert_eq!(chat["content"]["application/json"]["schema"]["required"], json!(["messages"]));
        let speech = &document()["paths"]["/v1/audio/transcriptions"]["post"]["requestBody"];
        assert!(speech["content"].get("multipart/form-data").is_some(), "{speech}");
    }
}
