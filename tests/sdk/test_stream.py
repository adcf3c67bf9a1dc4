"""Streams: when events leave, what changes in them, and what happens when they break."""

import asyncio
import json
import threading
import time

import openai
import pytest

import claude
from asking import HELLO, ask, content, events
from gateway import deployment
from upstream import (CUT, DONE, RESET, UNTIL_CLOSED, UPSTREAM_MODEL, Plan, answer, chunk, encode_event,
                      role, sse, stop, text, usage_chunk)


def post_stream(gateway, **fields):
    return gateway.post("/v1/chat/completions",
                        {"model": "smart", "messages": HELLO, "stream": True, **fields})


def test_every_chunk_carries_the_requested_model_and_no_usage_unasked(hale, upstream):
    chunks = list(ask(hale(deployment("smart", upstream())), stream=True))
    assert content(chunks) == "Hello world"
    assert {chunk.model for chunk in chunks} == {"smart"}
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert [c.choices[0].finish_reason for c in chunks] == [None, None, None, "stop"]


def test_usage_comes_last_when_asked_for(hale, upstream):
    gateway = hale(deployment("smart", upstream()))
    chunks = list(ask(gateway, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.total_tokens == 15
    assert chunks[-1].model == "smart"
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


def test_the_upstream_is_asked_for_usage_even_when_the_client_did_not(hale, upstream):
    up = upstream()
    gateway = hale(deployment("smart", up))
    list(ask(gateway, stream=True))
    list(ask(gateway, stream=True, stream_options={"include_obfuscation": False}))
    list(ask(gateway, stream=True, stream_options={"include_usage": True}))
    assert [request.json["stream_options"] for request in up.requests] == [
        {"include_usage": True},
        {"include_obfuscation": False, "include_usage": True},
        {"include_usage": True},
    ]
    ask(gateway)
    assert "stream_options" not in up.requests[-1].json


def test_a_stream_is_an_event_stream_that_ends_with_done(hale, upstream):
    got = post_stream(hale(deployment("smart", upstream())))
    assert got.status == 200
    assert got.headers["content-type"].startswith("text/event-stream")
    assert got.headers["cache-control"] == "no-cache"
    assert got.headers["x-accel-buffering"] == "no"
    assert got.body.endswith(b"data: [DONE]\n\n")
    assert got.body.count(b"[DONE]") == 1


def test_nothing_of_a_stream_changes_but_its_model(hale, upstream):
    calls = [
        role(),
        chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                               "function": {"name": "find", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"q": "h\\u00e9'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ' \u2603"}'}}]}, x_vendor=[1, 2.50]),
        chunk({}, "tool_calls"),
        usage_chunk(),
        DONE,
    ]
    gateway = hale(deployment("smart", upstream(sse(*calls))))
    got = post_stream(gateway, stream_options={"include_usage": True})
    sent = b"".join(map(encode_event, calls))
    assert got.body == sent.replace(UPSTREAM_MODEL.encode(), b"smart")


def test_streamed_tool_calls_add_up(hale, upstream):
    gateway = hale(deployment("smart", upstream(sse(
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                               "function": {"name": "find", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"q":'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"x"}'}}]}),
        chunk({}, "tool_calls"), DONE))))
    deltas = [c.choices[0].delta for c in ask(gateway, stream=True)]
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    assert (calls[0].id, calls[0].function.name) == ("call_1", "find")
    assert json.loads("".join(call.function.arguments or "" for call in calls)) == {"q": "x"}


def test_an_event_leaves_before_the_next_one_exists(hale, upstream):
    gate = threading.Event()
    gateway = hale(deployment("smart", upstream(sse(text("one"), gate, text("two"), stop(), DONE))))
    chunks = ask(gateway, stream=True)
    assert next(chunks).choices[0].delta.content == "one"
    gate.set()
    assert content(chunks) == "two"


def test_an_event_split_anywhere_arrives_whole(hale, upstream):
    whole = encode_event(json.dumps(text("h\u00e9 \u2603"), ensure_ascii=False))
    inside_a_character = whole.index("\u2603".encode()) + 1
    cuts = [0, 3, 20, inside_a_character, len(whole) - 1, len(whole)]
    pieces = [whole[start:end] for start, end in zip(cuts, cuts[1:])]
    gateway = hale(deployment("smart", upstream(sse(*pieces, stop(), DONE))))
    assert content(ask(gateway, stream=True)) == "h\u00e9 \u2603"


def test_a_malformed_event_is_skipped_and_the_stream_goes_on(hale, upstream):
    gateway = hale(deployment("smart", upstream(
        sse(text("Hello"), "{broken", text(" world"), stop(), DONE))))
    assert content(ask(gateway, stream=True)) == "Hello world"


def test_a_stream_without_done_is_complete_after_its_finish_reason(hale, upstream):
    gateway = hale(deployment("smart", upstream(sse(role(), text("Hello"), stop()))))
    chunks = list(ask(gateway, stream=True))
    assert content(chunks) == "Hello"
    assert chunks[-1].choices[0].finish_reason == "stop"


BREAKS = {
    "cut": [CUT],
    "reset": [RESET],
    "error event": [{"error": {"message": "the model broke", "type": "server_error", "param": None,
                               "code": "500"}}, CUT],
    "silence": [UNTIL_CLOSED],
}


@pytest.mark.parametrize("end", BREAKS.values(), ids=BREAKS)
def test_a_break_after_content_is_an_error_event_and_no_second_try(hale, upstream, end):
    gate = threading.Event()
    plan = Plan(sse(role(), text("Hello"), gate, *end))
    up, sibling = upstream(plan), upstream(plan)
    gateway = hale(deployment("smart", up, stream_timeout=0.3), deployment("smart", sibling, stream_timeout=0.3))
    chunks = ask(gateway, stream=True)
    seen = []
    with pytest.raises(openai.APIError) as broken:
        for one in chunks:
            seen.append(one)
            if content([one]):
                gate.set()
    assert not isinstance(broken.value, openai.APIConnectionError)
    assert content(seen) == "Hello"
    assert [c.choices[0].finish_reason for c in seen if c.choices] == [None] * len(seen)
    assert {"message", "type", "param", "code"} <= set(broken.value.body)
    assert isinstance(broken.value.body["code"], str)
    assert len(plan.order) == 1


def test_a_broken_stream_ends_with_its_error_and_without_done(hale, upstream):
    got = post_stream(hale(deployment("smart", upstream(sse(role(), text("Hello"), CUT)))))
    assert got.status == 200
    *chunks, last = [json.loads(data) for data in events(got.body)]  # so there is no [DONE]
    assert [choice["finish_reason"] for one in chunks for choice in one["choices"]] == [None, None]
    assert last["error"]["message"]


@pytest.mark.parametrize("start", [[CUT], [role(), CUT], [role(), RESET], [role(), UNTIL_CLOSED],
                                   [{"error": {"message": "overloaded", "type": "server_error"}}, CUT],
                                   [DONE]],
                         ids=["no event", "cut", "reset", "silence", "error event", "nothing but done"])
def test_a_stream_that_breaks_before_its_content_moves_to_the_sibling_unseen(hale, upstream, start):
    second = [{**one, "id": "chatcmpl-2"} for one in (role(), text("Hello"), text(" world"), stop())]
    plan = Plan(sse(*start), sse(*second, DONE))
    gateway = hale(deployment("smart", upstream(plan), stream_timeout=0.3),
                   deployment("smart", upstream(plan), stream_timeout=0.3))
    chunks = list(ask(gateway, stream=True))
    assert content(chunks) == "Hello world"
    assert {chunk.id for chunk in chunks} == {"chatcmpl-2"}
    assert [c.choices[0].delta.role for c in chunks].count("assistant") == 1
    assert len(plan.order) == 2


def test_a_stream_that_fails_before_its_content_everywhere_has_a_real_status(hale, upstream):
    plan = Plan(then=sse(role(), CUT))
    gateway = hale(deployment("smart", upstream(plan)), deployment("smart", upstream(plan)),
                   router={"num_retries": 1})
    got = post_stream(gateway)
    assert got.status == 502
    assert got.headers["content-type"].startswith("application/json")
    assert [attempt["cause"] for attempt in got.json["error"]["attempts"]] == ["stream_cut"] * 2


def test_a_client_that_leaves_takes_its_upstream_with_it(hale, upstream):
    up = upstream(sse(role(), text("Hello"), UNTIL_CLOSED))
    gateway = hale(deployment("smart", up))
    chunks = ask(gateway, stream=True)
    while not content([next(chunks)]):
        pass
    left = time.monotonic()
    chunks.close()
    assert up.departure.seen.wait(5)
    assert up.departure.at - left < 0.2
    assert content(ask(gateway, stream=True)) == "Hello world"  # and it counts against no deployment


def test_fifty_streams_run_side_by_side(hale, upstream):
    count = 50
    everybody_is_here = threading.Barrier(count)

    def behave(exchange):
        asked = exchange.request.json["messages"][0]["content"]
        together = threading.Event()

        def wait():
            everybody_is_here.wait(10)
            together.set()

        threading.Thread(target=wait, daemon=True).start()
        sse(role(), text(asked), together, text("!"), stop(), DONE)(exchange)

    gateway = hale(deployment("smart", upstream(Plan(then=behave))))

    async def one(client, number):
        chunks = await client.chat.completions.create(
            model="smart", messages=[{"role": "user", "content": f"stream {number}"}], stream=True)
        return content([chunk async for chunk in chunks])

    async def all_of_them():
        async with gateway.async_client() as client:
            return await asyncio.gather(*(one(client, number) for number in range(count)))

    assert asyncio.run(all_of_them()) == [f"stream {number}!" for number in range(count)]


def test_an_upstream_without_a_usage_chunk_is_served_too(hale, upstream):
    gateway = hale(deployment("smart", upstream(sse(role(), text("Hello"), stop(), DONE))))
    assert content(ask(gateway, stream=True)) == "Hello"


def test_a_stream_after_a_fallback_carries_the_fallbacks_name(hale, upstream):
    gateway = hale(deployment("smart", upstream(sse(role(), CUT))), deployment("cheap", upstream(answer("ok"))),
                   router={"num_retries": 0, "fallbacks": [{"smart": ["cheap"]}]})
    chunks = list(ask(gateway, stream=True))
    assert content(chunks) == "ok"
    assert {chunk.model for chunk in chunks} == {"cheap"}


def test_the_stream_helper_puts_together_what_claude_thinks_and_says(hale, upstream):
    blocks = [{"type": "thinking", "thinking": "Let me see", "signature": "c2ln"},
              {"type": "redacted_thinking", "data": "EmwKAhgB"},
              {"type": "thinking", "thinking": "Once more", "signature": "bW9yZQ"},
              {"type": "text", "text": "Hello world"}]
    gateway = hale(deployment("smart", upstream(Plan(then=claude.answer(*blocks))), model="anthropic/claude-sonnet-4-5"))
    with gateway.client().chat.completions.stream(model="smart", messages=HELLO) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    assert message.content == "Hello world"
    assert message.reasoning_content == "Let me seeOnce more"
    got = [{name: value for name, value in one.items() if name != "index"} for one in message.thinking_blocks]
    assert got == blocks[:3]
    # What it put together goes back to the provider as it came.
    again = [*HELLO, message.model_dump(exclude_none=True, exclude={"parsed"}), {"role": "user", "content": "on"}]
    gateway.client().chat.completions.create(model="smart", messages=again)
