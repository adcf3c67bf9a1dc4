//! Requests of one session keep to the deployment whose provider has their prompt in its cache.

use std::collections::BTreeSet;

use hale_testkit::{FakeUpstream, Hale, Response, Script, openai};
use serde_json::{Value, json};

use crate::keys::make;
use crate::support::{CHAT, Config, KEY, chat_with, client};

/// A group of four members at one upstream.
fn four(upstream: &FakeUpstream) -> Config {
    ["a", "b", "c", "d"]
        .into_iter()
        .fold(Config::new(), |config, id| config.deployment("m", id, upstream))
        .router(json!({"num_retries": 1}))
}

fn home(answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-litellm-model-id").unwrap().to_owned()
}

/// Where requests like this one go, in eight tries.
fn homes(hale: &Hale, path: &str, headers: &[(&str, &str)], body: &Value) -> BTreeSet<String> {
    (0..8).map(|_| home(&client(hale).post_json(path, headers, body))).collect()
}

fn named(field: &str, value: Value) -> Value {
    let mut body = openai::chat_request("m", "hi");
    body[field] = value;
    body
}

#[test]
fn a_session_keeps_to_one_member_whatever_names_it() {
    let up = FakeUpstream::start();
    let hale = four(&up).start();
    let plain = openai::chat_request("m", "hi");
    // 8 times the same of 4 by chance: once in 16,000.
    assert!(homes(&hale, CHAT, &[], &plain).len() > 1, "without a name chance decides");
    let by_header = |name| homes(&hale, CHAT, &[(name, "one session")], &plain);
    let own = by_header("x-litellm-session-id");
    assert_eq!(own.len(), 1);
    let agents = [
        "x-claude-code-session-id",
        "session-id",
        "session_id",
        "x-session-id",
        "x-session-affinity",
    ];
    for name in agents {
        assert_eq!(by_header(name), own, "{name}: the same name, the same home");
    }
    for (field, value) in [
        ("litellm_session_id", json!("one session")),
        ("metadata", json!({"session_id": "one session"})),
        ("prompt_cache_key", json!("one session")),
    ] {
        assert_eq!(homes(&hale, CHAT, &[], &named(field, value)), own, "{field}");
    }
    let mut streamed = named("litellm_session_id", json!("one session"));
    streamed["stream"] = json!(true);
    let streamed = client(&hale).post_json(CHAT, &[], &streamed);
    assert_eq!(streamed.header("x-litellm-model-id"), own.first().map(String::as_str));
    let messages = json!({
        "model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
        "metadata": {"user_id": "user_1_session_2"},
    });
    assert_eq!(homes(&hale, "/v1/messages", &[], &messages).len(), 1);
    let sessions: BTreeSet<String> = (0..40)
        .map(|number| {
            home(&chat_with(&hale, &[("x-litellm-session-id", &format!("s{number}"))], &plain))
        })
        .collect();
    assert_eq!(sessions.len(), 4, "sessions are spread");
}

#[test]
fn a_long_conversation_without_a_name_keeps_to_one_member_while_it_grows() {
    let up = FakeUpstream::start();
    let hale = four(&up).start();
    let system = json!({"role": "system", "content": "be brief. ".repeat(500)});
    let mut turns = vec![system, json!({"role": "user", "content": "fix the bug"})];
    let mut found = BTreeSet::new();
    for turn in 0..8 {
        let body = json!({"model": "m", "messages": turns});
        found.insert(home(&chat_with(&hale, &[], &body)));
        turns.push(json!({"role": "assistant", "content": format!("done {turn}")}));
        turns.push(json!({"role": "user", "content": format!("go on {turn}")}));
    }
    assert_eq!(found.len(), 1);
}

#[test]
fn a_home_that_fails_is_left_at_once_and_one_that_is_back_is_home_again() {
    let up = FakeUpstream::start();
    let hale = four(&up).start();
    let body = named("litellm_session_id", json!("s"));
    let first = homes(&hale, CHAT, &[], &body).pop_first().unwrap();
    let operate = |action: &str| {
        let path = format!("/router/deployments/{first}/{action}");
        assert_eq!(client(&hale).post_json(&path, &[], &json!({})).status, 200);
    };
    operate("disable");
    let second = homes(&hale, CHAT, &[], &body);
    assert!(second.len() == 1 && !second.contains(&first), "{second:?}");
    operate("enable");
    assert_eq!(homes(&hale, CHAT, &[], &body), BTreeSet::from([first.clone()]));
    up.answer_with(move |_| Script::rate_limited(60));
    let path = "/router/explain";
    let plan = |hale: &Hale| client(hale).post_json(path, &[], &body).json()["groups"][0].clone();
    assert_eq!(plan(&hale)["affinity"]["home"], first);
    assert_eq!(client(&hale).post_json(CHAT, &[], &body).status, 429);
    let after = plan(&hale);
    assert_ne!(after["affinity"]["home"], first, "it is in cooldown: {after}");
}

#[test]
fn explain_says_where_the_home_is_or_why_there_is_none() {
    let up = FakeUpstream::start();
    let explained = |config: Config, body: &Value| {
        let hale = config.start();
        client(&hale).post_json("/router/explain", &[], body).json()["groups"][0].clone()
    };
    let body = named("litellm_session_id", json!("s"));
    let group = explained(four(&up), &body);
    let affinity = &group["affinity"];
    assert_eq!((&affinity["on"], &affinity["named_by"]), (&json!(true), &json!("session")));
    assert_eq!(affinity["home"], group["candidates"][0]["deployment"], "it is tried first");
    let group = explained(four(&up), &openai::chat_request("m", "hi"));
    assert_eq!(
        (&group["affinity"]["on"], &group["affinity"]["home"]),
        (&json!(true), &json!(null))
    );
    for (router, why) in [
        (json!({"affinity": "off"}), "`router_settings.affinity` is off"),
        (json!({"routing_strategy": "latency-based-routing"}), "chooses by what it measures"),
    ] {
        let group = explained(four(&up).router(router), &body);
        let affinity = &group["affinity"];
        assert_eq!((&affinity["on"], &affinity["home"]), (&json!(false), &json!(null)));
        assert!(affinity["why"].as_str().unwrap().contains(why), "{affinity}");
    }
    let dear = |id: &str| {
        json!({"model_name": "m", "model_info": {"id": id},
        "litellm_params": {"model": "ollama/llama3", "api_base": up.url()}})
    };
    let group = explained(Config::new().entry(dear("a")).entry(dear("b")), &body);
    assert!(group["affinity"]["why"].as_str().unwrap().contains("no provider of the group"));
}

#[test]
fn checks_of_litellm_ask_for_it_and_a_wrong_word_is_named() {
    let up = FakeUpstream::start();
    let latency = json!({
        "routing_strategy": "latency-based-routing", "optional_pre_call_checks": ["session_affinity"],
    });
    let hale = four(&up).router(latency).start();
    assert_eq!(homes(&hale, CHAT, &[], &named("litellm_session_id", json!("s"))).len(), 1);
    let wrong = four(&up).router(json!({"affinity": "sesion"})).start();
    let line = wrong.wait_for_line("unknown affinity `sesion`");
    assert!(line.contains("did you mean `session`?"), "{line}");
}

#[test]
fn a_key_keeps_to_one_member_where_the_config_asks_for_it_and_no_session_is_named() {
    let up = FakeUpstream::start();
    let checks = json!({"optional_pre_call_checks": ["deployment_affinity", "session_affinity"]});
    let hale = four(&up).router(checks).start();
    let plain = openai::chat_request("m", "hi");
    let of = |key: &str, body: &Value| -> BTreeSet<String> {
        (0..8).map(|_| home(&hale.client_with_key(key).post_json(CHAT, &[], body))).collect()
    };
    let keys: Vec<String> = (0..12).map(|_| make(&hale, &json!({})).0).collect();
    let found: Vec<_> = keys.iter().map(|key| of(key, &plain)).collect();
    assert!(found.iter().all(|homes| homes.len() == 1), "{found:?}");
    let all: BTreeSet<_> = found.iter().flatten().collect();
    assert!(all.len() > 1, "keys are spread: {all:?}");
    assert!(of(KEY, &plain).len() > 1, "the master key is for all clients");
    let session = named("litellm_session_id", json!("s"));
    let by_session: BTreeSet<_> = keys.iter().flat_map(|key| of(key, &session)).collect();
    assert_eq!(by_session.len(), 1, "a session comes first, whatever the key");
}

#[test]
fn where_providers_report_nothing_from_their_caches_chance_decides_again() {
    let up = FakeUpstream::with(|request| {
        let mut body = openai::chat_completion(&request.model(), "ok");
        body["usage"] = openai::usage(5_000, 1);
        Script::ok().json(&body)
    });
    let hale = four(&up).start();
    let body = named("litellm_session_id", json!("s"));
    for number in 0..1_200 {
        let id = format!("s{number}");
        assert_eq!(chat_with(&hale, &[("x-litellm-session-id", &id)], &body).status, 200);
    }
    let page = client(&hale).post_json("/router/explain", &[], &body).json();
    let affinity = &page["groups"][0]["affinity"];
    assert_eq!(affinity["on"], false, "{affinity}");
    assert!(affinity["why"].as_str().unwrap().contains("next to no tokens"), "{affinity}");
    assert!(homes(&hale, CHAT, &[], &body).len() > 1);
}
