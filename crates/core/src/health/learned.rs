//! What a deployment's provider refused to be told: parameters that Hale adds, or that only advise.
//!
//! Kept by [`super::DeploymentState`], for traffic and probes alike. Always true: only what a
//! provider names as refused is learned; it is bounded, and an operator's reset forgets it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::outcome::ProviderError;
use crate::takes::{Effort, Efforts, LimitName, Takes};

/// Models of one deployment of which something is remembered.
const MODELS_MAX: usize = 256;

/// What is known about one model of a deployment. Nothing is known by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known(u32);

/// One thing that a refusal teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// There are no `stream_options`.
    NoStreamOptions,
    /// Messages of the model have no reasoning.
    NoThoughts,
    /// What the limit of an answer is called.
    Limit(LimitName),
    /// The only efforts that it takes, possibly none.
    Efforts(Efforts),
}

const NO_STREAM_OPTIONS: u32 = 1;
const NEWER: u32 = 1 << 1;
const OLDER: u32 = 1 << 2;
const EFFORTS: u32 = 1 << 3;
const NO_THOUGHTS: u32 = 1 << 4;
const EFFORTS_FROM: u32 = 8;

const NO_COUNT: u32 = 1 << 7;

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
            Lesson::Limit(name) => {
                let bits = match name {
                    LimitName::AsWritten => 0,
                    LimitName::Newer => NEWER,
                    LimitName::Older => OLDER,
                };
                self.0 & !(NEWER | OLDER) | bits
            }
            Lesson::Efforts(efforts) => {
                let bits = u32::from(efforts.bits()) << EFFORTS_FROM;
                self.0 & !(0xff << EFFORTS_FROM) | bits | EFFORTS
            }
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
        options.into_iter().chain(limit).chain(efforts).chain(thoughts).collect()
    }
}

/// What was learned about the models of one deployment.
#[derive(Debug, Default)]
pub struct Learned {
    /// The only model.
    only: AtomicU32,
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
            let _before: Result<u32, u32> = self.only.fetch_update(order, order, change);
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

/// What a refusal teaches, if it refuses a parameter that Hale adds or that only advises.
#[must_use]
pub fn lesson(error: &ProviderError) -> Option<Lesson> {
    let text = error.message.to_ascii_lowercase();
    let refuses = |name: &str| {
        let named = error.param.as_deref().is_some_and(|param| is_param(param, name));
        (named || mentions(&text, name)) && is_refusal(error, &text)
    };
    if refuses("stream_options") {
        return Some(Lesson::NoStreamOptions);
    }
    if refuses("reasoning_content") || refuses("assistant.reasoning") {
        return Some(Lesson::NoThoughts);
    }
    let place = |name: &str| match error.param.as_deref() {
        Some(param) if is_param(param, name) => Some(0),
        _ => text.find(name).filter(|_| mentions(&text, name)).map(|at| at + 1),
    };
    match (place("max_tokens"), place("max_completion_tokens")) {
        // The first one is refused, the other one is the advice.
        (Some(older), Some(newer)) if older < newer && is_refusal(error, &text) => {
            return Some(Lesson::Limit(LimitName::Newer));
        }
        (older, Some(newer))
            if older.is_none_or(|older| newer < older) && is_refusal(error, &text) =>
        {
            return Some(Lesson::Limit(LimitName::Older));
        }
        _ => {}
    }
    if !refuses("reasoning_effort") && !refuses("reasoning.effort") {
        return None;
    }
    if !text.contains("value") {
        return Some(Lesson::Efforts(Efforts::NOTHING));
    }
    // "Supported values are: 'low', 'medium', and 'high'."
    let (_, listed) = text.split_once("supported values are")?;
    let words = listed.split(|c: char| !c.is_ascii_alphanumeric());
    let listed: Vec<Effort> = words.filter_map(Effort::named).collect();
    (!listed.is_empty()).then(|| Lesson::Efforts(Efforts::of(&listed)))
}

/// Whether a path such as `body.stream_options` ends in `name`.
fn is_param(param: &str, name: &str) -> bool {
    let head = param.strip_suffix(name);
    head.is_some_and(|head| head.is_empty() || head.ends_with(['.', '/', ' ', '>', '[', '\'', '"']))
}

/// Whether `text` has `name` as a word of its own, not as the beginning of a path.
fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        let next = text[at + name.len()..].chars().nth(1);
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let is_path = match after {
            Some('.') => next.is_some_and(char::is_alphanumeric),
            Some('[') => true,
            _ => false,
        };
        !before.is_some_and(is_word) && !after.is_some_and(is_word) && !is_path
    })
}

/// Whether the provider says that it does not know a parameter or a value of it. Texts: OpenAI, Azure, pydantic
/// (vLLM, FastAPI), Mistral, Groq, llama.cpp.
fn is_refusal(error: &ProviderError, text: &str) -> bool {
    const CODES: [&str; 4] =
        ["unknown_parameter", "unsupported_parameter", "unsupported_value", "extra_forbidden"];
    const SAYS: [&str; 14] = [
        "unknown parameter",
        "unknown field",
        "unknown argument",
        "unrecognized",
        "unsupported",
        "not supported",
        "does not support",
        "doesn't support",
        "extra inputs are not permitted",
        "extra fields not permitted",
        "extra_forbidden",
        "unexpected keyword argument",
        "additional properties",
        "is not allowed",
    ];
    error.code.as_deref().is_some_and(|code| CODES.contains(&code))
        || SAYS.iter().any(|says| text.contains(says))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str, param: Option<&str>, code: Option<&str>) -> ProviderError {
        ProviderError {
            message: message.to_owned(),
            param: param.map(str::to_owned),
            code: code.map(str::to_owned),
            ..ProviderError::default()
        }
    }

    /// Texts of OpenAI, Azure, vLLM, Mistral and Groq.
    #[test]
    fn refusals_of_known_providers_teach() {
        let efforts = |all: &[Effort]| Lesson::Efforts(Efforts::of(all));
        let none = efforts(&[]);
        let newer = Lesson::Limit(LimitName::Newer);
        let rows = [
            (
                "Unknown parameter: 'stream_options'.",
                Some("stream_options"),
                Some("unknown_parameter"),
                Lesson::NoStreamOptions,
            ),
            (
                r#"[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted","input":{"include_usage":true}}]"#,
                None,
                None,
                Lesson::NoStreamOptions,
            ),
            (
                "Unrecognized request argument supplied: stream_options",
                None,
                None,
                Lesson::NoStreamOptions,
            ),
            (
                "create() got an unexpected keyword argument 'stream_options'",
                None,
                None,
                Lesson::NoStreamOptions,
            ),
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                Some("max_tokens"),
                Some("unsupported_parameter"),
                newer,
            ),
            (
                "this model is not supported MaxTokens: max_tokens is not supported, please use max_completion_tokens",
                None,
                None,
                newer,
            ),
            (
                "Unrecognized request argument supplied: max_completion_tokens",
                None,
                None,
                Lesson::Limit(LimitName::Older),
            ),
            (
                "property 'max_completion_tokens' is not supported; use max_tokens",
                None,
                None,
                Lesson::Limit(LimitName::Older),
            ),
            ("Unrecognized request argument supplied: reasoning_effort", None, None, none),
            (
                "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
                Some("reasoning.effort"),
                Some("unsupported_parameter"),
                none,
            ),
            ("`reasoning_effort` is not supported with this model", None, None, none),
            (
                "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property 'reasoning_content' is unsupported)]",
                None,
                None,
                Lesson::NoThoughts,
            ),
            (
                r#"[{"type":"extra_forbidden","loc":["body","messages",1,"assistant","reasoning_content"],"msg":"Extra inputs are not permitted","input":"hm"}]"#,
                None,
                None,
                Lesson::NoThoughts,
            ),
            (
                "Unknown parameter: 'messages[1].reasoning_content'.",
                Some("messages[1].reasoning_content"),
                Some("unknown_parameter"),
                Lesson::NoThoughts,
            ),
            (
                "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. Supported values are: 'low', 'medium', and 'high'.",
                Some("reasoning_effort"),
                Some("unsupported_value"),
                efforts(&[Effort::Low, Effort::Medium, Effort::High]),
            ),
        ];
        for (message, param, code, expected) in rows {
            assert_eq!(lesson(&error(message, param, code)), Some(expected), "{message}");
        }
    }

    #[test]
    fn other_errors_teach_nothing() {
        let rows = [
            (
                "Unknown parameter: 'stream_options.foo'.",
                Some("stream_options.foo"),
                Some("unknown_parameter"),
            ),
            ("stream_options must be an object", Some("stream_options"), None),
            (
                "max_tokens is too large: 99999. This model supports at most 16384 completion tokens",
                Some("max_tokens"),
                Some("invalid_value"),
            ),
            (
                "Unknown parameter: 'my_stream_options'.",
                Some("my_stream_options"),
                Some("unknown_parameter"),
            ),
            (
                "Invalid value: 'bogus'. Supported values are: 'low', 'medium', and 'high'.",
                Some("reasoning_effort"),
                Some("invalid_value"),
            ),
            ("Unknown parameter: 'foo'.", Some("foo"), Some("unknown_parameter")),
            ("The model does not support tools", None, None),
            (
                "Missing `reasoning_content` field in the assistant message at message index 1",
                None,
                None,
            ),
            ("", None, None),
        ];
        for (message, param, code) in rows {
            assert_eq!(lesson(&error(message, param, code)), None, "{message}");
        }
    }

    #[test]
    fn what_is_learned_adds_up_and_is_bounded() {
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
        assert_eq!(known.words().len(), 3);
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
