//! What the tests share: configs, requests, and waiting for things without an event of their own.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use hale_testkit::{Client, FakeUpstream, Hale, Launch, Response, TIMEOUT, openai};
use serde_json::{Map, Value, json};

/// The master key of every config here that has one.
pub(crate) const KEY: &str = "sk-test-0123456789abcdef";
/// The provider's key of every deployment here.
pub(crate) const UPSTREAM_KEY: &str = "sk-upstream-fedcba9876543210";
/// The path of a chat request.
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// The time, as the tests measure it.
#[allow(clippy::disallowed_methods, reason = "tests measure real time: the clock is the gateway's")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The binary, not started yet.
pub(crate) fn hale() -> Launch {
    Hale::launch(env!("CARGO_BIN_EXE_hale"))
}

/// A config in the making; JSON is YAML.
#[derive(Clone)]
pub(crate) struct Config {
    deployments: Vec<Value>,
    sections: Map<String, Value>,
}

impl Config {
    /// A config with a master key and nothing else.
    pub(crate) fn new() -> Self {
        Self::open().general(json!({"master_key": KEY}))
    }

    /// A config without a master key.
    pub(crate) fn open() -> Self {
        let sections = json!({
            "router_settings": {},
            "litellm_settings": {},
            "general_settings": {"drain_delay_s": 0},
        });
        let Value::Object(sections) = sections else { panic!("an object") };
        Self { deployments: Vec::new(), sections }
    }

    /// One deployment of `group` at this upstream.
    pub(crate) fn deployment(self, group: &str, id: &str, upstream: &FakeUpstream) -> Self {
        self.with(group, id, upstream, json!({}))
    }

    /// The same with further `litellm_params`.
    pub(crate) fn with(self, group: &str, id: &str, upstream: &FakeUpstream, more: Value) -> Self {
        let mut params = json!({
            "model": "openai/gpt-4o",
            "api_key": UPSTREAM_KEY,
            "api_base": upstream.api_base(),
        });
        merge(&mut params, more);
        self.entry(json!({"model_name": group, "litellm_params": params, "model_info": {"id": id}}))
    }

    /// Any entry of `model_list`.
    pub(crate) fn entry(mut self, entry: Value) -> Self {
        self.deployments.push(entry);
        self
    }

    /// Adds to `router_settings`.
    pub(crate) fn router(self, more: Value) -> Self {
        self.section("router_settings", more)
    }

    /// Adds to `litellm_settings`.
    pub(crate) fn litellm(self, more: Value) -> Self {
        self.section("litellm_settings", more)
    }

    /// Adds to `general_settings`.
    pub(crate) fn general(self, more: Value) -> Self {
        self.section("general_settings", more)
    }

    /// Adds to `callback_settings`.
    pub(crate) fn callbacks(self, more: Value) -> Self {
        self.section("callback_settings", more)
    }

    fn section(mut self, name: &str, more: Value) -> Self {
        merge(self.sections.entry(name).or_insert_with(|| json!({})), more);
        self
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        let mut all = self.sections.clone();
        all.insert("model_list".to_owned(), json!(self.deployments));
        Value::Object(all).to_string()
    }

    /// A gateway with this config, not started yet; one worker, so that connections are reused.
    pub(crate) fn launch(&self) -> Launch {
        hale().config(&self.text()).arg("--num_workers").arg("1")
    }

    /// A running gateway with this config.
    #[track_caller]
    pub(crate) fn start(&self) -> Hale {
        self.launch().start()
    }
}

fn merge(into: &mut Value, more: Value) {
    let (Value::Object(into), Value::Object(more)) = (into, more) else { panic!("two objects") };
    into.extend(more);
}

/// A group `m` with one deployment `a`.
pub(crate) fn lone(upstream: &FakeUpstream) -> Config {
    Config::new().deployment("m", "a", upstream)
}

/// A group `m` in which `bad` is always called first and `good` is its sibling.
///
/// A member of weight 0 is not a candidate while another one is available.
pub(crate) fn pair(bad: &FakeUpstream, good: &FakeUpstream) -> Config {
    Config::new().with("m", "bad", bad, json!({"weight": 1})).with(
        "m",
        "good",
        good,
        json!({"weight": 0}),
    )
}

/// A client that presents the master key.
pub(crate) fn client(hale: &Hale) -> Client {
    hale.client_with_key(KEY)
}

/// Sends a chat request on a new connection.
#[track_caller]
pub(crate) fn chat(hale: &Hale, model: &str) -> Response {
    chat_with(hale, &[], &openai::chat_request(model, "hi"))
}

/// Sends this body to the chat endpoint on a new connection.
#[track_caller]
pub(crate) fn chat_with(hale: &Hale, headers: &[(&str, &str)], body: &Value) -> Response {
    client(hale).post_json(CHAT, headers, body)
}

/// The `error` object of an answer. Google's form has its members among the details; Bedrock's is the object itself.
#[track_caller]
pub(crate) fn error(response: &Response) -> Value {
    let page = response.json();
    let error = if page["error"].is_null() { page } else { page["error"].clone() };
    assert!(error.is_object(), "no error object in {}", response.text());
    let details = &error["details"][0]["metadata"];
    if details.is_object() { details.clone() } else { error }
}

/// Asserts status and reason, and gives the error.
#[track_caller]
pub(crate) fn expect_error(response: &Response, status: u16, reason: &str) -> Value {
    let text = response.text();
    assert_eq!(response.status, status, "{text}");
    let error = error(response);
    assert_eq!(error["reason"], reason, "{text}");
    assert_eq!(error["code"], status.to_string(), "{text}");
    assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{text}");
    assert!(error["type"].is_string() && error.get("param").is_some(), "{text}");
    error
}

/// The named member of each entry of a list.
pub(crate) fn column(list: &Value, name: &str) -> Vec<Value> {
    list.as_array().into_iter().flatten().map(|entry| entry[name].clone()).collect()
}

/// The names on a page of models, sorted; those behind the pattern `openai/*` as one.
pub(crate) fn listed(page: &Value) -> Vec<Value> {
    let names = column(&page["data"], "id").into_iter().map(|name| {
        let is_behind = name.as_str().is_some_and(|name| name.starts_with("openai/"));
        if is_behind { "openai/*".into() } else { name }
    });
    let mut names: Vec<Value> = names.collect();
    names.sort_by_key(Value::to_string);
    names.dedup();
    names
}

/// Polls until there is a result; panics after [`TIMEOUT`].
#[track_caller]
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(TIMEOUT, what, look)
}

/// Polls until there is a result; panics after `limit`.
#[track_caller]
pub(crate) fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Where configs here put their request log, relative to the directory of the process.
pub(crate) const LOG: &str = "requests.jsonl";

/// The records that were written so far.
pub(crate) fn records(hale: &Hale) -> Vec<Value> {
    let text = fs::read_to_string(hale.dir().join(LOG)).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Waits for so many records.
#[track_caller]
pub(crate) fn wait_for_records(hale: &Hale, count: usize) -> Vec<Value> {
    eventually("the records are written", || Some(records(hale)).filter(|all| all.len() >= count))
}

/// One line of the metrics page.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// The metrics page, parsed; every line except comments must be a sample.
#[track_caller]
pub(crate) fn scrape(hale: &Hale) -> Vec<Sample> {
    let page = client(hale).get("/metrics");
    assert_eq!(page.status, 200, "{}", page.text());
    page.text().lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

/// The sum of the samples with this name and these labels.
#[track_caller]
pub(crate) fn metric(hale: &Hale, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |sample: &Sample| {
        labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|it| it == value))
    };
    let all = scrape(hale);
    assert!(all.iter().any(|it| it.name == name), "no {name} on the page");
    all.iter().filter(|it| it.name == name && has(it)).map(|it| it.value).sum()
}

/// How many upstream calls failed by the fault of a deployment.
pub(crate) fn blamed(hale: &Hale) -> f64 {
    const OF_OTHERS: [&str; 9] = [
        "success",
        "bad_request",
        "unsupported",
        "context_window",
        "content_policy",
        "empty_answer",
        "client_timeout",
        "client_closed",
        "gateway",
    ];
    let is_blamed = |sample: &Sample| {
        let outcome = sample.labels.get("outcome").map(String::as_str);
        sample.name == "hale_attempts_total" && outcome.is_some_and(|it| !OF_OTHERS.contains(&it))
    };
    scrape(hale).iter().filter(|sample| is_blamed(sample)).map(|sample| sample.value).sum()
}

/// Waits until the process has no request in flight but the scrape itself.
#[track_caller]
pub(crate) fn wait_until_idle(hale: &Hale) {
    eventually("nothing is in flight", || {
        let own = metric(hale, "hale_in_flight_requests", &[]);
        let theirs = metric(hale, "hale_deployment_in_flight", &[]);
        (own <= 1.0 && theirs == 0.0).then_some(())
    });
}

fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').expect("a sample has a value");
    let value = value.parse().unwrap_or_else(|_| panic!("no number in {line:?}"));
    let (name, labels) = match head.split_once('{') {
        None => (head, ""),
        Some((name, tail)) => (name, tail.strip_suffix('}').expect("labels end")),
    };
    let pair = |part: &str| {
        let (key, value) = part.split_once("=\"").expect("a label has a value");
        (key.trim_start_matches(',').to_owned(), value.to_owned())
    };
    let parts: Vec<_> = labels.split_inclusive('"').collect();
    let whole = |two: &[&str]| two.concat().strip_suffix('"').unwrap_or_default().to_owned();
    let labels = parts.chunks(2).map(|two| pair(&whole(two))).collect();
    Sample { name: name.to_owned(), labels, value }
}

/// Waits until the database works: a start does not wait for one that is slow.
#[track_caller]
pub(crate) fn connected(hale: &Hale) {
    within(Duration::from_secs(60), "the database works", || {
        (client(hale).get("/health/readiness").json()["db"] == "connected").then_some(())
    });
}
