//! A record as LiteLLM's webhooks and buckets have it: one JSON object, whose fields have the names of its standard payload.
//!
//! Called by [`super`], and for lines of a file that hold what was said. Always true: a field that the config excludes is not there.

use crate::sink::export::json::{Object, object};
use crate::sink::export::told::Told;

/// Writes the payload of a record.
pub(crate) fn write(excluded: &[Box<str>], told: &Told<'_>, out: &mut Vec<u8>) {
    object(out, |payload| {
        let mut fields = Fields { payload, excluded };
        facts(told, &mut fields);
        outcome(told, &mut fields);
        said(told, &mut fields);
    });
}

/// The fields that are not excluded.
struct Fields<'f, 'o> {
    payload: &'f mut Object<'o>,
    excluded: &'f [Box<str>],
}

impl Fields<'_, '_> {
    fn put(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>, &str)) {
        if self.excluded.iter().all(|excluded| **excluded != *name) {
            write(self.payload, name);
        }
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        self.put(name, |payload, name| match text {
            Some(text) => payload.text(name, text),
            None => payload.raw(name, "null"),
        });
    }

    fn number(&mut self, name: &str, number: u64) {
        self.put(name, |payload, name| payload.number(name, number));
    }

    fn seconds(&mut self, name: &str, us: u64) {
        #[allow(clippy::cast_precision_loss, reason = "microseconds of this millennium are exact")]
        let seconds = us as f64 / 1e6;
        self.put(name, |payload, name| payload.decimal(name, Some(seconds)));
    }
}

fn facts(told: &Told<'_>, fields: &mut Fields<'_, '_>) {
    let record = told.record;
    fields.text("id", Some(&record.call_id));
    fields.text("litellm_call_id", Some(&record.call_id));
    let trace = hale_core::trace::hex(&told.detail.trace_id);
    fields.text("trace_id", Some(&told.meta("trace_id").unwrap_or(trace)));
    fields.text("session_id", told.session().as_deref());
    fields.text("call_type", Some(record.operation.name()));
    fields.put("stream", |payload, name| payload.flag(name, record.stream));
    fields.seconds("startTime", told.began_us());
    fields.seconds("endTime", told.ended_us());
    fields.seconds("completionStartTime", told.first_content_us());
    fields.seconds("response_time", record.duration_us);
    fields.text("model", Some(told.model()));
    fields.text("model_group", record.model_group.as_deref());
    fields.text("model_id", record.deployment.as_deref());
    fields.text("custom_llm_provider", told.attempt().map(|attempt| &*attempt.provider));
    fields.text("api_base", told.attempt().map(|attempt| &*attempt.address));
    fields.text("end_user", told.user().as_deref());
    fields.put("request_tags", |payload, name| {
        payload.raw(name, told.tags().as_deref().unwrap_or("[]"))
    });
    fields.put("metadata", |payload, name| {
        payload.object(name, |metadata| {
            metadata.raw_or_null("requester_metadata", told.metadata());
        });
    });
}

fn outcome(told: &Told<'_>, fields: &mut Fields<'_, '_>) {
    let record = told.record;
    let usage = record.usage.unwrap_or_default();
    fields.text("status", Some(if told.is_success() { "success" } else { "failure" }));
    fields.number("status_code", record.status.into());
    fields.number("prompt_tokens", usage.input);
    fields.number("completion_tokens", usage.output);
    fields.number("total_tokens", usage.input + usage.output);
    fields.put("response_cost", |payload, name| payload.decimal(name, record.cost_usd));
    fields.put("cache_hit", |payload, name| payload.flag(name, record.cache.is_some()));
    fields.text("error_str", told.error());
    fields.put("error_information", |payload, name| {
        let Some(error) = told.error() else { return payload.raw(name, "null") };
        payload.object(name, |information| {
            information.text("error_code", &record.status.to_string());
            information.some("error_class", record.cause.map(hale_core::cause::Cause::name));
            information.text("error_message", error);
        });
    });
    fields.put("hale", |payload, name| {
        payload.object(name, |own| {
            own.text("ending", record.ending.name());
            own.some("deployment", record.deployment_name.as_deref());
            own.some("requested_model", record.requested_model.as_deref());
            own.number("retries", record.retries.into());
            own.number("fallbacks", record.fallbacks.into());
            own.number("overhead_us", record.overhead_us);
            own.number("waited_us", record.waited_us);
            own.some("left_out", told.left_out());
        });
    });
}

fn said(told: &Told<'_>, fields: &mut Fields<'_, '_>) {
    if !told.shows() {
        return;
    }
    fields.put("messages", |payload, name| payload.raw_or_null(name, told.messages()));
    fields.put("response", |payload, name| payload.raw_or_null(name, told.output().as_deref()));
    fields.put("model_parameters", |payload, name| {
        payload.object(name, |parameters| {
            told.parameters().iter().for_each(|(name, raw)| parameters.raw(name, raw));
        });
    });
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sink::export::told::{Shows, of_test};

    #[test]
    fn excluded_fields_and_what_was_said_are_left_out_as_configured() {
        let record = of_test("call-1", 1_700_000_000_500);
        let read = |shows, excluded: &[Box<str>]| -> Value {
            let told = Told::of(&record, shows).unwrap();
            let mut out = Vec::new();
            write(excluded, &told, &mut out);
            serde_json::from_slice(&out).unwrap()
        };
        let whole = read(Shows::Messages, &[]);
        assert_eq!(whole["response"]["content"], "It works.");
        assert_eq!(whole["messages"][0]["content"], "This is a test of Hale.");
        assert_eq!(whole["startTime"], 1_700_000_000.5);
        assert_eq!(whole["total_tokens"], 9);
        let facts = read(Shows::Facts, &["api_base".into(), "metadata".into()]);
        for absent in ["messages", "response", "model_parameters", "api_base", "metadata"] {
            assert_eq!(facts.get(absent), None, "{absent}");
        }
    }
}
