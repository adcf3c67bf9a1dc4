//! One exchange with the other replicas: says everything, hears everything, and learns the server's time.
//!
//! Called by [`super::task`]. Always true: one script call an exchange; what is not ours under our keys is
//! replaced or left out, and counted.

use std::sync::LazyLock;

use ::redis::Script;
use hale_core::fleet::{LIVE_MS, ServerClock, ServerMs};
use hale_core::time::Millis;

use super::keys::Keys;
use crate::clock;
use crate::redis_client::{Failed, LIMIT, Redis};

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

/// What was heard.
pub(super) struct Heard {
    /// The server's time.
    pub(super) clock: ServerClock,
    /// What the other replicas say, not read yet.
    pub(super) said: Vec<Vec<u8>>,
    /// Keys that were not ours.
    pub(super) garbage: u64,
}

/// Says `said` as the replica `me`, and hears the others; with nothing to say it only asks for the time.
///
/// # Errors
/// Why Redis did not answer.
pub(super) async fn exchange(
    redis: &Redis,
    keys: &Keys,
    me: &str,
    said: Vec<u8>,
) -> Result<Heard, Failed> {
    let begun = clock::now().millis();
    let arguments = [
        me.as_bytes().to_vec(),
        said,
        LIVE_MS.to_string().into_bytes(),
        keys.said.clone().into_bytes(),
    ];
    let answer = redis.script(&EXCHANGE, std::slice::from_ref(&keys.replicas), &arguments);
    let (now, garbage, said): (u64, u64, Vec<Vec<u8>>) = answer.await?;
    let took = clock::now().millis().since(begun);
    // The server read its clock somewhere in between.
    let clock = ServerClock { here: Millis(begun.0 + took / 2), server: ServerMs(now) };
    Ok(Heard { clock, said, garbage })
}

/// Tells the others at once.
///
/// # Errors
/// Why Redis did not answer.
pub(super) async fn publish(redis: &Redis, keys: &Keys, news: &[u8]) -> Result<(), Failed> {
    let mut command = ::redis::cmd("PUBLISH");
    command.arg(&keys.news).arg(news);
    let _receivers: i64 = redis.query(&command, LIMIT).await?;
    Ok(())
}
