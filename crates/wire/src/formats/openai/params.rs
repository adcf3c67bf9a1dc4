//! Fits the parameters of a chat to what the model takes: the name of the limit, the effort, what cannot be set.
//!
//! Called by [`super::edits`] for bodies of clients and for translated ones. Always true: what is not known about a model
//! is sent as it was written; a parameter that only advises never costs the request.

use std::borrow::Cow;

use hale_core::takes::{Effort, Efforts, LimitName, Takes};

use crate::bytes::edit::Edit;
use crate::bytes::peek::{Names, Peek};
use crate::formats::order::Order;

/// The parameters that are fitted.
static FITTED: Names = Names::new(&[
    "max_tokens",
    "max_completion_tokens",
    "reasoning_effort",
    "reasoning",
    "thinking",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
]);
/// The two names of the limit.
const OLDER: &str = "max_tokens";
const NEWER: &str = "max_completion_tokens";
const EFFORT: &str = "reasoning_effort";

/// Adds the edits that fit the client's own parameters.
pub(super) fn fit<'e>(peek: &'e Peek, order: &Order<'e>, edits: &mut Vec<Edit<'e>>) {
    if !order.asks_for_chat() {
        edits.extend(bounded(peek, order, OLDER));
        return;
    }
    let mut named = peek.holds(&FITTED).peekable();
    if named.peek().is_none() {
        return;
    }
    let takes = order.takes();
    for name in named {
        match name {
            OLDER if takes.limit == LimitName::Newer => {
                edits.extend(renamed(peek, order, OLDER, NEWER).into_iter().flatten());
            }
            NEWER if takes.limit == LimitName::Older => {
                edits.extend(renamed(peek, order, NEWER, OLDER).into_iter().flatten());
            }
            OLDER => edits.extend(bounded(peek, order, OLDER)),
            NEWER => edits.extend(bounded(peek, order, NEWER)),
            EFFORT => edits.extend(effort(peek, order, takes)),
            "reasoning" | "thinking" => {
                let none = takes.efforts == Some(Efforts::NOTHING);
                edits.extend(none.then_some(Edit::Remove(name)));
            }
            // A default of 1 changes nothing, and is accepted.
            sampling if order.drop_params && takes.fixed_sampling => {
                let is_default = sampling == "temperature"
                    && peek.raw(sampling).and_then(|raw| raw.parse::<f64>().ok()) == Some(1.0);
                if !is_default {
                    edits.push(Edit::Remove(sampling));
                }
            }
            _ => {}
        }
    }
}

/// The limit under the name that the model knows. If both are there, that one is the client's wish.
fn renamed(
    peek: &Peek,
    order: &Order<'_>,
    from: &'static str,
    to: &'static str,
) -> [Option<Edit<'static>>; 2] {
    let stays = peek.is_set(to) || !peek.is_set(from);
    let less = if stays { None } else { peek.raw(from).and_then(|raw| order.bounded(raw)) };
    let renamed = if stays || less.is_some() { Edit::Remove(from) } else { Edit::Rename(from, to) };
    let less = less.map(|less| Edit::Set(to, Cow::Owned(less)));
    [Some(renamed), less]
}

/// The limit `name` as the model takes it, if that is not what is written.
fn bounded(peek: &Peek, order: &Order<'_>, name: &'static str) -> Option<Edit<'static>> {
    order.known.most()?;
    let less = order.bounded(peek.raw(name)?)?;
    Some(Edit::Set(name, Cow::Owned(less)))
}

/// The name under which a deployment's default of the limit is sent; `None` if the client has set a limit.
pub(super) fn limit_default<'d>(peek: &Peek, order: &Order<'_>, name: &'d str) -> Option<&'d str> {
    if !order.asks_for_chat() {
        return Some(name);
    }
    match order.takes().limit {
        _ if peek.is_set(OLDER) || peek.is_set(NEWER) => None,
        LimitName::AsWritten => Some(name),
        LimitName::Newer => Some(NEWER),
        LimitName::Older => Some(OLDER),
    }
}

/// Whether a default is the limit of the answer.
pub(super) fn is_limit(name: &str) -> bool {
    name == OLDER || name == NEWER
}

/// The edit of the effort, if it is not sent as it is written.
fn effort(peek: &Peek, order: &Order<'_>, takes: Takes) -> Option<Edit<'static>> {
    let efforts = takes.efforts?;
    if efforts == Efforts::NOTHING {
        return Some(Edit::Remove(EFFORT));
    }
    // Between equal formats a client's degree is the provider's to judge, until it has refused one.
    if !order.translates() && order.known.efforts().is_none() {
        return None;
    }
    let wanted = Effort::named(&peek.word(EFFORT)?)?;
    let nearest = efforts.nearest(wanted)?;
    let text = Cow::Owned(format!("\"{}\"", nearest.word()));
    (nearest != wanted).then_some(Edit::Set(EFFORT, text))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hale_core::deployment::Deployment;
    use hale_core::health::{Known, Lesson};
    use hale_core::operation::Operation;
    use hale_core::prices;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::{deployment, order, sent};
    use crate::formats::openai::edits::request_body;

    fn of(provider: &str, model: &str) -> Deployment {
        let mut deployment = deployment(provider);
        let facts = prices::lookup(provider, model).cloned().unwrap_or_default();
        deployment.endpoint.takes = Some(facts.takes(provider, model));
        deployment
    }

    fn chat(deployment: &Deployment, body: &Value) -> Value {
        let order = order(deployment, Operation::Chat, "up");
        edited(&order, body)
    }

    fn edited(order: &Order<'_>, body: &Value) -> Value {
        let peek = Peek::parse(Bytes::from(body.to_string())).unwrap();
        let mut sent: Value = serde_json::from_slice(&request_body(&peek, order).joined()).unwrap();
        sent.as_object_mut().unwrap().remove("model");
        sent
    }

    #[test]
    fn the_limit_has_the_name_that_the_model_knows() {
        for (provider, model) in [
            ("openai", "gpt-5.2"),
            ("openai", "o4-mini"),
            ("azure", "gpt-5-mini"),
            ("azure", "us/o1"),
        ] {
            let deployment = of(provider, model);
            assert_eq!(
                chat(&deployment, &json!({"max_tokens": 9})),
                json!({"max_completion_tokens": 9})
            );
            let both = json!({"max_tokens": 9, "max_completion_tokens": 7});
            assert_eq!(chat(&deployment, &both), json!({"max_completion_tokens": 7}));
            let null = json!({"max_tokens": 9, "max_completion_tokens": null});
            assert_eq!(chat(&deployment, &null)["max_completion_tokens"], json!(null));
            let messages = order(&deployment, Operation::Messages, "up");
            let body = json!({"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]});
            let written = sent(&body, &messages).unwrap();
            assert_eq!(
                (&written["max_completion_tokens"], written.get("max_tokens")),
                (&json!(99), None)
            );
        }
        let plain = json!({"max_tokens": 9});
        for (provider, model) in
            [("openai", "gpt-4o"), ("azure", "mine"), ("groq", "openai/gpt-oss-20b")]
        {
            assert!(
                chat(&of(provider, model), &plain)["max_completion_tokens"].is_null()
                    || provider == "groq"
            );
        }
        for (provider, model) in [
            ("deepseek", "deepseek-chat"),
            ("fireworks_ai", "x"),
            ("perplexity", "sonar"),
            ("mistral", "y"),
        ] {
            let mut older = of(provider, model);
            assert_eq!(
                chat(&older, &json!({"max_completion_tokens": 9}))["max_tokens"],
                9,
                "{provider}"
            );
            let both = json!({"max_tokens": 9, "max_completion_tokens": 7});
            assert_eq!(chat(&older, &both), plain, "{provider}");
            older.endpoint.default_params = vec![("max_completion_tokens".into(), "5".into())];
            assert_eq!(chat(&older, &json!({})), json!({"max_tokens": 5}), "{provider}");
            assert_eq!(chat(&older, &json!({"max_completion_tokens": 9})), plain, "{provider}");
        }
        // Text completions know the older name only.
        let deployment = of("openai", "gpt-5");
        assert_eq!(edited(&order(&deployment, Operation::Completion, "up"), &plain), plain);
    }

    #[test]
    fn a_default_of_the_limit_gives_way_to_the_clients_and_has_the_models_name() {
        let mut deployment = of("openai", "gpt-5");
        deployment.endpoint.default_params = vec![("max_tokens".into(), "50".into())];
        assert_eq!(chat(&deployment, &json!({})), json!({"max_completion_tokens": 50}));
        for own in ["max_tokens", "max_completion_tokens"] {
            assert_eq!(chat(&deployment, &json!({own: 9})), json!({"max_completion_tokens": 9}));
        }
        let mut deployment = of("openai", "gpt-4o");
        deployment.endpoint.default_params = vec![("max_tokens".into(), "50".into())];
        assert_eq!(chat(&deployment, &json!({})), json!({"max_tokens": 50}));
        assert_eq!(
            chat(&deployment, &json!({"max_completion_tokens": 9})),
            json!({"max_completion_tokens": 9})
        );
    }

    #[test]
    fn an_effort_is_left_out_or_becomes_the_nearest_that_the_model_has() {
        let body = |effort: &str| json!({"reasoning_effort": effort});
        assert_eq!(chat(&of("openai", "gpt-4o"), &body("high")), json!({}));
        assert_eq!(chat(&of("azure", "gpt-4.1"), &body("high")), json!({}));
        let other = json!({"thinking": {"type": "enabled"}, "reasoning": {"effort": "high"}});
        assert_eq!(chat(&of("openai", "gpt-4o"), &other), json!({}));
        assert_eq!(chat(&of("openrouter", "x"), &other), other);
        // A client that speaks the provider's format is told by the provider.
        assert_eq!(chat(&of("openai", "o4-mini"), &body("minimal")), body("minimal"));
        assert_eq!(chat(&of("hosted_vllm", "mine"), &body("high")), body("high"));
        let messages = |deployment: &Deployment, effort: Value, thinking: Value| {
            let order = order(deployment, Operation::Messages, "up");
            let body = json!({"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "hi"}],
                "thinking": thinking, "output_config": effort});
            sent(&body, &order).unwrap()["reasoning_effort"].clone()
        };
        let adaptive = json!({"type": "adaptive"});
        for (model, effort, expected) in [
            ("gpt-4o", "high", Value::Null),
            ("gpt-5", "max", json!("high")),
            ("o4-mini", "max", json!("high")),
            ("gpt-5.2", "max", json!("xhigh")),
            ("gpt-5-pro", "low", json!("high")),
        ] {
            let deployment = of("openai", model);
            assert_eq!(
                messages(&deployment, json!({"effort": effort}), adaptive.clone()),
                expected,
                "{model}"
            );
        }
        let small = json!({"type": "enabled", "budget_tokens": 1024});
        assert_eq!(messages(&of("openai", "o4-mini"), Value::Null, small.clone()), "low");
        assert_eq!(messages(&of("openai", "gpt-5"), Value::Null, small.clone()), "minimal");
        assert_eq!(messages(&of("openai", "gpt-4o"), Value::Null, small), Value::Null);
    }

    #[test]
    fn what_a_provider_refused_is_not_sent_again() {
        let deployment = of("openai", "mine");
        let known = |lesson| Known::default().with(lesson);
        let with = |lesson, body: &Value| {
            let order = Order {
                known: known(lesson),
                seals: None,
                fetched: None,
                client_betas: None,
                ask_usage: true,
                ..order(&deployment, Operation::Chat, "up")
            };
            edited(&order, body)
        };
        let asks = json!({"stream_options": {"include_usage": true}});
        assert_eq!(with(Lesson::NoStreamOptions, &json!({})), json!({}));
        assert_eq!(with(Lesson::NoStreamOptions, &asks), json!({}));
        let older = Lesson::Limit(LimitName::Older);
        assert_eq!(with(older, &json!({"max_completion_tokens": 9}))["max_tokens"], 9);
        let newer = Lesson::Limit(LimitName::Newer);
        assert_eq!(with(newer, &json!({"max_tokens": 9}))["max_completion_tokens"], 9);
        let most = Lesson::Most(100);
        for name in ["max_tokens", "max_completion_tokens"] {
            for (given, sent) in
                [(json!(99), 99), (json!(100), 100), (json!(101), 100), (json!(32e3), 100)]
            {
                assert_eq!(with(most, &json!({name: given}))[name], sent, "{name} {given}");
            }
        }
        assert_eq!(with(most, &json!({"max_tokens": null}))["max_tokens"], json!(null));
        let some = Lesson::Efforts(Efforts::of(&[Effort::Low, Effort::High]));
        assert_eq!(with(some, &json!({"reasoning_effort": "xhigh"}))["reasoning_effort"], "high");
        let none = Lesson::Efforts(Efforts::NOTHING);
        assert_eq!(with(none, &json!({"reasoning_effort": "low"})).get("reasoning_effort"), None);
    }

    #[test]
    fn a_deployment_of_many_models_knows_each_of_them() {
        let mut many = deployment("openai");
        (many.endpoint.takes, many.endpoint.upstream_model) = (None, "*".into());
        let fitted = |model: &'static str| {
            let order = order(&many, Operation::Chat, model);
            edited(&order, &json!({"max_tokens": 9, "reasoning_effort": "high"}))
        };
        assert_eq!(
            fitted("gpt-5"),
            json!({"max_completion_tokens": 9, "reasoning_effort": "high"})
        );
        assert_eq!(fitted("gpt-4o"), json!({"max_tokens": 9}));
        assert_eq!(fitted("my-own"), json!({"max_tokens": 9, "reasoning_effort": "high"}));
    }

    #[test]
    fn sampling_that_a_reasoning_model_refuses_is_dropped_if_the_config_says_so() {
        let deployment = of("openai", "gpt-5");
        let body = json!({"temperature": 0, "top_p": 0.5, "logprobs": true, "stop": "x"});
        assert_eq!(chat(&deployment, &body), body);
        let drops = Order { drop_params: true, ..order(&deployment, Operation::Chat, "up") };
        assert_eq!(edited(&drops, &body), json!({"stop": "x"}));
        assert_eq!(edited(&drops, &json!({"temperature": 1.0})), json!({"temperature": 1.0}));
        let plain = of("openai", "gpt-4o");
        let drops = Order { drop_params: true, ..order(&plain, Operation::Chat, "up") };
        assert_eq!(edited(&drops, &body), body);
    }
}
