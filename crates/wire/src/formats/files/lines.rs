//! The file of a batch: one request in each line, each with the name of a model.
//!
//! Called for files with the purpose `batch`. Always true: only the names of models change; a line that is not a
//! request stays as it is, and the provider decides about it.
//! Source: <https://platform.openai.com/docs/guides/batch>.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::bytes::json::Str;
use crate::bytes::members::places;

/// The purpose of such a file.
pub const PURPOSE: &str = "batch";

/// The model of the first request.
#[must_use]
pub fn first_model(file: &[u8]) -> Option<String> {
    let line = lines(file).map(|line| &file[line]).find(|line| !line.trim_ascii().is_empty())?;
    let place = model(line)?;
    let name: Str<'_> = serde_json::from_slice(&line[place]).ok()?;
    Some(name.0.into_owned())
}

/// The file with the JSON text `model_json` as the model of each request; the same buffer if nothing changes.
#[must_use]
pub(crate) fn with_model(file: &Bytes, model_json: &str) -> Bytes {
    let mut out: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut done = 0;
    for line in lines(file) {
        let text = &file[line.clone()];
        let Some(place) = model(text) else { continue };
        if text[place.clone()] == *model_json.as_bytes() {
            continue;
        }
        let out = out.to_mut();
        if out.capacity() == 0 {
            out.reserve(file.len() + file.len() / 8);
        }
        out.extend_from_slice(&file[done..line.start + place.start]);
        out.extend_from_slice(model_json.as_bytes());
        done = line.start + place.end;
    }
    if done == 0 {
        return file.clone();
    }
    let mut out = out.into_owned();
    out.extend_from_slice(&file[done..]);
    Bytes::from(out)
}

fn lines(file: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        if from >= file.len() {
            return None;
        }
        let end = memchr::memchr(b'\n', &file[from..]).map_or(file.len(), |at| from + at);
        let line = from..end;
        from = end + 1;
        Some(line)
    })
}

/// The range of the model in the request `line`.
fn model(line: &[u8]) -> Option<Range<usize>> {
    std::str::from_utf8(line).ok()?;
    let [body] = places(line, ["body"]).ok()?;
    let body = body?;
    let [model] = places(&line[body.clone()], ["model"]).ok()?;
    let model = model?;
    let place = body.start + model.start..body.start + model.end;
    line[place.clone()].starts_with(b"\"").then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(file: &str) -> String {
        let file = Bytes::copy_from_slice(file.as_bytes());
        String::from_utf8(with_model(&file, "\"up\"").to_vec()).unwrap()
    }

    #[test]
    fn only_the_models_names_change() {
        let file = "{\"custom_id\":\"1\", \"body\" : {\"messages\":[{\"model\":\"x\"}],\"model\" : \"mine\"}}\r\n\n\
                    {\"body\":{\"model\":\"other\",\"n\":1.0}}\n{\"model\":\"mine\"}\nnonsense\n{\"body\":{\"model\":5}}";
        let expected = file.replace("\"mine\"}}", "\"up\"}}").replace("\"other\"", "\"up\"");
        assert_eq!(changed(file), expected);
        let same = Bytes::from_static(b"{\"body\":{\"model\":\"up\"}}\n{}");
        assert_eq!(with_model(&same, "\"up\"").as_ptr(), same.as_ptr(), "nothing to change");
        assert_eq!(changed(""), "");
    }

    #[test]
    fn the_first_request_names_the_model() {
        let file = b"\n \n{\"body\":{\"model\":\"a\\/b\"}}\n{\"body\":{\"model\":\"c\"}}";
        assert_eq!(first_model(file).as_deref(), Some("a/b"));
        for none in ["", "{}", "x", "{\"body\":{}}", "{\"body\":{\"model\":1}}", "{\"body\":[]}\n"]
        {
            assert_eq!(first_model(none.as_bytes()), None, "{none}");
        }
    }
}
