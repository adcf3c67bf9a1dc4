//! The rows of single requests: calls in the ledger, and the row of LiteLLM.

use super::day::day_of;
use super::request::{SpentCall, SpentRequest, SpentTexts};
use crate::table::Table;
use crate::value::{Row, Value};

/// The largest count that LiteLLM's columns take.
const COUNT_MAX: i64 = i32::MAX as i64;

impl SpentRequest<'_> {
    /// The rows of its calls. Each gets an id of `id`.
    pub(crate) fn attempts(
        &self,
        texts: &SpentTexts,
        mut id: impl FnMut() -> String,
        replica: &str,
    ) -> Vec<Row> {
        let tags = tags_json(self.tags);
        let row = |(number, call): (usize, &SpentCall<'_>)| -> Row {
            vec![
                Value::from(&*id()),
                self.at.into(),
                replica.into(),
                self.call_id.into(),
                (number as u64).into(),
                self.key.into(),
                self.user.into(),
                self.team.into(),
                self.organization.into(),
                self.end_user.into(),
                self.session.into(),
                Value::from(&*tags),
                self.operation.into(),
                call.model_group.into(),
                call.deployment.into(),
                call.provider.into(),
                call.model.into(),
                call.address.into(),
                call.status.map(u64::from).into(),
                call.cause.into(),
                call.began_at.into(),
                call.ended_at.into(),
                call.input_tokens.into(),
                call.output_tokens.into(),
                texts.counts.get(number).map_or("{}", String::as_str).into(),
                call.counted_by.into(),
                call.cost_nano.into(),
            ]
        };
        self.calls.iter().enumerate().map(row).collect()
    }

    /// Its row of LiteLLM.
    pub(crate) fn log(&self, texts: &SpentTexts) -> Row {
        let last = self.last();
        let clamped = |count: i64| Value::from(count.min(COUNT_MAX));
        let (input, output) =
            (self.sum(|call| call.input_tokens), self.sum(|call| call.output_tokens));
        let json = |text: &str| Value::from(if text.is_empty() { "{}" } else { text });
        #[allow(
            clippy::cast_precision_loss,
            reason = "exact to a millionth of a cent in nine million dollars"
        )]
        let usd = self.cost_nano() as f64 / 1e9;
        vec![
            self.call_id.into(),
            self.call_type.into(),
            self.key.into(),
            usd.into(),
            clamped(input.saturating_add(output)),
            clamped(input),
            clamped(output),
            self.at.into(),
            self.ended_at.into(),
            clamped(i64::try_from(self.ended_at.saturating_sub(self.at)).unwrap_or(i64::MAX)),
            self.first_content_at.unwrap_or(self.ended_at).into(),
            self.model().into(),
            last.map_or("", |call| call.deployment).into(),
            self.model_group.or(self.requested_model).unwrap_or_default().into(),
            last.map_or("", |call| call.provider).into(),
            last.map_or("", |call| call.address).into(),
            self.user.unwrap_or_default().into(),
            json(&texts.metadata),
            (if self.is_from_cache { "True" } else { "False" }).into(),
            "Cache OFF".into(),
            Value::from(&*tags_json(self.tags)),
            self.team.into(),
            self.organization.into(),
            self.end_user.unwrap_or_default().into(),
            texts.address.as_deref().into(),
            json(&texts.messages),
            json(&texts.response),
            self.session.unwrap_or(self.call_id).into(),
            (if self.is_failed { "failure" } else { "success" }).into(),
            json(""),
            self.call_id.into(),
        ]
    }

    /// The call that answered, or failed last.
    pub(super) fn last(&self) -> Option<&SpentCall<'_>> {
        self.calls.last()
    }

    /// The model at the provider, else as the client named it.
    pub(super) fn model(&self) -> &str {
        self.last().map_or(self.requested_model.unwrap_or_default(), |call| call.model)
    }
}

/// Tags as a JSON list.
pub(super) fn tags_json(tags: &[Box<str>]) -> String {
    serde_json::to_string(tags).unwrap_or_else(|_| "[]".to_owned())
}

/// What a row of the ledger adds to its sum: the row of [`Table::AttemptSums`].
pub(crate) fn summed(row: &Row) -> Row {
    let names = Table::Attempts.names();
    let get = |name: &str| {
        let at = names.iter().position(|known| *known == name);
        at.and_then(|at| row.get(at)).cloned().unwrap_or(Value::Null)
    };
    let text = |name: &str| match get(name) {
        Value::Null => "".into(),
        value => value,
    };
    let number = |name: &str| Value::from(get(name).integer().unwrap_or(0));
    let at = get("at").integer().and_then(|at| u64::try_from(at).ok()).unwrap_or(0);
    let mut sum: Row = vec![Value::from(&*day_of(at))];
    sum.extend(
        [
            "key_hash",
            "user_id",
            "team_id",
            "organization_id",
            "end_user",
            "tags",
            "operation",
            "model_group",
            "deployment",
            "provider",
            "model",
        ]
        .map(text),
    );
    sum.push(1_i64.into());
    sum.extend(["input_tokens", "output_tokens", "cost_nano"].map(number));
    sum
}
