//! The lowest layer: JSON, forms, frames and framing as bytes.
//!
//! Used by the formats and by the conversion between them. Always true: nothing here knows a format or
//! a deployment.

pub(crate) mod canonical;
pub mod edit;
pub(crate) mod elements;
pub(crate) mod fields;
pub mod form;
pub(crate) mod framing;
pub mod id;
pub(crate) mod json;
pub mod kept;
pub(crate) mod members;
pub mod object;
pub mod payload;
pub mod peek;
mod peek_error;
mod plain;
pub mod scan;
pub(crate) mod seal;
pub mod websocket;
