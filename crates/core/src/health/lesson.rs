//! What a refusal teaches about a deployment: see [`super::learned`].
//!
//! Called for each refused attempt and probe. Always true: only a parameter that the provider names as unknown or
//! unsupported is learned, never what a client did wrong with it.

use super::learned::{Advice, Lesson};
use super::most;
use super::outcome::ProviderError;
use crate::takes::{Effort, Efforts, LimitName};

/// What Bedrock writes before the words of a model's provider.
const OF_BEDROCK: &str = "the model returned the following errors:";

/// What a refusal teaches, if it refuses a parameter that Hale adds or that only advises. A provider may quote what the client
/// wrote, so it is only learned once an answer has proved it: [`Taught`](crate::deployment::Taught).
#[must_use]
pub fn lesson(error: &ProviderError) -> Option<Lesson> {
    let text = error.message.to_ascii_lowercase();
    let text = text.strip_prefix(OF_BEDROCK).unwrap_or(&text).trim_start().to_owned();
    let refuses = |name: &str| {
        let named = error.param.as_deref().is_some_and(|param| is_param(param, name));
        (named || mentions(&text, name)) && is_refusal(error, &text)
    };
    if refuses("stream_options") {
        return Some(Lesson::NoStreamOptions);
    }
    if refuses("reasoning_content") || refuses("assistant.reasoning") {
        return Some(Lesson::NoThoughts);
    }
    if let Some(lesson) = about_marks(error, &text).filter(|_| is_refusal(error, &text)) {
        return Some(lesson);
    }
    if let Some(lesson) = about_messages(error, &text).filter(|_| is_refusal(error, &text)) {
        return Some(lesson);
    }
    let place = |name: &str| match error.param.as_deref() {
        Some(param) if is_param(param, name) => Some(0),
        _ => text.find(name).filter(|_| mentions(&text, name)).map(|at| at + 1),
    };
    match (place("max_tokens"), place("max_completion_tokens")) {
        // The first one is refused, the other one is the advice.
        (Some(older), Some(newer)) if older < newer && is_refusal(error, &text) => {
            return Some(Lesson::Limit(LimitName::Newer));
        }
        (older, Some(newer))
            if older.is_none_or(|older| newer < older) && is_refusal(error, &text) =>
        {
            return Some(Lesson::Limit(LimitName::Older));
        }
        _ => {}
    }
    if let Some(most) = most::named(error, &text) {
        return Some(Lesson::Most(most));
    }
    if let Some(efforts) = listed_efforts(error, &text) {
        return Some(Lesson::Efforts(efforts));
    }
    // xAI names the field as its own sources do.
    let names = ["reasoning_effort", "reasoning.effort", "reasoningeffort"];
    if !names.into_iter().any(refuses) {
        let reasons_not = [
            "does not support thinking",
            "does not support extended thinking",
            // Google's words.
            "thinking is not enabled for",
            "thinking level is not supported",
        ];
        return match reasons_not.iter().any(|says| text.contains(says)) {
            true => Some(Lesson::NoThinking),
            false => refused_advice(error, &text).map(Lesson::NoAdvice),
        };
    }
    // A value that is refused without those that are taken teaches nothing.
    let is_of_a_value = ["invalid value", "unsupported value"].iter().any(|it| text.contains(it));
    (!is_of_a_value).then_some(Lesson::Efforts(Efforts::NOTHING))
}

/// The efforts that a refusal lists: "Supported values are: 'low', 'medium', and 'high'", "must be one of `low`, ...".
fn listed_efforts(error: &ProviderError, text: &str) -> Option<Efforts> {
    let is_effort = |name: &str| {
        let named = error.param.as_deref().is_some_and(|param| is_param(param, name));
        named || mentions(text, name)
    };
    if !is_effort("reasoning_effort") && !is_effort("reasoning.effort") {
        return None;
    }
    let (_, listed) = match text.split_once("supported values are") {
        Some(split) if is_refusal(error, text) => split,
        _ => text.split_once("must be one of")?,
    };
    let words = listed.split(|c: char| !c.is_ascii_alphanumeric());
    let efforts: Vec<Effort> = words.filter_map(Effort::named).collect();
    match &efforts[..] {
        [] => None,
        // Not to be told how much is the only way to have it reason.
        [Effort::None] if listed.contains("default") => Some(Efforts::NOTHING),
        some => Some(Efforts::of(some)),
    }
}

/// The field that only advises and is refused. Some of their names are ordinary words, so they count only where they
/// are quoted, or named as what was supplied.
fn refused_advice(error: &ProviderError, text: &str) -> Option<Advice> {
    /// Anthropic's words, which name no field.
    const SAYS: [(&str, &str); 6] = [
        ("adaptive thinking is not supported", "thinking: adaptive"),
        ("thinking.type: adaptive", "thinking: adaptive"),
        ("input tag 'adaptive'", "thinking: adaptive"),
        ("thinking is not supported", "thinking"),
        ("does not support the effort parameter", "output_config.effort"),
        ("output_config: extra inputs", "output_config.effort"),
    ];
    let is_named = |name: &str| {
        if let Some(param) = error.param.as_deref() {
            return is_param(param, name);
        }
        if name == Advice::USER.name() {
            return names_the_user(text);
        }
        let quoted = ['\'', '"', '`'].iter().any(|mark| {
            let quoted = format!("{mark}{name}{mark}");
            text.contains(&quoted)
        });
        quoted
            || text.contains(&format!("supplied: {name}"))
            // Anthropic, pydantic: `context_management: Extra inputs are not permitted`.
            || text.starts_with(&format!("{name}: extra inputs"))
    };
    let says =
        |name: &str| SAYS.iter().any(|(words, field)| *field == name && text.contains(words));
    if says(Advice::ADAPTIVE.name()) {
        return Some(Advice::ADAPTIVE);
    }
    Advice::all().find(|one| {
        let name = one.name();
        says(name) || (is_named(name) && is_refusal(error, text))
    })
}

/// What a refusal of a member of messages or tools teaches. Their names are ordinary words, so they count only where they are
/// named as members: by OpenAI's path, Groq's sentence, or the place of pydantic, which Mistral shows.
fn about_messages(error: &ProviderError, text: &str) -> Option<Lesson> {
    const EXTRAS: [&str; 8] = [
        "cache_control",
        "name",
        "refusal",
        "annotations",
        "audio",
        "function_call",
        "provider_specific_fields",
        "reasoning_details",
    ];
    const PATHS: [&str; 3] = ["messages[", "tools[", "input["];
    const INSIDE: [&str; 6] =
        ["'messages.", "'tools.", "\"messages\"", "\"tools\"", "'messages'", "'tools'"];
    let path = error.param.as_deref().unwrap_or_default();
    let is_inside = PATHS.iter().any(|list| path.starts_with(list))
        || INSIDE.iter().any(|list| text.contains(list));
    let is_named = |name: &str| {
        is_param(path, name)
            || text.contains(&format!("property '{name}'"))
            || text.contains(&format!("\"{name}\"]"))
            || text.contains(&format!("'{name}')"))
    };
    // Groq says it without the place, too.
    if is_named("reasoning") && (is_inside || text.starts_with("property 'reasoning'")) {
        return Some(Lesson::NoThoughts);
    }
    (is_inside && EXTRAS.into_iter().any(is_named)).then_some(Lesson::PlainMessages)
}

/// What a refusal of a newer member of a mark of the cache or of a tool teaches, named by its path in Anthropic's format or as
/// the member of a mark.
fn about_marks(error: &ProviderError, text: &str) -> Option<Lesson> {
    const OF_MARKS: [&str; 2] = ["scope", "ttl"];
    const OF_TOOLS: [&str; 2] = ["eager_input_streaming", "defer_loading"];
    let path = error.param.as_deref().unwrap_or_default();
    let is_named = |name: &str| is_param(path, name) || mentions(text, name);
    let is_of_mark = |name: &&str| {
        text.contains(&format!("cache_control.{name}"))
            || text.contains(&format!("cache_control.ephemeral.{name}"))
            || (text.contains("cache_control") && is_named(name))
    };
    let is_said = OF_MARKS.iter().any(is_of_mark) || OF_TOOLS.into_iter().any(is_named);
    is_said.then_some(Lesson::PlainMarks)
}

/// Whether the text is about the field `user`, whose name is that of a role as well.
fn names_the_user(text: &str) -> bool {
    const FORMS: [&str; 11] = [
        r#"["body","user"]"#,
        r#"["body", "user"]"#,
        "('body', 'user')",
        "parameter: 'user'",
        "parameter 'user'",
        "argument 'user'",
        "property 'user'",
        "field: 'user'",
        "field `user`",
        "supplied: user",
        "unknown name \"user\"",
    ];
    FORMS.iter().any(|form| text.contains(form)) || text.starts_with("user: extra inputs")
}

/// Whether a path such as `body.stream_options` ends in `name`.
fn is_param(param: &str, name: &str) -> bool {
    let head = param.strip_suffix(name);
    head.is_some_and(|head| head.is_empty() || head.ends_with(['.', '/', ' ', '>', '[', '\'', '"']))
}

/// Whether `text` has `name` as a word of its own, not as the beginning of a path.
fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        let next = text[at + name.len()..].chars().nth(1);
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let is_path = match after {
            Some('.') => next.is_some_and(char::is_alphanumeric),
            Some('[') => true,
            _ => false,
        };
        !before.is_some_and(is_word) && !after.is_some_and(is_word) && !is_path
    })
}

/// Whether the provider says that it does not know a parameter or a value of it. Texts: OpenAI, Azure, pydantic
/// (vLLM, FastAPI), Mistral, Groq, llama.cpp.
fn is_refusal(error: &ProviderError, text: &str) -> bool {
    const CODES: [&str; 4] =
        ["unknown_parameter", "unsupported_parameter", "unsupported_value", "extra_forbidden"];
    const SAYS: [&str; 15] = [
        "unknown parameter",
        // Google.
        "unknown name",
        "unknown field",
        "unknown argument",
        "unrecognized",
        "unsupported",
        "not supported",
        "does not support",
        "doesn't support",
        "extra inputs are not permitted",
        "extra fields not permitted",
        "extra_forbidden",
        "unexpected keyword argument",
        "additional properties",
        "is not allowed",
    ];
    error.code.as_deref().is_some_and(|code| CODES.contains(&code))
        || SAYS.iter().any(|says| text.contains(says))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str, param: Option<&str>, code: Option<&str>) -> ProviderError {
        ProviderError {
            message: message.to_owned(),
            param: param.map(str::to_owned),
            code: code.map(str::to_owned),
            ..ProviderError::default()
        }
    }

    /// Texts of OpenAI, Azure, vLLM, Mistral and Groq.
    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn refusals_of_known_providers_teach() {
        let efforts = |all: &[Effort]| Lesson::Efforts(Efforts::of(all));
        let none = efforts(&[]);
        let newer = Lesson::Limit(LimitName::Newer);
        let rows = [
            (
                "Unknown parameter: 'stream_options'.",
                Some("stream_options"),
                Some("unknown_parameter"),
                Lesson::NoStreamOptions,
            ),
            (
                r#"[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted","input":{"include_usage":true}}]"#,
                None,
                None,
                Lesson::NoStreamOptions,
            ),
            (
                "Unrecognized request argument supplied: stream_options",
                None,
                None,
                Lesson::NoStreamOptions,
            ),
            (
                "create() got an unexpected keyword argument 'stream_options'",
                None,
                None,
                Lesson::NoStreamOptions,
            ),
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                Some("max_tokens"),
                Some("unsupported_parameter"),
                newer,
            ),
            (
                "this model is not supported MaxTokens: max_tokens is not supported, please use max_completion_tokens",
                None,
                None,
                newer,
            ),
            (
                "Unrecognized request argument supplied: max_completion_tokens",
                None,
                None,
                Lesson::Limit(LimitName::Older),
            ),
            (
                "property 'max_completion_tokens' is not supported; use max_tokens",
                None,
                None,
                Lesson::Limit(LimitName::Older),
            ),
            ("Unrecognized request argument supplied: reasoning_effort", None, None, none),
            (
                "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
                Some("reasoning.effort"),
                Some("unsupported_parameter"),
                none,
            ),
            ("`reasoning_effort` is not supported with this model", None, None, none),
            (
                "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property 'reasoning_content' is unsupported)]",
                None,
                None,
                Lesson::NoThoughts,
            ),
            (
                r#"[{"type":"extra_forbidden","loc":["body","messages",1,"assistant","reasoning_content"],"msg":"Extra inputs are not permitted","input":"hm"}]"#,
                None,
                None,
                Lesson::NoThoughts,
            ),
            (
                "Unknown parameter: 'messages[1].reasoning_content'.",
                Some("messages[1].reasoning_content"),
                Some("unknown_parameter"),
                Lesson::NoThoughts,
            ),
            (
                "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. Supported values are: 'low', 'medium', and 'high'.",
                Some("reasoning_effort"),
                Some("unsupported_value"),
                efforts(&[Effort::Low, Effort::Medium, Effort::High]),
            ),
            (
                "`reasoning_effort` must be one of `low`, `medium`, or `high`",
                None,
                None,
                efforts(&[Effort::Low, Effort::Medium, Effort::High]),
            ),
            ("`reasoning_effort` must be one of `none` or `default`", None, None, none),
            ("Model grok-4-0709 does not support parameter reasoningEffort.", None, None, none),
            (
                "Extra inputs are not permitted, field: 'reasoning_effort', value: 'low'",
                None,
                None,
                none,
            ),
            ("\"llama3\" does not support thinking", None, None, Lesson::NoThinking),
            ("Thinking is not enabled for models/gemini-2.0-flash", None, None, Lesson::NoThinking),
            ("Thinking level is not supported for this model.", None, None, Lesson::NoThinking),
            ("property 'reasoning' is unsupported", None, None, Lesson::NoThoughts),
            (
                "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property 'reasoning' is unsupported)]",
                None,
                None,
                Lesson::NoThoughts,
            ),
            (
                "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property 'refusal' is unsupported)]",
                None,
                None,
                Lesson::PlainMessages,
            ),
            (
                "'messages.0' : for 'role:system' the following must be satisfied[('messages.0.content.0' : property 'cache_control' is unsupported)]",
                None,
                None,
                Lesson::PlainMessages,
            ),
            (
                r#"{"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 0, "user", "name"], "msg": "Extra inputs are not permitted"}]}"#,
                None,
                None,
                Lesson::PlainMessages,
            ),
            (
                "Unknown parameter: 'messages[0].content[0].cache_control'.",
                Some("messages[0].content[0].cache_control"),
                Some("unknown_parameter"),
                Lesson::PlainMessages,
            ),
            (
                "Unknown parameter: 'tools[0].cache_control'.",
                Some("tools[0].cache_control"),
                Some("unknown_parameter"),
                Lesson::PlainMessages,
            ),
            (
                "Unknown parameter: 'input[0].content[0].cache_control'.",
                Some("input[0].content[0].cache_control"),
                Some("unknown_parameter"),
                Lesson::PlainMessages,
            ),
            (
                "'claude-3-5-haiku-20241022' does not support thinking.",
                None,
                None,
                Lesson::NoThinking,
            ),
        ];
        for (message, param, code, expected) in rows {
            assert_eq!(lesson(&error(message, param, code)), Some(expected), "{message}");
        }
    }

    #[test]
    fn a_field_that_only_advises_is_learned_by_its_name() {
        let rows = [
            (
                r#"[{"type":"extra_forbidden","loc":["body","prompt_cache_key"],"msg":"Extra inputs are not permitted"}]"#,
                None,
                "prompt_cache_key",
            ),
            ("property 'safety_identifier' is unsupported", None, "safety_identifier"),
            ("Unrecognized request argument supplied: metadata", None, "metadata"),
            (
                "Unknown parameter: 'prompt_cache_retention'.",
                Some("prompt_cache_retention"),
                "prompt_cache_retention",
            ),
            ("context_management: Extra inputs are not permitted", None, "context_management"),
            (
                "The model returned the following errors: service_tier: Extra inputs are not permitted",
                None,
                "service_tier",
            ),
            ("adaptive thinking is not supported on this model", None, "thinking: adaptive"),
            (
                "thinking: Input tag 'adaptive' found using 'type' does not match any of the expected tags: 'disabled', 'enabled'",
                None,
                "thinking: adaptive",
            ),
            ("thinking is not supported by this model", None, "thinking"),
            ("output_config: Extra inputs are not permitted", None, "output_config.effort"),
            ("service_tier: Extra inputs are not permitted", None, "service_tier"),
            ("Unknown parameter: 'service_tier'.", Some("service_tier"), "service_tier"),
            (
                r#"[{"type":"extra_forbidden","loc":["body","user"],"msg":"Extra inputs are not permitted","input":"u"}]"#,
                None,
                "user",
            ),
            ("Unknown parameter: 'user'", None, "user"),
            ("Unrecognized request argument supplied: user", None, "user"),
            ("property 'user' is unsupported", None, "user"),
            ("Unsupported parameter", Some("user"), "user"),
            ("Unknown parameter: 'client_metadata'.", Some("client_metadata"), "client_metadata"),
            (
                "Unsupported parameter: 'text.verbosity' is not supported with this model.",
                Some("text.verbosity"),
                "text.verbosity",
            ),
            ("Unrecognized request argument supplied: verbosity", None, "verbosity"),
            ("This model does not support the effort parameter.", None, "output_config.effort"),
        ];
        for (message, param, name) in rows {
            let lesson = lesson(&error(message, param, None));
            let Some(Lesson::NoAdvice(advice)) = lesson else { panic!("{message}: {lesson:?}") };
            assert_eq!(advice.name(), name, "{message}");
        }
        for message in [
            "messages.1.content.0: Invalid `signature` in `thinking` block",
            "metadata.user_id: String should have at most 256 characters",
            "The model does not support thinking about images with these tools, said 'the user'",
            "tools.0.name: 'metadata' is reserved",
            r#"[{"type":"extra_forbidden","loc":["body","messages",0,"user","weight"],"msg":"Extra inputs are not permitted"}]"#,
            "'messages.0' : for 'role:user' the following must be satisfied[('messages.0.content' : value is not supported)]",
            "Only 'user' messages are supported; 'tool' is not supported",
        ] {
            let found = lesson(&error(message, None, None));
            let expected = message.contains("support thinking");
            assert_eq!(found.is_some(), expected, "{message}: {found:?}");
        }
    }

    #[test]
    fn newer_members_of_marks_and_tools_are_learned_by_their_path() {
        for message in [
            "system.0.cache_control.ephemeral.scope: Extra inputs are not permitted",
            "messages.3.content.0.cache_control.ephemeral.ttl: Extra inputs are not permitted",
            "tools.0.custom.eager_input_streaming: Extra inputs are not permitted",
            "tools.0.custom.defer_loading: Extra inputs are not permitted",
            "`cache_control.ttl: 1h` is not supported",
            "tools.12.defer_loading: Extra inputs are not permitted",
        ] {
            assert_eq!(lesson(&error(message, None, None)), Some(Lesson::PlainMarks), "{message}");
        }
        for message in [
            "cache_control.ttl: must be one of 5m, 1h",
            "tools.0.custom.scope: Extra inputs are not permitted",
            "At least one tool must have defer_loading=false",
        ] {
            assert_eq!(lesson(&error(message, None, None)), None, "{message}");
        }
    }

    #[test]
    fn other_errors_teach_nothing() {
        let rows = [
            (
                "Unknown parameter: 'stream_options.foo'.",
                Some("stream_options.foo"),
                Some("unknown_parameter"),
            ),
            ("stream_options must be an object", Some("stream_options"), None),
            (
                "Unknown parameter: 'my_stream_options'.",
                Some("my_stream_options"),
                Some("unknown_parameter"),
            ),
            (
                "Invalid value: 'bogus'. Supported values are: 'low', 'medium', and 'high'.",
                Some("reasoning_effort"),
                Some("invalid_value"),
            ),
            ("Unknown parameter: 'foo'.", Some("foo"), Some("unknown_parameter")),
            ("The model does not support tools", None, None),
            (
                "Missing `reasoning_content` field in the assistant message at message index 1",
                None,
                None,
            ),
            ("", None, None),
        ];
        for (message, param, code) in rows {
            assert_eq!(lesson(&error(message, param, code)), None, "{message}");
        }
    }
}
