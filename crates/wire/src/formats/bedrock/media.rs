//! Writes images, documents, sound and films as blocks.
//!
//! Called by [`super::messages`]. Always true: data that the format has no word for is refused by its type; the names of the
//! documents of a request are different, have the letters that the provider takes, and are the same in each turn of a session.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::bytes::json::JsonText;
use crate::formats::errors::clean;
use crate::formats::neutral::{Source, Unfit};
use crate::formats::order::Order;

/// The longest name of a document. Source:
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html>.
const NAME_MAX: usize = 200;
/// What room a number behind a name takes at most.
const NUMBER_ROOM: usize = 10;

/// What documents are called.
const DOCUMENTS: [(&str, &str); 12] = [
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/csv", "csv"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("text/html", "html"),
    ("text/markdown", "md"),
    ("text/x-markdown", "md"),
    ("text/plain", "txt"),
    ("application/json", "txt"),
];
const IMAGES: [(&str, &str); 4] =
    [("image/png", "png"), ("image/jpeg", "jpeg"), ("image/gif", "gif"), ("image/webp", "webp")];
const VIDEOS: [(&str, &str); 9] = [
    ("video/x-matroska", "mkv"),
    ("video/quicktime", "mov"),
    ("video/mp4", "mp4"),
    ("video/webm", "webm"),
    ("video/x-flv", "flv"),
    ("video/mpeg", "mpeg"),
    ("video/mpg", "mpg"),
    ("video/x-ms-wmv", "wmv"),
    ("video/3gpp", "three_gp"),
];
const SOUNDS: [(&str, &str); 9] = [
    ("audio/mpeg", "mp3"),
    ("audio/mp3", "mp3"),
    ("audio/wav", "wav"),
    ("audio/x-wav", "wav"),
    ("audio/flac", "flac"),
    ("audio/ogg", "ogg"),
    ("audio/opus", "opus"),
    ("audio/aac", "aac"),
    ("audio/mp4", "m4a"),
];

/// The names of the documents of a request: all of them, and for each plain one the number that the next of that name gets.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: HashSet<String>,
    next: HashMap<String, usize>,
}

impl Names {
    /// The name of one more document.
    pub(super) fn next(&mut self, title: Option<&str>) -> String {
        let plain = plain_name(title.unwrap_or_default());
        if self.all.insert(plain.clone()) {
            return plain;
        }
        let number = self.next.entry(plain.clone()).or_insert(2);
        loop {
            let name = format!("{plain} {number}");
            *number += 1;
            if self.all.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// A title in the letters that names have.
fn plain_name(title: &str) -> String {
    // A file's name without its ending.
    let title = match title.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() && (1..=5).contains(&end.len()) => stem,
        _ => title,
    };
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "-()[] ".contains(c);
    let mut name = String::with_capacity(title.len().min(NAME_MAX));
    for c in title.chars().map(|c| if c.is_whitespace() { ' ' } else { c }) {
        let c = if is_letter(c) { c } else { '-' };
        if name.len() + NUMBER_ROOM >= NAME_MAX {
            break;
        }
        // Neighbouring spaces are refused.
        if c != ' ' || !(name.is_empty() || name.ends_with(' ')) {
            name.push(c);
        }
    }
    let name = name.trim_end();
    if name.is_empty() { "document".to_owned() } else { name.to_owned() }
}

pub(super) fn write_image(
    json: &mut JsonText,
    source: &Source<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    write_block(json, ("image", &IMAGES), source, order)
}

/// Sound or a film.
pub(super) fn write_media(
    json: &mut JsonText,
    source: &Source<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let is_video = match source {
        Source::Base64 { media_type, .. } => media_type.starts_with("video/"),
        Source::Plain(_) | Source::Url(_) | Source::File(_) => true,
    };
    match is_video {
        true => write_block(json, ("video", &VIDEOS), source, order),
        false => write_block(json, ("audio", &SOUNDS), source, order),
    }
}

fn write_block(
    json: &mut JsonText,
    (kind, formats): (&str, &[(&str, &str)]),
    source: &Source<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let format = format_of(source, formats, order)?;
    json.open(b'{').key(kind).open(b'{').member("format", format);
    write_source(json, source, order)?;
    json.close(b'}').close(b'}');
    Ok(())
}

/// A document of that name; one that is an image is an image.
pub(super) fn write_document(
    json: &mut JsonText,
    source: &Source<'_>,
    (name, order): (&str, &Order<'_>),
) -> Result<(), Unfit> {
    if let Source::Base64 { media_type, .. } = source {
        match media_type.split('/').next() {
            Some("image") => return write_image(json, source, order),
            Some("audio" | "video") => return write_media(json, source, order),
            _ => {}
        }
    }
    let format = format_of(source, &DOCUMENTS, order)?;
    json.open(b'{').key("document").open(b'{').member("format", format).member("name", name);
    write_source(json, source, order)?;
    json.close(b'}').close(b'}');
    Ok(())
}

/// The word for the type of the data.
fn format_of<'f>(
    source: &Source<'_>,
    formats: &[(&str, &'f str)],
    order: &Order<'_>,
) -> Result<&'f str, Unfit> {
    let media_type: Cow<'_, str> = match source {
        Source::Base64 { media_type, .. } => Cow::Borrowed(media_type),
        Source::Plain(_) => Cow::Borrowed("text/plain"),
        // An object of S3 is what its name says.
        Source::Url(url) | Source::File(url) => {
            let end = url.rsplit('.').next().unwrap_or_default();
            let found = formats.iter().find(|(_, format)| *format == end);
            Cow::Borrowed(found.map_or("", |(media_type, _)| *media_type))
        }
    };
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    let found = formats.iter().find(|(known, _)| *known == bare).map(|(_, format)| *format);
    // Source code and the like are texts.
    let is_text = bare.starts_with("text/");
    let found = found.or_else(|| {
        let plain = formats.iter().find(|(known, _)| *known == "text/plain")?;
        is_text.then_some(plain.1)
    });
    found.ok_or_else(|| {
        let provider = &order.deployment.endpoint.provider.name;
        match source {
            Source::Url(_) | Source::File(_) => no_address(provider),
            Source::Base64 { .. } | Source::Plain(_) => {
                let field = format!("messages: data of type {}", clean(&media_type, 60));
                let fix = "send PNG, JPEG, GIF or WebP, a document such as PDF, or text";
                Unfit::unsupported(field, provider, fix)
            }
        }
    })
}

fn no_address(provider: &str) -> Unfit {
    let fix = "send the data itself in base64, or the address of an object of S3";
    Unfit::unsupported("messages: an address of content", provider, fix)
}

fn write_source(json: &mut JsonText, source: &Source<'_>, order: &Order<'_>) -> Result<(), Unfit> {
    json.key("source").open(b'{');
    match source {
        Source::Base64 { data, .. } => {
            json.member("bytes", data);
        }
        Source::Plain(text) => {
            json.member("bytes", &STANDARD.encode(text.as_bytes()));
        }
        Source::Url(url) | Source::File(url) if url.starts_with("s3://") => {
            json.key("s3Location").open(b'{').member("uri", url).close(b'}');
        }
        Source::Url(_) | Source::File(_) => {
            return Err(no_address(&order.deployment.endpoint.provider.name));
        }
    }
    json.close(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_documents_of_one_name_take_linear_time_and_stay_apart() {
        let mut names = Names::default();
        // One that already has the form of a number behind the name.
        assert_eq!(names.next(Some("a 3.pdf")), "a 3");
        let many: HashSet<String> = (0..100_000).map(|_| names.next(Some("a.pdf"))).collect();
        assert_eq!(many.len(), 100_000);
        assert!(!many.contains("a 3") && many.contains("a") && many.contains("a 100001"));
    }

    #[test]
    fn names_of_documents_are_valid_different_and_the_same_each_time() {
        for _ in 0..2 {
            let mut names = Names::default();
            let file = Some("Q3 report (final).v2.pdf");
            assert_eq!(names.next(file), "Q3 report (final)-v2");
            assert_eq!(names.next(file), "Q3 report (final)-v2 2");
            assert_eq!(names.next(None), "document");
            assert_eq!(names.next(Some("  a \t b  ")), "a b");
            assert_eq!(names.next(Some("\u{fc}\u{fc}.docx")), "--");
            let long = names.next(Some(&"x".repeat(500)));
            assert!(long.len() <= NAME_MAX - NUMBER_ROOM);
        }
    }
}
