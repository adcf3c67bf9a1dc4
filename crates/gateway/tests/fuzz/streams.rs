//! Event streams: the result does not depend on where they are cut.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_core::tenancy::Owner;
use hale_wire::events::{Data, Splitter, data, events};
use hale_wire::id::{IdKey, Issuer};
use hale_wire::prepare::Conversion;
use hale_wire::stream::{Reader, View};

use crate::fuzz;

const WORDS: &[&str] = &[
    "data: ",
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\",\"usage\":{\"input_tokens\":3}}}\n\n",
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{}}}\n\n",
    "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n",
    "\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}",
    "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n",
    "data: {\"type\":\"message_stop\"}\n\n",
    "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"n\",\"arguments\":\"{\"}}]}}]}\n\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}],\"responseId\":\"r\"}\n\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"n\"},\"thoughtSignature\":\"AA==\"}]},\"finishReason\":\"STOP\"}]}\n\n",
    "\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":2},",
    "{\"created_at\":\"1\",\"message\":{\"content\":\"x\",\"thinking\":\"y\"},\"done\":false}\n",
    "{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"n\",\"arguments\":{}}}]}}\n",
    "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":1,\"eval_count\":2}\n",
    "{\"error\":\"m\"}\n",
    "data:",
    "\n\n",
    "\r\n\r\n",
    "\r\r",
    "\r\n",
    "\r",
    "\n",
    ": ping",
    "event: error",
    "id: 1",
    "retry: 5",
    "[DONE]",
    "\u{feff}",
    "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}",
    "\"finish_reason\":\"stop\"",
    "\"model\":\"gpt\"",
    "\"usage\":{\"prompt_tokens\":1}",
    "\"choices\":[]",
    "{\"error\":{\"message\":\"m\",\"code\":429}}",
    "\"delta\":{}",
    "null",
    "\\u00fc",
    "\u{1f600}",
];

fuzz!("streams", WORDS, check);

/// Where the input is cut: nowhere, everywhere, and at places chosen by its hash.
fn cuttings(input: &[u8]) -> Vec<Vec<usize>> {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let mut rng = fastrand::Rng::with_seed(hasher.finish());
    let mut some = || {
        let mut cuts: Vec<usize> =
            (0..rng.usize(1..6)).map(|_| rng.usize(..=input.len())).collect();
        cuts.sort_unstable();
        cuts
    };
    vec![Vec::new(), (0..=input.len()).collect(), some(), some()]
}

fn pieces<'i>(input: &'i [u8], cuts: &[usize]) -> Vec<&'i [u8]> {
    let mut from = 0;
    let mut pieces = Vec::new();
    for cut in cuts.iter().copied().chain([input.len()]) {
        pieces.push(&input[from..cut]);
        from = cut;
    }
    pieces
}

/// The whole events without the empty lines around them, and all bytes in their order.
///
/// An extra empty line has no meaning; the event it belongs to may depend on the cuts.
fn split(input: &[u8], cuts: &[usize]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut splitter = Splitter::default();
    let (mut found, mut all) = (Vec::new(), Vec::new());
    for piece in pieces(input, cuts) {
        let block = splitter.push(Bytes::copy_from_slice(piece));
        for event in events(&block).map(|range| &block[range]) {
            let text = event.trim_ascii();
            if !text.is_empty() {
                found.push(text.to_vec());
            }
            if let Data::Line(place) = data(event) {
                assert!(place.end <= event.len());
            }
        }
        all.extend_from_slice(&block);
    }
    all.extend_from_slice(&splitter.finish());
    (found, all)
}

/// What a client sees, and what was learned.
#[derive(Debug, PartialEq, Hash)]
struct Seen {
    /// Its events as lists of lines; the number of empty lines between them has no meaning.
    shown: Vec<Vec<Vec<u8>>>,
    content: bool,
    complete: bool,
    done: bool,
    error: Option<String>,
    broken: Option<String>,
    usage: String,
    events: u64,
    skipped: u64,
}

fn lines(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut events = vec![Vec::new()];
    let mut line = Vec::new();
    // A pair of carriage return and line feed is one end of a line.
    let mut after_return = false;
    for &byte in bytes {
        match byte {
            b'\n' if after_return => {}
            b'\n' | b'\r' if line.is_empty() => events.push(Vec::new()),
            b'\n' | b'\r' => {
                let line = std::mem::take(&mut line);
                events.last_mut().expect("never empty").push(line);
            }
            other => line.push(other),
        }
        after_return = byte == b'\r';
    }
    events.last_mut().expect("never empty").push(line);
    events.retain(|event| event.iter().any(|line| !line.is_empty()));
    events
}

/// What OpenAI's clients see of OpenAI's streams, and the conversions between two formats.
const WAYS: [Conversion; 14] = [
    Conversion { operation: Operation::Chat, wire: WireFormat::OpenAi },
    Conversion { operation: Operation::Chat, wire: WireFormat::Anthropic },
    Conversion { operation: Operation::Messages, wire: WireFormat::Anthropic },
    Conversion { operation: Operation::Messages, wire: WireFormat::OpenAi },
    Conversion { operation: Operation::Responses, wire: WireFormat::Responses },
    Conversion { operation: Operation::Responses, wire: WireFormat::OpenAi },
    Conversion { operation: Operation::Responses, wire: WireFormat::Anthropic },
    Conversion { operation: Operation::Responses, wire: WireFormat::Gemini },
    Conversion { operation: Operation::Chat, wire: WireFormat::Gemini },
    Conversion { operation: Operation::Messages, wire: WireFormat::Gemini },
    Conversion { operation: Operation::Chat, wire: WireFormat::Cohere },
    Conversion { operation: Operation::Messages, wire: WireFormat::Cohere },
    Conversion { operation: Operation::Chat, wire: WireFormat::Ollama },
    Conversion { operation: Operation::Messages, wire: WireFormat::Ollama },
];

fn read(conversion: Conversion, input: &[u8], cuts: &[usize], show_usage: bool) -> Seen {
    let view = View {
        model_json: "\"shown\"".into(),
        show_usage,
        priced: None,
        unix_ms: 0,
        earlier_usd: 0.0,
        merges_reasoning: false,
        created: 7,
        answer_id: None,
        upstream_model: None,
        notes: None,
        issuer: Some(Issuer {
            key: IdKey::new(b"k"),
            deployment: "d".into(),
            owner: Owner::NONE,
            named: None,
        }),
        serial: 7,
        kept: None,
    };
    let mut reader = Reader::new(conversion, view);
    let mut bytes = Vec::new();
    let mut read = Ok(());
    for piece in pieces(input, cuts) {
        read = read.and_then(|()| reader.push(Bytes::copy_from_slice(piece), &mut bytes));
    }
    let read = read.and_then(|()| reader.finish(&mut bytes));
    Seen {
        shown: lines(&bytes),
        content: reader.has_content(),
        complete: reader.is_complete(),
        done: reader.is_done(),
        error: reader.error().map(|error| format!("{error:?}")),
        broken: read.err().map(|broken| broken.to_string()),
        usage: format!("{:?}", reader.usage()),
        events: reader.events(),
        skipped: reader.skipped(),
    }
}

fn check(input: &[u8]) -> (usize, bool, bool, bool, u64, u64) {
    let cuttings = cuttings(input);
    let whole = split(input, &cuttings[0]);
    assert_eq!(whole.1, input, "no byte is lost or changed");
    for cuts in &cuttings[1..] {
        assert_eq!(split(input, cuts), whole, "{cuts:?}");
    }
    for conversion in WAYS {
        for show_usage in [true, false] {
            let seen = read(conversion, input, &cuttings[0], show_usage);
            for cuts in &cuttings[1..] {
                assert_eq!(
                    read(conversion, input, cuts, show_usage),
                    seen,
                    "{conversion:?} {cuts:?}"
                );
            }
        }
    }
    let seen = read(WAYS[0], input, &cuttings[0], true);
    (
        whole.0.len().min(8),
        seen.content,
        seen.done,
        seen.error.is_some(),
        seen.events.min(8),
        seen.skipped.min(4),
    )
}
