//! Fuzz targets: all code that reads foreign bytes, with mutated inputs.
//!
//! Each target is two tests: its corpus with a few thousand mutations in every run, and a minute of
//! others with `scripts/test --long`. Always true: a check depends on its input alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod asked;
mod bodies;
mod cohere;
mod config;
mod contents;
mod converse;
mod errors;
mod form_oracle;
mod forms;
mod hints;
mod streams;
mod translation;
mod wires;

use std::path::PathBuf;
use std::time::Duration;

use hale_testkit::Fuzz;

/// How long the long run of each target takes: all targets together stay below a quarter of an hour.
const LONG: Duration = Duration::from_secs(60);

/// The target whose corpus is `testdata/fuzz/NAME`.
fn target(name: &str, words: &'static [&'static str]) -> Fuzz {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    Fuzz { corpus: root.join("testdata/fuzz").join(name), words }
}

/// The two tests of a target.
macro_rules! fuzz {
    ($name:literal, $words:expr, $check:path) => {
        #[test]
        fn the_corpus_and_some_mutations_pass() {
            crate::target($name, $words).corpus_and_some($check);
        }

        #[test]
        #[ignore = "takes a minute"]
        fn a_minute_of_mutations_passes() {
            crate::target($name, $words).for_a_time(crate::LONG, $check);
        }
    };
}
use fuzz;
