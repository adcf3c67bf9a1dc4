use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Wake;

use super::super::ResumableStreams;
use super::*;

const LIMIT: usize = 1 << 20;

fn terms(numbered_by: NumberedBy, memory: (&Arc<Buffered>, usize)) -> Terms {
    Terms {
        id: "stream_1".into(),
        operation: Operation::Chat,
        numbered_by,
        owner: Owner::NONE,
        window_ms: 60_000,
        keepalive_ms: None,
        memory: (memory.0.clone(), memory.1),
    }
}

fn lines() -> KeptStream {
    KeptStream::new(terms(NumberedBy::Lines, (&Arc::default(), LIMIT))).unwrap()
}

fn now(stream: &KeptStream, reading: &mut Reading) -> Option<Next> {
    match stream.poll_next(reading, &Context::from_waker(Waker::noop())) {
        Poll::Ready(next) => Some(next),
        Poll::Pending => None,
    }
}

fn text(next: Option<Next>) -> String {
    match next {
        Some(Next::Events(events)) => String::from_utf8(events.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// All events as the first client gets them, pushed in pieces of so many.
fn pushed(stream: &KeptStream, events: &[&str], at_once: usize) -> String {
    let shown = events.chunks(at_once).map(|some| stream.push_first(some.concat().into()));
    shown.map(|shown| String::from_utf8(shown.to_vec()).unwrap()).collect()
}

const EVENTS: [&str; 5] = [
    "data: {\"a\":1}\n\n",
    ": ping\n\n",
    "data: {\"a\":2}\n\n",
    "data: b\r\n\r\n",
    "data: [DONE]\n\n",
];

#[test]
fn a_client_that_comes_back_after_any_event_gets_what_follows_byte_for_byte() {
    for at_once in 1..=EVENTS.len() {
        let stream = lines();
        let whole = pushed(&stream, &EVENTS, at_once);
        stream.end(End::Told);
        for after in 0..=4_u64 {
            let mut reading = stream.attach(Some(after)).unwrap();
            let end = whole.find(&format!("id: {after}\n")).map_or(0, |at| {
                let behind = &whole[at..];
                let empty = behind.find("\n\n").map(|end| end + 2);
                let other = behind.find("\n\r\n").map(|end| end + 3);
                at + empty.into_iter().chain(other).min().unwrap()
            });
            let tail = &whole[end..];
            if !tail.is_empty() {
                assert_eq!(text(now(&stream, &mut reading)), tail, "{at_once} {after}");
            }
            assert_eq!(now(&stream, &mut reading), Some(Next::Ended(End::Told)));
        }
        assert!(matches!(stream.attach(Some(5)), Err(NotKept::NotYet(Some(4)))));
        assert_eq!(text(now(&stream, &mut stream.attach(None).unwrap())), whole);
    }
}

#[test]
fn responses_are_resumed_by_their_own_numbers() {
    let terms = terms(NumberedBy::Themselves, (&Arc::default(), LIMIT));
    let stream = KeptStream::new(terms).unwrap();
    let event = |number: u64| format!("event: x\ndata: {{\"sequence_number\":{number}}}\n\n");
    for number in [0, 1, 4, 5] {
        assert_eq!(stream.push_first(event(number).into()), event(number), "no byte is added");
    }
    // 3 is a number that no event has.
    for (after, tail) in [(0, &[1, 4, 5][..]), (1, &[4, 5]), (3, &[4, 5]), (4, &[5])] {
        let mut reading = stream.attach(Some(after)).unwrap();
        let tail: String = tail.iter().map(|number| event(*number)).collect();
        assert_eq!(text(now(&stream, &mut reading)), tail, "{after}");
    }
    assert_eq!(now(&stream, &mut stream.attach(Some(5)).unwrap()), None, "more may come");
}

#[test]
fn the_last_client_that_came_has_the_stream() {
    let stream = lines();
    assert!(stream.push(EVENTS[0].as_bytes()));
    let mut one = stream.attach(None).unwrap();
    let mut other = stream.attach(None).unwrap();
    assert_eq!(now(&stream, &mut one), Some(Next::Replaced));
    assert!(!text(now(&stream, &mut other)).is_empty());
    // One that was replaced takes nothing along when it leaves.
    stream.leave(one.number());
    assert_eq!(stream.standing(), Standing::Read);
    stream.leave(other.number());
    assert!(matches!(stream.standing(), Standing::Awaits(_)));
}

#[test]
fn a_client_that_names_what_has_not_come_takes_the_stream_from_none() {
    let stream = lines();
    assert!(stream.push(EVENTS[0].as_bytes()));
    let mut one = stream.attach(None).unwrap();
    assert!(matches!(stream.attach(Some(9)), Err(NotKept::NotYet(Some(1)))));
    assert!(!text(now(&stream, &mut one)).is_empty());
}

#[test]
fn a_stream_is_read_ahead_of_a_slow_client_within_bounds() {
    let stream = lines();
    let cx = Context::from_waker(Waker::noop());
    let piece = format!("data: {}\n\n", "x".repeat(60_000));
    let mut reading = stream.attach(None).unwrap();
    let mut pieces = 0;
    while stream.may_read_on(&cx) {
        assert!(stream.push(piece.as_bytes()));
        pieces += 1;
    }
    assert_eq!(pieces, 5, "up to {AHEAD_MAX} bytes and one piece");
    assert!(!text(now(&stream, &mut reading)).is_empty());
    assert!(stream.may_read_on(&cx));
    for _ in 0..9 {
        assert!(stream.push(piece.as_bytes()));
    }
    stream.leave(reading.number());
    assert!(stream.may_read_on(&cx), "without a client it is read as it comes");
}

#[test]
fn what_is_kept_is_counted_and_given_back_and_too_much_is_lost() {
    let buffered: Arc<Buffered> = Arc::default();
    let streams = ResumableStreams::default();
    let limit = 100 << 10;
    let begin =
        |streams: &ResumableStreams| streams.begin(terms(NumberedBy::Lines, (&buffered, limit)));
    let stream = begin(&streams).unwrap();
    assert_eq!(buffered.bytes(), BASE);
    assert!(stream.push(format!("data: {}\n\n", "abc".repeat(1_000)).as_bytes()));
    assert!(buffered.bytes() >= BASE + 3_000, "{}", buffered.bytes());
    let mut others = Vec::new();
    while let Some(other) = begin(&streams) {
        others.push(other);
    }
    assert!(buffered.bytes() <= limit / SHARE);
    // There is room for no more of it.
    let whole = buffered.bytes();
    let more = format!("data: {}\n\n", "def".repeat(9_000));
    assert!(stream.push(more.as_bytes()), "its client is there");
    assert!(buffered.bytes() < whole);
    assert!(matches!(stream.attach(Some(1)), Err(NotKept::Lost)));
    stream.leave(0);
    assert!(!stream.push(more.as_bytes()));
    assert_eq!(stream.standing(), Standing::Over, "none can come back to it");
    for one in others.iter().chain([&stream]) {
        streams.forget(one);
    }
    drop((stream, others));
    assert_eq!(buffered.bytes(), 0);
}

#[test]
fn a_stream_is_found_by_the_id_of_its_response_until_it_is_forgotten() {
    let streams = ResumableStreams::default();
    let stream = streams.begin(terms(NumberedBy::Themselves, (&Arc::default(), LIMIT))).unwrap();
    streams.name(&stream, "resp_1");
    streams.name(&stream, "resp_2");
    assert!(streams.of_response("resp_1").is_some() && streams.of_response("resp_2").is_none());
    assert!(streams.find("stream_1").is_some());
    streams.forget(&stream);
    assert!(streams.of_response("resp_1").is_none() && streams.find("stream_1").is_none());
    streams.came_back(true);
    streams.came_back(false);
    assert_eq!(
        (streams.resumed.load(Ordering::Relaxed), streams.missed.load(Ordering::Relaxed)),
        (1, 1)
    );
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The first client looks at the upstream while another one comes: the one that came is woken by the next event.
#[test]
fn the_first_client_does_not_take_the_place_of_one_that_has_just_come() {
    let stream = lines();
    let mut reading = stream.attach(None).unwrap();
    let (came, first) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let waker = Waker::from(came.clone());
    assert!(stream.poll_next(&mut reading, &Context::from_waker(&waker)).is_pending());
    stream.first_waits(&Context::from_waker(&Waker::from(first.clone())));
    assert_eq!(
        first.0.load(Ordering::Relaxed),
        1,
        "it looks again, and learns that it is replaced"
    );
    pushed(&stream, &EVENTS[..1], 1);
    assert_eq!(came.0.load(Ordering::Relaxed), 1);
}
