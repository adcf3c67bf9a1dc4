"""Compares what a page shows with what was printed, but for what differs from run to run.

Called by `reader.py`. Always true: times of day, ports, milliseconds and ids are equal to all others; all other text counts.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

#: What differs from run to run, and what a page shows for it.
MASKS = [
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?"), "2026-11-30T09:00:00.000000Z"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "01a2238f-4c1e-7d30-9a52-3f1c9d6f0b7e"),
    (re.compile(r"\b\d+(\.\d+)? (ms|µs)\b"), "12 ms"),
    (re.compile(r"\b(\w+_[mu]s|[mu]s)=\d+(\.\d+)?"), r"\1=12"),
    (re.compile(r"\bworkers=\d+"), "workers=2"),
    (re.compile(r"(?m)^ {0,3}\d+ s  "), "   1 s  "),
    (re.compile(r"\b\d+ requests, \d+ answered"), "481 requests, 481 answered"),
    (re.compile(r"(?m)^\d+ of them met"), "79 of them met"),
    (re.compile(r"\b(pid|port)[ =]\d+"), r"\1=1"),
]
#: Members of JSON whose numbers differ from run to run.
CHANGING = re.compile(r"(created|.*_at|.*_ms|.*_us|.*_s|ms|ts|timestamp|updated)$")


def plain(text: str) -> str:
    """The text with one value in place of each that changes."""
    for pattern, value in MASKS:
        text = pattern.sub(value, text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def lines_match(shown: list[str], printed: list[str]) -> bool:
    """Whether the lines are equal, those left out apart."""
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(lines_match(shown[1:], printed[at:]) for at in range(len(printed) + 1))
    if not printed:
        return False
    head, cut, _ = shown[0].rpartition("...")
    same = printed[0].startswith(head) if cut and shown[0].endswith("...") else shown[0] == printed[0]
    return same and lines_match(shown[1:], printed[1:])


def leaves_out(shown: str) -> bool:
    """Whether a page leaves lines out."""
    return any(line.endswith("...") for line in shown.splitlines())


def is_same(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed."""
    return lines_match(plain(shown).splitlines(), plain(printed).splitlines())


def json_is_same(shown: str, printed: str) -> bool:
    """The same for one value of JSON each."""
    try:
        return _matches(json.loads(shown), json.loads(printed))
    except ValueError:
        return False


def _matches(shown: Any, printed: Any, name: str = "") -> bool:
    if shown == "...":
        return True
    if isinstance(shown, dict) and isinstance(printed, dict):
        wanted = {key for key in shown if key != "..."}
        fits = wanted <= printed.keys() if "..." in shown else wanted == printed.keys()
        return fits and all(_matches(shown[key], printed[key], key) for key in wanted)
    if isinstance(shown, list) and isinstance(printed, list):
        return len(shown) == len(printed) and all(map(_matches, shown, printed))
    if isinstance(shown, str) and isinstance(printed, str):
        return plain(shown) == plain(printed)
    if isinstance(shown, (int, float)) and isinstance(printed, (int, float)) and (
            CHANGING.match(name) or math.isclose(shown, printed)):
        return True
    return type(shown) is type(printed) and shown == printed
