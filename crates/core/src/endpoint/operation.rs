//! What clients can ask of models, and facts about each.
//!
//! Read by the table of endpoints, by the wires and by the pipeline. Always true: an operation is one
//! variant here; what is special about it is a row in a `match`.

use crate::provider::WireFormat;

/// A request that goes to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Operation {
    /// `/chat/completions`.
    Chat,
    /// `/completions`.
    Completion,
    /// `/embeddings`.
    Embedding,
    /// `/v1/messages`.
    Messages,
    /// `/v1/messages/count_tokens`.
    CountTokens,
    /// `/utils/token_counter`.
    CountPrompt,
    /// `/responses`.
    Responses,
    /// `/responses/compact`.
    CompactResponses,
    /// `/responses/input_tokens`.
    CountResponses,
    /// `GET /responses/{id}`.
    GetResponse,
    /// `DELETE /responses/{id}`.
    DeleteResponse,
    /// `/responses/{id}/input_items`.
    ListInputItems,
    /// `/responses/{id}/cancel`.
    CancelResponse,
    /// `/images/generations`.
    GenerateImage,
    /// `/audio/speech`.
    Speech,
    /// `/moderations`.
    Moderate,
    /// `/rerank`.
    Rerank,
    /// `/rerank` in Cohere's first version, for what later ones do not know: no endpoint of ours.
    RerankV1,
    /// `/ocr`.
    Ocr,
    /// `GET /realtime`: a WebSocket.
    Realtime,
}

impl Operation {
    /// All operations; `Operation::ALL[o as usize] == o`.
    pub const ALL: [Operation; 20] = [
        Operation::Chat,
        Operation::Completion,
        Operation::Embedding,
        Operation::Messages,
        Operation::CountTokens,
        Operation::CountPrompt,
        Operation::Responses,
        Operation::CompactResponses,
        Operation::CountResponses,
        Operation::GetResponse,
        Operation::DeleteResponse,
        Operation::ListInputItems,
        Operation::CancelResponse,
        Operation::GenerateImage,
        Operation::Speech,
        Operation::Moderate,
        Operation::Rerank,
        Operation::RerankV1,
        Operation::Ocr,
        Operation::Realtime,
    ];

    /// Whether it is one of the Responses format, whose ids say which deployment issued them.
    #[must_use]
    pub const fn is_of_responses(self) -> bool {
        match self {
            Operation::Responses | Operation::CompactResponses | Operation::CountResponses => true,
            other => other.is_by_id(),
        }
    }

    /// Whether it is about one response that a deployment keeps: its id is in the path, and the
    /// upstream gets no body.
    #[must_use]
    pub const fn is_by_id(self) -> bool {
        match self {
            Operation::GetResponse
            | Operation::DeleteResponse
            | Operation::ListInputItems
            | Operation::CancelResponse => true,
            Operation::Chat
            | Operation::Completion
            | Operation::Embedding
            | Operation::Messages
            | Operation::CountTokens
            | Operation::CountPrompt
            | Operation::Responses
            | Operation::CompactResponses
            | Operation::CountResponses
            | Operation::GenerateImage
            | Operation::Speech
            | Operation::Moderate
            | Operation::Rerank
            | Operation::RerankV1
            | Operation::Ocr
            | Operation::Realtime => false,
        }
    }

    /// Whether its good answer is another protocol on the same connection.
    #[must_use]
    pub const fn switches(self) -> bool {
        matches!(self, Operation::Realtime)
    }

    /// The method with which an upstream is asked.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Operation::GetResponse | Operation::ListInputItems | Operation::Realtime => "GET",
            Operation::DeleteResponse => "DELETE",
            _ => "POST",
        }
    }

    /// The format in which clients speak to its endpoint and providers of that wire are asked.
    #[must_use]
    pub const fn format(self) -> WireFormat {
        match self {
            Operation::Messages | Operation::CountTokens => WireFormat::Anthropic,
            Operation::Chat
            | Operation::Completion
            | Operation::Embedding
            | Operation::CountPrompt
            | Operation::Responses
            | Operation::CompactResponses
            | Operation::CountResponses
            | Operation::GetResponse
            | Operation::DeleteResponse
            | Operation::ListInputItems
            | Operation::CancelResponse
            | Operation::GenerateImage
            | Operation::Speech
            | Operation::Moderate
            | Operation::Rerank
            | Operation::RerankV1
            | Operation::Ocr
            | Operation::Realtime => WireFormat::OpenAi,
        }
    }

    /// The path below the base URL of an upstream of its own format; `{}` stands for a response's id.
    #[must_use]
    pub const fn upstream_path(self) -> &'static str {
        match self {
            Operation::Chat => "/chat/completions",
            Operation::Completion => "/completions",
            Operation::Embedding => "/embeddings",
            Operation::Messages => "/v1/messages",
            Operation::CountTokens => "/v1/messages/count_tokens",
            Operation::CountPrompt => "/utils/token_counter",
            Operation::Responses => "/responses",
            Operation::CompactResponses => "/responses/compact",
            Operation::CountResponses => "/responses/input_tokens",
            Operation::GetResponse | Operation::DeleteResponse => "/responses/{}",
            Operation::ListInputItems => "/responses/{}/input_items",
            Operation::CancelResponse => "/responses/{}/cancel",
            Operation::GenerateImage => "/images/generations",
            Operation::Speech => "/audio/speech",
            Operation::Moderate => "/moderations",
            Operation::Rerank | Operation::RerankV1 => "/rerank",
            Operation::Ocr => "/ocr",
            Operation::Realtime => "/realtime",
        }
    }

    /// The fields without which a request makes no sense, its content first.
    #[must_use]
    pub const fn required_fields(self) -> &'static [&'static str] {
        match self {
            Operation::Chat | Operation::CountTokens => &["messages"],
            Operation::Completion | Operation::GenerateImage => &["prompt"],
            Operation::Embedding
            | Operation::Responses
            | Operation::CompactResponses
            | Operation::Speech
            | Operation::Moderate => &["input"],
            Operation::Rerank | Operation::RerankV1 => &["query", "documents"],
            Operation::Ocr => &["document"],
            Operation::Messages => &["messages", "max_tokens"],
            // Either of several fields is enough, or there is no body.
            Operation::CountPrompt
            | Operation::Realtime
            | Operation::CountResponses
            | Operation::GetResponse
            | Operation::DeleteResponse
            | Operation::ListInputItems
            | Operation::CancelResponse => &[],
        }
    }

    /// The `mode` of the models that are for it.
    #[must_use]
    pub const fn mode(self) -> &'static str {
        match self {
            Operation::Chat
            | Operation::Messages
            | Operation::CountTokens
            | Operation::CountPrompt => "chat",
            Operation::Completion => "completion",
            Operation::Embedding => "embedding",
            Operation::Responses
            | Operation::CompactResponses
            | Operation::CountResponses
            | Operation::GetResponse
            | Operation::DeleteResponse
            | Operation::ListInputItems
            | Operation::CancelResponse => "responses",
            Operation::GenerateImage => "image_generation",
            Operation::Speech => "audio_speech",
            Operation::Moderate => "moderation",
            Operation::Rerank | Operation::RerankV1 => "rerank",
            Operation::Ocr => "ocr",
            Operation::Realtime => "realtime",
        }
    }

    /// Whether a model of that `mode` is surely for it; without a mode a model is for chat. What a
    /// provider refuses of the rest speaks of that operation alone.
    #[must_use]
    pub fn is_of_mode(self, mode: Option<&str>) -> bool {
        mode.unwrap_or("chat") == self.mode()
    }

    /// The path by which a provider's row says that it has it; `None` where every provider of the
    /// format is asked, as few are without it.
    #[must_use]
    pub const fn listed_as(self) -> Option<&'static str> {
        match self {
            Operation::Rerank | Operation::RerankV1 => Some("/v1/rerank"),
            Operation::Ocr => Some("/v1/ocr"),
            Operation::Realtime => Some("/v1/realtime"),
            other if other.is_of_responses() => Some("/v1/responses"),
            _ => None,
        }
    }

    /// The model that is meant where a request names none. Source: OpenAI's reference.
    #[must_use]
    pub const fn default_model(self) -> Option<&'static str> {
        match self {
            Operation::Moderate => Some("omni-moderation-latest"),
            _ => None,
        }
    }

    /// Whether its full answers are of a shape of their own, neither completions nor responses.
    #[must_use]
    pub const fn has_own_content(self) -> bool {
        matches!(
            self,
            Operation::GenerateImage
                | Operation::Moderate
                | Operation::Rerank
                | Operation::RerankV1
                | Operation::Ocr
        )
    }

    /// Whether a good answer is bytes, not JSON: it is passed on as it comes, with its content type.
    #[must_use]
    pub const fn answers_bytes(self) -> bool {
        matches!(self, Operation::Speech)
    }

    /// Whether the answer may be a stream of events.
    #[must_use]
    pub const fn streams(self) -> bool {
        match self {
            Operation::Chat
            | Operation::Completion
            | Operation::Messages
            | Operation::Responses
            | Operation::GetResponse => true,
            Operation::Embedding
            | Operation::CountTokens
            | Operation::CountPrompt
            | Operation::CompactResponses
            | Operation::CountResponses
            | Operation::DeleteResponse
            | Operation::ListInputItems
            | Operation::CancelResponse
            | Operation::GenerateImage
            | Operation::Speech
            | Operation::Moderate
            | Operation::Rerank
            | Operation::RerankV1
            | Operation::Ocr
            | Operation::Realtime => false,
        }
    }

    /// The field of a full answer that carries its content; none where that is bytes or another
    /// protocol.
    #[must_use]
    pub const fn content_field(self) -> &'static str {
        match self {
            Operation::Chat | Operation::Completion => "choices",
            Operation::Embedding | Operation::ListInputItems | Operation::GenerateImage => "data",
            Operation::Messages => "content",
            Operation::CountTokens | Operation::CountResponses => "input_tokens",
            Operation::Responses
            | Operation::CompactResponses
            | Operation::GetResponse
            | Operation::CancelResponse => "output",
            Operation::DeleteResponse => "deleted",
            Operation::CountPrompt => "total_tokens",
            Operation::Moderate | Operation::Rerank | Operation::RerankV1 => "results",
            Operation::Ocr => "pages",
            Operation::Speech | Operation::Realtime => "",
        }
    }

    /// The name in metrics and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Chat => "chat_completions",
            Operation::Completion => "completions",
            Operation::Embedding => "embeddings",
            Operation::Messages => "messages",
            Operation::CountTokens => "count_tokens",
            Operation::CountPrompt => "token_counter",
            Operation::Responses => "responses",
            Operation::CompactResponses => "responses_compact",
            Operation::CountResponses => "responses_input_tokens",
            Operation::GetResponse => "responses_get",
            Operation::DeleteResponse => "responses_delete",
            Operation::ListInputItems => "responses_input_items",
            Operation::CancelResponse => "responses_cancel",
            Operation::GenerateImage => "images_generations",
            Operation::Speech => "audio_speech",
            Operation::Moderate => "moderations",
            Operation::Rerank => "rerank",
            Operation::RerankV1 => "rerank_v1",
            Operation::Ocr => "ocr",
            Operation::Realtime => "realtime",
        }
    }
}
