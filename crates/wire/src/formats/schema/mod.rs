//! JSON schemas in the language that a target knows.
//!
//! Called by the writers of requests and by [`super::fit`]. Always true: a schema is read in one pass as text and no tree
//! is built; what the target does not know is kept as words in a `description`; a rewritten schema is at most a quarter
//! and 64 KiB larger than it was, and so are all of one request together. The texts are JSON that was checked before.

mod circles;
mod closed;
mod composed;
mod cursor;
mod input;
mod strict;
mod words;

pub(crate) use self::circles::is_circular;
pub(crate) use self::closed::{conforms, write_closed};
pub(crate) use self::composed::is_composed;
pub(crate) use self::input::{is_of_object, is_plain, write_input};
pub(crate) use self::strict::write_strict;
pub(crate) use self::words::{GROWTH, TooMuch};
