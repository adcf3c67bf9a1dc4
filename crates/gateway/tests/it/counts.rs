//! What an answer counts: once, never erased, and with its cost where the config asks for it.

use hale_testkit::{FakeUpstream, Hale, Script, anthropic, openai, responses};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, LOG, client, wait_for_records};

const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";

/// One deployment at `wire`, whose model costs 1 USD a token of the prompt and 10 USD one of the answer.
fn start(wire: &str, upstream: &FakeUpstream, shows_cost: bool) -> Hale {
    let prices = json!({"model": format!("{wire}/mine"), "input_cost_per_token": 1, "output_cost_per_token": 10});
    Config::new()
        .with("m", "a", upstream, prices)
        .litellm(json!({"include_cost_in_streaming_usage": shows_cost}))
        .general(json!({"request_log": LOG}))
        .start()
}

fn events(hale: &Hale, path: &str, body: &Value) -> Vec<Value> {
    let mut own = client(hale);
    let mut stream = own.stream(path, &[], body);
    assert_eq!(stream.status, 200);
    stream.remaining().iter().filter(|event| !event.is_done()).map(|event| event.json()).collect()
}

/// The usage objects of the events, wherever they are.
fn usages(events: &[Value]) -> Vec<Value> {
    let places = ["/usage", "/message/usage", "/response/usage"];
    let of = |event: &Value| places.iter().find_map(|place| event.pointer(place).cloned());
    events.iter().filter_map(of).filter(|usage| !usage.is_null()).collect()
}

fn ask(path: &str) -> Value {
    match path {
        RESPONSES => json!({"model": "m", "input": "hi", "stream": true}),
        MESSAGES => anthropic::stream_request("m", "hi"),
        _ => {
            let mut ask = openai::stream_request("m", "hi");
            ask["stream_options"] = json!({"include_usage": true});
            ask
        }
    }
}

fn upstream(wire: &str, path: &str) -> FakeUpstream {
    match (wire, path) {
        ("anthropic", _) => FakeUpstream::with(anthropic::answer),
        (_, RESPONSES) => FakeUpstream::with(responses::answer),
        _ => FakeUpstream::start(),
    }
}

#[test]
fn a_streams_usage_has_its_cost_in_every_format_if_the_config_asks_for_it() {
    let ways = [
        ("openai", CHAT),
        ("openai", MESSAGES),
        ("openai", RESPONSES),
        ("anthropic", CHAT),
        ("anthropic", MESSAGES),
    ];
    for (wire, path) in ways {
        for shows in [true, false] {
            let upstream = upstream(wire, path);
            let hale = start(wire, &upstream, shows);
            let usages = usages(&events(&hale, path, &ask(path)));
            let last = usages.last().unwrap();
            let cost = wait_for_records(&hale, 1)[0]["cost_usd"].clone();
            assert!(cost.as_f64().is_some_and(|usd| usd > 10.0), "{cost}");
            let shown = if shows { cost } else { Value::Null };
            assert_eq!(last["cost"].as_f64(), shown.as_f64(), "{path} at {wire}: {last}");
            let others = &usages[..usages.len() - 1];
            assert!(others.iter().all(|usage| usage.get("cost").is_none()), "{usages:?}");
        }
    }
    // A client that does not ask for the usage sees neither.
    let upstream = FakeUpstream::start();
    let hale = start("openai", &upstream, true);
    assert_eq!(usages(&events(&hale, CHAT, &openai::stream_request("m", "hi"))), [] as [Value; 0]);
}

#[test]
fn a_model_without_a_price_and_counts_that_are_not_believed_show_no_cost() {
    let lying = FakeUpstream::with(|_| {
        let mut events = openai::chunks("x", &["hi"]);
        events.push(openai::usage_chunk("x", 1, 90_000_000));
        Script::ok().sse(&events)
    });
    let hale = start("openai", &lying, true);
    let shown = usages(&events(&hale, CHAT, &ask(CHAT)));
    assert_eq!(shown.last().unwrap().get("cost"), None);
    let upstream = FakeUpstream::start();
    let hale = Config::new()
        .with("m", "a", &upstream, json!({"model": "openai/no-price"}))
        .litellm(json!({"include_cost_in_streaming_usage": true}))
        .start();
    assert_eq!(usages(&events(&hale, CHAT, &ask(CHAT))).last().unwrap().get("cost"), None);
}

/// Sources: servers that send counts with every chunk, and proxies that end with an empty usage.
#[test]
fn counts_are_neither_added_up_nor_erased_by_a_later_nothing() {
    let zero = json!({"id": "1", "choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}});
    let null = json!({"id": "1", "choices": [], "usage": null});
    let empty = json!({"id": "1", "choices": [], "usage": {}});
    let openai_wire = move |_: &_| {
        let mut all = openai::chunks("x", &["hi"]);
        // Counts grow with the stream.
        all.insert(1, openai::usage_chunk("x", 7, 1));
        all.push(openai::usage_chunk("x", 7, 3));
        all.extend([zero.clone(), null.clone(), empty.clone()]);
        Script::ok().sse(&all)
    };
    let anthropic_wire = |_: &_| {
        let mut all = anthropic::events("x", &["hi"]);
        let usage = json!({"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 0});
        let last = all.len() - 1;
        all.insert(
            last,
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}),
        );
        anthropic::stream(&all).end()
    };
    for (wire, path, input, output) in [
        ("openai", CHAT, 7, 3),
        ("openai", MESSAGES, 7, 3),
        ("anthropic", CHAT, 9, 7),
        ("anthropic", MESSAGES, 9, 7),
    ] {
        let upstream = match wire {
            "openai" => FakeUpstream::with(openai_wire.clone()),
            _ => FakeUpstream::with(anthropic_wire),
        };
        let hale = start(wire, &upstream, false);
        let shown = usages(&events(&hale, path, &ask(path)));
        let record = &wait_for_records(&hale, 1)[0];
        assert_eq!(record["input_tokens"], input, "{path} at {wire}: {record}");
        assert_eq!(record["output_tokens"], output, "{path} at {wire}: {record}");
        if wire != "openai" || path != CHAT {
            // Translated counts are those of the record; bytes that pass are the provider's.
            let last = shown.last().unwrap();
            let shown = last.get("output_tokens").or(last.get("completion_tokens"));
            let expected = if (wire, path) == ("anthropic", MESSAGES) { 0 } else { output };
            assert_eq!(shown, Some(&json!(expected)), "{path} at {wire}: {last}");
        }
    }
}
