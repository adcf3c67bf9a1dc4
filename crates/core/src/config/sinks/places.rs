//! Where each sink is and what it is sent, from the variables and keys that LiteLLM has for it.
//!
//! Called by [`super`]. Always true: a lack names every variable that the sink needs; no message holds a value.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;

use crate::config::address;
use crate::config::interpolate::Env;
use crate::config::problem::{At, Path, Problems, Wrong};
use crate::config::tree::{Map, Node, Style};
use crate::config::value;
use crate::secret::Secret;
use crate::settings::{DatadogTags, Encoding, Gets, Release, S3, Sink, SinkForm, WebhookForm};

/// What is read of `s3_callback_params`.
const S3_PARAMS: &[&str] = &[
    "s3_bucket_name",
    "s3_region_name",
    "s3_path",
    "s3_endpoint_url",
    "s3_aws_access_key_id",
    "s3_aws_secret_access_key",
    "s3_aws_session_token",
    "s3_partition_granularity",
];
/// What is read of an entry of `callback_settings`.
const OWN_KEYS: &[&str] = &[
    "message_logging",
    "sample_rate",
    "callback_type",
    "endpoint",
    "headers",
    "event_types",
    "log_format",
];

/// Whether an entry of `callback_settings` is a webhook of the operator's.
pub(super) fn is_webhook(entry: &Node) -> bool {
    let kind = entry.as_map().and_then(|map| map.get("callback_type")).and_then(Node::text);
    kind == Some("generic_api")
}

/// A share of requests.
fn share_of(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share))
}

/// One sink and what the config says about it.
pub(super) struct Reading<'a> {
    name: &'a str,
    env: &'a Env<'a>,
    litellm: Option<&'a Map>,
    own: Option<&'a Map>,
}

impl<'a> Reading<'a> {
    /// The sink `name`.
    pub(super) fn of(name: &'a str, top: &'a Map, env: &'a Env<'a>) -> Reading<'a> {
        let section = |key| top.get(key).and_then(Node::as_map);
        let own = section("callback_settings").and_then(|map| map.get(name)?.as_map());
        Reading { name, env, litellm: section("litellm_settings"), own }
    }

    /// The sinks that it means.
    pub(super) fn sinks(&self) -> Result<Vec<Sink>, Wrong> {
        match self.name {
            "langfuse" => self.langfuse().map(|sink| vec![sink]),
            "langfuse_otel" => self.langfuse_otel().map(|sink| vec![sink]),
            "otel" => self.otel(),
            "arize" => self.arize().map(|sink| vec![sink]),
            "signoz" => self.signoz().map(|sink| vec![sink]),
            "datadog" => self.datadog().map(|sink| vec![sink]),
            "langsmith" => self.langsmith().map(|sink| vec![sink]),
            "s3" => self.s3().map(|sink| vec![sink]),
            _ => self.webhook().map(|sink| vec![sink]),
        }
    }

    /// The same, as `callback_settings` says: `message_logging`, and `sample_rate`.
    pub(super) fn options(&self, mut sinks: Vec<Sink>) -> Result<Vec<Sink>, Wrong> {
        let node = |key: &str| self.own.and_then(|own| own.get(key));
        if let Some(shows) = node("message_logging") {
            let shows = value::flag(shows)?;
            sinks.iter_mut().for_each(|sink| sink.messages = shows);
        }
        if let Some(share) = node("sample_rate") {
            let share = value::number(share, 0.0, 1.0)?;
            sinks.iter_mut().for_each(|sink| sink.share = share);
        }
        if let Some(kinds) = node("event_types").and_then(Node::items) {
            let has = |kind: &str| kinds.iter().any(|item| item.text() == Some(kind));
            let (successes, failures) = (has("llm_api_success"), has("llm_api_failure"));
            sinks.iter_mut().for_each(|sink| sink.gets = Gets { successes, failures });
        }
        Ok(sinks)
    }

    /// Tells the settings of this sink that have no effect.
    pub(super) fn warn_unserved(&self, problems: &mut Problems) {
        if let Some(name) = self.share_variable()
            && self.var(name).is_some_and(|text| share_of(&text).is_none())
        {
            let problem = format!(
                "environment variable {name}: not a share of requests, so that all are sent"
            );
            let hint = "set it to a number from 0 to 1, such as 0.05";
            problems.warn(At::whole(0), &Path::Root, Wrong::new(problem, hint));
        }
        let params = self.litellm.and_then(|map| map.get("s3_callback_params"));
        let params = params.and_then(Node::as_map).filter(|_| self.name == "s3");
        let sections = [
            ("litellm_settings.s3_callback_params", params, S3_PARAMS),
            ("callback_settings", self.own, OWN_KEYS),
        ];
        for (section, map, served) in sections {
            for entry in map.iter().flat_map(|map| &map.entries) {
                if !served.contains(&&*entry.key) && !entry.value.is_unset() {
                    let wrong =
                        Wrong::new("not served: ignored", format!("served: {}", served.join(", ")));
                    problems.warn(entry.at, &Path::Text(section).key(&entry.key), wrong);
                }
            }
        }
    }

    /// The value of a variable, if it is set.
    pub(super) fn var(&self, name: &str) -> Option<String> {
        self.env.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Whether a variable says yes.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let node =
            self.env.get(name).map(|text| Node::scalar(&text, Style::Environment, At::whole(0)));
        node.is_some_and(|node| value::flag(&node) == Ok(true))
    }

    /// The value of a variable, which must be set.
    pub(super) fn needs(&self, name: &str) -> Result<String, Wrong> {
        self.var(name)
            .ok_or_else(|| Wrong::new(format!("{name} is not set"), format!("set {name}")))
    }

    /// The address in a variable, without a slash at its end.
    pub(super) fn base(&self, names: &[&str], default: &str) -> Result<String, Wrong> {
        let found = names.iter().find_map(|name| Some((*name, self.var(name)?)));
        let (name, text) = found.unwrap_or(("", default.to_owned()));
        checked(name, text.trim_end_matches('/'))
    }

    /// The variable that says which share of requests this sink gets, if it has one.
    fn share_variable(&self) -> Option<&'static str> {
        match self.name {
            "langfuse" => Some("LANGFUSE_SAMPLE_RATE"),
            "langsmith" => Some("LANGSMITH_SAMPLING_RATE"),
            _ => None,
        }
    }

    fn share(&self) -> f64 {
        let given = self.share_variable().and_then(|name| self.var(name));
        given.and_then(|text| share_of(&text)).unwrap_or(1.0)
    }

    /// The sink at `url`, with what most sinks have.
    pub(super) fn sink(
        &self,
        url: String,
        headers: Vec<(Box<str>, Secret)>,
        form: SinkForm,
    ) -> Sink {
        Sink {
            name: self.name.into(),
            gets: Gets { successes: true, failures: true },
            messages: false,
            share: 1.0,
            url: url.into(),
            headers,
            hidden: Vec::new(),
            form,
        }
    }

    fn langfuse_key(&self) -> Result<(Box<str>, Secret), Wrong> {
        let public = self.needs("LANGFUSE_PUBLIC_KEY")?;
        let secret = self.needs("LANGFUSE_SECRET_KEY")?;
        let basic = BASE64_STANDARD.encode(format!("{public}:{secret}"));
        Ok(("authorization".into(), Secret::new(&format!("Basic {basic}"))))
    }

    fn langfuse(&self) -> Result<Sink, Wrong> {
        let key = self.langfuse_key()?;
        let names = ["LANGFUSE_HOST", "LANGFUSE_BASE_URL"];
        let base = with_scheme(self.base(&names, "https://cloud.langfuse.com")?);
        let release = Release {
            environment: self.var("LANGFUSE_TRACING_ENVIRONMENT").map(Box::from),
            release: self.var("LANGFUSE_RELEASE").map(Box::from),
        };
        let form = SinkForm::Langfuse(Box::new(release));
        let sink = self.sink(format!("{base}/api/public/ingestion"), vec![key], form);
        let hidden = vec![Secret::new(&self.needs("LANGFUSE_SECRET_KEY")?)];
        Ok(Sink { messages: true, share: self.share(), hidden, ..sink })
    }

    fn langfuse_otel(&self) -> Result<Sink, Wrong> {
        let key = self.langfuse_key()?;
        let names = ["LANGFUSE_OTEL_HOST", "LANGFUSE_HOST", "LANGFUSE_BASE_URL"];
        let base = with_scheme(self.base(&names, "https://us.cloud.langfuse.com")?);
        let base = base.trim_end_matches("/api/public/otel");
        let version = ("x-langfuse-ingestion-version".into(), Secret::new("4"));
        let url = format!("{base}/api/public/otel/v1/traces");
        let sink =
            self.sink(url, vec![key, version], SinkForm::Spans(self.telemetry(Encoding::Protobuf)));
        let hidden = vec![Secret::new(&self.needs("LANGFUSE_SECRET_KEY")?)];
        Ok(Sink { messages: true, hidden, ..sink })
    }

    fn datadog(&self) -> Result<Sink, Wrong> {
        let or = |name: &str, default: &str| self.var(name).unwrap_or_else(|| default.to_owned());
        let agent = self.var("LITELLM_DD_AGENT_HOST");
        let (base, key) = match (&agent, self.var("DD_API_KEY")) {
            (Some(host), key) => {
                let port = or("LITELLM_DD_AGENT_PORT", "10518");
                (checked("LITELLM_DD_AGENT_HOST", &format!("http://{host}:{port}"))?, key)
            }
            (None, None) => {
                let hint = "set DD_API_KEY and DD_SITE, or LITELLM_DD_AGENT_HOST";
                return Err(Wrong::new("DD_API_KEY is not set", hint));
            }
            (None, key) => {
                let site = self.needs("DD_SITE")?;
                let own = self.base(&["DD_BASE_URL"], &format!("https://http-intake.logs.{site}"));
                (own?, key)
            }
        };
        let key = key.map(|key| ("dd-api-key".into(), Secret::new(&key)));
        let service = or("DD_SERVICE", "litellm-server");
        let tags = [
            ("env", or("DD_ENV", "unknown")),
            ("service", service.clone()),
            ("version", or("DD_VERSION", "unknown")),
            ("HOSTNAME", or("HOSTNAME", "")),
            ("POD_NAME", or("POD_NAME", "unknown")),
        ];
        let tags: Vec<String> =
            tags.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let form = DatadogTags {
            source: or("DD_SOURCE", "litellm").into(),
            service: service.into(),
            hostname: or("HOSTNAME", "").into(),
            tags: tags.join(",").into(),
        };
        let form = SinkForm::Datadog(Box::new(form));
        Ok(self.sink(format!("{base}/api/v2/logs"), key.into_iter().collect(), form))
    }

    fn langsmith(&self) -> Result<Sink, Wrong> {
        let key = self.needs("LANGSMITH_API_KEY")?;
        let base = self.base(&["LANGSMITH_BASE_URL"], "https://api.smith.langchain.com")?;
        let project =
            self.var("LANGSMITH_PROJECT").unwrap_or_else(|| "litellm-completion".to_owned());
        let mut headers = vec![("x-api-key".into(), Secret::new(&key))];
        if let Some(tenant) = self.var("LANGSMITH_TENANT_ID") {
            headers.push(("x-tenant-id".into(), Secret::new(&tenant)));
        }
        let form = SinkForm::Langsmith(project.into());
        let sink = self.sink(format!("{base}/runs/batch"), headers, form);
        Ok(Sink { messages: true, share: self.share(), ..sink })
    }

    /// `generic_api`, and what `callback_settings` calls a webhook.
    fn webhook(&self) -> Result<Sink, Wrong> {
        let text = |key: &str| self.own.and_then(|own| own.get(key)).and_then(Node::text);
        let endpoint = match text("endpoint") {
            Some(text) => checked("endpoint", &self.filled(text))?,
            None if self.own.is_some() && self.name != "generic_api" => {
                let key = format!("callback_settings.{}.endpoint", self.name);
                return Err(Wrong::new(format!("{key} is not set"), "write the address there"));
            }
            None => checked("GENERIC_LOGGER_ENDPOINT", &self.needs("GENERIC_LOGGER_ENDPOINT")?)?,
        };
        let mut headers: Vec<(Box<str>, Secret)> = Vec::new();
        let variable = self.var("GENERIC_LOGGER_HEADERS").unwrap_or_default();
        for (name, value) in pairs(&variable) {
            put_header(&mut headers, &name, &value)?;
        }
        let of_section = self.litellm.and_then(|map| map.get("generic_logger_headers"));
        let of_own = self.own.and_then(|own| own.get("headers"));
        for map in [of_section, of_own].into_iter().flatten().filter_map(Node::as_map) {
            for entry in &map.entries {
                let value = self.filled(entry.value.text().unwrap_or_default());
                put_header(&mut headers, &entry.key, &value)?;
            }
        }
        let form = match text("log_format") {
            None | Some("json_array") => WebhookForm::List,
            Some("ndjson") => WebhookForm::Lines,
            Some("single") => WebhookForm::Single,
            Some(_) => {
                let hint = "write `json_array`, `ndjson` or `single`";
                return Err(Wrong::new("`log_format` is unknown", hint));
            }
        };
        let sink = self.sink(endpoint, headers, SinkForm::Webhook(form));
        Ok(Sink { messages: true, ..sink })
    }

    /// `text` with the variables that it names as `{{environment_variables.NAME}}`.
    fn filled(&self, text: &str) -> String {
        const BEGIN: &str = "{{environment_variables.";
        let mut out = String::new();
        let mut tail = text;
        while let Some((before, after)) = tail.split_once(BEGIN) {
            let Some((name, next)) = after.split_once("}}") else { break };
            out.push_str(before);
            out.push_str(&self.var(name).unwrap_or_default());
            tail = next;
        }
        out + tail
    }

    fn s3(&self) -> Result<Sink, Wrong> {
        let params =
            self.litellm.and_then(|map| map.get("s3_callback_params")).and_then(Node::as_map);
        let text = |key: &str| {
            params.and_then(|map| map.get(key)).and_then(Node::text).filter(|text| !text.is_empty())
        };
        let or = |key: &str, name: &str| text(key).map(str::to_owned).or_else(|| self.var(name));
        let lack = |what: &str, hint: &str| Wrong::new(format!("{what} is not set"), hint);
        let bucket = text("s3_bucket_name").ok_or_else(|| {
            lack("`s3_callback_params.s3_bucket_name`", "write the name of the bucket there")
        })?;
        let hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or s3_aws_access_key_id and \
                    s3_aws_secret_access_key in `s3_callback_params`";
        let access_key = or("s3_aws_access_key_id", "AWS_ACCESS_KEY_ID")
            .ok_or_else(|| lack("AWS_ACCESS_KEY_ID", hint))?;
        let secret_key = or("s3_aws_secret_access_key", "AWS_SECRET_ACCESS_KEY")
            .ok_or_else(|| lack("AWS_SECRET_ACCESS_KEY", hint))?;
        let region = or("s3_region_name", "AWS_REGION").or_else(|| self.var("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if !bucket.chars().all(is_plain) || !region.chars().all(is_plain) {
            return Err(Wrong::new("the name of the bucket or the region cannot be one", ""));
        }
        let url = match text("s3_endpoint_url") {
            Some(endpoint) => {
                let base = checked("s3_endpoint_url", endpoint.trim_end_matches('/'))?;
                format!("{base}/{bucket}")
            }
            None if bucket.contains('.') => format!("https://s3.{region}.amazonaws.com/{bucket}"),
            None => format!("https://{bucket}.s3.{region}.amazonaws.com"),
        };
        let prefix = text("s3_path").unwrap_or_default().trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let form = S3 {
            prefix: prefix.into(),
            region: region.into(),
            access_key: access_key.into(),
            secret_key: Secret::new(&secret_key),
            token: or("s3_aws_session_token", "AWS_SESSION_TOKEN").map(|text| Secret::new(&text)),
            by_hour: text("s3_partition_granularity") == Some("hour"),
        };
        let hidden = form.token.iter().chain([&form.secret_key]).cloned().collect();
        let sink = self.sink(url, Vec::new(), SinkForm::S3(Box::new(form)));
        Ok(Sink { messages: true, hidden, ..sink })
    }
}

fn put_header(headers: &mut Vec<(Box<str>, Secret)>, name: &str, value: &str) -> Result<(), Wrong> {
    if !address::is_header_name(name) || !address::is_header_value(value) {
        return Err(Wrong::new("a header's name or value cannot be one", "correct it"));
    }
    let name = name.to_ascii_lowercase();
    headers.retain(|(known, _)| **known != *name);
    headers.push((name.into(), Secret::new(value)));
    Ok(())
}

/// `host` alone means `https://host`, as in LiteLLM.
fn with_scheme(base: String) -> String {
    if base.contains("://") { base } else { format!("https://{base}") }
}

/// An address that can be one; `name` is the variable or key that has it.
fn checked(name: &str, text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new("", ""));
    }
    let whole = with_scheme(text.to_owned());
    let (scheme, tail) = whole.split_once("://").unwrap_or_default();
    let (authority, path) = tail.find('/').map_or((tail, ""), |at| tail.split_at(at));
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let base = address::api_base(&format!("{scheme}://{authority}")).map_err(|wrong| {
        let problem = wrong.problem.strip_prefix("api_base").unwrap_or(&wrong.problem);
        Wrong::new(format!("the address in {name}{problem}"), "write `https://HOST:PORT/PATH`")
    })?;
    if !is_plain {
        let problem = format!("the path of the address in {name} has characters that no path has");
        return Err(Wrong::new(problem, "remove them"));
    }
    Ok(format!("{base}{path}"))
}

/// `name=value,name=value`, values with percent escapes.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split(',').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8_lossy().into_owned();
        Some((name.trim().to_owned(), value)).filter(|(name, _)| !name.is_empty())
    })
}
