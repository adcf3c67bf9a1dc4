//! The cache of answers, in front of the attempts and behind them.
//!
//! Called by [`super::start`] before the first attempt of a request, and by [`super::respond`] with its answer. Always true: without a cache in the config a request gets here only to learn that; a
//! request whose cache fails is served as if there were none; an upstream call that others wait for goes on when its client
//! leaves.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hale_core::cache::CacheAnswer;
use hale_core::operation::Operation;
use hale_core::route::{GiveUp, early_keepalive_ms};
use hale_core::time::Millis;
use hale_wire::peek::Peek;
use hale_wire::reuse;
use http::{HeaderMap, Response, StatusCode};

use super::answer_headers::{self, FromCache};
use super::cache_wish::CacheWish;
use super::exchange::{Exchange, Stage, note_group};
use super::followed::Followed;
use super::kept_parts::Parts;
use super::led::drained;
use super::overheard::Overheard;
use crate::cache::{CacheKey, End, Follower, Found, Head, Leader, Watch};
use crate::clock;
use crate::http::reply::Reply;

/// Serves a request by the cache: with an answer that is kept or on its way, else by its own attempts.
pub(super) async fn serve(mut exchange: Box<Exchange>, wish: Box<CacheWish>) -> Stage {
    let answers = exchange.arrival.worker.process.answers.clone();
    if exchange.request.operation == Operation::Embedding {
        let now = clock::recent().millis();
        let peek = exchange.request.peek();
        if let Some(mut parts) = peek.and_then(|peek| Parts::of(&answers, &wish, peek, now)) {
            Box::pin(parts.ask(wish.usage)).await;
            return exchange.serve_parts(&wish, parts).await;
        }
    }
    loop {
        let now = clock::recent().millis();
        match answers.find(wish.key, wish.usage, (wish.answer_bytes, now)) {
            Found::Kept(kept) => {
                let answer = FromCache { how: CacheAnswer::Hit, key: wish.key, head: &kept.head };
                return Stage::Answered(exchange.answer_whole(answer, kept.body.clone()));
            }
            Found::Nothing(leader) => {
                if wish.usage.reads
                    && answers.has_more()
                    && let [Some(kept)] =
                        &*Box::pin(answers.ask(&[wish.key], wish.usage.max_age_ms)).await
                {
                    leader.found(kept);
                    answers.hits.fetch_add(1, Ordering::Relaxed);
                    let how = CacheAnswer::Hit;
                    let answer = FromCache { how, key: wish.key, head: &kept.head };
                    return Stage::Answered(exchange.answer_whole(answer, kept.body.clone()));
                }
                answers.misses.fetch_add(1, Ordering::Relaxed);
                exchange.delivery.counting.missed_cache();
                let watch = leader.watch();
                exchange.lead = Some(Box::new(leader));
                let attempts = Box::pin(exchange.proceed(None));
                return CarriedOn { attempts: Some(attempts), watch }.await;
            }
            Found::UnderWay(mut follower) => match exchange.follow(&mut follower).await {
                Joined::Stream(head) => {
                    return Stage::Answered(exchange.answer_followed(wish.key, &head, follower));
                }
                Joined::Full(head, body) => {
                    let how = CacheAnswer::Joined;
                    let answer = FromCache { how, key: wish.key, head: &head };
                    return Stage::Answered(exchange.answer_whole(answer, body));
                }
                Joined::Late => {
                    let refusal = exchange.give_up(GiveUp::Deadline);
                    return Stage::Answered(exchange.refuse(refusal));
                }
                Joined::Failed => return exchange.proceed(None).await,
                // One of those who followed leads.
                Joined::Left => {}
            },
        }
    }
}

/// What a request that joined another one gets.
enum Joined {
    /// A stream that has begun.
    Stream(Head),
    /// A full answer.
    Full(Head, Bytes),
    /// The other request got no answer.
    Failed,
    /// The other request was given up.
    Left,
    /// Its own deadline has passed.
    Late,
}

impl Exchange {
    /// Answers a request with several inputs, each of which is kept for itself.
    async fn serve_parts(mut self: Box<Self>, wish: &CacheWish, mut parts: Parts) -> Stage {
        let answers = self.arrival.worker.process.answers.clone();
        if let Some(body) = parts.all_kept(self.plan.target().name(&self.arrival.serving.snapshot))
        {
            answers.hits.fetch_add(1, Ordering::Relaxed);
            let head = Head::default();
            let answer = FromCache { how: CacheAnswer::Hit, key: wish.key, head: &head };
            return Stage::Answered(self.answer_whole(answer, body));
        }
        answers.misses.fetch_add(1, Ordering::Relaxed);
        self.delivery.counting.missed_cache();
        // The vectors of a fallback's model do not go together with those that are kept.
        if self.plan.may_fall_back(&self.arrival.serving.snapshot) {
            parts.ask_for_all();
        }
        if let Some(body) = &mut self.request.body
            && let Some(missing) = parts.missing(&body.peek)
            && let Ok(peek) = Peek::parse(missing)
        {
            body.peek = peek;
            self.parts = Some(Box::new(parts));
        }
        self.proceed(None).await
    }

    /// The whole answer to a request of which some inputs were kept; `None` if the provider's answer does not fit.
    pub(super) fn with_kept_parts(&mut self, deployment: &str, body: &Bytes) -> Option<Bytes> {
        let Some(mut parts) = self.parts.take() else { return Some(body.clone()) };
        if self.plan.fallbacks() > 0 {
            parts.keep_nothing();
        }
        parts.completed(deployment, body, clock::recent().millis())
    }

    /// Waits for what the request that it joined gets.
    async fn follow(&mut self, follower: &mut Follower) -> Joined {
        let answer = self.delivery.waiting(joined(follower));
        let (deadline, now) = (self.plan.deadline(), clock::recent().millis());
        if deadline == Millis::NEVER {
            return answer.await;
        }
        let left = Duration::from_millis(deadline.since(now));
        tokio::time::timeout(left, answer).await.unwrap_or(Joined::Late)
    }

    /// Answers with the whole answer to another request.
    fn answer_whole(mut self: Box<Self>, answer: FromCache<'_>, body: Bytes) -> Response<Reply> {
        note_group(&self.arrival, &self.plan, &mut self.delivery);
        self.capture_whole(answer.head, &body);
        self.delivery.answered_by_cache(answer.how, body.len() as u64);
        let headers = self.headers_from_cache(answer);
        response(headers, Reply::full(body))
    }

    /// Shows sinks what `body` says, if there are such.
    fn capture_whole(&mut self, head: &Head, body: &Bytes) {
        let capture = &mut self.delivery.capture;
        if !head.is_stream {
            capture.answered(body);
        } else if let Some(mut overheard) = Overheard::of(capture, self.request.operation) {
            overheard.push(body);
            overheard.tell(capture);
        }
    }

    /// Answers with a stream that another request leads.
    fn answer_followed(
        mut self: Box<Self>,
        key: CacheKey,
        head: &Head,
        follower: Follower,
    ) -> Response<Reply> {
        note_group(&self.arrival, &self.plan, &mut self.delivery);
        self.delivery.joined(clock::recent());
        let mut headers =
            self.headers_from_cache(FromCache { how: CacheAnswer::Joined, key, head });
        self.request.body = None;
        let format = self.request.operation.format();
        let keepalive_ms = early_keepalive_ms(&self.arrival.serving.snapshot);
        let body = match self.kept_for_return(&mut headers, keepalive_ms) {
            Some(kept) => kept.around(Followed::new(follower, self)),
            None => Reply::stream(Followed::new(follower, self)),
        };
        response(headers, if keepalive_ms.is_some() { body.kept_alive(format) } else { body })
    }

    fn headers_from_cache(&self, answer: FromCache<'_>) -> HeaderMap {
        let durations = self.delivery.durations(clock::recent());
        let mut headers = answer_headers::from_cache(&self.arrival, &self.plan, durations, answer);
        if self.request.shows.route {
            answer_headers::route_from_cache(&mut headers, answer.how);
        }
        headers
    }

    /// A full answer is about to leave: those who joined get it, and it is kept if nothing cut it short.
    pub(super) fn share_full(&mut self, deployment: &str, body: &Bytes) -> Option<CacheKey> {
        let mut leader = self.lead.take()?;
        if self.plan.fallbacks() > 0 {
            leader.keep_nothing();
        }
        leader.begins(Head { is_stream: false, deployment: deployment.into() });
        leader.piece(body);
        let is_whole = |text: &str| reuse::is_whole(self.request.operation, text);
        leader.ends_whole(clock::recent().millis(), is_whole);
        Some(leader.key())
    }

    /// A stream is about to begin: what leads those who joined it.
    pub(super) fn share_stream(&mut self, deployment: &str) -> Option<Box<Leader>> {
        let mut leader = self.lead.take()?;
        if self.plan.fallbacks() > 0 {
            leader.keep_nothing();
        }
        leader.begins(Head { is_stream: true, deployment: deployment.into() });
        Some(leader)
    }
}

/// What the request that it joined gets.
async fn joined(follower: &mut Follower) -> Joined {
    let ended = |end| match end {
        End::Left => Joined::Left,
        End::Failed | End::Whole => Joined::Failed,
    };
    let head = match std::future::poll_fn(|cx| follower.poll_head(cx)).await {
        Ok(head) if head.is_stream => return Joined::Stream(head),
        Ok(head) => head,
        Err(end) => return ended(end),
    };
    // A full answer is one piece, whose bytes all who joined share.
    let mut pieces: Vec<Bytes> = Vec::new();
    loop {
        match std::future::poll_fn(|cx| follower.poll_piece(cx)).await {
            Ok(piece) => pieces.push(piece),
            Err(End::Whole) => {
                let body = match pieces.pop() {
                    Some(only) if pieces.is_empty() => only,
                    last => pieces.into_iter().chain(last).flatten().collect(),
                };
                return Joined::Full(head, body);
            }
            Err(end) => return ended(end),
        }
    }
}

fn response(headers: HeaderMap, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    *response.headers_mut() = headers;
    response
}

/// The attempts of a request that others may have joined. If it is dropped while they wait, the attempts go on without its
/// client.
struct CarriedOn {
    attempts: Option<Pin<Box<dyn Future<Output = Stage>>>>,
    watch: Watch,
}

impl Future for CarriedOn {
    type Output = Stage;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Stage> {
        let Some(attempts) = &mut self.attempts else { return Poll::Pending };
        let polled = attempts.as_mut().poll(cx);
        if polled.is_ready() {
            self.attempts = None;
        }
        polled
    }
}

impl Drop for CarriedOn {
    fn drop(&mut self) {
        if let Some(attempts) = self.attempts.take()
            && self.watch.is_followed()
            && !std::thread::panicking()
        {
            tokio::task::spawn_local(to_the_end(attempts));
        }
    }
}

/// Brings a request to its end whose client has left.
async fn to_the_end(attempts: Pin<Box<dyn Future<Output = Stage>>>) {
    let mut stage = attempts.await;
    loop {
        stage = match stage {
            Stage::Answered(response) => return drained(response.into_body()).await,
            Stage::Waits(waiting) => Box::pin(async { waiting.turn().await.go_on().await }).await,
        };
    }
}
