//! Makes the request of one attempt, and fetches what its provider needs and the client gave by address.
//!
//! Called by [`super::exchange`] for each attempt. Always true: an address is fetched once for all attempts of a request; no
//! deployment is called, holds a slot or is blamed meanwhile; what was fetched is given back with the body.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hale_core::time::Millis;
use hale_wire::fetched::Data;
use hale_wire::prepare::Prepared;

use super::attempt::{Destination, Unprepared};
use super::call_builder::CallBuilder;
use super::exchange::Exchange;
use crate::clock;
use crate::limits::Held;
use crate::offload;
use crate::state::Serving;
use crate::upstream::{Fetch, FetchError};

/// How many addresses of a request are fetched at a time.
const AT_A_TIME: usize = 8;

impl Exchange {
    /// The request to `destination`; `None` if what it needs had to be fetched first: the time for the attempt begins anew. What it
    /// takes besides the client's body is counted in `held`.
    pub(super) async fn prepared(
        &mut self,
        serving: &Serving,
        destination: &Destination<'_>,
        held: &mut Held,
    ) -> Option<Result<Prepared, Unprepared>> {
        let builder = CallBuilder {
            serving,
            request: &self.request,
            plan: &self.plan,
            known: self.known,
            rescue: self.rescue.as_deref(),
            call_id: &self.arrival.call_id,
        };
        match builder.prepared(destination, held).await {
            Ok(Prepared::Fetch(addresses)) => {
                held.shrink_to(0);
                // Boxed: few requests have addresses, and none should carry the room to fetch them.
                Box::pin(self.fetch(serving, addresses)).await;
                None
            }
            made => Some(made),
        }
    }

    /// Fetches `addresses` within what is left of the request's time.
    async fn fetch(&mut self, serving: &Serving, addresses: Vec<Box<str>>) {
        let gateway = &serving.snapshot.gateway;
        let fetch = Fetch {
            settings: &gateway.fetch,
            memory: &self.arrival.worker.process.buffered,
            limit: gateway.bounds.buffered_bytes,
        };
        let ends = clock::timer_instant(self.plan.deadline().min(latest()));
        let mut body = self.request.body.as_mut().and_then(|body| body.fetched.take());
        let into = body.get_or_insert_default();
        for some in addresses.chunks(AT_A_TIME) {
            let all = join_all(some.iter().map(|address| one(fetch, address)));
            self.delivery.wait_begins();
            let all = tokio::time::timeout_at(ends, all).await;
            self.delivery.wait_ends();
            let all =
                all.unwrap_or_else(|_late| some.iter().map(|_| Err(FetchError::Late)).collect());
            for (address, got) in some.iter().zip(all) {
                let found = match got {
                    Ok((data, held)) => {
                        into.held.push(held);
                        Ok(data)
                    }
                    Err(why) => {
                        into.is_full |= matches!(why, FetchError::NoRoom);
                        Err(why.to_string())
                    }
                };
                Arc::make_mut(&mut into.found).put(address.clone(), found);
            }
        }
        if let Some(request) = &mut self.request.body {
            request.fetched = body;
        }
    }
}

/// When the last address must be there, whatever the request's own limit is.
fn latest() -> Millis {
    clock::now().millis().plus(Duration::from_secs(60).as_millis() as u64)
}

/// What is at one address, in the form that providers take.
async fn one(fetch: Fetch<'_>, address: &str) -> Result<(Data, Held), FetchError> {
    let mut found = fetch.get(address).await?;
    // In base64 it is a third longer, and both are there for a moment.
    let coded = found.bytes.len().div_ceil(3) * 4;
    if !found.held.add_in_time(coded, fetch.limit).await {
        return Err(FetchError::NoRoom);
    }
    let (bytes, label) = (found.bytes, found.label);
    let data = if bytes.len() <= offload::LARGE {
        Data::of(&bytes, label.as_deref())
    } else {
        offload::run(move || Data::of(&bytes, label.as_deref())).await
    };
    let data = data.map_err(FetchError::Useless)?;
    found.held.shrink_to(data.bytes());
    Ok((data, found.held))
}
