//! How many parts a request may have that is translated: messages, their parts, tools, calls, stop texts.
//!
//! Used by the readers of requests and by the token counter. Always true: what the parts of a request take in memory is
//! less than twice its size and a megabyte, however short they are.

use std::cell::Cell;

use super::unfit::Unfit;

/// Parts of which a request of any size may have that many.
const ALWAYS: usize = 4096;
/// Beyond them it may have one for so many bytes.
const BYTES_PER_PART: usize = 512;

/// Room for parts.
#[derive(Debug)]
pub(crate) struct Room {
    most: usize,
    left: Cell<usize>,
}

impl Room {
    /// The room of a request of that many bytes.
    pub(crate) fn of(bytes: usize) -> Room {
        let most = ALWAYS + bytes / BYTES_PER_PART;
        Room { most, left: Cell::new(most) }
    }

    /// Takes the place of one part of `field`.
    ///
    /// # Errors
    /// If there are too many.
    pub(crate) fn take(&self, field: &str) -> Result<(), Unfit> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                let why = format!(
                    "a request of this size may have {} messages, parts and tools; join short texts",
                    self.most
                );
                Err(Unfit::malformed(field, why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_requests_have_room_for_more_parts() {
        let places = |bytes| {
            let room = Room::of(bytes);
            std::iter::from_fn(|| room.take("messages").ok()).count()
        };
        assert_eq!(places(100), 4096);
        assert_eq!(places(10 << 20), 4096 + 20_480);
        let room = Room::of(0);
        let refused = (0..=4096).find_map(|_| room.take("messages[1]").err()).unwrap();
        assert_eq!(refused.field, "messages[1]");
        assert!(refused.message.contains("may have 4096"), "{refused}");
    }
}
