"""Fixtures: `upstream` starts a scripted provider, `hale` a gateway in front of some."""

from __future__ import annotations

import os

import pytest

from gateway import Gateway
from upstream import Plan, Upstream

# A proxy of the machine must not stand between client, gateway and upstream.
for name in list(os.environ):
    if name.lower().endswith("_proxy") or name.startswith(("OPENAI_", "AZURE_", "ANTHROPIC_", "CO_", "COHERE_", "MISTRAL_",
                                                          "LANGCHAIN_", "LANGSMITH_", "GOOGLE_", "GEMINI_")):
        del os.environ[name]


@pytest.fixture
def upstream():
    """Starts upstreams: `upstream(plan)`, `upstream(behaviour, behaviour)` or `upstream()`."""
    started: list[Upstream] = []

    def start(*script) -> Upstream:
        plan = script[0] if len(script) == 1 and isinstance(script[0], Plan) else Plan(*script)
        started.append(Upstream(plan))
        return started[-1]

    yield start
    for one in started:
        one.close()
    assert [one.troubles for one in started if one.troubles] == []


@pytest.fixture
def hale(tmp_path, upstream):  # upstream: it must outlive the gateway
    """Starts gateways: `hale(deployment(...), ..., router={...})`."""
    started: list[Gateway] = []

    def start(*deployments: dict, **settings: dict) -> Gateway:
        home = tmp_path / str(len(started))
        home.mkdir()
        started.append(Gateway(home, list(deployments), **settings))
        return started[-1]

    yield start
    for gateway in started:
        gateway.stop()
        output = "".join(gateway.output)
        print(output)  # shown when the test fails
        assert "panicked at" not in output
        assert [secret for secret in gateway.secrets if secret in output] == []
