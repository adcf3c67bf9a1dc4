"""Chat completions without trouble: what the client gets, and what the upstream gets."""

import json

import pytest

from asking import HELLO, ask
from gateway import MASTER_KEY, deployment
from upstream import UPSTREAM_MODEL, chat_body, reply


def test_an_answer_has_content_usage_and_the_requested_model(hale, upstream):
    gateway = hale(deployment("smart", upstream()))
    got = ask(gateway)
    assert got.choices[0].message.content == "Hello world"
    assert got.choices[0].finish_reason == "stop"
    assert got.usage.total_tokens == 15
    assert got.model == "smart"


def test_nothing_of_an_answer_changes_but_its_model(hale, upstream):
    sent = (b'{ "model" : "%s",\n  "choices":[{"index":0, "message":{"role":"assistant",'
            b'"content":"h\\u00e9 \xe2\x98\x83"},"finish_reason":"stop","logprobs":null}],'
            b' "usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}, "x":1.50e-3,'
            b' "nested": {"model":"%s"} }' % ((UPSTREAM_MODEL.encode(),) * 2))
    gateway = hale(deployment("smart", upstream(reply(sent))))
    got = gateway.post("/v1/chat/completions", {"model": "smart", "messages": HELLO})
    assert got.status == 200
    assert got.body == sent.replace(UPSTREAM_MODEL.encode(), b"smart", 1)
    assert got.headers["content-type"].startswith("application/json")


def test_the_upstream_gets_its_own_model_name_and_key_and_never_the_clients_key(hale, upstream):
    up = upstream()
    gateway = hale(deployment("smart", up, model="openai/gpt-4o-mini", api_key="sk-of-the-deployment"))
    ask(gateway)
    [request] = up.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.json["model"] == "gpt-4o-mini"
    assert request.json["messages"] == HELLO
    assert request.header("authorization") == "Bearer sk-of-the-deployment"
    assert MASTER_KEY.encode() not in request.raw()


@pytest.mark.parametrize("header", ["api-key", "x-api-key", "x-goog-api-key",
                                    "Ocp-Apim-Subscription-Key", "x-litellm-api-key"])
def test_a_key_in_any_accepted_header_stays_here(hale, upstream, header):
    up = upstream()
    gateway = hale(deployment("smart", up))
    got = gateway.post("/v1/chat/completions", {"model": "smart", "messages": HELLO}, {header: MASTER_KEY})
    assert got.status == 200
    assert up.requests[0].header("authorization") == "Bearer sk-upstream-secret"
    assert MASTER_KEY.encode() not in up.requests[0].raw()


def test_a_request_reaches_the_upstream_byte_for_byte_but_for_its_model(hale, upstream):
    up = upstream()
    gateway = hale(deployment("smart", up))
    sent = (b'{ "x_first":{"b":1.50,"a":[1,  2], "model":"smart"},\n\t"model" : "smart",'
            b'"messages":[{"role":"user","content":"h\\u00e9 \xe2\x98\x83 \\/"}],"temperature":1e0,'
            b'"big":12345678901234567890 }')
    assert gateway.post("/v1/chat/completions", sent).status == 200
    assert up.requests[0].body == sent.replace(b'"model" : "smart"', b'"model" : "gpt-4o-mini"')


def test_unknown_fields_of_an_extra_body_survive(hale, upstream):
    up = upstream()
    extra = {"x_vendor": {"top_k": 40, "list": [1, 2.5, None, "ü"]}, "chat_template_kwargs": {"think": False}}
    ask(hale(deployment("smart", up)), extra_body=extra)
    sent = up.requests[0].json
    assert {key: sent[key] for key in extra} == extra
    assert set(sent) == {"model", "messages", *extra}


def test_control_fields_stay_here(hale, upstream):
    up = upstream()
    ask(hale(deployment("smart", up)), extra_body={"num_retries": 1, "fallbacks": [], "timeout": 30})
    assert set(up.requests[0].json) == {"model", "messages"}


def test_logprobs_are_readable_and_unknown_fields_are_kept(hale, upstream):
    body = chat_body("Hi", x_vendor={"queue_ms": 3}, service_tier="default", system_fingerprint="fp_1")
    body["choices"][0]["logprobs"] = {
        "content": [{"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": []}],
        "refusal": None}
    body["choices"][0]["message"]["reasoning_content"] = "greet"
    got = ask(hale(deployment("smart", upstream(reply(body)))), logprobs=True)
    assert got.choices[0].logprobs.content[0].logprob == -0.25
    assert got.choices[0].message.model_extra["reasoning_content"] == "greet"
    assert got.model_extra["x_vendor"] == {"queue_ms": 3}
    assert (got.system_fingerprint, got.service_tier) == ("fp_1", "default")


def test_tools_reach_the_upstream_in_their_order(hale, upstream):
    up = upstream()
    parameters = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "find", "parameters": parameters}}]
    ask(hale(deployment("smart", up)), tools=tools)
    assert json.dumps(up.requests[0].json["tools"]) == json.dumps(tools)


def test_a_mock_response_is_answered_without_an_upstream(hale):
    gateway = hale(deployment("smart", model="openai/gpt-4o", mock_response="I am a mock"))
    whole = ask(gateway)
    assert whole.choices[0].message.content == "I am a mock"
    assert whole.model == "smart"
    chunks = list(ask(gateway, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "I am a mock"
    assert {chunk.model for chunk in chunks} == {"smart"}
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
