//! Binary answers: the content type and the first bytes tell them from text. Also checks encoded bytes in requests.
//!
//! Called by the gateway's attempts before any byte of an answer reaches a client. Always true: an error or an HTML
//! page never passes as audio.

use hale_core::operation::{Answer, Content, Operation};

use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::answer::Fault;
use crate::formats::codec::{self, Codec, Own};
use crate::formats::errors;

use super::base64::fault_of_url;

/// Whether an answer with that content type and these first bytes can be the requested bytes. Without a content type
/// only the first bytes count.
#[must_use]
pub fn may_be_bytes(operation: Operation, content_type: Option<&str>, first: &[u8]) -> bool {
    let kind = content_type.unwrap_or_default().trim().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim_end();
    match operation.answer() {
        Answer::Bytes(Content::Anything) => return true,
        // A file may hold anything, but no provider serves it as a page.
        Answer::Bytes(Content::File) => return kind != "text/html",
        Answer::Bytes(Content::Audio) | Answer::Json | Answer::Socket => {}
    }
    let is_text = kind.ends_with("/json")
        || kind.ends_with("+json")
        || kind.ends_with("xml")
        // Speech as events is forwarded as bytes.
        || (kind.starts_with("text/") && kind != "text/event-stream");
    !is_text && !looks_like_json(first) && !errors::is_html(first)
}

/// The start of an object with a key. No audio format starts like this.
fn looks_like_json(first: &[u8]) -> bool {
    let tail = first.trim_ascii_start().strip_prefix(b"{");
    tail.is_some_and(|tail| matches!(tail.trim_ascii_start().first(), Some(b'"' | b'}')))
}

/// What is wrong with the answer `text` to `operation`, which should have been bytes. It may be cut.
#[must_use]
pub fn no_bytes(operation: Operation, text: &[u8]) -> Fault {
    let wanted = match operation.answer() {
        Answer::Bytes(Content::File) => "a file",
        Answer::Bytes(Content::Anything) => "an answer",
        Answer::Bytes(Content::Audio) | Answer::Json | Answer::Socket => "audio",
    };
    if text.is_empty() {
        return Fault::Malformed("an empty body".to_owned());
    }
    if errors::is_html(text) {
        return Fault::Malformed(format!("an HTML page where {wanted} was expected"));
    }
    let error = errors::parse_provider_error(text);
    let is_error = memchr::memmem::find(text, b"\"error\"").is_some();
    if is_error && !error.message.is_empty() {
        return Fault::Error(error);
    }
    Fault::Malformed(format!("text where {wanted} was expected"))
}

/// Checks the encoded bytes in a request.
///
/// # Errors
/// The field with an invalid data URL, and why.
pub fn check_request(
    operation: Operation,
    peek: &Peek,
) -> Result<(), (&'static str, &'static str)> {
    if codec::of(operation) != Codec::Modes(Own::Pages) {
        return Ok(());
    }
    // The provider decides about a document of another shape.
    let document =
        peek.raw("document").and_then(|raw| texts(raw, ["document_url", "image_url"]).ok());
    let Some([document_url, image_url]) = document else { return Ok(()) };
    let image_url = image_url.and_then(|image| match texts(image, ["url"]) {
        Ok([url]) => url,
        Err(_) => Some(image),
    });
    let urls = [("document.document_url", document_url), ("document.image_url", image_url)];
    for (field, raw) in urls {
        let url = raw.and_then(|raw| serde_json::from_str::<Str<'_>>(raw).ok());
        if let Some(why) = url.and_then(|url| fault_of_url(&url.0)) {
            return Err((field, why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn text_never_passes_as_audio() {
        let mp3 = b"ID3\x04\x00";
        for kind in [Some("audio/mpeg"), Some("application/octet-stream"), None, Some("Audio/WAV")]
        {
            assert!(may_be_bytes(Operation::Speech, kind, mp3), "{kind:?}");
            for words in
                [&b"{\"error\":1}"[..], b" {\n \"a\"", b"{}", b"<!DOCTYPE html>", b"<html>"]
            {
                assert!(!may_be_bytes(Operation::Speech, kind, words), "{kind:?}");
            }
        }
        for kind in ["application/json", "text/html; charset=utf-8", "application/problem+json"] {
            assert!(!may_be_bytes(Operation::Speech, Some(kind), mp3), "{kind}");
        }
        assert!(may_be_bytes(Operation::Speech, Some("text/event-stream"), b"data: {}"));
        // A sample may be a brace.
        assert!(may_be_bytes(Operation::Speech, Some("audio/pcm"), b"{\x01"));
    }

    #[test]
    fn the_fault_names_what_came_instead_of_bytes() {
        let told = no_bytes(Operation::Speech, br#"{"error":{"message":"slow down"}}"#);
        let Fault::Error(error) = told else { panic!() };
        assert_eq!(error.message, "slow down");
        for (text, part) in [("", "empty"), ("<html>", "HTML"), ("{}", "text"), ("hello", "text")] {
            let told = no_bytes(Operation::Speech, text.as_bytes());
            let Fault::Malformed(why) = told else { panic!("{text}") };
            assert!(why.contains(part), "{why}");
        }
        let page = no_bytes(Operation::GetFileContent, b"<html>");
        assert_eq!(page, Fault::Malformed("an HTML page where a file was expected".to_owned()));
    }

    #[test]
    fn a_document_in_a_request_is_valid_base64_or_a_url() {
        let check = |document: &str| {
            let body = Bytes::from(format!(r#"{{"document":{document}}}"#));
            check_request(Operation::Ocr, &Peek::parse(body).unwrap())
        };
        for good in [
            r#"{"type":"document_url","document_url":"https://x.test/a.pdf"}"#,
            r#"{"type":"document_url","document_url":"data:application/pdf;base64,aGk="}"#,
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}"#,
            r#"{"type":"file","file_id":"f"}"#,
            "7",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, field) in [
            (r#"{"document_url":"data:application/pdf;base64,a"}"#, "document.document_url"),
            (r#"{"image_url":"data:image/png;base64,***="}"#, "document.image_url"),
            (r#"{"image_url":{"url":"data:image/png,x"}}"#, "document.image_url"),
        ] {
            assert_eq!(check(bad).unwrap_err().0, field, "{bad}");
        }
    }
}
