//! Money: whole numbers of a billionth of a US dollar.
//!
//! Used wherever a cost is compared with a budget. Always true: sums are exact and saturate; a number that is not finite is no
//! amount.

use std::fmt;

/// Parts of a dollar.
const PARTS: f64 = 1e9;
const DOLLAR: u64 = 1_000_000_000;

/// An amount of 10^-9 USD. It may be negative: a correction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// An amount of 10^-9 USD.
    #[must_use]
    pub const fn of_parts(parts: i64) -> Money {
        Money(parts)
    }

    /// The nearest amount to a number of dollars; `None` if it is not finite. One that is too large is the largest.
    #[must_use]
    pub fn of_usd(usd: f64) -> Option<Money> {
        #[allow(clippy::cast_possible_truncation, reason = "the cast saturates")]
        usd.is_finite().then(|| Money((usd * PARTS).round() as i64))
    }

    /// 10^-9 USD.
    #[must_use]
    pub const fn parts(self) -> i64 {
        self.0
    }

    /// Dollars, for people and for databases.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a millionth of a cent in nine million dollars")]
    pub fn usd(self) -> f64 {
        self.0 as f64 / PARTS
    }

    /// The sum.
    #[must_use]
    pub const fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// The difference.
    #[must_use]
    pub const fn minus(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

/// Dollars with at least one digit behind the point, as the reference prints them; small ones are written out, too.
impl fmt::Display for Money {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, part) = (self.0.unsigned_abs() / DOLLAR, self.0.unsigned_abs() % DOLLAR);
        let digits = format!("{part:09}");
        let digits = digits.trim_end_matches('0');
        write!(to, "{sign}{whole}.{}", if digits.is_empty() { "0" } else { digits })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dollars_become_the_nearest_part_and_print_as_the_reference_does() {
        for (usd, parts, text) in [
            (1.0, 1_000_000_000, "1.0"),
            (0.1 + 0.2, 300_000_000, "0.3"),
            (0.0, 0, "0.0"),
            (1e-9, 1, "0.000000001"),
            (1e-5, 10_000, "0.00001"),
            (-0.5, -500_000_000, "-0.5"),
            (1e6, 1_000_000_000_000_000, "1000000.0"),
            (12.345_678, 12_345_678_000, "12.345678"),
        ] {
            let money = Money::of_usd(usd).unwrap();
            assert_eq!((money.parts(), &*money.to_string()), (parts, text), "{usd}");
        }
        for usd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Money::of_usd(usd), None);
        }
        assert_eq!(Money::of_usd(1e308), Some(Money::of_parts(i64::MAX)));
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_their_order(parts in prop::collection::vec(-1_000_000_i64..1_000_000_000, 0..20)) {
            let sum = |all: &mut dyn Iterator<Item = &i64>| {
                all.fold(Money::ZERO, |sum, part| sum.plus(Money::of_parts(*part)))
            };
            prop_assert_eq!(sum(&mut parts.iter()), sum(&mut parts.iter().rev()));
        }
    }
}
