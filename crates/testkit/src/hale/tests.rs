use std::fs;

use super::*;

/// A stand-in for the gateway: a shell script.
fn script(text: &str) -> Launch {
    let launch = Hale::launch("/bin/sh").file("gateway.sh", text);
    launch.arg("gateway.sh")
}

/// `/bin/sh` takes the script before the arguments that `start` adds; so this runs it by hand.
fn start(text: &str) -> Hale {
    let mut launch = script(text);
    // A shell cannot trap what was ignored when it began, as SIGHUP is below `nohup`.
    let mut shell = Command::new("/usr/bin/env");
    shell.args(["--default-signal", "/bin/sh"]);
    let (child, output) = launch.spawn(shell);
    let line = output.wait_for(0, LISTENING).unwrap();
    launch.args.clear();
    Hale {
        child,
        output,
        address: address_in(&line).unwrap(),
        dir: launch.dir,
        reading: Reading::All,
    }
}

#[test]
fn the_address_is_read_from_the_line_that_names_it() {
    let wanted: SocketAddr = "127.0.0.1:4711".parse().unwrap();
    for line in [
        "listening on http://127.0.0.1:4711",
        "INFO hale: listening on http://127.0.0.1:4711/ deployments=3",
        "listening on http://127.0.0.1:4711\u{1b}[0m",
    ] {
        assert_eq!(address_in(line), Some(wanted), "{line}");
    }
    assert_eq!(address_in("listening on http://nowhere"), None);
}

#[test]
fn a_finished_process_gives_code_and_output_and_sees_only_its_own_environment() {
    let done = script("echo out; echo \"err $A ${HOME-none}\" >&2; exit 78").env("A", "b").run();
    assert_eq!(done.code(), Some(78));
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out", "err b none"));
}

#[test]
fn signals_arrive_and_lines_after_a_mark_are_found() {
    let mut hale = start(
        "trap 'echo reload >&2' HUP; trap 'echo bye >&2; exit 3' TERM\n\
         echo 'listening on http://127.0.0.1:1' >&2\n\
         while :; do sleep 0.05; done",
    );
    // A signal is handled when the short sleep ends.
    for _ in 0..2 {
        let mark = hale.mark();
        hale.signal(Signal::Hup);
        assert_eq!(hale.wait_for_line_after(mark, "reload"), "reload");
    }
    assert_eq!(hale.stop().code(), Some(3));
    assert!(hale.stderr().ends_with("bye"));
}

#[test]
fn the_config_can_be_rewritten_and_the_process_ends_with_its_owner() {
    let hale = start("echo 'listening on http://127.0.0.1:1' >&2; exec sleep 60");
    hale.rewrite_config("a: 1");
    assert_eq!(fs::read_to_string(hale.config_path()).unwrap(), "a: 1");
    let proc = PathBuf::from(format!("/proc/{}", hale.pid()));
    assert!(proc.exists());
    drop(hale);
    assert!(!proc.exists());
}

#[test]
#[should_panic(expected = "does not listen")]
fn a_gateway_that_ends_before_it_listens_fails_the_test_with_its_words() {
    // `sh --config` is refused, which is as good as a refused config.
    drop(Hale::launch("/bin/sh").config("a: 1").start());
}
