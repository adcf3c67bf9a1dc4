"""The results of health checks as a page: figures, bounds, commands, and the two gateways side by side.

Called by `bench/health.py` and `bench/health_litellm.py`. Always true: every number comes from a result that
was kept, and what was not run is said.
"""

import os
import platform
import subprocess
import time

BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->"


def number(value, unit="", digits=1):
    return "not seen" if value is None else f"{value:,.{digits}f}{' ' if unit else ''}{unit}"


def figures(hale):
    """Rows: figure, bound, measured, whether it is kept, the part of the command."""
    rows = []
    if "thousand" in hale:
        it = hale["thousand"]
        rows += [
            ("`/health` (cached), 99th percentile", "< 10 ms", number(it["page_p99_ms"], "ms"), it["page_p99_ms"] < 10, "thousand"),
            ("deployments that it lists, each time", "1,000", ", ".join(map(str, it["listed"])), it["listed"] == [1000], "thousand"),
            ("background checks under way, by the metric and as the upstreams saw them", "≤ 16", f"{it['in_flight']:.0f} and {it['in_flight_seen']}",
             max(it["in_flight"], it["in_flight_seen"]) <= 16, "thousand"),
            ("`/health/liveliness` with both cores busy, 99th percentile", "< 50 ms", number(it["alive_p99_ms"], "ms"), it["alive_p99_ms"] < 50, "thousand"),
            ("requests of the steady traffic that failed", "0", f"{it['traffic']['errors']} of {it['traffic']['requests']:,}", it["traffic"]["errors"] == 0, "thousand"),
        ]
    if "memory" in hale:
        it = hale["memory"]
        rows.append(("growth of RSS in 10 minutes, once every deployment has a verdict", "< 1 MiB",
                     f"{it['slope']:.2f} MiB ({it['first_mib']:.1f} to {it['last_mib']:.1f} MiB, {it['checks']:,} checks)", it["slope"] < 1, "memory"))
    for part in ("live", "live60"):
        it = hale.get(part)
        if it is None:
            continue
        found = it["found"]
        rows.append((f"`/health` (live) of the same ends, checks of {it['longest_s']} s", f"≤ {it['longest_s']} s + 1 s", f"{it['took_s']:.2f} s: " + ", ".join(f"{n} {name}" for name, n in found.items()),
                     it["took_s"] <= it["longest_s"] + 1 and sum(found.values()) == 1000, part))
    if "pairs" in hale:
        it = hale["pairs"]
        for name, words in (("steady_us", "traffic at 100/s on 64 connections, 99th percentile, with checks / without"),
                            ("full_us", "the same on 64 connections as fast as they can")):
            spread = ", ".join(f"{pair['with'][name] / pair['without'][name]:.2f}" for pair in it["pairs"])
            rows.append((words, "≤ 1.05", f"{it['ratio'][name]:.3f} (pairs: {spread})", it["ratio"][name] <= 1.05, "pairs"))
    if "stop" in hale:
        it = hale["stop"]
        bound, extra = it["interval_s"] + 5, 3 * it["probe_s"]
        for kind in ("fails", "cuts", "silent"):
            limit = bound + (extra if kind == "silent" else 0)
            more = f" + 3 checks of {it['probe_s']} s" if kind == "silent" else ""
            rows.append((f"time to detect {broken(kind)} without traffic (interval {it['interval_s']} s)", f"≤ {bound} s{more}", number(it[f"seen_{kind}_s"], "s"),
                         it[f"seen_{kind}_s"] is not None and it[f"seen_{kind}_s"] <= limit + 0.5, "stop"))
            # A check that began in the silence has to end first.
            limit = it["interval_s"] + (it["probe_s"] if kind == "silent" else 0) + 1
            rows.append(("time to detect its recovery", f"≤ {limit} s", number(it[f"back_{kind}_s"], "s"),
                         it[f"back_{kind}_s"] is not None and it[f"back_{kind}_s"] <= limit, "stop"))
    if "blame" in hale:
        for kind, it in hale["blame"].items():
            rows.append((f"blamed failures of traffic until a member that {verb(kind)} gets no more, {it['of']} requests one after another", "≤ 3",
                         f"{it['blamed']}; {it['errors']} failed for the client", it["blamed"] <= 3 and it["errors"] == 0, "blame"))
    if "steady" in hale:
        it = hale["steady"]
        rows.append((f"checks while traffic gets good answers ({it['seconds']} s, interval {it['interval_s']} s)", "0", str(it["sent"]), it["sent"] == 0, "steady"))
    return rows


def verb(kind):
    return {"fails": "answers 500", "cuts": "cuts connections", "silent": "is silent (`timeout: 1`)"}[kind]


def broken(kind):
    return {"fails": "an upstream that answers 500", "cuts": "an upstream that cuts connections", "silent": "a silent upstream"}[kind]


def beside(hale, other):
    """Rows: situation, this gateway, the other one."""
    both = lambda part: (hale.get(part), other.get(part))
    rows = []

    def row(words, part, tell):
        ours, theirs = both(part)
        tell_one = lambda one: "not run" if one is None else f"could not be run: {one['failed']}" if "failed" in one else tell(one) + busy(one)
        rows.append((words, tell_one(ours), tell_one(theirs)))

    row("cached `/health`, 1,000 deployments, half silent: 99th percentile", "thousand", lambda it: number(it["page_p99_ms"], "ms"))
    row("entries on it, over the run", "thousand", lambda it: ", ".join(f"{n:,}" for n in it["listed"]))
    row("`/health/liveliness`, both cores busy: 99th percentile", "thousand", lambda it: number(it["alive_p99_ms"], "ms"))
    row("checks under way at once, as the upstreams saw them", "thousand", lambda it: str(it["in_flight_seen"]))
    row("traffic at 100/s meanwhile: median, 99th percentile, failed", "thousand", lambda it:
        f"{it['traffic']['p50_us'] / 1000:,.1f} ms, {it['traffic']['p99_us'] / 1000:,.1f} ms, {it['traffic']['errors']}")
    row("RSS at the end", "thousand", lambda it: f"{it['rss_mib']:,.0f} MiB")
    for part, seconds in (("live", 5), ("live60", 60)):
        row(f"live `/health` of the same, checks of {seconds} s: how long, what", part, lambda it:
            f"{it['took_s']:.1f} s: " + ", ".join(f"{n} {name}" for name, n in it["found"].items()))
    for kind in ("fails", "cuts", "silent"):
        row(f"time to detect {broken(kind)} without traffic (interval 20 s)", "stop", lambda it: number(it[f"seen_{kind}_s"], "s"))
        row("… and its recovery", "stop", lambda it: number(it[f"back_{kind}_s"], "s"))
    for kind in ("fails", "cuts", "silent"):
        row(f"requests that meet a member that {verb(kind)}, of those asked one after another in at most 40 s", "blame", lambda it:
            f"{it[kind]['met']} of {it[kind]['of']}; {it[kind]['errors']} failed for the client")
    row("checks sent in 45 s while traffic gets good answers (3 members, interval 10 s)", "steady", lambda it: str(it["sent"]))
    outage = lambda key, tell: (lambda it: tell(it["summary"][key]))
    row("outage of one of three, 35 s, 20 requests/s: attempts at the dead one", "outage", lambda it:
        f"{it['summary']['attempts_at_dead']} ({it['summary']['share_at_dead']:.1%})")
    row("… requests that failed for the client", "outage", outage("errors", str))
    row("… it has its share again after", "outage", outage("full_share_s", lambda s: number(s, "s", 0)))
    row("… probes in total, and those sent to members with successful traffic", "outage", lambda it:
        f"{it['summary']['checks']}, {it['summary']['checks_of_well_under_traffic']}")
    answers = {"ok": "a good answer", "length": "nothing, `finish_reason: length`", "limited": "429", "empty": "`{}` under 200",
               "html": "HTML under 200", "error": "an error under 200", "fails": "500", "cuts": "a cut connection", "silent": "silence"}
    for kind, words in answers.items():
        row(f"a check that gets {words} finds", "lies", lambda it: it.get(kind, "not listed"))
    return rows


def busy(found):
    """A word where the machine had other work, which times do not forgive."""
    return f" (machine busy, load {found['load']})" if found.get("load", 0) > 2 else ""


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def measured(results):
    """Both tables, for this page and for docs/health.md."""
    hale, other = results.get("hale", {}), results.get("litellm", {})
    first = [(what, bound, found + ("" if kept else " **missed**"), f"`bench/health.py {part}`")
             for what, bound, found, kept, part in figures(hale)]
    version = other.get("version", "not run")
    return "\n".join([
        table(("figure", "bound", "measured", "command"), first), "",
        f"The same situations on LiteLLM {version}, with the same config, members and load "
        "(`bench/health_litellm.py`; one worker process, its default):", "",
        table(("situation", "Hale", "LiteLLM"), beside(hale, other)), "",
    ])


def facts(root, results):
    """Where and when."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=False).stdout.strip()
    return (f"Written {time.strftime('%Y-%m-%d')} at commit {commit}; a part that was not run again since is of an earlier one. "
            f"{os.cpu_count()} cores of {model}, everything on one machine.")


def write(root, results):
    """bench/HEALTH.md, and the part of docs/health.md that is measured."""
    text = measured(results)
    page = (f"# Health checks, measured\n\nWritten by `bench/health.py`; how it works is said in its head and in "
            f"[README.md](README.md). What the figures mean: [docs/health.md](../docs/health.md).\n\n{facts(root, results)}\n\n{text}")
    with open(os.path.join(root, "bench", "HEALTH.md"), "w", encoding="utf-8") as file:
        file.write(page)
    path = os.path.join(root, "docs", "health.md")
    with open(path, encoding="utf-8") as file:
        before, _, rest = file.read().partition(BEGIN)
    _, mark, after = rest.partition(END)
    if mark:
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{before}{BEGIN}\n{text}\n{END}{after}")
