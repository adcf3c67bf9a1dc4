//! Langfuse: a trace and a generation for each request.
//!
//! Called by [`super`]. Always true: the ids follow from the request's, so that what is sent twice is stored once. Source of the
//! format: <https://api.reference.langfuse.com/#tag/ingestion>.

use hale_core::settings::Release;
use serde::Deserialize;

use super::Verdict;
use crate::sink::export::json::{Object, object, time};
use crate::sink::export::told::Told;
use crate::upstream::{Heard, Outward};

/// Writes the two events of a record, joined by a comma.
pub(super) fn write(release: &Release, told: &Told<'_>, out: &mut Vec<u8>) {
    let call_id = &*told.record.call_id;
    let trace_id = told.meta("existing_trace_id").or_else(|| told.meta("trace_id"));
    let trace_id = trace_id.unwrap_or_else(|| call_id.to_owned());
    event(told, (&format!("{call_id}-trace"), "trace-create"), out, |body| {
        trace(release, told, &trace_id, body);
    });
    out.push(b',');
    event(told, (&format!("{call_id}-generation"), "generation-create"), out, |body| {
        generation(release, told, &trace_id, body);
    });
}

fn event(
    told: &Told<'_>,
    (id, kind): (&str, &str),
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Object<'_>),
) {
    object(out, |event| {
        event.text("id", id);
        event.text("timestamp", &time(told.ended_us()));
        event.text("type", kind);
        event.object("body", fill);
    });
}

fn trace(release: &Release, told: &Told<'_>, trace_id: &str, body: &mut Object<'_>) {
    body.text("id", trace_id);
    body.text("timestamp", &time(told.began_us()));
    let name = told.meta("trace_name");
    body.text(
        "name",
        name.as_deref().unwrap_or(&format!("litellm-{}", told.record.operation.name())),
    );
    body.some("userId", told.meta("trace_user_id").or_else(|| told.user()).as_deref());
    body.some("sessionId", told.session().as_deref());
    body.some("release", told.meta("trace_release").as_deref().or(release.release.as_deref()));
    body.some("version", told.meta("trace_version").as_deref());
    body.some("environment", release.environment.as_deref());
    if let Some(tags) = told.tags() {
        body.raw("tags", &tags);
    }
    said(told, body);
    body.object("metadata", |metadata| facts(told, metadata));
}

/// What was said.
fn said(told: &Told<'_>, body: &mut Object<'_>) {
    const MASKED: [&str; 2] = ["mask_input", "mask_output"];
    let is_masked =
        |at: usize| MASKED.get(at).is_some_and(|name| told.raw_meta(name) == Some("true"));
    if let Some(input) = told.input().filter(|_| !is_masked(0)) {
        body.raw("input", &input);
    }
    if let Some(output) = told.output().filter(|_| !is_masked(1)) {
        body.raw("output", &output);
    }
}

fn generation(release: &Release, told: &Told<'_>, trace_id: &str, body: &mut Object<'_>) {
    let record = told.record;
    let id = told.meta("generation_id");
    body.text("id", id.as_deref().unwrap_or(&format!("{}-generation", record.call_id)));
    body.text("traceId", trace_id);
    let name = told.meta("generation_name");
    body.text("name", name.as_deref().unwrap_or(&format!("litellm-{}", record.operation.name())));
    body.some("parentObservationId", told.meta("parent_observation_id").as_deref());
    body.some("version", told.meta("version").as_deref());
    body.some("environment", release.environment.as_deref());
    body.text("startTime", &time(told.began_us()));
    body.text("endTime", &time(told.ended_us()));
    body.text("completionStartTime", &time(told.first_content_us()));
    body.text("model", told.model());
    body.object("modelParameters", |parameters| {
        told.parameters().iter().for_each(|(name, raw)| parameters.raw(name, raw));
    });
    said(told, body);
    if let Some(usage) = &record.usage {
        let cached = usage.cached_input + usage.cache_creation;
        body.object("usageDetails", |details| {
            details.number("input", usage.input.saturating_sub(cached));
            details.number("output", usage.output);
            details.number("cache_read_input_tokens", usage.cached_input);
            details.number("cache_creation_input_tokens", usage.cache_creation);
            details.number("total", usage.input + usage.output);
        });
        body.object("usage", |whole| {
            whole.number("input", usage.input);
            whole.number("output", usage.output);
            whole.number("total", usage.input + usage.output);
            whole.text("unit", "TOKENS");
            whole.decimal("totalCost", record.cost_usd);
        });
    }
    if let Some(usd) = record.cost_usd {
        body.object("costDetails", |details| details.decimal("total", Some(usd)));
    }
    match told.error() {
        Some(error) => {
            body.text("level", "ERROR");
            body.text("statusMessage", error);
        }
        None => body.text("level", "DEFAULT"),
    }
    body.object("metadata", |metadata| facts(told, metadata));
}

/// What Hale knows of the request, and what its client wrote into `metadata`.
fn facts(told: &Told<'_>, metadata: &mut Object<'_>) {
    let record = told.record;
    metadata.text("litellm_call_id", &record.call_id);
    metadata.some("model_group", record.model_group.as_deref());
    metadata.some("deployment", record.deployment_name.as_deref());
    metadata.some("model_id", record.deployment.as_deref());
    metadata.some("provider", told.attempt().map(|attempt| &*attempt.provider));
    metadata.number("status", record.status.into());
    metadata.text("ending", record.ending.name());
    metadata.some("cause", record.cause.map(hale_core::cause::Cause::name));
    metadata.number("retries", record.retries.into());
    metadata.number("fallbacks", record.fallbacks.into());
    metadata.flag("stream", record.stream);
    metadata.some("cache", record.cache.map(hale_core::cache::CacheAnswer::name));
    metadata.some("left_out", told.left_out());
    if let Some(raw) = told.metadata() {
        metadata.raw("requester_metadata", raw);
    }
}

/// What became of each event.
#[derive(Deserialize)]
struct Ingested {
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    id: String,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

/// What the answer to `items` records says: Langfuse answers 207 and lists the events that it does not take.
pub(super) fn judge(door: &Outward, heard: &Heard, items: usize) -> Verdict {
    let Ok(ingested) = serde_json::from_slice::<Ingested>(&heard.body) else {
        return Verdict::Later(
            format!("{}: that is no answer of Langfuse", door.quoted(heard)),
            None,
        );
    };
    let Some(first) = ingested.errors.first() else { return Verdict::Taken(0, None) };
    let what = first.message.clone().or_else(|| first.error.as_ref().map(ToString::to_string));
    let what = door.shown(&what.unwrap_or_default(), 300);
    let why = format!("{}: an event was refused with {}: {what}", door.authority(), first.status);
    // What was taken is stored once, though it is sent again.
    if ingested.errors.iter().any(|fault| fault.status >= 500 || fault.status == 429) {
        return Verdict::Later(why, None);
    }
    // Two events a record, whose id is the same before the dash.
    let record = |fault: &'_ Fault| fault.id.rsplit_once('-').map(|(id, _)| id.to_owned());
    let mut records: Vec<Option<String>> = ingested.errors.iter().map(record).collect();
    records.sort_unstable();
    records.dedup();
    Verdict::Taken(records.len().min(items) as u64, Some(why))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sink::export::told::{Shows, of_test};

    fn events(shows: Shows) -> Vec<Value> {
        let record = of_test("call-1", 1_700_000_000_000);
        let told = Told::of(&record, shows).unwrap();
        let mut text = b"[".to_vec();
        write(&Release::default(), &told, &mut text);
        text.push(b']');
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn an_event_that_fails_for_now_is_sent_again_and_refused_ones_are_counted_by_record() {
        let judged = |errors: Value| {
            let door = Outward::new("http://h/", std::time::Duration::from_secs(1));
            let heard = Heard {
                status: http::StatusCode::MULTI_STATUS,
                headers: http::HeaderMap::new(),
                body: json!({"errors": errors}).to_string().into(),
                is_cut: false,
            };
            judge(&door, &heard, 3)
        };
        let fault = |id: &str, status: u16| json!({"id": id, "status": status, "message": "m"});
        assert!(matches!(judged(json!([fault("a-b-trace", 500)])), Verdict::Later(..)));
        let refused = judged(json!([
            fault("a-b-trace", 400),
            fault("a-b-generation", 400),
            fault("a-c-trace", 400)
        ]));
        assert!(matches!(refused, Verdict::Taken(2, Some(_))), "{refused:?}");
        assert_eq!(judged(json!([])), Verdict::Taken(0, None));
    }

    #[test]
    fn a_record_is_a_trace_and_a_generation_with_what_was_said() {
        let [trace, generation] = &events(Shows::Messages)[..] else { panic!("two events") };
        assert_eq!(trace["type"], "trace-create");
        assert_eq!(trace["body"]["id"], "call-1");
        assert_eq!(generation["body"]["traceId"], "call-1");
        assert_eq!(generation["body"]["input"]["messages"][0]["role"], "user");
        assert_eq!(generation["body"]["output"]["content"], "It works.");
        assert_eq!(generation["body"]["usageDetails"]["total"], 9);
        assert_eq!(generation["body"]["startTime"], "2023-11-14T22:13:20.000000Z");
        assert_eq!(generation["body"]["level"], "DEFAULT");
    }

    #[test]
    fn without_messages_there_are_only_facts() {
        let all = events(Shows::Facts);
        assert!(!serde_json::to_string(&all).unwrap().contains("It works."));
        assert!(all.iter().all(|event| event["body"].get("input").is_none()));
    }
}
