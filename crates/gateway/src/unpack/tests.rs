use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;

const TEXT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello hello hello"}]}"#;
/// [`TEXT`] and 2 MiB of `x`, as Node's `brotliCompressSync` writes them.
const BR: &str = "1b4700709c07760c99065a58c0e9de6a913db6add526d73a2c5d7d53a4ec0d1c7222706c490271ccc1061c46deb82c3c490d32bc\
                  2c7fa82c223cb8c477";
const BR_BOMB: &str = "9bffff1ff825f0e2b14020f7fe03";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn raw(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).unwrap()
}

/// Unpacks what comes in pieces of that many bytes.
fn unpacked(coding: Coding, packed: &[u8], piece: usize) -> Result<Vec<u8>, Fault> {
    let mut unpacker = Unpacker::of(coding);
    let (mut plain, mut room) = (Vec::new(), [0; 1_000]);
    for piece in packed.chunks(piece.max(1)) {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match unpacker.step(&mut piece, &mut room)? {
                0 => break,
                made => plain.extend_from_slice(&room[..made]),
            }
        }
        assert!(piece.is_empty());
    }
    unpacker.finish().map(|()| plain)
}

fn codings(plain: &[u8]) -> [(Coding, Vec<u8>); 4] {
    [
        (Coding::Gzip, gzip(plain)),
        (Coding::Deflate, zlib(plain)),
        (Coding::Deflate, raw(plain)),
        (Coding::Zstd, zstd(plain)),
    ]
}

#[test]
fn every_coding_is_unpacked_whatever_the_pieces() {
    let all = codings(TEXT.as_bytes()).into_iter().chain([(Coding::Brotli, bytes_of(BR))]);
    for (coding, packed) in all {
        for piece in [1, 2, 7, packed.len()] {
            let plain = unpacked(coding, &packed, piece);
            assert_eq!(plain.as_deref(), Ok(TEXT.as_bytes()), "{coding:?} in pieces of {piece}");
        }
        let cut = &packed[..packed.len() - 1];
        assert_eq!(unpacked(coding, cut, 9), Err(Fault::Cut), "{coding:?}");
        let more = [&packed[..], b"more"].concat();
        assert!(unpacked(coding, &more, 1_000).is_err(), "{coding:?} with bytes behind it");
        assert_eq!(unpacked(coding, b"", 1).as_deref(), Ok(&b""[..]));
        let plain = unpacked(coding, TEXT.as_bytes(), 100);
        assert!(plain.is_err(), "{coding:?}: plain JSON is not compressed");
    }
}

#[test]
fn several_members_are_one_body() {
    for (coding, pack) in [(Coding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Coding::Zstd, zstd)] {
        let packed = [pack(b"one "), pack(b""), pack(b"two")].concat();
        for piece in [1, 1_000] {
            assert_eq!(
                unpacked(coding, &packed, piece).as_deref(),
                Ok(&b"one two"[..]),
                "{coding:?}"
            );
        }
    }
}

#[test]
fn a_body_that_grows_a_thousand_times_is_refused_early() {
    let plain = vec![b'x'; 2 << 20];
    let all = codings(&plain).into_iter().chain([(Coding::Brotli, bytes_of(BR_BOMB))]);
    for (coding, packed) in all {
        let fault = unpacked(coding, &packed, packed.len()).err();
        assert_eq!(fault, Some(Fault::Grows), "{coding:?}");
        let mut unpacker = Unpacker::of(coding);
        let (mut packed, mut room) = (Bytes::from(packed), vec![0; 4 << 10]);
        while unpacker.step(&mut packed, &mut room).is_ok() {}
        assert!(unpacker.made <= 700 << 10, "{coding:?}: {} bytes", unpacker.made);
    }
    // What is small anyway may grow.
    let small = vec![b'x'; 60 << 10];
    assert_eq!(unpacked(Coding::Zstd, &zstd(&small), 9), Ok(small));
}

#[test]
fn a_window_beyond_8_mib_is_not_opened() {
    let mut encoder = zstd::stream::raw::Encoder::new(1).unwrap();
    encoder.set_parameter(zstd::stream::raw::CParameter::WindowLog(27)).unwrap();
    encoder.set_parameter(zstd::stream::raw::CParameter::ContentSizeFlag(false)).unwrap();
    let mut room = vec![0; 1 << 10];
    let made = encoder.run_on_buffers(b"text", &mut room).unwrap().bytes_written;
    let mut tail = zstd::stream::raw::OutBuffer::around(&mut room[made..]);
    encoder.finish(&mut tail, true).unwrap();
    let end = made + tail.pos();
    assert_eq!(unpacked(Coding::Zstd, &room[..end], 100), Err(Fault::Damaged));
}

#[test]
fn the_header_names_one_coding_in_any_letters() {
    let of = |lines: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::CONTENT_ENCODING, line.parse().unwrap());
        }
        Coding::of(&headers)
    };
    for plain in [&[][..], &["identity"], &[""], &["Identity, identity"]] {
        assert_eq!(of(plain), Ok(None), "{plain:?}");
    }
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
        assert_eq!(of(&[coding.name()]), Ok(Some(coding)));
    }
    assert_eq!(of(&["identity, GZip"]), Ok(Some(Coding::Gzip)));
    assert_eq!(of(&["X-GZIP"]), Ok(Some(Coding::Gzip)));
    for strange in [&["gzip, br"][..], &["gzip", "gzip"], &["compress"], &["gzip;q=1"], &["*"]] {
        assert_eq!(of(strange), Err(UnknownCoding), "{strange:?}");
    }
}

proptest! {
    #[test]
    fn what_was_packed_comes_back_and_damage_never_panics(
        plain in proptest::collection::vec(any::<u8>(), 0..3_000),
        piece in 1_usize..400,
        (at, flip) in (any::<proptest::sample::Index>(), 1_u8..),
    ) {
        for (coding, mut packed) in codings(&plain).into_iter().chain([(Coding::Brotli, bytes_of(BR))]) {
            let expected = if coding == Coding::Brotli { TEXT.as_bytes() } else { &plain };
            let whole = unpacked(coding, &packed, piece);
            prop_assert_eq!(whole.as_deref(), Ok(expected));
            let at = at.index(packed.len());
            packed[at] ^= flip;
            if let Ok(other) = unpacked(coding, &packed, piece) {
                prop_assert!(other.len() as u64 <= GROWTH_FREE.max(packed.len() as u64 * GROWTH_MAX));
            }
        }
    }
}
