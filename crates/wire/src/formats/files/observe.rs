//! Answers about files and batches: checks them and finds what changes.
//!
//! Called by the conversion. Always true: only ids change, so that they name the deployment that issued them, and the
//! model's name.

use hale_core::operation::{Kind, Operation};

use crate::bytes::edit::{Patch, json_string};
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::{Place, places};
use crate::formats::answer::{self, Fault, Observed};
use crate::formats::codec::Stored;
use crate::formats::view::View;

/// Observes a full answer to `operation`.
pub(crate) fn observe_answer(
    operation: Operation,
    expected: Stored,
    text: &str,
    view: &View,
) -> Result<Observed, Fault> {
    let [id, data, status, deleted, error] =
        answer::places(text, ["id", "data", "status", "deleted", "error"])?;
    let has_id = id.is_some_and(|place| text[place].starts_with('"'));
    let list = data.map(|place| &text[place]);
    let is_answer = match expected {
        Stored::List => list.is_some_and(|list| list.starts_with('[')),
        Stored::Deleted => deleted.is_some(),
        Stored::Batch => has_id && status.is_some(),
        Stored::File => has_id,
    };
    if !is_answer {
        return Err(Fault::without_content(operation, text, error));
    }
    let Some(kind) = operation.kind() else { return Ok(Observed::default()) };
    let mut patches = patches(text, kind, view);
    for item in list.and_then(elements).into_iter().flatten() {
        // An item is a slice of the text.
        let from = item.as_ptr() as usize - text.as_ptr() as usize;
        let of_item = self::patches(item, kind, view).into_iter();
        patches.extend(of_item.map(|(at, with)| (at.start + from..at.end + from, with)));
    }
    patches.sort_by_key(|(place, _)| place.start);
    Ok(Observed { patches, usage: None })
}

/// The patches of the object `text`, which is of that kind. A text that is not an object has none.
fn patches(text: &str, kind: Kind, view: &View) -> Vec<Patch> {
    let names =
        ["id", "first_id", "last_id", "input_file_id", "output_file_id", "error_file_id", "model"];
    let Ok([id, first, last, input, output, errors, model]) = places(text.as_bytes(), names) else {
        return Vec::new();
    };
    let own = [id, first, last].map(|place| (place, kind));
    let files = [input, output, errors].map(|place| (place, Kind::File));
    let sealed =
        own.into_iter().chain(files).filter_map(|(place, kind): (Place, Kind)| -> Option<Patch> {
            let place = place?;
            let id: Str<'_> = serde_json::from_str(&text[place.clone()]).ok()?;
            // Some providers write an empty id if there is no file.
            let issuer = view.issuer.as_ref().filter(|_| !id.0.is_empty())?;
            Some((place, json_string(&issuer.seal(kind, &id.0)).into()))
        });
    let renamed = view.renamed(text, model).map(|place| view.model_patch(place));
    sealed.chain(renamed).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hale_core::tenancy::Owner;

    use super::*;
    use crate::bytes::edit::patched;
    use crate::bytes::id::{IdKey, Issuer};
    use crate::formats::codec::{self, Codec};

    fn view() -> View {
        let issuer = Issuer {
            key: IdKey::new(b"k"),
            deployment: Arc::from("d"),
            owner: Owner::NONE,
            named: None,
        };
        View { issuer: Some(issuer), ..crate::fixture::view() }
    }

    fn observed(operation: Operation, text: &str) -> Result<Observed, Fault> {
        match codec::of(operation) {
            Codec::Files(stored) | Codec::Batches(stored) => {
                observe_answer(operation, stored, text, &view())
            }
            other => panic!("{operation:?}: {other:?}"),
        }
    }

    fn seen(operation: Operation, text: &str) -> String {
        let observed = observed(operation, text).unwrap();
        String::from_utf8(patched(text.as_bytes(), &observed.patches)).unwrap()
    }

    #[test]
    fn every_id_of_a_batch_names_its_issuer() {
        let key = IdKey::new(b"k");
        let batch = r#"{"id":"b1", "object":"batch","input_file_id" : "f1","output_file_id":null,"error_file_id":"","status":"completed","model":"up","metadata":{"id":"x"}}"#;
        let expected = batch
            .replace("\"b1\"", &format!("\"{}\"", key.seal(Kind::Batch, "d", "b1", &Owner::NONE)))
            .replace("\"f1\"", &format!("\"{}\"", key.seal(Kind::File, "d", "f1", &Owner::NONE)))
            .replace("\"up\"", "\"mine\"");
        assert_eq!(seen(Operation::GetBatch, batch), expected);
        let list =
            format!(r#"{{"object":"list","data":[{batch} , 5],"first_id":"b1","last_id":"b2"}}"#);
        let ends = |id: &str| format!("\"{}\"", key.seal(Kind::Batch, "d", id, &Owner::NONE));
        let expected = format!(
            r#"{{"object":"list","data":[{expected} , 5],"first_id":{},"last_id":{}}}"#,
            ends("b1"),
            ends("b2")
        );
        assert_eq!(seen(Operation::ListBatches, &list), expected);
    }

    #[test]
    fn an_answer_has_the_requested_type() {
        let good = |operation, text: &str| observed(operation, text).is_ok();
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
