//! `model_list`: how its entries are read.

use super::*;
use crate::deployment::{Keepalive, Limits, MockContent};
use crate::secret::Secret;
use crate::tenancy::KeyLimits;
use crate::usage::Usage;

fn strings(pairs: &[(Box<str>, Box<str>)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (&**name, &**value)).collect()
}

#[test]
fn an_entry_fills_a_deployment() {
    let yaml = "model_list:
- model_name: gpt-4
  litellm_params:
    model: openai/gpt-4o
    api_base: https://example.com/v1/
    api_key: sk-1
    organization: org-1
    extra_headers: {X-Team: blue, x-n: 5}
    weight: 2.5
    rpm: '10'
    tpm: 1_000
    timeout: 30
    stream_timeout: 500ms
    num_retries: 1
    default_api_key_rpm_limit: 3
    default_api_key_tpm_limit: 0
    cooldown_time: 0
    additional_drop_params: [user]
    temperature: 0.5
    stop: ['x', no]
    response_format: {type: json_object}
    extra_body: {top_k: 5, seed: 1}
  model_info:
    id: d-1
    base_model: gpt-4o
    mode: chat
    cooldown_time: 7
    team: blue
";
    let snapshot = Fake::new(yaml).clean();
    let d = &snapshot.deployments[0];
    let (endpoint, routing, credential) = (&d.endpoint, &d.routing, &d.credential);
    assert_eq!((&*d.id, &*d.display.declared_at), ("d-1", "c.yaml:2"));
    assert_eq!(&*endpoint.provider.name, "openai");
    assert_eq!((&*endpoint.upstream_model, &*endpoint.model_param), ("gpt-4o", "openai/gpt-4o"));
    assert_eq!(&*endpoint.api_base, "https://example.com/v1");
    assert_eq!(credential.api_key, Some(Secret::new("sk-1")));
    assert_eq!(credential.organization.as_ref().map(Secret::expose), Some("org-1"));
    assert_eq!(
        credential.extra_headers,
        [("x-team".into(), Secret::new("blue")), ("x-n".into(), Secret::new("5"))]
    );
    let limits = Limits {
        timeout_ms: Some(30_000),
        stream_timeout_ms: Some(500),
        num_retries: Some(1),
        cooldown_ms: Some(7_000),
        rpm: Some(10),
        tpm: Some(1_000),
        max_parallel: None,
        of_keys: KeyLimits { rpm: Some(3), tpm: Some(0) },
        keepalive: Keepalive::default(),
    };
    assert_eq!(routing.limits, limits);
    let defaults = strings(&endpoint.default_params);
    assert_eq!(defaults[..2], [("temperature", "0.5"), ("stop", "[\"x\",false]")]);
    assert_eq!(defaults[2], ("response_format", "{\"type\":\"json_object\"}"));
    assert_eq!(defaults[3..], [("top_k", "5"), ("seed", "1")]);
    assert_eq!(endpoint.dropped_params, [Box::from("user")]);
    assert_eq!((routing.weight, endpoint.mock.clone(), d.misconfigured.clone()), (2.5, None, None));
    assert_eq!(d.facts.input_cost_per_token, Some(2.5e-6));
    let info: serde_json::Value = serde_json::from_str(&d.display.model_info).unwrap();
    assert_eq!(info["id"], "d-1");
    assert_eq!(info["db_model"], false);
    assert_eq!(info["team"], "blue");
    assert_eq!(info["max_input_tokens"], 128_000);
    let group = snapshot.group(snapshot.by_name["gpt-4"]);
    assert_eq!((&*group.name, group.members.len()), ("gpt-4", 1));
    assert_eq!(snapshot.by_id["d-1"], d.index);
}

#[test]
fn an_id_is_the_hash_of_the_parameters_as_in_the_original() {
    let yaml = "model_list:\n- model_name: gpt-4\n  rpm: 77\n  litellm_params: {model: openai/gpt-4, \
                api_key: os.environ/K, rpm: 10}\n";
    let id = |fake: Fake| fake.clean().deployments[0].id.clone();
    let vector = "bda5fa552f92d48a2c0e24c229200da217ca2e29ab905e44263cd8454416d515";
    assert_eq!(&*id(Fake::new(yaml).env("K", "sk-1")), vector);
    // A new key changes it; keys next to `litellm_params` do not.
    assert_ne!(&*id(Fake::new(yaml).env("K", "sk-2")), vector);
    let beside = "model_list:\n- model_name: m\n  rpm: 10\n  litellm_params: {model: openai/gpt-4, api_key: k}\n";
    let snapshot = Fake::new(beside).clean();
    let without = Fake::new(&beside.replace("  rpm: 10\n", "")).clean();
    assert_eq!(snapshot.deployments[0].id, without.deployments[0].id);
    assert_eq!(snapshot.deployments[0].routing.limits.rpm, Some(10));
    let number = Fake::new(&(entry("") + "  model_info: {id: 007}\n")).clean();
    assert_eq!(&*number.deployments[0].id, "007");
}

#[test]
fn a_missing_variable_keeps_the_deployment_and_names_itself() {
    let yaml = "model_list:
- model_name: a
  litellm_params: {model: openai/x, api_key: os.environ/A_KEY, api_base: os.environ/A_BASE}
- model_name: b
  litellm_params: {model: openai/y, api_key: k, stop: [a, os.environ/STOP]}
- model_name: c
  litellm_params: {model: openai/z, api_key: os.environ/CREDENTIAL_OF_C}
";
    let fake =
        Fake::new(yaml).env("A_KEY", "").env("CREDENTIAL_OF_C", "k").env("OPENAI_API_KEY", "other");
    let (snapshot, warnings) = fake.warned();
    assert_eq!(
        warnings[0],
        "warning: c.yaml:3:46: model_list[0].litellm_params.api_key: environment variable A_KEY is \
         not set. set A_KEY, which deployment a reads"
    );
    assert_eq!(warnings.len(), 3);
    one(&warnings, "model_list[1].litellm_params.stop[1]: environment variable STOP is not set");
    let a = snapshot.deployments[0].misconfigured.as_ref().unwrap();
    assert_eq!(&*a.problem, "environment variable A_KEY is not set");
    assert_eq!(&*a.hint, "set A_KEY, which deployment a reads");
    assert_eq!(&*snapshot.deployments[0].endpoint.api_base, "");
    assert_eq!(snapshot.deployments[0].credential.api_key, None);
    assert!(snapshot.deployments[1].misconfigured.is_some());
    assert!(snapshot.deployments[2].misconfigured.is_none());
    assert_eq!(snapshot.listed_groups().count(), 3);
}

#[test]
fn references_are_resolved_everywhere_and_are_text() {
    let yaml = entry(
        "temperature: os.environ/T\nuser: os.environ/U\nstop: [os.environ/U]\ncustom_map: {a: os.environ/U}\nrpm: os.environ/N",
    );
    let fake = Fake::new(&yaml).env("T", "0.2").env("U", "12").env("N", "30");
    let d = &fake.clean().deployments[0];
    assert_eq!(
        strings(&d.endpoint.default_params),
        [
            ("temperature", "0.2"),
            ("user", "\"12\""),
            ("stop", "[\"12\"]"),
            ("custom_map", "{\"a\":\"12\"}")
        ]
    );
    assert_eq!(d.routing.limits.rpm, Some(30));
    let (_, warnings) =
        Fake::new(&entry("user: ${USER_NAME}\nstop: os.environ[\"STOP_WORD\"]")).warned();
    one(&warnings, "write `os.environ/USER_NAME`");
    one(&warnings, "write `os.environ/STOP_WORD`");
    one(&Fake::new(&entry("user: os.environ/")).warned().1, "names no variable");
}

#[test]
fn keys_and_addresses_come_from_the_config_the_credential_the_environment_or_the_table() {
    let yaml = "model_list:
- {model_name: own, litellm_params: {model: groq/x, api_key: k1, base_url: 'http://own/v1'}}
- {model_name: named, litellm_params: {model: groq/x, litellm_credential_name: c}}
- {model_name: env, litellm_params: {model: groq/x}}
- {model_name: both, litellm_params: {model: groq/x, litellm_credential_name: c, api_key: k2}}
credential_list:
- credential_name: c
  credential_values: {api_key: os.environ/CRED, api_base: 'http://cred/v1', organization: o}
";
    let fake = Fake::new(yaml).env("CRED", "ck").env("GROQ_API_KEY", "ek");
    let snapshot = fake.env("GROQ_API_BASE", "http://env/v1").clean();
    let found: Vec<(&str, &str)> = snapshot
        .deployments
        .iter()
        .map(|d| (d.credential.api_key.as_ref().unwrap().expose(), &*d.endpoint.api_base))
        .collect();
    assert_eq!(
        found,
        [
            ("k1", "http://own/v1"),
            ("ck", "http://cred/v1"),
            ("ek", "http://env/v1"),
            ("k2", "http://cred/v1")
        ]
    );
    assert_eq!(
        snapshot.deployments[1].credential.organization.as_ref().map(Secret::expose),
        Some("o")
    );
    let yaml = yaml.replace("litellm_credential_name: c}", "litellm_credential_name: d}");
    let (_, warnings) = Fake::new(&yaml).env("GROQ_API_KEY", "ek").env("CRED", "k").warned();
    one(&warnings, "credential `d` is not in credential_list. add it");
    let (snapshot, warnings) =
        Fake::new(&yaml.replace(": d}", ": c}")).env("GROQ_API_KEY", "ek").warned();
    one(&warnings, "environment variable CRED is not set. set CRED, which deployment named reads");
    assert!(snapshot.deployments[1].misconfigured.is_some());
    // It has its own key, so the credential's does not matter.
    assert!(snapshot.deployments[3].misconfigured.is_none());
}

#[test]
fn a_missing_key_names_every_variable_that_could_hold_it() {
    let yaml = "model_list:
- {model_name: a, litellm_params: {model: openai/x}}
- {model_name: b, litellm_params: {model: openrouter/x}}
- {model_name: c, litellm_params: {model: hosted_vllm/x}}
- {model_name: d, litellm_params: {model: hosted_vllm/x, api_base: 'http://10.0.0.1:8000/v1'}}
";
    let (snapshot, _) = Fake::new(yaml).warned();
    let why = |i: usize| {
        let found = snapshot.deployments[i].misconfigured.as_ref();
        found.map_or(String::new(), |m| format!("{}; {}", m.problem, m.hint))
    };
    assert_eq!(
        why(0),
        "no api_key, and environment variable OPENAI_API_KEY is not set; set OPENAI_API_KEY, which \
         deployment a reads"
    );
    assert!(!why(0).contains("api_key: none"));
    let own = Fake::new(&yaml.replace("openai/x", "openai/x, api_base: 'http://h/v1'")).warned().1;
    one(&own, "for a server without keys write `api_key: none`");
    assert!(why(1).contains("none of the environment variables OPENROUTER_API_KEY, OR_API_KEY"));
    assert!(why(2).contains("no api_base") && why(2).contains("HOSTED_VLLM_API_BASE"));
    assert_eq!(why(3), "");
}

#[test]
fn providers_that_are_not_served_are_kept_and_say_so() {
    let yaml = "model_list:
- {model_name: a, litellm_params: {model: replicate/claude-3-opus, api_key: k}}
- {model_name: b, litellm_params: {model: opnai/gpt-4o, api_key: k}}
- {model_name: c, litellm_params: {model: azure/x, api_base: 'https://x.openai.azure.com', api_key: os.environ/AZURE_API_KEY}}
- {model_name: d, litellm_params: {model: gpt-4o, api_key: k}}
";
    let (snapshot, warnings) = Fake::new(yaml).warned();
    one(&warnings, "provider `replicate` is not served by this version");
    one(&warnings, "unknown provider `opnai`. did you mean `openai`?");
    assert_eq!(&*snapshot.deployments[0].endpoint.provider.name, "replicate");
    let azure = snapshot.deployments[2].misconfigured.as_ref().unwrap();
    assert_eq!(&*azure.problem, "environment variable AZURE_API_KEY is not set");
    assert_eq!(&*snapshot.deployments[3].endpoint.provider.name, "openai");
}

#[test]
fn canned_answers_need_no_key() {
    let yaml = "model_list:
- {model_name: a, litellm_params: {model: openai/x, mock_response: hi there, mock_delay: 0.25}}
- {model_name: b, litellm_params: {model: any, mock_response: [0.1, 2], api_key: os.environ/NONE}}
- {model_name: c, litellm_params: {model: hosted_vllm/x, mock_response: litellm.RateLimitError}}
- {model_name: d, litellm_params: {model: anthropic/x, mock_response: yes}}
";
    let snapshot = Fake::new(yaml).clean();
    let mocks: Vec<_> =
        snapshot.deployments.iter().map(|d| d.endpoint.mock.clone().unwrap()).collect();
    assert_eq!(mocks[0].content, MockContent::Text("hi there".into()));
    assert_eq!(mocks[0].delay_ms, 250);
    assert_eq!(mocks[1].content, MockContent::Vector(vec![0.1, 2.0]));
    assert_eq!(mocks[2].content, MockContent::Failure(429));
    assert_eq!(mocks[3].content, MockContent::Text("This is a mock request".into()));
    assert!(snapshot.deployments.iter().all(|d| d.misconfigured.is_none()));
    for (mock, reason) in [
        ("litellm.RateLimitEror", "did you mean `RateLimitError`?"),
        ("[a]", "expected a number, got `a`"),
        ("[]", "the list is empty"),
        ("{a: 1}", "expected text or a list of numbers"),
    ] {
        let (snapshot, warnings) = Fake::new(&entry(&format!("mock_response: {mock}"))).warned();
        one(&warnings, reason);
        assert!(snapshot.deployments[0].misconfigured.is_some(), "{mock}");
    }
    assert_eq!(deployment("mock_response: no").endpoint.mock, None);
}

#[test]
fn a_group_shares_its_traffic_by_weight_then_by_rates() {
    let weights = |entries: &[&str]| {
        let entry = |more: &&str| {
            format!(
                "- {{model_name: m, litellm_params: {{model: openai/x, api_key: k{}{more}}}}}\n",
                more.len()
            )
        };
        let yaml = format!("model_list:\n{}", entries.iter().map(entry).collect::<String>());
        let (snapshot, warnings) = Fake::new(&yaml).warned();
        let weights: Vec<f64> = snapshot.deployments.iter().map(|d| d.routing.weight).collect();
        (weights, warnings.len())
    };
    assert_eq!(weights(&["", ", n: 1"]), (vec![1.0, 1.0], 0));
    assert_eq!(weights(&[", weight: 3", ", weight: 1.5"]), (vec![3.0, 1.5], 0));
    assert_eq!(weights(&[", weight: 3", ", rpm: 9"]), (vec![3.0, 1.0], 0));
    assert_eq!(weights(&[", rpm: 30", ", rpm: 100, tpm: 5"]), (vec![30.0, 100.0], 0));
    assert_eq!(weights(&[", tpm: 30", ", tpm: 100"]), (vec![30.0, 100.0], 0));
    assert_eq!(weights(&[", weight: 0", ", weight: 0.0"]), (vec![1.0, 1.0], 1));
    // Equal weights are equal, whatever the rates say.
    assert_eq!(weights(&[", weight: 1, rpm: 5", ", weight: 1, rpm: 10"]), (vec![1.0, 1.0], 0));
}

#[test]
fn the_same_entry_twice_is_one_with_the_weights_added() {
    let line = "- {model_name: m, litellm_params: {model: openai/x, api_key: k, weight: 2}}\n";
    let other = "- {model_name: m, litellm_params: {model: openai/y, api_key: k, weight: 1}}\n";
    let (snapshot, warnings) = Fake::new(&format!("model_list:\n{line}{other}{line}")).warned();
    one(&warnings, "c.yaml:4:3: model_list[2]: the same entry is on line 2");
    assert_eq!(snapshot.deployments.len(), 2);
    assert_eq!(snapshot.deployments[0].routing.weight, 4.0);
    assert_eq!(snapshot.groups[0].members.len(), 2);
    let plain = line.replace(", weight: 2", "");
    let tail = other.replace(", weight: 1", "");
    let (snapshot, _) = Fake::new(&format!("model_list:\n{plain}{tail}{plain}")).warned();
    assert_eq!(snapshot.deployments[0].routing.weight, 2.0);
    assert_eq!(snapshot.deployments[1].routing.weight, 1.0);
}

#[test]
fn entries_without_their_parts_say_what_is_missing() {
    let yaml = "model_list:
- litellm_params: {model: openai/x, api_key: k}
- model_name: b
- model_name: c
  litellm_params: {api_key: k}
- model_name: d
  litellm_params: [x]
- text
- {model_name: [x], litellm_params: {model: openai/x, api_key: k}}
- {model_name: e, litellm_params: {model: , api_key: k}, modle_info: {}}
";
    let problems = Fake::new(yaml).refused();
    one(&problems, "c.yaml:2:3: model_list[0].model_name: is missing");
    one(&problems, "c.yaml:3:3: model_list[1].litellm_params: is missing");
    one(&problems, "model_list[2].litellm_params.model: is missing. write `model: provider/name`");
    one(&problems, "model_list[3].litellm_params: expected a mapping, got a list");
    one(&problems, "model_list[4]: expected a mapping, got text");
    one(&problems, "model_list[5].model_name: expected text, got a list");
    one(&problems, "model_list[6].litellm_params.model: is empty");
    one(&problems, "unknown key `modle_info`. did you mean `model_info`?");
    assert_eq!(problems.len(), 8);
    let lines: Vec<usize> =
        problems.iter().map(|p| p.split(':').nth(2).unwrap().parse().unwrap()).collect();
    assert!(lines.is_sorted(), "{problems:#?}");
}

#[test]
fn parameters_are_passed_on_and_near_misses_warn() {
    let (snapshot, warnings) =
        Fake::new(&entry("cooldwon_time: 5\nsome_param: {a: [1, 2.5e3, yes]}\nmax_tokens: 5"))
            .warned();
    assert_eq!(
        warnings,
        [
            "warning: c.yaml:6:5: model_list[0].litellm_params.cooldwon_time: unknown key, sent to the \
          provider as it is. did you mean `cooldown_time`?"
        ]
    );
    assert_eq!(
        strings(&snapshot.deployments[0].endpoint.default_params),
        [("cooldwon_time", "5"), ("some_param", "{\"a\":[1,2500.0,true]}"), ("max_tokens", "5")]
    );
    for name in keys::REQUEST_PARAMS {
        deployment(&format!("{name}: 1"));
    }
}

#[test]
fn names_that_look_like_other_types_stay_names() {
    for name in ["no", "1e3", "012", "12:30", "~x", "1.0", "true", "0x10"] {
        let yaml = entry("").replace("model_name: m", &format!("model_name: {name}"));
        assert!(Fake::new(&yaml).clean().by_name.contains_key(name), "{name}");
    }
}

#[test]
fn prices_and_limits_of_the_config_win_over_the_list() {
    let yaml = entry("input_cost_per_token: 0.5\nbase_unused: 1")
        + "  model_info: {output_cost_per_token: '0.25', input_cost_per_token: 9, max_input_tokens: 10}\n";
    let facts = Fake::new(&yaml).clean().deployments[0].facts.clone();
    assert_eq!(facts.input_cost_per_token, Some(0.5));
    assert_eq!(facts.output_cost_per_token, Some(0.25));
    assert_eq!(facts.max_input_tokens, Some(10.0));
    assert_eq!(facts.mode.as_deref(), Some("chat"));
    let yaml = entry("").replace("gpt-4o", "my-own")
        + "  model_info: {base_model: gpt-4o-mini, mode: chatt}\n";
    let (snapshot, warnings) = Fake::new(&yaml).warned();
    one(
        &warnings,
        "unknown mode `chatt`: requests are served, and the deployment is not probed. did you mean `chat`?",
    );
    assert_eq!(snapshot.deployments[0].facts.input_cost_per_token, Some(1.5e-7));
}

#[test]
fn a_price_of_the_config_is_for_long_prompts_and_all_tiers_too() {
    let long = Usage { input: 300_000, output: 1_000, ..Usage::default() };
    let cost = |more: &str| {
        let yaml = entry(more).replace("openai/gpt-4o", "gemini/gemini-2.5-pro");
        Fake::new(&yaml).clean().deployments[0].facts.cost_usd(&long).unwrap()
    };
    let of_list = cost("rpm: 1");
    assert!(of_list > 300_000.0 * 2.4e-6, "the list has a rate for long prompts: {of_list}");
    let own = cost("input_cost_per_token: 0.000001\noutput_cost_per_token: 0.000002");
    assert!((own - 0.302).abs() < 1e-9, "{own}");
    let with_tier = cost(
        "input_cost_per_token: 0.000001\noutput_cost_per_token: 0.000002\ninput_cost_per_token_above_200k_tokens: 0.000003",
    );
    assert!((with_tier - 0.902).abs() < 1e-9, "{with_tier}");
}

#[test]
fn a_reload_keeps_the_state_of_deployments_with_the_same_id() {
    let fake = Fake::new(&entry(""));
    let first = fake.clean();
    let yaml = entry("") + "- {model_name: new, litellm_params: {model: openai/y, api_key: k}}\n";
    let second =
        load(&Fake::new(&yaml).0, "c.yaml", Options::default(), Some(&first)).snapshot.unwrap();
    assert!(std::sync::Arc::ptr_eq(&first.deployments[0].state, &second.deployments[0].state));
    assert!(!std::sync::Arc::ptr_eq(&first.deployments[0].state, &second.deployments[1].state));
}

#[test]
fn parameters_of_litellms_own_and_secrets_stay_out_of_every_body() {
    let yaml = entry(
        "langfuse_secret_key: sk-lf-1\nlitellm_trace_id: t\nid: x\nmy_vendor_api_key: sk-2\nlitellm_of_tomorrow: 1\n\
         temperature: 0.5\nvendors_own: yes\nextra_body: {caching: true, db_password: p, top_k: 3}",
    );
    let (snapshot, warnings) = Fake::new(&yaml).warned();
    let kept = strings(&snapshot.deployments[0].endpoint.default_params);
    assert_eq!(kept, [("temperature", "0.5"), ("vendors_own", "true"), ("top_k", "3")]);
    for name in [
        "langfuse_secret_key",
        "litellm_trace_id",
        "id",
        "my_vendor_api_key",
        "litellm_of_tomorrow",
        "extra_body.caching",
        "extra_body.db_password",
    ] {
        let told = warnings
            .iter()
            .filter(|text| text.contains(&format!("litellm_params.{name}: ")))
            .count();
        assert_eq!(told, 1, "{name}: {warnings:#?}");
    }
    assert!(warnings.iter().all(|text| !text.contains("sk-lf-1") && !text.contains("sk-2")));
}

#[test]
fn no_name_of_the_table_becomes_a_default_of_bodies() {
    for row in crate::parameters::PARAMETERS {
        if row.in_body == crate::parameters::InBody::Request {
            continue;
        }
        let yaml = entry(&format!("{}: 1", row.name));
        let loaded = Fake::new(&yaml).load();
        let Some(snapshot) = loaded.snapshot else { continue };
        let kept = strings(&snapshot.deployments[0].endpoint.default_params);
        assert!(kept.iter().all(|(name, _)| *name != row.name), "{} goes out", row.name);
    }
}

#[test]
fn each_deployment_has_a_name_of_its_own_for_people() {
    let yaml = "model_list:\n\
                - {model_name: a, litellm_params: {model: openai/x, api_key: k}}\n\
                - {model_name: b, litellm_params: {model: openai/x, api_key: k}, model_info: {id: mine}}\n\
                - {model_name: c, litellm_params: {model: openai/x, api_key: k}}\n";
    let names = |yaml: &str| {
        let snapshot = Fake::new(yaml).clean();
        let names = snapshot.deployments.iter().map(|one| one.display.name.to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(yaml), ["openai/x :2", "mine", "openai/x :4"]);
    let one_line = "model_list: [{model_name: a, litellm_params: {model: openai/x, api_key: k}}, \
                    {model_name: b, litellm_params: {model: openai/x, api_key: k}}, \
                    {model_name: c, litellm_params: {model: openai/x, api_key: k}, \
                     model_info: {id: 'openai/x:1'}}]\n";
    let names = names(one_line);
    assert_eq!((&*names[0], &*names[2]), ("openai/x :1", "openai/x:1"));
    assert!(names[1].starts_with("openai/x :1 ") && names[1].len() == 20, "{names:?}");
}

#[test]
fn what_anthropic_has_no_place_for_is_told_with_its_line() {
    let yaml = "model_list:
- model_name: m
  litellm_params:
    model: anthropic/claude-sonnet-4-5
    api_key: k
    temperature: 0.5
    frequency_penalty: 0.5
    vendors_own: {a: 1}
    extra_body: {logit_bias: {'5': 1}, top_k: 3}
";
    let (snapshot, warnings) = Fake::new(yaml).warned();
    one(
        &warnings,
        "c.yaml:7:24: model_list[0].litellm_params.frequency_penalty: provider `anthropic` has no such parameter for chats: \
         it is left out of them. remove it",
    );
    one(&warnings, "litellm_params.vendors_own: provider `anthropic` has no such parameter");
    one(&warnings, "litellm_params.logit_bias: provider `anthropic` has no such parameter");
    assert_eq!(warnings.len(), 3);
    assert!(snapshot.deployments[0].misconfigured.is_none());
    Fake::new(&yaml.replace("anthropic/claude-sonnet-4-5", "openai/gpt-4o")).clean();
}

#[test]
fn a_base_model_among_the_parameters_is_that_of_model_info() {
    let own = entry("base_model: gpt-4o-mini").replace("openai/gpt-4o", "openai/my-own");
    let deployment = &Fake::new(&own).clean().deployments[0];
    assert_eq!(deployment.facts.input_cost_per_token, Some(1.5e-7));
    assert!(deployment.endpoint.default_params.is_empty());
    let both = own + "  model_info: {base_model: gpt-4o}\n";
    let facts = &Fake::new(&both).clean().deployments[0].facts;
    assert_eq!(facts.input_cost_per_token, Some(2.5e-6));
}
