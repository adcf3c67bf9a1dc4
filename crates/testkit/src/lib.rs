//! Scripted upstreams, the gateway as a child process and a small HTTP client, for tests.
//!
//! Used by the integration tests of the gateway and, through its binaries, by `bench/run`.
//! Always true: nothing here polls with a sleep; whatever a test waits for ends within [`TIMEOUT`].
//!
//! ```no_run
//! use hale_testkit::{FakeUpstream, Hale, Script, openai};
//!
//! let upstream = FakeUpstream::start();
//! upstream.push(Script::rate_limited(7));
//! let yaml = format!(
//!     "model_list:\n- model_name: m\n  litellm_params: {{model: openai/gpt-4o, api_key: k, api_base: '{}'}}\n",
//!     upstream.api_base()
//! );
//! let hale = Hale::launch("target/debug/hale").config(&yaml).start();
//! let answer = hale.client().post_json("/v1/chat/completions", &[], &openai::chat_request("m", "hi"));
//! assert_eq!(answer.status, 429);
//! upstream.wait_for(|state| state.requests.len() == 1);
//! ```
#![allow(clippy::panic, reason = "the kit reports by panicking in the test that uses it")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests measure real time: the clock is the gateway's"
)]

use std::time::Duration;

pub mod anthropic;
pub mod bedrock;
mod client;
pub mod cohere;
pub mod forms;
mod fuzz;
pub mod gemini;
mod hale;
pub mod modes;
pub mod ollama;
pub mod openai;
mod postgres;
mod redis;
mod reference;
pub mod responses;
mod script;
pub mod shapes;
mod sse;
mod temp;
mod upstream;
mod wire;

pub use client::{Client, EventStream, Response};
pub use fuzz::Fuzz;
pub use hale::{Finished, Hale, Launch, Signal};
pub use postgres::{Pooler, Postgres};
pub use redis::Redis;
pub use script::Script;
pub use sse::Event;
pub use temp::TempDir;
pub use upstream::state::{ClosedBy, Connection, State};
pub use upstream::{FakeUpstream, refused_port};
pub use wire::{Headers, Request};

/// How long anything may keep a test waiting before the test fails.
pub const TIMEOUT: Duration = Duration::from_secs(20);
