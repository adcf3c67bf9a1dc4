//! Tests of the edits of a body for an upstream of the OpenAI wire.

use hale_core::deployment::Deployment;
use hale_core::health::Known;
use hale_core::operation::Operation;

use crate::fixture::deployment;

use bytes::Bytes;

use super::*;

fn body(deployment: &Deployment, text: &str, ask_usage: bool) -> String {
    let peek = Peek::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap();
    let order = Order {
        deployment,
        operation: Operation::Chat,
        upstream_model: "up",
        kept: None,
        client_version: None,
        ask_usage,
        drop_params: false,
        known: Known::default(),
        prefix: None,
        seals: None,
        fetched: None,
        client_betas: None,
    };
    String::from_utf8(request_body(&peek, &order).joined().to_vec()).unwrap()
}

#[test]
fn the_model_is_renamed_and_all_other_members_survive() {
    let text = "{\"messages\" : [ {\"role\":\"user\",\"content\":\"\\u00e4\"} ],\n\"model\":\"g\",\"x\":1.50}";
    assert_eq!(body(&deployment("openai"), text, false), text.replace("\"g\"", "\"up\""));
}

#[test]
fn control_fields_do_not_reach_the_provider() {
    let text =
        r#"{"model":"g","fallbacks":["x"],"num_retries":3,"timeout":5,"tags":[1],"user":"u"}"#;
    assert_eq!(body(&deployment("openai"), text, false), r#"{"model":"up","user":"u"}"#);
}

#[test]
fn metadata_goes_only_where_it_is_understood() {
    let strings = r#"{"model":"g","metadata":{"a":"b"}}"#;
    assert!(body(&deployment("openai"), strings, false).contains("metadata"));
    assert!(!body(&deployment("groq"), strings, false).contains("metadata"));
    let other = r#"{"model":"g","metadata":{"tags":["b"]}}"#;
    assert!(!body(&deployment("openai"), other, false).contains("metadata"));
}

#[test]
fn usage_is_requested_without_losing_other_options() {
    let openai = deployment("openai");
    assert!(
        body(&openai, r#"{"model":"g"}"#, true)
            .contains(r#""stream_options":{"include_usage":true}"#)
    );
    let with =
        body(&openai, r#"{"model":"g","stream_options":{"x":1,"include_usage":false}}"#, true);
    assert_eq!(with, r#"{"model":"up","stream_options":{"x":1,"include_usage":true}}"#);
}

#[test]
fn a_providers_row_renames_bounds_and_forces() {
    let text = r#"{"model":"g","max_completion_tokens":5,"temperature":2}"#;
    assert_eq!(
        body(&deployment("scx-ai"), text, false),
        r#"{"model":"up","max_tokens":5,"temperature":1.99}"#
    );
    let text = r#"{"model":"g","store":true}"#;
    assert_eq!(body(&deployment("parasail"), text, false), r#"{"model":"up","store":false}"#);
    let text = r#"{"model":"g","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"text":"b"}]}]}"#;
    assert!(body(&deployment("publicai"), text, false).contains(r#""content":"ab""#));
}

#[test]
fn the_deployments_defaults_yield_to_the_client() {
    let mut with_defaults = deployment("openai");
    with_defaults.endpoint.default_params =
        vec![("temperature".into(), "0.5".into()), ("seed".into(), "7".into())];
    with_defaults.endpoint.dropped_params = vec!["user".into()];
    assert_eq!(
        body(&with_defaults, r#"{"model":"g","temperature":1,"user":"u"}"#, false),
        r#"{"model":"up","temperature":1,"seed":7}"#
    );
}

#[test]
fn drop_params_leaves_out_what_only_openai_knows() {
    let groq = deployment("groq");
    let peek = Peek::parse(Bytes::from_static(br#"{"model":"g","store":true,"top_p":1}"#)).unwrap();
    let mut order = Order {
        deployment: &groq,
        operation: Operation::Chat,
        upstream_model: "up",
        kept: None,
        client_version: None,
        ask_usage: false,
        drop_params: true,
        known: Known::default(),
        prefix: None,
        seals: None,
        fetched: None,
        client_betas: None,
    };
    assert_eq!(request_body(&peek, &order).joined(), r#"{"model":"up","top_p":1}"#);
    order.drop_params = false;
    assert_eq!(request_body(&peek, &order).joined(), r#"{"model":"up","store":true,"top_p":1}"#);
}
