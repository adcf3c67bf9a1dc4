"""A provider whose behaviour is written down request by request.

Used by the tests; one thread per connection, HTTP/1.1, a port of its own. Always true: every request
is recorded before it is answered, and nothing here waits for time to pass, only for a gate or a peer.

    plan = Plan(error(500), chat("hello"))      # what the next requests get, in order
    with Upstream(plan) as a, Upstream(plan) as b:
        ...                                     # whichever is asked first fails
"""

from __future__ import annotations

import base64
import json
import queue
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Optional, Union

#: Longest wait for a gate or for a peer to close. Reaching it is a failed test, never a pass.
PATIENCE = 10.0

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
           429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}


# Requests and plans


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> Optional[str]:
        """The value of a header, or None; two of one name are a mistake of the sender."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} sent {len(values)} times"
        return values[0] if values else None

    def raw(self) -> bytes:
        """Everything that was sent, for searches."""
        head = "".join(f"{key}: {value}\r\n" for key, value in self.headers)
        return f"{self.method} {self.path}\r\n{head}\r\n".encode() + self.body


class Plan:
    """What the next requests get, in order; after the last, `then` for ever.

    One plan may be shared by several upstreams: then the order of arrival decides, and the choice that
    the router makes does not matter to the test. `order` lists who was asked.
    """

    def __init__(self, *behaviours: "Behaviour", then: Optional["Behaviour"] = None):
        self._queue: queue.SimpleQueue[Behaviour] = queue.SimpleQueue()
        for behaviour in behaviours:
            self._queue.put(behaviour)
        self._then = then if then is not None else answer()
        self.order: list[Upstream] = []

    def next_for(self, upstream: "Upstream") -> "Behaviour":
        self.order.append(upstream)
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return self._then


class Hangup(Exception):
    """The connection ends here, on purpose or because the peer went away."""


class Exchange:
    """One request and the connection on which to answer it."""

    def __init__(self, sock: socket.socket, request: Request, upstream: "Upstream"):
        self.sock = sock
        self.request = request
        self.upstream = upstream

    def head(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.write("\r\n".join(lines).encode() + b"\r\n\r\n")

    def write(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as gone:
            self.upstream.peer_left()
            raise Hangup from gone

    def chunk(self, data: bytes) -> None:
        """One chunk of a chunked body, in a packet of its own."""
        self.write(b"%x\r\n%s\r\n" % (len(data), data))

    def wait(self, gate: threading.Event) -> None:
        """Holds still until the gate opens; notes when the peer goes away before that."""
        deadline = time.monotonic() + PATIENCE
        while not gate.wait(0.005):
            if self.peer_closed(0):
                self.upstream.peer_left()
                raise Hangup
            if time.monotonic() > deadline:
                raise TimeoutError("the gate was not opened")

    def wait_closed(self) -> None:
        """Holds still until the peer goes away."""
        if not self.peer_closed(PATIENCE):
            raise TimeoutError("the peer never closed the connection")
        self.upstream.peer_left()
        raise Hangup

    def peer_closed(self, patience: float) -> bool:
        readable, _, _ = select.select([self.sock], [], [], patience)
        if not readable:
            return False
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def reset(self) -> None:
        """Closes with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Hangup


Behaviour = Callable[[Exchange], None]


# Behaviours


def reply(body: Union[dict, bytes], status: int = 200, headers: Optional[dict[str, str]] = None,
          content_type: str = "application/json") -> Behaviour:
    """A whole answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def behave(exchange: Exchange) -> None:
        fixed = [("content-type", content_type), ("content-length", str(len(data)))]
        exchange.head(status, fixed + list((headers or {}).items()))
        exchange.write(data)

    return behave


def error(status: int, message: str = "scripted failure", type: str = "server_error",
          param: Optional[str] = None, code: Optional[str] = None,
          headers: Optional[dict[str, str]] = None) -> Behaviour:
    """An error as OpenAI words it."""
    body = {"error": {"message": message, "type": type, "param": param, "code": code}}
    return reply(body, status, headers)


def rate_limited(retry_after: Optional[int] = None) -> Behaviour:
    """429, with `retry-after` when given."""
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return error(429, "Rate limit reached for requests", "requests", code="rate_limit_exceeded",
                 headers=headers)


def bad_key() -> Behaviour:
    """401."""
    return error(401, "Incorrect API key provided.", "invalid_request_error", code="invalid_api_key")


def unknown_model() -> Behaviour:
    """404."""
    return error(404, "The model does not exist or you do not have access to it.",
                 "invalid_request_error", code="model_not_found")


def too_long() -> Behaviour:
    """400 for a prompt that does not fit."""
    return error(400, "This model's maximum context length is 8192 tokens. However, your messages "
                 "resulted in 9000 tokens.", "invalid_request_error", "messages",
                 "context_length_exceeded")


def html() -> Behaviour:
    """A page of some proxy in between, under 200."""
    return reply(b"<html><body>Welcome to the captive portal</body></html>", content_type="text/html")


def connection_reset() -> Behaviour:
    """RST instead of an answer."""
    return lambda exchange: exchange.reset()


def silence() -> Behaviour:
    """No byte, until the peer gives up."""
    return lambda exchange: exchange.wait_closed()


def wrong_length(body: dict) -> Behaviour:
    """Promises more bytes than it sends."""
    data = json.dumps(body).encode()

    def behave(exchange: Exchange) -> None:
        exchange.head(200, [("content-type", "application/json"), ("content-length", str(len(data) + 40))])
        exchange.write(data)
        raise Hangup

    return behave


#: In a list of events: what happens instead of an event.
CUT = object()          # the connection closes in the middle of the body
RESET = object()        # the same with RST
UNTIL_CLOSED = object() # nothing more, until the peer goes away
DONE = "[DONE]"

Event = Union[dict, str, bytes, threading.Event, object]


def sse(*events: Event, headers: Optional[dict[str, str]] = None) -> Behaviour:
    """A stream. A dict or str is one `data:` event, bytes go out as they are, a `threading.Event` is
    a gate to wait at; each leaves in a packet of its own."""

    def behave(exchange: Exchange) -> None:
        exchange.head(200, [("content-type", "text/event-stream; charset=utf-8"),
                            ("transfer-encoding", "chunked"), *(headers or {}).items()])
        for event in events:
            if isinstance(event, threading.Event):
                exchange.wait(event)
            elif event is CUT:
                raise Hangup
            elif event is RESET:
                exchange.reset()
            elif event is UNTIL_CLOSED:
                exchange.wait_closed()
            else:
                exchange.chunk(encode_event(event))
        exchange.write(b"0\r\n\r\n")

    return behave


def encode_event(event: Union[dict, str, bytes]) -> bytes:
    if isinstance(event, bytes):
        return event
    data = event if isinstance(event, str) else json.dumps(event)
    return f"data: {data}\n\n".encode()


# Bodies

#: The model name that upstreams put into their answers: neither the group's nor the deployment's.
UPSTREAM_MODEL = "gpt-4o-2024-08-06"
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def chat_body(content: str = "Hello", **extra: Any) -> dict:
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": UPSTREAM_MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content},
                     "finish_reason": "stop"}],
        "usage": USAGE, **extra,
    }


def chunk(delta: dict, finish_reason: Optional[str] = None, **extra: Any) -> dict:
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000,
        "model": UPSTREAM_MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], **extra,
    }


def role() -> dict:
    """The first chunk of a stream: no content yet."""
    return chunk({"role": "assistant", "content": ""})


def text(content: str) -> dict:
    return chunk({"content": content})


def stop() -> dict:
    return chunk({}, "stop")


def usage_chunk() -> dict:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000,
            "model": UPSTREAM_MODEL, "choices": [], "usage": USAGE}


def completion_body(content: str) -> dict:
    return {"id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": UPSTREAM_MODEL,
            "choices": [{"index": 0, "text": content, "logprobs": None, "finish_reason": "stop"}],
            "usage": USAGE}


def completion_chunk(content: str, finish_reason: Optional[str] = None) -> dict:
    return {"id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": UPSTREAM_MODEL,
            "choices": [{"index": 0, "text": content, "logprobs": None, "finish_reason": finish_reason}]}


VECTOR = [0.5, -0.25, 1.0]


def embedding_body(count: int, encoding: str) -> dict:
    packed = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode()
    vector = packed if encoding == "base64" else VECTOR
    return {"object": "list", "model": UPSTREAM_MODEL,
            "data": [{"object": "embedding", "index": i, "embedding": vector} for i in range(count)],
            "usage": {"prompt_tokens": 8, "total_tokens": 8}}


def answer(*words: str, headers: Optional[dict[str, str]] = None) -> Behaviour:
    """What a provider in good health answers to this very request: the words, whole or as a stream."""
    words = words or ("Hello", " world")

    def behave(exchange: Exchange) -> None:
        asked = exchange.request.json
        content = "".join(words)
        streams = asked.get("stream") is True
        wants_usage = (asked.get("stream_options") or {}).get("include_usage") is True
        path, _, _ = exchange.request.path.partition("?")
        if path.endswith("/embeddings"):
            inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
            reply(embedding_body(len(inputs), asked.get("encoding_format", "float")), 200, headers)(exchange)
        elif path.endswith("/chat/completions") and streams:
            tail = [usage_chunk()] if wants_usage else []
            sse(role(), *map(text, words), stop(), *tail, DONE, headers=headers)(exchange)
        elif path.endswith("/chat/completions"):
            reply(chat_body(content), 200, headers)(exchange)
        elif path.endswith("/completions") and streams:
            tail = [{**completion_chunk(""), "choices": [], "usage": USAGE}] if wants_usage else []
            sse(*map(completion_chunk, words), completion_chunk("", "stop"), *tail, DONE,
                headers=headers)(exchange)
        elif path.endswith("/completions"):
            reply(completion_body(content), 200, headers)(exchange)
        else:
            error(404, f"no such path: {path}", "invalid_request_error")(exchange)

    return behave


# The server


@dataclass
class Departure:
    """Set when the peer closes a connection before its answer is complete."""

    seen: threading.Event = field(default_factory=threading.Event)
    at: float = 0.0


class Upstream:
    """One listening provider. `requests` holds what it was sent, `departure` who left too early."""

    def __init__(self, plan: Optional[Plan] = None):
        self.plan = plan if plan is not None else Plan()
        self.requests: list[Request] = []
        self.departure = Departure()
        #: What went wrong in here; a test with an entry here has failed.
        self.troubles: list[BaseException] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Upstream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        # Shutting a socket down wakes the thread that reads from it; closing it would not.
        _shut(self._listener)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                _shut(sock)

    def peer_left(self) -> None:
        if not self.departure.seen.is_set():
            self.departure.at = time.monotonic()
            self.departure.seen.set()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            reader = sock.makefile("rb")
            while (request := _read_request(reader)) is not None:
                with self._lock:
                    self.requests.append(request)
                    behave = self.plan.next_for(self)
                behave(Exchange(sock, request, self))
        except Hangup:
            pass
        except OSError:
            pass  # the peer reset an idle connection
        except BaseException as trouble:
            self.troubles.append(trouble)
        finally:
            with self._lock:
                self._open.discard(sock)
            # The reader holds the descriptor open until it is collected; both must go for a FIN or RST.
            reader.close()
            sock.close()


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already


def _read_request(reader: Any) -> Optional[Request]:
    """The next request on a connection; None when the peer is done with it."""
    line = reader.readline()
    if not line.strip():
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    headers = []
    while (line := reader.readline()) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name, value.strip()))
    lower = {name.lower(): value for name, value in headers}
    if "chunked" in lower.get("transfer-encoding", ""):
        body = b""
        while size := int(reader.readline().split(b";")[0], 16):
            body += reader.read(size)
            reader.readline()
        reader.readline()
    else:
        body = reader.read(int(lower.get("content-length", "0")))
    return Request(method, path, headers, body)
