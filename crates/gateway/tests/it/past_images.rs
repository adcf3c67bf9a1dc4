//! Images in the history of a session, before models that see none.

use hale_testkit::{FakeUpstream, Hale, Request, Script, anthropic};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, client};

const MESSAGES: &str = "/v1/messages";
const WORDS: &str = "[an image, which this model cannot see]";
/// The servers' own words: DeepSeek, vLLM, Ollama's kin.
const REFUSALS: [(u16, &str); 3] = [
    (
        400,
        "Failed to deserialize the JSON body into the target type: messages[0]: unknown variant `image_url`, expected `text`",
    ),
    (400, "x is not a multimodal model"),
    (
        500,
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
    ),
];

fn holds_image(request: &Request) -> bool {
    request.text().contains("AAAA")
}

/// A server that refuses images in those words.
fn blind(status: u16, message: &'static str) -> FakeUpstream {
    FakeUpstream::with(move |request: &Request| match holds_image(request) {
        true => Script::error(status, message),
        false if request.path.ends_with("/messages") => {
            Script::ok().json(&anthropic::message("x", "hi"))
        }
        false => Script::answer(request),
    })
}

fn image() -> Value {
    json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})
}

fn block() -> Value {
    json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}})
}

/// A chat whose first message has an image, and its question now.
fn chat_with(last: Value) -> Value {
    json!({"model": "m", "messages": [
        {"role": "user", "content": [{"type": "text", "text": "see"}, image()]},
        {"role": "assistant", "content": "a cat"},
        {"role": "user", "content": last},
    ]})
}

/// A session of a coding agent that has read a picture.
fn session() -> Value {
    let read =
        json!({"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a.png"}});
    json!({"model": "m", "max_tokens": 9, "tools": [{"name": "Read", "input_schema": {"type": "object"}}], "messages": [
        {"role": "user", "content": "read a.png"},
        {"role": "assistant", "content": [read]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [block()]},
            {"type": "text", "text": "go on"},
        ]},
    ]})
}

fn states(hale: &Hale) -> Vec<String> {
    let page = client(hale).get("/router/state").json();
    let lines = page["deployments"].as_array().unwrap();
    lines.iter().map(|line| line["state"].as_str().unwrap().to_owned()).collect()
}

/// Asks twice: the first time the server is found out.
#[track_caller]
fn goes_on(hale: &Hale, upstream: &FakeUpstream, path: &str, body: &Value) {
    for sent in [2, 3] {
        let answer = client(hale).post_json(path, &[], body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("x-hale-left-out"), Some("image"), "{path}");
        let requests = upstream.requests();
        assert_eq!(requests.len(), sent, "it is refused once");
        let last = requests.last().unwrap();
        assert!(!holds_image(last) && last.text().contains(WORDS), "{}", last.text());
    }
    assert_eq!(states(hale), ["ready"]);
}

#[test]
fn a_session_goes_on_with_words_in_place_of_images_that_the_model_does_not_see() {
    for (status, message) in REFUSALS {
        for (path, mut body) in [(CHAT, chat_with(json!("and now?"))), (MESSAGES, session())] {
            for streamed in [false, true] {
                body["stream"] = json!(streamed);
                let upstream = blind(status, message);
                let hale = Config::new().deployment("m", "a", &upstream).start();
                goes_on(&hale, &upstream, path, &body);
            }
        }
        let upstream = blind(status, message);
        let hale = Config::new()
            .with("m", "a", &upstream, json!({"model": "anthropic/x", "api_base": upstream.url()}))
            .start();
        goes_on(&hale, &upstream, MESSAGES, &session());
    }
}

#[test]
fn a_model_that_the_config_says_sees_nothing_is_sent_no_image_of_the_history() {
    let upstream = FakeUpstream::start();
    let hale = Config::new()
        .entry(json!({
            "model_name": "m",
            "litellm_params": {"model": "openai/x", "api_base": upstream.url(), "api_key": "k"},
            "model_info": {"supports_vision": false},
        }))
        .start();
    let answer = client(&hale).post_json(CHAT, &[], &chat_with(json!("and now?")));
    assert_eq!((answer.status, answer.header("x-hale-left-out")), (200, Some("image")));
    assert!(!holds_image(&upstream.requests()[0]));
    // What is to be looked at now cannot be replaced.
    let answer = client(&hale).post_json(CHAT, &[], &chat_with(json!([image()])));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn an_image_that_is_to_be_looked_at_now_is_refused_in_the_servers_words() {
    let (status, message) = REFUSALS[0];
    let upstream = blind(status, message);
    let hale = Config::new().deployment("m", "a", &upstream).start();
    let answer = client(&hale).post_json(CHAT, &[], &chat_with(json!([image()])));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(upstream.requests().len(), 1, "nothing is tried that cannot help");
    assert_eq!(client(&hale).post_json(CHAT, &[], &chat_with(json!("hi"))).status, 200);
}

#[test]
fn a_member_that_sees_gets_the_images_and_the_others_get_words_without_it() {
    let (status, message) = REFUSALS[1];
    let (no_eyes, eyes) = (blind(status, message), FakeUpstream::start());
    let info = |sees: bool| json!({"supports_vision": sees});
    let entry = |upstream: &FakeUpstream, id: &str, sees: bool| {
        let mut info = info(sees);
        info["id"] = json!(id);
        json!({
            "model_name": "m",
            "litellm_params": {"model": "openai/x", "api_base": upstream.url(), "api_key": id},
            "model_info": info,
        })
    };
    let hale = Config::new()
        .entry(entry(&no_eyes, "blind", false))
        .entry(entry(&eyes, "eyes", true))
        .router(json!({"num_retries": 1}))
        .start();
    for _ in 0..6 {
        let answer = client(&hale).post_json(CHAT, &[], &chat_with(json!("and now?")));
        assert_eq!((answer.status, answer.header("x-hale-left-out")), (200, None));
    }
    assert!(no_eyes.requests().is_empty() && eyes.requests().iter().all(holds_image));
    eyes.answer_with(|_| Script::error(500, "broken"));
    let answer = client(&hale).post_json(CHAT, &[], &chat_with(json!("and now?")));
    assert_eq!((answer.status, answer.header("x-hale-left-out")), (200, Some("image")));
}
