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
    /// `/images/edits`.
    EditImage,
    /// `/audio/transcriptions`.
    Transcribe,
    /// `/files`.
    CreateFile,
    /// `GET /files`.
    ListFiles,
    /// `GET /files/{id}`.
    GetFile,
    /// `DELETE /files/{id}`.
    DeleteFile,
    /// `GET /files/{id}/content`.
    GetFileContent,
    /// `/batches`.
    CreateBatch,
    /// `GET /batches`.
    ListBatches,
    /// `GET /batches/{id}`.
    GetBatch,
    /// `/batches/{id}/cancel`.
    CancelBatch,
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

/// What a provider keeps, and clients name by an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A response.
    Response,
    /// A file.
    File,
    /// A batch.
    Batch,
}

impl Kind {
    /// The word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Response => "response",
            Kind::File => "file",
            Kind::Batch => "batch",
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
}

impl Operation {
    /// All operations; `Operation::ALL[o as usize] == o`.
    pub const ALL: [Operation; 31] = [
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
        Operation::EditImage,
        Operation::Transcribe,
        Operation::CreateFile,
        Operation::ListFiles,
        Operation::GetFile,
        Operation::DeleteFile,
        Operation::GetFileContent,
        Operation::CreateBatch,
        Operation::ListBatches,
        Operation::GetBatch,
        Operation::CancelBatch,
        Operation::GenerateImage,
        Operation::Speech,
        Operation::Moderate,
        Operation::Rerank,
        Operation::RerankV1,
        Operation::Ocr,
        Operation::Realtime,
    ];

    /// What it makes, lists or is about, where that is something that a deployment keeps: ids of such
    /// say which deployment issued them.
    #[must_use]
    pub const fn kind(self) -> Option<Kind> {
        match self {
            Operation::Responses
            | Operation::CompactResponses
            | Operation::CountResponses
            | Operation::GetResponse
            | Operation::DeleteResponse
            | Operation::ListInputItems
            | Operation::CancelResponse => Some(Kind::Response),
            Operation::CreateFile
            | Operation::ListFiles
            | Operation::GetFile
            | Operation::DeleteFile
            | Operation::GetFileContent => Some(Kind::File),
            Operation::CreateBatch
            | Operation::ListBatches
            | Operation::GetBatch
            | Operation::CancelBatch => Some(Kind::Batch),
            Operation::Chat
            | Operation::Completion
            | Operation::Embedding
            | Operation::Messages
            | Operation::CountTokens
            | Operation::CountPrompt
            | Operation::EditImage
            | Operation::Transcribe
            | Operation::GenerateImage
            | Operation::Speech
            | Operation::Moderate
            | Operation::Rerank
            | Operation::RerankV1
            | Operation::Ocr
            | Operation::Realtime => None,
        }
    }

    /// Whether it is one of the Responses format.
    #[must_use]
    pub const fn is_of_responses(self) -> bool {
        matches!(self.kind(), Some(Kind::Response))
    }

    /// Whether it is about files or batches: no model runs for it while its client waits.
    #[must_use]
    pub const fn is_of_files(self) -> bool {
        matches!(self.kind(), Some(Kind::File | Kind::Batch))
    }

    /// Whether its path at Azure is below no deployment.
    #[must_use]
    pub const fn is_of_account(self) -> bool {
        self.kind().is_some()
    }

    /// The field of its body, or of its query where it has none, that names something that a deployment
    /// keeps, and what that is.
    #[must_use]
    pub const fn refers_to(self) -> Option<(&'static str, Kind)> {
        match self {
            Operation::Responses | Operation::CompactResponses | Operation::CountResponses => {
                Some(("previous_response_id", Kind::Response))
            }
            Operation::CreateBatch => Some(("input_file_id", Kind::File)),
            Operation::ListFiles => Some(("after", Kind::File)),
            Operation::ListBatches => Some(("after", Kind::Batch)),
            _ => None,
        }
    }

    /// What a client sends with it.
    #[must_use]
    pub const fn carries(self) -> Carries {
        match self {
            Operation::EditImage | Operation::Transcribe | Operation::CreateFile => Carries::Form,
            Operation::ListFiles | Operation::ListBatches | Operation::Realtime => Carries::Nothing,
            other if other.is_by_id() => Carries::Nothing,
            _ => Carries::Json,
        }
    }

    /// Whether it is about one thing that a deployment keeps: its id is in the path, and the upstream
    /// gets no body.
    #[must_use]
    pub const fn is_by_id(self) -> bool {
        matches!(
            self,
            Operation::GetResponse
                | Operation::DeleteResponse
                | Operation::ListInputItems
                | Operation::CancelResponse
                | Operation::GetFile
                | Operation::DeleteFile
                | Operation::GetFileContent
                | Operation::GetBatch
                | Operation::CancelBatch
        )
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
            Operation::GetResponse
            | Operation::ListInputItems
            | Operation::ListFiles
            | Operation::GetFile
            | Operation::GetFileContent
            | Operation::ListBatches
            | Operation::GetBatch
            | Operation::Realtime => "GET",
            Operation::DeleteResponse | Operation::DeleteFile => "DELETE",
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
            | Operation::EditImage
            | Operation::Transcribe
            | Operation::CreateFile
            | Operation::ListFiles
            | Operation::GetFile
            | Operation::DeleteFile
            | Operation::GetFileContent
            | Operation::CreateBatch
            | Operation::ListBatches
            | Operation::GetBatch
            | Operation::CancelBatch
            | Operation::GenerateImage
            | Operation::Speech
            | Operation::Moderate
            | Operation::Rerank
            | Operation::RerankV1
            | Operation::Ocr
            | Operation::Realtime => WireFormat::OpenAi,
        }
    }

    /// The path below the base URL of an upstream of its own format; `{}` stands for an id.
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
            Operation::EditImage => "/images/edits",
            Operation::Transcribe => "/audio/transcriptions",
            Operation::CreateFile | Operation::ListFiles => "/files",
            Operation::GetFile | Operation::DeleteFile => "/files/{}",
            Operation::GetFileContent => "/files/{}/content",
            Operation::CreateBatch | Operation::ListBatches => "/batches",
            Operation::GetBatch => "/batches/{}",
            Operation::CancelBatch => "/batches/{}/cancel",
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
            Operation::EditImage => &["image", "prompt"],
            Operation::Transcribe => &["file"],
            Operation::CreateFile => &["file", "purpose"],
            Operation::CreateBatch => &["input_file_id", "endpoint", "completion_window"],
            // Either of several fields is enough, or there is no body.
            Operation::CountPrompt
            | Operation::Realtime
            | Operation::CountResponses
            | Operation::GetResponse
            | Operation::DeleteResponse
            | Operation::ListInputItems
            | Operation::CancelResponse
            | Operation::ListFiles
            | Operation::GetFile
            | Operation::DeleteFile
            | Operation::GetFileContent
            | Operation::ListBatches
            | Operation::GetBatch
            | Operation::CancelBatch => &[],
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
            Operation::EditImage => "image_edit",
            Operation::Transcribe => "audio_transcription",
            Operation::CreateFile
            | Operation::ListFiles
            | Operation::GetFile
            | Operation::DeleteFile
            | Operation::GetFileContent
            | Operation::CreateBatch
            | Operation::ListBatches
            | Operation::GetBatch
            | Operation::CancelBatch => "batch",
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
            other => match other.kind() {
                Some(Kind::Response) => Some("/v1/responses"),
                Some(Kind::File) => Some("/v1/files"),
                Some(Kind::Batch) => Some("/v1/batches"),
                None => None,
            },
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
                | Operation::EditImage
                | Operation::Transcribe
                | Operation::Moderate
                | Operation::Rerank
                | Operation::RerankV1
                | Operation::Ocr
        )
    }

    /// Whether a good answer is bytes, not JSON: it is passed on as it comes, with its content type.
    #[must_use]
    pub const fn answers_bytes(self) -> bool {
        matches!(self, Operation::Speech | Operation::GetFileContent)
    }

    /// Whether the answer may be a stream of events.
    #[must_use]
    pub const fn streams(self) -> bool {
        match self {
            Operation::Chat
            | Operation::Completion
            | Operation::Messages
            | Operation::Responses
            | Operation::GetResponse
            | Operation::Transcribe => true,
            Operation::Embedding
            | Operation::CountTokens
            | Operation::CountPrompt
            | Operation::CompactResponses
            | Operation::CountResponses
            | Operation::DeleteResponse
            | Operation::ListInputItems
            | Operation::CancelResponse
            | Operation::EditImage
            | Operation::CreateFile
            | Operation::ListFiles
            | Operation::GetFile
            | Operation::DeleteFile
            | Operation::GetFileContent
            | Operation::CreateBatch
            | Operation::ListBatches
            | Operation::GetBatch
            | Operation::CancelBatch
            | Operation::GenerateImage
            | Operation::Speech
            | Operation::Moderate
            | Operation::Rerank
            | Operation::RerankV1
            | Operation::Ocr
            | Operation::Realtime => false,
        }
    }

    /// Whether a stream's usage is asked for with `stream_options`; of the others it comes by itself.
    #[must_use]
    pub const fn has_stream_options(self) -> bool {
        matches!(self, Operation::Chat | Operation::Completion | Operation::Messages)
    }

    /// The field of a full answer that carries its content; none where that is bytes or another
    /// protocol.
    #[must_use]
    pub const fn content_field(self) -> &'static str {
        match self {
            Operation::Chat | Operation::Completion => "choices",
            Operation::Embedding
            | Operation::ListInputItems
            | Operation::EditImage
            | Operation::GenerateImage
            | Operation::ListFiles
            | Operation::ListBatches => "data",
            Operation::Transcribe => "text",
            Operation::CreateFile
            | Operation::GetFile
            | Operation::CreateBatch
            | Operation::GetBatch
            | Operation::CancelBatch => "id",
            Operation::Messages => "content",
            Operation::CountTokens | Operation::CountResponses => "input_tokens",
            Operation::Responses
            | Operation::CompactResponses
            | Operation::GetResponse
            | Operation::CancelResponse => "output",
            Operation::DeleteResponse | Operation::DeleteFile => "deleted",
            Operation::CountPrompt => "total_tokens",
            Operation::Moderate | Operation::Rerank | Operation::RerankV1 => "results",
            Operation::Ocr => "pages",
            Operation::Speech | Operation::GetFileContent | Operation::Realtime => "",
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
            Operation::EditImage => "images_edits",
            Operation::Transcribe => "audio_transcriptions",
            Operation::CreateFile => "files",
            Operation::ListFiles => "files_list",
            Operation::GetFile => "files_get",
            Operation::DeleteFile => "files_delete",
            Operation::GetFileContent => "files_content",
            Operation::CreateBatch => "batches",
            Operation::ListBatches => "batches_list",
            Operation::GetBatch => "batches_get",
            Operation::CancelBatch => "batches_cancel",
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
