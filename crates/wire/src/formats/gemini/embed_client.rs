//! Embeddings for Google's clients in front of providers of other formats: their request as one of OpenAI's, and the answer
//! back.
//!
//! Called by the conversion around that of OpenAI's embeddings, which is the form between the formats. Always true: one call for all
//! contents; a content is its texts, and anything else in it is refused.

use hale_core::operation::Operation;
use hale_core::provider::WireFormat;

use super::fields::{self, Fields};
use crate::bytes::elements::elements;
use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::neutral::Unfit;
use crate::formats::room::Room;

/// What an embedding is for, in Google's words and in Cohere's.
const TASKS: [(&str, &str); 4] = [
    ("RETRIEVAL_DOCUMENT", "search_document"),
    ("RETRIEVAL_QUERY", "search_query"),
    ("CLASSIFICATION", "classification"),
    ("CLUSTERING", "clustering"),
];

/// What is said about all contents.
#[derive(Default, PartialEq, Eq)]
struct About {
    task: Option<String>,
    dimensions: Option<String>,
    title: Option<String>,
}

/// The request `peek` in OpenAI's form, for a provider of that wire.
pub(crate) fn read(peek: &Peek, operation: Operation, wire: WireFormat) -> Result<Vec<u8>, Unfit> {
    let room = Room::of(peek.body().len());
    let mut inputs = Vec::new();
    let mut about = None;
    let mut add = |at: &str, raw: &str| {
        room.take(at)?;
        let (text, own) = one(at, raw)?;
        inputs.push(text);
        match &about {
            Some(others) if *others != own => {
                let fix = "give all contents the same task, title and dimensionality";
                Err(Unfit::unsupported(at, "of another wire", fix))
            }
            Some(_) => Ok(()),
            None => {
                about = Some(own);
                Ok(())
            }
        }
    };
    let whole = String::from_utf8_lossy(peek.body());
    match operation {
        Operation::EmbedContents => {
            let list = peek.raw("requests").and_then(elements);
            let Some(list) = list else {
                return Err(Unfit::malformed("requests", "it must be a list"));
            };
            for (i, raw) in list.enumerate() {
                add(&format!("requests[{i}]"), raw)?;
            }
        }
        _ => add("content", &whole)?,
    }
    let about = about.unwrap_or_default();
    let mut json = JsonText::with_room(peek.body().len());
    json.open(b'{').key("input").open(b'[');
    for input in &inputs {
        json.text(input);
    }
    json.close(b']');
    if let Some(dimensions) = &about.dimensions {
        json.raw_member("dimensions", dimensions);
    }
    match wire {
        WireFormat::Cohere => {
            let known = TASKS.iter().find(|(task, _)| about.task.as_deref() == Some(*task));
            if let Some((_, task)) = known {
                json.member("input_type", task);
            }
        }
        WireFormat::Gemini => {
            for (name, text) in [("task_type", &about.task), ("title", &about.title)] {
                if let Some(text) = text {
                    json.member(name, text);
                }
            }
        }
        // What it is for only advises.
        WireFormat::OpenAi
        | WireFormat::Anthropic
        | WireFormat::Responses
        | WireFormat::Converse
        | WireFormat::Ollama => {}
    }
    json.close(b'}');
    Ok(json.into_bytes())
}

/// The text of one request for an embedding, and what is said about it.
fn one(at: &str, raw: &str) -> Result<(String, About), Unfit> {
    let request = Fields::of(at, raw)?;
    // Newer clients have the settings in an object of their own.
    let settings = request.get("embedContentConfig").map(|raw| Fields::of(at, raw)).transpose()?;
    let settings = settings.unwrap_or_default();
    let text = |name: &str| -> Result<Option<String>, Unfit> {
        let found = request.text(at, name)?.or(settings.text(at, name)?);
        Ok(found.map(String::from).filter(|text| !text.is_empty()))
    };
    let dimensions = request.get("outputDimensionality").or(settings.get("outputDimensionality"));
    let about = About {
        task: text("taskType")?.map(|task| task.to_ascii_uppercase()),
        dimensions: dimensions.map(|raw| fields::number(raw).into_owned()),
        title: text("title")?,
    };
    let Some(content) = request.get("content") else {
        return Err(Unfit::malformed(format!("{at}.content"), "it is missing"));
    };
    if content.starts_with('"') {
        return Ok((fields::text(at, content)?.into_owned(), about));
    }
    let content = Fields::of(&format!("{at}.content"), content)?;
    let mut words = String::new();
    for raw in content.get("parts").and_then(elements).into_iter().flatten() {
        let part = Fields::of(&format!("{at}.content.parts"), raw)?;
        let Some(text) = part.text(at, "text")? else {
            let field = format!("{at}.content.parts");
            return Err(Unfit::unsupported(field, "of another wire", "only texts are embedded"));
        };
        if !words.is_empty() {
            words.push('\n');
        }
        words.push_str(&text);
    }
    Ok((words, about))
}

/// The answer `text`, which is one of OpenAI's form, for a client of `operation`.
pub(crate) fn write(text: &str, operation: Operation) -> Result<Vec<u8>, String> {
    let [data] = texts(text, ["data"]).map_err(|_| "it is no object".to_owned())?;
    let data = data.and_then(elements).ok_or("it has no list of `data`")?;
    let mut json = JsonText::with_room(text.len());
    json.open(b'{');
    if operation == Operation::EmbedContents {
        json.key("embeddings").open(b'[');
    } else {
        json.key("embedding");
    }
    let mut count = 0;
    for one in data {
        let [values] = texts(one, ["embedding"]).map_err(|_| "an embedding that is no object")?;
        let values = values.filter(|values| values.starts_with('['));
        let values = values.ok_or("an embedding that is no list of numbers")?;
        count += 1;
        if operation != Operation::EmbedContents && count > 1 {
            return Err("several embeddings of one content".to_owned());
        }
        json.open(b'{').raw_member("values", values).close(b'}');
    }
    if operation == Operation::EmbedContents {
        json.close(b']');
    } else if count == 0 {
        return Err("it has no embedding".to_owned());
    }
    json.close(b'}');
    Ok(json.into_bytes())
}
