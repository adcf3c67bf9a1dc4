//! Where addresses stand in a body: for messages about them, and for bodies that pass as they are.
//!
//! Called by [`super`]. Always true: a body is only read; what stands around an address stays as it is.

use std::borrow::Cow;
use std::ops::Range;

use hale_core::operation::Operation;

use super::{Said, Wanted, needs_data};
use crate::bytes::edit::{Edit, Patch, json_string, patched};
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::{places, texts};
use crate::bytes::peek::Peek;
use crate::bytes::scan;
use crate::formats::fetched::{Body, Data};
use crate::formats::neutral::Unfit;
use crate::formats::order::Order;

/// How deep an address may stand. Deeper ones are in what no model reads.
const DEPTH_MAX: usize = 12;

/// The path of the field that holds `address`.
pub(super) fn path_of(peek: &Peek, address: &str) -> String {
    for name in ["messages", "input", "contents", "system"] {
        let mut path = name.to_owned();
        if peek.raw(name).is_some_and(|raw| find(raw, address, &mut path, 0)) {
            return path;
        }
    }
    "messages".to_owned()
}

/// Adds to `path` where `address` stands in `raw`; false if it does not.
fn find(raw: &str, address: &str, path: &mut String, depth: usize) -> bool {
    let length = path.len();
    let is_at = |path: &mut String, step: &str, value: &str| {
        path.push_str(step);
        let found = find(value, address, path, depth + 1);
        if !found {
            path.truncate(length);
        }
        found
    };
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Str<'_>>(raw).is_ok_and(|Str(text)| text == address),
        Some(b'[') if depth < DEPTH_MAX => {
            let mut all = elements(raw).into_iter().flatten().enumerate();
            all.any(|(i, element)| is_at(path, &format!("[{i}]"), element))
        }
        Some(b'{') if depth < DEPTH_MAX => {
            let mut found = false;
            let scanned = scan::members(raw.as_bytes(), |key, value| {
                let name = &raw[key.start + 1..key.end - 1];
                found = found || is_at(path, &format!(".{name}"), &raw[value]);
            });
            found && scanned.is_ok()
        }
        _ => false,
    }
}

/// The body of a client of messages with the data in place of addresses, where it passes as it is to a provider that needs the
/// data; `None` if nothing changes. Which addresses have to be fetched first.
///
/// # Errors
/// If there is no such data at one of them.
pub(crate) fn in_blocks(peek: &Peek, order: &Order<'_>) -> Result<(Wanted, Option<Peek>), Unfit> {
    let (mut wanted, mut patches) = (Wanted::default(), Vec::new());
    let is_read = matches!(order.operation, Operation::Messages | Operation::CountTokens);
    let endpoint = &order.deployment.endpoint;
    if !is_read || (endpoint.vertex.is_none() && endpoint.aws.is_none()) {
        return Ok((wanted, None));
    }
    let (Some(fetched), Some(messages)) = (order.fetched, peek.raw("messages")) else {
        return Ok((wanted, None));
    };
    for block in blocks(messages) {
        let Some((said, address, source)) = address(block) else { continue };
        if !needs_data(&address, said, order) {
            continue;
        }
        match fetched.at(&address) {
            None => wanted.add(&address, peek)?,
            Some(Err(why)) => return Err(Unfit::malformed(path_of(peek, &address), why)),
            Some(Ok(data)) => {
                let at = block.as_ptr() as usize - messages.as_ptr() as usize;
                let refused = |why| Unfit::malformed(path_of(peek, &address), why);
                let (kind, written) = written(data, said).map_err(refused)?;
                patch_kind(block, at, kind, &mut patches);
                patches.push((at + source.start..at + source.end, written.into()));
            }
        }
    }
    if patches.is_empty() {
        return Ok((wanted, None));
    }
    patches.sort_by_key(|(place, _)| place.start);
    let unreadable = |why| Unfit::malformed("messages", why);
    let changed = String::from_utf8(patched(messages.as_bytes(), &patches));
    let changed = changed.map_err(|why| unreadable(why.to_string()))?;
    let body = peek.edited(&[Edit::Set("messages", Cow::Owned(changed))]);
    let changed = Peek::parse(body).map_err(|why| unreadable(why.to_string()))?;
    Ok((wanted, Some(changed)))
}

/// The blocks of all messages, those in the results of tools included.
fn blocks(messages: &str) -> impl Iterator<Item = &str> {
    let messages = elements(messages).into_iter().flatten();
    messages.flat_map(parts).flat_map(move |block| {
        let is_result = texts(block, ["type"]).is_ok_and(|[kind]| kind == Some("\"tool_result\""));
        let within = is_result.then(|| parts(block)).into_iter().flatten();
        std::iter::once(block).chain(within)
    })
}

/// The elements of an object's content.
fn parts(object: &str) -> impl Iterator<Item = &str> {
    let content = texts(object, ["content"]).ok().and_then(|[content]| content);
    content.and_then(elements).into_iter().flatten()
}

/// The address of a block, and the place of its source.
fn address(block: &str) -> Option<(Said, String, Range<usize>)> {
    let [kind, source] = places(block.as_bytes(), ["type", "source"]).ok()?;
    let said = match &block[kind?] {
        "\"image\"" => Said::Image,
        "\"document\"" => Said::Document,
        _ => return None,
    };
    let source = source?;
    let [kind, url] = texts(&block[source.clone()], ["type", "url"]).ok()?;
    let Str(url) = serde_json::from_str::<Str<'_>>(url?).ok()?;
    (kind == Some("\"url\"")).then(|| (said, url.into_owned(), source))
}

/// The kind of a block with that data, and its source.
fn written(data: &Data, said: Said) -> Result<(&'static str, String), String> {
    let kind = match data.media_type.split('/').next() {
        Some("image") => "image",
        Some("audio" | "video") => return Err(format!("what is there is {}", data.media_type)),
        _ => "document",
    };
    let (way, media_type, text) = match &data.body {
        Body::Base64(text) => ("base64", &*data.media_type, text),
        Body::Text(_) if said == Said::Image => {
            return Err(format!("what is there is a text ({}), not an image", data.media_type));
        }
        Body::Text(text) => ("text", "text/plain", text),
    };
    let text = json_string(text);
    let source = format!(r#"{{"type":"{way}","media_type":"{media_type}","data":{text}}}"#);
    Ok((kind, source))
}

/// Notes the change of a block's kind if its data is another one.
fn patch_kind(block: &str, at: usize, kind: &str, patches: &mut Vec<Patch>) {
    if let Ok([Some(place)]) = places(block.as_bytes(), ["type"])
        && block[place.clone()] != *json_string(kind)
    {
        patches.push((at + place.start..at + place.end, json_string(kind).into()));
    }
}
