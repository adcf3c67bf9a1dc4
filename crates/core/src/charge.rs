//! The tokens that an answer is charged for: the provider's counts, or an estimate in their place.
//!
//! Called by the gateway once for each answer, whole or not. Always true: no answer for which there is an estimate is
//! free because its provider did not count it, or because its client left before the count came; no count above what
//! the model can do is charged.

use crate::prices::ModelFacts;
use crate::usage::{CountedBy, Sound, Usage};

/// The largest believable count for a model whose limits are not known.
const UNKNOWN_MAX: u64 = 10_000_000;

/// Whether a provider's count of the answer's tokens is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputCount {
    /// Nothing follows.
    Final,
    /// It is the count before the answer; the final one has not come.
    Open,
}

/// What is charged for the tokens that a provider `reported`. `None` if there are none. The estimates, of the prompt's tokens and of the
/// answer's, are made only if they are needed: for a count that is missing, not believable, not final, or 0.
pub fn charged(
    reported: Option<(Usage, OutputCount)>,
    facts: &ModelFacts,
    (input, output): (impl FnOnce() -> u64, impl FnOnce() -> u64),
) -> Option<(Usage, CountedBy)> {
    let limits = Limits::of(facts);
    let (mut usage, count) = reported.unwrap_or((Usage::default(), OutputCount::Open));
    if !limits.believes_input(&usage) {
        usage.input = input().min(limits.input);
        (usage.cached_input, usage.cache_creation, usage.cache_creation_1h) = (0, 0, 0);
        usage.sound = Sound { output: usage.sound.output, ..Sound::default() };
        (usage.seen, usage.reported) = (0, None);
    } else if usage.input == 0 {
        usage.input = input().min(limits.input);
    }
    if !limits.believes_output(&usage) {
        usage.output = output().min(limits.output);
        (usage.reasoning, usage.sound.output, usage.drawn.tokens) = (0, 0, 0);
        usage.reported = None;
    } else if count == OutputCount::Open || usage.output == 0 {
        usage.output = usage.output.max(output().min(limits.output));
    }
    let is_counted = reported == Some((usage, OutputCount::Final));
    let is_anything = usage.input > 0 || usage.output > 0 || usage.units.any();
    let by = if is_counted { CountedBy::Provider } else { CountedBy::Estimate };
    (is_counted || is_anything).then_some((usage, by))
}

/// The largest believable counts for a model.
struct Limits {
    input: u64,
    output: u64,
}

impl Limits {
    fn of(facts: &ModelFacts) -> Limits {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a limit is never negative, and the cast saturates"
        )]
        let limit = |known: Option<f64>, factor: f64| {
            known.map_or(UNKNOWN_MAX, |tokens| (tokens * factor) as u64)
        };
        // Reasoning can go beyond the limit of an answer.
        Limits {
            input: limit(facts.max_input_tokens, 1.0),
            output: limit(facts.max_output_tokens, 2.0),
        }
    }

    fn believes_input(&self, usage: &Usage) -> bool {
        let counts = [
            usage.input,
            usage.cached_input,
            usage.cache_creation,
            usage.cache_creation_1h,
            usage.sound.input,
            usage.sound.cached_input,
            usage.seen,
        ];
        counts.iter().all(|count| *count <= self.input)
    }

    fn believes_output(&self, usage: &Usage) -> bool {
        [usage.output, usage.reasoning, usage.sound.output, usage.drawn.tokens]
            .iter()
            .all(|count| *count <= self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ModelFacts {
        ModelFacts {
            max_input_tokens: Some(1_000.0),
            max_output_tokens: Some(100.0),
            ..ModelFacts::default()
        }
    }

    fn usage(input: u64, output: u64) -> Usage {
        Usage { input, output, ..Usage::default() }
    }

    fn estimated(reported: Option<(Usage, OutputCount)>) -> Option<(Usage, CountedBy)> {
        charged(reported, &facts(), (|| 50, || 20))
    }

    #[test]
    fn a_count_within_the_limits_of_the_model_is_charged_as_it_is() {
        for (input, output) in [(7, 3), (1_000, 200)] {
            let reported = Some((usage(input, output), OutputCount::Final));
            let none = || panic!("no estimate is needed");
            let charged = charged(reported, &facts(), (none, none));
            assert_eq!(charged, Some((usage(input, output), CountedBy::Provider)));
        }
    }

    #[test]
    fn a_count_of_nothing_is_estimated_and_stays_if_there_is_nothing() {
        let of = |input, output| estimated(Some((usage(input, output), OutputCount::Final)));
        assert_eq!(of(0, 3), Some((usage(50, 3), CountedBy::Estimate)));
        assert_eq!(of(7, 0), Some((usage(7, 20), CountedBy::Estimate)));
        let reported = Some((usage(7, 0), OutputCount::Final));
        let embedded = charged(reported, &facts(), (|| panic!("the prompt is counted"), || 0));
        assert_eq!(embedded, Some((usage(7, 0), CountedBy::Provider)));
        let free = Some((usage(0, 0), OutputCount::Final));
        assert_eq!(charged(free, &facts(), (|| 0, || 0)), Some((usage(0, 0), CountedBy::Provider)));
    }

    #[test]
    fn a_count_beyond_them_is_estimated_and_the_other_one_kept() {
        let of = |input, output| estimated(Some((usage(input, output), OutputCount::Final)));
        assert_eq!(of(1_001, 3), Some((usage(50, 3), CountedBy::Estimate)));
        assert_eq!(of(7, 201), Some((usage(7, 20), CountedBy::Estimate)));
        assert_eq!(of(u64::MAX, u64::MAX), Some((usage(50, 20), CountedBy::Estimate)));
    }

    #[test]
    fn each_kind_of_count_is_held_to_the_limits() {
        let most = u64::MAX;
        let wrong = [
            Usage { cached_input: most, ..usage(1, 1) },
            Usage { cache_creation: most, ..usage(1, 1) },
            Usage { cache_creation_1h: most, ..usage(1, 1) },
            Usage { reasoning: most, ..usage(1, 1) },
            Usage { sound: Sound { input: most, ..Sound::default() }, ..usage(1, 1) },
            Usage { sound: Sound { cached_input: most, ..Sound::default() }, ..usage(1, 1) },
            Usage { sound: Sound { output: most, ..Sound::default() }, ..usage(1, 1) },
        ];
        for reported in wrong {
            let (charged, by) = estimated(Some((reported, OutputCount::Final))).unwrap();
            assert_eq!(by, CountedBy::Estimate, "{reported:?}");
            assert!([usage(50, 1), usage(1, 20)].contains(&charged), "{reported:?}");
        }
    }

    #[test]
    fn without_a_count_both_are_estimated_within_the_limits() {
        assert_eq!(estimated(None), Some((usage(50, 20), CountedBy::Estimate)));
        let large = charged(None, &facts(), (|| 9_999, || 9_999));
        assert_eq!(large, Some((usage(1_000, 200), CountedBy::Estimate)));
        assert_eq!(charged(None, &facts(), (|| 0, || 0)), None);
        let unknown = charged(None, &ModelFacts::default(), (|| u64::MAX, || 1));
        assert_eq!(unknown, Some((usage(10_000_000, 1), CountedBy::Estimate)));
    }

    #[test]
    fn a_count_that_is_only_the_beginning_is_completed() {
        let open = |output| estimated(Some((usage(7, output), OutputCount::Open)));
        assert_eq!(open(1), Some((usage(7, 20), CountedBy::Estimate)));
        assert_eq!(open(30), Some((usage(7, 30), CountedBy::Estimate)));
    }
}
