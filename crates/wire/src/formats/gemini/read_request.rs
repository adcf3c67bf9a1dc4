//! Reads a request of Google's clients into the neutral form.
//!
//! Called if the provider speaks another wire, and for counts of tokens. Always true: what changes the answer is in the neutral
//! request, or the refusal names it; names are read in both of their spellings, and unknown ones only advise.

use std::borrow::Cow;

use super::fields::{self, Fields, camel};
use super::read_contents::Contents;
use super::read_schema;
use super::read_tools;
use crate::bytes::elements::elements;
use crate::bytes::fields::is_removed;
use crate::formats::asked::{Asked, Thoughts};
use crate::formats::errors::clean;
use crate::formats::neutral::{Format, Request, Text, Thinking, Unfit};
use crate::formats::room::Room;
use crate::formats::unfit::{asks_nothing, list_field};

/// Parameters of `generationConfig` that other formats have under the second name. What a provider's wire has no place for is
/// refused by its writer.
const SAME: [(&str, &str); 8] = [
    ("topK", "top_k"),
    ("seed", "seed"),
    ("presencePenalty", "presence_penalty"),
    ("frequencyPenalty", "frequency_penalty"),
    ("candidateCount", "n"),
    ("responseLogprobs", "logprobs"),
    ("speechConfig", "speech_config"),
    ("imageConfig", "image_config"),
];
/// Those of them that ask for nothing with that value.
const NOTHING: [(&str, &str); 4] = [
    ("presencePenalty", "0"),
    ("frequencyPenalty", "0"),
    ("candidateCount", "1"),
    ("responseLogprobs", "false"),
];

/// The neutral request in `fields`, without those that are meant for the gateway; `stream` is whether its path asks for one.
pub(crate) fn read<'a>(
    fields: impl Iterator<Item = (Text<'a>, &'a str)>,
    room: &Room,
    stream: bool,
) -> Result<Request<'a>, Unfit> {
    let mut request = Request { stream, ..Request::default() };
    let mut given = Given::default();
    for (name, raw) in fields {
        if raw != "null" && !is_removed(&name) {
            given.take(camel(name), raw)?;
        }
    }
    let mut thoughts = Thoughts::Sealed;
    if let Some(raw) = given.generation_config {
        thoughts = config(raw, room, &mut request)?;
    }
    let mut contents = Contents::new(room, &mut request);
    if let Some(raw) = given.system_instruction {
        contents.system(raw)?;
    }
    contents.take(given.contents.unwrap_or("[]"))?;
    if let Some(raw) = given.tools {
        read_tools::tools(raw, room, &mut request)?;
    }
    if let Some(raw) = given.tool_config {
        read_tools::choose(raw, &mut request)?;
    }
    if given.is_made_safe {
        request.left_out.push("safetySettings");
    }
    request.asked = Some(Box::new(Asked { thoughts, ..Asked::default() }));
    Ok(request)
}

/// The members of a request that are read.
#[derive(Default)]
struct Given<'a> {
    contents: Option<&'a str>,
    system_instruction: Option<&'a str>,
    tools: Option<&'a str>,
    tool_config: Option<&'a str>,
    generation_config: Option<&'a str>,
    is_made_safe: bool,
}

impl<'a> Given<'a> {
    fn take(&mut self, name: Text<'a>, raw: &'a str) -> Result<(), Unfit> {
        match &*name {
            "contents" => self.contents = Some(raw),
            "systemInstruction" => self.system_instruction = Some(raw),
            "tools" => self.tools = Some(raw),
            "toolConfig" => self.tool_config = Some(raw),
            "generationConfig" => self.generation_config = Some(raw),
            "safetySettings" => self.is_made_safe = !asks_nothing(raw),
            "cachedContent" => {
                let fix = "Google keeps it, and no other provider: send the contents themselves";
                return Err(Unfit::unsupported("cachedContent", "of another wire", fix));
            }
            // What a count is made of may be a whole request.
            "generateContentRequest" => {
                for (name, raw) in Fields::of("generateContentRequest", raw)?.iter() {
                    if name != "generateContentRequest" {
                        self.take(Cow::Owned(name.to_owned()), raw)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Reads `generationConfig`; returns whether the client sees the model's thoughts.
fn config<'a>(raw: &'a str, room: &Room, request: &mut Request<'a>) -> Result<Thoughts, Unfit> {
    const AT: &str = "generationConfig";
    let config = Fields::of(AT, raw)?;
    let (mut thoughts, mut mime) = (Thoughts::Sealed, None);
    let mut schema = None;
    for (name, raw) in config.iter() {
        match name {
            "temperature" => request.temperature = Some(fields::number(raw)),
            "topP" => request.top_p = Some(fields::number(raw)),
            "maxOutputTokens" => request.max_tokens = Some(fields::number(raw)),
            "stopSequences" => {
                let at = "generationConfig.stopSequences";
                let texts = list_field(at, raw, room)?.map(|raw| fields::text(at, raw?));
                request.stop = texts.collect::<Result<_, _>>()?;
            }
            "responseMimeType" => mime = config.text(AT, "responseMimeType")?,
            "responseSchema" => schema = Some(Cow::Owned(read_schema::json_schema(raw))),
            "responseJsonSchema" => schema = Some(Cow::Borrowed(raw)),
            "responseModalities" => modalities(raw, request),
            "thinkingConfig" => thoughts = thinking(raw, request)?,
            name => {
                let value = fields::number(raw);
                let place = SAME.iter().find(|(own, _)| *own == name);
                if let Some((_, written)) = place
                    && !NOTHING.contains(&(name, &*value))
                {
                    request.others.push((Cow::Borrowed(written), value));
                }
            }
        }
    }
    request.format = match (schema, mime.as_deref()) {
        (Some(schema), _) => Some(Format::Schema { name: None, schema, strict: None }),
        (None, Some("application/json")) => Some(Format::JsonObject),
        (None, None | Some("text/plain" | "")) => None,
        (None, Some(other)) => {
            let field = format!("generationConfig.responseMimeType: {}", clean(other, 60));
            return Err(Unfit::unsupported(field, "of another wire", "ask for it in the prompt"));
        }
    };
    Ok(thoughts)
}

/// The kinds of content that the answer may have, in the words of other formats, unless it is text alone.
fn modalities(raw: &str, request: &mut Request<'_>) {
    let kinds: Vec<String> =
        elements(raw).into_iter().flatten().map(str::to_ascii_lowercase).collect();
    if kinds.iter().any(|kind| kind != "\"text\"") {
        let kinds = format!("[{}]", kinds.join(","));
        request.others.push((Cow::Borrowed("modalities"), Cow::Owned(kinds)));
    }
}

/// Reads how much the model thinks.
fn thinking<'a>(raw: &'a str, request: &mut Request<'a>) -> Result<Thoughts, Unfit> {
    const AT: &str = "generationConfig.thinkingConfig";
    let config = Fields::of(AT, raw)?;
    if let Some(level) = config.text(AT, "thinkingLevel")? {
        request.effort = match &*level.to_ascii_lowercase() {
            "thinking_level_unspecified" | "" => None,
            level => Some(Cow::Owned(level.to_owned())),
        };
    }
    if let Some(raw) = config.get("thinkingBudget") {
        request.thinking = match fields::number(raw).parse::<i64>() {
            Ok(0) => Some(Thinking::Off),
            Ok(budget) => match u64::try_from(budget) {
                Ok(budget) => Some(Thinking::Budget(budget)),
                // As much as the model likes.
                Err(_) => Some(Thinking::Adaptive),
            },
            Err(_) => {
                let at = "generationConfig.thinkingConfig.thinkingBudget";
                return Err(Unfit::malformed(at, "it must be a whole number"));
            }
        };
    }
    let shows = config.is_true("includeThoughts");
    if shows && request.thinking.is_none() && request.effort.is_none() {
        request.thinking = Some(Thinking::Adaptive);
    }
    Ok(if shows { Thoughts::Shown } else { Thoughts::Sealed })
}
