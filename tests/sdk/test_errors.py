"""Errors: the SDK's exception, the OpenAI shape, and what they say beyond it."""

import time

import openai
import pytest

from asking import HELLO, ask, ask_raw
from gateway import MASTER_KEY, deployment
from upstream import Plan, answer, bad_key, error, rate_limited, silence, too_long

UNSUPPORTED = error(400, "Unsupported value: 'temperature' does not support 7 with this model.",
                    "invalid_request_error", "temperature", "unsupported_value")


def assert_shape(failure: openai.APIStatusError):
    """The four fields, `code` being the status as a string."""
    body = failure.body
    assert {"message", "type", "param", "code"} <= set(body)
    assert body["code"] == str(failure.status_code)
    assert MASTER_KEY not in failure.response.text
    assert "sk-upstream-secret" not in failure.response.text
    assert failure.response.headers["content-type"].startswith("application/json")


def test_a_wrong_key_is_an_authentication_error(hale, upstream):
    up = upstream()
    gateway = hale(deployment("smart", up))
    wrong = gateway.client(api_key="sk-test-ffffffffffffffff")
    with pytest.raises(openai.AuthenticationError) as refused:
        wrong.chat.completions.create(model="smart", messages=HELLO)
    assert_shape(refused.value)
    assert refused.value.body["type"] == "auth_error"
    assert "sk-test-ffffffffffffffff" not in refused.value.response.text
    with pytest.raises(openai.AuthenticationError):
        wrong.models.list()
    assert up.requests == []


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer "}, {"authorization": MASTER_KEY[:-1]},
                                     {"authorization": f"Bearer {MASTER_KEY}x"}],
                         ids=["none", "empty", "shorter, bare", "longer"])
def test_a_missing_or_malformed_key_is_refused_before_anything_else(hale, upstream, headers):
    got = hale(deployment("smart", upstream())).post("/v1/chat/completions", b"not even JSON", headers)
    assert got.status == 401
    assert got.json["error"]["code"] == "401"
    assert got.json["error"]["type"] == "auth_error"
    assert got.json["error"]["message"]


def test_an_unknown_model_names_the_nearest(hale, upstream):
    gateway = hale(deployment("gpt-4o-mini", upstream()), deployment("claude-sonnet", upstream()))
    with pytest.raises(openai.BadRequestError) as unknown:
        ask(gateway, model="gpt-4o-mimi")
    assert_shape(unknown.value)
    assert unknown.value.body["type"] == "invalid_request_error"
    assert unknown.value.body["reason"] == "unknown_model"
    assert "gpt-4o-mimi" in unknown.value.body["message"]
    assert "gpt-4o-mini" in unknown.value.body["message"]


@pytest.mark.parametrize("path, param", [("/chat/completions", "messages"), ("/embeddings", "input"),
                                         ("/completions", "prompt")])
def test_a_request_without_its_one_required_field_is_told_which(hale, upstream, path, param):
    up = upstream()
    client = hale(deployment("smart", up)).client()
    with pytest.raises(openai.BadRequestError) as missing:
        client.post(path, cast_to=object, body={"model": "smart"})
    assert_shape(missing.value)
    assert missing.value.param == param
    assert f"Missing required parameter: '{param}'" in missing.value.body["message"]
    assert up.requests == []


def test_a_body_that_is_not_json_is_a_bad_request(hale, upstream):
    got = hale(deployment("smart", upstream())).post("/v1/chat/completions", b'{"model": "smart", ')
    assert got.status == 400
    assert got.json["error"]["type"] == "invalid_request_error"
    assert got.json["error"]["code"] == "400"


def test_a_providers_complaint_is_relayed_and_not_tried_again(hale, upstream):
    plan = Plan(UNSUPPORTED, answer())
    gateway = hale(deployment("smart", upstream(plan)), deployment("smart", upstream(plan)))
    with pytest.raises(openai.BadRequestError) as refused:
        ask(gateway, temperature=7)
    assert_shape(refused.value)
    assert "Unsupported value: 'temperature' does not support 7" in refused.value.body["message"]
    assert refused.value.param == "temperature"
    assert refused.value.type == "invalid_request_error"
    assert len(plan.order) == 1


def test_a_prompt_that_is_too_long_says_so(hale, upstream):
    gateway = hale(deployment("smart", upstream(too_long())))
    with pytest.raises(openai.BadRequestError) as refused:
        ask(gateway)
    assert_shape(refused.value)
    assert "maximum context length is 8192 tokens" in refused.value.body["message"]
    assert refused.value.param == "messages"


def test_a_rate_limit_everywhere_is_a_rate_limit_error_with_the_time_left(hale, upstream):
    plan = Plan(then=rate_limited(60))
    gateway = hale(deployment("smart", upstream(plan), id="dep-a"),
                   deployment("smart", upstream(plan), id="dep-b"))
    with pytest.raises(openai.RateLimitError) as limited:
        ask(gateway)
    assert_shape(limited.value)
    assert 55 <= int(limited.value.response.headers["retry-after"]) <= 60
    attempts = limited.value.body["attempts"]
    assert {a["deployment"] for a in attempts} == {"dep-a", "dep-b"}
    assert {(a["status"], a["cause"]) for a in attempts} == {(429, "rate_limited")}
    assert len(plan.order) == 2  # both named a time that is too long to wait for


def test_a_provider_that_said_when_is_not_asked_before(hale, upstream):
    plan = Plan(rate_limited(30), answer())
    gateway = hale(deployment("smart", upstream(plan), id="dep-a"), router={"num_retries": 0})
    with pytest.raises(openai.RateLimitError):
        ask(gateway)
    with pytest.raises(openai.RateLimitError) as refused:
        ask(gateway)
    assert_shape(refused.value)
    assert 25 <= int(refused.value.response.headers["retry-after"]) <= 30
    [state] = refused.value.body["deployments"]
    assert (state["id"], state["model_group"], state["cause"]) == ("dep-a", "smart", "rate_limited")
    assert 0 < state["retry_after_s"] <= 30
    assert state["last_status"] == 429
    assert len(plan.order) == 1


def test_a_refused_upstream_key_says_whose_key_it_is(hale, upstream):
    gateway = hale(deployment("smart", upstream(Plan(then=bad_key())), id="azure-eu"))
    with pytest.raises(openai.AuthenticationError) as refused:
        ask(gateway)
    assert_shape(refused.value)
    assert refused.value.status_code == 401
    assert refused.value.body["reason"] == "upstream_auth"
    assert "azure-eu" in refused.value.body["message"]
    assert "yours is fine" in refused.value.body["message"]


@pytest.mark.parametrize("asked", [{"extra_headers": {"x-litellm-timeout": "0.4"}},
                                   {"extra_body": {"timeout": 0.4}}], ids=["header", "body"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_clients_own_deadline_is_a_timeout_that_blames_no_deployment(hale, upstream, asked, stream):
    up = upstream(silence())
    gateway = hale(deployment("smart", up), router={"num_retries": 0})
    began = time.monotonic()
    with pytest.raises(openai.APIStatusError) as late:
        ask(gateway, stream=stream, **asked)
    assert 0.4 <= time.monotonic() - began < 5
    assert late.value.status_code == 408
    assert_shape(late.value)
    assert late.value.body["reason"] == "deadline_exceeded"
    assert up.departure.seen.wait(5)
    assert ask(gateway).choices[0].message.content == "Hello world"


def test_a_deployments_own_timeout_is_a_timeout(hale, upstream):
    gateway = hale(deployment("smart", upstream(silence()), timeout=0.3), router={"num_retries": 0})
    with pytest.raises(openai.APIStatusError) as late:
        ask(gateway)
    assert late.value.status_code == 408
    assert [a["cause"] for a in late.value.body["attempts"]] == ["timeout"]


def test_an_upstream_that_is_not_there_is_named_by_its_deployment_only(hale, upstream):
    gone = upstream()
    gone.close()
    gateway = hale(deployment("smart", gone, id="dep-a"), router={"num_retries": 0})
    with pytest.raises(openai.InternalServerError) as failed:
        ask(gateway)
    assert failed.value.status_code == 502
    assert [(a["deployment"], a["cause"]) for a in failed.value.body["attempts"]] == [("dep-a", "connect")]


def test_an_error_has_a_call_id(hale, upstream):
    gateway = hale(deployment("smart", upstream(UNSUPPORTED)))
    with pytest.raises(openai.BadRequestError) as refused:
        ask_raw(gateway)
    assert refused.value.response.headers["x-litellm-call-id"]
