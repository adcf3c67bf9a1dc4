//! Ceilings of sessions.
//!
//! Called by the reader of settings. Always true: a ceiling is an amount above 0, or the config is refused: a wrong one would limit nothing.

use super::field::Field;
use super::problem::{Problems, Wrong};
use crate::money::Money;

/// `max_budget_per_session`.
pub(super) fn budget(field: &Field<'_>, problems: &mut Problems) -> Option<Money> {
    let budget = field.number(problems).and_then(Money::of_usd)?;
    if budget <= Money::ZERO {
        let hint = "remove it for no ceiling";
        field.wrong(Wrong::new("a budget of 0 would refuse every request", hint), problems);
        return None;
    }
    Some(budget)
}
