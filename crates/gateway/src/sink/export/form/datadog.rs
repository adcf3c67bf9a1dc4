//! Datadog's logs: one entry a request, whose message is the standard payload.
//!
//! Called by [`super`]. Source of the format: <https://docs.datadoghq.com/api/latest/logs/#send-logs>. Always true: the trace of an
//! entry is named as Datadog joins logs and traces.

use hale_core::settings::DatadogTags;

use super::payload;
use crate::sink::export::json::object;
use crate::sink::export::told::Told;

/// Writes the entry of a record.
pub(super) fn write(tags: &DatadogTags, told: &Told<'_>, out: &mut Vec<u8>) {
    let mut message = Vec::new();
    payload::write(&[], told, &mut message);
    let low = |id: &[u8]| {
        id.iter().rev().take(8).rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    };
    object(out, |entry| {
        entry.text("ddsource", &tags.source);
        entry.text("ddtags", &tags.tags);
        entry.text("hostname", &tags.hostname);
        entry.text("service", &tags.service);
        entry.text("status", if told.is_success() { "info" } else { "error" });
        entry.text("dd.trace_id", &low(&told.detail.trace_id).to_string());
        entry.text("dd.span_id", &low(&told.detail.span_id).to_string());
        entry.text("message", &String::from_utf8_lossy(&message));
    });
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sink::export::told::{Shows, of_test};

    #[test]
    fn the_message_of_an_entry_is_a_payload_of_its_own() {
        let record = of_test("call-1", 1_700_000_000_000);
        let told = Told::of(&record, Shows::Facts).unwrap();
        let mut out = Vec::new();
        write(&DatadogTags { service: "front".into(), ..DatadogTags::default() }, &told, &mut out);
        let entry: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&entry["service"], &entry["status"]), (&"front".into(), &"info".into()));
        let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
        assert_eq!(message["id"], "call-1");
    }
}
