//! The kinds of facts in the table of operations.
//!
//! Named by the rows of [`super::table`], read by the wires and the gateway. Always true: a fact here
//! says what an operation is; what is done about it is said where it is done.

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `DELETE`.
    Delete,
}

impl Method {
    /// As it stands in a request.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }
}

/// What a provider keeps, and clients name by an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A response.
    Response,
    /// A file.
    File,
    /// A batch.
    Batch,
    /// A stream that its client may come back to.
    Stream,
}

impl Kind {
    /// The word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Response => "response",
            Kind::File => "file",
            Kind::Batch => "batch",
            Kind::Stream => "stream",
        }
    }
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// A JSON object.
    Json,
    /// A form: `multipart/form-data`.
    Form,
    /// Nothing that a provider gets; what is there speaks to the gateway.
    Nothing,
    /// Anything: the provider gets it as it came.
    Anything,
}

/// What says which deployments can serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressed {
    /// The model that it names.
    ByModel,
    /// The account, which a model stands for: it is named, found in what is sent, or the only one.
    ByAccount,
    /// The id in its path, of one thing that a deployment keeps.
    ById,
    /// The provider in its path. What follows is the provider's own.
    ByProvider,
}

/// Where a path of an upstream, or its query, names the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelPlace {
    /// Nowhere: the body names it. At Azure the path may, below which it then is.
    Body,
    /// Nowhere, at Azure neither: the operation belongs to the account.
    Account,
    /// The query: there is no body.
    Query,
    /// The path: its resource comes before the method.
    Resource,
}

/// What a good answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// JSON, or the events of a stream.
    Json,
    /// Bytes, which are passed on as they come, with their content type.
    Bytes(Content),
    /// Another protocol on the same connection: a WebSocket.
    Socket,
}

/// What an answer that is bytes contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Sound, which is never text.
    Audio,
    /// A file, which may be anything, and empty.
    File,
    /// Whatever the provider answers, with its status.
    Anything,
}

/// Whether an answer may be a stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// It is no stream, and a request for one means nothing.
    Never,
    /// Providers stream it and this version does not: a request for it is refused.
    Refused,
    /// `stream` asks for it. The usage comes by itself.
    WithUsage,
    /// `stream` asks for it, and `stream_options` for its usage.
    UsageOnRequest,
    /// Another path asks for it. The usage comes by itself, unless it is a chat at a provider of the OpenAI wire.
    ByPath,
    /// `stream` asks for it; models that cannot stream ignore that and answer in one piece.
    Optional,
}

/// What a call is charged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// Its tokens.
    Tokens,
    /// The images that are made.
    Images,
    /// The characters that are spoken.
    Characters,
    /// The time that is listened to, or tokens where those are counted.
    Heard,
    /// Its searches, or tokens where the provider counts those.
    Searches,
    /// The pages that are read.
    Pages,
}
