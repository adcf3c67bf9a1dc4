//! Providers that exist and are not served, and what to write instead.
//!
//! Read by [`super::upstream`]. Always true: what is to be written loads and leads to a server of that provider, if there is one.
//!
//! Sources of the addresses: the providers' documentation of their OpenAI-compatible interfaces.

use crate::aws::is_region;

use super::problem::shown;

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

const BEDROCK_KEY: &str = "AWS_BEARER_TOKEN_BEDROCK";
const BEDROCK: Instead = Address("https://bedrock-mantle.us-east-1.api.aws/v1", BEDROCK_KEY);
/// What LiteLLM writes before a model of Bedrock to say how it is called.
const BEDROCK_ROUTES: &[&str] = &["converse", "converse_like", "invoke", "async_invoke", "mantle"];
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
    ("bedrock_mantle", BEDROCK),
    ("black_forest_labs", Unknown),
    ("bytez", Address("https://api.bytez.com/models/v2/openai/v1", "BYTEZ_API_KEY")),
    ("chatgpt", Unknown),
    ("clarifai", Address("https://api.clarifai.com/v2/ext/openai/v1", "CLARIFAI_API_KEY")),
    ("cloudflare", Address("https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai/v1", "CLOUDFLARE_API_KEY")),
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
    ("vllm", Prefix("hosted_vllm")),
    ("watsonx", Unknown),
    ("watsonx_text", Unknown),
];

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
        Address(base, key) => at_address(base, key, model),
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

fn at_address(base: &str, key: &str, model: &str) -> String {
    format!(
        "it speaks OpenAI's format too: write `model: openai/{model}`, `api_base: {base}`, `api_key: os.environ/{key}`"
    )
}

/// Whether that is a name of Bedrock, which has an address in each region.
pub(super) fn is_bedrock(name: &str) -> bool {
    NOT_SERVED.iter().any(|(known, instead)| *known == name && *instead == BEDROCK)
}

/// What to write for `model` of Bedrock, in the region that is named or that stands before the model.
pub(super) fn of_bedrock(model: &str, region: Option<&str>) -> String {
    let (mut model, mut region) = (model, region.filter(|name| is_region(name)));
    while let Some((head, tail)) = model.split_once('/') {
        if is_region(head) {
            region = region.or(Some(head));
        } else if !BEDROCK_ROUTES.contains(&head) {
            break;
        }
        model = tail;
    }
    let base = format!("https://bedrock-mantle.{}.api.aws/v1", region.unwrap_or("us-east-1"));
    at_address(&base, BEDROCK_KEY, &shown(model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_for_bedrock_name_its_region_and_the_model_alone() {
        for (model, named, region, alone) in [
            ("m", None, "us-east-1", "m"),
            ("m", Some("eu-central-1"), "eu-central-1", "m"),
            ("eu-west-1/m", None, "eu-west-1", "m"),
            ("eu-west-1/m", Some("ap-south-1"), "ap-south-1", "m"),
            ("converse/us-gov-east-1/m", None, "us-gov-east-1", "m"),
            ("invoke/eu.anthropic.m-v1:0", None, "us-east-1", "eu.anthropic.m-v1:0"),
            ("own/m", None, "us-east-1", "own/m"),
            ("m", Some("somewhere"), "us-east-1", "m"),
            ("m", Some("x.evil.example/a-1"), "us-east-1", "m"),
        ] {
            let hint = of_bedrock(model, named);
            let base = format!("`api_base: https://bedrock-mantle.{region}.api.aws/v1`");
            assert!(hint.contains(&base), "{hint}");
            assert!(hint.contains(&format!("`model: openai/{alone}`")), "{hint}");
        }
        assert!(is_bedrock("bedrock_mantle") && !is_bedrock("sagemaker") && !is_bedrock("x"));
    }
}
