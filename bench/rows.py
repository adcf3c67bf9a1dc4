"""The kinds of requests whose instructions are counted, and that a build is trained with.

Used by `bench/instructions` and `bench/train`. Always true: an answer that is not the expected one ends the run.
"""

import os
import re
import socket

import rig

WARM_UP, CONNECTIONS = 3, 32


class Row:
    """One kind of request: what is sent, how often, and how many units each answer counts as."""

    def __init__(self, mode, stream=False, connections=CONNECTIONS, rounds=64, units=1, status=200):
        self.mode, self.stream, self.connections = mode, stream, connections
        self.rounds, self.units, self.status = rounds, units, status

    @property
    def counted(self):
        return "event, its share of the request included" if self.units > 1 else "request"


ROWS = {
    "small_json": Row("full"),
    "translated_chat": Row("claude"),
    "stream_event": Row("paced", stream=True, connections=1, rounds=5, units=rig.PACED_EVENTS),
    "refusal": Row("limited", status=429),
}
# What a build is trained with: the same, and streams without pauses.
TRAINING = {**ROWS, "full_stream": Row("full", stream=True, units=rig.FULL_EVENTS)}


def connect(port, row):
    """The row's connections to the gateway."""
    connections = [socket.create_connection(("127.0.0.1", port), timeout=120)
                   for _ in range(row.connections)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connections


def request(row, directory):
    with open(rig.body_file(directory, row.mode, row.stream), "rb") as file:
        body = file.read()
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n"
            f"Authorization: Bearer {rig.KEY}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()
    return head + body


def answer(connection, row):
    """Reads one answer to its end."""
    received = b""
    while not (whole := is_whole(received)):
        piece = connection.recv(64 << 10)
        if not piece:
            break
        received += piece
    if not whole or int(received[9:12]) != row.status:
        raise rig.Failure(f"the gateway answered: {received[:500]!r}")
    if row.stream and received.count(b"data: {") < row.units:
        raise rig.Failure(f"the stream is not whole: {received[-500:]!r}")


def is_whole(received):
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return False
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if length:
        return len(body) >= int(length[1])
    return body.endswith(b"0\r\n\r\n")


def rounds(connections, sent, row, count):
    """On each connection one request in one write, then the answers of all: so often."""
    for _ in range(count):
        for connection in connections:
            connection.sendall(sent)
        for connection in connections:
            answer(connection, row)
