//! The sinks that callbacks name.

use super::*;
use crate::settings::{Encoding, Gets, SinkForm, WebhookForm};

const LANGFUSE: [(&str, &str); 2] =
    [("LANGFUSE_PUBLIC_KEY", "pk-lf-1"), ("LANGFUSE_SECRET_KEY", "sk-lf-2")];

fn callbacks(text: &str, env: &[(&str, &str)]) -> Fake {
    let fake = with(&format!("litellm_settings: {{{text}}}\n"));
    env.iter().fold(fake, |fake, (name, value)| fake.env(name, value))
}

#[test]
fn langfuse_is_found_by_its_variables_and_gets_what_was_said() {
    let snapshot = callbacks("success_callback: [langfuse]", &LANGFUSE).clean();
    let settings = &snapshot.gateway.sinks;
    let [sink] = &settings.sinks[..] else { panic!("{settings:?}") };
    assert_eq!(&*sink.url, "https://cloud.langfuse.com/api/public/ingestion");
    assert_eq!(sink.gets, Gets { successes: true, failures: false });
    assert!(sink.messages && settings.wants.messages && settings.wants.steps);
    assert!(!settings.wants.trace);
    // `pk-lf-1:sk-lf-2` in base 64.
    assert_eq!(sink.headers[0].1.expose(), "Basic cGstbGYtMTpzay1sZi0y");
    let both = "success_callback: [langfuse], failure_callback: [langfuse, prometheus]";
    let snapshot = callbacks(both, &LANGFUSE).env("LANGFUSE_HOST", "http://l:3000/").clean();
    let settings = &snapshot.gateway.sinks;
    assert_eq!(settings.sinks.len(), 1);
    assert_eq!(settings.sinks[0].gets, Gets { successes: true, failures: true });
    assert_eq!(&*settings.sinks[0].url, "http://l:3000/api/public/ingestion");
    assert_eq!(settings.listed.len(), 3);
}

#[test]
fn a_sink_that_lacks_a_variable_is_told_and_gets_nothing() {
    let lacks = [
        ("langfuse", "LANGFUSE_PUBLIC_KEY is not set"),
        ("langfuse_otel", "LANGFUSE_PUBLIC_KEY is not set"),
        ("otel", "OTEL_EXPORTER_OTLP_ENDPOINT is not set"),
        ("datadog", "DD_API_KEY is not set"),
        ("langsmith", "LANGSMITH_API_KEY is not set"),
        ("generic_api", "GENERIC_LOGGER_ENDPOINT is not set"),
        ("arize", "ARIZE_SPACE_ID is not set"),
        ("signoz", "SIGNOZ_INGESTION_ENDPOINT is not set"),
        ("s3_v2", "`s3_callback_params.s3_bucket_name` is not set"),
    ];
    for (name, problem) in lacks {
        let (snapshot, warnings) = callbacks(&format!("callbacks: [{name}]"), &[]).warned();
        one(&warnings, problem);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(snapshot.gateway.sinks.sinks.is_empty());
        assert!(!snapshot.gateway.sinks.wants.any());
    }
}

#[test]
fn turn_off_message_logging_keeps_what_was_said_from_every_sink() {
    let text = "callbacks: [langfuse, generic_api], turn_off_message_logging: true";
    let fake = callbacks(text, &LANGFUSE).env("GENERIC_LOGGER_ENDPOINT", "http://h/x?y=z");
    let settings = fake.clean().gateway.sinks;
    assert_eq!(settings.sinks.len(), 2);
    assert!(settings.sinks.iter().all(|sink| !sink.messages));
    assert!(!settings.wants.messages && settings.wants.steps);
}

#[test]
fn otlp_is_found_as_opentelemetry_specifies() {
    let otel = |env: &[(&str, &str)]| callbacks("callbacks: [otel]", env).clean().gateway.sinks;
    let settings = otel(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/")]);
    assert_eq!(&*settings.sinks[0].url, "http://c:4318/v1/traces");
    let wants = settings.wants;
    assert!(
        wants.trace && !wants.messages && !wants.steps,
        "spans need the steps of traced requests"
    );
    let settings = otel(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:1/as/it/is"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://d:2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=a%20b, x=y"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_SERVICE_NAME", "front"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a,service.name=other"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true"),
    ]);
    let urls: Vec<&str> = settings.sinks.iter().map(|sink| &*sink.url).collect();
    assert_eq!(urls, ["http://c:1/as/it/is", "http://d:2/v1/logs", "http://d:2/v1/metrics"]);
    let [spans, logs, metrics] = &settings.sinks[..] else { panic!("{settings:?}") };
    assert_eq!((&*spans.headers[0].0, spans.headers[0].1.expose()), ("api-key", "a b"));
    assert!(spans.messages && logs.messages && !metrics.messages);
    assert!(settings.sinks.iter().all(|sink| sink.gets.successes && sink.gets.failures));
    let SinkForm::Spans(telemetry) = &spans.form else { panic!("{spans:?}") };
    assert_eq!((&*telemetry.service, telemetry.encoding), ("front", Encoding::Json));
    assert_eq!(&*telemetry.resource[0].0, "team");
    let settings = otel(&[("OTEL_ENDPOINT", "https://c/v1/traces"), ("OTEL_SDK_DISABLED", "true")]);
    assert!(settings.sinks.is_empty());
    let grpc = [("OTEL_EXPORTER", "otlp_grpc"), ("OTEL_ENDPOINT", "http://c:4317")];
    one(&callbacks("callbacks: [otel]", &grpc).warned().1, "OTLP over gRPC is not served");
}

#[test]
fn a_sampler_is_read_and_an_unknown_one_is_told() {
    let sampler = |name: &str, arg: &str| {
        let env = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_TRACES_SAMPLER", name),
            ("OTEL_TRACES_SAMPLER_ARG", arg),
        ];
        callbacks("callbacks: [otel]", &env)
    };
    let read = sampler("parentbased_traceidratio", "0.05").clean().gateway.sinks.sampler;
    assert!(read.obeys_parent && (read.share - 0.05).abs() < 1e-9);
    assert!(!sampler("always_off", "").clean().gateway.sinks.sampler.obeys_parent);
    one(&sampler("jaeger_remote", "").warned().1, "OTEL_TRACES_SAMPLER: the sampler is unknown");
    one(&sampler("traceidratio", "5%").warned().1, "OTEL_TRACES_SAMPLER_ARG: not a share");
}

#[test]
fn webhooks_have_headers_and_a_form_and_names_of_their_own() {
    let yaml = "callback_settings:\n  audit:\n    callback_type: generic_api\n    endpoint: \
                'https://{{environment_variables.AUDIT_HOST}}/in'\n    headers: {X-Key: \
                '{{environment_variables.AUDIT_KEY}}'}\n    log_format: ndjson\n  langfuse: \
                {message_logging: false, sample_rate: 0.5}\nlitellm_settings: {callbacks: [audit, langfuse]}\n";
    let fake = with(yaml).env("AUDIT_HOST", "audit.example").env("AUDIT_KEY", "k");
    let fake = LANGFUSE.iter().fold(fake, |fake, (name, value)| fake.env(name, value));
    let settings = fake.clean().gateway.sinks;
    let [audit, langfuse] = &settings.sinks[..] else { panic!("{settings:?}") };
    assert_eq!((&*audit.name, &*audit.url), ("audit", "https://audit.example/in"));
    assert_eq!((&*audit.headers[0].0, audit.headers[0].1.expose()), ("x-key", "k"));
    assert_eq!(audit.form, SinkForm::Webhook(WebhookForm::Lines));
    assert!(!langfuse.messages && (langfuse.share - 0.5).abs() < 1e-9);
}

#[test]
fn a_bucket_is_addressed_as_its_server_wants() {
    let s3 = |params: &str| {
        let text = format!("callbacks: [s3_v2, s3], s3_callback_params: {{{params}}}");
        let keys = [("AWS_ACCESS_KEY_ID", "AKIA1"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let settings = callbacks(&text, &keys).clean().gateway.sinks;
        assert_eq!(settings.sinks.len(), 1);
        settings.sinks[0].clone()
    };
    let own = s3("s3_bucket_name: logs, s3_region_name: eu-central-1, s3_path: a/b/");
    assert_eq!(&*own.url, "https://logs.s3.eu-central-1.amazonaws.com");
    let SinkForm::S3(form) = &own.form else { panic!("{own:?}") };
    assert_eq!((&*form.prefix, &*form.region), ("a/b/", "eu-central-1"));
    let other = s3("s3_bucket_name: logs, s3_endpoint_url: 'http://minio:9000/'");
    assert_eq!(&*other.url, "http://minio:9000/logs");
}

#[test]
fn an_address_that_cannot_be_one_is_told_without_its_text() {
    for address in ["http://user:secret1@h/", "ftp://h", "http://h/a b", "http://"] {
        let env = [("GENERIC_LOGGER_ENDPOINT", address)];
        let (snapshot, warnings) = callbacks("callbacks: [generic_api]", &env).warned();
        one(&warnings, "GENERIC_LOGGER_ENDPOINT");
        assert!(!warnings[0].contains("secret1"), "{warnings:?}");
        assert!(snapshot.gateway.sinks.sinks.is_empty());
    }
}

#[test]
fn settings_of_a_sink_that_have_no_effect_are_told() {
    let text = "callbacks: [s3], s3_callback_params: {s3_bucket_name: b, s3_aws_role_name: r, s3_use_ssl: null}";
    let keys = [("AWS_ACCESS_KEY_ID", "AKIA1"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let (snapshot, warnings) = callbacks(text, &keys).warned();
    one(&warnings, "s3_callback_params.s3_aws_role_name: not served: ignored");
    assert_eq!((warnings.len(), snapshot.gateway.sinks.sinks.len()), (1, 1), "{warnings:?}");
    let yaml = "callback_settings: {generic_api: {event_types: [llm_api_failure], batch_size: 3}}\n\
                litellm_settings: {callbacks: [generic_api]}\n";
    let (snapshot, warnings) = with(yaml).env("GENERIC_LOGGER_ENDPOINT", "http://h/").warned();
    one(&warnings, "callback_settings.batch_size: not served: ignored");
    let gets = Gets { successes: false, failures: true };
    assert_eq!(snapshot.gateway.sinks.sinks[0].gets, gets);
}
