//! The lowest floor: JSON, forms, frames and streams as bytes.
//!
//! Used by the formats and by the conversion between them. Always true: nothing here knows a format or
//! a deployment.

pub mod edit;
pub mod form;
pub(crate) mod framing;
pub mod id;
pub(crate) mod json;
pub mod object;
pub mod payload;
pub mod peek;
pub mod scan;
pub mod websocket;
