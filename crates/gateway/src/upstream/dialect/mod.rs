//! What is special about the requests of one provider's format: one file per format.
//!
//! Used by targets, by credentials and by the proxy. Azure's paths are in `hale_core::azure`.

pub(crate) mod anthropic;
pub(crate) mod bedrock;
