"""The eight kinds of clients of `bench/chaos`.

Used by `bench/chaos`. Always true: each request has an id of its own, sent as `x-litellm-call-id`, and leaves
one `Call` that says what became of it, whatever happened.
"""

import dataclasses
import http.client
import json
import random
import socket
import threading
import time

from chaos_plan import CHAT_GROUPS, VECTOR_GROUPS
from chaos_provider import pieces, prompt

# The gateway's own deadline is shorter: a client that waits has an answer by then, or the gateway hangs.
PATIENCE_S = 180
WHOLE, BROKEN, REFUSED, LEFT, LOST = "whole", "broken", "refused", "left", "lost"


@dataclasses.dataclass
class Call:
    """One request, and what its client got."""
    call: str
    kind: str
    group: str
    began: float
    ended: float = 0.0
    # whole: all that the provider said. broken: a stream with an error as its last event. refused: an error.
    # left: the client went away. lost: anything else.
    outcome: str = LOST
    why: str = ""
    status: int = 0
    # The deployment that answered.
    deployment: str = ""
    # The upstream calls that the gateway says it made; none if the client left before it could say.
    attempts: int | None = None
    error: dict = dataclasses.field(default_factory=dict)


class Clients:
    """Every kind of client, each in threads of its own, until told to stop."""

    def __init__(self, port, key, seed):
        self.port, self.key, self.seed = port, key, seed
        self.over, self.lock = threading.Event(), threading.Lock()
        self.calls, self.threads = [], []

    def start(self):
        for kind, (_, count) in KINDS.items():
            for number in range(count):
                thread = threading.Thread(target=self.loop, args=(kind, number), daemon=True)
                self.threads.append(thread)
                thread.start()

    def stop(self):
        """Starts no more requests, and waits for those under way; whether all ended."""
        self.over.set()
        for thread in self.threads:
            thread.join(PATIENCE_S + 20)
        return not any(thread.is_alive() for thread in self.threads)

    def loop(self, kind, thread):
        client = Client(self, kind, random.Random(f"client {self.seed} {kind} {thread}"))
        number = 0
        while not self.over.is_set():
            client.request(f"{kind}-{thread}-{number}")
            number += 1
            # Enough requests for every kind of trouble, and not more than one core.
            self.over.wait(client.dice.uniform(0.01, 0.06))
        client.close()

    def once(self, kind, call, group):
        """One request outside the threads."""
        client = Client(self, kind, random.Random(f"client {self.seed} {call}"))
        client.request(call, group)
        client.close()

    def keep(self, call):
        with self.lock:
            self.calls.append(call)


class Client:
    def __init__(self, clients, kind, dice):
        self.clients, self.kind, self.dice = clients, kind, dice
        self.connection = None

    def request(self, name, group=None):
        groups = VECTOR_GROUPS if self.kind == "embeddings" else CHAT_GROUPS
        call = Call(name, self.kind, group or self.dice.choice(groups), time.monotonic())
        try:
            KINDS[self.kind][0](self, call)
        except Exception as error:  # whatever a client meets is what is judged
            call.outcome, call.why = LOST, f"{type(error).__name__}: {error}"
        call.ended = time.monotonic()
        if call.outcome not in (WHOLE, REFUSED):
            self.close()
        self.clients.keep(call)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def connect(self, receive_buffer=None):
        self.close()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.clients.port, timeout=PATIENCE_S)
        if receive_buffer:
            self.connection.sock = socket.socket()
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.connection.sock.settimeout(PATIENCE_S)
            self.connection.sock.connect(("127.0.0.1", self.clients.port))

    def send(self, call, path, body):
        if not self.connection:
            self.connect()
        self.connection.request("POST", path, body, self.headers(call))
        answer = self.connection.getresponse()
        call.status = answer.status
        if answer.headers["x-litellm-call-id"] != call.call:
            raise ValueError(f"the answer has the call id {answer.headers['x-litellm-call-id']}")
        call.deployment = answer.headers.get("x-litellm-model-id", "")
        if answer.status == 200:
            # `group/deployment=outcome; ...`, and in between how long it waited for its turn.
            call.attempts = sum("=" in part for part in answer.headers["x-hale-route"].split("; "))
        return answer

    def headers(self, call):
        return {"Authorization": f"Bearer {self.clients.key}", "Content-Type": "application/json",
                "x-litellm-call-id": call.call, "x-hale-explain": "1"}

    def exchange(self, call, path, body, read, expected):
        """One request; `read` takes what was said out of a good answer."""
        answer = self.send(call, path, body)
        judge(call, answer.read(), read, expected)
        if answer.will_close:
            self.close()


def judge(call, body, read, expected):
    """Says what became of a request whose client waited for its end."""
    if call.status != 200:
        error = json.loads(body)["error"]
        call.outcome, call.error = REFUSED, error
        call.attempts = len(error.get("attempts", []))
        return
    said, error = read(body)
    if error is not None:
        call.outcome, call.error = BROKEN, error
    elif said == expected:
        call.outcome = WHOLE
    else:
        call.why = f"status 200, but not what the provider said: {str(said)[-200:]!r}"


def chat_body(call, words, stream=False, padding=0):
    text = prompt(call.call, words) + "x" * padding
    body = {"model": call.group, "messages": [{"role": "user", "content": text}]}
    return json.dumps(body | ({"stream": True} if stream else {}))


def read_chat(body):
    return json.loads(body)["choices"][0]["message"]["content"], None


def read_message(body):
    return json.loads(body)["content"][0]["text"], None


def read_embedding(body):
    return json.loads(body)["data"][0]["embedding"], None


def events(body):
    """The data of each event of a stream."""
    found = []
    for event in body.decode().split("\n\n"):
        found += [line[6:] for line in event.split("\n") if line.startswith("data: ")]
    return found


def read_chat_stream(body):
    """What was said, None without the end; the error that the stream ended with."""
    data = events(body)
    is_done = bool(data) and data[-1] == "[DONE]"
    chunks = [json.loads(one) for one in data if one != "[DONE]"]
    error = next((chunk["error"] for chunk in chunks if "error" in chunk), None)
    if error and is_done:
        return "an error, and then [DONE]", None
    said = "".join(choice["delta"].get("content") or "" for chunk in chunks if "choices" in chunk
                   for choice in chunk["choices"])
    return (said if is_done else f"no [DONE]: {said}"), error


def read_message_stream(body):
    chunks = [json.loads(one) for one in events(body)]
    error = next((chunk["error"] for chunk in chunks if chunk["type"] == "error"), None)
    is_done = bool(chunks) and chunks[-1]["type"] == "message_stop"
    said = "".join(chunk["delta"].get("text", "") for chunk in chunks if chunk["type"] == "content_block_delta")
    return (said if is_done else f"no message_stop: {said}"), error


def full(client, call):
    words = client.dice.randrange(1, 30)
    client.exchange(call, "/v1/chat/completions", chat_body(call, words), read_chat,
                    "".join(pieces(call.call, words)))


def stream(client, call):
    words = client.dice.randrange(1, 30)
    client.exchange(call, "/v1/chat/completions", chat_body(call, words, stream=True), read_chat_stream,
                    "".join(pieces(call.call, words)))


def messages(client, call):
    words, is_stream = client.dice.randrange(1, 30), client.dice.random() < 0.5
    body = json.loads(chat_body(call, words, is_stream)) | {"max_tokens": 100}
    client.exchange(call, "/v1/messages", json.dumps(body), read_message_stream if is_stream else read_message,
                    "".join(pieces(call.call, words)))


def embeddings(client, call):
    words = client.dice.randrange(1, 30)
    body = json.dumps({"model": call.group, "input": prompt(call.call, words)})
    client.exchange(call, "/v1/embeddings", body, read_embedding, [float(len(call.call)), float(words)])


def large(client, call):
    words, padding = client.dice.randrange(1, 30), client.dice.randrange(100_000, 2_000_000)
    client.exchange(call, "/v1/chat/completions", chat_body(call, words, padding=padding), read_chat,
                    "".join(pieces(call.call, words)))
    client.clients.over.wait(0.3)


def leaves_early(client, call):
    """Goes away before an answer: within its body, or after it."""
    body = chat_body(call, 20, stream=client.dice.random() < 0.5, padding=client.dice.choice((0, 0, 300_000)))
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: chaos\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in client.headers(call).items())
    sent = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    if client.dice.random() < 0.2:
        sent = sent[:-client.dice.randrange(1, len(body))]
    with socket.create_connection(("127.0.0.1", client.clients.port), timeout=PATIENCE_S) as connection:
        connection.sendall(sent)
        time.sleep(client.dice.choice((0, 0.001, client.dice.uniform(0, 0.5))))
    call.outcome = LEFT


def leaves_stream(client, call):
    """Goes away in the middle of a stream."""
    client.connect(receive_buffer=4096)
    answer = client.send(call, "/v1/chat/completions", chat_body(call, 2_000, stream=True))
    if call.status != 200:
        judge(call, answer.read(), read_chat_stream, "")
        return
    # The stream is more than twenty times as long.
    answer.read(client.dice.randrange(1, 5_000))
    call.outcome = LEFT


def slow_reader(client, call):
    """Takes a few KB at a time, so that the gateway has to hold the provider back."""
    client.connect(receive_buffer=4096)
    words, body = client.dice.randrange(1_000, 3_000), bytearray()
    answer = client.send(call, "/v1/chat/completions", chat_body(call, words, stream=True))
    while piece := answer.read(4096):
        body += piece
        time.sleep(0.005)
    judge(call, bytes(body), read_chat_stream, "".join(pieces(call.call, words)))


# The kinds, and how many of each there are at a time.
KINDS = {
    "full": (full, 3),
    "stream": (stream, 3),
    "messages": (messages, 2),
    "embeddings": (embeddings, 1),
    "large": (large, 1),
    "leaves-early": (leaves_early, 2),
    "leaves-stream": (leaves_stream, 1),
    "slow-reader": (slow_reader, 1),
}
