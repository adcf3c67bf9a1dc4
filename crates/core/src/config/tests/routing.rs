//! The keys of routing and health.

use super::*;
use crate::policy::FailureKind;

#[test]
fn every_key_of_an_entry_about_routing_is_read() {
    let d = deployment(
        "order: 2\nmax_parallel_requests: 3\ntags: [paid, default]\ntag_regex: ['^User-Agent: curl/']\nblocked: true",
    );
    assert_eq!(
        (d.routing.order, d.routing.limits.max_parallel, d.routing.is_paused),
        (Some(2), Some(3), true)
    );
    assert_eq!(d.routing.tags.tags, [Box::from("paid"), "default".into()]);
    assert!(d.routing.tags.patterns[0].is_match("User-Agent: curl/8"));
    let info = "  model_info: {order: 1, allowed_fails: 7, allowed_fails_policy: {TimeoutErrorAllowedFails: 2}, \
                supports_vision: false, blocked: yes, enable_tag_filtering: true}\n";
    let snapshot = Fake::new(&(entry("order: 9") + info)).clean();
    let d = &snapshot.deployments[0];
    assert_eq!((d.routing.order, d.routing.is_paused), (Some(1), true), "model_info wins");
    assert_eq!(d.routing.tolerance.get(FailureKind::Timeout), Some(2));
    assert_eq!(d.routing.tolerance.get(FailureKind::RateLimit), Some(7));
    assert_eq!(d.facts.supports_vision, Some(false));
    let group = &snapshot.groups[0];
    assert!(group.has_tiers && group.filters_tags);
    assert!(snapshot.inspects.needs && snapshot.inspects.tags && !snapshot.inspects.length);
}

#[test]
fn every_key_of_the_router_about_routing_is_read() {
    let fake = with(
        "\
router_settings:
  routing_strategy: latency-based-routing
  routing_strategy_args: {ttl: 60, lowest_latency_buffer: 0.5}
  retry_policy: {TimeoutErrorRetries: 0, DefaultRetries: 4}
  model_group_retry_policy: {m: {RateLimitErrorRetries: 1}}
  allowed_fails_policy: {RateLimitErrorAllowedFails: 100, BadRequestErrorAllowedFails: 5}
  default_max_parallel_requests: 8
  content_policy_use_general_fallbacks: true
  enable_pre_call_checks: true
  optional_pre_call_checks: [enforce_model_rate_limits]
  enable_tag_filtering: true
  tag_filtering_match_any: false
  context_window_fallbacks: [{m: [m2]}, spare]
  content_policy_fallbacks: [{'*': [m2]}]
  request_timeout: 30
  model_group_alias: {m2: m, spare: m}
",
    );
    let snapshot = fake.clean();
    let router = &snapshot.router;
    assert_eq!(
        (router.strategy.name(), router.strategy.args.ttl_ms),
        ("latency-based-routing", 60_000)
    );
    assert_eq!(router.retry_policy.get(FailureKind::Timeout), Some(0));
    assert_eq!(router.retry_policy.get(FailureKind::NotFound), Some(4));
    let own = &snapshot.groups[0].retry_policy;
    assert_eq!((own.get(FailureKind::RateLimit), own.get(FailureKind::Timeout)), (Some(1), None));
    let d = &snapshot.deployments[0];
    assert_eq!(d.routing.tolerance.get(FailureKind::RateLimit), Some(100));
    assert_eq!(d.routing.tolerance.get(FailureKind::BadRequest), None, "it never counts");
    assert_eq!(d.routing.limits.max_parallel, Some(8));
    assert!(router.policy_uses_general && router.pre_call_checks && router.enforce_rates);
    assert!(router.tags.enabled && !router.tags.match_any);
    assert_eq!(&*router.context_window_fallbacks["m"], [crate::settings::Fallback::from("m2")]);
    assert_eq!(&*router.context_window_fallbacks["*"], [crate::settings::Fallback::from("spare")]);
    assert_eq!(&*router.content_policy_fallbacks["*"], [crate::settings::Fallback::from("m2")]);
    assert_eq!(router.request_timeout_ms, Some(30_000));
}

#[test]
fn contradictions_and_mistakes_are_named() {
    let cases = [
        (
            "routing_strategy: least_busy",
            "unknown strategy `least_busy`. did you mean `least-busy`?",
        ),
        ("retry_policy: {TimeoutErrorRetrys: 1}", "unknown key `TimeoutErrorRetrys`"),
        ("retry_policy: {TimeoutErrorRetries: -1}", "expected a whole number from 0 to 100"),
        ("model_group_retry_policy: {mm: {}}", "no model group `mm`"),
        ("optional_pre_call_checks: [nonsense]", "unknown check `nonsense`"),
        (
            "optional_pre_call_checks: [encrypted_content_affinity]",
            "`encrypted_content_affinity` is not served yet",
        ),
    ];
    for (line, expected) in cases {
        let yaml = if line.starts_with('{') {
            format!("router_settings: {line}\n")
        } else {
            format!("router_settings:\n  {line}\n")
        };
        one(&texts(&with(&yaml).load()), expected);
    }
    let bad = Fake::new(&entry("tag_regex: ['(?=x)']")).warned().1;
    one(&bad, "is not a regular expression");
}

#[test]
fn settings_without_effect_are_named_with_both_lines() {
    let says = |lines: &str| {
        let all = texts(&with(&format!("router_settings:\n{lines}")).load());
        all.into_iter().filter(|text| text.contains("has no effect")).collect::<Vec<_>>()
    };
    let rules = "  allowed_fails: 1\n  allowed_fails_policy: {TimeoutErrorAllowedFails: 1}\n";
    let off = says(&format!("  disable_cooldowns: true\n  cooldown_time: 9\n{rules}"));
    assert_eq!(off.len(), 3, "{off:?}");
    assert!(
        off[0].contains(
            "c.yaml:8:18: router_settings.cooldown_time: has no effect: `disable_cooldowns` is true \
             on line 7, so that no deployment is ever ejected. remove `cooldown_time`, or change"
        ),
        "{off:?}"
    );
    let zero = says(&format!("{rules}  cooldown_time: 0\n"));
    assert_eq!(zero.len(), 2, "{zero:?}");
    one(
        &zero,
        "c.yaml:7:18: router_settings.allowed_fails: has no effect: `cooldown_time` is 0 on line 9",
    );
    let fallbacks = says(
        "  max_fallbacks: 0\n  fallbacks: [{m: [n]}]\n  default_fallbacks: [m]\n  context_window_fallbacks: []\n",
    );
    assert_eq!(fallbacks.len(), 2, "{fallbacks:?}");
    one(&fallbacks, "router_settings.fallbacks: has no effect: `max_fallbacks` is 0 on line 7");
    assert_eq!(says(&format!("{rules}  cooldown_time: 5\n  max_fallbacks: 1\n")), [""; 0]);
}

#[test]
fn a_credential_that_several_deployments_use_has_one_state() {
    let line = |name: &str, key: &str, base: &str| {
        format!(
            "- {{model_name: {name}, litellm_params: {{model: openai/{name}, api_key: {key}, api_base: 'http://{base}/v1'}}}}\n"
        )
    };
    let yaml = "model_list:\n".to_owned()
        + &line("a", "k1", "h")
        + &line("b", "k1", "h")
        + &line("c", "k2", "h")
        + &line("d", "k1", "other");
    let snapshot = Fake::new(&yaml).clean();
    let [a, b, c, d] = &snapshot.deployments[..] else { panic!("four") };
    assert!(a.shares_credential(b) && !a.shares_credential(c) && !a.shares_credential(d));
    assert!(c.credential.shared.is_none() && d.credential.shared.is_none());
    let again = load(&Fake::new(&yaml).0, "c.yaml", Options::default(), Some(&snapshot));
    assert!(again.snapshot.unwrap().deployments[0].shares_credential(a), "a reload keeps it");
}

/// Two groups, `a` with `members` members and `b` with one.
fn two_groups(members: usize, param: &str, router: &str) -> String {
    let line = |name: &str, member: usize, param: &str| {
        format!(
            "- {{model_name: {name}, litellm_params: {{model: openai/x, api_key: k{name}{member}, \
             api_base: 'http://h/v1'{param}}}}}\n"
        )
    };
    let of_a: String = (0..members).map(|member| line("a", member, param)).collect();
    format!(
        "model_list:\n{of_a}{}router_settings:\n  {router}\n",
        line("b", 0, ", num_retries: 0, timeout: 1")
    )
}

#[test]
fn times_that_contradict_each_other_are_named_at_the_request_timeout() {
    let says = |members, param: &str, router: &str| {
        let yaml = two_groups(members, param, &router.replace("; ", "\n  "));
        let all = texts(&Fake::new(&yaml).load());
        all.into_iter().find(|text| text.contains("request_timeout is"))
    };
    let rows = [
        // Nothing in the config is too long.
        (1, "", "request_timeout: 30", None),
        (3, "", "request_timeout: 60; timeout: 20", None),
        (3, "", "request_timeout: 59; timeout: 20", Some("3 attempts in a take up to 60 s")),
        // A deployment's own times and retries.
        (3, ", timeout: 20", "request_timeout: 59", Some("3 attempts in a take up to 60 s")),
        (
            3,
            ", timeout: 20, num_retries: 4",
            "request_timeout: 60",
            // The fourth and the fifth wait.
            Some("5 attempts in a take up to 101.500 s"),
        ),
        // A stream's.
        (3, "", "request_timeout: 60; stream_timeout: 21", Some("3 attempts in a take up to 63 s")),
        // The same deployment is called again after pauses of up to 0.5 and 1 s.
        (1, "", "request_timeout: 61; timeout: 20", Some("3 attempts in a take up to 61.500 s")),
        (
            3,
            "",
            "request_timeout: 60; timeout: 20; fallbacks: [{a: [b]}]",
            Some("4 attempts in a, then b take up to 61 s"),
        ),
        (
            3,
            "",
            "request_timeout: 60; timeout: 20; retry_policy: {TimeoutErrorRetries: 3}",
            Some("4 attempts in a take up to 80.500 s"),
        ),
        (
            30,
            "",
            "request_timeout: 60; timeout: 20; num_retries: 90",
            Some("24 attempts in a take up to 480 s"),
        ),
    ];
    for (members, param, router, expected) in rows {
        let said = says(members, param, router);
        match expected {
            None => assert_eq!(said, None, "{router}"),
            Some(part) => {
                let said = said.unwrap_or_else(|| panic!("{param} {router}: nothing"));
                assert!(said.contains(part), "{said}");
                let at = format!("c.yaml:{}:", members + 4);
                assert!(said.contains(&at), "{said} is not at {at}");
            }
        }
    }
}
