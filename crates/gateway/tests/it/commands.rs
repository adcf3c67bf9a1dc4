//! The subcommands that ask a running gateway, write a config, and describe the command line.

use hale_testkit::{FakeUpstream, Finished, Hale, Response, Script, TempDir};
use serde_json::json;

use crate::support::{Config, KEY, chat, client, eventually, hale, lone};

#[track_caller]
fn ask(gateway: &Hale, args: &[&str]) -> Finished {
    let run = hale().env("LITELLM_MASTER_KEY", KEY);
    let run = args.iter().fold(run, |run, arg| run.arg(*arg));
    run.arg("--url").arg(gateway.url()).run()
}

/// A gateway whose clients need a key; `m` has a member that refuses its key, and falls back to `n`.
fn gateway(bad: &FakeUpstream, good: &FakeUpstream) -> Hale {
    Config::new()
        .deployment("m", "bad", bad)
        .deployment("n", "good", good)
        .router(json!({"num_retries": 0, "fallbacks": [{"m": ["n"]}]}))
        .start()
}

#[test]
fn explain_prints_each_candidate_with_what_keeps_it_out_and_fails_where_nothing_is_tried() {
    let (bad, good) =
        (FakeUpstream::with(|_| Script::error(401, "no such key")), FakeUpstream::start());
    let hale = gateway(&bad, &good);
    let fresh = ask(&hale, &["explain", "m"]);
    assert_eq!((fresh.code(), &*fresh.stderr), (Some(0), ""), "{fresh:?}");
    assert!(fresh.stdout.starts_with("m: up to 1 attempt\n  ✓  bad  ready\n"), "{}", fresh.stdout);
    assert!(
        fresh.stdout.contains("fallback n: up to 1 attempt\n  ✓  good  ready\n"),
        "{}",
        fresh.stdout
    );
    let disable = "/router/deployments/bad/disable";
    assert_eq!(client(&hale).post_json(disable, &[], &json!({})).status, 200);
    let after = ask(&hale, &["explain", "m"]);
    assert_eq!(after.code(), Some(0), "the fallback is left: {after:?}");
    assert!(after.stdout.contains("  ✗  bad  disabled\n     fix: "), "{}", after.stdout);
    let disable = "/router/deployments/good/disable";
    assert_eq!(client(&hale).post_json(disable, &[], &json!({})).status, 200);
    let none = ask(&hale, &["explain", "m"]);
    assert_eq!(none.code(), Some(1), "{none:?}");
    assert!(none.stdout.trim_end().ends_with("the request would be refused"), "{}", none.stdout);
    let unknown = ask(&hale, &["explain", "mm"]);
    assert_eq!((unknown.code(), &*unknown.stdout), (Some(1), ""), "{unknown:?}");
    assert!(unknown.stderr.contains("mm"), "{}", unknown.stderr);
    let page = ask(&hale, &["explain", "n", "--json"]);
    assert!(page.stdout.contains("\"strategy\": \"simple-shuffle\""), "{}", page.stdout);
}

#[test]
fn without_the_key_a_command_says_which_option_has_it() {
    let good = FakeUpstream::start();
    let running = gateway(&good, &good);
    for command in [&["explain", "m"][..], &["logs"], &["health"]] {
        let run = command.iter().fold(hale(), |run, arg| run.arg(*arg));
        let done = run.arg("--url").arg(running.url()).run();
        assert_eq!(done.code(), Some(1), "{command:?}");
        assert!(
            done.stderr.contains(": 401: ") && done.stderr.contains("--key"),
            "{}",
            done.stderr
        );
    }
    let no_gateway = hale().arg("logs").arg("--url").arg("http://127.0.0.1:1").run();
    assert_eq!(no_gateway.code(), Some(1));
    assert!(no_gateway.stderr.starts_with("http://127.0.0.1:1: "), "{}", no_gateway.stderr);
    let no_address = hale().arg("logs").arg("--url").arg("127.0.0.1").run();
    assert!(no_address.stderr.contains("use http://HOST:PORT"), "{}", no_address.stderr);
}

#[test]
fn logs_print_the_failed_requests_or_all_or_one() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(400, "no")), FakeUpstream::start());
    let hale = Config::new().deployment("m", "bad", &bad).deployment("n", "good", &good).start();
    let (failed, served) = (chat(&hale, "m"), chat(&hale, "n"));
    assert_eq!((failed.status, served.status), (400, 200));
    let id = |answer: &Response| answer.header("x-litellm-call-id").unwrap().to_owned();
    let all = eventually("both rows are stored", || {
        let done = ask(&hale, &["logs", "--all"]);
        (done.stdout.lines().count() == 3).then_some(done)
    });
    let lines: Vec<&str> = all.stdout.lines().collect();
    assert!(lines[0].starts_with("time ") && lines[0].ends_with("call id"), "{}", all.stdout);
    assert!(
        lines[1].contains(" 200 ") && lines[1].contains(" good "),
        "the newest first: {}",
        all.stdout
    );
    assert!(lines[2].contains(" 400 ") && lines[2].contains(&id(&failed)), "{}", all.stdout);
    let failures = ask(&hale, &["logs"]);
    assert_eq!(failures.stdout.lines().count(), 2, "{}", failures.stdout);
    let one = ask(&hale, &["logs", &id(&served)]);
    assert!(one.stdout.lines().count() == 2 && one.stdout.contains(&id(&served)), "{}", one.stdout);
    let odd = ask(&hale, &["logs", "--model", "a&all=1"]);
    assert!(odd.stdout.contains("no request was recorded that matches"), "{}", odd.stdout);
}

#[test]
fn init_writes_what_the_environment_has_and_keeps_what_is_there() {
    let home = TempDir::new();
    let file = home.path().join("config.yaml");
    let init = |name: &str, value: &str| {
        hale().arg("init").arg(&file).env(name, value).env("ANTHROPIC_API_KEY", "sk-secret-2")
    };
    let done = init("OPENAI_API_KEY", "sk-secret-1").run();
    assert_eq!(done.code(), Some(0), "{done:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(done.stdout.contains("for anthropic, openai\n"), "{}", done.stdout);
    assert!(done.stdout.contains("ok, 2 of 2 deployments can be served"), "{}", done.stdout);
    assert!(text.contains("api_key: os.environ/OPENAI_API_KEY"), "{text}");
    assert!(!text.contains("sk-secret"), "{text}");
    let again = init("GROQ_API_KEY", "k").run();
    assert_eq!(again.code(), Some(1));
    assert!(again.stderr.contains("exists and is kept"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    let forced = init("GROQ_API_KEY", "k").arg("--force").run();
    assert_eq!(forced.code(), Some(0), "{forced:?}");
    assert!(std::fs::read_to_string(&file).unwrap().contains("groq/*"));
    let nothing = hale().arg("init").run();
    assert_eq!(nothing.code(), Some(78));
    assert!(nothing.stderr.contains("OPENAI_API_KEY"), "{}", nothing.stderr);
    let shown = hale().arg("init").arg("-").env("GROQ_API_KEY", "k").run();
    assert!(shown.stdout.contains("model: \"groq/*\""), "{}", shown.stdout);
}

#[test]
fn a_written_config_serves_any_model_of_its_provider() {
    let upstream = FakeUpstream::start();
    let base = upstream.api_base();
    let written = hale()
        .arg("init")
        .arg("-")
        .env("OPENAI_API_KEY", "k")
        .env("OPENAI_API_BASE", &base)
        .env("LITELLM_MASTER_KEY", KEY)
        .run();
    let gateway = hale()
        .config(&written.stdout)
        .env("OPENAI_API_KEY", "k")
        .env("OPENAI_API_BASE", &base)
        .env("LITELLM_MASTER_KEY", KEY)
        .start();
    assert_eq!(chat(&gateway, "openai/anything").status, 200);
}

#[test]
fn the_schema_completions_and_the_manual_are_made_from_the_tables() {
    let schema = hale().arg("schema").run();
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).unwrap();
    assert!(schema["properties"]["router_settings"]["properties"]["num_retries"].is_object());
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef hale"), ("fish", "complete -c hale")]
    {
        let done = hale().arg("completions").arg(shell).run();
        assert_eq!(done.code(), Some(0));
        assert!(done.stdout.contains(part) && done.stdout.contains("doctor"), "{shell}");
    }
    let page = hale().arg("man").run();
    assert!(
        page.stdout.contains(".TH hale 1") && page.stdout.contains("doctor"),
        "{}",
        page.stdout
    );
    let one = hale().arg("man").arg("doctor").run();
    assert!(
        one.stdout.contains(".TH hale-doctor 1") && one.stdout.contains("timeout"),
        "{}",
        one.stdout
    );
    assert_eq!(hale().arg("man").arg("nothing").run().code(), Some(2));
}

#[test]
fn explain_reads_a_whole_request() {
    let upstream = FakeUpstream::start();
    let gateway = lone(&upstream).start();
    let home = TempDir::new();
    let body = home.path().join("body.json");
    std::fs::write(&body, r#"{"model":"m","messages":[],"tools":[]}"#).unwrap();
    let explain = hale().env("LITELLM_MASTER_KEY", KEY).arg("explain").arg("--body").arg(&body);
    let done = explain.arg("--url").arg(gateway.url()).run();
    assert_eq!(done.code(), Some(0), "{done:?}");
    assert!(done.stdout.starts_with("m: up to "), "{}", done.stdout);
    let missing =
        hale().arg("explain").arg("--body").arg("gone.json").arg("--url").arg(gateway.url()).run();
    assert!(missing.stderr.contains("gone.json cannot be read"), "{}", missing.stderr);
    assert_eq!(missing.code(), Some(1));
}
