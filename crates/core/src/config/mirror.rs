//! `mirror`: the second gateway that gets a sample of requests.
//!
//! Called by the reader of settings. Always true: without an address, a share and a budget there is none, and a wrong one is refused: it would
//! cost money that was not meant.

use std::sync::Arc;

use super::address;
use super::field::Field;
use super::problem::{Problems, Wrong, shown};
use super::tree::{Entry, Node};
use super::value;
use crate::money::Money;
use crate::secret::Secret;
use crate::settings::MirrorSettings;

const FORM: &str = "write `{url: http://litellm:4000, percent: 1, budget: 5}`";

/// Reads it.
pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Option<Arc<MirrorSettings>> {
    let map = field.map(problems)?;
    let (mut url, mut share, mut budget, mut api_key) = (None, None, None, None);
    for entry in &map.entries {
        let read = match &*entry.key {
            "url" => address_of(entry).map(|it| url = Some(it)),
            "percent" => value::number(&entry.value, 0.0, 100.0).map(|it| share = Some(it / 100.0)),
            "budget" => value::number(&entry.value, 0.0, 1e9).map(|it| budget = Money::of_usd(it)),
            "api_key" => key_of(&entry.value).map(|it| api_key = Some(it)),
            other => Err(Wrong::new(format!("unknown key `{}`", shown(other)), FORM)),
        };
        if let Err(wrong) = read {
            field.wrong_in(entry.value.at, &field.path.key(&entry.key), wrong, problems);
            return None;
        }
    }
    match (url, share, budget) {
        (Some(url), Some(share), Some(budget)) => {
            Some(Arc::new(MirrorSettings { url, share, budget, api_key }))
        }
        _ => {
            let problem = "needs `url`, `percent` and `budget`, USD a day";
            field.wrong(Wrong::new(problem, FORM), problems);
            None
        }
    }
}

fn address_of(entry: &Entry) -> Result<Box<str>, Wrong> {
    address::api_base(value::text(&entry.value)?).map_err(|wrong| Wrong {
        problem: wrong.problem.replacen("api_base", "the address", 1),
        hint: FORM.to_owned(),
    })
}

fn key_of(node: &Node) -> Result<Secret, Wrong> {
    let text = value::text(node)?;
    address::key(text)?;
    Ok(Secret::new(text))
}
