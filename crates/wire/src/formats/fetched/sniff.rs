//! What data is, by its first bytes.
//!
//! Called by [`super::Data::of`]. Always true: a label counts only for what has no signature of its own: texts and office files.

/// The type of `bytes`, and their text if they are one.
///
/// # Errors
/// What they are, if it is nothing that a provider reads.
pub(super) fn media_type<'b, 'l: 'm, 'm>(
    bytes: &'b [u8],
    label: Option<&'l str>,
) -> Result<(&'m str, Option<&'b str>), String> {
    if bytes.is_empty() {
        return Err("what is there is empty".to_owned());
    }
    if let Some(media_type) = signature(bytes) {
        return Ok((media_type, None));
    }
    let label = label.map(|label| label.split(';').next().unwrap_or_default().trim());
    let label = label.filter(|label| is_plain(label)).unwrap_or("application/octet-stream");
    let is_office = label.starts_with("application/")
        && (bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xd0\xcf\x11\xe0"))
        && ["officedocument", "msword", "ms-excel"].iter().any(|word| label.contains(word));
    if is_office {
        return Ok((label, None));
    }
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    match text {
        Some(text) if is_text(label) => Ok((label, Some(text))),
        _ => Err(format!(
            "what is there is labelled {label}, and its bytes are neither an image nor a document that providers read"
        )),
    }
}

/// Whether a label is a type and nothing else: it is written into requests and messages.
fn is_plain(label: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"/.+-_".contains(&byte);
    label.len() <= 100 && label.contains('/') && label.bytes().all(is_word)
}

fn is_text(label: &str) -> bool {
    let ends = ["json", "xml", "yaml", "javascript", "x-python"];
    label.starts_with("text/") || ends.iter().any(|end| label.ends_with(end))
}

/// The type that the first bytes prove. Source: <https://mimesniff.spec.whatwg.org/>.
pub(super) fn signature(bytes: &[u8]) -> Option<&'static str> {
    let begins = |start: &[u8]| bytes.starts_with(start);
    let at_eight = bytes.get(8..12).unwrap_or_default();
    if begins(b"RIFF") {
        return match at_eight {
            b"WEBP" => Some("image/webp"),
            b"WAVE" => Some("audio/wav"),
            _ => None,
        };
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(match at_eight {
            b"heic" | b"heix" | b"mif1" | b"msf1" => "image/heic",
            b"avif" | b"avis" => "image/avif",
            b"qt  " => "video/quicktime",
            b"M4A " | b"M4B " => "audio/mp4",
            _ => "video/mp4",
        });
    }
    if begins(b"\x1a\x45\xdf\xa3") {
        let head = &bytes[..bytes.len().min(64)];
        let is_webm = head.windows(4).any(|four| four == b"webm");
        return Some(if is_webm { "video/webm" } else { "video/x-matroska" });
    }
    const SIGNATURES: [(&[u8], &str); 11] = [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"%PDF-", "application/pdf"),
        (b"OggS", "audio/ogg"),
        (b"fLaC", "audio/flac"),
        (b"ID3", "audio/mpeg"),
        (b"\xff\xfb", "audio/mpeg"),
        (b"\xff\xf3", "audio/mpeg"),
        (b"\xff\xf2", "audio/mpeg"),
    ];
    SIGNATURES.iter().find(|(start, _)| begins(start)).map(|(_, media_type)| *media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_say_what_they_are_whatever_their_label() {
        let of =
            |bytes: &[u8], label: &str| media_type(bytes, Some(label)).map(|(it, _)| it.to_owned());
        for (bytes, label, expected) in [
            (&b"\x89PNG\r\n\x1a\n..."[..], "image/jpeg", "image/png"),
            (b"\xff\xd8\xff\xe0", "text/html", "image/jpeg"),
            (b"GIF89a", "image/gif", "image/gif"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "application/octet-stream", "image/webp"),
            (b"%PDF-1.7", "image/png", "application/pdf"),
            (b"\0\0\0\x18ftypheic", "", "image/heic"),
            (b"\0\0\0\x18ftypisom", "", "video/mp4"),
            (b"\x1a\x45\xdf\xa3..B\x82\x84webm", "", "video/webm"),
            (b"a,b\n1,2", "text/csv; charset=utf-8", "text/csv"),
            (b"{}", "application/json", "application/json"),
            (
                b"PK\x03\x04",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
        ] {
            assert_eq!(of(bytes, label).as_deref(), Ok(expected), "{label}");
        }
        let text = media_type(b"hi", Some("text/plain")).unwrap();
        assert_eq!(text, ("text/plain", Some("hi")));
        for (bytes, label) in [
            (&b""[..], "image/png"),
            (b"not an image", "image/png"),
            (b"\xff\xfe\x00", "text/plain"),
            (b"a\0b", "text/plain"),
            (b"PK\x03\x04", "application/zip"),
            (b"hi", "text/plain\r\nx: y"),
            (b"RIFF\0\0\0\0AVI ", "video/avi"),
        ] {
            assert!(of(bytes, label).is_err(), "{label}");
        }
        assert!(media_type(b"hi", None).is_err(), "a text without a label is not known to be one");
    }
}
