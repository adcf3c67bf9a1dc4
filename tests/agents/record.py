"""Records what the programs send in a session: `python tests/agents/record.py FOLDER [PROGRAM ...]`.

Each program talks to the scripted provider itself, of the format that it speaks. Written to `recorded/` is one file a
session: path, headers and body of each request. Sentences are replaced by their lengths, because they are not ours;
names, numbers and what the script says stay. What a body has in common with the one before stands there only.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import tempfile
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "sdk"))

import programs  # noqa: E402
import provider  # noqa: E402
from programs import PROGRAMS, Place  # noqa: E402
from provider import SCENARIOS, scenario_of  # noqa: E402
from upstream import Plan, Request, Upstream  # noqa: E402

RECORDED = HERE / "recorded"
#: The provider of each format.
OWN = {"chat": "gpt-4o", "messages": "anthropic", "responses": "responses", "contents": "gemini"}
#: The sessions that are recorded.
SESSIONS = ("two in one answer", "thinking")
#: Longest name that is kept, characters.
KEPT = 200
#: Where a text was replaced: how long it was.
FILL = "$fill"
KEY = "sk-recorded"
#: Headers that say nothing about the program.
PLAIN = ("host", "content-length", "connection", "accept-encoding")


def skeleton(value: Any) -> Any:
    """The same without sentences. Those of the script stay."""
    if isinstance(value, dict):
        return {key: skeleton(one) for key, one in value.items()}
    if isinstance(value, list):
        return [skeleton(one) for one in value]
    if isinstance(value, str) and (" " in value or len(value) > KEPT) and "printed-by" not in value:
        return {FILL: len(value)}
    return value


def line(request: Request) -> dict[str, Any]:
    headers = {name.lower(): value.replace(KEY, "KEY") for name, value in request.headers if name.lower() not in PLAIN}
    body = skeleton(json.loads(request.body)) if request.body else None
    return {"method": request.method, "path": request.path, "headers": headers, "body": body}


def shortened(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, each body without the fields that the body before has, too; `same` names them."""
    short, before = [], {}
    for request in requests:
        body = request["body"] or {}
        same = [name for name, value in body.items() if name in before and before[name] == value]
        rest = {name: value for name, value in body.items() if name not in same}
        short.append({**request, "body": rest, "same": same} if body else request)
        before = body
    return short


def record(name: str, what: str, installed: pathlib.Path) -> list[dict[str, Any]]:
    program = PROGRAMS[name]
    model = provider.model(OWN[program.speaks], scenario_of(program, SCENARIOS[what]), program.last)
    with tempfile.TemporaryDirectory() as folder, Upstream(Plan(then=model)) as up:
        place = Place(pathlib.Path(folder) / "home", pathlib.Path(folder) / "work", up.url, KEY)
        ended = programs.run(program, place, provider.TASK, installed, 180)
        if ended.returncode or model.refusals:
            raise SystemExit(f"{name}, {what}: {ended.returncode} {model.refusals}\n{ended.stdout}{ended.stderr}")
        text = json.dumps(shortened([line(request) for request in up.requests]))
        return json.loads(text.replace(folder, "/home/user"))


def main() -> None:
    installed = pathlib.Path(sys.argv[1])
    RECORDED.mkdir(exist_ok=True)
    for name in sys.argv[2:] or PROGRAMS:
        for what in SESSIONS if PROGRAMS[name].has_tools else SESSIONS[:1]:
            file = RECORDED / (f"{name} {what}".lower().replace(",", "").replace(" ", "-") + ".json")
            requests = record(name, what, installed)
            lines = ",\n".join(json.dumps(request) for request in requests)
            head = f'"program": {json.dumps(name)}, "scenario": {json.dumps(what)}'
            file.write_text(f'{{{head}, "requests": [\n{lines}\n]}}\n')
            print(f"{file.relative_to(os.getcwd())}: {len(requests)} requests, {file.stat().st_size >> 10} KB", flush=True)


if __name__ == "__main__":
    main()
