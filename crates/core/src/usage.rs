//! Token counts of one answer, as the provider reported them.
//!
//! Filled by `hale-wire`, priced by [`crate::prices`], kept in the request's record.

/// Tokens of one answer. Absent counts are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input: u64,
    /// Tokens of the answer, reasoning included.
    pub output: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_input: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_creation: u64,
    /// Those of them that stay there for an hour, not for five minutes.
    pub cache_creation_1h: u64,
    /// Answer tokens spent on reasoning.
    pub reasoning: u64,
}
