//! The body of a request to an upstream, in as many pieces as it takes to avoid a copy.
//!
//! Made for each attempt, sent by the gateway. Always true: the body is the concatenation of its pieces; only the
//! first piece of an empty body is empty.

use bytes::Bytes;
use http::HeaderValue;

/// A body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Payload {
    first: Bytes,
    tail: Vec<Bytes>,
    /// The content type, if it is not JSON.
    pub content_type: Option<HeaderValue>,
}

impl Payload {
    /// Appends a piece.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        match self.first.is_empty() {
            true => self.first = piece,
            false => self.tail.push(piece),
        }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len() + self.tail.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Its pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.tail)
    }

    /// The whole body in one piece; a copy if it has several.
    #[must_use]
    pub fn joined(&self) -> Bytes {
        if self.tail.is_empty() {
            return self.first.clone();
        }
        let mut whole = Vec::with_capacity(self.len());
        self.pieces().for_each(|piece| whole.extend_from_slice(piece));
        Bytes::from(whole)
    }
}

impl From<Bytes> for Payload {
    fn from(body: Bytes) -> Payload {
        Payload { first: body, ..Payload::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_in_order_and_one_piece_is_not_copied() {
        let mut payload = Payload::default();
        assert!(payload.is_empty() && payload.joined().is_empty());
        for piece in ["", "ab", "", "c", "def"] {
            payload.push(Bytes::from_static(piece.as_bytes()));
        }
        assert_eq!((payload.len(), payload.pieces().count()), (6, 3));
        assert_eq!(payload.joined(), "abcdef");
        let one = Bytes::from_static(b"one");
        let payload = Payload::from(one.clone());
        assert_eq!(payload.joined().as_ptr(), one.as_ptr(), "one piece is not copied");
    }
}
