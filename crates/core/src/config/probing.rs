//! What the config says about health probes, in `general_settings`, `router_settings`, `model_info`
//! and the environment.
//!
//! Called by the readers of those sections. Always true: an environment variable counts only if the
//! key is absent.

use crate::health::probe::{ProbeRules, ProbeSettings};
use crate::snapshot::Snapshot;

use super::field::Field;
use super::interpolate::Env;
use super::json;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::did_you_mean;
use super::tree::{Map, Node, Style};
use super::value;

/// Longest prompt of a probe, bytes.
const PROMPT_MAX: usize = 16 << 10;

/// What the environment says.
pub(super) fn environment(env: &Env<'_>, problems: &mut Problems) -> ProbeSettings {
    let mut settings = ProbeSettings::default();
    match env.get("DEFAULT_HEALTH_CHECK_PROMPT") {
        Some(prompt) if prompt.len() > PROMPT_MAX => {
            let problem = "environment variable DEFAULT_HEALTH_CHECK_PROMPT: is longer than 16 KiB";
            let wrong = Wrong::new(problem, "it is ignored: every probe would send it");
            problems.warn(At::whole(0), &Path::Root, wrong);
        }
        Some(prompt) => settings.prompt = prompt.into(),
        None => {}
    }
    let mut read = |name: &str, read: &dyn Fn(&Node) -> Result<u64, Wrong>| {
        let node = Node::scalar(&env.get(name)?, Style::Environment, At::whole(0));
        read(&node)
            .map_err(|wrong| {
                let problem = format!("environment variable {name}: {}", wrong.problem);
                problems.warn(At::whole(0), &Path::Root, Wrong::new(problem, wrong.hint));
            })
            .ok()
    };
    let time = |node: &Node| value::time(node, 100, 86_400_000);
    let count = |node: &Node| value::count(node, 1, 1_000_000);
    if let Some(ms) = read("DEFAULT_HEALTH_CHECK_INTERVAL", &time) {
        settings.interval_ms = ms;
    }
    if let Some(ms) = read("HEALTH_CHECK_TIMEOUT_SECONDS", &time) {
        settings.timeout_ms = ms;
    }
    let small = |count: Option<u64>| count.and_then(|count| u32::try_from(count).ok());
    settings.max_tokens = small(read("BACKGROUND_HEALTH_CHECK_MAX_TOKENS", &count));
    settings.max_tokens_reasoning =
        small(read("BACKGROUND_HEALTH_CHECK_MAX_TOKENS_REASONING", &count));
    settings
}

fn put<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

/// A key of `general_settings` or `router_settings`; false if it is none of these.
pub(super) fn setting(
    probing: &mut ProbeSettings,
    field: &Field<'_>,
    problems: &mut Problems,
) -> bool {
    match field.row.name {
        "background_health_checks" => put(&mut probing.background, field.flag(problems)),
        "health_check_interval" => put(&mut probing.interval_ms, field.time(problems)),
        "health_check_concurrency" => put(&mut probing.concurrency, field.small(problems)),
        "enable_health_check_routing" => put(&mut probing.routing, field.flag(problems)),
        "health_check_staleness_threshold" => probing.staleness_ms = field.time(problems),
        "health_check_ignore_transient_errors" => {
            put(&mut probing.ignores_transient, field.flag(problems));
        }
        "health_check_skip_disabled_background_models" => {
            put(&mut probing.skips_disabled, field.flag(problems));
        }
        "health_check_skip_if_live_success" => {
            put(&mut probing.skips_if_live, field.flag(problems))
        }
        "health_check_daily_budget_usd" => probing.daily_budget_usd = field.number(problems),
        "background_health_check_model_groups" => probing.groups = groups(field, problems),
        "model_list_healthy_only" => put(&mut probing.lists_healthy_only, field.flag(problems)),
        _ => return false,
    }
    true
}

/// A key of `model_info`; false if it is none of these.
pub(super) fn rule(rules: &mut ProbeRules, field: &Field<'_>, problems: &mut Problems) -> bool {
    match field.row.name {
        "health_check_model" => {
            let named = field.text(problems);
            if named.is_some_and(|model| model.contains('*')) {
                let hint = "name one model, such as `gpt-4o-mini`";
                let problem = "is a pattern, and a probe calls one model: it has no effect";
                field.warn(Wrong::new(problem, hint), problems);
            }
            rules.model = named.filter(|model| !model.contains('*')).map(Box::from);
        }
        "health_check_prompt" => {
            rules.prompt = field.text(problems).map(Box::from);
            if rules.prompt.take_if(|prompt| prompt.len() > PROMPT_MAX).is_some() {
                field.wrong(
                    Wrong::new("is longer than 16 KiB", "every probe would send it"),
                    problems,
                );
            }
        }
        "health_check_timeout" => {
            rules.timeout_ms = field.time(problems).filter(|ms| *ms > 0);
        }
        "health_check_max_tokens" => rules.max_tokens = field.small(problems),
        "health_check_max_tokens_reasoning" => {
            rules.max_tokens_reasoning = field.small(problems);
        }
        "health_check_max_tokens_non_reasoning" => {
            rules.max_tokens_non_reasoning = field.small(problems);
        }
        "health_check_supports_max_tokens" => rules.supports_max_tokens = field.flag(problems),
        "health_check_reasoning_effort" => {
            rules.reasoning_effort = field.text(problems).map(Box::from);
        }
        "health_check_voice" => rules.voice = field.text(problems).map(Box::from),
        "health_check_params" => rules.params = params(field, problems),
        "health_check_kind" => match field.text(problems) {
            Some("metadata") => rules.metadata = true,
            Some("full") | None => {}
            Some(other) => {
                let near = did_you_mean(&problems.nearest(other, ["metadata", "full"]));
                let hint =
                    if near.is_empty() { "write `full` or `metadata`".to_owned() } else { near };
                field.wrong(Wrong::new(format!("unknown kind `{}`", shown(other)), hint), problems);
            }
        },
        "health_check_daily_budget_usd" => rules.daily_budget_usd = field.number(problems),
        "disable_background_health_check" => {
            rules.opts_out = field.flag(problems).unwrap_or(false);
        }
        _ => return false,
    }
    true
}

fn params(field: &Field<'_>, problems: &mut Problems) -> Vec<(Box<str>, Box<str>)> {
    let Some(map) = field.map(problems) else { return Vec::new() };
    let entries = map.entries.iter().filter(|entry| !entry.value.is_unset());
    entries
        .map(|entry| (Box::from(&*entry.key), json::value(&entry.value).to_string().into()))
        .collect()
}

fn groups(field: &Field<'_>, problems: &mut Problems) -> Vec<Box<str>> {
    let items = field.list(problems).unwrap_or(&[]);
    let mut names = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        match value::text(item) {
            Ok(name) => names.push(name.into()),
            Err(wrong) => field.wrong_in(item.at, &field.path.item(i), wrong, problems),
        }
    }
    names
}

/// Warns about combinations that have no effect.
pub(super) fn compare(top: &Map, snapshot: &Snapshot, problems: &mut Problems) {
    let probing = &snapshot.probing;
    let place = |key: &str| {
        let sections = ["general_settings", "router_settings"].into_iter();
        let mut found = sections.filter_map(|name| {
            let node = top.get(name)?.as_map()?.get(key)?;
            Some((name, node.at))
        });
        found.next()
    };
    let mut warn = |key: &str, problem: String, hint: &str| {
        let (section, at) = place(key).unwrap_or(("general_settings", At::whole(0)));
        problems.warn(at, &Path::Root.key(section).key(key), Wrong::new(problem, hint));
    };
    if probing.routing && !probing.background {
        let problem = "has no effect without background probes".to_owned();
        warn("enable_health_check_routing", problem, "set `background_health_checks: true`");
    }
    if probing.staleness_ms() < probing.interval_ms && probing.routes() {
        let problem =
            "is less than health_check_interval: every verdict is ignored for part of the time";
        warn("health_check_staleness_threshold", problem.to_owned(), "raise it, or remove it");
    }
    for name in &probing.groups {
        if !snapshot.by_name.contains_key(name) {
            let problem = format!("there is no model group `{}`", shown(name));
            warn("background_health_check_model_groups", problem, "name a `model_name`");
        }
    }
}
