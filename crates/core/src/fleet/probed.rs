//! Results of probes that one replica sends for all.
//!
//! Made by the gateway's fleet task from what its own probes found, read by those of the other replicas. Always
//! true: times are the server's; what is not a result of this version is nothing.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::message::VERSION;
use super::report::{ServerClock, ServerMs};
use crate::cause::Cause;
use crate::health::probe::{Doubt, Finding, ProbeResult};

/// The longest result that is read, bytes.
const RESULT_MAX: usize = 16 << 10;
/// The longest message of a provider that is told, bytes.
const TEXT_MAX: usize = 1_000;
const DOUBTS: [(&str, Doubt); 5] = [
    ("wrong_mode", Doubt::WrongMode),
    ("no_path", Doubt::NoPath),
    ("model", Doubt::Model),
    ("shallow", Doubt::Shallow),
    ("unserved", Doubt::Unserved),
];

/// What a probe of one replica found.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedProbe {
    /// The deployment: the first of those for which the probe counts.
    pub deployment: Arc<str>,
    /// The replica.
    pub by: Arc<str>,
    /// When it began.
    pub started: ServerMs,
    /// When it ended.
    pub ended: ServerMs,
    /// Whether that replica has probed it often enough to call it unhealthy.
    pub is_confirmed: bool,
    finding: Finding,
    cause: Option<Cause>,
    status: Option<u16>,
    message: Box<str>,
    model: Box<str>,
}

#[derive(Serialize, Deserialize)]
struct Line<'l> {
    v: u32,
    deployment: Cow<'l, str>,
    by: Cow<'l, str>,
    started: u64,
    ended: u64,
    finding: Cow<'l, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Cow<'l, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default)]
    confirmed: bool,
    #[serde(default)]
    message: Cow<'l, str>,
    #[serde(default)]
    model: Cow<'l, str>,
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or_default()
}

impl SharedProbe {
    /// What `probe` of `deployment` found, as the replica `by` tells it.
    #[must_use]
    pub fn of(
        deployment: Arc<str>,
        by: Arc<str>,
        probe: &ProbeResult,
        is_confirmed: bool,
        clock: ServerClock,
    ) -> SharedProbe {
        SharedProbe {
            deployment,
            by,
            started: clock.server(probe.started),
            ended: clock.server(probe.ended),
            is_confirmed,
            finding: probe.finding,
            cause: probe.cause,
            status: probe.status,
            message: cut(&probe.message).into(),
            model: cut(&probe.model).into(),
        }
    }

    /// The result on this process's clock.
    #[must_use]
    pub fn result(&self, clock: ServerClock) -> ProbeResult {
        ProbeResult {
            started: clock.here(self.started),
            ended: clock.here(self.ended).min(clock.here),
            finding: self.finding,
            cause: self.cause,
            status: self.status,
            obstacle: None,
            message: self.message.clone(),
            model: self.model.clone(),
            headers: Vec::new(),
        }
    }

    /// The result as JSON.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let (finding, hint_ms) = match self.finding {
            Finding::Healthy => ("healthy", None),
            Finding::RateLimited(hint_ms) => ("rate_limited", hint_ms),
            Finding::Failing(_) => ("failing", None),
            Finding::Unknown(doubt) => {
                let name = DOUBTS.iter().find(|(_, one)| *one == doubt);
                (name.map_or("shallow", |(name, _)| name), None)
            }
            Finding::ProbeError => ("probe_error", None),
        };
        let cause = match self.finding {
            Finding::Failing(cause) => Some(cause),
            Finding::Healthy
            | Finding::RateLimited(_)
            | Finding::Unknown(_)
            | Finding::ProbeError => self.cause,
        };
        let line = Line {
            v: VERSION,
            deployment: (&*self.deployment).into(),
            by: (&*self.by).into(),
            started: self.started.0,
            ended: self.ended.0,
            finding: finding.into(),
            cause: cause.map(|cause| cause.name().into()),
            hint_ms,
            status: self.status,
            confirmed: self.is_confirmed,
            message: (&*self.message).into(),
            model: (&*self.model).into(),
        };
        serde_json::to_vec(&line).unwrap_or_default()
    }

    /// Reads a result; nothing if it is none, or from the future.
    #[must_use]
    pub fn read(bytes: &[u8], now: ServerMs) -> Option<SharedProbe> {
        if bytes.len() > RESULT_MAX {
            return None;
        }
        let line: Line<'_> = serde_json::from_slice(bytes).ok()?;
        let ended = ServerMs(line.ended);
        if line.v != VERSION || ended > now.plus(60_000) || line.started > line.ended {
            return None;
        }
        let named = |name: &str| Cause::ALL.into_iter().find(|cause| cause.name() == name);
        let cause = match &line.cause {
            Some(name) => Some(named(name)?),
            None => None,
        };
        let finding = match &*line.finding {
            "healthy" => Finding::Healthy,
            "rate_limited" => Finding::RateLimited(line.hint_ms),
            "failing" => Finding::Failing(cause.filter(|cause| cause.blames_deployment())?),
            "probe_error" => Finding::ProbeError,
            doubt => Finding::Unknown(DOUBTS.iter().find(|(name, _)| *name == doubt)?.1),
        };
        Some(SharedProbe {
            deployment: line.deployment.as_ref().into(),
            by: line.by.as_ref().into(),
            started: ServerMs(line.started),
            ended,
            is_confirmed: line.confirmed,
            finding,
            cause,
            status: line.status,
            message: cut(&line.message).into(),
            model: cut(&line.model).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;

    const CLOCK: ServerClock = ServerClock { here: Millis(50_000), server: ServerMs(1_000_000) };

    fn probe(finding: Finding, cause: Option<Cause>) -> ProbeResult {
        ProbeResult {
            started: Millis(40_000),
            ended: Millis(41_000),
            finding,
            cause,
            status: cause.map(|_| 500),
            obstacle: None,
            message: "it says \"no\"".into(),
            model: "gpt".into(),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_result_is_the_same_on_another_replica() {
        let mut findings = vec![
            (Finding::Healthy, None),
            (Finding::RateLimited(Some(5_000)), Some(Cause::RateLimited)),
            (Finding::RateLimited(None), Some(Cause::RateLimited)),
            (Finding::Failing(Cause::Auth), Some(Cause::Auth)),
            (Finding::ProbeError, Some(Cause::BadRequest)),
        ];
        findings.extend(DOUBTS.map(|(_, doubt)| (Finding::Unknown(doubt), Some(Cause::NotFound))));
        for (finding, cause) in findings {
            let probe = probe(finding, cause);
            let told = SharedProbe::of("a".into(), "r1".into(), &probe, true, CLOCK);
            let read = SharedProbe::read(&told.write(), CLOCK.server);
            assert_eq!(read.as_ref(), Some(&told));
            // The other replica began 30 s later.
            let there = ServerClock { here: Millis(20_000), ..CLOCK };
            let result = told.result(there);
            assert_eq!((result.started, result.ended), (Millis(10_000), Millis(11_000)));
            assert_eq!((result.finding, result.cause), (finding, cause));
        }
    }

    #[test]
    fn what_is_no_result_is_nothing() {
        let probe = probe(Finding::Failing(Cause::Auth), Some(Cause::Auth));
        let good = SharedProbe::of("a".into(), "r1".into(), &probe, false, CLOCK).write();
        let good = String::from_utf8(good).unwrap();
        assert!(SharedProbe::read(good.as_bytes(), CLOCK.server).is_some());
        for (from, to) in [
            ("\"v\":1", "\"v\":2"),
            ("failing", "dancing"),
            ("\"auth\"", "\"bad_request\""),
            ("\"auth\"", "\"sunspots\""),
            ("\"ended\":991000", "\"ended\":99100000"),
            ("{", "["),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            assert_eq!(SharedProbe::read(bad.as_bytes(), CLOCK.server), None, "{bad}");
        }
    }
}
