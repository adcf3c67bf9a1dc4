//! The places of a request's body that refer to files of the provider.
//!
//! Called by [`super::sealed_file`] for bodies that hold a sealed id anywhere. Always true: no tree is built; what the client
//! gives to its own tools or takes from them, and the schemas of its tools, refer to nothing.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Kind, is_sealed, prefix};

/// The first sealed id of a file to which `body` refers.
pub(super) fn find(body: &[u8]) -> Option<String> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    Place::Other.deserialize(&mut reader).ok()?.id
}

/// What is known of a value from the names above it.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Its `file_id` is a reference, as in a part of a chat, a source and a container.
    Holder,
    /// It is an id, or a list of them, if what holds it is a reference.
    Id,
    /// Anything else.
    Other,
}

impl Place {
    fn of(name: &str) -> Place {
        match name {
            "file" | "source" | "container" => Place::Holder,
            "file_id" | "file_ids" => Place::Id,
            _ => Place::Other,
        }
    }
}

/// Members that hold the client's own values.
const OPAQUE: [&str; 5] = ["metadata", "parameters", "input_schema", "schema", "arguments"];
/// The types of objects whose `file_id` is a reference.
const REFERENCES: [&str; 3] = ["\"input_file\"", "\"input_image\"", "\"container_upload\""];

/// What was found in a value.
#[derive(Default)]
struct Found {
    /// A sealed id: the value itself in [`Place::Id`], else one to which the value refers.
    id: Option<String>,
}

impl<'de> DeserializeSeed<'de> for Place {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Found, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place {
    type Value = Found;

    fn expecting(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        text.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Found, E> {
        let is_file = |text: &&str| text.strip_prefix(prefix(Kind::File)).is_some_and(is_sealed);
        let id = Some(text).filter(|_| self == Place::Id).filter(is_file).map(str::to_owned);
        Ok(Found { id })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        let mut found = Found::default();
        while let Some(next) = list.next_element_seed(self)? {
            found.id = found.id.or(next.id);
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Found, A::Error> {
        let (mut own, mut input, mut found) = (None, None, None);
        let (mut is_reference, mut is_call) = (self == Place::Holder, false);
        while let Some(name) = object.next_key::<Cow<'de, str>>()? {
            if name == "type" {
                let kind: &serde_json::value::RawValue = object.next_value()?;
                is_reference |= REFERENCES.contains(&kind.get());
                is_call |= kind.get().ends_with("tool_use\"");
                continue;
            }
            if OPAQUE.contains(&&*name) {
                object.next_value::<IgnoredAny>()?;
                continue;
            }
            let place = Place::of(&name);
            let next = object.next_value_seed(place)?.id;
            let into = match &*name {
                "file_id" | "file_ids" => &mut own,
                "input" => &mut input,
                _ => &mut found,
            };
            *into = into.take().or(next);
        }
        let own = own.filter(|_| is_reference);
        let input = input.filter(|_| !is_call);
        Ok(Found { id: found.or(own).or(input) })
    }

    fn visit_unit<E: Error>(self) -> Result<Found, E> {
        Ok(Found::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Found, E> {
        Ok(Found::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Found, E> {
        Ok(Found::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Found, E> {
        Ok(Found::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Found, E> {
        Ok(Found::default())
    }
}
