//! `general_settings.fetch_urls`, and LiteLLM's keys of the same meaning: which addresses in requests are fetched.
//!
//! Called by [`super::settings`]. Always true: a word that is not known is an error, so that nothing is reached that the config
//! may have meant to close.

use crate::settings::{FetchFrom, FetchSettings};

use super::field::Field;
use super::problem::{Problems, Wrong, shown};
use super::value;

/// The value of `fetch_urls`; `None` if it is wrong.
pub(super) fn from(field: &Field<'_>, problems: &mut Problems) -> Option<FetchFrom> {
    // YAML 1.1 reads the word `off` as a truth value.
    if value::flag(field.node) == Ok(false) {
        return Some(FetchFrom::Nowhere);
    }
    match field.text(problems)? {
        "public" => Some(FetchFrom::Public),
        "off" => Some(FetchFrom::Nowhere),
        "any" => Some(FetchFrom::Anywhere),
        _ => {
            let hint = "write one of the three";
            field.wrong(Wrong::new("is neither `public` nor `off` nor `any`", hint), problems);
            None
        }
    }
}

/// Reads `user_url_validation` or `user_url_allowed_hosts` of `litellm_settings`.
pub(super) fn reference(field: &Field<'_>, fetch: &mut FetchSettings, problems: &mut Problems) {
    if field.row.name == "user_url_validation" {
        if field.flag(problems) == Some(false) {
            fetch.from = FetchFrom::Anywhere;
        }
        return;
    }
    for (place, item) in field.list(problems).into_iter().flatten().enumerate() {
        match value::text(item).and_then(host) {
            Ok(host) => fetch.hosts.push(host),
            Err(wrong) => field.wrong_in(item.at, &field.path.item(place), wrong, problems),
        }
    }
}

/// `host` or `host:port`, in lower case.
fn host(text: &str) -> Result<Box<str>, Wrong> {
    let text = text.trim().to_ascii_lowercase();
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@*,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return Ok(text.into());
    }
    let problem = format!("`{}` is not a host", shown(&text));
    Err(Wrong::new(problem, "write `host` or `host:port`, without a scheme and a path"))
}
