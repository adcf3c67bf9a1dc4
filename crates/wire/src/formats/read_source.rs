//! Where the images and files of a request in OpenAI's words are.
//!
//! Called by the readers of chats and of responses. Always true: data is borrowed from the body, unless it is written with escapes.

use std::borrow::Cow;

use serde::Deserialize;

use crate::bytes::json::Str;
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
    if url.starts_with("data:") { data_url(url, at) } else { Ok(Source::Url(url)) }
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
    if sound.data.starts_with("data:") {
        return data_url(sound.data, at);
    }
    let media_type = media_type(Cow::Owned(format!("audio/{}", sound.format)));
    Ok(Source::Base64 { media_type, data: sound.data })
}

/// The content of a `data:` URL in base64.
pub(crate) fn data_url<'a>(url: Text<'a>, at: &str) -> Result<Source<'a>, Unfit> {
    let wrong = || Unfit::malformed(at, "a data URL must be `data:TYPE;base64,DATA`");
    let end = url.find(',').ok_or_else(wrong)?;
    let head = url[..end].strip_prefix("data:").ok_or_else(wrong)?;
    let head = head.strip_suffix(";base64").ok_or_else(wrong)?;
    // Providers do not read parameters of the type.
    let kind = head.split(';').next().unwrap_or(head);
    let (from, to) = (5, 5 + kind.len());
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
        (Some(data), _) if data.starts_with("data:") => data_url(data, at)?,
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
