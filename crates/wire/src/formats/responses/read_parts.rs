//! Reads the parts of messages and results in the input of a response.
//!
//! Called by [`super::read_items`]. Always true: a part of an unknown type that has a text is that text; any other is refused
//! by its type.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bytes::json::Str;
use crate::formats::errors::clean;
use crate::formats::neutral::{Content, Part, Source, Text, Unfit};
use crate::formats::read_source;
use crate::formats::room::Room;
use crate::formats::unfit::{field, list_field, object_field};

#[derive(Deserialize)]
struct GivenPart<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Str<'a>>,
    #[serde(borrow)]
    refusal: Option<Str<'a>>,
    #[serde(borrow)]
    image_url: Option<&'a RawValue>,
    #[serde(borrow)]
    input_audio: Option<&'a RawValue>,
    #[serde(borrow)]
    file_data: Option<Str<'a>>,
    #[serde(borrow)]
    file_url: Option<Str<'a>>,
    #[serde(borrow)]
    file_id: Option<Str<'a>>,
    #[serde(borrow)]
    filename: Option<Str<'a>>,
}

/// Types of parts without a text.
const MEDIA: [&str; 4] = ["refusal", "input_image", "input_file", "input_audio"];

/// The parts of a message or of a result: a text, or a list. What else a result may be is the text of its JSON.
pub(super) fn parts<'a>(
    raw: &'a str,
    at: &str,
    (room, others): (&Room, Others),
) -> Result<Vec<Part<'a>>, Unfit> {
    if raw.starts_with('"') {
        let text = field::<Str<'a>>(at, raw)?.0;
        let content = (!text.is_empty()).then(|| Part::from(Content::Text(text)));
        return Ok(content.into_iter().collect());
    }
    if !raw.starts_with('[') && others == Others::AreTexts {
        let is_nothing = raw == "null";
        let text = (!is_nothing).then(|| Part::from(Content::Text(Cow::Borrowed(raw))));
        return Ok(text.into_iter().collect());
    }
    let mut parts = Vec::new();
    for (i, part) in list_field(at, raw, room)?.enumerate() {
        let raw = part?;
        if !raw.starts_with('{') && others == Others::AreTexts {
            parts.push(Content::Text(Cow::Borrowed(raw)).into());
            continue;
        }
        let given: GivenPart<'a> = object_field(at, raw)?;
        let is_unknown = given.text.is_none() && !MEDIA.contains(&&*given.kind);
        let content = match others {
            Others::AreTexts if is_unknown => Content::Text(Cow::Borrowed(raw)),
            Others::AreTexts | Others::AreRefused => content(given, &format!("{at}[{i}]"))?,
        };
        if !matches!(&content, Content::Text(text) if text.is_empty()) {
            parts.push(content.into());
        }
    }
    Ok(parts)
}

/// What becomes of JSON that is no part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// It is refused.
    AreRefused,
    /// Its text stands for it.
    AreTexts,
}

fn content<'a>(part: GivenPart<'a>, at: &str) -> Result<Content<'a>, Unfit> {
    let missing = |name: &str| Unfit::malformed(format!("{at}.{name}"), "it is missing");
    Ok(match &*part.kind {
        "refusal" => Content::Refusal(part.refusal.ok_or_else(|| missing("refusal"))?.0),
        "input_image" => match (part.image_url, part.file_id) {
            (Some(url), _) => Content::Image(read_source::image(url.get(), at)?),
            (None, Some(_)) => return Err(stored(at)),
            (None, None) => return Err(missing("image_url")),
        },
        "input_file" => {
            let title = part.filename.map(Text::from);
            let data = part.file_data.map(Text::from);
            let source = match (data, part.file_url, part.file_id) {
                (Some(data), ..) if read_source::is_data(&data) => read_source::data_url(data, at)?,
                (Some(data), ..) => {
                    Source::Base64 { media_type: Cow::Borrowed("application/pdf"), data }
                }
                (None, Some(Str(url)), _) => Source::Url(url),
                (None, None, Some(_)) => return Err(stored(at)),
                (None, None, None) => return Err(missing("file_data")),
            };
            Content::Document { source, title, context: None }
        }
        "input_audio" => {
            let sound = part.input_audio.ok_or_else(|| missing("input_audio"))?;
            Content::Media(read_source::sound(sound.get(), at)?)
        }
        kind => match part.text {
            Some(Str(text)) => Content::Text(text),
            None => {
                let field = format!("{at}.type: {}", clean(kind, 60));
                return Err(Unfit::unsupported(field, "of another wire", "leave it out"));
            }
        },
    })
}

fn stored(at: &str) -> Unfit {
    let fix = "send its content: a data URL as `image_url`, or `file_data`";
    Unfit::unsupported(format!("{at}.file_id"), "of another wire", fix)
}
