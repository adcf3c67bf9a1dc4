//! What a config says of keys and users that are made, and what keys of models are kept from.

use hale_testkit::{FakeUpstream, Response, openai};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::support::{CHAT, client, error, lone};

#[track_caller]
fn refused(answer: &Response, says: &str) {
    assert_eq!(answer.status, 400, "{}", answer.text());
    let message = error(answer)["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains(says), "{message}");
}

#[test]
fn no_key_is_made_changed_or_replaced_beyond_the_limits_of_the_config() {
    let upstream = FakeUpstream::start();
    let bounds = json!({"max_budget": 10, "duration": "7d", "rpm_limit": 100});
    let defaults = json!({"max_budget": 2.5, "models": ["m"], "tpm_limit": 1_000});
    let config = lone(&upstream).litellm(json!({
        "upperbound_key_generate_params": bounds, "default_key_generate_params": defaults,
    }));
    let hale = config.start();
    let (key, made) = make(&hale, &json!({}));
    assert_eq!((&made["max_budget"], &made["rpm_limit"]), (&json!(2.5), &json!(100)));
    assert_eq!((&made["models"], &made["tpm_limit"]), (&json!(["m"]), &json!(1_000)));
    assert!(made["expires"].is_string(), "{made}");
    assert_eq!(ask(&hale, &key, "m").status, 200);
    let post = |path: &str, body: Value| client(&hale).post_json(path, &[], &body);
    let over = "max_budget is over max limit set in config - user_value=10.5; max_value=10";
    refused(&post("/key/generate", json!({"max_budget": 10.5})), over);
    refused(&post("/key/update", json!({"key": key, "max_budget": 10.5})), over);
    refused(&post("/key/regenerate", json!({"key": key, "max_budget": 10.5})), over);
    refused(&post("/key/generate", json!({"duration": "-1"})), "duration is over max limit");
    // What is cleared has the limit.
    let cleared = post("/key/update", json!({"key": key, "max_budget": null})).json();
    assert_eq!(cleared["max_budget"].as_f64(), Some(10.0), "{cleared}");
    // The key of a new user is one of them.
    let user = post("/user/new", json!({"user_id": "ada"})).json();
    let own = user["key"].as_str().unwrap();
    let info = client(&hale).get(&format!("/key/info?key={own}")).json();
    assert_eq!(info["info"]["max_budget"].as_f64(), Some(2.5), "{info}");
}

#[test]
fn keys_are_made_by_the_roles_of_the_config_and_users_have_its_values() {
    let upstream = FakeUpstream::start();
    let config = lone(&upstream)
        .litellm(json!({
            "key_generation_settings": {
                "team_key_generation": {"allowed_team_member_roles": ["admin"], "required_params": ["tags"]},
                "personal_key_generation": {"allowed_user_roles": ["proxy_admin"], "required_params": ["user_id"]},
            },
            "default_internal_user_params": {"models": ["m"], "tpm_limit": 7},
            "max_internal_user_budget": 5,
        }))
        .general(json!({"disable_custom_api_keys": true}));
    let hale = config.start();
    let post = |path: &str, body: Value| client(&hale).post_json(path, &[], &body);
    refused(&post("/key/generate", json!({})), "Required param user_id not in data");
    let chosen = json!({"user_id": "u", "key": "sk-chosen-by-a-client"});
    refused(&post("/key/generate", chosen), "Custom API key values are disabled");
    let user = post("/user/new", json!({"user_id": "ada", "auto_create_key": false})).json();
    assert_eq!((&user["models"], &user["tpm_limit"]), (&json!(["m"]), &json!(7)));
    assert_eq!(user["max_budget"].as_f64(), Some(5.0));
    let admin = json!({"user_id": "root", "user_role": "proxy_admin", "auto_create_key": false});
    assert_eq!(post("/user/new", admin).json()["max_budget"], Value::Null);
    assert_eq!(post("/team/new", json!({"team_id": "t"})).status, 200);
    let member = json!({"team_id": "t", "member": {"user_id": "ada", "role": "admin"}});
    assert_eq!(post("/team/member_add", member).status, 200);
    let (ada, _) = make(&hale, &json!({"user_id": "ada"}));
    let of_team = |body: Value| hale.client_with_key(&ada).post_json("/key/generate", &[], &body);
    refused(&of_team(json!({"team_id": "t"})), "Required param tags not in data");
    let tagged = of_team(json!({"team_id": "t", "tags": ["a"]}));
    assert_eq!(tagged.status, 200, "{}", tagged.text());
}

#[test]
fn a_key_of_models_reads_no_page_of_the_whole_gateway_and_a_viewer_does() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (key, _) = make(&hale, &json!({"models": ["m"]}));
    let viewer = json!({"user_id": "eve", "user_role": "proxy_admin_viewer"});
    let viewer = client(&hale).post_json("/user/new", &[], &viewer).json();
    let viewer = viewer["key"].as_str().unwrap();
    for page in ["/metrics", "/health/shared-status"] {
        let answer = hale.client_with_key(&key).get(page);
        assert!(matches!(answer.status, 401 | 403), "{page}: {}", answer.status);
        assert!(!answer.text().contains(&upstream.port().to_string()), "{page}");
        assert_eq!(hale.client_with_key(viewer).get(page).status, 200, "{page}");
        assert_eq!(client(&hale).get(page).status, 200, "{page}");
    }
    let open = lone(&upstream).litellm(json!({"require_auth_for_metrics_endpoint": false})).start();
    assert_eq!(open.client().get("/metrics").status, 200);
}

#[test]
fn tags_of_clients_are_refused_where_only_keys_name_them() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).general(json!({"reject_clientside_metadata_tags": true})).start();
    let (key, _) = make(&hale, &json!({"tags": ["of-the-key"]}));
    let send = |headers: &[(&str, &str)], more: Value| {
        let mut body = openai::chat_request("m", "hi");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        hale.client_with_key(&key).post_json(CHAT, headers, &body)
    };
    let tags = json!({"tags": ["other"]});
    for more in [
        json!({"metadata": tags}),
        json!({"litellm_metadata": tags}),
        json!({"metadata": {"tags": []}}),
        tags.clone(),
    ] {
        refused(&send(&[], more), "not allowed in request. 'reject_clientside_metadata_tags'");
    }
    refused(&send(&[("x-litellm-tags", "other")], json!({})), "Client-side 'x-litellm-tags'");
    let passed = [("x-litellm-tags", "other")];
    let mut by_key = hale.client_with_key(&key);
    let passed = by_key.post_json("/openai/v1/chat/completions", &passed, &json!({"model": "m"}));
    assert_eq!(passed.status, 400, "{}", passed.text());
    assert_eq!(upstream.requests().len(), 0);
    assert_eq!(send(&[], json!({"metadata": {"trace": "1"}})).status, 200);
    let free = lone(&upstream).start();
    let mut body = openai::chat_request("m", "hi");
    body["metadata"] = tags;
    assert_eq!(client(&free).post_json(CHAT, &[], &body).status, 200);
}

#[test]
fn the_dashboard_is_for_admins_alone_where_the_config_says_so() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).general(json!({"ui_access_mode": "admin_only"})).start();
    let (key, _) = make(&hale, &json!({"models": ["m"]}));
    let viewer = json!({"user_id": "eve", "user_role": "proxy_admin_viewer"});
    let viewer = client(&hale).post_json("/user/new", &[], &viewer).json();
    let login = |key: &str| hale.client().post_json("/ui/login", &[], &json!({"key": key}));
    let refused = login(&key);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.header("set-cookie").is_none());
    assert_eq!(login(viewer["key"].as_str().unwrap()).status, 200);
    assert_eq!(ask(&hale, &key, "m").status, 200);
    let open = lone(&upstream).general(json!({"ui_access_mode": "all"})).start();
    let (key, _) = make(&open, &json!({"models": ["m"]}));
    let answer = open.client().post_json("/ui/login", &[], &json!({"key": key}));
    assert_eq!(answer.status, 200, "{}", answer.text());
}
