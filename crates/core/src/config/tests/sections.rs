//! The three sections of settings, and the table of keys.

use super::*;
use crate::cache::{CacheKind, CacheMode, CacheSettings, DiskCache, SharedBy};
use crate::operation::Operation;
use crate::settings::{GatewaySettings, RedisPlace, RedisSettings, RouterSettings};

#[test]
fn an_empty_config_has_the_defaults_of_the_types() {
    let snapshot = with("general_settings:\nrouter_settings: {}\nlitellm_settings: ~\n").clean();
    assert_eq!(snapshot.router, RouterSettings::default());
    assert_eq!(snapshot.gateway, GatewaySettings::default());
}

#[test]
fn every_setting_is_read() {
    let fake = with(
        "litellm_settings:
  request_timeout: '120'
  num_retries: 9
  allowed_fails: 4
  max_fallbacks: 3
  drop_params: yes
  require_auth_for_metrics_endpoint: off
router_settings:
  routing_strategy: simple-shuffle
  num_retries: 1
  timeout: 30.5
  stream_timeout: 5s
  cooldown_time: 1m
  retry_after: 0.5
  max_wait_s: 2.5
  max_waiting: 7
  accept_empty_answers: true
  allowed_fails: 3
general_settings:
  master_key: sk-a-long-master-key
  dangerously_permit_weak_or_unset_master_key: on
  litellm_key_header_name: X-My-Key
  always_include_stream_usage: true
  health_check_details: False
  request_log: log.jsonl
  max_header_bytes: 4096
  max_request_size_mb: 2
  max_response_size_mb: 0.5
  max_buffered_mb: 16
  header_read_timeout_s: 1
  idle_timeout_s: 2
  body_read_timeout_s: 3
  body_min_rate_kib: 16
  drain_delay_s: 0
  shutdown_timeout_s: 4
",
    );
    let Snapshot { router, gateway, .. } = fake.warned().0;
    assert_eq!((router.num_retries, router.max_fallbacks), (1, 3));
    assert_eq!((router.timeout_ms, router.stream_timeout_ms), (30_500, Some(5_000)));
    assert_eq!((router.request_timeout_ms, router.cooldown_ms), (Some(120_000), 60_000));
    assert_eq!((router.retry_after_ms, router.disable_cooldowns), (500, false));
    assert_eq!((router.max_wait_ms, router.max_waiting), (2_500, 7));
    assert!(router.accept_empty_answers);
    let off = with("router_settings: {disable_cooldowns: 'True'}\n").clean();
    assert!(off.router.disable_cooldowns);
    assert_eq!(router.tolerance.others, Some(3));
    assert_eq!(gateway.master_key.as_ref().unwrap().expose(), "sk-a-long-master-key");
    assert_eq!(gateway.key_header.as_deref(), Some("x-my-key"));
    assert_eq!(gateway.request_log.as_deref(), Some("log.jsonl"));
    assert!(gateway.permit_weak_master_key && gateway.drop_params);
    assert!(gateway.always_include_stream_usage && !gateway.health_details);
    assert!(!gateway.metrics_need_key);
    let bounds = &gateway.bounds;
    assert_eq!((bounds.header_bytes, bounds.body_bytes), (4_096, 2 << 20));
    assert_eq!((bounds.response_bytes, bounds.buffered_bytes), (1 << 19, 16 << 20));
    assert_eq!((bounds.header_read_ms, bounds.idle_ms, bounds.body_read_ms), (1_000, 2_000, 3_000));
    assert_eq!(bounds.body_min_rate, 16 << 10);
    assert_eq!((gateway.drain_delay_ms, gateway.shutdown_timeout_ms), (0, 4_000));
}

#[test]
fn settings_fall_back_to_the_environment() {
    let fake = with("")
        .env("LITELLM_MASTER_KEY", "sk-from-the-environment")
        .env("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "True")
        .env("LITELLM_DROP_PARAMS", "true")
        .env("GRACEFUL_SHUTDOWN_TIMEOUT", "7");
    let gateway = fake.clean().gateway;
    assert_eq!(gateway.master_key.unwrap().expose(), "sk-from-the-environment");
    assert!(gateway.permit_weak_master_key && gateway.drop_params);
    assert_eq!(gateway.shutdown_timeout_ms, 7_000);
    let written = with("general_settings: {shutdown_timeout_s: 2, master_key: sk-written}\nlitellm_settings: {drop_params: no}\n")
        .env("LITELLM_MASTER_KEY", "sk-from-the-environment")
        .env("GRACEFUL_SHUTDOWN_TIMEOUT", "7")
        .env("LITELLM_DROP_PARAMS", "true");
    let gateway = written.clean().gateway;
    assert_eq!(gateway.master_key.unwrap().expose(), "sk-written");
    assert_eq!((gateway.shutdown_timeout_ms, gateway.drop_params), (2_000, false));
    let (_, warnings) = with("").env("GRACEFUL_SHUTDOWN_TIMEOUT", "soon").warned();
    one(&warnings, "environment variable GRACEFUL_SHUTDOWN_TIMEOUT: expected a time");
}

#[test]
fn a_master_key_is_never_lost_silently() {
    let problems = with("general_settings:\n  master_key: os.environ/MY_KEY\n").refused();
    one(
        &problems,
        "general_settings.master_key: environment variable MY_KEY is not set. set MY_KEY",
    );
    assert_eq!(problems.len(), 1);
    for bad in ["''", "\"a b\"", "[x]", "\"sk-1\\n\""] {
        let yaml = format!("general_settings:\n  master_key: {bad}\n");
        one(&with(&yaml).refused(), "general_settings.master_key");
    }
    one(
        &with("").env("LITELLM_MASTER_KEY", "sk 1").refused(),
        "environment variable LITELLM_MASTER_KEY contains whitespace",
    );
    assert_eq!(with("general_settings:\n  master_key:\n").clean().gateway.master_key, None);
    assert_eq!(
        with("general_settings:\n  master_key: 1234\n")
            .clean()
            .gateway
            .master_key
            .unwrap()
            .expose(),
        "1234"
    );
}

#[test]
fn missing_variables_elsewhere_are_warnings() {
    let (snapshot, warnings) =
        with("router_settings: {timeout: os.environ/T, num_retries: os.environ/N}\n")
            .env("N", "5")
            .warned();
    one(
        &warnings,
        "router_settings.timeout: environment variable T is not set: this key is ignored",
    );
    assert_eq!((snapshot.router.timeout_ms, snapshot.router.num_retries), (600_000, 5));
}

#[test]
fn known_strategies_fall_back_and_unknown_ones_are_refused() {
    let (_, warnings) = with("router_settings: {routing_strategy: lar1}\n").warned();
    one(&warnings, "`lar1` is not served yet; simple-shuffle is used");
    for row in crate::route::STRATEGIES.iter().filter(|row| !row.name.contains("budget")) {
        let snapshot = with(&format!("router_settings: {{routing_strategy: {}}}\n", row.name));
        assert_eq!(snapshot.clean().router.strategy.name(), row.name);
    }
    let problems = with("router_settings: {routing_strategy: simple-shufle}\n").refused();
    one(&problems, "unknown strategy `simple-shufle`. did you mean `simple-shuffle`?");
}

#[test]
fn settings_out_of_range_or_of_the_wrong_type_are_ignored() {
    for (section, reason) in [
        ("router_settings: {timeout: 0}", "expected a time from 0.001 to 86400 seconds, got `0`"),
        ("router_settings: {timeout: .inf}", "expected a time from"),
        ("litellm_settings: {request_timeout: 0}", "expected a time from 0.001 to 86400 seconds"),
        ("litellm_settings: {drop_params: enabled}", "expected true or false, got `enabled`"),
        ("router_settings: {num_retries: -1}", "expected a whole number from 0 to 100, got `-1`"),
        ("router_settings: {num_retries: [1]}", "got a list"),
        ("router_settings: {disable_cooldowns: maybe}", "expected true or false, got `maybe`"),
        ("general_settings: {litellm_key_header_name: 'a b'}", "is not the name of a header"),
        ("general_settings: {request_log: ''}", "is empty"),
        (
            "litellm_settings: {fallbacks: a}",
            "litellm_settings.fallbacks: expected a list, got text",
        ),
        ("router_settings: {model_group_alias: [a]}", "expected a mapping, got a list"),
        ("router_settings: {retry_policy: {TimeoutErrorRetries: many}}", "expected a whole number"),
        ("router_settings: {routing_strategy_args: {ttl: long}}", "expected a time"),
    ] {
        let (snapshot, warnings) = with(&format!("{section}\n")).warned();
        assert!(one(&warnings, reason).contains(": ignored"), "{warnings:#?}");
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
        let defaults = (RouterSettings::default(), GatewaySettings::default());
        assert_eq!((snapshot.router, snapshot.gateway), defaults, "{section}");
    }
    let misplaced = with("router_settings: {health_check_interval: 5}\n").warned().1;
    one(&misplaced, "has no effect in this section. belongs in `general_settings`");
}

#[test]
fn what_is_fetched_is_said_by_one_key_and_by_those_of_the_reference() {
    use crate::settings::{FetchFrom, FetchSettings};
    for (section, from) in [
        ("general_settings: {fetch_urls: public}", FetchFrom::Public),
        ("general_settings: {fetch_urls: off}", FetchFrom::Nowhere),
        ("general_settings: {fetch_urls: false}", FetchFrom::Nowhere),
        ("general_settings: {fetch_urls: any}", FetchFrom::Anywhere),
        ("litellm_settings: {user_url_validation: false}", FetchFrom::Anywhere),
        ("litellm_settings: {user_url_validation: true}", FetchFrom::Public),
        (
            "general_settings: {fetch_urls: public}\nlitellm_settings: {user_url_validation: false}",
            FetchFrom::Public,
        ),
    ] {
        let gateway = with(&format!("{section}\n")).clean().gateway.clone();
        assert_eq!(gateway.fetch, FetchSettings { from, hosts: Vec::new() }, "{section}");
    }
    let hosts = "litellm_settings: {user_url_allowed_hosts: [Files.Corp, 'cdn.corp:8443']}\n";
    let fetch = with(hosts).clean().gateway.fetch.clone();
    assert_eq!(fetch.hosts, ["files.corp".into(), "cdn.corp:8443".into()]);
}

#[test]
fn what_is_no_section_and_what_is_about_security_or_money_is_refused() {
    for (section, reason) in [
        ("router_settings: [a]", "router_settings: expected a mapping, got a list"),
        ("general_settings: text", "general_settings: expected a mapping, got text"),
        ("general_settings: {max_buffered_mb: 10}", "max_buffered_mb is smaller than"),
        ("general_settings: {cors_origins: ['a b']}", "general_settings.cors_origins[0]"),
        ("general_settings: {fetch_urls: private}", "is neither `public` nor `off` nor `any`"),
        ("litellm_settings: {user_url_validation: maybe}", "expected true or false"),
        (
            "litellm_settings: {user_url_allowed_hosts: ['http://a/b']}",
            "litellm_settings.user_url_allowed_hosts[0]",
        ),
        ("general_settings: {health_check_details: no way}", "expected true or false"),
        ("general_settings: {health_check_daily_budget_usd: -1}", "expected a number from 0"),
        (
            "general_settings: {allowed_ips: [10.0.0.1/8]}",
            "`10.0.0.1/8` is neither an address nor a range",
        ),
        ("general_settings: {custom_auth: my.auth}", "not served, and ignoring it is not safe"),
        ("litellm_settings: {max_budget: 100}", "`max_budget` without `budget_duration` is not a"),
        ("litellm_settings: {max_budget: -1, budget_duration: 1d}", "expected a number from 0"),
        ("litellm_settings: {max_budget: 5, budget_duration: 1y}", "expected a length of time"),
        (
            "guardrails: [{guardrail_name: x, litellm_params: {default_on: true}}]",
            "c.yaml:6:63: guardrails[0]: guardrail `x` is always on and is not served",
        ),
        ("guardrails: {a: b}", "expected a list, got a mapping"),
        ("general_settings: {enforce_rbac: true}", "roles would not be checked"),
        ("general_settings: {blocked_file_extensions: [exe]}", "files that should be stopped"),
        ("litellm_settings: {cost_margin_config: {openai: -0.1}}", "expected a number from 0"),
        ("litellm_settings: {cost_margin_config: {openai: {share: 1}}}", "unknown key `share`"),
        ("litellm_settings: {cost_margin_config: {opnai: 0.1}}", "unknown provider `opnai`"),
        ("litellm_settings: {cost_discount_config: {openai: -0.05}}", "expected a number from 0"),
        ("litellm_settings: {cost_discount_config: {openai: 5}}", "expected a number from 0"),
        ("litellm_settings: {cost_discount_config: {openai: .nan}}", "expected a number"),
        ("general_settings: {max_budget_per_session: 0}", "would refuse every request"),
        ("general_settings: {max_requests_per_session: -1}", "max_requests_per_session"),
    ] {
        let problems = with(&format!("{section}\n")).refused();
        one(&problems, reason);
        assert_eq!(problems.len(), 1, "{problems:#?}");
    }
    // A setting that is off is not reported.
    with("general_settings: {enable_jwt_auth: false, allowed_ips: [], custom_auth: }\nguardrails: []\nlitellm_settings: {max_budget: 0, cache: no}\n").clean();
}

#[test]
fn unknown_keys_warn_and_strict_refuses_them() {
    let fake = with("router_settings:\n  cooldwon_time: 5\n  xyzzy: 1\nroter_settings: {}\n");
    let (_, warnings) = fake.warned();
    one(
        &warnings,
        "router_settings.cooldwon_time: unknown key `cooldwon_time`. did you mean `cooldown_time`?",
    );
    one(&warnings, "unknown key `roter_settings`. did you mean `router_settings`?");
    assert!(one(&warnings, "xyzzy").ends_with("unknown key `xyzzy`"));
    let strict = load(&fake.0, "c.yaml", Options { strict: true }, None);
    assert!(strict.snapshot.is_none());
    assert_eq!(strict.errors().count(), 3);
    let twice = with("router_settings: {timeout: 5, timeout: 6}\n");
    assert_eq!(twice.warned().0.router.timeout_ms, 6_000);
    assert!(load(&twice.0, "c.yaml", Options { strict: true }, None).snapshot.is_none());
}

#[test]
fn known_keys_that_are_not_served_say_so() {
    let (_, warnings) =
        with("litellm_settings: {datadog_params: {a: b}, set_verbose: true}\n").warned();
    assert_eq!(
        warnings,
        [
            "warning: c.yaml:6:20: litellm_settings.datadog_params: not served: ignored. nothing is sent there; `callbacks` has the sinks that are served"
        ]
    );
}

/// A value that a row accepts.
fn sample(row: &keys::Row) -> String {
    use keys::Kind;
    match row.kind {
        Kind::Text | Kind::Secret => "x".to_owned(),
        Kind::Bool => "true".to_owned(),
        Kind::Count(min, _) => min.to_string(),
        Kind::Number(min, _) | Kind::Megabytes(min, _) => min.to_string(),
        Kind::Time(min, _) => format!("{min}ms"),
        Kind::List => "[]".to_owned(),
        Kind::Map => "{}".to_owned(),
        Kind::Any => "text".to_owned(),
    }
}

/// The readers assert that they know each key that the table calls served.
#[test]
fn every_served_key_has_its_reader() {
    for section in
        [Section::Litellm, Section::Router, Section::General, Section::Params, Section::Info]
    {
        for row in keys::rows(section).iter().filter(|row| row.support == keys::Support::Served) {
            let line = format!("{}: {}", row.name, sample(row));
            let yaml = match section {
                Section::Params => entry(&line),
                Section::Info => entry("") + &format!("  model_info:\n    {line}\n"),
                Section::Litellm => entry("") + &format!("litellm_settings:\n  {line}\n"),
                Section::Router => entry("") + &format!("router_settings:\n  {line}\n"),
                _ => entry("") + &format!("general_settings:\n  {line}\n"),
            };
            for text in texts(&Fake::new(&yaml).load()) {
                assert!(!text.contains("unknown key"), "{text}");
            }
        }
    }
}

#[test]
fn times_of_the_router_are_read_in_the_sections_where_people_write_them() {
    let router = |sections: &str| {
        let yaml = format!(
            "model_list: [{{model_name: m, litellm_params: {{model: openai/x, api_key: k}}}}]\n{sections}"
        );
        let snapshot = Fake::new(&yaml).clean();
        let router = &snapshot.router;
        (router.timeout_ms, router.cooldown_ms, router.retry_after_ms)
    };
    let times = "timeout: 7, cooldown_time: 8, retry_after: 9";
    for section in ["litellm_settings", "general_settings", "router_settings"] {
        assert_eq!(
            router(&format!("{section}: {{{times}}}\n")),
            (7_000, 8_000, 9_000),
            "{section}"
        );
    }
    let both = format!(
        "general_settings: {{{times}}}\nlitellm_settings: {{timeout: 6}}\n\
                        router_settings: {{cooldown_time: 1, retry_after: }}\n"
    );
    assert_eq!(router(&both), (6_000, 1_000, 9_000));
}

#[test]
fn json_logs_are_asked_for_in_either_section() {
    for section in ["litellm_settings", "general_settings"] {
        let yaml = format!(
            "model_list: [{{model_name: m, litellm_params: {{model: openai/x, api_key: k}}}}]\n\
                            {section}: {{json_logs: true}}\n"
        );
        assert!(Fake::new(&yaml).clean().gateway.json_logs, "{section}");
    }
}

#[test]
fn only_guardrails_that_are_always_on_refuse_the_config() {
    for (guardrails, name) in [
        (
            "[{guardrail_name: a, litellm_params: {guardrail: presidio}}, {guardrail_name: b, litellm_params: {default_on: yes}}]",
            "b",
        ),
        ("[{guardrail_name: c, litellm_params: {default_on: 'True'}}]", "c"),
        ("[{guardrail_name: d, litellm_params: {default_on: perhaps}}]", "d"),
    ] {
        let problems = with(&format!("guardrails: {guardrails}\n")).refused();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        one(&problems, &format!("guardrail `{name}` is always on"));
    }
    let older =
        "litellm_settings: {guardrails: [{pii: {callbacks: [presidio], default_on: true}}]}\n";
    one(&with(older).refused(), "litellm_settings.guardrails[0]: guardrail `pii` is always on");
    for quiet in [
        "guardrails: [{guardrail_name: a, litellm_params: {guardrail: presidio, default_on: false}}]\n",
        "guardrails: [{guardrail_name: a, litellm_params: {guardrail: presidio}}]\n",
        "litellm_settings: {guardrails: [{pii: {callbacks: [presidio]}}]}\n",
    ] {
        let (_, warnings) = with(quiet).warned();
        one(&warnings, "none of these is always on: a request that names one is refused");
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
    }
    with("guardrails: []\n").clean();
    with("guardrails:\n").clean();
}

#[test]
fn of_callbacks_filters_refuse_and_the_others_say_what_is_lost() {
    let callbacks = |value: &str| with(&format!("litellm_settings: {{callbacks: {value}}}\n"));
    for filter in [
        "detect_prompt_injection",
        "presidio",
        "hide_secrets",
        "blocked_user_check",
        "banned_keywords",
    ] {
        let problems = callbacks(&format!("[prometheus, {filter}]")).refused();
        one(
            &problems,
            &format!("callbacks[1]: `{filter}` is not served: requests that it should stop"),
        );
        assert_eq!(problems.len(), 1);
        callbacks(filter).refused();
    }
    callbacks("[prometheus]").clean();
    callbacks("prometheus").clean();
    callbacks("[]").clean();
    with("litellm_settings: {success_callback: ['prometheus'], failure_callback: [prometheus]}\n")
        .clean();
    let (_, warnings) =
        callbacks("[my_hooks.policy_hook, lago, helicone, websearch_interception]").warned();
    one(
        &warnings,
        "callbacks[0]: `my_hooks.policy_hook` is Python code, which is never run: if it rejects or changes",
    );
    one(
        &warnings,
        "litellm_settings.callbacks: not served yet: nothing is sent to `lago`, `helicone`",
    );
    one(&warnings, "`websearch_interception` is not served yet: what it adds to requests is lost");
    assert_eq!(warnings.len(), 3);
    one(
        &callbacks("[langfuze]").warned().1,
        "unknown callback `langfuze`: ignored. did you mean `langfuse`?",
    );
    one(&callbacks("[{a: b}]").warned().1, "expected a name, got a mapping");
    let rules = with("litellm_settings: {pre_call_rules: my_rules.check}\n").warned().1;
    one(&rules, "`my_rules.check` is Python code");
    let (_, warnings) = callbacks("[os.environ/HOOK]").env("HOOK", "secret_module.hook").warned();
    one(&warnings, "it is Python code");
    assert!(!warnings[0].contains("secret_module"), "{warnings:?}");
}

#[test]
fn answers_are_kept_only_where_the_cache_is_on() {
    let cache = |text: &str| {
        Fake::new(&(entry("") + "litellm_settings: " + text + "\n")).clean().gateway.cache
    };
    assert_eq!(cache("{cache: false, cache_params: {ttl: 5}}"), None);
    assert_eq!(cache("{cache: true}"), Some(CacheSettings::default()));
    let all = "{cache: true, cache_params: {type: local, ttl: 5, namespace: a, mode: default_off, \
               shared_by_keys: true, max_size_mb: 2, max_answer_mb: 0.5, supported_call_types: [acompletion, embedding, rerank]}}";
    let expected = CacheSettings {
        ttl_ms: 5_000,
        namespace: "a".into(),
        shared_by: SharedBy::AllKeys,
        operations: vec![
            Operation::Chat,
            Operation::Messages,
            Operation::GenerateContent,
            Operation::Embedding,
        ],
        mode: CacheMode::OnRequest,
        bytes: 2 << 20,
        answer_bytes: 512 << 10,
        kind: CacheKind::Memory,
    };
    assert_eq!(cache(all), Some(expected));
}

#[test]
fn a_kind_of_cache_that_is_not_served_keeps_nothing_and_says_so() {
    let fake = |kind: &str| {
        let text = format!("litellm_settings: {{cache: true, cache_params: {{type: {kind}}}}}\n");
        Fake::new(&(entry("") + &text))
    };
    for kind in ["redis-semantic", "qdrant-semantic", "s3", "gcs", "azure-blob", "memory"] {
        let (snapshot, texts) = fake(kind).warned();
        assert_eq!(snapshot.gateway.cache, None, "{kind}");
        assert!(texts[0].contains("no answer is kept"), "{texts:?}");
    }
}

#[test]
fn answers_are_kept_in_redis_or_on_the_disk_as_the_params_say() {
    let fake = |params: &str| {
        let text = format!("litellm_settings: {{cache: true, cache_params: {{{params}}}}}\n");
        Fake::new(&(entry("") + &text))
    };
    let kind = |params: &str| fake(params).clean().gateway.cache.unwrap();
    let redis = kind("type: redis, host: h, default_in_redis_ttl: 7, default_in_memory_ttl: 5");
    assert_eq!((redis.kind, redis.ttl_ms), (CacheKind::Redis, 7_000));
    assert_eq!(kind("url: 'redis://h'").kind, CacheKind::Redis);
    assert_eq!(kind("type: disk").kind, CacheKind::Disk(DiskCache::default()));
    let disk = DiskCache { dir: "answers".into(), bytes: 3 << 20 };
    let named =
        kind("disk_cache_dir: answers, max_disk_mb: 3, type: disk, default_in_redis_ttl: 7");
    assert_eq!((named.kind, named.ttl_ms), (CacheKind::Disk(disk), 600_000));
    let by_environment = fake("type: redis").env("REDIS_HOST", "h").clean();
    assert_eq!(by_environment.gateway.cache.unwrap().kind, CacheKind::Redis);
    assert_eq!(by_environment.shared.answers, by_environment.shared.redis);
    let (none, texts) = fake("type: redis").warned();
    assert_eq!(none.gateway.cache, Some(CacheSettings::default()));
    one(&texts, "no Redis is named: each process keeps its own answers");
    // Answers have the server of `cache_params`, whatever replicas share through.
    let text = "router_settings: {redis_host: other}\nlitellm_settings: {cache: true, cache_params: {host: h}}\n";
    let shared = with(text).clean().shared;
    let place = |redis: Option<RedisSettings>| redis.unwrap().place;
    assert_eq!(place(shared.redis), RedisPlace::Host("other".into(), 6379));
    assert_eq!(place(shared.answers), RedisPlace::Host("h".into(), 6379));
}

#[test]
fn a_kind_of_cache_that_is_not_served_is_said_once_whatever_keys_it_has() {
    for (params, feature) in [
        (
            "{type: s3, s3_bucket_name: b, s3_region_name: r, s3_aws_access_key_id: k}",
            "cache in a bucket",
        ),
        ("{type: gcs, gcs_bucket_name: b, gcs_path_service_account: p}", "cache in a bucket"),
        (
            "{type: qdrant-semantic, qdrant_api_base: b, qdrant_collection_name: c, similarity_threshold: 0.8}",
            "cache of similar answers",
        ),
        ("{type: nothing, redis_semantic_cache_embedding_model: m}", ""),
    ] {
        let text = format!("litellm_settings: {{cache: true, cache_params: {params}}}\n");
        let loaded = with(&text).load();
        let told = texts(&loaded);
        assert_eq!(told.len(), 1, "{told:#?}");
        one(&told, "litellm_settings.cache_params.type: ");
        assert_eq!(loaded.problems[0].left_out, feature);
    }
    // Keys that do not belong to the kind, and slips, are told.
    let text = "litellm_settings: {cache: true, cache_params: {type: local, s3_bucket_name: b}}\n";
    one(&with(text).warned().1, "s3_bucket_name: not served: ignored");
    let text = "litellm_settings: {cache: true, cache_params: {type: s3, naemspace: b}}\n";
    one(&with(text).warned().1, "did you mean `namespace`?");
    let (_, warnings) =
        with("router_settings: {cache_responses: true}\nlitellm_settings: {cache: true}\n")
            .warned();
    assert!(!one(&warnings, "cache_responses: not served").contains("no answer"), "{warnings:#?}");
}
