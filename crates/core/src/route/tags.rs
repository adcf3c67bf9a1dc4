//! Tags: which deployments a request may use, by what both say about themselves.
//!
//! Read by [`super::select`] where a group filters by tags. Always true: a request's `!tag` and `&tag`
//! hold for every deployment; what is left of its tags is matched against each, and without a match
//! the `default` deployments serve, unless the tag is known in the group.

use regex_lite::Regex;

use crate::deployment::DeploymentIndex;
use crate::snapshot::Snapshot;

/// The tag of deployments that serve requests which match no other.
const DEFAULT: &str = "default";

/// The tags of one deployment.
#[derive(Clone, Debug, Default)]
pub struct TagRules {
    /// `tags`.
    pub tags: Vec<Box<str>>,
    /// `tag_regex`, searched in `User-Agent: <agent>`.
    pub patterns: Vec<Regex>,
}

/// The tags of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagWish {
    /// Plain tags.
    pub any: Vec<Box<str>>,
    /// Tags written `&tag`: all are required.
    pub required: Vec<Box<str>>,
    /// Tags written `!tag`: none may be there.
    pub excluded: Vec<Box<str>>,
    /// The `user-agent` header.
    pub user_agent: Box<str>,
}

impl TagWish {
    /// Adds one tag as the client wrote it.
    pub fn add(&mut self, tag: &str) {
        let tag = tag.trim();
        let (list, tag) = if let Some(tag) = tag.strip_prefix('!') {
            (&mut self.excluded, tag)
        } else if let Some(tag) = tag.strip_prefix('&') {
            (&mut self.required, tag)
        } else {
            (&mut self.any, tag)
        };
        if !tag.is_empty() && !list.iter().any(|known| **known == *tag) {
            list.push(tag.into());
        }
    }

    fn permits(&self, rules: &TagRules) -> bool {
        self.required.iter().all(|tag| rules.has(tag))
            && !self.excluded.iter().any(|tag| rules.has(tag))
    }

    fn matches(&self, rules: &TagRules, match_any: bool) -> bool {
        let tagged = if match_any {
            self.any.iter().any(|tag| rules.has(tag))
        } else {
            !self.any.is_empty() && self.any.iter().all(|tag| rules.has(tag))
        };
        tagged || rules.names_agent(&self.user_agent)
    }
}

impl TagRules {
    fn has(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| **own == *tag)
    }

    fn names_agent(&self, agent: &str) -> bool {
        !self.patterns.is_empty() && {
            let header = format!("User-Agent: {agent}");
            self.patterns.iter().any(|pattern| pattern.is_match(&header))
        }
    }
}

/// Which of a group's deployments a request may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct TagFilter<'w> {
    wish: &'w TagWish,
    match_any: bool,
    serve: Serve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serve {
    /// Those that match the request's tags.
    Matching,
    /// Those with the tag `default`.
    Default,
    /// All that the request's conditions permit.
    All,
    /// None: the tag is known here, and no deployment has what is asked for.
    Nobody,
}

impl<'w> TagFilter<'w> {
    /// The filter for `wish` among `members`.
    pub(super) fn new(
        snapshot: &Snapshot,
        members: &[DeploymentIndex],
        wish: &'w TagWish,
        match_any: bool,
    ) -> TagFilter<'w> {
        let rules = || members.iter().map(|index| &snapshot.deployment(*index).tags);
        let serve = if rules().any(|rules| wish.matches(rules, match_any)) {
            Serve::Matching
        } else if wish.any.iter().any(|tag| rules().any(|rules| rules.has(tag))) {
            Serve::Nobody
        } else if rules().any(|rules| rules.has(DEFAULT)) {
            Serve::Default
        } else if wish.any.is_empty() {
            Serve::All
        } else {
            Serve::Nobody
        };
        TagFilter { wish, match_any, serve }
    }

    pub(super) fn admits(&self, rules: &TagRules) -> bool {
        self.wish.permits(rules)
            && match self.serve {
                Serve::Matching => self.wish.matches(rules, self.match_any),
                Serve::Default => rules.has(DEFAULT),
                Serve::All => true,
                Serve::Nobody => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(tags: &[&str]) -> TagRules {
        TagRules { tags: tags.iter().copied().map(Box::from).collect(), patterns: Vec::new() }
    }

    fn wish(tags: &[&str]) -> TagWish {
        let mut wish = TagWish::default();
        tags.iter().for_each(|tag| wish.add(tag));
        wish
    }

    #[test]
    fn conditions_hold_for_every_deployment() {
        let asked = wish(&["!slow", "&eu", " ", "!"]);
        assert!(asked.permits(&rules(&["eu", "paid"])));
        assert!(!asked.permits(&rules(&["eu", "slow"])));
        assert!(!asked.permits(&rules(&["paid"])));
        assert!(asked.any.is_empty(), "conditions are no tags");
    }

    #[test]
    fn any_or_all_of_the_tags_match() {
        let asked = wish(&["a", "b"]);
        assert!(asked.matches(&rules(&["a"]), true) && !asked.matches(&rules(&["a"]), false));
        assert!(asked.matches(&rules(&["a", "b", "c"]), false));
        assert!(!wish(&[]).matches(&rules(&["a"]), false), "no tag matches nothing");
    }
}
