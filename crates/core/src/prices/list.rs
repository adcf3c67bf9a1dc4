//! The embedded list, unpacked once.
//!
//! Read by [`super`]. Always true: the text of each entry is a slice of the list, so that what is said of a model besides
//! its facts costs no memory of its own.

use std::collections::HashMap;
use std::sync::LazyLock;

use flate2::{Decompress, FlushDecompress};
use serde_json::value::RawValue;

use super::ModelFacts;

/// The list, compressed by `build.rs`.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/prices.json.z"));
include!(concat!(env!("OUT_DIR"), "/prices_length.rs"));

/// What is known of one model.
pub(super) struct Entry {
    /// What the code knows by name.
    pub(super) facts: ModelFacts,
    /// Everything: a JSON object.
    pub(super) text: &'static str,
}

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = Vec::with_capacity(LENGTH);
    Decompress::new(true)
        .decompress_vec(PACKED, &mut text, FlushDecompress::Finish)
        .expect("the embedded list is checked by a test");
    String::from_utf8(text).expect("the embedded list is checked by a test")
});

/// The list as it is.
pub(super) fn text() -> &'static str {
    &TEXT
}

pub(super) static TABLE: LazyLock<HashMap<&'static str, Entry>> = LazyLock::new(|| {
    let all: HashMap<&str, &RawValue> =
        serde_json::from_str(&TEXT).expect("the embedded list is checked by a test");
    let entry = |(name, text): (&'static str, &'static RawValue)| {
        let facts =
            serde_json::from_str(text.get()).expect("the embedded list is checked by a test");
        (name, Entry { facts, text: text.get() })
    };
    all.into_iter().map(entry).collect()
});
