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

/// Tokens, estimated from the bytes of texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Of the prompt.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
}

/// What is charged for the tokens that a provider `reported`. `None` if there are none. The estimate is made only if it
/// is needed.
pub fn charged(
    reported: Option<(Usage, OutputCount)>,
    facts: &ModelFacts,
    estimate: impl FnOnce() -> Estimate,
) -> Option<(Usage, CountedBy)> {
    let limits = Limits::of(facts);
    if let Some((usage, OutputCount::Final)) = reported
        && limits.believes_input(&usage)
        && limits.believes_output(&usage)
    {
        return Some((usage, CountedBy::Provider));
    }
    let estimate = estimate();
    let (mut usage, output) = reported.unwrap_or((Usage::default(), OutputCount::Open));
    if reported.is_none() || !limits.believes_input(&usage) {
        usage.input = estimate.input.min(limits.input);
        (usage.cached_input, usage.cache_creation, usage.cache_creation_1h) = (0, 0, 0);
        usage.sound = Sound { output: usage.sound.output, ..Sound::default() };
        (usage.seen, usage.reported) = (0, None);
    }
    if !limits.believes_output(&usage) {
        usage.output = estimate.output.min(limits.output);
        (usage.reasoning, usage.sound.output, usage.drawn.tokens) = (0, 0, 0);
        usage.reported = None;
    } else if output == OutputCount::Open {
        usage.output = usage.output.max(estimate.output.min(limits.output));
    }
    let is_anything = usage.input > 0 || usage.output > 0 || usage.units.any();
    is_anything.then_some((usage, CountedBy::Estimate))
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
        charged(reported, &facts(), || Estimate { input: 50, output: 20 })
    }

    #[test]
    fn a_count_within_the_limits_of_the_model_is_charged_as_it_is() {
        for (input, output) in [(0, 0), (7, 3), (1_000, 200)] {
            let reported = Some((usage(input, output), OutputCount::Final));
            let charged = charged(reported, &facts(), || panic!("no estimate is needed"));
            assert_eq!(charged, Some((usage(input, output), CountedBy::Provider)));
        }
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
        let large = charged(None, &facts(), || Estimate { input: 9_999, output: 9_999 });
        assert_eq!(large, Some((usage(1_000, 200), CountedBy::Estimate)));
        assert_eq!(charged(None, &facts(), Estimate::default), None);
        let unknown =
            charged(None, &ModelFacts::default(), || Estimate { input: u64::MAX, output: 1 });
        assert_eq!(unknown, Some((usage(10_000_000, 1), CountedBy::Estimate)));
    }

    #[test]
    fn a_count_that_is_only_the_beginning_is_completed() {
        let open = |output| estimated(Some((usage(7, output), OutputCount::Open)));
        assert_eq!(open(1), Some((usage(7, 20), CountedBy::Estimate)));
        assert_eq!(open(30), Some((usage(7, 30), CountedBy::Estimate)));
    }
}
