"""What sinks are sent, read by their vendors' own libraries: OpenTelemetry's schema, Langfuse's models, botocore's signer."""

from __future__ import annotations

import base64
import datetime
import json
import time

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from langfuse.api import IngestionEvent_GenerationCreate, IngestionEvent_TraceCreate
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from asking import HELLO, ask_raw
from gateway import deployment
from upstream import PATIENCE, Plan, answer, error, reply

HEADERS = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=b"}


def wait_for(server, count, path=None):
    """The first requests to a sink, once so many came."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = [one for one in server.requests if path is None or one.path == path]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {count} requests came"
        time.sleep(0.02)


def whole(kind, body):
    """A message of OpenTelemetry, none of whose fields is unknown to the schema."""
    message = kind.FromString(body)
    assert kind.FromString(message.SerializeToString(deterministic=True)) == message
    assert unknown_fields(message) == []
    return message


def unknown_fields(message):
    from google.protobuf.unknown_fields import UnknownFieldSet
    found = [field.field_number for field in UnknownFieldSet(message)]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                found += unknown_fields(one)
    return found


def attributes(holder):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in holder.attributes}


def test_spans_are_read_by_the_official_schema(hale, upstream):
    collector = upstream(Plan(then=reply(b"", content_type="application/x-protobuf")))
    bad, good = upstream(Plan(then=error(500))), upstream()
    gateway = hale(deployment("smart", bad, model="openai/gpt-4o"), deployment("spare", good, model="openai/gpt-4o", id="b"),
                   litellm={"callbacks": ["otel"], "num_retries": 0},
                   router={"fallbacks": [{"smart": ["spare"]}], "num_retries": 0},
                   environment={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "front",
                                "OTEL_LOGS_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp",
                                "OTEL_METRIC_EXPORT_INTERVAL": "300",
                                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"})
    client = gateway.client()
    client.chat.completions.create(model="smart", messages=HELLO, extra_headers=HEADERS)
    sent = wait_for(collector, 1, "/v1/traces")[0]
    assert sent.header("content-type") == "application/x-protobuf"
    [of_resource] = whole(ExportTraceServiceRequest, sent.body).resource_spans
    assert attributes(of_resource.resource)["service.name"] == "front"
    root, first, second = of_resource.scope_spans[0].spans
    assert {span.trace_id.hex() for span in (root, first, second)} == {HEADERS["traceparent"][3:35]}
    assert root.parent_span_id.hex() == "00f067aa0ba902b7" and root.kind == Span.SPAN_KIND_SERVER
    assert all(child.parent_span_id == root.span_id and child.kind == Span.SPAN_KIND_CLIENT for child in (first, second))
    assert root.start_time_unix_nano <= first.start_time_unix_nano <= first.end_time_unix_nano
    assert first.end_time_unix_nano <= second.end_time_unix_nano <= root.end_time_unix_nano
    shown = attributes(root)
    assert shown["gen_ai.operation.name"] == "chat" and shown["gen_ai.usage.output_tokens"] > 0
    assert json.loads(shown["gen_ai.input.messages"])[0]["role"] == "user"
    assert attributes(second)["hale.deployment"] == "b" and attributes(first)["error.type"] == "server_error"
    log = whole(ExportLogsServiceRequest, wait_for(collector, 1, "/v1/logs")[0].body)
    [record] = log.resource_logs[0].scope_logs[0].log_records
    assert record.span_id == root.span_id and record.severity_text == "INFO"
    metrics = whole(ExportMetricsServiceRequest, wait_for(collector, 1, "/v1/metrics")[0].body)
    found = {one.name: one for one in metrics.resource_metrics[0].scope_metrics[0].metrics}
    assert found["hale_requests"].sum.is_monotonic and found["hale_connections"].WhichOneof("data") == "gauge"
    for point in found["hale_request_duration_seconds"].histogram.data_points:
        assert len(point.bucket_counts) == len(point.explicit_bounds) + 1 and sum(point.bucket_counts) == point.count


def test_spans_that_a_collector_rejects_are_counted(hale, upstream):
    partial = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=1, error_message="too old"))
    collector = upstream(Plan(then=reply(partial.SerializeToString(), content_type="application/x-protobuf")))
    gateway = hale(deployment("smart", upstream()), litellm={"callbacks": ["otel"]},
                   environment={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    ask_raw(gateway)
    wait_for(collector, 1)
    deadline = time.monotonic() + PATIENCE
    while not any("too old" in line for line in gateway.output):
        assert time.monotonic() < deadline, gateway.output
        time.sleep(0.02)


@pytest.mark.parametrize("stream", [False, True])
def test_events_of_langfuse_are_read_by_its_own_models(hale, upstream, stream):
    langfuse = upstream(Plan(then=reply({"successes": [], "errors": []}, status=207)))
    gateway = hale(deployment("smart", upstream(Plan(then=answer("Hello there")))), litellm={"callbacks": ["langfuse"]},
                   environment={"LANGFUSE_HOST": langfuse.url, "LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-2"})
    done = gateway.client().chat.completions.create(
        model="smart", messages=HELLO, stream=stream, temperature=0.5,
        extra_body={"metadata": {"session_id": "s", "tags": ["a", "b"]}})
    if stream:
        list(done)
    sent = wait_for(langfuse, 1)[0]
    assert base64.b64decode(sent.header("authorization").removeprefix("Basic ")) == b"pk-lf-1:sk-lf-2"
    first, second = sent.json["batch"]
    trace = IngestionEvent_TraceCreate.parse_obj(first)
    generation = IngestionEvent_GenerationCreate.parse_obj(second)
    assert trace.body.session_id == "s" and trace.body.tags == ["a", "b"]
    assert generation.body.trace_id == trace.body.id and generation.body.end_time >= generation.body.start_time
    assert generation.body.output["content"] == "Hello there"
    assert generation.body.usage_details["total"] == generation.body.usage_details["input"] + generation.body.usage_details["output"]
    # Nothing is sent under a name that the models do not have.
    for model, event in ((trace.body, first["body"]), (generation.body, second["body"])):
        names = {field.alias for field in type(model).__fields__.values()}
        assert set(event) <= names, set(event) - names


def test_an_object_of_s3_is_signed_as_botocore_signs_it(hale, upstream, monkeypatch):
    bucket = upstream(Plan(then=reply(b"", content_type="application/xml")))
    gateway = hale(deployment("smart", upstream()),
                   litellm={"callbacks": ["s3_v2"],
                            "s3_callback_params": {"s3_bucket_name": "logs", "s3_endpoint_url": bucket.url,
                                                   "s3_region_name": "eu-central-1", "s3_path": "a b"}},
                   environment={"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret/with+signs",
                                "AWS_SESSION_TOKEN": "a-token"})
    ask_raw(gateway)
    [sent] = wait_for(bucket, 1)
    signed_at = datetime.datetime.strptime(sent.header("x-amz-date"), "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)

    own = AWSRequest("PUT", bucket.url + sent.path, data=sent.body)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: signed_at)
    S3SigV4Auth(Credentials("AKIATEST", "secret/with+signs", "a-token"), "s3", "eu-central-1").add_auth(own)
    assert sent.header("authorization") == own.headers["Authorization"]
    assert "/logs/a%20b/" in sent.path
