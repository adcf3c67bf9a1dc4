//! A model group: the deployments behind one public model name.
//!
//! Built by [`crate::config`], read by [`crate::route`]. Always true: a group has at least one
//! member.

use std::sync::Arc;

use crate::health::RetryBudget;
use crate::index::DeploymentIndex;
use crate::policy::ByKind;

pub use crate::index::GroupIndex;

/// One model group.
#[derive(Debug)]
pub struct ModelGroup {
    /// The public name, `model_name`; a pattern for wildcards.
    pub name: Arc<str>,
    /// Whether it comes from a `model_name`. Otherwise its members share a `litellm_params.model`,
    /// which clients may use as a name too.
    pub is_listed: bool,
    /// Its deployments, in the order of the config.
    pub members: Vec<DeploymentIndex>,
    /// The pattern, if the name contains `*`.
    pub pattern: Option<Pattern>,
    /// The team whose keys alone reach it.
    pub team: Option<Box<str>>,
    /// Whether any member has an `order`.
    pub has_tiers: bool,
    /// Whether tags decide which members a request may use.
    pub filters_tags: bool,
    /// `model_group_retry_policy` of this group, else `retry_policy`.
    pub retry_policy: ByKind,
    /// How many attempts may repeat others; shared with earlier snapshots.
    pub budget: Arc<RetryBudget>,
}

/// A name with `*`, anchored at both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The literal parts; there is one star between two of them.
    parts: Vec<Box<str>>,
}

impl Pattern {
    /// The pattern of `name`, if it has a star.
    #[must_use]
    pub fn parse(name: &str) -> Option<Pattern> {
        name.contains('*').then(|| Pattern { parts: name.split('*').map(Box::from).collect() })
    }

    /// What each star stands for in `name`, if the pattern matches all of it.
    ///
    /// Every star but the last takes the shortest text with which the following parts match.
    #[must_use]
    pub fn captures<'n>(&self, name: &'n str) -> Option<Vec<&'n str>> {
        let (first, others) = self.parts.split_first()?;
        let (last, middle) = others.split_last()?;
        let mut remaining = name.strip_prefix(&**first)?.strip_suffix(&**last)?;
        let mut found = Vec::with_capacity(others.len());
        for part in middle {
            let (before, after) = remaining.split_once(&**part)?;
            found.push(before);
            remaining = after;
        }
        found.push(remaining);
        Some(found)
    }

    /// Sort key: patterns with more literal text come first, then those with more stars.
    #[must_use]
    pub fn specificity(&self) -> (usize, usize) {
        (self.parts.iter().map(|part| part.len()).sum(), self.parts.len())
    }
}

/// Replaces the stars of `template` by `captures`. With fewer stars than captures the result is the
/// client's whole `name`.
#[must_use]
pub fn substitute(template: &str, captures: &[&str], name: &str) -> Box<str> {
    let stars = template.matches('*').count();
    if stars == 0 {
        return Box::from(template);
    }
    if captures.len() > stars {
        return Box::from(name);
    }
    let mut text = String::with_capacity(template.len() + name.len());
    let mut captures = captures.iter();
    for (i, part) in template.split('*').enumerate() {
        if i > 0 {
            text.push_str(captures.next().unwrap_or(&""));
        }
        text.push_str(part);
    }
    text.into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_anchored_at_both_ends() {
        let mini = Pattern::parse("openai/*-mini").unwrap();
        assert_eq!(mini.captures("openai/gpt-4o-mini"), Some(vec!["gpt-4o"]));
        assert_eq!(mini.captures("openai/gpt-4o-mini-2024"), None);
        assert_eq!(mini.captures("x/openai/gpt-4o-mini"), None);
        assert_eq!(Pattern::parse("gpt-4"), None);
        assert_eq!(Pattern::parse("*").unwrap().captures("any/thing"), Some(vec!["any/thing"]));
        assert_eq!(Pattern::parse("a*a").unwrap().captures("a"), None);
    }

    #[test]
    fn stars_take_what_the_client_wrote() {
        assert_eq!(&*substitute("*", &["gpt-4o"], "openai/gpt-4o"), "gpt-4o");
        assert_eq!(&*substitute("fixed", &["x"], "n"), "fixed");
        assert_eq!(&*substitute("a-*-b-*", &["1", "2"], "n"), "a-1-b-2");
        assert_eq!(&*substitute("a-*", &["1", "2"], "whole"), "whole");
    }
}
