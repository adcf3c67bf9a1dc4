//! Paths of LiteLLM's that manage something, or serve something, that this version does not have: what an error calls them.
//!
//! Called by the router for requests that are in no row. Always true: a path that is in a row is never looked at.

/// Something that is not served, and the paths by which its requests are recognised.
struct Feature {
    /// What the paths are about.
    about: &'static str,
    /// What there is in its place.
    instead: &'static str,
    /// The first parts of the paths, behind a version.
    parts: &'static [&'static str],
}

const NO_KEYS: &str =
    "keys have limits, budgets and models of their own: `/key/generate`, `/key/update`";
/// The features. Source: the routes of LiteLLM's proxy, `_types.py`.
const FEATURES: [Feature; 19] = [
    Feature { about: "virtual keys", instead: NO_KEYS, parts: &["key", "jwt"] },
    Feature {
        about: "users",
        instead: NO_KEYS,
        parts: &["user", "users", "invitation", "onboarding", "management", "scim"],
    },
    Feature {
        about: "teams and organizations",
        instead: NO_KEYS,
        parts: &["team", "organization", "project"],
    },
    Feature {
        about: "customers",
        instead: "`/customer/new`, `/customer/update`, `/customer/block` and `/customer/list` are served",
        parts: &["customer", "end_user"],
    },
    Feature {
        about: "the pages of LiteLLM's user interface",
        instead: "`/ui/` has the dashboard, and a master key signs in there",
        parts: &["sso", "login", "logout", "fallback", "get_image", "get_logo_url", "get_favicon"],
    },
    Feature {
        about: "budgets that a database keeps",
        instead: "`provider_budget_config`, `max_budget` and `tag_budget_config` of the config are served",
        parts: &["budget", "tag"],
    },
    Feature {
        about: "reports of costs",
        instead: "`/spend/logs`, `/global/spend/report`, `/user/daily/activity` and their like are served",
        parts: &["spend", "global", "daily", "cost"],
    },
    Feature {
        about: "models and settings that a database keeps",
        instead: "`/model/new`, `/model/update`, `/model/delete`, `/credentials` and `/config/update` are served",
        parts: &["model", "config", "access_group", "model_hub", "public", "reload", "schedule"],
    },
    Feature {
        about: "guardrails",
        instead: "no guardrail is run",
        parts: &["guardrails", "apply_guardrail", "policies", "policy"],
    },
    Feature {
        about: "MCP servers",
        instead: "tools are passed on to models, and run by clients",
        parts: &["mcp", "mcp-rest", "tools"],
    },
    Feature {
        about: "vector stores",
        instead: "the provider's own routes, such as `/openai/v1/vector_stores`, pass",
        parts: &["vector_stores", "vector_store", "indexes", "rag"],
    },
    Feature {
        about: "prompts that the gateway keeps",
        instead: "clients send their messages",
        parts: &["prompts", "prompt"],
    },
    Feature {
        about: "search",
        instead: "the tools of models that search are passed on",
        parts: &["search", "search_tools"],
    },
    Feature {
        about: "agents",
        instead: "chats, messages and responses are served",
        parts: &["agents", "a2a", "interactions", "skills", "claude-code", "evals"],
    },
    Feature {
        about: "assistants",
        instead: "`/v1/responses` is their successor",
        parts: &["assistants", "threads"],
    },
    Feature {
        about: "videos",
        instead: "the provider's own routes, such as `/openai/v1/videos`, pass",
        parts: &["videos"],
    },
    Feature {
        about: "fine-tuning",
        instead: "the provider's own routes, such as `/openai/v1/fine_tuning/jobs`, pass",
        parts: &["fine_tuning"],
    },
    Feature {
        about: "containers",
        instead: "the provider's own routes, such as `/openai/v1/containers`, pass",
        parts: &["containers"],
    },
    Feature {
        about: "the log of changes",
        instead: "the process's log tells each change of the config",
        parts: &["audit"],
    },
];

/// What a path is about that is not served, and what there is in its place.
pub(super) fn about(path: &str) -> Option<(&'static str, &'static str)> {
    let mut parts = path.split('/').skip(1);
    let first = parts.next()?;
    let is_version = matches!(first, "v1" | "v2" | "v3");
    let part = if is_version { parts.next()? } else { first };
    let found = FEATURES.iter().find(|feature| feature.parts.contains(&part))?;
    Some((found.about, found.instead))
}

#[cfg(test)]
mod tests {
    use super::super::lookup::{Found, find};
    use super::super::table::endpoints;
    use super::*;

    #[test]
    fn a_part_stands_for_one_feature_and_is_no_row_of_the_table() {
        let parts: Vec<&str> = FEATURES.iter().flat_map(|one| one.parts).copied().collect();
        for (at, part) in parts.iter().enumerate() {
            assert!(!parts[..at].contains(part), "{part}");
            for path in [format!("/{part}"), format!("/v1/{part}/new")] {
                let is_unknown = matches!(find("POST", &path), Found::Unknown(_));
                assert!(is_unknown && about(&path).is_some(), "{path}");
            }
        }
        let paths = endpoints().iter().flat_map(|row| row.paths);
        let managed = paths.filter(|path| about(path).is_some());
        // Some of what these parts stand for is served.
        let in_part = [
            "/key/",
            "/team/",
            "/user/",
            "/customer/",
            "/end_user/",
            "/spend/",
            "/global/",
            "/organization/",
            "/tag/",
            "/model/",
            "/config/",
        ];
        let is_served = |path: &str| in_part.iter().any(|begin| path.starts_with(begin));
        let managed: Vec<_> = managed.filter(|path| !is_served(path)).collect();
        assert_eq!(
            managed,
            [&"/v1/model/info", &"/v2/team/list"],
            "these are served in other versions"
        );
    }

    #[test]
    fn other_paths_are_about_nothing() {
        for path in ["", "/", "/v1", "/v1/", "/keys", "/v1/chat/key", "key/new", "//key", "/v4/key"]
        {
            assert_eq!(about(path), None, "{path}");
        }
    }
}
