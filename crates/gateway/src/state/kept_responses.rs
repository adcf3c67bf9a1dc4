//! The responses that this process keeps for clients because their providers keep none.
//!
//! Written when a response ends, read by the opening of the next request ([`crate::proxy::history`]). Always true: what was written
//! last is found at once, and by other replicas within a second or two; a conversation that is read is whole, or is none; what is
//! held in memory is bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hale_store::{KeptResponse, Store, Stored};
use parking_lot::Mutex;

use crate::limits::{Buffered, Held};

/// Longest row, bytes: what a request added and the response.
pub(crate) const ROW_MAX: usize = 4 << 20;
/// Bytes of rows that are held until the store has them.
const RECENT_MAX: usize = 16 << 20;
/// Bytes of rows after which a page of a conversation ends; its last row may go beyond.
const PAGE_BYTES: usize = 4 << 20;
/// How many rows are held until the store has them.
const ROWS_MAX: usize = 16 << 10;
/// How often a response that is not there is looked for again where other replicas write, and the pause before that.
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// Why a conversation is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It was not kept, was deleted, or has expired.
    Gone,
    /// It is longer than what may be held.
    TooLong,
    /// The store does not work.
    Away,
    /// It cannot be held now.
    NoRoom,
}

/// Room for a conversation while it is read.
pub(crate) struct Room {
    held: Held,
    /// The longest conversation, bytes.
    most: usize,
    /// What all requests may hold, bytes.
    limit: usize,
}

impl Room {
    /// Room for at most `most` bytes, where all requests may hold `limit`.
    pub(crate) fn new(all: &Arc<Buffered>, (most, limit): (usize, usize)) -> Room {
        Room { held: Held::none(all), most, limit }
    }

    /// How many bytes are held.
    pub(crate) fn bytes(&self) -> usize {
        self.held.bytes()
    }

    /// Takes room for a page of rows. Returns how long it may be before its last row.
    async fn take_page(&mut self) -> Result<usize, Missing> {
        let page = PAGE_BYTES.min(self.limit / 8);
        self.take(page + ROW_MAX.min(self.most)).await?;
        Ok(page)
    }

    /// Takes room for `more` bytes.
    async fn take(&mut self, more: usize) -> Result<(), Missing> {
        if self.held.add_in_time(more, self.limit).await { Ok(()) } else { Err(Missing::NoRoom) }
    }
}

/// What was kept last.
#[derive(Default)]
pub(crate) struct KeptResponses {
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    /// The last row of each id, and its number.
    rows: HashMap<Box<str>, (u64, Arc<KeptResponse>)>,
    /// The numbers and ids of rows, the oldest first.
    order: VecDeque<(u64, Box<str>)>,
    next: u64,
    bytes: usize,
}

fn size(row: &KeptResponse) -> usize {
    row.input.len() + row.response.len() + 256
}

impl Recent {
    fn find(&self, id: &str) -> Option<Arc<KeptResponse>> {
        self.rows.get(id).map(|(_, row)| row.clone())
    }

    fn push(&mut self, row: Arc<KeptResponse>) {
        self.next += 1;
        self.bytes += size(&row);
        self.order.push_back((self.next, row.id.clone()));
        if let Some((_, replaced)) = self.rows.insert(row.id.clone(), (self.next, row)) {
            self.bytes -= size(&replaced);
        }
        while self.bytes > RECENT_MAX || self.order.len() > ROWS_MAX {
            let Some((number, id)) = self.order.pop_front() else { break };
            if self.rows.get(&id).is_some_and(|(last, _)| *last == number)
                && let Some((_, oldest)) = self.rows.remove(&id)
            {
                self.bytes -= size(&oldest);
            }
        }
    }
}

impl KeptResponses {
    /// Keeps a row, unless it is too long.
    pub(crate) fn keep(&self, store: &Store, row: KeptResponse) {
        if row.input.len() + row.response.len() <= ROW_MAX {
            self.recent.lock().push(Arc::new(row.clone()));
            store.put(&Stored::Response(row));
        }
    }

    /// The response with that id, and all that it goes on from, the oldest first: no more than there is `room` for.
    pub(crate) async fn conversation(
        &self,
        store: &Store,
        (id, now): (&str, u64),
        room: &mut Room,
    ) -> Result<Vec<Arc<KeptResponse>>, Missing> {
        let mut found: Vec<Arc<KeptResponse>> = Vec::new();
        let mut bytes = 0;
        let mut next: Option<Box<str>> = Some(id.into());
        while let Some(id) = next.take() {
            let recent = self.recent.lock().find(&id);
            let rows = match recent {
                Some(row) if is_fresh(&row, now) => vec![row],
                recent => {
                    let page = room.take_page().await?;
                    // What the last one goes on from has not expired before it.
                    let since = if found.is_empty() { now } else { 0 };
                    // What the store does not have yet is still here.
                    match (read(store, (&id, since), page).await, recent) {
                        (Ok(rows), _) => rows,
                        (Err(_), Some(row)) => vec![row],
                        (Err(missing), None) => return Err(missing),
                    }
                }
            };
            for row in rows {
                let is_due = row.expires_at > now || !found.is_empty();
                if row.response.is_empty() || !is_due {
                    return Err(Missing::Gone);
                }
                bytes += size(&row);
                if bytes > room.most {
                    return Err(Missing::TooLong);
                }
                next.clone_from(&row.previous);
                found.push(row);
            }
            match bytes.checked_sub(room.bytes()) {
                Some(more) => room.take(more).await?,
                None => room.held.shrink_to(bytes),
            }
        }
        found.reverse();
        Ok(found)
    }

    /// The response with that id, if there is room for it.
    pub(crate) async fn one(
        &self,
        store: &Store,
        (id, now): (&str, u64),
        room: &mut Room,
    ) -> Result<Arc<KeptResponse>, Missing> {
        let page = room.take_page().await?;
        let recent = self.recent.lock().find(id);
        let row = match recent {
            Some(row) if is_fresh(&row, now) => row,
            recent => match (read(store, (id, now), page).await, recent) {
                (Ok(rows), _) => rows.into_iter().next().ok_or(Missing::Gone)?,
                (Err(_), Some(row)) => row,
                (Err(missing), None) => return Err(missing),
            },
        };
        room.held.shrink_to(size(&row));
        if row.response.is_empty() || row.expires_at <= now { Err(Missing::Gone) } else { Ok(row) }
    }
}

/// How long a row may take to reach the store, milliseconds: batches are written five times a second.
const FRESH_MS: u64 = 2_000;

/// Whether the store may not have it yet. Later the store is asked first: another replica may have deleted it.
fn is_fresh(row: &KeptResponse, now: u64) -> bool {
    now.saturating_sub(row.updated_at) < FRESH_MS
}

/// Rows of the store, the newest first; at least one.
async fn read(
    store: &Store,
    (id, now): (&str, u64),
    page: usize,
) -> Result<Vec<Arc<KeptResponse>>, Missing> {
    let looks = match store.address() {
        hale_store::Address::Server(_) => LOOKS,
        hale_store::Address::File(_) => 1,
    };
    for look in 0..looks {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let rows = store.kept_responses(id, now, page).await.map_err(|error| {
            tracing::debug!(%error, "a kept response cannot be read");
            Missing::Away
        })?;
        if !rows.is_empty() {
            return Ok(rows.into_iter().map(Arc::new).collect());
        }
    }
    Err(Missing::Gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_until_the_store_has_it_is_bounded_and_the_last_of_an_id_counts() {
        let row = |id: &str, response: usize| {
            let response = "x".repeat(response).into();
            Arc::new(KeptResponse { id: id.into(), response, ..KeptResponse::default() })
        };
        let mut recent = Recent::default();
        recent.push(row("a", 1));
        recent.push(row("a", 2));
        assert_eq!(recent.find("a").unwrap().response.len(), 2);
        for at in 0..20 {
            recent.push(row(&at.to_string(), 1 << 20));
        }
        assert!(recent.find("a").is_none() && recent.bytes <= RECENT_MAX);
        let held = recent.rows.values().map(|(_, row)| size(row)).sum::<usize>();
        assert_eq!((recent.bytes, recent.order.len()), (held, recent.rows.len()));
        for _ in 0..2 * ROWS_MAX {
            recent.push(row("b", 1));
        }
        assert_eq!(recent.find("b").unwrap().response.len(), 1);
        assert!(recent.order.len() <= ROWS_MAX);
    }
}
