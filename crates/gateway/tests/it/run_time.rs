//! Models, credentials and settings that are made at run time: who makes them, what is kept of them, and when they count.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Hale, Postgres, Response, Script, openai};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::support::{
    CHAT, Config, UPSTREAM_KEY, chat, client, connected, error, eventually, lone, within,
};

fn store(config: Config) -> Config {
    config.general(json!({"store_model_in_db": true}))
}

fn post(hale: &Hale, path: &str, body: &Value) -> Response {
    client(hale).post_json(path, &[], body)
}

fn patch(hale: &Hale, path: &str, body: &Value) -> Response {
    let json = [("content-type", "application/json")];
    client(hale).request("PATCH", path, &json, body.to_string().as_bytes())
}

#[track_caller]
fn done(hale: &Hale, path: &str, body: &Value) -> Value {
    let answer = post(hale, path, body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let said = answer.json();
    assert_eq!(said.get("warning"), None, "{said}");
    said
}

fn params(upstream: &FakeUpstream) -> Value {
    json!({"model": "openai/gpt-4o", "api_key": UPSTREAM_KEY, "api_base": format!("{}/v1", upstream.url())})
}

/// Makes a model of that name; its id.
#[track_caller]
fn made(hale: &Hale, name: &str, upstream: &FakeUpstream) -> String {
    let said =
        done(hale, "/model/new", &json!({"model_name": name, "litellm_params": params(upstream)}));
    said["model_id"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
}

fn model_info(hale: &Hale, id: &str) -> Option<Value> {
    let all = client(hale).get("/model/info").json();
    let all = all["data"].as_array().unwrap().clone();
    all.into_iter().find(|one| one["model_info"]["id"] == id)
}

/// A config without a model.
fn empty() -> Config {
    store(Config::new())
}

#[test]
fn a_model_is_made_changed_and_deleted_while_the_gateway_runs() {
    let (upstream, other) = (FakeUpstream::start(), FakeUpstream::start());
    let hale = empty().start();
    assert_eq!(chat(&hale, "new").status, 400, "there is none");
    let id = made(&hale, "new", &upstream);
    assert_eq!(chat(&hale, "new").status, 200);
    let info = model_info(&hale, &id).expect("it is shown");
    assert_eq!(
        (&info["model_name"], &info["model_info"]["db_model"]),
        (&json!("new"), &json!(true))
    );
    assert!(info["model_info"]["created_at"].is_string(), "{info}");
    // Another address and another name, and the key stays.
    let address = format!("{}/v1", other.url());
    let change = json!({"model_name": "renamed", "model_info": {"id": id, "mode": "chat"}, "litellm_params": {"api_base": address}});
    done(&hale, "/model/update", &change);
    assert_eq!((chat(&hale, "new").status, chat(&hale, "renamed").status), (400, 200));
    let sent = other.requests();
    assert_eq!(
        sent.last().unwrap().headers.get("authorization").unwrap(),
        format!("Bearer {UPSTREAM_KEY}")
    );
    // A null takes a member away, and an id may be in the path.
    let patched = patch(
        &hale,
        &format!("/model/{id}/update"),
        &json!({"model_info": {"mode": null}, "litellm_params": {"rpm": 7}}),
    );
    assert_eq!(patched.status, 200, "{}", patched.text());
    let info = model_info(&hale, &id).unwrap();
    assert_eq!(info["litellm_params"]["rpm"], 7);
    let said = done(&hale, "/model/delete", &json!({"id": id}));
    assert_eq!(said["message"], format!("Model: {id} deleted successfully"));
    assert_eq!(chat(&hale, "renamed").status, 400);
    let again = post(&hale, "/model/delete", &json!({"id": id}));
    assert_eq!(again.status, 400);
    assert!(error(&again)["message"].as_str().unwrap().contains("not found in db"));
}

#[test]
fn no_answer_page_log_or_file_has_the_secret_of_a_model() {
    let upstream = FakeUpstream::start();
    let secret = "sk-a-secret-of-a-model-0123456789";
    let hale = empty().start();
    let mut body = json!({"model_name": "m", "litellm_params": params(&upstream)});
    body["litellm_params"]["api_key"] = secret.into();
    let mut texts = vec![post(&hale, "/model/new", &body).text()];
    let credential = json!({"credential_name": "c", "credential_values": {"api_key": secret, "api_base": "http://h.example/v1"}});
    texts.push(post(&hale, "/credentials", &credential).text());
    for path in [
        "/model/info",
        "/credentials",
        "/credentials/by_name/c",
        "/health",
        "/router/state",
        "/get/config/callbacks",
    ] {
        texts.push(client(&hale).get(path).text());
    }
    texts.push(hale.stderr());
    assert!(
        texts[0].contains("openai/gpt-4o")
            && texts[3].contains("http://h.example/v1")
            && texts[3].contains("****")
    );
    for text in &texts {
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!(chat(&hale, "m").status, 200);
    let files = std::fs::read_dir(hale.dir()).unwrap().flatten();
    let files = files.filter(|one| one.file_name().to_string_lossy().starts_with("hale.db"));
    let bytes: Vec<u8> =
        files.flat_map(|one| std::fs::read(one.path()).unwrap_or_default()).collect();
    assert!(bytes.len() > 4096, "the store is a file");
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!has(secret), "it is encrypted at rest");
    assert!(has("credential_values"), "the files were looked at");
}

#[test]
fn what_is_wrong_with_a_model_is_said_and_nothing_is_written() {
    let upstream = FakeUpstream::start();
    let hale = store(lone(&upstream)).start();
    let taken =
        json!({"model_name": "x", "litellm_params": params(&upstream), "model_info": {"id": "a"}});
    let long = "x".repeat(1 << 20);
    for (body, status, expected) in [
        (json!({}), 400, "`model_name` is empty"),
        (json!({"model_name": "x"}), 400, "`litellm_params.model` is missing"),
        (
            json!({"model_name": "a\nb", "litellm_params": {"model": "openai/x"}}),
            400,
            "control characters",
        ),
        (
            json!({"model_name": "x", "litellm_params": {"model": ["x"]}}),
            400,
            "`litellm_params.model` is missing",
        ),
        (json!({"model_name": "x", "litellm_params": [1]}), 400, "must be an object"),
        (
            json!({"model_name": "x", "litellm_params": {"model": "openai/x", "rpm": "many"}}),
            400,
            "`litellm_params`",
        ),
        (
            json!({"model_name": "x", "litellm_params": {"model": "openai/x"}, "model_info": {"id": "a\r\nb"}}),
            400,
            "ASCII",
        ),
        (
            json!({"model_name": "x", "litellm_params": {"model": "openai/x"}, "model_info": {"team_id": "none"}}),
            400,
            "does not exist",
        ),
        (
            json!({"model_name": "x", "litellm_params": {"model": "openai/x", "long": long}}),
            413,
            "which this page takes",
        ),
        (taken, 400, "exists already"),
    ] {
        let answer = post(&hale, "/model/new", &body);
        let said = answer.text();
        let shown = &said[..said.len().min(500)];
        assert_eq!(answer.status, status, "{shown}");
        assert!(expected == "`litellm_params`" || said.contains(expected), "{expected}: {shown}");
    }
    let models = client(&hale).get("/model/info").json();
    assert_eq!(models["data"].as_array().unwrap().len(), 1, "{models}");
    // What the config has is changed there.
    for (path, body) in [
        ("/model/delete", json!({"id": "a"})),
        ("/model/update", json!({"model_info": {"id": "a"}, "litellm_params": {"rpm": 1}})),
    ] {
        let answer = post(&hale, path, &body);
        let said = error(&answer)["message"].as_str().unwrap().to_owned();
        assert!(
            answer.status == 400
                && said.contains("Model in config (")
                && said.contains("config.yaml"),
            "{said}"
        );
    }
    assert_eq!(chat(&hale, "m").status, 200);
}

#[test]
fn without_the_switch_nothing_is_made() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    for (path, body) in [
        ("/model/new", json!({"model_name": "x", "litellm_params": params(&upstream)})),
        ("/credentials", json!({"credential_name": "c", "credential_values": {"api_key": "k"}})),
        ("/config/update", json!({"router_settings": {"num_retries": 1}})),
    ] {
        let answer = post(&hale, path, &body);
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text().contains("STORE_MODEL_IN_DB"), "{}", answer.text());
    }
}

#[test]
fn models_outlive_a_restart_and_another_salt_stops_them_by_name() {
    let upstream = FakeUpstream::start();
    let folder = hale_testkit::TempDir::new();
    let path = folder.path().to_str().unwrap().to_owned();
    let start = |salt: &str| {
        store(lone(&upstream))
            .launch()
            .env("HALE_DATA_DIR", &path)
            .env("LITELLM_SALT_KEY", salt)
            .start()
    };
    let mut first = start("salt-of-a-test");
    let id = made(&first, "kept", &upstream);
    first.stop();
    let mut second = start("salt-of-a-test");
    assert_eq!(chat(&second, "kept").status, 200, "the first request finds it");
    second.stop();
    let third = start("another-salt");
    let answer = chat(&third, "kept");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(chat(&third, "m").status, 200, "the config's model serves");
    for page in ["/health", "/router/state", "/model/info"] {
        let text = client(&third).get(page).text();
        assert!(text.contains(&id) && text.contains("cannot be decrypted"), "{page}: {text}");
    }
    third.wait_for_line(&format!("LiteLLM_ProxyModelTable/{id}"));
    assert!(
        upstream.requests().iter().all(
            |one| one.headers.get("authorization").unwrap() == format!("Bearer {UPSTREAM_KEY}")
        )
    );
}

#[test]
fn a_credential_is_made_used_changed_and_deleted() {
    let upstream = FakeUpstream::start();
    let config = store(lone(&upstream));
    let hale = config.start();
    let values = json!({"api_key": "first", "api_base": format!("{}/v1", upstream.url())});
    let made = done(
        &hale,
        "/credentials",
        &json!({"credential_name": "c", "credential_values": values, "credential_info": {"a": 1}}),
    );
    assert_eq!(made, json!({"success": true, "message": "Credential created successfully"}));
    assert_eq!(
        post(&hale, "/credentials", &json!({"credential_name": "c", "credential_values": values}))
            .status,
        409
    );
    done(
        &hale,
        "/model/new",
        &json!({"model_name": "by-name", "litellm_params": {"model": "openai/x", "litellm_credential_name": "c"}}),
    );
    let key =
        || upstream.requests().last().unwrap().headers.get("authorization").unwrap().to_owned();
    assert_eq!(chat(&hale, "by-name").status, 200);
    assert_eq!(key(), "Bearer first");
    let changed =
        patch(&hale, "/credentials/c", &json!({"credential_values": {"api_key": "second"}}));
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(chat(&hale, "by-name").status, 200);
    assert_eq!(key(), "Bearer second");
    let shown = client(&hale).get("/credentials/by_name/c").json();
    assert_eq!(
        (&shown["credential_values"]["api_key"], &shown["credential_info"]),
        (&json!("****"), &json!({"a": 1}))
    );
    assert_eq!(client(&hale).request("DELETE", "/credentials/c", &[], b"").status, 200);
    assert_eq!(client(&hale).request("DELETE", "/credentials/c", &[], b"").status, 404);
    assert_eq!(client(&hale).get("/credentials/by_name/c").status, 404);
    assert_eq!(chat(&hale, "by-name").status, 503, "it says what it lacks");
    assert_eq!(client(&hale).get("/credentials").json()["credentials"], json!([]));
}

#[test]
fn settings_are_changed_at_run_time_or_refused_by_name() {
    let upstream = FakeUpstream::start();
    let hale = store(lone(&upstream).router(json!({"num_retries": 1}))).start();
    let update =
        |section: &str, members: Value| post(&hale, "/config/update", &json!({section: members}));
    let settings = || client(&hale).get("/router/settings").text();
    let answer = update("router_settings", json!({"timeout": 33}));
    assert_eq!(answer.json()["message"], "Config updated successfully", "{}", answer.text());
    assert!(settings().contains("33"), "{}", settings());
    for (section, members, expected) in [
        ("router_settings", json!({"num_retries": 5}), "router_settings.num_retries"),
        (
            "router_settings",
            json!({"routing_strategy": "no-such"}),
            "router_settings.routing_strategy",
        ),
        ("router_settings", json!({"no_such_setting": 1}), "router_settings.no_such_setting"),
        (
            "general_settings",
            json!({"master_key": "sk-another-master-key-1234"}),
            "general_settings.master_key",
        ),
        (
            "general_settings",
            json!({"database_url": "postgres://h/d"}),
            "general_settings.database_url",
        ),
        ("general_settings", json!({"block_robots": true}), "general_settings.block_robots"),
        ("model_list", json!({}), "`model_list` cannot be changed"),
    ] {
        let answer = update(section, members);
        assert_eq!(answer.status, 400, "{section} {expected}: {}", answer.text());
        assert!(answer.text().contains(expected), "{expected}: {}", answer.text());
    }
    // A variable is for models that refer to it, and only for them.
    assert_eq!(update("environment_variables", json!({"OF_A_TEST": "from-the-store"})).status, 200);
    let mut refers = params(&upstream);
    refers["api_key"] = "os.environ/OF_A_TEST".into();
    done(&hale, "/model/new", &json!({"model_name": "refers", "litellm_params": refers}));
    assert_eq!(chat(&hale, "refers").status, 200);
    assert_eq!(
        upstream.requests().last().unwrap().headers.get("authorization").unwrap(),
        "Bearer from-the-store"
    );
}

/// A gateway with the teams `t` and `o` on a store, of which `ada` manages `t`; the key of `ada`.
fn with_teams(config: Config) -> (Hale, String) {
    let hale = config.start();
    for team in ["t", "o"] {
        done(&hale, "/team/new", &json!({"team_id": team}));
    }
    done(
        &hale,
        "/team/member_add",
        &json!({"team_id": "t", "member": {"user_id": "ada", "role": "admin"}}),
    );
    let (ada, _) = make(&hale, &json!({"user_id": "ada"}));
    (hale, ada)
}

#[test]
fn a_model_of_a_team_is_managed_by_its_admin_and_reached_by_its_keys_alone() {
    let (upstream, own) = (FakeUpstream::start(), FakeUpstream::start());
    let (hale, ada) = with_teams(store(lone(&upstream)));
    // Proxy admins may call it as everyone's model is called: it is the team's from then on.
    let mut body = json!({"model_name": "m", "litellm_params": params(&own), "model_info": {"team_id": "t", "id": "of-t"}});
    body["litellm_params"]["model"] = "openai/of-the-team".into();
    let answer = post(&hale, "/model/new", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let stored = answer.json()["model_name"].as_str().unwrap().to_owned();
    assert!(stored.starts_with("model_name_t_"), "{stored}");
    let (theirs, _) = make(&hale, &json!({"team_id": "t"}));
    let (others, _) = make(&hale, &json!({"team_id": "o"}));
    let (nobodys, _) = make(&hale, &json!({}));
    assert_eq!(ask(&hale, &theirs, "m").status, 200);
    assert_eq!((own.requests().len(), upstream.requests().len()), (1, 0), "the team's own");
    for key in [&others, &nobodys] {
        assert_eq!(ask(&hale, key, "m").status, 200);
        for name in [&*stored, "of-t", "openai/of-the-team"] {
            assert_ne!(ask(&hale, key, name).status, 200, "{name}");
        }
    }
    assert_eq!((own.requests().len(), upstream.requests().len()), (1, 2));
    let listed = |key: &str| {
        let list = hale.client_with_key(key).get("/v1/models").json();
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((listed(&theirs), listed(&others)), (vec!["m".to_owned()], vec!["m".to_owned()]));
    let change = json!({"model_info": {"id": "of-t"}, "litellm_params": {"rpm": 9}});
    assert_eq!(hale.client_with_key(&ada).post_json("/model/update", &[], &change).status, 200);
    let gone = hale.client_with_key(&ada).post_json("/model/delete", &[], &json!({"id": "of-t"}));
    assert_eq!(gone.status, 200, "{}", gone.text());
    assert_eq!(ask(&hale, &theirs, "m").status, 200);
    assert_eq!(upstream.requests().len(), 3, "everyone's model is the team's again");
}

#[test]
fn an_admin_of_a_team_reaches_no_other_model_and_no_secret_of_the_gateway() {
    let upstream = FakeUpstream::start();
    let (hale, ada) = with_teams(store(lone(&upstream)));
    let admins = made(&hale, "of-all", &upstream);
    let body = json!({"model_name": "m", "litellm_params": params(&upstream), "model_info": {"team_id": "o", "id": "of-o"}});
    done(&hale, "/model/new", &body);
    let (max, _) = make(&hale, &json!({"user_id": "max", "team_id": "t"}));
    let own = |more: Value| {
        let mut params = params(&upstream);
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"model_name": "x", "litellm_params": params, "model_info": {"team_id": "t"}})
    };
    let mut grouped = own(json!({}));
    grouped["model_info"]["access_groups"] = json!(["beta"]);
    let mut chosen = own(json!({}));
    chosen["model_info"]["id"] = json!("fast");
    let named = |name: &str| {
        let mut body = own(json!({}));
        body["model_name"] = json!(name);
        body
    };
    let answer = hale.client_with_key(&ada).post_json("/model/new", &[], &named("ours"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let ours = answer.json()["model_id"].clone();
    for (key, path, body) in [
        (&ada, "/model/new", json!({"model_name": "x", "litellm_params": params(&upstream)})),
        (&ada, "/model/new", body.clone()),
        (&ada, "/model/delete", json!({"id": admins})),
        (&ada, "/model/delete", json!({"id": "of-o"})),
        (&ada, "/model/delete", json!({"id": "a"})),
        (&ada, "/model/delete", json!({"id": "no-such-model"})),
        (
            &ada,
            "/model/update",
            json!({"model_info": {"id": "of-o"}, "litellm_params": {"rpm": 1}}),
        ),
        (&ada, "/model/new", own(json!({"api_key": "os.environ/LITELLM_MASTER_KEY"}))),
        (&ada, "/model/new", own(json!({"api_key": null}))),
        (&ada, "/model/new", own(json!({"extra_headers": {"x": "Bearer os.environ/HOME"}}))),
        (&ada, "/model/new", own(json!({"litellm_credential_name": "c"}))),
        (&ada, "/model/new", own(json!({"aws_role_name": "r"}))),
        (&ada, "/model/new", own(json!({"vertex_credentials": "/etc/passwd"}))),
        (&ada, "/model/new", grouped),
        // What has the name could be used by the team: no name leads anywhere else, and no id is chosen.
        (&ada, "/model/new", chosen),
        (&ada, "/model/new", named("all-team-models")),
        (&ada, "/model/new", named("all-proxy-models")),
        (&ada, "/model/new", named("*")),
        (&ada, "/model/new", named("openai/*")),
        (&ada, "/model/new", named("m")),
        (&ada, "/model/update", json!({"model_info": {"id": ours}, "model_name": "other"})),
        (
            &ada,
            "/credentials",
            json!({"credential_name": "c", "credential_values": {"api_key": "k"}}),
        ),
        (&ada, "/config/update", json!({"router_settings": {"num_retries": 0}})),
        (&max, "/model/new", own(json!({}))),
    ] {
        let answer = hale.client_with_key(key).post_json(path, &[], &body);
        assert!(
            matches!(answer.status, 401 | 403),
            "{path} {body}: {} {}",
            answer.status,
            answer.text()
        );
    }
    assert!(model_info(&hale, "of-o").is_some() && model_info(&hale, &admins).is_some());
    assert_eq!(chat(&hale, "m").status, 200);
}

#[test]
fn each_change_has_a_row_of_the_audit_log_without_a_secret_in_clear() {
    let server = Postgres::shared();
    let url = server.database();
    let upstream = FakeUpstream::start();
    let hale = empty().launch().env("DATABASE_URL", &url).start();
    connected(&hale);
    let id = made(&hale, "m", &upstream);
    done(&hale, "/model/update", &json!({"model_info": {"id": id}, "litellm_params": {"rpm": 5}}));
    done(&hale, "/model/delete", &json!({"id": id}));
    done(&hale, "/config/update", &json!({"environment_variables": {"A": UPSTREAM_KEY}}));
    let rows = server.sql(
        &url,
        "select string_agg(action || ' ' || table_name, ', ' order by updated_at) from hale.\"LiteLLM_AuditLog\"",
    );
    let model = "LiteLLM_ProxyModelTable";
    assert_eq!(
        rows,
        format!("created {model}, updated {model}, deleted {model}, updated LiteLLM_Config")
    );
    let secret = format!(
        "select count(*) from hale.\"LiteLLM_AuditLog\" as a where to_jsonb(a)::text like '%{UPSTREAM_KEY}%'"
    );
    assert_eq!(server.sql(&url, &secret), "0");
}

#[test]
fn replicas_see_each_others_models_and_those_of_another_writer_within_two_seconds() {
    let server = Postgres::shared();
    let url = server.database();
    server.apply_reference_migrations(&url, "9");
    let upstream = FakeUpstream::start();
    let start = || store(lone(&upstream)).launch().env("DATABASE_URL", &url).start();
    let (one, other) = (start(), start());
    [&one, &other].into_iter().for_each(connected);
    let (first, second) = (made(&one, "first", &upstream), made(&other, "second", &upstream));
    for (hale, name) in [(&other, "first"), (&one, "second")] {
        eventually(name, || (chat(hale, name).status == 200).then_some(()));
    }
    // Both change at once, each another model: no change is lost.
    std::thread::scope(|scope| {
        for (hale, id, rpm) in [(&one, &first, 11), (&other, &second, 12)] {
            let change = json!({"model_info": {"id": id}, "litellm_params": {"rpm": rpm}});
            scope.spawn(move || done(hale, "/model/update", &change));
        }
    });
    for hale in [&one, &other] {
        eventually("both changes", || {
            let rpm =
                |id: &str| model_info(hale, id).map(|one| one["litellm_params"]["rpm"].clone());
            (rpm(&first) == Some(json!(11)) && rpm(&second) == Some(json!(12))).then_some(())
        });
    }
    // Rows as LiteLLM leaves them, one of them garbage, one with a text in a text.
    let base = format!("{}/v1", upstream.url());
    let clear = json!({"model": "openai/x", "api_key": UPSTREAM_KEY, "api_base": base}).to_string();
    let insert = |id: &str, name: &str, params: &str| {
        server.sql(&url, &format!(
            "insert into \"LiteLLM_ProxyModelTable\" (model_id, model_name, litellm_params, created_by, updated_by) \
             values ('{id}', '{name}', '{params}', 'x', 'x')"
        ));
    };
    insert("garbage", "bad", "[1, {\"x\": null}]");
    insert("clear", "clear", &clear);
    insert("in-text", "in-text", &Value::String(clear.clone()).to_string());
    for hale in [&one, &other] {
        for name in ["clear", "in-text"] {
            eventually(name, || (chat(hale, name).status == 200).then_some(()));
        }
        assert_eq!(chat(hale, "bad").status, 503);
        assert_eq!(chat(hale, "m").status, 200);
        let state = client(hale).get("/router/state").text();
        assert!(state.contains("garbage") && state.contains("is no object"), "{state}");
    }
    server.sql(
        &url,
        "delete from \"LiteLLM_ProxyModelTable\" where model_id in ('clear', 'garbage')",
    );
    for hale in [&one, &other] {
        eventually("it is gone", || (chat(hale, "clear").status == 400).then_some(()));
        assert_eq!(chat(hale, "first").status, 200);
    }
    // What was written can be read by LiteLLM: each text by itself, with the key that is made of the salt.
    let written = server.sql(&url, &format!("select litellm_params->>'api_key' from \"LiteLLM_ProxyModelTable\" where model_id = '{first}'"));
    assert!(written.len() >= 56 && !written.contains(UPSTREAM_KEY), "{written}");
}

#[test]
fn models_go_on_without_the_database_and_a_start_without_it_serves_the_config() {
    let mut server = Postgres::start();
    let url = server.database();
    let upstream = FakeUpstream::start();
    let config = store(lone(&upstream));
    let hale = config.launch().env("DATABASE_URL", &url).start();
    connected(&hale);
    made(&hale, "stored", &upstream);
    server.kill();
    eventually("the database is gone", || {
        let page = client(&hale).get("/health/readiness").json();
        (page["db"] == "disconnected").then_some(())
    });
    for name in ["stored", "m"] {
        assert_eq!(chat(&hale, name).status, 200, "{name}");
    }
    assert_eq!(
        post(&hale, "/model/new", &json!({"model_name": "x", "litellm_params": params(&upstream)}))
            .status,
        503
    );
    // A change of the file keeps what the store had said.
    let mark = hale.mark();
    hale.rewrite_config(&config.clone().deployment("n", "n", &upstream).text());
    hale.wait_for_line_after(mark, "deployments=3");
    assert_eq!(chat(&hale, "stored").status, 200);
    let late = config.launch().env("DATABASE_URL", &url).start();
    assert_eq!((chat(&late, "m").status, chat(&late, "stored").status), (200, 400));
    server.run();
    within(Duration::from_secs(60), "the database is back", || {
        (chat(&late, "stored").status == 200).then_some(())
    });
}

#[test]
fn a_call_in_flight_ends_well_while_its_model_is_deleted() {
    let upstream = FakeUpstream::start();
    let hale = empty().start();
    let id = made(&hale, "m", &upstream);
    let [first, last] = [&["one"][..], &["two"]].map(|pieces| openai::chunks("m", pieces));
    upstream.push(Script::ok().stream().events(&first).wait("deleted").events(&last).done().end());
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert!(stream.next_event().is_some());
    done(&hale, "/model/delete", &json!({"id": id}));
    assert_eq!(chat(&hale, "m").status, 400);
    upstream.release("deleted");
    assert!(stream.content().contains("two") && !stream.cut());
}
