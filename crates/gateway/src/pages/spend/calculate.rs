//! `POST /spend/calculate`: what a call would cost, or what one cost by its answer.

use bytes::Bytes;
use hale_core::tenancy::{Record, Row};
use hale_core::usage::Usage;
use hale_wire::controls::{estimated_input, estimated_output};
use hale_wire::peek::Peek;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::clock;
use crate::http::refusal::Refusal;
use crate::pages::admin::{bad, body, page};
use crate::pages::{PageRequest, Waiting};

/// `POST /spend/calculate`.
pub(crate) fn cost(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let answer = body.get("completion_response").and_then(Value::as_object);
        let model = Row(&body)
            .text("model")
            .or_else(|| answer.and_then(|answer| Row(answer).text("model")));
        let Some(model) = model else {
            let message =
                "Bad Request - Either 'model' or 'completion_response' must be provided".to_owned();
            return Err(bad(message).param("model"));
        };
        let usage = match answer {
            Some(answer) => of_answer(answer)?,
            None => of_request(&body)?,
        };
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

/// The usage that an answer reports, in OpenAI's format.
fn of_answer(answer: &Record) -> Result<Usage, Refusal> {
    let usage = answer.get("usage").map(Value::to_string);
    match usage.as_deref().and_then(hale_wire::usage::of_openai) {
        Some(usage) => Ok(usage),
        None => {
            let text = Value::Object(answer.clone()).to_string();
            Ok(Usage { output: estimated_output(text.as_bytes()), ..Usage::default() })
        }
    }
}

/// What a request would use, its answer not counted.
fn of_request(body: &Record) -> Result<Usage, Refusal> {
    let text = Value::Object(body.clone()).to_string();
    let peek = Peek::parse(Bytes::from(text)).map_err(|error| bad(error.to_string()))?;
    Ok(Usage { input: estimated_input(&peek), ..Usage::default() })
}
