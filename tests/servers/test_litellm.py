"""Hale in front of LiteLLM's proxy, as the program that it is.

Run by `scripts/test --long`, which installs it to the folder that `HALE_SERVERS` names; without it every test here is
skipped. Always true: LiteLLM answers by itself, and calls no provider.
"""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.request
from collections import Counter

import pytest

from gateway import MASTER_KEY

INSTALLED = os.environ.get("HALE_SERVERS")
KEY = "sk-inner-0123456789"
WORDS = "hello from the inner gateway"
HI = [{"role": "user", "content": "hi"}]
#: Longest start, seconds.
PATIENCE = 180.0

pytestmark = pytest.mark.skipif(INSTALLED is None, reason="HALE_SERVERS names no folder with LiteLLM")


@pytest.fixture(scope="module")
def litellm(tmp_path_factory):
    """A running proxy: its port."""
    home = tmp_path_factory.mktemp("litellm")
    params = {"model": "openai/x", "api_key": "none", "mock_response": WORDS}
    config = {"model_list": [{"model_name": "good", "litellm_params": params}], "general_settings": {"master_key": KEY}}
    (home / "config.yaml").write_text(json.dumps(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = pathlib.Path(INSTALLED or "") / "python-litellm" / "bin" / "litellm"
    process = subprocess.Popen(
        [program, "--config", home / "config.yaml", "--port", str(port), "--host", "127.0.0.1"],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while not is_up(port):
            assert process.poll() is None and time.monotonic() < deadline, "LiteLLM did not start"
            time.sleep(0.2)
        yield port
    finally:
        process.kill()
        process.wait()


def is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def member(port: int, id: str, model: str, key: str = KEY) -> dict:
    params = {"model": f"openai/{model}", "api_key": key, "api_base": f"http://127.0.0.1:{port}/v1"}
    return {"model_name": "g", "litellm_params": params, "model_info": {"id": id}}


def health(url: str) -> dict[str, tuple[str, str | None]]:
    """The status and cause of each deployment."""
    request = urllib.request.Request(f"{url}/health", headers={"authorization": f"Bearer {MASTER_KEY}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        page = json.load(answer)
    entries = page["healthy_endpoints"] + page["unhealthy_endpoints"] + page["unchecked_endpoints"]
    return {entry["model_id"]: (entry["status"], entry.get("cause")) for entry in entries}


def test_members_with_a_wrong_model_or_key_fail_no_request(hale, litellm):
    gateway = hale(member(litellm, "good", "good"), member(litellm, "wrong-model", "nosuch"),
                   member(litellm, "wrong-key", "good", "sk-wrong-0123456789"))
    answers = [gateway.post("/v1/chat/completions", {"model": "g", "messages": HI}) for _ in range(20)]
    assert Counter((one.status, one.headers.get("x-litellm-model-id")) for one in answers) == {(200, "good"): 20}
    assert health(gateway.url) == {"good": ("healthy", None), "wrong-model": ("unhealthy", "not_found"),
                                   "wrong-key": ("unhealthy", "auth")}


def test_usage_that_the_client_did_not_ask_for_is_withheld(hale, litellm):
    client = hale(member(litellm, "good", "good")).client()
    chunks = list(client.chat.completions.create(model="g", messages=HI, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == WORDS
    assert all(chunk.usage is None for chunk in chunks)
    asked = list(client.chat.completions.create(model="g", messages=HI, stream=True,
                                                stream_options={"include_usage": True}))
    # LiteLLM gives the event of the usage an empty choice. It passes as it is.
    assert [chunk.usage is not None for chunk in asked] == [False] * (len(asked) - 1) + [True]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in asked if chunk.choices) == WORDS


def test_a_client_of_messages_is_served(hale, litellm):
    client = hale(member(litellm, "good", "good")).anthropic_client()
    said = client.messages.create(model="g", max_tokens=9, messages=HI)
    assert [block.text for block in said.content] == [WORDS]
    with client.messages.stream(model="g", max_tokens=9, messages=HI) as stream:
        assert "".join(stream.text_stream) == WORDS
