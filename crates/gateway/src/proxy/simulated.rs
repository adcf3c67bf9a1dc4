//! Answers and failures that a request asks to be simulated, for tests of a config: LiteLLM's `mock_*` fields.
//!
//! Read by [`super::opening`], made by [`super::attempt`] in place of the upstream's. Always true: nothing of it exists unless
//! `dangerously_allow_mock_testing_request_params` is set; no upstream is called, and no deployment is blamed.

use hale_core::cause::Cause;
use hale_core::deployment::{MockAnswer, MockContent};
use hale_wire::peek::{Peek, READ_MAX};

use crate::http::refusal::{self, Refusal};

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Simulated {
    /// The outcome of an attempt.
    pub(crate) outcome: Outcome,
    groups: Groups,
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// This answer.
    Answer(MockAnswer),
    /// A failure with that cause and status.
    Failure(Cause, u16),
    /// None, until the time is over.
    Silence,
}

/// In which groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Groups {
    /// In the one that the client names: its fallbacks are called.
    Original,
    /// In all.
    All,
}

/// The failures that have a field of their own.
const FAILURES: [(&str, Cause, u16); 4] = [
    ("mock_testing_fallbacks", Cause::ServerError, 500),
    ("mock_testing_context_fallbacks", Cause::ContextWindow, 400),
    ("mock_testing_content_policy_fallbacks", Cause::ContentPolicy, 400),
    ("mock_testing_rate_limit_error", Cause::RateLimited, 429),
];

impl Simulated {
    /// What a request asks for, if it does.
    ///
    /// # Errors
    /// If it cannot be simulated.
    pub(super) fn of(peek: &Peek) -> Result<Option<Simulated>, Refusal> {
        let bad = |error| refusal::bad_body(&error);
        if peek.raw("mock_tool_calls").is_some() {
            return Err(refusal::unserved_parameter("mock_tool_calls", "canned calls of tools"));
        }
        for (field, cause, status) in FAILURES {
            if peek.boolean(field).map_err(bad)? == Some(true) {
                let outcome = Outcome::Failure(cause, status);
                return Ok(Some(Simulated { outcome, groups: Groups::Original }));
            }
        }
        if peek.boolean("mock_timeout").map_err(bad)? == Some(true) {
            return Ok(Some(Simulated { outcome: Outcome::Silence, groups: Groups::Original }));
        }
        let delay_ms = peek.seconds("mock_delay").map_err(bad)?.unwrap_or(0);
        let Some(raw) = peek.raw("mock_response").filter(|raw| *raw != "false") else {
            return Ok(None);
        };
        let content = match raw {
            "true" => MockContent::Text("This is a mock request".into()),
            raw if raw.starts_with('[') => vector(raw)?,
            _ => text(peek)?,
        };
        let outcome = Outcome::Answer(MockAnswer { content, delay_ms });
        Ok(Some(Simulated { outcome, groups: Groups::All }))
    }

    /// Whether it holds after so many fallbacks.
    pub(super) fn applies(&self, fallbacks: u32) -> bool {
        match self.groups {
            Groups::Original => fallbacks == 0,
            Groups::All => true,
        }
    }
}

fn text(peek: &Peek) -> Result<MockContent, Refusal> {
    let text = peek.string("mock_response").map_err(|error| refusal::bad_body(&error))?;
    let text = text.unwrap_or_default();
    let Some(class) = text.strip_prefix("litellm.") else {
        return Ok(MockContent::Text(Box::from(&*text)));
    };
    let known: Vec<&str> = MockContent::failures().collect();
    MockContent::failure(class).map(MockContent::Failure).ok_or_else(|| {
        let problem =
            format!("mock_response names no known failure; known are {}", known.join(", "));
        refusal::bad_parameter("mock_response", &problem)
    })
}

fn vector(raw: &str) -> Result<MockContent, Refusal> {
    let numbers =
        (raw.len() <= READ_MAX).then(|| serde_json::from_str::<Vec<f64>>(raw).ok()).flatten();
    match numbers.filter(|numbers| !numbers.is_empty() && numbers.iter().all(|one| one.is_finite()))
    {
        Some(numbers) => Ok(MockContent::Vector(numbers)),
        None => {
            let problem = "mock_response must be a text or a list of numbers";
            Err(refusal::bad_parameter("mock_response", problem))
        }
    }
}
