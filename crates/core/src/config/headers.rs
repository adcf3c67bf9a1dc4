//! Headers that the config adds to requests: `extra_headers` and `headers` of a deployment.
//!
//! Called by [`super::params`]. Always true: each can be sent, and none belongs to the connection.

use crate::secret::Secret;

use super::field::Field;
use super::problem::{Problems, Wrong};
use super::{address, value};

/// Headers about framing and the connection.
#[rustfmt::skip]
const FRAMING: [&str; 9] = [
    "connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
];

/// The headers of the field, lower case.
pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Vec<(Box<str>, Secret)> {
    let mut headers = Vec::new();
    let Some(map) = field.map(problems) else { return headers };
    for entry in &map.entries {
        let path = field.path.key(&entry.key);
        if entry.value.is_unset() {
            continue;
        }
        let Some(text) = entry.value.text() else {
            let problem = format!("expected text, got {}", value::describe_kind(&entry.value));
            field.wrong_in(entry.value.at, &path, Wrong::new(problem, ""), problems);
            continue;
        };
        if !address::is_header_name(&entry.key) {
            let wrong = Wrong::new("is not the name of a header", "use letters, digits and `-`");
            field.wrong_in(entry.at, &path, wrong, problems);
        } else if FRAMING.contains(&&*entry.key.to_ascii_lowercase()) {
            let problem = "is a header that belongs to the connection, which is Hale's: not sent";
            problems.warn(entry.at, &path, Wrong::new(problem, "remove it"));
        } else if !address::is_header_value(text) {
            let problem = "has characters that a header cannot carry";
            let wrong = Wrong::new(problem, "use plain ASCII on one line");
            field.wrong_in(entry.value.at, &path, wrong, problems);
        } else {
            headers.push((entry.key.to_lowercase().into(), Secret::new(text)));
        }
    }
    headers
}
