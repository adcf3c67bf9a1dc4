//! The table of codecs: which format's code writes an operation's requests and observes its answers, and what
//! that expects of them.
//!
//! Read by the conversion and the formats. Always true: every operation has a row; what else is to be known
//! about it stands in the table of operations.

use hale_core::operation::Operation;

/// The code for an operation, and what is expected of its full answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Completions and embeddings of the OpenAI format.
    Completions(List),
    /// Requests like those of completions, answers of a shape of their own.
    Modes(Own),
    /// Responses.
    Responses(OfResponses),
    /// Files.
    Files(Stored),
    /// Batches.
    Batches(Stored),
    /// Messages of the Anthropic format.
    Messages(OfMessages),
    /// What Google's format has.
    Contents(OfContents),
    /// What Cohere's format has.
    Cohere(OfCohere),
    /// What Bedrock's own format has.
    Bedrock(OfBedrock),
    /// What Ollama's format has.
    Ollama(OfOllama),
    /// Requests like those of completions; answers, which are bytes or a socket, are not read.
    Opaque,
    /// No upstream has it.
    Counter,
}

/// The list that has to have something in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// `choices`.
    Choices,
    /// `data`.
    Data,
}

/// What stands in the content field of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// Images, each as base64 or as a URL.
    Images,
    /// A text, which may be empty.
    Transcript,
    /// Verdicts with their categories.
    Verdicts,
    /// Places of documents, with their scores.
    Ranks,
    /// Pages, as Markdown.
    Pages,
}

/// What an answer about responses is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfResponses {
    /// A new response, which has not failed.
    Created,
    /// A response as it is, failed or not.
    Existing,
    /// The items to go on with.
    Compacted,
    /// A number of tokens.
    Counted,
    /// A list of items.
    Items,
    /// That it was deleted.
    Deleted,
}

/// What an answer about files or batches is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// A file, which has an id.
    File,
    /// A batch, which has an id and a status.
    Batch,
    /// A list.
    List,
    /// That it was deleted.
    Deleted,
}

/// What an answer of the Anthropic format is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfMessages {
    /// Blocks, or why there are none.
    Message,
    /// A number of tokens.
    Counted,
}

/// What an answer of Google's format is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfContents {
    /// Candidates, or why there are none.
    Generated,
    /// Embeddings.
    Embedded,
    /// A number of tokens.
    Counted,
    /// Images.
    Predicted,
}

/// What an answer of Cohere's format is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfCohere {
    /// A message.
    Message,
    /// Embeddings.
    Embedded,
}

/// What an answer of Bedrock's own format is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfBedrock {
    /// A message.
    Conversed,
    /// A number of tokens.
    Counted,
    /// Embeddings.
    Embedded,
    /// Images.
    Drawn,
    /// Places of documents, with their scores.
    Ranked,
}

/// What an answer of Ollama's format is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfOllama {
    /// A message.
    Said,
    /// Embeddings.
    Embedded,
}

/// The codec of `operation`.
pub(crate) const fn of(operation: Operation) -> Codec {
    match operation {
        Operation::Chat | Operation::Completion => Codec::Completions(List::Choices),
        Operation::Embedding => Codec::Completions(List::Data),
        Operation::Messages => Codec::Messages(OfMessages::Message),
        Operation::CountTokens => Codec::Messages(OfMessages::Counted),
        Operation::CountPrompt => Codec::Counter,
        Operation::GenerateContent => Codec::Contents(OfContents::Generated),
        Operation::EmbedContents | Operation::PredictEmbeddings | Operation::EmbedContent => {
            Codec::Contents(OfContents::Embedded)
        }
        Operation::CountContents => Codec::Contents(OfContents::Counted),
        Operation::PredictImages => Codec::Contents(OfContents::Predicted),
        Operation::CohereChat => Codec::Cohere(OfCohere::Message),
        Operation::CohereEmbed => Codec::Cohere(OfCohere::Embedded),
        Operation::Converse => Codec::Bedrock(OfBedrock::Conversed),
        Operation::CountConverse => Codec::Bedrock(OfBedrock::Counted),
        Operation::InvokeEmbeddings => Codec::Bedrock(OfBedrock::Embedded),
        Operation::InvokeImages => Codec::Bedrock(OfBedrock::Drawn),
        Operation::RankDocuments => Codec::Bedrock(OfBedrock::Ranked),
        Operation::OllamaChat => Codec::Ollama(OfOllama::Said),
        Operation::OllamaEmbed => Codec::Ollama(OfOllama::Embedded),
        Operation::Responses => Codec::Responses(OfResponses::Created),
        Operation::CompactResponses => Codec::Responses(OfResponses::Compacted),
        Operation::CountResponses => Codec::Responses(OfResponses::Counted),
        Operation::ListInputItems => Codec::Responses(OfResponses::Items),
        Operation::CancelResponse | Operation::GetResponse => {
            Codec::Responses(OfResponses::Existing)
        }
        Operation::DeleteResponse => Codec::Responses(OfResponses::Deleted),
        Operation::EditImage | Operation::GenerateImage => Codec::Modes(Own::Images),
        Operation::Transcribe => Codec::Modes(Own::Transcript),
        Operation::CreateFile | Operation::GetFile => Codec::Files(Stored::File),
        Operation::ListFiles => Codec::Files(Stored::List),
        Operation::DeleteFile => Codec::Files(Stored::Deleted),
        Operation::CreateBatch | Operation::CancelBatch | Operation::GetBatch => {
            Codec::Batches(Stored::Batch)
        }
        Operation::ListBatches => Codec::Batches(Stored::List),
        Operation::GetFileContent
        | Operation::Speech
        | Operation::Realtime
        | Operation::PassOpenAi
        | Operation::PassAnthropic
        | Operation::PassGemini
        | Operation::PassCohere
        | Operation::PassBedrock
        | Operation::PassVertex => Codec::Opaque,
        Operation::Moderate => Codec::Modes(Own::Verdicts),
        Operation::Rerank => Codec::Modes(Own::Ranks),
        Operation::Ocr => Codec::Modes(Own::Pages),
    }
}

#[cfg(test)]
mod tests {
    use hale_core::operation::{Answer, Carries, Kind};
    use hale_core::provider::WireFormat;

    use super::*;

    #[test]
    fn a_codec_is_of_the_rows_format_and_kind() {
        for operation in Operation::ALL {
            let codec = of(operation);
            let is_of_google = matches!(codec, Codec::Contents(_));
            assert_eq!(
                is_of_google,
                operation.format() == WireFormat::Gemini && !operation.is_passed_through()
            );
            let is_of_cohere = matches!(codec, Codec::Cohere(_));
            assert_eq!(
                is_of_cohere,
                operation.format() == WireFormat::Cohere && !operation.is_passed_through()
            );
            let is_of_bedrock = matches!(codec, Codec::Bedrock(_));
            assert_eq!(
                is_of_bedrock,
                operation.format() == WireFormat::Converse && !operation.is_passed_through()
            );
            let is_of_ollama = matches!(codec, Codec::Ollama(_));
            assert_eq!(is_of_ollama, operation.format() == WireFormat::Ollama, "{operation:?}");
            let is_anthropic = matches!(codec, Codec::Messages(_));
            let is_read_so =
                operation.format() == WireFormat::Anthropic && !operation.is_passed_through();
            assert_eq!(is_anthropic, is_read_so, "{operation:?}");
            let is_read = operation.answer() == Answer::Json;
            assert_eq!(!is_read, codec == Codec::Opaque, "{operation:?}");
            let kind = match codec {
                Codec::Responses(_) => Some(Kind::Response),
                Codec::Files(_) => Some(Kind::File),
                Codec::Batches(_) => Some(Kind::Batch),
                // What a file contains is asked of a file.
                Codec::Opaque => operation.kind(),
                Codec::Completions(_)
                | Codec::Modes(_)
                | Codec::Messages(_)
                | Codec::Contents(_)
                | Codec::Cohere(_)
                | Codec::Bedrock(_)
                | Codec::Ollama(_)
                | Codec::Counter => None,
            };
            assert_eq!(kind, operation.kind(), "{operation:?}");
            let has_upstream = operation.upstream(operation.format()).is_some();
            assert_eq!(has_upstream, codec != Codec::Counter, "{operation:?}");
            let is_list =
                matches!(codec, Codec::Files(Stored::List) | Codec::Batches(Stored::List));
            assert!(!is_list || operation.carries() == Carries::Nothing, "{operation:?}");
        }
    }
}
