//! Tags: which deployments a request may use, by the tags of both.
//!
//! Read by [`super::select`] for groups that filter by tags. Always true: a request's `!tag` and
//! `&tag` apply to every deployment; the request's plain tags, or its user agent, are matched
//! against the deployments that are left; without a match the `default` deployments serve, unless
//! the tag is known in the group. Conditions that no deployment meets are dropped only if a member
//! of the group allows it (`allow_fail_open`).

use regex_lite::Regex;

use crate::deployment::DeploymentIndex;
use crate::snapshot::Snapshot;

/// The tag of deployments that serve requests without another match.
const DEFAULT: &str = "default";

/// The tags of one deployment.
#[derive(Clone, Debug, Default)]
pub struct TagRules {
    /// `tags`.
    pub tags: Vec<Box<str>>,
    /// `tag_regex`, searched in `User-Agent: <agent>`.
    pub patterns: Vec<Regex>,
    /// `allow_fail_open`: whether conditions that no member of the group meets are dropped.
    pub fail_open: bool,
}

/// The tags of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagWish {
    /// Plain tags.
    pub any: Vec<Box<str>>,
    /// Tags written `&tag`: all are required.
    pub required: Vec<Box<str>>,
    /// Tags written `!tag`: none may be present.
    pub excluded: Vec<Box<str>>,
    /// Those of all these that had the `tag_routing_prefix`: the client says that they are meant
    /// for routing, so they are never taken for anything else.
    pub confirmed: Vec<Box<str>>,
    /// The `user-agent` header.
    pub user_agent: Box<str>,
}

impl TagWish {
    /// Adds one tag as the client wrote it; `prefix` is `tag_routing_prefix`, if there is one.
    pub fn add(&mut self, tag: &str, prefix: &str) {
        let tag = tag.trim();
        let marked = tag.strip_prefix(prefix).filter(|_| !prefix.is_empty());
        let tag = marked.unwrap_or(tag);
        let (list, tag) = if let Some(tag) = tag.strip_prefix('!') {
            (&mut self.excluded, tag)
        } else if let Some(tag) = tag.strip_prefix('&') {
            (&mut self.required, tag)
        } else {
            (&mut self.any, tag)
        };
        if tag.is_empty() {
            return;
        }
        let put = |list: &mut Vec<Box<str>>| {
            if !list.iter().any(|known| **known == *tag) {
                list.push(tag.into());
            }
        };
        put(list);
        if marked.is_some() {
            put(&mut self.confirmed);
        }
    }

    fn permits(&self, rules: &TagRules) -> bool {
        self.required.iter().all(|tag| rules.has(tag))
            && !self.excluded.iter().any(|tag| rules.has(tag))
    }

    fn matches(&self, rules: &TagRules, needed: TagsNeeded) -> bool {
        let mut tags = self.any.iter();
        let (tagged, agent_counts) = match needed {
            TagsNeeded::Any => (tags.any(|tag| rules.has(tag)), true),
            // A user agent does not replace tags that must match.
            TagsNeeded::All => {
                (!self.any.is_empty() && tags.all(|tag| rules.has(tag)), rules.tags.is_empty())
            }
        };
        tagged || (agent_counts && rules.names_agent(&self.user_agent))
    }
}

impl TagRules {
    fn has(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| **own == *tag)
    }

    fn names_agent(&self, agent: &str) -> bool {
        !self.patterns.is_empty() && !agent.is_empty() && {
            let header = format!("User-Agent: {agent}");
            self.patterns.iter().any(|pattern| pattern.is_match(&header))
        }
    }
}

/// Which of a group's deployments a request may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct TagFilter<'w> {
    wish: &'w TagWish,
    needed: TagsNeeded,
    serve: Serve,
}

/// How many of a request's plain tags a deployment must have (`tag_filtering_match_any`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagsNeeded {
    /// One.
    Any,
    /// Each.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serve {
    /// Those that match the request's tags.
    Matching,
    /// Those with the tag `default`, within the request's conditions.
    Default,
    /// All that meet the request's conditions.
    Permitted,
    /// Despite the conditions: those with the tag `default`, or all.
    Open { default: bool },
    /// None.
    None,
}

impl<'w> TagFilter<'w> {
    /// The filter for `wish` among `members`.
    pub(super) fn new(
        snapshot: &Snapshot,
        members: &[DeploymentIndex],
        wish: &'w TagWish,
        needed: TagsNeeded,
    ) -> TagFilter<'w> {
        let all = || members.iter().map(|index| &snapshot.deployment(*index).routing.tags);
        let serve = wish.serve(&all, needed);
        TagFilter { wish, needed, serve }
    }

    pub(super) fn admits(&self, rules: &TagRules) -> bool {
        match self.serve {
            Serve::Matching => self.wish.permits(rules) && self.wish.matches(rules, self.needed),
            Serve::Default => self.wish.permits(rules) && rules.has(DEFAULT),
            Serve::Permitted => self.wish.permits(rules),
            Serve::Open { default } => !default || rules.has(DEFAULT),
            Serve::None => false,
        }
    }
}

impl TagWish {
    fn serve<'r, R: Iterator<Item = &'r TagRules>>(
        &self,
        all: &dyn Fn() -> R,
        needed: TagsNeeded,
    ) -> Serve {
        let permitted = || all().filter(|rules| self.permits(rules));
        let by_agent = !self.user_agent.is_empty()
            && self.required.is_empty()
            && permitted().any(|rules| !rules.patterns.is_empty());
        let has_default = |rules: &TagRules| rules.has(DEFAULT);
        let (serve, is_answer) = if !self.any.is_empty() || by_agent {
            let is_known = || {
                self.any
                    .iter()
                    .any(|tag| self.confirmed.contains(tag) || all().any(|rules| rules.has(tag)))
            };
            if permitted().any(|rules| self.matches(rules, needed)) {
                (Serve::Matching, true)
            } else {
                (Serve::Default, permitted().any(has_default) && !is_known())
            }
        } else if !self.required.is_empty() {
            (Serve::Permitted, permitted().next().is_some())
        } else if all().any(has_default) {
            (Serve::Default, permitted().any(has_default))
        } else {
            (Serve::Permitted, permitted().next().is_some())
        };
        if is_answer {
            serve
        } else if all().any(|rules| rules.fail_open) && !self.hides_an_answer(all) {
            Serve::Open { default: all().any(has_default) }
        } else {
            Serve::None
        }
    }

    /// Whether the only obstacle is a required tag that no member of this group has. Then the other
    /// conditions are not dropped either.
    fn hides_an_answer<'r, R: Iterator<Item = &'r TagRules>>(&self, all: &dyn Fn() -> R) -> bool {
        let is_known = |tag: &str| {
            self.confirmed.iter().any(|known| **known == *tag) || all().any(|rules| rules.has(tag))
        };
        let known: Vec<&str> =
            self.required.iter().map(|tag| &**tag).filter(|tag| is_known(tag)).collect();
        if known.is_empty() || known.len() == self.required.len() {
            return false;
        }
        all().any(|rules| {
            known.iter().all(|tag| rules.has(tag))
                && !self.excluded.iter().any(|tag| rules.has(tag))
        })
    }
}

#[cfg(test)]
mod tests;
