//! `user_header_mappings`: which headers name the user of a request.
//!
//! Called by [`super::settings`]. Always true: headers of customers come before those of internal users.

use super::address;
use super::field::Field;
use super::problem::{Problems, Wrong};
use super::tree::Node;

/// The headers, lower case.
pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Vec<Box<str>> {
    let (mut customers, mut others): (Vec<Box<str>>, Vec<Box<str>>) = Default::default();
    for (i, item) in field.list(problems).unwrap_or(&[]).iter().enumerate() {
        let text = |key: &str| item.as_map()?.get(key).and_then(Node::text);
        let name = text("header_name").filter(|name| address::is_header_name(name));
        let Some(name) = name.map(str::to_ascii_lowercase) else {
            let problem = "names no header: it is left out";
            let hint = "write `{header_name: X-User, litellm_user_role: customer}`";
            problems.warn(item.at, &field.path.item(i), Wrong::new(problem, hint));
            continue;
        };
        match text("litellm_user_role") {
            Some("customer") => customers.push(name.into()),
            Some(_) | None => others.push(name.into()),
        }
    }
    customers.append(&mut others);
    customers
}
