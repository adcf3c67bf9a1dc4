//! Requests in formats that have no endpoint here: what an error calls them.
//!
//! Called by the router for requests that are in no row. Always true: a path that is in a row is never looked at.

/// A format, and the paths by which its requests are recognised.
struct Format {
    name: &'static str,
    /// How a path begins; empty where any beginning will do.
    begins: &'static [&'static str],
    /// How it ends; empty where any end will do.
    ends: &'static [&'static str],
}

/// The formats by their paths.
const FORMATS: [Format; 7] = [
    // <https://ai.google.dev/api/generate-content>, and Vertex AI.
    Format {
        name: "Gemini",
        begins: &[],
        ends: &[
            ":generateAnswer",
            ":predict",
            ":predictLongRunning",
            ":rawPredict",
            ":streamRawPredict",
        ],
    },
    Format {
        name: "Gemini",
        begins: &[
            "/v1beta/files",
            "/v1beta/cachedContents",
            "/v1beta/tunedModels",
            "/upload/v1beta/",
        ],
        ends: &[],
    },
    // <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>
    Format {
        name: "Bedrock",
        begins: &["/model/"],
        ends: &["/converse", "/converse-stream", "/invoke", "/invoke-with-response-stream"],
    },
    // <https://docs.ollama.com/api>
    Format {
        name: "Ollama",
        begins: &["/api/"],
        ends: &["/chat", "/generate", "/embed", "/embeddings", "/tags"],
    },
    // <https://docs.cohere.com/reference/chat>
    Format {
        name: "Cohere",
        begins: &["/v1/", "/v2/"],
        ends: &["/v1/chat", "/v2/chat", "/v1/embed", "/v2/embed", "/v1/generate"],
    },
    // <https://github.com/huggingface/text-generation-inference>
    Format {
        name: "text-generation-inference",
        begins: &["/generate"],
        ends: &["/generate", "/generate_stream"],
    },
    Format {
        name: "Anthropic's text completions",
        begins: &["/v1/complete"],
        ends: &["/v1/complete"],
    },
];

/// The name of the format of a request to `path`, if it is a known one that has no endpoint here.
pub(super) fn format_of(path: &str) -> Option<&'static str> {
    let path = path.trim_end_matches('/');
    let is_of = |format: &&Format| {
        let begins =
            format.begins.is_empty() || format.begins.iter().any(|one| path.starts_with(one));
        begins && (format.ends.is_empty() || format.ends.iter().any(|end| path.ends_with(end)))
    };
    FORMATS.iter().find(is_of).map(|format| format.name)
}

#[cfg(test)]
mod tests {
    use super::super::table::endpoints;
    use super::*;

    #[test]
    fn a_request_in_a_foreign_format_is_recognised() {
        for (path, name) in [
            ("/v1/models/gpt-4o:generateAnswer", "Gemini"),
            ("/v1/projects/p/locations/l/publishers/google/models/m:predict", "Gemini"),
            ("/v1beta/files/x", "Gemini"),
            ("/model/anthropic.claude/converse", "Bedrock"),
            ("/model/x/invoke-with-response-stream", "Bedrock"),
            ("/api/chat", "Ollama"),
            ("/api/tags/", "Ollama"),
            ("/v2/chat", "Cohere"),
            ("/generate_stream", "text-generation-inference"),
            ("/v1/complete", "Anthropic's text completions"),
        ] {
            assert_eq!(format_of(path), Some(name), "{path}");
        }
        for path in ["/v1/chat/completion", "/v1/models/gpt-4o", "/api/", "/models", "/", ""] {
            assert_eq!(format_of(path), None, "{path}");
        }
    }

    #[test]
    fn no_endpoint_looks_foreign() {
        for path in endpoints().iter().flat_map(|row| row.paths) {
            assert_eq!(format_of(path), None, "{path}");
        }
    }
}
