"""What coding agents send, request by request, before providers of every wire.

`recorded/` holds sessions that `record.py` took down before a provider of the program's own format. Each is played to a
gateway in front of each provider that the program may meet. Right is: the provider refuses nothing and gets every
result; each answer ends as its format ends.
"""

from __future__ import annotations

import http.client
import json
import pathlib
from typing import Any

import pytest

import provider
from gateway import MASTER_KEY
from programs import BEFORE, GROUP, PROGRAMS
from provider import SCENARIOS, entry, scenario_of
from upstream import Plan

RECORDED = sorted((pathlib.Path(__file__).resolve().parent / "recorded").glob("*.json"))
FILL = "$fill"
#: Longest wait for an answer, seconds.
PATIENCE = 20.0


def filled(value: Any) -> Any:
    """The same with texts where their lengths stand."""
    if isinstance(value, dict):
        if set(value) == {FILL}:
            return ("some words " * (value[FILL] // 11 + 1))[:value[FILL]]
        return {key: filled(one) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one) for one in value]
    return value


def play(url: str, request: dict[str, Any]) -> tuple[int, str, bytes]:
    headers = {name: value.replace("KEY", MASTER_KEY) for name, value in request["headers"].items()}
    body = None if request["body"] is None else json.dumps(filled(request["body"])).encode()
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    try:
        connection.request(request["method"], request["path"], body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type") or "", answer.read()
    finally:
        connection.close()


def is_whole(kind: str, body: bytes) -> bool:
    """Whether an answer ends as its format ends."""
    if kind.startswith("text/event-stream"):
        return any(end in body for end in (b"data: [DONE]", b"message_stop", b"response.completed", b'"finishReason":'))
    return isinstance(json.loads(body), dict)


def whole(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, each body with the fields that it shares with the one before."""
    bodies: list[dict[str, Any]] = []
    for request in requests:
        shared = {name: bodies[-1][name] for name in request.get("same", [])}
        bodies.append({**shared, **(request["body"] or {})})
    return [{**request, "body": body or None} for request, body in zip(requests, bodies, strict=True)]


def sessions() -> list[Any]:
    cases = []
    for file in RECORDED:
        session = json.loads(file.read_text())
        for target in BEFORE[PROGRAMS[session["program"]].speaks]:
            cases.append(pytest.param(session, target, id=f"{file.stem}-{target}"))
    return cases


@pytest.mark.parametrize(("session", "target"), sessions())
def test_no_provider_refuses_what_an_agent_sends(hale, upstream, session, target):
    program = PROGRAMS[session["program"]]
    model = provider.model(target, scenario_of(program, SCENARIOS[session["scenario"]]), program.last)
    gateway = hale(entry(GROUP, target, upstream(Plan(then=model))), litellm=provider.settings(target))
    answers = [play(gateway.url, request) for request in whole(session["requests"]) if request["method"] == "POST"]
    assert model.refusals == []
    assert {status for status, _, _ in answers} == {200}
    assert all(is_whole(kind, body) for _, kind, body in answers)
    assert model.expected() <= model.results
    assert model.answered >= len(answers)


def test_there_are_recordings_of_every_program():
    recorded = {json.loads(file.read_text())["program"] for file in RECORDED}
    assert recorded == set(PROGRAMS)
