//! Forms against `multer`, a reader of forms that shares no code with ours: what both accept, both read alike.
//!
//! A provider reads a form with a reader of its own. Where two readers see different parts, a client could
//! show one model, or one file, to the gateway and another one to the provider. Always true: when both
//! accept, the parts have the same contents in the same order, and the same names and file names wherever
//! `multer` reads the header as RFC 2183 has it.
//!
//! Ours refuses on purpose what `multer` accepts:
//!
//! * text before the first delimiter that holds the boundary within a line: only a whole line is a delimiter;
//! * a part without a name, with an empty one, or with two: providers would choose differently;
//! * a part that is not `form-data`: the reference's readers refuse it too;
//! * two `Content-Disposition` headers in a part, of which `multer` takes the last one;
//! * a parameter that cannot be read, such as a quoted value without its end;
//! * a head of more than 8 KiB, and more than 1,000 parts: everything is bounded.

use bytes::Bytes;
use hale_wire::form::Form;
use http_body_util::{BodyDataStream, Full};
use multer::Multipart;

use crate::fuzz;

const BOUNDARY: &str = "xYz";
const TYPE: &str = "multipart/form-data; boundary=xYz";
const WORDS: &[&str] = &[
    "\r\n--xYz\r\n",
    "\r\n--xYz--",
    "\r\n--xYz \t\r\n",
    "--xYz",
    "--xYz--",
    "\r\n\r\n",
    "\r\n",
    "\n",
    "\r",
    "Content-Disposition: form-data; name=\"a\"",
    "content-disposition: form-data; name=b",
    "Content-Disposition: form-data",
    "Content-Type: text/plain",
    "; name=\"",
    "; filename=\"x\"",
    "; filename*=UTF-8''x",
    "; other=\"",
    "\"",
    "\\\"",
    "x: y",
    "\u{fc}",
];

fuzz!("form_oracle", WORDS, check);

/// A part as both readers tell it.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    name: Option<String>,
    is_file: bool,
    content: Vec<u8>,
}

fn check(input: &[u8]) -> (bool, bool, usize) {
    let body = Bytes::copy_from_slice(input);
    let ours = Form::parse(body.clone(), TYPE).ok();
    let theirs = theirs(body);
    let shape =
        (ours.is_some(), theirs.is_some(), theirs.as_ref().map_or(0, |all| all.len().min(8)));
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return shape };
    if begins_within_a_line(input) {
        return shape;
    }
    let ours: Vec<(&[u8], &[u8], bool)> = ours.parts().collect();
    let contents = |all: Vec<&[u8]>| all.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert_eq!(
        contents(ours.iter().map(|(_, content, _)| *content).collect()),
        contents(theirs.iter().map(|(part, _)| &*part.content).collect()),
        "the contents of the parts"
    );
    for ((name, content, is_file), (part, is_plain)) in ours.iter().zip(&theirs) {
        if *is_plain {
            let own = Part {
                name: Some(String::from_utf8_lossy(name).into_owned()),
                is_file: *is_file,
                content: content.to_vec(),
            };
            assert_eq!(own, *part);
        }
    }
    shape
}

/// Whether the first boundary is not at the begin of a line; `multer` takes it for a delimiter all the same.
fn begins_within_a_line(input: &[u8]) -> bool {
    let delimiter = format!("--{BOUNDARY}");
    let first = memchr::memmem::find(input, delimiter.as_bytes());
    first.is_some_and(|at| at > 0 && !input[..at].ends_with(b"\r\n"))
}

/// The parts as `multer` reads them, each with whether its header is one that it reads correctly.
fn theirs(body: Bytes) -> Option<Vec<(Part, bool)>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut form = Multipart::new(BodyDataStream::new(Full::new(body)), BOUNDARY);
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await.ok()? {
            let header = field.headers().get(http::header::CONTENT_DISPOSITION);
            let is_plain = header.and_then(|value| value.to_str().ok()).is_some_and(is_plain);
            let (name, is_file) = (field.name().map(str::to_owned), field.file_name().is_some());
            let content = field.bytes().await.ok()?.to_vec();
            parts.push((Part { name, is_file, content }, is_plain));
        }
        Some(parts)
    })
}

/// Whether `multer` reads the header correctly: it looks for `name` and `filename` anywhere, within quoted
/// values too, only in lower case, and ends a value without quotes at a space.
fn is_plain(header: &str) -> bool {
    let Some(parameters) = header.strip_prefix("form-data") else { return false };
    parameters.split(';').map(str::trim).filter(|one| !one.is_empty()).all(|one| {
        let Some((key, value)) = one.split_once('=') else { return false };
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase());
        is_word(key) && value.is_some_and(|it| !it.contains(['"', '\\']) && !it.contains("name"))
    })
}
