//! The models that providers list, for the patterns of the config.
//!
//! Used by the pages that list models, if the config asks for it. Always true: a list is read again after a while only,
//! by one request for all; a provider without a list costs as little.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use hale_core::deployment::DeploymentIndex;
use hale_core::time::Millis;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::arrival::Arrival;
use crate::clock;
use crate::prober;
use crate::state::Serving;

/// How long a list is believed, milliseconds.
const BELIEVED_MS: u64 = 300_000;
/// How long it is believed that there is none.
const NONE_MS: u64 = 30_000;
/// Lists that are kept. When there are more, all are read again.
const LISTS_MAX: usize = 1_024;

/// A list that was requested, and since when.
type Asked = (Millis, Arc<OnceCell<Arc<[Box<str>]>>>);

/// The id and the address of a deployment.
type Place = (Arc<str>, Box<str>);

/// The lists, by deployment.
static LISTS: LazyLock<Mutex<HashMap<Place, Asked>>> = LazyLock::new(Mutex::default);

/// The lists of some deployments.
#[derive(Default)]
pub(super) struct ProviderLists(HashMap<DeploymentIndex, Arc<[Box<str>]>>);

impl ProviderLists {
    /// The lists of the deployments behind patterns; none if the config does not ask for them.
    pub(super) async fn of(arrival: &Arrival) -> ProviderLists {
        let serving = &arrival.serving;
        let mut lists = ProviderLists::default();
        if !serving.snapshot.gateway.check_provider_endpoint {
            return lists;
        }
        let groups = serving.snapshot.listed_groups().filter(|group| group.pattern.is_some());
        let members = groups.flat_map(|group| group.members.iter().copied());
        let mut tasks = JoinSet::new();
        for index in members.filter(|index| serving.snapshot.deployment(*index).can_work()) {
            let (process, serving) = (arrival.worker.process.clone(), serving.clone());
            let cell = cell(&serving, index, clock::now().millis());
            tasks.spawn_local(async move {
                let ask = || async { Arc::from(prober::listed(&process, &serving, index).await) };
                (index, cell.get_or_init(ask).await.clone())
            });
        }
        while let Some(done) = tasks.join_next().await {
            let Ok((index, list)) = done else { continue };
            lists.0.insert(index, list);
        }
        lists
    }

    /// The names that the provider of the deployment lists; empty if that is not known.
    pub(super) fn at(&self, index: DeploymentIndex) -> Vec<Box<str>> {
        self.0.get(&index).map_or_else(Vec::new, |list| list.to_vec())
    }
}

/// The list of the deployment, to be filled if it is not there or too old.
fn cell(serving: &Serving, index: DeploymentIndex, now: Millis) -> Arc<OnceCell<Arc<[Box<str>]>>> {
    let deployment = serving.snapshot.deployment(index);
    let key = (deployment.id.clone(), deployment.endpoint.api_base.clone());
    let mut lists = LISTS.lock();
    if let Some((since, cell)) = lists.get(&key) {
        let believed = match cell.get() {
            Some(list) if list.is_empty() => NONE_MS,
            Some(_) | None => BELIEVED_MS,
        };
        if now.since(*since) < believed {
            return cell.clone();
        }
    }
    if lists.len() >= LISTS_MAX {
        lists.clear();
    }
    let cell = Arc::new(OnceCell::new());
    lists.insert(key, (now, cell.clone()));
    cell
}
