"""The situations in which health checks are measured, each a function that gives a dictionary.

Called by `bench/health.py` for this gateway and by `bench/health_litellm.py` for the other one. Always true:
a situation starts its own gateway and members and ends them; it depends on nothing but its arguments.
"""

import http.client
import json
import os
import statistics
import subprocess
import time

import rig
from gateways import Asking, Members, chat, settings

PROBE_SECONDS = 5


class Bench:
    """Where the programmes are, and how a gateway is started."""

    def __init__(self, children, directory, target, start):
        self.children, self.directory, self.target, self.start_gateway = children, directory, target, start

    def binary(self, name):
        return os.path.join(self.target, name)

    def members(self, log=False):
        return Members(self.children, self.binary("hale-members"), log)

    def gateway(self, config, probe_seconds=PROBE_SECONDS):
        return self.start_gateway(self.children, self.directory, config, probe_seconds)


def p99(times):
    return statistics.quantiles(times, n=100)[98] * 1000 if len(times) > 1 else None


def thousand_entries(bench, members, count=1000):
    """A healthy group of two, and the rest in groups of their own, every second one a black hole."""
    upstream = rig_upstream(bench)
    entries = [("healthy", f"well.{i}", f"http://127.0.0.1:{upstream}/full/v1") for i in range(2)]
    names = [f"ok.{i}" if i % 2 else f"silent.{i}" for i in range(count - 2)]
    return entries + [(f"g-{name}", name, members.base(name, i)) for i, name in enumerate(names)]


def rig_upstream(bench):
    process = bench.children.start([bench.binary("hale-upstream"), "--port", "0"], stdout=subprocess.PIPE)
    bench.upstream = process
    _, line = rig.Lines(process.stdout).wait("listening on ")
    return int(line.rsplit(":", 1)[1])


def load(bench, gateway, seconds, rate=100, connections=64):
    """The steady load, under way; its result is what `finish_load` gives."""
    body = os.path.join(bench.directory, "healthy.body")
    with open(body, "w", encoding="utf-8") as file:
        file.write(chat("healthy"))
    command = [bench.binary("hale-load"), "--address", f"127.0.0.1:{gateway.port}",
               "--path", "/v1/chat/completions", "--key", rig.KEY, "--body", body,
               "--connections", str(connections), "--rate", str(rate), "--seconds", str(seconds)]
    return bench.children.start(command, stdout=subprocess.PIPE)


def finish_load(bench, process):
    output, _ = process.communicate(timeout=900)
    bench.children.end(process)
    return json.loads(output)


def repeat(seconds, pause, act):
    """How long each call of act took, in seconds."""
    times, ends = [], time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.monotonic()
        act()
        times.append(time.monotonic() - began)
        time.sleep(max(0, pause - times[-1]))
    return times


def slope(samples):
    """KiB per second, by least squares, as MiB per ten minutes."""
    mean_x = statistics.fmean(at for at, _ in samples)
    mean_y = statistics.fmean(kib for _, kib in samples)
    over = sum((at - mean_x) * (kib - mean_y) for at, kib in samples)
    return over / sum((at - mean_x) ** 2 for at, _ in samples) / 1024 * 600


def thousand(bench, seconds, count=1000):
    """A thousand deployments, half of them black holes, and traffic on a healthy group."""
    members = bench.members()
    gateway = bench.gateway(settings(thousand_entries(bench, members, count), background=True))
    process = load(bench, gateway, seconds)
    pages, alive, most, listed = [], [], 0, set()
    ours, began = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=200), time.monotonic()

    def page():
        sent = time.monotonic()
        body = gateway.ask("GET", "/health", connection=ours)[1]
        pages.append(time.monotonic() - sent)
        if len(pages) % 50 == 1:
            found = json.loads(body)
            lists = (found.get(f"{name}_endpoints", []) for name in ("healthy", "unhealthy", "unchecked"))
            listed.add(sum(map(len, lists)))

    # The last part is for liveliness with busy cores, which would spoil the rest.
    busy_for = min(30, seconds / 4)
    while time.monotonic() - began < seconds - busy_for:
        repeat(1, 0.1, page)
        if hasattr(gateway, "metric"):
            most = max(most, gateway.metric("hale_probes_in_flight"))
    gateway_rss = gateway.rss_kib() / 1024
    counts = members.counts()
    burners = [bench.children.start(["python3", "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    alive += repeat(busy_for - 1, 0.05, lambda: gateway.ask("GET", "/health/liveliness", connection=ours))
    for burner in burners:
        bench.children.end(burner)
    traffic = finish_load(bench, process)
    end(bench, gateway, members)
    return {
        "seconds": seconds, "deployments": count, "listed": sorted(listed),
        "page_p99_ms": p99(pages), "pages": len(pages), "alive_p99_ms": p99(alive), "alive": len(alive),
        "in_flight": most, "in_flight_seen": counts["open_max"],
        "checks": sum(one["checks"] for one in counts["members"].values()), "traffic": traffic,
        "rss_mib": gateway_rss,
    }


def memory(bench, seconds, count=1000):
    """The same for longer, once there is a verdict about every deployment: until then each one takes some."""
    members = bench.members()
    gateway = bench.gateway(settings(thousand_entries(bench, members, count), background=True), probe_seconds=1)
    process = load(bench, gateway, 3600)
    silent = (count - 2) // 2
    began, samples = time.monotonic(), []
    while sum(one == "unhealthy" for one in gateway.verdicts().values()) < silent:
        if time.monotonic() - began > 900:
            raise rig.Failure("the black holes are not all found out")
        time.sleep(2)
    settled = time.monotonic() - began
    time.sleep(30)
    before = sum(one["checks"] for one in members.counts()["members"].values())
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        gateway.page()
        samples.append((time.monotonic() - began, gateway.rss_kib()))
        time.sleep(1)
    checks = sum(one["checks"] for one in members.counts()["members"].values()) - before
    bench.children.end(process)
    end(bench, gateway, members)
    return {"settled_s": settled, "seconds": seconds, "slope": slope(samples), "checks": checks,
            "first_mib": samples[0][1] / 1024, "last_mib": samples[-1][1] / 1024}


def live(bench, probe_seconds=PROBE_SECONDS, count=1000):
    """The same, and a page that probes every deployment."""
    members = bench.members()
    gateway = bench.gateway(settings(thousand_entries(bench, members, count), background=False), probe_seconds)
    began = time.monotonic()
    try:
        page = json.loads(gateway.ask("GET", "/health")[1])
        took = time.monotonic() - began
        found = {name: len(page.get(f"{name}_endpoints", [])) for name in ("healthy", "unhealthy", "unchecked")}
    except OSError as error:
        took, found = time.monotonic() - began, {"error": str(error)}
    counts = members.counts()
    end(bench, gateway, members)
    return {"took_s": took, "found": found, "longest_s": probe_seconds, "open_max": counts["open_max"]}


def pairs(bench, rounds, seconds, closed_seconds):
    """Traffic with checks and without, in turn: the 99th percentile of a steady and of a full load."""
    results = []
    body = os.path.join(bench.directory, "healthy.body")
    for number in range(rounds):
        pair = {}
        for background in ((False, True) if number % 2 == 0 else (True, False)):
            members = bench.members()
            gateway = bench.gateway(settings(thousand_entries(bench, members), background=background))
            time.sleep(2)
            steady = finish_load(bench, load(bench, gateway, seconds))
            if steady["errors"]:
                raise rig.Failure(f"the load failed: {steady}")
            full = closed(gateway, body, closed_seconds)
            pair["with" if background else "without"] = {
                "steady_us": steady["p99_us"], "steady_p50_us": steady["p50_us"],
                "full_us": full["p99_us"], "full_per_s": full["requests"] / closed_seconds,
            }
            end(bench, gateway, members)
        results.append(pair)
        print(f"pair {number + 1}: {pair}", flush=True)
    middle = lambda name: statistics.median(
        pair["with"][name] / pair["without"][name] for pair in results)
    return {"pairs": results, "ratio": {name: middle(name) for name in results[0]["with"]}}


def closed(gateway, body, seconds, connections=64):
    """As much as the gateway can do, over so many connections."""
    command = [rig.tool("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s",
               "-s", os.path.join(rig.HERE, "chat.lua"), f"http://127.0.0.1:{gateway.port}/v1/chat/completions"]
    done = subprocess.run(command, env={**os.environ, "BENCH_BODY": body, "BENCH_KEY": rig.KEY},
                          capture_output=True, text=True, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("BENCH ")), None)
    if not line:
        raise rig.Failure(f"wrk failed: {done.stdout}{done.stderr}")
    return json.loads(line.removeprefix("BENCH "))


def stop(bench, interval, count=20):
    """Members that stop without traffic, each kind at several moments: when that is seen, and when they are back."""
    members = bench.members()
    kinds = ("fails", "cuts", "silent")
    names = [f"works.{i}" for i in range(count)]
    entries = [("g", name, members.base(name, i)) for i, name in enumerate(names)]
    gateway = bench.gateway(settings(entries, background=True, interval=interval))
    ready = gateway.wait(lambda now: all(now.get(name) == "healthy" for name in names), 3 * interval + 30)
    if ready is None:
        raise rig.Failure(f"not every deployment was found healthy: {gateway.verdicts()}")
    limit = 3 * interval + 20 * PROBE_SECONDS
    seen, back = {kind: [] for kind in kinds}, {kind: [] for kind in kinds}
    step = interval / 5

    def follow(wanted, began, found):
        """Notes when each member stands where it is wanted."""
        now, at = gateway.verdicts(), time.monotonic()
        for name in [name for name in began if now.get(name) == wanted]:
            began_at, kind = began.pop(name)
            found[kind].append(at - began_at)

    def turn(moods, wanted, found):
        """Changes members one after another, over one interval, and follows them."""
        waiting, ends = {}, time.monotonic() + interval + limit
        changes = [(time.monotonic() + (i % 5) * step, name, kind) for i, (name, kind) in enumerate(moods)]
        while (changes or waiting) and time.monotonic() < ends:
            for change in [one for one in changes if one[0] <= time.monotonic()]:
                changes.remove(change)
                _, name, kind = change
                members.set(name, kind if wanted == "unhealthy" else "works")
                waiting[name] = (time.monotonic(), kind)
            follow(wanted, waiting, found)
            time.sleep(0.2)
        return [(name, kind) for name, (_, kind) in waiting.items()]

    moods = [(name, kinds[i % 3]) for i, name in enumerate(names[:15])]
    missed = turn(moods, "unhealthy", seen)
    time.sleep(interval / 2)
    late = turn(moods, "healthy", back)
    end(bench, gateway, members)
    facts = {"interval_s": interval, "probe_s": PROBE_SECONDS, "never_seen": len(missed), "never_back": len(late)}
    return facts | {f"{word}_{kind}_s": max(found[kind], default=None)
                      for word, found in (("seen", seen), ("back", back)) for kind in kinds}


def blame(bench):
    """How many requests a member gets that fails them, before it gets no more."""
    found = {}
    for kind in ("fails", "cuts", "silent"):
        members = bench.members()
        names = ["ok.a", "ok.b", "ok.c"]
        entries = [("g", name, members.base(name, i)) for i, name in enumerate(names)]
        router = {"num_retries": 2, "cooldown_time": 60}
        gateway = bench.gateway(settings(entries, background=True, interval=300, router=router, timeout=1))
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
        ask = lambda: gateway.ask("POST", "/v1/chat/completions", chat("g"), connection)[0]
        statuses = [ask() for _ in range(30)]
        before = members.counts()["members"]["ok.b"]["traffic"]
        members.set("ok.b", kind)
        time.sleep(0.2)
        ends = time.monotonic() + 40
        statuses = []
        while len(statuses) < 200 and time.monotonic() < ends:
            statuses.append(ask())
        met = members.counts()["members"]["ok.b"]["traffic"] - before
        found[kind] = {"met": met, "of": len(statuses), "errors": sum(one != 200 for one in statuses)}
        if hasattr(gateway, "state"):
            # A request that is cut on a kept connection is sent again, and counts against no member.
            found[kind]["blamed"] = sum(gateway.state()["ok.b"]["failures"].values())
        end(bench, gateway, members)
    return found


def steady(bench, seconds=45, interval=10):
    """Checks that are sent while traffic gets good answers."""
    members = bench.members()
    names = ["ok.a", "ok.b", "ok.c"]
    entries = [("g", name, members.base(name, i)) for i, name in enumerate(names)]
    gateway = bench.gateway(settings(entries, background=True, interval=interval))
    asking = Asking(gateway, "g", 20)
    time.sleep(interval + 5)
    count = lambda: sum(one["checks"] for one in members.counts()["members"].values())
    before = count()
    time.sleep(seconds)
    sent = count() - before
    asking.end()
    end(bench, gateway, members)
    return {"sent": sent, "seconds": seconds, "interval_s": interval, "members": len(names)}


LIES = ("ok", "length", "limited", "empty", "html", "error", "fails", "cuts", "silent")


def lies(bench):
    """What is found of members that answer something else than they should."""
    members = bench.members()
    entries = [(f"g-{name}", name, members.base(name, i)) for i, name in enumerate(LIES)]
    gateway = bench.gateway(settings(entries, background=False))
    found = gateway.verdicts()
    end(bench, gateway, members)
    return found


def end(bench, gateway, members):
    gateway.end()
    bench.children.end(members.process)
    upstream = getattr(bench, "upstream", None)
    if upstream:
        bench.children.end(upstream)
