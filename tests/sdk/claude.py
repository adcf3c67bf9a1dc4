"""What a provider of the Anthropic wire answers, and the two clients and the two wires as a matrix."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import upstream as openai_wire
from gateway import Gateway, deployment
from upstream import Behaviour, Exchange, Upstream, error, reply, sse

TESTDATA = pathlib.Path(__file__).resolve().parents[2] / "testdata"
#: The name that upstreams put into their answers.
MODEL = "claude-sonnet-4-5-20250929"
USAGE = {"input_tokens": 7, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 1, "output_tokens": 5}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmF0dXJl"}
TEXT = {"type": "text", "text": "Hello world"}


def message(*blocks: dict, stop_reason: str = "end_turn") -> dict:
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL,
            "content": list(blocks or (TEXT,)), "stop_reason": stop_reason, "stop_sequence": None,
            "usage": USAGE}


def event(data: dict) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


def start() -> bytes:
    empty = {**message(), "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    return event({"type": "message_start", "message": empty})


def finish(stop_reason: str = "end_turn") -> list[bytes]:
    return [event({"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": None},
                   "usage": {"output_tokens": 5}}), event({"type": "message_stop"})]


def block(index: int, block: dict) -> list[bytes]:
    """The events of one block, its content in two pieces."""
    def delta(kind: str, name: str, value: str) -> bytes:
        return event({"type": "content_block_delta", "index": index, "delta": {"type": kind, name: value}})

    def halves(kind: str, name: str, value: str) -> list[bytes]:
        return [delta(kind, name, value[:3]), delta(kind, name, value[3:])]

    begin: dict[str, Any] = dict(block)
    if block["type"] == "text":
        begin["text"], pieces = "", halves("text_delta", "text", block["text"])
    elif block["type"] == "thinking":
        begin.update(thinking="", signature="")
        pieces = halves("thinking_delta", "thinking", block["thinking"])
        pieces.append(delta("signature_delta", "signature", block["signature"]))
    elif block["type"] == "tool_use":
        begin["input"], pieces = {}, halves("input_json_delta", "partial_json", json.dumps(block["input"]))
    else:
        pieces = []
    return [event({"type": "content_block_start", "index": index, "content_block": begin}), *pieces,
            event({"type": "content_block_stop", "index": index})]


def answer(*blocks: dict, stop_reason: str = "end_turn") -> Behaviour:
    """What a provider in good health answers to this very request: the blocks, whole or as a stream."""
    blocks = blocks or (TEXT,)

    def behave(exchange: Exchange) -> None:
        path = exchange.request.path.split("?")[0]
        if path.endswith("/v1/messages/count_tokens"):
            reply({"input_tokens": 42})(exchange)
        elif not path.endswith("/v1/messages"):
            refusal(404, "not_found_error", f"no such path: {path}")(exchange)
        elif exchange.request.json.get("stream") is True:
            events = [event for i, one in enumerate(blocks) for event in block(i, one)]
            sse(start(), event({"type": "ping"}), *events, *finish(stop_reason))(exchange)
        else:
            reply(message(*blocks, stop_reason=stop_reason))(exchange)

    return behave


def refusal(status: int, kind: str, text: str, headers: dict[str, str] | None = None) -> Behaviour:
    return reply({"type": "error", "error": {"type": kind, "message": text}}, status, headers)


def recorded(name: str) -> tuple[dict, Behaviour]:
    """A recorded refusal of `testdata/`, and what plays it."""
    file = json.loads((TESTDATA / name).read_text())
    return file, reply(file["body"], file["status"], file.get("headers"))


def openai_answer(*blocks: dict) -> Behaviour:
    """The same answer from a provider of the OpenAI wire."""
    def behave(exchange: Exchange) -> None:
        text = "".join(one.get("text", "") for one in blocks)
        calls = [{"index": i, "id": one["id"], "type": "function",
                  "function": {"name": one["name"], "arguments": json.dumps(one["input"])}}
                 for i, one in enumerate(one for one in blocks if one["type"] == "tool_use")]
        reason = "tool_calls" if calls else "stop"
        if exchange.request.json.get("stream") is True:
            starts = [openai_wire.chunk({"tool_calls": [{**call, "function": {**call["function"], "arguments": ""}}]})
                      for call in calls]
            pieces = [openai_wire.chunk({"tool_calls": [{"index": call["index"], "function": {"arguments": half}}]})
                      for call in calls
                      for half in (call["function"]["arguments"][:4], call["function"]["arguments"][4:])]
            words = [openai_wire.text(text[:3]), openai_wire.text(text[3:])] if text else []
            sse(openai_wire.role(), *words, *starts, *pieces, openai_wire.chunk({}, reason),
                openai_wire.usage_chunk(), "[DONE]")(exchange)
            return
        body = openai_wire.chat_body(text)
        choice = body["choices"][0]
        choice["finish_reason"] = reason
        if calls:
            choice["message"] = {"role": "assistant", "content": text or None,
                                 "tool_calls": [{k: v for k, v in call.items() if k != "index"} for call in calls]}
        reply(body)(exchange)

    return behave


def answer_on(wire: str, *blocks: dict) -> Behaviour:
    blocks = blocks or (TEXT,)
    calls = any(one["type"] == "tool_use" for one in blocks)
    if wire == "anthropic":
        return answer(*blocks, stop_reason="tool_use" if calls else "end_turn")
    return openai_answer(*blocks)


def deployment_on(wire: str, up: Upstream, group: str = "smart", **params: Any) -> dict:
    model = "anthropic/claude-sonnet-4-5" if wire == "anthropic" else "openai/gpt-4o-mini"
    return deployment(group, up, model=model, **params)


# The same logical request, and what comes of it, through either SDK

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ANTHROPIC_TOOLS = [{"name": "get_weather", "description": "The weather", "input_schema": SCHEMA}]
OPENAI_TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "The weather", "parameters": SCHEMA}}]


class Said:
    """What a client understood of an answer."""

    def __init__(self, text: str, calls: list[tuple[str, str, dict]], reason: str, tokens: tuple[int, int]):
        self.text, self.calls, self.reason, self.tokens = text, calls, reason, tokens

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Said) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"Said({vars(self)})"


def ask_with(client: str, gateway: Gateway, stream: bool, model: str = "smart") -> Said:
    """Asks through the SDK `client`, whole or streamed, and reads the answer as its users do."""
    return (_ask_anthropic if client == "anthropic" else _ask_openai)(gateway, stream, model)


def _ask_anthropic(gateway: Gateway, stream: bool, model: str) -> Said:
    client = gateway.anthropic_client()
    request: Any = {"model": model, "max_tokens": 100, "tools": ANTHROPIC_TOOLS,
                    "messages": [{"role": "user", "content": "hi"}]}
    if stream:
        with client.messages.stream(**request) as events:
            answer = events.get_final_message()
    else:
        answer = client.messages.create(**request)
    assert answer.model == model
    text = "".join(one.text for one in answer.content if one.type == "text")
    calls = [(one.id, one.name, one.input) for one in answer.content if one.type == "tool_use"]
    usage = answer.usage
    tokens_in = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    reason = {"end_turn": "end", "tool_use": "tools"}[answer.stop_reason]
    return Said(text, calls, reason, (tokens_in, usage.output_tokens))


def _ask_openai(gateway: Gateway, stream: bool, model: str) -> Said:
    client = gateway.client()
    request: Any = {"model": model, "max_tokens": 100, "tools": OPENAI_TOOLS,
                    "messages": [{"role": "user", "content": "hi"}]}
    if stream:
        with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
            answer = events.get_final_completion()
    else:
        answer = client.chat.completions.create(**request)
    assert answer.model == model
    choice = answer.choices[0]
    calls = [(call.id, call.function.name, json.loads(call.function.arguments))
             for call in choice.message.tool_calls or []]
    reason = {"stop": "end", "tool_calls": "tools"}[choice.finish_reason]
    return Said(choice.message.content or "", calls, reason,
                (answer.usage.prompt_tokens, answer.usage.completion_tokens))
