//! Settings that people also write outside of the section that they belong to.
//!
//! Read by [`super::settings`] for each key of `litellm_settings` and `general_settings`. Always true: the
//! section that a setting belongs to wins, then the first that has it.

use crate::settings::RouterSettings;

use super::field::Field;
use super::problem::Problems;
use super::tree::{Map, Node};

/// What the other sections say.
#[derive(Default)]
pub(super) struct Elsewhere {
    timeout_ms: Option<u64>,
    cooldown_ms: Option<u64>,
    retry_after_ms: Option<u64>,
    json_logs: Option<bool>,
}

impl Elsewhere {
    /// Reads `field` if it is one of these settings.
    pub(super) fn read(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        match field.row.name {
            "timeout" => keep(&mut self.timeout_ms, field.time(problems)),
            "cooldown_time" => keep(&mut self.cooldown_ms, field.time(problems)),
            "retry_after" => keep(&mut self.retry_after_ms, field.time(problems)),
            "json_logs" => keep(&mut self.json_logs, field.flag(problems)),
            _ => return false,
        }
        true
    }

    /// Whether the lines of the log are JSON.
    pub(super) fn json_logs(&self) -> bool {
        self.json_logs.unwrap_or(false)
    }

    /// Sets what `router_settings` of `top` does not set.
    pub(super) fn complete(&self, router: &mut RouterSettings, top: &Map) {
        let own = top.get("router_settings").and_then(Node::as_map);
        let is_own = |key| own.and_then(|map| map.get(key)).is_some_and(|node| !node.is_unset());
        let times = [
            ("timeout", self.timeout_ms, &mut router.timeout_ms),
            ("cooldown_time", self.cooldown_ms, &mut router.cooldown_ms),
            ("retry_after", self.retry_after_ms, &mut router.retry_after_ms),
        ];
        for (key, elsewhere, time) in times {
            if let Some(ms) = elsewhere.filter(|_| !is_own(key)) {
                *time = ms;
            }
        }
    }
}

/// Keeps what came first.
fn keep<T: Copy>(setting: &mut Option<T>, found: Option<T>) {
    *setting = setting.or(found);
}
