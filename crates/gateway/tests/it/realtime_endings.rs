//! How sessions end: by either side, by neither, by the gateway; and what each side is told.

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use hale_testkit::{Hale, Signal, TIMEOUT};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message};

use crate::realtime_sides::{
    Socket, SocketUpstream, close_of, config, echo, entry, next, open, patience,
};
use crate::support::{eventually, metric, wait_for_records, wait_until_idle, within};
use crate::timing::Stopwatch;

/// A session that waits until the test says how to end it.
fn held(end: impl Fn(&mut Socket) + Send + Sync + 'static) -> (SocketUpstream, impl Fn()) {
    let (go, told) = channel::<()>();
    let told = Mutex::new(told);
    let upstream = SocketUpstream::start(move |socket| {
        socket.send(Message::text("hello")).unwrap();
        // After a failed test no gate is opened.
        if told.lock().recv_timeout(TIMEOUT).is_ok() {
            end(socket);
        }
        "over".to_owned()
    });
    (upstream, move || go.send(()).unwrap())
}

#[track_caller]
fn only_record(hale: &Hale) -> Value {
    wait_until_idle(hale);
    let records = wait_for_records(hale, 1);
    assert_eq!(records.len(), 1);
    assert_eq!(metric(hale, "hale_panics_total", &[]), 0.0);
    records[0].clone()
}

#[test]
fn a_lost_upstream_is_a_close_with_its_reason() {
    // Bad input, row 98.
    for how in [Shutdown::Both, Shutdown::Write] {
        let (upstream, end) = held(move |socket| socket.get_ref().shutdown(how).unwrap());
        let hale = config(&[("a", upstream.api_base())]).start();
        let (mut socket, _) = open(&hale).unwrap();
        assert_eq!(next(&mut socket), Message::text("hello"));
        end();
        let (code, reason) = close_of(&mut socket).unwrap();
        assert_eq!((code, &*reason), (1011, "the provider ended the session without a reason"));
        drop(socket);
        let record = only_record(&hale);
        assert_eq!((&record["ending"], &record["cause"]), (&json!("broken"), &json!("stream_cut")));
        assert_eq!(record["status"], 101);
    }
}

#[test]
fn within_a_frame_no_close_reason_can_be_sent() {
    let (upstream, end) = held(|socket| {
        // A text of 100 bytes, of which two come.
        socket.get_mut().write_all(&[0x81, 100, b'x', b'y']).unwrap();
    });
    let hale = config(&[("a", upstream.api_base())]).start();
    let (mut socket, _) = open(&hale).unwrap();
    assert_eq!(next(&mut socket), Message::text("hello"));
    end();
    assert!(close_of(&mut socket).is_err(), "the connection is cut");
    drop(socket);
    assert_eq!(only_record(&hale)["cause"], "stream_cut");
}

#[test]
fn the_reason_of_an_upstream_passes_and_a_failure_is_charged() {
    for (code, ending) in [
        (CloseCode::Normal, "success"),
        (CloseCode::Error, "broken"),
        (CloseCode::Library(3000), "success"),
    ] {
        let (upstream, end) = held(move |socket| {
            let reason = CloseFrame { code, reason: "because".into() };
            socket.close(Some(reason)).unwrap();
            echo(socket);
        });
        let hale = config(&[("a", upstream.api_base())]).start();
        let (mut socket, _) = open(&hale).unwrap();
        end();
        assert_eq!(close_of(&mut socket), Ok((code.into(), "because".to_owned())));
        assert_eq!(upstream.next_end(), "over");
        let record = only_record(&hale);
        assert_eq!(record["ending"], ending, "{record}");
        let failures = metric(&hale, "hale_attempts_total", &[("outcome", "server_error")]);
        assert_eq!(failures, if ending == "broken" { 1.0 } else { 0.0 });
    }
}

#[test]
fn a_client_that_vanishes_ends_the_session_of_the_upstream() {
    let upstream = SocketUpstream::echo();
    let hale = config(&[("a", upstream.api_base())]).start();
    let (socket, _) = open(&hale).unwrap();
    drop(socket);
    assert_eq!(upstream.next_end(), "1001 the client went away");
    let record = only_record(&hale);
    assert_eq!((&record["ending"], &record["status"]), (&json!("client_closed"), &json!(499)));
    // In the middle of a frame no reason can be sent, but the session ends.
    let (mut socket, _) = open(&hale).unwrap();
    socket.get_mut().write_all(&[0x81, 0xa0, 1, 2]).unwrap();
    drop(socket);
    assert!(!upstream.next_end().starts_with("1001"));
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_attempts_total", &[("outcome", "server_error")]), 0.0);
}

#[test]
fn every_end_gives_its_place_back() {
    let upstream = SocketUpstream::start(|socket| match socket.read() {
        Ok(Message::Text(text)) if text == "die" => "died".to_owned(),
        _ => echo(socket),
    });
    let one = json!({"max_parallel_requests": 1});
    let hale = config(&[]).entry(entry("a", &upstream.api_base(), one)).start();
    let ends: [fn(Socket); 3] = [
        |mut socket| {
            socket.close(None).unwrap();
            close_of(&mut socket).unwrap();
        },
        drop,
        |mut socket| {
            socket.send(Message::text("die")).unwrap();
            assert_eq!(close_of(&mut socket).unwrap().0, 1011);
        },
    ];
    for end in ends {
        let (socket, _) = eventually("there is a place again", || open(&hale).ok());
        let (status, _, body) = *open(&hale).unwrap_err();
        assert_eq!(status, 429, "{body}");
        end(socket);
    }
    wait_until_idle(&hale);
}

#[test]
fn a_client_that_does_not_read_holds_the_upstream_back() {
    const PIECE: usize = 64 << 10;
    let taken = Arc::new(Mutex::new(0));
    let noted = taken.clone();
    let upstream = SocketUpstream::start(move |socket| {
        socket.get_ref().set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        // Far more than all buffers of the kernel hold.
        for _ in 0..4000 {
            match socket.send(Message::binary(vec![1; PIECE])) {
                Ok(()) => *noted.lock() += 1,
                Err(_) => return "held back".to_owned(),
            }
        }
        "never held back".to_owned()
    });
    let hale = config(&[("a", upstream.api_base())]).start();
    let before = resident(&hale);
    let (mut socket, _) = open(&hale).unwrap();
    assert_eq!(upstream.next_end(), "held back");
    let grown = resident(&hale).saturating_sub(before);
    assert!(grown < 8 << 20, "the gateway holds {grown} bytes");
    let count = *taken.lock();
    for number in 0..count {
        let message = next(&mut socket);
        assert_eq!(message.len(), PIECE, "{number}");
    }
    drop(socket);
    wait_until_idle(&hale);
}

/// Memory of the process, bytes.
fn resident(hale: &Hale) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hale.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn the_end_of_the_process_waits_for_sessions_and_then_says_so() {
    let upstream = SocketUpstream::echo();
    let limited = |limit: f64| {
        config(&[("a", upstream.api_base())]).general(json!({"shutdown_timeout_s": limit})).start()
    };
    let mut hale = limited(30.0);
    let (mut socket, _) = open(&hale).unwrap();
    hale.signal(Signal::Term);
    hale.wait_for_line("draining");
    socket.send(Message::text("still there?")).unwrap();
    assert_eq!(next(&mut socket), Message::text("still there?"));
    socket.close(None).unwrap();
    close_of(&mut socket).unwrap();
    let begin = Stopwatch::start();
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
    begin.less_than_ms(5_000);
    assert_eq!(upstream.next_end(), "close");

    let mut hale = limited(0.3);
    let (mut socket, _) = open(&hale).unwrap();
    hale.signal(Signal::Term);
    let (code, reason) = close_of(&mut socket).unwrap();
    assert_eq!((code, &*reason), (1001, "the gateway is shutting down; connect again"));
    assert_eq!(upstream.next_end(), "1001 the gateway is shutting down; connect again");
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
    let record = &wait_for_records(&hale, 1)[0];
    assert_eq!((&record["ending"], &record["cause"]), (&json!("broken"), &json!("gateway")));
}

#[test]
fn a_session_can_begin_while_draining() {
    let upstream = SocketUpstream::echo();
    let mut hale =
        config(&[("a", upstream.api_base())]).general(json!({"drain_delay_s": 30})).start();
    hale.signal(Signal::Term);
    hale.wait_for_line("draining");
    let (mut socket, head) = open(&hale).unwrap();
    assert_eq!(head["connection"], "Upgrade");
    socket.send(Message::text("x")).unwrap();
    assert_eq!(next(&mut socket), Message::text("x"));
    hale.signal(Signal::Term);
    hale.wait_for_exit(TIMEOUT);
}

#[test]
fn silence_in_both_directions_ends_a_session() {
    let upstream = SocketUpstream::echo();
    let idle = json!({"websocket_idle_timeout_s": 1});
    let hale = config(&[("a", upstream.api_base())]).general(idle).start();
    let (mut socket, _) = open(&hale).unwrap();
    let (code, reason) = close_of(&mut socket).unwrap();
    let expected = "the session was idle for 1 s (websocket_idle_timeout_s)";
    assert_eq!((code, &*reason), (1001, expected));
    assert_eq!(upstream.next_end(), format!("1001 {expected}"));
    drop(socket);
    assert_eq!(only_record(&hale)["ending"], "success");
}

#[test]
fn the_config_bounds_a_session() {
    let (upstream, _end) = held(|_| {});
    let hale =
        config(&[("a", upstream.api_base())]).router(json!({"max_stream_duration": 0.5})).start();
    let (mut socket, _) = open(&hale).unwrap();
    // Traffic does not lengthen it.
    let writer = socket.get_ref().try_clone().unwrap();
    thread::spawn(move || {
        while (&writer).write_all(&[0x89, 0x80, 0, 0, 0, 0]).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let (code, reason) = close_of(&mut socket).unwrap();
    assert_eq!((code, &*reason), (1001, "the session took longer than max_stream_duration"));
}

#[test]
fn an_upstream_that_does_not_close_is_not_waited_for_without_end() {
    // It reads nothing more, so that it never answers the close.
    let (upstream, end) = held(|socket| {
        patience(socket, TIMEOUT);
        let mut tail = [0; 256];
        while std::io::Read::read(socket.get_mut(), &mut tail).is_ok_and(|count| count > 0) {}
    });
    let hale = config(&[("a", upstream.api_base())]).start();
    let (mut socket, _) = open(&hale).unwrap();
    next(&mut socket);
    end();
    socket.close(None).unwrap();
    patience(&socket, Duration::from_secs(15));
    assert!(matches!(socket.read(), Ok(Message::Close(_)) | Err(Error::ConnectionClosed)));
    drop(socket);
    within(Duration::from_secs(15), "nothing is in flight", || {
        (metric(&hale, "hale_deployment_in_flight", &[]) == 0.0).then_some(())
    });
    assert_eq!(only_record(&hale)["ending"], "success");
}

#[test]
fn a_reload_leaves_sessions_alone() {
    let (one, two) = (SocketUpstream::echo(), SocketUpstream::echo());
    let hale = config(&[("a", one.api_base())]).start();
    let (mut old, _) = open(&hale).unwrap();
    let mark = hale.mark();
    hale.rewrite_config(&config(&[("b", two.api_base())]).text());
    hale.signal(Signal::Hup);
    hale.wait_for_line_after(mark, "config reloaded");
    let (mut new, head) = open(&hale).unwrap();
    assert_eq!(head["x-litellm-model-id"], "b");
    for socket in [&mut old, &mut new] {
        socket.send(Message::text("x")).unwrap();
        assert_eq!(next(socket), Message::text("x"));
        socket.close(None).unwrap();
        close_of(socket).unwrap();
    }
    assert_eq!((one.next_end(), two.next_end()), ("close".to_owned(), "close".to_owned()));
    let records = wait_for_records(&hale, 2);
    assert_eq!((&records[0]["deployment"], &records[1]["deployment"]), (&json!("a"), &json!("b")));
}
