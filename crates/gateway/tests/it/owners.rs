//! Responses, files and batches belong to the key that made them, to its team and to its user: to others they are not there.

use hale_testkit::forms::{self, BATCH, FILE, Part};
use hale_testkit::{FakeUpstream, Hale, Response, Script, openai, responses};
use serde_json::{Value, json};

use crate::keys::make;
use crate::support::{Config, UPSTREAM_KEY, client, expect_error, lone};

const FILES: &str = "/v1/files";
const BATCHES: &str = "/v1/batches";
const RESPONSES: &str = "/v1/responses";

/// Answers requests about responses, files, batches and all that is passed through.
fn fake() -> FakeUpstream {
    FakeUpstream::with(|request| match &*request.path {
        path if path.starts_with(RESPONSES) => responses::answer(request),
        path if path.starts_with(FILES) || path.starts_with(BATCHES) => forms::answer(request),
        _ => Script::with_status(200).json(&json!({"path": request.path})),
    })
}

/// The keys of a gateway: one in a team of a user, and others.
struct Keys {
    own: String,
    of_team: String,
    of_user: String,
    other: String,
    admin: String,
}

fn keys(hale: &Hale) -> Keys {
    let change = |path: &str, body: Value| {
        let answer = client(hale).post_json(path, &[], &body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    };
    change("/team/new", json!({"team_id": "t1"}));
    change("/team/new", json!({"team_id": "t2"}));
    for (user, role) in [("u1", "internal_user"), ("u2", "internal_user"), ("boss", "proxy_admin")]
    {
        change("/user/new", json!({"user_id": user, "user_role": role, "auto_create_key": false}));
    }
    let key = |fields: Value| make(hale, &fields).0;
    Keys {
        own: key(json!({"team_id": "t1", "user_id": "u1"})),
        of_team: key(json!({"team_id": "t1", "user_id": "u2"})),
        of_user: key(json!({"user_id": "u1"})),
        other: key(json!({"team_id": "t2", "user_id": "u2"})),
        admin: key(json!({"user_id": "boss"})),
    }
}

fn ask(hale: &Hale, key: &str, (method, path): (&str, &str)) -> Response {
    hale.client_with_key(key).request(method, path, &[], b"")
}

fn post(hale: &Hale, key: &str, path: &str, body: &Value) -> Response {
    hale.client_with_key(key).post_json(path, &[], body)
}

fn upload(hale: &Hale, key: &str) -> Response {
    let parts: [Part<'_>; 3] = [
        ("purpose", None, b"batch"),
        ("model", None, b"m"),
        ("file", Some("a.jsonl"), b"{\"body\":{\"model\":\"m\"}}\n"),
    ];
    let content_type = forms::content_type();
    let headers = [("content-type", &*content_type)];
    hale.client_with_key(key).request("POST", FILES, &headers, &forms::form(&parts))
}

#[track_caller]
fn id(answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn batch_of(file: &str) -> Value {
    json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h", "model": "m"})
}

fn hello() -> Value {
    json!({"model": "m", "input": "hi"})
}

/// A response, a file and a batch that the key makes.
fn things(hale: &Hale, key: &str) -> [String; 3] {
    let response = id(&post(hale, key, RESPONSES, &hello()));
    let file = id(&upload(hale, key));
    let batch = id(&post(hale, key, BATCHES, &batch_of(&file)));
    [response, file, batch]
}

/// Every request about one of them by its id.
fn about([response, file, batch]: &[String; 3]) -> Vec<(&'static str, String, &'static str)> {
    vec![
        ("GET", format!("{RESPONSES}/{response}"), "unknown_response"),
        ("GET", format!("{RESPONSES}/{response}?stream=true"), "unknown_response"),
        ("GET", format!("{RESPONSES}/{response}/input_items"), "unknown_response"),
        ("POST", format!("{RESPONSES}/{response}/cancel"), "unknown_response"),
        ("GET", format!("{FILES}/{file}"), "unknown_file"),
        ("GET", format!("{FILES}/{file}/content"), "unknown_file"),
        ("GET", format!("{BATCHES}/{batch}"), "unknown_batch"),
        ("POST", format!("{BATCHES}/{batch}/cancel"), "unknown_batch"),
        ("DELETE", format!("{RESPONSES}/{response}"), "unknown_response"),
        ("DELETE", format!("{FILES}/{file}"), "unknown_file"),
    ]
}

#[test]
fn what_a_key_made_is_there_for_its_team_its_user_and_admins_and_for_no_other_key() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let keys = keys(&hale);
    let made = things(&hale, &keys.own);
    let asked = upstream.requests().len();
    for (method, path, reason) in about(&made) {
        let refused = expect_error(&ask(&hale, &keys.other, (method, &path)), 404, reason);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("issued to this key, its user or its team"), "{message}");
    }
    assert_eq!(upstream.requests().len(), asked, "a refused request reaches no provider");
    for key in [&keys.own, &keys.of_team, &keys.of_user, &keys.admin, crate::support::KEY] {
        for (method, path, _) in about(&made) {
            let answer = ask(&hale, key, (method, &path));
            assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        }
    }
}

#[test]
fn an_id_of_another_key_says_as_much_as_one_that_was_never_issued() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let keys = keys(&hale);
    let [response, ..] = things(&hale, &keys.own);
    let shape = |id: &str| {
        let answer = ask(&hale, &keys.other, ("GET", &format!("{RESPONSES}/{id}")));
        (answer.status, answer.text().replace(&id[..40], ""))
    };
    let mut forged = response.clone().into_bytes();
    let last = forged.len() - 2;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let (status, text) = shape(&response);
    let forged = shape(std::str::from_utf8(&forged).unwrap());
    let part = |text: &str| serde_json::from_str::<Value>(text).unwrap()["error"]["reason"].clone();
    assert_eq!((status, part(&text)), (forged.0, part(&forged.1)));
    assert_eq!(text.len(), forged.1.len());
}

#[test]
fn an_id_that_another_key_made_is_of_no_use_inside_a_request() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let keys = keys(&hale);
    let [response, file, _] = things(&hale, &keys.own);
    let asked = upstream.requests().len();
    for stream in [false, true] {
        let body = json!({"model": "m", "input": "hi", "previous_response_id": response, "stream": stream});
        let refused = post(&hale, &keys.other, RESPONSES, &body);
        let error = expect_error(&refused, 400, "unknown_response");
        assert_eq!(error["param"], "previous_response_id");
    }
    let refused = post(&hale, &keys.other, BATCHES, &batch_of(&file));
    assert_eq!(expect_error(&refused, 400, "unknown_file")["param"], "input_file_id");
    for path in [format!("{FILES}?after={file}"), format!("{BATCHES}?after={file}")] {
        assert_ne!(ask(&hale, &keys.other, ("GET", &path)).status, 200, "{path}");
    }
    assert_eq!(upstream.requests().len(), asked);
    let body = json!({"model": "m", "input": "hi", "previous_response_id": response});
    let follows = post(&hale, &keys.of_team, RESPONSES, &body);
    assert_eq!(follows.status, 200, "{}", follows.text());
    let by_team = post(&hale, &keys.of_team, BATCHES, &batch_of(&file));
    assert_eq!(by_team.json()["input_file_id"], file, "a file keeps its id");
}

#[test]
fn what_is_made_of_an_object_and_what_it_makes_belong_to_its_owner() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let keys = keys(&hale);
    let [_, _, batch] = things(&hale, &keys.own);
    let path = format!("{BATCHES}/{batch}");
    let seen = ask(&hale, &keys.own, ("GET", &path)).json();
    let by_admin = ask(&hale, crate::support::KEY, ("GET", &path)).json();
    assert_eq!(seen, by_admin, "an admin sees the ids that the owner sees");
    let output = format!("{FILES}/{}/content", seen["output_file_id"].as_str().unwrap());
    assert_eq!(ask(&hale, &keys.own, ("GET", &output)).status, 200);
    expect_error(&ask(&hale, &keys.other, ("GET", &output)), 404, "unknown_file");
}

#[test]
fn what_the_master_key_made_is_for_admins_and_lists_are() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let keys = keys(&hale);
    let made = things(&hale, crate::support::KEY);
    for (method, path, reason) in about(&made) {
        expect_error(&ask(&hale, &keys.own, (method, &path)), 404, reason);
    }
    for path in ["/v1/files?model=m", "/v1/batches?model=m", "/openai/v1/files?model=m"] {
        let asked = upstream.requests().len();
        let refused = ask(&hale, &keys.own, ("GET", path));
        expect_error(&refused, 403, "list_of_all");
        assert_eq!(upstream.requests().len(), asked);
        for key in [&keys.admin, crate::support::KEY] {
            assert_eq!(ask(&hale, key, ("GET", path)).status, 200, "{path}");
        }
    }
}

#[test]
fn an_id_hides_the_providers_own_and_is_as_short_as_can_be() {
    use base64::Engine as _;

    let upstream = fake();
    let hale = lone(&upstream).start();
    let keys = keys(&hale);
    let made = things(&hale, &keys.own);
    for (shown, own) in made.iter().zip([responses::ID, FILE, BATCH]) {
        let (_, sealed) = shown.split_once("hale2-").unwrap();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(sealed).unwrap();
        let has_it = bytes.windows(own.len()).any(|part| part == own.as_bytes());
        assert!(!has_it, "{own} in {shown}");
        assert!(shown.len() < 200, "{shown}");
    }
    // A file id of the gateway inside a prompt reaches no provider, from no key.
    let part = json!({"type": "file", "file": {"file_id": made[1]}});
    let body = json!({"model": "m", "messages": [{"role": "user", "content": [part]}]});
    for key in [&keys.own, &keys.other] {
        let refused = post(&hale, key, "/v1/chat/completions", &body);
        assert_eq!(expect_error(&refused, 400, "invalid_parameter")["param"], "file_id");
    }
}

#[test]
fn a_key_passes_through_what_names_nothing_that_is_kept() {
    let upstream = fake();
    let params =
        json!({"model": "openai/gpt-4o", "api_key": UPSTREAM_KEY, "api_base": upstream.api_base()});
    let hale = Config::new().entry(json!({"model_name": "m", "litellm_params": params})).start();
    let keys = keys(&hale);
    let (named, _) = make(&hale, &json!({"allowed_routes": ["/openai/v1/vector_stores"]}));
    let (all, _) = make(&hale, &json!({"allowed_routes": ["/*", "llm_api_routes"]}));
    let kept = [
        ("GET", "/openai/v1/vector_stores"),
        ("GET", "/openai/v1/vector_stores/vs_1"),
        ("DELETE", "/openai/v1/vector_stores/vs_1"),
        ("DELETE", "/openai/v1/models/ft:m"),
        ("GET", "/openai/v1/fine_tuning/jobs"),
        ("PUT", "/openai/v1/x"),
    ];
    for request in kept {
        for key in [&keys.own, &all] {
            expect_error(&ask(&hale, key, request), 403, "owner_unknown");
        }
        assert_eq!(ask(&hale, &keys.admin, request).status, 200, "{request:?}");
    }
    for request in &kept[..3] {
        assert_eq!(ask(&hale, &named, *request).status, 200, "{request:?}");
    }
    assert_eq!(ask(&hale, &named, kept[4]).status, 403);
    assert_eq!(ask(&hale, &keys.own, ("GET", "/openai/v1/models/gpt-4o")).status, 200);
    let chat = openai::chat_request("m", "hi");
    assert_eq!(post(&hale, &keys.own, "/openai/v1/moderations", &chat).status, 200);
}
