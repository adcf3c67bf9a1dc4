//! Servers that get a record of every request: what they are sent, when, and what follows from their answers.

use hale_testkit::{FakeUpstream, Hale, Launch, Request, Script, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, LOG, UPSTREAM_KEY, chat, chat_with, client, column, eventually, hale, lone,
    metric, wait_for_records,
};

const LANGFUSE: [(&str, &str); 2] =
    [("LANGFUSE_PUBLIC_KEY", "pk-lf-test"), ("LANGFUSE_SECRET_KEY", "sk-lf-secret-of-a-test")];

/// What Langfuse answers when it takes everything.
fn takes_all(_: &Request) -> Script {
    Script::with_status(207).json(&json!({"successes": [], "errors": []}))
}

fn with_langfuse(config: &Config, langfuse: &FakeUpstream) -> Launch {
    let launch =
        LANGFUSE.iter().fold(config.launch(), |launch, (name, value)| launch.env(name, value));
    launch.env("LANGFUSE_HOST", &langfuse.url())
}

/// Langfuse's events of one kind so far.
fn events(langfuse: &FakeUpstream, kind: &str) -> Vec<Value> {
    let batches = langfuse.requests().into_iter().filter(|request| request.method == "POST");
    let all = batches.flat_map(|request| request.json()["batch"].as_array().unwrap().clone());
    all.filter(|event| event["type"] == kind).collect()
}

#[track_caller]
fn wait_for_events(langfuse: &FakeUpstream, kind: &str, count: usize) -> Vec<Value> {
    eventually("the events come", || Some(events(langfuse, kind)).filter(|all| all.len() >= count))
}

#[test]
fn langfuse_gets_what_was_said_whether_streamed_or_not() {
    let (upstream, langfuse) = (FakeUpstream::start(), FakeUpstream::with(takes_all));
    let config = lone(&upstream).litellm(json!({"success_callback": ["langfuse"]}));
    let hale = with_langfuse(&config, &langfuse).start();
    hale.wait_for_line("prompts and answers are sent to langfuse");
    let mut body = openai::chat_request("m", "a question");
    body["metadata"] =
        json!({"session_id": "s1", "trace_name": "t", "tags": ["x"], "trace_user_id": "u"});
    body["temperature"] = json!(0.25);
    assert_eq!(chat_with(&hale, &[("x-litellm-call-id", "full")], &body).status, 200);
    let stream = openai::stream_request("m", "another question");
    client(&hale).stream(CHAT, &[("x-litellm-call-id", "stream")], &stream).remaining();
    let generations = wait_for_events(&langfuse, "generation-create", 2);
    let traces = wait_for_events(&langfuse, "trace-create", 2);
    let [full, streamed] = &generations[..] else { panic!("{generations:?}") };
    assert_eq!(full["body"]["traceId"], "full");
    assert_eq!(full["body"]["input"]["messages"][0]["content"], "a question");
    assert_eq!(full["body"]["output"]["content"], openai::TEXT);
    assert_eq!(full["body"]["modelParameters"]["temperature"], 0.25);
    assert_eq!(full["body"]["model"], "gpt-4o");
    assert_eq!(streamed["body"]["traceId"], "stream");
    assert_eq!(streamed["body"]["input"]["messages"][0]["content"], "another question");
    assert_eq!(streamed["body"]["output"]["content"], openai::TEXT);
    assert_eq!(full["body"]["usageDetails"], streamed["body"]["usageDetails"]);
    let trace = &traces[0]["body"];
    let told = ["id", "name", "sessionId", "userId"].map(|name| trace[name].as_str().unwrap());
    assert_eq!(told, ["full", "t", "s1", "u"]);
    assert_eq!(trace["tags"], json!(["x"]));
    let request = langfuse.request(0);
    assert_eq!(request.path, "/api/public/ingestion");
    assert!(request.header("authorization").unwrap().starts_with("Basic "));
    for secret in [KEY, UPSTREAM_KEY] {
        assert!(!request.text().contains(secret));
    }
    let seen = eventually("they are counted", || {
        let sent = metric(&hale, "hale_sink_records_sent_total", &[("callback_name", "langfuse")]);
        (sent >= 2.0).then_some(sent)
    });
    assert!((seen - 2.0).abs() < 0.5, "each once: {seen}");
}

#[test]
fn a_list_gets_the_requests_that_it_is_for() {
    let (upstream, langfuse) = (FakeUpstream::start(), FakeUpstream::with(takes_all));
    let config = lone(&upstream)
        .litellm(json!({"failure_callback": ["langfuse"]}))
        .router(json!({"num_retries": 0}));
    let hale = with_langfuse(&config, &langfuse).start();
    assert_eq!(chat(&hale, "m").status, 200);
    upstream.push(Script::error(500, "boom"));
    assert_eq!(
        chat_with(&hale, &[("x-litellm-call-id", "bad")], &openai::chat_request("m", "hi")).status,
        500
    );
    let generation = wait_for_events(&langfuse, "generation-create", 1).remove(0)["body"].clone();
    assert_eq!((&generation["traceId"], &generation["level"]), (&json!("bad"), &json!("ERROR")));
    assert!(generation["statusMessage"].as_str().unwrap().contains("boom"), "{generation}");
    // The one that succeeded came first, and is not there.
    assert_eq!(events(&langfuse, "generation-create").len(), 1);
}

#[test]
fn what_was_said_stays_here_where_the_config_or_the_request_says_so() {
    let (upstream, hook) =
        (FakeUpstream::start(), FakeUpstream::with(|_| Script::ok().json(&json!({}))));
    let config = lone(&upstream).litellm(json!({"callbacks": ["generic_api"]}));
    let launch = |config: &Config| config.launch().env("GENERIC_LOGGER_ENDPOINT", &hook.url());
    let hale = launch(&config).start();
    let body = openai::chat_request("m", "a private question");
    let redacted =
        [("x-litellm-enable-message-redaction", "true"), ("x-litellm-call-id", "redacted")];
    assert_eq!(chat_with(&hale, &redacted, &body).status, 200);
    let mut silent = body.clone();
    silent["no-log"] = json!(true);
    assert_eq!(chat_with(&hale, &[("x-litellm-call-id", "silent")], &silent).status, 200);
    assert_eq!(chat_with(&hale, &[("x-litellm-call-id", "open")], &body).status, 200);
    let all = wait_for_payloads(&hook, 2);
    assert_eq!(column(&json!(all), "id"), [json!("redacted"), json!("open")]);
    assert!(all[0].get("messages").is_none() && !all[0].to_string().contains("private"));
    assert_eq!(all[1]["messages"][0]["content"], "a private question");
    assert_eq!(all[1]["response"]["content"], openai::TEXT);
    let off = config.litellm(json!({"turn_off_message_logging": true}));
    hale.rewrite_config(&off.text());
    hale.wait_for_line("config reloaded");
    hale.wait_for_line("no sink gets prompts and answers; facts go to generic_api");
    assert_eq!(chat_with(&hale, &[], &body).status, 200);
    let last = wait_for_payloads(&hook, 3).remove(2);
    assert!(last.get("response").is_none() && last["total_tokens"].as_u64() > Some(0), "{last}");
}

/// The payloads of a webhook so far.
#[track_caller]
fn wait_for_payloads(hook: &FakeUpstream, count: usize) -> Vec<Value> {
    eventually("the payloads come", || {
        let lists = hook.requests().into_iter().map(|request| request.json());
        let all: Vec<Value> =
            lists.flat_map(|list| list.as_array().cloned().unwrap_or_default()).collect();
        (all.len() >= count).then_some(all)
    })
}

/// A gateway whose spans go to `collector` in JSON.
fn traced(config: &Config, collector: &FakeUpstream) -> Launch {
    config
        .clone()
        .litellm(json!({"callbacks": ["otel"]}))
        .launch()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
}

fn collector() -> FakeUpstream {
    FakeUpstream::with(|_| Script::ok().json(&json!({})))
}

/// All spans so far.
fn spans(collector: &FakeUpstream) -> Vec<Value> {
    let requests = collector.requests().into_iter().filter(|request| request.path == "/v1/traces");
    let lists = requests
        .map(|request| request.json()["resourceSpans"][0]["scopeSpans"][0]["spans"].clone());
    lists.flat_map(|list| list.as_array().unwrap().clone()).collect()
}

#[track_caller]
fn wait_for_spans(collector: &FakeUpstream, count: usize) -> Vec<Value> {
    eventually("the spans come", || Some(spans(collector)).filter(|all| all.len() >= count))
}

fn attribute<'v>(span: &'v Value, name: &str) -> Option<&'v Value> {
    let all = span["attributes"].as_array()?;
    let found = all.iter().find(|pair| pair["key"] == name)?;
    found["value"].as_object()?.values().next()
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_request_is_a_root_with_a_child_for_each_attempt_in_the_clients_trace() {
    let (bad, good, collector) = (FakeUpstream::start(), FakeUpstream::start(), collector());
    bad.answer_with(|_| Script::error(500, "boom"));
    let config = lone(&bad)
        .deployment("f", "c", &good)
        .router(json!({"num_retries": 0, "fallbacks": [{"m": ["f"]}]}));
    let hale = traced(&config, &collector).start();
    let headers = [("traceparent", PARENT), ("tracestate", "a=b"), ("x-litellm-call-id", "c1")];
    client(&hale).stream(CHAT, &headers, &openai::stream_request("m", "secret words")).remaining();
    let all = wait_for_spans(&collector, 3);
    let [root, first, second] = &all[..] else { panic!("{all:#?}") };
    assert!(all.iter().all(|span| span["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!((&root["parentSpanId"], &root["kind"]), (&json!("00f067aa0ba902b7"), &json!(2)));
    assert_eq!((&root["name"], &root["traceState"]), (&json!("chat m"), &json!("a=b")));
    for child in [first, second] {
        assert_eq!((&child["parentSpanId"], &child["kind"]), (&root["spanId"], &json!(3)));
    }
    assert_eq!(attribute(root, "hale.call_id"), Some(&json!("c1")));
    assert_eq!(attribute(root, "gen_ai.usage.output_tokens"), Some(&json!("7")));
    assert_eq!(attribute(first, "error.type"), Some(&json!("server_error")));
    assert_eq!(first["status"]["code"], 2);
    assert_eq!(attribute(second, "hale.deployment"), Some(&json!("c")));
    assert!(second.get("status").is_none());
    assert!(!json!(all).to_string().contains("secret words"), "spans hold no messages by default");
    // Each upstream was told of its own span.
    for (upstream, child) in [(&bad, first), (&good, second)] {
        let told = upstream.request(0);
        let expected =
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", child["spanId"].as_str().unwrap());
        assert_eq!(told.header("traceparent"), Some(&*expected));
        assert_eq!(told.header("tracestate"), Some("a=b"));
    }
}

#[test]
fn a_client_that_leaves_and_a_stream_that_breaks_have_one_root_each() {
    let (upstream, collector) = (FakeUpstream::start(), collector());
    let config = lone(&upstream).router(json!({"num_retries": 0}));
    let hale = traced(&config, &collector).start();
    upstream.push(Script::silent());
    let mut gone = client(&hale);
    let body = openai::chat_request("m", "hi").to_string();
    gone.send("POST", CHAT, &[("x-litellm-call-id", "gone")], body.as_bytes()).unwrap();
    upstream.wait_for_requests(1);
    drop(gone);
    upstream.wait_until_dropped();
    let begun = Script::ok().stream().event(&openai::content_chunk("g", "x"));
    upstream.push(begun.close());
    let stream = openai::stream_request("m", "hi");
    client(&hale).stream(CHAT, &[("x-litellm-call-id", "broken")], &stream).remaining();
    let all = wait_for_spans(&collector, 4);
    assert_eq!(all.len(), 4, "{all:#?}");
    let roots: Vec<&Value> = all.iter().filter(|span| span["kind"] == 2).collect();
    let told =
        |name: &str| roots.iter().map(|root| attribute(root, name).cloned()).collect::<Vec<_>>();
    assert_eq!(told("hale.call_id"), [Some(json!("gone")), Some(json!("broken"))]);
    assert_eq!(told("hale.ending"), [Some(json!("client_closed")), Some(json!("broken"))]);
    for child in all.iter().filter(|span| span["kind"] == 3) {
        assert!(child["endTimeUnixNano"].as_str() >= child["startTimeUnixNano"].as_str());
        assert!(attribute(child, "error.type").is_some(), "{child}");
    }
}

#[test]
fn a_wait_in_line_is_a_child_of_its_own() {
    let (upstream, collector) = (FakeUpstream::start(), collector());
    let hale = traced(&lone(&upstream), &collector).start();
    upstream.push(Script::rate_limited(1));
    assert_eq!(chat(&hale, "m").status, 200);
    let all = wait_for_spans(&collector, 4);
    let wait = all.iter().find(|span| span["kind"] == 1).unwrap();
    assert_eq!(wait["parentSpanId"], all[0]["spanId"]);
    assert_eq!(all.iter().filter(|span| span["kind"] == 3).count(), 2, "{all:#?}");
}

#[test]
fn a_trace_that_its_client_does_not_record_is_passed_on_and_not_exported() {
    let (upstream, collector) = (FakeUpstream::start(), collector());
    let hale = traced(&lone(&upstream), &collector).start();
    let off = PARENT.replace("-01", "-00");
    let body = openai::chat_request("m", "hi");
    assert_eq!(chat_with(&hale, &[("traceparent", &off)], &body).status, 200);
    assert!(upstream.request(0).header("traceparent").unwrap().ends_with("-00"));
    assert_eq!(chat_with(&hale, &[("x-litellm-call-id", "seen")], &body).status, 200);
    let all = wait_for_spans(&collector, 2);
    assert_eq!(attribute(&all[0], "hale.call_id"), Some(&json!("seen")));
    let own = json!({"forward_traceparent_to_llm_provider": false});
    let quiet = traced(&lone(&upstream).litellm(own), &collector).start();
    assert_eq!(chat(&quiet, "m").status, 200);
    assert_eq!(upstream.requests().last().unwrap().header("traceparent"), None);
}

#[test]
fn without_a_sink_nothing_is_told_to_upstreams_and_nothing_is_captured() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).general(json!({"request_log": LOG})).start();
    let body = openai::chat_request("m", "hi");
    assert_eq!(chat_with(&hale, &[("traceparent", PARENT)], &body).status, 200);
    assert_eq!(upstream.request(0).header("traceparent"), None);
    assert_eq!(wait_for_records(&hale, 1)[0].get("messages"), None);
}

#[test]
fn spans_hold_what_was_said_only_when_they_are_told_to() {
    let (upstream, collector) = (FakeUpstream::start(), collector());
    let hale = traced(&lone(&upstream), &collector)
        .env("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
        .env("OTEL_LOGS_EXPORTER", "otlp")
        .start();
    assert_eq!(chat_with(&hale, &[], &openai::chat_request("m", "what is it")).status, 200);
    let root = wait_for_spans(&collector, 2).remove(0);
    let input: Value =
        serde_json::from_str(attribute(&root, "gen_ai.input.messages").unwrap().as_str().unwrap())
            .unwrap();
    assert_eq!(
        input,
        json!([{"role": "user", "parts": [{"type": "text", "content": "what is it"}]}])
    );
    let output = attribute(&root, "gen_ai.output.messages").unwrap().as_str().unwrap();
    assert!(output.contains(openai::TEXT), "{output}");
    let log = eventually("a log record comes", || {
        let requests = collector.requests();
        let found = requests.iter().find(|request| request.path == "/v1/logs")?;
        Some(found.json()["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0].clone())
    });
    assert_eq!((&log["severityText"], &log["traceId"]), (&json!("INFO"), &root["traceId"]));
}

#[test]
fn a_collector_gets_the_metrics_of_the_page() {
    let (upstream, collector) = (FakeUpstream::start(), collector());
    let hale = traced(&lone(&upstream), &collector)
        .env("OTEL_METRICS_EXPORTER", "otlp")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
        .start();
    assert_eq!(chat(&hale, "m").status, 200);
    let requests = eventually("the count comes", || {
        let sent = collector.requests().into_iter().filter(|request| request.path == "/v1/metrics");
        let lists = sent.map(|request| {
            request.json()["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone()
        });
        let mut all = lists.flat_map(|list| list.as_array().unwrap().clone());
        all.find(|one| one["name"] == "hale_requests" && one.to_string().contains("\"m\""))
    });
    assert_eq!(requests["sum"]["isMonotonic"], true);
    let points = requests["sum"]["dataPoints"].as_array().unwrap();
    assert!(points.iter().any(|point| point["asDouble"] == 1.0), "{points:?}");
}

#[test]
fn lines_of_the_file_have_what_was_said_only_when_they_are_told_to() {
    let upstream = FakeUpstream::start();
    let hale =
        lone(&upstream).general(json!({"request_log": LOG, "request_log_messages": true})).start();
    hale.wait_for_line("prompts and answers are sent to request_log");
    client(&hale).stream(CHAT, &[], &openai::stream_request("m", "a question")).remaining();
    let record = wait_for_records(&hale, 1).remove(0);
    assert_eq!(record["messages"][0]["content"], "a question");
    assert_eq!(record["response"]["content"], openai::TEXT);
}

#[test]
fn an_object_of_s3_is_one_request_and_is_signed() {
    let (upstream, bucket) =
        (FakeUpstream::start(), FakeUpstream::with(|_| Script::ok().body("text/xml", "")));
    let params = json!({
        "s3_bucket_name": "logs", "s3_endpoint_url": bucket.url(), "s3_path": "a", "s3_region_name": "eu-west-1",
    });
    let hale = lone(&upstream)
        .litellm(json!({"callbacks": ["s3_v2"], "s3_callback_params": params}))
        .launch()
        .env("AWS_ACCESS_KEY_ID", "AKIATEST")
        .env("AWS_SECRET_ACCESS_KEY", "a-very-secret-key")
        .start();
    for id in ["one", "two"] {
        let headers = [("x-litellm-call-id", id)];
        assert_eq!(chat_with(&hale, &headers, &openai::chat_request("m", "hi")).status, 200);
    }
    let objects = bucket.wait_for_requests(2);
    // Several are stored at one time, in any order.
    for id in ["one", "two"] {
        let ending = format!("_{id}.json");
        let object = objects.iter().find(|object| object.path.ends_with(&ending)).unwrap();
        assert_eq!(object.method, "PUT");
        assert!(object.path.starts_with("/logs/a/20"), "{}", object.path);
        let authorization = object.header("authorization").unwrap();
        assert!(
            authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIATEST/"),
            "{authorization}"
        );
        assert!(authorization.contains("/eu-west-1/s3/aws4_request"));
        assert_eq!(object.json()["id"], id);
        assert!(!object.text().contains("a-very-secret-key"));
    }
    for name in ["s3_v2", "s3"] {
        let tested = client(&hale).get(&format!("/health/services?service={name}"));
        assert_eq!(tested.status, 200, "{name}: {}", tested.text());
    }
}

#[test]
fn datadog_and_langsmith_get_their_own_forms() {
    let (upstream, server) =
        (FakeUpstream::start(), FakeUpstream::with(|_| Script::with_status(202).json(&json!({}))));
    let hale = lone(&upstream)
        .litellm(json!({"callbacks": ["datadog", "langsmith"]}))
        .launch()
        .env("LITELLM_DD_AGENT_HOST", "127.0.0.1")
        .env("LITELLM_DD_AGENT_PORT", &server.port().to_string())
        .env("DD_API_KEY", "dd-key")
        .env("LANGSMITH_API_KEY", "ls-key")
        .env("LANGSMITH_BASE_URL", &server.url())
        .start();
    hale.wait_for_line("prompts and answers are sent to langsmith; only facts to datadog");
    assert_eq!(chat_with(&hale, &[], &openai::chat_request("m", "a question")).status, 200);
    let requests = server.wait_for_requests(2);
    let by_path = |path: &str| requests.iter().find(|request| request.path == path).unwrap();
    let datadog = by_path("/api/v2/logs");
    assert_eq!(datadog.header("dd-api-key"), Some("dd-key"));
    assert_eq!(datadog.json()[0]["ddsource"], "litellm");
    assert!(!datadog.text().contains("a question"));
    let langsmith = by_path("/runs/batch");
    assert_eq!(langsmith.header("x-api-key"), Some("ls-key"));
    let run = &langsmith.json()["post"][0];
    assert_eq!(run["inputs"]["messages"][0]["content"], "a question");
    assert_eq!(run["outputs"]["message"]["content"], openai::TEXT);
}

#[test]
fn a_sink_that_fails_is_tried_again_and_every_record_comes_once() {
    let (upstream, langfuse) = (FakeUpstream::start(), FakeUpstream::with(takes_all));
    langfuse.push(Script::with_status(200).body("text/html", "<html>login</html>"));
    langfuse.push(Script::rate_limited(1));
    langfuse.push(Script::ok().stream().close());
    let config = lone(&upstream).litellm(json!({"callbacks": ["langfuse"]}));
    let hale = with_langfuse(&config, &langfuse).start();
    assert_eq!(chat(&hale, "m").status, 200);
    let line = hale.wait_for_line("records of requests cannot be sent, and wait");
    assert!(line.contains("a page of HTML") && line.contains("langfuse"), "{line}");
    hale.wait_for_line("records of requests are sent again");
    assert_eq!(langfuse.wait_for_requests(4).len(), 4);
    let ids: Vec<Value> =
        events(&langfuse, "trace-create").iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().all(|id| *id == ids[0]), "the same event, whose id lets it be stored once");
    let count = |name: &str| metric(&hale, name, &[("callback_name", "langfuse")]);
    // It is counted once the sink has answered.
    let sent = || (count("hale_sink_records_sent_total") - 1.0).abs() < 0.5;
    eventually("it is counted", || sent().then_some(()));
    assert!((count("hale_sink_failures_total") - 3.0).abs() < 0.5);
    assert!(count("hale_sink_records_dropped_total") < 0.5);
}

#[test]
fn a_sink_that_is_down_delays_no_request_and_what_has_no_room_is_counted() {
    let upstream = FakeUpstream::start();
    let dead = hale_testkit::refused_port();
    let config = lone(&upstream)
        .litellm(json!({"callbacks": ["generic_api"]}))
        .general(json!({"sink_memory_mb": 0.01, "sink_spool_mb": 0.01}));
    let endpoint = format!("http://127.0.0.1:{dead}/");
    let hale = config.launch().env("GENERIC_LOGGER_ENDPOINT", &endpoint).start();
    let body = openai::chat_request("m", &"x".repeat(1000));
    let mut own = client(&hale);
    for _ in 0..40 {
        assert_eq!(own.post_json(CHAT, &[], &body).status, 200);
    }
    let count = |name: &str| metric(&hale, name, &[("callback_name", "generic_api")]);
    let dropped = eventually("what has no room is counted", || {
        Some(count("hale_sink_records_dropped_total")).filter(|dropped| *dropped > 20.0)
    });
    assert!(dropped < 40.0, "memory and disk hold some: {dropped}");
    assert!(count("hale_sink_queue_bytes") <= 10_500.0 && count("hale_sink_queue_bytes") > 0.0);
    assert!(count("hale_sink_spool_bytes") <= 10_500.0 && count("hale_sink_spool_bytes") > 0.0);
    hale.wait_for_line("cannot be sent, and wait");
    let log = hale.stderr();
    assert_eq!(log.matches("cannot be sent, and wait").count(), 1, "{log}");
    assert_eq!(log.matches("records of requests are dropped").count(), 1, "{log}");
}

#[test]
fn a_collector_that_hangs_or_redirects_is_told_and_given_up_in_time() {
    let (upstream, collector) = (FakeUpstream::start(), FakeUpstream::with(|_| Script::silent()));
    let hale =
        traced(&lone(&upstream), &collector).env("OTEL_EXPORTER_OTLP_TIMEOUT", "100").start();
    assert_eq!(chat(&hale, "m").status, 200);
    let line = hale.wait_for_line("records of requests cannot be sent");
    assert!(line.contains("no answer within 0.100 s"), "{line}");
    collector.answer_with(|_| {
        Script::with_status(302).header("location", "http://other/").body("text/plain", "")
    });
    eventually("the page has the last error", || {
        let page = client(&hale).get("/active/callbacks").json();
        page["sinks"][0]["error"]
            .as_str()
            .is_some_and(|text| text.contains("another address"))
            .then_some(())
    });
    let tested = client(&hale).get("/health/services?service=otel");
    assert!(tested.status == 500 && tested.text().contains("another address"), "{}", tested.text());
}

#[test]
fn a_panic_has_one_root_too() {
    let (upstream, collector) = (FakeUpstream::start(), collector());
    let hale =
        traced(&lone(&upstream), &collector).env("HALE_FAIL_ON_PURPOSE", "an answer").start();
    let body = openai::chat_request("m", "hi").to_string();
    drop(client(&hale).try_request("POST", CHAT, &[], body.as_bytes()));
    let all = wait_for_spans(&collector, 2);
    let roots: Vec<&Value> = all.iter().filter(|span| span["kind"] == 2).collect();
    assert_eq!(roots.len(), 1, "{all:#?}");
    assert_eq!(attribute(roots[0], "hale.ending"), Some(&json!("panicked")));
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(wait_for_spans(&collector, 4).len(), 4);
}

#[test]
fn what_a_process_could_not_send_the_next_one_sends() {
    // Refused, and on its way when the process ends.
    for answer in [Script::with_status(503).json(&json!({})), Script::silent()] {
        let (upstream, hook) = (FakeUpstream::start(), FakeUpstream::with(move |_| answer.clone()));
        let data = hale_testkit::TempDir::new();
        let config = lone(&upstream).litellm(json!({"callbacks": ["generic_api"]}));
        let launch = || {
            let launch = config.launch().env("GENERIC_LOGGER_ENDPOINT", &hook.url());
            launch.env("HALE_DATA_DIR", data.path().to_str().unwrap())
        };
        let mut first = launch().start();
        let body = openai::chat_request("m", "hi");
        assert_eq!(chat_with(&first, &[("x-litellm-call-id", "kept")], &body).status, 200);
        hook.wait_for_requests(1);
        first.signal(hale_testkit::Signal::Term);
        first.wait_for_exit(hale_testkit::TIMEOUT);
        hook.answer_with(|_| Script::ok().json(&json!({})));
        let before = hook.requests().len();
        let _second: Hale = launch().start();
        let requests = hook.wait_for_requests(before + 1);
        assert_eq!(requests.last().unwrap().json()[0]["id"], "kept");
    }
}

#[test]
fn a_record_that_is_refused_is_found_and_the_others_are_kept() {
    let (upstream, hook) = (
        FakeUpstream::start(),
        FakeUpstream::with(|request| match request.text().contains("poison") {
            true => Script::with_status(400).json(&json!({"error": "bad record"})),
            false => Script::ok().json(&json!({})),
        }),
    );
    let config = lone(&upstream).litellm(json!({"callbacks": ["generic_api"]}));
    let hale = config.launch().env("GENERIC_LOGGER_ENDPOINT", &hook.url()).start();
    for word in ["a", "b", "poison", "c", "d"] {
        let headers = [("x-litellm-call-id", word)];
        assert_eq!(chat_with(&hale, &headers, &openai::chat_request("m", "hi")).status, 200);
    }
    let count = |name: &str| metric(&hale, name, &[("callback_name", "generic_api")]);
    eventually("four are taken and one is dropped", || {
        let (sent, dropped) =
            (count("hale_sink_records_sent_total"), count("hale_sink_records_dropped_total"));
        ((sent - 4.0).abs() < 0.5 && (dropped - 1.0).abs() < 0.5).then_some(())
    });
    hale.wait_for_line("bad record");
}

#[test]
fn a_service_is_really_tested_and_says_what_it_said() {
    let (upstream, langfuse) = (FakeUpstream::start(), FakeUpstream::with(takes_all));
    let config = lone(&upstream).litellm(json!({"callbacks": ["langfuse", "datadog"]}));
    let hale = with_langfuse(&config, &langfuse)
        .env("LITELLM_DD_AGENT_HOST", "127.0.0.1")
        .env("LITELLM_DD_AGENT_PORT", &langfuse.port().to_string())
        .start();
    let test = |service: &str| client(&hale).get(&format!("/health/services?service={service}"));
    let works = test("langfuse");
    assert_eq!(
        (works.status, &works.json()["status"]),
        (200, &json!("success")),
        "{}",
        works.text()
    );
    assert_eq!(events(&langfuse, "trace-create").len(), 1, "it was really asked");
    langfuse.push(Script::with_status(401).json(&json!({"message": "Invalid credentials. Confirm that you've configured the correct host."})));
    let refused = test("langfuse");
    assert_eq!(refused.status, 500);
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("401") && message.contains("Invalid credentials"), "{message}");
    assert!(!message.contains("sk-lf-secret"), "{message}");
    langfuse.push(Script::with_status(403).body("text/plain", "Forbidden"));
    let unhealthy = test("datadog");
    assert_eq!((unhealthy.status, &unhealthy.json()["status"]), (200, &json!("unhealthy")));
    assert_eq!(test("datadog").json()["status"], "healthy");
    assert_eq!(test("prometheus").json()["status"], "healthy");
    for (service, status, word) in [
        ("otel", 422, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("s3", 422, "AWS_ACCESS_KEY_ID"),
        ("galileo", 422, "GALILEO_API_KEY"),
        ("openmeter", 422, "OPENMETER_API_KEY"),
        ("nonsense", 400, "langfuse_otel"),
    ] {
        let answer = test(service);
        assert_eq!(answer.status, status, "{service}: {}", answer.text());
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(word), "{service}: {message}");
    }
    assert_eq!(client(&hale).get("/health/services").status, 422);
    assert_eq!(hale.client().get("/health/services?service=langfuse").status, 401);
}

#[test]
fn a_channel_of_alerts_is_a_service_too() {
    let (upstream, slack) =
        (FakeUpstream::start(), FakeUpstream::with(|_| Script::ok().body("text/plain", "ok")));
    let config = lone(&upstream).general(json!({"alerting": ["slack"]}));
    let hale = config
        .launch()
        .env("SLACK_WEBHOOK_URL", &format!("{}/services/secret", slack.url()))
        .start();
    let test = || client(&hale).get("/health/services?service=slack");
    assert_eq!(test().json()["status"], "success");
    assert!(
        slack.request(0).text().contains("a test of Hale's alerts"),
        "{}",
        slack.request(0).text()
    );
    slack.push(Script::with_status(404).body("text/plain", "no_service"));
    let revoked = test();
    assert!(revoked.status == 500 && revoked.text().contains("no_service"), "{}", revoked.text());
    assert!(!revoked.text().contains("/services/secret"), "{}", revoked.text());
    assert_eq!(client(&hale).get("/active/callbacks").json()["alerting"], "['slack']");
}

#[test]
fn every_service_of_the_reference_has_an_answer() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    for service in [
        "slack",
        "slack_budget_alerts",
        "ms_teams",
        "webhook",
        "email",
        "langfuse",
        "langfuse_otel",
        "langsmith",
        "datadog",
        "datadog_llm_observability",
        "datadog_metrics",
        "otel",
        "openmeter",
        "braintrust",
        "generic_api",
        "arize",
        "galileo",
        "pointfive",
        "sqs",
        "pagerduty",
        "discord",
        "s3",
        "newrelic",
        "signoz",
        "custom_callback_api",
    ] {
        let answer = client(&hale).get(&format!("/health/services?service={service}"));
        assert_eq!(answer.status, 422, "{service}: {}", answer.text());
    }
}

#[test]
fn the_pages_of_callbacks_show_what_is_configured_and_no_secret() {
    let (upstream, langfuse) = (FakeUpstream::start(), FakeUpstream::with(takes_all));
    let config = lone(&upstream).litellm(
        json!({"success_callback": ["langfuse", "prometheus"], "failure_callback": ["langfuse"]}),
    );
    let hale = with_langfuse(&config, &langfuse).start();
    for path in ["/active/callbacks", "/settings"] {
        let page = client(&hale).get(path).json();
        assert_eq!(page["litellm.success_callback"], json!(["langfuse", "prometheus"]));
        assert_eq!((&page["num_callbacks"], &page["alerting"]), (&json!(3), &json!("None")));
        assert_eq!(page["sinks"][0]["gets_messages"], true);
    }
    let page = client(&hale).get("/get/config/callbacks");
    let first = &page.json()["callbacks"][0];
    assert_eq!((&first["name"], &first["type"]), (&json!("langfuse"), &json!("success")));
    assert_eq!(first["variables"]["LANGFUSE_SECRET_KEY"], "********");
    assert_eq!(first["variables"]["LANGFUSE_HOST"], "********");
    assert!(!page.text().contains("sk-lf-secret"));
    // Without a host of one's own, and with a key alone.
    let more = config.general(json!({"alerting": ["slack", "email"]}));
    let bare =
        more.launch().env("LANGFUSE_PUBLIC_KEY", "pk-lf-test").env("SMTP_PORT", "2525").start();
    let page = client(&bare).get("/get/config/callbacks").json();
    let langfuse = &page["callbacks"][0]["variables"];
    assert_eq!(langfuse["LANGFUSE_PUBLIC_KEY"], "********");
    assert_eq!(
        (&langfuse["LANGFUSE_SECRET_KEY"], &langfuse["LANGFUSE_HOST"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(page["alerts"], json!([]), "no channel has what it needs");
    assert_eq!(hale.client().get("/get/config/callbacks").status, 401);
}

#[test]
fn a_webhook_of_ones_own_is_tested_by_its_name() {
    let (upstream, hook) =
        (FakeUpstream::start(), FakeUpstream::with(|_| Script::ok().json(&json!({}))));
    let audit = json!({"callback_type": "generic_api", "endpoint": format!("{}/in", hook.url())});
    let config = lone(&upstream)
        .litellm(json!({"callbacks": ["audit", "half"]}))
        .callbacks(json!({"audit": audit, "half": {"callback_type": "generic_api"}}));
    let hale = config.start();
    let test = |name: &str| client(&hale).get(&format!("/health/services?service={name}"));
    let works = test("audit");
    assert_eq!(
        (works.status, &works.json()["status"]),
        (200, &json!("success")),
        "{}",
        works.text()
    );
    assert_eq!(hook.requests().len(), 1);
    hook.push(Script::with_status(401).body("text/plain", "no such key"));
    let fails = test("audit");
    assert_eq!(fails.status, 500);
    assert!(fails.text().contains("no such key"), "{}", fails.text());
    let half = test("half");
    assert_eq!(
        (half.status, half.json()["error"]["reason"].as_str()),
        (422, Some("service_not_configured"))
    );
    assert_eq!(test("unheard-of").status, 400);
}

#[test]
fn a_share_of_requests_that_is_none_is_named_and_all_are_sent() {
    let (upstream, langfuse) = (FakeUpstream::start(), FakeUpstream::with(takes_all));
    let config = lone(&upstream).litellm(json!({"success_callback": ["langfuse", "langsmith"]}));
    let hale = with_langfuse(&config, &langfuse)
        .env("LANGFUSE_SAMPLE_RATE", "half")
        .env("LANGSMITH_API_KEY", "lsv2-test")
        .env("LANGSMITH_SAMPLING_RATE", "1.5")
        .start();
    for name in ["LANGFUSE_SAMPLE_RATE", "LANGSMITH_SAMPLING_RATE"] {
        let line = hale.wait_for_line(name);
        assert!(line.contains("not a share of requests, so that all are sent"), "{line}");
        assert!(!line.contains("half") && !line.contains("1.5"), "{line}");
    }
    (0..3).for_each(|_| assert_eq!(chat(&hale, "m").status, 200));
    wait_for_events(&langfuse, "generation-create", 3);
}

#[test]
fn check_says_which_sinks_get_what_was_said() {
    let upstream = FakeUpstream::start();
    let text = lone(&upstream).litellm(json!({"callbacks": ["langfuse", "otel"]})).text();
    let launch =
        LANGFUSE.iter().fold(hale().config(&text), |launch, (name, value)| launch.env(name, value));
    let checked = launch
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
        .arg("check")
        .arg("config.yaml")
        .run();
    assert_eq!(checked.code(), Some(0), "{}", checked.stdout);
    assert!(
        checked.stdout.contains("prompts and answers are sent to langfuse; only facts to otel\n")
    );
}
