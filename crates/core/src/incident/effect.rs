//! What a fault did to requests.
//!
//! Counted by [`super::Tally`], summed by the watch and the book. Always true: a request is counted once, by the worst
//! that happened to it.

use serde::{Deserialize, Serialize};

/// Numbers of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// They failed, or their answer broke.
    pub hurt: u64,
    /// They were answered elsewhere, after an attempt that failed.
    pub moved: u64,
    /// They waited in line and were answered.
    pub waited: u64,
    /// They were refused without an attempt.
    pub refused: u64,
}

impl Effect {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Effect) -> Effect {
        Effect {
            hurt: self.hurt.saturating_add(other.hurt),
            moved: self.moved.saturating_add(other.moved),
            waited: self.waited.saturating_add(other.waited),
            refused: self.refused.saturating_add(other.refused),
        }
    }

    /// What came since `before`.
    #[must_use]
    pub const fn since(self, before: Effect) -> Effect {
        Effect {
            hurt: self.hurt.saturating_sub(before.hurt),
            moved: self.moved.saturating_sub(before.moved),
            waited: self.waited.saturating_sub(before.waited),
            refused: self.refused.saturating_sub(before.refused),
        }
    }

    /// All requests.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.failed().saturating_add(self.moved).saturating_add(self.waited)
    }

    /// Those that got no answer.
    #[must_use]
    pub const fn failed(self) -> u64 {
        self.hurt.saturating_add(self.refused)
    }

    /// `3 failed, 12 moved to another deployment`.
    #[must_use]
    pub fn words(self) -> String {
        let parts = [
            (self.hurt, "failed"),
            (self.refused, "refused"),
            (self.moved, "moved to another deployment"),
            (self.waited, "waited"),
        ];
        let told = parts.iter().filter(|(count, _)| *count > 0);
        let told: Vec<String> = told.map(|(count, what)| format!("{count} {what}")).collect();
        if told.is_empty() { "none".to_owned() } else { told.join(", ") }
    }
}
