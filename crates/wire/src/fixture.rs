//! Shared by the tests of this crate: a deployment, and the files of `testdata/`.

use std::sync::Arc;

use bytes::Bytes;
use hale_core::deployment::{
    Credential, Deployment, DeploymentIndex, Display, Routing, UpstreamEndpoint,
};
use hale_core::group::GroupIndex;
use hale_core::health::probe::ProbeRules;
use hale_core::health::{DeploymentState, Known};
use hale_core::operation::Operation;
use hale_core::prices::ModelFacts;
use hale_core::provider;
use hale_core::takes::Takes;
use serde_json::Value;

use crate::bytes::peek::Peek;
use crate::conversion::prepare::{Conversion, Prepared, prepare};
use crate::conversion::stream::Reader;
use crate::formats::neutral::Unfit;
use crate::formats::order::Order;
use crate::formats::view::View;

/// A deployment of that provider without settings.
pub(crate) fn deployment(provider: &str) -> Deployment {
    Deployment {
        index: DeploymentIndex(0),
        id: Arc::from("d"),
        group: GroupIndex(0),
        endpoint: UpstreamEndpoint {
            provider: provider::lookup(provider).unwrap(),
            upstream_model: "up".into(),
            model_param: "x/up".into(),
            api_base: "http://127.0.0.1:1/v1".into(),
            azure: None,
            aws: None,
            vertex: None,
            default_params: Vec::new(),
            dropped_params: Vec::new(),
            rules: hale_core::deployment::BodyRules::default(),
            takes: Some(Takes::default()),
            is_for_responses: false,
            mock: None,
        },
        credential: Credential::default(),
        routing: Routing::default(),
        probing: ProbeRules::default(),
        facts: ModelFacts::default(),
        display: Display::default(),
        misconfigured: None,
        state: Arc::new(DeploymentState::default()),
    }
}

/// The text of `testdata/NAME`.
pub(crate) fn testdata(name: &str) -> String {
    let path = format!("{}/../../testdata/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The `body` of `testdata/NAME`, which names its source.
pub(crate) fn body(name: &str) -> Value {
    let file: Value = serde_json::from_str(&testdata(name)).unwrap();
    assert!(file["source"].as_str().unwrap().starts_with("https://"), "{name}");
    file["body"].clone()
}

/// An order of `operation` at `deployment` for the model `model`.
pub(crate) fn order<'o>(
    deployment: &'o Deployment,
    operation: Operation,
    model: &'o str,
) -> Order<'o> {
    Order {
        deployment,
        operation,
        upstream_model: model,
        kept: None,
        client_version: None,
        ask_usage: false,
        drop_params: false,
        known: Known::default(),
        prefix: None,
        seals: None,
        fetched: None,
        client_betas: None,
    }
}

/// The body that is sent for `body`.
pub(crate) fn sent(body: &Value, order: &Order<'_>) -> Result<Value, Unfit> {
    let peek = Peek::parse(Bytes::from(body.to_string())).unwrap();
    prepare(&peek, order).map(|prepared| match prepared {
        Prepared::Body(_, body, _) => serde_json::from_slice(&body.joined()).unwrap(),
        Prepared::Estimate(body) => serde_json::from_slice(&body).unwrap(),
        Prepared::Count(count) => serde_json::from_slice(&count.answer()).unwrap(),
        Prepared::Several(_, all, _) => all
            .iter()
            .map(|one| serde_json::from_slice::<Value>(&one.body.joined()).unwrap())
            .collect(),
        Prepared::Fetch(addresses) => addresses.iter().map(|one| &**one).collect(),
    })
}

/// The view of a client that calls the model `mine`.
pub(crate) fn view() -> View {
    View {
        model_json: "\"mine\"".into(),
        show_usage: true,
        priced: None,
        earlier_usd: 0.0,
        merges_reasoning: false,
        created: 7,
        unix_ms: 0,
        answer_id: None,
        upstream_model: None,
        notes: None,
        issuer: None,
        serial: 0,
        kept: None,
    }
}

/// Reads a stream in pieces that end at `cuts` as the relay does; returns the reader and what the client got.
pub(crate) fn streamed(conversion: Conversion, text: &str, cuts: &[usize]) -> (Reader, String) {
    let (mut reader, out) = unclosed(conversion, text, cuts);
    let mut out = out.into_bytes();
    if reader.is_complete() {
        reader.close(&mut out);
    }
    (reader, String::from_utf8(out).unwrap())
}

/// The same up to the end of the upstream's stream.
pub(crate) fn unclosed(conversion: Conversion, text: &str, cuts: &[usize]) -> (Reader, String) {
    let mut reader = Reader::new(conversion, view());
    let mut out = Vec::new();
    let mut from = 0;
    for &cut in cuts.iter().chain([&text.len()]) {
        let cut = cut.clamp(from, text.len());
        reader.push(Bytes::copy_from_slice(&text.as_bytes()[from..cut]), &mut out).unwrap();
        from = cut;
    }
    reader.finish(&mut out).unwrap();
    (reader, String::from_utf8(out).unwrap())
}

/// The JSON payloads of the events in `text`.
pub(crate) fn data(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}
