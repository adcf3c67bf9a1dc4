//! What is at the addresses of images and files in a request whose provider needs the data itself.
//!
//! Filled by the gateway, read by the writers of requests. Always true: what is at an address counts as what its bytes say that it is.

mod sniff;

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hale_core::provider::WireFormat;

use super::neutral::Source;

/// What was found at the addresses of a request.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    found: HashMap<Box<str>, Result<Data, Box<str>>>,
    bytes: usize,
}

/// The data at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Its type.
    pub(crate) media_type: Box<str>,
    /// The data itself.
    pub(crate) body: Body,
}

/// Data as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// In base64.
    Base64(Box<str>),
    /// As it is.
    Text(Box<str>),
}

impl Data {
    /// The data `bytes`, which its server labels with that type.
    ///
    /// # Errors
    /// If it is nothing that a provider reads, with what it is.
    pub fn of(bytes: &[u8], label: Option<&str>) -> Result<Data, String> {
        let (media_type, text) = sniff::media_type(bytes, label)?;
        let body = match text {
            Some(text) => Body::Text(text.into()),
            None => Body::Base64(STANDARD.encode(bytes).into()),
        };
        Ok(Data { media_type: media_type.into(), body })
    }

    /// What it takes in memory, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.body {
            Body::Base64(text) | Body::Text(text) => text.len(),
        }
    }

    /// The data as the wire takes it: texts are written as such where it can say them.
    pub(crate) fn source(&self, wire: WireFormat) -> Source<'_> {
        let is_labelled =
            matches!(wire, WireFormat::Converse | WireFormat::Gemini | WireFormat::OpenAi);
        let data = match &self.body {
            Body::Base64(data) => Cow::Borrowed(&**data),
            Body::Text(text) if !is_labelled => return Source::Plain(Cow::Borrowed(text)),
            Body::Text(text) => Cow::Owned(STANDARD.encode(text.as_bytes())),
        };
        Source::Base64 { media_type: Cow::Borrowed(&self.media_type), data }
    }
}

impl Fetched {
    /// Notes what was found at `address`, or why there is nothing.
    pub fn put(&mut self, address: Box<str>, found: Result<Data, String>) {
        self.bytes += found.as_ref().map_or(0, Data::bytes);
        self.found.insert(address, found.map_err(Box::from));
    }

    /// What was found at `address`; `None` if it was not fetched.
    pub(crate) fn at(&self, address: &str) -> Option<Result<&Data, &str>> {
        self.found.get(address).map(|found| found.as_ref().map_err(|why| &**why))
    }

    /// What it takes in memory, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
/// The type that the first bytes of data in base64 prove.
pub(crate) fn signature_of_base64(data: &str) -> Option<&'static str> {
    /// Characters of base64 that hold every signature, a multiple of four.
    const START: usize = 64;
    let start = data.get(..START.min(data.len() / 4 * 4))?;
    sniff::signature(&STANDARD.decode(start).ok()?)
}
