"""Every client at every wire: {openai, anthropic} x {openai, anthropic} x {whole, streamed}."""

import json

import anthropic
import openai
import pytest

from claude import (CALL, TEXT, THOUGHT, Said, answer, answer_on, ask_with, deployment_on, event, finish,
                    recorded, refusal, start)
from gateway import MASTER_KEY
from upstream import CUT, Plan, error, rate_limited, role, sse, text

CLIENTS = ["openai", "anthropic"]
WIRES = ["openai", "anthropic"]
TOKENS = {"openai": (10, 5), "anthropic": (10, 5)}


@pytest.fixture(params=WIRES)
def wire(request):
    return request.param


@pytest.fixture(params=CLIENTS)
def client(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def stream(request):
    return request.param


def test_text_arrives(hale, upstream, client, wire, stream):
    gateway = hale(deployment_on(wire, upstream(Plan(then=answer_on(wire, TEXT)))))
    assert ask_with(client, gateway, stream) == Said("Hello world", [], "end", TOKENS[wire])


def test_parallel_tool_calls_arrive(hale, upstream, client, wire, stream):
    second = {**CALL, "id": "toolu_2", "input": {"city": "Oslo"}}
    gateway = hale(deployment_on(wire, upstream(Plan(then=answer_on(wire, TEXT, CALL, second)))))
    calls = [("toolu_1", "get_weather", {"city": "Paris"}), ("toolu_2", "get_weather", {"city": "Oslo"})]
    assert ask_with(client, gateway, stream) == Said("Hello world", calls, "tools", TOKENS[wire])


def test_a_failing_wire_falls_over_to_the_other(hale, upstream, client, wire, stream):
    other = WIRES[1 - WIRES.index(wire)]
    bad, good = upstream(Plan(then=error(500))), upstream(Plan(then=answer_on(other, TEXT)))
    gateway = hale(deployment_on(wire, bad, "smart"), deployment_on(other, good, "spare"),
                   router={"fallbacks": [{"smart": ["spare"]}], "num_retries": 0})
    sdk = gateway.anthropic_client() if client == "anthropic" else gateway.client()
    if client == "anthropic":
        said = sdk.messages.create(model="smart", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        assert said.content[0].text == "Hello world"
    else:
        said = sdk.chat.completions.create(model="smart", messages=[{"role": "user", "content": "hi"}])
        assert said.choices[0].message.content == "Hello world"
    assert said.model == "spare"


def test_a_stream_that_breaks_before_its_content_is_tried_again(hale, upstream, client, wire):
    broken = sse(start(), CUT) if wire == "anthropic" else sse(role(), CUT)
    up = upstream(broken, answer_on(wire, TEXT))
    gateway = hale(deployment_on(wire, up), router={"num_retries": 1, "cooldown_time": 0})
    assert ask_with(client, gateway, True).text == "Hello world"
    assert len(up.requests) == 2


def test_a_stream_that_breaks_after_content_ends_with_an_error(hale, upstream, client, wire):
    hello = event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}})
    begin = event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    broken = sse(start(), begin, hello, CUT) if wire == "anthropic" else sse(role(), text("Hel"), CUT)
    gateway = hale(deployment_on(wire, upstream(broken)))
    expected = anthropic.APIStatusError if client == "anthropic" else openai.APIError
    with pytest.raises(expected) as raised:
        ask_with(client, gateway, True)
    assert "upstream_stream_interrupted" in json.dumps(raised.value.body)


REFUSALS = [
    ("anthropic", "anthropic/error-auth.json", "AuthenticationError"),
    ("anthropic", "anthropic/error-permission.json", "PermissionDeniedError"),
    ("anthropic", "anthropic/error-not-found.json", "NotFoundError"),
    ("anthropic", "anthropic/error-rate-limit.json", "RateLimitError"),
    ("anthropic", "anthropic/error-overloaded.json", "InternalServerError"),
    ("anthropic", "anthropic/error-context-length.json", "BadRequestError"),
    ("anthropic", "anthropic/error-content-policy.json", "BadRequestError"),
    ("anthropic", "anthropic/error-credit-balance.json", "BadRequestError"),
    ("openai", "openai/error-auth.json", "AuthenticationError"),
    ("openai", "openai/error-not-found.json", "NotFoundError"),
    ("openai", "openai/error-rate-limit.json", "RateLimitError"),
    ("openai", "openai/error-quota.json", "RateLimitError"),
    ("openai", "openai/error-context-length.json", "BadRequestError"),
]


@pytest.mark.parametrize(("provider", "name", "raised"), REFUSALS, ids=[row[1] for row in REFUSALS])
def test_a_refusal_is_the_exception_that_the_provider_itself_would_cause(
        hale, upstream, client, provider, name, raised):
    file, refusing = recorded(name)
    gateway = hale(deployment_on(provider, upstream(Plan(then=refusing))), router={"num_retries": 0})
    sdk = {"anthropic": anthropic, "openai": openai}[client]
    # The SDK has a class of its own for this status since its second version.
    expected = getattr(sdk, raised)
    with pytest.raises(sdk.APIStatusError) as caught:
        ask_with(client, gateway, False)
    assert isinstance(caught.value, (expected, sdk.InternalServerError if file["status"] >= 500 else expected))
    assert caught.value.status_code == file["status"]
    body = caught.value.response.json()
    assert body["error"]["message"] and body["error"]["attempts"][0]["cause"] == file["cause"]
    if client == "anthropic":
        assert body["type"] == "error" and body["error"]["type"].endswith(("_error", "too_large"))
    else:
        assert body["error"]["code"] == str(file["status"])


def test_the_gateways_own_refusals_have_the_clients_format(hale, upstream):
    gateway = hale(deployment_on("openai", upstream()))
    hello = {"model": "smart", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    for body, headers, status, kind, reason in [
        ({**hello, "model": "nope"}, None, 400, "invalid_request_error", "unknown_model"),
        ({"model": "smart", "messages": hello["messages"]}, None, 400, "invalid_request_error", "missing_parameter"),
        ({**hello, "messages": []}, None, 400, "invalid_request_error", "invalid_parameter"),
        ({**hello, "top_k": 3}, None, 400, "invalid_request_error", "unsupported_parameter"),
        (b"{", None, 400, "invalid_request_error", "invalid_json"),
        (hello, {}, 401, "authentication_error", "missing_api_key"),
        (hello, {"x-api-key": "sk-wrong"}, 401, "authentication_error", "invalid_api_key"),
    ]:
        refused = gateway.post("/v1/messages", body, headers)
        assert refused.status == status, refused.body
        assert refused.json["type"] == "error"
        assert refused.json["error"]["type"] == kind, refused.body
        assert refused.json["error"]["reason"] == reason, refused.body
    with pytest.raises(anthropic.BadRequestError, match="top_k"):
        gateway.anthropic_client().messages.create(**hello, extra_body={"top_k": 3})


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_both_headers_of_the_anthropic_sdks_open_the_door(hale, upstream, header):
    gateway = hale(deployment_on("anthropic", upstream(Plan(then=answer()))))
    value = MASTER_KEY if header == "x-api-key" else f"Bearer {MASTER_KEY}"
    body = {"model": "smart", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    assert gateway.post("/v1/messages", body, {header: value}).status == 200


def test_thoughts_reach_a_chat_client_and_come_back(hale, upstream, stream):
    up = upstream(Plan(then=answer(THOUGHT, {"type": "redacted_thinking", "data": "RW0="}, TEXT, CALL,
                                   stop_reason="tool_use")))
    client = hale(deployment_on("anthropic", up)).client()
    hello = [{"role": "user", "content": "hi"}]
    if stream:
        thoughts, blocks = "", []
        for chunk in client.chat.completions.create(model="smart", messages=hello, stream=True):
            delta = chunk.choices[0].delta
            thoughts += getattr(delta, "reasoning_content", None) or ""
            blocks += getattr(delta, "thinking_blocks", None) or []
        # A client joins the pieces of a thought and puts the signature to it.
        signatures = [one["signature"] for one in blocks if one.get("signature")]
        redacted = [one for one in blocks if one["type"] == "redacted_thinking"]
        whole = [{"type": "thinking", "thinking": thoughts, "signature": signatures[0]}, *redacted]
        message = {"role": "assistant", "content": "Hello world", "thinking_blocks": whole}
    else:
        choice = client.chat.completions.create(model="smart", messages=hello).choices[0]
        assert choice.message.reasoning_content == "Hm."
        message = choice.message.model_dump(exclude_none=True)
        message = {key: message[key] for key in ("role", "content", "thinking_blocks")}
    client.chat.completions.create(model="smart", messages=[*hello, message])
    content = up.requests[-1].json["messages"][1]["content"]
    assert content[:2] == [THOUGHT, {"type": "redacted_thinking", "data": "RW0="}]


def test_a_rate_limit_carries_its_time(hale, upstream, client):
    for up, wire in [(upstream(Plan(then=rate_limited(7))), "openai"),
                     (upstream(Plan(then=refusal(429, "rate_limit_error", "slow", {"retry-after": "7"}))), "anthropic")]:
        gateway = hale(deployment_on(wire, up), router={"num_retries": 0})
        sdk = {"anthropic": anthropic, "openai": openai}[client]
        with pytest.raises(sdk.RateLimitError) as caught:
            ask_with(client, gateway, False)
        assert caught.value.response.headers["retry-after"] == "7"


def test_tokens_are_counted_by_the_provider_or_estimated(hale, upstream):
    gateway = hale(deployment_on("anthropic", upstream(Plan(then=answer())), "claude"),
                   deployment_on("openai", upstream(), "gpt"))
    client = gateway.anthropic_client()
    hello = [{"role": "user", "content": "How many tokens are in this?"}]
    counted = client.messages.count_tokens(model="claude", messages=hello)
    assert counted.input_tokens == 42 and not hasattr(counted, "estimated")
    estimated = client.messages.count_tokens(model="gpt", messages=hello, system="Be brief.")
    assert 5 < estimated.input_tokens < 30 and estimated.estimated is True


def test_a_canned_answer_speaks_to_both_clients(hale, upstream, client, stream):
    entry = {"model_name": "smart", "litellm_params": {
        "model": "anthropic/claude-x", "api_key": "none", "mock_response": "Hello world"}}
    said = ask_with(client, hale(entry), stream)
    assert (said.text, said.reason) == ("Hello world", "end")
