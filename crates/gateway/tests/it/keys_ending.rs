//! Keys that end, are blocked or deleted, and budgets that are spent, while an answer or a session goes on.

use hale_testkit::{FakeUpstream, Hale, Script, openai};
use serde_json::{Value, json};
use tungstenite::Message;

use crate::keys::{ask, make};
use crate::realtime_sides::{SocketUpstream, close_of, config, next, open_with};
use crate::support::{CHAT, client, eventually, expect_error, lone, wait_for_records};

/// What ends a key while it is used, and what is said of it.
const ENDS: [(&str, &str); 4] = [
    ("/key/block", "Key is blocked"),
    ("/key/delete", "Invalid proxy server token passed"),
    ("/team/block", "Team=t1 is blocked"),
    ("expiry", "Expired Key"),
];

fn change(hale: &Hale, path: &str, body: &Value) {
    let answer = client(hale).post_json(path, &[], body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

/// A key in a team, which ends soon if that is what ends it.
fn key(hale: &Hale, how: &str) -> String {
    let fields = match how {
        "expiry" => json!({"duration": "2s"}),
        _ => json!({"team_id": "t1"}),
    };
    make(hale, &fields).0
}

fn end(hale: &Hale, how: &str, key: &str) {
    match how {
        "/key/block" => change(hale, how, &json!({"key": key})),
        "/key/delete" => change(hale, how, &json!({"keys": [key]})),
        "/team/block" => change(hale, how, &json!({"team_id": "t1"})),
        _ => {}
    }
}

#[test]
fn a_session_is_closed_with_the_reason_for_which_its_key_ended() {
    let upstream = SocketUpstream::echo();
    let hale = config(&[("a", upstream.api_base())]).start();
    change(&hale, "/team/new", &json!({"team_id": "t1"}));
    for (count, (how, says)) in ENDS.into_iter().enumerate() {
        let key = key(&hale, how);
        let header = format!("Bearer {key}");
        let path = "/v1/realtime?model=m";
        let (mut socket, _) = open_with(&hale, path, &[("authorization", &header)]).unwrap();
        socket.send(Message::text("hello")).unwrap();
        assert_eq!(next(&mut socket), Message::text("hello"));
        end(&hale, how, &key);
        let (code, reason) = close_of(&mut socket).unwrap();
        assert!(code == 1008 && reason.contains(says), "{how}: {code} {reason}");
        assert!(upstream.next_end().starts_with("1008 "), "{how}");
        let record = wait_for_records(&hale, count + 1)[count].clone();
        assert_eq!(
            (&record["ending"], &record["status"]),
            (&json!("broken"), &json!(101)),
            "{how}"
        );
        if how == "/team/block" {
            change(&hale, "/team/unblock", &json!({"team_id": "t1"}));
        }
    }
    let state = client(&hale).get("/router/state").json();
    assert_eq!(state["deployments"][0]["state"], "ready", "no deployment is blamed: {state}");
}

#[test]
fn a_stream_whose_key_ended_tells_so_in_the_clients_format_and_looks_like_no_success() {
    let upstream = FakeUpstream::with(|_| {
        let begins = Script::ok().stream().event(&openai::role_chunk("gpt-4o"));
        begins.event(&openai::content_chunk("gpt-4o", "one")).wait("never").done()
    });
    let hale = lone(&upstream).start();
    change(&hale, "/team/new", &json!({"team_id": "t1"}));
    for path in [CHAT, "/v1/messages"] {
        for (how, says) in ENDS {
            let key = key(&hale, how);
            let body = json!({"model": "m", "stream": true, "max_tokens": 9,
                              "messages": [{"role": "user", "content": "hi"}]});
            let mut client = hale.client_with_key(&key);
            let mut stream = client.stream(path, &[], &body);
            assert_eq!(stream.status, 200);
            stream.next_event().unwrap();
            end(&hale, how, &key);
            let text = stream.text();
            assert!(text.contains(says) && text.contains("error"), "{path} {how}: {text}");
            assert!(
                !text.contains("[DONE]") && !text.contains("message_stop"),
                "{path} {how}: {text}"
            );
            if how == "/team/block" {
                change(&hale, "/team/unblock", &json!({"team_id": "t1"}));
            }
        }
    }
}

#[test]
fn a_session_spends_while_it_lasts_and_is_closed_when_its_budget_is_spent() {
    let upstream = SocketUpstream::echo();
    let hale = config(&[("a", upstream.api_base())]).start();
    let (key, made) = make(&hale, &json!({"max_budget": 0.01}));
    let header = format!("Bearer {key}");
    let path = "/v1/realtime?model=m";
    let open = || open_with(&hale, path, &[("authorization", &*header)]);
    let (mut socket, _) = open().unwrap();
    // 100 tokens of text cost 0.0004 USD, 100 of text as an answer 0.0016.
    let usage = json!({"input_tokens": 1000, "output_tokens": 100});
    let done = json!({"type": "response.done", "response": {"usage": usage}}).to_string();
    socket.send(Message::text(done.clone())).unwrap();
    assert_eq!(next(&mut socket), Message::text(done.clone()));
    let spent = || {
        let page = format!("/key/info?key={}", made["token"].as_str().unwrap());
        client(&hale).get(&page).json()["info"]["spend"].as_f64().unwrap()
    };
    let first = eventually("the session's spend", || Some(spent()).filter(|usd| *usd > 0.0));
    assert!((first - 0.0056).abs() < 1e-9, "{first}");
    socket.send(Message::text(done.clone())).unwrap();
    let (code, reason) = close_of(&mut socket).unwrap();
    assert!(
        code == 1008 && reason.starts_with("budget_exceeded: Budget has been exceeded!"),
        "{reason}"
    );
    wait_for_records(&hale, 1);
    let whole = eventually("the whole spend", || Some(spent()).filter(|usd| *usd > 0.01));
    assert!((whole - 0.0112).abs() < 1e-9, "it is spent once: {whole}");
    let (status, _, body) = *open().err().unwrap();
    assert_eq!((status, &body["error"]["type"]), (422, &json!("budget_exceeded")));
    expect_error(&ask(&hale, &key, "m"), 422, "budget_exceeded");
}

#[test]
fn a_spent_budget_refuses_what_is_not_paid_by_tokens_and_lets_what_is_kept_be_read() {
    let upstream = FakeUpstream::with(hale_testkit::responses::answer);
    let image = json!({"model_name": "i", "litellm_params": {
        "model": "openai/dall-e-3", "api_key": "k", "api_base": upstream.api_base()}});
    let hale = lone(&upstream).entry(image).start();
    let (key, _) = make(&hale, &json!({"max_budget": 5}));
    let mut client = hale.client_with_key(&key);
    let made = client.post_json("/v1/responses", &[], &json!({"model": "m", "input": "hi"})).json();
    change(&hale, "/key/update", &json!({"key": key, "max_budget": 0}));
    let asked = upstream.requests().len();
    let image =
        client.post_json("/v1/images/generations", &[], &json!({"model": "i", "prompt": ""}));
    expect_error(&image, 422, "budget_exceeded");
    assert_eq!(upstream.requests().len(), asked);
    let path = format!("/v1/responses/{}", made["id"].as_str().unwrap());
    assert_eq!(client.get(&path).status, 200);
}
