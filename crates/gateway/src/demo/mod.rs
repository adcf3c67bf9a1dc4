//! `hale demo`: simulates an outage, without keys and without a network.
//!
//! Called by `main`. Always true: the gateway is the real one, with a real config; only its providers are
//! simulated, on loopback, and follow [`script`].

mod narrator;
mod provider;
mod screen;
mod script;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hale_core::config::{self, Options};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, header};
use tokio::runtime::LocalOptions;

use self::narrator::{Answer, Narrator};
use self::provider::Provider;
use crate::cli::DemoOptions;
use crate::console::{complain, print};
use crate::files::Files;
use crate::process::{self, Listen, Running, Stop};
use crate::upstream::{self, Reuse, Upstream, UpstreamRequest};

/// Time between two requests of the demo.
const PACE: Duration = Duration::from_millis(125);
/// The request of the demo.
const QUESTION: &str =
    r#"{"model":"demo","messages":[{"role":"user","content":"Are you there?"}],"max_tokens":20}"#;

/// Runs the demo.
pub(crate) fn run(options: &DemoOptions) -> ExitCode {
    match prepare(options) {
        Ok((running, providers)) => play(options, running, providers),
        Err(problem) => {
            complain(&problem);
            ExitCode::from(1)
        }
    }
}

fn prepare(options: &DemoOptions) -> Result<(Running, Arc<[Provider; provider::COUNT]>), String> {
    let providers =
        Arc::new(provider::start().map_err(|error| {
            format!("the simulated providers cannot listen on 127.0.0.1: {error}")
        })?);
    let text = config_text(&*providers, options.seconds);
    let loaded =
        config::load(&Files::with("demo.yaml", text), "demo.yaml", Options::default(), None);
    let problems: Vec<String> = loaded.errors().map(ToString::to_string).collect();
    let snapshot = loaded.snapshot.ok_or_else(|| problems.join("\n"))?;
    let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let listen = |port| Listen { address: at(port), why_local: None };
    // It is over in a minute: there is nothing to remember.
    let keeps = process::Keeps { log_requests: false, place: None, reloader: None };
    if let Err(problem) = std::net::TcpListener::bind(at(options.port)) {
        print(&format!("port {} is taken ({problem}); using another one\n", options.port));
        return process::start(snapshot, listen(0), 1, None, keeps)
            .map(|running| (running, providers))
            .map_err(|refusal| refusal.problem);
    }
    process::start(snapshot, listen(options.port), 1, None, keeps)
        .map(|running| (running, providers))
        .map_err(|refusal| refusal.problem)
}

/// The config of the demo, as a user would write it.
fn config_text(providers: &[Provider], seconds: u64) -> String {
    let mut text = "model_list:\n".to_owned();
    for provider in providers {
        let group = if provider.name == "standby" { "standby" } else { "demo" };
        text.push_str(&format!(
            "  - model_name: {group}\n    litellm_params:\n      model: openai/demo-model\n      \
             api_base: http://{}/v1\n      api_key: none-needed\n      timeout: 3\n    \
             model_info: {{id: {}, input_cost_per_token: 1.5e-7, output_cost_per_token: 6e-7}}\n",
            provider.address, provider.name
        ));
    }
    // Often enough to detect an outage of a few seconds.
    #[allow(clippy::cast_precision_loss, reason = "at most an hour")]
    let interval_s = (seconds as f64 / 40.0).clamp(0.3, 2.0);
    text.push_str(&format!(
        "  - model_name: last-resort\n    litellm_params:\n      model: openai/demo-model\n      \
         mock_response: All providers are down; this canned answer is the last resort.\n    \
         model_info: {{id: last-resort, disable_background_health_check: true}}\n\
         router_settings:\n  num_retries: 3\n  cooldown_time: 2\n  \
         fallbacks: [{{demo: [standby, last-resort]}}]\n\
         general_settings:\n  drain_delay_s: 0\n  background_health_checks: true\n  \
         enable_health_check_routing: true\n  health_check_interval: {interval_s}\n"
    ));
    text
}

fn play(
    options: &DemoOptions,
    running: Running,
    providers: Arc<[Provider; provider::COUNT]>,
) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let Ok(runtime) = runtime else {
        complain("the demo's thread cannot start");
        return ExitCode::from(1);
    };
    let address = running.address;
    let process = running.process.clone();
    let seconds = options.seconds;
    let lost = runtime.block_on(async move {
        let narrator = Narrator::new(process, (address, seconds));
        narrator.introduce(&*providers);
        let show = async {
            let stage = script::Stage::new(&providers, seconds);
            tokio::select! {
                () = narrator.narrate(&stage) => {}
                () = ask_on_and_on(address, &narrator) => {}
                _ = tokio::signal::ctrl_c() => print("\n"),
            }
            narrator.all_answered().await;
            (Stop::Drain, ())
        };
        running.until(show, async |()| std::future::pending().await).await;
        narrator.conclude()
    });
    if lost == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Sends requests at a steady pace, without waiting for earlier answers.
async fn ask_on_and_on(gateway: SocketAddr, narrator: &Narrator) {
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        narrator.asked();
        let narrator = narrator.clone();
        tokio::task::spawn_local(async move {
            let answer = ask(gateway).await;
            narrator.answered(answer);
        });
    }
}

async fn ask(gateway: SocketAddr) -> Answer {
    let upstream = Upstream::parse(&format!("http://{gateway}"));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Ok(host) = header::HeaderValue::from_str(&upstream.authority) {
        headers.insert(header::HOST, host);
    }
    let request = UpstreamRequest {
        method: &Method::POST,
        path: &PathAndQuery::from_static("/v1/chat/completions"),
        headers: &headers.into(),
        more: Vec::new(),
        body: &Bytes::from_static(QUESTION.as_bytes()).into(),
        reuse: Reuse::Allowed,
        granted: None,
    };
    let Ok(mut answer) = upstream::send(&upstream, &request).await else { return Answer::Lost };
    while let Some(piece) = answer.body.piece().await {
        if piece.is_err() {
            return Answer::Lost;
        }
    }
    let text = |name: &str| {
        answer
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    if !answer.status.is_success() {
        return Answer::Lost;
    }
    Answer::From {
        deployment: text("x-litellm-model-id"),
        moved: text("x-litellm-attempted-retries") != "0"
            || text("x-litellm-attempted-fallbacks") != "0",
    }
}
