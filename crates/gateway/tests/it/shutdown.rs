//! The end of the process: in order, within bounds, and at once after a second signal.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, Command, Stdio};

use hale_testkit::{Client, FakeUpstream, Hale, Launch, Script, Signal, TIMEOUT, openai};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::support::{CHAT, KEY, LOG, client, eventually, hale, lone, records};
use crate::timing::Stopwatch;

fn start(upstream: &FakeUpstream, drain_s: f64, limit_s: f64) -> Hale {
    lone(upstream).general(json!({"drain_delay_s": drain_s, "shutdown_timeout_s": limit_s})).start()
}

fn held_stream() -> Script {
    Script::ok()
        .stream()
        .event(&openai::content_chunk("gpt-4o", "one "))
        .wait("go")
        .event(&openai::content_chunk("gpt-4o", "two"))
        .event(&openai::finish_chunk("gpt-4o", "stop"))
        .done()
}

#[test]
fn while_draining_it_serves_but_wants_no_more_traffic() {
    let upstream = FakeUpstream::start();
    let mut hale = start(&upstream, 1.5, 5.0);
    let mut kept = client(&hale);
    assert_eq!(kept.get("/health/readiness").status, 200);
    let begin = Stopwatch::start();
    hale.signal(Signal::Term);
    hale.wait_for_line("draining");
    let ready = client(&hale).get("/health/readiness");
    begin.less_than_ms(500);
    assert_eq!((ready.status, ready.header("connection")), (503, Some("close")));
    assert_eq!(client(&hale).get("/health/liveliness").status, 200);
    let answer = kept.post_json(CHAT, &[], &openai::chat_request("m", "hi"));
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    let mut streaming = client(&hale);
    let stream = streaming.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.header("connection"), Some("close"));
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
    // It went on accepting.
    begin.between_ms(1_450, 4_000);
}

#[test]
fn a_stream_in_flight_finishes_and_then_the_process_ends() {
    let upstream = FakeUpstream::scripted([held_stream()]);
    let mut hale = start(&upstream, 0.0, 10.0);
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.next_event().unwrap().content(), "one ");
    hale.signal(Signal::Term);
    eventually("no longer accepting", || Client::new(hale.address()).send_raw(b"x").err());
    upstream.release("go");
    assert_eq!(stream.next_event().unwrap().content(), "two");
    assert!(stream.remaining().last().unwrap().is_done());
    assert!(!stream.cut());
    let begin = Stopwatch::start();
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
    begin.less_than_ms(2_000);
}

#[test]
fn idle_and_fresh_connections_do_not_delay_the_end() {
    let upstream = FakeUpstream::start();
    let mut hale = start(&upstream, 0.0, 10.0);
    let mut idle = client(&hale);
    assert_eq!(idle.get("/v1/models").status, 200);
    // One that has sent nothing, and one that has begun a request.
    let mut fresh = Client::new(hale.address());
    fresh.send_raw(b"").unwrap();
    eventually("both are accepted", || {
        (crate::support::metric(&hale, "hale_connections", &[]) >= 3.0).then_some(())
    });
    let begin = Stopwatch::start();
    assert_eq!(hale.stop().code(), Some(0));
    begin.less_than_ms(2_000);
    idle.wait_for_close().unwrap();
    fresh.wait_for_close().unwrap();
}

#[test]
fn what_outlasts_the_limit_is_cut() {
    // Bad input, row F42.
    let upstream = FakeUpstream::with(|_| Script::silent());
    let mut hale = start(&upstream, 0.0, 0.3);
    let mut own = client(&hale);
    let body = openai::chat_request("m", "hi").to_string();
    own.send("POST", CHAT, &[], body.as_bytes()).unwrap();
    upstream.wait_for_requests(1);
    let begin = Stopwatch::start();
    assert_eq!(hale.stop().code(), Some(0));
    begin.between_ms(290, 2_000);
    upstream.wait_until_dropped();
    assert!(hale.stderr().contains("still in flight"), "{}", hale.stderr());
}

#[test]
fn a_stream_that_outlasts_the_limit_ends_with_the_reason_and_counts_against_no_deployment() {
    // Bad input, row F42.
    let upstream = FakeUpstream::with(|_| held_stream());
    let config = lone(&upstream).general(json!({
        "drain_delay_s": 0, "shutdown_timeout_s": 0.3, "request_log": LOG,
    }));
    let mut hale = config.start();
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.next_event().unwrap().content(), "one ");
    let mut waiting = client(&hale);
    let body = openai::chat_request("m", "hi").to_string();
    waiting.send("POST", CHAT, &[], body.as_bytes()).unwrap();
    upstream.wait_for_requests(2);
    assert_eq!(hale.stop().code(), Some(0));
    let tail = stream.remaining();
    assert_eq!(tail.len(), 1, "{tail:?}");
    let error = &tail[0].json()["error"];
    assert_eq!((&error["reason"], &error["code"]), (&json!("shutting_down"), &json!("503")));
    assert!(error["message"].as_str().unwrap().contains("is not complete"), "{error}");
    assert!(!stream.cut(), "the body has its end");
    let mut all = records(&hale);
    all.sort_by_key(|record| record["stream"].as_bool());
    let ends = |record: &serde_json::Value| (record["ending"].clone(), record["cause"].clone());
    assert_eq!(ends(&all[0]), (json!("error"), json!("gateway")), "{all:?}");
    assert_eq!(ends(&all[1]), (json!("broken"), json!("gateway")), "{all:?}");
}

#[test]
fn a_second_signal_ends_at_once() {
    // Bad input, row F43.
    for (first, second) in [(Signal::Term, Signal::Term), (Signal::Int, Signal::Term)] {
        let upstream = FakeUpstream::with(|_| Script::silent());
        let mut hale = start(&upstream, 30.0, 30.0);
        let mut own = client(&hale);
        let body = openai::chat_request("m", "hi").to_string();
        own.send("POST", CHAT, &[], body.as_bytes()).unwrap();
        upstream.wait_for_requests(1);
        hale.signal(first);
        hale.wait_for_line("draining");
        let begin = Stopwatch::start();
        hale.signal(second);
        assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
        begin.less_than_ms(1_000);
    }
}

#[test]
fn an_interrupt_also_shuts_down_in_order() {
    let upstream = FakeUpstream::start();
    let mut hale = start(&upstream, 0.0, 5.0);
    hale.signal(Signal::Int);
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
    assert!(hale.stderr().contains("stopped"), "{}", hale.stderr());
}

#[test]
fn a_request_being_sent_when_the_signal_comes_is_answered() {
    let upstream = FakeUpstream::start();
    let mut hale = start(&upstream, 0.0, 10.0);
    let body = openai::chat_request("m", "hi").to_string();
    let mut own = client(&hale);
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    own.send_raw(head.as_bytes()).unwrap();
    eventually("it is in flight", || {
        (crate::support::metric(&hale, "hale_in_flight_requests", &[]) >= 2.0).then_some(())
    });
    hale.signal(Signal::Term);
    hale.wait_for_line("draining");
    own.send_raw(body.as_bytes()).unwrap();
    assert_eq!(own.read_response().unwrap().status, 200);
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
}

#[test]
fn the_environment_names_the_limit_as_in_the_reference() {
    let upstream = FakeUpstream::with(|_| Script::silent());
    let launch = lone(&upstream).launch().env("GRACEFUL_SHUTDOWN_TIMEOUT", "1");
    let mut hale = launch.start();
    let mut own = client(&hale);
    let body = openai::chat_request("m", "hi").to_string();
    own.send("POST", CHAT, &[], body.as_bytes()).unwrap();
    upstream.wait_for_requests(1);
    let begin = Stopwatch::start();
    assert_eq!(hale.stop().code(), Some(0));
    begin.between_ms(950, 4_000);
}

#[test]
fn a_signal_right_after_the_start_is_obeyed() {
    let upstream = FakeUpstream::start();
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let mut hale = lone(&upstream).launch().start();
                hale.signal(Signal::Hup);
                assert_eq!(hale.stop().code(), Some(0));
            });
        }
    });
}

/// A gateway that a terminal controls, and the lines of its log.
struct AtTerminal {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
    _terminal: OwnedFd,
    _config: Launch,
}

impl AtTerminal {
    fn start(text: &str) -> AtTerminal {
        let run = hale().config(text);
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hale"))
            .args(["--config", "config.yaml", "--port", "0", "--host", "127.0.0.1"])
            .current_dir(run.dir())
            .env_clear()
            .stdin(File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut started =
            AtTerminal { child, lines, seen: Vec::new(), _terminal: person, _config: run };
        started.read_to("listening on");
        started
    }

    fn read_to(&mut self, part: &str) -> String {
        for line in self.lines.by_ref() {
            self.seen.push(line.unwrap());
            if let Some(line) = self.seen.last().filter(|line| line.contains(part)) {
                return line.clone();
            }
        }
        panic!("no {part:?} in {:#?}", self.seen);
    }

    fn address(&self) -> std::net::SocketAddr {
        let line = self.seen.iter().find(|line| line.contains("listening on")).unwrap();
        let (_, tail) = line.split_once("http://").unwrap();
        let is_of_address = |c: char| c.is_ascii_digit() || matches!(c, '.' | ':');
        tail.split(|c| !is_of_address(c)).next().unwrap().parse().unwrap()
    }

    fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[test]
fn an_interrupt_at_a_terminal_ends_an_idle_process_at_once_and_a_busy_one_when_it_is_idle() {
    let upstream = FakeUpstream::scripted([held_stream()]);
    let text = lone(&upstream).general(json!({"drain_delay_s": 3_600})).text();
    let mut idle = AtTerminal::start(&text);
    idle.interrupt();
    idle.read_to("stopped");
    assert_eq!(idle.child.wait().unwrap().code(), Some(0));

    let mut busy = AtTerminal::start(&text);
    let mut own = Client::new(busy.address()).with_key(KEY);
    let mut stream = own.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.next_event().unwrap().content(), "one ");
    busy.interrupt();
    let line = busy.read_to("draining");
    assert!(line.contains("a second signal stops at once"), "{line}");
    upstream.release("go");
    assert!(stream.remaining().last().unwrap().is_done());
    busy.read_to("stopped");
    assert_eq!(busy.child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_interrupt_without_a_terminal_and_a_stop_signal_keep_the_delay() {
    let upstream = FakeUpstream::start();
    for signal in [Signal::Int, Signal::Term] {
        let mut hale = start(&upstream, 1.0, 5.0);
        let begin = Stopwatch::start();
        hale.signal(signal);
        assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
        begin.between_ms(950, 8_000);
    }
}
