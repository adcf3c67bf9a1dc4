//! How deployments are probed: settings for all of them, and rules of each.
//!
//! Built by [`crate::config`]. Always true: every number is within the range of its config key.

/// Settings for all probes. The names and defaults are LiteLLM's where it has the key.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSettings {
    /// Whether deployments are probed in the background: `background_health_checks`.
    pub background: bool,
    /// The interval of probes, milliseconds. 300 s.
    pub interval_ms: u64,
    /// Background probes in flight together. 16.
    pub concurrency: u32,
    /// Whether verdicts keep traffic away: `enable_health_check_routing`, with `background`.
    pub routing: bool,
    /// `health_check_staleness_threshold`, milliseconds.
    pub staleness_ms: Option<u64>,
    /// Whether a timeout is ignored: `health_check_ignore_transient_errors`.
    pub ignores_transient: bool,
    /// Whether `/health` leaves out deployments without background probes.
    pub skips_disabled: bool,
    /// The only groups that are probed in the background; empty means all.
    pub groups: Vec<Box<str>>,
    /// Whether a probe is skipped while traffic proves the same.
    pub skips_if_live: bool,
    /// What all probes of a day may cost, USD.
    pub daily_budget_usd: Option<f64>,
    /// Whether listings hide groups without a healthy deployment: `model_list_healthy_only`.
    pub lists_healthy_only: bool,
    /// The prompt of probes: `DEFAULT_HEALTH_CHECK_PROMPT`.
    pub prompt: Box<str>,
    /// Time limit of one probe, milliseconds. 60 s.
    pub timeout_ms: u64,
    /// `BACKGROUND_HEALTH_CHECK_MAX_TOKENS`.
    pub max_tokens: Option<u32>,
    /// `BACKGROUND_HEALTH_CHECK_MAX_TOKENS_REASONING`.
    pub max_tokens_reasoning: Option<u32>,
}

impl Default for ProbeSettings {
    fn default() -> ProbeSettings {
        ProbeSettings {
            background: false,
            interval_ms: 300_000,
            concurrency: 16,
            routing: false,
            staleness_ms: None,
            ignores_transient: false,
            skips_disabled: false,
            groups: Vec::new(),
            skips_if_live: true,
            daily_budget_usd: None,
            lists_healthy_only: false,
            prompt: "test from litellm".into(),
            timeout_ms: 60_000,
            max_tokens: None,
            max_tokens_reasoning: None,
        }
    }
}

impl ProbeSettings {
    /// The age at which a verdict stops counting, milliseconds.
    #[must_use]
    pub fn staleness_ms(&self) -> u64 {
        self.staleness_ms.unwrap_or(self.interval_ms.saturating_mul(2))
    }

    /// Whether verdicts keep traffic away.
    #[must_use]
    pub fn routes(&self) -> bool {
        self.background && self.routing
    }

    /// What all probes of a day may cost, in units of 10^-9 USD.
    #[must_use]
    pub fn daily_budget_nano_usd(&self) -> Option<u64> {
        self.daily_budget_usd.map(nano)
    }

    /// Whether deployments of `group` are probed in the background.
    #[must_use]
    pub fn covers(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|one| **one == *group)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and at most what the config's range allows"
)]
fn nano(usd: f64) -> u64 {
    (usd * 1e9) as u64
}

impl ProbeRules {
    /// What probes of this deployment may cost a day, in units of 10^-9 USD.
    #[must_use]
    pub fn daily_budget_nano_usd(&self) -> Option<u64> {
        self.daily_budget_usd.map(nano)
    }
}

/// What `model_info` says about the probes of one deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeRules {
    /// Whether the config has `model_info.mode`, rather than the price list or a guess.
    pub has_mode: bool,
    /// `health_check_model`.
    pub model: Option<Box<str>>,
    /// `health_check_prompt`.
    pub prompt: Option<Box<str>>,
    /// `health_check_max_tokens`.
    pub max_tokens: Option<u32>,
    /// `health_check_max_tokens_reasoning`.
    pub max_tokens_reasoning: Option<u32>,
    /// `health_check_max_tokens_non_reasoning`.
    pub max_tokens_non_reasoning: Option<u32>,
    /// `health_check_supports_max_tokens`.
    pub supports_max_tokens: Option<bool>,
    /// `health_check_reasoning_effort`.
    pub reasoning_effort: Option<Box<str>>,
    /// `health_check_voice`.
    pub voice: Option<Box<str>>,
    /// `health_check_params`: name and JSON text.
    pub params: Vec<(Box<str>, Box<str>)>,
    /// `health_check_timeout`, milliseconds.
    pub timeout_ms: Option<u64>,
    /// `health_check_kind: metadata`: no probe ever generates.
    pub metadata: bool,
    /// `disable_background_health_check`.
    pub opts_out: bool,
    /// `health_check_daily_budget_usd` of this deployment.
    pub daily_budget_usd: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_threshold_a_verdict_lasts_two_intervals() {
        let mut settings = ProbeSettings { interval_ms: 60_000, ..ProbeSettings::default() };
        assert_eq!(settings.staleness_ms(), 120_000);
        settings.staleness_ms = Some(90_000);
        assert_eq!(settings.staleness_ms(), 90_000);
        assert_eq!(
            (ProbeSettings::default().interval_ms, ProbeSettings::default().timeout_ms),
            (300_000, 60_000)
        );
    }
}
