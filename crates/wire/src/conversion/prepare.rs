//! Prepares the request to a provider: the pair of the client's format and the provider's wire decides how.
//!
//! Called by the gateway once per attempt. Always true: between equal formats the body passes with a list of edits;
//! between others it is translated, and then goes through the same edits of the provider's wire.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use hale_core::operation::{Carries, Counterpart, Operation};
use hale_core::provider::{Addressing, Called, ClientFormat, Edition, WireFormat};

use crate::bytes::edit::Edit;
use crate::bytes::payload::Payload;
use crate::bytes::peek::{Names, Peek};
use crate::conversion::beside;
use crate::conversion::defaulted;
use crate::conversion::defaults::defaults;
pub use crate::conversion::portions::Portion;
use crate::conversion::portions::{portions, vectors};
use crate::conversion::token_count::{self, Count};
use crate::formats::by_address;
use crate::formats::cache_points;
use crate::formats::codec::{self, Codec};
use crate::formats::fit::fit;
use crate::formats::guards;
use crate::formats::images;
use crate::formats::left_out::{left_out, lowered};
use crate::formats::neutral::{Request, Unfit};
use crate::formats::notes::Notes;
use crate::formats::order::Order;
use crate::formats::prefixed;
use crate::formats::room::Room;
use crate::formats::{
    anthropic, bedrock, cohere, files, framing, gemini, ollama, openai, responses,
};

/// The operation of the client, and the wire of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// The operation that the client requests.
    pub operation: Operation,
    /// The wire that the provider speaks.
    pub wire: WireFormat,
}

impl Conversion {
    /// Whether client and provider speak different formats. Some operations have one shape in several formats.
    #[must_use]
    pub fn translates(self) -> bool {
        let is_shared = self.operation.counterpart(self.wire) == Counterpart::Same;
        self.operation.format() != self.wire && !is_shared
    }

    /// How the answer to what `prepared` sends is read: a server that counts tokens in the client's format answers in it.
    #[must_use]
    pub fn answered(self) -> Conversion {
        match self.operation {
            Operation::CountTokens if self.wire == WireFormat::OpenAi => {
                Conversion { wire: self.operation.format(), ..self }
            }
            _ => self,
        }
    }

    /// The type of the provider's stream, as an `accept` header names it.
    #[must_use]
    pub fn stream_type(self) -> &'static str {
        framing(self.wire).media_type()
    }

    /// Whether a body begins as the provider's streams do; `None` if more bytes are needed to tell.
    #[must_use]
    pub fn begins_as_events(self, start: &[u8]) -> Option<bool> {
        framing(self.wire).begins(start)
    }

    /// The operation of the provider; `None` if its wire has no counterpart.
    #[must_use]
    pub fn upstream(self) -> Option<Operation> {
        self.operation.upstream(self.wire)
    }
}

/// What an attempt sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// This body for that operation of the provider, and what was noted when it was made.
    Body(Called, Payload, Option<Arc<Notes>>),
    /// Several bodies for that operation, one call each, whose answers are parts of one.
    Several(Called, Vec<Portion>, Option<Arc<Notes>>),
    /// Nothing: this estimate is the answer.
    Estimate(Bytes),
    /// Nothing: the gateway counts the tokens itself.
    Count(Count),
    /// Nothing yet: the provider needs what is at these addresses. With that in the order it is prepared again.
    Fetch(Vec<Box<str>>),
}

/// A translated body, or the addresses of what it lacks.
enum Made<B> {
    Body(B, Notes),
    Wants(Vec<Box<str>>),
}

impl<B> Made<B> {
    fn map<C>(self, change: impl FnOnce(B) -> C) -> Made<C> {
        match self {
            Made::Body(body, notes) => Made::Body(change(body), notes),
            Made::Wants(addresses) => Made::Wants(addresses),
        }
    }
}

/// What an attempt sends for the request `peek`.
///
/// # Errors
/// If the request cannot be expressed in the provider's format.
pub fn prepare(peek: &Peek, order: &Order<'_>) -> Result<Prepared, Unfit> {
    let prefixed = prefixed::prefixed(peek, order)?;
    let peek = prefixed.as_ref().unwrap_or(peek);
    let prepared = match order.operation {
        Operation::EmbedContents | Operation::EmbedContent => embeddings(peek, order),
        _ => in_words(peek, order),
    };
    match order.operation.format().of_clients() {
        ClientFormat::Gemini => prepared.map_err(gemini::named),
        ClientFormat::OpenAi | ClientFormat::Anthropic | ClientFormat::Responses => prepared,
    }
}

/// Embeddings for Google's clients. Where the provider does not have them in Google's format, the request becomes one of OpenAI's,
/// which all of those know.
fn embeddings(peek: &Peek, order: &Order<'_>) -> Result<Prepared, Unfit> {
    let is_at_home =
        order.wire() == WireFormat::Gemini && order.deployment.endpoint.vertex.is_none();
    if is_at_home || order.operation.upstream(order.wire()).is_none() {
        return converted(peek, order);
    }
    let written = gemini::embed_client::read(peek, order.operation, order.wire())?;
    let written = Peek::parse(Bytes::from(written));
    let written = written.map_err(|why| Unfit::malformed("request_body", why))?;
    converted(&written, &Order { operation: Operation::Embedding, ..*order })
}

fn in_words(peek: &Peek, order: &Order<'_>) -> Result<Prepared, Unfit> {
    let Some(peek) = images::in_words(peek, order) else { return converted(peek, order) };
    let mut prepared = converted(&peek, order)?;
    if let Prepared::Body(_, _, notes) = &mut prepared {
        Arc::make_mut(notes.get_or_insert_default()).leave_out("image");
    }
    Ok(prepared)
}

fn converted(peek: &Peek, order: &Order<'_>) -> Result<Prepared, Unfit> {
    let conversion = Conversion { operation: order.operation, wire: order.wire() };
    let is_estimated = order.operation.is_estimable() && order.known.has_no_count();
    let Some(upstream) = conversion.upstream().filter(|_| !is_estimated) else {
        return without_counterpart(peek, order);
    };
    if order.deployment.endpoint.mock.is_some() {
        return Ok(Prepared::Body(upstream.into(), Payload::default(), None));
    }
    if upstream.carries() == Carries::Nothing {
        return Ok(Prepared::Body(upstream.into(), Payload::default(), None));
    }
    if upstream.carries() == Carries::Anything {
        return Ok(Prepared::Body(upstream.into(), peek.body().clone().into(), None));
    }
    if order.operation == Operation::CountPrompt {
        return Ok(Prepared::Body(upstream.into(), token_count::ask(peek, order)?, None));
    }
    if !conversion.translates() {
        let (wanted, changed) = by_address::in_blocks(peek, order)?;
        if let Some(addresses) = wanted.addresses() {
            return Ok(Prepared::Fetch(addresses));
        }
        let peek = changed.as_ref().unwrap_or(peek);
        let mut notes = Notes::default();
        left_out(peek, order, &mut notes);
        guards::note(peek, order, &mut notes);
        let body = match codec::of(upstream) {
            Codec::Completions(_) => {
                let history = openai::history::History::of(peek, order, &mut notes);
                openai::edits::continued_body(peek, order, &history)
            }
            Codec::Contents(what) => {
                let defaults = gemini_defaults(order);
                gemini::edits::request_body(peek, order, (what, &defaults))
            }
            // Of the formats of Cohere, Bedrock and Ollama no client asks for what is read.
            Codec::Modes(_)
            | Codec::Opaque
            | Codec::Counter
            | Codec::Cohere(_)
            | Codec::Bedrock(_)
            | Codec::Ollama(_) => openai::edits::request_body(peek, order),
            Codec::Responses(_) => responses::edits::request_body(peek, order),
            Codec::Files(_) => files::edits::file(peek, order),
            Codec::Batches(_) => files::edits::batch(peek, order),
            Codec::Messages(_) => anthropic::edits::request_body(peek, order, &mut notes),
        };
        let edition = edition(upstream, peek, order);
        let notes = (notes != Notes::default()).then(|| Arc::new(notes));
        return Ok(Prepared::Body(Called { operation: upstream, edition }, body, notes));
    }
    let called = called(upstream, order);
    if let Some((bodies, notes)) = portions(peek, order)? {
        return Ok(Prepared::Several(called.into(), bodies, Some(Arc::new(notes))));
    }
    let (body, mut notes) = match translated(peek, order)? {
        Made::Body(body, notes) => (body, notes),
        Made::Wants(addresses) => return Ok(Prepared::Fetch(addresses)),
    };
    lowered(peek, order, &mut notes);
    Ok(Prepared::Body(called.into(), body, Some(Arc::new(notes))))
}

/// The deployment's parameters in the neutral form, each alone, so that one that Google does not have is left out alone.
fn gemini_defaults<'o>(order: &Order<'o>) -> Vec<Request<'o>> {
    let each = order.deployment.endpoint.default_params.iter().filter_map(|(name, raw)| {
        let one = std::iter::once((Cow::Borrowed(&**name), &**raw));
        openai::read_request::read(one, &Room::of(0)).ok()
    });
    each.collect()
}

/// What is called: for images Google has two ways, and for embeddings three.
fn called(upstream: Operation, order: &Order<'_>) -> Operation {
    match upstream {
        Operation::PredictImages => gemini::images::operation_of(order.upstream_model),
        Operation::EmbedContents => gemini::embeddings::operation_of(order),
        other => other,
    }
}

/// The body in the provider's format.
fn translated(peek: &Peek, order: &Order<'_>) -> Result<Made<Payload>, Unfit> {
    let parsed = |written: Vec<u8>| {
        let written = Peek::parse(Bytes::from(written));
        written.map_err(|why| Unfit::malformed("request_body", why))
    };
    let made = |(written, notes)| Ok(Made::Body(Payload::from(Bytes::from(written)), notes));
    let defaults = || defaults(peek, order);
    match (order.wire(), order.operation) {
        (_, Operation::Embedding) => made(vectors(peek, &defaults(), order)?),
        (WireFormat::OpenAi, _) => match fitted(peek, &[], order, openai::write_request::write)? {
            Made::Body(written, notes) => {
                let written = prefixed::marked(parsed(written)?, order);
                Ok(Made::Body(openai::edits::request_body(&written, order), notes))
            }
            Made::Wants(addresses) => Ok(Made::Wants(addresses)),
        },
        (WireFormat::Responses, _) => {
            match fitted(peek, &[], order, responses::write_request::write)? {
                Made::Body(written, notes) => {
                    Ok(Made::Body(responses::edits::request_body(&parsed(written)?, order), notes))
                }
                Made::Wants(addresses) => Ok(Made::Wants(addresses)),
            }
        }
        (WireFormat::Anthropic, _) => {
            match with_defaults(peek, order, anthropic::write_request::write)? {
                Made::Body(written, notes) => {
                    let written = parsed(written)?;
                    let body = match order.operation {
                        Operation::CountContents | Operation::CountResponses => {
                            token_count::asked(&written, order)
                        }
                        _ => anthropic::edits::written_body(&written, order),
                    };
                    Ok(Made::Body(body, notes))
                }
                Made::Wants(addresses) => Ok(Made::Wants(addresses)),
            }
        }
        (WireFormat::Gemini, Operation::GenerateImage) => {
            made((gemini::images::write(peek, &defaults(), order)?, Notes::default()))
        }
        (WireFormat::Converse, Operation::GenerateImage) => {
            made((bedrock::images::write(peek, &defaults(), order)?, Notes::default()))
        }
        (WireFormat::Converse, Operation::Rerank) => {
            made((bedrock::rerank::write(peek, &defaults(), order)?, Notes::default()))
        }
        (WireFormat::Converse, Operation::CountTokens)
            if bedrock::count::is_in_its_format(order) =>
        {
            let (wanted, changed) = by_address::in_blocks(peek, order)?;
            if let Some(addresses) = wanted.addresses() {
                return Ok(Made::Wants(addresses));
            }
            let mut notes = Notes::default();
            let asked = bedrock::count::with_limit(changed.as_ref().unwrap_or(peek))?;
            let body = anthropic::edits::request_body(&asked, order, &mut notes);
            made((bedrock::count::of_invoke(&body), notes))
        }
        (wire, operation) => {
            let written = with_defaults(peek, order, writer(wire, operation))?;
            Ok(written.map(|written| Bytes::from(written).into()))
        }
    }
}

/// Writes requests of clients for a wire that needs no further edits.
fn writer(wire: WireFormat, operation: Operation) -> Writer {
    let is_count = matches!(
        operation,
        Operation::CountTokens | Operation::CountContents | Operation::CountResponses
    );
    match wire {
        WireFormat::Gemini if is_count => gemini::write_request::write_counted,
        WireFormat::Gemini => gemini::write_request::write,
        WireFormat::Converse if is_count => bedrock::write_request::write_counted,
        WireFormat::Converse => bedrock::write_request::write,
        WireFormat::Cohere => cohere::write_request::write,
        WireFormat::Ollama => ollama::write_request::write,
        WireFormat::OpenAi => openai::write_request::write,
        WireFormat::Responses => responses::write_request::write,
        WireFormat::Anthropic => anthropic::write_request::write,
    }
}

/// Writes a request in a provider's format.
type Writer = fn(&Request<'_>, &Order<'_>, usize) -> Result<Vec<u8>, Unfit>;

/// The request as `writer` writes it. A deployment's defaults are in the client's format and are translated too; one that
/// cannot be is left out, because the client did not send it.
fn with_defaults(peek: &Peek, order: &Order<'_>, writer: Writer) -> Result<Made<Vec<u8>>, Unfit> {
    let write = |edits: &[Edit<'_>]| fitted(peek, edits, order, writer);
    let mut edits = defaults(peek, order);
    edits.extend(cache_points::edits(peek, order, None));
    loop {
        let why: Unfit = match write(&edits) {
            Ok(written) => return Ok(written),
            Err(why) => why,
        };
        let field = why.field.split(['.', '[']).next().unwrap_or_default();
        let before = edits.len();
        edits.retain(|edit| is_removal(edit) || edit.name() != field);
        if edits.len() < before {
            continue;
        }
        // Whatever is in the way, the client answers for its own part only.
        edits.retain(is_removal);
        return if edits.len() < before { write(&edits) } else { Err(why) };
    }
}

/// The request with `edits` as `writer` writes it, with the data of its addresses where the provider needs it.
fn fitted(
    peek: &Peek,
    edits: &[Edit<'_>],
    order: &Order<'_>,
    writer: Writer,
) -> Result<Made<Vec<u8>>, Unfit> {
    let mut request = read(peek, edits, order)?;
    if let Some(addresses) = by_address::place(&mut request, peek, order)?.addresses() {
        return Ok(Made::Wants(addresses));
    }
    let bytes = peek.body().len() + order.fetched.map_or(0, |fetched| fetched.bytes());
    let notes = fit(&mut request, order, bytes)?;
    Ok(Made::Body(writer(&request, order, bytes)?, notes))
}

fn is_removal(edit: &Edit<'_>) -> bool {
    matches!(edit, Edit::Remove(_))
}

/// Fields that only the first version of Cohere's rerank has. Source: <https://docs.cohere.com/v1/reference/rerank>.
static V1_ONLY: Names = Names::new(&["max_chunks_per_doc", "rank_fields", "return_documents"]);

/// The version that has the fields of the request.
fn edition(upstream: Operation, peek: &Peek, order: &Order<'_>) -> Edition {
    let has_versions = order.deployment.endpoint.provider.addressing == Addressing::Cohere;
    if upstream != Operation::Rerank || !has_versions {
        return Edition::Current;
    }
    let documents = peek.raw("documents").and_then(|raw| raw.strip_prefix('['));
    let has_objects = documents.is_some_and(|list| list.trim_start().starts_with('{'));
    let mut defaults = order.deployment.endpoint.default_params.iter();
    let is_default = defaults.any(|(name, _)| V1_ONLY.has(name));
    match has_objects || is_default || peek.holds(&V1_ONLY).next().is_some() {
        true => Edition::First,
        false => Edition::Current,
    }
}

/// The request with `edits` in the neutral form.
fn read<'p>(
    peek: &'p Peek,
    edits: &'p [Edit<'p>],
    order: &Order<'_>,
) -> Result<Request<'p>, Unfit> {
    let (fields, room) = (peek.fields_with(edits), Room::of(peek.body().len()));
    let mut request = match order.operation.format().of_clients() {
        ClientFormat::OpenAi => openai::read_request::read(fields, &room)?,
        ClientFormat::Anthropic => anthropic::read_request::read(fields, &room)?,
        ClientFormat::Responses => {
            let mut request =
                responses::read_request::read(fields, &room, (order.operation, order.seals))?;
            beside::add(&mut request, edits, &room);
            request
        }
        ClientFormat::Gemini => {
            let mut request = gemini::read_request::read(peek.fields(), &room, order.ask_usage)?;
            if !edits.is_empty() {
                defaulted::complete(&mut request, edits, &room)?;
            }
            request
        }
    };
    keep_the_last(&mut request);
    guards::put(&mut request, order);
    Ok(request)
}

/// Of two parameters of one name the last one counts.
fn keep_the_last(request: &mut Request<'_>) {
    let others = &mut request.others;
    if others.len() < 2 {
        return;
    }
    let mut seen = HashSet::with_capacity(others.len());
    let mut is_last: Vec<bool> =
        others.iter().rev().map(|(name, _)| seen.insert(&**name)).collect();
    drop(seen);
    others.retain(|_| is_last.pop().unwrap_or(true));
}

/// Whether the server of an OpenAI wire is asked for a count in Anthropic's format. A count takes no place of a deployment
/// whose places are limited.
fn may_count(order: &Order<'_>) -> bool {
    let (endpoint, limits) = (&order.deployment.endpoint, &order.deployment.routing.limits);
    let is_limited = limits.rpm.is_some() || limits.tpm.is_some() || limits.max_parallel.is_some();
    let is_called = endpoint.mock.is_none() && !is_limited && !order.known.has_no_count();
    is_called && endpoint.provider.may_count(endpoint.owner())
}

/// The provider has no such operation: tokens are estimated, everything else is refused.
fn without_counterpart(peek: &Peek, order: &Order<'_>) -> Result<Prepared, Unfit> {
    match order.operation {
        Operation::CountTokens if may_count(order) => {
            let body = anthropic::edits::counted_body(peek, order, &[]);
            Ok(Prepared::Body(Operation::CountTokens.into(), body, None))
        }
        Operation::CountTokens => {
            let estimate = anthropic::count::estimate(&read(peek, &[], order)?);
            Ok(Prepared::Estimate(Bytes::from(estimate)))
        }
        Operation::CountContents => {
            let total = anthropic::count::estimated(&read(peek, &[], order)?);
            Ok(Prepared::Estimate(Bytes::from(gemini::count::estimated(total))))
        }
        Operation::CountResponses => {
            let total = anthropic::count::estimated(&read(peek, &[], order)?);
            Ok(Prepared::Estimate(Bytes::from(responses::count::estimated(total))))
        }
        Operation::CountPrompt => Ok(Prepared::Count(token_count::local(peek, order)?)),
        operation => {
            let message = order.deployment.lacks(operation);
            Err(Unfit { field: "model".to_owned(), message })
        }
    }
}

#[cfg(test)]
mod tests;
