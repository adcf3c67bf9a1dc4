//! The calls of upstreams that a request made, as they are billed, and who it is billed to.
//!
//! Made by the gateway where a store keeps it, written by the store's sink. Always true: one entry for each call, in order; what is
//! not known to be billed has no cost.

use std::sync::Arc;

use crate::cause::Cause;
use crate::deployment::Deployment;
use crate::money::Money;
use crate::tenancy::Charged;
use crate::usage::{CountedBy, Usage};

/// A call of an upstream.
#[derive(Clone, Debug)]
pub struct BilledCall {
    /// The deployment: its id, its provider and its address are not copied.
    pub deployment: Arc<Deployment>,
    /// The model group.
    pub model_group: Arc<str>,
    /// The model's name at the provider.
    pub model: Box<str>,
    /// When it began, microseconds after the request arrived.
    pub began_us: u64,
    /// When it ended, the same.
    pub ended_us: u64,
    /// The HTTP status of its answer, if it gave one.
    pub status: Option<u16>,
    /// Why it failed, if it did.
    pub cause: Option<Cause>,
    /// What is billed for it; `None` if nothing is, or nothing is known.
    pub bill: Option<Bill>,
    /// Whether it has ended.
    pub is_over: bool,
}

/// What a provider bills for a call.
#[derive(Clone, Copy, Debug)]
pub struct Bill {
    /// Tokens and units.
    pub usage: Usage,
    /// Who counted them.
    pub counted_by: CountedBy,
    /// The cost; `None` if the price is not known.
    pub cost: Option<Money>,
}

/// Who a request is billed to, besides its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BilledTo {
    /// Whether it came with the master key.
    pub by_master_key: bool,
    /// The client's own customer.
    pub end_user: Option<Box<str>>,
    /// The session that it is part of.
    pub session: Option<Box<str>>,
    /// Its tags, besides those of its program.
    pub tags: Vec<Box<str>>,
    /// The levels that it was charged to besides those of its key and of what that belongs to.
    pub charged: Vec<Charged>,
    /// The address that it came from.
    pub address: Option<std::net::IpAddr>,
    /// The program that sent it.
    pub agent: Option<Box<str>>,
}
