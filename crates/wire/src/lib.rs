//! Wire formats: what clients and providers say, as bytes in and bytes out.
//!
//! Called by the gateway's proxy. Always true here: no I/O, no clock, no randomness, and every byte
//! that no edit names leaves as it came.

pub mod answer;
mod anthropic;
pub mod controls;
pub mod edit;
pub mod errors;
pub mod events;
pub mod files;
#[cfg(test)]
mod fixture;
pub mod form;
pub mod hints;
pub mod id;
mod json;
pub mod mock;
pub mod modes;
pub mod neutral;
pub mod object;
mod openai;
pub mod order;
pub mod payload;
pub mod peek;
pub mod probe;
pub mod realtime;
pub mod responses;
pub mod scan;
pub mod stream;
pub mod token_count;
mod translation;
pub mod way;
pub mod websocket;

pub use hale_core::endpoint::Operation;
