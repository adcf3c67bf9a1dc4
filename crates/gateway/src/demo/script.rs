//! The script of the demo: what happens when.

use super::provider::{COUNT, Mood, Provider};

/// One turn of events.
pub(super) struct Turn {
    /// When, in percent of the demo's length.
    percent: u64,
    /// How each provider behaves: steady, slow, flaky, standby.
    moods: [Mood; COUNT],
    /// What is printed.
    pub(super) told: &'static str,
}

/// The script.
static SCRIPT: &[Turn] = &[
    Turn {
        percent: 0,
        moods: [Mood::Healthy, Mood::Healthy, Mood::Healthy, Mood::Healthy],
        told: "All are healthy, and three share the traffic. Their answers prove it: only standby needs \
               probes.",
    },
    Turn {
        percent: 15,
        moods: [Mood::Healthy, Mood::Healthy, Mood::Failing, Mood::Healthy],
        told: "flaky now answers 500. Its requests move to the others; probes confirm the failure.",
    },
    Turn {
        percent: 38,
        moods: [Mood::Healthy, Mood::Healthy, Mood::Healthy, Mood::Healthy],
        told: "flaky is repaired. A probe sees it, one half-open request succeeds, and it is back.",
    },
    Turn {
        percent: 46,
        moods: [Mood::Healthy, Mood::Healthy, Mood::Healthy, Mood::Cutting],
        told: "standby breaks. It gets no requests, so only its probes notice.",
    },
    Turn {
        percent: 62,
        moods: [Mood::Cutting, Mood::Limited, Mood::Failing, Mood::Cutting],
        told: "All break. standby is known to be unhealthy and is not tried: the last resort answers.",
    },
    Turn {
        percent: 78,
        moods: [Mood::Healthy, Mood::Healthy, Mood::Healthy, Mood::Healthy],
        told: "All are repaired. After probes and one half-open request each they share the traffic \
        again.",
    },
];

/// The providers and the length of the demo.
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

    /// Starts the turn of second `now`, if there is one.
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
