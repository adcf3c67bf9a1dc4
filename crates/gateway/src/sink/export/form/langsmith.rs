//! LangSmith: one run a request.
//!
//! Called by [`super`]. Source of the format: <https://api.smith.langchain.com/redoc#tag/run>. Always true: the id of a run follows
//! from the request's trace, so that what is sent twice is stored once; its ids agree with each other, without which LangSmith takes
//! none of the runs that come with it.

use uuid::Uuid;

use crate::sink::export::json::{object, time};
use crate::sink::export::told::Told;

/// Writes the run of a record.
pub(super) fn write(project: &str, told: &Told<'_>, out: &mut Vec<u8>) {
    let record = told.record;
    let named = told.meta("run_id").and_then(|id| Uuid::parse_str(&id).ok());
    let run_id = named.unwrap_or_else(|| uuid::Builder::from_random_bytes(id_of(told)).into_uuid());
    let started = time(told.began_us());
    let place = Place::of(told.meta("dotted_order"), run_id, &started);
    object(out, |run| {
        run.text("id", &run_id.to_string());
        run.text("trace_id", &place.trace_id.to_string());
        run.text("dotted_order", &place.order);
        run.some("parent_run_id", place.parent.map(|id| id.to_string()).as_deref());
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
        run.raw("tags", told.tags().as_deref().unwrap_or("[]"));
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

/// Where a run is in its trace.
struct Place {
    trace_id: Uuid,
    parent: Option<Uuid>,
    order: String,
}

impl Place {
    /// Below the runs that `given` names, which is the order of the run itself or of its parent. Without it, or if it is none, the
    /// run is the root of a trace, whose id is its own: a trace or a parent alone says too little, and LangSmith refuses it.
    fn of(given: Option<String>, run_id: Uuid, started: &str) -> Place {
        let digits: String = started.chars().filter(char::is_ascii_digit).collect();
        let (day, clock) = digits.split_at_checked(8).unwrap_or_default();
        let own = format!("{day}T{clock}Z{run_id}");
        let root = Place { trace_id: run_id, parent: None, order: own.clone() };
        let Some(given) = given else { return root };
        let id = |part: &str| Uuid::parse_str(part.rsplit_once('Z')?.1).ok();
        let Some(mut ids) = given.split('.').map(id).collect::<Option<Vec<Uuid>>>() else {
            return root;
        };
        let is_own = ids.last() == Some(&run_id);
        if is_own {
            ids.pop();
        }
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return root };
        let order = if is_own { given.clone() } else { format!("{given}.{own}") };
        Place { trace_id: *first, parent: Some(*last), order }
    }
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
    use serde_json::{Value, json};

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

    fn run_with(metadata: &Value) -> Value {
        let mut record = of_test("call-1", 1_700_000_000_000);
        if let Some(detail) = &mut record.detail {
            detail.metadata = Some(metadata.to_string().into());
        }
        let told = Told::of(&record, Shows::Messages).unwrap();
        let mut out = Vec::new();
        write("p", &told, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn ids_that_would_not_agree_are_not_sent() {
        const OTHER: &str = "497f6eca-6276-4993-bfeb-53cbbbba6f08";
        for metadata in [
            json!({"trace_id": OTHER}),
            json!({"trace_id": "my-trace", "run_id": "no-uuid"}),
            json!({"parent_run_id": OTHER}),
            json!({"dotted_order": "nonsense"}),
            json!({"run_id": OTHER, "trace_id": "x"}),
        ] {
            let run = run_with(&metadata);
            assert_eq!(run["trace_id"], run["id"], "{metadata}");
            assert_eq!(run.get("parent_run_id"), None, "{metadata}");
            let own = format!("20231114T221320000000Z{}", run["id"].as_str().unwrap());
            assert_eq!(run["dotted_order"], own, "{metadata}");
            assert!(Uuid::parse_str(run["id"].as_str().unwrap()).is_ok());
        }
        let tags = run_with(&json!({"tags": ["a", 1, null]}));
        assert_eq!(tags["tags"], json!(["a"]));
    }

    #[test]
    fn a_run_is_below_the_parent_whose_order_is_given() {
        const ROOT: &str = "497f6eca-6276-4993-bfeb-53cbbbba6f08";
        const PARENT: &str = "f8faf8c1-9778-49a4-9004-628cdb0047e5";
        let above = format!("20231114T221319000000Z{ROOT}.20231114T221319500000Z{PARENT}");
        let run = run_with(&json!({"dotted_order": above}));
        assert_eq!((&run["trace_id"], &run["parent_run_id"]), (&json!(ROOT), &json!(PARENT)));
        let own = format!("{above}.20231114T221320000000Z{}", run["id"].as_str().unwrap());
        assert_eq!(run["dotted_order"], own);
        let run = run_with(&json!({"dotted_order": above, "run_id": PARENT}));
        assert_eq!((&run["id"], &run["dotted_order"]), (&json!(PARENT), &json!(above)));
        assert_eq!((&run["trace_id"], &run["parent_run_id"]), (&json!(ROOT), &json!(ROOT)));
    }
}
