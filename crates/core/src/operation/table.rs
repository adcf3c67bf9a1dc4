//! The table of operations: what clients can ask of models, one row each, with all facts.
//!
//! Read through the accessors of [`super::Operation`]. Always true: a new operation is one row here and
//! its codec in `hale-wire`; the order of the rows is the one in which paths are tried.

use super::facts::{
    Addressed, Answer, Billing, Carries, Content, Kind, Method, ModelPlace, Streaming,
};
use super::row::{Counterpart, Row, WayOut};
use crate::wire_format::WireFormat;

/// The defaults of every row.
const BASE: Row = Row {
    name: "",
    method: Method::Post,
    paths: &[],
    upstream_path: "",
    streamed_path: None,
    format: WireFormat::OpenAi,
    open_ai: Counterpart::Same,
    anthropic: Counterpart::Missing,
    gemini: Counterpart::Missing,
    cohere: Counterpart::Missing,
    responses: Counterpart::Missing,
    converse: Counterpart::Missing,
    ollama: Counterpart::Missing,
    mode: "",
    probes: None,
    listed_as: None,
    way_out: WayOut::Provider,
    addressed: Addressed::ByModel,
    model_place: ModelPlace::Body,
    stored: None,
    refers_to: None,
    query: &[],
    carries: Carries::Json,
    required: &[],
    one_of: &[],
    default_model: None,
    token_limit: None,
    answer: Answer::Json,
    streaming: Streaming::Never,
    content_field: "",
    billing: Billing::Tokens,
    canned: false,
};
/// The defaults of operations about responses.
const RESPONSES: Row = Row {
    format: WireFormat::Responses,
    open_ai: Counterpart::Missing,
    responses: Counterpart::Same,
    mode: "responses",
    listed_as: Some("/v1/responses"),
    way_out: WayOut::Operation(Operation::Chat),
    model_place: ModelPlace::Account,
    stored: Some(Kind::Response),
    ..BASE
};
/// The defaults of operations that continue an earlier response.
const NEXT_RESPONSE: Row =
    Row { refers_to: Some(("previous_response_id", Kind::Response)), ..RESPONSES };
/// The defaults of operations about one response.
const ONE_RESPONSE: Row =
    Row { addressed: Addressed::ById, carries: Carries::Nothing, ..RESPONSES };
/// The defaults of operations about files.
const FILES: Row = Row {
    mode: "batch",
    listed_as: Some("/v1/files"),
    addressed: Addressed::ByAccount,
    model_place: ModelPlace::Account,
    stored: Some(Kind::File),
    ..BASE
};
/// The same of those about one file.
const ONE_FILE: Row = Row { addressed: Addressed::ById, carries: Carries::Nothing, ..FILES };
/// The same of operations about batches.
const BATCHES: Row = Row { listed_as: Some("/v1/batches"), stored: Some(Kind::Batch), ..FILES };
/// The same of those about one batch.
const ONE_BATCH: Row = Row { addressed: Addressed::ById, carries: Carries::Nothing, ..BATCHES };

/// The defaults of the operations of Google's own format.
const OF_GOOGLE: Row = Row {
    format: WireFormat::Gemini,
    open_ai: Counterpart::Missing,
    gemini: Counterpart::Same,
    model_place: ModelPlace::Resource,
    mode: "chat",
    ..BASE
};

/// The defaults of the operations of Cohere's own format.
const OF_COHERE: Row = Row {
    format: WireFormat::Cohere,
    open_ai: Counterpart::Missing,
    cohere: Counterpart::Same,
    mode: "chat",
    ..BASE
};

/// The defaults of Bedrock's own operations.
const OF_BEDROCK: Row = Row {
    format: WireFormat::Converse,
    open_ai: Counterpart::Missing,
    converse: Counterpart::Same,
    model_place: ModelPlace::Resource,
    mode: "chat",
    ..BASE
};

/// The defaults of the operations of Ollama's own format.
const OF_OLLAMA: Row = Row {
    format: WireFormat::Ollama,
    open_ai: Counterpart::Missing,
    ollama: Counterpart::Same,
    mode: "chat",
    ..BASE
};

/// The defaults of operations that are passed through.
const PASSED: Row = Row {
    upstream_path: "/{}",
    mode: "chat",
    addressed: Addressed::ByProvider,
    carries: Carries::Anything,
    answer: Answer::Bytes(Content::Anything),
    ..BASE
};

operations! {
    /// `/chat/completions`.
    Chat = Row {
        name: "chat_completions",
        responses: Counterpart::Other(Operation::Responses),
        gemini: Counterpart::Other(Operation::GenerateContent),
        cohere: Counterpart::Other(Operation::CohereChat),
        converse: Counterpart::Other(Operation::Converse),
        ollama: Counterpart::Other(Operation::OllamaChat),
        paths: with_queue!("/chat/completions"),
        upstream_path: "/chat/completions",
        anthropic: Counterpart::Other(Operation::Messages),
        mode: "chat",
        probes: Some("chat"),
        required: &["messages"],
        token_limit: Some("max_tokens"),
        streaming: Streaming::UsageOnRequest,
        content_field: "choices",
        canned: true,
        ..BASE
    },
    /// `/completions`.
    Completion = Row {
        name: "completions",
        ollama: Counterpart::Same,
        paths: with_engine!("/completions"),
        upstream_path: "/completions",
        mode: "completion",
        probes: Some("completion"),
        way_out: WayOut::Operation(Operation::Chat),
        required: &["prompt"],
        token_limit: Some("max_tokens"),
        streaming: Streaming::UsageOnRequest,
        content_field: "choices",
        canned: true,
        ..BASE
    },
    /// `/embeddings`.
    Embedding = Row {
        name: "embeddings",
        gemini: Counterpart::Other(Operation::EmbedContents),
        cohere: Counterpart::Other(Operation::CohereEmbed),
        converse: Counterpart::Other(Operation::InvokeEmbeddings),
        ollama: Counterpart::Other(Operation::OllamaEmbed),
        paths: with_engine!("/embeddings"),
        upstream_path: "/embeddings",
        mode: "embedding",
        probes: Some("embedding"),
        required: &["input"],
        content_field: "data",
        canned: true,
        ..BASE
    },
    /// `/v1/messages`.
    Messages = Row {
        name: "messages",
        responses: Counterpart::Other(Operation::Responses),
        gemini: Counterpart::Other(Operation::GenerateContent),
        cohere: Counterpart::Other(Operation::CohereChat),
        converse: Counterpart::Other(Operation::Converse),
        ollama: Counterpart::Other(Operation::OllamaChat),
        paths: with_provider!("/v1/messages"),
        upstream_path: "/v1/messages",
        format: WireFormat::Anthropic,
        open_ai: Counterpart::Other(Operation::Chat),
        anthropic: Counterpart::Same,
        mode: "chat",
        probes: Some("anthropic_messages"),
        required: &["messages", "max_tokens"],
        token_limit: Some("max_tokens"),
        // At a provider of the OpenAI wire it is a chat.
        streaming: Streaming::UsageOnRequest,
        content_field: "content",
        canned: true,
        ..BASE
    },
    /// `/v1/messages/count_tokens`.
    CountTokens = Row {
        name: "count_tokens",
        responses: Counterpart::Estimated,
        gemini: Counterpart::Other(Operation::CountContents),
        converse: Counterpart::Other(Operation::CountConverse),
        ollama: Counterpart::Estimated,
        paths: with_provider!("/v1/messages/count_tokens"),
        upstream_path: "/v1/messages/count_tokens",
        format: WireFormat::Anthropic,
        open_ai: Counterpart::Estimated,
        cohere: Counterpart::Estimated,
        anthropic: Counterpart::Same,
        mode: "chat",
        required: &["messages"],
        content_field: "input_tokens",
        canned: true,
        ..BASE
    },
    /// `/utils/token_counter`.
    CountPrompt = Row {
        name: "token_counter",
        responses: Counterpart::Estimated,
        gemini: Counterpart::Other(Operation::CountContents),
        converse: Counterpart::Other(Operation::CountConverse),
        ollama: Counterpart::Estimated,
        paths: &["/utils/token_counter"],
        upstream_path: "/utils/token_counter",
        open_ai: Counterpart::Estimated,
        cohere: Counterpart::Estimated,
        anthropic: Counterpart::Other(Operation::CountTokens),
        mode: "chat",
        one_of: &["messages", "prompt"],
        content_field: "total_tokens",
        canned: true,
        ..BASE
    },
    /// `/responses`.
    Responses = Row {
        name: "responses",
        open_ai: Counterpart::Other(Operation::Chat),
        anthropic: Counterpart::Other(Operation::Messages),
        gemini: Counterpart::Other(Operation::GenerateContent),
        cohere: Counterpart::Other(Operation::CohereChat),
        converse: Counterpart::Other(Operation::Converse),
        ollama: Counterpart::Other(Operation::OllamaChat),
        paths: with_account!("/responses"),
        upstream_path: "/responses",
        probes: Some("responses"),
        required: &["input"],
        token_limit: Some("max_output_tokens"),
        // At a provider of the OpenAI wire it is a chat.
        streaming: Streaming::UsageOnRequest,
        content_field: "output",
        canned: true,
        ..NEXT_RESPONSE
    },
    /// `/responses/compact`.
    CompactResponses = Row {
        name: "responses_compact",
        open_ai: Counterpart::Other(Operation::Chat),
        anthropic: Counterpart::Other(Operation::Messages),
        gemini: Counterpart::Other(Operation::GenerateContent),
        cohere: Counterpart::Other(Operation::CohereChat),
        converse: Counterpart::Other(Operation::Converse),
        ollama: Counterpart::Other(Operation::OllamaChat),
        paths: with_account!("/responses/compact"),
        upstream_path: "/responses/compact",
        required: &["input"],
        content_field: "output",
        ..NEXT_RESPONSE
    },
    /// `/responses/input_tokens`. Either of several fields is enough.
    CountResponses = Row {
        name: "responses_input_tokens",
        open_ai: Counterpart::Estimated,
        anthropic: Counterpart::Other(Operation::CountTokens),
        gemini: Counterpart::Other(Operation::CountContents),
        cohere: Counterpart::Estimated,
        converse: Counterpart::Other(Operation::CountConverse),
        ollama: Counterpart::Estimated,
        paths: with_account!("/responses/input_tokens"),
        upstream_path: "/responses/input_tokens",
        content_field: "input_tokens",
        ..NEXT_RESPONSE
    },
    /// `/responses/{id}/input_items`.
    ListInputItems = Row {
        name: "responses_input_items",
        method: Method::Get,
        paths: with_account!("/responses/{}/input_items"),
        upstream_path: "/responses/{}/input_items",
        query: &["after", "before", "include", "include[]", "limit", "order"],
        content_field: "data",
        ..ONE_RESPONSE
    },
    /// `/responses/{id}/cancel`.
    CancelResponse = Row {
        name: "responses_cancel",
        paths: with_account!("/responses/{}/cancel"),
        upstream_path: "/responses/{}/cancel",
        content_field: "output",
        ..ONE_RESPONSE
    },
    /// `GET /responses/{id}`.
    GetResponse = Row {
        name: "responses_get",
        method: Method::Get,
        paths: with_account!("/responses/{}"),
        upstream_path: "/responses/{}",
        query: &["include", "include[]", "include_obfuscation", "starting_after", "stream"],
        streaming: Streaming::WithUsage,
        content_field: "output",
        ..ONE_RESPONSE
    },
    /// `DELETE /responses/{id}`.
    DeleteResponse = Row {
        name: "responses_delete",
        method: Method::Delete,
        paths: with_account!("/responses/{}"),
        upstream_path: "/responses/{}",
        content_field: "deleted",
        ..ONE_RESPONSE
    },
    /// `/images/edits`.
    EditImage = Row {
        name: "images_edits",
        paths: with_deployment!("/images/edits"),
        upstream_path: "/images/edits",
        mode: "image_edit",
        probes: Some("image_edit"),
        carries: Carries::Form,
        required: &["image", "prompt"],
        streaming: Streaming::Refused,
        content_field: "data",
        billing: Billing::Images,
        ..BASE
    },
    /// `/audio/transcriptions`.
    Transcribe = Row {
        name: "audio_transcriptions",
        paths: with_deployment!("/audio/transcriptions"),
        upstream_path: "/audio/transcriptions",
        mode: "audio_transcription",
        probes: Some("audio_transcription"),
        carries: Carries::Form,
        required: &["file"],
        streaming: Streaming::Optional,
        content_field: "text",
        billing: Billing::Heard,
        ..BASE
    },
    /// `/files`.
    CreateFile = Row {
        name: "files",
        paths: with_account!("/files"),
        upstream_path: "/files",
        carries: Carries::Form,
        required: &["file", "purpose"],
        content_field: "id",
        ..FILES
    },
    /// `GET /files`.
    ListFiles = Row {
        name: "files_list",
        method: Method::Get,
        paths: with_account!("/files"),
        upstream_path: "/files",
        refers_to: Some(("after", Kind::File)),
        query: &["limit", "order", "purpose"],
        carries: Carries::Nothing,
        content_field: "data",
        ..FILES
    },
    /// `GET /files/{id}/content`.
    GetFileContent = Row {
        name: "files_content",
        method: Method::Get,
        paths: with_account!("/files/{}/content"),
        upstream_path: "/files/{}/content",
        answer: Answer::Bytes(Content::File),
        ..ONE_FILE
    },
    /// `GET /files/{id}`.
    GetFile = Row {
        name: "files_get",
        method: Method::Get,
        paths: with_account!("/files/{}"),
        upstream_path: "/files/{}",
        content_field: "id",
        ..ONE_FILE
    },
    /// `DELETE /files/{id}`.
    DeleteFile = Row {
        name: "files_delete",
        method: Method::Delete,
        paths: with_account!("/files/{}"),
        upstream_path: "/files/{}",
        content_field: "deleted",
        ..ONE_FILE
    },
    /// `/batches`.
    CreateBatch = Row {
        name: "batches",
        paths: with_account!("/batches"),
        upstream_path: "/batches",
        refers_to: Some(("input_file_id", Kind::File)),
        required: &["input_file_id", "endpoint", "completion_window"],
        content_field: "id",
        ..BATCHES
    },
    /// `GET /batches`.
    ListBatches = Row {
        name: "batches_list",
        method: Method::Get,
        paths: with_account!("/batches"),
        upstream_path: "/batches",
        probes: Some("batch"),
        refers_to: Some(("after", Kind::Batch)),
        query: &["limit"],
        carries: Carries::Nothing,
        content_field: "data",
        ..BATCHES
    },
    /// `/batches/{id}/cancel`.
    CancelBatch = Row {
        name: "batches_cancel",
        paths: with_account!("/batches/{}/cancel"),
        upstream_path: "/batches/{}/cancel",
        content_field: "id",
        ..ONE_BATCH
    },
    /// `GET /batches/{id}`.
    GetBatch = Row {
        name: "batches_get",
        method: Method::Get,
        paths: with_account!("/batches/{}"),
        upstream_path: "/batches/{}",
        content_field: "id",
        ..ONE_BATCH
    },
    /// `/images/generations`.
    GenerateImage = Row {
        name: "images_generations",
        gemini: Counterpart::Other(Operation::PredictImages),
        converse: Counterpart::Other(Operation::InvokeImages),
        paths: with_deployment!("/images/generations"),
        upstream_path: "/images/generations",
        mode: "image_generation",
        probes: Some("image_generation"),
        required: &["prompt"],
        streaming: Streaming::Refused,
        content_field: "data",
        billing: Billing::Images,
        ..BASE
    },
    /// `/audio/speech`.
    Speech = Row {
        name: "audio_speech",
        paths: with_deployment!("/audio/speech"),
        upstream_path: "/audio/speech",
        mode: "audio_speech",
        probes: Some("audio_speech"),
        required: &["input"],
        answer: Answer::Bytes(Content::Audio),
        billing: Billing::Characters,
        ..BASE
    },
    /// `/moderations`. Its model has a default: <https://platform.openai.com/docs/api-reference/moderations>.
    Moderate = Row {
        name: "moderations",
        paths: plain!("/moderations"),
        upstream_path: "/moderations",
        mode: "moderation",
        probes: Some("moderation"),
        required: &["input"],
        default_model: Some("omni-moderation-latest"),
        content_field: "results",
        ..BASE
    },
    /// `/rerank`.
    Rerank = Row {
        name: "rerank",
        // Its shape is Cohere's.
        cohere: Counterpart::Same,
        converse: Counterpart::Other(Operation::RankDocuments),
        paths: &["/v1/rerank", "/v2/rerank", "/rerank"],
        upstream_path: "/rerank",
        mode: "rerank",
        probes: Some("rerank"),
        listed_as: Some("/v1/rerank"),
        way_out: WayOut::OwnServer("hosted_vllm"),
        required: &["query", "documents"],
        content_field: "results",
        billing: Billing::Searches,
        ..BASE
    },
    /// `/ocr`.
    Ocr = Row {
        name: "ocr",
        paths: plain!("/ocr"),
        upstream_path: "/ocr",
        mode: "ocr",
        probes: Some("ocr"),
        listed_as: Some("/v1/ocr"),
        required: &["document"],
        content_field: "pages",
        billing: Billing::Pages,
        ..BASE
    },
    /// `GET /realtime`: a WebSocket.
    Realtime = Row {
        name: "realtime",
        method: Method::Get,
        paths: with_account!("/realtime"),
        upstream_path: "/realtime",
        mode: "realtime",
        probes: Some("realtime"),
        listed_as: Some("/v1/realtime"),
        model_place: ModelPlace::Query,
        query: &["intent"],
        carries: Carries::Nothing,
        answer: Answer::Socket,
        ..BASE
    },
    /// Whatever a provider of the OpenAI wire has, with any method.
    PassOpenAi = Row {
        name: "pass_through",
        paths: &["/openai/{}", "/azure/{}", "/mistral/{}"],
        ..PASSED
    },
    /// `models/{}:generateContent`, or its stream.
    GenerateContent = Row {
        name: "generate_content",
        open_ai: Counterpart::Other(Operation::Chat),
        anthropic: Counterpart::Other(Operation::Messages),
        responses: Counterpart::Other(Operation::Responses),
        cohere: Counterpart::Other(Operation::CohereChat),
        converse: Counterpart::Other(Operation::Converse),
        ollama: Counterpart::Other(Operation::OllamaChat),
        paths: of_google!(":generateContent", ":streamGenerateContent"),
        upstream_path: ":generateContent",
        streamed_path: Some(":streamGenerateContent?alt=sse"),
        required: &["contents"],
        token_limit: Some("maxOutputTokens"),
        streaming: Streaming::ByPath,
        content_field: "candidates",
        canned: true,
        ..OF_GOOGLE
    },
    /// `models/{}:batchEmbedContents`.
    EmbedContents = Row {
        name: "embed_contents",
        open_ai: Counterpart::Other(Operation::Embedding),
        cohere: Counterpart::Other(Operation::CohereEmbed),
        converse: Counterpart::Other(Operation::InvokeEmbeddings),
        ollama: Counterpart::Other(Operation::OllamaEmbed),
        paths: of_google!(":batchEmbedContents"),
        upstream_path: ":batchEmbedContents",
        mode: "embedding",
        required: &["requests"],
        canned: true,
        content_field: "embeddings",
        ..OF_GOOGLE
    },
    /// `models/{}:predict`, for embeddings at Vertex AI.
    PredictEmbeddings = Row {
        name: "predict_embeddings",
        upstream_path: ":predict",
        mode: "embedding",
        content_field: "predictions",
        ..OF_GOOGLE
    },
    /// `models/{}:embedContent`; of Vertex AI's models only some have it.
    EmbedContent = Row {
        name: "embed_content",
        open_ai: Counterpart::Other(Operation::Embedding),
        cohere: Counterpart::Other(Operation::CohereEmbed),
        converse: Counterpart::Other(Operation::InvokeEmbeddings),
        ollama: Counterpart::Other(Operation::OllamaEmbed),
        paths: of_google!(":embedContent"),
        upstream_path: ":embedContent",
        mode: "embedding",
        required: &["content"],
        canned: true,
        content_field: "embedding",
        ..OF_GOOGLE
    },
    /// `models/{}:countTokens`.
    CountContents = Row {
        name: "count_contents",
        open_ai: Counterpart::Estimated,
        anthropic: Counterpart::Other(Operation::CountTokens),
        responses: Counterpart::Estimated,
        cohere: Counterpart::Estimated,
        converse: Counterpart::Other(Operation::CountConverse),
        ollama: Counterpart::Estimated,
        paths: of_google!(":countTokens"),
        upstream_path: ":countTokens",
        one_of: &["contents", "generateContentRequest", "generate_content_request"],
        canned: true,
        content_field: "totalTokens",
        ..OF_GOOGLE
    },
    /// `models/{}:predict`, for images.
    PredictImages = Row {
        name: "predict_images",
        upstream_path: ":predict",
        mode: "image_generation",
        content_field: "predictions",
        billing: Billing::Images,
        ..OF_GOOGLE
    },
    /// Cohere's `/chat`.
    CohereChat = Row {
        name: "cohere_chat",
        upstream_path: "/chat",
        streaming: Streaming::WithUsage,
        content_field: "message",
        ..OF_COHERE
    },
    /// Cohere's `/embed`.
    CohereEmbed = Row {
        name: "cohere_embed",
        upstream_path: "/embed",
        mode: "embedding",
        content_field: "embeddings",
        ..OF_COHERE
    },
    /// Whatever Cohere has, with any method.
    PassCohere = Row {
        name: "pass_through_cohere",
        paths: &["/cohere/{}"],
        format: WireFormat::Cohere,
        open_ai: Counterpart::Missing,
        cohere: Counterpart::Same,
        ..PASSED
    },
    /// `model/{}/converse`, or its stream.
    Converse = Row {
        name: "converse",
        upstream_path: "/converse",
        streamed_path: Some("/converse-stream"),
        streaming: Streaming::WithUsage,
        content_field: "output",
        ..OF_BEDROCK
    },
    /// `model/{}/count-tokens`.
    CountConverse = Row {
        name: "count_converse",
        upstream_path: "/count-tokens",
        content_field: "inputTokens",
        ..OF_BEDROCK
    },
    /// `model/{}/invoke`, for embeddings.
    InvokeEmbeddings = Row {
        name: "invoke_embeddings",
        upstream_path: "/invoke",
        mode: "embedding",
        content_field: "embedding",
        ..OF_BEDROCK
    },
    /// `model/{}/invoke`, for images.
    InvokeImages = Row {
        name: "invoke_images",
        upstream_path: "/invoke",
        mode: "image_generation",
        content_field: "images",
        billing: Billing::Images,
        ..OF_BEDROCK
    },
    /// `/rerank` of Bedrock's agents.
    RankDocuments = Row {
        name: "rank_documents",
        upstream_path: "/rerank",
        mode: "rerank",
        model_place: ModelPlace::Body,
        content_field: "results",
        billing: Billing::Searches,
        ..OF_BEDROCK
    },
    /// Whatever Bedrock has, with any method.
    PassBedrock = Row {
        name: "pass_through_bedrock",
        paths: &["/bedrock/{}"],
        format: WireFormat::Converse,
        open_ai: Counterpart::Missing,
        converse: Counterpart::Same,
        ..PASSED
    },
    /// `/api/chat`, streamed or not.
    OllamaChat = Row {
        name: "ollama_chat",
        upstream_path: "/api/chat",
        streaming: Streaming::WithUsage,
        content_field: "message",
        ..OF_OLLAMA
    },
    /// `/api/embed`.
    OllamaEmbed = Row {
        name: "ollama_embed",
        upstream_path: "/api/embed",
        mode: "embedding",
        content_field: "embeddings",
        ..OF_OLLAMA
    },
    /// Whatever a provider of the Anthropic wire has, with any method.
    PassAnthropic = Row {
        name: "pass_through_anthropic",
        paths: &["/anthropic/{}"],
        format: WireFormat::Anthropic,
        open_ai: Counterpart::Missing,
        anthropic: Counterpart::Same,
        ..PASSED
    },
    /// Whatever Vertex AI has, with any method.
    PassVertex = Row {
        name: "pass_through_vertex_ai",
        paths: &["/vertex_ai/{}", "/vertex-ai/{}"],
        format: WireFormat::Gemini,
        open_ai: Counterpart::Missing,
        gemini: Counterpart::Same,
        ..PASSED
    },
    /// Whatever Google has in its own format, with any method.
    PassGemini = Row {
        name: "pass_through_gemini",
        paths: &["/gemini/{}"],
        format: WireFormat::Gemini,
        open_ai: Counterpart::Missing,
        gemini: Counterpart::Same,
        ..PASSED
    },
}
