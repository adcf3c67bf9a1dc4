//! What the targets of single wires have in common: deployments, requests, streams in pieces.
//!
//! Used by `converse` and `cohere`. Always true: what depends on where a stream is cut fails here.

use bytes::Bytes;
use hale_core::config::{InMemory, Options, load};
use hale_core::operation::Operation;
use hale_core::snapshot::Snapshot;
use hale_wire::answer;
use hale_wire::order::Order;
use hale_wire::peek::Peek;
use hale_wire::prepare::{Conversion, Prepared, prepare};
use hale_wire::stream::{Reader, View};
use serde_json::value::RawValue;

/// How much longer a client's stream may be than its provider's: each event has a head of its own.
const GROWTH: usize = 600;

/// The config of one deployment with these parameters.
pub(crate) fn snapshot(params: &str) -> Snapshot {
    let yaml = format!("model_list:\n- {{model_name: g, litellm_params: {{{params}}}}}\n");
    let loaded = load(&InMemory::file("c.yaml", yaml.as_str()), "c.yaml", Options::default(), None);
    loaded.snapshot.expect("the config is valid")
}

/// The bodies that are sent for the request `body` to `operation`; none if it is refused.
pub(crate) fn sent(snapshot: &Snapshot, operation: Operation, body: Bytes) -> Vec<Bytes> {
    let Ok(peek) = Peek::parse(body) else { return Vec::new() };
    let deployment = &snapshot.deployments[0];
    let order = Order {
        deployment,
        operation,
        upstream_model: &deployment.endpoint.upstream_model,
        kept: None,
        client_version: None,
        ask_usage: false,
        drop_params: false,
        known: hale_core::health::Known::default(),
        seals: None,
        fetched: None,
        client_betas: None,
        prefix: None,
    };
    let all = match prepare(&peek, &order) {
        Ok(Prepared::Body(_, body, _)) => vec![body.joined()],
        Ok(Prepared::Several(_, all, _)) => all.iter().map(|one| one.body.joined()).collect(),
        Ok(Prepared::Estimate(_) | Prepared::Count(_)) => Vec::new(),
        Ok(Prepared::Fetch(_)) => panic!("nothing is fetched"),
        Err(unfit) => {
            assert!(!unfit.message.is_empty(), "{unfit:?}");
            Vec::new()
        }
    };
    all.iter().for_each(is_json);
    all
}

#[track_caller]
fn is_json(body: &Bytes) {
    if let Err(error) = serde_json::from_slice::<&RawValue>(body) {
        panic!("{error}: {body:?}");
    }
}

fn view() -> View {
    View { model_json: "\"shown\"".into(), show_usage: true, created: 7, ..View::default() }
}

/// Whether `body` is a full answer; what the client gets of it is JSON.
pub(crate) fn is_answer(conversion: Conversion, body: &Bytes) -> bool {
    let answer = answer::check(conversion, body, &view());
    answer.is_ok_and(|answer| {
        is_json(&answer.body);
        true
    })
}

/// What a client gets of a stream in these pieces, why it ended early, and whether it is complete.
fn in_pieces<'p>(
    conversion: Conversion,
    pieces: impl Iterator<Item = &'p [u8]>,
) -> (Vec<u8>, Option<String>, bool) {
    let mut reader = Reader::new(conversion, view());
    let mut out = Vec::new();
    let mut pieces = pieces;
    let read = pieces
        .try_for_each(|piece| reader.push(Bytes::copy_from_slice(piece), &mut out))
        .and_then(|()| reader.finish(&mut out));
    (out, read.err().map(|broken| broken.to_string()), reader.is_complete())
}

/// Whether the stream is complete. It reads the same wherever it is cut, and what a client gets is bounded by what came.
pub(crate) fn is_complete(conversion: Conversion, stream: &[u8]) -> bool {
    let whole = in_pieces(conversion, std::iter::once(stream));
    for size in [1, 7, stream.len() / 2 + 1] {
        assert_eq!(in_pieces(conversion, stream.chunks(size)), whole, "{conversion:?} by {size}");
    }
    // An event that says nothing has a letter at least.
    assert!(whole.0.len() <= (stream.len() + 2) * GROWTH, "{} of {}", whole.0.len(), stream.len());
    whole.2
}
