//! Messages between replicas: how they are written and read.
//!
//! Made by [`super::Fleet::publish`], read by [`super::Fleet::receive`]. Always true: what is not
//! a message of this version is [`Garbage`] and changes nothing; unknown fields and unknown causes
//! are left out; no end of a cooldown is later than the cap of its cause.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::report::{Closed, Report, ServerMs};
use super::share::Use;
use crate::cause::Cause;
use crate::health::{QUOTA_CAP_MS, RATE_LIMIT_CAP_MS};

/// The version of messages. It is part of the names of the keys too.
pub const VERSION: u32 = 1;
/// The longest message that is read, bytes.
pub const MESSAGE_MAX: usize = 1 << 20;
/// The longest name of a replica or a deployment, bytes.
const NAME_MAX: usize = 512;
/// How far a replica's estimate of the server's time may be off, milliseconds.
const AHEAD_MAX_MS: u64 = 60_000;

/// What one replica says, or a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The replica.
    pub replica: Arc<str>,
    /// When it said so.
    pub at: ServerMs,
    /// Whether it ends.
    pub leaves: bool,
    /// Its reports, by deployment.
    pub reports: BTreeMap<Arc<str>, Report>,
    /// Deadlines that other replicas reported, word for word: replica, deployment, report.
    pub passed_on: Vec<(Arc<str>, Arc<str>, Report)>,
    /// What it uses of limits that all share, by limit.
    pub uses: BTreeMap<Arc<str>, Use>,
    /// When an operator had everything about a deployment forgotten.
    pub cleared: BTreeMap<Arc<str>, ServerMs>,
    /// What it sees of incidents, as text of their own: empty if it says nothing about them.
    pub incidents: Arc<str>,
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// Longer than [`MESSAGE_MAX`].
    TooLong,
    /// Not of the form of messages.
    Malformed,
    /// Of another version.
    Version,
    /// From the future.
    Ahead,
}

#[derive(Serialize, Deserialize)]
struct Line<'m> {
    deployment: std::borrow::Cow<'m, str>,
    seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<std::borrow::Cow<'m, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<std::borrow::Cow<'m, str>>,
    #[serde(default)]
    since: u64,
    #[serde(default)]
    until: u64,
    #[serde(default)]
    issued: bool,
    #[serde(default)]
    confirmed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ok_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Whole<'m> {
    v: u32,
    replica: std::borrow::Cow<'m, str>,
    at: u64,
    #[serde(default)]
    leaves: bool,
    #[serde(default)]
    reports: Vec<Line<'m>>,
    #[serde(default)]
    uses: BTreeMap<String, [f64; 3]>,
    #[serde(default)]
    cleared: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    incidents: std::borrow::Cow<'m, str>,
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl<'m> Line<'m> {
    fn of(deployment: &'m str, by: Option<&'m str>, report: &Report) -> Line<'m> {
        let Report { seq, closed, ok_at } = *report;
        Line {
            deployment: deployment.into(),
            seq,
            by: by.map(Into::into),
            cause: closed.map(|closed| closed.cause.name().into()),
            since: closed.map_or(0, |closed| closed.since.0),
            until: closed.map_or(0, |closed| closed.until.0),
            issued: closed.is_some_and(|closed| closed.provider_issued),
            confirmed: closed.is_some_and(|closed| closed.confirmed),
            ok_at: ok_at.map(|at| at.0),
        }
    }

    /// The report, if this version knows its cause.
    fn report(&self, at: ServerMs) -> Option<Report> {
        let closed = match &self.cause {
            Some(name) => {
                let cause = Cause::ALL.into_iter().find(|cause| cause.name() == name)?;
                let cap = if cause == Cause::Quota { QUOTA_CAP_MS } else { RATE_LIMIT_CAP_MS };
                let since = ServerMs(self.since).min(at.plus(AHEAD_MAX_MS));
                // Jitter makes a cooldown of ours a tenth longer than its cap.
                let until = ServerMs(self.until).clamp(since, since.plus(cap + cap / 5));
                let (provider_issued, confirmed) =
                    (self.issued && cause.is_limit(), self.confirmed);
                Some(Closed { since, until, cause, provider_issued, confirmed })
            }
            None => None,
        };
        let ok_at = self.ok_at.map(|ok| ServerMs(ok).min(at.plus(AHEAD_MAX_MS)));
        Some(Report { seq: self.seq, closed, ok_at })
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_MAX
}

impl Message {
    /// A message that says nothing yet.
    #[must_use]
    pub fn new(replica: Arc<str>, at: ServerMs) -> Message {
        Message {
            replica,
            at,
            leaves: false,
            reports: BTreeMap::new(),
            passed_on: Vec::new(),
            uses: BTreeMap::new(),
            cleared: BTreeMap::new(),
            incidents: "".into(),
        }
    }

    /// The message as JSON.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let own =
            self.reports.iter().map(|(deployment, report)| Line::of(deployment, None, report));
        let passed = self.passed_on.iter();
        let passed = passed.map(|(by, deployment, report)| Line::of(deployment, Some(by), report));
        let whole = Whole {
            v: VERSION,
            replica: (&*self.replica).into(),
            at: self.at.0,
            leaves: self.leaves,
            reports: own.chain(passed).collect(),
            uses: self.uses.iter().map(|(key, one)| (key.to_string(), one.numbers())).collect(),
            cleared: self.cleared.iter().map(|(id, at)| (id.to_string(), at.0)).collect(),
            incidents: (&*self.incidents).into(),
        };
        serde_json::to_vec(&whole).unwrap_or_default()
    }

    /// Reads a message at `now`.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn read(bytes: &[u8], now: ServerMs) -> Result<Message, Garbage> {
        if bytes.len() > MESSAGE_MAX {
            return Err(Garbage::TooLong);
        }
        let versioned: Versioned = serde_json::from_slice(bytes).map_err(|_| Garbage::Malformed)?;
        if versioned.v != VERSION {
            return Err(Garbage::Version);
        }
        let whole: Whole<'_> = serde_json::from_slice(bytes).map_err(|_| Garbage::Malformed)?;
        if !is_name(&whole.replica) {
            return Err(Garbage::Malformed);
        }
        let at = ServerMs(whole.at);
        if at > now.plus(AHEAD_MAX_MS) {
            return Err(Garbage::Ahead);
        }
        let mut message = Message::new(whole.replica.as_ref().into(), at);
        message.leaves = whole.leaves;
        for line in whole.reports.iter().filter(|line| is_name(&line.deployment)) {
            let Some(report) = line.report(at) else { continue };
            let deployment = line.deployment.as_ref().into();
            match &line.by {
                Some(by) if is_name(by) => {
                    message.passed_on.push((by.as_ref().into(), deployment, report));
                }
                Some(_) => {}
                None => {
                    message.reports.insert(deployment, report);
                }
            }
        }
        let uses = whole.uses.into_iter().filter(|(key, _)| is_name(key));
        message.uses = uses
            .filter_map(|(key, numbers)| Some((key.into(), Use::from_numbers(numbers)?)))
            .collect();
        let cleared = whole.cleared.into_iter().filter(|(id, _)| is_name(id));
        let no_later = |ms| ServerMs(ms).min(at.plus(AHEAD_MAX_MS));
        message.cleared = cleared.map(|(id, ms)| (id.into(), no_later(ms))).collect();
        message.incidents = whole.incidents.as_ref().into();
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: ServerMs = ServerMs(1_800_000_000_000);

    fn message() -> Message {
        let closed = Closed {
            since: ServerMs(NOW.0 - 500),
            until: ServerMs(NOW.0 + 20_000),
            cause: Cause::RateLimited,
            provider_issued: true,
            confirmed: false,
        };
        let report = Report { seq: 7, closed: Some(closed), ok_at: Some(ServerMs(NOW.0 - 900)) };
        let open = Report { seq: 8, closed: None, ok_at: None };
        Message {
            leaves: true,
            reports: [("eu \"1\"".into(), report), ("us".into(), open)].into(),
            passed_on: vec![("r2".into(), "us".into(), report)],
            uses: [("rpm:eu".into(), Use { share: 30.0, used: 12.5, wanted: 40.0 })].into(),
            cleared: [("us".into(), ServerMs(NOW.0 - 5))].into(),
            ..Message::new("r1".into(), NOW)
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        assert_eq!(Message::read(&message().write(), NOW), Ok(message()));
        let empty = Message::new("r1".into(), NOW);
        assert_eq!(Message::read(&empty.write(), NOW), Ok(empty));
    }

    #[test]
    fn what_is_no_message_is_garbage() {
        let rows: [(&[u8], Garbage); 8] = [
            (b"", Garbage::Malformed),
            (b"\xff\x00", Garbage::Malformed),
            (b"[]", Garbage::Malformed),
            (b"{\"v\":1}", Garbage::Malformed),
            (b"{\"v\":1,\"replica\":\"\",\"at\":1}", Garbage::Malformed),
            (b"{\"v\":1,\"replica\":\"a\",\"at\":-1}", Garbage::Malformed),
            (b"{\"v\":2,\"replica\":\"a\",\"at\":1}", Garbage::Version),
            (b"{\"v\":1,\"replica\":\"a\",\"at\":18446744073709551615}", Garbage::Ahead),
        ];
        for (bytes, expected) in rows {
            let read = Message::read(bytes, NOW);
            assert_eq!(read, Err(expected), "{}", String::from_utf8_lossy(bytes));
        }
        let long = vec![b' '; MESSAGE_MAX + 1];
        assert_eq!(Message::read(&long, NOW), Err(Garbage::TooLong));
    }

    #[test]
    fn unknown_fields_and_causes_are_left_out_and_no_deadline_exceeds_its_cap() {
        let text = format!(
            "{{\"v\":1,\"replica\":\"a\",\"at\":{at},\"new\":[1],\"reports\":[\
             {{\"deployment\":\"x\",\"seq\":1,\"cause\":\"rate_limited\",\"since\":{at},\
             \"until\":18446744073709551615,\"issued\":true,\"later\":0}},\
             {{\"deployment\":\"y\",\"seq\":1,\"cause\":\"sunspots\"}},\
             {{\"deployment\":\"z\",\"seq\":1,\"cause\":\"connect\",\"since\":{at},\"until\":5,\
             \"issued\":true}}],\"uses\":{{\"rpm:x\":[-1,0,0],\"rpm:y\":[1,2,3]}}}}",
            at = NOW.0
        );
        let read = Message::read(text.as_bytes(), NOW).unwrap();
        let closed = |id: &str| read.reports[id].closed.unwrap();
        assert_eq!(read.reports.len(), 2);
        assert!(closed("x").until.since(NOW) <= RATE_LIMIT_CAP_MS + RATE_LIMIT_CAP_MS / 5);
        assert_eq!((closed("z").until, closed("z").provider_issued), (NOW, false));
        assert_eq!(read.uses.keys().map(|key| &**key).collect::<Vec<_>>(), ["rpm:y"]);
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic_and_what_is_read_can_be_written(
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = message().write();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if let Ok(read) = Message::read(&bytes, NOW) {
                prop_assert_eq!(Message::read(&read.write(), NOW), Ok(read));
            }
        }
    }
}
