//! The wire formats: what a client of an endpoint speaks, and what a provider speaks.
//!
//! Read by the table of operations, the providers and `hale-wire`. Always true: it knows neither
//! operations nor providers, which both name a format.

use serde::Deserialize;

/// A wire format: what a provider speaks, and what a client of an endpoint speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireFormat {
    /// `POST {base}/chat/completions` with a bearer key.
    #[default]
    OpenAi,
    /// `POST {base}/v1/messages` with `x-api-key` and `anthropic-version`.
    Anthropic,
    /// `POST {base}/models/{model}:generateContent` with `x-goog-api-key`.
    Gemini,
    /// `POST {base}/v2/chat`, `/v2/embed` and `/v2/rerank` with a bearer key. Of clients only rerank is of this form.
    Cohere,
    /// `POST {base}/responses` with a bearer key: what servers of the OpenAI wire may speak besides.
    Responses,
    /// `POST {base}/model/{model}/converse` with a signature. Of clients it is only passed through.
    Converse,
    /// `POST {base}/api/chat`, whose stream is one JSON object a line. No client speaks it.
    Ollama,
}

/// A format in which clients ask for what the gateway may translate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFormat {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// OpenAI's responses.
    Responses,
    /// Google's.
    Gemini,
}

impl WireFormat {
    /// The format in which a client of this one is read and answered, where the provider has another one. What is only passed
    /// through is never read.
    #[must_use]
    pub const fn of_clients(self) -> ClientFormat {
        match self {
            WireFormat::OpenAi | WireFormat::Cohere | WireFormat::Converse | WireFormat::Ollama => {
                ClientFormat::OpenAi
            }
            WireFormat::Gemini => ClientFormat::Gemini,
            WireFormat::Anthropic => ClientFormat::Anthropic,
            WireFormat::Responses => ClientFormat::Responses,
        }
    }

    /// The part of an `api_base`'s path that belongs to the base. Users write the base of an Anthropic
    /// provider with and without its version, or with the whole path, that of Google's with the path of its models,
    /// Cohere's with the path of a request, and that of Ollama with `/api`.
    #[must_use]
    pub fn base_path(self, path: &str) -> &str {
        let path = path.trim_end_matches('/');
        match self {
            WireFormat::OpenAi | WireFormat::Responses => path,
            WireFormat::Converse => path.split_once("/model/").map_or(path, |(base, _)| base),
            WireFormat::Anthropic => {
                let path = path.strip_suffix("/messages").unwrap_or(path);
                path.strip_suffix("/v1").unwrap_or(path)
            }
            WireFormat::Gemini => {
                let path = path.split_once("/models/").map_or(path, |(base, _)| base);
                path.strip_suffix("/models").unwrap_or(path)
            }
            WireFormat::Cohere => {
                let ends = ["/chat", "/embed", "/rerank"];
                ends.into_iter().find_map(|end| path.strip_suffix(end)).unwrap_or(path)
            }
            WireFormat::Ollama => {
                let own = ["/chat", "/generate", "/embed", "/embeddings"];
                let path = own.iter().find_map(|end| path.strip_suffix(end)).unwrap_or(path);
                path.strip_suffix("/api").unwrap_or(path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anthropic_base_may_be_written_in_three_ways() {
        for path in ["", "/", "/v1", "/v1/", "/v1/messages"] {
            assert_eq!(WireFormat::Anthropic.base_path(path), "", "{path}");
        }
        assert_eq!(WireFormat::Anthropic.base_path("/anthropic/v1"), "/anthropic");
        assert_eq!(WireFormat::OpenAi.base_path("/v1/"), "/v1");
        for path in ["/v1beta", "/v1beta/", "/v1beta/models", "/v1beta/models/g:generateContent"] {
            assert_eq!(WireFormat::Gemini.base_path(path), "/v1beta", "{path}");
        }
    }
}
