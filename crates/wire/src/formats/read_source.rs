//! Where the images and files of a request in OpenAI's words are.
//!
//! Called by the readers of chats and of responses. Always true: data is borrowed from the body, unless it is written with escapes.

use std::borrow::Cow;

use serde::Deserialize;

use crate::bytes::json::Str;
use crate::formats::fetched;
use crate::formats::neutral::{Content, Source, Text, Unfit, media_type};
use crate::formats::unfit::{field, object_field};

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    file_data: Option<Str<'a>>,
    #[serde(borrow)]
    file_id: Option<Str<'a>>,
    #[serde(borrow)]
    filename: Option<Str<'a>>,
}

/// Where an image is: its URL, or an object with it.
pub(crate) fn image<'a>(raw: &'a str, at: &str) -> Result<Source<'a>, Unfit> {
    #[derive(Deserialize)]
    struct Image<'a> {
        #[serde(borrow)]
        url: Text<'a>,
    }
    let url = if raw.starts_with('"') {
        field::<Str<'a>>(at, raw)?.0
    } else {
        object_field::<Image<'a>>(&format!("{at}.image_url"), raw)?.url
    };
    if is_data(&url) { data_url(url, at) } else { Ok(Source::Url(url)) }
}

/// Where sound is: in the request, in a format that is named.
pub(crate) fn sound<'a>(raw: &'a str, at: &str) -> Result<Source<'a>, Unfit> {
    #[derive(Deserialize)]
    struct Sound<'a> {
        #[serde(borrow)]
        data: Text<'a>,
        #[serde(borrow)]
        format: Text<'a>,
    }
    let sound: Sound<'a> = object_field(&format!("{at}.input_audio"), raw)?;
    if is_data(&sound.data) {
        return data_url(sound.data, at);
    }
    let media_type = media_type(Cow::Owned(format!("audio/{}", sound.format)));
    Ok(Source::Base64 { media_type, data: sound.data })
}

/// Whether the URL holds its data. Schemes have no case (RFC 3986, section 3.1).
pub(crate) fn is_data(url: &str) -> bool {
    url.as_bytes().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
}

/// The content of a `data:` URL in base64.
pub(crate) fn data_url<'a>(url: Text<'a>, at: &str) -> Result<Source<'a>, Unfit> {
    let wrong = || Unfit::malformed(at, "a data URL must be `data:TYPE;base64,DATA`");
    let end = url.find(',').ok_or_else(wrong)?;
    let head = url[..end].get(5..).filter(|_| is_data(&url)).ok_or_else(wrong)?;
    let (kind, coding) = head.rsplit_once(';').ok_or_else(wrong)?;
    if !coding.eq_ignore_ascii_case("base64") {
        return Err(wrong());
    }
    // Providers do not read parameters of the type.
    let kind = kind.split(';').next().unwrap_or(kind);
    let (from, to) = (5, 5 + kind.len());
    if kind.is_empty() {
        let data = &url[end + 1..];
        let proved = fetched::signature_of_base64(data).ok_or_else(|| {
            Unfit::malformed(at, "its type is missing: write `data:TYPE;base64,DATA`")
        })?;
        let data = Cow::Owned(data.to_owned());
        return Ok(Source::Base64 { media_type: Cow::Borrowed(proved), data });
    }
    Ok(match url {
        Cow::Borrowed(url) => Source::Base64 {
            media_type: media_type(Cow::Borrowed(&url[from..to])),
            data: Cow::Borrowed(&url[end + 1..]),
        },
        Cow::Owned(mut url) => {
            let media_type = media_type(Cow::Owned(url[from..to].to_owned()));
            url.drain(..=end);
            Source::Base64 { media_type, data: Cow::Owned(url) }
        }
    })
}

/// The document of a part of type `file`.
pub(crate) fn document<'a>(raw: &'a str, at: &str) -> Result<Content<'a>, Unfit> {
    let file: File<'a> = object_field(at, raw)?;
    let source = match (file.file_data.map(Text::from), file.file_id.map(Text::from)) {
        (Some(data), _) if is_data(&data) => data_url(data, at)?,
        (Some(data), _) if data.starts_with("http") => Source::Url(data),
        // Without a type the format of the file is unknown; nearly all files are PDF.
        (Some(data), _) => Source::Base64 { media_type: Cow::Borrowed("application/pdf"), data },
        (None, Some(id)) if id.starts_with("http") => Source::Url(id),
        (None, Some(id)) => Source::File(id),
        (None, None) => {
            return Err(Unfit::malformed(
                format!("{at}.file"),
                "it needs `file_data` or `file_id`",
            ));
        }
    };
    Ok(Content::Document { source, title: file.filename.map(Text::from), context: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_url_is_one_in_any_case_and_has_a_type() {
        let read = |url: &str| {
            image(&serde_json::to_string(url).unwrap(), "messages[0]").map(|source| match source {
                Source::Base64 { media_type, data } => (media_type.into_owned(), data.into_owned()),
                other => panic!("{other:?}"),
            })
        };
        let png = "iVBORw0KGgo=";
        for head in [
            "data:image/png;base64,",
            "DATA:IMAGE/PNG;BASE64,",
            "Data:image/PNG;name=a;Base64,",
            "data:;base64,",
        ] {
            let found = read(&format!("{head}{png}")).unwrap();
            assert_eq!(found, ("image/png".to_owned(), png.to_owned()), "{head}");
        }
        for wrong in [
            "data:;base64,AAAA",
            "data:image/png,AAAA",
            "data:image/png;base65,AAAA",
            "data:base64,AAAA",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(image("\"https://a/data:\"", "m"), Ok(Source::Url(_))));
    }
}
