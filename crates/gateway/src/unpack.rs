//! Unpacks compressed bodies: gzip, deflate, br, zstd.
//!
//! Used for bodies of clients ([`crate::http::body`]), and for whatever else comes compressed. Always true: a step makes no
//! more than the room that it is given, whatever the body says of itself; a body that grows beyond [`GROWTH_MAX`] is refused
//! before it is large; nothing here counts memory or knows whose body it is.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use http::{HeaderMap, header};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation};

/// How many bytes each compressed byte may become. Text of a conversation becomes ten, a repeated word two hundred.
pub(crate) const GROWTH_MAX: u64 = 250;
/// Bytes that may be unpacked in any case.
const GROWTH_FREE: u64 = 64 << 10;
/// The largest window of zstd, as a power of two, that a receiver of content has to support (RFC 9659).
const ZSTD_WINDOW_MAX: u32 = 23;
/// Bits of the window of gzip.
const GZIP_WINDOW: u8 = 15;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// `gzip`, `x-gzip`: RFC 1952.
    Gzip,
    /// `deflate`: RFC 1950, or RFC 1951 without its frame, as some send it.
    Deflate,
    /// `br`: RFC 7932.
    Brotli,
    /// `zstd`: RFC 8878.
    Zstd,
}

/// A content coding that is not known, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownCoding;

impl Coding {
    /// What `content-encoding` says; `None` for a plain body.
    ///
    /// # Errors
    /// If the coding is not known, or there are several.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Coding>, UnknownCoding> {
        let mut found = None;
        for line in headers.get_all(header::CONTENT_ENCODING) {
            let names = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            for name in names.filter(|name| !name.is_empty()) {
                let Some(coding) = Coding::named(name)? else { continue };
                if found.replace(coding).is_some() {
                    return Err(UnknownCoding);
                }
            }
        }
        Ok(found)
    }

    fn named(name: &[u8]) -> Result<Option<Coding>, UnknownCoding> {
        const NAMES: [(&str, Option<Coding>); 6] = [
            ("identity", None),
            ("gzip", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("deflate", Some(Coding::Deflate)),
            ("br", Some(Coding::Brotli)),
            ("zstd", Some(Coding::Zstd)),
        ];
        let known = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        known.map(|(_, coding)| *coding).ok_or(UnknownCoding)
    }

    /// Its name in `content-encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }
}

/// Why a body cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not what its coding says.
    Damaged,
    /// It ends before its end.
    Cut,
    /// It grows more than [`GROWTH_MAX`] times.
    Grows,
}

impl Fault {
    /// What is wrong, after the name of what is compressed.
    pub(crate) fn says(self) -> &'static str {
        match self {
            Fault::Damaged => "is damaged",
            Fault::Cut => "ends before its end",
            Fault::Grows => "grows too much when it is unpacked",
        }
    }
}

/// A compressed body on its way.
pub(crate) struct Unpacker {
    coding: Coding,
    decoder: Decoder,
    /// Compressed bytes taken, and bytes made of them.
    taken: u64,
    made: u64,
    /// Whether nothing is missing at this place.
    complete: bool,
}

enum Decoder {
    /// No byte has come.
    None,
    Flate(Box<Decompress>),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(ZstdDecoder<'static>),
}

/// What one call of a decoder did.
struct Progress {
    taken: usize,
    made: usize,
    complete: bool,
}

impl Unpacker {
    /// Nothing of a body with this coding.
    pub(crate) fn of(coding: Coding) -> Unpacker {
        Unpacker { coding, decoder: Decoder::None, taken: 0, made: 0, complete: true }
    }

    /// Its coding.
    pub(crate) fn coding(&self) -> Coding {
        self.coding
    }

    /// Takes from `packed` and writes to `room`; the number of bytes written. 0 means that `packed` is used up.
    ///
    /// # Errors
    /// If the body is damaged, or grows too much.
    pub(crate) fn step(&mut self, packed: &mut Bytes, room: &mut [u8]) -> Result<usize, Fault> {
        loop {
            if matches!(self.decoder, Decoder::None) || self.begins_again(packed) {
                let Some(first) = packed.first() else { return Ok(0) };
                self.decoder = Decoder::of(self.coding, *first)?;
            }
            let progress = self.decoder.run(packed, room)?;
            packed.advance(progress.taken);
            self.taken += progress.taken as u64;
            self.made += progress.made as u64;
            if progress.taken > 0 || progress.made > 0 {
                self.complete = progress.complete;
            }
            if self.made > GROWTH_FREE.max(self.taken.saturating_mul(GROWTH_MAX)) {
                return Err(Fault::Grows);
            }
            if progress.made > 0 || packed.is_empty() {
                return Ok(progress.made);
            }
            if progress.taken == 0 {
                return Err(Fault::Damaged);
            }
        }
    }

    /// Whether another member follows a whole one, which only gzip has; zstd goes on by itself.
    fn begins_again(&self, packed: &Bytes) -> bool {
        self.complete && self.coding == Coding::Gzip && !packed.is_empty()
    }

    /// No more will come.
    ///
    /// # Errors
    /// If something is missing.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        if self.complete { Ok(()) } else { Err(Fault::Cut) }
    }
}

impl Decoder {
    /// The decoder of a body that begins with this byte.
    fn of(coding: Coding, first: u8) -> Result<Decoder, Fault> {
        Ok(match coding {
            Coding::Gzip => Decoder::Flate(Box::new(Decompress::new_gzip(GZIP_WINDOW))),
            // The method of a frame is 8; without a frame no encoder begins with these bits.
            Coding::Deflate => Decoder::Flate(Box::new(Decompress::new(first & 0x0f == 8))),
            Coding::Brotli => Decoder::Brotli(Box::new(BrotliState::new(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            Coding::Zstd => {
                let mut decoder = ZstdDecoder::new().map_err(|_| Fault::Damaged)?;
                let window = DParameter::WindowLogMax(ZSTD_WINDOW_MAX);
                decoder.set_parameter(window).map_err(|_| Fault::Damaged)?;
                Decoder::Zstd(decoder)
            }
        })
    }

    fn run(&mut self, packed: &[u8], room: &mut [u8]) -> Result<Progress, Fault> {
        match self {
            Decoder::None => Ok(Progress { taken: 0, made: 0, complete: true }),
            Decoder::Flate(flate) => {
                let before = (flate.total_in(), flate.total_out());
                let status = flate.decompress(packed, room, FlushDecompress::None);
                let status = status.map_err(|_| Fault::Damaged)?;
                let since = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(0);
                Ok(Progress {
                    taken: since(flate.total_in(), before.0),
                    made: since(flate.total_out(), before.1),
                    complete: status == Status::StreamEnd,
                })
            }
            Decoder::Brotli(state) => {
                let (mut taken, mut made, mut all) = (0, 0, 0);
                let (mut left, mut free) = (packed.len(), room.len());
                let result = BrotliDecompressStream(
                    &mut left, &mut taken, packed, &mut free, &mut made, room, &mut all, state,
                );
                match result {
                    BrotliResult::ResultFailure => Err(Fault::Damaged),
                    BrotliResult::ResultSuccess => Ok(Progress { taken, made, complete: true }),
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {
                        Ok(Progress { taken, made, complete: false })
                    }
                }
            }
            Decoder::Zstd(decoder) => {
                let status = decoder.run_on_buffers(packed, room).map_err(|_| Fault::Damaged)?;
                Ok(Progress {
                    taken: status.bytes_read,
                    made: status.bytes_written,
                    complete: status.remaining == 0,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
