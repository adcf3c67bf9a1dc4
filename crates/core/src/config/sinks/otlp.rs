//! Sinks that get spans, log records and metrics by OTLP, from the variables of OpenTelemetry and of the vendors that speak it.
//!
//! Called by [`super::places`], whose [`Reading`] it goes on. Always true: an address of one signal is used as it is, the general one is
//! completed with the path of the signal, as OpenTelemetry specifies.

use crate::config::interpolate::Env;
use crate::config::problem::{At, Path, Problems, Wrong};
use crate::secret::Secret;
use crate::settings::{Encoding, Sink, SinkForm, Telemetry};
use crate::trace::Sampler;

use super::places::{Reading, pairs};

/// How long an export of OTLP may take unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise, milliseconds.
const OTLP_TIMEOUT_MS: u64 = 10_000;
/// How often metrics are sent unless `OTEL_METRIC_EXPORT_INTERVAL` says otherwise, milliseconds.
const METRICS_PERIOD_MS: u64 = 60_000;
/// The longest of both.
const TIME_MAX_MS: u64 = 3_600_000;

impl Reading<'_> {
    /// OTLP as the variables of OpenTelemetry say: traces, and logs and metrics if these are asked for.
    pub(super) fn otel(&self) -> Result<Vec<Sink>, Wrong> {
        if self.is_on("OTEL_SDK_DISABLED") {
            return Ok(Vec::new());
        }
        let is_off = |name: &str| self.var(name).is_some_and(|text| text == "none");
        let is_on = |name: &str| self.var(name).is_some_and(|text| text.contains("otlp"));
        let enabled = |name: &str| self.is_on(name);
        let mut sinks = Vec::new();
        if !is_off("OTEL_TRACES_EXPORTER") {
            let spans = self.signal("traces", SinkForm::Spans)?;
            sinks.push(Sink { messages: self.captures(), ..spans });
        }
        if is_on("OTEL_LOGS_EXPORTER") || enabled("LITELLM_OTEL_INTEGRATION_ENABLE_EVENTS") {
            let logs = self.signal("logs", SinkForm::Logs)?;
            sinks.push(Sink { name: "otel_logs".into(), messages: self.captures(), ..logs });
        }
        if is_on("OTEL_METRICS_EXPORTER") || enabled("LITELLM_OTEL_INTEGRATION_ENABLE_METRICS") {
            let metrics = self.signal("metrics", SinkForm::Metrics)?;
            sinks.push(Sink { name: "otel_metrics".into(), ..metrics });
        }
        Ok(sinks)
    }

    fn signal(
        &self,
        signal: &str,
        form: impl FnOnce(Box<Telemetry>) -> SinkForm,
    ) -> Result<Sink, Wrong> {
        let upper = signal.to_ascii_uppercase();
        let own = |what: &str| self.var(&format!("OTEL_EXPORTER_OTLP_{upper}_{what}"));
        let general = |what: &str| self.var(&format!("OTEL_EXPORTER_OTLP_{what}"));
        let protocol = own("PROTOCOL").or_else(|| general("PROTOCOL"));
        let encoding = encoding(protocol.or_else(|| self.var("OTEL_EXPORTER")).as_deref())?;
        let name = format!("OTEL_EXPORTER_OTLP_{upper}_ENDPOINT");
        let url = match own("ENDPOINT") {
            // Used as it is, as OpenTelemetry specifies.
            Some(_) => self.base(&[&name], "")?,
            None => {
                let names = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_ENDPOINT"];
                let base = self.base(&names, "").map_err(|wrong| match wrong.problem.as_str() {
                    "" => Wrong::new(
                        "OTEL_EXPORTER_OTLP_ENDPOINT is not set",
                        "set it to the collector's HTTP address, such as http://localhost:4318",
                    ),
                    _ => wrong,
                })?;
                of_signal(&base, signal)
            }
        };
        let headers =
            own("HEADERS").or_else(|| general("HEADERS")).or_else(|| self.var("OTEL_HEADERS"));
        let headers = pairs(headers.as_deref().unwrap_or_default());
        let headers =
            headers.map(|(name, value)| (name.to_ascii_lowercase().into(), Secret::new(&value)));
        let mut telemetry = self.telemetry(encoding);
        let timeout = own("TIMEOUT").or_else(|| general("TIMEOUT"));
        telemetry.timeout_ms = milliseconds(timeout).unwrap_or(OTLP_TIMEOUT_MS);
        let coding = own("COMPRESSION").or_else(|| general("COMPRESSION"));
        telemetry.is_packed = coding.is_some_and(|coding| coding == "gzip");
        let period = self.var("OTEL_METRIC_EXPORT_INTERVAL");
        telemetry.period_ms = milliseconds(period).unwrap_or(METRICS_PERIOD_MS);
        Ok(self.sink(url, headers.collect(), form(telemetry)))
    }

    /// Whether spans hold what was said.
    pub(super) fn captures(&self) -> bool {
        let asked = self.var("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT");
        asked.is_some_and(|text| {
            let text = text.to_ascii_lowercase();
            matches!(&*text, "true" | "1" | "span_only" | "event_only" | "span_and_event")
        })
    }

    pub(super) fn telemetry(&self, encoding: Encoding) -> Box<Telemetry> {
        let attributes = self.var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let mut resource: Vec<(Box<str>, Box<str>)> =
            pairs(&attributes).map(|(name, value)| (name.into(), value.into())).collect();
        let named = resource.iter().position(|(name, _)| &**name == "service.name");
        let named = named.map(|at| resource.remove(at).1);
        let service = self.var("OTEL_SERVICE_NAME").map(Box::from).or(named);
        let environment = self.var("OTEL_ENVIRONMENT_NAME");
        if resource.iter().all(|(name, _)| &**name != "deployment.environment") {
            let environment = environment.unwrap_or_else(|| "production".to_owned());
            resource.push(("deployment.environment".into(), environment.into()));
        }
        Box::new(Telemetry {
            service: service.unwrap_or_else(|| "litellm".into()),
            resource,
            encoding,
            is_packed: false,
            timeout_ms: OTLP_TIMEOUT_MS,
            period_ms: METRICS_PERIOD_MS,
        })
    }

    pub(super) fn arize(&self) -> Result<Sink, Wrong> {
        let space = self.var("ARIZE_SPACE_ID").or_else(|| self.var("ARIZE_SPACE_KEY"));
        let space = space.ok_or_else(|| {
            Wrong::new("ARIZE_SPACE_ID is not set", "set ARIZE_SPACE_ID and ARIZE_API_KEY")
        })?;
        let key = self.needs("ARIZE_API_KEY")?;
        let url = self.base(&["ARIZE_HTTP_ENDPOINT"], "https://otlp.arize.com/v1/traces")?;
        let headers =
            vec![("space_id".into(), Secret::new(&space)), ("api_key".into(), Secret::new(&key))];
        let mut telemetry = self.telemetry(Encoding::Protobuf);
        if let Some(project) = self.var("ARIZE_PROJECT_NAME") {
            telemetry.resource.push(("openinference.project.name".into(), project.into()));
        }
        let sink = self.sink(of_signal(&url, "traces"), headers, SinkForm::Spans(telemetry));
        Ok(Sink { messages: self.captures(), ..sink })
    }

    pub(super) fn signoz(&self) -> Result<Sink, Wrong> {
        self.needs("SIGNOZ_INGESTION_ENDPOINT")?;
        let url = self.base(&["SIGNOZ_INGESTION_ENDPOINT"], "")?;
        let key = self.var("SIGNOZ_INGESTION_KEY");
        let headers = key.map(|key| ("signoz-ingestion-key".into(), Secret::new(&key)));
        let form = SinkForm::Spans(self.telemetry(Encoding::Protobuf));
        let sink = self.sink(of_signal(&url, "traces"), headers.into_iter().collect(), form);
        Ok(Sink { messages: self.captures(), ..sink })
    }
}

/// The address of a signal below `base`, which may be that of another signal.
fn of_signal(base: &str, signal: &str) -> String {
    if base.ends_with("/v2/trace/otlp") {
        return base.to_owned();
    }
    let root = ["/v1/traces", "/v1/logs", "/v1/metrics", "/v1"];
    let root = root.iter().find_map(|tail| base.strip_suffix(tail)).unwrap_or(base);
    format!("{}/v1/{signal}", root.trim_end_matches('/'))
}

fn encoding(protocol: Option<&str>) -> Result<Encoding, Wrong> {
    match protocol {
        None | Some("http/protobuf" | "otlp_http" | "http") => Ok(Encoding::Protobuf),
        Some("http/json") => Ok(Encoding::Json),
        Some("grpc" | "otlp_grpc") => Err(Wrong::new(
            "OTLP over gRPC is not served",
            "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and the collector's HTTP address, whose port is 4318",
        )),
        Some(_) => Err(Wrong::new(
            "the protocol in OTEL_EXPORTER_OTLP_PROTOCOL or OTEL_EXPORTER is not served",
            "set it to http/protobuf or http/json",
        )),
    }
}

fn milliseconds(text: Option<String>) -> Option<u64> {
    let ms = text?.parse::<u64>().ok()?;
    (1..=TIME_MAX_MS).contains(&ms).then_some(ms)
}

/// Which requests are traced: `OTEL_TRACES_SAMPLER` and its argument.
pub(super) fn sampler(env: &Env<'_>, problems: &mut Problems) -> Sampler {
    let Some(name) = env.get("OTEL_TRACES_SAMPLER") else { return Sampler::default() };
    let name = name.trim();
    let given = env.get("OTEL_TRACES_SAMPLER_ARG").unwrap_or_default();
    let read = given.trim().parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    let share = read.unwrap_or(1.0);
    if read.is_none() && !given.trim().is_empty() && name.ends_with("traceidratio") {
        let problem = "environment variable OTEL_TRACES_SAMPLER_ARG: not a share of requests, so that all are traced";
        let hint = "set it to a number from 0 to 1, such as 0.05";
        problems.warn(At::whole(0), &Path::Root, Wrong::new(problem, hint));
    }
    match name {
        "always_on" => Sampler { share: 1.0, obeys_parent: false },
        "always_off" => Sampler { share: 0.0, obeys_parent: false },
        "traceidratio" => Sampler { share, obeys_parent: false },
        "parentbased_always_on" => Sampler::default(),
        "parentbased_always_off" => Sampler { share: 0.0, obeys_parent: true },
        "parentbased_traceidratio" => Sampler { share, obeys_parent: true },
        _ => {
            let problem = "environment variable OTEL_TRACES_SAMPLER: the sampler is unknown";
            let hint =
                "set it to parentbased_traceidratio, and OTEL_TRACES_SAMPLER_ARG to the share";
            problems.warn(At::whole(0), &Path::Root, Wrong::new(problem, hint));
            Sampler::default()
        }
    }
}
