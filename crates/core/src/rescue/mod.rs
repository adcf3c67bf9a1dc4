//! Whether and how a stream that broke after its first content is continued by another deployment.
//!
//! Asked by the gateway when a stream begins and when it breaks. Always true: nothing is joined that cannot be compared: the end of
//! what the client has is held back from the request, and the continuation must begin with exactly that; each refusal has a
//! reason; no text is cut within a character.

mod seam;
#[cfg(test)]
mod tests;

pub use self::seam::{Echo, Met, Seam};

/// Fewest characters that are held back.
pub const HELD_MIN: usize = 16;
/// Most characters that are held back, unless the answer begins anew.
pub const HELD_MAX: usize = 64;

/// When a broken stream is continued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RescueMode {
    /// Never.
    Off,
    /// Where another deployment goes on from what was said.
    #[default]
    Text,
    /// Where another deployment says all of it again.
    Replay,
}

/// The longest time for which tokens are held back if none is set, milliseconds.
const HOLD_MAX_MS: u64 = 5_000;

/// How much of a stream is held back behind its first content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// For so long, milliseconds; 0 is not set.
    pub ms: u64,
    /// Until so many tokens were said; 0 is not set.
    pub tokens: u32,
}

impl Hold {
    /// For how long at most, milliseconds; `None` if nothing is held back.
    #[must_use]
    pub const fn longest_ms(self) -> Option<u64> {
        match (self.ms, self.tokens) {
            (0, 0) => None,
            (0, _) => Some(HOLD_MAX_MS),
            (ms, _) => Some(ms),
        }
    }

    /// Whether that many tokens are enough.
    #[must_use]
    pub fn has_enough(self, tokens: u64) -> bool {
        self.tokens > 0 && tokens >= self.tokens.into()
    }
}

impl RescueMode {
    /// Its name in the config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            RescueMode::Off => "off",
            RescueMode::Text => "text",
            RescueMode::Replay => "replay",
        }
    }
}

/// Why a stream is not continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// The answer follows a JSON schema or is JSON.
    Schema,
    /// Several answers were requested.
    N,
    /// The probabilities of tokens were requested.
    Logprobs,
    /// The answer is more than text: sound, or an object of the provider's.
    NotText,
    /// The conversation ends with words of the model.
    Prefilled,
    /// The request was too large to be kept, or there was no memory for it.
    BodyTooLarge,
    /// No other deployment can continue it.
    NoTarget,
    /// The failure is not the deployment's.
    Cause,
    /// The gateway stops.
    Stopping,
    /// What was said is no longer known: it was too long, or there was no memory for it.
    TooLong,
    /// A tool was called.
    ToolCall,
    /// The model was reasoning.
    Reasoning,
    /// It cites what only the first deployment has read.
    Citations,
    /// No place to cut was found: the end is white space, or was said before.
    NoCut,
    /// The break was between two parts of the answer.
    BetweenParts,
    /// The time of the request is spent.
    Deadline,
    /// The request may make no more attempts.
    Attempts,
    /// The retry budget of the group is spent.
    RetryBudget,
    /// The continuations did not begin with what the client has.
    Differs,
    /// The other deployments failed, too.
    Failed,
}

impl No {
    /// Every reason.
    pub const ALL: [No; 20] = [
        No::Schema,
        No::N,
        No::Logprobs,
        No::NotText,
        No::Prefilled,
        No::BodyTooLarge,
        No::NoTarget,
        No::Cause,
        No::Stopping,
        No::TooLong,
        No::ToolCall,
        No::Reasoning,
        No::Citations,
        No::NoCut,
        No::BetweenParts,
        No::Deadline,
        No::Attempts,
        No::RetryBudget,
        No::Differs,
        No::Failed,
    ];

    /// Its name in headers, errors, metrics and records, and what it means.
    #[must_use]
    pub const fn row(self) -> (&'static str, &'static str) {
        match self {
            No::Schema => ("schema", "the answer is JSON, or follows a schema"),
            No::N => ("n", "the request is for several answers"),
            No::Logprobs => ("logprobs", "the request is for the probabilities of tokens"),
            No::NotText => ("not_text", "the answer has sound, images, or objects of its provider"),
            No::Prefilled => ("prefilled", "the conversation ends with words of the model"),
            No::BodyTooLarge => {
                ("body_too_large", "the request was too large to be kept, or no memory was left")
            }
            No::NoTarget => ("no_target", "no other deployment that may serve it can go on"),
            No::Cause => ("cause", "the failure is not the deployment's"),
            No::Stopping => ("stopping", "the gateway stops"),
            No::TooLong => {
                ("too_long", "what was said was too long to be kept, or no memory was left")
            }
            No::ToolCall => ("tool_call", "the answer called a tool"),
            No::Reasoning => ("reasoning", "the model was reasoning"),
            No::Citations => ("citations", "the text cites what only the first deployment read"),
            No::NoCut => ("no_cut", "the end of the text is white space, or was said before"),
            No::BetweenParts => ("between_parts", "the break was between two parts of the answer"),
            No::Deadline => ("deadline", "the time of the request is spent"),
            No::Attempts => ("attempts", "the request may make no more attempts"),
            No::RetryBudget => ("retry_budget", "the retry budget of the group is spent"),
            No::Differs => ("differs", "no continuation began with what the client has"),
            No::Failed => ("failed", "the other deployments failed, too"),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.row().0
    }
}

/// What became of a stream that broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Another deployment has continued it.
    Continued,
    /// None has.
    Not(No),
}

impl Outcome {
    /// The number of outcomes.
    pub const COUNT: usize = No::ALL.len() + 1;

    /// Every outcome, in the order of their places.
    pub fn all() -> impl Iterator<Item = Outcome> {
        std::iter::once(Outcome::Continued).chain(No::ALL.into_iter().map(Outcome::Not))
    }

    /// Its place among all.
    #[must_use]
    pub const fn place(self) -> usize {
        match self {
            Outcome::Continued => 0,
            Outcome::Not(why) => why as usize + 1,
        }
    }

    /// Its name in metrics and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Continued => "continued",
            Outcome::Not(why) => why.word(),
        }
    }
}

/// What a client has of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    text: String,
    is_reasoning: bool,
    refused: Option<No>,
}

impl Said {
    /// Text came.
    pub fn text(&mut self, piece: &str) {
        if !piece.is_empty() {
            self.is_reasoning = false;
            self.text.push_str(piece);
        }
    }

    /// A piece of reasoning came: it is complete once text follows.
    pub fn reasoning(&mut self) {
        self.is_reasoning = true;
    }

    /// Something came behind which no text goes on. The first reason counts.
    pub fn refuse(&mut self, why: No) {
        self.refused = self.refused.or(Some(why));
    }

    /// All of its text.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// Where the answer is cut for another deployment.
    ///
    /// # Errors
    /// Why it cannot be continued.
    pub fn cut(self, mode: RescueMode) -> Result<Cut, No> {
        match self.refused {
            Some(why) => return Err(why),
            None if self.is_reasoning || self.text.is_empty() => return Err(No::Reasoning),
            // The marks of reasoning within the text.
            None if self.text.trim_start().starts_with("<think>") => return Err(No::Reasoning),
            None => {}
        }
        let at = match mode {
            RescueMode::Off => return Err(No::NoTarget),
            RescueMode::Replay => 0,
            RescueMode::Text => place(&self.text).ok_or(No::NoCut)?,
        };
        Ok(Cut { said: self.text.into(), at })
    }
}

/// An answer, cut in two: what another deployment is told, and what it has to say first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    said: Box<str>,
    at: usize,
}

impl Cut {
    /// What the deployment is told that it said; empty if the answer begins anew.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.said[..self.at]
    }

    /// What it has to say before it goes on.
    #[must_use]
    pub fn held(&self) -> &str {
        &self.said[self.at..]
    }

    /// All that the client has.
    #[must_use]
    pub fn said(&self) -> &str {
        &self.said
    }

    /// The comparison with a continuation.
    #[must_use]
    pub fn seam(&self, echo: Echo) -> Seam {
        Seam::new(self.said.clone(), self.at, echo)
    }
}

/// Where the prefix of `said` ends: behind a word, as near to the end as 16 characters permit, and not within 64 characters
/// that were said before, so that a deployment that repeats itself is not mistaken for one that goes on.
fn place(said: &str) -> Option<usize> {
    // Byte positions before the last 64 characters, from the last one on.
    let mut starts = said.char_indices().rev().map(|(at, _)| at);
    let window: Vec<usize> = starts.by_ref().take(HELD_MAX).collect();
    let says = |at: usize| !said[at..].trim().is_empty();
    if window.len() < HELD_MIN {
        return says(0).then_some(0);
    }
    let is_whole = starts.next().is_none();
    let ends_word = |at: usize| said[..at].chars().next_back().is_some_and(|c| !c.is_whitespace());
    let is_new = |at: usize| said.find(&said[at..]) == Some(at);
    let candidates = || window.iter().skip(HELD_MIN - 1).copied().filter(|at| *at > 0);
    let usable = |at: &usize| ends_word(*at) && says(*at) && is_new(*at);
    let is_between_words = |at: &usize| said[*at..].starts_with(char::is_whitespace);
    candidates()
        .find(|at| is_between_words(at) && usable(at))
        .or_else(|| candidates().find(usable))
        .or((is_whole && says(0)).then_some(0))
}
