//! LangSmith: one run a request.
//!
//! Called by [`super`]. Source of the format: <https://api.smith.langchain.com/redoc#tag/run>. Always true: the id of a run follows
//! from the request's trace, so that what is sent twice is stored once.

use crate::sink::export::json::{object, time};
use crate::sink::export::told::Told;

/// Writes the run of a record.
pub(super) fn write(project: &str, told: &Told<'_>, out: &mut Vec<u8>) {
    let record = told.record;
    let id = uuid::Builder::from_random_bytes(id_of(told)).into_uuid().to_string();
    let run_id = told.meta("run_id").unwrap_or(id);
    let started = time(told.began_us());
    object(out, |run| {
        run.text("id", &run_id);
        run.text("trace_id", told.meta("trace_id").as_deref().unwrap_or(&run_id));
        let order: String = started.chars().filter(char::is_ascii_digit).collect();
        run.text(
            "dotted_order",
            &format!(
                "{}T{}Z{run_id}",
                order.get(..8).unwrap_or_default(),
                order.get(8..).unwrap_or_default()
            ),
        );
        run.some("parent_run_id", told.meta("parent_run_id").as_deref());
        run.text("name", told.meta("run_name").as_deref().unwrap_or("LLMRun"));
        run.text("run_type", "llm");
        run.text("session_name", told.meta("project_name").as_deref().unwrap_or(project));
        run.text("start_time", &started);
        run.text("end_time", &time(told.ended_us()));
        run.raw("inputs", told.input().as_deref().unwrap_or("{}"));
        run.object("outputs", |outputs| {
            if let Some(output) = told.output() {
                outputs.raw("message", &output);
            }
            if let Some(usage) = &record.usage {
                outputs.object("usage_metadata", |counts| {
                    counts.number("input_tokens", usage.input);
                    counts.number("output_tokens", usage.output);
                    counts.number("total_tokens", usage.input + usage.output);
                    counts.decimal("total_cost", record.cost_usd);
                });
            }
        });
        run.some("error", told.error());
        run.raw("tags", told.tags().unwrap_or("[]"));
        run.object("extra", |extra| {
            extra.object("metadata", |metadata| {
                metadata.text("litellm_call_id", &record.call_id);
                metadata.text("ls_model_name", told.model());
                metadata.some("ls_provider", told.attempt().map(|attempt| &*attempt.provider));
                metadata.some("model_group", record.model_group.as_deref());
                metadata.raw_or_null("requester_metadata", told.metadata());
            });
            extra.object("invocation_params", |parameters| {
                told.parameters().iter().for_each(|(name, raw)| parameters.raw(name, raw));
            });
        });
    });
}

fn id_of(told: &Told<'_>) -> [u8; 16] {
    let mut id = told.detail.trace_id;
    // Of several requests of one trace each has a run of its own.
    for (byte, own) in id.iter_mut().zip(told.detail.span_id) {
        *byte ^= own;
    }
    id
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sink::export::told::{Shows, of_test};

    #[test]
    fn a_run_has_an_id_that_follows_from_the_request() {
        let record = of_test("call-1", 1_700_000_000_000);
        let told = Told::of(&record, Shows::Messages).unwrap();
        let read = || -> Value {
            let mut out = Vec::new();
            write("p", &told, &mut out);
            serde_json::from_slice(&out).unwrap()
        };
        let run = read();
        assert_eq!(run, read());
        assert_eq!(run["outputs"]["message"]["content"], "It works.");
        assert_eq!(
            run["dotted_order"],
            format!("20231114T221320000000Z{}", run["id"].as_str().unwrap())
        );
    }
}
