//! What clients can ask of models, and the facts about each.
//!
//! Read by the table of endpoints, by the wires and by the gateway's pipeline. Always true: an operation
//! is one row of `operation/table.rs`, and the functions here only read it.

mod facts;
#[macro_use]
mod macros;
mod row;
mod table;

pub use facts::{
    Addressed, Answer, Billing, Carries, Content, Kind, Method, ModelPlace, Streaming,
};
pub use row::{Counterpart, Row, WayOut};
pub use table::Operation;

use crate::wire_format::WireFormat;

impl Operation {
    /// All facts about it.
    #[must_use]
    pub const fn row(self) -> &'static Row {
        &table::ROWS[self as usize]
    }

    /// Whether its answer costs tokens, also where the provider does not count them.
    #[must_use]
    pub const fn always_costs_tokens(self) -> bool {
        self.row().token_limit.is_some() || self.embeds()
    }

    /// Whether its answer is vectors, which cost no tokens.
    #[must_use]
    pub const fn embeds(self) -> bool {
        matches!(self, Operation::Embedding | Operation::EmbedContents | Operation::EmbedContent)
    }

    /// What it makes, lists or is about, where that is something that a deployment keeps: ids of such
    /// say which deployment issued them.
    #[must_use]
    pub const fn kind(self) -> Option<Kind> {
        self.row().stored
    }

    /// Whether it is one of the Responses format.
    #[must_use]
    pub const fn is_of_responses(self) -> bool {
        matches!(self.row().stored, Some(Kind::Response))
    }

    /// Whether it is about files or batches: no model runs for it while its client waits.
    #[must_use]
    pub const fn is_of_files(self) -> bool {
        matches!(self.row().stored, Some(Kind::File | Kind::Batch))
    }

    /// Whether it makes something that stays and that no client finds again if it is made twice: a file or a batch.
    /// Then a request that may have been carried out is not made again.
    #[must_use]
    pub const fn runs_once(self) -> bool {
        self.is_of_files() && !self.is_by_id() && matches!(self.method(), Method::Post)
    }

    /// What says which deployments can serve it.
    #[must_use]
    pub const fn addressed(self) -> Addressed {
        self.row().addressed
    }

    /// Whether it is about one thing that a deployment keeps: its id is in the path, and the upstream
    /// gets no body.
    #[must_use]
    pub const fn is_by_id(self) -> bool {
        matches!(self.row().addressed, Addressed::ById)
    }

    /// Whether it goes to its provider as it came, and the answer to its client.
    #[must_use]
    pub const fn is_passed_through(self) -> bool {
        matches!(self.row().addressed, Addressed::ByProvider)
    }

    /// Where its upstream path names the model.
    #[must_use]
    pub const fn model_place(self) -> ModelPlace {
        self.row().model_place
    }

    /// The field of its body, or of its query where it has none, that names something that a deployment
    /// keeps, and what that is.
    #[must_use]
    pub const fn refers_to(self) -> Option<(&'static str, Kind)> {
        self.row().refers_to
    }

    /// Whether a request for it always names something that a deployment keeps, which so says where it
    /// belongs.
    #[must_use]
    pub fn must_refer(self) -> bool {
        self.refers_to().is_some_and(|(field, _)| self.requires(field))
    }

    /// The parameters of a client's query that are passed on.
    #[must_use]
    pub const fn query(self) -> &'static [&'static str] {
        self.row().query
    }

    /// What a client sends with it.
    #[must_use]
    pub const fn carries(self) -> Carries {
        self.row().carries
    }

    /// What a good answer is.
    #[must_use]
    pub const fn answer(self) -> Answer {
        self.row().answer
    }

    /// Whether a model answers a conversation, in the format of any client.
    #[must_use]
    pub const fn is_conversation(self) -> bool {
        matches!(
            self,
            Operation::Chat
                | Operation::Messages
                | Operation::Responses
                | Operation::GenerateContent
        )
    }

    /// Whether its good answer is another protocol on the same connection.
    #[must_use]
    pub const fn switches(self) -> bool {
        matches!(self.row().answer, Answer::Socket)
    }

    /// Whether a good answer is bytes, not JSON: it is passed on as it comes, with its content type.
    #[must_use]
    pub const fn answers_bytes(self) -> bool {
        matches!(self.row().answer, Answer::Bytes(_))
    }

    /// The method, of clients and of what is sent to an upstream.
    #[must_use]
    pub const fn method(self) -> Method {
        self.row().method
    }

    /// The format in which clients speak to its endpoint and providers of that wire are called.
    #[must_use]
    pub const fn format(self) -> WireFormat {
        self.row().format
    }

    /// What a provider of that wire is called for when a client asks for this.
    #[must_use]
    pub const fn counterpart(self, wire: WireFormat) -> Counterpart {
        match wire {
            WireFormat::OpenAi => self.row().open_ai,
            WireFormat::Anthropic => self.row().anthropic,
            WireFormat::Gemini => self.row().gemini,
            WireFormat::Cohere => self.row().cohere,
            WireFormat::Responses => self.row().responses,
            WireFormat::Converse => self.row().converse,
            WireFormat::Ollama => self.row().ollama,
        }
    }

    /// The format in which a provider of that wire is called for this.
    #[must_use]
    pub const fn called_in(self, wire: WireFormat) -> WireFormat {
        match self.counterpart(wire) {
            Counterpart::Same => self.format(),
            Counterpart::Other(_) | Counterpart::Estimated | Counterpart::Missing => wire,
        }
    }

    /// The operation of a provider of that wire that is called when a client asks for this; `None` when
    /// no upstream is called.
    #[must_use]
    pub const fn upstream(self, wire: WireFormat) -> Option<Operation> {
        match self.counterpart(wire) {
            Counterpart::Same => Some(self),
            Counterpart::Other(other) => Some(other),
            Counterpart::Estimated | Counterpart::Missing => None,
        }
    }

    /// Whether the gateway has an answer of its own where a provider has none.
    #[must_use]
    pub const fn is_estimable(self) -> bool {
        matches!(self.row().open_ai, Counterpart::Estimated)
    }

    /// The paths for clients; at most one `{}` in each stands for a name that may contain slashes.
    #[must_use]
    pub const fn paths(self) -> &'static [&'static str] {
        self.row().paths
    }

    /// The path below the base URL of an upstream of its own format; `{}` stands for an id.
    #[must_use]
    pub const fn upstream_path(self) -> &'static str {
        self.row().upstream_path
    }

    /// The same for an answer that is a stream.
    #[must_use]
    pub const fn streamed_path(self) -> &'static str {
        match self.row().streamed_path {
            Some(path) => path,
            None => self.row().upstream_path,
        }
    }

    /// The fields without which a request makes no sense, its content first.
    #[must_use]
    pub const fn required_fields(self) -> &'static [&'static str] {
        self.row().required
    }

    /// Whether a request makes no sense without `field`.
    #[must_use]
    pub fn requires(self, field: &str) -> bool {
        self.row().required.contains(&field)
    }

    /// Fields of which a request needs one, the usual one first.
    #[must_use]
    pub const fn one_of(self) -> &'static [&'static str] {
        self.row().one_of
    }

    /// The `mode` of the models that are for it.
    #[must_use]
    pub const fn mode(self) -> &'static str {
        self.row().mode
    }

    /// Whether a model of that `mode` is surely for it; without a mode a model is for chat. What a
    /// provider refuses of the rest speaks of that operation alone.
    #[must_use]
    pub fn is_of_mode(self, mode: Option<&str>) -> bool {
        mode.unwrap_or("chat") == self.mode()
    }

    /// The modes whose models can be probed, and by which operation.
    pub fn probes() -> impl Iterator<Item = (&'static str, Operation)> + Clone {
        Operation::ALL
            .into_iter()
            .filter_map(|operation| operation.row().probes.map(|mode| (mode, operation)))
    }

    /// The operation by which models of that mode are probed.
    #[must_use]
    pub fn probing(mode: &str) -> Option<Operation> {
        Operation::probes().find(|(name, _)| *name == mode).map(|(_, operation)| operation)
    }

    /// The path by which a provider's row says that it has it; `None` where every provider of the
    /// format is called, as few are without it.
    #[must_use]
    pub const fn listed_as(self) -> Option<&'static str> {
        self.row().listed_as
    }

    /// What to use where a provider has it not.
    #[must_use]
    pub const fn way_out(self) -> WayOut {
        self.row().way_out
    }

    /// The model that is meant where a request names none.
    #[must_use]
    pub const fn default_model(self) -> Option<&'static str> {
        self.row().default_model
    }

    /// What the limit on the tokens of an answer is called, where it has one.
    #[must_use]
    pub const fn token_limit(self) -> Option<&'static str> {
        self.row().token_limit
    }

    /// Whether and how the answer may be a stream of events.
    #[must_use]
    pub const fn streaming(self) -> Streaming {
        self.row().streaming
    }

    /// Whether the answer may be a stream of events.
    #[must_use]
    pub const fn streams(self) -> bool {
        match self.row().streaming {
            Streaming::WithUsage
            | Streaming::UsageOnRequest
            | Streaming::ByPath
            | Streaming::Optional => true,
            Streaming::Never | Streaming::Refused => false,
        }
    }

    /// Whether a stream's usage is asked for with `stream_options`; of the others it comes by itself.
    #[must_use]
    pub const fn has_stream_options(self) -> bool {
        matches!(self.row().streaming, Streaming::UsageOnRequest | Streaming::ByPath)
    }

    /// The field of a full answer that carries its content; empty where that is bytes or another
    /// protocol.
    #[must_use]
    pub const fn content_field(self) -> &'static str {
        self.row().content_field
    }

    /// What a call is charged by.
    #[must_use]
    pub const fn billing(self) -> Billing {
        self.row().billing
    }

    /// Whether a deployment of canned answers can have one for it.
    #[must_use]
    pub const fn has_canned(self) -> bool {
        self.row().canned
    }

    /// The name in metrics and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const WIRES: [WireFormat; 7] = [
        WireFormat::OpenAi,
        WireFormat::Anthropic,
        WireFormat::Gemini,
        WireFormat::Cohere,
        WireFormat::Responses,
        WireFormat::Converse,
        WireFormat::Ollama,
    ];

    fn all() -> impl Iterator<Item = (Operation, &'static Row)> {
        Operation::ALL.into_iter().map(|operation| (operation, operation.row()))
    }

    #[test]
    fn every_row_is_its_operations_and_says_what_has_no_default() {
        let mut names = BTreeSet::new();
        for (at, (operation, row)) in all().enumerate() {
            assert_eq!(operation as usize, at, "{operation:?}");
            assert!(names.insert(row.name), "{} twice", row.name);
            for text in [row.name, row.mode, row.upstream_path] {
                assert!(!text.is_empty(), "{operation:?}");
            }
            // Providers are called for some that no client asks for in their format.
            let is_of_clients = match row.format {
                WireFormat::OpenAi | WireFormat::Anthropic | WireFormat::Responses => true,
                WireFormat::Gemini => !row.upstream_path.ends_with(":predict"),
                WireFormat::Cohere | WireFormat::Converse | WireFormat::Ollama => false,
            };
            let is_asked_for = is_of_clients || operation.is_passed_through();
            assert_eq!(is_asked_for, !row.paths.is_empty(), "{operation:?}");
            let has_json = matches!(row.answer, Answer::Json);
            assert_eq!(has_json, !row.content_field.is_empty(), "{operation:?}");
        }
    }

    #[test]
    fn a_path_of_clients_ends_with_the_upstreams_and_has_one_name_at_most() {
        let mut seen = BTreeSet::new();
        for (operation, row) in all() {
            for path in row.paths {
                assert!(path.starts_with('/') && !path.ends_with('/'), "{path}");
                assert!(path.matches("{}").count() <= 1, "{path}");
                let streamed = operation.streamed_path().split('?').next().unwrap();
                let is_upstreams = path.ends_with(row.upstream_path);
                assert!(is_upstreams || path.ends_with(streamed), "{path}");
                assert!(seen.insert((row.method.name(), *path)), "{path} twice");
            }
            let has_id = row.upstream_path.contains("{}");
            assert_eq!(has_id, operation.is_by_id() || operation.is_passed_through());
        }
    }

    #[test]
    fn a_path_is_tried_before_a_shorter_one_that_would_take_it() {
        // The name may contain slashes: `/files/{}` takes `/files/f1/content` too.
        for (at, (_, row)) in all().enumerate() {
            for (_, later) in all().skip(at + 1).filter(|(_, later)| later.method == row.method) {
                let takes = |path: &&str, later: &&str| {
                    path.split_once("{}").is_some_and(|(before, after)| {
                        later.contains("{}") && later.starts_with(before) && later.ends_with(after)
                    })
                };
                let lost = later.paths.iter().find(|p| row.paths.iter().any(|q| takes(q, p)));
                assert_eq!(lost, None, "{} takes paths of {}", row.name, later.name);
            }
        }
    }

    #[test]
    fn what_a_request_carries_agrees_with_its_method_and_fields() {
        for (operation, row) in all() {
            let has_body = row.carries != Carries::Nothing;
            assert!(!has_body || row.method == Method::Post, "{operation:?}");
            let needs = !row.required.is_empty() || !row.one_of.is_empty();
            assert!(has_body || !needs, "{operation:?} requires fields and has no body");
            assert!(!operation.is_by_id() || !has_body, "{operation:?}");
            assert!(row.default_model.is_none() || row.addressed == Addressed::ByModel);
            let by_account = matches!(row.addressed, Addressed::ByAccount | Addressed::ById);
            assert!(!by_account || row.stored.is_some(), "{operation:?}: an id of what?");
            let is_kept = row.model_place == ModelPlace::Account;
            assert_eq!(is_kept, row.stored.is_some(), "{operation:?}");
            let switches = row.model_place == ModelPlace::Query;
            assert_eq!(switches, operation.switches(), "{operation:?}");
        }
    }

    #[test]
    fn a_wire_is_called_for_what_is_of_its_format() {
        for (operation, row) in all() {
            let at_home = operation.counterpart(row.format);
            assert_ne!(at_home, Counterpart::Missing, "{operation:?} has a format that has it not");
            for wire in WIRES {
                if let Some(upstream) = operation.upstream(wire) {
                    assert_eq!(upstream.format(), operation.called_in(wire), "{operation:?}");
                    assert_eq!(upstream.upstream(wire), Some(upstream), "{operation:?}");
                }
            }
        }
    }

    #[test]
    fn a_mode_is_probed_by_one_operation() {
        let modes: BTreeSet<_> = Operation::probes().map(|(mode, _)| mode).collect();
        assert_eq!(modes.len(), Operation::probes().count());
        for (operation, row) in all() {
            assert!(modes.contains(row.mode), "no probe for models of {operation:?}");
            assert!(row.probes.is_none() || !operation.is_by_id(), "{operation:?}");
        }
    }
}
