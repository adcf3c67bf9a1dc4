//! The plain part of a JSON string: the bytes up to a quote, a backslash or a control character.
//!
//! Called by the scanner for every string, and where a text is written as JSON. Always true: a block of sixteen bytes
//! is compared at once.

/// Bytes that are compared at once.
const BLOCK: usize = 16;

/// How many bytes at the start of `text` stand in a JSON string as they are.
#[inline]
pub(crate) fn length(text: &[u8]) -> usize {
    let mut tail = text;
    while let Some((block, after)) = tail.split_first_chunk::<BLOCK>() {
        let plain = plain_bytes(block);
        if plain < BLOCK {
            return text.len() - tail.len() + plain;
        }
        tail = after;
    }
    // The quotes behind the last bytes end the search.
    let mut block = [b'"'; BLOCK];
    block[..tail.len()].copy_from_slice(tail);
    text.len() - tail.len() + plain_bytes(&block)
}

/// How many bytes at the start of `block` are plain. The loop is written so that the compiler vectorizes it.
#[inline]
fn plain_bytes(block: &[u8; BLOCK]) -> usize {
    let mut marks = [0; BLOCK];
    for (mark, byte) in marks.iter_mut().zip(block) {
        let is_special = (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
        *mark = u8::from(is_special).wrapping_neg();
    }
    (u128::from_le_bytes(marks).trailing_zeros() / 8) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expected(text: &[u8]) -> usize {
        text.iter().take_while(|byte| **byte >= 0x20 && !matches!(byte, b'"' | b'\\')).count()
    }

    #[test]
    fn every_byte_is_plain_or_not_at_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..40 {
                let mut text = [b'x'; 40];
                text[at] = byte;
                assert_eq!(length(&text), expected(&text), "{byte} at {at}");
            }
        }
        assert_eq!(length(b""), 0);
    }

    proptest! {
        #[test]
        fn the_first_byte_that_is_not_plain_ends_the_search(text in prop::collection::vec(any::<u8>(), 0..80), plain in 0..80usize) {
            let mut text = text;
            let plain = plain.min(text.len());
            text[..plain].fill(0xe4);
            prop_assert_eq!(length(&text), expected(&text));
        }
    }
}
