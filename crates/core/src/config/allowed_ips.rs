//! `general_settings.allowed_ips`: the addresses whose clients are served.
//!
//! Called by [`super::settings`]. Always true: what is no address is an error, so that no list is wider than it reads; an empty list
//! is as none.

use crate::settings::AddressRange;

use super::field::Field;
use super::problem::{Problems, Wrong, shown};
use super::value;

/// The ranges of the list; `None` if there are none, or one is wrong.
pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Option<Vec<AddressRange>> {
    let mut ranges = Vec::new();
    for (place, item) in field.list(problems)?.iter().enumerate() {
        let parsed = value::text(item).and_then(|text| {
            text.trim().parse().map_err(|()| {
                let problem = format!("`{}` is neither an address nor a range", shown(text));
                Wrong::new(
                    problem,
                    "write `10.1.2.3`, `10.0.0.0/8` with zeros behind its bits, or `2001:db8::/32`",
                )
            })
        });
        match parsed {
            Ok(range) => ranges.push(range),
            Err(wrong) => {
                field.wrong_in(item.at, &field.path.item(place), wrong, problems);
                return None;
            }
        }
    }
    Some(ranges).filter(|ranges| !ranges.is_empty())
}
