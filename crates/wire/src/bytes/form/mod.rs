//! Forms (`multipart/form-data`): files and text fields.
//!
//! Parsed by `Peek::of_form` once per request, edited once per attempt. Always true: the text fields of a form are
//! read as a JSON object by the same readers as any other request; the bytes of files are neither read nor copied;
//! bytes that no edit names are forwarded as they came.

mod fields;
mod scan;

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderValue;

use crate::bytes::edit::Edit;
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::payload::Payload;

pub(crate) use self::fields::fields;
pub use self::scan::{BOUNDARY_MAX, FormError, HEAD_MAX, PARTS_MAX};
use self::scan::{Part, boundary, parts};

/// A form, and the ranges of its parts.
#[derive(Clone, Debug)]
pub struct Form {
    body: Bytes,
    boundary: Box<str>,
    parts: Vec<Part>,
    /// The start of the closing delimiter.
    close: usize,
}

impl Form {
    /// Finds the parts of `body`.
    ///
    /// # Errors
    /// If it is not a form.
    pub fn parse(body: Bytes, content_type: &str) -> Result<Form, FormError> {
        let boundary = boundary(content_type)?;
        let (parts, close) = parts(&body, boundary)?;
        Ok(Form { boundary: boundary.into(), parts, close, body })
    }

    /// Its parts, in order: name, content, and whether it is a file.
    pub fn parts(&self) -> impl Iterator<Item = (&[u8], &[u8], bool)> {
        let all = self.parts.iter();
        all.map(|part| {
            (&self.body[part.name.clone()], &self.body[part.content.clone()], part.is_file)
        })
    }

    /// The form as it came.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    /// The content of the first part with that name.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Bytes> {
        let mut parts = self.parts.iter();
        let part = parts.find(|part| self.body[part.name.clone()] == *name.as_bytes())?;
        Some(self.body.slice(part.content.clone()))
    }

    /// The form with `edits` applied. The first edit that names a part wins. An edit also covers the parts of a list
    /// or an object: `name[]` and `name[key]`. `file` replaces the content of the first part with that name.
    ///
    /// An inserted value cannot contain the boundary by chance. A client that picks its boundary to match a value
    /// breaks only its own request.
    #[must_use]
    pub fn edited(&self, edits: &[Edit<'_>], mut file: Option<(&str, Bytes)>) -> Payload {
        let mut out = Payload::default();
        let mut done = 0;
        // The edits whose name is in the output already.
        let mut stands = vec![false; edits.len()];
        for part in &self.parts {
            let name = &self.body[part.name.clone()];
            let found = edits.iter().position(|edit| is_of(name, edit.name()));
            let mut put = |upto: usize, new: Bytes, from: usize| {
                out.push(self.body.slice(done..upto));
                out.push(new);
                done = from;
            };
            let whole = &part.whole;
            match found.map(|index| (index, &edits[index])) {
                None => {
                    if let Some((_, new)) = file.take_if(|(file, _)| name == file.as_bytes()) {
                        put(part.content.start, new, part.content.end);
                    }
                }
                Some((_, Edit::Remove(_))) => put(whole.start, Bytes::new(), whole.end),
                Some((index, Edit::Default(..))) => stands[index] = true,
                Some((index, Edit::Set(_, value))) => {
                    let text = text(value).filter(|_| !part.is_file && !name.ends_with(b"]"));
                    match text {
                        Some(text) if !stands[index] => {
                            put(part.content.start, Bytes::from(text), part.content.end);
                            stands[index] = true;
                        }
                        // It is written as a whole at the end, or was written already.
                        _ => put(whole.start, Bytes::new(), whole.end),
                    }
                }
                Some((_, Edit::Rename(from, to))) => {
                    let taken = self.parts().any(|(name, ..)| is_of(name, to));
                    let start = part.name.start;
                    match taken {
                        true => put(whole.start, Bytes::new(), whole.end),
                        false => put(start, Bytes::from(to.to_string()), start + from.len()),
                    }
                    let of_name = edits.iter().map(|edit| edit.name() == *to);
                    stands.iter_mut().zip(of_name).for_each(|(one, named)| *one |= named);
                }
            }
        }
        out.push(self.body.slice(done..self.close));
        out.push(Bytes::from(self.added(edits, &stands)));
        out.push(self.body.slice(self.close..));
        out.content_type = self.content_type();
        out
    }

    /// The parts that the edits add.
    fn added(&self, edits: &[Edit<'_>], stands: &[bool]) -> String {
        let mut added = String::new();
        for (index, edit) in edits.iter().enumerate() {
            let (Edit::Set(name, _) | Edit::Default(name, _)) = edit else { continue };
            let decided = |earlier: &Edit<'_>| {
                !matches!(earlier, Edit::Rename(..)) && earlier.name() == *name
            };
            if stands[index] || edits[..index].iter().any(decided) {
                continue;
            }
            let value = match edit {
                Edit::Set(_, value) => value,
                Edit::Default(_, value) => *value,
                Edit::Rename(..) | Edit::Remove(_) => continue,
            };
            match elements(value) {
                Some(items) => {
                    let name = format!("{name}[]");
                    items.for_each(|item| self.add(&mut added, &name, &as_text(item)));
                }
                None if value == "null" => {}
                None => self.add(&mut added, name, &as_text(value)),
            }
        }
        added
    }

    fn add(&self, to: &mut String, name: &str, text: &str) {
        let boundary = &self.boundary;
        // The gateway or its config chose the name.
        let name = name.replace('"', "%22");
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"");
        to.push_str(&head);
        to.push_str("\r\n\r\n");
        to.push_str(text);
        to.push_str("\r\n");
    }

    /// The content type, with the boundary.
    fn content_type(&self) -> Option<HeaderValue> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.'+".contains(&byte);
        let text = match self.boundary.bytes().all(is_plain) {
            true => format!("multipart/form-data; boundary={}", self.boundary),
            false => format!("multipart/form-data; boundary=\"{}\"", self.boundary),
        };
        HeaderValue::from_str(&text).ok()
    }
}

/// A file of a form: the part's name, the file's name, its type and its content.
pub(crate) type File<'f> = (&'f str, &'f str, &'f str, &'f [u8]);

/// A form of one file and what `fields` add, and its content type.
///
/// # Errors
/// If the boundary is not a valid one.
pub(crate) fn of_fields(
    fields: &[Edit<'_>],
    boundary: &str,
    (name, file_name, kind, content): File<'_>,
) -> Result<(Bytes, String), FormError> {
    let empty = Bytes::from(format!("--{boundary}--\r\n"));
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let form = Form::parse(empty, &content_type)?;
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; \
         filename=\"{file_name}\"\r\nContent-Type: {kind}\r\n\r\n"
    );
    let file = [head.as_bytes(), content, b"\r\n"].concat();
    let body = [&file, &*form.edited(fields, None).joined()].concat();
    Ok((Bytes::from(body), content_type))
}

/// Whether a part with `name` is `field`, or belongs to a list or an object of that name.
fn is_of(name: &[u8], field: &str) -> bool {
    let tail = name.strip_prefix(field.as_bytes());
    tail.is_some_and(|tail| tail.is_empty() || tail.starts_with(b"["))
}

/// A JSON text as the content of one part; `None` if it needs none or several.
fn text(json: &str) -> Option<String> {
    let needs_one = json != "null" && !json.starts_with('[');
    needs_one.then(|| as_text(json).into_owned())
}

/// A string as its text, any other JSON as it is.
fn as_text(json: &str) -> Cow<'_, str> {
    match serde_json::from_str(json) {
        Ok(Str(text)) => text,
        Err(_) => Cow::Borrowed(json),
    }
}

#[cfg(test)]
mod tests;
