//! What of a config can be served, in numbers and in one sentence.
//!
//! Called by [`super::run`]. Always true: a config that can serve nothing is never called "ok".

use hale_core::config::{Loaded, Problem};
use hale_core::deployment::{Deployment, Lack};

use crate::console::count;

/// How many reasons and ignored features the sentence lists.
const LISTED: usize = 8;

/// How a check ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Every deployment can be served.
    AllServed,
    /// It starts, and serves some deployments or none.
    NotAllServed,
    /// The start would refuse it, or a warning counts as an error.
    Refused,
}

/// The numbers.
pub(super) struct Summary {
    errors: usize,
    warnings: usize,
    /// How many problems the warnings are; `None` if not all are listed.
    kinds: Option<usize>,
    pub(super) deployments: usize,
    /// How many of them can be served.
    pub(super) able: usize,
    pub(super) groups: usize,
    /// Why the others cannot: the reason with a count, the most frequent first.
    pub(super) reasons: Vec<String>,
    /// What the config asks for and is not served, in the order of its lines.
    pub(super) ignored: Vec<&'static str>,
}

impl Summary {
    pub(super) fn of(loaded: &Loaded) -> Summary {
        let deployments = loaded.snapshot.as_ref().map_or(&[][..], |one| &one.deployments);
        let mut ignored: Vec<&str> = Vec::new();
        for left_out in loaded.warnings().map(|problem| problem.left_out) {
            if !left_out.is_empty() && !ignored.contains(&left_out) {
                ignored.push(left_out);
            }
        }
        Summary {
            errors: loaded.errors().map(|problem| problem.times).sum(),
            warnings: loaded.warnings().map(|problem| problem.times).sum(),
            kinds: (!loaded.warnings().any(Problem::is_of_unlisted))
                .then(|| loaded.warnings().count()),
            deployments: deployments.len(),
            able: deployments.iter().filter(|one| one.misconfigured.is_none()).count(),
            groups: loaded.snapshot.as_ref().map_or(0, |one| one.listed_groups().count()),
            reasons: reasons(deployments.iter().map(|one| &**one)),
            ignored,
        }
    }

    pub(super) fn ending(&self, strict: bool) -> Ending {
        if self.errors > 0 || (strict && self.warnings > 0) {
            Ending::Refused
        } else if self.able < self.deployments || self.deployments == 0 {
            Ending::NotAllServed
        } else {
            Ending::AllServed
        }
    }

    /// The sentence that decides.
    pub(super) fn text(&self, name: &str, ending: Ending) -> String {
        let of =
            format!("{} of {} can be served", self.able, count(self.deployments, "deployment"));
        let groups = count(self.groups, "model group");
        let because = match listed(&self.reasons) {
            reasons if reasons.is_empty() => reasons,
            reasons => format!(": {reasons}"),
        };
        let ignored = match listed(&self.ignored) {
            ignored if ignored.is_empty() => ignored,
            ignored => format!("; ignored: {ignored}"),
        };
        let warnings = self.warnings();
        match ending {
            Ending::AllServed => format!("{name}: ok, {of}, in {groups}, {warnings}{ignored}"),
            Ending::NotAllServed if self.deployments == 0 => {
                format!("{name}: loads, but there is no deployment{ignored}; {warnings}")
            }
            Ending::NotAllServed => {
                format!("{name}: loads, but {of}{because}{ignored}; {warnings}")
            }
            Ending::Refused if self.errors == 0 => {
                format!(
                    "{name}: refused, as --strict permits no warning: {warnings}; {of}{because}"
                )
            }
            Ending::Refused => {
                let errors = count(self.errors, "error");
                format!("{name}: refused, the start would fail: {errors}, and {warnings}")
            }
        }
    }

    fn warnings(&self) -> String {
        let warnings = count(self.warnings, "warning");
        match self.kinds.filter(|kinds| *kinds != self.warnings) {
            None => warnings,
            Some(kinds) => format!("{warnings} of {}", count(kinds, "kind")),
        }
    }
}

/// Joined by commas, the first few.
fn listed(items: &[impl AsRef<str>]) -> String {
    let mut shown: Vec<&str> = items.iter().take(LISTED).map(AsRef::as_ref).collect();
    let more = format!("{} more", items.len().saturating_sub(LISTED));
    if items.len() > LISTED {
        shown.push(&more);
    }
    shown.join(", ")
}

/// Why deployments cannot be served, with how many there are.
fn reasons<'d>(deployments: impl Iterator<Item = &'d Deployment>) -> Vec<String> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for deployment in deployments {
        let Some(why) = &deployment.misconfigured else { continue };
        let provider = &deployment.endpoint.provider.name;
        let reason = match why.lack {
            Lack::Provider if &**provider == "unknown" => "the provider is unknown".to_owned(),
            Lack::Provider => format!("{provider} is not served"),
            Lack::Variable | Lack::Key | Lack::Credential | Lack::Setting => {
                why.problem.to_string()
            }
        };
        match found.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, times)) => *times += 1,
            None => found.push((reason, 1)),
        }
    }
    found.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    found.into_iter().map(|(reason, times)| format!("{reason} ({times})")).collect()
}
