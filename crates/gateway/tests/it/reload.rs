//! A changed config: in force as a whole or not at all, and it never delays a signal.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hale_testkit::{FakeUpstream, Hale, Script, Signal, TIMEOUT, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, LOG, chat, client, column, eventually, expect_error, lone, metric, pair, records,
    wait_for_records,
};

#[track_caller]
fn reload(hale: &Hale, config: &Config) {
    let mark = hale.mark();
    hale.rewrite_config(&config.text());
    hale.signal(Signal::Hup);
    hale.wait_for_line_after(mark, "config reloaded");
}

fn models(hale: &Hale) -> Vec<Value> {
    column(&client(hale).get("/v1/models").json()["data"], "id")
}

#[test]
fn a_changed_file_is_put_in_force_by_itself() {
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let hale = lone(&one).start();
    let mark = hale.mark();
    hale.rewrite_config(&lone(&two).deployment("new", "n", &two).text());
    hale.wait_for_line_after(mark, "config reloaded");
    assert_eq!(models(&hale), ["m", "new"]);
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!((one.requests().len(), two.requests().len()), (0, 1));
    assert_eq!(metric(&hale, "hale_config_reloads_total", &[]), 1.0);
}

#[test]
fn sighup_puts_the_file_in_force_at_once_and_again() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    for number in 0..5 {
        let name = format!("group-{number}");
        reload(&hale, &Config::new().deployment(&name, "a", &upstream));
        // The line may come from the poll each second, which saw the previous file.
        eventually("the new name", || (models(&hale) == [json!(name)]).then_some(()));
    }
    expect_error(&chat(&hale, "m"), 400, "unknown_model");
}

#[test]
fn a_stream_in_flight_finishes_on_what_it_began_with() {
    // Bad input, row F45.
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    one.push(
        Script::ok()
            .stream()
            .event(&openai::content_chunk("gpt-4o", "before "))
            .wait("reloaded")
            .event(&openai::content_chunk("gpt-4o", "after"))
            .event(&openai::finish_chunk("gpt-4o", "stop"))
            .done(),
    );
    let hale = lone(&one).start();
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.next_event().unwrap().content(), "before ");
    reload(&hale, &Config::new().deployment("other", "b", &two));
    expect_error(&chat(&hale, "m"), 400, "unknown_model");
    one.release("reloaded");
    let event = stream.next_event().unwrap();
    assert_eq!((event.content().as_str(), &event.json()["model"]), ("after", &json!("m")));
    assert!(stream.remaining().last().unwrap().is_done());
    drop(stream);
    // The same connection now meets the new config.
    let answer = own.post_json(CHAT, &[], &openai::chat_request("other", "hi"));
    assert_eq!((answer.status, two.requests().len()), (200, 1));
}

#[test]
fn a_bad_file_changes_nothing_and_is_reported_where_it_is_wrong() {
    // Bad input, row F44.
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let wrong = [
        ("model_list: [", "config.yaml:"),
        ("model_list:\n- model_name: m\n  litellm_params: 7\n", "config.yaml:3:"),
        ("router_settings:\n  num_retries: many\nmodel_list: []\n", "config.yaml:2:"),
        ("", "config.yaml"),
        ("\u{0}\u{1}", "config.yaml"),
    ];
    for (count, (text, place)) in wrong.into_iter().enumerate() {
        let mark = hale.mark();
        hale.rewrite_config(text);
        hale.signal(Signal::Hup);
        hale.wait_for_line_after(mark, place);
        hale.wait_for_line_after(mark, "the one in force stays");
        assert_eq!(chat(&hale, "m").status, 200);
        let refused = metric(&hale, "hale_config_reloads_refused_total", &[]);
        assert!(refused >= (count + 1) as f64, "{refused}");
    }
    assert_eq!(metric(&hale, "hale_config_reloads_total", &[]), 0.0);
    reload(&hale, &Config::new().deployment("fixed", "a", &upstream));
    assert_eq!(models(&hale), ["fixed"]);
}

#[test]
fn a_deleted_file_keeps_serving_and_a_new_one_is_found() {
    // Bad input, row F44.
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let mark = hale.mark();
    fs::remove_file(hale.config_path()).unwrap();
    hale.wait_for_line_after(mark, "the one in force stays");
    assert_eq!(chat(&hale, "m").status, 200);
    let mark = hale.mark();
    hale.rewrite_config(&Config::new().deployment("back", "a", &upstream).text());
    hale.wait_for_line_after(mark, "config reloaded");
    assert_eq!(models(&hale), ["back"]);
}

#[test]
fn a_cooldown_is_carried_over_by_the_deployments_id() {
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    one.answer_with(|_| Script::rate_limited(60));
    let hale = pair(&one, &two).start();
    assert_eq!(chat(&hale, "m").header("x-litellm-attempted-retries"), Some("1"));
    // Another name, the same id: it is still in cooldown.
    let renamed = |up| {
        let config = Config::new().deployment("renamed", "bad", up);
        config.with("fresh", "new", &one, json!({"num_retries": 0}))
    };
    reload(&hale, &renamed(&one));
    expect_error(&chat(&hale, "renamed"), 429, "no_healthy_deployments");
    assert_eq!(one.requests().len(), 1);
    expect_error(&chat(&hale, "fresh"), 429, "upstream_rate_limited");
    // Counters stay too.
    let labels = [("deployment", "bad"), ("outcome", "rate_limited")];
    assert_eq!(metric(&hale, "hale_attempts_total", &labels), 1.0);
    // What the provider said at one address is not known of another; counters and operator actions are kept.
    reload(&hale, &renamed(&two));
    assert_eq!(chat(&hale, "renamed").status, 200);
    assert_eq!(metric(&hale, "hale_attempts_total", &labels), 1.0);
    client(&hale).post_json("/router/deployments/bad/disable", &[], &json!({}));
    reload(&hale, &renamed(&one));
    expect_error(&chat(&hale, "renamed"), 403, "model_paused");
}

#[test]
fn a_new_master_key_counts_from_the_next_request_on() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let mut old = client(&hale);
    assert_eq!(old.get("/v1/models").status, 200);
    reload(&hale, &lone(&upstream).general(json!({"master_key": "sk-another-0123456789"})));
    assert_eq!(old.get("/v1/models").status, 401);
    assert_eq!(hale.client_with_key("sk-another-0123456789").get("/v1/models").status, 200);
}

#[test]
fn an_included_file_is_watched_too() {
    let upstream = FakeUpstream::start();
    let included = |name: &str| Config::new().deployment(name, "a", &upstream).text();
    let launch = crate::support::hale()
        .config("include: [models.yaml]\n")
        .file("models.yaml", &included("before"));
    let hale = launch.start();
    assert_eq!(models(&hale), ["before"]);
    let mark = hale.mark();
    fs::write(hale.dir().join("models.yaml"), included("afterwards")).unwrap();
    hale.wait_for_line_after(mark, "config reloaded");
    assert_eq!(models(&hale), ["afterwards"]);
}

#[test]
fn reloads_under_load_lose_no_request() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = client(&hale);
            while !over.load(Ordering::Relaxed) {
                let answer = client.post_json(CHAT, &[], &openai::chat_request("m", "hi"));
                assert_eq!(answer.status, 200, "{}", answer.text());
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut number = 0;
        // A reload may be faster than a request: there are enough of both.
        while number < 20 || (sent.load(Ordering::Relaxed) <= 20 && number < 1_000) {
            reload(&hale, &lone(&upstream).router(json!({"num_retries": number % 3})));
            number += 1;
        }
        over.store(true, Ordering::Relaxed);
    });
    let sent = sent.into_inner();
    assert!(sent > 20, "{sent}");
}

#[test]
fn a_change_right_after_the_start_is_seen() {
    let upstream = FakeUpstream::start();
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let hale = lone(&upstream).launch().start();
                hale.rewrite_config(&lone(&upstream).router(json!({"num_retries": 1})).text());
                hale.wait_for_line("config reloaded");
            });
        }
    });
}

#[test]
fn a_file_that_is_written_in_two_steps_ends_up_in_force() {
    // Bad input, row F44.
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    for number in 0..30 {
        let name = format!("group-{number}");
        let text = Config::new().deployment(&name, "a", &upstream).text();
        // Like an editor that truncates the file first, at the moment at which the gateway reads it.
        let (one, two) = text.split_at(text.len() / 2);
        fs::write(hale.config_path(), one).unwrap();
        hale.signal(Signal::Hup);
        fs::write(hale.config_path(), format!("{one}{two}")).unwrap();
        crate::support::eventually("the whole file is in force", || {
            (models(&hale) == [json!(name)]).then_some(())
        });
    }
}

/// A config of several MiB, which takes a while to read.
fn big(group: &str) -> Config {
    let text = "x".repeat(2_000);
    (0..2_000).fold(Config::new(), |config, number| {
        config.entry(json!({
            "model_name": group,
            "litellm_params": {
                "model": "openai/gpt-4o", "api_key": format!("k-{number}"), "mock_response": text,
            },
        }))
    })
}

#[test]
fn a_stop_during_a_reload_does_not_wait_for_it() {
    let upstream = FakeUpstream::start();
    let mut hale = lone(&upstream).launch().arg("--debug").start();
    let mark = hale.mark();
    hale.rewrite_config(&big("big").text());
    hale.signal(Signal::Hup);
    hale.wait_for_line_after(mark, "reading the config again");
    hale.signal(Signal::Term);
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
    let said = hale.stderr();
    assert!(said.contains("draining") && said.contains("stopped"), "{said}");
    assert!(!said.contains("config reloaded"), "the stop waited for the reload: {said}");
}

#[test]
fn reloads_that_are_asked_for_during_one_are_one_and_see_the_last_file() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).launch().arg("--debug").start();
    let mark = hale.mark();
    hale.rewrite_config(&big("before").text());
    hale.signal(Signal::Hup);
    hale.wait_for_line_after(mark, "reading the config again");
    hale.rewrite_config(&Config::new().deployment("after", "a", &upstream).text());
    for _ in 0..20 {
        hale.signal(Signal::Hup);
    }
    eventually("the last file is in force", || (models(&hale) == ["after"]).then_some(()));
    // One reload may have begun with the first signal, and one more covers all signals during it.
    assert!(metric(&hale, "hale_config_reloads_total", &[]) <= 4.0, "{}", hale.stderr());
}

#[test]
fn a_request_log_that_was_renamed_is_opened_again_and_no_record_is_lost() {
    let upstream = FakeUpstream::start();
    let config = lone(&upstream).general(json!({"request_log": LOG}));
    let hale = config.start();
    let old = hale.dir().join("old.jsonl");
    let over = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = client(&hale);
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = client.post_json(CHAT, &[], &openai::chat_request("m", "hi"));
                assert_eq!(answer.status, 200, "{}", answer.text());
                sent += 1;
            }
            sent
        });
        wait_for_records(&hale, 20);
        // As logrotate does it.
        fs::rename(hale.dir().join(LOG), &old).unwrap();
        hale.signal(Signal::Hup);
        wait_for_records(&hale, 20);
        over.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    let before = fs::read_to_string(&old).unwrap();
    assert!(before.ends_with('\n'), "the last record before is whole");
    wait_for_records(&hale, sent - before.lines().count());
    assert_eq!(fs::read_to_string(&old).unwrap(), before);
    assert_eq!(records(&hale).len() + before.lines().count(), sent);
}

#[test]
fn a_renamed_request_log_is_opened_again_although_the_config_has_an_error() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).general(json!({"request_log": LOG})).start();
    assert_eq!(chat(&hale, "m").status, 200);
    wait_for_records(&hale, 1);
    fs::rename(hale.dir().join(LOG), hale.dir().join("old.jsonl")).unwrap();
    let mark = hale.mark();
    hale.rewrite_config("model_list: [");
    hale.signal(Signal::Hup);
    hale.wait_for_line_after(mark, "the one in force stays");
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(wait_for_records(&hale, 1).len(), 1);
    let old = fs::read_to_string(hale.dir().join("old.jsonl")).unwrap();
    assert_eq!(old.lines().count(), 1);
}

#[test]
fn another_request_log_is_in_force_with_its_config_or_neither_is() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    assert_eq!(chat(&hale, "m").status, 200);
    // One where there was none.
    reload(&hale, &lone(&upstream).general(json!({"request_log": LOG})));
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(wait_for_records(&hale, 1).len(), 1);
    // One that cannot be opened: nothing of that config is in force.
    let mark = hale.mark();
    let wrong = Config::new().deployment("other", "a", &upstream);
    hale.rewrite_config(&wrong.general(json!({"request_log": "no/such/directory/log"})).text());
    hale.signal(Signal::Hup);
    let line = hale.wait_for_line_after(mark, "no/such/directory/log");
    assert!(line.contains("the config in force stays"), "{line}");
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(wait_for_records(&hale, 2).len(), 2);
    // Another file, and none.
    reload(&hale, &lone(&upstream).general(json!({"request_log": "second.jsonl"})));
    assert_eq!(chat(&hale, "m").status, 200);
    eventually("the other file has it", || {
        let text = fs::read_to_string(hale.dir().join("second.jsonl")).unwrap_or_default();
        (text.lines().count() == 1).then_some(())
    });
    reload(&hale, &lone(&upstream));
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(records(&hale).len(), 2);
}
