//! `hale spend reconcile`: the ledger beside a provider's report of costs.
//!
//! Sources: <https://platform.openai.com/docs/api-reference/usage/costs>,
//! <https://platform.claude.com/docs/en/api/admin-api/usage-cost/get-cost-report>. Always true: only days that the report has are compared; a
//! line that cannot be read, or is not in dollars, is an error that names it: it is never taken for nothing.

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
    /// Whether another page follows.
    has_more: bool,
}

/// Reads the pages of a report.
///
/// # Errors
/// One cannot be read, they are of two providers, or the last page says that more follow.
fn read_all(pages: &[String]) -> Result<Report, String> {
    let mut whole: Option<Report> = None;
    for page in pages {
        let Report { provider, costs, has_more } = read(page)?;
        let whole = whole.get_or_insert(Report { provider, costs: Costs::new(), has_more });
        if whole.provider != provider {
            return Err(format!("one page is of {}, another of {provider}", whole.provider));
        }
        whole.has_more = has_more;
        for (place, usd) in costs {
            *whole.costs.entry(place).or_default() += usd;
        }
    }
    let whole = whole.ok_or("no report is named")?;
    if whole.has_more {
        let problem = "the report is not whole: its last page says `has_more`; fetch the page that `next_page` names (`page=...`), or \
                       ask for a larger `limit`, and name all pages in order";
        return Err(problem.to_owned());
    }
    Ok(whole)
}

/// Reads a page of a report in one of the two forms.
fn read(text: &str) -> Result<Report, String> {
    let wrong = "the report is neither of OpenAI's costs nor of Anthropic's cost report: it has no `data` with `results`";
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("the report is no JSON: {error}"))?;
    let buckets = value.get("data").and_then(Value::as_array).ok_or(wrong)?;
    let is_anthropic = buckets.iter().any(|bucket| bucket.get("starting_at").is_some());
    let mut costs = Costs::new();
    for (at, bucket) in buckets.iter().enumerate() {
        let day = day(bucket).ok_or_else(|| {
            format!("data[{at}] of the report has no day that can be read: {}", short(bucket))
        })?;
        let results = bucket.get("results").and_then(Value::as_array).ok_or(wrong)?;
        for (number, result) in results.iter().enumerate() {
            let line = match is_anthropic {
                true => of_anthropic(result),
                false => of_openai(result),
            };
            let (model, usd) = line.map_err(|problem| {
                format!(
                    "data[{at}].results[{number}] of the report ({day}) {problem}: {}; fetch the report again, or correct that line",
                    short(result)
                )
            })?;
            *costs.entry((day.clone(), model)).or_default() += usd;
        }
    }
    let has_more = value.get("has_more").and_then(Value::as_bool).unwrap_or(false);
    let provider = if is_anthropic { "anthropic" } else { "openai" };
    Ok(Report { provider, costs, has_more })
}

/// The day of a bucket, UTC.
fn day(bucket: &Value) -> Option<String> {
    let at = match bucket.get("start_time") {
        Some(seconds) => jiff::Timestamp::from_second(seconds.as_i64()?).ok()?,
        None => bucket.get("starting_at")?.as_str()?.parse().ok()?,
    };
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}

/// The beginning of a value, for a message.
fn short(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}

/// What is wrong with a line, behind its name.
type Wrong = &'static str;

/// A line such as `gpt-4o-2024-08-06, input`, in dollars.
fn of_openai(result: &Value) -> Result<(String, f64), Wrong> {
    let line = result.get("line_item").and_then(Value::as_str).filter(|line| !line.is_empty());
    let line = line.ok_or("has no line_item (ask for the report with group_by=line_item)")?;
    let model = line.split(',').next().unwrap_or_default().trim().to_owned();
    let amount = &result["amount"];
    Ok((model, money((&amount["value"], &amount["currency"]))?))
}

/// An amount of cents, as text.
fn of_anthropic(result: &Value) -> Result<(String, f64), Wrong> {
    let text = |name: &str| result.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
    let model = text("model").or_else(|| text("description"));
    let model = model.ok_or(
        "has neither a model nor a description (ask for the report with group_by[]=description)",
    )?;
    Ok((model.to_owned(), money((&result["amount"], &result["currency"]))? / 100.0))
}

/// An amount, a number or a text, that is in dollars.
fn money((amount, currency): (&Value, &Value)) -> Result<f64, Wrong> {
    let is_usd = currency.as_str().is_some_and(|name| name.eq_ignore_ascii_case("usd"));
    if !is_usd {
        return Err("is not in USD");
    }
    let number = amount.as_f64().or_else(|| amount.as_str()?.parse().ok());
    number.filter(|number| number.is_finite()).ok_or("has no amount that is a number")
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

pub(super) async fn run(database: &Database, pages: &[String], tolerance: f64) -> Done {
    if !tolerance.is_finite() || tolerance < 0.0 {
        return Err(format!("--tolerance must be a percentage from 0 on, and is {tolerance}"));
    }
    let report = read_all(pages)?;
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
    fn a_report_of_which_a_page_is_missing_is_refused_and_pages_are_added_up() {
        let page = |usd: f64, has_more: bool| {
            format!(
                r#"{{"data":[{{"start_time":1795824000,"results":[
                    {{"amount":{{"value":{usd},"currency":"usd"}},"line_item":"gpt-4o, input"}}]}}],"has_more":{has_more}}}"#
            )
        };
        let error = read_all(&[page(1.0, true)]).err().unwrap();
        assert!(error.contains("has_more") && error.contains("next_page"), "{error}");
        let whole = read_all(&[page(1.0, true), page(2.0, false)]).unwrap();
        assert_eq!(whole.costs.values().copied().collect::<Vec<_>>(), [3.0]);
        let other =
            r#"{"data":[{"starting_at":"2026-11-28T00:00:00Z","results":[]}],"has_more":false}"#;
        assert!(read_all(&[page(1.0, true), other.to_owned()]).is_err());
    }

    #[test]
    fn a_line_that_is_no_money_in_dollars_is_named_and_never_taken_for_nothing() {
        let openai = |amount: &str, line: &str| {
            format!(
                r#"{{"data":[{{"start_time":1795824000,"results":[
                    {{"amount":{{"value":0.06,"currency":"usd"}},"line_item":"gpt-4o, input"}},
                    {{"amount":{amount},"line_item":{line}}}]}}]}}"#
            )
        };
        let anthropic = |line: &str| {
            format!(r#"{{"data":[{{"starting_at":"2026-11-28T00:00:00Z","results":[{line}]}}]}}"#)
        };
        let line = "\"gpt-4o, input\"";
        let second = "data[0].results[1] of the report (2026-11-28)";
        let first = "data[0].results[0] of the report (2026-11-28)";
        for (text, place, problem) in [
            (
                openai(r#"{"value":"abc","currency":"usd"}"#, line),
                second,
                "no amount that is a number",
            ),
            (
                openai(r#"{"value":"NaN","currency":"usd"}"#, line),
                second,
                "no amount that is a number",
            ),
            (
                openai(r#"{"value":null,"currency":"usd"}"#, line),
                second,
                "no amount that is a number",
            ),
            (openai(r#"{"currency":"usd"}"#, line), second, "no amount that is a number"),
            (openai(r#"{"value":1,"currency":"eur"}"#, line), second, "is not in USD"),
            (openai(r#"{"value":1}"#, line), second, "is not in USD"),
            (openai(r#"{"value":1,"currency":"usd"}"#, "null"), second, "group_by=line_item"),
            (anthropic(r#"{"currency":"EUR","amount":"1","model":"m"}"#), first, "is not in USD"),
            (anthropic(r#"{"currency":"USD","amount":"1,5","model":"m"}"#), first, "no amount"),
            (anthropic(r#"{"currency":"USD","amount":"1"}"#), first, "group_by[]=description"),
        ] {
            let error = read(&text).err().unwrap_or_default();
            assert!(error.contains(place) && error.contains(problem), "{text}: {error}");
        }
        let error = read(r#"{"data":[{"starting_at":"soon","results":[]}]}"#).err().unwrap();
        assert!(error.contains("data[0]") && error.contains("soon"), "{error}");
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
