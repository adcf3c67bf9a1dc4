use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::bytes::peek::{Peek, PeekError};

const TYPE: &str = "multipart/form-data; boundary=xYz";

/// A form with these parts: name, file name, content.
fn form(parts: &[(&str, Option<&str>, &[u8])]) -> Bytes {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        body.extend_from_slice(b"--xYz\r\nContent-Disposition: form-data; name=\"");
        body.extend_from_slice(name.as_bytes());
        if let Some(file) = file {
            body.extend_from_slice(format!("\"; filename=\"{file}").as_bytes());
            body.extend_from_slice(b"\"\r\ncontent-type: audio/wav\r\n\r\n");
        } else {
            body.extend_from_slice(b"\"\r\n\r\n");
        }
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xYz--\r\n");
    Bytes::from(body)
}

fn peek(body: Bytes) -> Peek {
    Peek::of_form(body, TYPE).unwrap()
}

fn words(parts: &[(&str, Option<&str>, &[u8])]) -> serde_json::Value {
    serde_json::from_slice(peek(form(parts)).body()).unwrap()
}

fn refused(body: &str, content_type: &str) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Peek::of_form(body, content_type).unwrap_err().to_string()
}

fn set<'e>(name: &'e str, value: &'e str) -> Edit<'e> {
    Edit::Set(name, Cow::Borrowed(value))
}

#[test]
fn text_fields_are_read_as_a_json_object() {
    let read = words(&[
        ("model", None, b"5"),
        ("file", Some("../../a\\\".wav"), b"RIFF\r\n--xY"),
        ("stream", None, b"True"),
        ("num_retries", None, b"3"),
        ("temperature", None, b"0.5"),
        ("timestamp_granularities[]", None, b"word"),
        ("fallbacks[]", None, b"a"),
        ("fallbacks[]", None, b"b"),
        ("tags", None, b"[\"x\"]"),
        ("metadata[tags][]", None, b"y"),
        ("litellm_metadata[user]", None, b"u"),
        ("extra_headers[x-y]", None, b"z"),
        ("prompt", None, b"\xff"),
        ("long", None, &vec![b'a'; 20_000]),
    ]);
    let expected = serde_json::json!({
        "model": "5", "file": {}, "stream": true, "num_retries": 3, "temperature": 0.5,
        "timestamp_granularities[]": "word", "tags": ["x"], "extra_headers": {}, "prompt": {},
        "metadata": {"tags": ["y"]}, "litellm_metadata": {},
        "long": {}, "fallbacks": ["a", "b"],
    });
    assert_eq!(read, expected);
}

#[test]
fn only_what_an_edit_names_changes() {
    let file: &[u8] = b"\x00\r\n--xYzz\r\n--xY\r\n\r\n";
    let body = form(&[
        ("file", Some("a"), file),
        ("model", None, b"mine"),
        ("language", None, b"en"),
        ("num_retries", None, b"1"),
        ("fallbacks[]", None, b"a"),
    ]);
    let edits = [
        set("model", "\"up\""),
        Edit::Remove("num_retries"),
        Edit::Remove("fallbacks"),
        Edit::Default("language", "\"de\""),
        Edit::Default("include", "[\"logprobs\", 1]"),
        Edit::Default("temperature", "0.5"),
        Edit::Rename("language", "lang"),
    ];
    let sent = peek(body.clone()).form().unwrap().edited(&edits, None);
    let expected = form(&[
        ("file", Some("a"), file),
        ("model", None, b"up"),
        ("language", None, b"en"),
        ("include[]", None, b"logprobs"),
        ("include[]", None, b"1"),
        ("temperature", None, b"0.5"),
    ]);
    assert_eq!(sent.joined(), expected);
    assert_eq!(sent.content_type.as_ref().unwrap(), TYPE);
    let first = sent.pieces().next().unwrap();
    assert_eq!(first.as_ptr(), body.as_ptr(), "the file is not copied");
    let renamed = [Edit::Rename("language", "lang"), Edit::Default("lang", "\"x\"")];
    let sent = peek(form(&[("language", None, b"en")])).form().unwrap().edited(&renamed, None);
    assert_eq!(sent.joined(), form(&[("lang", None, b"en")]));
}

#[test]
fn a_model_that_is_absent_or_a_file_is_written() {
    for parts in [&[("file", Some("a"), &b"x"[..])][..], &[]] {
        let sent = peek(form(parts)).form().unwrap().edited(&[set("model", "\"up\"")], None);
        let expected = [parts, &[("model", None, b"up")]].concat();
        assert_eq!(sent.joined(), form(&expected));
    }
}

#[test]
fn a_file_may_be_replaced() {
    let tail: [(&str, Option<&str>, &[u8]); 2] =
        [("purpose", None, b"batch"), ("file", Some("b"), b"another")];
    let body = form(&[&[("file", Some("a"), &b"old"[..])], &tail[..]].concat());
    let new = Bytes::from_static(b"new and longer");
    let sent = peek(body).form().unwrap().edited(&[], Some(("file", new)));
    let expected = form(&[&[("file", Some("a"), &b"new and longer"[..])], &tail[..]].concat());
    assert_eq!(sent.joined(), expected);
}

#[test]
fn a_body_that_is_not_a_form_is_refused_with_its_fix() {
    let whole = String::from_utf8(form(&[("model", None, b"m")]).to_vec()).unwrap();
    let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
    let head = |head: &str| format!("--xYz\r\n{head}\r\n\r\nm\r\n--xYz--");
    let disposition = |tail: &str| head(&format!("Content-Disposition: form-data{tail}"));
    let many = "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n".repeat(1_001);
    let fields = |name: &str| {
        String::from_utf8(
            form(&[(name, None, b"a"), ("model", None, b"m"), (name, None, b"b")]).to_vec(),
        )
        .unwrap()
    };
    for (body, content_type, part) in [
        (&*whole, "multipart/form-data", "`content-type` is missing"),
        (&whole, "multipart/form-data; boundary=\"", "cannot be read"),
        (&whole, "multipart/form-data; boundary=a; boundary=b", "stands twice"),
        (&whole, &long, "1 to 70 characters"),
        (&whole, "multipart/form-data; boundary=\"a\\b\"", "characters that a boundary may not"),
        (&whole, "multipart/form-data; boundary=xY", "does not begin the body"),
        ("", TYPE, "the request body is empty"),
        (whole.trim_end_matches("--\r\n"), TYPE, "without its closing boundary"),
        ("--xYz\r\n", TYPE, "without its closing boundary"),
        ("--xYz\r\n--xYz--", TYPE, "part 1 of the form has no head"),
        (&head("x: y"), TYPE, "part 1 of the form has no readable"),
        (&disposition("; name="), TYPE, "no readable"),
        (&disposition("; name=\"a"), TYPE, "no readable"),
        (&disposition("; name=a; name=b"), TYPE, "no readable"),
        (&head(&"x".repeat(9_000)), TYPE, "has no head: headers of at most 8 KiB"),
        (&(many + "--xYz--"), TYPE, "more than 1000 parts"),
        (&fields("model"), TYPE, "`model` stands twice"),
        (&fields("fallbacks[0][model]"), TYPE, "send `fallbacks` once, as JSON text"),
    ] {
        let error = refused(body, content_type);
        assert!(error.contains(part), "{error} for {part}");
    }
    let twice = Peek::of_form(form(&[("stream", None, b"1"), ("stream", None, b"2")]), TYPE);
    assert_eq!(twice.unwrap_err(), FormError::Fields(PeekError::Duplicate("stream")));
}

#[test]
fn preambles_and_padding_of_clients_are_accepted() {
    let body = "preamble\r\n--a b \t\r\nX: y\r\ncontent-disposition: Form-Data;name=model ; x=\"\\\";\"\r\n\r\nm\r\n--a b--epilogue";
    let peek = Peek::of_form(
        Bytes::from_static(body.as_bytes()),
        "Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"",
    )
    .unwrap();
    assert_eq!(peek.string("model").unwrap().as_deref(), Some("m"));
    let sent = peek.form().unwrap().edited(&[set("model", "\"up\"")], None);
    assert_eq!(sent.joined(), body.replace("\r\nm\r\n", "\r\nup\r\n"));
    assert_eq!(sent.content_type.unwrap(), "multipart/form-data; boundary=\"a b\"");
    let latin = b"--xYz\r\ncontent-disposition: form-data; name=\"file\"; filename=\"\xe9\"\r\n\r\n\r\n--xYz--";
    assert!(Peek::of_form(Bytes::from_static(latin), TYPE).unwrap().is_set("file"));
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    // Pieces of delimiters inside contents are what breaks scanners.
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"--xY".to_vec()),
        Just(b"--".to_vec()),
        Just(b"xYz".to_vec()),
        Just(b"\r".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn parts_are_read_as_they_were_written(
        contents in proptest::collection::vec((0usize..4, any::<bool>(), content()), 0..6),
    ) {
        let names = ["file", "image[]", "prompt", "a b"];
        let parts: Vec<(&str, Option<&str>, &[u8])> = contents
            .iter()
            .map(|(name, file, content)| (names[*name], file.then_some("f"), &content[..]))
            .collect();
        let body = form(&parts);
        // A content that is a form with the same boundary ends this form.
        let holds = |content: &[u8]| memchr::memmem::find(content, b"--xYz").is_some();
        prop_assume!(!parts.iter().any(|(_, _, content)| holds(&[b"\r\n", *content].concat())));
        let found = Form::parse(body.clone(), TYPE).unwrap();
        let seen: Vec<(&[u8], &[u8], bool)> = found.parts().collect();
        let written: Vec<(&[u8], &[u8], bool)> =
            parts.iter().map(|(name, file, content)| (name.as_bytes(), *content, file.is_some())).collect();
        prop_assert_eq!(seen, written);
        prop_assert_eq!(found.edited(&[], None).joined(), body);
        let changed = found.edited(&[set("model", "\"up\""), Edit::Remove("prompt")], None);
        let mut expected: Vec<_> = parts.iter().filter(|(name, ..)| *name != "prompt").copied().collect();
        expected.push(("model", None, b"up"));
        prop_assert_eq!(changed.joined(), form(&expected));
    }

    #[test]
    fn no_bytes_make_it_panic(body in content(), boundary in "[\\PC]{0,80}") {
        let _any = Peek::of_form(Bytes::from(body.clone()), &format!("multipart/form-data; boundary={boundary}"));
        let _any = Peek::of_form(Bytes::from([b"--xYz", &body[..]].concat()), TYPE);
    }
}
