//! Affinity: what requests that share a provider's prompt cache have in common, and when that matters.
//!
//! Set by the config and read from requests by the gateway; [`super::home`] finds the member. Always true: equal names
//! give equal keys in every process and version.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// When requests keep to their home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeps {
    /// Never.
    Never,
    /// Where a provider bills tokens of its cache lower, and as long as it reports some.
    #[default]
    WhereCheaper,
    /// Always.
    Always,
}

/// What of a request names its home: `router_settings.affinity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AffinitySettings {
    /// When requests keep to it.
    pub keeps: Keeps,
    /// Whether the id of a session names it.
    pub by_session: bool,
    /// Whether the beginning of a long conversation names it.
    pub by_prefix: bool,
    /// Whether the client's key names it, where nothing else does.
    pub by_key: bool,
}

impl Default for AffinitySettings {
    fn default() -> AffinitySettings {
        AffinitySettings {
            keeps: Keeps::default(),
            by_session: true,
            by_prefix: true,
            by_key: false,
        }
    }
}

impl AffinitySettings {
    /// Its name in the config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.keeps, self.by_session, self.by_prefix, self.by_key) {
            (Keeps::Never, ..) | (_, false, false, false) => "off",
            (Keeps::WhereCheaper, ..) => "auto",
            (Keeps::Always, true, true, false) => "session, else prefix",
            (Keeps::Always, true, true, true) => "session, else prefix, else key",
            (Keeps::Always, true, false, false) => "session",
            (Keeps::Always, true, false, true) => "session, else key",
            (Keeps::Always, false, true, false) => "prefix",
            (Keeps::Always, false, true, true) => "prefix, else key",
            (Keeps::Always, false, false, true) => "key",
        }
    }
}

/// What of a request names its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The id of a session.
    Session,
    /// The beginning of the conversation: tools, instructions and the first turn.
    Prefix,
    /// The client's key.
    Key,
}

impl NamedBy {
    /// Its name on pages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NamedBy::Session => "session",
            NamedBy::Prefix => "prefix",
            NamedBy::Key => "key",
        }
    }
}

/// What requests that share a prompt cache have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity {
    pub(super) key: u64,
    by: NamedBy,
}

impl Affinity {
    /// The affinity of all requests that have these texts in common. The hash is that of XXH3, so that replicas of
    /// different versions agree.
    #[must_use]
    pub fn of<'t>(by: NamedBy, texts: impl IntoIterator<Item = &'t [u8]>) -> Affinity {
        let key = texts.into_iter().fold(0, |seed, text| xxh3_64_with_seed(text, seed));
        Affinity { key, by }
    }

    /// What names the home.
    #[must_use]
    pub const fn named_by(self) -> NamedBy {
        self.by
    }
}
