//! Bedrock: chats and messages by Converse, streamed and not, with signatures that are computed again here, tools, counts, probes
//! and errors. The upstream here refuses what the real one refuses.

use aws_lc_rs::{digest, hmac};
use hale_testkit::{FakeUpstream, Hale, Request, Script, bedrock};
use serde_json::{Value, json};

use crate::sessions::{ask, chat, last, message, served, user, with};
use crate::support::{CHAT, Config, client, column, expect_error};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "us.amazon.nova-pro-v1:0";
const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn entry(upstream: &FakeUpstream, model: &str) -> Value {
    json!({"model": format!("bedrock/{model}"), "aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY,
        "aws_region_name": "eu-central-1", "api_base": base(upstream)})
}

fn base(upstream: &FakeUpstream) -> String {
    upstream.api_base().trim_end_matches("/v1").to_owned()
}

fn config(upstream: &FakeUpstream, model: &str) -> Config {
    of_entry(entry(upstream, model))
}

fn of_entry(params: Value) -> Config {
    Config::new()
        .entry(json!({"model_name": "b", "litellm_params": params, "model_info": {"id": "d"}}))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// Checks that `request` is signed with that key for that region, from what arrived: the path escaped once more, the signed
/// headers, the body.
#[track_caller]
fn is_signed(request: &Request, secret: &str, region: &str) {
    let header = |name: &str| request.header(name).unwrap_or_else(|| panic!("no {name}"));
    let authorization = header("authorization");
    let part = |name: &str| {
        let (_, tail) = authorization.split_once(name).unwrap();
        tail.split(',').next().unwrap().to_owned()
    };
    let (names, signature) = (part("SignedHeaders="), part("Signature="));
    let time = header("x-amz-date").to_owned();
    let scope = format!("{}/{region}/bedrock/aws4_request", &time[..8]);
    assert_eq!(part("Credential="), format!("{ACCESS_KEY}/{scope}"));
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let path = path.replace('%', "%25").replace(':', "%3A");
    let lines: String = names.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    let body = hash(&request.body);
    let text = format!("{}\n{path}\n{query}\n{lines}\n{names}\n{body}", request.method);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(text.as_bytes()));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [&time[..8], region, "bedrock", "aws4_request"] {
        key = mac(&key, part);
    }
    assert_eq!(hex(&mac(&key, &text)), signature, "{text}");
}

/// OpenAI's form of the tool, and Anthropic's.
fn tools() -> [Value; 2] {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    [
        json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]),
        json!([{"name": "weather", "input_schema": schema}]),
    ]
}

#[test]
fn a_chat_goes_to_converse_signed_in_one_piece_and_as_a_stream() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = config(&upstream, NOVA).start();
    let answer = served(&hale, CHAT, &chat("b", json!({"temperature": 0.5, "max_tokens": 9})));
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], bedrock::TEXT);
    assert_eq!((&answer["model"], &choice["finish_reason"]), (&json!("b"), &json!("stop")));
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"), "{answer}");
    assert_eq!(answer["usage"]["prompt_tokens"], 9);
    let sent = last(&upstream);
    assert_eq!(sent.path, "/model/us.amazon.nova-pro-v1%3A0/converse");
    is_signed(&sent, SECRET_KEY, "eu-central-1");
    assert_eq!(
        sent.json(),
        json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "inferenceConfig": {"maxTokens": 9, "temperature": 0.5}})
    );
    let mut streaming = client(&hale);
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let mut stream = streaming.stream(CHAT, &[], &chat("b", more));
    assert_eq!(stream.content(), bedrock::TEXT);
    let sent = last(&upstream);
    assert_eq!(sent.path, "/model/us.amazon.nova-pro-v1%3A0/converse-stream");
    assert_eq!(sent.header("accept"), Some(bedrock::STREAM));
    is_signed(&sent, SECRET_KEY, "eu-central-1");
    for streamed in [false, true] {
        let answer = message(&hale, &ask("b", json!({"system": "be kind"})), streamed);
        assert_eq!(answer["stop_reason"], "end_turn");
        assert_eq!(column(&answer["content"], "type"), [json!("thinking"), json!("text")]);
        assert_eq!(answer["content"][1]["text"], bedrock::TEXT, "{answer}");
    }
}

#[test]
fn a_session_token_is_signed_and_a_bearer_key_comes_before_all_signatures() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let temporary =
        with(entry(&upstream, NOVA), json!({"aws_session_token": "IQoJb3JpZ2luX2VjEXAMPLE"}));
    served(&of_entry(temporary).start(), CHAT, &chat("b", json!({})));
    let sent = last(&upstream);
    assert_eq!(sent.header("x-amz-security-token"), Some("IQoJb3JpZ2luX2VjEXAMPLE"));
    is_signed(&sent, SECRET_KEY, "eu-central-1");
    let own = with(entry(&upstream, NOVA), json!({"api_key": "bedrock-key-0123456789"}));
    let of_env = config(&upstream, NOVA);
    for (config, variable, bearer) in [
        (of_entry(own), "", Some("Bearer bedrock-key-0123456789")),
        (of_env.clone(), "bedrock-env-0123456789", Some("Bearer bedrock-env-0123456789")),
        (of_env, "", None),
    ] {
        let hale = config.launch().env("AWS_BEARER_TOKEN_BEDROCK", variable).start();
        served(&hale, CHAT, &chat("b", json!({})));
        let sent = last(&upstream);
        match bearer {
            Some(bearer) => {
                assert_eq!(sent.header("authorization"), Some(bearer));
                assert_eq!(sent.header("x-amz-date"), None);
            }
            None => is_signed(&sent, SECRET_KEY, "eu-central-1"),
        }
    }
}

#[test]
fn keys_region_and_address_may_come_from_the_environment() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let entry = |model: &str| {
        let params = json!({"model": format!("bedrock/{model}")});
        Config::new().entry(json!({"model_name": "b", "litellm_params": params}))
    };
    let arn = "arn:aws:bedrock:us-west-2:111122223333:application-inference-profile/abc123def456";
    for (model, region, path) in [
        (NOVA, "ap-south-1", "/model/us.amazon.nova-pro-v1%3A0/converse"),
        (
            "us-gov-west-1/amazon.nova-pro-v1:0",
            "us-gov-west-1",
            "/model/amazon.nova-pro-v1%3A0/converse",
        ),
        (
            arn,
            "us-west-2",
            "/model/arn%3Aaws%3Abedrock%3Aus-west-2%3A111122223333%3Aapplication-inference-profile%2Fabc123def456/converse",
        ),
    ] {
        let launch = entry(model).launch().env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
        let launch =
            launch.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY).env("AWS_REGION", "ap-south-1");
        let hale = launch.env("AWS_BEDROCK_RUNTIME_ENDPOINT", &base(&upstream)).start();
        served(&hale, CHAT, &chat("b", json!({})));
        let sent = last(&upstream);
        assert_eq!(sent.path, path);
        is_signed(&sent, SECRET_KEY, region);
    }
}

#[test]
fn an_arn_is_called_and_the_model_says_what_it_is() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let arn = "arn:aws:bedrock:eu-central-1:111122223333:provisioned-model/abc";
    for params in [
        with(
            entry(&upstream, "anthropic.claude-sonnet-4-5-20250929-v1:0"),
            json!({"model_id": arn}),
        ),
        with(
            entry(&upstream, arn),
            json!({"base_model": "anthropic.claude-sonnet-4-5-20250929-v1:0"}),
        ),
    ] {
        let hale = of_entry(params).start();
        served(&hale, CHAT, &chat("b", json!({"reasoning_effort": "high"})));
        let sent = last(&upstream);
        let name = "arn%3Aaws%3Abedrock%3Aeu-central-1%3A111122223333%3Aprovisioned-model%2Fabc";
        assert_eq!(sent.path, format!("/model/{name}/converse"));
        let told = &sent.json()["additionalModelRequestFields"]["thinking"]["budget_tokens"];
        assert_eq!(told, 4096, "{sent:?}");
    }
}

#[test]
fn tools_are_called_and_answered_by_clients_of_both_formats() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = config(&upstream, NOVA).start();
    for streamed in [false, true] {
        let first = message(&hale, &ask("b", json!({"tools": tools()[1]})), streamed);
        assert_eq!(first["stop_reason"], "tool_use", "{first}");
        assert_eq!(first["content"][1]["input"], json!({"city": "Rome"}));
        let messages = json!([user("hi"), {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "tooluse_1", "content": "sunny"}]}]);
        let next = ask("b", json!({"tools": tools()[1], "messages": messages}));
        let answer = message(&hale, &next, streamed);
        assert_eq!(answer["content"][1]["text"], bedrock::TEXT);
    }
    let answer = served(&hale, CHAT, &chat("b", json!({"tools": tools()[0]})));
    let given = answer["choices"][0]["message"].clone();
    assert_eq!(given["tool_calls"][0]["function"]["arguments"], "{\"city\":\"Rome\"}");
    let messages = json!([user("hi"), given, {"role": "tool", "tool_call_id": "tooluse_1", "content": "sunny"}]);
    // A client may leave its tools out of the next request.
    let answer = served(&hale, CHAT, &chat("b", json!({"messages": messages})));
    assert_eq!(answer["choices"][0]["message"]["content"], bedrock::TEXT);
}

#[test]
fn counts_ask_the_provider() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = config(&upstream, NOVA).start();
    let counted = served(&hale, "/v1/messages/count_tokens", &ask("b", json!({})));
    assert_eq!(counted, json!({"input_tokens": 42}));
    assert_eq!(last(&upstream).path, "/model/us.amazon.nova-pro-v1%3A0/count-tokens");
    let counted = served(&hale, "/utils/token_counter", &json!({"model": "b", "prompt": "hi"}));
    assert_eq!(counted["total_tokens"], 42, "{counted}");
}

fn health(hale: &Hale) -> Value {
    client(hale).get("/health").json()
}

#[test]
fn probes_are_signed_like_traffic_and_say_what_is_wrong() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let page = health(&config(&upstream, NOVA).start());
    assert_eq!(page["healthy_count"], 1, "{page}");
    let sent = last(&upstream);
    is_signed(&sent, SECRET_KEY, "eu-central-1");
    assert_eq!(sent.json()["inferenceConfig"]["maxTokens"], 1);
    for (status, class, text, cause) in [
        (
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            "auth",
        ),
        (
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
            "permission",
        ),
        (400, "ValidationException", "The provided model identifier is invalid.", "not_found"),
        (400, "ServiceQuotaExceededException", "too much", "quota"),
    ] {
        let refusing = FakeUpstream::with(move |_| bedrock::refusal(status, class, text));
        let page = health(&config(&refusing, NOVA).start());
        assert_eq!(page["unhealthy_endpoints"][0]["cause"], cause, "{page}");
    }
}

#[test]
fn an_exception_before_the_content_moves_on_and_one_behind_it_is_an_event() {
    let throttled =
        bedrock::exception("throttlingException", &json!({"message": "Too many requests"}));
    let early = throttled.clone();
    let first =
        FakeUpstream::with(move |request| match request.path.ends_with("/converse-stream") {
            true => bedrock::stream(&[
                bedrock::frame("messageStart", &json!({"role": "assistant"})),
                early.clone(),
            ]),
            false => bedrock::answer(request),
        });
    let second = FakeUpstream::with(bedrock::answer);
    let hale = Config::new()
        .entry(json!({"model_name": "b", "litellm_params": with(entry(&first, NOVA), json!({"order": 1})), "model_info": {"id": "x"}}))
        .entry(json!({"model_name": "b", "litellm_params": with(entry(&second, NOVA), json!({"order": 2})), "model_info": {"id": "y"}}))
        .start();
    let mut streaming = client(&hale);
    let mut stream = streaming.stream(CHAT, &[], &chat("b", json!({"stream": true})));
    assert_eq!(stream.content(), bedrock::TEXT);
    let text = bedrock::frame(
        "contentBlockDelta",
        &json!({"contentBlockIndex": 0, "delta": {"text": "a"}}),
    );
    let late = FakeUpstream::with(move |_| bedrock::stream(&[text.clone(), throttled.clone()]));
    let hale = config(&late, NOVA).start();
    let mut streaming = client(&hale);
    let mut stream = streaming.stream(CHAT, &[], &chat("b", json!({"stream": true})));
    let mut events = Vec::new();
    while let Some(event) = stream.next_event() {
        events.push(event.data);
    }
    let end = events.last().unwrap();
    assert!(end.contains("\"error\"") && end.contains("Too many requests"), "{events:?}");
    assert!(!events.iter().any(|event| event == "[DONE]"));
}

#[test]
fn a_stream_that_is_cut_or_spoilt_is_no_answer() {
    let frames = bedrock::frames(&json!([{"text": "hello"}]), "end_turn").concat();
    let mut flipped = frames.clone();
    flipped[20] ^= 1;
    for (body, cause) in [(frames[..40].to_vec(), "stream_cut"), (flipped, "bad_response")] {
        let upstream =
            FakeUpstream::with(move |_| Script::ok().chunked(bedrock::STREAM).chunk(&body).end());
        let hale = config(&upstream, NOVA).router(json!({"num_retries": 0})).start();
        let answer = client(&hale).post_json(CHAT, &[], &chat("b", json!({"stream": true})));
        assert!(answer.status >= 500, "{}", answer.text());
        assert_eq!(answer.json()["error"]["attempts"][0]["cause"], cause, "{}", answer.text());
    }
    // What tells the counts is not needed for an answer that has ended.
    let all = bedrock::frames(&json!([{"text": "hello"}]), "end_turn");
    let upstream = FakeUpstream::with(move |_| bedrock::stream(&all[..all.len() - 1]));
    let hale = config(&upstream, NOVA).start();
    let mut streaming = client(&hale);
    let mut stream = streaming.stream(CHAT, &[], &chat("b", json!({"stream": true})));
    assert_eq!(stream.content(), "hello");
}

#[test]
fn what_a_client_may_not_say_and_what_bedrock_lacks_is_refused_by_its_name() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = config(&upstream, CLAUDE).start();
    for (more, param, reason) in [
        (json!({"aws_region_name": "us-east-1"}), "aws_region_name", "forbidden_parameter"),
        (json!({"n": 2}), "n", "unsupported_parameter"),
        (json!({"logprobs": true}), "logprobs", "unsupported_parameter"),
    ] {
        let answer = client(&hale).post_json(CHAT, &[], &chat("b", more));
        let error = expect_error(&answer, 400, reason);
        assert_eq!(error["param"], param, "{error}");
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn claude_is_called_in_its_own_format_for_clients_of_it_and_by_converse_for_chats() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let hale = config(&upstream, CLAUDE).start();
    for (streamed, end) in [(false, "invoke"), (true, "invoke-with-response-stream")] {
        let answer = message(&hale, &ask("b", json!({"system": "be kind"})), streamed);
        assert_eq!(answer["content"][0]["text"], bedrock::TEXT, "{answer}");
        let sent = last(&upstream);
        assert!(sent.path.ends_with(&format!("v1%3A0/{end}")), "{}", sent.path);
        assert_eq!(sent.json()["anthropic_version"], "bedrock-2023-05-31");
        assert_eq!(sent.header("anthropic-version"), None);
        is_signed(&sent, SECRET_KEY, "eu-central-1");
    }
    served(&hale, CHAT, &chat("b", json!({})));
    assert!(last(&upstream).path.ends_with("/converse"));
    for (route, end) in [("converse", "/converse"), ("invoke", "/invoke")] {
        let hale = config(&upstream, &format!("{route}/{CLAUDE}")).start();
        served(&hale, "/v1/messages", &ask("b", json!({})));
        assert!(last(&upstream).path.ends_with(end), "{}", last(&upstream).path);
        served(&hale, CHAT, &chat("b", json!({})));
        assert!(last(&upstream).path.ends_with(end), "{}", last(&upstream).path);
    }
}

/// An entry whose keys come from elsewhere.
fn granted(upstream: &FakeUpstream, more: Value) -> Config {
    let params = json!({"model": format!("bedrock/{NOVA}"), "aws_region_name": "eu-central-1", "api_base": base(upstream)});
    of_entry(with(params, more))
}

#[test]
fn a_role_is_taken_on_once_for_all_first_requests() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let sts = FakeUpstream::with(|_| bedrock::granted("session-token-1"));
    let role = json!({"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "aws_external_id": "x&y",
        "aws_role_name": "arn:aws:iam::1:role/r", "aws_session_name": "s", "aws_sts_endpoint": base(&sts)});
    let hale = granted(&upstream, role).start();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| served(&hale, CHAT, &chat("b", json!({}))));
        }
    });
    let asked = sts.requests();
    assert_eq!(asked.len(), 1);
    let form = String::from_utf8(asked[0].body.clone()).unwrap();
    let expected = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=s&\
        DurationSeconds=3600&ExternalId=x%26y";
    assert_eq!(form, expected);
    assert!(asked[0].header("authorization").unwrap().contains("/eu-central-1/sts/aws4_request"));
    let sent = last(&upstream);
    assert_eq!(sent.header("x-amz-security-token"), Some("session-token-1"));
    is_signed(&sent, "granted-secret", "eu-central-1");
}

#[test]
fn keys_that_have_expired_are_replaced_once_and_the_client_sees_nothing_of_it() {
    let upstream = FakeUpstream::with(|request| match request.header("x-amz-security-token") {
        Some("session-token-1") => bedrock::refusal(
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
        _ => bedrock::answer(request),
    });
    let sts = FakeUpstream::start();
    sts.push(bedrock::granted("session-token-1"));
    sts.push(bedrock::granted("session-token-2"));
    let role = json!({"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY,
        "aws_role_name": "arn:aws:iam::1:role/expired", "aws_sts_endpoint": base(&sts)});
    let hale = granted(&upstream, role).start();
    served(&hale, CHAT, &chat("b", json!({})));
    assert_eq!(last(&upstream).header("x-amz-security-token"), Some("session-token-2"));
    assert_eq!(sts.requests().len(), 2);
}

#[test]
#[allow(clippy::too_many_lines, reason = "four sources, one after the other")]
fn tokens_profiles_containers_and_instances_give_keys() {
    let upstream = FakeUpstream::with(bedrock::answer);
    let dir = hale_testkit::TempDir::new();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    // A token of another identity, unsigned.
    let sts = FakeUpstream::with(|_| bedrock::granted("session-token-1"));
    let token = file("token", "a-token\n");
    let more = json!({"aws_role_name": "arn:r", "aws_web_identity_token": token, "aws_sts_endpoint": base(&sts)});
    let hale = granted(&upstream, more).start();
    served(&hale, CHAT, &chat("b", json!({})));
    let asked = &sts.requests()[0];
    assert_eq!(asked.header("authorization"), None);
    let form = String::from_utf8(asked.body.clone()).unwrap();
    assert!(
        form.contains("AssumeRoleWithWebIdentity") && form.ends_with("WebIdentityToken=a-token"),
        "{form}"
    );
    // A profile whose role is taken on with the keys of another.
    let config = file("config", "[profile a]\nrole_arn = arn:of-a\nsource_profile = b\n");
    let keys = file(
        "credentials",
        &format!("[b]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"),
    );
    let more = |name: &str| json!({"aws_profile_name": name, "aws_sts_endpoint": base(&sts)});
    let at = |config_: Config| {
        config_
            .launch()
            .env("AWS_CONFIG_FILE", &config)
            .env("AWS_SHARED_CREDENTIALS_FILE", &keys)
            .start()
    };
    served(&at(granted(&upstream, more("a"))), CHAT, &chat("b", json!({})));
    is_signed(&last(&upstream), "granted-secret", "eu-central-1");
    served(&at(granted(&upstream, more("b"))), CHAT, &chat("b", json!({})));
    is_signed(&last(&upstream), SECRET_KEY, "eu-central-1");
    let hale = at(granted(&upstream, more("gone")).router(json!({"num_retries": 0})));
    let answer = client(&hale).post_json(CHAT, &[], &chat("b", json!({})));
    assert!(answer.text().contains("no profile gone"), "{}", answer.text());
    // A container, and an instance.
    let keys = json!({"AccessKeyId": ACCESS_KEY, "SecretAccessKey": "of-the-machine", "Token": "machine-token",
        "Expiration": "2099-01-02T03:04:05Z"});
    let own = keys.clone();
    let container = FakeUpstream::with(move |request| match request.header("authorization") {
        Some("pod-token") => Script::ok().json(&own),
        _ => Script::error(401, "no"),
    });
    let pod = file("pod", "pod-token");
    let instance = FakeUpstream::with(move |request| {
        let is_known = request.header("x-aws-ec2-metadata-token") == Some("metadata-token");
        match (request.method.as_str(), request.path.as_str()) {
            ("PUT", "/latest/api/token") => Script::ok().body("text/plain", "metadata-token"),
            ("GET", "/latest/meta-data/iam/security-credentials/") if is_known => {
                Script::ok().body("text/plain", "role")
            }
            ("GET", "/latest/meta-data/iam/security-credentials/role") if is_known => {
                Script::ok().json(&keys)
            }
            _ => Script::error(401, "no"),
        }
    });
    let container_address = format!("{}/keys", base(&container));
    for is_container in [true, false] {
        let launch = granted(&upstream, json!({})).launch();
        let launch = launch
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &base(&instance))
            .env("HOME", "/nowhere");
        let launch = match is_container {
            true => launch
                .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container_address)
                .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &pod),
            false => launch,
        };
        let hale = launch.start();
        served(&hale, CHAT, &chat("b", json!({})));
        let sent = last(&upstream);
        assert_eq!(sent.header("x-amz-security-token"), Some("machine-token"));
        is_signed(&sent, "of-the-machine", "eu-central-1");
    }
    assert_eq!((container.requests().len(), instance.requests().len()), (1, 3));
}
