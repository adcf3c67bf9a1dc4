//! Wire formats: what clients and providers say, as bytes in and bytes out.
//!
//! Called by the gateway's proxy. Always true here: no I/O, no clock, no randomness, and every byte
//! that no edit names leaves as it came.

pub mod answer;
pub mod controls;
pub mod edit;
pub mod errors;
pub mod events;
pub mod hints;
pub mod mock;
pub mod object;
pub mod openai;
pub mod peek;
pub mod scan;
pub mod stream;

pub use hale_core::endpoint::Operation;
