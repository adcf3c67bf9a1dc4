"""Response headers: `x-litellm-*` is an interface."""

import json

import pytest

from asking import HELLO, ask_raw
from gateway import MASTER_KEY, ROOT, deployment
from upstream import USAGE, answer


def test_headers_say_who_served_and_after_what(hale, upstream):
    raw = ask_raw(hale(deployment("smart", upstream(), id="dep-a")))
    assert raw.headers["x-litellm-model-id"] == "dep-a"
    assert raw.headers["x-litellm-model-group"] == "smart"
    assert raw.headers["x-litellm-attempted-retries"] == "0"
    assert raw.headers["x-litellm-attempted-fallbacks"] == "0"
    assert raw.headers["x-litellm-version"] == "1.106.2"


def test_every_call_has_an_id_of_its_own(hale, upstream):
    gateway = hale(deployment("smart", upstream()))
    ids = {ask_raw(gateway).headers["x-litellm-call-id"] for _ in range(3)}
    assert len(ids) == 3 and all(ids)


def test_the_cost_is_that_of_the_deployments_model(hale, upstream):
    prices = json.loads((ROOT / "crates/core/data/prices.json").read_text())["gpt-4o"]
    expected = (USAGE["prompt_tokens"] * prices["input_cost_per_token"]
                + USAGE["completion_tokens"] * prices["output_cost_per_token"])
    gateway = hale(deployment("smart", upstream(), model="openai/gpt-4o"))
    assert float(ask_raw(gateway).headers["x-litellm-response-cost"]) == pytest.approx(expected)
    assert expected > 0


def test_a_stream_has_the_same_headers_but_no_cost(hale, upstream):
    gateway = hale(deployment("smart", upstream(), id="dep-a", model="openai/gpt-4o"))
    with gateway.client().chat.completions.with_streaming_response.create(
            model="smart", messages=HELLO, stream=True) as raw:
        assert raw.headers["x-litellm-model-id"] == "dep-a"
        assert raw.headers["x-litellm-model-group"] == "smart"
        assert raw.headers["x-litellm-attempted-retries"] == "0"
        assert raw.headers["x-litellm-version"] == "1.106.2"
        assert raw.headers["x-litellm-call-id"]
        assert "x-litellm-response-cost" not in raw.headers


def test_a_providers_headers_are_repeated_under_its_prefix_without_cookies(hale, upstream):
    sent = {"openai-processing-ms": "12", "x-request-id": "req_1", "set-cookie": "session=secret"}
    raw = ask_raw(hale(deployment("smart", upstream(answer("hi", headers=sent)))))
    assert raw.headers["llm_provider-openai-processing-ms"] == "12"
    assert raw.headers["llm_provider-x-request-id"] == "req_1"
    assert "session=secret" not in str(raw.headers)


def test_no_header_repeats_a_key(hale, upstream):
    raw = ask_raw(hale(deployment("smart", upstream())))
    assert MASTER_KEY not in str(raw.headers)
    assert "sk-upstream-secret" not in str(raw.headers)
