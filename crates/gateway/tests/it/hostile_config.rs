//! Bad configs and bad starts: rows 1 to 34, through the command line.
//!
//! Always true: a bad config is refused with code 78 before anything listens; an odd one, and one with a deployment
//! that cannot work, is served with a warning.

use crate::hostile_table::{quoted, rows};
use crate::support::hale;
use crate::timing::Stopwatch;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

/// One good entry, to which a row adds its fault.
const GOOD: &str = "model_list:\n- model_name: m\n  litellm_params:\n    model: openai/gpt-4o\n    api_key: sk-1\n";

/// What happens to a config.
enum Expected {
    /// Refused with these texts.
    Refused(&'static [&'static str]),
    /// Accepted with these texts.
    Warned(&'static [&'static str]),
    /// Accepted without a message.
    Accepted,
}
use Expected::{Accepted, Refused, Warned};

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused(says) => write!(f, "78: {}", quoted(says)),
            Warned(says) => write!(f, "warning: {}", quoted(says)),
            Accepted => f.write_str("accepted"),
        }
    }
}

/// A config file in the making.
enum Given {
    Text(String),
    Bytes(Vec<u8>),
    /// The file that this function makes at the path.
    Made(fn(&Path)),
    /// Text, checked with `--strict`.
    Strict(String),
}

fn text(text: &str) -> Given {
    Given::Text(text.to_owned())
}

/// The good entry with one more line in its `litellm_params`.
fn param(line: &str) -> Given {
    Given::Text(format!("{GOOD}    {line}\n"))
}

/// The good entry and another section.
fn section(text: &str) -> Given {
    Given::Text(format!("{GOOD}{text}\n"))
}

/// An entry whose `litellm_params` are these.
fn entry(params: &str) -> Given {
    Given::Text(format!("model_list:\n- {{model_name: m, litellm_params: {{{params}}}}}\n"))
}

fn base(address: &str) -> Given {
    entry(&format!("model: openai/x, api_key: k, api_base: '{address}'"))
}

#[track_caller]
fn check(given: Given, expected: &Expected) {
    let run = hale().arg("check").arg("c.yaml").env("LITELLM_MASTER_KEY", "sk-0123456789abcdef");
    let path = run.dir().join("c.yaml");
    let mut strict = false;
    match given {
        Given::Text(text) => fs::write(path, text).unwrap(),
        Given::Bytes(bytes) => fs::write(path, bytes).unwrap(),
        Given::Made(make) => make(&path),
        Given::Strict(text) => {
            strict = true;
            fs::write(path, text).unwrap();
        }
    }
    let begin = Stopwatch::start();
    let done = if strict { run.arg("--strict").run() } else { run.run() };
    // A debug build on a busy machine: this only tells a bound from its absence.
    begin.less_than_ms(10_000);
    let (code, says, all): (_, _, &[&str]) = match expected {
        Refused(says) => (78, "error: c.yaml", says),
        // An entry that cannot be served is kept.
        Warned(says) if done.stdout.contains("loads, but") => (1, "warning: c.yaml", says),
        Warned(says) => (0, "warning: c.yaml", says),
        Accepted => (0, "c.yaml: ok, ", &[", 0 warnings"]),
    };
    assert_eq!(done.code(), Some(code), "{}", done.stdout);
    for part in [says].iter().chain(all) {
        assert!(done.stdout.contains(part), "no {part:?} in: {}", done.stdout);
    }
}

fn bomb() -> Given {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let uses = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{uses}]\n"));
    }
    Given::Text(text)
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

rows! {
    "1" a_missing_file_is_named_with_its_full_path "a file that is not there":
        Given::Made(|_| ()) => Refused(&["config not found: c.yaml: there is no /", "/c.yaml. check the path"]);
    "3" a_directory_is_not_a_config "a directory":
        Given::Made(|path| fs::create_dir(path).unwrap()) => Refused(&["config is a directory: c.yaml. name the file in it"]);
    "3" a_fifo_is_not_waited_for "a FIFO":
        Given::Made(fifo) => Refused(&["config cannot be read: c.yaml: it is a FIFO, not a regular file"]);
    "3" a_device_is_not_read "a device without an end":
        Given::Made(|path| std::os::unix::fs::symlink("/dev/zero", path).unwrap())
        => Refused(&["config cannot be read: c.yaml: it is a device, not a regular file"]);
    "4" an_empty_file_shows_how_to_begin "an empty file":
        text("") => Refused(&["no models configured. write for example:\nmodel_list:"]);
    "5" the_place_of_bytes_that_are_not_utf_8_is_named "bytes that are not UTF-8":
        Given::Bytes(b"model_list:\n- model_name: \xff\n".to_vec())
        => Refused(&["the file is not UTF-8: bad byte at offset 26. save it as UTF-8"]);
    "5" utf_16_is_recognised "UTF-16":
        Given::Bytes(b"\xff\xfem\0o\0".to_vec()) => Refused(&["it looks like UTF-16"]);
    "5" the_place_of_a_nul_byte_is_named "a NUL byte":
        text("a: b\0c\n") => Refused(&["the file is not text: NUL byte at offset 4"]);
    "5" a_byte_order_mark_is_accepted "a byte order mark":
        Given::Text(format!("\u{feff}{GOOD}")) => Accepted;
    "6" a_syntax_error_shows_its_place_and_line "a syntax error":
        text("a: [\n  b\nc: d\n") => Refused(&["c.yaml:3:2: YAML syntax: ", "`c: d`. check the indentation"]);
    "6" a_tab_is_said_to_be_one "indentation by a tab":
        text("a:\n\t- b\n") => Refused(&["c.yaml:2:2: YAML syntax: tabs disallowed", "indent with spaces: YAML does not allow tabs there"]);
    "7" a_key_that_stands_twice_is_shown_with_both_lines "a key twice":
        section("router_settings:\n  timeout: 5\n  timeout: 6")
        => Warned(&["c.yaml:8:3: router_settings.timeout: duplicate key: also on line 7; the last one is used"]);
    "7" a_key_that_stands_twice_is_an_error_when_strict "a key twice, `--strict`":
        Given::Strict(format!("{GOOD}router_settings: {{timeout: 5, timeout: 6}}\n"))
        => Refused(&["router_settings.timeout: duplicate key"]);
    "8" an_alias_bomb_is_stopped "aliases of aliases of aliases":
        bomb() => Refused(&["more than 1000000 values, aliases expanded"]);
    "8" a_file_of_eleven_mebibytes_is_refused "11 MiB":
        Given::Bytes(vec![b'#'; 11 << 20]) => Refused(&["the file has more than 10485760 bytes. split it with `include`"]);
    "8" a_thousand_levels_are_refused "a thousand levels of nesting":
        Given::Text(format!("a: {}{}\n", "[".repeat(1000), "]".repeat(1000)))
        => Refused(&["nested deeper than 128 levels"]);
    "9" a_second_document_is_refused "two documents":
        section("---\na: b") => Refused(&["c.yaml:6:1: a second YAML document begins here. keep one document"]);
    "10" an_unknown_key_warns_with_the_nearest "a key that does not exist":
        section("router_settings: {cooldwon_time: 5}")
        => Warned(&["router_settings.cooldwon_time: unknown key `cooldwon_time`. did you mean `cooldown_time`?"]);
    "10" an_unknown_key_is_an_error_when_strict "a key that does not exist, `--strict`":
        Given::Strict(format!("{GOOD}router_settings: {{cooldwon_time: 5}}\n"))
        => Refused(&["did you mean `cooldown_time`?"]);
    "11" a_wrong_type_says_what_was_expected_and_what_is_there "a list for a number":
        section("router_settings: {num_retries: [1]}")
        => Warned(&["router_settings.num_retries: expected a whole number from 0 to 100, got a list"]);
    "11" a_number_in_quotes_is_a_number "a number in quotes":
        section("router_settings: {num_retries: '3'}") => Accepted;
    "11" a_mapping_for_a_list_is_refused "a mapping for a list":
        text("model_list: {a: 1}\n") => Refused(&["model_list: expected a list, got a mapping"]);
    "12" the_word_no_is_a_name_where_a_name_is_expected "`no` as a name":
        Given::Text(GOOD.replace("model_name: m", "model_name: no")) => Accepted;
    "12" a_time_of_day_is_a_name "`12:30` as a name":
        Given::Text(GOOD.replace("model_name: m", "model_name: 12:30")) => Accepted;
    "12" a_time_of_day_is_not_a_duration "`12:30` as a duration":
        param("timeout: 12:30") => Warned(&["expected a time from 0.001 to 86400 seconds, got `12:30`"]);
    "12" an_exponent_is_not_a_count "`1e3` as a whole number":
        section("router_settings: {num_retries: 1e3}") => Warned(&["expected a whole number from 0 to 100, got `1e3`"]);
    "13" a_negative_time_names_the_range "a negative timeout":
        param("timeout: -1") => Warned(&["litellm_params.timeout: expected a time from 0.001 to 86400 seconds, got `-1`: ignored"]);
    "13" a_health_check_interval_of_zero_names_the_range "a period of health checks of 0":
        section("general_settings: {health_check_interval: 0}")
        => Warned(&["general_settings.health_check_interval: expected a time from 0.100 to 86400 seconds, got `0`"]);
    "13" a_health_check_interval_in_words_names_the_units "a period of health checks in words":
        section("general_settings: {health_check_interval: soon}")
        => Warned(&["expected a time from 0.100 to 86400 seconds, got `soon`: ignored. a plain number is seconds"]);
    "13" a_huge_health_check_interval_names_the_range "a period of health checks of thirty years":
        section("general_settings: {health_check_interval: 1000000000}")
        => Warned(&["expected a time from 0.100 to 86400 seconds, got `1000000000`"]);
    "11" a_number_of_tokens_in_words_names_the_range "tokens of a health check in words":
        text("model_list:\n- {model_name: m, litellm_params: {model: openai/x, api_key: k}, model_info: {health_check_max_tokens: abc}}\n")
        => Warned(&["model_info.health_check_max_tokens: expected a whole number from 1 to 1000000, got `abc`"]);
    "11" an_unknown_mode_warns_with_the_nearest "a mode that does not exist":
        text("model_list:\n- {model_name: m, litellm_params: {model: openai/x, api_key: k}, model_info: {mode: embeding}}\n")
        => Warned(&["model_info.mode: unknown mode `embeding`: requests are served, and the deployment is not probed. did you mean `embedding`?"]);
    "10" shared_probes_without_redis_are_not_shared "shared health checks without a server between the replicas":
        section("general_settings: {use_shared_health_check: true}")
        => Warned(&["general_settings.use_shared_health_check: no Redis is named: each process probes by itself. set router_settings.redis_url or REDIS_URL"]);
    "10" shared_probes_without_probes_share_nothing "shared health checks without any in the background":
        section("router_settings: {redis_url: 'redis://127.0.0.1:1'}\ngeneral_settings: {use_shared_health_check: true}")
        => Warned(&["general_settings.use_shared_health_check: no probe is sent in the background that could be shared. set background_health_checks: true"]);
    "10" a_history_of_probes_is_reported_as_not_served_yet "how long a history of health checks is kept, which is not served":
        section("general_settings: {maximum_health_check_retention_period: 30d}")
        => Warned(&["general_settings.maximum_health_check_retention_period: not served: ignored. `store_probe_results` is served"]);
    "11" a_pattern_as_the_model_for_probes_has_no_effect "a pattern as the model that checks ask":
        text("model_list:\n- {model_name: 'openai/*', litellm_params: {model: 'openai/*', api_key: k}, model_info: {health_check_model: 'openai/*'}}\n")
        => Warned(&["model_info.health_check_model: is a pattern, and a probe calls one model: it has no effect. name one model, such as `gpt-4o-mini`"]);
    "11" a_model_for_probes_needs_no_provider "a model that checks ask without a provider":
        text("model_list:\n- {model_name: 'openai/*', litellm_params: {model: 'openai/*', api_key: k}, model_info: {health_check_model: gpt-4o-mini}}\n")
        => Accepted;
    "10" a_key_of_general_settings_among_the_library_s_names_the_right_one "routing by health checks among the settings of the library":
        section("litellm_settings: {enable_health_check_routing: true}")
        => Warned(&["litellm_settings.enable_health_check_routing: has no effect in this section. belongs in `general_settings`"]);
    "10" a_key_in_the_wrong_section_names_the_right_one "a period of health checks among the router's settings":
        section("router_settings: {health_check_interval: 60}")
        => Warned(&["router_settings.health_check_interval: has no effect in this section. belongs in `general_settings`"]);
    "10" a_key_of_model_info_among_the_parameters_is_named "a health check's timeout in `litellm_params`":
        param("health_check_timeout: 5")
        => Warned(&["litellm_params.health_check_timeout: has no effect in this section. belongs in `model_info` of the deployment"]);
    "10" routing_by_probes_without_probes_is_reported_as_without_effect "routing by health checks without health checks":
        section("general_settings: {enable_health_check_routing: true}")
        => Warned(&["general_settings.enable_health_check_routing: has no effect without background probes. set `background_health_checks: true`"]);
    "13" a_timeout_of_zero_names_the_range "a timeout of 0":
        param("timeout: 0") => Warned(&["expected a time from 0.001 to 86400 seconds, got `0`"]);
    "13" a_weight_that_is_not_a_number_names_the_range "a weight that is NaN":
        param("weight: .nan") => Warned(&["litellm_params.weight: expected a number from 0 to 1000000000, got `.nan`"]);
    "13" an_endless_weight_names_the_range "an infinite weight":
        param("weight: .inf") => Warned(&["litellm_params.weight: expected a number from 0 to 1000000000, got `.inf`"]);
    "13" a_negative_cooldown_names_the_range "a negative cooldown":
        section("router_settings: {cooldown_time: -5}")
        => Warned(&["c.yaml:6:34: router_settings.cooldown_time: expected a time from 0 to 86400 seconds, got `-5`"]);
    "13" a_time_of_thirty_years_names_the_range "a timeout of thirty years":
        section("router_settings: {timeout: 1e9}")
        => Warned(&["c.yaml:6:28: router_settings.timeout: expected a time from 0.001 to 86400 seconds, got `1e9`"]);
    "29" a_strategy_that_does_not_exist_is_refused_with_the_nearest "a strategy that does not exist":
        section("router_settings: {routing_strategy: least-bussy}")
        => Refused(&["c.yaml:6:37: router_settings.routing_strategy: unknown strategy `least-bussy`. did you mean `least-busy`?"]);
    "29" settings_that_take_each_others_effect_are_both_named "fallbacks, and `max_fallbacks: 0`":
        section("router_settings: {max_fallbacks: 0, default_fallbacks: [m]}")
        => Warned(&["c.yaml:6:56: router_settings.default_fallbacks: has no effect: `max_fallbacks` is 0 on line 6"]);
    "29" attempts_that_take_longer_than_the_request_are_counted "retries that take longer than a request may":
        section("router_settings: {request_timeout: 60, timeout: 50, num_retries: 2}")
        => Warned(&["c.yaml:6:36: router_settings.request_timeout: 3 attempts in m take up to 151.500 s, and request_timeout is 60 s"]);
    "14" an_unknown_unit_names_the_known_ones "`5x` as a duration":
        param("timeout: 5x") => Warned(&["got `5x`: ignored. a plain number is seconds; `500ms`, `5m` and `2h` are read too"]);
    "14" a_space_before_the_unit_is_accepted "`500 ms` as a duration":
        param("timeout: 500 ms") => Accepted;
    "15" a_number_beyond_all_bounds_names_the_range "a number beyond 64 bits":
        param("num_retries: 99999999999999999999999") => Warned(&["expected a whole number from 0 to 100, got `99999999999999999999999`"]);
    "16" an_absent_model_list_shows_how_to_write_one "no `model_list`":
        text("general_settings: {}\n") => Warned(&["no models configured. write for example"]);
    "16" an_empty_model_list_shows_how_to_write_one "an empty `model_list`":
        text("model_list: []\n") => Warned(&["no models configured. write for example"]);
    "16" a_null_model_list_shows_how_to_write_one "`model_list: null`":
        text("model_list: ~\n") => Warned(&["no models configured. write for example"]);
    "17" an_entry_without_a_name_says_so "an entry without `model_name`":
        text("model_list:\n- litellm_params: {model: openai/x, api_key: k}\n")
        => Refused(&["c.yaml:2:3: model_list[0].model_name: is missing. write the name that clients use"]);
    "17" an_entry_without_a_model_says_so "an entry without `model`":
        entry("api_key: k") => Refused(&["model_list[0].litellm_params.model: is missing. write `model: provider/name`"]);
    "17" a_provider_without_a_model_says_so "`model: openai/`":
        entry("model: openai/, api_key: k") => Warned(&["litellm_params.model: names a provider but no model. write `provider/name`"]);
    "18" an_unknown_provider_is_kept_and_the_nearest_named "an unknown provider":
        entry("model: opnai/x, api_key: k") => Warned(&["litellm_params.model: unknown provider `opnai`. did you mean `openai`?"]);
    "19" of_two_entries_with_one_id_the_second_gets_a_hash "one id for two different entries":
        text("model_list:\n- {model_name: m, litellm_params: {model: openai/x, api_key: k}, model_info: {id: one}}\n\
              - {model_name: m, litellm_params: {model: openai/y, api_key: k}, model_info: {id: one}}\n")
        => Warned(&["c.yaml:3:3: model_list[1]: the id `one` is taken: another entry has it on line 2"]);
    "20" the_same_entry_twice_is_one_with_the_weights_added "the same entry twice":
        text("model_list:\n- {model_name: m, litellm_params: {model: openai/x, api_key: k}}\n\
              - {model_name: m, litellm_params: {model: openai/x, api_key: k}}\n")
        => Warned(&["c.yaml:3:3: model_list[1]: the same entry is on line 2", "1 of 1 deployment can be served"]);
    "21" an_address_without_a_scheme_stops_its_deployment "`api_base` without a scheme":
        base("x.example.com") => Warned(&["api_base has no scheme. write it as `https://api.example.com/v1`"]);
    "21" an_address_with_another_scheme_stops_its_deployment "`api_base: ftp://…`":
        base("ftp://x") => Warned(&["api_base has a scheme other than http and https"]);
    "21" an_address_with_a_password_stops_its_deployment "`api_base` with user and password":
        base("https://user:pass@x/v1") => Warned(&["api_base contains a user name or password. remove the part before `@` and set `api_key`"]);
    "21" an_address_with_a_space_stops_its_deployment "`api_base` with a space":
        base("https://x /v1") => Warned(&["api_base contains whitespace or control characters"]);
    "21" an_address_with_v1_twice_stops_its_deployment "`api_base: …/v1/v1`":
        base("https://x/v1/v1") => Warned(&["api_base has `/v1` twice. keep one of them"]);
    "21" an_address_with_port_zero_stops_its_deployment "`api_base` with port 0":
        base("http://x:0") => Warned(&["api_base has port 0"]);
    "21" an_address_with_a_query_stops_its_deployment "`api_base` with a query":
        base("https://x/v1?key=1") => Warned(&["api_base has a query or a fragment"]);
    "21" an_address_with_the_endpoint_stops_its_deployment "`api_base` with the endpoint":
        base("https://x/v1/chat/completions") => Warned(&["api_base ends with the endpoint `/chat/completions`"]);
    "22" a_private_address_is_normal "`api_base` at a private address":
        base("http://10.0.0.1:8000/v1") => Accepted;
    "23" missing_variables_are_all_named_with_their_deployments "references to variables that are not set":
        text("model_list:\n- {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/A_KEY}}\n\
              - {model_name: b, litellm_params: {model: openai/y, api_key: os.environ/B_KEY}}\n")
        => Warned(&["environment variable A_KEY is not set. set A_KEY, which deployment a reads",
                    "environment variable B_KEY is not set. set B_KEY, which deployment b reads"]);
    "24" a_key_with_a_line_break_stops_its_deployment_and_is_not_shown "a key with a line break":
        entry("model: openai/x, api_key: \"sk-a\\nbc\"") => Warned(&["api_key: contains whitespace or control characters: the deployment cannot serve. copy the key again"]);
    "24" a_key_in_quotes_stops_its_deployment_and_is_not_shown "a key in quotes of its own":
        entry("model: openai/x, api_key: \"'sk-abc'\"") => Warned(&["api_key: is wrapped in quotes that belong to it: the deployment cannot serve. remove the inner quotes"]);
    "24" a_key_with_a_typographic_dash_stops_its_deployment "a key with a typographic dash":
        entry("model: openai/x, api_key: sk\u{2013}abc") => Warned(&["api_key: contains characters outside ASCII: the deployment cannot serve. copy the key again"]);
    "25" a_fallback_to_nothing_names_the_nearest_group "a fallback to a group that does not exist":
        Given::Text(GOOD.replace("model_name: m", "model_name: gpt-4o") + "router_settings: {fallbacks: [{gpt-4o: [gpt-4p]}]}\n")
        => Warned(&["router_settings.fallbacks[0].gpt-4o[0]: no model group `gpt-4p`. did you mean `gpt-4o`?"]);
    "26" a_fallback_to_itself_is_skipped "a fallback to itself":
        section("router_settings: {fallbacks: [{m: [m]}]}")
        => Warned(&["router_settings.fallbacks[0].m[0]: `m` falls back to itself: skipped. name another group"]);
    "28" overlapping_patterns_are_accepted "patterns that overlap: the more specific wins":
        text("model_list:\n- {model_name: 'a*', litellm_params: {model: openai/*, api_key: k}}\n\
              - {model_name: 'a-b*', litellm_params: {model: openai/*, api_key: k}}\n")
        => Accepted;
    "29" weights_that_are_all_zero_have_no_effect "weights that are all 0":
        text("model_list:\n- {model_name: m, litellm_params: {model: openai/x, api_key: k, weight: 0}}\n\
              - {model_name: m, litellm_params: {model: openai/y, api_key: k, weight: 0}}\n")
        => Warned(&["every `weight` of this group is 0: weights have no effect"]);
    "29" bounds_that_exclude_each_other_name_both_keys "bounds that exclude each other":
        section("general_settings: {max_buffered_mb: 1, max_request_size_mb: 5}")
        => Refused(&["max_buffered_mb is smaller than max_request_size_mb or max_response_size_mb", "raise max_buffered_mb, or lower the others"]);
    "33" a_database_is_accepted "a database":
        section("general_settings: {database_url: 'postgresql://u:p@h/d'}")
        => Accepted;
    "34" a_cache_in_redis_without_a_redis_is_said_to_be_each_process_s_own "a cache in Redis, and no Redis":
        section("litellm_settings: {cache: true, cache_params: {type: redis}}")
        => Warned(&["litellm_settings.cache_params: no Redis is named: each process keeps its own answers"]);
}
