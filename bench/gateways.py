"""Gateways with members behind them, for what is measured of health checks.

Used by `bench/health.py` and `bench/health_litellm.py`. Always true: both gateways get the same config and
the same members; every child is known by its pid and ended by it.
"""

import http.client
import json
import os
import re
import subprocess
import threading
import time

import rig

KEY = rig.KEY
HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
MODEL = "openai/gpt-4o-mini"
TEXT = "real traffic"


class Children(rig.Children):
    """Children on whatever CPU the system gives them."""

    def start(self, command, **options):
        process = subprocess.Popen(command, **options)
        self.running.append(process)
        return process


def chat(group):
    """A request that members know as traffic."""
    return json.dumps({"model": group, "messages": [{"role": "user", "content": TEXT}], "max_tokens": 20})


class Members:
    """The members of all groups, in one process; each has an address of its own."""

    def __init__(self, children, binary, log=False):
        self.process = children.start([binary, "--port", "0"] + ["--log"] * log,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = rig.Lines(self.process.stdout)
        _, line = self.lines.wait("listening on ")
        self.port = int(line.rsplit(":", 1)[1])

    def base(self, name, number):
        host = f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"
        return f"http://{host}:{self.port}/{name}/v1"

    def set(self, name, mood):
        self.process.stdin.write(f"{name} {mood}\n".encode())
        self.process.stdin.flush()

    def counts(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", "/counts")
        return json.loads(connection.getresponse().read())

    def seen(self):
        """The requests so far, as the log has them."""
        with self.lines.changed:
            return [{"at": at} | json.loads(line) for at, line in self.lines.lines if line.startswith("{")]


def settings(entries, *, background, interval=60, routing=False, router=None, timeout=None):
    """A config; entries are group, name and base of a member."""
    params = {"model": MODEL} | ({"timeout": timeout} if timeout else {})
    models = [{
        "model_name": group,
        "litellm_params": params | {"api_key": f"sk-{name}", "api_base": base},
        "model_info": {"id": name},
    } for group, name, base in entries]
    general = {"master_key": KEY, "background_health_checks": background, "health_check_interval": interval}
    if routing:
        general["enable_health_check_routing"] = True
    return {"model_list": models, "general_settings": general, "router_settings": router or {}}


class Gateway:
    """What is asked of either gateway."""

    def ask(self, method, path, body=None, connection=None, timeout=200):
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.request(method, path, body, HEADERS)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers

    def page(self, query=""):
        return json.loads(self.ask("GET", f"/health{query}")[1])

    def verdicts(self):
        """The list in which each member stands, by the name in its address."""
        page, found = self.page(), {}
        for standing in ("healthy", "unhealthy", "unchecked"):
            for entry in page.get(f"{standing}_endpoints", []):
                found[entry["api_base"].split("/")[3]] = standing
        return found

    def wait(self, condition, limit, pause=0.25):
        """Waits for a condition of the verdicts; seconds that took, or nothing."""
        began = time.monotonic()
        while time.monotonic() - began < limit:
            if condition(self.verdicts()):
                return time.monotonic() - began
            time.sleep(pause)
        return None

    def rss_kib(self):
        return rig.rss_kb([self.process.pid])

    def end(self):
        self.children.end(self.process)

    def write(self, directory, config):
        path = os.path.join(directory, f"{self.name}-{time.monotonic_ns()}.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        return path


class Hale(Gateway):
    name = "hale"

    def __init__(self, children, directory, binary, config, probe_seconds=5):
        self.children = children
        command = [binary, "--config", self.write(directory, config), "--host", "127.0.0.1", "--port", "0"]
        environment = {"HEALTH_CHECK_TIMEOUT_SECONDS": str(probe_seconds), "NO_COLOR": "1"}
        self.process = children.start(command, env=environment, cwd=directory,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.lines = rig.Lines(self.process.stderr)
        _, line = self.lines.wait("listening on http://")
        self.port = int(re.search(r"127\.0\.0\.1:(\d+)", line)[1])

    def metric(self, name):
        page = self.ask("GET", "/metrics")[1].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(name))

    def state(self):
        """What the router knows of each member."""
        page = json.loads(self.ask("GET", "/router/state")[1])
        return {line["id"]: line for line in page["deployments"]}


class LiteLlm(Gateway):
    name = "litellm"

    def __init__(self, children, directory, python, config, probe_seconds=5):
        self.children, self.port = children, rig.free_port()
        command = [os.path.join(os.path.dirname(python), "litellm"), "--config", self.write(directory, config),
                   "--host", "127.0.0.1", "--port", str(self.port), "--telemetry", "False"]
        environment = {
            "PATH": os.path.dirname(python) + ":" + os.environ.get("PATH", ""),
            "HOME": directory, "HEALTH_CHECK_TIMEOUT_SECONDS": str(probe_seconds),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR",
        }
        log = open(os.path.join(directory, "litellm.log"), "ab")
        self.process = children.start(command, env=environment, cwd=directory, stdout=log, stderr=log)
        ends = time.monotonic() + 120
        while True:
            try:
                if self.ask("GET", "/health/liveliness", timeout=5)[0] == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > ends:
                with open(log.name, encoding="utf-8", errors="replace") as said:
                    raise rig.Failure(f"litellm did not start:\n{said.read()[-3000:]}")
            time.sleep(0.2)


class Asking:
    """Requests of one client each, at a steady pace, until it is ended."""

    def __init__(self, gateway, group, rate, clients=8):
        self.gateway, self.group, self.rate, self.clients = gateway, group, rate, clients
        self.answers, self.over = [], False
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True)
                        for number in range(clients)]
        self.began = time.monotonic()
        for thread in self.threads:
            thread.start()

    def run(self, number):
        turn, body = number, chat(self.group)
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)
        while not self.over:
            time.sleep(max(0, self.began + turn / self.rate - time.monotonic()))
            turn += self.clients
            began = time.monotonic()
            try:
                status, _, headers = self.gateway.ask("POST", "/v1/chat/completions", body, connection)
                member = headers.get("x-litellm-model-id")
            except (OSError, http.client.HTTPException):
                connection.close()
                status, member = 0, None
            self.answers.append({"at": began, "took": time.monotonic() - began, "status": status, "member": member})

    def end(self):
        self.over = True
        for thread in self.threads:
            thread.join(70)
        return sorted(self.answers, key=lambda answer: answer["at"])
