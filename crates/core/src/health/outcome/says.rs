//! What a provider's error says: the codes and words of real servers.
//!
//! Asked by [`super::classify`] and [`super::capability`]. Always true: what a provider quotes from the request is no word of its own,
//! and words count only where no specific code contradicts them.
//!
//! Sources of the texts: OpenAI's, Anthropic's, Azure's, DashScope's, DeepSeek's and Zhipu's documentation; what users
//! of OpenRouter, Groq, Perplexity, SiliconFlow and Cohere report; the sources of SGLang, text-embeddings-inference, vLLM, infinity, LiteLLM,
//! `transformers serve`, llama.cpp's server, text-generation-inference, Ollama, llama-swap, TabbyAPI
//! and FastChat; Cloudflare's documentation; for LM Studio what its users report.

use super::ProviderError;

/// Codes about the model. Sources: Azure, and Groq's answer in
/// <https://github.com/atiilla/sqlmap-ai/issues/3>.
///
/// `unknown_model` and `unavailable_model` are those of Azure's model inference, `model_not_supported` is that of Hugging
/// Face's router, `1211` that of Zhipu, and those in capitals are Databricks'.
const NO_MODEL: &[&str] = &[
    "model_not_found",
    "DeploymentNotFound",
    "model_decommissioned",
    "unknown_model",
    "unavailable_model",
    "model_not_supported",
    "1211",
    "RESOURCE_DOES_NOT_EXIST",
    "ENDPOINT_NOT_FOUND",
    // Together's.
    "model_not_available",
];

pub(super) fn code_is(error: &ProviderError, codes: &[&str]) -> bool {
    error.code.as_deref().is_some_and(|code| codes.contains(&code))
}

pub(super) fn kind_is(error: &ProviderError, kinds: &[&str]) -> bool {
    error.kind.as_deref().is_some_and(|kind| kinds.contains(&kind))
}

/// Codes that only repeat the status: the text may say more.
const GENERAL_CODES: [&str; 17] = [
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "BadRequest",
    "BadRequestError",
    "INVALID_ARGUMENT",
    "InvalidRequest",
    "RESOURCE_EXHAUSTED",
    "ValidationException",
    "bad_request",
    "invalid_argument",
    "invalid_prompt",
    "invalid_request",
    "invalid_request_error",
    "invalid_request_message",
    "model_not_found",
    "rate_limit_exceeded",
    "too_many_requests",
];

/// Whether the text may say more than the code: there is no code, or it is a number, a sentence or
/// a general one.
pub(super) fn words_count(error: &ProviderError) -> bool {
    let Some(code) = error.code.as_deref() else { return true };
    let is_sentence = code.contains(' ');
    let is_number = code.bytes().all(|byte| byte.is_ascii_digit());
    is_sentence || is_number || GENERAL_CODES.contains(&code)
}

/// Whether the provider's own words contain one of these parts.
pub(super) fn text_has(error: &ProviderError, parts: &[&str]) -> bool {
    let text = unquoted(&error.message).to_ascii_lowercase();
    parts.iter().any(|part| text.contains(part))
}

/// The same where no specific code contradicts the words.
pub(super) fn says(error: &ProviderError, parts: &[&str]) -> bool {
    words_count(error) && text_has(error, parts)
}

/// Returns the text without its quotations: from the first quotation mark of a kind to the last
/// one, because a quotation may contain such marks. A mark within a word is an apostrophe.
pub(super) fn unquoted(text: &str) -> String {
    let mut own = text.to_owned();
    for (opening, closing) in [('\'', '\''), ('"', '"'), ('`', '`'), ('‘', '’'), ('“', '”')]
    {
        let is_within_a_word = |text: &str, at: usize, mark: char| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text.get(at + mark.len_utf8()..).and_then(|text| text.chars().next());
            before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)
        };
        let mut openings = own.match_indices(opening).map(|(at, _)| at);
        let first = openings.find(|at| !is_within_a_word(&own, *at, opening));
        let mut closings = own.rmatch_indices(closing).map(|(at, _)| at);
        let last = closings.find(|at| !is_within_a_word(&own, *at, closing));
        if let Some((first, last)) = first.zip(last).filter(|(first, last)| first < last) {
            own.replace_range(first..last + closing.len_utf8(), " ");
        }
    }
    own
}

/// The kinds of text-generation-inference and of text-embeddings-inference.
const VALIDATION: &[&str] = &["validation", "Validation"];

pub(super) fn is_context(error: &ProviderError) -> bool {
    code_is(error, &["context_length_exceeded", "string_above_max_length"])
        || kind_is(error, &["exceed_context_size_error"])
        || says(
            error,
            &[
                "maximum context length",
                "maximum prompt length",
                "maximum model length",
                "context window",
                "context limit",
                "prompt is too long",
                "available context size",
                "exceeds the context length",
                "exceeded max context length",
                "greater than the context length",
                "longer than the model's context length",
                "too large to process",
                "context the overflows",
                "input tokens exceed",
                "input token count",
                "maximum number of tokens allowed",
                // Cohere's.
                "too many tokens:",
                // Voyage's.
                "max allowed tokens",
                "total number of tokens",
            ],
        )
        || (kind_is(error, VALIDATION) && says(error, &["must have less than", "must be <="]))
        || error.message.contains("tokens + `max_new_tokens` must be <=")
        || says(error, &["tokens + max_new_tokens must be <="])
}

pub(super) fn is_policy(error: &ProviderError) -> bool {
    const CODES: [&str; 7] = [
        "content_policy_violation",
        "content_filter",
        "moderation_blocked",
        "ResponsibleAIPolicyViolation",
        "data_inspection_failed",
        "DataInspectionFailed",
        "1301",
    ];
    // Google's words for a prompt, beside which stands nothing more specific.
    let is_blocked = kind_is(error, &["INVALID_ARGUMENT"])
        && says(error, &["blocked", "filtered out"])
        && says(error, &["safety", "prompt", "policies", "policy"]);
    code_is(error, &CODES)
        || is_blocked
        || says(
            error,
            &[
                "content management policy",
                "content filtering policy",
                "violating our usage polic",
                "your input was flagged",
                "content exists risk",
                "usage guidelines",
            ],
        )
}

pub(super) fn is_quota(error: &ProviderError) -> bool {
    const CODES: [&str; 6] = [
        // Zhipu's: the account is in arrears.
        "1113",
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "Arrearage",
        "BILLING_DISABLED",
    ];
    const KINDS: [&str; 4] =
        ["insufficient_quota", "billing_error", "budget_exceeded", "exceeded_current_quota_error"];
    // Fireworks, xAI and Cloudflare among them.
    const WORDS: [&str; 9] = [
        "any credits",
        "daily free allocation",
        "monthly limit",
        "credit balance is too low",
        "prepayment credits are depleted",
        "exceeded your current quota",
        "account balance is insufficient",
        "insufficient balance",
        "insufficient account balance",
    ];
    // Google names the quota: those of a minute come back by themselves.
    let is_of_a_day = error.code.as_deref().is_some_and(|code| code.contains("PerDay"));
    let is_none = error.message.match_indices("limit: 0").any(|(at, limit)| {
        let next = error.message[at + limit.len()..].chars().next();
        !next.is_some_and(|c| c.is_ascii_digit() || c == '.')
    });
    let is_suspended = says(error, &["account"]) && says(error, &["suspended"]);
    // Cohere limits the keys of trials by the minute and by the month.
    let is_of_a_trial = says(error, &["trial key"]) && !says(error, &["/ minute"]);
    code_is(error, &CODES)
        || kind_is(error, &KINDS)
        || says(error, &WORDS)
        || is_of_a_day
        || is_of_a_trial
        || is_suspended
        || (is_none && kind_is(error, &["RESOURCE_EXHAUSTED"]))
}

/// Cohere's word for a prompt that its rules stop, under a status of its own.
pub(super) fn blocks_the_prompt(error: &ProviderError) -> bool {
    text_has(error, &["blocked"])
}

/// A 429 that waiting does not fix: the request alone has more tokens than a minute allows.
pub(super) fn is_beyond_the_rate(error: &ProviderError) -> bool {
    says(error, &["request too large for"])
}

pub(super) fn is_overload(error: &ProviderError) -> bool {
    kind_is(error, &["overloaded_error", "overloaded", "UNAVAILABLE"])
        || code_is(error, &["TEMPORARILY_UNAVAILABLE"])
        || text_has(
            error,
            &[
                "overloaded",
                "high demand",
                "at capacity",
                "capacity exceeded",
                "server busy",
                "maximum pending requests",
                "queue is full",
            ],
        )
}

/// An overload that a server of one's own calls too many requests.
pub(super) fn is_own_overload(error: &ProviderError) -> bool {
    kind_is(error, &["overloaded"]) || says(error, &["is currently overloaded"])
}

pub(super) fn names_the_key(error: &ProviderError) -> bool {
    code_is(error, &["invalid_api_key", "CONSUMER_SUSPENDED"])
        // Google's word for a key whose project is closed.
        || text_has(error, &["api key", "api-key", "apikey", "been denied access"])
}

/// A refused key under a status that says less.
pub(super) fn refuses_the_key(error: &ProviderError) -> bool {
    const KINDS: [&str; 4] =
        ["no_db_connection", "token_not_found_in_db", "expired_key", "auth_error"];
    code_is(error, &["invalid_api_key", "API_KEY_INVALID"])
        || kind_is(error, &KINDS)
        || says(
            error,
            &[
                "no connected db",
                "api key not valid",
                "api key is invalid",
                "invalid api key",
                "incorrect api key",
                "api key expired",
                "api key is required",
                "authorization header",
            ],
        )
}

/// The word of servers that say nothing else about a key that is wrong or missing.
pub(super) fn is_unauthorized(error: &ProviderError) -> bool {
    const WORDS: [&str; 3] = ["unauthorized", "not authenticated", "invalid authentication"];
    WORDS.iter().any(|word| error.message.trim().to_ascii_lowercase().starts_with(word))
}

/// A fault of the client's that a server tells with a 500. Texts: llama.cpp's sources, the chat templates that it runs, and
/// the libraries by which servers in Python read pictures and sound.
pub(super) fn is_a_clients_fault(error: &ProviderError) -> bool {
    says(
        error,
        &[
            "conversation roles must alternate",
            "roles must alternate",
            "system role not supported",
            "only user and assistant roles are supported",
            "failed to load image",
            "failed to decode image",
            "unsupported content[].type",
            "unsupported content part type",
            "failed to parse messages",
            "failed to parse tools",
            "failed to parse grammar",
            "failed to initialize samplers",
            "json schema conversion failed",
            "error parsing grammar",
            "unrecognized schema",
            "invalid base64",
            "cannot identify image file",
            "image file is truncated",
            "broken data stream when reading image",
            "decompression bomb",
            "incorrect padding",
            "error opening <_io.bytesio",
            "invalid data found when processing input",
            // Ollama's, of a parameter with a value of another type.
            "invalid options:",
        ],
    )
}

/// Whether it names a field of the request: as its parameter, as FastAPI does, or by its kind.
pub(super) fn names_a_field(error: &ProviderError) -> bool {
    error.param.is_some()
        || kind_is(error, VALIDATION)
        || ["\"loc\":", "'loc':"].iter().any(|key| error.message.contains(key))
}

/// A key that is known and may not use this model.
pub(super) fn refuses_the_models_use(error: &ProviderError) -> bool {
    error.kind.as_deref().is_some_and(|kind| kind.ends_with("_model_access_denied"))
}

/// A key that is known and may not be used from where the gateway is. Source: Google.
pub(super) fn refuses_the_place(error: &ProviderError) -> bool {
    const WORDS: [&str; 3] =
        ["location is not supported", "not available in your country", "enable billing"];
    kind_is(error, &["FAILED_PRECONDITION"]) && says(error, &WORDS)
}

/// A key that is good, and may not be used for this, or from here. Source: Google's `ErrorInfo`,
/// <https://cloud.google.com/apis/design/errors#error_info>.
pub(super) fn keeps_the_key_out(error: &ProviderError) -> bool {
    const CODES: [&str; 5] = [
        "API_KEY_SERVICE_BLOCKED",
        "API_KEY_HTTP_REFERRER_BLOCKED",
        "API_KEY_IP_ADDRESS_BLOCKED",
        "SERVICE_DISABLED",
        "IAM_PERMISSION_DENIED",
    ];
    code_is(error, &CODES)
}

/// The server does not know the model, said under a status that says less.
pub(super) fn knows_no_model(error: &ProviderError) -> bool {
    code_is(error, NO_MODEL)
        || kind_is(error, &["invalid_model"])
        || says(
            error,
            &[
                "model not exist",
                "not a valid model id",
                "invalid model name",
                "invalid model identifier",
                "invalid model:",
                "engine for model name",
                "server is pinned to",
                "no models loaded",
                "no models are currently loaded",
                "could not find suitable inference handler",
                "allowed now, your model",
                "model not found",
                "unknown model",
                "no such model",
            ],
        )
        || (says(error, &["model "])
            && says(error, &[" does not exist", " not found", " is not loaded"]))
}

/// The server has no such path, said under a status that says less. Source of the first words: LM Studio's users.
pub(super) fn knows_no_path(error: &ProviderError) -> bool {
    // Cloudflare's and Azure's words.
    const WORDS: [&str; 3] =
        ["unexpected endpoint or method", "no route for that uri", "api version not supported"];
    says(error, &WORDS)
}

/// Whether a 404 is about the model.
pub(super) fn names_the_model(error: &ProviderError) -> bool {
    code_is(error, NO_MODEL)
        || error.param.as_deref() == Some("model")
        || text_has(error, &["model", "deployment", "engine"])
}

/// Whether a 404 is about something that the client named: a parameter, a file, a response, ...
pub(super) fn is_about_a_client_object(error: &ProviderError) -> bool {
    const WORDS: [&str; 9] = [
        "no such file",
        "file_id",
        "previous response",
        "response with id",
        "item with id",
        "container with id",
        "conversation with id",
        "vector store",
        "batch with id",
    ];
    const IDS: [&str; 10] = [
        "file-",
        "file_",
        "resp_",
        "batch_",
        "conv_",
        "cntr_",
        "vs_",
        "msgbatch_",
        "container_",
        "skill_",
    ];
    let is_id =
        |word: &str| IDS.iter().any(|start| word.len() > start.len() && word.starts_with(start));
    match error.param.as_deref() {
        Some("model") => false,
        Some(_) => true,
        None => {
            !code_is(error, NO_MODEL)
                && (text_has(error, &WORDS) || words_of(&error.message).any(is_id))
        }
    }
}

/// Whether a 404 names something by an id as providers make them.
pub(super) fn names_an_id(error: &ProviderError) -> bool {
    words_of(&error.message).any(is_prefixed_id)
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
}

/// Whether it is about something that a request refers to and that is not there, or not for this account: a cached content, a file, a
/// guardrail, an object in a bucket. Texts: Google's and Bedrock's.
pub(super) fn names_what_a_request_refers_to(error: &ProviderError) -> bool {
    const WORDS: [&str; 9] = [
        "cachedcontent",
        "cached content",
        "permission to access the file",
        "storage.objects.get",
        "guardrail identifier",
        "bedrock:applyguardrail",
        "s3:getobject",
        "s3 object",
        "s3 uri",
    ];
    text_has(error, &WORDS)
}

/// Whether a word is an id as providers make them: a short word, and then what no one would write.
fn is_prefixed_id(word: &str) -> bool {
    let Some((kind, own)) = word.rsplit_once('_') else { return false };
    let is_kind = (2..=24).contains(&kind.len())
        && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_kind
        && own.len() >= 8
        && own.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && own.bytes().any(|byte| byte.is_ascii_digit())
        && own.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A fault of the server that it tells as the client's.
pub(super) fn is_a_servers_fault(error: &ProviderError) -> bool {
    says(
        error,
        &[
            "failed to load model",
            "error loading model",
            "model is unloaded",
            "model has crashed",
            // NVIDIA's.
            "degraded function",
        ],
    )
}
