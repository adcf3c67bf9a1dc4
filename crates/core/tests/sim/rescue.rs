//! Answers that are cut anywhere, and models that go on with them in every way: what is joined is one answer, or nothing is.

use std::fmt::Write as _;

use hale_core::rescue::{Cut, Echo, Met, No, RescueMode, Said};

use crate::report::shows_in;

/// Cuts in all.
const CUTS: u64 = 100_000;

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    /// The next one below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound.max(1) as u64).unwrap()
    }
}

const WORDS: [&str; 24] = [
    "the",
    "a",
    "of",
    "and",
    "to",
    "model",
    "answer",
    "deployment",
    "because",
    "stream",
    "it",
    "is",
    "über",
    "naïve",
    "東京",
    "данные",
    "🙂",
    "x=1;",
    "{\"a\":",
    "```\n",
    "1.",
    "-",
    "\n\n",
    "therefore",
];

/// A text of some words, in which lines may come again.
fn text(numbers: &mut Numbers) -> String {
    let mut text = String::new();
    let count = 4 + numbers.below(120);
    for _ in 0..count {
        match numbers.below(30) {
            0 => text.push_str("\n\n    "),
            1 if !text.is_empty() => {
                let from = floor(&text, numbers.below(text.len()));
                let again = text.split_at(from).1.to_owned();
                text.push_str(&again);
            }
            _ => {
                text.push_str(WORDS[numbers.below(WORDS.len())]);
                text.push(' ');
            }
        }
        if text.len() > 4_000 {
            break;
        }
    }
    text
}

/// The start of the character at that byte.
fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// How a model goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    /// From where it is told.
    GoesOn,
    /// From the first word.
    BeginsAnew,
    /// From somewhere in what it said.
    Repeats,
    /// With white space in front.
    Spaces,
    /// Without the white space that belongs there.
    Trims,
    /// With a word changed among the first ones.
    Paraphrases,
    /// In other words.
    Differs,
}

const MODELS: [(Model, &str); 7] = [
    (Model::GoesOn, "goes on where it was told to"),
    (Model::BeginsAnew, "says the answer again from its first word"),
    (Model::Repeats, "repeats some of what it said"),
    (Model::Spaces, "puts white space in front"),
    (Model::Trims, "leaves white space away"),
    (Model::Paraphrases, "changes a word"),
    (Model::Differs, "says something else"),
];

impl Model {
    /// What it says after `cut` of `whole`.
    fn says(self, whole: &str, cut: &Cut, numbers: &mut Numbers) -> String {
        let at = cut.prefix().len();
        let on = &whole[at..];
        match self {
            Model::GoesOn => on.to_owned(),
            Model::BeginsAnew => whole.to_owned(),
            Model::Repeats => whole[floor(whole, numbers.below(at))..].to_owned(),
            Model::Spaces => format!("{}{on}", [" ", "\n", "\n\n", "\t"][numbers.below(4)]),
            Model::Trims => on.trim_start().to_owned(),
            Model::Paraphrases => {
                let held = cut.held();
                let from = floor(held, numbers.below(held.len()));
                let first = held[from..].chars().next().unwrap();
                let other = if first == 'q' { 'z' } else { 'q' };
                format!("{}{other}{}", &held[..from], &on[from + first.len_utf8()..])
            }
            Model::Differs => text(numbers),
        }
    }
}

/// What passes of `says`, in pieces that end anywhere; `None` if it is another answer.
fn joined(cut: &Cut, says: &str, numbers: &mut Numbers) -> Option<String> {
    let (mut seam, mut passed, mut from) = (cut.seam(Echo::Never), String::new(), 0);
    while from < says.len() {
        let mut to = from + 1 + numbers.below(12);
        while to < says.len() && !says.is_char_boundary(to) {
            to += 1;
        }
        match seam.take(&says[from..to.min(says.len())]) {
            Met::NotYet => assert!(passed.is_empty(), "nothing passes before it has met"),
            Met::Passed(tail) => passed.push_str(tail),
            Met::Differs => return None,
        }
        from = to;
    }
    seam.has_met().then_some(passed)
}

#[derive(Default)]
struct Found {
    cuts: u64,
    joined: u64,
    refused: u64,
    uncut: u64,
    duplicated: u64,
    lost: u64,
}

fn run(seed: u64, found: &mut [Found; MODELS.len()]) {
    let numbers = &mut Numbers(seed);
    let whole = text(numbers);
    let said = &whole[..floor(&whole, 1 + numbers.below(whole.len()))];
    let place = numbers.below(MODELS.len());
    let (model, found) = (MODELS[place].0, &mut found[place]);
    found.cuts += 1;
    let mut heard = Said::default();
    heard.text(said);
    let Ok(cut) = heard.cut(RescueMode::Text) else {
        found.uncut += 1;
        return;
    };
    let says = model.says(&whole, &cut, numbers);
    // What it says where it was cut: that is the answer which it gives, whatever it meant.
    let own = format!("{}{says}", cut.prefix());
    match joined(&cut, &says, numbers) {
        None => {
            found.refused += 1;
            assert!(model != Model::GoesOn, "seed {seed}: it goes on, and is refused");
        }
        Some(passed) => {
            found.joined += 1;
            let got = format!("{said}{passed}");
            let bytes = |more: usize, less: usize| more.saturating_sub(less) as u64;
            assert!(model == Model::GoesOn || got == own, "seed {seed}: {model:?}");
            found.duplicated += bytes(got.len(), own.len());
            found.lost += bytes(own.len(), got.len());
            let is_the_answer = got == whole;
            assert!(
                is_the_answer || matches!(model, Model::Differs),
                "seed {seed}: {model:?} was taken for one that goes on: {got:?} {whole:?}"
            );
        }
    }
}

#[test]
fn a_hundred_thousand_cuts_join_one_answer_or_nothing() {
    let mut found: [Found; MODELS.len()] = Default::default();
    for seed in 0..CUTS {
        run(seed, &mut found);
    }
    let mut text = String::from(
        "\n| a model that | cuts | continued | refused: differs | refused: no_cut, reasoning | bytes duplicated | bytes lost |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for ((model, name), found) in MODELS.iter().zip(&found) {
        let Found { cuts, joined, refused, uncut, duplicated, lost } = found;
        let _written: Result<(), _> = writeln!(
            text,
            "| {name} | {cuts} | {joined} | {refused} | {uncut} | {duplicated} | {lost} |"
        );
        assert_eq!((*duplicated, *lost), (0, 0), "{model:?}");
        if matches!(model, Model::Paraphrases | Model::Spaces) {
            assert_eq!(*joined, 0, "{model:?}");
        }
    }
    text.push('\n');
    shows_in("streams.md", "rescue", &text);
}

#[test]
fn the_reasons_are_what_the_document_shows() {
    let mut text = String::from("\n| reason | means | said |\n|---|---|---|\n");
    for no in No::ALL {
        let said = match no {
            No::Schema | No::N | No::Logprobs | No::BodyTooLarge | No::NoTarget => "ahead",
            No::NotText => "ahead, or when it breaks",
            _ => "when it breaks",
        };
        let (word, meaning) = no.row();
        let _written: Result<(), _> = writeln!(text, "| `{word}` | {meaning} | {said} |");
    }
    text.push('\n');
    shows_in("streams.md", "reasons", &text);
}
