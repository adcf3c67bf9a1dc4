//! Incidents, and who is told of them: `/alerting/incidents`, `/alerting/settings`, `/alerting/report`, `/alerting/test`.
//!
//! Called by the router. Always true: only operators get here; no address of a channel is shown.

use std::collections::BTreeMap;

use hale_core::config;
use hale_core::incident::{AlertSettings, Event, Incident, Message, Severity, lasted};
use hale_core::time::rfc3339;
use hale_store::{IncidentRow, UsageRow};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{PageRequest, Waiting};
use crate::http::refusal::Refusal;
use crate::http::reply::{self, Reply};
use crate::{alert, clock};

/// How many incidents a page has.
const LIMIT: u64 = 200;
/// The time that a report is about.
const DAY_MS: u64 = 86_400_000;
/// The type of the report.
const REPORTS: &str = "daily_reports";
/// Lines of a report.
const LINES_MAX: usize = 40;

/// `GET /alerting/incidents`: those that are open, and the last ones, the newest first; `?id=` is one of them.
pub(crate) fn incidents(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let process = &request.arrival.worker.process;
        let settings = &request.arrival.serving.snapshot.gateway.alerts;
        let open = process.alerts.incidents.load_full();
        let mut all: Vec<Value> =
            open.iter().rev().map(|incident| shown(incident, settings)).collect();
        let kept = match process.store() {
            Some(store) => store.latest_incidents(LIMIT).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let is_kept = |row: &&IncidentRow| !open.iter().any(|one| one.id == row.id);
        for row in kept.iter().filter(is_kept) {
            if let Ok(incident) = serde_json::from_str::<Incident>(&row.state) {
                all.push(shown(&incident, settings));
            }
        }
        if let Some(id) = request.parameter("id") {
            all.retain(|one| one["id"] == *id);
            if all.is_empty() {
                let message = "there is no incident with that id; /alerting/incidents lists those that are known";
                return Err(Refusal::new(
                    StatusCode::NOT_FOUND,
                    "unknown_incident",
                    message.to_owned(),
                ));
            }
        }
        let channels = process.alerts.channels.lock().clone();
        let channel = |name: &str| {
            let state = channels.get(name).cloned().unwrap_or_default();
            json!({"name": name, "sent": state.sent, "failed": state.failed, "problem": state.problem})
        };
        let channels: Vec<Value> = settings.channels.iter().map(|one| channel(&one.name)).collect();
        let page = json!({"incidents": all, "channels": channels});
        Ok(reply::json(StatusCode::OK, page.to_string()))
    })
}

fn shown(incident: &Incident, settings: &AlertSettings) -> Value {
    let event = if incident.is_down() { Event::Opened } else { Event::Resolved };
    let message = incident.message(event, settings);
    json!({
        "id": incident.id,
        "kind": incident.kind.name(),
        "severity": message.severity.name(),
        "stage": incident.stage_name(),
        "is_open": incident.is_down(),
        "title": message.title,
        "since": rfc3339(incident.since),
        "ended": incident.ended.map(rfc3339),
        "provider": message.provider,
        "cause": message.cause,
        "provider_message": message.words,
        "fix": message.fix,
        "requests": message.effect,
        "model_groups": message.groups,
        "model_groups_down": message.groups_down,
        "deployments": message.parts.iter().map(|part| &*part.name).collect::<Vec<_>>(),
        "more_deployments": message.more_parts,
        "messages_waiting": incident.letters.len(),
    })
}

/// `GET /alerting/settings`: the keys of `alerting_args` with what is in force. The shape is LiteLLM's.
pub(crate) fn settings(request: &PageRequest<'_>) -> Response<Reply> {
    let alerts = &request.arrival.serving.snapshot.gateway.alerts;
    let seconds = |ms: u64| json!(std::time::Duration::from_millis(ms).as_secs_f64());
    let rules = &alerts.rules;
    let value = |name: &str| match name {
        "min_affected" => json!(rules.min_affected),
        "minor_outage_alert_threshold" => json!(rules.min_failures),
        "major_outage_alert_threshold" => json!(rules.major_failures),
        "away_s" => seconds(rules.away_ms),
        "collect_s" => seconds(rules.collect_ms),
        "settle_s" => seconds(rules.settle_ms),
        "flap_s" => seconds(rules.flap_ms),
        "quiet_hours" => json!(rules.quiet.len()),
        "maintenance" => json!(rules.maintenance.len()),
        // Addresses and secrets are not shown.
        _ => Value::Null,
    };
    let is_slack = alerts.channels.iter().any(|one| one.place.name() == "slack");
    let mut fields = vec![field(
        ("slack_alerting", "Boolean", "Whether Slack is told of incidents."),
        json!(is_slack),
        "false",
    )];
    fields.extend(
        config::alerting_keys()
            .map(|key| field((key.name, key.kind, key.doc), value(key.name), key.default)),
    );
    reply::json(StatusCode::OK, Value::Array(fields).to_string())
}

fn field((name, kind, doc): (&str, &str, &str), value: Value, default: &str) -> Value {
    json!({
        "field_name": name,
        "field_type": kind,
        "field_description": doc,
        "field_value": value,
        "field_default_value": Some(default).filter(|text| !text.is_empty()),
        "stored_in_db": false,
        "premium_field": false,
    })
}

/// `POST /alerting/report`: the report of the last day, to the channels and as the answer.
pub(crate) fn report(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let process = &request.arrival.worker.process;
        let settings = &request.arrival.serving.snapshot.gateway.alerts;
        let now = clock::unix_ms();
        let Some(store) = process.store() else { return Err(no_store("there is no store")) };
        let rows = store.usage_since(now.saturating_sub(DAY_MS)).await;
        let rows = rows.map_err(|error| no_store(&error.to_string()))?;
        let incidents = store.latest_incidents(LIMIT).await.unwrap_or_default();
        let recent = incidents.iter().filter(|row| row.opened_at >= now.saturating_sub(DAY_MS));
        let recent: Vec<&IncidentRow> = recent.collect();
        let message = message(&rows, &recent, now);
        let mut told = Vec::new();
        for channel in settings.channels_of_type(REPORTS) {
            let sent = alert::send(channel, &message).await;
            let problem = sent.err().map(|refused| refused.why);
            told.push(json!({"channel": channel.name, "problem": problem}));
        }
        let page = json!({"title": message.title, "text": message.words, "sent_to": told});
        Ok(reply::json(StatusCode::OK, page.to_string()))
    })
}

/// `POST /alerting/test`: a test message to the channel that `?channel=` names, else to each.
pub(crate) fn test(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let settings = &request.arrival.serving.snapshot.gateway.alerts;
        let results = alert::test(settings, request.parameter("channel").as_deref()).await;
        let shown = |(channel, result): (&str, Result<(), alert::Refused>)| json!({"channel": channel, "problem": result.err().map(|refused| refused.why)});
        let tested: Vec<Value> = results.into_iter().map(shown).collect();
        if tested.is_empty() {
            let message = "no such channel is configured; general_settings.alerting names those that are told";
            let status = StatusCode::BAD_REQUEST;
            return Err(Refusal::new(status, "unknown_channel", message.to_owned()));
        }
        Ok(reply::json(StatusCode::OK, json!({"tested": tested}).to_string()))
    })
}

fn no_store(why: &str) -> Refusal {
    let message = format!("a report is made from the store, which cannot be read: {why}");
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no_store", message)
}

/// What happened in a day.
fn message(rows: &[UsageRow], incidents: &[&IncidentRow], now: u64) -> Message {
    #[derive(Default)]
    struct Sum {
        requests: u64,
        failed: u64,
        duration_us: u64,
        usd: f64,
    }
    let mut groups: BTreeMap<&str, Sum> = BTreeMap::new();
    let (mut requests, mut failed, mut usd) = (0_u64, 0_u64, 0.0);
    for row in rows {
        let sum = groups.entry(&row.model_group).or_default();
        sum.requests += row.requests;
        sum.duration_us += row.duration_us;
        sum.usd += row.cost_usd;
        (requests, usd) = (requests + row.requests, usd + row.cost_usd);
        if !row.cause.is_empty() {
            sum.failed += row.requests;
            failed += row.requests;
        }
    }
    let mut lines: Vec<String> = groups
        .iter()
        .take(LINES_MAX)
        .map(|(group, sum)| {
            let group = if group.is_empty() { "no group" } else { group };
            let mean_ms = sum.duration_us / 1_000 / sum.requests.max(1);
            format!(
                "{group}: {} requests, {} failed, {mean_ms} ms on average, {:.4} USD",
                sum.requests, sum.failed, sum.usd
            )
        })
        .collect();
    lines.extend(incidents.iter().take(LINES_MAX).map(|row| {
        let over = row.ended_at.map(|ended| lasted(ended.saturating_sub(row.opened_at)));
        let over = over.map_or("open".to_owned(), |time| format!("lasted {time}"));
        format!("incident at {}: {} ({over})", rfc3339(row.opened_at), row.title)
    }));
    let title = format!(
        "the last 24 hours: {requests} requests, {failed} failed, {usd:.4} USD, {} incidents",
        incidents.len()
    );
    let mut message = Message::apart(Event::Report, &title, now);
    message.severity = Severity::Info;
    message.words = lines.join("\n").into();
    message
}
