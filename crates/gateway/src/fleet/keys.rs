//! The names of keys and channels in Redis, of the scope and the channel in PostgreSQL.
//!
//! Used by the carriers. Always true: they begin with the version of the messages and with what tells one
//! installation from another, in Redis in braces, so that a cluster keeps them on one node.

use hale_core::fleet::VERSION;
use hale_core::snapshot::Snapshot;

/// The names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// The replicas, by when they last said something.
    pub(super) replicas: String,
    /// In front of a replica's id: what it says.
    pub(super) said: String,
    /// Where news are published.
    pub(super) news: String,
    /// In front of a deployment's id: the lease of its probes.
    pub(super) lease: String,
    /// The last result of each deployment's probes.
    pub(super) probes: String,
    /// Where results of probes are published.
    pub(super) probed: String,
    /// In PostgreSQL: what rows begin with.
    pub(super) scope: String,
    /// In PostgreSQL: where news are told.
    pub(super) channel: String,
    /// In front of the keys of LiteLLM.
    pub(super) litellm: String,
}

impl Keys {
    /// Those of the config: its namespace, else a hash of its deployments and groups.
    pub(super) fn of(snapshot: &Snapshot) -> Keys {
        let namespace = snapshot.shared.redis.as_ref().and_then(|redis| redis.namespace.clone());
        let litellm = namespace.as_ref().map_or(String::new(), |name| format!("{name}:"));
        let scope = namespace.unwrap_or_else(|| identity(snapshot).into());
        // Braces would end the part that names the node.
        let scope = scope.replace(['{', '}'], "_");
        let prefix = format!("hale:{VERSION}:{{{scope}}}");
        Keys {
            replicas: format!("{prefix}:replicas"),
            said: format!("{prefix}:replica:"),
            news: format!("{prefix}:news"),
            lease: format!("{prefix}:lease:"),
            probes: format!("{prefix}:probes"),
            probed: format!("{prefix}:probed"),
            channel: format!("hale_{VERSION}_{}", hash(&[&scope])),
            scope: format!("{VERSION}:{scope}"),
            litellm,
        }
    }
}

/// The identity of a config: what it serves, whatever the order.
fn identity(snapshot: &Snapshot) -> String {
    let ids = snapshot.deployments.iter().map(|one| &*one.id);
    let mut names: Vec<&str> =
        ids.chain(snapshot.groups.iter().map(|group| &*group.name)).collect();
    names.sort_unstable();
    names.dedup();
    hash(&names)
}

fn hash(names: &[&str]) -> String {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for name in names {
        hash.update(&(name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
    }
    let hash = hash.finish();
    hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use hale_core::config::{InMemory, Options, load};

    use super::*;

    fn keys(models: &[&str], more: &str) -> Keys {
        let entry = |id: &&str| {
            format!(
                "- {{model_name: m, model_info: {{id: {id}}}, litellm_params: {{model: openai/x, api_key: k}}}}\n"
            )
        };
        let list: String = models.iter().map(entry).collect();
        let yaml = format!("model_list:\n{list}{more}");
        let loaded = load(&InMemory::file("c.yaml", yaml), "c.yaml", Options::default(), None);
        Keys::of(&loaded.snapshot.unwrap())
    }

    #[test]
    fn the_same_config_has_the_same_keys_and_another_one_has_others() {
        assert_eq!(keys(&["a", "b"], ""), keys(&["b", "a"], "router_settings: {num_retries: 7}\n"));
        assert_ne!(keys(&["a", "b"], ""), keys(&["a"], ""));
        let cache =
            "litellm_settings: {cache_params: {type: redis, host: h, namespace: 'te{am}'}}\n";
        assert_eq!(keys(&["a"], cache), keys(&["b"], cache));
        assert_eq!(keys(&["a"], cache).news, "hale:1:{te_am_}:news");
    }
}
