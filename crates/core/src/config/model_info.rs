//! What `/model/info` shows of one entry.
//!
//! Called by [`super::build`]. Always true: it holds no secret, and what the config says is completed, not replaced.

use serde_json::{Map as Object, Value as Json};

use super::json;
use super::tree::Map;
use crate::deployment::Source;
use crate::prices::ModelFacts;

/// `model_info` as `/model/info` shows it: what the config says, completed by what is known.
pub(super) fn model_info(
    (id, facts): (&str, &ModelFacts),
    own: Option<&Map>,
    source: Source,
) -> Box<str> {
    let mut info = Object::new();
    info.insert("id".to_owned(), Json::from(id));
    info.insert("db_model".to_owned(), Json::Bool(source == Source::Store));
    if let Some(own) = own {
        let own = json::public(own).into_iter().filter(|(key, _)| key != "id" && key != "db_model");
        info.extend(own);
    }
    let texts = [("mode", &facts.mode), ("litellm_provider", &facts.litellm_provider)];
    for (key, text) in texts {
        if let Some(text) = text {
            info.insert(key.to_owned(), Json::from(&**text));
        }
    }
    let numbers = [
        ("max_input_tokens", facts.max_input_tokens),
        ("max_output_tokens", facts.max_output_tokens),
        ("input_cost_per_token", facts.input_cost_per_token),
        ("output_cost_per_token", facts.output_cost_per_token),
        ("cache_read_input_token_cost", facts.cache_read_input_token_cost),
        ("cache_creation_input_token_cost", facts.cache_creation_input_token_cost),
        (
            "cache_creation_input_token_cost_above_1hr",
            facts.cache_creation_input_token_cost_above_1hr,
        ),
        ("output_cost_per_reasoning_token", facts.output_cost_per_reasoning_token),
        ("input_cost_per_audio_token", facts.input_cost_per_audio_token),
        ("output_cost_per_audio_token", facts.output_cost_per_audio_token),
        ("input_cost_per_image", facts.input_cost_per_image),
        ("output_cost_per_image", facts.output_cost_per_image),
        ("input_cost_per_pixel", facts.input_cost_per_pixel),
        ("input_cost_per_character", facts.input_cost_per_character),
        ("input_cost_per_query", facts.input_cost_per_query),
        ("ocr_cost_per_page", facts.ocr_cost_per_page),
        ("input_cost_per_second", facts.input_cost_per_second),
        ("output_cost_per_second", facts.output_cost_per_second),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            info.insert(key.to_owned(), json::number(number));
        }
    }
    Json::Object(info).to_string().into()
}
