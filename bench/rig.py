"""The processes of the benchmark and what is measured of them.

Used by `bench/run`. Always true: every child is known by its pid and ended by it.
"""

import glob
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# What scripts/release ends with when it cannot merge the counts of the training.
NO_MERGER = 3
KEY = "sk-bench-0123456789abcdef"
LOAD_CPU, PROXY_CPU = 0, 1
FULL_EVENTS, PACED_EVENTS = 20, 200


class Failure(Exception):
    """The rig does not measure what it says it does."""


def tool(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise Failure(f"{name} is not installed")
    return found


def target():
    """The directory of the plain release binaries."""
    directory = os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target")
    return os.path.join(directory, "release")


def build(*names):
    """Builds release binaries, and says where they are."""
    command = ["cargo", "build", "--release", "--locked"]
    for name in names:
        command += ["--bin", name]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    return target()


def build_gateway(plain):
    """The kind of build, and its gateway: what scripts/release builds, or the plain release build."""
    if not plain:
        made = subprocess.run(["scripts/release"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if made.returncode == 0:
            return "trained", made.stdout.split()[-1]
        if made.returncode != NO_MERGER:
            raise Failure("scripts/release failed")
        print("the plain build is measured instead", file=sys.stderr)
    return "plain", os.path.join(build("hale"), "hale")


def fill(template, directory, **values):
    """Writes a template of this directory with its names filled in; the path of the copy."""
    with open(os.path.join(HERE, template), encoding="utf-8") as file:
        text = file.read()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    path = os.path.join(directory, template.removesuffix(".in"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def body_file(directory, mode, stream, size=0, tools=0):
    """A chat request of about one kilobyte, or of about `size` bytes, with so many tools."""
    text = "Which of these deployments is well, and what makes you think so? "
    body = {
        "model": f"bench-{mode}",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant. Answer briefly. " * 8},
            {"role": "user", "content": (text * max(6, size // len(text))).strip()},
        ],
        "temperature": 0.7,
        "max_tokens": 256,
    }
    if tools:
        body["tools"] = [tool_definition(number) for number in range(tools)]
    if stream:
        body["stream"] = True
    kind = f"{mode}-{'stream' if stream else 'json'}-{size}-{tools}"
    path = os.path.join(directory, f"{kind}.body")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(body, file, separators=(",", ":"))
    return path


def tool_definition(number):
    """A tool as a coding agent declares it."""
    parameters = {f"parameter_{at}": {"type": "string", "description": "What it is for. " * 4}
                  for at in range(4)}
    return {"type": "function", "function": {
        "name": f"tool_{number}", "description": "What the tool does, and when to use it. " * 6,
        "parameters": {"type": "object", "properties": parameters, "required": list(parameters)}}}


def many(config, directory, groups, members):
    """The config at `config` with so many more groups; the path of the copy."""
    with open(config, encoding="utf-8") as file:
        text = file.read()
    entries = []
    for group in range(groups):
        for member in range(members):
            entries.append(
                f"- model_name: many-{group}\n  litellm_params: {{model: openai/gpt-4o-mini, "
                f"api_key: sk-{member}, api_base: \"http://127.0.0.1:9/{member}/v1\"}}\n")
    path = os.path.join(directory, f"many-{groups}-{members}.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("model_list:\n", "model_list:\n" + "".join(entries), 1))
    return path


class Children:
    """Every process that was started, so that all of them end."""

    def __init__(self):
        self.running = []

    def start(self, command, cpu, **options):
        process = subprocess.Popen(
            command, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}), **options
        )
        self.running.append(process)
        return process

    def end(self, process):
        if process in self.running:
            self.running.remove(process)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def end_all(self):
        for process in reversed(list(self.running)):
            self.end(process)


class Lines:
    """The lines of a pipe, gathered as they come, each with its time."""

    def __init__(self, pipe):
        self.lines = []
        self.changed = threading.Condition()
        self.over = False
        threading.Thread(target=self.gather, args=(pipe,), daemon=True).start()

    def gather(self, pipe):
        for line in iter(pipe.readline, b""):
            now = time.monotonic()
            with self.changed:
                self.lines.append((now, line.decode(errors="replace").rstrip()))
                self.changed.notify_all()
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def wait(self, text, limit=20):
        """Time and text of the first line that contains this."""
        found = []

        def look():
            found.extend(line for line in self.lines if text in line[1])
            return found or self.over

        with self.changed:
            self.changed.wait_for(look, limit)
            if not found:
                said = "\n".join(line for _, line in self.lines[-20:])
                raise Failure(f"no line with {text!r}; the process said:\n{said}")
        return found[0]


class Upstream:
    def __init__(self, children, binary):
        process = children.start([binary, "--port", "0"], LOAD_CPU, stdout=subprocess.PIPE)
        _, line = Lines(process.stdout).wait("listening on ")
        self.port = int(line.rsplit(":", 1)[1])
        self.pids = [process.pid]


class Redis:
    """A redis-server at a socket of its own."""

    def __init__(self, children, directory):
        self.children, self.directory = children, directory
        self.socket = os.path.join(directory, "redis.s")
        self.start()

    def start(self):
        command = [tool("redis-server"), "--port", "0", "--save", "", "--unixsocket", self.socket,
                   "--dir", self.directory]
        self.process = self.children.start(command, LOAD_CPU, stdout=subprocess.PIPE)
        Lines(self.process.stdout).wait("ready to accept connections at")

    def url(self):
        return f"redis+unix://{self.socket}"

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        self.children.end(self.process)


class Nginx:
    """A proxy by nginx; the base of the path goes through to the upstream."""

    def __init__(self, children, directory, upstream, name="nginx"):
        self.name, self.children = name, children
        self.port = free_port()
        self.directory = os.path.join(directory, f"{name}-{self.port}")
        os.mkdir(self.directory)
        user = "user root;" if os.geteuid() == 0 else ""
        config = fill("nginx.conf.in", self.directory, DIR=self.directory, PORT=self.port,
                      UPSTREAM=upstream.port, USER=user)
        log = os.path.join(self.directory, "error.log")
        self.process = children.start([tool("nginx"), "-c", config, "-e", log], PROXY_CPU)
        wait_for_port(self.port, self.process)
        self.pids = children_of(self.process.pid)

    def path(self, mode):
        return f"/{mode}/v1/chat/completions"

    def end(self):
        self.children.end(self.process)


class Hale:
    """The gateway; the model in the body selects the base of the path."""

    def __init__(self, children, directory, binary, config, name="hale", workers=1, env=None):
        self.name, self.children = name, children
        env = env or {"PATH": os.environ.get("PATH", "")}
        command = [binary, "--config", config, "--port", "0", "--host", "127.0.0.1",
                   "--num_workers", str(workers)]
        self.started = time.monotonic()
        self.process = children.start(
            command, PROXY_CPU, cwd=directory, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        self.listening, line = Lines(self.process.stderr).wait("listening on http://")
        self.port = int("".join(filter(str.isdigit, line.rsplit("127.0.0.1:", 1)[1].split()[0])))
        self.pids = [self.process.pid]

    def path(self, mode):
        return "/v1/chat/completions"

    def end(self):
        self.children.end(self.process)


def wait_for_port(port, process):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise Failure(f"{process.args[0]} does not listen")


def children_of(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            if found := [int(word) for word in file.read().split()]:
                return found
        time.sleep(0.01)
    raise Failure(f"process {pid} has no workers")


def cpu_seconds(pids):
    """User and system time of whole processes.

    The scheduler's count per thread has nanoseconds but forgets threads that ended; the count of
    the process has ticks and forgets nothing. The larger one is right to within a tick.
    """
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for pid in pids:
        fine = 0
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            try:
                with open(path, encoding="ascii") as file:
                    fine += int(file.read().split()[0])
            except FileNotFoundError:
                pass
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        coarse = (int(fields[11]) + int(fields[12])) / ticks
        total += fine / 1e9 if coarse - fine / 1e9 < 3 / ticks else coarse
    return total


def worker_seconds(pids):
    """The scheduler's count of the threads that serve requests. They live as long as their process."""
    total = 0
    for pid in pids:
        for task in glob.glob(f"/proc/{pid}/task/*"):
            with open(f"{task}/comm", encoding="ascii") as file:
                if not file.read().startswith("worker-"):
                    continue
            with open(f"{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    return total / 1e9


class Clock:
    """What a proxy used between two moments, and how busy its CPU was with anything else."""

    def __init__(self, pids):
        self.pids, self.start = pids, (cpu_seconds(pids), busy_seconds(), time.monotonic())

    def stop(self):
        own, busy, now = (end - start for end, start in zip(
            (cpu_seconds(self.pids), busy_seconds(), time.monotonic()), self.start))
        return own, max(0.0, busy - own) / now * 100


def busy_seconds():
    """Seconds that the proxy's CPU has not been idle, in ticks."""
    with open("/proc/stat", encoding="ascii") as file:
        line = next(line for line in file if line.startswith(f"cpu{PROXY_CPU} "))
    user, nice, system, _, _, irq, softirq, steal = (int(word) for word in line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def rss_kb(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    return total


def check(proxy, mode, body, stream):
    """One request by hand: the answer must be the upstream's, whole."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    with open(body, "rb") as file:
        connection.request("POST", proxy.path(mode), file.read(), {
            "Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read().decode()
    if response.status != 200:
        raise Failure(f"{proxy.name} answered {response.status}: {text[:500]}")
    if not stream:
        if json.loads(text)["choices"][0]["finish_reason"] != "stop":
            raise Failure(f"{proxy.name} gave no completion: {text[:500]}")
    elif text.count("data: {") != FULL_EVENTS or not text.rstrip().endswith("data: [DONE]"):
        raise Failure(f"{proxy.name} gave {text.count('data: {')} events: {text[-500:]}")
    connection.close()


def check_translated(proxy, body, stream):
    """One request by hand to a provider of another format."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    with open(body, "rb") as file:
        connection.request("POST", proxy.path("full"), file.read(), {
            "Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read().decode()
    words = text.count(" word") if stream else text.count("A gateway")
    if response.status != 200 or '"finish_reason":"stop"' not in text or words < 5:
        raise Failure(f"{proxy.name} translated badly, {response.status}: {text[:500]}")
    connection.close()


def check_refusal(proxy, body):
    """One request by hand that the proxy refuses by itself, with the time to wait."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    with open(body, "rb") as file:
        connection.request("POST", proxy.path("limited"), file.read(), {
            "Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read().decode()
    if response.status != 429 or not 0 < int(response.headers["retry-after"]) <= 300:
        raise Failure(f"{proxy.name} did not refuse, {response.status}: {text[:500]}")
    connection.close()


def asked_while_limited(hale):
    """How often the deployments that are rate limited were asked."""
    connection = http.client.HTTPConnection("127.0.0.1", hale.port, timeout=20)
    connection.request("GET", "/router/state", headers={"Authorization": f"Bearer {KEY}"})
    deployments = json.loads(connection.getresponse().read())["deployments"]
    connection.close()
    return sum(sum(one["failures"].values()) + one["successes"] for one in deployments
               if one["model_group"] == "bench-limited")


def wrk(proxy, mode, body, connections, seconds, refused=False):
    """Drives one proxy; what it cost and how long it took. All answers are good, or all are refusals."""
    url = f"http://127.0.0.1:{proxy.port}{proxy.path(mode)}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s",
               "-s", os.path.join(HERE, "chat.lua"), url]
    clock, workers = Clock(proxy.pids), worker_seconds(proxy.pids)
    done = subprocess.run(command, env={**os.environ, "BENCH_BODY": body, "BENCH_KEY": KEY},
                          capture_output=True, text=True, check=False)
    cpu, others = clock.stop()
    workers = worker_seconds(proxy.pids) - workers
    line = next((line for line in done.stdout.splitlines() if line.startswith("BENCH ")), None)
    if not line:
        raise Failure(f"wrk failed: {done.stdout}{done.stderr}")
    result = json.loads(line.removeprefix("BENCH "))
    errors = {name: result[name] for name in ("connect", "read", "write", "status", "timeout")}
    if refused:
        errors["status"] -= result["requests"]
    if any(errors.values()) or not result["requests"]:
        raise Failure(f"{proxy.name} failed requests: {errors} of {result['requests']}")
    elapsed = result["duration_us"] / 1e6
    return {
        "cpu_us": cpu * 1e6 / result["requests"],
        "worker_us": workers * 1e6 / result["requests"],
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
        "per_s": result["requests"] / elapsed,
        "busy": cpu / elapsed * 100,
        "others": others,
        "rss_mb": rss_kb(proxy.pids) / 1024,
        "requests": result["requests"],
    }


def streams(children, binary, proxy, mode, body, count, hold):
    command = [binary, "--address", f"127.0.0.1:{proxy.port}", "--path", proxy.path(mode),
               "--key", KEY, "--body", body, "--streams", str(count)]
    return children.start(command + ["--hold"] * hold, LOAD_CPU, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE)


def paced(children, binary, proxy, body, count, passes):
    """Reads so many paced streams to their end, several times over: the cost of an event."""
    expected = count * (PACED_EVENTS + 1)
    results = []
    clock = Clock(proxy.pids)
    for _ in range(passes):
        process = streams(children, binary, proxy, "paced", body, count, hold=False)
        output, _ = process.communicate(timeout=120)
        children.end(process)
        result = json.loads(output)
        if result["errors"] or result["complete"] != count or result["events"] != expected:
            raise Failure(f"{proxy.name} gave {result}, expected {expected} events")
        results.append(result)
    cpu, others = clock.stop()
    middle = lambda measure: statistics.median(measure(result) for result in results)
    return {
        "cpu_us": cpu * 1e6 / (expected * passes),
        "event_us": cpu * 1e6 / (expected * passes),
        "gap_p50_us": middle(lambda it: it["gap_us"]["p50"]),
        "gap_p99_us": middle(lambda it: it["gap_us"]["p99"]),
        "content_p50_us": middle(lambda it: it["content_us"]["p50"]),
        "busy": cpu / sum(result["seconds"] for result in results) * 100,
        "others": others,
        "rss_mb": rss_kb(proxy.pids) / 1024,
    }


def held(children, binary, proxy, body, count):
    """Memory before and while so many streams are open, in KB."""
    time.sleep(1)
    idle = rss_kb(proxy.pids)
    process = streams(children, binary, proxy, "idle", body, count, hold=True)
    Lines(process.stdout).wait(f'{{"open":{count}}}', limit=120)
    time.sleep(1)
    full = rss_kb(proxy.pids)
    process.stdin.close()
    process.wait()
    children.end(process)
    return {"idle_mb": idle / 1024, "full_mb": full / 1024, "per_stream_kb": (full - idle) / count}


def bodies(proxy, count, size):
    """Peak memory while so many large bodies are held at once, in sizes of all bodies.

    Each client keeps back the last byte of its body until all have sent the rest.
    """
    text = "x" * (size - 200)
    body = json.dumps({"model": "bench-full",
                       "messages": [{"role": "user", "content": text}]}).encode()
    head = (f"POST {proxy.path('full')} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    idle = rss_kb(proxy.pids)
    sockets, answers = [], []
    for _ in range(count):
        sockets.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=60))
    senders = [threading.Thread(target=one.sendall, args=(head + body[:-1],)) for one in sockets]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    for one in sockets:
        one.sendall(body[-1:])
    for one in sockets:
        answers.append(one.recv(64 << 10).split(b"\r\n", 1)[0])
        one.close()
    if any(b" 200 " not in answer for answer in answers):
        raise Failure(f"{proxy.name} refused large bodies: {sorted(set(answers))}")
    with open(f"/proc/{proxy.pids[0]}/status", encoding="ascii") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    return {"body_factor": (peak - idle) * 1024 / (count * len(body))}


def syscalls(children, proxy, mode, body, connections, seconds):
    """System calls of a request, counted by strace (which also slows the proxy)."""
    report = os.path.join(os.path.dirname(body), f"strace-{proxy.port}")
    pids = [word for pid in proxy.pids for word in ("-p", str(pid))]
    tracer = children.start([tool("strace"), "-c", "-f", "-o", report, *pids], LOAD_CPU,
                            stderr=subprocess.PIPE)
    Lines(tracer.stderr).wait("attached")
    time.sleep(0.3)
    requests = wrk(proxy, mode, body, connections, seconds)["requests"]
    tracer.send_signal(signal.SIGINT)
    tracer.wait(20)
    children.end(tracer)
    with open(report, encoding="ascii") as file:
        rows = [line.split() for line in file]
    calls = {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit()}
    if "total" not in calls:
        raise Failure(f"strace gave no counts: {rows}")
    total = calls.pop("total")
    most = sorted(calls.items(), key=lambda item: -item[1])[:6]
    return {"per_request": total / requests, "requests": requests,
            "most": {name: count / requests for name, count in most}}


def ready(children, directory, binary, upstream, deployments):
    """Milliseconds from the start to the listening line, and to the first ready answer."""
    config = os.path.join(directory, "many.yaml")
    with open(config, "w", encoding="utf-8") as file:
        file.write("model_list:\n")
        for number in range(deployments):
            file.write(
                f"- model_name: group-{number // 2}\n"
                f"  litellm_params:\n    model: openai/gpt-4o-mini\n    api_key: sk-{number:04}\n"
                f"    api_base: http://127.0.0.1:{upstream.port}/full/v1\n"
                f"  model_info:\n    id: deployment-{number}\n")
        file.write(f"general_settings:\n  master_key: {KEY}\n")
    hale = Hale(children, directory, binary, config)
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", hale.port, timeout=20)
        connection.request("GET", "/health/readiness")
        status = connection.getresponse().status
        connection.close()
        if status == 200:
            break
        if time.monotonic() - hale.started > 20:
            raise Failure(f"readiness stays at {status}")
        time.sleep(0.001)
    answered = time.monotonic()
    rss = rss_kb(hale.pids) / 1024
    hale.end()
    return {"listening_ms": (hale.listening - hale.started) * 1e3,
            "ready_ms": (answered - hale.started) * 1e3, "rss_mb": rss}
