"""What the tests ask, and how they read what comes back."""

from __future__ import annotations

from typing import Any, Iterable

HELLO = [{"role": "user", "content": "hi"}]


def ask(gateway, model: str = "smart", **options: Any):
    """A chat completion."""
    return gateway.client().chat.completions.create(model=model, messages=HELLO, **options)


def ask_raw(gateway, model: str = "smart", **options: Any):
    """The same, with its headers."""
    return gateway.client().chat.completions.with_raw_response.create(
        model=model, messages=HELLO, **options)


def content(chunks: Iterable) -> str:
    """The text of a stream."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def events(body: bytes) -> list[bytes]:
    """The data of each event in a raw stream."""
    assert body.endswith(b"\n\n"), body[-80:]
    frames = body.removesuffix(b"\n\n").split(b"\n\n")
    return [frame.removeprefix(b"data: ") for frame in frames]
