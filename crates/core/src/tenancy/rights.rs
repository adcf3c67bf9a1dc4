//! Which models and routes a key may use.
//!
//! Read by [`super::access`] for each request with a key, and by the list of models. Always true: a name is compared whole and
//! with its case; a star stands for any text, every other character for itself.

/// A model as a request names it, and what is known of the name.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// The name.
    pub name: &'a str,
    /// The access groups of its deployments.
    pub access_groups: &'a [&'a str],
    /// The provider of a name without one, if it is known.
    pub provider: Option<&'a str>,
    /// Whether a name of the team's own led to it.
    pub is_team_alias: bool,
}

/// Every model of the gateway.
pub const ALL_PROXY_MODELS: &str = "all-proxy-models";
/// Every model of the key's team.
pub const ALL_TEAM_MODELS: &str = "all-team-models";
/// No model.
pub const NO_DEFAULT_MODELS: &str = "no-default-models";

impl Model<'_> {
    /// Whether one of `entries` names it.
    #[must_use]
    pub fn is_in(&self, entries: &[Box<str>]) -> bool {
        entries.iter().any(|entry| self.is(entry))
    }

    fn is(&self, entry: &str) -> bool {
        if entry == self.name || entry == ALL_PROXY_MODELS || self.access_groups.contains(&entry) {
            return true;
        }
        if !entry.contains('*') {
            return false;
        }
        let with_provider = || {
            let provider = self.provider.filter(|_| !self.name.contains('/'))?;
            Some(format!("{provider}/{}", self.name))
        };
        matches(entry, self.name) || with_provider().is_some_and(|name| matches(entry, &name))
    }
}

/// Whether `text` is what `pattern` says, whose stars stand for any text.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return left.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// A route as a request calls it.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// Its path.
    pub path: &'a str,
    /// Whether it goes to models.
    pub is_of_models: bool,
}

/// Paths that show something.
const INFO: &[&str] = &[
    "/key/info",
    "/key/health",
    "/key/list",
    "/v2/key/info",
    "/team/info",
    "/team/list",
    "/v2/team/list",
    "/team/available",
    "/organization/list",
    "/user/info",
    "/v2/user/info",
    "/model/info",
    "/v1/model/info",
    "/v2/model/info",
    "/model_group/info",
    "/health",
    "/health/services",
    "/models",
    "/v1/models",
    "/sso/get/ui_settings",
];
/// First parts of paths that manage something.
const MANAGEMENT: &[&str] = &[
    "key",
    "team",
    "user",
    "model",
    "customer",
    "organization",
    "budget",
    "tag",
    "credentials",
    "project",
];
/// First parts of paths about costs.
const SPEND: &[&str] = &["spend", "global"];

impl Route<'_> {
    /// Whether one of `entries` allows it: a path, the beginning of one, a pattern with a star at its end, or a group of routes.
    #[must_use]
    pub fn is_in(&self, entries: &[Box<str>]) -> bool {
        entries.iter().any(|entry| self.is(entry))
    }

    fn is(&self, entry: &str) -> bool {
        let path = self.path;
        let begins = |parts: &[&str]| parts.contains(&self.first_part());
        match entry {
            "llm_api_routes" => self.is_of_models || self.lists_models(),
            "openai_routes" => {
                (self.is_of_models || self.lists_models())
                    && !self.is_anthropic()
                    && !self.is_google()
            }
            "anthropic_routes" => self.is_of_models && self.is_anthropic(),
            "google_routes" => self.is_of_models && self.is_google(),
            "info_routes" => INFO.contains(&path),
            "management_routes" => begins(MANAGEMENT),
            "key_management_routes" => begins(&["key"]),
            "spend_tracking_routes" => begins(SPEND),
            "*" | "/*" => true,
            _ => match entry.strip_suffix('*') {
                Some(begin) => path.starts_with(begin),
                None => {
                    let entry = entry.trim_end_matches('/');
                    let behind = path.strip_prefix(entry).filter(|_| !entry.is_empty());
                    behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('/'))
                }
            },
        }
    }

    fn lists_models(&self) -> bool {
        matches!(self.path, "/models" | "/v1/models")
            || self.path.starts_with("/v1/models/")
            || self.path.starts_with("/models/")
    }

    fn is_anthropic(&self) -> bool {
        self.path.starts_with("/v1/messages") || self.path.starts_with("/anthropic/")
    }

    fn is_google(&self) -> bool {
        self.path.starts_with("/v1beta/") || self.path.starts_with("/gemini/")
    }

    /// The first part of the path, behind a version.
    fn first_part(&self) -> &str {
        let mut parts = self.path.split('/').skip(1);
        let first = parts.next().unwrap_or_default();
        match first {
            "v1" | "v2" => parts.next().unwrap_or_default(),
            _ => first,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(names: &[&str]) -> Vec<Box<str>> {
        names.iter().map(|name| Box::from(*name)).collect()
    }

    fn is_in(name: &str, names: &[&str]) -> bool {
        let model =
            Model { name, access_groups: &["grp"], provider: Some("openai"), is_team_alias: false };
        model.is_in(&entries(names))
    }

    #[test]
    fn models_are_named_exactly_by_pattern_by_group_or_all_at_once() {
        for (name, names, expected) in [
            ("a", &["a"][..], true),
            ("b", &["a"], false),
            ("A", &["a"], false),
            ("openai/gpt-4o", &["openai/*"], true),
            ("gpt-4o", &["openai/*"], true),
            ("x/gpt-4o", &["openai/*"], false),
            ("anything", &["*"], true),
            ("anything", &["all-proxy-models"], true),
            ("anything", &["grp"], true),
            ("anything", &["no-default-models"], false),
            ("anything", &["all-team-models"], false),
            ("bedrock/us.a", &["bedrock/us.*"], true),
            ("bedrock/usXa", &["bedrock/us.*"], false),
        ] {
            assert_eq!(is_in(name, names), expected, "{name} in {names:?}");
        }
    }

    #[test]
    fn routes_are_allowed_by_path_by_beginning_by_star_or_by_group() {
        let chat = Route { path: "/v1/chat/completions", is_of_models: true };
        let info = Route { path: "/key/info", is_of_models: false };
        let list = Route { path: "/v1/models", is_of_models: false };
        let new = Route { path: "/team/new", is_of_models: false };
        for (route, entry, expected) in [
            (chat, "llm_api_routes", true),
            (info, "llm_api_routes", false),
            (list, "llm_api_routes", true),
            (list, "/v1/models*", true),
            (chat, "/v1/models*", false),
            (info, "info_routes", true),
            (new, "info_routes", false),
            (new, "management_routes", true),
            (chat, "management_routes", false),
            (info, "key_management_routes", true),
            (new, "key_management_routes", false),
            (chat, "/v1/chat", true),
            (chat, "/v1/cha", false),
            (chat, "/v1/chat/completions", true),
            (chat, "", false),
            (chat, "unknown_routes", false),
            (chat, "anthropic_routes", false),
            (Route { path: "/v1/messages", is_of_models: true }, "anthropic_routes", true),
        ] {
            assert_eq!(route.is_in(&entries(&[entry])), expected, "{} in {entry}", route.path);
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_its_stars_were_filled_with(
            parts in prop::collection::vec("[ab./]{0,4}", 1..5), filled in prop::collection::vec("[ab./*]{0,4}", 4),
        ) {
            let pattern = parts.join("*");
            let mut text = String::new();
            for (at, part) in parts.iter().enumerate() {
                if at > 0 {
                    text.push_str(&filled[at - 1]);
                }
                text.push_str(part);
            }
            prop_assert!(matches(&pattern, &text), "{} {}", pattern, text);
        }

        #[test]
        fn a_pattern_without_a_star_matches_itself_alone(pattern in "[ab.]{0,4}", text in "[ab.]{0,4}") {
            prop_assert_eq!(matches(&pattern, &text), pattern == text);
        }
    }
}
