//! The rows of a key and of what it belongs to.
//!
//! Read by the gateway, given to [`super::load`]. Always true: ids without a row are legal.

use crate::money::Money;
use crate::tenancy::key_text::KeyHash;
use crate::tenancy::row::Record;
use crate::time::UnixMs;

/// The rows of a key. What is not there is `None`: ids without a row are legal.
#[derive(Clone, Debug, Default)]
pub struct KeyRows {
    /// The key.
    pub key: Record,
    /// What its client presents instead, if the key was replaced a while ago: the hash of the key before, and until when it is good.
    pub before: Option<(KeyHash, UnixMs)>,
    /// The budget that it names.
    pub budget: Option<Record>,
    /// Its team.
    pub team: Option<Record>,
    /// The team's names of models.
    pub team_aliases: Option<Record>,
    /// Its user in that team.
    pub member: Option<Record>,
    /// The member's budget.
    pub member_budget: Option<Record>,
    /// The budget of the team's members that have none.
    pub default_member_budget: Option<Record>,
    /// Its user.
    pub user: Option<Record>,
    /// Its organization, or its team's.
    pub organization: Option<Record>,
    /// The organization's budget.
    pub organization_budget: Option<Record>,
    /// The access groups that key and team name.
    pub access_groups: Vec<Record>,
    /// What was spent in periods that are not over, of models and of several periods.
    pub counters: Vec<Record>,
    /// When they were read.
    pub read_at: UnixMs,
}

/// What the accounts of subjects are made of: the row's spend, and when the budget begins anew.
pub type Opening = (Money, Option<UnixMs>);

/// The member of a key's metadata with the hashes that it had before it was replaced: what it made under them is its own.
pub const FORMER_KEYS: &str = "hale_former_keys";
