//! `litellm_params` and `model_info` of one entry, read and validated.
//!
//! Called by [`super::deployments`]. Always true: a key that is not the loader's is a default for
//! the request body.

use std::collections::HashSet;

use serde_json::Value as Json;

use crate::deployment::{BodyRules, Limits, MockAnswer};
use crate::health::probe::ProbeRules;
use crate::parameters::{InBody, names_a_credential, parameter};
use crate::policy::ByKind;
use crate::prices::ModelFacts;
use crate::route::{AccessWindow, SetBy, TagRules};
use crate::secret::Secret;

use super::facts;
use super::field::{Field, visit};
use super::json;
use super::keys::{NUMERIC_PARAMS, Section};
use super::policies;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::tree::{Entry, Map};
use super::value;
use super::{address, budget_terms, cache_points, headers, mock, probing, windows};

/// What `litellm_params` says; each field has the name of its key unless noted.
#[derive(Debug, Default)]
pub(super) struct Params {
    pub(super) model: Option<Box<str>>,
    /// `custom_llm_provider`.
    pub(super) provider: Option<Box<str>>,
    pub(super) api_base: Option<Given>,
    pub(super) base_url: Option<Given>,
    pub(super) api_key: Option<Secret>,
    /// Whether `api_key` is written and empty.
    pub(super) is_keyless: bool,
    pub(super) base_model: Option<Box<str>>,
    pub(super) organization: Option<Secret>,
    /// `litellm_credential_name`.
    pub(super) credential: Option<Given>,
    /// `headers` and `extra_headers`; the latter win.
    pub(super) headers: Vec<(Box<str>, Secret)>,
    /// Every key that is not the loader's, and `extra_body`.
    pub(super) defaults: Vec<(Box<str>, Box<str>)>,
    /// `additional_drop_params`.
    pub(super) dropped: Vec<Box<str>>,
    /// `drop_params`, `merge_reasoning_content_in_choices`, `cache_control_injection_points`.
    pub(super) rules: BodyRules,
    pub(super) weight: Option<f64>,
    pub(super) limits: Limits,
    pub(super) order: Option<u32>,
    /// `tags` and `tag_regex`.
    pub(super) tags: TagRules,
    /// `blocked`.
    pub(super) is_paused: bool,
    /// The prices.
    pub(super) facts: ModelFacts,
    /// Whether there is a canned answer, even an invalid one: then no provider is used.
    pub(super) is_mock: bool,
    /// `mock_response`.
    pub(super) mock: Option<MockAnswer>,
    /// `max_budget` and `budget_duration`.
    pub(super) budget: budget_terms::Parts,
    /// `region_name`.
    pub(super) region: Option<Box<str>>,
    extra_body: Vec<Entry>,
    request_timeout_ms: Option<u64>,
    mock_delay_ms: u64,
}

/// A text and its place.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) text: Box<str>,
    pub(super) at: At,
}

/// What `model_info` says.
#[derive(Debug, Default)]
pub(super) struct Info {
    pub(super) id: Option<Given>,
    pub(super) base_model: Option<Box<str>>,
    pub(super) cooldown_ms: Option<u64>,
    pub(super) order: Option<u32>,
    /// `blocked`.
    pub(super) is_paused: bool,
    pub(super) access_groups: Vec<Box<str>>,
    /// `team_id` and `team_public_model_name`.
    pub(super) team: Option<Box<str>>,
    pub(super) team_name: Option<Box<str>>,
    /// `allowed_fails_policy` and `allowed_fails`.
    pub(super) tolerance: ByKind,
    /// `enable_tag_filtering`.
    pub(super) filters_tags: Option<bool>,
    /// `allow_fail_open`.
    pub(super) fails_open: bool,
    /// `access_windows`.
    pub(super) windows: Vec<AccessWindow>,
    pub(super) check: ProbeRules,
    pub(super) facts: ModelFacts,
}

impl Params {
    /// Reads the mapping.
    pub(super) fn read(map: &Map, path: &Path<'_>, problems: &mut Problems) -> Params {
        let mut params = Params::default();
        let others = visit(Section::Params, map, path, problems, |field, problems| {
            let known = params.set(field, problems)
                || params.set_limit(field, problems)
                || facts::set(&mut params.facts, field, problems);
            debug_assert!(known, "{} is in keys.rs but nothing reads it", field.row.name);
        });
        let extra = std::mem::take(&mut params.extra_body);
        // A key in `extra_body` too belongs to `extra_body`.
        let named: HashSet<&str> = extra.iter().map(|entry| &*entry.key).collect();
        let others = others.into_iter().filter(|entry| !named.contains(&*entry.key));
        let others = others.map(|entry| (entry, path));
        let within = path.key("extra_body");
        let extra = extra.iter().map(|entry| (entry, &within));
        for (entry, path) in others.chain(extra) {
            if reaches_the_provider(entry, path, problems) {
                params.default_param(entry);
            }
        }
        params.limits.timeout_ms = params.limits.timeout_ms.or(params.request_timeout_ms);
        if let Some(mock) = &mut params.mock {
            mock.delay_ms = params.mock_delay_ms;
        }
        params
    }

    fn set(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        match field.row.name {
            "model" => self.model = field.text(problems).map(Box::from),
            "custom_llm_provider" => self.provider = field.text(problems).map(Box::from),
            "api_base" => self.api_base = given(field, problems),
            "base_url" => self.base_url = given(field, problems),
            "api_key" if field.node.text() == Some("") => self.is_keyless = true,
            "api_key" => self.api_key = secret(field, problems),
            "base_model" => self.base_model = field.text(problems).map(Box::from),
            "organization" => self.organization = organization(field, problems),
            "litellm_credential_name" => self.credential = given(field, problems),
            "extra_headers" | "headers" => self.add_headers(field, problems),
            "extra_body" => {
                self.extra_body = field.map(problems).map_or(Vec::new(), |map| map.entries.clone());
            }
            // Read later, when the credential and the environment are known.
            "api_version"
            | "azure_ad_token"
            | "tenant_id"
            | "client_id"
            | "client_secret"
            | "azure_scope"
            | "azure_authority_host"
            | "realtime_protocol"
            | "aws_access_key_id"
            | "aws_secret_access_key"
            | "aws_session_token"
            | "aws_region_name"
            | "aws_bedrock_runtime_endpoint"
            | "aws_profile_name"
            | "aws_role_name"
            | "aws_session_name"
            | "aws_external_id"
            | "aws_web_identity_token"
            | "aws_sts_endpoint"
            | "model_id" => {
                field.text(problems);
            }
            // The same; they may be mappings or lists.
            "aws_session_tags"
            | "vertex_project"
            | "vertex_ai_project"
            | "vertex_location"
            | "vertex_ai_location"
            | "vertex_credentials"
            | "vertex_ai_credentials" => {}
            "additional_drop_params" => self.dropped = names(field, problems),
            "drop_params" => self.rules.drops_params = field.flag(problems).unwrap_or(false),
            "merge_reasoning_content_in_choices" => {
                self.rules.merges_reasoning = field.flag(problems).unwrap_or(false);
            }
            "cache_control_injection_points" => {
                self.rules.cache_points = cache_points::read(field, problems);
            }
            "weight" => self.weight = field.number(problems),
            "order" => self.order = field.small(problems),
            "tags" => self.tags.tags = names(field, problems),
            "tag_regex" => self.tags.patterns = patterns(field, problems),
            "blocked" => self.is_paused = field.flag(problems).unwrap_or(false),
            "mock_response" => {
                // Even an invalid answer means that no provider is used.
                self.is_mock = true;
                self.mock = mock::read(field, problems);
                self.is_mock &= !matches!(value::flag(field.node), Ok(false));
            }
            "mock_delay" => self.mock_delay_ms = field.time(problems).unwrap_or(0),
            _ => return false,
        }
        true
    }

    /// Adds the headers of `extra_headers` or `headers`.
    fn add_headers(&mut self, field: &Field<'_>, problems: &mut Problems) {
        let wins = field.row.name == "extra_headers";
        for (name, value) in headers::read(field, problems) {
            match self.headers.iter_mut().find(|(known, _)| *known == name) {
                Some(known) if wins => known.1 = value,
                Some(_) => {}
                None => self.headers.push((name, value)),
            }
        }
    }

    fn set_limit(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        match field.row.name {
            "rpm" => self.limits.rpm = field.count(problems),
            "tpm" => self.limits.tpm = field.count(problems),
            "default_api_key_rpm_limit" => self.limits.of_keys.rpm = field.count(problems),
            "default_api_key_tpm_limit" => self.limits.of_keys.tpm = field.count(problems),
            "timeout" => self.limits.timeout_ms = field.time(problems),
            "request_timeout" => self.request_timeout_ms = field.time(problems),
            "stream_timeout" => self.limits.stream_timeout_ms = field.time(problems),
            "keepalive_seconds" => self.limits.keepalive.ms = field.time(problems),
            "allow_client_keepalive_override" => {
                if field.flag(problems) == Some(true) {
                    self.limits.keepalive.set_by = SetBy::Client;
                }
            }
            "num_retries" => self.limits.num_retries = field.small(problems),
            "cooldown_time" => self.limits.cooldown_ms = field.time(problems),
            "max_parallel_requests" => self.limits.max_parallel = field.small(problems),
            "max_budget" => self.budget.limit(field, problems),
            "budget_duration" => self.budget.period(field, problems),
            "region_name" => self.region = field.text(problems).map(Box::from),
            _ => return false,
        }
        true
    }

    fn default_param(&mut self, entry: &Entry) {
        if entry.value.is_unset() {
            return;
        }
        let mut text = json::value(&entry.value);
        if let (Json::String(digits), true) = (&text, NUMERIC_PARAMS.contains(&&*entry.key)) {
            let number = digits.trim().parse::<f64>().map(json::number);
            text = number.ok().filter(|number| !number.is_null()).unwrap_or(text);
        }
        self.defaults.push((Box::from(&*entry.key), text.to_string().into()));
    }
}

/// Whether a parameter that is not the loader's goes to the provider. One that does not is reported.
fn reaches_the_provider(entry: &Entry, within: &Path<'_>, problems: &mut Problems) -> bool {
    if let Some((name, _)) = entry.key.split_once('=').filter(|_| entry.value.is_unset()) {
        // What follows may be a secret, so the key is not shown.
        let problem = format!("`{}=...` is not a key with its value: ignored", shown(name.trim()));
        let hint = format!("write `{}: ...`, with a blank after the colon", shown(name.trim()));
        problems.warn(entry.at, within, Wrong::new(problem, hint));
        return false;
    }
    let Some(wrong) = why_not_sent(&entry.key) else { return true };
    problems.warn(entry.at, &within.key(&entry.key), wrong);
    false
}

/// Why a parameter that is not the loader's is not sent to the provider.
pub(super) fn why_not_sent(name: &str) -> Option<Wrong> {
    match parameter(name).map(|row| (row.in_body, row.about)) {
        Some((InBody::Request, _)) => None,
        Some((_, about)) => Some(Wrong::new(
            format!(
                "has no effect here and is not sent to the provider: it is LiteLLM's own, about {about}"
            ),
            "remove it",
        )),
        None if name.starts_with("litellm_") => Some(Wrong::new(
            "looks like LiteLLM's own parameter: it is not sent to the provider",
            "remove it",
        )),
        // In a request a bare `token` may be the provider's own; no operator writes such a text here.
        None if names_a_credential(name) || name.eq_ignore_ascii_case("token") => Some(Wrong::new(
            "looks like a secret: it is not sent to the provider in the body",
            "write the provider's key as `api_key`, or a header of its own in `extra_headers`",
        )),
        None => None,
    }
}

impl Info {
    /// Reads the mapping.
    pub(super) fn read(map: &Map, path: &Path<'_>, problems: &mut Problems) -> Info {
        let mut info = Info::default();
        visit(Section::Info, map, path, problems, |field, problems| match field.row.name {
            "id" => info.id = given(field, problems),
            "base_model" => info.base_model = field.text(problems).map(Box::from),
            "cooldown_time" => info.cooldown_ms = field.time(problems),
            "order" => info.order = field.small(problems),
            "blocked" => info.is_paused = field.flag(problems).unwrap_or(false),
            "enable_tag_filtering" => {
                info.filters_tags = field.flag(problems);
            }
            "access_groups" => info.access_groups = names(field, problems),
            "team_id" => info.team = field.text(problems).map(Box::from),
            "team_public_model_name" => info.team_name = field.text(problems).map(Box::from),
            "allow_fail_open" => info.fails_open = field.flag(problems).unwrap_or(false),
            "access_windows" => info.windows = windows::read(field, problems),
            "allowed_fails" => info.tolerance.others = field.small(problems),
            "allowed_fails_policy" => {
                info.tolerance.named = policies::read(Section::Fails, field, problems).named;
            }
            _ => {
                let known = facts::set(&mut info.facts, field, problems)
                    || probing::rule(&mut info.check, field, problems);
                debug_assert!(known, "{} is in keys.rs but nothing reads it", field.row.name);
            }
        });
        info.check.has_mode = info.facts.mode.is_some();
        info
    }
}

fn given(field: &Field<'_>, problems: &mut Problems) -> Option<Given> {
    let text = address::without_line_break(field.text(problems)?);
    Some(Given { text: text.into(), at: field.node.at })
}

fn secret(field: &Field<'_>, problems: &mut Problems) -> Option<Secret> {
    let text = address::without_line_break(field.text(problems)?);
    match address::key(text) {
        Ok(()) => Some(Secret::new(text)),
        Err(wrong) => {
            field.wrong(wrong, problems);
            None
        }
    }
}

fn organization(field: &Field<'_>, problems: &mut Problems) -> Option<Secret> {
    let text = match field.node.items() {
        None => field.text(problems)?,
        Some([only]) => only.text().unwrap_or(""),
        // A list of several is one deployment for each, as long as there are few.
        Some(items) => {
            let problem = match items {
                [] => "names no organization",
                _ => "has more organizations than an entry may have",
            };
            field.wrong(Wrong::new(problem, "write one entry per organization"), problems);
            return None;
        }
    };
    if text.is_empty() || !address::is_header_value(text) {
        field
            .wrong(Wrong::new("cannot be sent as a header", "remove unusual characters"), problems);
        return None;
    }
    Some(Secret::new(text))
}

/// A list of names. A lone one is a list of one.
fn names(field: &Field<'_>, problems: &mut Problems) -> Vec<Box<str>> {
    if let Some(only) = field.node.text().filter(|text| !text.trim().is_empty()) {
        let problem = "expected a list, got text: it is read as a list of one";
        field.warn(Wrong::new(problem, "write it in brackets"), problems);
        return vec![only.into()];
    }
    let mut names = Vec::new();
    for (i, item) in field.list(problems).unwrap_or(&[]).iter().enumerate() {
        match value::text(item) {
            Ok(text) => names.push(text.into()),
            Err(wrong) => field.wrong_in(item.at, &field.path.item(i), wrong, problems),
        }
    }
    names
}

fn patterns(field: &Field<'_>, problems: &mut Problems) -> Vec<regex_lite::Regex> {
    let mut patterns = Vec::new();
    for (i, text) in names(field, problems).iter().enumerate() {
        match regex_lite::Regex::new(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let problem = format!("is not a regular expression: {error}");
                let hint = "write it without look-around and back-references";
                field.wrong_in(
                    field.node.at,
                    &field.path.item(i),
                    Wrong::new(problem, hint),
                    problems,
                );
            }
        }
    }
    patterns
}
