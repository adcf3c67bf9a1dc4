use proptest::prelude::*;

use super::*;

const WANTED: &[u8] = b"response.done";

/// A server's frame, with its length in the shortest form.
fn frame(first: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match content.len() {
        length @ 0..=125 => frame.push(u8::try_from(length).unwrap()),
        length @ 126..=65535 => {
            frame.push(126);
            frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(content);
    frame
}

fn masked(first: u8, content: &[u8]) -> Vec<u8> {
    let mask = [7, 1, 99, 200];
    let mut frame = vec![first, 0x80 | u8::try_from(content.len()).unwrap()];
    frame.extend_from_slice(&mask);
    frame.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The messages that are found, and the state at the end.
fn follow<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<String>, Frames) {
    let mut frames = Frames::new(Some(WANTED));
    let mut found = Vec::new();
    for piece in pieces {
        frames.push(piece, |text| found.push(String::from_utf8_lossy(text).into_owned()));
    }
    (found, frames)
}

fn done(padding: usize) -> String {
    format!(r#"{{"type":"response.done","x":"{}"}}"#, "y".repeat(padding))
}

#[test]
fn the_accept_header_is_the_one_of_the_standard() {
    // RFC 6455, section 1.3.
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    assert!(is_key(key));
    assert_eq!(accept(key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert!(is_key(&super::key([9; 16])));
    for bad in ["", "dGhl", "dGhlIHNhbXBsZSBub25jZQ", "!", "dGhlIHNhbXBsZSBub25jZQ==x"] {
        assert!(!is_key(bad), "{bad}");
    }
}

#[test]
fn a_close_frame_fits_and_can_be_read_back() {
    for speaker in [Speaker::Server, Speaker::Client] {
        let reason = "ä".repeat(200);
        let bytes = close_frame(speaker, 1011, &reason);
        let (_, frames) = follow([&bytes[..]]);
        assert_eq!((frames.at_border(), frames.close_code()), (true, Some(1011)), "{speaker:?}");
        assert!(bytes.len() <= 131);
        assert!(std::str::from_utf8(&bytes[bytes.len() - 122..]).is_ok(), "whole characters");
    }
    let (_, frames) = follow([&masked(0x88, &[0x03, 0xe8, b'o', b'k'])[..]]);
    assert_eq!(frames.close_code(), Some(1000));
    let (_, frames) = follow([&frame(0x88, b"")[..]]);
    assert!(frames.is_closed() && frames.close_code().is_none());
}

#[test]
fn boundaries_are_only_between_frames() {
    let mut bytes = frame(0x81, &[b'x'; 300]);
    bytes.extend(masked(0x89, b"ping"));
    bytes.extend(frame(0x02, &[0; 70_000]));
    bytes.extend(frame(0x80, b"end"));
    let ends = [304, 304 + 10, 304 + 10 + 70_010, bytes.len()];
    let mut frames = Frames::new(None);
    for (at, byte) in bytes.iter().enumerate() {
        assert_eq!(frames.at_border(), at == 0 || ends.contains(&at), "{at}");
        frames.push(&[*byte], |_| panic!("nothing was wanted"));
    }
    assert!(frames.at_border() && !frames.is_closed());
}

#[test]
fn wanted_messages_are_found_whole_and_in_pieces() {
    for padding in [0, 100, 500, 70_000] {
        let text = done(padding);
        let (first, second) = text.as_bytes().split_at(text.len() / 2);
        let whole = frame(0x81, text.as_bytes());
        // A ping may stand between the parts of a message.
        let parts = [frame(0x01, first), frame(0x89, b"?"), frame(0x80, second)].concat();
        for bytes in [whole, parts] {
            let (found, frames) = follow(bytes.chunks(77));
            assert_eq!(found, [&*text], "{padding}");
            assert!(frames.at_border());
        }
    }
}

#[test]
fn frames_that_are_long_or_irrelevant_are_not_kept() {
    let late = format!("{}{}", "z".repeat(600), done(0));
    let long = done(MESSAGE_MAX);
    for bytes in [
        frame(0x81, late.as_bytes()),
        frame(0x81, long.as_bytes()),
        frame(0x82, done(0).as_bytes()),
        masked(0x81, done(0).as_bytes()),
        frame(0x81, b"{}"),
    ] {
        let (found, frames) = follow(bytes.chunks(1000));
        assert!(found.is_empty() && frames.at_border());
        assert!(frames.message.text.capacity() <= 2 * LOOK_MAX);
    }
}

#[test]
fn a_side_that_breaks_the_protocol_is_no_longer_followed() {
    for bytes in [
        &[0xc1, 0x00][..],          // compressed, although no extension was negotiated
        &[0x83, 0x00],              // no such frame
        &[0x08, 0x00],              // a close in parts
        &[0x88, 126, 0, 200],       // a close that is too long
        b"HTTP/1.1 200 OK\r\n\r\n", // another protocol
        &[0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0], // longer than anything
    ] {
        let (found, frames) = follow([bytes, &frame(0x81, done(0).as_bytes())]);
        assert!(found.is_empty() && !frames.at_border() && !frames.is_closed(), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        texts in proptest::collection::vec(0usize..900, 0..6),
        cuts in proptest::collection::vec(1usize..90, 1..40),
    ) {
        let bytes: Vec<u8> =
            texts.iter().flat_map(|padding| frame(0x81, done(*padding).as_bytes())).collect();
        let mut tail = &bytes[..];
        let mut cuts = cuts.iter().cycle();
        let pieces = std::iter::from_fn(|| {
            let (piece, after) = tail.split_at((*cuts.next()?).min(tail.len()));
            tail = after;
            (!piece.is_empty()).then_some(piece)
        });
        let (found, frames) = follow(pieces);
        prop_assert_eq!(found, texts.iter().map(|padding| done(*padding)).collect::<Vec<_>>());
        prop_assert!(frames.at_border());
    }

    #[test]
    fn no_bytes_make_it_panic_or_grow(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let (_, frames) = follow(bytes.chunks(13));
        prop_assert!(frames.message.text.len() <= MESSAGE_MAX && frames.control.len() <= CONTROL_MAX);
    }
}
