//! Embeddings: the client's request in Google's format, and Google's answer in the client's.
//!
//! Called by the conversion for clients of OpenAI's format. Always true: one call for all inputs.

use super::{FIX, usage};
use crate::bytes::edit::Edit;
use crate::bytes::elements::elements;
use crate::bytes::fields::is_removed;
use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::neutral::Unfit;
use crate::formats::notes::{Embeddings, Notes, NumberForm};
use crate::formats::order::Order;
use crate::formats::room::Room;
use crate::formats::unfit::{asks_nothing, list_field, no_input};
use crate::formats::vectors;
use crate::formats::view::View;
use hale_core::operation::Operation;
use hale_core::usage::{BYTES_PER_TOKEN, Usage};

/// What an embedding is for, in the words of other providers and in Google's.
const TASKS: [(&str, &str); 4] = [
    ("\"search_document\"", "\"RETRIEVAL_DOCUMENT\""),
    ("\"search_query\"", "\"RETRIEVAL_QUERY\""),
    ("\"classification\"", "\"CLASSIFICATION\""),
    ("\"clustering\"", "\"CLUSTERING\""),
];

/// How many bytes stand around a text besides the model's name and what is said about it, at most.
const AROUND_A_TEXT: usize = 160;
/// How many bytes may be repeated for the texts of a request, beyond a quarter of its size.
const MOST_REPEATED: usize = 256 << 10;

/// What is said about each input.
#[derive(Default)]
struct About<'r> {
    task: Option<&'r str>,
    title: Option<&'r str>,
    dimensions: Option<&'r str>,
}

impl About<'_> {
    /// How many bytes it takes to say it about each of so many texts, for a request of so many bytes.
    ///
    /// # Errors
    /// If a short request would become a long one.
    fn repeated(&self, bytes: usize, texts: usize) -> Result<usize, Unfit> {
        let said =
            [("task_type", self.task), ("title", self.title), ("dimensions", self.dimensions)];
        let lengths = said.map(|(name, raw)| (name, raw.map_or(0, str::len)));
        let repeated =
            lengths.iter().map(|(_, length)| length).sum::<usize>().saturating_mul(texts);
        let longest = lengths.into_iter().max_by_key(|(_, length)| *length);
        match longest {
            Some((name, _)) if texts > 1 && repeated > bytes / 4 + MOST_REPEATED => {
                let why = "it is too long to be said about each text; embed fewer texts a request";
                Err(Unfit::malformed(name, why))
            }
            _ => Ok(repeated),
        }
    }
}

/// The texts of `input`, as JSON.
fn inputs<'r>(peek: &Peek, input: &'r str) -> Result<Vec<&'r str>, Unfit> {
    match input.starts_with('"') {
        true => Ok(vec![input]),
        false if asks_nothing(input) => Err(no_input()),
        false => list_field("input", input, &Room::of(peek.body().len()))?.collect(),
    }
}

/// The body for the inputs of `peek` with `edits`, and how the client wants the answer.
pub(crate) fn write(
    peek: &Peek,
    edits: &[Edit<'_>],
    order: &Order<'_>,
) -> Result<(Vec<u8>, Notes), Unfit> {
    let provider = &order.deployment.endpoint.provider.name;
    let (mut input, mut about) = ("[]", About::default());
    let mut form = NumberForm::Decimal;
    for (name, raw) in peek.fields_with(edits) {
        if raw == "null" || is_removed(&name) {
            continue;
        }
        match &*name {
            "model" | "user" | "metadata" => {}
            "input" => input = raw,
            "dimensions" | "output_dimensionality" | "outputDimensionality" => {
                about.dimensions = Some(raw);
            }
            "input_type" | "task_type" | "taskType" => {
                let known = TASKS.iter().find(|(given, _)| *given == raw);
                about.task = Some(known.map_or(raw, |(_, task)| *task));
            }
            "title" => about.title = Some(raw),
            "encoding_format" if raw == "\"base64\"" => form = NumberForm::Base64,
            "encoding_format" => {}
            // A deployment's defaults are for chats.
            _ if order.drop_params || !peek.has(&name) => {}
            _ => return Err(Unfit::unsupported(&*name, provider, FIX)),
        }
    }
    let way = Way::of(order);
    let inputs = inputs(peek, input)?;
    if inputs.len() > 1 && way.takes_one() {
        let fix = "this model embeds one text a request: send them one by one";
        return Err(Unfit::unsupported("input", provider, fix));
    }
    let repeated = about.repeated(peek.body().len(), inputs.len())?;
    let around = inputs.len() * (order.upstream_model.len() + AROUND_A_TEXT);
    let mut json = JsonText::with_room(input.len() + repeated + around);
    json.open(b'{');
    let writing = Writing { way, about: &about, order };
    match way {
        Way::Batch => json.key("requests").open(b'['),
        Way::Instances { .. } => json.key("instances").open(b'['),
        Way::One => &mut json,
    };
    for one in inputs {
        writing.one(&mut json, one)?;
    }
    match way {
        Way::Batch => {
            json.close(b']');
        }
        Way::Instances { .. } => {
            json.close(b']');
            if let Some(raw) = about.dimensions {
                json.key("parameters")
                    .open(b'{')
                    .raw_member("outputDimensionality", raw)
                    .close(b'}');
            }
        }
        Way::One => {}
    }
    json.close(b'}');
    let estimated = input.len() as u64 / BYTES_PER_TOKEN;
    let notes = Notes { embeddings: Embeddings { form, estimated }, ..Notes::default() };
    Ok((json.into_bytes(), notes))
}

/// How embeddings are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// One request within another for each text.
    Batch,
    /// One instance for each text.
    Instances {
        /// Whether there may be one only.
        single: bool,
    },
    /// One text.
    One,
}

impl Way {
    /// Source: <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>.
    fn of(order: &Order<'_>) -> Way {
        let name = order.upstream_model.rsplit('/').next().unwrap_or_default();
        match &order.deployment.endpoint.vertex {
            None => Way::Batch,
            Some(_) if name.starts_with("gemini-embedding-2") => Way::One,
            Some(_) => Way::Instances { single: name.starts_with("gemini-embedding") },
        }
    }

    fn takes_one(self) -> bool {
        match self {
            Way::Batch | Way::Instances { single: false } => false,
            Way::Instances { single: true } | Way::One => true,
        }
    }
}

/// How many inputs a call may have. Sources: <https://ai.google.dev/api/embeddings>,
/// <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>.
pub(crate) fn inputs_max(order: &Order<'_>) -> usize {
    match Way::of(order) {
        Way::Batch => 100,
        Way::Instances { single: false } => 250,
        Way::Instances { single: true } | Way::One => 1,
    }
}

/// What is called for embeddings.
pub(crate) fn operation_of(order: &Order<'_>) -> Operation {
    match Way::of(order) {
        Way::Batch => Operation::EmbedContents,
        Way::Instances { .. } => Operation::PredictEmbeddings,
        Way::One => Operation::EmbedContent,
    }
}

/// What is the same for all texts of a request.
#[derive(Clone, Copy)]
struct Writing<'w> {
    way: Way,
    about: &'w About<'w>,
    order: &'w Order<'w>,
}

impl Writing<'_> {
    fn one(self, json: &mut JsonText, input: &str) -> Result<(), Unfit> {
        let Writing { way, about, order } = self;
        if !input.starts_with('"') {
            let fix = "send texts in place of tokens";
            let provider = &order.deployment.endpoint.provider.name;
            return Err(Unfit::unsupported("input", provider, fix));
        }
        let more = match way {
            Way::Instances { .. } => {
                json.open(b'{').raw_member("content", input);
                [("task_type", about.task), ("title", about.title), ("", None)]
            }
            Way::Batch | Way::One => {
                if way == Way::Batch {
                    json.open(b'{').key("model");
                    json.joined(["models/", order.upstream_model.trim_start_matches("models/")]);
                }
                json.key("content").open(b'{').key("parts").open(b'[').open(b'{');
                json.raw_member("text", input).close(b'}').close(b']').close(b'}');
                [
                    ("taskType", about.task),
                    ("title", about.title),
                    ("outputDimensionality", about.dimensions),
                ]
            }
        };
        for (name, raw) in more {
            if let Some(raw) = raw {
                json.raw_member(name, raw);
            }
        }
        if way != Way::One {
            json.close(b'}');
        }
        Ok(())
    }
}

/// The tokens that Vertex AI counted in its `predictions`.
pub(super) fn counted(predictions: &str) -> Usage {
    let of = |one: &str| {
        let [embeddings] = texts(one, ["embeddings"]).ok()?;
        let [statistics] = texts(embeddings?, ["statistics"]).ok()?;
        let [count] = texts(statistics?, ["token_count"]).ok()?;
        // Older models write it as a number with a point.
        count?.trim_end_matches(".0").parse::<u64>().ok()
    };
    let counts = elements(predictions).into_iter().flatten().filter_map(of);
    Usage { input: counts.fold(0, u64::saturating_add), ..Usage::default() }
}

/// The answer in `text` for a client of OpenAI's format.
pub(crate) fn translate(text: &str, view: &View) -> Result<Vec<u8>, String> {
    let [embeddings, predictions, embedding, counts] =
        texts(text, ["embeddings", "predictions", "embedding", "usageMetadata"])
            .map_err(|_| "it is no object".to_owned())?;
    let no_list = || "it has no list of `embeddings`".to_owned();
    let list = embeddings.or(predictions);
    let one = embedding.filter(|_| list.is_none());
    if list.is_none() && one.is_none() {
        return Err(no_list());
    }
    let list = list.map(|list| elements(list).ok_or_else(no_list)).transpose()?;
    let vectors = list.into_iter().flatten().chain(one).map(|one| {
        let within = texts(one, ["embeddings"]).ok().and_then(|[within]| within).unwrap_or(one);
        let values = texts(within, ["values"]).ok().and_then(|[values]| values);
        values.ok_or_else(|| "an embedding without `values`".to_owned())
    });
    // Older models do not count.
    let by_instance = || Some(counted(predictions?)).filter(|usage| usage.input > 0);
    let counted = counts.and_then(usage::read).or_else(by_instance).map(|usage| usage.input);
    vectors::write(vectors, counted, view)
}
