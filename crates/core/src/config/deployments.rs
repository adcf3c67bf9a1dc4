//! The entries of `model_list` as deployments.
//!
//! Called by [`super::load`] with every reference resolved. Always true: an entry that cannot serve
//! is kept with its reason; equal entries become one, with their weights added.

use std::collections::HashMap;
use std::sync::Arc;

use super::draft::{Context, Draft};
use super::field::visit;
use super::if_wrong::IfWrong;
use super::interpolate::Env;
use super::keys::{self, Section};
use super::model_info::model_info;
use super::params::{Info, Params};
use super::problem::{At, Path, Problems, Unserved, Wrong, shown};
use super::tree::{self, Map, Node, Style, Value};
use super::value::describe_kind;
use super::{any_model, build, id, organizations, redact, upstream};
use crate::deployment::{Lack, Misconfigured};
use crate::health::{DeploymentState, HealthSubject};
use crate::snapshot::Snapshot;

/// The problem of a config without deployments.
pub const NO_MODELS: &str = "no models configured";
/// Its hint.
const EXAMPLE: &str = "write for example:\n\
    model_list:\n\
    \x20 - model_name: gpt-4o\n\
    \x20   litellm_params:\n\
    \x20     model: openai/gpt-4o\n\
    \x20     api_key: os.environ/OPENAI_API_KEY";

/// The drafts of `list`, in its order.
pub(super) fn read(
    list: Option<&Node>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Vec<Draft> {
    let path = Path::Root.key("model_list");
    let mut drafts: Vec<Draft> = Vec::new();
    let Some(list) = list.filter(|node| !node.is_unset()) else { return drafts };
    let Some(items) = list.items() else {
        let problem = format!("expected a list, got {}", describe_kind(list));
        problems.error(list.at, &path, Wrong::new(problem, EXAMPLE));
        return drafts;
    };
    let mut by_id: HashMap<Arc<str>, usize> = HashMap::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let path = path.item(i);
        let made =
            any_model::expanded(item, items, context).or_else(|| organizations::expanded(item));
        for item in made.as_deref().unwrap_or(std::slice::from_ref(item)) {
            let Some(mut draft) = entry(item, Some(i), &path, context, problems) else { continue };
            let taken = by_id.get(&draft.deployment.id).and_then(|&i| drafts.get(i));
            let is_row = problems.is_row(draft.at);
            if let Some(earlier) = taken.filter(|one| is_row || one.hash != draft.hash) {
                with_own_id(&mut draft, earlier, item, problems);
            }
            match by_id.get(&draft.deployment.id).and_then(|&i| drafts.get_mut(i)) {
                Some(earlier) => merge(earlier, &draft, &path, problems),
                None => {
                    by_id.insert(draft.deployment.id.clone(), drafts.len());
                    drafts.push(draft);
                }
            }
        }
    }
    drafts
}

/// Reports that there is no deployment at all. A config may be served without any; a file
/// that is no config may not, and neither may one that takes the last deployment from a gateway that serves.
pub(super) fn report_none(top: &Map, previous: Option<&Snapshot>, problems: &mut Problems) {
    let written = top.get("model_list").filter(|node| !node.is_unset());
    if written.is_some_and(|list| list.items().is_none_or(|items| !items.is_empty())) {
        // Its entries were reported.
        return;
    }
    let (at, path) = match written {
        Some(list) => (list.at, Path::Root.key("model_list")),
        None => (At::whole(0), Path::Root),
    };
    let is_known = |entry: &tree::Entry| keys::find(Section::Top, &entry.key).is_some();
    let is_misspelt = top.entries.iter().filter(|entry| !is_known(entry)).any(|entry| {
        problems.nearest(&entry.key, keys::names(Section::Top)).first() == Some(&"model_list")
    });
    let had_some = previous.is_some_and(|before| !before.deployments.is_empty());
    if had_some || is_misspelt || !top.entries.iter().any(is_known) {
        problems.error(at, &path, Wrong::new(NO_MODELS, EXAMPLE));
    } else {
        problems.warn(at, &path, Wrong::new(NO_MODELS, EXAMPLE));
    }
}

/// Gives an entry whose id another one has the id that it would have without `model_info.id`.
fn with_own_id(draft: &mut Draft, earlier: &Draft, item: &Node, problems: &mut Problems) {
    let other = problems.other_place(draft.at, earlier.at);
    let problem = format!(
        "the id `{}` is taken: another entry has it on {other}, so the id of this one is a hash",
        shown(&draft.deployment.id)
    );
    let hint = "give each entry its own `model_info.id`";
    // A row of the store is found by its id alone.
    let is_row = problems.is_row(draft.at);
    let info = item.as_map().and_then(|map| map.get("model_info")?.as_map());
    let deployment = &mut draft.deployment;
    deployment.id = Arc::from(&*draft.hash);
    deployment.state =
        Arc::new(DeploymentState::of(HealthSubject::Deployment(deployment.id.clone())));
    deployment.display.model_info =
        model_info((&deployment.id, &deployment.facts), info, deployment.display.source);
    if is_row {
        let (problem, hint) = (problem.as_str().into(), hint.into());
        let found = Misconfigured { lack: Lack::Setting, problem, hint };
        deployment.misconfigured.get_or_insert(found);
    }
    draft.warn(Wrong::new(problem, hint), problems);
}

fn merge(earlier: &mut Draft, again: &Draft, path: &Path<'_>, problems: &mut Problems) {
    let other = problems.other_place(again.at, earlier.at);
    let problem =
        format!("the same entry is on {other}; they count as one, with their weights added");
    problems.warn(again.at, path, Wrong::new(problem, "remove one, or set `weight`"));
    let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    };
    earlier.copies = earlier.copies.saturating_add(1);
    earlier.weight = match (earlier.weight, again.weight) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    };
    let limits = &mut earlier.deployment.routing.limits;
    limits.rpm = sum(limits.rpm, again.deployment.routing.limits.rpm);
    limits.tpm = sum(limits.tpm, again.deployment.routing.limits.tpm);
    limits.of_keys = limits.of_keys.least(again.deployment.routing.limits.of_keys);
}

/// The parts of an entry.
#[derive(Default)]
struct Parts<'n> {
    name: Option<Box<str>>,
    params: Option<&'n Map>,
    params_at: At,
    info: Option<&'n Map>,
    rpm: Option<&'n Node>,
    tpm: Option<&'n Node>,
    is_paused: bool,
}

/// One entry of `model_list`: its `index`th, or one that is made as if it were there.
pub(super) fn entry(
    item: &Node,
    index: Option<usize>,
    path: &Path<'_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Draft> {
    let Some(map) = item.as_map() else {
        let problem = format!("expected a mapping, got {}", describe_kind(item));
        let hint = "an entry has `model_name` and `litellm_params`";
        problems.error(item.at, path, Wrong::new(problem, hint));
        return None;
    };
    problems.begin_deployment(item.at, path);
    let parts = parts(map, path, context.env, problems);
    for key in ["model_name", "litellm_params"] {
        if map.get(key).is_none_or(Node::is_null) {
            missing(map, key, item.at, path, problems);
        }
    }
    let info_path = path.key("model_info");
    let info = parts.info.map_or_else(Info::default, |map| Info::read(map, &info_path, problems));
    let params_path = path.key("litellm_params");
    let given = parts.params?;
    // The id is computed from `litellm_params` itself.
    let hash = id::hash(parts.name.as_deref().unwrap_or_default(), given);
    let whole = with_defaults(with_limits(given, &parts), context.defaults);
    problems.when_unserved(if is_served(given) { Unserved::Told } else { Unserved::Untold });
    let mut params = Params::read(&whole, &params_path, problems);
    problems.when_unserved(Unserved::Told);
    let budget = std::mem::take(&mut params.budget);
    let names = ("max_budget", "budget_duration");
    let budget = budget.terms(&params_path, names, IfWrong::Misconfigure, problems);
    match given.get("model") {
        Some(Node { value: Value::Missing(name), .. }) => params.model = Some(written(name)),
        Some(node) if !node.is_null() => {}
        _ => missing(given, "model", parts.params_at, &params_path, problems),
    }
    let entry = build::Entry {
        context,
        name: &parts.name?,
        at: item.at,
        path,
        hash: &hash,
        params: &whole,
        params_at: parts.params_at,
        key_variable: index.and_then(|index| context.key_variable(index)),
        info: parts.info,
    };
    let weight = params.weight;
    let filters_tags = info.filters_tags;
    let mut deployment = build::deployment(&entry, params, info, problems)?;
    deployment.routing.is_paused |= parts.is_paused;
    let name = entry.name.into();
    let at = item.at;
    Some(Draft { name, at, item: index, copies: 1, weight, filters_tags, budget, deployment, hash })
}

/// Whether the provider of these parameters is served, or none is needed.
fn is_served(params: &Map) -> bool {
    let text = |key: &str| params.get(key).and_then(Node::text);
    let is_mock = params.get("mock_response").is_some_and(|node| !node.is_unset());
    let found = |model| {
        let provider = text("custom_llm_provider");
        let address = text("api_base").or_else(|| text("base_url"));
        let written = upstream::Written { provider, address, ..upstream::Written::default() };
        upstream::find(model, written)
    };
    is_mock || text("model").is_none_or(|model| found(model).refusal.is_none())
}

fn parts<'n>(
    map: &'n Map,
    path: &'n Path<'n>,
    env: &Env<'_>,
    problems: &mut Problems,
) -> Parts<'n> {
    let mut parts = Parts::default();
    if let Some(Node { value: Value::Missing(name), at, .. }) = map.get("model_name") {
        let wrong = env.unset(name, *at, problems);
        problems.wrong(IfWrong::Misconfigure, *at, &path.key("model_name"), wrong);
        parts.name = Some(written(name));
    }
    visit(Section::Entry, map, path, problems, |field, problems| match field.row.name {
        "model_name" => {
            let name = field.text(problems).and(field.node.text());
            if name.is_some_and(|name| name.chars().any(char::is_control)) {
                field.wrong(Wrong::new("contains control characters", "remove them"), problems);
            } else {
                parts.name = name.map(Box::from);
            }
        }
        "litellm_params" => {
            parts.params = field.map(problems).and(field.node.as_map());
            parts.params_at = field.at;
        }
        "model_info" => {
            field.map(problems);
            parts.info = field.node.as_map();
            if parts.info.is_some() {
                env.warn_unset(field.node, &field.path, problems);
            }
        }
        "rpm" => parts.rpm = Some(field.node),
        "tpm" => parts.tpm = Some(field.node),
        "blocked" => parts.is_paused = field.flag(problems).unwrap_or(false),
        other => debug_assert!(false, "{other} is in keys.rs but nothing reads it"),
    });
    parts
}

/// A reference to a variable, as it is written.
fn written(variable: &str) -> Box<str> {
    format!("os.environ/{}", redact::variable(variable)).into()
}

fn missing(map: &Map, key: &str, at: At, path: &Path<'_>, problems: &mut Problems) {
    let (at, problem) = match map.get(key) {
        Some(node) => (node.at, "is empty"),
        None => (at, "is missing"),
    };
    let hint = match key {
        "model_name" => "write the name that clients use, such as `model_name: gpt-4o`",
        "model" => {
            "write `model: provider/name`, such as `openai/gpt-4o`, `groq/llama-3.3-70b-versatile` or \
             `hosted_vllm/my-model`; docs/config.md lists the providers"
        }
        _ => "write `litellm_params:` with `model: provider/name` below it",
    };
    problems.error(at, &path.key(key), Wrong::new(problem, hint));
}

/// The parameters, completed by those of all deployments.
fn with_defaults(mut params: Map, defaults: Option<&Map>) -> Map {
    for entry in defaults.into_iter().flat_map(|map| &map.entries) {
        if &*entry.key != "model" && params.get(&entry.key).is_none_or(Node::is_unset) {
            params.entries.retain(|own| own.key != entry.key);
            params.entries.push(entry.clone());
        }
    }
    params
}

/// The parameters, completed by the entry's own `rpm` and `tpm`.
fn with_limits(params: &Map, parts: &Parts<'_>) -> Map {
    let mut whole = params.clone();
    for (name, node) in [("tpm", parts.tpm), ("rpm", parts.rpm)] {
        let absent = params.get(name).is_none_or(Node::is_unset);
        if let Some(node) = node.filter(|_| absent) {
            whole.entries.retain(|entry| &*entry.key != name);
            whole.entries.push(tree::Entry {
                key: name.into(),
                style: Style::Plain,
                at: node.at,
                value: node.clone(),
            });
        }
    }
    whole
}
