"""The table of the benchmark, with the targets beside the numbers.

Used by `bench/run`. Always true: numbers are medians of the rounds, and a ratio is the median of the
ratios within a round, so that what drifts between rounds does not count.
"""

import os
import re
import statistics
import subprocess

FORMATS = {
    "cpu_us": ("CPU per request", "{:.1f} µs"),
    "worker_us": ("CPU of the workers per request", "{:.1f} µs"),
    "event_us": ("CPU per event", "{:.2f} µs"),
    "p50_us": ("p50", "{:.0f} µs"),
    "p99_us": ("p99", "{:.0f} µs"),
    "per_s": ("requests/s", "{:,.0f}"),
    "busy": ("proxy busy", "{:.0f} %"),
    "rss_mb": ("RSS after", "{:.1f} MB"),
    "gap_p50_us": ("gap between events, p50", "{:.0f} µs"),
    "gap_p99_us": ("gap between events, p99", "{:.0f} µs"),
    "content_p50_us": ("first content, p50", "{:.0f} µs"),
    "idle_mb": ("idle RSS", "{:.1f} MB"),
    "full_mb": ("RSS with all open", "{:.1f} MB"),
    "per_stream_kb": ("RSS per stream", "{:.1f} KB"),
    "body_factor": ("peak RSS above idle, in sizes of the bodies", "{:.2f}"),
    "listening_ms": ("to the listening line", "{:.1f} ms"),
    "ready_ms": ("to the first ready answer", "{:.1f} ms"),
    "more_us": ("CPU per request above pass-through", "{:.1f} µs"),
    "event_more_us": ("CPU per event above pass-through", "{:.2f} µs"),
    "per_request": ("system calls per request", "{:.2f}"),
}
# (kind of series, metric): limit of the ratio, or of the gateway's own number.
RATIO_TARGETS = {
    ("json", "cpu_us"): 1.25,
    ("json", "p50_us"): 1.25,
    ("stream", "cpu_us"): 1.0,
    ("paced", "event_us"): 1.1,
    ("paced", "content_p50_us"): 1.3,
    ("remembers", "worker_us"): 1.03,
    ("remembers", "cpu_us"): 1.1,
    ("refused", "cpu_us"): 1.3,
    ("refused", "p50_us"): 1.3,
}
OWN_TARGETS = {
    ("refused", "p99_us"): 1000,
    ("ready", "listening_ms"): 100,
    ("ready", "ready_ms"): 100,
    ("held", "idle_mb"): 25,
    ("held", "per_stream_kb"): 40,
    ("syscalls", "per_request"): 6,
    ("bodies", "body_factor"): 3,
    ("translated", "more_us"): 60,
    ("translated", "event_more_us"): 4,
}


class Report:
    def __init__(self, subject, targets, yardstick="nginx"):
        self.subject, self.targets, self.yardstick = subject, targets, yardstick
        self.rows = []
        self.notes = []
        self.missed = []

    def add(self, kind, title, metrics, rounds):
        """Rows for one series; `rounds` is a list of {proxy name: measures}."""
        for metric in metrics:
            self.rows.append(self.row(kind, title, metric, rounds))
            title = ""

    def row(self, kind, title, metric, rounds):
        own = [it[self.subject][metric] for it in rounds]
        base = [it[self.yardstick][metric] for it in rounds if self.yardstick in it]
        name, form = FORMATS[metric]
        value = statistics.median(own)
        reference = ratio = spread = target = verdict = ""
        limit = measured = None
        if base:
            reference = form.format(statistics.median(base))
            each = [a / b for a, b in zip(own, base) if b > 0]
            if each:
                measured = statistics.median(each)
                ratio = f"{measured:.2f}"
                if len(each) > 1:
                    low, _, high = statistics.quantiles(each, n=4, method="inclusive")
                    spread = f"{low:.2f}–{high:.2f}"
                limit = self.targets and RATIO_TARGETS.get((kind, metric))
                target = f"≤ {limit}×" if limit else ""
        if own_limit := self.targets and OWN_TARGETS.get((kind, metric)):
            limit, measured = own_limit, value
            target = "≤ " + form.split("}")[0].split("{")[0] + str(limit) + form.split("}")[1]
        if limit:
            verdict = "met" if measured <= limit else "**missed**"
            if measured > limit:
                self.missed.append(f"{kind} {name}")
        return [title, name, form.format(value), reference, ratio, spread, target, verdict]

    def table(self):
        header = ["series", "measure", self.subject, self.yardstick, "ratio", "quartiles",
                  "target", ""]
        widths = [max(len(row[at]) for row in [header, *self.rows]) for at in range(len(header))]
        lines = [header, ["-" * width for width in widths], *self.rows]
        return "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
            for line in lines)

    def markdown(self, title, command, facts):
        lines = [f"# {title}", "", f"Written by `{command}`.", ""]
        lines += [f"* {name}: {value}" for name, value in facts]
        lines += ["", self.table(), ""]
        lines += [f"* {note}" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"


def facts(root, nginx, binary=None):
    """What a reader must know of the machine and of the programs."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        info = dict(re.findall(r"^(.+?)\s*: (.*)$", file.read(), re.M))
    cpu = info.get("model name", "unknown")
    if cpu.isdigit():
        cpu = f"{info.get('vendor_id', '')} family {info.get('cpu family')} model {info.get('model')}"
    system = os.uname()
    commit = said(["git", "-C", root, "rev-parse", "--short", "HEAD"])
    status = ["git", "-C", root, "status", "--porcelain", "--", "crates", "Cargo.toml"]
    changed = subprocess.run(status, capture_output=True, text=True, check=False).stdout
    facts = [
        ("CPU", f"{cpu}, {info.get('cpu MHz', '?')} MHz, {os.cpu_count()} cores"),
        ("kernel", f"{system.sysname} {system.release} {system.machine}"),
        ("commit", commit + (" with changes" if changed else "")),
        ("compiler", said(["rustc", "--version"])),
        ("nginx", said([nginx, "-v"]).removeprefix("nginx version: ")),
        ("load", said(["wrk", "-v"]).splitlines()[0].split(" [")[0] + ", hale-streams"),
        ("strace", said(["strace", "-V"]).splitlines()[0].split()[-1]),
    ]
    if binary:
        facts.append(("size of the binary", f"{os.path.getsize(binary) / 1e6:.1f} MB"))
    return facts


def said(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip() or "unknown"
