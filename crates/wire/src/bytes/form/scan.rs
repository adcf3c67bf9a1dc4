//! A scanner for `multipart/form-data`: where the parts of a body stand, without a copy of any.
//!
//! Called by [`super::Form`]. Always true: one pass over the body; each byte of it is in exactly one of
//! what stands between parts, a part's head or a part's content; heads, their number and the boundary are
//! bounded. Source: RFC 2046 section 5.1.1 and RFC 7578.

use std::ops::Range;

use memchr::memmem::Finder;

/// Longest boundary, characters. Source: RFC 2046.
pub const BOUNDARY_MAX: usize = 70;
/// Longest head of a part, bytes.
pub const HEAD_MAX: usize = 8 << 10;
/// Most parts of a form.
pub const PARTS_MAX: usize = 1_000;

/// What is wrong with a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// No bytes at all.
    #[error("the request body is empty; send a form with its parts")]
    Empty,
    /// The header names no boundary, or an impossible one.
    #[error("the boundary in `content-type` {0}; let the client library set that header")]
    Boundary(&'static str),
    /// The boundary does not stand in the body.
    #[error(
        "the boundary of `content-type` does not begin the body; let the client library set that header, \
         and send the body that it belongs to"
    )]
    NoParts,
    /// The last part has no end.
    #[error("the form ends without its closing boundary: it was cut, or written wrongly")]
    Unfinished,
    /// A part whose head can not be read.
    #[error("part {0} of the form {1}")]
    Part(usize, &'static str),
    /// More parts than a request has reason to have.
    #[error("the form has more than {PARTS_MAX} parts")]
    Parts,
    /// A field of ours in a notation that is not read.
    #[error("`{0}` can not be read; send `{1}` once, as JSON text")]
    Nested(String, String),
    /// The fields, once read, are not what they must be.
    #[error(transparent)]
    Fields(#[from] crate::bytes::peek_error::PeekError),
}

/// One part, as places in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// From its delimiter's first dash to that of the next.
    pub whole: Range<usize>,
    /// The name, without quotes, as it is written.
    pub name: Range<usize>,
    /// The content.
    pub content: Range<usize>,
    /// Whether it has a file's name.
    pub is_file: bool,
}

/// The boundary that the `content-type` header `value` of a form names.
///
/// # Errors
/// When it names none, several, or one that can not be.
pub(super) fn boundary(value: &str) -> Result<&str, FormError> {
    let mut found = None;
    for parameter in Parameters(value.split_once(';').map_or("", |(_, rest)| rest)) {
        let (name, value) = parameter.ok_or(FormError::Boundary("can not be read"))?;
        if name.eq_ignore_ascii_case("boundary") && found.replace(value).is_some() {
            return Err(FormError::Boundary("stands twice"));
        }
    }
    let boundary = found.ok_or(FormError::Boundary("is missing"))?;
    let is_possible = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    if boundary.is_empty() || boundary.len() > BOUNDARY_MAX {
        return Err(FormError::Boundary("must have 1 to 70 characters"));
    }
    if !boundary.bytes().all(is_possible) || boundary.ends_with(' ') {
        return Err(FormError::Boundary("has characters that a boundary may not have"));
    }
    Ok(boundary)
}

/// The parts of `body`, and where the closing delimiter begins.
///
/// # Errors
/// Where the body is no form with that boundary.
pub(super) fn parts(body: &[u8], boundary: &str) -> Result<(Vec<Part>, usize), FormError> {
    if body.is_empty() {
        return Err(FormError::Empty);
    }
    let mut delimiters = Delimiters::new(body, boundary);
    let (mut begin, mut after) = match delimiters.next() {
        Some(Delimiter::Opens(begin, after)) => (begin, after),
        // A form without any part.
        Some(Delimiter::Closes(begin)) => return Ok((Vec::new(), begin)),
        None => return Err(FormError::NoParts),
    };
    let mut parts = Vec::with_capacity(8);
    loop {
        let next = delimiters.next().ok_or(FormError::Unfinished)?;
        let (Delimiter::Opens(end, _) | Delimiter::Closes(end)) = next;
        if parts.len() == PARTS_MAX {
            return Err(FormError::Parts);
        }
        let number = parts.len() + 1;
        // The line end before a delimiter is part of it, and does not begin before the head's end.
        let content_end = end.saturating_sub(2).max(after);
        let head = head(&body[after..content_end]).ok_or(FormError::Part(
            number,
            "has no head: headers of at most 8 KiB, ended by an empty line",
        ))?;
        if has_bare_line_end(&body[after..after + head]) {
            let why = "has a line end in its head that is not CRLF";
            return Err(FormError::Part(number, why));
        }
        let found = disposition(&body[after..after + head]).ok_or(FormError::Part(
            number,
            "has no readable `Content-Disposition: form-data; name=\"...\"`",
        ))?;
        let (name, is_file) = found;
        parts.push(Part {
            whole: begin..end,
            name: name.start + after..name.end + after,
            content: after + head..content_end,
            is_file,
        });
        match next {
            Delimiter::Opens(from, content) => (begin, after) = (from, content),
            Delimiter::Closes(from) => return Ok((parts, from)),
        }
    }
}

/// A line that stands between parts.
#[derive(Clone, Copy)]
enum Delimiter {
    /// It begins with its first dash, and a part after it.
    Opens(usize, usize),
    /// The last one.
    Closes(usize),
}

struct Delimiters<'b> {
    body: &'b [u8],
    finder: Finder<'b>,
    dashed: String,
    at: usize,
}

impl<'b> Delimiters<'b> {
    fn new(body: &'b [u8], boundary: &str) -> Delimiters<'b> {
        let dashed = format!("--{boundary}");
        let finder = Finder::new(dashed.as_bytes()).into_owned();
        Delimiters { body, finder, dashed, at: 0 }
    }
}

impl Iterator for Delimiters<'_> {
    type Item = Delimiter;

    fn next(&mut self) -> Option<Delimiter> {
        loop {
            let begin = self.at + self.finder.find(&self.body[self.at..])?;
            let after = begin + self.dashed.len();
            // Within a line it is content; so is a longer line, which another form's boundary may be.
            let begins_line = begin == 0 || self.body[..begin].ends_with(b"\r\n");
            let rest = &self.body[after..];
            if begins_line && rest.starts_with(b"--") {
                self.at = after + 2;
                return Some(Delimiter::Closes(begin));
            }
            let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            if begins_line && rest[padding..].starts_with(b"\r\n") {
                // The line end may begin the next delimiter.
                self.at = after + padding;
                return Some(Delimiter::Opens(begin, after + padding + 2));
            }
            self.at = begin + 1;
        }
    }
}

/// The length of the head at the beginning of a part, its empty line included.
fn head(part: &[u8]) -> Option<usize> {
    if part.starts_with(b"\r\n") {
        return Some(2);
    }
    let within = &part[..part.len().min(HEAD_MAX)];
    memchr::memmem::find(within, b"\r\n\r\n").map(|at| at + 4)
}

/// Whether a carriage return or a line feed stands alone. Some readers end a line there, and would read
/// other headers than this one.
fn has_bare_line_end(head: &[u8]) -> bool {
    let mut before = 0;
    for byte in head {
        if (before == b'\r') != (*byte == b'\n') {
            return true;
        }
        before = *byte;
    }
    before == b'\r'
}

/// Where the part's name stands in its head, and whether the part is a file.
fn disposition(head: &[u8]) -> Option<(Range<usize>, bool)> {
    // What is no ASCII is within a value, where only its length matters.
    let text: String =
        head.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let mut found = None;
    for line in text.split("\r\n") {
        let Some((header, value)) = line.split_once(':') else { continue };
        if !header.trim().eq_ignore_ascii_case("content-disposition") {
            continue;
        }
        let (kind, parameters) = value.split_once(';')?;
        // Two of them would be read differently by different readers.
        if found.is_some() || !kind.trim().eq_ignore_ascii_case("form-data") {
            return None;
        }
        let (mut name, mut is_file) = (None, false);
        for parameter in Parameters(parameters) {
            let (key, value) = parameter?;
            match key.to_ascii_lowercase().as_str() {
                "name" if name.is_some() => return None,
                "name" => name = Some(value),
                "filename" | "filename*" => is_file = true,
                _ => {}
            }
        }
        let name = name.filter(|name| !name.is_empty())?;
        let start = name.as_ptr() as usize - text.as_ptr() as usize;
        found = Some((start..start + name.len(), is_file));
    }
    found
}

/// The parameters of a header, `name=value` or `name="value"` between semicolons. Values are as they are
/// written; `None` is one that can not be read, and the last.
struct Parameters<'t>(&'t str);

impl<'t> Iterator for Parameters<'t> {
    type Item = Option<(&'t str, &'t str)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0 = self.0.trim_start_matches([' ', '\t', ';']);
        if self.0.is_empty() {
            return None;
        }
        let text = std::mem::take(&mut self.0);
        let Some((name, value)) = text.split_once('=') else { return Some(None) };
        let value = value.trim_start();
        let (value, rest) = match value.strip_prefix('"') {
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim_end(), &value[end..])
            }
            Some(quoted) => {
                let mut escaped = false;
                let end = quoted.find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                let Some(end) = end else { return Some(None) };
                (&quoted[..end], quoted[end + 1..].trim_start())
            }
        };
        if !rest.is_empty() && !rest.starts_with(';') {
            return Some(None);
        }
        self.0 = rest;
        Some(Some((name.trim(), value)))
    }
}
