//! Reasoning of a response that is written: as a summary, as it is, or only sealed.
//!
//! Called by [`super::stream_write`]. Always true: an item of reasoning has all that was thought before the next item, sealed.

use super::events::{Events, Place, written};
use super::sealed::Blocks;
use crate::bytes::json::JsonText;
use crate::formats::asked::Thoughts;
use crate::formats::thoughts;
use crate::formats::view::View;

/// Reasoning that is open.
#[derive(Debug)]
pub(super) struct Reasoning {
    place: Place,
    form: Form,
    /// Its parts that are done, as the elements of a list.
    parts: JsonText,
    count: u64,
    /// The text of the part that is open.
    text: Option<String>,
    blocks: Blocks,
}

/// How reasoning is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As parts of a summary.
    Summary,
    /// As it is.
    Raw,
    /// Only sealed.
    Hidden,
}

impl Form {
    /// That of an answer: models that show all of their thoughts show them, unless a summary was asked for.
    fn of(view: &View) -> Form {
        let shown = view.asked().map(|asked| asked.thoughts).unwrap_or_default();
        let is_all = !view.mark().is_empty() && !thoughts::is_summarized(view.mark());
        match shown {
            Thoughts::Shown => Form::Summary,
            Thoughts::Sealed if is_all => Form::Raw,
            Thoughts::Sealed => Form::Hidden,
        }
    }

    /// The type of a part, and the name of its number.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Form::Summary => ("summary_text", "summary_index"),
            Form::Raw | Form::Hidden => ("reasoning_text", "content_index"),
        }
    }

    fn write(self, json: &mut JsonText, text: &str) {
        json.open(b'{').member("type", self.names().0).member("text", text).close(b'}');
    }
}

impl Reasoning {
    /// Begins.
    pub(super) fn begin(view: &View, events: &mut Events) -> Reasoning {
        let place = events.place("rs", view.serial);
        events.added(&place, |json| {
            json.open(b'{').member("id", &place.id).member("type", "reasoning");
            json.raw_member("summary", "[]").close(b'}');
        });
        let (parts, blocks) = (JsonText::default(), Blocks::default());
        Reasoning { place, form: Form::of(view), parts, count: 0, text: None, blocks }
    }

    /// Adds a thought.
    pub(super) fn think(&mut self, text: &str, events: &mut Events) {
        self.blocks.think(text);
        if self.form == Form::Hidden || text.is_empty() {
            return;
        }
        if self.text.is_none() && self.form == Form::Summary {
            events.about("response.reasoning_summary_part.added", &self.place, |json| {
                json.count_member("summary_index", self.count).key("part");
                self.form.write(json, "");
            });
        }
        self.text.get_or_insert_default().push_str(text);
        let name = match self.form {
            Form::Summary => "response.reasoning_summary_text.delta",
            Form::Raw | Form::Hidden => "response.reasoning_text.delta",
        };
        events.about(name, &self.place, |json| {
            json.count_member(self.form.names().1, self.count).member("delta", text);
        });
    }

    /// Ends a block with its signature.
    pub(super) fn sign(&mut self, signature: &str, events: &mut Events) {
        self.blocks.sign(signature);
        self.end_part(events);
    }

    /// Adds what only its provider can read.
    pub(super) fn redacted(&mut self, data: &str) {
        self.blocks.redacted(data);
    }

    /// Adds the letters that sign the call with that id.
    pub(super) fn call(&mut self, id: &str, tail: &str) {
        self.blocks.call(id, tail);
    }

    fn end_part(&mut self, events: &mut Events) {
        let Some(text) = self.text.take() else { return };
        let (_, index) = self.form.names();
        let name = match self.form {
            Form::Summary => "response.reasoning_summary_text.done",
            Form::Raw | Form::Hidden => "response.reasoning_text.done",
        };
        events.about(name, &self.place, |json| {
            json.count_member(index, self.count).member("text", &text);
        });
        if self.form == Form::Summary {
            events.about("response.reasoning_summary_part.done", &self.place, |json| {
                json.count_member(index, self.count).key("part");
                self.form.write(json, &text);
            });
        }
        self.form.write(&mut self.parts, &text);
        self.count += 1;
    }

    /// Ends it.
    pub(super) fn end(mut self, view: &View, events: &mut Events) {
        self.end_part(events);
        let mut json = JsonText::default();
        json.open(b'{').member("id", &self.place.id).member("type", "reasoning");
        json.key("summary").open(b'[');
        if self.form == Form::Summary {
            written(&mut json, &self.parts);
        }
        json.close(b']');
        if self.form == Form::Raw {
            json.key("content").open(b'[');
            written(&mut json, &self.parts);
            json.close(b']');
        }
        let key = view.issuer.as_ref().map(|issuer| &issuer.key);
        if let Some(sealed) = key.and_then(|key| self.blocks.sealed(key, view.mark())) {
            json.member("encrypted_content", &sealed);
        }
        json.close(b'}');
        events.done(&self.place, json);
    }
}
