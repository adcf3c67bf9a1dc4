//! What one budget allows: an amount and a window, read together.
//!
//! Called by the readers of `litellm_params` and of [`super::budgets`]. Always true: an amount
//! without a window is not a budget, and neither is a window without an amount.

use crate::health::Period;

use super::field::Field;
use super::if_wrong::IfWrong;
use super::problem::{At, Path, Problems, Wrong, shown};

/// Longest window, days.
const DAYS_MAX: u64 = 3_660;

/// What one budget allows.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) limit_usd: f64,
    pub(super) period: Period,
    pub(super) written: Box<str>,
}

/// `max_budget` and `budget_duration`, or `budget_limit` and `time_period`, as they are found.
#[derive(Debug, Default)]
pub(super) struct Parts {
    limit: Option<(f64, At)>,
    period: Option<(Period, Box<str>, At)>,
    /// Whether one of them was wrong and has been reported.
    is_wrong: bool,
}

impl Parts {
    /// Whether neither was found, right or wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.limit.is_none() && self.period.is_none() && !self.is_wrong
    }

    /// Takes the amount.
    pub(super) fn limit(&mut self, field: &Field<'_>, problems: &mut Problems) {
        match field.number(problems) {
            Some(usd) if usd > 0.0 => self.limit = Some((usd, field.at)),
            Some(_) => {
                self.is_wrong = true;
                let hint = "remove it for no limit; `blocked: true` pauses a deployment";
                field.wrong(Wrong::new("a budget of 0 would refuse every request", hint), problems);
            }
            None => self.is_wrong = true,
        }
    }

    /// Takes the length of the window.
    pub(super) fn period(&mut self, field: &Field<'_>, problems: &mut Problems) {
        let Some(text) = field.text(problems) else {
            self.is_wrong = true;
            return;
        };
        match period(text) {
            Some(period) => self.period = Some((period, text.trim().into(), field.at)),
            None => {
                self.is_wrong = true;
                let problem = format!("expected a length of time, got `{}`", shown(text));
                let hint = "write a number with a unit: `30s`, `10m`, `24h`, `7d`, `2w` or `1mo`";
                field.wrong(Wrong::new(problem, hint), problems);
            }
        }
    }

    /// Returns both together; `names` are their keys here. An amount without a window is wrong; a window without an amount
    /// limits nothing.
    pub(super) fn terms(
        self,
        path: &Path<'_>,
        names: (&str, &str),
        if_wrong: IfWrong,
        problems: &mut Problems,
    ) -> Option<Terms> {
        let mut lacks = |then: IfWrong, at: At, present: &str, absent: &str| {
            let problem = format!("`{present}` without `{absent}` is not a budget");
            problems.wrong(then, at, path, Wrong::new(problem, format!("add `{absent}`")));
        };
        match (self.limit, self.period) {
            (Some((limit_usd, _)), Some((period, written, _))) => {
                Some(Terms { limit_usd, period, written })
            }
            _ if self.is_wrong => None,
            (Some((_, at)), None) => {
                lacks(if_wrong, at, names.0, names.1);
                None
            }
            (None, Some((.., at))) => {
                lacks(IfWrong::Unset, at, names.1, names.0);
                None
            }
            (None, None) => None,
        }
    }
}

/// A length of time, written as in LiteLLM.
fn period(text: &str) -> Option<Period> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let count: u64 = digits.parse().ok().filter(|count| *count > 0)?;
    let second = 1_000;
    let ms = match unit {
        "s" => second,
        "m" => 60 * second,
        "h" => 3_600 * second,
        "d" => 86_400 * second,
        "w" => 7 * 86_400 * second,
        "mo" => {
            return u16::try_from(count).ok().filter(|months| *months <= 120).map(Period::Months);
        }
        _ => return None,
    };
    count.checked_mul(ms).filter(|ms| *ms <= DAYS_MAX * 86_400 * second).map(Period::Ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_numbers_with_units() {
        let day = 86_400_000;
        for (text, expected) in [
            ("30s", Period::Ms(30_000)),
            ("10m", Period::Ms(600_000)),
            ("24h", Period::Ms(day)),
            ("1d", Period::Ms(day)),
            ("2w", Period::Ms(14 * day)),
            ("1mo", Period::Months(1)),
        ] {
            assert_eq!(period(text), Some(expected), "{text}");
        }
        for bad in ["", "d", "0d", "1", "1y", "1.5d", "-1d", "1dd", "99999999999999999d", "999mo"] {
            assert_eq!(period(bad), None, "{bad}");
        }
    }
}
