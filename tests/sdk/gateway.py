"""The gateway as its users run it: the binary, a config file, and a port that it chose itself.

Used by the `hale` fixture. Always true: the process gets a clean environment, and whatever it prints
is kept, shown when a test fails, and searched for secrets.
"""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import queue
import re
import subprocess
import threading
from typing import Any, Optional

import anthropic
import openai

from upstream import Upstream

ROOT = pathlib.Path(__file__).resolve().parents[2]
MASTER_KEY = "sk-test-0123456789abcdef"
#: Longest wait for the process to listen, and for any answer.
PATIENCE = 20.0


def binary() -> pathlib.Path:
    """The binary under test: HALE_BIN, else the debug build."""
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    path = pathlib.Path(os.environ.get("HALE_BIN", ROOT / target / "debug" / "hale"))
    assert path.is_file(), f"{path} is missing: run `cargo build` first, or set HALE_BIN"
    return path


def deployment(group: str, upstream: Optional[Upstream] = None, id: Optional[str] = None,
               model: str = "openai/gpt-4o-mini", api_key: str = "sk-upstream-secret",
               **params: Any) -> dict:
    """One entry of `model_list`."""
    litellm_params: dict[str, Any] = {"model": model, "api_key": api_key, **params}
    if upstream is not None:
        litellm_params["api_base"] = f"{upstream.url}/v1"
    entry = {"model_name": group, "litellm_params": litellm_params}
    if id is not None:
        entry["model_info"] = {"id": id}
    return entry


class Gateway:
    """A running gateway and the ways to talk to it."""

    def __init__(self, home: pathlib.Path, deployments: list[dict], *,
                 router: Optional[dict] = None, litellm: Optional[dict] = None,
                 general: Optional[dict] = None, environment: Optional[dict[str, str]] = None):
        config = {
            "model_list": deployments,
            "router_settings": router or {},
            "litellm_settings": litellm or {},
            "general_settings": {"master_key": MASTER_KEY, **(general or {})},
        }
        self.secrets = {MASTER_KEY} | {
            d["litellm_params"]["api_key"] for d in deployments if "api_key" in d["litellm_params"]}
        file = home / "config.yaml"
        file.write_text(json.dumps(config, indent=2))  # JSON is YAML
        self.output: list[str] = []
        self._process = subprocess.Popen(
            [binary(), "--config", file, "--host", "127.0.0.1", "--port", "0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=home, text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(home), **(environment or {})})
        listening: queue.SimpleQueue[Optional[str]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(listening,), daemon=True)
        self._reader.start()
        try:
            url = listening.get(timeout=PATIENCE)
        except queue.Empty:
            url = None
        if url is None:
            self.stop()
            raise AssertionError("the gateway did not start:\n" + "".join(self.output))
        self.url = url

    def _read(self, listening: "queue.SimpleQueue[Optional[str]]") -> None:
        for line in self._process.stdout:
            self.output.append(line)
            if found := re.search(r"listening on (http://127\.0\.0\.1:\d+)", line):
                listening.put(found[1])
        listening.put(None)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(PATIENCE)

    def client(self, path: str = "/v1", **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url + path, **_options(options))

    def async_client(self, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=self.url + "/v1", **_options(options))

    def azure_client(self, **options: Any) -> openai.AzureOpenAI:
        return openai.AzureOpenAI(azure_endpoint=self.url, api_version="2024-10-21", **_options(options))

    def anthropic_client(self, **options: Any) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url, **_options(options))

    def post(self, path: str, body: Any, headers: Optional[dict[str, str]] = None) -> "Answer":
        """What is on the wire, without an SDK in between."""
        host = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=PATIENCE)
        try:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            fixed = {"content-type": "application/json", "authorization": f"Bearer {MASTER_KEY}"}
            given = fixed if headers is None else {"content-type": "application/json", **headers}
            connection.request("POST", path, data, given)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


class Answer:
    """Status, headers and the bytes of the body."""

    def __init__(self, status: int, headers: http.client.HTTPMessage, body: bytes):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def _options(given: dict) -> dict:
    # The SDK's own retries would blur the counts.
    return {"api_key": MASTER_KEY, "max_retries": 0, "timeout": PATIENCE, **given}
