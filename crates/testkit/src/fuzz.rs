//! Mutated inputs for functions that must survive any input: a corpus in files, a seed, and a loop.
//!
//! Used by `crates/gateway/tests/fuzz`. Always true: a run is determined by its seed; whatever fails is printed
//! with its bytes and its seed, and belongs in the corpus from then on.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs};

use fastrand::Rng;

/// The seed of the runs that are part of every test run.
const SEED: u64 = 0x4a1e;
/// Mutations of such a run.
const ROUNDS: usize = 3_000;
/// Longest input, bytes.
const INPUT_MAX: usize = 4_096;
/// Inputs that are kept because they did something new.
const KEPT_MAX: usize = 4_096;

/// One target: where its corpus is, and the words of its language.
#[derive(Clone, Debug)]
pub struct Fuzz {
    /// The directory of the corpus, one file an input.
    pub corpus: PathBuf,
    /// Pieces that mutations insert: random bytes would hardly ever produce them.
    pub words: &'static [&'static str],
}

impl Fuzz {
    /// Checks each file of the corpus, and a few thousand mutations that are the same in each run.
    ///
    /// `check` panics if something is wrong. What it returns distinguishes behaviours: an input with a
    /// new behaviour is mutated further.
    pub fn corpus_and_some<S: Hash>(&self, check: impl FnMut(&[u8]) -> S) {
        let mut rounds = 0;
        self.run(SEED, check, || {
            rounds += 1;
            rounds <= ROUNDS
        });
    }

    /// Does so for a time, each run with other mutations; `HALE_FUZZ_SEED` repeats one.
    pub fn for_a_time<S: Hash>(&self, time: Duration, check: impl FnMut(&[u8]) -> S) {
        let seed = env::var("HALE_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
        let end = Instant::now() + time;
        self.run(seed.unwrap_or_else(|| fastrand::u64(..)), check, || Instant::now() < end);
    }

    fn run<S: Hash>(
        &self,
        seed: u64,
        mut check: impl FnMut(&[u8]) -> S,
        mut go_on: impl FnMut() -> bool,
    ) {
        let mut rng = Rng::with_seed(seed);
        let mut kept: Vec<Vec<u8>> = Vec::new();
        let mut seen: HashSet<u64> = HashSet::new();
        for (name, input) in self.files() {
            seen.insert(self.checked(&mut check, &input, &format!("file {name}")));
            kept.push(input);
        }
        while go_on() {
            let mut input = kept[rng.usize(..kept.len())].clone();
            for _ in 0..rng.usize(1..8) {
                self.mutate(&mut rng, &mut input, &kept);
            }
            input.truncate(INPUT_MAX);
            let shape = self.checked(&mut check, &input, &format!("HALE_FUZZ_SEED={seed}"));
            if seen.insert(shape) && kept.len() < KEPT_MAX {
                kept.push(input);
            }
        }
    }

    /// The corpus, in the order of its names.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(&self.corpus)
            .unwrap_or_else(|error| panic!("{}: {error}", self.corpus.display()));
        let mut files: Vec<(String, Vec<u8>)> = entries
            .map(|entry| entry.expect("a directory can be listed"))
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, fs::read(entry.path()).expect("a corpus is made of files"))
            })
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", self.corpus.display());
        files
    }

    fn checked<S: Hash>(
        &self,
        check: &mut impl FnMut(&[u8]) -> S,
        input: &[u8],
        origin: &str,
    ) -> u64 {
        match catch_unwind(AssertUnwindSafe(|| check(input))) {
            Ok(shape) => {
                let mut hasher = DefaultHasher::new();
                shape.hash(&mut hasher);
                hasher.finish()
            }
            Err(panic) => {
                let shown = input.escape_ascii();
                let corpus = self.corpus.display();
                let why = panic.downcast_ref::<String>().map_or("a panic", String::as_str);
                panic!("{origin}: {why}\nfix it, and keep this in {corpus}: b\"{shown}\"");
            }
        }
    }

    fn mutate(&self, rng: &mut Rng, input: &mut Vec<u8>, others: &[Vec<u8>]) {
        let from = rng.usize(..=input.len());
        let to = (from + rng.usize(..16)).min(input.len());
        match rng.u8(..8) {
            0 => drop(input.splice(from..to, [])),
            1 => {
                let again = input[from..to].to_vec();
                drop(input.splice(from..from, again));
            }
            2 | 3 if !self.words.is_empty() => {
                let word = self.words[rng.usize(..self.words.len())];
                drop(input.splice(from..to, word.bytes()));
            }
            4 if from < input.len() => input[from] ^= 1 << rng.u8(..8),
            5 => input.insert(from, rng.u8(..)),
            6 => {
                let other = &others[rng.usize(..others.len())];
                let begin = rng.usize(..=other.len());
                let end = (begin + rng.usize(..64)).min(other.len());
                drop(input.splice(from..to, other[begin..end].iter().copied()));
            }
            _ if rng.u8(..4) == 0 => input.truncate(from),
            _ => input.insert(from, *rng.choice(b"{}[]\":,\\\r\n \t0-.eE~*&!|>%").expect("some")),
        }
    }
}
