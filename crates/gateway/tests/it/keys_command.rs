//! `hale key`: keys of a running gateway from the command line.

use std::process::Command;

use hale_testkit::{FakeUpstream, Hale};
use serde_json::{Value, json};

use crate::keys::ask;
use crate::support::{KEY, lone};

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
