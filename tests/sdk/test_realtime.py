"""Realtime sessions through the official client, with a provider that is scripted over `websockets`.

The oracle is the client itself: pointed at the provider it asks and reads as it does through Hale.
"""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any, Callable, Optional

import openai
import pytest
import websockets.exceptions
from gateway import MASTER_KEY, PATIENCE, deployment
from upstream import bad_key
from websockets.sync.server import Server, ServerConnection, serve

KEY = "sk-upstream-secret"
MODEL = "gpt-realtime"
USAGE = {"total_tokens": 12, "input_tokens": 5, "output_tokens": 7,
         "input_token_details": {"text_tokens": 5, "audio_tokens": 0, "cached_tokens": 0},
         "output_token_details": {"text_tokens": 7, "audio_tokens": 0}}


class RealtimeUpstream:
    """A provider of sessions: each plays `script`, and the handshakes are kept."""

    def __init__(self, script: Callable[[ServerConnection], None]):
        self.handshakes: list[tuple[str, dict[str, str]]] = []
        self.closes: list[tuple[Optional[int], Optional[str]]] = []
        self._script = script
        self._server: Server = serve(self._session, "127.0.0.1", 0, max_size=None)
        self.port = self._server.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _session(self, connection: ServerConnection) -> None:
        request = connection.request
        self.handshakes.append((request.path, {name.lower(): value for name, value in request.headers.raw_items()}))
        try:
            self._script(connection)
        except websockets.exceptions.ConnectionClosed:
            pass
        self.closes.append((connection.close_code, connection.close_reason))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(PATIENCE)


def event(kind: str, **more: Any) -> str:
    return json.dumps({"type": kind, "event_id": f"event_{kind}", **more})


def response(status: str, **more: Any) -> dict:
    return {"id": "resp_1", "object": "realtime.response", "status": status, "output": [], **more}


def talk(connection: ServerConnection) -> None:
    """Says hello, and answers every `response.create` with two pieces of text."""
    connection.send(event("session.created", session={"type": "realtime", "model": MODEL}))
    for message in connection:
        asked = json.loads(message)
        if asked["type"] == "response.create":
            connection.send(event("response.created", response=response("in_progress")))
            for delta in ("Hello", " world"):
                connection.send(event("response.output_text.delta", response_id="resp_1", item_id="item_1",
                                      output_index=0, content_index=0, delta=delta))
            connection.send(event("response.done", response=response("completed", usage=USAGE)))
        else:
            connection.send(event("conversation.item.added", item=asked["item"]))


@pytest.fixture
def provider():
    started: list[RealtimeUpstream] = []

    def start(script: Callable[[ServerConnection], None] = talk) -> RealtimeUpstream:
        started.append(RealtimeUpstream(script))
        return started[-1]

    yield start
    for one in started:
        one.close()


def converse(client: openai.OpenAI, model: str) -> list[dict]:
    """One question and its answer, as events."""
    events: list[dict] = []
    with client.realtime.connect(model=model) as connection:
        connection.conversation.item.create(item={
            "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]})
        connection.response.create()
        for one in connection:
            events.append(one.to_dict())
            if one.type == "response.done":
                break
    return events


def direct(upstream: RealtimeUpstream) -> openai.OpenAI:
    return openai.OpenAI(base_url=upstream.url + "/v1", api_key=KEY, max_retries=0, timeout=PATIENCE)


def test_a_session_is_what_it_is_without_hale(hale, provider):
    upstream = provider()
    gateway = hale(deployment("voice", upstream, model=f"openai/{MODEL}"))
    told = converse(gateway.client(), "voice")
    expected = converse(direct(upstream), MODEL)
    assert told == expected
    assert "".join(one.get("delta", "") for one in told) == "Hello world"
    (path, head), (own_path, own_head) = upstream.handshakes
    assert path == own_path == f"/v1/realtime?model={MODEL}"
    assert head["authorization"] == own_head["authorization"] == f"Bearer {KEY}"
    assert head["host"] == own_head["host"]
    assert MASTER_KEY not in str(upstream.handshakes)
    assert head.get("openai-beta") == own_head.get("openai-beta")


def test_the_async_client_and_large_messages(hale, provider):
    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    gateway = hale(deployment("voice", provider(echo), model=f"openai/{MODEL}"))
    audio = "A" * 4_000_000

    async def run() -> dict:
        async with gateway.async_client().realtime.connect(model="voice") as connection:
            await connection.input_audio_buffer.append(audio=audio)
            return json.loads(await connection.recv_bytes())

    assert asyncio.run(run())["audio"] == audio


def test_a_refusing_provider_gives_way_to_its_sibling(hale, provider, upstream):
    good, bad = provider(), upstream(bad_key())
    gateway = hale(deployment("voice", bad, "bad", model=f"openai/{MODEL}", weight=1),
                   deployment("voice", good, "good", model=f"openai/{MODEL}", weight=0))
    assert converse(gateway.client(), "voice")[0]["type"] == "session.created"
    assert len(bad.requests) == 1 and len(good.handshakes) == 1


def test_a_refusal_is_an_http_status(hale, upstream):
    gateway = hale(deployment("voice", upstream(), model=f"openai/{MODEL}"))
    for client, model, status in [(gateway.client(), "nothing", 400),
                                  (gateway.client(api_key="sk-wrong"), "voice", 401)]:
        with pytest.raises(Exception) as refused:
            converse(client, model)
        assert str(status) in str(refused.value), refused.value


def test_the_reason_of_a_lost_provider_reaches_the_client(hale, provider):
    def lose(connection: ServerConnection) -> None:
        connection.send(event("session.created", session={"type": "realtime"}))
        connection.socket.close()

    def close(connection: ServerConnection) -> None:
        connection.close(4008, "session expired")

    for script, code, words in [(lose, 1011, "the provider ended the session"), (close, 4008, "session expired")]:
        gateway = hale(deployment("voice", provider(script), model=f"openai/{MODEL}"))
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
            converse(gateway.client(), "voice")
        assert closed.value.rcvd.code == code
        assert words in closed.value.rcvd.reason


def test_azure_both_as_client_and_as_provider(hale, provider):
    upstream = provider()
    params = {"model": "azure/my-rt", "api_base": upstream.url, "api_version": "2025-04-01-preview"}
    gateway = hale(deployment("voice", **params), deployment("beta", realtime_protocol="beta", **params))
    host = gateway.url.removeprefix("http://")
    client = openai.AzureOpenAI(azure_endpoint=gateway.url, api_version="2025-04-01-preview",
                                api_key=MASTER_KEY, websocket_base_url=f"ws://{host}/openai")
    for group in ("voice", "beta"):
        assert converse(client, group)[-1]["response"]["usage"]["total_tokens"] == 12
    own = openai.AzureOpenAI(azure_endpoint=upstream.url, api_version="2025-04-01-preview", api_key=KEY,
                             websocket_base_url=f"ws://127.0.0.1:{upstream.port}/openai")
    converse(own, "my-rt")
    (ga, head), (beta, beta_head), (expected, own_head) = upstream.handshakes
    assert ga == "/openai/v1/realtime?model=my-rt"
    assert beta == expected
    assert head["api-key"] == beta_head["api-key"] == own_head["api-key"] == KEY


def test_a_client_that_hangs_up_says_goodbye_to_the_provider(hale, provider):
    upstream = provider()
    gateway = hale(deployment("voice", upstream, model=f"openai/{MODEL}"))
    converse(gateway.client(), "voice")
    upstream.close()
    assert upstream.closes == [(1000, "")]
