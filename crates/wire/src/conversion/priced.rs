//! The cost of a streamed answer, beside its usage.
//!
//! Called by [`super::stream`] if the config asks for it. Always true: a cost is added only to counts that are charged as
//! they are, and only where the client sees them.

use hale_core::charge::{OutputCount, charged};
use hale_core::deployment::Deployment;
use hale_core::usage::{CountedBy, Usage};

/// Adds `cost` to the last usage in `out` behind `from`, if `usage` has a price: with that of an answer that broke off before.
pub(super) fn add_cost(
    out: &mut Vec<u8>,
    from: usize,
    (usage, earlier_usd): (&Usage, f64),
    at: (&Deployment, u64),
) {
    let Some(usd) = cost(usage, at) else { return };
    let Some(place) = usage_place(&out[from..]) else { return };
    let usd = usd + earlier_usd;
    let inside = from + place;
    let is_empty = out[inside..].trim_ascii_start().starts_with(b"}");
    let text = format!("\"cost\":{usd}{}", if is_empty { "" } else { "," });
    out.splice(inside..inside, text.into_bytes());
}

/// The cost in USD, if the counts are believed and the model has a price.
fn cost(usage: &Usage, (deployment, unix_ms): (&Deployment, u64)) -> Option<f64> {
    let reported = Some((*usage, OutputCount::Final));
    // A count that is estimated is not charged as it is.
    let (usage, by) = charged(reported, &deployment.facts, (|| 1, || 1))?;
    let facts = deployment.facts.at(unix_ms);
    facts.cost_usd(&usage).filter(|usd| by == CountedBy::Provider && usd.is_finite())
}

/// The first byte inside of the last `usage` object that counts an answer. Inside of a string its quotes would be
/// escaped.
fn usage_place(text: &[u8]) -> Option<usize> {
    const KEY: &[u8] = b"\"usage\"";
    let at = memchr::memmem::rfind(text, KEY)?;
    let tail = &text[at + KEY.len()..];
    let value = tail.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let inside = value.strip_prefix(b"{")?;
    // The first event of a message has counts of what was not yet written.
    let event = memchr::memmem::rfind(&text[..at], b"\n\n").map_or(0, |end| end + 2);
    let is_start = memchr::memmem::find(&text[event..at], b"\"message_start\"").is_some();
    (!is_start).then_some(text.len() - inside.len())
}
