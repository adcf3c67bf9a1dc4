//! Simulated upstreams: the result of an attempt, by the time at which it begins.

use hale_core::cause::Cause;

/// How an upstream behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Behaviour {
    /// Answers after about this many milliseconds.
    Healthy(u64),
    /// Refuses connections.
    Down,
    /// Accepts the request and sends nothing.
    Silent,
    /// Fails with a 500 after a millisecond.
    FastFail,
    /// Fails this share of the time, in percent; otherwise it works.
    Brownout(u64, u64),
    /// This many milliseconds up, this many down.
    Flap(u64, u64),
    /// Answers this many requests a minute, else 429 with the time left.
    Bucket(u64),
    /// Answers 429 until that moment, with the time left, then after so many milliseconds.
    LimitedUntil(u64, u64),
    /// Answers in 50 ms from a bucket that holds so many requests and gets so many a second; else 429
    /// with this time.
    Tokens { holds: u64, per_second: u64, hint_ms: u64 },
    /// Answers 200 with an invalid body.
    Liar,
    /// Refuses the credential.
    Unauthorized,
    /// Does not know the model.
    Unknown,
    /// Answers, and this many percent of its streams are cut after content.
    Cuts(u64),
    /// Answers, and this many percent of its streams fall silent after content.
    Stalls(u64),
}

/// What an attempt meets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meets {
    /// A good answer.
    Answer,
    /// A failure, and the time that the provider names.
    Failure(Cause, Option<u16>, Option<u64>),
    /// Nothing, for ever.
    Silence,
}

/// One upstream: behaviours, each from a time on.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) plan: Vec<(u64, Behaviour)>,
    minute: u64,
    used: u64,
    /// Thousandths of a request that were taken from the bucket, and when it was looked at last.
    taken: (u64, u64),
}

impl Upstream {
    pub(crate) fn new(plan: Vec<(u64, Behaviour)>) -> Upstream {
        Upstream { plan, minute: 0, used: 0, taken: (0, 0) }
    }

    /// Refuses the credential in this span, whatever else it does there.
    pub(crate) fn refuse_key(&mut self, from: u64, to: u64) {
        let afterwards = self.behaviour(to);
        self.plan.retain(|(at, _)| !(from..=to).contains(at));
        self.plan.extend([(from, Behaviour::Unauthorized), (to, afterwards)]);
        self.plan.sort_by_key(|(at, _)| *at);
    }

    fn behaviour(&self, now: u64) -> Behaviour {
        let begun = self.plan.iter().rev().find(|(from, _)| *from <= now);
        begun.map_or(Behaviour::Healthy(100), |(_, behaviour)| *behaviour)
    }

    /// What an attempt that begins now meets, and after how many milliseconds.
    pub(crate) fn ask(&mut self, now: u64, chance: u64) -> (u64, Meets) {
        let jitter = |ms: u64| ms - ms / 5 + chance % (ms * 2 / 5 + 1);
        let fails = |cause, status| Meets::Failure(cause, Some(status), None);
        match self.behaviour(now) {
            Behaviour::Healthy(ms) => (jitter(ms), Meets::Answer),
            Behaviour::Down => (1, Meets::Failure(Cause::Connect, None, None)),
            Behaviour::Silent => (u64::MAX, Meets::Silence),
            Behaviour::FastFail => (1, fails(Cause::ServerError, 500)),
            Behaviour::Brownout(percent, ms) if chance % 100 < percent => {
                (jitter(ms), fails(Cause::ServerError, 500))
            }
            Behaviour::Brownout(_, ms) => (jitter(ms), Meets::Answer),
            Behaviour::Flap(up, down) if now % (up + down) < up => (jitter(100), Meets::Answer),
            Behaviour::Flap(..) => (5, fails(Cause::ServerError, 503)),
            Behaviour::Bucket(per_minute) => {
                if now / 60_000 != self.minute {
                    (self.minute, self.used) = (now / 60_000, 0);
                }
                self.used += 1;
                if self.used <= per_minute {
                    return (jitter(100), Meets::Answer);
                }
                let left = (self.minute + 1) * 60_000 - now;
                (5, Meets::Failure(Cause::RateLimited, Some(429), Some(left)))
            }
            Behaviour::LimitedUntil(until, _) if now < until => {
                (5, Meets::Failure(Cause::RateLimited, Some(429), Some(until - now)))
            }
            Behaviour::LimitedUntil(_, ms) => (ms, Meets::Answer),
            Behaviour::Tokens { holds, per_second, hint_ms } => {
                let (taken, at) = self.taken;
                let taken = taken.saturating_sub((now - at) * per_second);
                let has_one = taken + 1_000 <= holds * 1_000;
                self.taken = (if has_one { taken + 1_000 } else { taken }, now);
                match has_one {
                    true => (50, Meets::Answer),
                    false => (5, Meets::Failure(Cause::RateLimited, Some(429), Some(hint_ms))),
                }
            }
            Behaviour::Liar => (jitter(50), Meets::Failure(Cause::BadResponse, Some(200), None)),
            Behaviour::Unauthorized => (20, fails(Cause::Auth, 401)),
            Behaviour::Unknown => (20, fails(Cause::NotFound, 404)),
            Behaviour::Cuts(_) | Behaviour::Stalls(_) => (jitter(100), Meets::Answer),
        }
    }

    /// How a stream continues that has content now, and after how many milliseconds it ends.
    pub(crate) fn go_on(&self, now: u64, chance: u64) -> (u64, Meets) {
        match self.behaviour(now) {
            Behaviour::Cuts(percent) if chance % 100 < percent => {
                (chance % 3_000, Meets::Failure(Cause::StreamCut, None, None))
            }
            Behaviour::Stalls(percent) if chance % 100 < percent => (0, Meets::Silence),
            _ => (chance % 3_000, Meets::Answer),
        }
    }
}
