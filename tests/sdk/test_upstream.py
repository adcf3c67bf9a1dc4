"""The scripted upstream keeps its promises: the same client, no gateway in between."""

import threading
import time

import openai
import pytest

from upstream import (CUT, DONE, RESET, UNTIL_CLOSED, Plan, answer, chat_body, connection_reset, error,
                      html, rate_limited, role, silence, sse, stop, text, wrong_length)

HELLO = [{"role": "user", "content": "hi"}]


def client(upstream, **options):
    options = {"max_retries": 0, "timeout": 10, **options}
    return openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="sk-direct", **options)


def ask(upstream, **options):
    return client(upstream, **options).chat.completions.create(model="m", messages=HELLO)


def stream(upstream, **options):
    return client(upstream, **options).chat.completions.create(model="m", messages=HELLO, stream=True)


def test_it_answers_whole_and_streamed_and_records_what_it_was_sent(upstream):
    up = upstream()
    assert ask(up).choices[0].message.content == "Hello world"
    assert "".join(c.choices[0].delta.content or "" for c in stream(up)) == "Hello world"
    assert [request.json["model"] for request in up.requests] == ["m", "m"]
    assert up.requests[0].header("Authorization") == "Bearer sk-direct"
    assert up.requests[0].path == "/v1/chat/completions"


def test_it_sends_usage_only_when_asked(upstream):
    up = upstream()
    plain = list(stream(up))
    asked = list(client(up).chat.completions.create(
        model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}))
    assert [chunk.usage for chunk in plain] == [None] * len(plain)
    assert asked[-1].usage.total_tokens == 15 and asked[-1].choices == []


def test_it_answers_embeddings_and_completions(upstream):
    direct = client(upstream())
    assert direct.embeddings.create(model="m", input=["a", "b"]).data[1].embedding == [0.5, -0.25, 1.0]
    assert direct.completions.create(model="m", prompt="p").choices[0].text == "Hello world"
    words = direct.completions.create(model="m", prompt="p", stream=True)
    assert "".join(c.choices[0].text for c in words) == "Hello world"


def test_an_event_arrives_before_the_gate_behind_it_opens(upstream):
    gate = threading.Event()
    chunks = stream(upstream(sse(text("a"), gate, text("b"), stop(), DONE)))
    assert next(chunks).choices[0].delta.content == "a"
    gate.set()
    assert next(chunks).choices[0].delta.content == "b"


def test_a_plan_is_shared_in_order_of_arrival(upstream):
    plan = Plan(error(500), answer("second"))
    first, second = upstream(plan), upstream(plan)
    with pytest.raises(openai.InternalServerError):
        ask(second)
    assert ask(first).choices[0].message.content == "second"
    assert plan.order == [second, first]


def test_statuses_and_their_headers_reach_the_client(upstream):
    up = upstream(rate_limited(7), error(503), html())
    with pytest.raises(openai.RateLimitError) as limited:
        ask(up)
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.code == "rate_limit_exceeded"
    with pytest.raises(openai.InternalServerError):
        ask(up)
    assert client(up).chat.completions.with_raw_response.create(
        model="m", messages=HELLO).headers["content-type"] == "text/html"


@pytest.mark.parametrize("behaviour", [connection_reset(), wrong_length(chat_body())],
                         ids=["reset", "wrong length"])
def test_a_broken_answer_is_a_connection_error(upstream, behaviour):
    with pytest.raises(openai.APIConnectionError):
        ask(upstream(behaviour))


@pytest.mark.parametrize("end", [CUT, RESET], ids=["cut", "reset"])
@pytest.mark.parametrize("events", [[role()], [role(), text("a")]], ids=["before", "after content"])
def test_a_stream_can_break_off(upstream, events, end):
    with pytest.raises(openai.APIConnectionError):
        list(stream(upstream(sse(*events, end))))


def test_silence_lasts_until_the_client_gives_up(upstream):
    up = upstream(silence())
    with pytest.raises(openai.APITimeoutError):
        ask(up, timeout=0.1)
    assert up.departure.seen.wait(5)


def test_a_departure_is_seen_at_once(upstream):
    up = upstream(sse(text("a"), UNTIL_CLOSED))
    chunks = stream(up)
    next(chunks)
    left = time.monotonic()
    chunks.close()
    assert up.departure.seen.wait(5)
    assert up.departure.at - left < 0.2


def test_a_healthy_upstream_keeps_its_connections(upstream):
    up = upstream()
    direct = client(up)
    for _ in range(3):
        direct.chat.completions.create(model="m", messages=HELLO)
    assert len(up._open) == 1
