//! Telling people: what is sent when something fails, to which channel, and what becomes of it.
//!
//! A scripted upstream plays the receiver; times of the config are short, so that no test waits for a real one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use hale_testkit::{
    FakeUpstream, Hale, Launch, Redis, Request, Script, Signal, TIMEOUT, TempDir, openai,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, UPSTREAM_KEY, chat, chat_with, client, eventually, hale, lone, metric, pair,
    within,
};

/// What messages to the generic webhook are signed with.
const SECRET: &str = "whsec-0123456789abcdef";

/// A receiver that takes everything.
fn receiver() -> FakeUpstream {
    FakeUpstream::with(|_| Script::ok().body("text/plain", "ok"))
}

/// Times of milliseconds in place of seconds and minutes.
fn quick() -> Value {
    json!({"collect_s": 0.1, "settle_s": 0.1})
}

/// A config that tells `channels`.
fn telling(config: &Config, channels: Value, args: Value) -> Config {
    let config = config.clone().general(json!({"alerting": channels, "alerting_args": args}));
    config.router(json!({"num_retries": 0, "max_wait_s": 0}))
}

/// A gateway that tells a generic webhook.
fn with_webhook(config: &Config, receiver: &FakeUpstream) -> Launch {
    let config = telling(config, json!(["webhook"]), quick());
    let url = format!("{}/hook?token=s3cret-token", receiver.url());
    config.launch().env("WEBHOOK_URL", &url).env("WEBHOOK_SECRET", SECRET)
}

fn told(receiver: &FakeUpstream) -> Vec<Value> {
    receiver.requests().iter().map(Request::json).collect()
}

/// Waits for the message with that number.
#[track_caller]
fn message(receiver: &FakeUpstream, number: usize) -> Value {
    receiver.wait_for_requests(number + 1)[number].json()
}

/// Sends requests until `done`.
#[track_caller]
fn under_traffic<T>(hale: &Hale, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    eventually(what, || {
        chat(hale, "m");
        done()
    })
}

#[track_caller]
fn until_told(hale: &Hale, receiver: &FakeUpstream, count: usize) -> Vec<Value> {
    under_traffic(hale, "it is told", || Some(told(receiver)).filter(|all| all.len() >= count))
}

/// Waits until the store has an incident with these texts.
#[track_caller]
fn until_kept(directory: &TempDir, texts: &[&str]) {
    let (store, copy) = (directory.path().join("hale.db"), directory.path().join("copy"));
    eventually("the store has it", || {
        let command = hale().arg("db").arg("--database").arg(store.to_str().unwrap());
        let ended = command.arg("export").arg(copy.to_str().unwrap()).run();
        let rows = std::fs::read_to_string(&copy).unwrap_or_default();
        let _gone = std::fs::remove_file(&copy);
        let mut incidents = rows.lines().filter(|line| line.contains("\"incidents\""));
        (ended.code() == Some(0)
            && incidents.any(|line| texts.iter().all(|text| line.contains(text))))
        .then_some(())
    });
}

#[test]
fn an_outage_under_traffic_is_one_message_and_one_more_when_it_is_over() {
    let (upstream, slack) = (FakeUpstream::start(), receiver());
    let config = telling(&lone(&upstream), json!(["slack"]), quick());
    let url = format!("{}/services/T000/B000/s3cr3ts3cr3t", slack.url());
    let hale = config.launch().env("SLACK_WEBHOOK_URL", &url).start();
    assert_eq!(chat(&hale, "m").status, 200);
    upstream.answer_with(|_| Script::error(500, "the engine is on fire"));
    let all = until_told(&hale, &slack, 1);
    let text = all[0]["text"].as_str().unwrap();
    assert!(text.contains("nothing serves m: server_error"), "{text}");
    assert!(text.contains("the engine is on fire") && text.contains("*Fix:*"), "{text}");
    assert!(text.contains("failed"), "{text}");
    upstream.answer_with(Script::answer);
    let all = until_told(&hale, &slack, 2);
    let text = all[1]["text"].as_str().unwrap();
    assert!(text.contains("resolved after ") && text.contains("*Lasted:*"), "{text}");
    assert_eq!(told(&slack).len(), 2);
    eventually("both are counted", || {
        (metric(&hale, "hale_alerts_sent_total", &[]) == 2.0).then_some(())
    });
    assert!(!hale.stderr().contains("s3cr3ts3cr3t"), "{}", hale.stderr());
}

#[test]
fn a_kill_in_an_incident_neither_loses_its_end_nor_tells_its_beginning_again() {
    let (upstream, hook) = (FakeUpstream::start(), receiver());
    let directory = TempDir::new();
    let start = || {
        let launch = with_webhook(&lone(&upstream), &hook);
        launch.env("HALE_DATA_DIR", directory.path().to_str().unwrap()).start()
    };
    let mut first = start();
    upstream.answer_with(|_| Script::error(503, "away"));
    let opened = until_told(&first, &hook, 1).remove(0);
    assert_eq!(opened["event"], "incident_opened");
    until_kept(&directory, &["\"told\"", "\\\"letters\\\":[]"]);
    first.signal(Signal::Kill);
    first.wait_for_exit(hale_testkit::TIMEOUT);
    let second = start();
    for _ in 0..5 {
        assert_eq!(chat(&second, "m").status, 503);
    }
    upstream.answer_with(Script::answer);
    let all = until_told(&second, &hook, 2);
    assert_eq!(all[1]["event"], "incident_resolved");
    assert_eq!(all[1]["incident_id"], opened["incident_id"]);
    assert_eq!(all[1]["since"], opened["since"], "it began before the restart");
    assert!(all[1]["duration_s"].as_f64().unwrap() > 0.0);
    assert_eq!(told(&hook).len(), 2);
}

#[test]
fn a_fault_that_only_moves_requests_is_told_with_the_deployment_and_its_group_still_serves() {
    let (bad, good, hook) = (FakeUpstream::start(), FakeUpstream::start(), receiver());
    let config = telling(&pair(&bad, &good), json!(["webhook"]), quick());
    let config = config.router(json!({"num_retries": 1}));
    let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
    bad.answer_with(|_| Script::error(401, "this key is no good"));
    assert_eq!(chat(&hale, "m").status, 200);
    let opened = message(&hook, 0);
    assert_eq!(opened["kind"], "key_refused", "{opened}");
    assert_eq!(opened["provider_message"], "this key is no good");
    assert_eq!(opened["requests"], json!({"hurt": 0, "moved": 1, "waiting": 0, "refused": 0}));
    assert_eq!(opened["deployments"][0]["name"], "bad");
    assert_eq!(
        (&opened["model_groups"], &opened["model_groups_down"]),
        (&json!(["m"]), &json!([]))
    );
}

#[test]
fn of_two_replicas_one_speaks_and_when_it_is_killed_the_other_tells_the_end() {
    let (redis, upstream, hook) = (Redis::start(), FakeUpstream::start(), receiver());
    let config = lone(&upstream).router(json!({"redis_url": redis.url()}));
    let config = config.general(json!({"use_shared_health_check": true}));
    let start = || with_webhook(&config, &hook).start();
    let mut replicas = vec![start(), start()];
    eventually("they know each other", || {
        let knows = |hale: &Hale| {
            let page = client(hale).get("/health/shared-status").json();
            page["status"]["replicas"] == 2
        };
        replicas.iter().all(knows).then_some(())
    });
    upstream.answer_with(|_| Script::error(500, "the engine is on fire"));
    let opened = eventually("it is told", || {
        replicas.iter().for_each(|hale| drop(chat(hale, "m")));
        told(&hook).into_iter().next()
    });
    assert_eq!(opened["event"], "incident_opened");
    let is_open = |hale: &Hale| {
        let page = client(hale).get("/alerting/incidents").json();
        let first = &page["incidents"][0];
        first["stage"] == "told"
            && first["id"] == opened["incident_id"]
            && first["messages_waiting"] == 0
    };
    eventually("both know it", || replicas.iter().all(is_open).then_some(()));
    let sent = |hale: &Hale| metric(hale, "hale_alerts_sent_total", &[]) as u64;
    let speaker = replicas.iter().position(|hale| sent(hale) == 1).unwrap();
    assert_eq!(replicas.iter().map(sent).sum::<u64>(), 1, "one of them told it");
    let mut speaker = replicas.remove(speaker);
    speaker.signal(Signal::Kill);
    speaker.wait_for_exit(hale_testkit::TIMEOUT);
    upstream.answer_with(Script::answer);
    let other = &replicas[0];
    let all = within(TIMEOUT * 2, "its end is told", || {
        chat(other, "m");
        Some(told(&hook)).filter(|all| all.len() >= 2)
    });
    assert_eq!(all[1]["event"], "incident_resolved");
    assert_eq!(all[1]["incident_id"], opened["incident_id"]);
    // It is counted once the receiver has taken it.
    eventually("it is counted", || (sent(other) == 1).then_some(()));
    assert_eq!(told(&hook).len(), 2);
}

#[test]
fn what_comes_back_within_its_time_is_the_same_incident_and_then_only_its_end_is_told() {
    let (upstream, hook) = (FakeUpstream::start(), receiver());
    let args = json!({"collect_s": 0.1, "settle_s": 0.1, "flap_s": 4});
    let config = telling(&lone(&upstream), json!(["webhook"]), args);
    let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
    let fails = |_: &Request| Script::error(500, "on and off");
    upstream.answer_with(fails);
    until_told(&hale, &hook, 1);
    upstream.answer_with(Script::answer);
    until_told(&hale, &hook, 2);
    upstream.answer_with(fails);
    until_told(&hale, &hook, 3);
    upstream.answer_with(Script::answer);
    let all = until_told(&hale, &hook, 4);
    let events: Vec<&str> = all.iter().map(|one| one["event"].as_str().unwrap()).collect();
    let expected =
        ["incident_opened", "incident_resolved", "incident_reopened", "incident_resolved"];
    assert_eq!(events, expected);
    assert!(all.iter().all(|one| one["incident_id"] == all[0]["incident_id"]));
    assert!(all[3]["duration_s"].as_f64() > all[1]["duration_s"].as_f64());
}

#[test]
fn a_receiver_that_fails_in_any_way_gets_the_message_again_and_the_log_says_why_without_the_address()
 {
    for (script, says) in [
        (
            Script::ok().body("text/html", "<!DOCTYPE html><title>Sign in</title>"),
            "with a web page",
        ),
        (
            Script::with_status(302).header("location", "/s3cret-token").body("text/plain", ""),
            "with a redirect",
        ),
        (Script::with_status(404).body("text/plain", "no_service"), "was revoked"),
        (
            Script::with_status(429).header("retry-after", "1").body("text/plain", "slow"),
            "limits the rate",
        ),
        (Script::with_status(500).body("text/plain", "bad token s3cret-token"), "bad token ***"),
        (Script::ok().close(), "127.0.0.1"),
    ] {
        let (upstream, hook) = (FakeUpstream::start(), receiver());
        hook.push(script);
        let hale = with_webhook(&lone(&upstream), &hook).start();
        upstream.answer_with(|_| Script::error(500, "down"));
        let all = until_told(&hale, &hook, 2);
        assert_eq!(all[0], all[1], "{says}: the same message again");
        let line = hale.wait_for_line("a message was not taken");
        assert!(line.contains(says) && line.contains("channel=\"webhook\""), "{line}");
        assert!(!hale.stderr().contains("s3cret-token"), "{}", hale.stderr());
        let page = client(&hale).get("/alerting/incidents").text();
        assert!(!page.contains("s3cret-token") && page.contains("incident"), "{page}");
        assert!(metric(&hale, "hale_alerts_failed_total", &[]) >= 1.0);
    }
}

#[test]
fn a_receiver_that_hangs_delays_neither_requests_nor_another_channel() {
    let (upstream, hung, slack) = (FakeUpstream::start(), FakeUpstream::start(), receiver());
    hung.answer_with(|_| Script::silent());
    let config = telling(&lone(&upstream), json!(["webhook", "slack"]), quick());
    let launch = config.launch().env("WEBHOOK_URL", &hung.url());
    let hale = launch.env("SLACK_WEBHOOK_URL", &slack.url()).start();
    upstream.answer_with(|_| Script::error(500, "down"));
    until_told(&hale, &slack, 1);
    upstream.answer_with(Script::answer);
    until_told(&hale, &slack, 2);
    assert_eq!(told(&hung).len(), 1, "one message is under way to each channel");
    // The other channel's last one is counted until its answer has come.
    eventually("only the hung channel's wait", || {
        (metric(&hale, "hale_alerts_waiting", &[]) == 2.0).then_some(())
    });
}

#[test]
fn each_channel_gets_what_it_shows() {
    let upstream = FakeUpstream::start();
    let all: Vec<FakeUpstream> = (0..5).map(|_| receiver()).collect();
    let [slack, hook, teams, discord, pager] = all.as_slice() else { panic!("five") };
    let mut args = quick();
    args["pagerduty_url"] = json!(pager.url());
    let names = json!(["slack", "webhook", "ms_teams", "discord", "pagerduty"]);
    let config = telling(&lone(&upstream), names, args);
    let hale = config
        .launch()
        .env("SLACK_WEBHOOK_URL", &slack.url())
        .env("WEBHOOK_URL", &hook.url())
        .env("WEBHOOK_SECRET", SECRET)
        .env("MS_TEAMS_WEBHOOK_URL", &teams.url())
        .env("DISCORD_WEBHOOK_URL", &discord.url())
        .env("PAGERDUTY_API_KEY", "pd-key-0123456789")
        .env("PROXY_BASE_URL", "https://me:pw@llm.example/")
        .start();
    upstream.answer_with(|_| Script::error(500, "<b>on</b> fire & out"));
    all.iter().for_each(|one| drop(until_told(&hale, one, 1)));
    upstream.answer_with(Script::answer);
    all.iter().for_each(|one| drop(until_told(&hale, one, 2)));
    let text = message(slack, 0)["text"].as_str().unwrap().to_owned();
    assert!(text.contains("&lt;b&gt;on&lt;/b&gt; fire &amp; out"), "{text}");
    assert!(text.contains("https://llm.example/alerting/incidents?id="), "{text}");
    let sent = hook.request(0);
    let id = sent.json()["incident_id"].as_str().unwrap().to_owned();
    let digest = sha2_hmac(SECRET.as_bytes(), &sent.body);
    assert_eq!(sent.header("x-hale-signature"), Some(&*format!("sha256={digest}")));
    assert_eq!(sent.json()["link"], format!("https://llm.example/alerting/incidents?id={id}"));
    let card = &message(teams, 0)["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(card["content"]["body"][1]["type"], "FactSet");
    let embed = message(discord, 0);
    assert_eq!(embed["allowed_mentions"], json!({"parse": []}));
    assert!(embed["embeds"][0]["title"].as_str().unwrap().contains("nothing serves m"), "{embed}");
    let events = [message(pager, 0), message(pager, 1)];
    assert_eq!(
        (&events[0]["event_action"], &events[1]["event_action"]),
        (&json!("trigger"), &json!("resolve"))
    );
    assert_eq!(
        (&events[0]["dedup_key"], &events[1]["dedup_key"]),
        (&json!(format!("hale-{id}")), &json!(format!("hale-{id}")))
    );
    assert_eq!(
        (&events[0]["routing_key"], &events[0]["payload"]["severity"]),
        (&json!("pd-key-0123456789"), &json!("critical"))
    );
    for secret in ["pd-key-0123456789", SECRET, "me:pw", KEY, UPSTREAM_KEY] {
        assert!(!hale.stderr().contains(secret), "{secret}");
        assert!(!text.contains(secret) && !sent.json().to_string().contains(secret), "{secret}");
    }
}

fn sha2_hmac(key: &[u8], body: &[u8]) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let tag = aws_lc_rs::hmac::sign(&key, body);
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_refused_reload_is_told_and_over_with_the_next_good_one_and_types_have_addresses_of_their_own()
{
    let (upstream, general, own) = (FakeUpstream::start(), receiver(), receiver());
    let config = telling(&lone(&upstream), json!(["slack"]), quick());
    let config = config.general(json!({"alert_to_webhook_url": {"reload_refused": [own.url()]}}));
    let hale = config.launch().env("SLACK_WEBHOOK_URL", &general.url()).start();
    hale.rewrite_config("model_list: [");
    let text = message(&own, 0)["text"].to_string();
    assert!(text.contains("a changed config is refused"), "{text}");
    hale.rewrite_config(&config.text());
    let text = message(&own, 1)["text"].to_string();
    assert!(text.contains("resolved after"), "{text}");
    assert_eq!(told(&general).len(), 0, "it has an address of its own");
}

#[test]
fn nothing_is_told_of_models_in_maintenance_nor_of_types_that_were_not_asked_for() {
    let (upstream, hook) = (FakeUpstream::start(), receiver());
    let window =
        json!({"start": "2020-01-01T00:00:00Z", "end": "2099-01-01T00:00:00Z", "models": ["m"]});
    let mut args = quick();
    args["maintenance"] = json!([window]);
    let silent = [
        telling(&lone(&upstream), json!(["webhook"]), args),
        telling(&lone(&upstream), json!(["webhook"]), quick())
            .general(json!({"alert_types": ["db_exceptions", "spend_reports"]})),
    ];
    upstream.answer_with(|_| Script::error(500, "down"));
    for config in silent {
        let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
        under_traffic(&hale, "the incident is known", || {
            let page = client(&hale).get("/alerting/incidents").json();
            (page["incidents"][0]["requests"]["hurt"].as_u64() > Some(5)).then_some(())
        });
        assert_eq!(told(&hook).len(), 0);
    }
}

#[test]
fn a_report_of_the_day_goes_to_the_channels_when_it_is_asked_for() {
    let (upstream, slack) = (FakeUpstream::start(), receiver());
    let config = telling(&lone(&upstream), json!(["slack"]), quick());
    let hale = config.launch().env("SLACK_WEBHOOK_URL", &slack.url()).start();
    assert_eq!(chat(&hale, "m").status, 200);
    let page = eventually("the store has the request", || {
        let page = client(&hale).post_json("/alerting/report", &[], &json!({})).json();
        page["title"].as_str().is_some_and(|title| title.contains(" 1 requests")).then_some(page)
    });
    assert_eq!(page["sent_to"], json!([{"channel": "slack", "problem": null}]));
    assert!(page["text"].as_str().unwrap().contains("m: 1 requests, 0 failed"), "{page}");
    let last = told(&slack).pop().unwrap();
    assert!(last["text"].as_str().unwrap().contains("the last 24 hours"), "{last}");
    let settings = client(&hale).get("/alerting/settings").json();
    let is_on =
        settings.as_array().unwrap().iter().find(|one| one["field_name"] == "slack_alerting");
    assert_eq!(is_on.unwrap()["field_value"], true);
    let test = |path: &str| client(&hale).post_json(path, &[], &json!({}));
    let expected = json!({"tested": [{"channel": "slack", "problem": null}]});
    assert_eq!(test("/alerting/test").json(), expected);
    assert_eq!(test("/alerting/test?channel=slack").json(), expected);
    assert_eq!(test("/alerting/test?channel=pager").status, 400);
    slack.push(Script::with_status(403).body("text/plain", "invalid_token"));
    let problem = test("/alerting/test").json()["tested"][0]["problem"].to_string();
    assert!(problem.contains("was revoked: make a new one"), "{problem}");
    for path in ["/alerting/incidents", "/alerting/settings"] {
        assert_eq!(hale.client().get(path).status, 401);
    }
}

/// A mail server that takes what it is told; the lines of each conversation.
fn mail_server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, lines) = (listener.local_addr().unwrap().port(), Arc::default());
    let said: Arc<Mutex<Vec<String>>> = Arc::clone(&lines);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut writer = stream.try_clone().unwrap();
            writer.write_all(b"220 mail.example\r\n").unwrap();
            let mut is_data = false;
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                said.lock().push(line.clone());
                let answer = match line.split([' ', ':']).next().unwrap() {
                    "." => "250 taken",
                    _ if is_data => continue,
                    "EHLO" => "250-mail.example\r\n250 AUTH PLAIN LOGIN",
                    "DATA" => "354 go on",
                    _ => "250 ok",
                };
                is_data = line == "DATA" || (is_data && line != ".");
                writer.write_all(format!("{answer}\r\n").as_bytes()).unwrap();
            }
        }
    });
    (port, lines)
}

#[test]
fn an_email_goes_to_each_receiver_with_the_facts_and_without_the_password_in_the_log() {
    let upstream = FakeUpstream::start();
    let (port, lines) = mail_server();
    let mut args = quick();
    args["email_to"] = json!(["ops@example.org", "night@example.org"]);
    let hale = telling(&lone(&upstream), json!(["email"]), args)
        .launch()
        .env("SMTP_HOST", "127.0.0.1")
        .env("SMTP_PORT", &port.to_string())
        .env("SMTP_TLS", "false")
        .env("SMTP_USERNAME", "hale")
        .env("SMTP_PASSWORD", "s3cret-password")
        .env("SMTP_SENDER_EMAIL", "hale@example.org")
        .start();
    upstream.answer_with(|_| Script::error(500, "on fire"));
    let all = under_traffic(&hale, "the mail is taken", || {
        let lines = lines.lock().clone();
        lines.iter().any(|line| line == "QUIT").then_some(lines)
    });
    let login = "AUTH PLAIN AGhhbGUAczNjcmV0LXBhc3N3b3Jk";
    for line in [
        login,
        "MAIL FROM:<hale@example.org>",
        "RCPT TO:<ops@example.org>",
        "RCPT TO:<night@example.org>",
    ] {
        assert!(all.iter().any(|one| one == line), "{line}: {all:#?}");
    }
    assert!(all.iter().any(|line| line.starts_with("Subject: =?utf-8?B?")));
    assert!(!hale.stderr().contains("s3cret-password"));
}

#[test]
fn a_channel_without_its_variables_is_named_at_the_start_and_the_others_are_told() {
    let (upstream, slack) = (FakeUpstream::start(), receiver());
    let names = json!(["slack", "webhook", "pagerduty", "ms_team"]);
    let config = telling(&lone(&upstream), names, quick());
    let hale = config.launch().env("SLACK_WEBHOOK_URL", &slack.url()).start();
    for says in [
        "names `webhook`, but WEBHOOK_URL is not set",
        "PAGERDUTY_API_KEY is not set",
        "unknown channel `ms_team`",
    ] {
        hale.wait_for_line(says);
    }
    upstream.answer_with(|_| Script::error(500, "on fire"));
    until_told(&hale, &slack, 1);
}

#[test]
fn an_outage_of_one_server_that_takes_six_deployments_in_three_groups_is_one_message() {
    let (upstream, hook) = (FakeUpstream::start(), receiver());
    let groups = ["x", "y", "z"];
    let config = groups.iter().fold(Config::new(), |config, group| {
        let two = config.deployment(group, &format!("{group}1"), &upstream);
        two.deployment(group, &format!("{group}2"), &upstream)
    });
    let args = json!({"collect_s": 3, "settle_s": 0.1});
    let config = telling(&config, json!(["webhook"]), args);
    let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
    let traffic = |count: usize| {
        eventually("it is told", || {
            groups.iter().for_each(|group| drop(chat(&hale, group)));
            Some(told(&hook)).filter(|all| all.len() >= count)
        })
    };
    upstream.answer_with(|_| Script::error(500, "all of it is down"));
    let opened = traffic(1).remove(0);
    assert_eq!(opened["kind"], "group_down");
    assert_eq!(opened["model_groups_down"], json!(groups));
    assert_eq!(opened["deployments"].as_array().unwrap().len(), 6, "{opened}");
    upstream.answer_with(Script::answer);
    let all = traffic(2);
    assert_eq!((all.len(), &all[1]["event"]), (2, &json!("incident_resolved")));
}

#[test]
fn a_spent_budget_is_told_with_its_limit_and_slack_is_tested_as_a_service() {
    let (upstream, slack) = (FakeUpstream::start(), receiver());
    let budget = json!({"openai": {"budget_limit": 0.000_000_1, "time_period": "1d"}});
    let config = telling(&lone(&upstream), json!(["slack"]), quick());
    let config = config.router(json!({"provider_budget_config": budget}));
    let hale = config.launch().env("SLACK_WEBHOOK_URL", &slack.url()).start();
    assert_eq!(chat(&hale, "m").status, 200);
    let text = message(&slack, 0)["text"].as_str().unwrap().to_owned();
    assert!(text.contains("the budget of provider openai is spent"), "{text}");
    assert!(text.contains("0.0000001 USD in 1d are spent"), "{text}");
    let service = client(&hale).get("/health/services?service=slack");
    assert_eq!(service.status, 200, "{}", service.text());
    let types = service.json()["alert_types"].clone();
    assert!(types.as_array().unwrap().contains(&json!("budget_alerts")), "{types}");
    let last = told(&slack).pop().unwrap();
    assert!(last["text"].as_str().unwrap().contains("a test of Hale's alerts"), "{last}");
    assert_eq!(client(&hale).get("/health/services?service=discord").status, 422);
}

#[test]
fn a_group_whose_members_are_all_misconfigured_is_told_once_requests_fail() {
    let (upstream, hook) = (FakeUpstream::start(), receiver());
    let params = json!({"model": "openai/gpt-4o", "api_key": "os.environ/KEY_THAT_IS_NOT_SET"});
    let entry = json!({"model_name": "dead", "litellm_params": params});
    let config = telling(&lone(&upstream).entry(entry), json!(["webhook"]), quick());
    let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
    let opened = eventually("it is told", || {
        chat(&hale, "dead");
        told(&hook).into_iter().next()
    });
    assert_eq!(
        (&opened["kind"], &opened["cause"]),
        (&json!("group_down"), &json!("misconfigured"))
    );
    assert_eq!(opened["model_groups"], json!(["dead"]));
    assert!(opened["fix"].as_str().unwrap().contains("KEY_THAT_IS_NOT_SET"), "{opened}");
}

#[test]
fn requests_by_a_pattern_an_alias_or_a_providers_name_count_for_the_group_that_they_lead_to() {
    let pattern = json!({"model": "openai/*"});
    let alias = json!({"model_group_alias": {"nick": "m"}, "fallbacks": [{"m": ["spare"]}]});
    for (name, group, effect) in [
        ("openai/gpt-4.1", "openai/*", "hurt"),
        ("openai/gpt-4o", "m", "hurt"),
        ("nick", "m", "moved"),
    ] {
        let (upstream, spare, hook) = (FakeUpstream::start(), FakeUpstream::start(), receiver());
        let config = match name {
            "openai/gpt-4.1" => Config::new().with(group, "a", &upstream, pattern.clone()),
            "nick" => lone(&upstream).deployment("spare", "b", &spare).router(alias.clone()),
            _ => lone(&upstream),
        };
        let config = telling(&config, json!(["webhook"]), quick());
        let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
        upstream.answer_with(|_| Script::error(500, "down"));
        let opened = eventually("it is told", || {
            chat(&hale, name);
            told(&hook).into_iter().next()
        });
        assert_eq!(opened["kind"], "group_down", "{name}");
        assert_eq!(opened["model_groups"], json!([group]), "{name}");
        assert!(opened["requests"][effect].as_u64() >= Some(1), "{name}: {opened}");
    }
}

#[test]
fn a_slow_answer_is_told_with_its_time() {
    let (upstream, hook) = (FakeUpstream::start(), receiver());
    let config = telling(&lone(&upstream), json!(["webhook"]), quick());
    let config = config.general(json!({"alerting_threshold": 0.05}));
    let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
    let answer = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    });
    upstream.push(Script::ok().delay(Duration::from_millis(100)).json(&answer));
    assert_eq!(chat(&hale, "m").status, 200);
    let opened = message(&hook, 0);
    assert_eq!(
        (&opened["kind"], &opened["severity"]),
        (&json!("slow_requests"), &json!("warning"))
    );
    assert_eq!(opened["model_groups"], json!(["m"]));
    assert!(opened["title"].as_str().unwrap().contains("requests of m are slow: one took"));
    assert!(opened["fix"].as_str().unwrap().contains("/router/state"), "{opened}");
}

#[test]
fn a_request_that_hangs_is_told_while_it_hangs_and_over_when_it_has_an_answer() {
    for body in [openai::chat_request("m", "hi"), openai::stream_request("m", "hi")] {
        let (upstream, hook) = (FakeUpstream::start(), receiver());
        let config = telling(&lone(&upstream), json!(["webhook"]), quick());
        let config = config.general(json!({"alerting_threshold": 0.2}));
        let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
        upstream.answer_with(|request| match request.json()["stream"].as_bool() {
            Some(true) => {
                let chunks = openai::chunks("m", &["hi"]);
                Script::ok().stream().wait("go").events(&chunks).done().end()
            }
            _ => Script::ok().wait("go").json(&openai::chat_completion("m", "hi")),
        });
        let mut hanging = client(&hale);
        let json = [("content-type", "application/json")];
        hanging.send("POST", CHAT, &json, body.to_string().as_bytes()).unwrap();
        let opened = message(&hook, 0);
        assert_eq!(opened["kind"], "slow_requests", "{opened}");
        let title = opened["title"].as_str().unwrap();
        assert!(title.starts_with("requests of m are slow: one has no answer after"), "{title}");
        assert_eq!(upstream.state().waiting_at("go"), 1, "it hangs still");
        upstream.release("go");
        let text = match body["stream"].as_bool() {
            Some(true) => hanging.read_stream().unwrap().content(),
            _ => hanging.read_response().unwrap().text(),
        };
        assert!(text.contains("hi"), "{text}");
        assert_eq!(chat(&hale, "m").status, 200);
    }
}

#[test]
fn what_only_waits_in_line_or_is_a_session_does_not_hang() {
    let (upstream, hook) = (FakeUpstream::start(), receiver());
    let one = json!({"model": "openai/gpt-4o", "max_parallel_requests": 1});
    let config = Config::new().with("m", "a", &upstream, one);
    let config = config.general(json!({
        "alerting": ["webhook"], "alerting_args": quick(), "alerting_threshold": 0.2,
    }));
    let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
    upstream.answer_with(|_| Script::ok().wait("go").json(&openai::chat_completion("m", "hi")));
    let mut clients = [client(&hale), client(&hale)];
    let body = openai::chat_request("m", "hi").to_string();
    let json = [("content-type", "application/json")];
    clients.iter_mut().for_each(|one| one.send("POST", CHAT, &json, body.as_bytes()).unwrap());
    upstream.wait_for(|state| state.waiting_at("go") == 1);
    let opened = message(&hook, 0);
    // Each look counts those that hang: that is one, however long the other one waits.
    let page = client(&hale).get("/alerting/incidents").json();
    assert_eq!(opened["kind"], "slow_requests", "{page}");
    assert_eq!(metric(&hale, "hale_waiting", &[]), 1.0);
    upstream.release("go");
    clients.iter_mut().for_each(|one| assert_eq!(one.read_response().unwrap().status, 200));
}

#[test]
fn a_deployment_whose_failures_others_hide_is_told_though_no_cooldown_keeps_it_out() {
    for stream in [false, true] {
        let (bad, good, hook) = (FakeUpstream::start(), FakeUpstream::start(), receiver());
        let config = telling(&pair(&bad, &good), json!(["webhook"]), quick());
        let config = config.router(json!({"num_retries": 2, "disable_cooldowns": true}));
        let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
        bad.answer_with(|_| Script::error(500, "the engine is on fire"));
        let mut body = openai::chat_request("m", "hi");
        body["stream"] = json!(stream);
        let ask = || {
            let answer = client(&hale).post_json(CHAT, &[], &body);
            assert_eq!(answer.status, 200, "{}", answer.text());
        };
        let opened = eventually("it is told", || {
            ask();
            told(&hook).into_iter().next()
        });
        assert_eq!(opened["kind"], "deployment_down", "{opened}");
        assert_eq!(opened["deployments"][0]["name"], "bad", "{opened}");
        assert_eq!(opened["provider_message"], "the engine is on fire");
        assert_eq!(opened["requests"]["hurt"], 0);
        assert!(opened["requests"]["moved"].as_u64() >= Some(1), "{opened}");
        bad.answer_with(Script::answer);
        let all = within(TIMEOUT * 2, "its end is told", || {
            ask();
            Some(told(&hook)).filter(|all| all.len() >= 2)
        });
        assert_eq!(all[1]["event"], "incident_resolved");
    }
}

#[test]
fn a_replica_that_sees_more_than_replicas_tell_each_other_ends_no_incident_by_that() {
    const MEMBERS: usize = 400;
    let (redis, upstream, hook) = (Redis::start(), FakeUpstream::start(), receiver());
    let config = (0..MEMBERS)
        .fold(Config::new(), |config, at| config.deployment("m", &format!("d{at}"), &upstream));
    let config = telling(&config, json!(["webhook"]), quick());
    let config = config.router(json!({"redis_url": redis.url(), "num_retries": 20}));
    let start = || config.launch().env("WEBHOOK_URL", &hook.url()).start();
    let replicas = [start(), start()];
    // A refused config shows which of them tells people.
    replicas[0].rewrite_config("model_list: [");
    message(&hook, 0);
    replicas[0].rewrite_config(&config.text());
    message(&hook, 1);
    let sent = |hale: &Hale| metric(hale, "hale_alerts_sent_total", &[]);
    let speaks = eventually("it is counted", || replicas.iter().position(|one| sent(one) == 2.0));
    let (speaker, other) = (&replicas[speaks], &replicas[1 - speaks]);
    // Only the other one has traffic, and what it sees is longer than what replicas tell each other.
    let words = "\u{1f525}".repeat(250);
    upstream.answer_with(move |_| Script::error(404, &words));
    let lost = || {
        let page = client(speaker).get("/alerting/incidents").json();
        let all = page["incidents"].as_array().unwrap().clone();
        let number = |one: &Value, name: &str| one["requests"][name].as_u64().unwrap();
        all.iter().map(|one| number(one, "hurt") + number(one, "refused")).sum::<u64>()
    };
    within(TIMEOUT * 2, "it sees too much", || {
        chat(other, "m");
        other.stderr().contains("has room in what replicas tell each other").then_some(())
    });
    let before = lost();
    within(TIMEOUT * 2, "what it sees is known all the same", || {
        chat(other, "m");
        (lost() > before + 20).then_some(())
    });
    message(&hook, 2);
    let all = told(&hook).split_off(2);
    assert!(all.iter().all(|one| one["event"] == "incident_opened"), "{all:#?}");
}

#[test]
fn three_requests_that_fail_behind_fallbacks_are_told_though_no_deployment_is_out() {
    let (upstream, hook) = (FakeUpstream::start(), receiver());
    let spares = ["x", "y", "z"];
    let config = spares.iter().fold(lone(&upstream), |config, spare| {
        config.deployment(spare, &format!("at-{spare}"), &upstream)
    });
    let config = telling(&config, json!(["webhook"]), quick());
    let config = config.router(json!({"disable_cooldowns": true}));
    let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
    upstream.answer_with(|request| match &request.json()["messages"][0]["content"] {
        Value::String(text) if text == "fail" => Script::error(500, "down"),
        _ => Script::answer(request),
    });
    for spare in spares {
        // It answers more than it refuses, whenever its requests are counted.
        (0..2).for_each(|_| assert_eq!(chat(&hale, "m").status, 200));
        let mut body = openai::chat_request("m", "fail");
        body["fallbacks"] = json!([spare]);
        assert_eq!(chat_with(&hale, &[], &body).status, 500);
    }
    let opened = message(&hook, 0);
    assert_eq!(opened["kind"], "fallbacks_exhausted", "{opened}");
    assert_eq!(opened["severity"], "critical");
    assert_eq!(opened["title"], "the fallbacks of m fail too: server_error");
    assert_eq!(opened["requests"]["hurt"], 3);
}

#[test]
fn a_test_of_all_channels_tells_each_address_once() {
    let (upstream, slack, own) = (FakeUpstream::start(), receiver(), receiver());
    let config = telling(&lone(&upstream), json!(["slack"]), quick());
    let config = config.general(json!({"alert_to_webhook_url": {"reload_refused": [own.url()]}}));
    let hale = config.launch().env("SLACK_WEBHOOK_URL", &slack.url()).start();
    let page = client(&hale).post_json("/alerting/test", &[], &json!({})).json();
    assert_eq!(page["tested"].as_array().unwrap().len(), 2, "{page}");
    assert_eq!((told(&slack).len(), told(&own).len()), (1, 1));
}

#[test]
fn a_spent_budget_of_probes_is_told() {
    let (upstream, hook) = (FakeUpstream::start(), receiver());
    let config = telling(&lone(&upstream), json!(["webhook"]), quick());
    // A probe of gpt-4o is estimated at 40 millionths.
    let config = config.general(json!({"health_check_daily_budget_usd": 0.000_05}));
    let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
    let opened = eventually("it is told", || {
        client(&hale).get("/health");
        told(&hook).into_iter().next()
    });
    assert_eq!((&opened["kind"], &opened["severity"]), (&json!("probe_budget"), &json!("info")));
    assert_eq!(opened["title"], "the day's budget of probes is spent");
    assert!(opened["fix"].as_str().unwrap().contains("health_check_daily_budget_usd"), "{opened}");
}
