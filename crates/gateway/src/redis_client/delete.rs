//! Deletes all keys that begin alike, on every node.
//!
//! Used by the cache of answers when an operator empties it. Always true: it goes through the keys in small steps, so that
//! the server serves others meanwhile; keys that begin otherwise stay.

use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::{Client, ConnectionInfo, Pipeline, RedisError};

use super::{Connection, Failed, Redis, connect};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Keys that the server looks at in a step.
const STEP: usize = 1_000;

impl Redis {
    /// Deletes the keys that begin with `prefix`; gives how many there were.
    ///
    /// # Errors
    /// Why some may be left.
    pub(crate) async fn delete_all(&self, prefix: &str) -> Result<u64, Failed> {
        let Some(connected) = self.connected.load_full() else { return Err(Failed::Down) };
        let pattern = literal(prefix) + "*";
        let deleting = async {
            match connected.connection.clone() {
                Connection::One(mut one) => on_node(&mut one, &pattern).await,
                Connection::Cluster(mut cluster) => {
                    let mut deleted = 0;
                    for client in
                        masters(&mut cluster, connected.client.get_connection_info()).await?
                    {
                        let mut node = client.get_multiplexed_async_connection().await?;
                        deleted += on_node(&mut node, &pattern).await?;
                    }
                    Ok(deleted)
                }
            }
        };
        match tokio::time::timeout(PATIENCE, deleting).await {
            Ok(deleted) => deleted.map_err(Failed::Error),
            Err(_) => Err(Failed::TooSlow),
        }
    }
}

/// A pattern that matches only `text`.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// Deletes the keys of one node that match `pattern`.
async fn on_node(node: &mut impl ConnectionLike, pattern: &str) -> Result<u64, RedisError> {
    let (mut cursor, mut deleted) = (0_u64, 0);
    loop {
        let mut scan = ::redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(STEP);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(node).await?;
        if !keys.is_empty() {
            // One command each: keys of a cluster lie apart.
            let mut unlink = Pipeline::with_capacity(keys.len());
            keys.iter().for_each(|key| _ = unlink.cmd("UNLINK").arg(&key[..]));
            let counts: Vec<u64> = unlink.query_async(node).await?;
            deleted += counts.into_iter().sum::<u64>();
        }
        if next == 0 {
            return Ok(deleted);
        }
        cursor = next;
    }
}

/// Clients of the nodes of a cluster that hold keys.
async fn masters(
    cluster: &mut impl ConnectionLike,
    first: &ConnectionInfo,
) -> Result<Vec<Client>, RedisError> {
    // From a slot to a slot, its master, its replicas; of each node its host, port, and more.
    type Node = (String, u16);
    let mut slots = ::redis::cmd("CLUSTER");
    slots.arg("SLOTS");
    let value: ::redis::Value = slots.query_async(cluster).await?;
    let mut nodes: Vec<Node> = ranges(&value);
    nodes.sort_unstable();
    nodes.dedup();
    let client = |(host, port): Node| Client::open(connect::sibling(first, &host, port));
    nodes.into_iter().map(client).collect()
}

/// The master of each range of slots.
fn ranges(value: &::redis::Value) -> Vec<(String, u16)> {
    use ::redis::{FromRedisValue, Value};
    let Value::Array(ranges) = value else { return Vec::new() };
    let master = |range: &Value| {
        let Value::Array(range) = range else { return None };
        let Some(Value::Array(node)) = range.get(2) else { return None };
        let host = String::from_redis_value_ref(node.first()?).ok()?;
        let port = u16::from_redis_value_ref(node.get(1)?).ok()?;
        Some((host, port))
    };
    ranges.iter().filter_map(master).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_a_text_matches_only_that() {
        assert_eq!(literal("hale:answers:1:a*b[c]?\\:"), "hale:answers:1:a\\*b\\[c\\]\\?\\\\:");
    }
}
