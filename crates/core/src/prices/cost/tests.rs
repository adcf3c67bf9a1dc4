//! Costs by the list and by made up prices.

use super::super::{Rate, Rates, lookup, priced, sized_images};
use super::*;
use crate::usage::{Drawn, Quality, Sound, Web};

#[test]
fn images_within_an_answer_have_their_own_price() {
    let facts = lookup("gemini", "gemini-2.5-flash-image").unwrap();
    let drawn = Drawn { images: 2, tokens: 2580 };
    let usage = Usage { input: 1000, output: 2600, drawn, ..Usage::default() };
    let expected = 1000.0 * 3e-7 + 20.0 * 2.5e-6 + 2.0 * 0.039;
    assert!((facts.cost_usd(&usage).unwrap() - expected).abs() < 1e-9);
    // A model whose images have no price: its tokens have one.
    let plain = ModelFacts { output_cost_per_image: None, ..facts.clone() };
    let expected = 1000.0 * 3e-7 + 2600.0 * 2.5e-6;
    assert!((plain.cost_usd(&usage).unwrap() - expected).abs() < 1e-9);
}

#[test]
fn tokens_of_sound_have_their_own_price() {
    let facts = ModelFacts {
        input_cost_per_token: Some(1.0),
        output_cost_per_token: Some(2.0),
        cache_read_input_token_cost: Some(0.5),
        ..ModelFacts::default()
    };
    let sound = Sound { input: 6, cached_input: 2, output: 3 };
    let usage = Usage { input: 10, output: 4, cached_input: 3, sound, ..Usage::default() };
    assert_eq!(facts.cost_usd(&usage), Some(7.0 + 3.0 * 0.5 + 4.0 * 2.0));
    let facts = ModelFacts {
        input_cost_per_audio_token: Some(10.0),
        output_cost_per_audio_token: Some(20.0),
        ..facts
    };
    assert_eq!(facts.cost_usd(&usage), Some(3.0 + 4.0 * 10.0 + 3.0 * 0.5 + 2.0 + 3.0 * 20.0));
    let sound = Sound { input: 99, cached_input: 0, output: 99 };
    let lying = Usage { input: 1, output: 1, sound, ..Usage::default() };
    assert_eq!(facts.cost_usd(&lying), Some(10.0 + 20.0));
    assert!(
        lookup("openai", "gpt-realtime")
            .is_some_and(|facts| { facts.input_cost_per_audio_token > facts.input_cost_per_token })
    );
}

#[test]
fn units_other_than_tokens_have_their_own_price() {
    let cost = |provider, model, units| {
        let mut facts = lookup(provider, model).unwrap().clone();
        facts.sized_images = sized_images(provider, model);
        let usd = facts.cost_usd(&Usage { units, ..Usage::default() });
        usd.map(|usd| (usd * 1e9).round() / 1e9)
    };
    let none = Units::default();
    let speech = Units { characters: 1000, ..none };
    assert_eq!(cost("openai", "tts-1", speech), Some(0.015));
    assert_eq!(cost("cohere", "rerank-v3.5", Units { searches: 2, ..none }), Some(0.004));
    assert_eq!(cost("mistral", "mistral-ocr-latest", Units { pages: 3, ..none }), Some(0.012));
    let size = Some((1024, 1024));
    let image = Units { images: 2, size, quality: Some(Quality::Low), ..none };
    assert_eq!(cost("openai", "gpt-image-1", image), Some(0.022));
    // A quality that was not named has no known price.
    assert_eq!(cost("openai", "gpt-image-1", Units { quality: None, ..image }), None);
    assert_eq!(cost("openai", "gpt-4o-mini-tts", speech), None);
    assert_eq!(cost("openai", "whisper-1", Units { heard_ms: 90_000, ..none }), Some(0.009));
    let pixels = ModelFacts { input_cost_per_pixel: Some(2.0), ..ModelFacts::default() };
    let small = Units { images: 1, size: Some((2, 3)), ..none };
    assert_eq!(pixels.cost_usd(&Usage { units: small, ..Usage::default() }), Some(12.0));
}

#[test]
fn images_with_tokens_cost_them_where_both_kinds_have_a_price() {
    let units = Units { images: 1, ..Units::default() };
    let usage = Usage { input: 1, output: 2, units, ..Usage::default() };
    let half = ModelFacts { input_cost_per_token: Some(1.0), ..ModelFacts::default() };
    assert_eq!(half.cost_usd(&usage), None);
    let both = ModelFacts { output_cost_per_token: Some(10.0), ..half };
    assert_eq!(both.cost_usd(&usage), Some(21.0));
}

#[test]
fn cost_counts_each_token_once() {
    let facts = ModelFacts {
        input_cost_per_token: Some(2.0),
        output_cost_per_token: Some(10.0),
        cache_read_input_token_cost: Some(1.0),
        ..ModelFacts::default()
    };
    let usage = Usage { input: 10, output: 3, cached_input: 4, ..Usage::default() };
    assert_eq!(facts.cost_usd(&usage), Some(6.0 * 2.0 + 4.0 + 30.0));
    assert_eq!(ModelFacts::default().cost_usd(&usage), None);
    let hour = Usage { cache_creation: 5, cache_creation_1h: 3, ..usage };
    let five_minutes = ModelFacts { cache_creation_input_token_cost: Some(2.5), ..facts.clone() };
    assert_eq!(five_minutes.cost_usd(&hour), Some(2.0 + 4.0 + 2.0 * 2.5 + 3.0 * 4.0 + 30.0));
    let named = ModelFacts { cache_creation_input_token_cost_above_1hr: Some(5.0), ..five_minutes };
    assert_eq!(named.cost_usd(&hour), Some(2.0 + 4.0 + 2.0 * 2.5 + 3.0 * 5.0 + 30.0));
    let heard = ModelFacts { input_cost_per_audio_token: Some(5.0), ..facts.clone() };
    assert_eq!(
        heard.cost_usd(&Usage { sound: Sound { input: 5, ..Sound::default() }, ..usage }),
        Some(2.0 + 4.0 + 25.0 + 30.0)
    );
    let lying = Usage { input: 1, cached_input: 99, cache_creation: 99, ..Usage::default() };
    assert_eq!(facts.cost_usd(&lying), Some(1.0));
}

/// A model whose rates are round numbers.
fn round() -> ModelFacts {
    let rates = [
        ("input_cost_per_token_above_200k_tokens", 2.0),
        ("output_cost_per_token_above_200k_tokens", 15.0),
        ("input_cost_per_token_priority", 1.5),
        ("output_cost_per_token_priority", 20.0),
        ("input_cost_per_token_above_200k_tokens_priority", 4.0),
        ("input_cost_per_token_batches", 0.25),
    ];
    ModelFacts {
        input_cost_per_token: Some(1.0),
        output_cost_per_token: Some(10.0),
        cache_read_input_token_cost: Some(0.1),
        rates: Rates(
            rates.into_iter().map(|(name, usd)| Rate::named(name, usd).unwrap()).collect(),
        ),
        ..ModelFacts::default()
    }
}

#[test]
fn a_long_prompt_has_its_rate_for_all_tokens_of_the_call() {
    let usd = |input, output, cached_input| {
        round().cost_usd(&Usage { input, output, cached_input, ..Usage::default() }).unwrap()
    };
    assert_eq!(usd(200_000, 2, 0), 200_000.0 + 20.0);
    assert_eq!(usd(200_001, 2, 0), 400_002.0 + 30.0);
    // The cache has no rate of its own there: it rises as the prompt does.
    assert!((usd(200_001, 0, 200_000) - (2.0 + 200_000.0 * 0.2)).abs() < 1e-6);
    let xai = ModelFacts { litellm_provider: Some("xai".into()), ..round() };
    assert_eq!(xai.cost_usd(&Usage { input: 200_000, ..Usage::default() }), Some(400_000.0));
}

#[test]
fn the_tier_that_was_served_has_its_rates_and_a_missing_one_follows_the_prompt() {
    let usd = |tier, input, output, cached_input| {
        round().cost_usd(&Usage { input, output, cached_input, tier, ..Usage::default() }).unwrap()
    };
    assert_eq!(usd(ServiceTier::Priority, 10, 1, 0), 15.0 + 20.0);
    assert!((usd(ServiceTier::Priority, 10, 0, 10) - 1.5).abs() < 1e-9);
    // Both at once: the rate for both, else each by its factor.
    assert!((usd(ServiceTier::Priority, 300_000, 1, 0) - (1_200_000.0 + 30.0)).abs() < 1e-6);
    // Batches: a rate, or half; flex as batches.
    assert_eq!(usd(ServiceTier::Batch, 10, 1, 0), 2.5 + 5.0);
    assert_eq!(usd(ServiceTier::Flex, 10, 1, 0), 2.5 + 10.0);
    assert_eq!(usd(ServiceTier::Ultrafast, 10, 1, 0), 10.0 + 10.0);
}

#[test]
fn listed_models_cost_what_their_providers_say() {
    let usd =
        |provider, model, usage: Usage| priced(provider, model).unwrap().cost_usd(&usage).unwrap();
    let near = |left: f64, right: f64| assert!((left - right).abs() < 2e-9, "{left} {right}");
    // https://ai.google.dev/gemini-api/docs/pricing: 2.5 Pro above 200,000 tokens.
    let long = Usage { input: 300_000, output: 1_000, cached_input: 100_000, ..Usage::default() };
    near(usd("gemini", "gemini-2.5-pro", long), 0.2 * 2.5 + 0.1 * 0.25 + 0.001 * 15.0);
    // https://platform.claude.com/docs/en/about-claude/pricing: writes of both lengths, and searches.
    let web = Web { searches: 3, context: SearchContext::Medium };
    let cached = Usage {
        input: 6_000,
        output: 10,
        cached_input: 1_000,
        cache_creation: 3_000,
        cache_creation_1h: 1_000,
        web,
        ..Usage::default()
    };
    let expected =
        2_000.0 * 3e-6 + 1_000.0 * 3e-7 + 2_000.0 * 3.75e-6 + 1_000.0 * 6e-6 + 10.0 * 15e-6 + 0.03;
    near(usd("anthropic", "claude-sonnet-4-5-20250929", cached), expected);
    // Images by their tokens: what the bill has.
    let units = Units { images: 1, ..Units::default() };
    let image = Usage { input: 50, output: 272, seen: 40, units, ..Usage::default() };
    near(usd("openai", "gpt-image-1", image), 10.0 * 5e-6 + 40.0 * 1e-5 + 272.0 * 4e-5);
    let priority =
        Usage { input: 1_000, output: 100, tier: ServiceTier::Priority, ..Usage::default() };
    near(usd("openai", "gpt-5.4", priority), 1_000.0 * 5e-6 + 100.0 * 3e-5);
}

#[test]
fn what_a_provider_reports_counts_only_where_it_bills_by_it() {
    let usage = Usage { input: 10, reported: Money::of_usd(0.5), ..Usage::default() };
    assert_eq!(round().cost_usd(&usage), Some(10.0));
    let billed = ModelFacts { reported_cost: ReportedCost::Billed, ..round() };
    assert_eq!(billed.cost_usd(&usage), Some(0.5));
    assert_eq!(billed.cost_usd(&Usage { reported: None, ..usage }), Some(10.0));
    let negative = Usage { reported: Money::of_usd(-1.0), ..usage };
    assert_eq!(billed.cost(&negative), Some(Money::ZERO));
}

mod always {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn more_of_any_kind_never_costs_less(
            counts in prop::array::uniform8(0_u64..300_000), more in prop::array::uniform8(0_u64..1_000),
        ) {
            // Within one kind: moving tokens to a cheaper kind may cost less.
            let usage = |counts: [u64; 8]| Usage {
                input: counts[0], output: counts[1], reasoning: counts[2].min(counts[1]),
                sound: Sound { output: counts[3].min(counts[1]), ..Sound::default() }, ..Usage::default()
            };
            let less = usage([counts[0], counts[1], 0, 0, 0, 0, 0, 0]);
            let larger = usage([counts[0] + more[0], counts[1] + more[1], 0, 0, 0, 0, 0, 0]);
            prop_assert!(round().cost(&less) <= round().cost(&larger));
        }

        #[test]
        fn no_counts_make_a_cost_negative_or_charge_a_token_twice(counts in prop::array::uniform8(any::<u32>())) {
            let count = |at: usize| u64::from(counts[at]);
            let usage = Usage {
                input: count(0), output: count(1), cached_input: count(2), cache_creation: count(3),
                cache_creation_1h: count(4), reasoning: count(5),
                sound: Sound { input: count(6), cached_input: count(7), output: count(2) }, seen: count(3),
                ..Usage::default()
            };
            let facts = ModelFacts { input_cost_per_token: Some(1e-6), output_cost_per_token: Some(1e-6), ..ModelFacts::default() };
            // All rates are one: the cost is the number of tokens, and of an hour's writes twice that.
            let cost = facts.cost(&usage).unwrap();
            let least = Money::of_usd(1e-6 * (tokens(usage.input) + tokens(usage.output))).unwrap();
            let most = Money::of_usd(1e-6 * (2.0 * tokens(usage.input) + tokens(usage.output))).unwrap();
            prop_assert!(cost.plus(Money::of_parts(1)) >= least && cost <= most.plus(Money::of_parts(1)));
        }
    }
}
