//! Bodies that become a tree: how long they may be, how many values and how many levels they may have.
//!
//! Asked by the pages before they build a tree of what a client sent. Always true: what is accepted takes at most [`COST`] bytes
//! for each value, so that a body of a page takes the memory of a few bodies of its size and not of a hundred; a body that is
//! refused was read without building anything.

use std::fmt;

use http::StatusCode;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::refusal::Refusal;

/// The longest body of a page, as unpacked, bytes: the reference's clients send a few KiB.
pub(crate) const PAGE_BYTES: usize = 1 << 20;
/// The most values of a body that becomes a tree: as many models, keys, ... as one page changes at once. An object counts as
/// [`OBJECT`] of them.
const VALUES_MAX: u32 = 4_096;
/// The most levels of lists and objects within each other.
const LEVELS_MAX: u32 = 32;
/// As many values an object counts: it has a table of its own.
const OBJECT: u32 = 4;
/// Bytes that a value of a tree takes at most besides its text, with the room in which its list grows.
const COST: usize = 160;

/// How long a body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Longest {
    /// As long as that of a request for a model: it is read like one, and never becomes a tree.
    AsConfigured,
    /// So many bytes, as unpacked.
    Bytes(usize),
}

/// Refuses a body that is longer than its page takes.
pub(crate) fn too_long(limit: usize) -> Refusal {
    let message = format!("the body is larger than {} KiB, which this page takes", limit >> 10);
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "page_body_too_large", message).closing()
}

/// The bytes that a tree of `body` takes at most; 0 of what is no JSON, which its reader says better.
///
/// # Errors
/// The refusal of a body with too many values or levels.
pub(crate) fn cost(body: &[u8]) -> Result<usize, Refusal> {
    let mut counted = Counted { values: 0, levels: 0, fault: None };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = counted.deserialize(&mut reader);
    match (counted.fault, read) {
        (Some(fault), _) => Err(fault.refusal()),
        (None, Ok(())) => Ok(counted.values as usize * COST + body.len()),
        (None, Err(_)) => Ok(0),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Values,
    Levels,
}

impl Fault {
    fn refusal(self) -> Refusal {
        let (reason, message) = match self {
            Fault::Values => (
                "too_many_values",
                format!(
                    "the body has more than {VALUES_MAX} values (an object counts as {OBJECT}); send fewer at once"
                ),
            ),
            Fault::Levels => (
                "too_many_levels",
                format!(
                    "the body has more than {LEVELS_MAX} lists and objects within each other; send it flatter"
                ),
            ),
        };
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason, message)
    }
}

/// What was read of a body.
struct Counted {
    values: u32,
    levels: u32,
    fault: Option<Fault>,
}

impl Counted {
    fn add<E: Error>(&mut self, values: u32) -> Result<(), E> {
        self.values += values;
        if self.values > VALUES_MAX { self.fail(Fault::Values) } else { Ok(()) }
    }

    fn enter<E: Error>(&mut self) -> Result<(), E> {
        self.levels += 1;
        if self.levels > LEVELS_MAX { self.fail(Fault::Levels) } else { Ok(()) }
    }

    fn fail<E: Error>(&mut self, fault: Fault) -> Result<(), E> {
        self.fault = Some(fault);
        Err(E::custom("beyond the bounds"))
    }
}

impl<'de> DeserializeSeed<'de> for &mut Counted {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Counted {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.add(1)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.add(1)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.add(1)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.add(1)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.add(1)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.add(1)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.add(1)?;
        self.enter()?;
        while list.next_element_seed(&mut *self)?.is_some() {}
        self.levels -= 1;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        self.add(OBJECT)?;
        self.enter()?;
        while object.next_key::<IgnoredAny>()?.is_some() {
            object.next_value_seed(&mut *self)?;
        }
        self.levels -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(body: &str) -> &'static str {
        cost(body.as_bytes()).unwrap_err().reply.reason
    }

    #[test]
    fn a_body_with_many_values_or_levels_is_refused_whatever_its_shape() {
        let list = |of: &str, count: usize| format!("{{\"a\":[{}]}}", vec![of; count].join(","));
        // The list and the object around it count, too.
        assert!(cost(list("0", 4_091).as_bytes()).is_ok());
        for many in ["0", "\"\"", "null", "true", "0.5", "-1", "\"\\n\""] {
            assert_eq!(refused(&list(many, 4_092)), "too_many_values", "{many}");
        }
        for object in ["{}", "[[]]"] {
            assert_eq!(refused(&list(object, 2_100)), "too_many_values", "{object}");
        }
        assert_eq!(refused(&list("{\"\":0}", 820)), "too_many_values");
        let wide: Vec<String> = (0..4_100).map(|at| format!("\"{at}\":0")).collect();
        assert_eq!(refused(&format!("{{{}}}", wide.join(","))), "too_many_values");
        let deep = |levels: usize| format!("{}0{}", "[".repeat(levels), "]".repeat(levels));
        assert!(cost(deep(32).as_bytes()).is_ok());
        assert_eq!(refused(&deep(33)), "too_many_levels");
        let objects = format!("{}0{}", "{\"a\":".repeat(33), "}".repeat(33));
        assert_eq!(refused(&objects), "too_many_levels");
        // What is cut short is refused as soon as it is too much.
        assert_eq!(refused(&"[".repeat(1 << 20)), "too_many_levels");
    }

    #[test]
    fn what_a_tree_takes_is_counted_and_what_is_no_json_is_left_to_its_reader() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
        assert_eq!(cost(long.as_bytes()).unwrap(), 5 * COST + long.len());
        assert_eq!(cost(b"{\"a\":").unwrap(), 0);
        assert_eq!(cost(b"").unwrap(), 0);
    }
}
