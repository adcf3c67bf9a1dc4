//! The facts of a model that `model_info` and `litellm_params` may state: modes, abilities, limits, prices.
//!
//! Called by [`super::params`] and [`super::build`]. Always true: what is not stated stays unknown.

use crate::prices::{Kind as RateKind, ModelFacts, OffPeak, Rate};

use super::field::Field;
use super::json;
use super::problem::{Problems, Wrong, shown};
use super::suggest::{did_you_mean, nearest};

/// Sets the fact that `field` states; false if it states none.
pub(super) fn set(facts: &mut ModelFacts, field: &Field<'_>, problems: &mut Problems) -> bool {
    let fact = match field.row.name {
        "mode" => {
            facts.mode = mode(field, problems);
            return true;
        }
        "supports_function_calling" => {
            facts.supports_function_calling = field.flag(problems);
            return true;
        }
        "supports_vision" => {
            facts.supports_vision = field.flag(problems);
            return true;
        }
        "supports_reasoning" => {
            facts.supports_reasoning = field.flag(problems);
            return true;
        }
        "supports_response_schema" => {
            facts.supports_response_schema = field.flag(problems);
            return true;
        }
        "supports_assistant_prefill" => {
            facts.supports_assistant_prefill = field.flag(problems);
            return true;
        }
        "off_peak_pricing" => {
            facts.off_peak = off_peak(field, problems);
            return true;
        }
        "max_input_tokens" => &mut facts.max_input_tokens,
        "max_output_tokens" => &mut facts.max_output_tokens,
        "input_cost_per_token" => &mut facts.input_cost_per_token,
        "output_cost_per_token" => &mut facts.output_cost_per_token,
        "cache_read_input_token_cost" => &mut facts.cache_read_input_token_cost,
        "cache_creation_input_token_cost" => &mut facts.cache_creation_input_token_cost,
        "cache_creation_input_token_cost_above_1hr" => {
            &mut facts.cache_creation_input_token_cost_above_1hr
        }
        "output_cost_per_reasoning_token" => &mut facts.output_cost_per_reasoning_token,
        "input_cost_per_audio_token" => &mut facts.input_cost_per_audio_token,
        "output_cost_per_audio_token" => &mut facts.output_cost_per_audio_token,
        "input_cost_per_image" => &mut facts.input_cost_per_image,
        "output_cost_per_image" => &mut facts.output_cost_per_image,
        "input_cost_per_pixel" => &mut facts.input_cost_per_pixel,
        "input_cost_per_character" => &mut facts.input_cost_per_character,
        "input_cost_per_query" => &mut facts.input_cost_per_query,
        "ocr_cost_per_page" => &mut facts.ocr_cost_per_page,
        "input_cost_per_second" => &mut facts.input_cost_per_second,
        "output_cost_per_second" => &mut facts.output_cost_per_second,
        _ => return rate(facts, field, problems),
    };
    *fact = field.number(problems);
    true
}

/// Sets a rate for long prompts, a tier, or a rare kind of tokens; false if the field is none.
fn rate(facts: &mut ModelFacts, field: &Field<'_>, problems: &mut Problems) -> bool {
    const EXACT: [&str; 3] = [
        "input_cost_per_image_token",
        "output_cost_per_image_token",
        "cache_read_input_audio_token_cost",
    ];
    let row = field.row.name;
    let is_pattern = row.ends_with("_*") && row.contains("_cost");
    if !EXACT.contains(&row) && !is_pattern {
        return false;
    }
    let Some(usd) = field.number(problems) else { return true };
    match Rate::named(field.path.last_key(), usd) {
        Some(rate) => facts.rates.put(rate),
        None => {
            let hint = "a rate ends in `_above_<N>k_tokens`, `_priority`, `_flex`, `_batches`, or two of these";
            field.warn(Wrong::new("not served: ignored", hint), problems);
        }
    }
    true
}

/// Hours in which the deployment costs less.
fn off_peak(field: &Field<'_>, problems: &mut Problems) -> Option<Box<OffPeak>> {
    match OffPeak::parse(&json::value(field.node)) {
        Ok(off_peak) => Some(Box::new(off_peak)),
        Err(problem) => {
            let hint = "write `{hours_utc: \"16:30-00:30\", input_cost_per_token: 1.35e-7}`";
            field.wrong(Wrong::new(problem, hint), problems);
            None
        }
    }
}

/// `over` where it is set, else `base`.
pub(super) fn overlay(base: &mut ModelFacts, over: ModelFacts) {
    fn put<T>(base: &mut Option<T>, over: Option<T>) {
        if over.is_some() {
            *base = over;
        }
    }
    let states_price = over.has_price() || over.off_peak.is_some() || !over.rates.0.is_empty();
    if states_price {
        base.listed_as = None;
    }
    put(&mut base.litellm_provider, over.litellm_provider);
    put(&mut base.mode, over.mode);
    put(&mut base.supports_function_calling, over.supports_function_calling);
    put(&mut base.supports_vision, over.supports_vision);
    put(&mut base.supports_reasoning, over.supports_reasoning);
    put(&mut base.supports_response_schema, over.supports_response_schema);
    put(&mut base.supports_assistant_prefill, over.supports_assistant_prefill);
    put(&mut base.max_input_tokens, over.max_input_tokens);
    put(&mut base.max_output_tokens, over.max_output_tokens);
    // A price in the config is for prompts of all lengths and for all tiers, unless it says more.
    let plain = [
        (RateKind::Input, over.input_cost_per_token),
        (RateKind::Output, over.output_cost_per_token),
        (RateKind::CacheRead, over.cache_read_input_token_cost),
        (RateKind::CacheWrite, over.cache_creation_input_token_cost),
        (RateKind::CacheWriteHour, over.cache_creation_input_token_cost_above_1hr),
        (RateKind::Reasoning, over.output_cost_per_reasoning_token),
        (RateKind::AudioInput, over.input_cost_per_audio_token),
        (RateKind::AudioOutput, over.output_cost_per_audio_token),
    ];
    for (kind, _) in plain.into_iter().filter(|(_, usd)| usd.is_some()) {
        base.rates.forget(kind);
        // It is one for all hours, too.
        base.off_peak = None;
    }
    put(&mut base.off_peak, over.off_peak);
    put(&mut base.input_cost_per_token, over.input_cost_per_token);
    put(&mut base.output_cost_per_token, over.output_cost_per_token);
    put(&mut base.cache_read_input_token_cost, over.cache_read_input_token_cost);
    put(&mut base.cache_creation_input_token_cost, over.cache_creation_input_token_cost);
    put(
        &mut base.cache_creation_input_token_cost_above_1hr,
        over.cache_creation_input_token_cost_above_1hr,
    );
    put(&mut base.output_cost_per_reasoning_token, over.output_cost_per_reasoning_token);
    put(&mut base.input_cost_per_audio_token, over.input_cost_per_audio_token);
    put(&mut base.output_cost_per_audio_token, over.output_cost_per_audio_token);
    let of_images =
        [over.input_cost_per_image, over.output_cost_per_image, over.input_cost_per_pixel];
    if of_images.iter().any(Option::is_some) {
        // A price in the config is for all sizes and replaces the list.
        base.sized_images.clear();
        base.rates.forget(RateKind::ImageOutput);
        [base.input_cost_per_image, base.output_cost_per_image, base.input_cost_per_pixel] =
            of_images;
    }
    put(&mut base.input_cost_per_character, over.input_cost_per_character);
    put(&mut base.input_cost_per_query, over.input_cost_per_query);
    put(&mut base.ocr_cost_per_page, over.ocr_cost_per_page);
    put(&mut base.input_cost_per_second, over.input_cost_per_second);
    put(&mut base.output_cost_per_second, over.output_cost_per_second);
    over.rates.0.into_iter().for_each(|rate| base.rates.put(rate));
}

#[rustfmt::skip]
const MODES: &[&str] = &[
    "chat", "completion", "embedding", "responses", "anthropic_messages", "moderation",
    "image_generation", "image_edit", "audio_transcription", "audio_speech", "rerank", "batch",
    "realtime", "ocr", "video_generation", "search", "vector_store",
];

/// What people write for a mode, and the mode.
const OTHER_NAMES: [(&str, &str); 5] = [
    ("tts", "audio_speech"),
    ("stt", "audio_transcription"),
    ("messages", "anthropic_messages"),
    ("image", "image_generation"),
    ("text", "completion"),
];

fn mode(field: &Field<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let mode = field.text(problems)?;
    if !MODES.contains(&mode) {
        let meant = OTHER_NAMES.iter().find(|(name, _)| *name == mode).map(|(_, meant)| *meant);
        let near = meant.map_or_else(|| nearest(mode, MODES.iter().copied()), |meant| vec![meant]);
        let hint = did_you_mean(&near);
        let mode = shown(mode);
        let problem =
            format!("unknown mode `{mode}`: requests are served, and the deployment is not probed");
        field.warn(Wrong::new(problem, hint), problems);
    }
    Some(mode.into())
}
