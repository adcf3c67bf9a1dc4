//! What an error says of a request whose every attempt failed, behind the provider's own words: which groups
//! failed, what each attempt met, and how to fix it.
//!
//! Called by [`super::Exhausted`]. Always true: each fallback that failed is named; short sentences, and no host.

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::outcome::ProviderError;
use hale_core::route::{RoutePlan, Tried};
use hale_core::snapshot::Snapshot;
use hale_wire::errors::clean;

use super::is_about_the_address;
use super::refused::diagnosis;
use crate::advice;

/// Longest quotation of a provider, characters.
const WORDS_MAX: usize = 100;
/// Most attempts, and most fallbacks, that are named; the error's `attempts` has more of them.
const LISTED_MAX: usize = 6;
/// Most fixes.
const FIXES_MAX: usize = 3;

/// The attempts of a request, one of which its error is about.
pub(super) struct Trail<'t> {
    pub(super) snapshot: &'t Snapshot,
    pub(super) plan: &'t RoutePlan,
    pub(super) errors: &'t [ProviderError],
    /// The attempt whose words stand at the beginning; none if the request's own time passed.
    pub(super) first: Option<&'t Tried>,
}

/// Attempts at one deployment that ended alike.
struct Alike<'t> {
    tried: &'t Tried,
    said: &'t str,
    times: usize,
}

impl Trail<'_> {
    /// The sentences; none when only the client can fix the request.
    pub(super) fn sentences(&self) -> String {
        let Some(first) = self.first else {
            let is_told = !self.plan.tried().is_empty();
            return if is_told { format!(". {}", self.attempts()) } else { String::new() };
        };
        if !first.cause.blames_deployment() && self.plan.fallbacks() == 0 {
            return String::new();
        }
        let [groups, attempts, fixes] = [self.groups(first), self.attempts(), self.fixes()];
        format!(" {groups} {attempts}{fixes}")
    }

    /// `model group 'a' or its fallbacks 'b', 'c'`
    pub(super) fn asked(&self) -> String {
        let requested = self.plan.first_target().name(self.snapshot);
        let last = self.plan.target().name(self.snapshot);
        let groups = self.plan.tried().iter().map(|one| &*one.group).chain([last]);
        let mut fallbacks: Vec<&str> = Vec::new();
        for group in groups {
            if group != requested && !fallbacks.contains(&group) {
                fallbacks.push(group);
            }
        }
        let quoted = |group: &&str| format!("'{}'", clean(group, 80));
        let names: Vec<String> = fallbacks.iter().take(LISTED_MAX).map(quoted).collect();
        let own = format!("model group '{}'", clean(requested, 200));
        match names.as_slice() {
            [] => own,
            [one] => format!("{own} or its fallback {one}"),
            names => format!("{own} or its fallbacks {}", names.join(", ")),
        }
    }

    /// `Model group 'a' failed: ... Fallback 'b' failed too: ...`
    fn groups(&self, first: &Tried) -> String {
        let own = &first.group;
        let requested = self.plan.first_target().name(self.snapshot);
        let what = |group: &str| if group == requested { "Model group" } else { "Fallback" };
        let mut text = format!("{} '{}' failed{}.", what(own), clean(own, 200), self.why(own));
        let mut others: Vec<&str> = Vec::new();
        for one in self.plan.tried() {
            if one.group != *own && !others.contains(&&*one.group) {
                others.push(&one.group);
            }
        }
        for other in others.iter().take(LISTED_MAX) {
            let (what, why) = (what(other), self.why(other));
            text.push_str(&format!(" {what} '{}' failed too{why}.", clean(other, 80)));
        }
        text
    }

    /// What the failures of a group have in common.
    fn why(&self, group: &str) -> String {
        let of_group = self.plan.tried().iter().filter(|one| *one.group == *group);
        let causes: Vec<Cause> = of_group.map(|one| one.cause).collect();
        match causes.iter().any(|cause| cause.blames_deployment()) {
            true => format!(": {}", diagnosis(&causes)),
            false => String::new(),
        }
    }

    /// `Tried: a 500 server_error; b 401 auth, "..." (3 times).`
    fn attempts(&self) -> String {
        let tried = self.plan.tried();
        let mut alike: Vec<Alike<'_>> = Vec::new();
        for (at, tried) in tried.iter().enumerate() {
            let said = self.errors.get(at).map_or("", |error| &error.message);
            let is_same = |one: &&mut Alike<'_>| {
                one.tried.is_with(tried)
                    && (&one.tried.group, one.tried.cause, one.tried.status)
                        == (&tried.group, tried.cause, tried.status)
            };
            match alike.iter_mut().find(is_same) {
                Some(one) => one.times += 1,
                None => alike.push(Alike { tried, said, times: 1 }),
            }
        }
        let mut parts: Vec<String> =
            alike.iter().take(LISTED_MAX).map(|one| self.attempt(one)).collect();
        if alike.len() > LISTED_MAX {
            parts.push(format!("{} more", alike.len() - LISTED_MAX));
        }
        format!("Tried: {}.", parts.join("; "))
    }

    fn attempt(&self, Alike { tried, said, times }: &Alike<'_>) -> String {
        let place = self.place(tried);
        let status = tried.status.map_or(String::new(), |status| format!(" {status}"));
        // The first one's words stand at the beginning.
        let is_first =
            self.first.is_some_and(|first| tried.is_with(first) && tried.cause == first.cause);
        let words = clean(said, WORDS_MAX);
        let words =
            if is_first || words.is_empty() { String::new() } else { format!(", \"{words}\"") };
        let times = if *times > 1 { format!(" ({times} times)") } else { String::new() };
        format!("{place}{status} {}{words}{times}", tried.cause.name())
    }

    /// The deployment, behind its group if there are several.
    fn place(&self, tried: &Tried) -> String {
        let name = clean(&tried.at(self.snapshot).display.name, 80);
        let is_alone = self.plan.tried().iter().all(|one| one.group == tried.group);
        if is_alone { name } else { format!("{}/{name}", clean(&tried.group, 80)) }
    }

    /// How to fix what failed, what lasts until it is fixed first.
    fn fixes(&self) -> String {
        let mut fixes: Vec<(String, String)> = Vec::new();
        let lasts = |tried: &Tried| {
            matches!(tried.cause, Cause::Auth | Cause::Permission | Cause::NotFound | Cause::Quota)
        };
        for wanted in [true, false] {
            for (at, tried) in self.plan.tried().iter().enumerate() {
                if lasts(tried) != wanted {
                    continue;
                }
                let said = self.errors.get(at);
                let Some(fix) = said.and_then(|said| self.fix(tried, said)) else { continue };
                if fixes.iter().all(|(_, known)| *known != fix) {
                    fixes.push((self.place(tried), fix));
                }
            }
        }
        fixes.truncate(FIXES_MAX);
        match fixes.as_slice() {
            [(_, fix)] => format!(" Fix: {fix}."),
            fixes => fixes.iter().map(|(at, fix)| format!(" Fix for {at}: {fix}.")).collect(),
        }
    }

    fn fix(&self, tried: &Tried, said: &ProviderError) -> Option<String> {
        let deployment: &Deployment = tried.at(self.snapshot);
        // The headline of a refused key names the fix already.
        let is_told = matches!(tried.cause, Cause::Auth | Cause::Permission)
            && self.first.is_some_and(|first| tried.is_with(first));
        if is_told || !tried.cause.blames_deployment() {
            return None;
        }
        match is_about_the_address(tried, said) {
            true => Some(advice::fix_of_path(deployment)),
            false => advice::fix_of_traffic(deployment, tried.cause, tried.status),
        }
    }
}
