//! Which deployments a health request means, what a client sees of them, and what the health of a name is.

use hale_testkit::{FakeUpstream, Hale, Script, refused_port};
use serde_json::{Value, json};

use crate::health::{background, counts, entry, health, wait_for_status};
use crate::support::{Config, chat, client, listed, lone};

/// Two groups, one of which is down, with aliases.
fn named(bad: &FakeUpstream, good: &FakeUpstream) -> Config {
    Config::new()
        .deployment("half", "a", bad)
        .deployment("half", "b", good)
        .deployment("down", "c", bad)
        .with("openai/*", "star", good, json!({"model": "openai/*"}))
        .router(json!({"model_group_alias": {
            "one": "half", "two": "one", "three": {"model": "down", "hidden": true},
        }}))
}

fn asked(hale: &Hale, query: &str) -> (u16, [u64; 3]) {
    let (status, page) = health(hale, query);
    (status, counts(&page))
}

#[test]
fn a_target_without_a_healthy_member_is_503_and_the_whole_page_is_200() {
    // Requirement H17.
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "no")), FakeUpstream::start());
    for in_background in [false, true] {
        let config = named(&bad, &good);
        let hale = if in_background { background(config).start() } else { config.start() };
        if in_background {
            for (id, status) in
                [("a", "unhealthy"), ("b", "healthy"), ("c", "unhealthy"), ("star", "healthy")]
            {
                wait_for_status(&hale, id, status);
            }
        }
        assert_eq!(asked(&hale, "?model=half"), (200, [1, 1, 0]));
        assert_eq!(asked(&hale, "?model=down"), (503, [0, 1, 0]));
        assert_eq!(asked(&hale, "?model_id=b"), (200, [1, 0, 0]));
        assert_eq!(asked(&hale, "?model_id=c"), (503, [0, 1, 0]));
        assert_eq!(asked(&hale, ""), (200, [2, 2, 0]));
        let (_, page) = health(&hale, "");
        let names: Vec<&String> = page.as_object().unwrap().keys().collect();
        let mut expected = [
            "healthy_endpoints",
            "unhealthy_endpoints",
            "healthy_count",
            "unhealthy_count",
            "unchecked_endpoints",
            "unchecked_count",
        ];
        expected.sort_unstable();
        let mut names = names;
        names.sort_unstable();
        assert_eq!(names, expected, "the fields of the page");
    }
}

#[test]
fn alias_health_follows_its_members_and_an_alias_is_never_probed() {
    // Requirement H18.
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "no")), FakeUpstream::start());
    let hale = background(named(&bad, &good)).start();
    for (id, status) in [("a", "unhealthy"), ("b", "healthy"), ("c", "unhealthy")] {
        wait_for_status(&hale, id, status);
    }
    for alias in ["one", "two"] {
        assert_eq!(asked(&hale, &format!("?model={alias}")), (200, [1, 1, 0]), "{alias}");
    }
    assert_eq!(asked(&hale, "?model=three"), (503, [0, 1, 0]));
    // A name that a pattern admits leads where a request for it would go.
    assert_eq!(asked(&hale, "?model=openai/gpt-5-of-tomorrow"), (200, [1, 0, 0]));
    let ids = listed(&client(&hale).get("/v1/models?healthy_only=true").json());
    assert_eq!(ids, ["half", "one", "openai/*", "two"].map(Value::from));
    // Four deployments are on the page, and no probe ever used another name.
    assert_eq!(counts(&health(&hale, "").1).iter().sum::<u64>(), 4);
    let mut models: Vec<String> = [&bad, &good]
        .iter()
        .flat_map(|upstream| upstream.requests())
        .map(|request| request.json()["model"].as_str().unwrap_or_default().to_owned())
        .collect();
    models.sort_unstable();
    models.dedup();
    assert_eq!(models.len(), 2, "{models:?}");
    assert!(models.contains(&"gpt-4o".to_owned()), "{models:?}");
}

#[test]
fn a_client_without_the_master_key_does_not_see_upstream_addresses() {
    // Case 25.
    let good = FakeUpstream::start();
    let port = refused_port();
    let dead = json!({"api_base": format!("http://127.0.0.1:{port}/v1")});
    let azure = json!({"model": "azure/x", "api_base": good.url(), "api_version": "2024-10-21"});
    let entries = |config: Config| {
        config.deployment("m", "good", &good).with("m", "dead", &good, dead.clone()).with(
            "m",
            "azure",
            &good,
            azure.clone(),
        )
    };
    // Without a master key the data API is open on loopback, and its clients are not administrators.
    let open = entries(Config::open()).start();
    let page = open.client().get("/health");
    assert_eq!(page.status, 200, "{}", page.text());
    let notice = page.header("litellm-health-field-notice").unwrap();
    assert!(notice.contains("api_base") && notice.contains("api_version"), "{notice}");
    let text = page.text();
    for hidden in ["api_base\"", "api_version\"", "127.0.0.1", &port.to_string()] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    let dead = entry(&page.json(), "dead").unwrap();
    assert_eq!((&dead["cause"], &dead["exception_status"]), (&json!("connect"), &json!(500)));
    assert!(dead["error"].as_str().unwrap().contains("Connection error."), "{dead}");
    // With the master key they are visible.
    let hale = entries(Config::new()).start();
    let page = client(&hale).get("/health");
    assert_eq!(page.header("litellm-health-field-notice"), None);
    let azure = entry(&page.json(), "azure").unwrap();
    assert_eq!(
        (&azure["api_base"], &azure["api_version"]),
        (&json!(good.url()), &json!("2024-10-21"))
    );
    let dead = entry(&page.json(), "dead").unwrap();
    assert!(dead["error"].as_str().unwrap().contains("refused"), "{dead}");
}

#[test]
fn every_deployment_is_listed_exactly_once_while_the_config_changes() {
    // Requirement H11.
    let good = FakeUpstream::start();
    let config = |count: usize| {
        (0..count).fold(Config::new(), |config, i| {
            config.with("m", &format!("d{i}"), &good, json!({"api_key": format!("key-{i:010}")}))
        })
    };
    let hale = background(config(30)).start();
    let mut seen = std::collections::BTreeSet::new();
    for turn in 0..6 {
        let count = if turn % 2 == 0 { 60 } else { 30 };
        hale.rewrite_config(&background(config(count)).text());
        crate::support::eventually("the other config is in force", || {
            let (status, page) = health(&hale, "");
            let total = counts(&page).iter().sum::<u64>();
            assert!(status == 200 && (total == 30 || total == 60), "{total}");
            for i in 0..total {
                assert!(entry(&page, &format!("d{i}")).is_some(), "d{i} is missing");
            }
            seen.insert(total);
            (total == count as u64).then_some(())
        });
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn the_pages_of_liveness_touch_nothing_and_know_head() {
    // Cases 1, 2, 83.
    let silent = FakeUpstream::with(|_| Script::silent());
    let hale = background(lone(&silent)).start();
    silent.wait_for_requests(1);
    for path in ["/health/liveliness", "/health/liveness"] {
        let alive = hale.client().get(path);
        assert_eq!((alive.status, alive.text().as_str()), (200, "\"I'm alive!\""));
        let head = hale.client().request("HEAD", path, &[], b"");
        assert_eq!((head.status, head.text().as_str()), (200, ""));
    }
}

#[test]
fn readiness_has_the_fields_of_the_document() {
    // Cases 4, 8.
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let ready = hale.client().get("/health/readiness").json();
    assert_eq!((&ready["status"], &ready["db"]), (&json!("connected"), &json!("connected")));
    for field in ["cache", "litellm_version", "success_callbacks"] {
        assert!(ready.get(field).is_some(), "{field} in {ready}");
    }
    assert!(ready["last_updated"].is_string(), "{ready}");
    let hale = lone(&upstream).launch().env("HALE_DATA_DIR", "/nowhere").start();
    let ready = hale.client().get("/health/readiness").json();
    assert_eq!((&ready["status"], &ready["db"]), (&json!("connected"), &json!("Not connected")));
    assert_eq!(ready.get("last_updated"), None, "there is no database");
}

#[test]
fn a_deployment_s_id_of_the_model_page_is_a_model_that_can_be_called() {
    // Case 22.
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let params = |upstream: &FakeUpstream| json!({"model": "openai/gpt-4o", "api_key": "k-0123456789", "api_base": upstream.api_base()});
    let hale = Config::new()
        .entry(json!({"model_name": "m", "litellm_params": params(&one)}))
        .entry(json!({"model_name": "m", "litellm_params": params(&two)}))
        .start();
    let info = client(&hale).get("/v1/model/info").json();
    for (i, upstream) in [&one, &two].into_iter().enumerate() {
        let id = info["data"][i]["model_info"]["id"].as_str().unwrap().to_owned();
        for _ in 0..3 {
            assert_eq!(chat(&hale, &id).header("x-litellm-model-id"), Some(&*id));
        }
        assert_eq!(upstream.requests().len(), 3, "each by its own id");
        assert_eq!(asked(&hale, &format!("?model_id={id}")), (200, [1, 0, 0]));
    }
}
