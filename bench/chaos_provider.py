"""A provider that fails as it is told, in a process of its own, so that it can be stopped.

Started by `bench/chaos`: `chaos_provider.py openai|anthropic SEED LOG`. It prints its port; standard
input then sets its fault, a line each: `FAULT SHARE`, which it answers with a line. Always true: each
request that it has read whole has a line in LOG, with its id, the key it came with and the fault it got,
written before any byte of the answer.
"""

import json
import random
import re
import socket
import sys
import threading
import time

HEALTHY = "healthy"
# `refuse` resets connections before it reads a request. All others read the request whole.
FAULTS = ("refuse", "reset", "cut", "slow", "silent", "500", "429", "429 with a hint", "html")
# Longer than every time limit of the gateway, so that the gateway is the one to give up.
SILENCE_S = 90
ASKED = re.compile(rb"call=([a-z0-9-]+) words=([0-9]+);")
HINTS = ("retry-after: 1", "retry-after: 0", "retry-after-ms: 700", "x-ratelimit-reset-requests: 1s")
RESET = b"\1\0\0\0\0\0\0\0"


def prompt(call, words):
    """What a client writes, so that the provider knows the call and how much to say."""
    return f"call={call} words={words};"


def pieces(call, words):
    """What a healthy provider says: no two calls get the same answer."""
    return [f"{call}:"] + [f" word{number}" for number in range(words)]


class BrokenOff(Exception):
    """The connection is given up on purpose."""


class Provider:
    def __init__(self, wire, seed, log):
        self.wire, self.seed, self.fault, self.share = wire, seed, HEALTHY, 1.0
        self.lock, self.log = threading.Lock(), open(log, "a", buffering=1, encoding="ascii")
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def accept(self):
        while True:
            peer, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while self.exchange(peer):
                    pass
            except (OSError, BrokenOff):
                pass

    def exchange(self, peer):
        """One request and its answer; whether the connection is kept."""
        peer.settimeout(None)
        if not peer.recv(1, socket.MSG_PEEK):
            return False
        if self.fault == "refuse":
            break_off(peer, "reset")
        head, body = read(peer)
        call, words = ASKED.search(body).groups()
        call, words = call.decode(), int(words)
        # The same call is treated in the same way wherever the plan has the same fault.
        dice = random.Random(f"{self.seed} {call}")
        fault = self.fault if dice.random() < self.share else HEALTHY
        if fault == "refuse":
            fault = HEALTHY
        key = re.search(rb"(?i)\r\n(?:authorization: bearer|x-api-key:) *([a-z0-9-]+)", head)[1].decode()
        with self.lock:
            self.log.write(f"{call} {key} {fault}\n")
        path = head.split(b" ", 2)[1]
        self.answer(peer, fault, dice, self.whole(path, body, call, words))
        return True

    def whole(self, path, body, call, words):
        """The parts of a good answer, to be sent one after another; whether it is a stream."""
        said = pieces(call, words)
        if path.endswith(b"/embeddings"):
            numbers = [float(len(call)), float(words)]
            return False, [json.dumps({"object": "list", "model": call, "data": [
                {"object": "embedding", "index": 0, "embedding": numbers}],
                "usage": {"prompt_tokens": 3, "total_tokens": 3}})]
        wire = openai if self.wire == "openai" else anthropic
        return wire(said, is_stream=re.search(rb'"stream": *true', body) is not None)

    def answer(self, peer, fault, dice, answer):
        is_stream, parts = answer
        if fault == "500":
            return send(peer, 500, self.error("server_error", "boom"))
        if fault == "429":
            return send(peer, 429, self.error("rate_limit_error", "slow down"))
        if fault == "429 with a hint":
            return send(peer, 429, self.error("rate_limit_error", "slow down"), dice.choice(HINTS) + "\r\n")
        if fault == "html":
            return send(peer, 200, "<html>maintenance</html>", kind="text/html")
        if not is_stream:
            return self.answer_whole(peer, fault, dice, parts[0])
        # Broken anywhere: before the head, before the first content, in the middle, before the end.
        left = dice.randrange(-1, len(parts)) if fault in ("reset", "cut", "silent") else None
        if left == -1:
            break_off(peer, fault)
        if fault == "slow":
            time.sleep(0.3)
        peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number, part in enumerate(parts):
            if number == left:
                break_off(peer, fault)
            data = part.encode()
            peer.sendall(b"%x\r\n%s\r\n" % (len(data), data))
            if number < 8:
                # Events that come one by one, without making long streams slow.
                time.sleep(0.02 if fault == "slow" else 0.002)
        peer.sendall(b"0\r\n\r\n")
        return None

    def answer_whole(self, peer, fault, dice, text):
        if fault == "slow":
            time.sleep(0.3)
        if fault in ("reset", "cut", "silent"):
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
            sent = (head + text).encode()
            # A third of them before the first byte.
            sent = sent[:max(0, dice.randrange(-len(sent) // 2, len(sent)))]
            if sent:
                peer.sendall(sent)
            break_off(peer, fault)
        send(peer, 200, text)

    def error(self, kind, message):
        error = {"type": kind, "message": message}
        return json.dumps({"error": error} if self.wire == "openai" else {"type": "error", "error": error})


def read(peer):
    """The head and the body of a request."""
    got = bytearray()
    while (end := got.find(b"\r\n\r\n")) < 0:
        got += received(peer)
    head, body = bytes(got[:end]), got[end + 4:]
    length = int(re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)[1])
    while len(body) < length:
        body += received(peer)
    return head, bytes(body)


def received(peer):
    data = peer.recv(1 << 18)
    if not data:
        raise BrokenOff
    return data


def break_off(peer, fault):
    """Ends the connection in the way of the fault."""
    if fault == "reset":
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    if fault == "silent":
        peer.settimeout(SILENCE_S)
        peer.recv(1)
    raise BrokenOff


def send(peer, status, text, more="", kind="application/json"):
    body = text.encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{more}content-length: {len(body)}\r\n\r\n"
    peer.sendall(head.encode() + body)


def openai(said, is_stream):
    usage = {"prompt_tokens": 9, "completion_tokens": len(said), "total_tokens": 9 + len(said)}
    if not is_stream:
        return False, [json.dumps({
            "id": "c", "object": "chat.completion", "created": 1, "model": "up", "usage": usage, "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "".join(said)},
                 "finish_reason": "stop"}]})]

    def chunk(choices, **more):
        return "data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1,
                                      "model": "up", "choices": choices, **more}) + "\n\n"

    def choice(delta, reason=None):
        return chunk([{"index": 0, "delta": delta, "finish_reason": reason}])
    content = [choice({"content": piece}) for piece in said]
    return True, [choice({"role": "assistant", "content": ""}), *content, choice({}, "stop"),
                  chunk([], usage=usage), "data: [DONE]\n\n"]


def anthropic(said, is_stream):
    message = {"id": "m", "type": "message", "role": "assistant", "model": "up", "stop_sequence": None}
    if not is_stream:
        return False, [json.dumps({**message, "content": [{"type": "text", "text": "".join(said)}],
                                   "stop_reason": "end_turn",
                                   "usage": {"input_tokens": 9, "output_tokens": len(said)}})]

    def event(kind, **fields):
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"
    begun = {**message, "content": [], "stop_reason": None, "usage": {"input_tokens": 9, "output_tokens": 1}}
    content = [event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
               for piece in said]
    return True, [event("message_start", message=begun),
                  event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
                  *content, event("content_block_stop", index=0),
                  event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None},
                        usage={"output_tokens": len(said)}),
                  event("message_stop")]


def main():
    wire, seed, log = sys.argv[1:]
    provider = Provider(wire, seed, log)
    print(provider.listener.getsockname()[1], flush=True)
    threading.Thread(target=provider.accept, daemon=True).start()
    # Ends with the process that started it: its end of the pipe closes.
    for line in sys.stdin:
        fault, _, share = line.strip().rpartition(" ")
        provider.share, provider.fault = float(share), fault
        print("set", flush=True)


if __name__ == "__main__":
    main()
