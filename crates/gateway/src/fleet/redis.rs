//! Redis or Valkey as the carrier between replicas.
//!
//! Part of [`super::carrier`]. Always true: one script call an exchange, and one for all leases; what is not ours
//! under our keys is replaced or left out, and counted.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::redis::{Cmd, Script};
use futures_util::StreamExt as _;
use hale_core::fleet::{LIVE_MS, ServerClock, ServerMs, Want};
use hale_core::time::Millis;
use tokio::sync::mpsc;

use super::keys::Keys;
use super::terms::{Asked, Exchanged, Failed, Holder, Kept, Leased, News, Topic};
use crate::clock;
use crate::redis_client::{self, LIMIT, Redis};

/// The pause before subscribing again.
const AGAIN: Duration = Duration::from_millis(500);
/// Keys that are asked for in one call.
const AT_ONCE: usize = 256;

static EXCHANGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local garbage = 0
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then
    redis.call('DEL', KEYS[1])
    garbage = 1
end
local said = {}
if ARGV[2] ~= '' then
    redis.call('SET', ARGV[4] .. ARGV[1], ARGV[2], 'PX', ARGV[3])
    redis.call('ZADD', KEYS[1], now, ARGV[1])
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
    redis.call('PEXPIRE', KEYS[1], ARGV[3] * 4)
    for _, name in ipairs(redis.call('ZRANGE', KEYS[1], -128, -1)) do
        if name ~= ARGV[1] then
            local text = redis.pcall('GET', ARGV[4] .. name)
            if type(text) == 'string' then
                said[#said + 1] = text
            elseif type(text) == 'table' then
                redis.call('DEL', ARGV[4] .. name)
                garbage = garbage + 1
            end
        end
    end
end
return {now, garbage, said}
",
    )
});

static LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local garbage = 0
local holders = {}
local left_ms = {}
for at = 3, #ARGV, 2 do
    local key = KEYS[1] .. ARGV[at + 1]
    local holder = redis.pcall('GET', key)
    if type(holder) == 'table' then
        redis.call('DEL', key)
        garbage = garbage + 1
        holder = false
    end
    if ARGV[at] == 'hold' and (not holder or holder == ARGV[1]) then
        redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
        holder = ARGV[1]
    elseif ARGV[at] == 'give up' and holder == ARGV[1] then
        redis.call('DEL', key)
        holder = false
    end
    local left = 0
    if holder then
        left = redis.call('PTTL', key)
        if left < 0 or left > tonumber(ARGV[2]) then
            redis.call('PEXPIRE', key, ARGV[2])
            left = tonumber(ARGV[2])
        end
    end
    holders[#holders + 1] = holder or ''
    left_ms[#left_ms + 1] = left
end
return {garbage, holders, left_ms}
",
    )
});

/// Redis between replicas.
pub(super) struct ThroughRedis {
    redis: Arc<Redis>,
    keys: Box<Keys>,
}

impl ThroughRedis {
    pub(super) fn new(redis: Arc<Redis>, keys: Keys) -> ThroughRedis {
        ThroughRedis { redis, keys: Box::new(keys) }
    }

    pub(super) fn problem(&self) -> Option<String> {
        self.redis.problem()
    }

    /// Stays connected, and passes on what is published.
    pub(super) async fn run(&self, heard: &mpsc::Sender<News>) {
        tokio::join!(self.redis.run(), self.listen(heard));
    }

    async fn listen(&self, heard: &mpsc::Sender<News>) {
        let channels = [&*self.keys.news, &*self.keys.probed];
        loop {
            if self.redis.is_up()
                && let Ok(mut subscription) = self.redis.subscribe(&channels).await
            {
                let mut messages = pin!(subscription.on_message());
                while let Some(message) = messages.next().await {
                    let is_probe = message.get_channel_name() == self.keys.probed;
                    let topic = if is_probe { Topic::Probe } else { Topic::Evidence };
                    let text = message.get_payload_bytes().to_vec();
                    // What there is no room for is heard with the next exchange.
                    let _full: Result<(), _> = heard.try_send(News { topic, text });
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    pub(super) async fn exchange(&self, me: &str, said: Vec<u8>) -> Result<Exchanged, Failed> {
        let begun = clock::now().millis();
        let arguments = [
            me.as_bytes().to_vec(),
            said,
            LIVE_MS.to_string().into_bytes(),
            self.keys.said.clone().into_bytes(),
        ];
        let key = std::slice::from_ref(&self.keys.replicas);
        let answer = self.redis.script(&EXCHANGE, key, &arguments);
        let (now, garbage, said): (u64, u64, Vec<Vec<u8>>) = answer.await?;
        let took = clock::now().millis().since(begun);
        // The server read its clock somewhere in between.
        let clock = ServerClock { here: Millis(begun.0 + took / 2), server: ServerMs(now) };
        Ok(Exchanged { clock, said, garbage })
    }

    pub(super) async fn publish(&self, topic: Topic, text: &[u8]) -> Result<(), Failed> {
        let channel = match topic {
            Topic::Evidence => &self.keys.news,
            Topic::Probe => &self.keys.probed,
        };
        let mut command = ::redis::cmd("PUBLISH");
        command.arg(channel).arg(text);
        self.number(&command).await
    }

    pub(super) async fn lease(
        &self,
        me: &str,
        period_ms: u64,
        asked: &[Asked],
    ) -> Result<Leased, Failed> {
        let mut arguments = vec![me.as_bytes().to_vec(), period_ms.to_string().into_bytes()];
        for (subject, want) in asked {
            let word = match want {
                Some(Want::Hold) => "hold",
                Some(Want::GiveUp) => "give up",
                None => "look",
            };
            arguments.push(word.as_bytes().to_vec());
            arguments.push(subject.as_bytes().to_vec());
        }
        let key = std::slice::from_ref(&self.keys.lease);
        let answer = self.redis.script(&LEASE, key, &arguments);
        let (garbage, pods, left): (u64, Vec<Vec<u8>>, Vec<u64>) = answer.await?;
        let holder = |(pod, left_ms): (&Vec<u8>, u64)| {
            let pod = String::from_utf8_lossy(pod);
            (!pod.is_empty()).then(|| Holder { pod: pod.as_ref().into(), left_ms })
        };
        Ok(Leased { holders: pods.iter().zip(left).map(holder).collect(), garbage })
    }

    pub(super) async fn probes(&self) -> Result<Kept, Failed> {
        let mut command = ::redis::cmd("HGETALL");
        command.arg(&self.keys.probes);
        match self.redis.query::<HashMap<Vec<u8>, Vec<u8>>>(&command, LIMIT).await {
            Ok(results) => {
                let results = results.into_values().collect();
                Ok(Kept { results, garbage: 0 })
            }
            Err(redis_client::Failed::Error(error)) if error.code() == Some("WRONGTYPE") => {
                // Something else is under that key.
                let mut delete = ::redis::cmd("DEL");
                delete.arg(&self.keys.probes);
                self.number(&delete).await?;
                Ok(Kept { results: Vec::new(), garbage: 1 })
            }
            Err(failed) => Err(failed.into()),
        }
    }

    pub(super) async fn keep(
        &self,
        deployment: &str,
        text: &[u8],
        kept_ms: u64,
    ) -> Result<(), Failed> {
        let mut keep = ::redis::cmd("HSET");
        keep.arg(&self.keys.probes).arg(deployment).arg(text);
        self.number(&keep).await?;
        let mut expire = ::redis::cmd("PEXPIRE");
        expire.arg(&self.keys.probes).arg(kept_ms);
        self.number(&expire).await
    }

    pub(super) async fn litellm(
        &self,
        deployments: &[Arc<str>],
    ) -> Result<Vec<Option<(Vec<u8>, u64)>>, Failed> {
        let mut found = Vec::with_capacity(deployments.len());
        for some in deployments.chunks(AT_ONCE) {
            let call = |id: &Arc<str>| {
                let key = format!("{}deployment:{id}:cooldown", self.keys.litellm);
                let (mut get, mut left) = (::redis::cmd("GET"), ::redis::cmd("PTTL"));
                get.arg(&key);
                left.arg(&key);
                vec![get, left]
            };
            let calls = some.iter().map(call).collect();
            let answers = self.redis.each::<(Option<Vec<u8>>, i64)>(calls, LIMIT).await?;
            // What is no text there, or has no end, is no cooldown.
            found.extend(answers.into_iter().map(|answer| match answer {
                Ok((Some(text), left_ms)) => Some((text, u64::try_from(left_ms).ok()?)),
                Ok((None, _)) | Err(_) => None,
            }));
        }
        Ok(found)
    }

    /// Sends a command whose answer is a number of no interest.
    async fn number(&self, command: &Cmd) -> Result<(), Failed> {
        let _count: i64 = self.redis.query(command, LIMIT).await?;
        Ok(())
    }
}
