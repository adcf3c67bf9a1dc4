//! `hale key`: keys of a running gateway from the command line.

use std::process::Command;

use hale_testkit::{FakeUpstream, Hale, TempDir};
use serde_json::{Value, json};

use crate::keys::ask;
use crate::support::{KEY, eventually, lone};

/// Its exit code, and what it printed to both.
fn key(hale: &Hale, master: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hale"));
    command.args(["key", "--url", &hale.url()]).args(arguments).env("LITELLM_MASTER_KEY", master);
    let done = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[test]
fn a_key_is_made_printed_once_blocked_and_deleted_from_the_command_line() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (code, made, errors) = key(
        &hale,
        KEY,
        &[
            "new",
            "--alias",
            "ci bot",
            "--models",
            "m,other",
            "--rpm-limit",
            "9",
            "--set",
            "tags=[\"a\"]",
        ],
    );
    assert_eq!((code, &*errors), (Some(0), ""));
    let made = made.trim();
    assert!(made.starts_with("sk-") && made.len() == 25, "{made}");
    assert_eq!(ask(&hale, made, "m").status, 200);
    let (_, list, _) = key(&hale, KEY, &["list"]);
    assert!(
        list.contains("ci bot") && list.ends_with("1 of 1 keys\n") && !list.contains(made),
        "{list}"
    );
    let (_, info, _) = key(&hale, KEY, &["--json", "info", "ci bot"]);
    let info: Value = serde_json::from_str(&info).unwrap();
    assert_eq!(
        (&info["info"]["models"], &info["info"]["metadata"]["tags"]),
        (&json!(["m", "other"]), &json!(["a"]))
    );
    for (command, name, status) in [("block", "ci bot", 401), ("unblock", made, 200)] {
        let (code, text, _) = key(&hale, KEY, &[command, name]);
        assert_eq!((code, text.contains(made)), (Some(0), false), "{text}");
        assert_eq!(ask(&hale, made, "m").status, status);
    }
    let (code, text, _) = key(&hale, KEY, &["delete", "ci bot"]);
    assert_eq!((code, &*text), (Some(0), "1 deleted\n"));
    assert_eq!(ask(&hale, made, "m").status, 401);
    for (master, arguments, problem) in [
        (KEY, &["info", "ci bot"][..], "no key has the alias ci bot"),
        (KEY, &["delete", "sk-0123456789abcdefghijkl"], "404"),
        (KEY, &["new", "--set", "guardrails=[\"g\"]"], "guardrails"),
        ("sk-wrong-0123456789abcdef", &["list"], "401"),
    ] {
        let (code, text, errors) = key(&hale, master, arguments);
        assert_eq!((code, &*text, errors.contains(problem)), (Some(1), "", true), "{errors}");
    }
}

/// `hale` in that directory, whose store is there.
fn hale_in(directory: &TempDir, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hale"));
    command.args(arguments).env_remove("LITELLM_MASTER_KEY").env_remove("DATABASE_URL");
    let directory = directory.path();
    let done = command.env("HALE_DATA_DIR", directory).current_dir(directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[test]
fn keys_and_teams_are_made_in_the_file_while_no_gateway_serves_from_it_and_through_it_while_one_does()
 {
    let upstream = FakeUpstream::start();
    let directory = TempDir::new();
    let config = directory.path().join("config.yaml");
    std::fs::write(&config, lone(&upstream).text()).unwrap();
    let config = config.to_str().unwrap();
    let done = |arguments: &[&str]| {
        let (code, text, errors) = hale_in(&directory, arguments);
        assert_eq!((code, &*errors), (Some(0), ""), "{arguments:?}: {text}");
        text.trim().to_owned()
    };
    // The first one makes the file.
    let team = ["team", "--config", config, "new", "--id", "t", "--models", "m"];
    assert_eq!(done(&team), "t");
    let made = done(&["key", "new", "--alias", "ci", "--team", "t"]);
    assert!(made.starts_with("sk-"), "{made}");
    done(&["team", "add", "t", "u", "--admin", "--max-budget", "5"]);
    let info = done(&["team", "info", "t"]);
    let info: Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["team_info"]["members_with_roles"][0]["role"], "admin", "{info}");
    assert!(done(&["key", "list"]).ends_with("1 of 1 keys"));
    let launch = lone(&upstream).launch();
    let hale = launch.env("HALE_DATA_DIR", directory.path().to_str().unwrap()).start();
    assert_eq!(ask(&hale, &made, "m").status, 200);
    // A gateway serves from the file: it is found, and wants its key.
    let (code, _, errors) = hale_in(&directory, &["key", "list"]);
    assert!(code == Some(1) && errors.contains(&hale.url()), "{errors}");
    done(&["key", "--key", KEY, "block", "ci"]);
    assert_eq!(ask(&hale, &made, "m").status, 401);
    done(&["team", "--key", KEY, "set", "t", "rpm_limit=9"]);
    assert!(done(&["team", "--key", KEY, "list"]).ends_with("1 teams"));
    drop(hale);
    eventually("the file is free", || {
        let (code, text, _) = hale_in(&directory, &["key", "unblock", "ci"]);
        (code == Some(0)).then_some(text)
    });
    assert_eq!(done(&["team", "delete", "t"]), "1 deleted");
    assert!(done(&["key", "list"]).ends_with("0 of 0 keys"));
}
