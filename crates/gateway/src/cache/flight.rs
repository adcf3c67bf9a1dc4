//! An answer on its way, which equal requests share.
//!
//! Led by the request that calls the upstream, followed by those that came while it did. Always true: a follower gets every
//! piece in order, from the first on; what is held for followers is bounded; when the leader ends without the whole answer,
//! each follower learns it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hale_core::time::Millis;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::AnswerCache;
use super::kept::{Head, KeptAnswer};
use super::key::CacheKey;
use crate::clock;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it is there.
    Whole,
    /// Its leader was refused, or it broke: then its last piece says so.
    Failed,
    /// Its leader left, or this follower was too slow.
    Left,
}

/// A follower may be so many times behind what is kept of one answer.
const LAG_MAX: usize = 8;
/// How long the first client may leave a piece unread, milliseconds. Then no other request joins it, and those who did go
/// on without it: until then the upstream is read no faster than that client reads.
const UNREAD_MS: u64 = 1_000;

/// The bytes of all answers on their way together.
#[derive(Default)]
pub(super) struct Room {
    held: AtomicUsize,
    most: AtomicUsize,
}

impl Room {
    /// At most so many bytes.
    pub(super) fn resize(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> bool {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let fits = held <= self.most.load(Ordering::Relaxed);
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// An answer on its way.
pub(super) struct Flight {
    state: Mutex<State>,
    /// Since when the client of the leader has a piece to read, milliseconds; [`Millis::NEVER`] while it has none.
    unread_since: AtomicU64,
    /// Whether an operator had its answer forgotten before it came.
    is_forgotten: AtomicBool,
    /// Wakes what looks after the leader's client, once there are followers.
    followed: Notify,
}

struct State {
    room: Arc<Room>,
    head: Option<Head>,
    /// The pieces that some follower has not taken, or all while the answer may be kept.
    pieces: VecDeque<Bytes>,
    /// Pieces before those.
    dropped: usize,
    /// Bytes of `pieces`.
    held: usize,
    /// Most bytes of an answer that is kept.
    most: usize,
    /// Whether it is longer than that, or there is no room: it is not kept, and no other request can join.
    is_too_long: bool,
    /// How many pieces each follower has taken; `None` for one that left or was cut.
    followers: Vec<Option<usize>>,
    wakers: Vec<Waker>,
    end: Option<End>,
}

impl State {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.wakers.iter().any(|known| known.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }

    fn is_followed(&self) -> bool {
        self.followers.iter().any(Option::is_some)
    }

    /// One more follows, from that piece on; its number.
    fn follow(&mut self, from: usize) -> usize {
        self.followers.push(Some(from));
        self.followers.len() - 1
    }

    /// The place of the follower that is furthest behind.
    fn slowest(&self) -> Option<usize> {
        self.followers.iter().flatten().min().copied()
    }

    fn drop_first(&mut self) {
        if let Some(piece) = self.pieces.pop_front() {
            self.dropped += 1;
            self.held -= piece.len();
            self.room.give_back(piece.len());
        }
    }

    /// Drops what no follower needs, once the answer is not kept.
    fn drop_taken(&mut self) {
        let needed = self.slowest().unwrap_or(usize::MAX);
        while self.is_too_long && self.dropped < needed && !self.pieces.is_empty() {
            self.drop_first();
        }
    }

    fn push(&mut self, piece: &Bytes) {
        let may_be_kept = !self.is_too_long && self.held + piece.len() <= self.most;
        if may_be_kept && self.room.take(piece.len()) {
            self.held += piece.len();
            self.pieces.push_back(piece.clone());
            return;
        }
        self.is_too_long = true;
        self.drop_taken();
        let fits = |state: &State| state.held + piece.len() <= state.most.saturating_mul(LAG_MAX);
        while self.is_followed() && !(fits(self) && self.room.take(piece.len())) {
            // Those who read slowest are cut, so that the others go on.
            let slowest = self.slowest();
            self.followers.iter_mut().filter(|one| **one == slowest).for_each(|one| *one = None);
            self.drop_taken();
        }
        if self.is_followed() {
            self.held += piece.len();
            self.pieces.push_back(piece.clone());
        } else {
            self.dropped += 1;
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.room.give_back(self.held);
    }
}

impl Flight {
    /// A flight of an answer of which at most `most` bytes are kept.
    pub(super) fn new(most: usize, room: Arc<Room>) -> Arc<Flight> {
        let state = State {
            room,
            head: None,
            pieces: VecDeque::new(),
            dropped: 0,
            held: 0,
            most,
            is_too_long: false,
            followers: Vec::new(),
            wakers: Vec::new(),
            end: None,
        };
        let unread_since = AtomicU64::new(Millis::NEVER.0);
        let (is_forgotten, followed) = (AtomicBool::new(false), Notify::new());
        Arc::new(Flight { state: Mutex::new(state), unread_since, is_forgotten, followed })
    }

    /// Its answer is not kept.
    pub(super) fn forget(&self) {
        self.is_forgotten.store(true, Ordering::Relaxed);
    }

    /// Follows it from its first piece on; `None` if that is not there any more, if it ended, or if its first client
    /// does not read it.
    pub(super) fn follow(flight: &Arc<Flight>, now: Millis) -> Option<Follower> {
        if flight.hangs(now) {
            return None;
        }
        let mut state = flight.state.lock();
        if state.is_too_long || state.end.is_some() {
            return None;
        }
        let number = state.follow(0);
        drop(state);
        flight.followed.notify_one();
        Some(Follower { flight: flight.clone(), number })
    }

    /// Whether the client of the leader has left a piece unread for so long that others need not wait for it.
    fn hangs(&self, now: Millis) -> bool {
        now.since(Millis(self.unread_since.load(Ordering::Relaxed))) > UNREAD_MS
    }

    /// Changes the state, and wakes the followers.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The side of the request that calls the upstream.
pub(crate) struct Leader {
    cache: Arc<AnswerCache>,
    key: CacheKey,
    flight: Arc<Flight>,
    keeps_ms: Option<u64>,
    /// Whether no other request can join.
    has_landed: bool,
    has_ended: bool,
}

impl Leader {
    /// Leads `flight`, and keeps its answer for `keeps_ms`.
    pub(super) fn new(
        cache: Arc<AnswerCache>,
        key: CacheKey,
        flight: Arc<Flight>,
        keeps_ms: Option<u64>,
    ) -> Leader {
        Leader { cache, key, flight, keeps_ms, has_landed: false, has_ended: false }
    }

    /// The key of the answer.
    pub(crate) fn key(&self) -> CacheKey {
        self.key
    }

    /// Tells whether any request waits for the answer.
    pub(crate) fn watch(&self) -> Watch {
        Watch(self.flight.clone())
    }

    /// The answer is not kept, whatever it is.
    pub(crate) fn keep_nothing(&mut self) {
        self.keeps_ms = None;
    }

    /// The answer begins.
    pub(crate) fn begins(&self, head: Head) {
        self.flight.change(|state| state.head = Some(head));
    }

    /// The next piece of the answer.
    pub(crate) fn piece(&mut self, piece: &Bytes) {
        let mut is_too_long = false;
        self.flight.change(|state| {
            state.push(piece);
            is_too_long = state.is_too_long;
        });
        if is_too_long && !std::mem::replace(&mut self.has_landed, true) {
            self.cache.land(self.key, &self.flight);
        }
    }

    /// Its client has a piece to read since then; [`Millis::NEVER`] if it asks for the next one.
    pub(crate) fn unread_since(&self, since: Millis) {
        self.flight.unread_since.store(since.0, Ordering::Relaxed);
    }

    /// The client of the leader goes on as one who joined, with the piece after the last one: it gets what it has not read
    /// yet when it reads again.
    pub(crate) fn follow_on(&self) -> Follower {
        let mut state = self.flight.state.lock();
        let from = state.dropped + state.pieces.len();
        let number = state.follow(from);
        drop(state);
        self.unread_since(Millis::NEVER);
        Follower { flight: self.flight.clone(), number }
    }

    /// A copy of all pieces so far; `None` if they are more than is kept. A piece may be a part of a larger buffer.
    fn collected(&self) -> Option<Bytes> {
        let state = self.flight.state.lock();
        if state.is_too_long {
            return None;
        }
        let mut whole = Vec::with_capacity(state.held);
        state.pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
        Some(whole.into())
    }

    /// The answer is complete, and kept if it may be and `is_whole` says that nothing cut its text short.
    pub(crate) fn ends_whole(&mut self, now: Millis, is_whole: impl FnOnce(&str) -> bool) {
        if self.has_ended {
            return;
        }
        let head = self.flight.state.lock().head.clone();
        if let Some(ms) = self.keeps_ms
            && !self.flight.is_forgotten.load(Ordering::Relaxed)
            && let (Some(head), Some(body)) = (head, self.collected())
            && std::str::from_utf8(&body).is_ok_and(is_whole)
        {
            let answer = KeptAnswer { head, body, since: now, age_ms: 0, until: now.plus(ms) };
            self.cache.keep(self.key, answer);
        }
        self.end(End::Whole);
    }

    /// It is an answer that was kept: those who joined get it.
    pub(crate) fn found(mut self, answer: &KeptAnswer) {
        self.begins(answer.head.clone());
        self.flight.change(|state| state.push(&answer.body));
        self.end(End::Whole);
    }

    /// It broke, and no piece of it says so.
    pub(crate) fn leaves(&mut self) {
        self.end(End::Left);
    }

    /// There is no answer, or its last piece says that it broke.
    pub(crate) fn fails(&mut self) {
        self.end(End::Failed);
    }

    fn end(&mut self, end: End) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.cache.land(self.key, &self.flight);
        self.flight.change(|state| state.end = Some(end));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.end(End::Left);
    }
}

/// Tells whether an answer is waited for.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Flight>);

impl Watch {
    /// Whether any request waits for it.
    pub(crate) fn is_followed(&self) -> bool {
        let state = self.0.state.lock();
        state.end.is_none() && state.is_followed()
    }

    /// Waits until others wait for a piece that the client of the leader does not fetch.
    pub(crate) async fn held_up(&self) {
        loop {
            while !self.is_followed() {
                self.0.followed.notified().await;
            }
            if self.0.hangs(clock::now().millis()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(UNREAD_MS)).await;
        }
    }
}

/// The side of a request that joined.
pub(crate) struct Follower {
    flight: Arc<Flight>,
    number: usize,
}

impl Follower {
    /// The head of the answer, or how it ended without one.
    pub(crate) fn poll_head(&self, cx: &Context<'_>) -> Poll<Result<Head, End>> {
        let mut state = self.flight.state.lock();
        match (&state.head, state.end) {
            (Some(head), _) => Poll::Ready(Ok(head.clone())),
            (None, Some(end)) => Poll::Ready(Err(end)),
            (None, None) => {
                state.wait(cx);
                Poll::Pending
            }
        }
    }

    /// The next piece, or how the answer ended for this follower.
    pub(crate) fn poll_piece(&mut self, cx: &Context<'_>) -> Poll<Result<Bytes, End>> {
        let mut state = self.flight.state.lock();
        let Some(taken) = state.followers[self.number] else { return Poll::Ready(Err(End::Left)) };
        if let Some(piece) = state.pieces.get(taken - state.dropped).cloned() {
            state.followers[self.number] = Some(taken + 1);
            state.drop_taken();
            return Poll::Ready(Ok(piece));
        }
        match state.end {
            Some(end) => Poll::Ready(Err(end)),
            None => {
                state.wait(cx);
                Poll::Pending
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.flight.state.lock();
        state.followers[self.number] = None;
        state.drop_taken();
    }
}

#[cfg(test)]
mod tests {
    use hale_core::cache::CacheUsage;

    use super::super::Found;
    use super::*;

    const USAGE: CacheUsage = CacheUsage { reads: true, keeps_ms: Some(1_000), max_age_ms: None };

    fn cache() -> Arc<AnswerCache> {
        let cache = Arc::new(AnswerCache::new());
        cache.kept.resize(1 << 20);
        cache.room.resize(1_000);
        cache
    }

    fn key() -> CacheKey {
        CacheKey::of(|feed| feed(b"key"))
    }

    fn find(cache: &Arc<AnswerCache>) -> Found {
        cache.find(key(), USAGE, (10, Millis(0)))
    }

    fn lead(cache: &Arc<AnswerCache>) -> Leader {
        match find(cache) {
            Found::Nothing(leader) => leader,
            Found::Kept(_) | Found::UnderWay(_) => panic!("there is an answer"),
        }
    }

    fn follow(cache: &Arc<AnswerCache>) -> Follower {
        match find(cache) {
            Found::UnderWay(follower) => follower,
            Found::Kept(_) | Found::Nothing(_) => panic!("nothing is under way"),
        }
    }

    fn now<T>(poll: impl FnOnce(&Context<'_>) -> Poll<T>) -> Option<T> {
        match poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => Some(ready),
            Poll::Pending => None,
        }
    }

    fn piece(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn followers_get_every_piece_from_the_first_on() {
        let cache = cache();
        let mut leader = lead(&cache);
        let mut early = follow(&cache);
        assert_eq!(now(|cx| early.poll_head(cx)), None);
        leader.begins(Head { is_stream: true, ..Head::default() });
        leader.piece(&piece("a"));
        let mut late = follow(&cache);
        leader.piece(&piece("b"));
        assert!(leader.watch().is_followed());
        leader.ends_whole(Millis(0), |_| true);
        for follower in [&mut early, &mut late] {
            assert!(now(|cx| follower.poll_head(cx)).unwrap().unwrap().is_stream);
            assert_eq!(now(|cx| follower.poll_piece(cx)), Some(Ok(piece("a"))));
            assert_eq!(now(|cx| follower.poll_piece(cx)), Some(Ok(piece("b"))));
            assert_eq!(now(|cx| follower.poll_piece(cx)), Some(Err(End::Whole)));
        }
        let Found::Kept(kept) = find(&cache) else { panic!("it is kept") };
        assert_eq!(kept.body, "ab");
    }

    #[test]
    fn a_long_answer_is_held_for_those_who_follow_it_and_not_kept() {
        let cache = cache();
        let mut leader = lead(&cache);
        let mut follower = follow(&cache);
        leader.begins(Head::default());
        leader.piece(&piece("0123456789"));
        leader.piece(&piece("more"));
        let other = lead(&cache);
        drop(other);
        assert_eq!(now(|cx| follower.poll_piece(cx)), Some(Ok(piece("0123456789"))));
        drop(follower);
        assert!(leader.flight.state.lock().pieces.is_empty(), "no one needs them");
        leader.piece(&piece("and more"));
        leader.ends_whole(Millis(0), |_| true);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn who_reads_too_slowly_is_cut_and_the_others_go_on() {
        let cache = cache();
        let mut leader = lead(&cache);
        let (mut slow, mut quick) = (follow(&cache), follow(&cache));
        leader.begins(Head::default());
        for _ in 0..100 {
            leader.piece(&piece("01234567"));
            assert_eq!(now(|cx| quick.poll_piece(cx)), Some(Ok(piece("01234567"))));
            assert!(leader.flight.state.lock().held <= LAG_MAX * 10);
        }
        assert_eq!(now(|cx| slow.poll_piece(cx)), Some(Err(End::Left)));
        leader.ends_whole(Millis(0), |_| true);
        assert_eq!(now(|cx| quick.poll_piece(cx)), Some(Err(End::Whole)));
    }

    #[test]
    fn a_stream_whose_first_client_does_not_read_is_joined_by_no_other() {
        let cache = cache();
        let mut stuck = lead(&cache);
        stuck.begins(Head { is_stream: true, ..Head::default() });
        stuck.piece(&piece("a"));
        stuck.unread_since(Millis(500));
        let find = |now| cache.find(key(), USAGE, (10, Millis(now)));
        assert!(matches!(find(500 + UNREAD_MS), Found::UnderWay(_)), "it may be about to");
        let Found::Nothing(other) = find(501 + UNREAD_MS) else {
            panic!("it joins one that hangs")
        };
        stuck.unread_since(Millis::NEVER);
        drop(stuck);
        assert!(matches!(find(9_000), Found::UnderWay(_)), "the other one leads now");
        drop(other);
    }

    #[test]
    fn answers_on_their_way_share_a_room() {
        let cache = cache();
        cache.room.resize(12);
        let mut one = lead(&cache);
        one.piece(&piece("01234567"));
        let usage = CacheUsage { reads: false, ..USAGE };
        let Found::Nothing(mut other) = cache.find(key(), usage, (10, Millis(0))) else {
            panic!("not fresh")
        };
        other.begins(Head::default());
        other.piece(&piece("01234567"));
        other.ends_whole(Millis(0), |_| true);
        assert_eq!(cache.len(), 0, "there is no room to keep it");
        drop(one);
        assert_eq!(cache.room.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_end_without_an_answer_is_told() {
        let cache = cache();
        let mut leader = lead(&cache);
        let follower = follow(&cache);
        leader.fails();
        assert_eq!(now(|cx| follower.poll_head(cx)), Some(Err(End::Failed)));
        let leader = lead(&cache);
        let follower = follow(&cache);
        drop(leader);
        assert_eq!(now(|cx| follower.poll_head(cx)), Some(Err(End::Left)));
        let leader = lead(&cache);
        let mut follower = follow(&cache);
        leader.begins(Head::default());
        drop(leader);
        assert_eq!(now(|cx| follower.poll_piece(cx)), Some(Err(End::Left)));
    }

    #[test]
    fn a_request_for_a_fresh_answer_is_followed_by_none_and_kept() {
        let cache = cache();
        let usage = CacheUsage { reads: false, ..USAGE };
        let Found::Nothing(mut fresh) = cache.find(key(), usage, (10, Millis(0))) else {
            panic!("not fresh")
        };
        drop(lead(&cache));
        fresh.begins(Head::default());
        fresh.piece(&piece("new"));
        fresh.ends_whole(Millis(0), |_| true);
        let Found::Kept(kept) = find(&cache) else { panic!("it is kept") };
        assert_eq!(kept.body, "new");
    }
}
