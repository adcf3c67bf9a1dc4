//! Wildcards, aliases and fallbacks.

use super::*;
use crate::route::{Resolved, resolve};
use crate::settings::Fallback;

fn models(names: &[&str]) -> String {
    let line = |name: &&str| {
        format!(
            "- {{model_name: '{name}', litellm_params: {{model: 'openai/{name}', api_key: k}}}}\n"
        )
    };
    format!("model_list:\n{}", names.iter().map(line).collect::<String>())
}

fn fake(names: &[&str], tail: &str) -> Fake {
    Fake::new(&(models(names) + tail))
}

#[test]
fn patterns_are_sorted_by_how_specific_they_are() {
    let snapshot = fake(&["*", "openai/*", "plain", "openai/*-mini", "a*"], "").clean();
    let names: Vec<&str> =
        snapshot.wildcards.iter().map(|group| &*snapshot.group(*group).name).collect();
    assert_eq!(names, ["openai/*-mini", "openai/*", "a*", "*"]);
    assert!(snapshot.group(snapshot.by_name["plain"]).pattern.is_none());
}

#[test]
fn fallbacks_have_several_forms() {
    let yaml = "router_settings:
  fallbacks: [{a: [b, c]}, c, {'*': [b]}, {b: c}, {d-1: [a]}]
  default_fallbacks: [a, c]
";
    let router = fake(&["a", "b", "c", "d-*"], yaml).clean().router;
    let names = |list: &[Fallback]| list.iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&router.fallbacks["a"]), ["b", "c"]);
    assert_eq!(names(&router.fallbacks["b"]), ["c"]);
    assert_eq!(names(&router.fallbacks["d-1"]), ["a"]);
    assert_eq!(names(&router.default_fallbacks), ["c", "b", "a"]);
}

#[test]
fn router_settings_win_unless_they_are_empty() {
    let yaml = "litellm_settings:
  fallbacks: [{a: [b]}]
  default_fallbacks: [b]
router_settings:
  fallbacks: []
  default_fallbacks: [a]
";
    let router = fake(&["a", "b"], yaml).warned().0.router;
    assert_eq!(router.fallbacks["a"], [Fallback::from("b")]);
    assert_eq!(router.default_fallbacks, [Fallback::from("a")]);
}

#[test]
fn unknown_names_warn_with_the_nearest_and_circles_are_legal() {
    let yaml = "router_settings:
  fallbacks: [{gpt-4: [claud, gpt-4, claude]}, {claude: [gpt-4]}, {gtp-4: [claude]}]
  default_fallbacks: [nothing-like-it]
";
    let (snapshot, warnings) = fake(&["gpt-4", "claude"], yaml).warned();
    one(
        &warnings,
        "router_settings.fallbacks[0].gpt-4[0]: no model group `claud`. did you mean `claude`?",
    );
    one(&warnings, "`gpt-4` falls back to itself: skipped");
    one(&warnings, "no model group `gtp-4`. did you mean `gpt-4`?");
    one(&warnings, "no model group `nothing-like-it`");
    assert_eq!(warnings.len(), 4);
    assert_eq!(
        snapshot.router.fallbacks["gpt-4"],
        [Fallback::from("claud"), Fallback::from("claude")]
    );
    // An id, an alias and a name that a pattern matches are known too.
    let yaml = "router_settings:
  fallbacks: [{a: [the-id, other, openai/x, gpt-4o]}]
  model_group_alias: {other: a}
";
    let with_id = yaml.to_owned() + "include: [more.yaml]\n";
    let more = "model_list:\n- {model_name: b, litellm_params: {model: openai/y, api_key: k}, model_info: {id: the-id}}\n";
    Fake::new(&(models(&["a", "openai/*"]) + &with_id)).file("more.yaml", more).clean();
}

#[test]
fn an_alias_with_stars_stands_for_the_names_that_it_matches() {
    let yaml = "router_settings:
  model_group_alias: {'claude-*': a, 'claude-*-haiku*': b, '*': c, exact: b}
  fallbacks: [{a: [claude-opus-9]}]
";
    let snapshot = fake(&["a", "b", "c", "claude-own", "openai/*"], yaml).clean();
    let group = |name: &str| match resolve(&snapshot, name) {
        Resolved::Target(target) => target.name(&snapshot).to_owned(),
        Resolved::Unknown(_) => panic!("{name} leads nowhere"),
    };
    for (name, expected) in [
        ("claude-opus-4-1", "a"),
        ("claude-3-haiku-20240307", "b"),
        ("claude-own", "claude-own"),
        ("exact", "b"),
        ("gpt-5", "c"),
        ("openai/gpt-5", "c"),
    ] {
        assert_eq!(group(name), expected, "{name}");
    }
    assert!(snapshot.is_alias("claude-opus-4-1") && !snapshot.is_alias("claude-own"));
}

#[test]
fn forms_of_fallbacks_that_litellm_refuses_are_refused() {
    for (fallbacks, reason) in [
        ("[{a: [b], b: [a]}]", "each item names exactly one group, this one 2"),
        ("[{}]", "each item names exactly one group, this one 0"),
        ("[{a: {b: 1}}]", "expected a group with its fallbacks, got a mapping"),
        ("[[a]]", "expected a group with its fallbacks, got a list"),
    ] {
        let yaml = format!("router_settings:\n  fallbacks: {fallbacks}\n");
        one(&fake(&["a", "b"], &yaml).refused(), reason);
    }
}

#[test]
fn a_fallback_of_the_config_may_change_the_request() {
    let yaml = "router_settings:
  fallbacks: [{a: [{model: b, temperature: 0, metadata: {x: [1]}, stream: true}, b, c]}]
  context_window_fallbacks: [{a: [{model: c, max_tokens: 5}]}]
  default_fallbacks: [{model: c, user: x}]
";
    let router = fake(&["a", "b", "c"], yaml).clean().router;
    let changes = |list: &[Fallback]| -> Vec<Option<&str>> {
        list.iter().map(|one| Some(&*router.changes[one.changes?])).collect()
    };
    let of_a = Some(r#"{"temperature":0,"metadata":{"x":[1]}}"#);
    assert_eq!(changes(&router.fallbacks["a"]), [of_a, None]);
    assert_eq!(changes(&router.context_window_fallbacks["a"]), [Some(r#"{"max_tokens":5}"#)]);
    assert_eq!(changes(&router.default_fallbacks), [Some(r#"{"user":"x"}"#)]);
}

#[test]
fn odd_forms_of_fallbacks_are_read_as_far_as_they_go() {
    for (fallbacks, reason, expected) in [
        (
            "[{a: [{model: b, api_base: 'http://x'}]}]",
            "fallbacks[0].a[0].api_base: has no effect",
            "b",
        ),
        ("[{a: [{temperature: 0}, b]}]", "names no `model`: ignored", "b"),
        ("[{a: [[c], b]}]", "expected the name of a group, got a list: ignored", "b"),
        ("[{a: }]", "`a` has no fallbacks here", ""),
    ] {
        let yaml = format!("router_settings:\n  fallbacks: {fallbacks}\n");
        let (snapshot, warnings) = fake(&["a", "b"], &yaml).warned();
        one(&warnings, reason);
        let targets = snapshot.router.fallbacks.get("a").cloned().unwrap_or_default();
        let names: Vec<&str> = targets.iter().map(|one| &*one.name).collect();
        assert_eq!(names.join(","), expected, "{fallbacks}");
        assert!(snapshot.router.changes.is_empty());
    }
    let yaml = "router_settings:\n  default_fallbacks: [{model: a, api_key: sk-canary}, [b]]\n";
    let (snapshot, warnings) = fake(&["a"], yaml).warned();
    let told = one(&warnings, "default_fallbacks[0].api_key: has no effect");
    assert!(
        told.contains("an address or a key belongs to a deployment") && !told.contains("canary")
    );
    one(&warnings, "default_fallbacks[1]: expected the name of a group, got a list: ignored");
    assert_eq!(snapshot.router.default_fallbacks, [Fallback::from("a")]);
    fake(&["a", "b"], "router_settings:\n  fallbacks: [{a: [{model: b}]}]\n").clean();
    let (_, warnings) =
        fake(&["a", "b"], "router_settings:\n  fallbacks: [{a: [b]}, {a: [b]}]\n").warned();
    one(&warnings, "`a` has its fallbacks on line 5 already");
}

#[test]
fn aliases_have_two_forms_and_may_be_chained() {
    let yaml = "router_settings:
  model_group_alias:
    x: a
    y: {model: x, hidden: true}
";
    let aliases = fake(&["a"], yaml).clean().router.aliases;
    assert_eq!((&*aliases["x"].target, aliases["x"].hidden), ("a", false));
    assert_eq!((&*aliases["y"].target, aliases["y"].hidden), ("x", true));
}

#[test]
fn aliases_that_lead_nowhere_are_reported() {
    let alias =
        |text: &str| fake(&["a"], &format!("router_settings:\n  model_group_alias: {text}\n"));
    let (_, warnings) = alias("{x: aa}").warned();
    one(&warnings, "model_group_alias.x: no model group `aa`");
    let (_, warnings) = alias("{a: a}").warned();
    one(&warnings, "`a` is a model group too: the group is used");
    let problems = alias("{x: y, y: z, z: x}").warned().1;
    one(&problems, "the aliases lead nowhere: x -> y -> z");
    let long: Vec<String> = (0..12).map(|i| format!("x{i}: x{}", i + 1)).collect();
    let problems = alias(&format!("{{{}, x12: a}}", long.join(", "))).warned().1;
    assert!(problems.iter().all(|p| p.contains("the aliases lead nowhere")), "{problems:#?}");
    let (snapshot, warnings) = alias("{x: [a, b]}").warned();
    one(
        &warnings,
        "model_group_alias.x: expected the name of a group, got a list: its first name is used",
    );
    assert_eq!(&*snapshot.router.aliases["x"].target, "a");
    for (odd, reason) in [
        ("{x: []}", "expected the name of a group, got a list: ignored"),
        ("{x: ''}", "expected the name of a group"),
        ("{x: {hidden: true}}", "model_group_alias.x.model: is missing, so the alias is ignored"),
    ] {
        let (snapshot, warnings) = alias(odd).warned();
        one(&warnings, reason);
        assert!(snapshot.router.aliases.is_empty(), "{odd}");
    }
}

#[test]
fn the_models_behind_a_pattern_have_names_that_lead_to_them() {
    use crate::route::{Resolved, expand, resolve};
    let names = |name: &str, model: &str, listed: &[&str]| {
        let entry = format!(
            "model_list: [{{model_name: '{name}', litellm_params: {{model: '{model}', api_key: k, api_base: 'http://u/v1', api_version: v}}}}]"
        );
        let snapshot = Fake::new(&entry).clean();
        let group = snapshot.listed_groups().next().unwrap();
        let own = |_| listed.iter().map(|name| Box::from(*name)).collect();
        let found = expand(&snapshot, group, own);
        for (name, expanded) in &found {
            let Resolved::Target(target) = resolve(&snapshot, name) else { panic!("{name}") };
            let deployment = snapshot.deployment(expanded.members[0]);
            assert_eq!(*target.upstream_model(&snapshot, deployment), *expanded.model, "{name}");
        }
        found.into_keys().map(String::from).collect::<Vec<_>>()
    };
    let openai = names("openai/*", "openai/*", &[]);
    assert!(openai.len() > 100 && openai.contains(&"openai/gpt-4o".to_owned()), "{openai:?}");
    let is_odd =
        |name: &&String| name.contains("-x-") || name.contains("ft:") || name.contains("container");
    assert_eq!(openai.iter().find(is_odd), None);
    let mini = names("small/*", "openai/gpt-*-mini", &[]);
    assert!(mini.contains(&"small/4o".to_owned()) && mini.len() < 20, "{mini:?}");
    assert!(names("*", "anthropic/*", &[]).iter().all(|name| name.starts_with("claude")));
    assert!(names("azure/*", "azure/*", &[]).iter().all(|name| name.matches('/').count() == 1));
    let listed = names("openrouter/*", "openrouter/*", &["openrouter/auto", "meta/llama"]);
    assert_eq!(listed, ["openrouter/auto", "openrouter/meta/llama"]);
    // A provider's own list, and a pattern of which nothing is known.
    assert_eq!(names("server1/*", "hosted_vllm/*", &["b", "a/c"]), ["server1/a/c", "server1/b"]);
    assert_eq!(names("server1/*", "hosted_vllm/*", &[]), [""; 0]);
    assert_eq!(names("openai/*", "openai/gpt-4o", &[]), [""; 0]);
}

#[test]
fn a_server_of_ones_own_is_not_priced_as_the_provider_whose_model_it_is_named_after() {
    let facts = |model: &str, base: &str, more: &str| {
        let yaml = format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: {model}, api_key: k, api_base: '{base}'}}{more}}}\n"
        );
        Fake::new(&yaml).warned().0.deployments[0].facts.clone()
    };
    let own = "http://127.0.0.1:8000/v1";
    for model in [
        "hosted_vllm/gpt-4o",
        "hosted_vllm/deepseek-chat",
        "hosted_vllm/claude-sonnet-4-5",
        "lm_studio/gpt-4o",
        "openai_like/gpt-4o",
        "llamafile/o3",
        "infinity/text-embedding-3-small",
    ] {
        let facts = facts(model, own, "");
        assert!(!facts.has_price(), "{model}");
        assert!(facts.mode.is_some() && facts.max_input_tokens.is_some(), "{model}");
    }
    for (model, base, more) in [
        ("openai/gpt-4o", own, ""),
        ("litellm_proxy/gpt-4o", own, ""),
        ("hosted_vllm/gpt-4o", own, ", model_info: {base_model: gpt-4o}"),
        ("hosted_vllm/gpt-4o", own, ", model_info: {input_cost_per_token: 0.5}"),
        ("anthropic/claude-sonnet-4-5", own, ""),
        ("deepseek/deepseek-chat", own, ""),
    ] {
        assert!(facts(model, base, more).has_price(), "{model} {more}");
    }
}
