//! `hale doctor`: each of the causes has its own verdict.

use std::net::UdpSocket;
use std::process::{Command, Stdio};

use hale_testkit::{FakeUpstream, Finished, Launch, Script, openai, refused_port};
use serde_json::{Value, json};

use crate::doctor_faults::{self as faults, Fault};
use crate::support::{Config, hale};
use crate::tidy;

/// Every run has a key, and trusts the root of the tests.
pub(crate) fn launch(text: &str) -> Launch {
    let root = tidy::root().join("testdata/tls/root.pem");
    let run = hale().config(text).env("MY_KEY", "sk-0123456789abcdef");
    run.env("SSL_CERT_FILE", root.to_str().unwrap()).arg("doctor").arg("config.yaml")
}

#[track_caller]
fn examine(text: &str) -> (Finished, Value) {
    let done = launch(text).arg("--json").arg("--timeout").arg("2").run();
    let page = serde_json::from_str(&done.stdout);
    let page = page.unwrap_or_else(|_| panic!("no JSON: {}{}", done.stdout, done.stderr));
    (done, page)
}

fn entry(fault: &Fault) -> Value {
    json!({"model_name": "m", "litellm_params": fault.params, "model_info": {"id": fault.id}})
}

/// The verdict on a config that has only this.
#[track_caller]
fn verdict(fault: &Fault) -> (Option<i32>, Value) {
    let (done, page) = examine(&Config::open().entry(entry(fault)).text());
    (done.code(), page["deployments"][0].clone())
}

#[track_caller]
fn check(fault: &Fault, problem: &str, fix: &str) {
    let (code, one) = verdict(fault);
    assert_eq!(one["verdict"], fault.id, "{one:#}");
    assert_eq!(one["step"], fault.step, "{one:#}");
    assert_eq!(one["steps"][fault.step], "failed", "{one:#}");
    assert_eq!((code, &one["works"]), (Some(1), &json!(false)), "{one:#}");
    for (text, part) in [(&one["problem"], problem), (&one["fix"], fix)] {
        assert!(text.as_str().unwrap().contains(part), "no {part:?} in {one:#}");
    }
    assert!(!one.to_string().contains("sk-0123456789abcdef"), "{one:#}");
}

macro_rules! verdicts {
    ($($test:ident: $fault:ident, $problem:literal, $fix:literal;)+) => {
        $(
            #[test]
            fn $test() {
                check(&faults::$fault(), $problem, $fix);
            }
        )+

        /// All of them, in this order.
        pub(crate) fn all() -> Vec<Fault> {
            vec![$(faults::$fault()),+]
        }
    };
}

verdicts! {
    a_provider_that_is_misspelt: unknown_provider,
        "unknown provider `opnai`", "did you mean `openai`?";
    a_variable_that_is_not_set: missing_variable,
        "environment variable MY_KYE is not set", "did you mean `MY_KEY`?";
    a_key_that_is_nowhere: missing_key,
        "environment variable GROQ_API_KEY is not set", "set GROQ_API_KEY";
    a_credential_that_is_not_listed: missing_credential,
        "credential `team-a` is not in credential_list", "add it to `credential_list`";
    an_address_that_is_missing: missing_setting, "no api_base", "HOSTED_VLLM_API_BASE";
    a_name_that_does_not_resolve: dns,
        "the name no-such-host.invalid does not resolve", "correct the host in api_base";
    a_port_without_a_listener: refused,
        "refuses connections: no server runs there", "start the server";
    a_firewall_that_drops_everything: filtered, "no reply from", "firewall";
    a_network_without_a_route: unreachable,
        "this machine has no route to 255.255.255.255:8000", "route, VPN";
    a_certificate_of_an_unknown_issuer: tls_untrusted,
        "is not signed by a trusted CA", "SSL_CERT_FILE";
    a_certificate_for_another_name: tls_other_name, "elsewhere.example", "in api_base";
    a_certificate_that_has_expired: tls_not_valid_now, "certificate expired", "renew the certificate";
    a_port_without_tls: tls_not_spoken, "does not speak TLS", "http://";
    a_server_that_is_silent_in_the_handshake: tls_silent,
        "does not finish the TLS handshake", "check the port";
    a_server_that_refuses_the_handshake: tls_refused,
        "the TLS handshake failed", "TLS 1.2 or 1.3";
    a_tls_port_that_is_called_in_the_clear: not_http, "does not speak HTTP", "https://";
    a_key_that_is_refused: auth,
        "(401): Incorrect API key provided", "the environment variable MY_KEY";
    a_key_that_may_not_use_the_model: permission, "(403): Country", "give the account of the key in";
    an_account_without_money: quota, "quota or money is used up (429)", "pay";
    a_model_that_is_misspelt: model_not_found, "no model `gpt-4oo` (404)", "did you mean `gpt-4o`";
    a_model_that_was_retired: model_deprecated,
        "has retired `text-davinci-003` (404)", "replace `text-davinci-003` with";
    an_engine_that_is_up_without_its_model: not_ready,
        "the server is up, but its model is not loaded (503): Loading model", "wait while it loads";
    a_rate_limit: rate_limited, "for 30 s, until ", "add a deployment";
    a_provider_that_has_too_much_to_do: overloaded, "the provider is overloaded (529)", "second provider";
    a_server_that_fails: server_error, "the server fails (500): EngineCore", "server's log";
    a_server_that_crashes_over_the_request: crashed,
        "closes it before the answer is complete", "restart it";
    a_server_that_hangs: no_answer, "accepts the request and does not answer within 2 s", "hangs";
    an_address_without_its_path: no_such_path, "nothing at this address (404)", "add /v1";
    an_address_that_only_leads_on: redirect, "redirects to another one (301)", "https://";
    a_page_in_place_of_an_answer: bad_response, "the answer is not one of the API", "with its /v1";
}

#[test]
fn a_deployment_that_answers_works() {
    let fault = faults::answering("works", "", || {
        Script::ok().json(&openai::chat_completion("gpt-4o", "hello"))
    });
    let (code, one) = verdict(&fault);
    assert_eq!((code, &one["works"], &one["verdict"]), (Some(0), &json!(true), &json!("works")));
    let steps = json!({"name": "ok", "environment": "ok", "dns": "not_needed", "tcp": "ok",
        "tls": "not_needed", "credential": "ok", "model": "ok", "probe": "ok"});
    assert_eq!(one["steps"], steps);
    assert_eq!((&one["step"], &one["problem"]), (&Value::Null, &json!("")));
}

#[test]
fn a_server_that_crashes_after_its_start_is_found_gone() {
    let mut upstream = FakeUpstream::start();
    let text = Config::open().deployment("m", "a", &upstream).text();
    let (done, page) = examine(&text);
    assert_eq!((done.code(), &page["deployments"][0]["verdict"]), (Some(0), &json!("works")));
    upstream.stop();
    let (done, page) = examine(&text);
    let one = &page["deployments"][0];
    assert_eq!((done.code(), &one["verdict"]), (Some(1), &json!("refused")), "{one:#}");
    assert!(one["fix"].as_str().unwrap().contains("read its log if it has crashed"), "{one:#}");
}

#[test]
fn a_server_that_lists_its_models_is_believed_about_them() {
    let served = |model: &'static str, ids: &'static [&'static str]| {
        let upstream = FakeUpstream::with(move |request| match request.path.as_str() {
            "/v1/models" => Script::ok().json(&openai::models(ids)),
            _ => faults::no_model("The model does not exist."),
        });
        let more = json!({"model": format!("hosted_vllm/{model}")});
        let (_, page) = examine(&Config::open().with("m", "a", &upstream, more).text());
        let one = &page["deployments"][0];
        assert_eq!(one["verdict"], "model_not_found", "{one:#}");
        (one["fix"].as_str().unwrap().to_owned(), upstream.requests().len())
    };
    let (fix, requests) = served("my-modle", &["my-model", "other"]);
    assert!(fix.starts_with("did you mean `my-model`?") && requests == 2, "{fix}");
    let (fix, _) = served("gpt", &["llama", "qwen"]);
    assert!(fix.starts_with("it lists `llama`, `qwen`;"), "{fix}");
    let (fix, _) = served("gpt", &["a1", "b1", "c1", "d1", "e1", "f1"]);
    assert!(fix.starts_with("correct `litellm_params.model`"), "{fix}");
}

#[test]
fn steps_that_were_not_reached_are_not_reported_as_ok() {
    let (_, one) = verdict(&faults::server_error());
    let steps = &one["steps"];
    assert_eq!((&steps["tcp"], &steps["credential"]), (&json!("ok"), &json!("unknown")), "{one:#}");
    let (_, one) = verdict(&faults::refused());
    let steps = &one["steps"];
    assert_eq!((&steps["environment"], &steps["model"]), (&json!("ok"), &json!("not_reached")));
}

#[test]
fn without_deployments_nothing_is_registered() {
    for text in ["model_list: []\n", "general_settings: {}\n"] {
        let (done, page) = examine(text);
        assert_eq!((done.code(), &page["verdict"]), (Some(2), &json!("nothing_registered")));
        let done = launch(text).run();
        assert_eq!(done.code(), Some(2));
        assert!(done.stdout.contains("nothing_registered"), "{}", done.stdout);
        assert!(done.stdout.contains("model_list:"), "it shows how: {}", done.stdout);
    }
}

#[test]
fn a_config_that_cannot_be_read_is_refused_with_its_problems() {
    let (done, page) = examine("model_list: 7\n");
    assert_eq!((done.code(), &page["verdict"]), (Some(2), &json!("config_refused")));
    assert_eq!(page["errors"][0]["line"], 1);
    let done = hale().arg("doctor").arg("nowhere.yaml").run();
    assert_eq!(done.code(), Some(2));
    assert!(done.stdout.contains("nowhere.yaml"), "{}", done.stdout);
    let done = hale().arg("doctor").arg("x.yaml").arg("--timeout").arg("0").run();
    assert_eq!(done.code(), Some(2));
    assert!(done.stderr.contains("a number of seconds above 0"), "{}", done.stderr);
}

#[test]
fn a_group_with_one_working_member_is_not_a_failure() {
    let good = FakeUpstream::start();
    let config = Config::open().entry(entry(&faults::refused())).deployment("m", "good", &good);
    let (done, page) = examine(&config.text());
    assert_eq!((done.code(), &page["groups"][0]["works"]), (Some(0), &json!(true)));
    assert_eq!(page["groups"][0]["working"], 1);
    let other = config.entry(json!({"model_name": "n", "litellm_params": faults::auth().params}));
    assert_eq!(examine(&other.text()).0.code(), Some(1));
}

#[test]
fn a_paused_deployment_is_not_probed() {
    let upstream = FakeUpstream::start();
    let config = Config::open().with("m", "a", &upstream, json!({"blocked": true}));
    let (done, page) = examine(&config.text());
    assert_eq!((done.code(), &page["deployments"][0]["verdict"]), (Some(1), &json!("paused")));
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_mode_that_cannot_be_probed_is_neither_healthy_nor_broken() {
    let upstream = FakeUpstream::start();
    let info = json!({"id": "a", "mode": "video_generation"});
    let params = json!({"model": "openai/x", "api_key": "k", "api_base": upstream.api_base()});
    let config = Config::open()
        .entry(json!({"model_name": "m", "litellm_params": params, "model_info": info}));
    let (done, page) = examine(&config.text());
    let one = &page["deployments"][0];
    assert_eq!((done.code(), &one["works"]), (Some(0), &Value::Null), "{one:#}");
    assert_eq!((&one["verdict"], &one["step"]), (&json!("reachable"), &json!("probe")), "{one:#}");
}

/// It is unknown whether the one deployment of `config` works, so nothing is counted as broken.
#[track_caller]
fn doubted(config: &Config, verdict: &str, step: &str, problem: &str) {
    let (done, page) = examine(&config.text());
    let one = &page["deployments"][0];
    assert_eq!((&one["verdict"], &one["step"]), (&json!(verdict), &json!(step)), "{one:#}");
    assert_eq!((done.code(), &one["works"]), (Some(0), &Value::Null), "{one:#}");
    assert_eq!(one["steps"][step], "unknown", "{one:#}");
    assert!(one["problem"].as_str().unwrap().contains(problem), "{one:#}");
}

#[test]
fn a_model_of_another_mode_is_not_reported_as_broken() {
    let says =
        "This is not a chat model and thus not supported in the v1/chat/completions endpoint.";
    let upstream = FakeUpstream::with(move |_| Script::error(404, says));
    let config = Config::open().deployment("m", "a", &upstream);
    doubted(&config, "wrong_mode", "probe", "(404): This is not a chat model");
}

#[test]
fn a_pattern_is_not_broken_for_one_model_that_the_account_lacks() {
    let upstream = FakeUpstream::with(|_| faults::no_model("The model does not exist."));
    let config = Config::open().with("openai/*", "a", &upstream, json!({"model": "openai/*"}));
    doubted(&config, "pattern_untried", "model", "which was probed for the pattern (404)");
}

#[test]
fn a_probe_that_the_provider_refuses_is_not_a_failure() {
    let upstream = FakeUpstream::with(|_| Script::error(400, "temperature must be 1"));
    let config = Config::open().deployment("m", "a", &upstream);
    doubted(&config, "probe_refused", "probe", "temperature must be 1");
}

#[test]
fn a_mode_that_the_provider_lacks_is_reported_as_not_served() {
    let upstream = FakeUpstream::start();
    let params = json!({"model": "groq/x", "api_key": "k", "api_base": upstream.api_base()});
    let info = json!({"id": "a", "mode": "batch"});
    let entry = json!({"model_name": "m", "litellm_params": params, "model_info": info});
    doubted(&Config::open().entry(entry), "mode_not_served", "probe", "its mode cannot be probed");
}

#[test]
fn a_fault_of_this_process_is_not_laid_at_the_providers_door() {
    let upstream = FakeUpstream::start();
    let text = Config::open().deployment("m", "a", &upstream).text();
    let done = launch(&text).arg("--json").env("HALE_FAIL_ON_PURPOSE", "check").run();
    let page: Value = serde_json::from_str(&done.stdout).unwrap();
    let one = &page["deployments"][0];
    assert_eq!((done.code(), &one["works"]), (Some(0), &Value::Null), "{one:#}");
    assert_eq!(
        (&one["verdict"], &one["steps"]["tcp"]),
        (&json!("not_checked"), &json!("not_reached"))
    );
    assert!(one["problem"].as_str().unwrap().contains("the probe could not be sent"), "{one:#}");
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_wrong_address_is_not_an_unknown_model_where_the_mode_is_configured() {
    let mut entry = entry(&faults::no_such_path());
    let upstream =
        FakeUpstream::with(|_| Script::with_status(404).json(&json!({"detail": "Not Found"})));
    entry["litellm_params"]["api_base"] = json!(upstream.url());
    entry["model_info"]["mode"] = json!("chat");
    let (done, page) = examine(&Config::open().entry(entry).text());
    let one = &page["deployments"][0];
    assert_eq!((done.code(), &one["verdict"]), (Some(1), &json!("no_such_path")), "{one:#}");
    assert!(one["fix"].as_str().unwrap().contains("add /v1"), "{one:#}");
}

#[test]
fn a_proxy_that_gives_no_way_is_named_and_not_the_provider() {
    let refuses = FakeUpstream::with(|_| Script::error(403, "not through here"));
    let silent = FakeUpstream::with(|_| Script::silent());
    let refused = format!("http://127.0.0.1:{}", refused_port());
    let params =
        json!({"model": "openai/gpt-4o", "api_key": "k", "api_base": "https://api.example/v1"});
    let text = Config::open().entry(json!({"model_name": "m", "litellm_params": params})).text();
    for (proxy, why) in [
        (refuses.url(), "through the proxy 127.0.0.1"),
        (silent.url(), "no answer within 2 s"),
        (refused, "through the proxy 127.0.0.1"),
    ] {
        let run = launch(&text).arg("--json").arg("--timeout").arg("2");
        let done = run.env("HTTPS_PROXY", &proxy).run();
        let page: Value = serde_json::from_str(&done.stdout).unwrap();
        let one = &page["deployments"][0];
        assert_eq!((&one["verdict"], &one["step"]), (&json!("proxy"), &json!("tcp")), "{one:#}");
        assert_eq!((done.code(), &one["steps"]["dns"]), (Some(1), &json!("not_needed")), "{one:#}");
        let problem = one["problem"].as_str().unwrap();
        assert!(
            problem.contains("cannot connect to api.example:443") && problem.contains(why),
            "{problem}"
        );
        assert!(one["fix"].as_str().unwrap().contains("NO_PROXY"), "{one:#}");
    }
}

/// Where a test may replace `/etc/resolv.conf` for one process and listen on port 53: as root, on Linux.
#[test]
fn a_resolver_that_says_nothing_is_named() {
    let Ok(_silent) = UdpSocket::bind("127.77.0.53:53") else {
        return eprintln!("not tested: port 53 is not to be had");
    };
    let base = json!({"model": "openai/x", "api_key": "k", "api_base": "http://name.example/v1"});
    let run = hale()
        .config(&Config::open().entry(json!({"model_name": "m", "litellm_params": base})).text())
        .file("resolv.conf", "nameserver 127.77.0.53\n");
    let script = "mount --bind resolv.conf /etc/resolv.conf || exit 99\n\
                  exec \"$0\" doctor config.yaml --json --timeout 1";
    let done = Command::new("unshare")
        .args(["--mount", "/bin/sh", "-c", script, env!("CARGO_BIN_EXE_hale")])
        .current_dir(run.dir())
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output();
    let Some(done) = done.ok().filter(|done| !done.stdout.is_empty()) else {
        return eprintln!("not tested: mounts are not allowed");
    };
    let page: Value = serde_json::from_slice(&done.stdout).unwrap();
    let one = &page["deployments"][0];
    assert_eq!((&one["verdict"], &one["step"]), (&json!("dns_silent"), &json!("dns")), "{one:#}");
    assert_eq!((done.status.code(), &one["works"]), (Some(1), &json!(false)), "{one:#}");
    assert!(one["problem"].as_str().unwrap().contains("a query for name.example"), "{one:#}");
}

#[test]
fn no_more_than_sixty_four_are_probed_together() {
    let upstream =
        FakeUpstream::with(|_| Script::ok().wait("all").json(&openai::chat_completion("x", "y")));
    let mut config = Config::open();
    for number in 0..80 {
        let model = json!({"model": format!("openai/model-{number}")});
        config = config.with(&format!("m{number}"), &format!("d{number}"), &upstream, model);
    }
    let done = std::thread::scope(|scope| {
        let run = scope.spawn(|| launch(&config.text()).arg("--timeout").arg("20").run());
        upstream.wait_for(|state| state.waiting_at("all") == 64);
        let asked = upstream.requests().len();
        upstream.release("all");
        let done = run.join().unwrap();
        assert_eq!(asked, 64);
        done
    });
    assert_eq!((done.code(), upstream.requests().len()), (Some(0), 80), "{}", done.stdout);
    // In so long a list healthy groups have one line each.
    assert!(!done.stdout.contains("d79") && done.stdout.contains("m79"), "{}", done.stdout);
}

#[test]
fn equal_probes_are_sent_once_and_all_in_parallel() {
    let upstream =
        FakeUpstream::with(|_| Script::ok().wait("all").json(&openai::chat_completion("x", "y")));
    let mut config = Config::open();
    for number in 0..30 {
        let (id, model) = (format!("d{number}"), format!("openai/model-{}", number / 2));
        config = config.with(&format!("m{number}"), &id, &upstream, json!({"model": model}));
    }
    let page = std::thread::scope(|scope| {
        let run = scope.spawn(|| examine(&config.text()).1);
        upstream.wait_for(|state| state.waiting_at("all") == 15);
        upstream.release("all");
        run.join().unwrap()
    });
    let works = page["deployments"].as_array().unwrap().iter().filter(|one| one["works"] == true);
    assert_eq!((works.count(), upstream.requests().len()), (30, 15));
}

#[test]
fn an_interruption_shows_what_is_known() {
    let silent = FakeUpstream::with(|_| Script::silent());
    // The client closes the connection after it has read the answer.
    let good = FakeUpstream::with(|_| {
        let answer = openai::chat_completion("gpt-4o", "hello");
        Script::ok().header("connection", "close").json(&answer)
    });
    let text =
        Config::open().deployment("m", "silent", &silent).deployment("n", "good", &good).text();
    let run = hale().config(&text);
    let child = Command::new(env!("CARGO_BIN_EXE_hale"))
        .args(["doctor", "config.yaml", "--json"])
        .current_dir(run.dir())
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    silent.wait_for_requests(1);
    good.wait_for_requests(1);
    good.wait_until_dropped();
    let kill =
        Command::new("/bin/sh").args(["-c", &format!("kill -s INT {}", child.id())]).status();
    assert!(kill.unwrap().success());
    let done = child.wait_with_output().unwrap();
    let page: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((done.status.code(), &page["interrupted"]), (Some(130), &json!(true)), "{page:#}");
    let verdicts: Vec<&Value> =
        page["deployments"].as_array().unwrap().iter().map(|one| &one["verdict"]).collect();
    assert_eq!(verdicts, ["not_checked", "works"]);
    assert_eq!(done.stderr, b"", "no progress where there is no terminal");
}

#[test]
fn warnings_are_those_of_hale_check() {
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let text = Config::open()
        .with("m", "a", &one, json!({"weight": 0}))
        .with("m", "b", &one, json!({"weight": 0}))
        .deployment("n", "c", &two)
        .router(json!({"fallbacks": [{"m": ["nn"]}], "timeout": 500}))
        .text();
    let (_, page) = examine(&text);
    let warnings: Vec<&str> = page["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["problem"].as_str().unwrap())
        .collect();
    let checked = hale().config(&text).arg("check").arg("config.yaml");
    let checked = checked.env("LITELLM_MASTER_KEY", "sk-0123456789abcdef").run();
    for part in
        ["weights have no effect", "the two fail together", "no model group `nn`", "clients wait"]
    {
        assert!(warnings.iter().any(|text| text.contains(part)), "no {part:?} in {warnings:#?}");
        assert!(checked.stdout.contains(part), "no {part:?} in {}", checked.stdout);
    }
    assert_eq!(checked.stdout.matches("warning: ").count(), warnings.len());
}

#[test]
fn the_help_names_the_doctor() {
    let done = hale().arg("--help").run();
    assert!(done.stdout.contains("doctor"), "{}", done.stdout);
    let done = hale().arg("doctor").arg("--help").run();
    assert!(done.stdout.contains("--timeout <SECONDS>"), "{}", done.stdout);
}
