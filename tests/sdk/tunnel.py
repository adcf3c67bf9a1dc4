"""What may stand between a gateway and its upstream: a TLS front, and a proxy that tunnels.

Used by test_tls.py. Always true: both listen on a port that they chose, and stop when closed.
"""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Optional


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def _join(left: socket.socket, right: socket.socket) -> None:
    threading.Thread(target=_pump, args=(left, right), daemon=True).start()
    _pump(right, left)


class _Listener:
    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._guarded, args=(peer,), daemon=True).start()

    def _guarded(self, peer: socket.socket) -> None:
        try:
            self.serve(peer)
        except (OSError, ssl.SSLError):
            peer.close()

    def serve(self, peer: socket.socket) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class TlsFront(_Listener):
    """Ends TLS and passes what is inside to a plain upstream."""

    def __init__(self, context: ssl.SSLContext, port: int):
        self._context = context
        self._port = port
        super().__init__()

    def serve(self, peer: socket.socket) -> None:
        with self._context.wrap_socket(peer, server_side=True) as inner:
            with socket.create_connection(("127.0.0.1", self._port)) as upstream:
                _join(inner, upstream)


class Proxy(_Listener):
    """An HTTP proxy that knows CONNECT only."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.authorization: Optional[str] = None
        super().__init__()

    def serve(self, peer: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = peer.recv(4096)
            if not data:
                return
            head += data
        lines = head.decode().split("\r\n")
        method, target, _ = lines[0].split(" ")
        assert method == "CONNECT", lines[0]
        self.targets.append(target)
        for line in lines[1:]:
            if line.lower().startswith("proxy-authorization:"):
                self.authorization = line.split(":", 1)[1].strip()
        host, port = target.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as upstream:
            peer.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _join(peer, upstream)
