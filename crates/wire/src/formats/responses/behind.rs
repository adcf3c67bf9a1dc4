//! Where the stream of a response stands, so that another answer goes on behind it.
//!
//! Called when a stream broke, with the events that the client has. Always true: numbers of events and items go on; the response
//! that ends the stream is the one that began it, with all items that the client has.

use hale_core::rescue::No;
use serde::Deserialize;

use super::events::Events;
use super::message::Message;
use super::stream_write::Writer;
use crate::bytes::json::Str;
use crate::bytes::members::texts;

/// Where the stream stands.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// The response as it began, JSON text.
    response: Option<Box<str>>,
    /// The number of the next event.
    next: u64,
    /// The items that are done, each at its place.
    items: Vec<Vec<u8>>,
    open: Option<Open>,
}

/// The message that is open.
#[derive(Debug, Default)]
struct Open {
    id: String,
    number: usize,
    /// The parts that are done, as the elements of a list.
    parts: Vec<Box<str>>,
    part: Part,
    text: String,
}

/// The part of a message that is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// None.
    #[default]
    None,
    /// Its text is not complete.
    Text,
    /// Its text is.
    Whole,
}

/// Most items that an answer has.
const ITEMS_MAX: usize = 128;

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Str<'a>>,
    #[serde(borrow)]
    id: Option<Str<'a>>,
}

impl Behind {
    /// Takes the next event.
    ///
    /// # Errors
    /// Why nothing goes on behind it.
    pub(crate) fn take(&mut self, text: &str) -> Result<(), No> {
        let names =
            ["type", "sequence_number", "response", "item", "output_index", "part", "delta"];
        let [kind, sequence, response, item, index, part, delta] =
            texts(text, names).map_err(|_| No::NotText)?;
        if let Some(number) = sequence.and_then(|raw| raw.parse::<u64>().ok()) {
            self.next = number.saturating_add(1);
        }
        let place = || {
            let number = index.and_then(|raw| raw.parse::<usize>().ok());
            number.filter(|number| *number < ITEMS_MAX).ok_or(No::NotText)
        };
        match kind.map_or("", |kind| kind.trim_matches('"')) {
            "response.created" | "response.in_progress" => {
                self.response = response.map(Box::from).or(self.response.take());
            }
            "response.output_item.added" => self.added(item.ok_or(No::NotText)?, place()?)?,
            "response.output_item.done" => self.done(item.ok_or(No::NotText)?, place()?),
            "response.content_part.added" => self.part_begins(part)?,
            "response.output_text.delta" => {
                let piece = serde_json::from_str::<Str<'_>>(delta.unwrap_or("\"\""));
                let piece = piece.map_err(|_| No::BetweenParts)?;
                let open = self.open.as_mut().ok_or(No::BetweenParts)?;
                open.part = Part::Text;
                open.text.push_str(&piece.0);
            }
            "response.output_text.done" => self.set_part(Part::Whole),
            "response.content_part.done" => {
                if let Some(open) = &mut self.open {
                    open.parts.extend(part.map(Box::from));
                    (open.part, open.text) = (Part::None, String::new());
                }
            }
            "response.output_text.annotation.added" => return Err(No::Citations),
            _ => {}
        }
        Ok(())
    }

    fn added(&mut self, item: &str, number: usize) -> Result<(), No> {
        let item: Item<'_> = serde_json::from_str(item).map_err(|_| No::NotText)?;
        let kind = item.kind.map(|kind| kind.0).unwrap_or_default();
        match &*kind {
            "message" => {
                let id = item.id.map(|id| id.0.into_owned()).unwrap_or_default();
                self.open = Some(Open { id, number, ..Open::default() });
            }
            "reasoning" => self.open = None,
            kind if kind.ends_with("call") => return Err(No::ToolCall),
            _ => return Err(No::NotText),
        }
        if self.items.len() <= number {
            self.items.resize(number + 1, Vec::new());
        }
        Ok(())
    }

    fn done(&mut self, item: &str, number: usize) {
        if self.items.len() <= number {
            self.items.resize(number + 1, Vec::new());
        }
        self.items[number] = item.as_bytes().to_vec();
        self.open = self.open.take().filter(|open| open.number != number);
    }

    fn part_begins(&mut self, part: Option<&str>) -> Result<(), No> {
        let [kind, text] =
            texts(part.unwrap_or("{}"), ["type", "text"]).map_err(|_| No::NotText)?;
        let open = self.open.as_mut();
        match (kind, open) {
            (Some(r#""output_text""#), Some(open)) => {
                let text = serde_json::from_str::<Str<'_>>(text.unwrap_or("\"\""));
                open.text = text.map(|text| text.0.into_owned()).unwrap_or_default();
                open.part = Part::Text;
                Ok(())
            }
            // Parts of reasoning.
            (_, None) => Ok(()),
            _ => Err(No::NotText),
        }
    }

    fn set_part(&mut self, part: Part) {
        if let Some(open) = &mut self.open {
            open.part = part;
        }
    }

    /// The writer of what follows.
    ///
    /// # Errors
    /// Why nothing does.
    pub(crate) fn writer(self) -> Result<Writer, No> {
        let response = self.response.ok_or(No::BetweenParts)?;
        let message = match self.open {
            None => None,
            Some(Open { part: Part::None | Part::Whole, .. }) => return Err(No::BetweenParts),
            Some(Open { id, number, parts, part: Part::Text, text }) => {
                Some(Message::behind((id, number), &parts, text))
            }
        };
        Ok(Writer::behind(Events::behind(self.next, self.items, response), message))
    }
}
