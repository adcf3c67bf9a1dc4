//! Price lists by the day from which on they hold.
//!
//! Used where days of the past are priced again. Always true: a day has the newest list that is not younger than it; a model that this list
//! does not have has no price on that day.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use serde_json::value::RawValue;

use super::{ModelFacts, complete};

/// Lists in the form of the embedded one.
#[derive(Debug, Default)]
pub struct DatedLists(BTreeMap<Date, List>);

/// The models of one list.
#[derive(Debug)]
pub struct List(HashMap<String, Box<RawValue>>);

impl DatedLists {
    /// Adds the list that holds from that day on.
    ///
    /// # Errors
    /// It is no list.
    pub fn add(&mut self, from: Date, text: &str) -> Result<(), String> {
        let models: HashMap<String, Box<RawValue>> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        for (name, entry) in &models {
            serde_json::from_str::<ModelFacts>(entry.get())
                .map_err(|error| format!("{name}: {error}"))?;
        }
        self.0.insert(from, List(models));
        Ok(())
    }

    /// The list of a day; `None` before the first.
    #[must_use]
    pub fn of(&self, day: Date) -> Option<&List> {
        self.0.range(..=day).next_back().map(|(_, list)| list)
    }
}

impl List {
    /// The facts of a model with all of its prices: `provider/model` first, then `model`.
    #[must_use]
    pub fn priced(&self, provider: &str, model: &str) -> Option<ModelFacts> {
        self.exact(&format!("{provider}/{model}")).or_else(|| self.exact(model))
    }

    /// The same under exactly this name.
    #[must_use]
    pub fn exact(&self, name: &str) -> Option<ModelFacts> {
        let text = self.0.get(name)?.get();
        let mut facts = serde_json::from_str(text).ok()?;
        complete(&mut facts, text);
        Some(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_has_the_newest_list_that_is_not_younger_than_it() {
        let mut lists = DatedLists::default();
        let list = |usd: &str| format!(r#"{{"p/m": {{"input_cost_per_token": {usd}}}}}"#);
        lists.add(day("2026-11-01"), &list("0.1")).unwrap();
        lists.add(day("2026-11-15"), &list("0.2")).unwrap();
        let price = |text: &str| {
            lists.of(day(text)).and_then(|list| list.priced("p", "m")?.input_cost_per_token)
        };
        for (text, usd) in [
            ("2026-10-31", None),
            ("2026-11-01", Some(0.1)),
            ("2026-11-14", Some(0.1)),
            ("2026-11-15", Some(0.2)),
            ("2030-01-01", Some(0.2)),
        ] {
            assert_eq!(price(text), usd, "{text}");
        }
        assert!(lists.of(day("2026-11-02")).unwrap().priced("p", "other").is_none());
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_model() {
        let mut lists = DatedLists::default();
        assert!(lists.add(day("2026-11-01"), "[]").is_err());
        let wrong = lists.add(day("2026-11-01"), r#"{"m": {"input_cost_per_token": "much"}}"#);
        assert!(wrong.unwrap_err().starts_with("m: "));
    }
}
