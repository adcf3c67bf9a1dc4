//! Cooldowns that replicas of LiteLLM write, where both serve the same deployments.
//!
//! Part of [`super::Fleet`]. Always true: only what a provider said of the account counts, a 429; what those replicas
//! make of other failures is a verdict of theirs, and no evidence.

use std::sync::Arc;

use super::Fleet;
use crate::cause::Cause;
use crate::fleet::report::{Closed, Report, ServerClock};

/// The name under which they report.
const NAME: &str = "litellm";
/// The longest text that is read.
const TEXT_MAX: usize = 64 << 10;

impl Fleet {
    /// Takes note of the cooldown of `deployment` that a replica of LiteLLM wrote as `text`, and that lasts `left_ms`
    /// more. Returns false if that is no cooldown.
    pub fn litellm(
        &mut self,
        deployment: &Arc<str>,
        (text, left_ms): (&[u8], u64),
        clock: ServerClock,
    ) -> bool {
        let Some(written) = Written::read(text) else { return false };
        let is_known = self
            .reports
            .of(deployment)
            .any(|(by, report)| **by == *NAME && report.seq >= written.at_ms);
        if written.status == "429" && left_ms > 0 && !is_known {
            // By how long it lasts: clocks of machines differ.
            let until = clock.server.plus(left_ms);
            let since = until.before(written.cooldown_ms.max(left_ms));
            let cause = Cause::RateLimited;
            let closed = Closed { since, until, cause, provider_issued: true, confirmed: false };
            let report = Report { seq: written.at_ms, closed: Some(closed), ok_at: None };
            self.reports.join(deployment, &NAME.into(), report);
        }
        true
    }
}

/// A cooldown as LiteLLM writes it: as JSON, or as Python shows a dictionary.
struct Written<'t> {
    status: &'t str,
    at_ms: u64,
    cooldown_ms: u64,
}

impl<'t> Written<'t> {
    fn read(text: &'t [u8]) -> Option<Written<'t>> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= TEXT_MAX)?;
        Some(Written {
            status: field(text, "status_code")?,
            at_ms: milliseconds(field(text, "timestamp")?)?,
            cooldown_ms: milliseconds(field(text, "cooldown_time")?)?,
        })
    }
}

/// The value of a field. The last one counts: those before may stand in the text of an error.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let starts = |quote: char| text.rfind(&format!("{quote}{name}{quote}:"));
    let at = starts('\'').max(starts('"'))?;
    let value = text[at + name.len() + 3..].trim_start().trim_start_matches(['\'', '"']);
    let end = value.find(['\'', '"', ',', '}'])?;
    Some(value[..end].trim())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "finite and bounded")]
fn milliseconds(seconds: &str) -> Option<u64> {
    let seconds: f64 = seconds.parse().ok()?;
    (seconds.is_finite() && (0.0..1e11).contains(&seconds)).then_some((seconds * 1_000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::report::ServerMs;
    use crate::time::Millis;

    const LIMITED: &str = "{'exception_received': \"slow down 'status_code': '500', \", 'status_code': '429', \
                           'timestamp': 1800000000.25, 'cooldown_time': 60.0}";

    fn told(text: &str, left_ms: u64) -> (bool, Option<Closed>) {
        let mut fleet = Fleet::new("r".into());
        let clock = ServerClock { here: Millis(5), server: ServerMs(1_000_000) };
        let is_read = fleet.litellm(&"a".into(), (text.as_bytes(), left_ms), clock);
        let closed = fleet.reports.of("a").find_map(|(_, report)| report.closed);
        (is_read, closed)
    }

    #[test]
    fn a_429_holds_for_as_long_as_its_key() {
        let as_json = LIMITED
            .replace('"', "")
            .replace('\'', "\"")
            .replace("\"status_code\": \"500\", , ", "\", ");
        for text in [LIMITED, &as_json] {
            let (is_read, closed) = told(text, 20_000);
            let closed = closed.unwrap();
            assert!(is_read && closed.provider_issued, "{text}");
            assert_eq!((closed.since, closed.until), (ServerMs(960_000), ServerMs(1_020_000)));
        }
    }

    #[test]
    fn the_same_cooldown_is_taken_once_and_a_newer_one_again() {
        let mut fleet = Fleet::new("r".into());
        let mut until = |text: &str, left_ms, at| {
            let clock = ServerClock { here: Millis(5), server: ServerMs(at) };
            fleet.litellm(&"a".into(), (text.as_bytes(), left_ms), clock);
            fleet.reports.of("a").find_map(|(_, report)| report.closed).unwrap().until.0
        };
        assert_eq!(until(LIMITED, 20_000, 1_000_000), 1_020_000);
        assert_eq!(until(LIMITED, 19_050, 1_001_000), 1_020_000, "an estimate moves no deadline");
        assert_eq!(until(&LIMITED.replace(".25", ".75"), 60_000, 1_002_000), 1_062_000);
    }

    #[test]
    fn other_failures_are_their_own_verdict_and_garbage_is_none() {
        assert_eq!(told(&LIMITED.replace("'429'", "'500'"), 20_000), (true, None));
        assert_eq!(told(LIMITED, 0), (true, None));
        for text in ["", "{", "{'status_code': '429'}", &LIMITED.replace("60.0", "'soon'")] {
            assert_eq!(told(text, 20_000), (false, None), "{text}");
        }
        assert_eq!(told(&LIMITED.replace("60.0", "inf"), 1), (false, None));
    }
}
