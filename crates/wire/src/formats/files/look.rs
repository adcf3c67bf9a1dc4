//! Answers about files and batches: are they what was promised, and what of them changes?
//!
//! Called by [`crate::conversion::answer`]. Always true: nothing changes but ids, which become ones that say which
//! deployment issued them, and the model's name.

use std::ops::Range;

use hale_core::operation::{Kind, Operation};
use serde_json::value::RawValue;

use crate::bytes::edit::{Patch, json_string};
use crate::bytes::json::Str;
use crate::bytes::scan::{self, ScanError};
use crate::conversion::stream::View;

/// The members that the gateway looks at, as places in the text; `null` counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Top {
    id: Option<Range<usize>>,
    /// Ids that stand beside it: those of files in a batch, and the ends of a list.
    others: Vec<(Range<usize>, Option<Kind>)>,
    model: Option<Range<usize>>,
    status: Option<Range<usize>>,
    data: Option<Range<usize>>,
    deleted: Option<Range<usize>>,
    pub(crate) error: Option<Range<usize>>,
}

impl Top {
    /// Looks at `text`, which must be UTF-8.
    pub(crate) fn of(text: &[u8]) -> Result<Top, ScanError> {
        let mut top = Top::default();
        scan::members(text, |key, value| {
            let is_null = &text[value.clone()] == b"null";
            let place = match &text[key] {
                b"\"id\"" => &mut top.id,
                b"\"input_file_id\"" | b"\"output_file_id\"" | b"\"error_file_id\"" if !is_null => {
                    return top.others.push((value, Some(Kind::File)));
                }
                b"\"first_id\"" | b"\"last_id\"" if !is_null => {
                    return top.others.push((value, None));
                }
                b"\"model\"" => &mut top.model,
                b"\"status\"" => &mut top.status,
                b"\"data\"" => &mut top.data,
                b"\"deleted\"" => &mut top.deleted,
                b"\"error\"" => &mut top.error,
                _ => return,
            };
            *place = (!is_null).then_some(value);
        })?;
        Ok(top)
    }

    /// Whether a full answer to `operation` is what was promised.
    pub(crate) fn is_answer(&self, text: &str, operation: Operation) -> bool {
        let has_id = self.id.clone().is_some_and(|place| text[place].starts_with('"'));
        let has_list = self.data.clone().is_some_and(|place| text[place].starts_with('['));
        match operation {
            Operation::ListFiles | Operation::ListBatches => has_list,
            Operation::DeleteFile => self.deleted.is_some(),
            Operation::CreateBatch | Operation::GetBatch | Operation::CancelBatch => {
                has_id && self.status.is_some()
            }
            _ => has_id,
        }
    }

    /// What changes for the client in the answer to `operation`.
    pub(crate) fn patches(&self, text: &str, operation: Operation, view: &View) -> Vec<Patch> {
        let Some(kind) = operation.kind() else { return Vec::new() };
        let mut patches = Vec::new();
        self.collect(text, 0, kind, view, &mut patches);
        if let Some(data) = &self.data {
            let list = &text[data.clone()];
            let items: Vec<&RawValue> = serde_json::from_str(list).unwrap_or_default();
            for item in items.iter().map(|item| item.get()) {
                // An item is a piece of the text.
                let from = item.as_ptr() as usize - text.as_ptr() as usize;
                if let Ok(top) = Top::of(item.as_bytes()) {
                    top.collect(item, from, kind, view, &mut patches);
                }
            }
        }
        patches.sort_by_key(|(place, _)| place.start);
        patches
    }

    fn collect(&self, text: &str, from: usize, kind: Kind, view: &View, into: &mut Vec<Patch>) {
        let moved = |place: &Range<usize>| place.start + from..place.end + from;
        let own = self.id.iter().map(|place| (place, kind));
        let others = self.others.iter().map(|(place, other)| (place, other.unwrap_or(kind)));
        into.extend(own.chain(others).filter_map(|(place, kind)| {
            let id: Str<'_> = serde_json::from_str(&text[place.clone()]).ok()?;
            // Some providers write an empty name for no file.
            let issuer = view.issuer.as_ref().filter(|_| !id.0.is_empty())?;
            Some((moved(place), json_string(&issuer.seal(kind, &id.0)).into()))
        }));
        let shown = &view.model_json;
        let model = self
            .model
            .iter()
            .filter(|place| !shown.is_empty() && text[(*place).clone()] != **shown);
        into.extend(model.map(|place| (moved(place), shown.clone())));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bytes::edit::patched;
    use crate::bytes::id::{IdKey, Issuer};

    fn seen(operation: Operation, text: &str) -> String {
        let issuer = Issuer { key: IdKey::new(b"k"), deployment: Arc::from("d") };
        let view = View {
            model_json: "\"mine\"".into(),
            show_usage: false,
            created: 0,
            upstream_model: None,
            issuer: Some(issuer),
        };
        let top = Top::of(text.as_bytes()).unwrap();
        assert!(top.is_answer(text, operation), "{text}");
        let patches = top.patches(text, operation, &view);
        String::from_utf8(patched(text.as_bytes(), &patches)).unwrap()
    }

    #[test]
    fn every_id_of_a_batch_says_who_issued_it() {
        let key = IdKey::new(b"k");
        let batch = r#"{"id":"b1", "object":"batch","input_file_id" : "f1","output_file_id":null,"error_file_id":"","status":"completed","model":"up","metadata":{"id":"x"}}"#;
        let expected = batch
            .replace("\"b1\"", &format!("\"{}\"", key.seal(Kind::Batch, "d", "b1")))
            .replace("\"f1\"", &format!("\"{}\"", key.seal(Kind::File, "d", "f1")))
            .replace("\"up\"", "\"mine\"");
        assert_eq!(seen(Operation::GetBatch, batch), expected);
        let list =
            format!(r#"{{"object":"list","data":[{batch} , 5],"first_id":"b1","last_id":"b2"}}"#);
        let ends = |id: &str| format!("\"{}\"", key.seal(Kind::Batch, "d", id));
        let expected = format!(
            r#"{{"object":"list","data":[{expected} , 5],"first_id":{},"last_id":{}}}"#,
            ends("b1"),
            ends("b2")
        );
        assert_eq!(seen(Operation::ListBatches, &list), expected);
    }

    #[test]
    fn an_answer_is_what_was_asked_for() {
        let good = |operation, text: &str| {
            Top::of(text.as_bytes()).is_ok_and(|top| top.is_answer(text, operation))
        };
        assert!(good(Operation::ListFiles, r#"{"data":[]}"#));
        assert!(good(Operation::DeleteFile, r#"{"id":"f","deleted":true}"#));
        assert!(good(Operation::CreateFile, r#"{"id":"f"}"#));
        for (operation, text) in [
            (Operation::ListFiles, r#"{"data":{}}"#),
            (Operation::CreateFile, r#"{"id":5}"#),
            (Operation::GetBatch, r#"{"id":"b"}"#),
            (Operation::DeleteFile, r#"{"id":"f"}"#),
            (Operation::GetFile, r#"{"error":{}}"#),
        ] {
            assert!(!good(operation, text), "{operation:?} {text}");
        }
    }
}
