#!/usr/bin/env python3
"""The figures of health checks on a running gateway, as docs/health.md shows them.

    cargo build --release && bench/health.py [--binary target/release/hale] [--deployments 1000] [--seconds 60]

A thousand deployments, every second one a black hole that accepts and never answers, and a healthy group
with a hundred requests a second. Prints one line per figure. Always true: every child and socket ends with
the script; an answer that is not the one expected ends it with 2.
"""

import argparse
import http.client
import http.server
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

KEY = "sk-bench-0123456789abcdef"
HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
CHAT = json.dumps({"model": "healthy", "messages": [{"role": "user", "content": "hi"}]})
ANSWER = json.dumps({
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}).encode()


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers every chat request at once."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 4096

    def handle_error(self, *_):
        """A check that was given up closes its connection."""


def black_hole():
    """A port whose connections are taken by the kernel and answered by nobody."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen(4096)
    return taken


def config(count, well, hole, background):
    def entry(group, ident, port):
        # A host of its own for each, so that places are bounded in all and not at one upstream.
        host = f"127.{ident // 65536 % 250 + 1}.{ident // 256 % 256}.{ident % 256}" if port != hole else "127.0.0.1"
        params = {"model": "openai/m", "api_key": f"k{ident}", "api_base": f"http://{host}:{port}/v1"}
        return {"model_name": group, "litellm_params": params, "model_info": {"id": f"d{ident}"}}

    entries = [entry("healthy", i + 1, well) for i in range(2)]
    entries += [entry(f"g{i}", i + 3, well if i % 2 else hole) for i in range(count - 2)]
    general = {"master_key": KEY, "background_health_checks": background, "health_check_interval": 60}
    return {"model_list": entries, "general_settings": general}


class Gateway:
    def __init__(self, binary, settings, directory):
        path = os.path.join(directory, "health.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(settings, file)
        arguments = [binary, "--config", path, "--host", "127.0.0.1", "--port", "0"]
        environment = {"HEALTH_CHECK_TIMEOUT_SECONDS": "5"}
        self.child = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment)
        for line in self.child.stderr:
            if "listening on http://" in line:
                self.port = int(line.split("listening on http://")[1].split()[0].split("\x1b")[0].rsplit(":", 1)[1])
                break
        else:
            sys.exit("the gateway did not start")
        threading.Thread(target=lambda: [None for _ in self.child.stderr], daemon=True).start()

    def ask(self, method, path, body=None, connection=None):
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=150)
        connection.request(method, path, body, HEADERS)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def metric(self, name):
        _, page = self.ask("GET", "/metrics")
        return sum(float(l.rsplit(" ", 1)[1]) for l in page.decode().splitlines() if l.startswith(name))

    def rss_kib(self):
        with open(f"/proc/{self.child.pid}/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def end(self):
        self.child.kill()
        self.child.wait()


def p99(times):
    return statistics.quantiles(times, n=100)[98] * 1000 if len(times) > 1 else float("nan")


def timed(seconds, pause, act):
    """The seconds that each call of act took."""
    times, ends = [], time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.monotonic()
        act()
        times.append(time.monotonic() - began)
        time.sleep(max(0, pause - times[-1]))
    return times


def traffic(gateway, seconds, results):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)

    def one():
        status, body = gateway.ask("POST", "/v1/chat/completions", CHAT, connection)
        if status != 200:
            print(body.decode(), file=sys.stderr)
            os._exit(2)

    results.extend(timed(seconds, 0.01, one))


def measure(arguments, background, well, hole, directory):
    gateway = Gateway(arguments.binary, config(arguments.deployments, well, hole, background), directory)
    try:
        times = []
        load = threading.Thread(target=traffic, args=(gateway, arguments.seconds, times))
        load.start()
        if not background:
            load.join()
            began = time.monotonic()
            _, page = gateway.ask("GET", "/health")
            page = json.loads(page)
            counts = [page[f"{name}_count"] for name in ("healthy", "unhealthy", "unchecked")]
            print(f"live /health: {time.monotonic() - began:.1f} s, {counts} of {arguments.deployments}")
            return times
        pages, alive, most, rss = [], [], 0, []
        ends = time.monotonic() + arguments.seconds
        while time.monotonic() < ends:
            pages += timed(1, 0.1, lambda: gateway.ask("GET", "/health"))
            alive += timed(1, 0.05, lambda: gateway.ask("GET", "/health/liveliness"))
            most = max(most, gateway.metric("hale_probes_in_flight"))
            rss.append((time.monotonic(), gateway.rss_kib()))
        load.join()
        page = json.loads(gateway.ask("GET", "/health")[1])
        listed = sum(page[f"{name}_count"] for name in ("healthy", "unhealthy", "unchecked"))
        half = rss[len(rss) // 2:]
        slope = (half[-1][1] - half[0][1]) / 1024 / max(1, half[-1][0] - half[0][0]) * 600
        print(f"cached /health: p99 {p99(pages):.1f} ms over {len(pages)}, lists {listed}")
        print(f"/health/liveliness: p99 {p99(alive):.1f} ms over {len(alive)}")
        print(f"background checks in flight: {most:.0f} at most; sent {gateway.metric('hale_probes_total'):.0f}")
        print(f"RSS: {rss[-1][1] / 1024:.1f} MiB, slope {slope:.2f} MiB per 10 minutes in the second half")
        return times
    finally:
        gateway.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/hale")
    parser.add_argument("--deployments", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    server = Server(("0.0.0.0", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    well, hole = server.server_address[1], black_hole()
    with tempfile.TemporaryDirectory() as directory:
        hole_port = hole.getsockname()[1]
        without = measure(arguments, False, well, hole_port, directory)
        with_checks = measure(arguments, True, well, hole_port, directory)
    print(f"traffic p99: {p99(without):.2f} ms without checks, {p99(with_checks):.2f} ms with")


if __name__ == "__main__":
    main()
