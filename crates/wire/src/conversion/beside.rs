//! The deployment's defaults that the format of responses has no name for: guardrails, options, seeds.
//!
//! Called by [`super::prepare`] for requests of that format that are translated. Always true: a default counts for a client of
//! responses as it does for one of chats; what the client says of the same goes first.

use std::borrow::Cow;

use crate::bytes::edit::Edit;
use crate::formats::neutral::Request;
use crate::formats::openai;
use crate::formats::responses::read_request::has_place;
use crate::formats::room::Room;

/// Adds to `request` those defaults in `edits` that its reader left out.
pub(super) fn add<'a>(request: &mut Request<'a>, edits: &'a [Edit<'a>], room: &Room) {
    for (at, edit) in edits.iter().enumerate() {
        let Edit::Set(name, raw) = edit else { continue };
        let is_named_before = || edits[..at].iter().any(|before| before.name() == *name);
        if has_place(name) || is_named_before() {
            continue;
        }
        // The config has the names of chats. What cannot be read there is left out for clients of chats, too.
        let one = std::iter::once((Cow::Borrowed(*name), &**raw));
        let Ok(read) = openai::read_request::read(one, room) else { continue };
        request.others.extend(read.others);
        if request.stop.is_empty() {
            request.stop = read.stop;
        }
        if request.effort.is_none() {
            request.thinking = request.thinking.take().or(read.thinking);
        }
    }
}
