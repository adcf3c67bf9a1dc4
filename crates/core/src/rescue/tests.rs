use proptest::prelude::*;

use super::*;

fn said(text: &str) -> Said {
    let mut said = Said::default();
    said.text(text);
    said
}

fn cut(text: &str) -> Result<Cut, No> {
    said(text).cut(RescueMode::Text)
}

#[test]
fn a_text_is_cut_behind_a_word_with_sixteen_characters_or_more_behind_it() {
    let text = "The quick brown fox jumps over the lazy dog and runs";
    let cut = cut(text).unwrap();
    assert_eq!(cut.prefix(), "The quick brown fox jumps over the");
    assert_eq!(cut.held(), " lazy dog and runs");
    assert_eq!(cut.said(), text);
}

#[test]
fn a_short_text_is_held_back_whole() {
    for text in ["Hello", "Fifteen chars..", "\u{e4}\u{e4}\u{e4}"] {
        let cut = cut(text).unwrap();
        assert_eq!((cut.prefix(), cut.held()), ("", text));
    }
}

#[test]
fn a_text_that_ends_with_what_it_said_before_is_not_cut_there() {
    let line = "the same line over and over again, sixty-four characters of it..";
    assert_eq!(line.len(), 64);
    assert_eq!(cut(&line.repeat(3)), Err(No::NoCut));
    assert!(cut(&format!("{}and now another end of it", line.repeat(3))).is_ok());
    for count in [1, 15, 30, 200] {
        assert_eq!(cut(&" ".repeat(count)), Err(No::NoCut), "nothing but white space");
    }
}

#[test]
fn what_is_no_plain_text_is_not_continued() {
    let mut thinking = Said::default();
    thinking.reasoning();
    assert_eq!(thinking.clone().cut(RescueMode::Text), Err(No::Reasoning));
    thinking.text("now the answer");
    assert!(thinking.clone().cut(RescueMode::Text).is_ok(), "the reasoning is complete");
    thinking.refuse(No::ToolCall);
    thinking.refuse(No::NotText);
    assert_eq!(thinking.cut(RescueMode::Text), Err(No::ToolCall), "the first reason counts");
    assert_eq!(Said::default().cut(RescueMode::Text), Err(No::Reasoning), "nothing was said");
    assert_eq!(cut("<think>hm</think>So it is four."), Err(No::Reasoning));
}

#[test]
fn a_replay_has_to_say_everything_again() {
    let text = "a long answer ".repeat(20);
    let cut = said(&text).cut(RescueMode::Replay).unwrap();
    assert_eq!((cut.prefix(), cut.held()), ("", &*text));
    let mut seam = cut.seam(Echo::Never);
    assert_eq!(seam.take(&text[..100]), Met::NotYet);
    assert_eq!(seam.take(&format!("{}and more", &text[100..])), Met::Passed("and more"));
    assert_eq!(seam.take("."), Met::Passed("."));
}

#[test]
fn a_provider_that_repeats_the_prefix_is_compared_from_the_beginning() {
    let text = "The quick brown fox jumps over the lazy dog and runs";
    let cut = cut(text).unwrap();
    let again = format!("{text} away");
    assert_eq!(cut.seam(Echo::Possible).take(&again), Met::Passed(" away"));
    assert_eq!(cut.seam(Echo::Never).take(&again), Met::Differs);
    let on = format!("{} away", cut.held());
    assert_eq!(cut.seam(Echo::Possible).take(&on), Met::Passed(" away"));
}

#[test]
fn a_hold_ends_with_its_time_or_its_tokens_and_is_never_without_an_end() {
    assert_eq!(Hold::default().longest_ms(), None);
    assert_eq!(Hold { ms: 300, tokens: 0 }.longest_ms(), Some(300));
    assert_eq!(Hold { ms: 300, tokens: 9 }.longest_ms(), Some(300));
    assert_eq!(Hold { ms: 0, tokens: 9 }.longest_ms(), Some(5_000));
    assert!(Hold { ms: 0, tokens: 9 }.has_enough(9) && !Hold { ms: 0, tokens: 9 }.has_enough(8));
    assert!(!Hold { ms: 300, tokens: 0 }.has_enough(u64::MAX));
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let mut words: Vec<&str> = No::ALL.iter().map(|no| no.word()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), No::ALL.len());
    assert!(Outcome::all().enumerate().all(|(place, one)| one.place() == place));
}

proptest! {
    #[test]
    fn a_cut_holds_back_between_16_and_64_characters_and_no_prefix_ends_in_white_space(
        text in "[a-c \n\u{e4}\u{1f600}]{1,200}",
    ) {
        let Ok(cut) = cut(&text) else { return Ok(()) };
        prop_assert_eq!(format!("{}{}", cut.prefix(), cut.held()), text.clone());
        let held = cut.held().chars().count();
        if cut.prefix().is_empty() {
            prop_assert!(held <= HELD_MAX);
        } else {
            prop_assert!((HELD_MIN..=HELD_MAX).contains(&held));
            prop_assert!(!cut.prefix().ends_with(char::is_whitespace));
            prop_assert_eq!(text.find(cut.held()), Some(cut.prefix().len()));
        }
    }

    #[test]
    fn a_continuation_passes_exactly_behind_what_was_held_back_however_it_is_split(
        text in "[a-c \u{e4}\u{1f600}]{1,120}",
        more in "[a-c \u{e4}]{0,40}",
        sizes in proptest::collection::vec(1usize..9, 1..40),
    ) {
        let Ok(cut) = cut(&text) else { return Ok(()) };
        let whole = format!("{}{more}", cut.held());
        let mut seam = cut.seam(Echo::Never);
        let (mut passed, mut at) = (String::new(), 0);
        let chars: Vec<char> = whole.chars().collect();
        for size in sizes.iter().cycle() {
            if at >= chars.len() { break }
            let piece: String = chars[at..(at + size).min(chars.len())].iter().collect();
            at += size;
            match seam.take(&piece) {
                Met::NotYet => {}
                Met::Passed(tail) => passed.push_str(tail),
                Met::Differs => prop_assert!(false, "it is the same"),
            }
        }
        prop_assert!(seam.has_met());
        prop_assert_eq!(passed, more);
    }

    #[test]
    fn one_other_character_in_what_was_held_back_is_another_answer(
        text in "[a-c ]{20,120}",
        at in 0usize..64,
    ) {
        let Ok(cut) = cut(&text) else { return Ok(()) };
        let mut other: Vec<char> = cut.held().chars().collect();
        let place = at % other.len();
        other[place] = if other[place] == 'x' { 'y' } else { 'x' };
        let other: String = other.into_iter().collect();
        let mut seam = cut.seam(Echo::Never);
        let mut met = Met::NotYet;
        for piece in other.split_inclusive(' ') {
            met = seam.take(piece);
            if met == Met::Differs { break }
        }
        prop_assert_eq!(met, Met::Differs);
        prop_assert!(!seam.has_met());
    }
}
