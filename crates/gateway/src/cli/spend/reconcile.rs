//! `hale spend reconcile`: the ledger beside a provider's report of costs.
//!
//! Sources: <https://platform.openai.com/docs/api-reference/usage/costs>,
//! <https://platform.claude.com/docs/en/api/admin-api/usage-cost/get-cost-report>. Always true: only days that the report has are compared.

use std::collections::{BTreeMap, BTreeSet};

use hale_store::Database;
use serde_json::Value;

use super::Done;

/// Differences below a cent are none.
const LEAST_USD: f64 = 0.01;

/// USD by day and model.
type Costs = BTreeMap<(String, String), f64>;

/// A report.
struct Report {
    provider: &'static str,
    costs: Costs,
}

/// Reads a report in one of the two forms.
fn read(text: &str) -> Result<Report, String> {
    let wrong = "the report is neither of OpenAI's costs nor of Anthropic's cost report: it has no `data` with `results`";
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("the report is no JSON: {error}"))?;
    let buckets = value.get("data").and_then(Value::as_array).ok_or(wrong)?;
    let is_anthropic = buckets.iter().any(|bucket| bucket.get("starting_at").is_some());
    let mut costs = Costs::new();
    for bucket in buckets {
        let day = match bucket.get("start_time").and_then(Value::as_i64) {
            Some(seconds) => {
                let at =
                    jiff::Timestamp::from_second(seconds).map_err(|error| error.to_string())?;
                at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
            }
            None => {
                let text = bucket.get("starting_at").and_then(Value::as_str).ok_or(wrong)?;
                text.split('T').next().unwrap_or_default().to_owned()
            }
        };
        for result in bucket.get("results").and_then(Value::as_array).ok_or(wrong)? {
            let (model, usd) = match is_anthropic {
                true => of_anthropic(result),
                false => of_openai(result),
            };
            *costs.entry((day.clone(), model)).or_default() += usd;
        }
    }
    Ok(Report { provider: if is_anthropic { "anthropic" } else { "openai" }, costs })
}

/// A line such as `gpt-4o-2024-08-06, input`, in dollars.
fn of_openai(result: &Value) -> (String, f64) {
    let line = result.get("line_item").and_then(Value::as_str).unwrap_or_default();
    let model = line.split(',').next().unwrap_or_default().trim().to_owned();
    let value = &result["amount"]["value"];
    let usd = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    (model, usd.unwrap_or(0.0))
}

/// An amount of cents, as text.
fn of_anthropic(result: &Value) -> (String, f64) {
    let model = result.get("model").and_then(Value::as_str);
    let described = result.get("description").and_then(Value::as_str);
    let amount = &result["amount"];
    let cents: Option<f64> =
        amount.as_str().and_then(|text| text.parse().ok()).or_else(|| amount.as_f64());
    (model.or(described).unwrap_or_default().to_owned(), cents.unwrap_or(0.0) / 100.0)
}

/// Whether both are one model: a report has the date of a version that a name leaves out.
fn is_same(reported: &str, own: &str) -> bool {
    let dated = |long: &str, short: &str| {
        long.strip_prefix(short).and_then(|tail| tail.strip_prefix('-')).is_some_and(|tail| {
            tail.len() >= 8 && tail.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        })
    };
    reported == own || dated(reported, own) || dated(own, reported)
}

pub(super) async fn run(database: &Database, text: &str, tolerance: f64) -> Done {
    let report = read(text)?;
    let days: BTreeSet<&String> = report.costs.keys().map(|(day, _)| day).collect();
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        return Ok(("the report has no day\n".to_owned(), true));
    };
    let ledger = database.model_days(first, last).await.map_err(|error| error.to_string())?;
    let mut own = Costs::new();
    for sum in ledger
        .iter()
        .filter(|sum| *sum.provider == *report.provider && days.contains(&sum.day.to_string()))
    {
        let reported = report
            .costs
            .keys()
            .find(|(day, model)| **day == *sum.day && is_same(model, &sum.model));
        let model = reported.map_or_else(|| sum.model.to_string(), |(_, model)| model.clone());
        *own.entry((sum.day.to_string(), model)).or_default() +=
            hale_core::money::Money::of_parts(sum.nano).usd();
    }
    let all: BTreeSet<&(String, String)> = own.keys().chain(report.costs.keys()).collect();
    let mut text = format!(
        "{:<12}{:<40}{:>14}{:>14}{:>12}\n",
        "day", "model", "ledger USD", "billed USD", "difference"
    );
    let mut agrees = true;
    for place in all {
        let (ours, billed) = (
            own.get(place).copied().unwrap_or(0.0),
            report.costs.get(place).copied().unwrap_or(0.0),
        );
        let differs = (ours - billed).abs() > LEAST_USD.max(billed.abs() * tolerance / 100.0);
        agrees &= !differs;
        let mark = if differs { " *" } else { "" };
        let (day, model) = place;
        text.push_str(&format!(
            "{day:<12}{model:<40}{ours:>14.6}{billed:>14.6}{:>12.6}{mark}\n",
            ours - billed
        ));
    }
    text.push_str(if agrees { "they agree\n" } else { "* more than may differ\n" });
    Ok((text, agrees))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_reports_are_read_in_dollars_by_day_and_model() {
        let openai = r#"{"object":"page","data":[{"object":"bucket","start_time":1795824000,"end_time":1795910400,"results":[
            {"object":"organization.costs.result","amount":{"value":0.06,"currency":"usd"},"line_item":"gpt-4o-2024-08-06, input"},
            {"object":"organization.costs.result","amount":{"value":0.02,"currency":"usd"},"line_item":"gpt-4o-2024-08-06, output"}]}]}"#;
        let report = read(openai).unwrap();
        let place = ("2026-11-28".to_owned(), "gpt-4o-2024-08-06".to_owned());
        assert_eq!((report.provider, report.costs.len()), ("openai", 1));
        assert!((report.costs[&place] - 0.08).abs() < 1e-12);
        let anthropic = r#"{"data":[{"starting_at":"2026-11-28T00:00:00Z","ending_at":"2026-11-29T00:00:00Z","results":[
            {"currency":"USD","amount":"123.45","model":"claude-sonnet-4-5-20250929","token_type":"output_tokens"}]}],"has_more":false}"#;
        let report = read(anthropic).unwrap();
        let place = ("2026-11-28".to_owned(), "claude-sonnet-4-5-20250929".to_owned());
        assert!((report.costs[&place] - 1.2345).abs() < 1e-12 && report.provider == "anthropic");
        assert!(read("{}").is_err() && read("no").is_err());
    }

    #[test]
    fn a_dated_version_is_its_model_and_a_larger_model_is_not() {
        for (reported, own, same) in [
            ("gpt-4o-2024-08-06", "gpt-4o", true),
            ("gpt-4o-mini", "gpt-4o", false),
            ("gpt-4o-mini-2024-07-18", "gpt-4o", false),
            ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5", true),
            ("gpt-4o", "gpt-4o", true),
        ] {
            assert_eq!(is_same(reported, own), same, "{reported} {own}");
        }
    }
}
