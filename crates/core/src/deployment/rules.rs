//! What a deployment's config asks for in bodies, besides parameters: what is left out, where the cache begins, what is merged.
//!
//! Filled by the config, read by the wires and by the gateway's attempts. Always true: by default nothing changes.

/// What the config of a deployment asks for in the bodies of its requests and answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyRules {
    /// `drop_params`: parameters that the provider does not know are left out.
    pub drops_params: bool,
    /// `merge_reasoning_content_in_choices`: reasoning stands in the text of streamed chats, between `<think>` and `</think>`.
    pub merges_reasoning: bool,
    /// `cache_control_injection_points`, in their order.
    pub cache_points: Vec<CachePoint>,
}

/// Where a mark for the provider's cache is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePoint {
    /// The place.
    pub place: CachePlace,
    /// The mark as JSON text.
    pub control: Box<str>,
}

/// A place for a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachePlace {
    /// The messages with this role. Where there are too many, the last ones.
    Role(Box<str>),
    /// The message with this number, counted from 0; negative ones from the end.
    Message(i64),
    /// The last tool.
    Tools,
}
