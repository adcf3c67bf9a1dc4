//! `mock_response` of a deployment: a canned answer instead of the provider's.
//!
//! Called by [`super::params`]. Always true: what cannot be an answer is a problem at its place.

use crate::deployment::{MockAnswer, MockContent};

use super::field::Field;
use super::problem::{Problems, Wrong, shown};
use super::scalar;
use super::suggest::{did_you_mean, nearest};
use super::tree::{Node, Value};
use super::value;

/// The canned answer in `mock_response`; `None` if it is turned off or wrong.
pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Option<MockAnswer> {
    let content = match &field.node.value {
        Value::List(items) => MockContent::Vector(vector(field, items, problems)?),
        Value::Map(_) | Value::Missing(_) => {
            let problem = "expected text or a list of numbers, got a mapping";
            field.wrong(Wrong::new(problem, ""), problems);
            return None;
        }
        Value::Scalar(text, _) => match text.strip_prefix("litellm.") {
            Some(class) => MockContent::Failure(failure(field, class, problems)?),
            None => match scalar::boolean(text) {
                Some(true) => MockContent::Text("This is a mock request".into()),
                Some(false) => return None,
                None => MockContent::Text(Box::from(&**text)),
            },
        },
    };
    Some(MockAnswer { content, delay_ms: 0 })
}

fn vector(field: &Field<'_>, items: &[Node], problems: &mut Problems) -> Option<Vec<f64>> {
    let mut vector = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        match value::number(item, f64::MIN, f64::MAX) {
            Ok(number) => vector.push(number),
            Err(_) => {
                let problem = format!("expected a number, got {}", value::describe(item));
                field.wrong_in(item.at, &field.path.item(i), Wrong::new(problem, ""), problems);
                return None;
            }
        }
    }
    if vector.is_empty() {
        field.wrong(Wrong::new("the list is empty", "write at least one number"), problems);
        return None;
    }
    Some(vector)
}

fn failure(field: &Field<'_>, class: &str, problems: &mut Problems) -> Option<u16> {
    if let Some(status) = MockContent::failure(class) {
        return Some(status);
    }
    let near = nearest(class, MockContent::failures());
    let problem = format!("unknown failure `litellm.{}`", shown(class));
    field.wrong(Wrong::new(problem, did_you_mean(&near)), problems);
    None
}
