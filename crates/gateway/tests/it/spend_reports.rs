//! Reports of spend: which times and rows they are about, what they refuse, and that none shows less than was spent.

use hale_testkit::{FakeUpstream, Postgres, Script, openai};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::spend::{config, days_of, get, key_of_a_member, upstream, wait_for_logs};
use crate::support::{CHAT, Config, chat_with, client};

/// Rows of one user's days: 26 days, each with 4,500 keys, at 0.01 USD.
const MANY_DAYS: &str = "insert into hale.\"LiteLLM_DailyUserSpend\" (id, user_id, date, api_key, model, model_group, \
    custom_llm_provider, mcp_namespaced_tool_name, endpoint, spend, api_requests, successful_requests, updated_at) \
    select md5(random()::text || day || key), 'u1', '2026-10-' || lpad(day::text, 2, '0'), 'k' || key, 'gpt-4o', 'm', \
    'openai', '', '/chat/completions', 0.01, 1, 1, now() from generate_series(1, 26) day, generate_series(1, 4500) key";

#[test]
fn a_report_of_more_sums_than_an_answer_has_never_shows_less_than_was_spent() {
    let upstream = upstream();
    let server = Postgres::shared();
    let url = server.database();
    let hale = config(&upstream).launch().env("DATABASE_URL", &url).start();
    server.sql(&url, MANY_DAYS);
    let range = "start_date=2026-10-01&end_date=2026-10-26";
    let total = 26.0 * 45.0;
    let near = |found: &Value, expected: f64| {
        let found = found.as_f64().unwrap_or(f64::NAN);
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    };
    near(&get(&hale, &format!("/global/spend?{range}"))["spend"], total);
    let days = get(&hale, &format!("/spend/logs?{range}"));
    assert_eq!(days.as_array().map(Vec::len), Some(26));
    for day in days.as_array().unwrap() {
        near(&day["spend"], 45.0);
        near(&day["users"]["u1"], 45.0);
        near(&day["models"]["gpt-4o"], 45.0);
    }
    let keys = get(&hale, &format!("/global/spend/report?{range}&group_by=api_key"));
    assert_eq!(keys.as_array().map(Vec::len), Some(4_500));
    near(&keys[0]["total_cost"], 0.26);
    // Over time: the dearest by name, and each day whole; what is too long for one answer is refused as CSV too.
    let page = get(&hale, &format!("/ui/spend?by=key&{range}"));
    assert_eq!(page["days"].as_array().map(Vec::len), Some(26));
    assert_eq!(
        (page["names"].as_array().map(Vec::len), &page["has_more"]),
        (Some(100), &json!(true))
    );
    near(&page["names"][0]["spend"], 0.26);
    near(&page["names"][0]["days"]["2026-10-26"], 0.01);
    let each = page["total"].as_object().unwrap().values();
    near(&json!(each.map(|day| day["spend"].as_f64().unwrap()).sum::<f64>()), total);
    near(&get(&hale, &format!("/ui/spend?by=model&{range}"))["names"][0]["spend"], total);
    assert_eq!(client(&hale).get(&format!("/ui/spend?by=key&{range}&format=csv")).status, 400);
    let csv = client(&hale).get(&format!("/ui/spend?by=user&{range}&format=csv")).text();
    assert_eq!(csv.lines().count(), 27, "{csv}");
    assert!(csv.starts_with("day,name,requests,failed,prompt_tokens,completion_tokens,spend\r\n"));
    // Pages have a part of the days, and the sums of all.
    let page = get(&hale, &format!("/user/daily/activity?{range}&page_size=1&page=26"));
    near(&page["metadata"]["total_spend"], total);
    assert_eq!(
        (&page["metadata"]["total_pages"], &page["results"][0]["date"]),
        (&json!(26), &json!("2026-10-01"))
    );
    near(&page["results"][0]["metrics"]["spend"], 45.0);
    for path in [
        "/global/spend/report?group_by=user&",
        "/user/daily/activity/aggregated?",
        "/user/daily/activity?",
    ] {
        let refused = client(&hale).get(&format!("{path}{range}"));
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("100000 sums") && message.contains("fewer days"), "{message}");
        let less = client(&hale).get(&format!("{path}start_date=2026-10-01&end_date=2026-10-01"));
        assert_eq!(less.status, 200, "{path}: {}", less.text());
    }
}

#[test]
fn spend_over_time_shows_a_key_its_own_and_names_what_it_refuses() {
    let upstream = upstream();
    let hale = config(&upstream).start();
    let (own, _) = make(&hale, &json!({"key_alias": "own", "user_id": "ann"}));
    let (other, _) = make(&hale, &json!({"key_alias": "other", "user_id": "bo"}));
    for key in [&own, &other, &other] {
        assert_eq!(ask(&hale, key, "m").status, 200);
    }
    let _logs = wait_for_logs(&hale, 3);
    let names = |key: &str| {
        let header = format!("Bearer {key}");
        let answer = hale.client().request(
            "GET",
            "/ui/spend?by=key&days=3",
            &[("authorization", &header)],
            b"",
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
        let all = answer.json()["names"].as_array().unwrap().clone();
        all.iter()
            .map(|one| (one["name"].as_str().unwrap().to_owned(), one["requests"].as_u64()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(crate::support::KEY),
        [("other".to_owned(), Some(2)), ("own".to_owned(), Some(1))]
    );
    assert_eq!(names(&own), [("own".to_owned(), Some(1))]);
    let header = format!("Bearer {own}");
    let refused =
        hale.client().request("GET", "/ui/spend?by=team", &[("authorization", &header)], b"");
    assert_eq!(refused.status, 401);
    for path in
        ["/ui/spend?by=nothing", "/ui/spend?days=0", "/ui/spend?days=400", "/ui/spend?start_date=x"]
    {
        let status = client(&hale).get(path).status;
        assert!(status == 400 || status == 422, "{path}: {status}");
    }
}

#[test]
fn names_that_clients_make_up_are_no_models_of_reports() {
    let upstream = FakeUpstream::with(|_| {
        Script::with_status(404)
            .json(&json!({"error": {"message": "no such model", "code": "model_not_found"}}))
    });
    let params = json!({"model": "openai/*", "api_key": "sk-x", "api_base": upstream.api_base()});
    let config = Config::new()
        .entry(json!({"model_name": "openai/*", "litellm_params": params}))
        .litellm(json!({}));
    let hale = config.start();
    for number in 0..3 {
        for prefix in ["", "openai/"] {
            let name = format!("{prefix}invented-{number}");
            assert!(chat_with(&hale, &[], &openai::chat_request(&name, "hi")).status >= 400);
        }
    }
    let logs = wait_for_logs(&hale, 6);
    let range = days_of(&logs);
    let page = get(&hale, &format!("/user/daily/activity?{range}"));
    let models: Vec<&String> =
        page["results"][0]["breakdown"]["models"].as_object().unwrap().keys().collect();
    assert_eq!(models, ["openai/*"], "{page}");
    assert_eq!(page["metadata"]["total_failed_requests"], 6);
    // The rows of requests have what the client named.
    assert!(logs.iter().any(|log| log["model_group"] == "invented-0"), "{logs:?}");
}

#[test]
fn a_page_of_requests_is_of_the_times_that_are_named_and_both_ends_are_included() {
    let upstream = upstream();
    let hale = config(&upstream).start();
    assert_eq!(ask(&hale, crate::support::KEY, "m").status, 200);
    let logs = wait_for_logs(&hale, 1);
    // Shown in whole seconds.
    let at: jiff::Timestamp = logs[0]["startTime"].as_str().unwrap().parse().unwrap();
    let away = |ms: i64| at + jiff::SignedDuration::from_millis(ms);
    let utc = |at: jiff::Timestamp| at.strftime("%Y-%m-%d%%20%H:%M:%S").to_string();
    let zoned = |at: jiff::Timestamp| {
        let there = at.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(5)));
        there.strftime("%Y-%m-%dT%H:%M:%S%%2B05:00").to_string()
    };
    let exact = |at: jiff::Timestamp| at.to_string();
    for (from, to, count) in [
        (exact(at), exact(away(999)), 1),
        (exact(away(1_000)), exact(away(60_000)), 0),
        (exact(away(-60_000)), exact(away(-1)), 0),
        (utc(away(-2_000)), utc(away(2_000)), 1),
        (utc(away(2_000)), utc(away(4_000)), 0),
        (utc(away(-4_000)), utc(away(-2_000)), 0),
        (zoned(away(-2_000)), zoned(away(2_000)), 1),
        (zoned(away(2_000)), zoned(away(4_000)), 0),
    ] {
        for path in ["/spend/logs/v2", "/spend/logs/ui"] {
            let page = get(&hale, &format!("{path}?start_date={from}&end_date={to}"));
            assert_eq!(page["total"], count, "{path} {from} {to}: {page}");
        }
        let path = format!("/spend/logs?summarize=false&start_date={from}&end_date={to}");
        assert_eq!(get(&hale, &path).as_array().map(Vec::len), Some(count), "{path}");
    }
    let page = get(&hale, "/spend/logs/v2?start_date=0000-01-01&end_date=9999-12-31");
    assert_eq!(page["total"], 1);
    let page = get(&hale, "/spend/logs/v2?start_date=9999-12-31&end_date=9999-12-31");
    assert_eq!(page["total"], 0, "the last day that there is, is no day without a limit");
}

/// What is wrong with a filter: the path, the parameter, its value, and what the refusal says of it.
#[rustfmt::skip]
const WRONG: [(&str, &str, &str, &str); 19] = [
    ("/spend/logs", "start_date", "garbage", "must be a day"),
    ("/spend/logs", "min_spend", "abc", "must be an amount"),
    ("/spend/logs", "max_spend", "NaN", "must be an amount"),
    ("/spend/logs", "min_spend", "inf", "must be an amount"),
    ("/spend/logs", "status_filter", "foo", "success, failure"),
    ("/spend/logs", "summarize", "maybe", "true, false"),
    ("/spend/logs", "format", "xml", "json, csv"),
    ("/spend/logs/v2", "sort_order", "up", "asc, desc"),
    ("/spend/logs/v2", "sort_by", "colour", "startTime, endTime, spend"),
    ("/spend/logs/ui", "end_date", "2026-11-31", "must be a day"),
    ("/spend/session", "min_spend", "abc", "must be an amount"),
    ("/spend/keys", "format", "xml", "json, csv"),
    ("/spend/users", "format", "xml", "json, csv"),
    ("/user/daily/activity", "format", "csv", "json"),
    ("/user/daily/activity", "start_date", "2026-11-28T", "must be a day"),
    ("/team/daily/activity", "format", "xml", "json"),
    ("/key/spend/report", "format", "xml", "json, csv"),
    ("/user/spend/report", "end_date", "9999-99-99", "must be a day"),
    ("/spend/logs", "session_id", "s", "summarize=false"),
];

/// The same of pages for operators alone.
#[rustfmt::skip]
const WRONG_OF_ALL: [(&str, &str, &str, &str); 13] = [
    ("/global/spend", "start_date", "garbage", "must be a day"),
    ("/global/spend", "format", "csv", "json"),
    ("/global/spend/logs", "format", "xml", "json, csv"),
    ("/global/spend/keys", "format", "xml", "json, csv"),
    ("/global/spend/models", "end_date", "no", "must be a day"),
    ("/global/spend/teams", "format", "xml", "json, csv"),
    ("/global/spend/tags", "format", "xml", "json, csv"),
    ("/global/spend/provider", "format", "xml", "json, csv"),
    ("/global/spend/all_tag_names", "format", "xml", "json, csv"),
    ("/spend/tags", "start_date", "2026-02-30", "must be a day"),
    ("/global/activity", "format", "xml", "json, csv"),
    ("/global/activity/model", "format", "csv", "json"),
    ("/global/spend/report", "group_by", "colour", "team, customer, user"),
];

#[test]
fn a_filter_that_cannot_be_read_is_refused_and_never_widens_a_report() {
    let upstream = upstream();
    let hale = config(&upstream).start();
    let (key, _) = key_of_a_member(&hale);
    let refused = |answer: hale_testkit::Response,
                   (path, name, value, says): (&str, &str, &str, &str)| {
        assert_eq!(answer.status, 400, "{path} {name}: {}", answer.text());
        let error = answer.json()["error"].clone();
        let message = error["message"].as_str().unwrap();
        assert_eq!(error["param"], name, "{path}: {error}");
        assert!(message.contains(&format!("`{name}`")) && message.contains(says), "{message}");
        assert!(says == "summarize=false" || message.contains(value), "{message}");
    };
    for wrong in WRONG.iter().chain(&WRONG_OF_ALL).copied() {
        let (path, name, value, _) = wrong;
        let others =
            [("start_date", "2026-01-01"), ("end_date", "2026-01-31"), ("session_id", "s")];
        let others = others.iter().filter(|(other, _)| {
            *other != name && (*other != "session_id" || path == "/spend/session")
        });
        let others: String = others.map(|(name, value)| format!("&{name}={value}")).collect();
        let query = format!("{path}?{name}={value}{others}");
        refused(client(&hale).get(&query), wrong);
        if WRONG.contains(&wrong) {
            refused(hale.client_with_key(&key).get(&query), wrong);
        }
    }
    let path = "/global/spend/end_users";
    for (body, wrong) in [
        (json!({"startTime": "garbage"}), (path, "startTime", "garbage", "must be a day")),
        (json!({"endTime": 5}), (path, "endTime", "5", "must be a text")),
        (json!({"api_key": ["sk-1"]}), (path, "api_key", "sk-1", "must be a text")),
    ] {
        refused(client(&hale).post_json(path, &[], &body), wrong);
    }
    let reversed = client(&hale).get("/global/spend?start_date=2026-02-01&end_date=2026-01-01");
    assert_eq!(reversed.status, 400, "{}", reversed.text());
}

#[test]
fn end_users_are_chosen_by_the_text_of_a_key_as_by_its_hash() {
    let upstream = upstream();
    let hale = config(&upstream).start();
    let (key, hash) = key_of_a_member(&hale);
    let (other, _) = make(&hale, &json!({}));
    let mut body = openai::chat_request("m", "hi");
    body["user"] = json!("customer-1");
    assert_eq!(hale.client_with_key(&key).post_json(CHAT, &[], &body).status, 200);
    wait_for_logs(&hale, 1);
    for (named, count) in [(&key, 1), (&hash, 1), (&other, 0)] {
        let asked = json!({"api_key": named});
        let found = client(&hale).post_json("/global/spend/end_users", &[], &asked).json();
        assert_eq!(found.as_array().map(Vec::len), Some(count), "{found}");
    }
}

#[test]
fn rows_come_as_csv_with_a_header_also_if_there_are_none() {
    let upstream = upstream();
    let hale = config(&upstream).start();
    let (alone, _) = make(&hale, &json!({}));
    let range = "start_date=2026-01-01&end_date=2026-01-02&format=csv";
    let csv = |answer: hale_testkit::Response| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
        answer.text().to_owned()
    };
    for (path, header) in [
        ("/global/spend/teams", "date,team_id,spend"),
        ("/global/spend/tags", "name,spend,log_count"),
        ("/global/spend/logs", "date,spend"),
        (
            "/global/spend/report",
            "day,team_name,model,api_key,spend,prompt_tokens,completion_tokens,requests",
        ),
        ("/global/spend/provider", "provider,spend"),
        ("/global/activity", "date,api_requests,total_tokens"),
        ("/spend/tags", "individual_request_tag,log_count,total_spend"),
    ] {
        let text = csv(client(&hale).get(&format!("{path}?{range}")));
        assert_eq!(text, format!("{header}\r\n"), "{path}");
    }
    let text = csv(client(&hale).get(&format!("/spend/logs/v2?{range}")));
    assert!(text.starts_with("request_id,call_type,api_key,spend,"), "{text}");
    // A key without a user sees no users.
    let text = csv(hale.client_with_key(&alone).get("/spend/users?format=csv"));
    assert!(text.starts_with("user_id,") && text.lines().count() == 1, "{text}");
    let session = client(&hale).get("/spend/session?session_id=unknown");
    assert!(session.text().contains("\"spend\":0.0"), "{}", session.text());
}

#[test]
fn the_dearest_keys_come_first_and_no_more_of_them_than_are_wanted() {
    let upstream = upstream();
    let hale = config(&upstream).start();
    let keys: Vec<(String, Value)> = (0..3).map(|_| make(&hale, &json!({}))).collect();
    for (at, times) in [(0, 1), (1, 3), (2, 2)] {
        for _ in 0..times {
            assert_eq!(ask(&hale, &keys[at].0, "m").status, 200);
        }
    }
    wait_for_logs(&hale, 6);
    let spent = |query: &str| -> Vec<f64> {
        let rows = get(&hale, &format!("/spend/keys?{query}"));
        rows.as_array().unwrap().iter().map(|row| row["spend"].as_f64().unwrap()).collect()
    };
    for (query, expected) in
        [("limit=1", vec![0.12]), ("limit=2", vec![0.12, 0.08]), ("", vec![0.12, 0.08, 0.04])]
    {
        let found = spent(query);
        let agree = found.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-9);
        assert!(agree && found.len() == expected.len(), "{query}: {found:?}");
    }
}
