//! Images and files that a request names by address, for a provider that needs the data itself.
//!
//! Called by the conversion. Always true: an address whose provider reads it by itself stays an address; nothing is written before
//! the data of all others is there.

mod places;

use hale_core::provider::WireFormat;

use self::places::path_of;
use super::fetched::{Body, Fetched};
use super::gemini;
use super::neutral::{Content, Part, Request, Source, Unfit};
use super::order::Order;
use crate::bytes::peek::Peek;

pub(crate) use self::places::in_blocks;

/// Addresses that a request may have for a provider that needs the data.
const ADDRESSES_MAX: usize = 64;

/// What the client says is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Image,
    Document,
    Media,
}

/// Addresses whose data is not there yet.
#[derive(Debug, Default)]
pub(crate) struct Wanted(Vec<Box<str>>);

impl Wanted {
    /// One more address, once.
    fn add(&mut self, address: &str, peek: &Peek) -> Result<(), Unfit> {
        if self.0.iter().any(|known| **known == *address) {
            return Ok(());
        }
        if self.0.len() == ADDRESSES_MAX {
            let why = format!(
                "this provider needs the data itself, and a request may have {ADDRESSES_MAX} addresses that are \
                 fetched; send more of it in base64"
            );
            return Err(Unfit::malformed(path_of(peek, address), why));
        }
        self.0.push(address.into());
        Ok(())
    }

    /// The addresses; `None` if there are none.
    pub(crate) fn addresses(self) -> Option<Vec<Box<str>>> {
        (!self.0.is_empty()).then_some(self.0)
    }
}

/// Puts the data in place of the addresses in `request`, which was read from `peek`, where the provider needs it. Which of them
/// have to be fetched first.
///
/// # Errors
/// If there is no such data at one of them.
pub(crate) fn place<'r>(
    request: &mut Request<'r>,
    peek: &Peek,
    order: &Order<'r>,
) -> Result<Wanted, Unfit> {
    let mut wanted = Wanted::default();
    let Some(fetched) = order.fetched else { return Ok(wanted) };
    let turns = request.turns.iter_mut().flat_map(|turn| turn.parts.iter_mut());
    for part in request.system.iter_mut().chain(turns) {
        match &mut part.content {
            Content::ToolResult { parts, .. } => {
                for part in parts {
                    place_part(part, (fetched, peek, order), &mut wanted)?;
                }
            }
            _ => place_part(part, (fetched, peek, order), &mut wanted)?,
        }
    }
    Ok(wanted)
}

fn place_part<'r>(
    part: &mut Part<'r>,
    (fetched, peek, order): (&'r Fetched, &Peek, &Order<'_>),
    wanted: &mut Wanted,
) -> Result<(), Unfit> {
    let (said, address) = match &part.content {
        Content::Image(Source::Url(address)) => (Said::Image, address),
        Content::Media(Source::Url(address)) => (Said::Media, address),
        Content::Document { source: Source::Url(address), .. } => (Said::Document, address),
        _ => return Ok(()),
    };
    if !needs_data(address, said, order) {
        return Ok(());
    }
    let data = match fetched.at(address) {
        None => return wanted.add(address, peek),
        Some(Ok(data)) => data,
        Some(Err(why)) => return Err(Unfit::malformed(path_of(peek, address), why)),
    };
    let kind = data.media_type.split('/').next().unwrap_or_default();
    let is_text = matches!(data.body, Body::Text(_));
    if said != Said::Document && is_text {
        let why = format!("what is there is a text ({}), not an image", data.media_type);
        return Err(Unfit::malformed(path_of(peek, address), why));
    }
    let source = data.source(order.wire());
    let (title, context) = match &mut part.content {
        Content::Document { title, context, .. } => (title.take(), context.take()),
        _ => (None, None),
    };
    // Clients call everything an image.
    part.content = match kind {
        "image" => Content::Image(source),
        "audio" | "video" => Content::Media(source),
        _ => Content::Document { source, title, context },
    };
    Ok(())
}

/// Whether the provider has to be given what is at that address.
fn needs_data(address: &str, said: Said, order: &Order<'_>) -> bool {
    if !is_of_the_web(address) {
        return false;
    }
    let endpoint = &order.deployment.endpoint;
    match order.wire() {
        WireFormat::Converse | WireFormat::Ollama => true,
        WireFormat::Gemini => !gemini::reads_address(address, order),
        WireFormat::Anthropic => endpoint.vertex.is_some() || endpoint.aws.is_some(),
        // Its files are data; images may be addresses.
        WireFormat::OpenAi | WireFormat::Cohere => said == Said::Document,
        WireFormat::Responses => false,
    }
}

fn is_of_the_web(address: &str) -> bool {
    let (scheme, _) = address.split_once("://").unwrap_or_default();
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

#[cfg(test)]
mod tests;
