//! The models that a request names which is passed through: in its path, its query and its body.
//!
//! Called by [`super::pass_through`] for keys that may not use every model. Always true: what a provider could take for the name of a
//! model is found, in whatever letters, at whatever depth and however often; a body that cannot be read has no names, and is told apart
//! from one that names none.

use std::fmt;

use bytes::Bytes;
use hale_wire::form::Form;
use http::{HeaderMap, header};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::content;
use crate::http::query;

/// The field that names a model.
const FIELD: &str = "model";
/// Longest name of a model, bytes.
const NAME_MAX: usize = 1024;
/// Models of one request at most: a batch names one for each of its entries.
const MODELS_MAX: usize = 100_000;
/// Segments of a path that come before the name of a model.
const BEFORE: [&str; 4] = ["deployments", "models", "engines", "model"];

/// The body cannot be read, or what names its model is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The models of a path below the provider's address, and of a query.
pub(super) fn in_address(path: &str, query: &str) -> Vec<Box<str>> {
    let segments: Vec<Box<str>> = path.split('/').map(query::decoded).collect();
    let mut models = Vec::new();
    for pair in segments.windows(2) {
        if !BEFORE.iter().any(|before| pair[0].eq_ignore_ascii_case(before)) {
            continue;
        }
        // Google's methods stand behind the name. A fine-tuned model of another provider has colons in its name.
        let name = match pair[1].rsplit_once(':') {
            Some((name, method)) if method.bytes().all(|byte| byte.is_ascii_alphabetic()) => name,
            Some(_) | None => &pair[1],
        };
        // A count names its model in the body.
        if !name.is_empty() && name != "count-tokens" {
            models.push(name.into());
        }
    }
    let of_query = query::pairs(query).filter(|(name, _)| name.eq_ignore_ascii_case(FIELD));
    models.extend(of_query.filter_map(|(_, value)| value.map(query::decoded_form)));
    models
}

/// The models of a body with these headers.
///
/// # Errors
/// If it cannot be read as the provider would read it.
pub(super) fn in_body(headers: &HeaderMap, body: &Bytes) -> Result<Vec<Box<str>>, Unreadable> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    if headers.get_all(header::CONTENT_TYPE).iter().count() > 1 {
        return Err(Unreadable);
    }
    let content_type = content::content_type(headers);
    if content::is_form(&content_type) {
        return in_form(body, &content_type);
    }
    let mut names = Names(Vec::new());
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Any(&mut names).deserialize(&mut reader).and_then(|()| reader.end());
    read.map(|()| names.0).map_err(|_| Unreadable)
}

fn in_form(body: &Bytes, content_type: &str) -> Result<Vec<Box<str>>, Unreadable> {
    let form = Form::parse(body.clone(), content_type).map_err(|_| Unreadable)?;
    let mut models = Vec::new();
    for (name, content, is_file) in form.parts() {
        let field = name.split(|byte| *byte == b'[').next().unwrap_or_default();
        if !field.trim_ascii().eq_ignore_ascii_case(FIELD.as_bytes()) {
            continue;
        }
        let word = std::str::from_utf8(content).ok().filter(|word| word.len() <= NAME_MAX);
        models.push(word.filter(|_| !is_file).ok_or(Unreadable)?.trim().into());
    }
    Ok(models)
}

struct Names(Vec<Box<str>>);

impl Names {
    fn add<E: Error>(&mut self, name: &str) -> Result<(), E> {
        if name.len() > NAME_MAX || self.0.len() >= MODELS_MAX {
            return Err(E::custom("too long"));
        }
        // Entries of a batch name the same one over and over.
        if self.0.last().is_none_or(|last| **last != *name) {
            self.0.push(name.into());
        }
        Ok(())
    }
}

/// Any value, whose models are added.
struct Any<'n>(&'n mut Names);

/// The value of a field that names a model: a text. An object of that name is a schema's, and is read like any other.
struct Model<'n>(&'n mut Names);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> DeserializeSeed<'de> for Model<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

macro_rules! scalars_name_nothing {
    () => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
            Ok(())
        }

        fn visit_unit<E: Error>(self) -> Result<(), E> {
            Ok(())
        }

        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("any value")
        }
    };
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = ();

    scalars_name_nothing!();

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Any(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<String>()? {
            match key.eq_ignore_ascii_case(FIELD) {
                true => members.next_value_seed(Model(self.0))?,
                false => members.next_value_seed(Any(self.0))?,
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Model<'_> {
    type Value = ();

    scalars_name_nothing!();

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        self.0.add(name)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Model(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        Any(self.0).visit_map(members)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn body(kind: &str, text: &str) -> Result<Vec<Box<str>>, Unreadable> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        in_body(&headers, &Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn every_model_of_a_body_is_found_and_a_body_that_cannot_be_read_is_told() {
        let padded = format!(r#"{{"x":"{}","model":"ub"}}"#, "p".repeat(2 << 20));
        for (text, expected) in [
            (r#"{"model":"a","messages":[],"model":"ub"}"#, &["a", "ub"][..]),
            (r#"{"Model":"ub","mod\u0065l":"a"}"#, &["ub", "a"]),
            (r#"{"requests":[{"params":{"model":"a"}},{"params":{"model":"ub"}}]}"#, &["a", "ub"]),
            (r#"{"tools":[{"model":"ub","schema":{"model":{"type":"string"}}}]}"#, &["ub"]),
            (r#"{"model":["a","ub"]}"#, &["a", "ub"]),
            (r#"{"input":"model"}"#, &[]),
            (&padded, &["ub"]),
            ("", &[]),
        ] {
            let found = body("application/json", text).unwrap();
            let found: Vec<&str> = found.iter().map(|name| &**name).collect();
            assert_eq!(found, expected, "{}", &text[..text.len().min(80)]);
        }
        for text in
            ["\u{feff}{\"model\":\"ub\"}", "model=ub", "{\"model\":\"ub\"", "{} {\"model\":\"ub\"}"]
        {
            assert_eq!(body("application/json", text), Err(Unreadable), "{text}");
        }
        let form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nub\r\n--b--\r\n";
        assert_eq!(
            body("multipart/form-data; boundary=b", form).unwrap(),
            [Box::<str>::from("ub")]
        );
        assert_eq!(body("multipart/form-data", form), Err(Unreadable));
    }

    #[test]
    fn every_model_of_a_path_and_a_query_is_found() {
        for (path, query, expected) in [
            ("openai/deployments/a/chat/completions", "model=ub", &["a", "ub"][..]),
            ("openai/%64eployments/ub/images", "", &["ub"]),
            ("v1beta/models/gemini-2.5-flash:generateContent", "", &["gemini-2.5-flash"]),
            ("v1/models/ft:gpt-4o:own:1", "", &["ft:gpt-4o:own:1"]),
            ("model/us.amazon.nova-pro-v1%3A0/converse", "", &["us.amazon.nova-pro-v1:0"]),
            ("v1/publishers/anthropic/models/count-tokens:rawPredict", "", &[]),
            ("v1/fine_tuning/jobs", "limit=2&M%6fdel=ub", &["ub"]),
        ] {
            let found = in_address(path, query);
            let found: Vec<&str> = found.iter().map(|name| &**name).collect();
            assert_eq!(found, expected, "{path}?{query}");
        }
    }
}
