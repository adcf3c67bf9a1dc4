//! A body that is put together from its pieces.
//!
//! Used for the bodies of clients and for full answers. Always true: what is allocated is counted before it is
//! allocated; room is made for what has come, not for what is declared.

use bytes::Bytes;

use super::account::Held;

/// The pieces of a body so far.
pub(crate) struct Collected {
    /// The only piece; empty once there are several.
    first: Bytes,
    joined: Vec<u8>,
    /// Its largest permitted length, bytes.
    most: usize,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It was added.
    Yes,
    /// The body would be longer than permitted.
    TooLarge,
    /// There is no memory for it.
    NoRoom,
}

impl Collected {
    /// No pieces of a body of at most `most` bytes.
    pub(crate) fn none(most: usize) -> Collected {
        Collected { first: Bytes::new(), joined: Vec::new(), most }
    }

    /// Its length so far.
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    /// Appends a piece, counted in `held`; all bodies together may have `limit` bytes.
    pub(crate) async fn push(&mut self, piece: Bytes, held: &mut Held, limit: usize) -> Added {
        let length = self.len() + piece.len();
        if length > self.most {
            return Added::TooLarge;
        }
        if self.len() == 0 {
            if !held.add_in_time(length, limit).await {
                return Added::NoRoom;
            }
            self.first = piece;
            return Added::Yes;
        }
        let room = self.joined.capacity();
        if length > room {
            // At least twice the room: a body of many pieces is copied a few times only.
            let wanted = length.max(room * 2).max(self.first.len() * 4).min(self.most);
            if !held.add_in_time(wanted - room, limit).await {
                return Added::NoRoom;
            }
            self.joined.reserve_exact(wanted - self.joined.len());
        }
        if !self.first.is_empty() {
            self.joined.extend_from_slice(&self.first);
            self.first = Bytes::new();
            held.shrink_to(self.joined.capacity());
        }
        self.joined.extend_from_slice(&piece);
        Added::Yes
    }

    /// The body.
    pub(crate) fn whole(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { Bytes::from(self.joined) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::limits::Buffered;

    #[test]
    fn room_is_made_and_counted_for_what_has_come() {
        let all = Arc::new(Buffered::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let piece = |length: usize| Bytes::from(vec![7; length]);
            let mut held = Held::none(&all);
            let mut body = Collected::none(1 << 20);
            let mut counted = Vec::new();
            for _ in 0..5 {
                assert_eq!(body.push(piece(100), &mut held, usize::MAX).await, Added::Yes);
                counted.push(all.bytes());
            }
            assert_eq!(counted, [100, 400, 400, 400, 800]);
            assert_eq!((body.len(), body.joined.capacity()), (500, 800));
            assert_eq!(body.whole(), [7; 500][..]);
            let mut more = Held::none(&all);
            let mut small = Collected::none(150);
            assert_eq!(small.push(piece(100), &mut more, 900).await, Added::Yes);
            assert_eq!(small.push(piece(60), &mut more, 900).await, Added::TooLarge);
            assert_eq!(small.push(piece(50), &mut more, 900).await, Added::NoRoom);
        });
        assert_eq!(all.bytes(), 0);
    }
}
