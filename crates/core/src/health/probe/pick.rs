//! What a probe sends: the operation, and the model if a deployment stands for many.
//!
//! Called by the gateway when it builds a probe. Always true: a mode that cannot be probed is never
//! called; only chat models are picked for a pattern.

use crate::deployment::Deployment;
use crate::group::Pattern;
use crate::operation::Operation;
use crate::prices;

/// What a probe does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// The smallest real call of that operation.
    Call(Operation),
    /// Only what costs nothing: the list of models.
    Free,
    /// The same, because the mode cannot be probed.
    Unserved,
}

/// Modes whose calls are too expensive for a probe.
const FREE: &[&str] = &["video_generation"];

/// The modes that can be probed.
pub fn modes() -> impl Iterator<Item = &'static str> + Clone {
    Operation::probes().map(|(mode, _)| mode).chain(FREE.iter().copied())
}

/// What a probe of `deployment` does.
#[must_use]
pub fn kind(deployment: &Deployment) -> ProbeKind {
    let mode = mode(deployment);
    if deployment.probing.metadata || FREE.contains(&mode) {
        return ProbeKind::Free;
    }
    match Operation::probing(mode) {
        Some(operation) if deployment.serves(operation) => ProbeKind::Call(operation),
        Some(_) | None => ProbeKind::Unserved,
    }
}

/// Why no call is made to probe `deployment`, if its mode is the reason.
#[must_use]
pub fn unserved(deployment: &Deployment) -> String {
    let (mode, provider) = (mode(deployment), &deployment.endpoint.provider.name);
    match Operation::probing(mode) {
        Some(operation) => {
            let path = operation.upstream_path();
            format!("provider {provider} has no {path}, which models of mode {mode} need")
        }
        None => format!("models of mode {mode} are not served by this version"),
    }
}

/// The mode: from the config, else from the price list, else from the name, else what the provider has, chat before all.
fn mode(deployment: &Deployment) -> &str {
    if let Some(mode) = &deployment.facts.mode {
        return mode;
    }
    let name = deployment.endpoint.upstream_model.to_ascii_lowercase();
    let guesses = [
        ("embed", "embedding"),
        ("rerank", "rerank"),
        ("whisper", "audio_transcription"),
        ("transcribe", "audio_transcription"),
        ("tts", "audio_speech"),
        ("dall-e", "image_generation"),
        ("gpt-image", "image_generation"),
        ("moderation", "moderation"),
        ("realtime", "realtime"),
    ];
    let guess = guesses.iter().find(|(part, _)| name.contains(part)).map(|(_, mode)| *mode);
    let has_chat = deployment.serves(Operation::Chat);
    let other =
        if has_chat || !deployment.serves(Operation::Embedding) { "chat" } else { "embedding" };
    guess.unwrap_or(other)
}

/// The model's name at the provider that a probe sends; `None` if a pattern gives no hint.
///
/// `health_check_model`, else the deployment's own. For a pattern: the model that answered last,
/// else the cheapest ordinary chat model of the price list.
#[must_use]
pub fn model(deployment: &Deployment) -> Option<Box<str>> {
    let provider = &*deployment.endpoint.provider.name;
    if let Some(named) = &deployment.probing.model {
        let prefix = named.split_once('/').filter(|(prefix, _)| *prefix == provider);
        return Some(prefix.map_or(&**named, |(_, name)| name).into());
    }
    let Some(pattern) = Pattern::parse(&deployment.endpoint.upstream_model) else {
        return Some(deployment.endpoint.upstream_model.clone());
    };
    let admits = |name: &str| pattern.captures(name).is_some();
    let answered = deployment.state.probes().last_model();
    answered.filter(|name| admits(name)).or_else(|| cheapest(provider, admits))
}

/// Parts of names of models with a special purpose, or that will be retired.
const SPECIAL: &[&str] = &[
    "audio",
    "realtime",
    "search",
    "guard",
    "preview",
    "exp",
    "code",
    "vision",
    "image",
    "music",
    "container",
    "live",
    "ft:",
    "latest",
];

fn cheapest(provider: &str, admits: impl Fn(&str) -> bool) -> Option<Box<str>> {
    let sane = prices::of_provider(provider).filter_map(|(key, facts)| {
        let name = key.strip_prefix(provider).and_then(|tail| tail.strip_prefix('/'));
        let name = name.unwrap_or(key);
        let (input, output) = (facts.input_cost_per_token?, facts.output_cost_per_token?);
        let ordinary = facts.mode.as_deref() == Some("chat")
            && facts.supports_function_calling == Some(true)
            && facts.max_input_tokens.is_some()
            && input > 0.0
            && !SPECIAL.iter().any(|part| name.contains(part))
            && admits(name);
        // A reasoning model would spend the probe's few tokens on reasoning.
        let reasons = facts.supports_reasoning == Some(true);
        ordinary.then_some((reasons, input + output, name))
    });
    let best = sane.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(b.2)));
    best.map(|(_, _, name)| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_gets_a_cheap_and_ordinary_chat_model() {
        let openai = cheapest("openai", |_| true).unwrap();
        let facts = prices::lookup("openai", &openai).unwrap();
        assert_eq!(facts.mode.as_deref(), Some("chat"), "{openai}");
        assert_ne!(facts.supports_reasoning, Some(true), "{openai}");
        let four = cheapest("openai", |name| name.starts_with("gpt-4o")).unwrap();
        assert_eq!(&*four, "gpt-4o-mini");
        for provider in ["anthropic", "groq", "gemini", "mistral", "deepseek", "azure"] {
            let picked = cheapest(provider, |_| true).unwrap();
            assert!(!picked.starts_with(&format!("{provider}/")), "{picked}");
            assert!(!SPECIAL.iter().any(|part| picked.contains(part)), "{picked}");
        }
        assert_eq!(cheapest("hosted_vllm", |_| true), None);
    }
}
