//! What a deployment's provider refused to be told: parameters that Hale adds, or that only advise.
//!
//! Kept by [`super::DeploymentState`], for traffic and probes alike. Always true: only what a
//! provider names as refused is learned; it is bounded, and an operator's reset forgets it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::takes::{Effort, Efforts, LimitName, Takes};

/// Models of one deployment of which something is remembered.
const MODELS_MAX: usize = 256;

/// What is known about one model of a deployment. Nothing is known by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known(u64);

/// One thing that a refusal teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// There are no `stream_options`.
    NoStreamOptions,
    /// Messages of the model have no reasoning.
    NoThoughts,
    /// Messages and tools have no members that say nothing to a model: marks of the cache, names, what SDKs leave there.
    PlainMessages,
    /// Marks of the cache and tools say only what they said at first: no scope, no time, no loading as needed.
    PlainMarks,
    /// What the limit of an answer is called.
    Limit(LimitName),
    /// The greatest limit of an answer, 1 to 2^24 - 1 tokens.
    Most(u32),
    /// The only efforts that it takes, possibly none.
    Efforts(Efforts),
    /// The model does not reason: it takes neither thinking nor efforts.
    NoThinking,
    /// There is no such field: one of [`ADVICE`].
    NoAdvice(Advice),
}

/// A field that only advises, by its place in [`ADVICE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice(u8);

/// Fields of requests that only advise: the answer has the same shape without them.
pub const ADVICE: [&str; 14] = [
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "metadata",
    "context_management",
    "thinking",
    "output_config.effort",
    "user",
    "parallel_tool_calls",
    "client_metadata",
    "text.verbosity",
    "verbosity",
    "service_tier",
    "thinking: adaptive",
];

impl Advice {
    /// The field for thinking.
    const THINKING: Advice = Advice(5);
    /// The field that names the end user.
    pub const USER: Advice = Advice(7);
    /// The field for thinking where the model is left to decide how much.
    pub const ADAPTIVE: Advice = Advice(13);

    /// All of them.
    pub fn all() -> impl Iterator<Item = Advice> {
        (0..).take(ADVICE.len()).map(Advice)
    }

    const fn bit(self) -> u64 {
        1 << (ADVICE_FROM + self.0 as u32)
    }

    /// The name of the field.
    #[must_use]
    pub fn name(self) -> &'static str {
        ADVICE.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

const NO_STREAM_OPTIONS: u64 = 1;
const NEWER: u64 = 1 << 1;
const OLDER: u64 = 1 << 2;
const EFFORTS: u64 = 1 << 3;
const NO_THOUGHTS: u64 = 1 << 4;
const PLAIN_MESSAGES: u64 = 1 << 5;
const PLAIN_MARKS: u64 = 1 << 6;
const EFFORTS_FROM: u32 = 8;
const ADVICE_FROM: u32 = 16;
/// Where the greatest limit of an answer begins; above it is nothing else.
const MOST_FROM: u32 = 40;
const _: () = assert!(ADVICE_FROM as usize + ADVICE.len() < MOST_FROM as usize);
/// Greatest limit that is remembered, tokens.
pub(super) const MOST_MAX: u32 = (1 << (u64::BITS - MOST_FROM)) - 1;

const NO_COUNT: u64 = 1 << 7;
const NO_IMAGES: u64 = 1 << (MOST_FROM - 1);

impl Known {
    /// Whether its server does not count tokens: it said that it lacks the operation.
    #[must_use]
    pub const fn has_no_count(self) -> bool {
        self.0 & NO_COUNT != 0
    }

    /// The same, with that known.
    #[must_use]
    pub const fn without_count(self) -> Known {
        Known(self.0 | NO_COUNT)
    }

    /// Whether its model sees no images.
    #[must_use]
    pub const fn has_no_images(self) -> bool {
        self.0 & NO_IMAGES != 0
    }

    /// The same, with that known.
    #[must_use]
    pub const fn without_images(self) -> Known {
        Known(self.0 | NO_IMAGES)
    }

    /// Whether `stream_options` are refused.
    #[must_use]
    pub const fn has_no_stream_options(self) -> bool {
        self.0 & NO_STREAM_OPTIONS != 0
    }

    /// Whether reasoning in messages of the model is refused.
    #[must_use]
    pub const fn has_no_thoughts(self) -> bool {
        self.0 & NO_THOUGHTS != 0
    }

    /// Whether members of messages that say nothing to a model are refused.
    #[must_use]
    pub const fn has_plain_messages(self) -> bool {
        self.0 & PLAIN_MESSAGES != 0
    }

    /// Whether newer members of marks of the cache and of tools are refused.
    #[must_use]
    pub const fn has_plain_marks(self) -> bool {
        self.0 & PLAIN_MARKS != 0
    }

    /// The greatest limit of an answer that it takes, if a refusal named it. Tokens.
    #[must_use]
    pub const fn most(self) -> Option<u64> {
        match self.0 >> MOST_FROM {
            0 => None,
            most => Some(most),
        }
    }

    /// Whether this field is refused.
    #[must_use]
    pub const fn refuses(self, advice: Advice) -> bool {
        self.0 & advice.bit() != 0
    }

    /// The fields that only advise and are refused.
    pub fn refused_advice(self) -> impl Iterator<Item = Advice> {
        let some = ((self.0 & !NO_IMAGES) >> ADVICE_FROM) & ((1 << (MOST_FROM - ADVICE_FROM)) - 1);
        let all = if some == 0 { 0 } else { ADVICE.len() };
        Advice::all().take(all).filter(move |one| self.0 & one.bit() != 0)
    }

    /// What the limit of an answer is called.
    #[must_use]
    pub const fn limit(self) -> LimitName {
        match self.0 & (NEWER | OLDER) {
            NEWER => LimitName::Newer,
            OLDER => LimitName::Older,
            _ => LimitName::AsWritten,
        }
    }

    /// The only efforts that it takes, if a refusal named them.
    #[must_use]
    pub const fn efforts(self) -> Option<Efforts> {
        if self.0 & EFFORTS == 0 {
            return None;
        }
        Some(Efforts::from_bits((self.0 >> EFFORTS_FROM).to_le_bytes()[0]))
    }

    /// What the model takes, if `listed` is what the price list says.
    #[must_use]
    pub fn complete(self, listed: Takes) -> Takes {
        let limit = match self.limit() {
            LimitName::AsWritten => listed.limit,
            learned => learned,
        };
        Takes { limit, efforts: self.efforts().or(listed.efforts), ..listed }
    }

    /// The same after a lesson.
    #[must_use]
    pub fn with(self, lesson: Lesson) -> Known {
        Known(match lesson {
            Lesson::NoStreamOptions => self.0 | NO_STREAM_OPTIONS,
            Lesson::NoThoughts => self.0 | NO_THOUGHTS,
            Lesson::PlainMessages => self.0 | PLAIN_MESSAGES,
            Lesson::Limit(name) => {
                let bits = match name {
                    LimitName::AsWritten => 0,
                    LimitName::Newer => NEWER,
                    LimitName::Older => OLDER,
                };
                self.0 & !(NEWER | OLDER) | bits
            }
            Lesson::Efforts(efforts) => {
                let bits = u64::from(efforts.bits()) << EFFORTS_FROM;
                self.0 & !(0xff << EFFORTS_FROM) | bits | EFFORTS
            }
            Lesson::PlainMarks => self.0 | PLAIN_MARKS,
            Lesson::Most(most) => {
                let most = u64::from(most.min(MOST_MAX)) << MOST_FROM;
                self.0 & !(u64::from(MOST_MAX) << MOST_FROM) | most
            }
            Lesson::NoThinking => {
                let none = self.with(Lesson::Efforts(Efforts::NOTHING));
                return none.with(Lesson::NoAdvice(Advice::THINKING));
            }
            Lesson::NoAdvice(advice) => self.0 | advice.bit(),
        })
    }

    /// In words, for people.
    #[must_use]
    pub fn words(self) -> Vec<String> {
        let options = self.has_no_stream_options().then(|| "no stream_options".to_owned());
        let limit = match self.limit() {
            LimitName::AsWritten => None,
            LimitName::Newer => Some("max_completion_tokens for max_tokens".to_owned()),
            LimitName::Older => Some("max_tokens for max_completion_tokens".to_owned()),
        };
        let efforts = self.efforts().map(|efforts| {
            let names: Vec<&str> = efforts.iter().map(Effort::word).collect();
            match &names[..] {
                [] => "no reasoning_effort".to_owned(),
                names => format!("reasoning_effort: {}", names.join(", ")),
            }
        });
        let thoughts = self.has_no_thoughts().then(|| "no reasoning in messages".to_owned());
        let plain = self.has_plain_messages().then(|| "no extra members in messages".to_owned());
        let marks =
            self.has_plain_marks().then(|| "no newer members in marks and tools".to_owned());
        let most = self.most().map(|most| format!("at most {most} tokens of an answer"));
        let advice = self.refused_advice().map(|one| format!("no {}", one.name()));
        options
            .into_iter()
            .chain(limit)
            .chain(efforts)
            .chain(thoughts)
            .chain(plain)
            .chain(marks)
            .chain(most)
            .chain(advice)
            .collect()
    }
}

/// What was learned about the models of one deployment.
#[derive(Debug, Default)]
pub struct Learned {
    /// The only model.
    only: AtomicU64,
    /// How many models of many something is known about. If none, readers skip the lock.
    count: AtomicUsize,
    many: Mutex<HashMap<Box<str>, Known>>,
}

impl Learned {
    /// What is known about `model`, which is empty if there is only one.
    #[must_use]
    pub fn of(&self, model: &str) -> Known {
        if model.is_empty() {
            return Known(self.only.load(Ordering::Relaxed));
        }
        if self.count.load(Ordering::Relaxed) == 0 {
            return Known::default();
        }
        self.many.lock().get(model).copied().unwrap_or_default()
    }

    /// Remembers `lesson` about `model`. Returns what is known then.
    pub fn learn(&self, model: &str, lesson: Lesson) -> Known {
        if model.is_empty() {
            let change = |word| Some(Known(word).with(lesson).0);
            let order = Ordering::Relaxed;
            // It always changes the word, so it cannot fail.
            let _before: Result<u64, u64> = self.only.fetch_update(order, order, change);
            return self.of(model);
        }
        let mut many = self.many.lock();
        if many.len() >= MODELS_MAX && !many.contains_key(model) {
            many.clear();
        }
        let known = many.entry(model.into()).or_default();
        *known = known.with(lesson);
        let known = *known;
        self.count.store(many.len(), Ordering::Relaxed);
        known
    }

    /// All that is known: the model (empty if there is only one) and what.
    #[must_use]
    pub fn all(&self) -> Vec<(Box<str>, Known)> {
        let only =
            Some((Box::from(""), self.of(""))).filter(|(_, known)| *known != Known::default());
        let many = self.many.lock();
        let mut all: Vec<_> = many.iter().map(|(model, known)| (model.clone(), *known)).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        only.into_iter().chain(all).collect()
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.only.store(0, Ordering::Relaxed);
        self.many.lock().clear();
        self.count.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learned_adds_up_and_is_bounded() {
        assert_eq!((Advice::THINKING.name(), Advice::USER.name()), ("thinking", "user"));
        assert_eq!(Advice::ADAPTIVE.name(), "thinking: adaptive");
        let learned = Learned::default();
        learned.learn("", Lesson::NoStreamOptions);
        learned.learn("", Lesson::Limit(LimitName::Newer));
        let known = learned.learn("", Lesson::Efforts(Efforts::of(&[Effort::High])));
        assert!(known.has_no_stream_options() && known == learned.of(""));
        let takes = known.complete(Takes::default());
        assert_eq!(
            (takes.limit, takes.efforts),
            (LimitName::Newer, Some(Efforts::of(&[Effort::High])))
        );
        assert_eq!(learned.learn("", Lesson::Limit(LimitName::Older)).limit(), LimitName::Older);
        assert_eq!((known.words().len(), known.most()), (3, None));
        let most = known.with(Lesson::Most(MOST_MAX)).with(Lesson::Most(8192));
        assert_eq!(
            (most.most(), most.words().len(), most.efforts()),
            (Some(8192), 4, known.efforts())
        );
        assert_eq!(most.refused_advice().count(), 0);
        let all = Advice::all().fold(most, |known, one| known.with(Lesson::NoAdvice(one)));
        assert_eq!((all.refused_advice().count(), all.most()), (ADVICE.len(), Some(8192)));
        assert_eq!(learned.of("other"), Known::default());
        for model in 0..1_000 {
            learned.learn(&format!("m{model}"), Lesson::NoStreamOptions);
        }
        assert!(learned.of("m999").has_no_stream_options());
        assert!(learned.all().len() <= MODELS_MAX + 1);
        learned.clear();
        assert_eq!(learned.all(), []);
        assert_eq!(learned.of("m999"), Known::default());
    }
}
