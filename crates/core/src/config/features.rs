//! What LiteLLM has and Hale does not, as far as keys of a config ask for it.
//!
//! Used by the table of keys. Always true: a warning about a key says the effect, and the last line of `hale check`
//! lists the names.

/// Something that is not served.
pub(super) struct Feature {
    /// Its name, within a sentence.
    pub(super) name: &'static str,
    /// What that means for the config: a sentence.
    pub(super) effect: &'static str,
}

pub(super) const VIRTUAL_KEYS: Feature = Feature {
    name: "settings of virtual keys",
    effect: "Keys do not obey it: docs/keys.md says what they do.",
};
pub(super) const LOG_SINKS: Feature = Feature {
    name: "log sinks",
    effect: "Nothing is sent there; `callbacks` has the sinks that are served.",
};
pub(super) const CACHING: Feature = Feature {
    name: "other keys of caching",
    effect: "Answers are kept as `litellm_settings.cache` and `cache_params` say.",
};
pub(super) const BUCKETS: Feature =
    Feature { name: "cache in a bucket", effect: "No answer is kept in a bucket." };
pub(super) const SIMILAR_ANSWERS: Feature = Feature {
    name: "cache of similar answers",
    effect: "Only equal requests get the same answer.",
};
pub(super) const DATABASE: Feature = Feature {
    name: "models in the database",
    effect: "The store holds no models and prompts; its own keys are `database_url` and `store_*`.",
};
pub(super) const USER_INTERFACE: Feature = Feature {
    name: "settings of the user interface",
    effect: "The dashboard at `/ui` does not obey it: docs/dashboard.md says who sees what there.",
};
pub(super) const STRATEGY_ROUTERS: Feature = Feature {
    name: "strategy routers",
    effect: "No model is picked by what a request asks; name a model, or a `model_group_alias`.",
};
pub(super) const MCP: Feature = Feature { name: "MCP", effect: "There are no MCP servers." };
pub(super) const CAPS: Feature = Feature {
    name: "caps on all requests in flight",
    effect: "Deployments and keys have caps of their own, `max_parallel_requests`.",
};
pub(super) const DEFAULT_MODELS: Feature =
    Feature { name: "default models", effect: "A request names its model." };
pub(super) const SHARED_STATE: Feature = Feature {
    name: "other keys of Redis",
    effect: "Replicas share their state by the other `redis_*` keys alone.",
};
pub(super) const SECRET_MANAGERS: Feature =
    Feature { name: "secret managers", effect: "Secrets come from the environment." };
pub(super) const RELAYED_ROUTES: Feature = Feature {
    name: "pass-through routes",
    effect: "The routes of providers, such as `/openai/...`, are served.",
};
pub(super) const CLIENT_HEADERS: Feature = Feature {
    name: "forwarding of client headers",
    effect: "No client header reaches a provider.",
};
pub(super) const TIERS: Feature =
    Feature { name: "timeouts by tier", effect: "Timeouts are the same for every service tier." };
pub(super) const ASSISTANTS: Feature =
    Feature { name: "assistants", effect: "The API of assistants is not served." };
pub(super) const SEARCH: Feature =
    Feature { name: "search providers", effect: "There is no search." };
pub(super) const QUEUE: Feature =
    Feature { name: "priority queue", effect: "Requests have no priorities." };
pub(super) const PLUGINS: Feature =
    Feature { name: "plugins", effect: "Python plugins are never run." };
pub(super) const AFFINITY: Feature = Feature {
    name: "lifetimes of affinity",
    effect: "`affinity` says what keeps to one deployment; how long it does is docs/routing.md.",
};
pub(super) const TRACKING: Feature = Feature {
    name: "settings of costs",
    effect: "Costs are kept by key, user, team, tag and customer, whatever it says.",
};
pub(super) const CERTIFICATES: Feature = Feature {
    name: "client certificates",
    effect: "No client certificate is shown to a provider.",
};
pub(super) const AGENTS: Feature = Feature { name: "agents", effect: "There are no agents." };
pub(super) const AWS: Feature = Feature { name: "AWS", effect: "No credential of AWS is used." };
pub(super) const PRICES: Feature =
    Feature { name: "further prices", effect: "They are shown, and not part of a cost." };
pub(super) const OWN_METRICS: Feature =
    Feature { name: "own metrics", effect: "`/metrics` is as docs/metrics.md says." };
pub(super) const BRIDGE: Feature =
    Feature { name: "bridges between APIs", effect: "Requests go to the API that they name." };
