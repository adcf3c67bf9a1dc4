//! What happens in the demo, and when.

use super::provider::{Mood, Provider};

/// One turn of events.
pub(super) struct Turn {
    /// When, in percent of the demo's length.
    percent: u64,
    /// Who is affected: steady, slow, flaky.
    moods: [Mood; 3],
    /// What the audience is told.
    pub(super) told: &'static str,
}

/// The script.
static SCRIPT: &[Turn] = &[
    Turn {
        percent: 0,
        moods: [Mood::Well, Mood::Well, Mood::Well],
        told: "All three providers are well and share the traffic.",
    },
    Turn {
        percent: 15,
        moods: [Mood::Well, Mood::Well, Mood::Failing],
        told: "flaky now answers 500. Watch its traffic move to the others, and its trials fail.",
    },
    Turn {
        percent: 40,
        moods: [Mood::Well, Mood::Well, Mood::Well],
        told: "flaky is repaired. Its next trial succeeds and it comes back.",
    },
    Turn {
        percent: 55,
        moods: [Mood::Cutting, Mood::Limited, Mood::Failing],
        told: "Everything breaks: steady cuts connections, slow is rate limited, flaky answers 500. \
               The last resort answers.",
    },
    Turn {
        percent: 75,
        moods: [Mood::Well, Mood::Well, Mood::Well],
        told: "All are repaired. One trial each, and they share the traffic again.",
    },
];

/// The script, the players, and how long it takes.
pub(super) struct Stage<'p> {
    providers: &'p [Provider; 3],
    seconds: u64,
}

impl<'p> Stage<'p> {
    /// A stage for a demo of that length.
    pub(super) fn new(providers: &'p [Provider; 3], seconds: u64) -> Stage<'p> {
        Stage { providers, seconds }
    }

    /// The providers.
    pub(super) fn providers(&self) -> &'p [Provider; 3] {
        self.providers
    }

    /// Brings about what begins in second `now`, and tells it.
    pub(super) fn turn(&self, now: u64) -> Option<&'static Turn> {
        let turn = SCRIPT.iter().find(|turn| turn.percent * self.seconds / 100 == now)?;
        for (provider, mood) in self.providers.iter().zip(turn.moods) {
            provider.set(mood);
        }
        Some(turn)
    }

    /// Whether the demo is over in second `now`.
    pub(super) fn is_over(&self, now: u64) -> bool {
        now >= self.seconds
    }
}
