//! What the config says about telling people: when, about what, and where.
//!
//! Made by [`crate::config`], read by [`super::Book`], [`super::Watch`] and the channels of the gateway. Always true: the
//! address of a channel is a secret.

use serde::{Deserialize, Serialize};

use super::kind::Kind;
use crate::route::AccessWindow;
use crate::secret::Secret;

/// `alerting` and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertSettings {
    /// When something is told.
    pub rules: Rules,
    /// Where it is told. Without any, incidents are kept and not told.
    pub channels: Vec<Channel>,
    /// The address of the gateway as people reach it, without a slash at its end: for links.
    pub base_url: Option<Box<str>>,
}

/// When something is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// A request is slow that takes so long, milliseconds. 300 s.
    pub slow_ms: u64,
    /// How long the store or Redis must be away to be a trouble, milliseconds. 30 s.
    pub away_ms: u64,
    /// How long troubles are collected before an incident is told, milliseconds. 10 s.
    pub collect_ms: u64,
    /// How long nothing of it may be wrong before an incident is told as resolved, milliseconds. 5 s.
    pub settle_ms: u64,
    /// What comes back within this time is the same incident, milliseconds. 10 min.
    pub flap_ms: u64,
    /// The requests that a fault must have touched to be told; 0 tells every fault. 1.
    pub min_affected: u64,
    /// The failed requests of a minute from which on a deployment counts as failing. 3.
    pub min_failures: u64,
    /// The failed requests from which on any incident is critical. 10.
    pub major_failures: u64,
    /// The kinds that are told; all without a list.
    pub types: Option<Vec<Box<str>>>,
    /// Hours in which only what is critical is told.
    pub quiet: Vec<AccessWindow>,
    /// When nothing is told about some deployments.
    pub maintenance: Vec<Maintenance>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            slow_ms: 300_000,
            away_ms: 30_000,
            collect_ms: 10_000,
            settle_ms: 5_000,
            flap_ms: 600_000,
            min_affected: 1,
            min_failures: 3,
            major_failures: 10,
            types: None,
            quiet: Vec::new(),
            maintenance: Vec::new(),
        }
    }
}

/// A time in which work is done, so that faults are expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Maintenance {
    /// When.
    pub when: When,
    /// The groups that it is about; all if empty.
    pub groups: Vec<Box<str>>,
}

/// Every day, or once.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Every day.
    Daily(AccessWindow),
    /// From one moment to another, milliseconds since 1970.
    Once(u64, u64),
}

impl When {
    fn is_open(&self, unix_ms: u64) -> bool {
        match self {
            When::Daily(window) => window.is_open_at(unix_ms),
            When::Once(start, end) => (*start..*end).contains(&unix_ms),
        }
    }
}

impl Rules {
    /// Whether that kind is told at all.
    #[must_use]
    pub fn tells(&self, kind: Kind) -> bool {
        let asks = |types: &Vec<Box<str>>| types.iter().any(|name| kind.is_of_type(name));
        self.types.as_ref().is_none_or(asks)
    }

    /// Whether only what is critical is told at that moment.
    #[must_use]
    pub fn is_quiet(&self, unix_ms: u64) -> bool {
        self.quiet.iter().any(|window| window.is_open_at(unix_ms))
    }

    /// Whether faults that touch these groups are expected at that moment.
    #[must_use]
    pub fn is_maintained(&self, groups: &[&str], unix_ms: u64) -> bool {
        self.maintenance.iter().filter(|one| one.when.is_open(unix_ms)).any(|one| {
            let names = |group: &&str| one.groups.iter().any(|name| &**name == *group);
            one.groups.is_empty() || (!groups.is_empty() && groups.iter().all(names))
        })
    }
}

/// A place where messages go.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Its name on pages, in logs and in the store: `slack`, or `slack:llm_too_slow` with an address of its own.
    pub name: Box<str>,
    /// The types that it gets; none is those that no other channel of its name has.
    pub only: Option<Box<str>>,
    /// What and where it is.
    pub place: Place,
}

/// What a channel is, and where.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// An incoming webhook of Slack, or of what takes the same messages.
    Slack(Secret),
    /// JSON to any address, signed if there is a secret.
    Webhook {
        /// The address.
        url: Secret,
        /// What the signature is made with.
        secret: Option<Secret>,
    },
    /// A workflow of Microsoft Teams.
    Teams(Secret),
    /// A webhook of Discord.
    Discord(Secret),
    /// Events v2 of PagerDuty.
    PagerDuty {
        /// The integration's key.
        key: Secret,
        /// The address of the events API.
        url: Secret,
    },
    /// Email.
    Email(Smtp),
}

impl Place {
    /// The name in `alerting`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Place::Slack(_) => "slack",
            Place::Webhook { .. } => "webhook",
            Place::Teams(_) => "ms_teams",
            Place::Discord(_) => "discord",
            Place::PagerDuty { .. } => "pagerduty",
            Place::Email(_) => "email",
        }
    }
}

/// A mail server, and who writes, and who reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Smtp {
    /// Its host.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// The user, if it wants one.
    pub username: Option<Box<str>>,
    /// The password.
    pub password: Option<Secret>,
    /// The sender's address.
    pub from: Box<str>,
    /// The receivers' addresses; at least one.
    pub to: Vec<Box<str>>,
}

/// How a connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SmtpTls {
    /// By `STARTTLS`, which the server must offer.
    StartTls,
    /// From the first byte: port 465.
    Implicit,
    /// Not at all.
    None,
}

impl AlertSettings {
    /// The names of the channels that get messages about `kind`: those of its type, else those of no type. Of each sort of
    /// place by itself.
    #[must_use]
    pub fn channels_for(&self, kind: Kind) -> Vec<&str> {
        if !self.rules.tells(kind) {
            return Vec::new();
        }
        let is_named =
            |channel: &Channel| channel.only.as_deref().is_some_and(|name| kind.is_of_type(name));
        let has_own = |place: &Place| {
            self.channels.iter().any(|one| one.place.name() == place.name() && is_named(one))
        };
        let gets = |channel: &&Channel| match channel.only {
            Some(_) => is_named(channel),
            None => !has_own(&channel.place),
        };
        self.channels.iter().filter(gets).map(|channel| &*channel.name).collect()
    }

    /// The channels that get messages of the type `name`, which is about no incident.
    #[must_use]
    pub fn channels_of_type(&self, name: &str) -> Vec<&Channel> {
        let asks = |types: &Vec<Box<str>>| types.iter().any(|one| **one == *name);
        if !self.rules.types.as_ref().is_none_or(asks) {
            return Vec::new();
        }
        let is_named = |one: &Channel| one.only.as_deref() == Some(name);
        let has_own = |place: &Place| {
            self.channels.iter().any(|one| one.place.name() == place.name() && is_named(one))
        };
        let gets = |one: &&Channel| match one.only {
            Some(_) => is_named(one),
            None => !has_own(&one.place),
        };
        self.channels.iter().filter(gets).collect()
    }

    /// The channel with that name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| *channel.name == *name)
    }
}
