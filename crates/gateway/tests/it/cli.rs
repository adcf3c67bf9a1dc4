//! The command line: what an operator types, and what the process prints.

use hale_testkit::{FakeUpstream, Finished, openai};
use serde_json::json;
use std::net::TcpListener;

use crate::support::{CHAT, Config, chat, chat_with, client, hale, lone};
use crate::timing::Stopwatch;

#[track_caller]
fn run(args: &[&str]) -> Finished {
    args.iter().fold(hale(), |run, arg| run.arg(*arg)).run()
}

/// A key that no check warns of.
const KEY: &str = "sk-0123456789abcdef";

#[track_caller]
fn check(text: &str, more: &[&str]) -> Finished {
    let run = hale().config(text).arg("check").arg("config.yaml").env("LITELLM_MASTER_KEY", KEY);
    more.iter().fold(run, |run, arg| run.arg(*arg)).run()
}

/// The last line of a check, which decides, and the exit code.
#[track_caller]
fn last(done: &Finished) -> (&str, Option<i32>) {
    (done.stdout.lines().last().unwrap_or_default(), done.code())
}

/// A config with a deployment of each of these models.
fn models(models: &[&str]) -> String {
    let entry = |model: &&str| {
        format!("- {{model_name: '{model}', litellm_params: {{model: '{model}', api_key: k}}}}\n")
    };
    format!("model_list:\n{}", models.iter().map(entry).collect::<String>())
}

#[test]
fn check_says_ok_only_if_every_deployment_can_be_served() {
    let upstream = FakeUpstream::start();
    let done = check(&lone(&upstream).deployment("n", "b", &upstream).text(), &[]);
    let all = "config.yaml: ok, 2 of 2 deployments can be served, in 2 model groups, 0 warnings";
    assert_eq!(last(&done), (all, Some(0)), "{}{}", done.stdout, done.stderr);
    let done = check(&models(&["openai/a", "replicate/b", "sagemaker/c", "replicate/d"]), &[]);
    let some = "config.yaml: loads, but 1 of 4 deployments can be served: replicate is not served (2), \
                sagemaker is not served (1); 3 warnings";
    assert_eq!(last(&done), (some, Some(1)));
    let done = check(&models(&["opnai/a"]), &[]);
    let none = "config.yaml: loads, but 0 of 1 deployment can be served: the provider is unknown (1); 1 warning";
    assert_eq!(last(&done), (none, Some(1)));
    let variable = models(&["openai/a"]).replace("api_key: k", "api_key: os.environ/GONE");
    let done = check(&variable, &[]);
    assert!(last(&done).0.contains("environment variable GONE is not set (1)"), "{}", done.stdout);
}

#[test]
fn the_last_line_of_check_names_what_is_ignored() {
    let sections = "litellm_settings: {cache: true, cache_params: {type: s3, s3_bucket_name: x}}\n\
                    general_settings: {database_url: 'postgresql://h/d', store_model_in_db: true}\n";
    let done = check(&(models(&["openai/a"]) + sections), &[]);
    let (line, code) = last(&done);
    assert!(line.ends_with(", 1 warning; ignored: cache in a bucket"), "{line}");
    assert_eq!(code, Some(0), "it serves all that it has");
    // The keys of a deployment that cannot be served at all are not worth a word.
    let one = "model_list:\n- model_name: m\n  litellm_params: {model: replicate/x, aws_profile_name: eu, metadata: {a: b}}\n";
    let done = check(one, &[]);
    assert!(last(&done).0.ends_with("; 1 warning"), "{}", done.stdout);
}

#[test]
fn errors_come_first_however_many_warnings_there_are() {
    let text =
        models(&["replicate/x"; 1_100]) + "- {model_name: broken, litellm_params: {rpm: 1}}\n";
    let done = check(&text, &[]);
    let first = done.stdout.lines().next().unwrap();
    assert!(first.starts_with("error: config.yaml:1102:"), "{first}");
    let (line, code) = last(&done);
    assert!(
        line.starts_with("config.yaml: refused, the start would fail: 1 error, and "),
        "{line}"
    );
    assert_eq!(code, Some(78));
    assert!(done.stdout.lines().count() < 10, "one line a cause: {}", done.stdout);
}

#[test]
fn the_last_line_of_check_counts_what_is_not_listed_too() {
    let unknown: String = (0..2_600).map(|i| format!("unknown_{i}: 1\n")).collect();
    let done = check(&(models(&["openai/a"]) + &unknown), &[]);
    let ok = "config.yaml: ok, 1 of 1 deployment can be served, in 1 model group, 2600 warnings";
    assert_eq!(last(&done), (ok, Some(0)));
    assert!(done.stdout.contains("1600 more warnings are not listed. fix the ones above first\n"));
    let entry = "- {model_name: n, litellm_params: {rpm: 1}}\n";
    let done = check(&(models(&["openai/a"]) + &entry.repeat(3_000)), &[]);
    let refused = "config.yaml: refused, the start would fail: 3000 errors, and 0 warnings";
    assert_eq!(last(&done), (refused, Some(78)));
    let text = models(&["openai/a"]) + &entry.repeat(3);
    let start = hale().config(&text).arg("--config").arg("config.yaml").run();
    let says =
        "config.yaml: not started, 3 errors; `hale check config.yaml` shows each with its line";
    assert_eq!((start.stderr.lines().last(), start.code()), (Some(says), Some(78)));
}

#[test]
fn a_config_that_stands_alone_is_answered_with_the_way_to_write_it() {
    for arguments in [&["my.yaml"][..], &["serve", "my.YML"], &["./my.json", "--port", "1"]] {
        let done = run(arguments);
        let tip = "tip: `hale --config ";
        assert!(done.stderr.contains(tip) && done.code() == Some(2), "{}", done.stderr);
    }
    for arguments in [&["chek"][..], &["--prot", "1"]] {
        assert!(!run(arguments).stderr.contains("hale --config "), "{arguments:?}");
    }
    let text = models(&["openai/a"]);
    for flag in ["--config", "-c"] {
        for command in ["check", "doctor"] {
            let done = hale().config(&text).arg(command).arg(flag).arg("gone.yaml").run();
            assert!(
                done.stdout.contains("gone.yaml"),
                "{command} {flag}: {}{}",
                done.stdout,
                done.stderr
            );
        }
        let done = hale().config(&text).arg("check").arg(flag).arg("config.yaml").run();
        assert_eq!(done.code(), Some(0), "{}{}", done.stdout, done.stderr);
    }
}

#[test]
fn check_says_what_the_start_says_of_the_master_key() {
    let text = models(&["openai/a"]);
    let written = |key: &str| format!("{text}general_settings:\n  master_key: {key}\n");
    let run = |text: &str, args: &[&str]| {
        let run = hale().config(text).arg("check").arg("config.yaml");
        args.iter().fold(run, |run, arg| run.arg(*arg)).run()
    };
    for (text, says) in [
        (text.clone(), "warning: config.yaml: general_settings.master_key: no master_key is set"),
        (
            written("sk-1234"),
            "warning: config.yaml:4:15: general_settings.master_key: the master_key is a published one",
        ),
        (
            written("short"),
            "warning: config.yaml:4:15: general_settings.master_key: the master_key is weak",
        ),
    ] {
        let done = run(&text, &[]);
        assert_eq!(done.code(), Some(0), "it starts on loopback: {}", done.stdout);
        assert!(done.stdout.contains(says), "{}", done.stdout);
        let refused = !says.ends_with("weak");
        let done = run(&text, &["--host", "0.0.0.0"]);
        assert_eq!(done.code(), Some(if refused { 78 } else { 0 }), "{}", done.stdout);
        assert_eq!(done.stdout.contains("error: "), refused, "{}", done.stdout);
        assert!(!done.stdout.contains("sk-1234"), "{}", done.stdout);
    }
    let permitted = written("sk-1234") + "  dangerously_permit_weak_or_unset_master_key: true\n";
    assert_eq!(run(&permitted, &["--host", "0.0.0.0"]).code(), Some(0));
    assert_eq!(run(&written(KEY), &["--host", "0.0.0.0", "--strict"]).code(), Some(0));
    assert_eq!(run(&written("short"), &["--strict"]).code(), Some(78), "a warning, strictly");
}

#[test]
fn check_reads_the_config_that_is_there_and_what_a_shell_pipes() {
    let text = models(&["openai/a"]);
    let found = |run: hale_testkit::Launch| run.env("LITELLM_MASTER_KEY", KEY).run();
    let done = found(hale().config(&text).arg("check"));
    assert_eq!(done.code(), Some(0), "./config.yaml: {}{}", done.stdout, done.stderr);
    let done = found(hale().arg("check"));
    assert_eq!(done.code(), Some(78));
    assert!(done.stdout.contains("config not found: config.yaml"), "{}", done.stdout);
    let done = found(hale().config(&text).arg("check").env("CONFIG_FILE_PATH", "other.yaml"));
    assert!(done.stdout.contains("config not found: other.yaml"), "{}", done.stdout);
    let hale = env!("CARGO_BIN_EXE_hale");
    for command in [
        format!("printf '%s' \"$CONFIG\" | {hale} check -"),
        format!("{hale} check - < <(printf '%s' \"$CONFIG\")"),
        format!("{hale} check <(printf '%s' \"$CONFIG\")"),
        format!("printf '%s' \"$CONFIG\" | {hale} check /dev/stdin"),
    ] {
        let mut shell = std::process::Command::new("bash");
        let shell = shell.env_clear().env("CONFIG", &text).env("LITELLM_MASTER_KEY", KEY);
        let done = shell.args(["-c", &command]).output().unwrap();
        let out = String::from_utf8(done.stdout).unwrap();
        assert_eq!(done.status.code(), Some(0), "{command}: {out}");
        assert!(out.contains(": ok, 1 of 1 deployment can be served"), "{command}: {out}");
    }
}

#[test]
fn check_speaks_to_programs_and_can_be_short() {
    let text = models(&["openai/a", "auto_router/b", "auto_router/c"]);
    let done = check(&text, &["--json"]);
    let page: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(done.code(), Some(1));
    for (name, value) in [
        ("exit_code", json!(1)),
        ("deployments", json!(3)),
        ("can_be_served", json!(1)),
        ("not_served_because", json!(["auto_router is not served (2)"])),
    ] {
        assert_eq!(page[name], value, "{name}: {page:#}");
    }
    let problem = &page["problems"][0];
    let place = (&problem["line"], &problem["times"], &problem["more_lines"]);
    assert_eq!(place, (&json!(3), &json!(2), &json!([4])), "{page:#}");
    let done = check(&text, &["--quiet"]);
    assert_eq!((done.stdout.lines().count(), done.code()), (1, Some(1)), "{}", done.stdout);
}

#[test]
fn check_prints_every_problem_at_once_with_its_place_and_a_hint() {
    let text = "model_list:\n\
                - model_name: m\n  litellm_params:\n    model: openai/x\n    api_key: k\n    timeout: soon\n\
                - litellm_params: {model: openai/y}\n\
                router_setings: {}\n\
                router_settings:\n  num_retries: -1\n  routing_strategy: [x]\n";
    let done = check(text, &[]);
    assert_eq!(done.code(), Some(78), "{}", done.stdout);
    let lines: Vec<&str> = done.stdout.lines().collect();
    for (place, words) in [
        ("config.yaml:6:", "timeout"),
        ("config.yaml:7:", "model_name"),
        ("config.yaml:8:", "router_settings"),
        ("config.yaml:10:", "num_retries"),
        ("config.yaml:11:", "routing_strategy"),
    ] {
        let found = lines.iter().any(|line| line.contains(place) && line.contains(words));
        assert!(found, "nothing about {words} at {place} in:\n{}", done.stdout);
    }
    let (last, problems) = lines.split_last().unwrap();
    assert!(last.starts_with("config.yaml: refused, "), "{last}");
    for line in problems {
        assert!(
            line.starts_with("error: config.yaml:") || line.starts_with("warning: config.yaml:"),
            "{line}"
        );
    }
}

#[test]
fn unknown_keys_warn_and_are_errors_when_strict() {
    let text = "model_list:\n- model_name: m\n  litellm_params: {model: openai/x, api_key: k}\ngeneral_setting: {}\n";
    let done = check(text, &[]);
    assert_eq!(done.code(), Some(0), "{}", done.stdout);
    assert!(done.stdout.contains("general_settings"), "did you mean: {}", done.stdout);
    assert_eq!(check(text, &["--strict"]).code(), Some(78));
}

#[test]
fn a_missing_file_is_a_config_error_that_names_it() {
    for args in [&["check", "nowhere.yaml"][..], &["--config", "nowhere.yaml", "--port", "0"]] {
        let done = run(args);
        assert_eq!(done.code(), Some(78), "{}", done.stderr);
        let said = format!("{}{}", done.stdout, done.stderr);
        assert!(said.contains("nowhere.yaml"), "{said}");
    }
}

#[test]
fn a_broken_config_does_not_start() {
    let run = hale().config("model_list: 7\n");
    let done =
        ["--config", "config.yaml", "--port", "0"].iter().fold(run, |it, arg| it.arg(*arg)).run();
    assert_eq!(done.code(), Some(78));
    assert!(done.stderr.contains("config.yaml:1:"), "{}", done.stderr);
}

#[test]
fn keys_that_would_not_be_safe_to_ignore_refuse_the_start() {
    let upstream = FakeUpstream::start();
    for general in [json!({"allowed_ips": ["10.0.0"]}), json!({"enable_jwt_auth": true})] {
        let done = check(&lone(&upstream).general(general).text(), &[]);
        assert_eq!(done.code(), Some(78), "{}", done.stdout);
    }
}

#[test]
fn wrong_usage_is_code_2_and_help_is_none() {
    for args in [&["--no-such-flag"][..], &["frobnicate"], &["--port", "x"], &[]] {
        let done = run(args);
        assert_eq!(done.code(), Some(2), "{args:?}: {}", done.stderr);
        assert!(!done.stderr.is_empty());
    }
    let help = run(&["--help"]);
    assert_eq!(help.code(), Some(0));
    for word in ["--config", "--num_workers", "check", "demo"] {
        assert!(help.stdout.contains(word), "{}", help.stdout);
    }
}

#[test]
fn the_version_names_its_own_and_the_compatible_one() {
    for flag in ["--version", "-v", "-V"] {
        let done = run(&[flag]);
        assert_eq!(done.code(), Some(0));
        assert!(done.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", done.stdout);
        assert!(done.stdout.contains("1.106.2"), "{}", done.stdout);
    }
}

#[test]
fn flags_of_the_reference_without_a_meaning_warn_once_and_are_ignored() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream)
        .launch()
        .arg("--run_gunicorn")
        .arg("--max-requests-before-restart")
        .arg("100")
        .arg("--telemetry=False")
        .start();
    let said = hale.stderr();
    for flag in ["--run_gunicorn", "--max_requests_before_restart", "--telemetry"] {
        assert_eq!(said.matches(flag).count(), 1, "{said}");
    }
}

#[test]
fn a_port_in_use_is_reported_with_a_fix() {
    // Bad input, row 31.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let upstream = FakeUpstream::start();
    for workers in ["1", "2"] {
        let run = hale().config(&lone(&upstream).text());
        let args = [
            "--config",
            "config.yaml",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--num_workers",
            workers,
        ];
        let done = args.iter().fold(run, |run, arg| run.arg(*arg)).run();
        assert_eq!(done.code(), Some(1), "{}", done.stderr);
        assert!(done.stderr.contains(&port) && done.stderr.contains("--port"), "{}", done.stderr);
    }
}

#[test]
fn a_second_gateway_does_not_share_the_port_of_the_first() {
    let upstream = FakeUpstream::start();
    let config = lone(&upstream).text();
    let first = hale().config(&config).arg("--num_workers").arg("2").start();
    let port = first.port().to_string();
    let run = hale().config(&config);
    let args =
        ["--config", "config.yaml", "--host", "127.0.0.1", "--port", &port, "--num_workers", "2"];
    let done = args.iter().fold(run, |run, arg| run.arg(*arg)).run();
    assert_eq!(done.code(), Some(1), "{}", done.stderr);
}

#[test]
fn one_model_is_served_without_a_file_whatever_name_the_client_uses() {
    let upstream = FakeUpstream::start();
    let hale = hale()
        .arg("--model")
        .arg("openai/some-model")
        .arg("--api_base")
        .arg(upstream.api_base())
        .env("OPENAI_API_KEY", "sk-from-environment")
        .start();
    for name in ["openai/some-model", "gpt-3.5-turbo"] {
        let answer = hale.client().post_json(CHAT, &[], &openai::chat_request(name, "hi"));
        assert_eq!(
            (answer.status, &answer.json()["model"]),
            (200, &json!(name)),
            "{}",
            answer.text()
        );
        let sent = upstream.requests().pop().unwrap();
        assert_eq!(sent.model(), "some-model", "{name}");
        assert_eq!(sent.header("authorization"), Some("Bearer sk-from-environment"));
    }
}

#[test]
fn serve_is_the_same_as_no_subcommand_and_flags_win_over_the_config() {
    let upstream = FakeUpstream::with(|_| hale_testkit::Script::silent());
    let hale = lone(&upstream).launch().arg("--request_timeout").arg("0.3").start();
    let begin = Stopwatch::start();
    let answer = chat_with(&hale, &[], &openai::chat_request("m", "hi"));
    assert_eq!(answer.status, 408, "{}", answer.text());
    begin.less_than_ms(2_000);
}

#[test]
fn workers_share_the_port_and_all_serve() {
    let upstream = FakeUpstream::start();
    let hale = hale().config(&lone(&upstream).text()).arg("--num-workers").arg("3").start();
    for _ in 0..30 {
        assert_eq!(client(&hale).get("/v1/models").status, 200);
    }
    // Each worker has connections of its own to the upstream, at most one here.
    for _ in 0..30 {
        assert_eq!(chat_with(&hale, &[], &openai::chat_request("m", "hi")).status, 200);
    }
    assert!((1..=3).contains(&upstream.state().opened()), "{}", upstream.state().opened());
}

#[test]
fn logs_are_json_by_the_environment_or_by_the_config() {
    let upstream = FakeUpstream::start();
    let config = || Config::new().deployment("m", "a", &upstream);
    let yes = || json!({"json_logs": true});
    let launches = [
        config().launch().env("JSON_LOGS", "true"),
        config().launch().env("JSON_LOGS", "1"),
        config().litellm(yes()).launch(),
        config().general(yes()).launch(),
    ];
    for launch in launches {
        let hale = launch.start();
        for line in hale.stderr().lines() {
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
            assert!(parsed.is_ok_and(|value| value.is_object()), "{line}");
        }
    }
    let hale = config().litellm(json!({"json_logs": false})).start();
    assert!(!hale.stderr().starts_with('{'), "{}", hale.stderr());
}

#[test]
fn the_level_of_the_log_is_litellms_variable_unless_a_flag_says_more() {
    let upstream = FakeUpstream::start();
    let launch = || Config::new().deployment("m", "a", &upstream).launch();
    let hale = launch().env("LITELLM_LOG", "DEBUG").start();
    assert_eq!(chat(&hale, "m").status, 200);
    let line = hale.wait_for_line("DEBUG request");
    assert!(line.contains("deployment=\"a\" status=200"), "{line}");
    let hale = launch().env("LITELLM_LOG", "ERROR").arg("--debug").start();
    assert_eq!(chat(&hale, "m").status, 200);
    hale.wait_for_line("DEBUG request");
    let hale = launch().env("LITELLM_LOG", "loud").start();
    hale.wait_for_line("LITELLM_LOG=\"loud\" is no level: set DEBUG, INFO, WARNING or ERROR");
}

#[test]
fn without_arguments_the_config_of_the_directory_is_served() {
    let upstream = FakeUpstream::start();
    let launch = hale();
    std::fs::write(launch.dir().join("config.yaml"), lone(&upstream).text()).unwrap();
    let hale = launch.start();
    assert_eq!(chat(&hale, "m").status, 200);
    let nothing = crate::support::hale().run();
    assert_eq!(nothing.code(), Some(2), "{}", nothing.stderr);
    assert!(nothing.stderr.contains("there is no config.yaml here"), "{}", nothing.stderr);
}
