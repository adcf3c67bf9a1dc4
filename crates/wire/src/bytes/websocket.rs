//! WebSocket: the keys of a handshake, frame boundaries, the close frame.
//!
//! Called by the gateway's tunnels, which forward frames as bytes. Always true: memory is bounded however the bytes
//! arrive; nothing here changes them; after a protocol violation frames are no longer followed.
//!
//! Source: RFC 6455.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The only version of the protocol.
pub const VERSION: &str = "13";
/// Appended to a key to compute the accept header (section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Longest payload of a control frame, in bytes (section 5.5).
const CONTROL_MAX: usize = 125;
/// How many bytes of a message are searched for the marker.
const LOOK_MAX: usize = 512;
/// Longest message that is kept, in bytes.
const MESSAGE_MAX: usize = 256 << 10;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

/// A `sec-websocket-key` of these bytes.
#[must_use]
pub fn key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// Whether `text` is a `sec-websocket-key`.
#[must_use]
pub fn is_key(text: &str) -> bool {
    STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 16)
}

/// The `sec-websocket-accept` that answers `key`.
#[must_use]
pub fn accept(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()))
}

/// The side that sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// Its frames are masked.
    Client,
    /// Its frames are not.
    Server,
}

/// The close frame of `speaker`, with as much of `reason` as fits. A mask of zeros is enough: the mask protects
/// intermediaries from bytes that a client chooses, and the gateway chooses these.
#[must_use]
pub fn close_frame(speaker: Speaker, code: u16, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(CONTROL_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let length = u8::try_from(end + 2).unwrap_or(0);
    let mut frame = vec![0x80 | CLOSE];
    match speaker {
        Speaker::Client => frame.extend_from_slice(&[0x80 | length, 0, 0, 0, 0]),
        Speaker::Server => frame.push(length),
    }
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(&reason.as_bytes()[..end]);
    frame
}

/// Follows the frames in one direction.
#[derive(Debug)]
pub struct Frames {
    at: At,
    /// The header so far.
    head: [u8; 14],
    head_length: usize,
    /// Payload bytes of the frame still to come.
    left: u64,
    /// Payload bytes of the control frame so far.
    seen: u64,
    control: Vec<u8>,
    closed: Option<Option<u16>>,
    message: Message,
}

/// The position in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Head,
    Content,
    /// Unknown: the protocol was violated.
    Lost,
}

/// The current text message, if it may be wanted.
#[derive(Debug)]
struct Message {
    /// The marker near its start; `None` if no message is wanted.
    wanted: Option<&'static [u8]>,
    text: Vec<u8>,
    state: Interest,
    /// Whether the current frame is its last.
    ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    None,
    Unknown,
    Wanted,
}

impl Frames {
    /// Starts before the first frame. [`Frames::push`] returns text messages that have `wanted` in their first 512
    /// bytes, unless they are masked or longer than 256 KiB.
    #[must_use]
    pub fn new(wanted: Option<&'static [u8]>) -> Frames {
        Frames {
            at: At::Head,
            head: [0; 14],
            head_length: 0,
            left: 0,
            seen: 0,
            control: Vec::new(),
            closed: None,
            message: Message { wanted, text: Vec::new(), state: Interest::None, ends: false },
        }
    }

    /// Whether the position is between two frames.
    #[must_use]
    pub fn at_border(&self) -> bool {
        self.at == At::Head && self.head_length == 0
    }

    /// Whether a whole close frame has passed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// The code of the close frame, if it has one.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        self.closed.flatten()
    }

    /// Takes the next bytes; calls `found` with each wanted message.
    pub fn push(&mut self, mut bytes: &[u8], mut found: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            match self.at {
                At::Lost => return,
                At::Head => {
                    self.head[self.head_length] = bytes[0];
                    self.head_length += 1;
                    bytes = &bytes[1..];
                    self.look_at_head();
                }
                At::Content => {
                    let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                    let (piece, tail) = bytes.split_at(here);
                    self.take(piece);
                    self.left -= here as u64;
                    bytes = tail;
                }
            }
            if self.at == At::Content && self.left == 0 {
                self.end_frame(&mut found);
            }
        }
    }

    /// Moves on to the payload when the header is complete.
    fn look_at_head(&mut self) {
        let head = &self.head[..self.head_length];
        let [first, second, ..] = *head else { return };
        let (opcode, short) = (first & 0x0f, second & 0x7f);
        let is_control = opcode >= CLOSE;
        let is_known = matches!(opcode, CONTINUATION..=BINARY | CLOSE..=PONG);
        // No extension was negotiated, so the reserved bits must be zero.
        let breaks_rules = first & 0x70 != 0
            || !is_known
            || (is_control && (first & 0x80 == 0 || usize::from(short) > CONTROL_MAX));
        if breaks_rules {
            self.at = At::Lost;
            return;
        }
        let long = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if head.len() < 2 + long + mask {
            return;
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.left = if long == 0 { u64::from(short) } else { number(&head[2..2 + long]) };
        if self.left > i64::MAX as u64 {
            self.at = At::Lost;
            return;
        }
        self.seen = 0;
        self.at = At::Content;
        if !is_control {
            self.message.begin_frame([first, second]);
        }
    }

    fn opcode(&self) -> u8 {
        self.head[0] & 0x0f
    }

    fn take(&mut self, piece: &[u8]) {
        match self.opcode() {
            CLOSE => {
                let is_masked = self.head[1] & 0x80 != 0;
                let mask = &self.head[2..6];
                for byte in piece {
                    let at = usize::try_from(self.seen & 3).unwrap_or(0);
                    self.control.push(if is_masked { byte ^ mask[at] } else { *byte });
                    self.seen += 1;
                }
            }
            CONTINUATION | TEXT => self.message.take(piece),
            _ => {}
        }
    }

    fn end_frame(&mut self, found: &mut impl FnMut(&[u8])) {
        match self.opcode() {
            CLOSE => {
                let code = self.control.first_chunk().map(|code| u16::from_be_bytes(*code));
                self.closed.get_or_insert(code);
                self.control.clear();
            }
            CONTINUATION | TEXT => self.message.end_frame(found),
            _ => {}
        }
        self.at = At::Head;
        self.head_length = 0;
    }
}

impl Message {
    /// Takes the first two bytes of a frame's header.
    fn begin_frame(&mut self, [first, second]: [u8; 2]) {
        let (opcode, is_masked) = (first & 0x0f, second & 0x80 != 0);
        self.ends = first & 0x80 != 0;
        if opcode != CONTINUATION {
            self.forget();
            let of_interest = opcode == TEXT && !is_masked && self.wanted.is_some();
            self.state = if of_interest { Interest::Unknown } else { Interest::None };
        }
    }

    fn take(&mut self, piece: &[u8]) {
        if self.state == Interest::Unknown {
            let here = piece.len().min(LOOK_MAX - self.text.len());
            self.text.extend_from_slice(&piece[..here]);
            if self.text.len() == LOOK_MAX {
                self.decide();
                self.keep(&piece[here..]);
            }
        } else {
            self.keep(piece);
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.state != Interest::Wanted {
            return;
        }
        if self.text.len() + piece.len() > MESSAGE_MAX {
            self.forget();
            return;
        }
        self.text.extend_from_slice(piece);
    }

    fn decide(&mut self) {
        let wanted = self.wanted.unwrap_or_default();
        match memchr::memmem::find(&self.text, wanted) {
            Some(_) => self.state = Interest::Wanted,
            None => self.forget(),
        }
    }

    fn end_frame(&mut self, found: &mut impl FnMut(&[u8])) {
        if !self.ends {
            return;
        }
        if self.state == Interest::Unknown {
            self.decide();
        }
        if self.state == Interest::Wanted {
            found(&self.text);
        }
        self.forget();
    }

    /// Drops the text, and the memory of a long one.
    fn forget(&mut self) {
        self.state = Interest::None;
        self.text.clear();
        self.text.shrink_to(LOOK_MAX);
    }
}

#[cfg(test)]
mod tests;
