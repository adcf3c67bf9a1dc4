//! The edits of requests about files and batches.
//!
//! Called once per attempt. Always true: `model` is removed, because providers have no such field here; in the file
//! of a batch it becomes the deployment's model.

use std::borrow::Cow;

use super::lines;
use crate::bytes::edit::{Edit, json_string};
use crate::bytes::payload::Payload;
use crate::bytes::peek::Peek;
use crate::formats::metadata::is_map_of_strings;
use crate::formats::order::Order;

/// Fields that tell the gateway where a file or a batch belongs. Source: LiteLLM.
const ROUTING: [&str; 4] = ["model", "target_model_names", "custom_llm_provider", "target_storage"];

/// The form for the upstream.
pub(crate) fn file(peek: &Peek, order: &Order<'_>) -> Payload {
    let edits = edits(peek, order);
    let Some(form) = peek.form() else { return peek.payload(&edits) };
    let is_batch = peek.raw("purpose").is_some_and(|raw| raw.trim_matches('"') == lines::PURPOSE);
    // A wildcard deployment has no model unless the request names one.
    let is_named = !order.upstream_model.contains('*');
    let file = form.content("file").filter(|_| is_batch && is_named);
    let model = json_string(order.upstream_model);
    form.edited(&edits, file.map(|file| ("file", lines::with_model(&file, &model))))
}

/// The body for the upstream.
pub(crate) fn batch(peek: &Peek, order: &Order<'_>) -> Payload {
    let mut edits = edits(peek, order);
    if let Some(file) = order.kept {
        edits.push(Edit::Set("input_file_id", Cow::Owned(json_string(file))));
    }
    peek.payload(&edits)
}

fn edits<'e>(peek: &'e Peek, order: &Order<'e>) -> Vec<Edit<'e>> {
    let mut edits: Vec<Edit<'e>> = ROUTING.into_iter().map(Edit::Remove).collect();
    for name in peek.removed() {
        edits.push(Edit::Remove(name));
    }
    edits.extend(order.deployment.endpoint.dropped_params.iter().map(|name| Edit::Remove(name)));
    // Clients of LiteLLM put more into it than the provider accepts.
    let is_form = peek.form().is_some();
    if peek.raw("metadata").is_some_and(|raw| is_form || !is_map_of_strings(raw)) {
        edits.push(Edit::Remove("metadata"));
    }
    edits
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hale_core::operation::Operation;

    use super::*;
    use crate::fixture::{deployment, order};

    #[test]
    fn a_batch_names_the_providers_file_and_no_model() {
        let deployment = deployment("openai");
        let order =
            Order { kept: Some("file-1"), ..order(&deployment, Operation::CreateBatch, "up") };
        let text = r#"{ "model":"m","input_file_id":"ours", "endpoint":"/v1/chat/completions","custom_llm_provider":"openai","tags":["x"],"metadata":{"a":"b"}}"#;
        let peek = Peek::parse(Bytes::from_static(text.as_bytes())).unwrap();
        let expected = r#"{ "input_file_id":"file-1", "endpoint":"/v1/chat/completions","metadata":{"a":"b"}}"#;
        assert_eq!(batch(&peek, &order).joined(), expected);
    }

    #[test]
    fn a_file_has_no_model_but_in_the_lines_of_a_batch() {
        let deployment = deployment("openai");
        let order = order(&deployment, Operation::CreateFile, "up");
        let line = r#"{"body":{"model":"mine"}}"#;
        for (purpose, sent) in [("batch", line.replace("mine", "up")), ("user_data", line.into())] {
            let form = |model: &str, line: &str| {
                format!(
                    "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n{model}--b\r\n\
                     Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{line}\r\n--b--\r\n"
                )
            };
            let model = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nmine\r\n";
            let body = Bytes::from(form(model, line));
            let peek = Peek::of_form(body, "multipart/form-data; boundary=b").unwrap();
            assert_eq!(file(&peek, &order).joined(), form("", &sent));
        }
    }
}
