//! Forms: transcriptions and edits of images. Their bytes pass, are sent again, and are answered in every
//! shape that the client asks for.

use hale_testkit::forms::{self, Part, TRANSCRIPT, content_type, form, parts};
use hale_testkit::{FakeUpstream, Hale, Response, Script};
use serde_json::{Value, json};

use crate::support::{Config, LOG, client, expect_error, lone, pair, wait_for_records};

pub(crate) const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";
const EDITS: &str = "/v1/images/edits";
/// A file with bytes that would confuse a careless scanner.
const SOUND: &[u8] = b"RIFF\x00\xff\r\n--form-boundary\r\n\r\n--form-boundary-0001x\r\n";

pub(crate) fn fake() -> FakeUpstream {
    FakeUpstream::with(forms::answer)
}

#[track_caller]
pub(crate) fn post_with(
    hale: &Hale,
    path: &str,
    headers: &[(&str, &str)],
    parts: &[Part<'_>],
) -> Response {
    let kind = content_type();
    let headers = [&[("content-type", &*kind)], headers].concat();
    client(hale).request("POST", path, &headers, &form(parts))
}

#[track_caller]
pub(crate) fn post(hale: &Hale, path: &str, parts: &[Part<'_>]) -> Response {
    post_with(hale, path, &[], parts)
}

/// A request to transcribe, with further text parts.
fn spoken<'p>(more: &[(&'p str, &'p str)]) -> Vec<Part<'p>> {
    let words = more.iter().map(|(name, word)| (*name, None, word.as_bytes()));
    [("file", Some("a.wav"), SOUND), ("model", None, &b"m"[..])].into_iter().chain(words).collect()
}

fn at_whisper(upstream: &FakeUpstream) -> Config {
    Config::new().with("m", "a", upstream, json!({"model": "openai/whisper-1"}))
}

#[test]
fn a_form_arrives_with_the_deployments_model_and_nothing_else_changed() {
    let upstream = fake();
    let hale = at_whisper(&upstream).start();
    let sent = spoken(&[("language", "en"), ("timestamp_granularities[]", "word")]);
    let paths = [
        TRANSCRIPTIONS,
        "/audio/transcriptions",
        "/openai/deployments/m/audio/transcriptions?api-version=x",
    ];
    for (index, path) in paths.into_iter().enumerate() {
        let answer = post(&hale, path, &sent);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["text"], TRANSCRIPT);
        assert_eq!(answer.header("x-litellm-model-id"), Some("a"));
        let request = upstream.request(index);
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", TRANSCRIPTIONS));
        let mut expected = sent.clone();
        expected[1].2 = b"whisper-1";
        assert_eq!(request.body, form(&expected), "{path}");
        assert_eq!(request.header("content-type"), Some(&*content_type()));
    }
    // The model of the path is enough.
    let without = [sent[0]];
    assert_eq!(post(&hale, paths[2], &without).status, 200);
    assert_eq!(forms::field(&upstream.request(3), "model").as_deref(), Some("whisper-1"));
}

#[test]
fn what_speaks_to_the_gateway_stays_here() {
    let (one, two) = (fake(), fake());
    one.answer_with(|_| Script::error(500, "down"));
    let config = at_whisper(&one).with("n", "b", &two, json!({"model": "openai/whisper-1"}));
    let hale = config.start();
    let controls = [
        ("num_retries", "1"),
        ("fallbacks[]", "n"),
        ("timeout", "30"),
        ("metadata", "{\"tags\":[\"x\"]}"),
        ("tags", "[\"x\"]"),
    ];
    let answer = post(&hale, TRANSCRIPTIONS, &spoken(&controls));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-litellm-attempted-retries"), Some("1"));
    assert_eq!(answer.header("x-litellm-attempted-fallbacks"), Some("1"));
    assert_eq!(one.requests().len(), 2);
    let names: Vec<String> = parts(&two.request(0)).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["file", "model"]);
    let listed = [("fallbacks", "[{\"model\":\"n\",\"language\":\"de\"}]"), ("num_retries", "0")];
    assert_eq!(post(&hale, TRANSCRIPTIONS, &spoken(&listed)).status, 200);
    assert_eq!(forms::field(&two.request(1), "language").as_deref(), Some("de"));
}

#[test]
fn the_whole_form_is_sent_again_to_a_sibling() {
    let (bad, good) = (fake(), fake());
    bad.answer_with(|_| Script::error(503, "down"));
    let hale = pair(&bad, &good).start();
    let large = vec![b'a'; 3 << 20];
    let sent: [Part<'_>; 2] = [("file", Some("a.wav"), &large), ("model", None, b"m")];
    assert_eq!(post(&hale, TRANSCRIPTIONS, &sent).status, 200);
    let expected = form(&[sent[0], ("model", None, b"gpt-4o")]);
    assert!(bad.request(0).body == expected && good.request(0).body == expected);
}

#[test]
fn the_whole_form_is_sent_again_on_a_retry_and_to_a_fallback() {
    let large = vec![b'a'; 3 << 20];
    let sound: [Part<'_>; 2] = [("file", Some("a.wav"), &large), ("model", None, b"m")];
    let image: [Part<'_>; 3] =
        [("image", Some("a.png"), &large), ("model", None, b"m"), ("prompt", None, b"a star")];
    for (path, sent) in [(TRANSCRIPTIONS, &sound[..]), (EDITS, &image[..])] {
        let (bad, good) = (fake(), fake());
        bad.answer_with(|_| Script::error(500, "down"));
        let config = lone(&bad).deployment("other", "b", &good);
        let router = json!({"num_retries": 1, "fallbacks": [{"m": ["other"]}]});
        let answer = post(&config.router(router).start(), path, sent);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-litellm-attempted-fallbacks"), Some("1"));
        let mut expected = sent.to_vec();
        expected[1].2 = b"gpt-4o";
        let expected = form(&expected);
        let all = [bad.requests(), good.requests()];
        assert_eq!(all.each_ref().map(Vec::len), [2, 1], "{path}");
        assert!(all.iter().flatten().all(|request| request.body == expected), "{path}");
    }
}

#[test]
fn a_text_passes_as_the_text_that_it_is() {
    let upstream = fake();
    let hale = at_whisper(&upstream).start();
    let as_text = post(&hale, TRANSCRIPTIONS, &spoken(&[("response_format", "text")]));
    assert_eq!((as_text.status, as_text.text()), (200, format!("{TRANSCRIPT}\n")));
    assert_eq!(as_text.header("content-type"), Some("text/plain; charset=utf-8"));
    let subtitles = post(&hale, TRANSCRIPTIONS, &spoken(&[("response_format", "vtt")]));
    assert_eq!(subtitles.text(), format!("WEBVTT\n\n{TRANSCRIPT}\n"));
    assert_eq!(subtitles.header("content-type"), Some("text/vtt"));
    let verbose = post(&hale, TRANSCRIPTIONS, &spoken(&[("response_format", "verbose_json")]));
    assert_eq!(verbose.json()["duration"], 1.5);
    assert_eq!(verbose.header("content-type"), Some("application/json"));
}

#[test]
fn a_transcript_streams_word_by_word_and_fails_over_before_the_first() {
    let (bad, good) = (fake(), fake());
    let error = json!({"type": "error", "error": {"message": "busy", "type": "server_error"}});
    bad.answer_with(move |_| Script::ok().sse(std::slice::from_ref(&error)));
    let hale = pair(&bad, &good).general(json!({"request_log": LOG})).start();
    let mut client = client(&hale);
    let kind = content_type();
    let body = form(&spoken(&[("stream", "true")]));
    client.send("POST", TRANSCRIPTIONS, &[("content-type", &kind)], &body).unwrap();
    let mut stream = client.read_stream().unwrap();
    assert_eq!(stream.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let mut seen = Vec::new();
    while let Some(event) = stream.next_event() {
        seen.push(event.data);
    }
    assert_eq!(seen.pop().as_deref(), Some("[DONE]"));
    let events: Vec<Value> = seen.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let words: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(words, TRANSCRIPT);
    assert_eq!(events.last().unwrap()["text"], TRANSCRIPT);
    let records = wait_for_records(&hale, 1);
    assert_eq!((&records[0]["input_tokens"], &records[0]["stream"]), (&json!(14), &json!(true)));
}

#[test]
fn a_transcript_that_breaks_off_says_so() {
    let upstream = fake();
    let delta = json!({"type": "transcript.text.delta", "delta": "hel"});
    upstream
        .answer_with(move |_| Script::ok().stream().events(std::slice::from_ref(&delta)).close());
    let hale = at_whisper(&upstream).start();
    let mut client = client(&hale);
    let kind = content_type();
    let body = form(&spoken(&[("stream", "true")]));
    client.send("POST", TRANSCRIPTIONS, &[("content-type", &kind)], &body).unwrap();
    let mut stream = client.read_stream().unwrap();
    let mut last = String::new();
    while let Some(event) = stream.next_event() {
        last = event.data;
    }
    assert!(last.contains("\"error\"") && last.contains("stream_cut"), "{last}");
}

#[test]
fn a_model_that_does_not_stream_answers_in_one_piece() {
    let upstream = fake();
    upstream.answer_with(|_| Script::ok().json(&json!({"text": ""})));
    let hale = at_whisper(&upstream).start();
    let answer = post(&hale, TRANSCRIPTIONS, &spoken(&[("stream", "true")]));
    assert_eq!((answer.status, answer.json()), (200, json!({"text": ""})));
}

#[test]
fn what_was_heard_and_made_is_recorded_with_its_cost() {
    let upstream = fake();
    let priced = json!({"model": "openai/gpt-image-1", "output_cost_per_image": 0.5});
    let config = at_whisper(&upstream).with("i", "b", &upstream, priced);
    let hale = config.general(json!({"request_log": LOG})).start();
    post(&hale, TRANSCRIPTIONS, &spoken(&[]));
    let cost = |answer: &Response| -> f64 {
        answer.header("x-litellm-response-cost").unwrap().parse().unwrap()
    };
    let heard = post(&hale, TRANSCRIPTIONS, &spoken(&[("response_format", "verbose_json")]));
    // The list has 0.0001 USD a second for whisper-1.
    assert!((cost(&heard) - 1.5 * 0.0001).abs() < 1e-9, "{}", cost(&heard));
    let image: [Part<'_>; 3] = [
        ("image[]", Some("a.png"), b"\x89PNG"),
        ("model", None, b"i"),
        ("prompt", None, b"a star"),
    ];
    let made = post(&hale, EDITS, &image);
    assert_eq!(made.status, 200, "{}", made.text());
    assert!((cost(&made) - 0.5).abs() < 1e-9);
    let records = wait_for_records(&hale, 3);
    assert!((records[0]["cost_usd"].as_f64().unwrap() - 0.0002).abs() < 1e-9, "{}", records[0]);
}

#[test]
fn images_are_edited_on_every_path() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let image: [Part<'_>; 4] = [
        ("image[]", Some("a.png"), b"\x89PNG\r\n"),
        ("image[]", Some("b.png"), b"\x89PNG"),
        ("model", None, b"m"),
        ("prompt", None, b"a star"),
    ];
    for path in [EDITS, "/images/edits", "/openai/deployments/m/images/edits"] {
        let answer = post(&hale, path, &image);
        assert_eq!((answer.status, &answer.json()["data"][0]["b64_json"]), (200, &json!("aGk=")));
    }
    let mut expected = image;
    expected[2].2 = b"gpt-4o";
    assert_eq!(upstream.request(2).body, form(&expected));
    assert_eq!(upstream.request(2).path, EDITS);
    let stream = [&image[..], &[("stream", None, b"true")]].concat();
    expect_error(&post(&hale, EDITS, &stream), 400, "invalid_parameter");
}

#[test]
fn azure_is_called_below_its_deployment() {
    let upstream = fake();
    let params = json!({"model": "azure/my-whisper", "api_key": "azure-secret", "api_version": "2024-10-21",
                        "api_base": upstream.url()});
    let hale = Config::new()
        .entry(json!({"model_name": "m", "litellm_params": params, "model_info": {"id": "a"}}))
        .start();
    assert_eq!(post(&hale, TRANSCRIPTIONS, &spoken(&[])).status, 200);
    let request = upstream.request(0);
    let path = "/openai/deployments/my-whisper/audio/transcriptions?api-version=2024-10-21";
    assert_eq!((request.path.as_str(), request.header("api-key")), (path, Some("azure-secret")));
    assert_eq!(forms::field(&request, "model").as_deref(), Some("my-whisper"));
}

#[test]
fn a_deployments_defaults_go_along_as_parts() {
    let upstream = fake();
    let params = json!({"model": "openai/whisper-1", "language": "de", "include": ["logprobs"],
                        "temperature": 0.5});
    let hale = Config::new().with("m", "a", &upstream, params).start();
    assert_eq!(post(&hale, TRANSCRIPTIONS, &spoken(&[("language", "en")])).status, 200);
    let request = upstream.request(0);
    let read = |name: &str| forms::field(&request, name);
    assert_eq!(read("language").as_deref(), Some("en"));
    assert_eq!(read("include[]").as_deref(), Some("logprobs"));
    assert_eq!(read("temperature").as_deref(), Some("0.5"));
}

#[test]
fn a_provider_without_the_operation_is_passed_over() {
    let (claude, whisper) = (FakeUpstream::start(), fake());
    let params = json!({"model": "anthropic/claude-sonnet-4-5"});
    let hale = Config::new()
        .with("m", "a", &claude, params)
        .with("m", "b", &whisper, json!({"model": "openai/whisper-1"}))
        .start();
    for _ in 0..4 {
        assert_eq!(post(&hale, TRANSCRIPTIONS, &spoken(&[])).status, 200);
    }
    assert!(claude.requests().is_empty());
}
