//! A finished request and its calls of upstreams, as the gateway gives them.
//!
//! Made by the gateway's sink. Always true: texts are borrowed, and those that only rows of single requests have are made for these
//! alone, so that a request whose rows are not kept copies nothing.

/// A finished request, as it is billed. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpentRequest<'a> {
    /// When it arrived: its day is what it counts for.
    pub at: u64,
    /// When it ended.
    pub ended_at: u64,
    /// When its first content left.
    pub first_content_at: Option<u64>,
    /// The id that the client saw.
    pub call_id: &'a str,
    /// The operation.
    pub operation: &'a str,
    /// The same as LiteLLM calls it.
    pub call_type: &'a str,
    /// The same as LiteLLM's Daily rows have it.
    pub endpoint: &'a str,
    /// The hash of its key, or what stands for the master key.
    pub key: &'a str,
    /// Whose key it is.
    pub user: Option<&'a str>,
    /// The key's team.
    pub team: Option<&'a str>,
    /// The organization of key or team.
    pub organization: Option<&'a str>,
    /// The client's own customer.
    pub end_user: Option<&'a str>,
    /// The session that it is part of.
    pub session: Option<&'a str>,
    /// Its tags.
    pub tags: &'a [Box<str>],
    /// The periods with counters of their own that it is charged to.
    pub counters: &'a [SpentPeriod<'a>],
    /// The model as the client named it.
    pub requested_model: Option<&'a str>,
    /// The group that answered.
    pub model_group: Option<&'a str>,
    /// The name of that group in the config, if it stands for many models.
    pub pattern: Option<&'a str>,
    /// Whether it failed.
    pub is_failed: bool,
    /// Whether the cache of answers answered it.
    pub is_from_cache: bool,
    /// Whether it corrects the cost of another one: then it is no request more.
    pub is_correction: bool,
    /// Its calls of upstreams, in order.
    pub calls: &'a [SpentCall<'a>],
}

/// A period that has a counter of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpentPeriod<'a> {
    /// Whose: `key`, `team`, `user` or `end_user`.
    pub kind: &'a str,
    /// The id of it.
    pub id: &'a str,
    /// The model; empty is all of them.
    pub model: &'a str,
    /// The period: `1d`.
    pub period: &'a str,
    /// When it ends, milliseconds since 1970.
    pub ends: u64,
    /// What is added, 10^-9 USD: of a model what was spent at that model, else all that the request cost.
    pub cost_nano: i64,
}

/// A call of an upstream, as it is billed. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpentCall<'a> {
    /// The deployment.
    pub deployment: &'a str,
    /// The model group.
    pub model_group: &'a str,
    /// The provider.
    pub provider: &'a str,
    /// The model's name there.
    pub model: &'a str,
    /// What the config calls its deployment, if that stands for many models.
    pub pattern: Option<&'a str>,
    /// Host and port.
    pub address: &'a str,
    /// The HTTP status of its answer.
    pub status: Option<u16>,
    /// Why it failed, if it did.
    pub cause: Option<&'a str>,
    /// When it began.
    pub began_at: u64,
    /// When it ended.
    pub ended_at: u64,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Prompt tokens written to it.
    pub cache_write_tokens: u64,
    /// `provider`, `estimate` or `none`.
    pub counted_by: &'a str,
    /// The cost, 10^-9 USD; `None` if the price is not known.
    pub cost_nano: Option<i64>,
}

/// What only the rows of a single request have.
#[derive(Clone, Debug, Default)]
pub struct SpentTexts {
    /// All counts of each call, JSON objects; a call without one has none.
    pub counts: Vec<String>,
    /// The address that it came from.
    pub address: Option<String>,
    /// More, a JSON object.
    pub metadata: String,
    /// What the client sent, JSON; empty if that is not kept.
    pub messages: String,
    /// What it got, JSON; empty if that is not kept.
    pub response: String,
}

/// Which rows about single requests are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpendRows {
    /// How many requests a second have rows of their own, at most. What the others cost is in sums.
    pub per_second: u32,
}

impl SpentRequest<'_> {
    /// What it cost, 10^-9 USD.
    #[must_use]
    pub fn cost_nano(&self) -> i64 {
        let costs = self.calls.iter().filter_map(|call| call.cost_nano);
        costs.fold(0, i64::saturating_add)
    }

    /// The model that sums are kept by. Clients can make up names: one that no upstream was called with, or that no upstream billed,
    /// counts for what the config calls it, else for none.
    pub(super) fn counted_model(&self) -> &str {
        match self.last() {
            Some(call) => call.counted_model(),
            None if self.is_from_cache => self.requested_model.unwrap_or_default(),
            None => self.pattern.or(self.model_group).unwrap_or_default(),
        }
    }

    pub(super) fn sum(&self, of: impl Fn(&SpentCall<'_>) -> u64) -> i64 {
        let sum = self.calls.iter().map(of).fold(0, u64::saturating_add);
        i64::try_from(sum).unwrap_or(i64::MAX)
    }
}

impl<'a> SpentCall<'a> {
    /// The name that stands for it in sums, if its own is a client's and nothing was billed.
    fn unproven(&self) -> Option<&'a str> {
        self.pattern.filter(|_| self.counted_by == "none")
    }

    /// The model that sums are kept by.
    pub(super) fn counted_model(&self) -> &'a str {
        self.unproven().unwrap_or(self.model)
    }

    /// The group that sums are kept by.
    pub(super) fn counted_group(&self) -> &'a str {
        self.unproven().unwrap_or(self.model_group)
    }
}
