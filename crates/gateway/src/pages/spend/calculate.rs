//! `POST /spend/calculate`: what a call would cost, or what one cost by its answer.
//!
//! Always true: the messages of a call are read as those of a request for a model are; no tree is built of them.

use std::borrow::Cow;

use bytes::Bytes;
use hale_core::usage::Usage;
use hale_wire::controls::{estimated_input, estimated_output};
use hale_wire::peek::Peek;
use hyper::body::Incoming;
use serde_json::json;

use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::limits::Held;
use crate::offload;
use crate::pages::admin::{bad, page};
use crate::pages::{PageRequest, Waiting};

/// A call whose cost is asked for.
struct Call {
    model: Box<str>,
    usage: Usage,
}

/// `POST /spend/calculate`.
pub(crate) fn cost(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let mut held = Held::none(&request.arrival.worker.process.buffered);
        let body = request.read_body(incoming, &mut held).await?;
        let Call { model, usage } = if body.len() <= offload::LARGE {
            read(body)?
        } else {
            offload::run(move || read(body)).await?
        };
        let model = &*model;
        let snapshot = &request.arrival.serving.snapshot;
        let member =
            snapshot.by_name.get(model).and_then(|group| snapshot.group(*group).members.first());
        let known = match member {
            Some(index) => snapshot.deployment(*index).facts.at(clock::unix_ms()).cost_usd(&usage),
            None => {
                let (provider, name) = model.split_once('/').unwrap_or(("", model));
                hale_core::prices::priced(provider, name)
                    .or_else(|| hale_core::prices::exact_priced(model))
                    .and_then(|facts| facts.at(clock::unix_ms()).cost_usd(&usage))
            }
        };
        match known {
            Some(usd) => Ok(page(&json!({"cost": usd}))),
            None => Err(bad(format!("the price of {model} is not known")).param("model")),
        }
    })
}

/// The call that a body describes.
fn read(body: Bytes) -> Result<Call, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(no_model());
    }
    let peek = Peek::parse(body).map_err(|error| refusal::bad_body(&error))?;
    let answer = peek.raw("completion_response").filter(|raw| raw.starts_with('{'));
    let answer = answer.map(|raw| (raw, Peek::parse(peek.body().slice_ref(raw.as_bytes()))));
    let own = peek.string("model").ok().flatten();
    let (named, usage) = match answer {
        Some((_, Err(error))) => return Err(refusal::bad_body(&error).param("completion_response")),
        Some((raw, Ok(answer))) => {
            let reported = answer.raw("usage").and_then(hale_wire::usage::of_openai);
            let estimated =
                || Usage { output: estimated_output(raw.as_bytes()), ..Usage::default() };
            let named = answer.string("model").ok().flatten();
            (named.map(Cow::into_owned), reported.unwrap_or_else(estimated))
        }
        None => (None, Usage { input: estimated_input(&peek), ..Usage::default() }),
    };
    let model = own.map(Cow::into_owned).or(named).filter(|name| !name.is_empty());
    Ok(Call { model: model.ok_or_else(no_model)?.into(), usage })
}

fn no_model() -> Refusal {
    let message =
        "Bad Request - Either 'model' or 'completion_response' must be provided".to_owned();
    bad(message).param("model")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(body: &str) -> (String, u64, u64) {
        let call = read(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        (call.model.into(), call.usage.input, call.usage.output)
    }

    #[test]
    fn a_call_is_counted_by_its_messages_or_by_its_answer() {
        let text = "x".repeat(40);
        let asked = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
        assert_eq!(usage(&asked), ("m".to_owned(), 11, 0), "with the role");
        let told = r#"{"completion_response": {"model":"n","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}}"#;
        assert_eq!(usage(told), ("n".to_owned(), 7, 3));
        let own = r#"{"model":"m","completion_response":{"model":"n","usage":{"prompt_tokens":7,"completion_tokens":3}}}"#;
        assert_eq!(usage(own), ("m".to_owned(), 7, 3), "the request's own name comes first");
        let silent = format!(
            r#"{{"model":"m","completion_response":{{"choices":[{{"message":{{"content":"{text}"}}}}]}}}}"#
        );
        assert_eq!(usage(&silent), ("m".to_owned(), 0, 10));
        for none in ["", "{}", r#"{"completion_response":{}}"#, r#"{"model":""}"#] {
            let refusal = read(Bytes::copy_from_slice(none.as_bytes())).err().unwrap();
            assert!(refusal.reply.message.contains("Either 'model'"), "{none}");
        }
    }
}
