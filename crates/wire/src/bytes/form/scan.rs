//! A scanner for `multipart/form-data`: finds the parts of a body without copying them.
//!
//! Called by [`super::Form`]. Always true: one pass over the body; each byte of it is in exactly one of
//! what stands between parts, a part's head or a part's content; heads, their number and the boundary are
//! bounded. Source: RFC 2046 section 5.1.1 and RFC 7578.

use std::ops::Range;

use memchr::memmem::Finder;

/// Longest boundary, in characters. Source: RFC 2046.
pub const BOUNDARY_MAX: usize = 70;
/// Longest head of a part, in bytes.
pub const HEAD_MAX: usize = 8 << 10;
/// Encodings that change nothing. RFC 7578, section 4.7, deprecates the header; some readers undo others.
const PLAIN_ENCODINGS: [&[u8]; 3] = [b"7bit", b"8bit", b"binary"];
/// Maximum number of parts.
pub const PARTS_MAX: usize = 1_000;

/// What is wrong with a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// No bytes at all.
    #[error("the request body is empty; send a form with its parts")]
    Empty,
    /// The header has no boundary, or an invalid one.
    #[error("the boundary in `content-type` {0}; let the client library set that header")]
    Boundary(&'static str),
    /// The boundary is not in the body.
    #[error(
        "the boundary of `content-type` does not begin the body; let the client library set that header, \
         and send the body that it belongs to"
    )]
    NoParts,
    /// The closing delimiter is missing.
    #[error("the form ends without its closing boundary: it was cut, or written wrongly")]
    Unfinished,
    /// The head of a part cannot be read.
    #[error("part {0} of the form {1}")]
    Part(usize, &'static str),
    /// More than [`PARTS_MAX`] parts.
    #[error("the form has more than {PARTS_MAX} parts")]
    Parts,
    /// A field that the gateway reads uses a notation that it does not read.
    #[error("`{0}` cannot be read; send `{1}` once, as JSON text")]
    Nested(String, String),
    /// The fields are invalid.
    #[error(transparent)]
    Fields(#[from] crate::bytes::peek_error::PeekError),
}

/// One part, as ranges of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// From the first dash of its delimiter to that of the next one.
    pub whole: Range<usize>,
    /// The name, without quotes, as it is written.
    pub name: Range<usize>,
    /// The content.
    pub content: Range<usize>,
    /// Whether it has a file name.
    pub is_file: bool,
}

/// The boundary in the `content-type` header `value`.
///
/// # Errors
/// If there is none, more than one, or an invalid one.
pub(super) fn boundary(value: &str) -> Result<&str, FormError> {
    let mut found = None;
    for parameter in Parameters(value.split_once(';').map_or("", |(_, tail)| tail)) {
        let (name, value) = parameter.ok_or(FormError::Boundary("cannot be read"))?;
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

/// The parts of `body`, and the start of the closing delimiter.
///
/// # Errors
/// If the body is not a form with that boundary.
pub(super) fn parts(body: &[u8], boundary: &str) -> Result<(Vec<Part>, usize), FormError> {
    if body.is_empty() {
        return Err(FormError::Empty);
    }
    let mut delimiters = Delimiters::new(body, boundary);
    let (mut begin, mut after) = match delimiters.next() {
        Some(Delimiter::Opens(begin, after)) => (begin, after),
        // A form without any part.
        Some(Delimiter::Closes(begin)) => return Ok((Vec::new(), begin)),
        Some(Delimiter::Doubtful) | None => return Err(FormError::NoParts),
    };
    let mut parts = Vec::with_capacity(8);
    loop {
        let next = delimiters.next().ok_or(FormError::Unfinished)?;
        let (Delimiter::Opens(end, _) | Delimiter::Closes(end)) = next else {
            let why = "holds its boundary in a line that does not begin and end with CRLF: some readers end it there";
            return Err(FormError::Part(parts.len() + 1, why));
        };
        if parts.len() == PARTS_MAX {
            return Err(FormError::Parts);
        }
        let number = parts.len() + 1;
        // The line end before a delimiter belongs to it, but cannot start before the end of the head.
        let content_end = end.saturating_sub(2).max(after);
        let head = head(&body[after..content_end]).ok_or(FormError::Part(
            number,
            "has no head: headers of at most 8 KiB, ended by an empty line",
        ))?;
        if let Some(why) = ambiguity(&body[after..after + head]) {
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
            Delimiter::Doubtful => return Err(FormError::Unfinished),
        }
    }
}

/// A line between two parts.
#[derive(Clone, Copy)]
enum Delimiter {
    /// The position of its first dash, and the start of the part after it.
    Opens(usize, usize),
    /// The last one.
    Closes(usize),
    /// A line that is one only for readers that end lines with a carriage return or a line feed alone.
    Doubtful,
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
            // In the middle of a line it is content, and so is a longer line: it may be the boundary of an inner form.
            let begins_line = begin == 0 || self.body[..begin].ends_with(b"\r\n");
            let tail = &self.body[after..];
            if begins_line && tail.starts_with(b"--") {
                self.at = after + 2;
                return Some(Delimiter::Closes(begin));
            }
            let padding = tail.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            if begins_line && tail[padding..].starts_with(b"\r\n") {
                // The line end may also start the next delimiter.
                self.at = after + padding;
                return Some(Delimiter::Opens(begin, after + padding + 2));
            }
            self.at = begin + 1;
            let begins = begin == 0 || matches!(self.body[begin - 1], b'\r' | b'\n');
            let ends = tail.starts_with(b"--") || matches!(tail.get(padding), Some(b'\r' | b'\n'));
            if begins && ends {
                return Some(Delimiter::Doubtful);
            }
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

/// What some readers of this head would read otherwise than this one.
fn ambiguity(head: &[u8]) -> Option<&'static str> {
    let mut before = 0;
    for byte in head {
        if (before == b'\r') != (*byte == b'\n') {
            return Some("has a line end in its head that is not CRLF");
        }
        if byte.is_ascii_control() && !matches!(byte, b'\r' | b'\n' | b'\t') {
            return Some("has a control character in its head");
        }
        before = *byte;
    }
    if before == b'\r' {
        return Some("has a line end in its head that is not CRLF");
    }
    for line in head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end) {
        if line.first().is_some_and(u8::is_ascii_whitespace) {
            return Some("has a header that is folded over two lines");
        }
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        if name.last().is_some_and(u8::is_ascii_whitespace) {
            return Some("has a space before the colon of a header");
        }
        let encoding = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-transfer-encoding")
            && !PLAIN_ENCODINGS.iter().any(|plain| encoding.eq_ignore_ascii_case(plain))
        {
            return Some("is encoded (`Content-Transfer-Encoding`); send it plain");
        }
    }
    None
}

/// The range of the part's name in its head, and whether the part is a file.
fn disposition(head: &[u8]) -> Option<(Range<usize>, bool)> {
    // Bytes that are not ASCII are inside a value, where only their number matters.
    let text: String =
        head.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let mut found = None;
    for line in text.split("\r\n") {
        let Some((header, value)) = line.split_once(':') else { continue };
        if !header.trim().eq_ignore_ascii_case("content-disposition") {
            continue;
        }
        let (kind, parameters) = value.split_once(';')?;
        // Two readers could take different ones.
        if found.is_some() || !kind.trim().eq_ignore_ascii_case("form-data") {
            return None;
        }
        let (mut name, mut is_file) = (None, false);
        for parameter in Parameters(parameters) {
            let (key, value) = parameter?;
            match key.to_ascii_lowercase().as_str() {
                "name" if name.is_some() || !is_plain(value) => return None,
                "name" => name = Some(value),
                // RFC 7578, section 4.2, forbids these; some readers take the name from them.
                key if key.starts_with("name*") => return None,
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

/// Whether every reader takes the same characters from a quoted `value`: a backslash before any other character stays
/// for some, and disappears for others.
fn is_plain(value: &str) -> bool {
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        if letter == '\\' && !matches!(letters.next(), Some('"' | '\\')) {
            return false;
        }
    }
    true
}

/// The parameters of a header: `name=value` or `name="value"`, separated by semicolons. Values keep their escapes.
/// A parameter that cannot be read is `None` and the last item.
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
        let (value, tail) = match value.strip_prefix('"') {
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
        if !tail.is_empty() && !tail.starts_with(';') {
            return Some(None);
        }
        self.0 = tail;
        Some(Some((name.trim(), value)))
    }
}
