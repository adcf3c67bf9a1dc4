"""The gateway of `bench/chaos`: its process, its config, its pages and its records.

Used by `bench/chaos`. Always true: the process is ended by its pid; the gauges are read on one connection, so
that they show this connection, this request and no other look at them.
"""

import glob
import http.client
import json
import os
import re
import signal
import subprocess
import time

import rig

# The limit only keeps a run from hanging; what is judged is the state, not the time.
SETTLE_S = 60
# Longer than a connection to a provider idles, so a number that stays so long is final.
STILL_S = 6
SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ([0-9.e+-]+)$")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
GAUGES = ("hale_in_flight_requests", "hale_deployment_in_flight", "hale_connections", "hale_buffered_bytes",
          "hale_waiting", "hale_probes_in_flight")


class Gateway:
    def __init__(self, binary, directory, config):
        self.directory, self.config = directory, os.path.join(directory, "hale.yaml")
        self.write(config)
        self.process = subprocess.Popen(
            [binary, "--config", self.config, "--port", "0", "--host", "127.0.0.1", "--num_workers", "2"],
            cwd=directory, env={"PATH": os.environ.get("PATH", "")}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.log = rig.Lines(self.process.stderr)
        _, line = self.log.wait("listening on http://", limit=60)
        self.port = int(re.search(r"127\.0\.0\.1:(\d+)", line)[1])

    def write(self, text):
        # In one step: the gateway looks at the file once a second, and must not see half of it.
        with open(self.config + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(self.config + ".new", self.config)

    def reload(self, text):
        self.write(text)
        self.process.send_signal(signal.SIGHUP)

    def rotate(self, number):
        """Renames the file of records, as log rotation does."""
        try:
            os.rename(os.path.join(self.directory, "records.jsonl"),
                      os.path.join(self.directory, f"records-{number}.jsonl"))
        except FileNotFoundError:
            pass  # renamed before, and no record since
        self.process.send_signal(signal.SIGHUP)

    def page(self, method, path, connection=None):
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            own.request(method, path, headers={"Authorization": f"Bearer {rig.KEY}"})
            answer = own.getresponse()
            text = answer.read().decode()
        finally:
            if not connection:
                own.close()
        if answer.status != 200:
            raise rig.Failure(f"{method} {path}: {answer.status} {text[:300]}")
        return text

    def operate(self, deployment, action):
        self.page("POST", f"/router/deployments/{deployment}/{action}")

    def has_model(self, name):
        """Whether a model becomes known: the config with it is in force."""
        ends = time.monotonic() + SETTLE_S
        while time.monotonic() < ends:
            if any(model["id"] == name for model in json.loads(self.page("GET", "/v1/models"))["data"]):
                return True
            time.sleep(0.1)
        return False

    def metrics(self, connection=None):
        """All samples of /metrics: name, labels, value."""
        found = []
        for line in self.page("GET", "/metrics", connection).splitlines():
            if match := SAMPLE.match(line):
                name, labels, value = match.groups()
                found.append((name, dict(LABEL.findall(labels or "")), float(value)))
        return found

    def resources(self, connection):
        """Gauges without this look at them, memory, descriptors and threads."""
        samples = self.metrics(connection)
        pid = self.process.pid
        missing = set(GAUGES) - {name for name, _, _ in samples}
        if missing:
            raise rig.Failure(f"/metrics has no {missing}")
        found = {gauge: sum(value for name, _, value in samples if name == gauge) for gauge in GAUGES}
        found["hale_in_flight_requests"] -= 1
        found["hale_connections"] -= 1
        return found | {"descriptors": len(os.listdir(f"/proc/{pid}/fd")),
                        "threads": len(os.listdir(f"/proc/{pid}/task")), "rss_kb": rig.rss_kb([pid])}

    def settle(self, like=None):
        """Waits until nothing is under way; then what is held. Given up after a minute, for the verdict to see.

        One connection is used for all looks, so that an earlier one, which is being closed, is never counted.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        ends, still, last = time.monotonic() + SETTLE_S, time.monotonic(), None
        while True:
            now = self.resources(connection)
            kept = {name: now[name] for name in (*GAUGES, "descriptors")}
            if kept != last:
                still, last = time.monotonic(), kept
            is_idle = not any(now[gauge] for gauge in GAUGES)
            is_like = like is None or now["descriptors"] <= like["descriptors"]
            is_still = time.monotonic() - still > STILL_S
            if is_idle and is_like and is_still or time.monotonic() > ends:
                connection.close()
                return now
            time.sleep(0.2)

    def records(self):
        """All records, of renamed files too."""
        found = []
        for path in glob.glob(os.path.join(self.directory, "records*.jsonl")):
            with open(path, encoding="utf-8") as file:
                found += [json.loads(line) for line in file]
        return found

    def terminate(self):
        """Stops it as an operator does; its exit status, none if it does not end."""
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            return None

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
