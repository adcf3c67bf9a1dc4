//! What differs from one of Google's models to the next.
//!
//! Asked by the writer of requests and by the fit. Always true: a name that says nothing of its generation is taken for an
//! older model, unless it is that of the latest one.

use crate::formats::signed_call;

/// A model, by its name at the provider.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model<'m>(pub(crate) &'m str);

impl Model<'_> {
    /// Whether it is of the third generation or later: it has levels of thinking, ids of calls, and pictures in results.
    pub(crate) fn is_newer(self) -> bool {
        signed_call::is_demanded(self.0)
    }

    /// Whether it always thinks.
    pub(super) fn is_pro(self) -> bool {
        self.0.contains("-pro")
    }

    /// The least thinking that it has, besides none, in tokens. Source: LiteLLM.
    pub(super) fn least_budget(self) -> u64 {
        if self.0.contains("flash-lite") {
            512
        } else if self.0.contains("flash") {
            1
        } else {
            128
        }
    }

    /// A budget for thinking that a client names, within what the model has. Source:
    /// <https://ai.google.dev/gemini-api/docs/thinking#set-budget>.
    pub(super) fn bounded(self, budget: u64) -> u64 {
        let most = if self.is_pro() { 32_768 } else { 24_576 };
        budget.clamp(self.least_budget(), most)
    }
}
