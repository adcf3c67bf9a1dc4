//! Who is asked, how often, and what the client is told: names, retries, fallbacks, refusals.

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::{Value, json};

use crate::support::{Config, chat, chat_with, client, column, expect_error, lone, pair};
use crate::timing::Stopwatch;

fn failing() -> FakeUpstream {
    FakeUpstream::with(|_| Script::error(500, "boom"))
}

#[test]
fn a_sibling_is_tried_at_once() {
    let (bad, good) = (failing(), FakeUpstream::start());
    let hale = pair(&bad, &good).router(json!({"retry_after": 5})).start();
    let begin = Stopwatch::start();
    let answer = chat(&hale, "m");
    begin.less_than_ms(400);
    assert_eq!((answer.status, answer.header("x-litellm-model-id")), (200, Some("good")));
    assert_eq!(answer.header("x-litellm-attempted-retries"), Some("1"));
    assert_eq!(answer.header("x-litellm-attempted-fallbacks"), Some("0"));
    assert_eq!(answer.json()["model"], "m");
}

#[test]
fn attempts_are_exactly_one_and_the_retries_wherever_their_number_comes_from() {
    let ups: Vec<_> = (0..4).map(|_| failing()).collect();
    let group = |more: Value| {
        ups.iter().enumerate().fold(Config::new(), |config, (number, up)| {
            config.with("m", &format!("d{number}"), up, more.clone())
        })
    };
    let count = || ups.iter().map(|up| up.requests().len()).sum::<usize>();
    let hale = group(json!({})).router(json!({"disable_cooldowns": true})).start();
    let deployments = group(json!({"num_retries": 1})).router(json!({"num_retries": 0})).start();
    let mut body = openai::chat_request("m", "hi");
    let mut expect = |hale, headers: &[(&str, &str)], field: Option<u32>, attempts: usize| {
        body.as_object_mut().unwrap().remove("num_retries");
        if let Some(number) = field {
            body["num_retries"] = json!(number);
        }
        let before = count();
        let answer = chat_with(hale, headers, &body);
        let error = expect_error(&answer, 500, "upstream_failed");
        assert_eq!(count() - before, attempts, "{headers:?} {field:?}");
        let mut tried = column(&error["attempts"], "deployment");
        tried.sort_by_key(ToString::to_string);
        tried.dedup();
        assert_eq!(tried.len(), attempts, "a deployment twice while another was left: {error}");
    };
    expect(&hale, &[], None, 3);
    expect(&hale, &[], Some(0), 1);
    expect(&hale, &[], Some(3), 4);
    expect(&hale, &[("x-litellm-num-retries", "1")], Some(3), 2);
    expect(&deployments, &[], None, 2);
    expect(&deployments, &[], Some(2), 3);
}

#[test]
fn a_lone_deployment_is_retried_after_the_pause_that_it_names() {
    let upstream = FakeUpstream::scripted([Script::rate_limited(1)]);
    let hale = lone(&upstream).start();
    let begin = Stopwatch::start();
    let answer = chat(&hale, "m");
    begin.between_ms(950, 2_500);
    assert_eq!((answer.status, answer.header("x-litellm-attempted-retries")), (200, Some("1")));
}

#[test]
fn a_lone_deployment_is_not_waited_for_beyond_the_deadline() {
    let upstream = FakeUpstream::with(|_| Script::rate_limited(30));
    let hale = lone(&upstream).start();
    let begin = Stopwatch::start();
    let headers = [("x-litellm-timeout", "2")];
    let answer = chat_with(&hale, &headers, &openai::chat_request("m", "hi"));
    begin.less_than_ms(1_000);
    expect_error(&answer, 429, "upstream_rate_limited");
    let left: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((29..=30).contains(&left), "{left}");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_rate_limit_that_the_provider_named_is_believed_without_asking_again() {
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let hale = pair(&one, &two).start();
    one.push(Script::rate_limited(40));
    two.push(Script::rate_limited(20));
    expect_error(&chat(&hale, "m"), 429, "upstream_rate_limited");
    let answer = chat(&hale, "m");
    let error = expect_error(&answer, 429, "no_healthy_deployments");
    let left: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((19..=20).contains(&left), "{left}");
    assert_eq!(column(&error["deployments"], "id"), ["bad", "good"]);
    assert_eq!(column(&error["deployments"], "cause"), ["rate_limited", "rate_limited"]);
    assert_eq!(column(&error["deployments"], "model_group"), ["m", "m"]);
    for entry in error["deployments"].as_array().unwrap() {
        for field in ["state", "retry_after_s", "hint", "since", "last_status"] {
            assert!(entry.get(field).is_some(), "{field} is missing: {entry}");
        }
    }
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1));
}

#[test]
fn errors_of_the_request_and_of_its_policy_are_not_tried_elsewhere() {
    let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
    let hale = pair(&bad, &good)
        .deployment("f", "c", &good)
        .router(json!({"fallbacks": [{"m": ["f"]}]}))
        .start();
    bad.push(Script::with_status(400).json(&openai::error("no", "x", "content_policy_violation")));
    expect_error(&chat(&hale, "m"), 400, "content_policy");
    assert_eq!((bad.requests().len(), good.requests().len()), (1, 0));
}

#[test]
fn keys_permissions_and_names_of_one_deployment_cost_no_retry() {
    for status in [401, 403, 404] {
        let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
        bad.answer_with(move |_| Script::error(status, "no"));
        let hale = pair(&bad, &good).router(json!({"num_retries": 0})).start();
        for _ in 0..3 {
            let answer = chat(&hale, "m");
            assert_eq!(answer.status, 200, "{status}: {}", answer.text());
            assert_eq!(answer.header("x-litellm-model-id"), Some("good"));
        }
        assert_eq!(bad.requests().len(), 1, "{status}: benched while it has a sibling");
    }
}

#[test]
fn a_fallback_answers_under_its_own_name() {
    let (bad, good) = (failing(), FakeUpstream::start());
    let hale = lone(&bad)
        .deployment("f", "b", &good)
        .router(json!({"num_retries": 0, "fallbacks": [{"m": ["unknown", "f"]}]}))
        .start();
    let answer = chat(&hale, "m");
    assert_eq!((answer.status, &answer.json()["model"]), (200, &json!("f")));
    assert_eq!(answer.header("x-litellm-model-group"), Some("f"));
    assert_eq!(answer.header("x-litellm-model-id"), Some("b"));
    assert_eq!(answer.header("x-litellm-attempted-fallbacks"), Some("1"));
    assert_eq!(answer.header("x-litellm-attempted-retries"), Some("0"));
    let mut client = client(&hale);
    let body = openai::stream_request("m", "hi");
    let mut stream = client.stream(crate::support::CHAT, &[], &body);
    assert_eq!(stream.next_event().unwrap().json()["model"], "f");
}

#[test]
fn fallbacks_end_with_every_group_named_and_the_first_groups_status() {
    let (one, two, three) = (failing(), failing(), FakeUpstream::with(|_| Script::rate_limited(3)));
    let hale = lone(&one)
        .deployment("f", "b", &two)
        .deployment("g", "c", &three)
        .router(
            json!({"num_retries": 0, "fallbacks": [{"m": ["f"]}], "default_fallbacks": ["g", "m"]}),
        )
        .start();
    let error = expect_error(&chat(&hale, "m"), 500, "fallbacks_exhausted");
    assert_eq!(column(&error["attempts"], "model_group"), ["m", "f", "g"]);
    assert_eq!(column(&error["attempts"], "deployment"), ["a", "b", "c"]);
    assert_eq!(column(&error["attempts"], "status"), [500, 500, 429]);
    let message = error["message"].as_str().unwrap();
    assert!(["'m'", "f", "g"].iter().all(|name| message.contains(name)), "{message}");
}

#[test]
fn default_fallbacks_save_an_unknown_name_and_the_client_may_forbid_them() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).router(json!({"default_fallbacks": ["m"]})).start();
    let answer = chat(&hale, "no-such-name");
    assert_eq!((answer.status, &answer.json()["model"]), (200, &json!("m")));
    assert_eq!(answer.header("x-litellm-attempted-fallbacks"), Some("1"));
    let mut body = openai::chat_request("no-such-name", "hi");
    body["disable_fallbacks"] = json!(true);
    expect_error(&chat_with(&hale, &[], &body), 400, "unknown_model");
}

#[test]
fn the_client_may_name_its_own_fallbacks_for_one_request() {
    let (bad, good) = (failing(), FakeUpstream::start());
    let hale = lone(&bad)
        .deployment("f", "b", &good)
        .deployment("g", "c", &good)
        .router(json!({"num_retries": 0, "fallbacks": [{"m": ["f"]}]}))
        .start();
    let mut body = openai::chat_request("m", "hi");
    body["fallbacks"] = json!(["g"]);
    let answer = chat_with(&hale, &[], &body);
    assert_eq!((answer.status, answer.header("x-litellm-model-group")), (200, Some("g")));
    assert_eq!(chat(&hale, "m").header("x-litellm-model-group"), Some("f"));
}

#[test]
fn a_canned_answer_is_the_last_resort() {
    let bad = failing();
    let hale = lone(&bad)
        .with("last", "canned", &bad, json!({"mock_response": "please come back later"}))
        .router(json!({"num_retries": 0, "fallbacks": [{"m": ["last"]}]}))
        .start();
    let answer = chat(&hale, "m");
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "please come back later");
    assert_eq!((answer.status, bad.requests().len()), (200, 1));
}

#[test]
fn a_canned_failure_counts_as_one() {
    let good = FakeUpstream::start();
    let hale = Config::new()
        .with("m", "a", &good, json!({"mock_response": "litellm.RateLimitError", "num_retries": 0}))
        .deployment("f", "b", &good)
        .router(json!({"fallbacks": [{"m": ["f"]}]}))
        .start();
    assert_eq!(chat(&hale, "m").header("x-litellm-model-group"), Some("f"));
}

#[test]
fn a_pattern_fills_in_what_its_star_stands_for() {
    let upstream = FakeUpstream::start();
    let hale = Config::new()
        .with("openai/*", "star", &upstream, json!({"model": "openai/*"}))
        .with("team-*-x", "both", &upstream, json!({"model": "openai/*"}))
        .start();
    for (name, sent) in [("openai/gpt-4.1", "gpt-4.1"), ("openai/a/b", "a/b"), ("team-1-x", "1")] {
        let answer = chat(&hale, name);
        assert_eq!((answer.status, &answer.json()["model"]), (200, &json!(name)), "{name}");
        assert_eq!(answer.header("x-litellm-model-group"), Some(name));
        assert_eq!(upstream.requests().last().unwrap().model(), sent, "{name}");
    }
    // Both ends are anchored.
    for name in ["xopenai/gpt-4.1", "team-1-xy", "openai", "a-team-1-x"] {
        expect_error(&chat(&hale, name), 400, "unknown_model");
    }
}

#[test]
fn an_alias_answers_as_the_client_called_it() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream)
        .router(
            json!({"model_group_alias": {"nick": "m", "shy": {"model": "nick", "hidden": true}}}),
        )
        .start();
    for name in ["nick", "shy"] {
        let answer = chat(&hale, name);
        assert_eq!((answer.status, &answer.json()["model"]), (200, &json!(name)));
        assert_eq!(answer.header("x-litellm-model-group"), Some("m"));
    }
    let models = client(&hale).get("/v1/models").json();
    let mut names = column(&models["data"], "id");
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["m", "nick"]);
}

#[test]
fn a_deployments_id_calls_that_deployment_and_no_other() {
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let hale = pair(&one, &two).router(json!({"num_retries": 1})).start();
    for _ in 0..4 {
        assert_eq!(chat(&hale, "good").header("x-litellm-model-id"), Some("good"));
    }
    two.answer_with(|_| Script::error(401, "no"));
    expect_error(&chat(&hale, "good"), 401, "upstream_auth");
    assert_eq!(one.requests().len(), 0);
}

#[test]
fn a_group_in_which_nothing_can_work_says_why() {
    let upstream = FakeUpstream::start();
    let entry = |id: &str, key: &str| {
        json!({
            "model_name": "m",
            "litellm_params": {"model": "openai/gpt-4o", "api_key": key, "api_base": upstream.api_base()},
            "model_info": {"id": id},
        })
    };
    let hale = Config::new()
        .entry(entry("a", "os.environ/HALE_TEST_KEY_ONE"))
        .entry(entry("b", "os.environ/HALE_TEST_KEY_TWO"))
        .deployment("other", "c", &upstream)
        .start();
    let answer = chat(&hale, "m");
    let error = expect_error(&answer, 503, "no_healthy_deployments");
    for name in ["HALE_TEST_KEY_ONE", "HALE_TEST_KEY_TWO"] {
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
        assert!(hale.stderr().contains(name), "{}", hale.stderr());
    }
    assert_eq!(column(&error["deployments"], "state"), ["misconfigured", "misconfigured"]);
    assert_eq!(upstream.state().opened(), 0);
    assert_eq!(chat(&hale, "other").status, 200);
}

#[test]
fn a_misconfigured_member_is_never_called_and_the_others_serve() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream)
        .with("m", "b", &upstream, json!({"api_key": "os.environ/HALE_TEST_MISSING"}))
        .start();
    for _ in 0..12 {
        assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("a"));
    }
}

#[test]
fn weights_share_the_traffic() {
    let upstream = FakeUpstream::start();
    let hale = Config::new()
        .with("m", "heavy", &upstream, json!({"weight": 9}))
        .with("m", "light", &upstream, json!({"weight": 1}))
        .with("m", "none", &upstream, json!({"weight": 0}))
        .start();
    let mut client = client(&hale);
    let body = openai::chat_request("m", "hi");
    let mut heavy = 0;
    for _ in 0..300 {
        let answer = client.post_json(crate::support::CHAT, &[], &body);
        match answer.header("x-litellm-model-id") {
            Some("heavy") => heavy += 1,
            other => assert_eq!(other, Some("light")),
        }
    }
    // Six standard deviations on either side of 270.
    assert!((238..300).contains(&heavy), "{heavy}");
}
