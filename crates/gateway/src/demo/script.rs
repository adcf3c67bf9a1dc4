//! What happens in the demo, and when.

use super::provider::{COUNT, Mood, Provider};

/// One turn of events.
pub(super) struct Turn {
    /// When, in percent of the demo's length.
    percent: u64,
    /// Who is affected: steady, slow, flaky, standby.
    moods: [Mood; COUNT],
    /// What the audience is told.
    pub(super) told: &'static str,
}

/// The script.
static SCRIPT: &[Turn] = &[
    Turn {
        percent: 0,
        moods: [Mood::Well, Mood::Well, Mood::Well, Mood::Well],
        told: "All are well and three share the traffic. Their answers prove them well: only standby \
               needs checks.",
    },
    Turn {
        percent: 15,
        moods: [Mood::Well, Mood::Well, Mood::Failing, Mood::Well],
        told: "flaky now answers 500. Traffic meets it and moves to the others; checks confirm it.",
    },
    Turn {
        percent: 38,
        moods: [Mood::Well, Mood::Well, Mood::Well, Mood::Well],
        told: "flaky is repaired. A check sees it, one trial succeeds, and it comes back.",
    },
    Turn {
        percent: 46,
        moods: [Mood::Well, Mood::Well, Mood::Well, Mood::Cutting],
        told: "standby breaks, and no request is there to notice. Its checks do.",
    },
    Turn {
        percent: 62,
        moods: [Mood::Cutting, Mood::Limited, Mood::Failing, Mood::Cutting],
        told: "Everything breaks. standby is known to be down and is not even tried: the last resort \
               answers.",
    },
    Turn {
        percent: 78,
        moods: [Mood::Well, Mood::Well, Mood::Well, Mood::Well],
        told: "All are repaired. Checks and one trial each, and they share the traffic again.",
    },
];

/// The script, the players, and how long it takes.
pub(super) struct Stage<'p> {
    providers: &'p [Provider; COUNT],
    seconds: u64,
}

impl<'p> Stage<'p> {
    /// A stage for a demo of that length.
    pub(super) fn new(providers: &'p [Provider; COUNT], seconds: u64) -> Stage<'p> {
        Stage { providers, seconds }
    }

    /// The providers.
    pub(super) fn providers(&self) -> &'p [Provider; COUNT] {
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
