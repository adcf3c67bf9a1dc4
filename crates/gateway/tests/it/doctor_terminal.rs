//! `hale doctor` and `hale check` at a terminal: colours, progress, lines of the config, and lines that fit.
//!
//! Always true: the terminal is a real one, of the kernel's.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use hale_testkit::FakeUpstream;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::json;

use crate::doctor_faults as faults;
use crate::support::{Config, hale};

const COLUMNS: u16 = 72;

/// What an operator sees who runs the doctor on this config, and the exit code.
fn at_terminal(text: &str, env: &[(&str, &str)]) -> (String, Option<i32>) {
    command_at_terminal("doctor", "nothing works in bad", text, env)
}

/// What an operator sees of a command up to the text that ends it, and the exit code.
fn command_at_terminal(
    command: &str,
    end: &str,
    text: &str,
    env: &[(&str, &str)],
) -> (String, Option<i32>) {
    let run = hale().config(text);
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let size = Winsize { ws_row: 40, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_hale"))
        .args([command, "config.yaml"])
        .current_dir(run.dir())
        .env_clear()
        .env("MY_KEY", "sk-0123456789abcdef")
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(terminal.try_clone().unwrap())
        .stderr(terminal)
        .spawn()
        .unwrap();
    let (mut person, mut seen) = (File::from(person), Vec::new());
    // The end of the last line that is printed.
    while !String::from_utf8_lossy(&seen).contains(end) {
        let mut piece = [0; 4096];
        match person.read(&mut piece) {
            Ok(count @ 1..) => seen.extend_from_slice(&piece[..count]),
            // The process has ended, and no process has the terminal open any more.
            Ok(_) | Err(_) => break,
        }
    }
    (String::from_utf8(seen).unwrap(), child.wait().unwrap().code())
}

fn without_colours(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, tail)| tail))
}

#[test]
fn a_terminal_gets_colours_its_width_and_the_progress() {
    let good = FakeUpstream::start();
    let bad = faults::refused();
    let text = Config::open()
        .deployment("good", "g", &good)
        .entry(
            json!({"model_name": "bad", "litellm_params": bad.params, "model_info": {"id": "b"}}),
        )
        .text();
    let (seen, code) = at_terminal(&text, &[]);
    assert_eq!(code, Some(1), "{seen}");
    assert!(seen.contains(" of 2 deployments, 0 s (Ctrl-C shows what is known)"), "{seen:?}");
    let (_, page) = seen.rsplit_once("\r\x1b[K").expect("the progress is wiped out");
    for part in ["\x1b[32m✓\x1b[0m", "\x1b[31m✗\x1b[0m", "\x1b[31mrefused\x1b[0m"] {
        assert!(page.contains(part), "no {part:?} in {page:?}");
    }
    for line in page.lines().map(without_colours) {
        assert!(line.chars().count() <= usize::from(COLUMNS), "{line:?}");
    }
    let (plain, code) = at_terminal(&text, &[("NO_COLOR", "1")]);
    assert_eq!(code, Some(1), "{plain}");
    assert!(plain.contains("refused") && !plain.contains("\x1b[3"), "{plain:?}");
}

#[test]
fn check_shows_the_line_of_a_problem_without_its_secrets() {
    let text = "model_list:\n- model_name: m\n  litellm_params:\n    model: opnai/x\n    \
                api_key: sk-secret-0123456789 x\nrouter_settings:\n  routing_strategy: fastest\n";
    let (seen, code) = command_at_terminal("check", "the start would fail", text, &[]);
    assert_eq!(code, Some(78), "{seen}");
    let plain: Vec<String> = seen.lines().map(without_colours).collect();
    assert!(
        seen.contains("\x1b[31merror:\x1b[0m") && seen.contains("\x1b[33mwarning:\x1b[0m"),
        "{seen:?}"
    );
    for lines in [
        ["      7 | routing_strategy: fastest", "                            ^"],
        ["      4 | model: opnai/x", "                 ^"],
    ] {
        let at = plain.iter().position(|line| line == lines[0]);
        let mark = at.and_then(|at| plain.get(at + 1)).map(String::as_str);
        assert_eq!(mark, Some(lines[1]), "{plain:#?}");
    }
    assert!(plain.iter().any(|line| line == "      5 | api_key: ***"), "{plain:#?}");
    assert!(!seen.contains("sk-secret"), "{seen:?}");
    let (seen, _) =
        command_at_terminal("check", "the start would fail", text, &[("NO_COLOR", "1")]);
    assert!(!seen.contains("\x1b["), "{seen:?}");
}
