//! Providers that exist and are not served, and what to write instead.
//!
//! Read by [`super::upstream`]. Always true: what is to be written loads and leads to a server of that provider, if there is one.
//!
//! Sources of the addresses: the providers' documentation of their OpenAI-compatible interfaces.

/// What serves a provider's models all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    /// Its OpenAI-compatible address, and the variable that LiteLLM reads its key from.
    Address(&'static str, &'static str),
    /// Another prefix that is served.
    Prefix(&'static str),
    /// What there is to say.
    Words(&'static str),
    /// Nothing that is known.
    Unknown,
}

use Instead::{Address, Prefix, Unknown, Words};

const BEDROCK: Instead =
    Address("https://bedrock-mantle.us-east-1.api.aws/v1", "AWS_BEARER_TOKEN_BEDROCK");
const AI21: Instead = Address("https://api.ai21.com/studio/v1", "AI21_API_KEY");
const NO_ROUTER: Instead = Words(
    "it picks a model by the question, which Hale does not do: name a model, or a `model_group_alias`",
);

/// The providers, by name.
#[rustfmt::skip] // A table.
pub(super) const NOT_SERVED: &[(&str, Instead)] = &[
    ("ai21", AI21),
    ("ai21_chat", AI21),
    ("aleph_alpha", Unknown),
    ("anthropic_text", Words("its text completions have ended: write a model of today, such as `anthropic/claude-sonnet-4-5`")),
    ("anyscale", Unknown),
    ("auto_router", NO_ROUTER),
    ("aws_polly", Unknown),
    ("azure_text", Prefix("azure")),
    ("bedrock", BEDROCK),
    ("bedrock_converse", BEDROCK),
    ("bedrock_mantle", BEDROCK),
    ("black_forest_labs", Unknown),
    ("bytez", Address("https://api.bytez.com/models/v2/openai/v1", "BYTEZ_API_KEY")),
    ("chatgpt", Unknown),
    ("clarifai", Address("https://api.clarifai.com/v2/ext/openai/v1", "CLARIFAI_API_KEY")),
    ("cloudflare", Address("https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai/v1", "CLOUDFLARE_API_KEY")),
    ("cohere_chat", COHERE),
    ("complexity_router", NO_ROUTER),
    ("custom", Unknown),
    ("deepgram", Unknown),
    ("elevenlabs", Unknown),
    ("fal_ai", Unknown),
    ("gigachat", Unknown),
    ("github_copilot", Unknown),
    ("langflow", Unknown),
    ("langgraph", Unknown),
    ("manus", Unknown),
    ("maritalk", Address("https://chat.maritaca.ai/api", "MARITALK_API_KEY")),
    ("nlp_cloud", Unknown),
    ("oci", Unknown),
    ("oobabooga", Address("http://localhost:5000/v1", "")),
    ("palm", Prefix("gemini")),
    ("petals", Unknown),
    ("predibase", Unknown),
    ("ragflow", Unknown),
    ("recraft", Unknown),
    ("replicate", Unknown),
    ("runwayml", Unknown),
    ("sagemaker", Unknown),
    ("sagemaker_chat", Unknown),
    ("sagemaker_nova", Unknown),
    ("sap", Unknown),
    ("snowflake", Address("https://ACCOUNT.snowflakecomputing.com/api/v2/cortex/v1", "SNOWFLAKE_JWT")),
    ("soniox", Unknown),
    ("stability", Unknown),
    ("text-completion-codestral", Prefix("codestral")),
    ("topaz", Unknown),
    ("triton", Unknown),
    ("vertex_ai", Prefix("gemini")),
    ("vertex_ai_beta", Prefix("gemini")),
    ("vllm", Prefix("hosted_vllm")),
    ("voyage", Address("https://api.voyageai.com/v1", "VOYAGE_API_KEY")),
    ("watsonx", Unknown),
    ("watsonx_text", Unknown),
];

/// Where Cohere serves chats.
pub(super) const COHERE: Instead =
    Address("https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY");

/// What to write for `model` of the provider `name`.
pub(super) fn hint(name: &str, model: &str) -> String {
    let known = NOT_SERVED.iter().find(|(known, _)| *known == name);
    instead(known.map_or(Unknown, |(_, instead)| *instead), model)
}

/// The same, if that is what there is instead.
pub(super) fn instead(instead: Instead, model: &str) -> String {
    match instead {
        Address(base, "") => {
            format!("it speaks OpenAI's format too: write `model: openai/{model}`, `api_base: {base}`, `api_key: none`")
        }
        Address(base, key) => format!(
            "it speaks OpenAI's format too: write `model: openai/{model}`, `api_base: {base}`, `api_key: os.environ/{key}`"
        ),
        Prefix("gemini") if !model.starts_with("gemini") => {
            "models of Gemini are served with an API key, as `gemini/...`; others of this provider are not".to_owned()
        }
        Prefix("gemini") => format!(
            "Google serves it with an API key too: write `model: gemini/{model}`, `api_key: os.environ/GEMINI_API_KEY`"
        ),
        Prefix("hosted_vllm") => format!(
            "call its server: write `model: hosted_vllm/{model}`, `api_base: http://localhost:8000/v1`"
        ),
        Prefix(prefix) => format!("write `model: {prefix}/{model}`"),
        Words(words) => words.to_owned(),
        Unknown => format!(
            "for a server with OpenAI's format write `model: openai/{model}` and its `api_base`, or use the model through a \
             provider that docs/config.md lists"
        ),
    }
}
