//! Integration tests: the real `hale` process between scripted upstreams and a client, on real sockets.
//!
//! Each module is a feature; test names are sentences about behaviour. Always true: ports are 0, nothing
//! waits without a deadline, and a test starts its own process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is shared here is test code too")]

mod access;
mod answers;
mod azure;
mod blame;
mod canary;
mod cli;
mod cooldown;
mod deadlines;
mod demo;
mod disconnect;
mod endings;
mod examples;
mod fallbacks;
mod faults;
mod health;
mod health_probes;
mod health_routing;
mod hostile_config;
mod hostile_elsewhere;
mod hostile_faults;
mod hostile_framing;
mod hostile_http;
mod hostile_messages;
mod hostile_table;
mod hostile_tls;
mod hostile_upstream;
mod input;
mod limits;
mod messages;
mod messages_strange;
mod metrics;
mod modes;
mod network;
mod realtime;
mod realtime_endings;
mod realtime_sides;
mod records;
mod refusals;
mod relay;
mod reload;
mod responses;
mod roles;
mod router_pages;
mod routing;
mod shutdown;
mod spending;
mod strategies;
mod streams;
mod streams_broken;
mod support;
mod tidy;
mod token_counter;
