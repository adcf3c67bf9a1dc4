//! What is taken off a cost and put on it: discounts of providers and margins of the operator.
//!
//! Part of [`super::ModelFacts`], applied by [`super::cost`] to each call that is billed. Always true: the discount comes first, then the
//! margin's share, then its fixed amount; a cost never becomes negative, and one that is not known stays unknown.

use crate::money::Money;

/// What changes a cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Adjust {
    /// The share that is taken off: 0 to 1.
    pub discount: f64,
    /// The share that is put on: 0 is none.
    pub margin: f64,
    /// What is put on each call besides.
    pub fixed: Money,
}

impl Adjust {
    /// Whether costs are as the provider bills them.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Adjust::default()
    }

    /// A cost in USD with all of it.
    #[must_use]
    pub fn applied(self, usd: f64) -> f64 {
        usd * (1.0 - self.discount) * (1.0 + self.margin) + self.fixed.usd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ModelFacts;
    use super::*;
    use crate::usage::Usage;

    #[test]
    fn a_discount_comes_before_a_margin_and_a_fixed_amount_is_put_on_each_call() {
        let facts = |adjust| ModelFacts {
            input_cost_per_token: Some(0.01),
            output_cost_per_token: Some(0.0),
            adjust,
            ..ModelFacts::default()
        };
        let usage = Usage { input: 100, ..Usage::default() };
        let cost = |adjust: Adjust| facts(adjust).cost(&usage).unwrap().to_string();
        assert_eq!(cost(Adjust::default()), "1.0");
        let both = Adjust { discount: 0.05, margin: 0.1, fixed: Money::ZERO };
        assert_eq!(cost(both), "1.045");
        let fixed = Adjust { fixed: Money::of_parts(1_000_000), ..both };
        assert_eq!(cost(fixed), "1.046");
        assert_eq!(cost(Adjust { discount: 1.0, ..Adjust::default() }), "0.0");
        let unknown = ModelFacts { adjust: fixed, ..ModelFacts::default() };
        assert_eq!(unknown.cost(&usage), None);
    }

    #[test]
    fn what_the_provider_reports_is_adjusted_too_and_a_free_model_with_a_fee_is_not_free() {
        use super::super::ReportedCost;
        let adjust = Adjust { discount: 0.5, ..Adjust::default() };
        let facts =
            ModelFacts { reported_cost: ReportedCost::Billed, adjust, ..ModelFacts::default() };
        let usage = Usage { reported: Some(Money::of_parts(3)), ..Usage::default() };
        assert_eq!(facts.cost(&usage), Some(Money::of_parts(2)));
        let free = ModelFacts {
            input_cost_per_token: Some(0.0),
            output_cost_per_token: Some(0.0),
            ..ModelFacts::default()
        };
        assert!(free.is_free());
        let fee = Adjust { fixed: Money::of_parts(1), ..Adjust::default() };
        assert!(!ModelFacts { adjust: fee, ..free }.is_free());
    }
}
