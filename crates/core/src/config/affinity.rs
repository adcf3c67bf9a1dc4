//! `affinity`, and the checks of `optional_pre_call_checks` that ask for the same.
//!
//! Called by [`super::settings`]. Always true: `affinity` says all there is to say, where it is set.

use crate::route::{AffinitySettings, Keeps};

use super::field::Field;
use super::problem::{Problems, Wrong, shown};
use super::suggest::{did_you_mean, nearest};

/// A mode in which these name the home: session, prefix, key.
const fn mode(keeps: Keeps, [by_session, by_prefix, by_key]: [bool; 3]) -> AffinitySettings {
    AffinitySettings { keeps, by_session, by_prefix, by_key }
}

const MODES: [(&str, AffinitySettings); 5] = [
    ("auto", mode(Keeps::WhereCheaper, [true, true, false])),
    ("off", mode(Keeps::Never, [false, false, false])),
    ("session", mode(Keeps::Always, [true, false, false])),
    ("prefix", mode(Keeps::Always, [false, true, false])),
    ("key", mode(Keeps::Always, [false, false, true])),
];

const ENFORCE_RATES: &str = "enforce_model_rate_limits";
/// Budgets are always enforced.
const BUDGETS: &str = "router_budget_limiting";
/// A request that continues a stored answer always goes where that is.
const STORED: &str = "responses_api_deployment_check";
const SESSIONS: &str = "session_affinity";
const PREFIXES: &str = "prompt_caching";
const KEYS: &str = "deployment_affinity";
/// All that are served.
const SERVED: [&str; 6] = [ENFORCE_RATES, BUDGETS, STORED, SESSIONS, PREFIXES, KEYS];
/// Checks of LiteLLM that do not exist here yet.
const OTHERS: [&str; 2] = ["forward_client_headers_by_model_group", "encrypted_content_affinity"];

/// What the config says.
#[derive(Debug, Default)]
pub(super) struct Written {
    mode: Option<AffinitySettings>,
    by_session: bool,
    by_prefix: bool,
    by_key: bool,
    /// Whether `rpm` and `tpm` are limits.
    pub(super) enforces_rates: bool,
}

impl Written {
    /// Reads `affinity`.
    pub(super) fn mode(&mut self, field: &Field<'_>, problems: &mut Problems) {
        let Some(name) = field.text(problems) else { return };
        self.mode = MODES.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode);
        if self.mode.is_none() {
            let near = did_you_mean(&nearest(name, MODES.iter().map(|(known, _)| *known)));
            let hint = if near.is_empty() {
                "write `auto`, `session`, `prefix`, `key` or `off`".into()
            } else {
                near
            };
            field.wrong(Wrong::new(format!("unknown affinity `{}`", shown(name)), hint), problems);
        }
    }

    /// Reads `optional_pre_call_checks`.
    pub(super) fn checks(&mut self, field: &Field<'_>, problems: &mut Problems) {
        for (i, item) in field.list(problems).unwrap_or(&[]).iter().enumerate() {
            let path = field.path.item(i);
            match item.text() {
                Some(ENFORCE_RATES) => self.enforces_rates = true,
                Some(BUDGETS | STORED) => {}
                Some(SESSIONS) => self.by_session = true,
                Some(PREFIXES) => self.by_prefix = true,
                Some(KEYS) => self.by_key = true,
                Some(name) if OTHERS.contains(&name) => {
                    let problem = format!("`{name}` is not served yet: ignored");
                    problems.warn(item.at, &path, Wrong::new(problem, ""));
                }
                other => {
                    let name = other.unwrap_or_default();
                    let near = did_you_mean(&nearest(name, SERVED.into_iter().chain(OTHERS)));
                    let problem = format!("unknown check `{}`", shown(name));
                    problems.warn(item.at, &path, Wrong::new(problem, near));
                }
            }
        }
    }

    /// What it says in all.
    pub(super) fn settings(&self) -> AffinitySettings {
        match self.mode {
            Some(mode) => mode,
            None if self.by_session || self.by_prefix || self.by_key => {
                mode(Keeps::Always, [self.by_session, self.by_prefix, self.by_key])
            }
            None => AffinitySettings::default(),
        }
    }
}
